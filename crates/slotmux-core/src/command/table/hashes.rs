//! Commands on hashes and their fields.

use super::row::*;

#[rustfmt::skip]
pub(super) static HASHES: &[Command] = &[
    cmd("hdel",          -3, KEY,  Keyed,                     "2.0.0",               "write fast"),
    cmd("hexists",        3, KEY,  Keyed,                     "2.0.0",               "readonly fast"),
    cmd("hexpire",       -6, KEY,  Keyed,                     "7.4.0, valkey 9.0.0", "write fast"),
    cmd("hexpireat",     -6, KEY,  Keyed,                     "7.4.0, valkey 9.0.0", "write fast"),
    cmd("hexpiretime",   -5, KEY,  Keyed,                     "7.4.0, valkey 9.0.0", "readonly fast"),
    cmd("hget",           3, KEY,  Keyed,                     "2.0.0",               "readonly fast"),
    cmd("hgetall",        2, KEY,  Keyed,                     "2.0.0",               "readonly"),
    cmd("hgetdel",       -5, KEY,  Keyed,                     "8.0.0, valkey 9.1.0", "write fast"),
    cmd("hgetex",        -5, KEY,  Keyed,                     "8.0.0, valkey 9.0.0", "write fast"),
    container("himport", -2, NONE, Refused(CONNECTION_STATE), "8.10.0",              "", HIMPORT_SUBCOMMANDS),
    cmd("hincrby",        4, KEY,  Keyed,                     "2.0.0",               "write denyoom fast"),
    cmd("hincrbyfloat",   4, KEY,  Keyed,                     "2.6.0",               "write denyoom fast"),
    cmd("hkeys",          2, KEY,  Keyed,                     "2.0.0",               "readonly"),
    cmd("hlen",           2, KEY,  Keyed,                     "2.0.0",               "readonly fast"),
    cmd("hmget",         -3, KEY,  Keyed,                     "2.0.0",               "readonly fast"),
    cmd("hmset",         -4, KEY,  Keyed,                     "2.0.0",               "write denyoom fast"),
    cmd("hpersist",      -5, KEY,  Keyed,                     "7.4.0, valkey 9.0.0", "write fast"),
    cmd("hpexpire",      -6, KEY,  Keyed,                     "7.4.0, valkey 9.0.0", "write fast"),
    cmd("hpexpireat",    -6, KEY,  Keyed,                     "7.4.0, valkey 9.0.0", "write fast"),
    cmd("hpexpiretime",  -5, KEY,  Keyed,                     "7.4.0, valkey 9.0.0", "readonly fast"),
    cmd("hpttl",         -5, KEY,  Keyed,                     "7.4.0, valkey 9.0.0", "readonly fast"),
    cmd("hrandfield",    -2, KEY,  Keyed,                     "6.2.0",               "readonly"),
    cmd("hscan",         -3, KEY,  Keyed,                     "2.8.0",               "readonly"),
    cmd("hset",          -4, KEY,  Keyed,                     "2.0.0",               "write denyoom fast"),
    cmd("hsetex",        -6, KEY,  Keyed,                     "8.0.0, valkey 9.0.0", "write denyoom fast"),
    cmd("hsetnx",         4, KEY,  Keyed,                     "2.0.0",               "write denyoom fast"),
    cmd("hstrlen",        3, KEY,  Keyed,                     "3.2.0",               "readonly fast"),
    cmd("httl",          -5, KEY,  Keyed,                     "7.4.0, valkey 9.0.0", "readonly fast"),
    cmd("hvals",          2, KEY,  Keyed,                     "2.0.0",               "readonly"),
];

#[rustfmt::skip]
static HIMPORT_SUBCOMMANDS: &[Command] = &[
    cmd("himport|discard",     3, NONE,   Refused(CONNECTION_STATE), "8.10.0", ""),
    cmd("himport|discardall",  2, NONE,   Refused(CONNECTION_STATE), "8.10.0", ""),
    cmd("himport|prepare",    -4, NONE,   Refused(CONNECTION_STATE), "8.10.0", "denyoom"),
    cmd("himport|set",        -5, key(2), Refused(CONNECTION_STATE), "8.10.0", "write denyoom"),
];
