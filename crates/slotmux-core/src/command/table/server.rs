//! Commands on the server.

use super::row::*;

#[rustfmt::skip]
pub(super) static SERVER: &[Command] = &[
    container("acl",        -2, NONE, Refused(ONE_NODE),      "6.0.0",        "", ACL_SUBCOMMANDS),
    container("backup",     -2, NONE, Refused(ONE_NODE),      "8.10.0",       "", BACKUP_SUBCOMMANDS),
    cmd("bgrewriteaof",      1, NONE, AllPrimaries(First),    "1.0.0",        "admin noscript no_async_loading"),
    cmd("bgsave",           -1, NONE, AllPrimaries(First),    "1.0.0",        "admin noscript no_async_loading"),
    container("command",    -1, NONE, AnyNode,                "2.8.13",       "loading stale", COMMAND_SUBCOMMANDS),
    container("commandlog", -2, NONE, Refused(ONE_NODE),      "valkey 8.1.0", "", COMMANDLOG_SUBCOMMANDS),
    container("config",     -2, NONE, Answer(A::Config),      "2.0.0",        "", CONFIG_SUBCOMMANDS),
    cmd("dbsize",            1, NONE, AllPrimaries(Sum),      "1.0.0",        "readonly fast"),
    cmd("debug",            -2, NONE, Debug,                  "1.0.0",        "admin noscript loading stale"),
    cmd("failover",         -1, NONE, Refused(ONE_NODE),      "6.2.0",        "admin noscript stale"),
    cmd("flushall",         -1, NONE, AllPrimaries(AllOk),    "1.0.0",        "write"),
    cmd("flushdb",          -1, NONE, AllPrimaries(AllOk),    "1.0.0",        "write"),
    container("hotkeys",    -2, NONE, Refused(ONE_NODE),      "8.6.0",        "", HOTKEYS_SUBCOMMANDS),
    cmd("info",             -1, NONE, Answer(A::Info),        "1.0.0",        "loading stale"),
    cmd("lastsave",          1, NONE, AllPrimaries(Least),     "1.0.0",        "loading stale fast"),
    container("latency",    -2, NONE, Refused(ONE_NODE),      "2.8.13",       "", LATENCY_SUBCOMMANDS),
    cmd("lolwut",           -1, NONE, AnyNode,                "5.0.0",        "readonly fast"),
    container("memory",     -2, NONE, Keyed,                  "4.0.0",        "", MEMORY_SUBCOMMANDS),
    container("module",     -2, NONE, Refused(ONE_NODE),      "4.0.0",        "", MODULE_SUBCOMMANDS),
    cmd("monitor",           1, NONE, Answer(A::Monitor),     "1.0.0",        "admin noscript loading stale"),
    cmd("psync",            -3, NONE, Refused(BETWEEN_NODES), "2.8.0", "admin noscript no_async_loading no_multi"),
    cmd("replconf",         -1, NONE, Refused(BETWEEN_NODES), "3.0.0", "admin noscript loading stale allow_busy"),
    cmd("replicaof",         3, NONE, Refused(ONE_NODE),      "5.0.0",        "admin noscript stale no_async_loading"),
    cmd("restore-asking",   -4, KEY,  Refused(BETWEEN_NODES), "3.0.0",        "write denyoom asking"),
    cmd("role",              1, NONE, Answer(A::Role),        "2.8.12",       "noscript loading stale fast"),
    cmd("save",             1, NONE, AllPrimaries(AllOk), "1.0.0", "admin noscript no_async_loading no_multi"),
    cmd("sflush",           -3, NONE, Refused(BETWEEN_NODES), "8.0.0",        "write"),
    cmd("shutdown",         -1, NONE, Refused(ONE_NODE), "1.0.0", "admin noscript loading stale no_multi allow_busy"),
    cmd("slaveof",           3, NONE, Refused(ONE_NODE),      "1.0.0",        "admin noscript stale no_async_loading"),
    container("slowlog",    -2, NONE, Refused(ONE_NODE),      "2.2.12",       "", SLOWLOG_SUBCOMMANDS),
    cmd("swapdb",            3, NONE, Refused(ONE_DATABASE),  "4.0.0",        "write fast"),
    cmd("sync",             1, NONE, Refused(BETWEEN_NODES), "1.0.0", "admin noscript no_async_loading no_multi"),
    cmd("time",              1, NONE, Answer(A::Time),        "2.6.0",        "loading stale fast"),
    cmd("trimslots",        -5, NONE, Refused(BETWEEN_NODES), "8.4.0",        "write"),
];

