//! Commands on streams.

use super::row::*;

#[rustfmt::skip]
pub(super) static STREAMS: &[Command] = &[
    cmd("xack",         -4, KEY,        Keyed,                  "5.0.0", "write fast"),
    cmd("xackdel",      -6, KEY,        Keyed,                  "8.2.0", "write fast"),
    cmd("xadd",         -5, KEY,        Keyed,                  "5.0.0", "write denyoom fast"),
    cmd("xautoclaim",   -6, KEY,        Keyed,                  "6.2.0", "write fast"),
    cmd("xcfgset",      -2, KEY,        Keyed,                  "8.6.0", "write fast"),
    cmd("xclaim",       -6, KEY,        Keyed,                  "5.0.0", "write fast"),
    cmd("xdel",         -3, KEY,        Keyed,                  "5.0.0", "write fast"),
    cmd("xdelex",       -5, KEY,        Keyed,                  "8.2.0", "write fast"),
    container("xgroup", -2, NONE,       Keyed,                  "5.0.0", "", XGROUP_SUBCOMMANDS),
    cmd("xidmprecord",   5, KEY,        Refused(BETWEEN_NODES), "8.6.0", "write denyoom fast"),
    container("xinfo",  -2, NONE,       Keyed,                  "5.0.0", "", XINFO_SUBCOMMANDS),
    cmd("xlen",          2, KEY,        Keyed,                  "5.0.0", "readonly fast"),
    cmd("xnack",        -7, KEY,        Keyed,                  "8.8.0", "write fast"),
    cmd("xpending",     -3, KEY,        Keyed,                  "5.0.0", "readonly"),
    cmd("xrange",       -4, KEY,        Keyed,                  "5.0.0", "readonly"),
    cmd("xread",        -4, AFTER_STREAMS, Blocking,         "5.0.0", "readonly blocking"),
    cmd("xreadgroup",   -7, AFTER_STREAMS, Blocking,         "5.0.0", "write blocking"),
    cmd("xrevrange",    -4, KEY,        Keyed,                  "5.0.0", "readonly"),
    cmd("xsetid",       -3, KEY,        Keyed,                  "5.0.0", "write denyoom fast"),
    cmd("xtrim",        -4, KEY,        Keyed,                  "5.0.0", "write"),
];

#[rustfmt::skip]
static XGROUP_SUBCOMMANDS: &[Command] = &[
    cmd("xgroup|create",         -5, key(2), Keyed,   "5.0.0", "write denyoom"),
    cmd("xgroup|createconsumer",  5, key(2), Keyed,   "6.2.0", "write denyoom"),
    cmd("xgroup|delconsumer",     5, key(2), Keyed,   "5.0.0", "write"),
    cmd("xgroup|destroy",         4, key(2), Keyed,   "5.0.0", "write"),
    cmd("xgroup|help",            2, NONE,   AnyNode, "5.0.0", "loading stale"),
    cmd("xgroup|setid",          -5, key(2), Keyed,   "5.0.0", "write"),
];

#[rustfmt::skip]
static XINFO_SUBCOMMANDS: &[Command] = &[
    cmd("xinfo|consumers",  4, key(2), Keyed,   "5.0.0", "readonly"),
    cmd("xinfo|groups",     3, key(2), Keyed,   "5.0.0", "readonly"),
    cmd("xinfo|help",       2, NONE,   AnyNode, "5.0.0", "loading stale"),
    cmd("xinfo|stream",    -3, key(2), Keyed,   "5.0.0", "readonly"),
];
