//! Commands on sets.

use super::row::*;

#[rustfmt::skip]
pub(super) static SETS: &[Command] = &[
    cmd("sadd",        -3, KEY,             Keyed, "1.0.0",  "write denyoom fast"),
    cmd("scard",        2, KEY,             Keyed, "1.0.0",  "readonly fast"),
    cmd("sdiff",       -2, range(1, -1, 1), Keyed, "1.0.0",  "readonly"),
    cmd("sdiffcard",   -3, numkeys(1, 2),   Keyed, "8.10.0", "readonly"),
    cmd("sdiffstore",  -3, range(1, -1, 1), Keyed, "1.0.0",  "write denyoom"),
    cmd("sinter",      -2, range(1, -1, 1), Keyed, "1.0.0",  "readonly"),
    cmd("sintercard",  -3, numkeys(1, 2),   Keyed, "7.0.0",  "readonly"),
    cmd("sinterstore", -3, range(1, -1, 1), Keyed, "1.0.0",  "write denyoom"),
    cmd("sismember",    3, KEY,             Keyed, "1.0.0",  "readonly fast"),
    cmd("smembers",     2, KEY,             Keyed, "1.0.0",  "readonly"),
    cmd("smismember",  -3, KEY,             Keyed, "6.2.0",  "readonly fast"),
    cmd("smove",        4, range(1, 2, 1),  Keyed, "1.0.0",  "write fast"),
    cmd("spop",        -2, KEY,             Keyed, "1.0.0",  "write fast"),
    cmd("srandmember", -2, KEY,             Keyed, "1.0.0",  "readonly"),
    cmd("srem",        -3, KEY,             Keyed, "1.0.0",  "write fast"),
    cmd("sscan",       -3, KEY,             Keyed, "2.8.0",  "readonly"),
    cmd("sunion",      -2, range(1, -1, 1), Keyed, "1.0.0",  "readonly"),
    cmd("sunioncard",  -3, numkeys(1, 2),   Keyed, "8.10.0", "readonly"),
    cmd("sunionstore", -3, range(1, -1, 1), Keyed, "1.0.0",  "write denyoom"),
];