#[rustfmt::skip]
static ACL_SUBCOMMANDS: &[Command] = &[
    cmd("acl|cat",     -2, NONE, AnyNode,           "6.0.0", "noscript loading stale"),
    cmd("acl|deluser", -3, NONE, Refused(ONE_NODE), "6.0.0", "admin noscript loading stale"),
    cmd("acl|dryrun",  -4, NONE, Refused(ONE_NODE), "7.0.0", "admin noscript loading stale"),
    cmd("acl|genpass", -2, NONE, AnyNode,           "6.0.0", "noscript loading stale"),
    cmd("acl|getuser",  3, NONE, Refused(ONE_NODE), "6.0.0", "admin noscript loading stale"),
    cmd("acl|help",     2, NONE, AnyNode,           "6.0.0", "loading stale"),
    cmd("acl|list",     2, NONE, Refused(ONE_NODE), "6.0.0", "admin noscript loading stale"),
    cmd("acl|load",     2, NONE, Refused(ONE_NODE), "6.0.0", "admin noscript loading stale"),
    cmd("acl|log",     -2, NONE, Refused(ONE_NODE), "6.0.0", "admin noscript loading stale"),
    cmd("acl|save",     2, NONE, Refused(ONE_NODE), "6.0.0", "admin noscript loading stale"),
    cmd("acl|setuser", -3, NONE, Refused(ONE_NODE), "6.0.0", "admin noscript loading stale"),
    cmd("acl|users",    2, NONE, Refused(ONE_NODE), "6.0.0", "admin noscript loading stale"),
    cmd("acl|whoami",   2, NONE, Answer(A::Acl),    "6.0.0", "noscript loading stale"),
];

#[rustfmt::skip]
static BACKUP_SUBCOMMANDS: &[Command] = &[
    cmd("backup|abort",   2, NONE, Refused(ONE_NODE), "8.10.0", "admin noscript"),
    cmd("backup|cleanup", 2, NONE, Refused(ONE_NODE), "8.10.0", "admin noscript"),
    cmd("backup|help",    2, NONE, AnyNode,           "8.10.0", "loading stale"),
    cmd("backup|list",    2, NONE, Refused(ONE_NODE), "8.10.0", "admin stale"),
    cmd("backup|seal",    2, NONE, Refused(ONE_NODE), "8.10.0", "admin noscript"),
    cmd("backup|start",   2, NONE, Refused(ONE_NODE), "8.10.0", "admin noscript"),
    cmd("backup|status",  2, NONE, Refused(ONE_NODE), "8.10.0", "admin stale"),
];

#[rustfmt::skip]
static COMMAND_SUBCOMMANDS: &[Command] = &[
    cmd("command|count",            2, NONE, AnyNode, "2.8.13", "loading stale"),
    cmd("command|docs",            -2, NONE, AnyNode, "7.0.0",  "loading stale"),
    cmd("command|getkeys",         -3, NONE, AnyNode, "2.8.13", "loading stale"),
    cmd("command|getkeysandflags", -3, NONE, AnyNode, "7.0.0",  "loading stale"),
    cmd("command|help",             2, NONE, AnyNode, "5.0.0",  "loading stale"),
    cmd("command|info",            -2, NONE, AnyNode, "2.8.13", "loading stale"),
    cmd("command|list",            -2, NONE, AnyNode, "7.0.0",  "loading stale"),
];

#[rustfmt::skip]
static COMMANDLOG_SUBCOMMANDS: &[Command] = &[
    cmd("commandlog|get",   4, NONE, AllPrimaries(Newest(10)), "valkey 8.1.0", "admin loading stale"),
    cmd("commandlog|help",  2, NONE, AnyNode,                  "valkey 8.1.0", "loading stale"),
    cmd("commandlog|len",   3, NONE, AllPrimaries(Sum),        "valkey 8.1.0", "admin loading stale"),
    cmd("commandlog|reset", 3, NONE, AllPrimaries(AllOk),      "valkey 8.1.0", "admin loading stale"),
];

