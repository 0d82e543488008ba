//! Commands on vector sets.

use super::row::*;

#[rustfmt::skip]
pub(super) static VECTORS: &[Command] = &[
    cmd("vadd",        -5, KEY, Keyed, "8.0.0", "write denyoom"),
    cmd("vcard",        2, KEY, Keyed, "8.0.0", "readonly fast"),
    cmd("vdim",         2, KEY, Keyed, "8.0.0", "readonly fast"),
    cmd("vemb",        -3, KEY, Keyed, "8.0.0", "readonly fast"),
    cmd("vgetattr",     3, KEY, Keyed, "8.0.0", "readonly fast"),
    cmd("vinfo",        2, KEY, Keyed, "8.0.0", "readonly fast"),
    cmd("vismember",    3, KEY, Keyed, "8.2.0", "readonly"),
    cmd("vlinks",      -3, KEY, Keyed, "8.0.0", "readonly fast"),
    cmd("vrandmember", -2, KEY, Keyed, "8.0.0", "readonly"),
    cmd("vrange",      -4, KEY, Keyed, "8.4.0", "readonly"),
    cmd("vrem",         3, KEY, Keyed, "8.0.0", "write"),
    cmd("vsetattr",     4, KEY, Keyed, "8.0.0", "write fast"),
    cmd("vsim",        -4, KEY, Keyed, "8.0.0", "readonly"),
];
