//! Commands on lists.

use super::row::*;

#[rustfmt::skip]
pub(super) static LISTS: &[Command] = &[
    cmd("blmove",      6, range(1, 2, 1),  Blocking, "6.2.0",  "write denyoom noscript blocking"),
    cmd("blmovem",    -6, range(1, 2, 1),  Blocking, "8.10.0", "write denyoom blocking"),
    cmd("blmpop",     -5, numkeys(2, 3),   Blocking, "7.0.0",  "write blocking"),
    cmd("blpop",      -3, range(1, -2, 1), Blocking, "2.0.0",  "write noscript blocking"),
    cmd("brpop",      -3, range(1, -2, 1), Blocking, "2.0.0",  "write noscript blocking"),
    cmd("brpoplpush",  4, range(1, 2, 1),  Blocking, "2.2.0",  "write denyoom noscript blocking"),
    cmd("lindex",      3, KEY,             Keyed,    "1.0.0",  "readonly"),
    cmd("linsert",     5, KEY,             Keyed,    "2.2.0",  "write denyoom"),
    cmd("llen",        2, KEY,             Keyed,    "1.0.0",  "readonly fast"),
    cmd("lmove",       5, range(1, 2, 1),  Keyed,    "6.2.0",  "write denyoom"),
    cmd("lmovem",     -5, range(1, 2, 1),  Keyed,    "8.10.0", "write denyoom"),
    cmd("lmpop",      -4, numkeys(1, 2),   Keyed,    "7.0.0",  "write"),
    cmd("lpop",       -2, KEY,             Keyed,    "1.0.0",  "write fast"),
    cmd("lpos",       -3, KEY,             Keyed,    "6.0.6",  "readonly"),
    cmd("lpush",      -3, KEY,             Keyed,    "1.0.0",  "write denyoom fast"),
    cmd("lpushx",     -3, KEY,             Keyed,    "2.2.0",  "write denyoom fast"),
    cmd("lrange",      4, KEY,             Keyed,    "1.0.0",  "readonly"),
    cmd("lrem",        4, KEY,             Keyed,    "1.0.0",  "write"),
    cmd("lset",        4, KEY,             Keyed,    "1.0.0",  "write denyoom"),
    cmd("ltrim",       4, KEY,             Keyed,    "1.0.0",  "write"),
    cmd("rpop",       -2, KEY,             Keyed,    "1.0.0",  "write fast"),
    cmd("rpoplpush",   3, range(1, 2, 1),  Keyed,    "1.2.0",  "write denyoom"),
    cmd("rpush",      -3, KEY,             Keyed,    "1.0.0",  "write denyoom fast"),
    cmd("rpushx",     -3, KEY,             Keyed,    "2.2.0",  "write denyoom fast"),
];