#[rustfmt::skip]
static CONFIG_SUBCOMMANDS: &[Command] = &[
    cmd("config|get",       -3, NONE, Answer(A::Config), "2.0.0", "admin noscript loading stale"),
    cmd("config|help",       2, NONE, Answer(A::Config), "5.0.0", "loading stale"),
    cmd("config|resetstat",  2, NONE, AllNodes(AllOk),   "2.0.0", "admin noscript loading stale"),
    cmd("config|rewrite",    2, NONE, AllNodes(AllOk),   "2.8.0", "admin noscript loading stale"),
    cmd("config|set",       -4, NONE, AllNodes(AllOk),   "2.0.0", "admin noscript loading stale"),
];

/// DEBUG about one key, which follows the subcommand. It is a separate command here, as servers do not
/// describe the subcommands of DEBUG.
pub static DEBUG_OF_KEY: Command = cmd(
    "debug",
    -3,
    key(2),
    Keyed,
    "1.0.0",
    "readonly admin noscript loading stale",
);

#[rustfmt::skip]
static HOTKEYS_SUBCOMMANDS: &[Command] = &[
    cmd("hotkeys|get",    2, NONE, Refused(ONE_NODE), "8.6.0", "admin noscript"),
    cmd("hotkeys|help",   2, NONE, AnyNode,           "8.6.0", "loading stale"),
    cmd("hotkeys|reset",  2, NONE, Refused(ONE_NODE), "8.6.0", "admin noscript"),
    cmd("hotkeys|start", -2, NONE, Refused(ONE_NODE), "8.6.0", "admin noscript"),
    cmd("hotkeys|stop",   2, NONE, Refused(ONE_NODE), "8.6.0", "admin noscript"),
];

#[rustfmt::skip]
static LATENCY_SUBCOMMANDS: &[Command] = &[
    cmd("latency|doctor",     2, NONE, AllPrimaries(Texts),     "2.8.13", "admin noscript loading stale"),
    cmd("latency|graph",      3, NONE, AllPrimaries(Texts),     "2.8.13", "admin noscript loading stale"),
    cmd("latency|help",       2, NONE, AnyNode,                 "2.8.13", "loading stale"),
    cmd("latency|histogram", -2, NONE, AllPrimaries(Histogram), "7.0.0",  "admin noscript loading stale"),
    cmd("latency|history",    3, NONE, AllPrimaries(History),   "2.8.13", "admin noscript loading stale"),
    cmd("latency|latest",     2, NONE, AllPrimaries(Latest),    "2.8.13", "admin noscript loading stale"),
    cmd("latency|reset",     -2, NONE, AllPrimaries(Sum),       "2.8.13", "admin noscript loading stale"),
];

#[rustfmt::skip]
static MEMORY_SUBCOMMANDS: &[Command] = &[
    cmd("memory|doctor",        2, NONE,   AllPrimaries(Texts),  "4.0.0", ""),
    cmd("memory|help",          2, NONE,   AnyNode,              "4.0.0", "loading stale"),
    cmd("memory|malloc-stats",  2, NONE,   AllPrimaries(Texts),  "4.0.0", "loading"),
    cmd("memory|purge",         2, NONE,   AllPrimaries(AllOk),  "4.0.0", "loading"),
    cmd("memory|stats",         2, NONE,   AllPrimaries(Totals), "4.0.0", ""),
    cmd("memory|usage",        -3, key(2), Keyed,                "4.0.0", "readonly"),
];

#[rustfmt::skip]
static MODULE_SUBCOMMANDS: &[Command] = &[
    cmd("module|help",    2, NONE, AnyNode,           "5.0.0", "loading stale"),
    cmd("module|list",    2, NONE, AnyNode,           "4.0.0", "admin noscript"),
    cmd("module|load",   -3, NONE, Refused(ONE_NODE), "4.0.0", "admin noscript no_async_loading"),
    cmd("module|loadex", -3, NONE, Refused(ONE_NODE), "7.0.0", "admin noscript no_async_loading"),
    cmd("module|unload",  3, NONE, Refused(ONE_NODE), "4.0.0", "admin noscript no_async_loading"),
];

#[rustfmt::skip]
static SLOWLOG_SUBCOMMANDS: &[Command] = &[
    cmd("slowlog|get",   -2, NONE, AllPrimaries(Newest(10)), "2.2.12", "admin loading stale"),
    cmd("slowlog|help",   2, NONE, AnyNode,                  "6.2.0",  "loading stale"),
    cmd("slowlog|len",    2, NONE, AllPrimaries(Sum),        "2.2.12", "admin loading stale"),
    cmd("slowlog|reset",  2, NONE, AllPrimaries(AllOk),      "2.2.12", "admin loading stale"),
];
