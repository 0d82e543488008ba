//! slotmux' own commands. No server has them, and none of them is ever sent to one.

use super::row::*;

#[rustfmt::skip]
pub(super) static SLOTMUX: &[Command] = &[
    container("slotmux", -2, NONE, Answer(A::Slotmux), "slotmux", "", SUBCOMMANDS),
];

#[rustfmt::skip]
static SUBCOMMANDS: &[Command] = &[
    cmd("slotmux|explain",   -3, NONE, Answer(A::Slotmux), "slotmux", "noscript loading stale"),
    cmd("slotmux|help",       2, NONE, Answer(A::Slotmux), "slotmux", "loading stale"),
    cmd("slotmux|namespace",  3, NONE, Answer(A::Slotmux), "slotmux", "admin noscript loading stale"),
    cmd("slotmux|namespaces", 2, NONE, Answer(A::Slotmux), "slotmux", "admin noscript loading stale"),
    cmd("slotmux|ttl",       -3, NONE, Answer(A::Slotmux), "slotmux", "admin noscript loading stale"),
    cmd("slotmux|unmatched", -2, NONE, Answer(A::Slotmux), "slotmux", "admin noscript loading stale"),
    cmd("slotmux|version",    2, NONE, Answer(A::Slotmux), "slotmux", "loading stale"),
];
