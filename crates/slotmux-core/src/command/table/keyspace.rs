//! Commands on keys of any type.

use super::row::*;

#[rustfmt::skip]
pub(super) static KEYSPACE: &[Command] = &[
    container("bless",  -2, NONE,            Keyed,                "8.12.0", "", BLESS_SUBCOMMANDS),
    cmd("copy",         -3, range(1, 2, 1),  OneDatabase,          "6.2.0",  "write denyoom"),
    cmd("del",          -2, range(1, -1, 1), Split(Sum),           "1.0.0",  "write"),
    cmd("dump",          2, KEY,             Keyed,                "2.6.0",  "readonly"),
    cmd("exists",       -2, range(1, -1, 1), Split(Sum),           "1.0.0",  "readonly fast"),
    cmd("expire",       -3, KEY,             Keyed,                "1.0.0",  "write fast"),
    cmd("expireat",     -3, KEY,             Keyed,                "1.2.0",  "write fast"),
    cmd("expiretime",    2, KEY,             Keyed,                "7.0.0",  "readonly fast"),
    cmd("keys",          2, NONE,            AllPrimaries(Concat), "1.0.0",  "readonly"),
    cmd("migrate",      -6, MIGRATE,         Keyed,                "2.6.0",  "write"),
    cmd("move",          3, KEY,             Refused(ONE_DATABASE), "1.0.0",  "write fast"),
    container("object", -2, NONE,            Keyed,                "2.2.3",  "", OBJECT_SUBCOMMANDS),
    cmd("persist",       2, KEY,             Keyed,                "2.2.0",  "write fast"),
    cmd("pexpire",      -3, KEY,             Keyed,                "2.6.0",  "write fast"),
    cmd("pexpireat",    -3, KEY,             Keyed,                "2.6.0",  "write fast"),
    cmd("pexpiretime",   2, KEY,             Keyed,                "7.0.0",  "readonly fast"),
    cmd("pttl",          2, KEY,             Keyed,                "2.6.0",  "readonly fast"),
    cmd("randomkey",     1, NONE,            AllPrimaries(RandomKey),  "1.0.0",  "readonly"),
    cmd("rename",        3, range(1, 2, 1),  Keyed,                "1.0.0",  "write"),
    cmd("renamenx",      3, range(1, 2, 1),  Keyed,                "1.0.0",  "write fast"),
    cmd("restore",      -4, KEY,             Keyed,                "2.6.0",  "write denyoom"),
    cmd("scan",         -2, NONE,            Scan,                 "2.8.0",  "readonly"),
    cmd("sort",         -2, SORT,            Keyed,                "1.0.0",  "write denyoom"),
    cmd("sort_ro",      -2, KEY,             Keyed,                "7.0.0",  "readonly"),
    cmd("touch",        -2, range(1, -1, 1), Split(Sum),           "3.2.1",  "readonly fast"),
    cmd("ttl",           2, KEY,             Keyed,                "1.0.0",  "readonly fast"),
    cmd("type",          2, KEY,             Keyed,                "1.0.0",  "readonly fast"),
    cmd("unlink",       -2, range(1, -1, 1), Split(Sum),           "4.0.0",  "write fast"),
    cmd("wait",          3, NONE,            Acknowledged(Least),  "3.0.0",  "noscript blocking"),
    cmd("waitaof",       4, NONE,            Acknowledged(EachLeast), "7.2.0",  "blocking"),
];

#[rustfmt::skip]
static BLESS_SUBCOMMANDS: &[Command] = &[
    cmd("bless|clear",  4, key(2), Keyed,               "8.12.0", "write fast"),
    cmd("bless|get",    3, key(2), Keyed,               "8.12.0", "readonly fast"),
    cmd("bless|scan",  -4, NONE,   Refused(EVERY_NODE), "8.12.0", ""),
    cmd("bless|set",    4, key(2), Keyed,               "8.12.0", "write denyoom fast"),
];

#[rustfmt::skip]
static OBJECT_SUBCOMMANDS: &[Command] = &[
    cmd("object|encoding", 3, key(2), Keyed,   "2.2.3", "readonly"),
    cmd("object|freq",     3, key(2), Keyed,   "4.0.0", "readonly"),
    cmd("object|help",     2, NONE,   AnyNode, "6.2.0", "loading stale"),
    cmd("object|idletime", 3, key(2), Keyed,   "2.2.3", "readonly"),
    cmd("object|refcount", 3, key(2), Keyed,   "2.2.3", "readonly"),
];
