//! Scripts, functions and transactions.

use super::row::*;

#[rustfmt::skip]
pub(super) static SCRIPTING: &[Command] = &[
    cmd("eval",           -3, numkeys(2, 3), Script, "2.6.0", "noscript stale skip_monitor no_mandatory_keys"),
    cmd("eval_ro",        -3, numkeys(2, 3), Script, "7.0.0", "readonly noscript stale skip_monitor no_mandatory_keys"),
    cmd("evalsha",        -3, numkeys(2, 3), Script, "2.6.0", "noscript stale skip_monitor no_mandatory_keys"),
    cmd("evalsha_ro",     -3, numkeys(2, 3), Script, "7.0.0", "readonly noscript stale skip_monitor no_mandatory_keys"),
    cmd("fcall",          -3, numkeys(2, 3), Script, "7.0.0", "noscript stale skip_monitor no_mandatory_keys"),
    cmd("fcall_ro",       -3, numkeys(2, 3), Script, "7.0.0", "readonly noscript stale skip_monitor no_mandatory_keys"),
    container("function", -2, NONE,          Refused(EVERY_NODE), "7.0.0", "", FUNCTION_SUBCOMMANDS),
    container("script",   -2, NONE,          Refused(EVERY_NODE), "2.6.0", "", SCRIPT_SUBCOMMANDS),
];

#[rustfmt::skip]
pub(super) static TRANSACTIONS: &[Command] = &[
    cmd("discard",  1, NONE,            Transaction, "2.0.0", "noscript loading stale fast allow_busy"),
    cmd("exec",     1, NONE,            Transaction, "1.2.0", "noscript loading stale skip_slowlog"),
    cmd("multi",    1, NONE,            Transaction, "1.2.0", "noscript loading stale fast no_multi allow_busy"),
    cmd("unwatch",  1, NONE,            Transaction, "2.2.0", "noscript loading stale fast allow_busy"),
    cmd("watch",   -2, range(1, -1, 1), Transaction, "2.2.0", "noscript loading stale fast no_multi allow_busy"),
];

#[rustfmt::skip]
static FUNCTION_SUBCOMMANDS: &[Command] = &[
    cmd("function|delete",   3, NONE, AllPrimaries(AllOk),   "7.0.0", "write noscript"),
    cmd("function|dump",     2, NONE, AnyNode,               "7.0.0", "noscript"),
    cmd("function|flush",   -2, NONE, AllPrimaries(AllOk),   "7.0.0", "write noscript"),
    cmd("function|help",     2, NONE, AnyNode,               "7.0.0", "loading stale"),
    cmd("function|kill",     2, NONE, AllPrimaries(AnyOk),   "7.0.0", "noscript allow_busy"),
    cmd("function|list",    -2, NONE, AnyNode,               "7.0.0", "noscript"),
    cmd("function|load",    -3, NONE, AllPrimaries(First),   "7.0.0", "write denyoom noscript"),
    cmd("function|restore", -3, NONE, AllPrimaries(AllOk),   "7.0.0", "write denyoom noscript"),
    cmd("function|stats",    2, NONE, AllPrimaries(Running), "7.0.0", "noscript allow_busy"),
];

#[rustfmt::skip]
static SCRIPT_SUBCOMMANDS: &[Command] = &[
    cmd("script|debug",  -3, NONE, Refused(CONNECTION_STATE), "3.2.0",        "noscript"),
    cmd("script|exists", -3, NONE, AllPrimaries(AllTrue),     "2.6.0",        "noscript stale"),
    cmd("script|flush",  -2, NONE, AllPrimaries(AllOk),       "2.6.0",        "noscript stale"),
    cmd("script|help",    2, NONE, AnyNode,                   "5.0.0",        "loading stale"),
    cmd("script|kill",    2, NONE, AllPrimaries(AnyOk),       "2.6.0",        "noscript allow_busy"),
    cmd("script|load",    3, NONE, AllPrimaries(First),       "2.6.0",        "noscript stale"),
    cmd("script|show",    3, NONE, AllPrimaries(Shown),       "valkey 8.0.0", "noscript stale"),
];
