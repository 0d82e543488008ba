//! Commands on the connection itself.

use super::row::*;

#[rustfmt::skip]
pub(super) static CONNECTION: &[Command] = &[
    cmd("auth",         -2, NONE, Answer(A::Auth),   "1.0.0", "noscript loading stale fast no_auth allow_busy"),
    container("client", -2, NONE, Answer(A::Client), "2.4.0", "", CLIENT_SUBCOMMANDS),
    cmd("echo",          2, NONE, Answer(A::Echo),   "1.0.0", "loading stale fast"),
    cmd("hello",        -1, NONE, Answer(A::Hello),  "6.0.0", "noscript loading stale fast no_auth allow_busy"),
    cmd("ping",         -1, NONE, Answer(A::Ping),   "1.0.0", "fast"),
    cmd("quit",         -1, NONE, Answer(A::Quit),   "1.0.0", "noscript loading stale fast no_auth allow_busy"),
    cmd("reset",         1, NONE, Answer(A::Reset),  "6.2.0", "noscript loading stale fast no_auth allow_busy"),
    cmd("select",        2, NONE, Answer(A::Select), "1.0.0", "loading stale fast allow_busy"),
];

#[rustfmt::skip]
static CLIENT_SUBCOMMANDS: &[Command] = &[
    cmd("client|caching",        3, NONE, Answer(A::Client), "6.0.0",        "noscript loading stale allow_busy"),
    cmd("client|capa",          -3, NONE, Answer(A::Client), "valkey 8.0.0", "noscript loading stale allow_busy"),
    cmd("client|getname",        2, NONE, Answer(A::Client), "2.6.9",        "noscript loading stale allow_busy"),
    cmd("client|getredir",       2, NONE, Answer(A::Client), "6.0.0",        "noscript loading stale allow_busy"),
    cmd("client|help",           2, NONE, Answer(A::Client), "5.0.0",        "loading stale"),
    cmd("client|id",             2, NONE, Answer(A::Client), "5.0.0",        "noscript loading stale allow_busy"),
    cmd("client|import-source",  3, NONE, Answer(A::Client), "valkey 8.1.0", "noscript loading stale"),
    cmd("client|info",           2, NONE, Answer(A::Client), "6.2.0",        "noscript loading stale"),
    cmd("client|kill",          -3, NONE, Answer(A::Client), "2.4.0",        "admin noscript loading stale"),
    cmd("client|list",          -2, NONE, Answer(A::Client), "2.4.0",        "admin noscript loading stale"),
    cmd("client|no-evict",       3, NONE, Answer(A::Client), "7.0.0",        "admin noscript loading stale allow_busy"),
    cmd("client|no-touch",       3, NONE, Answer(A::Client), "7.2.0",        "noscript loading stale allow_busy"),
    cmd("client|pause",         -3, NONE, Answer(A::Client), "3.0.0",        "admin noscript loading stale"),
    cmd("client|reply",         3, NONE, Answer(A::Client), "3.2.0", "noscript loading stale no_multi allow_busy"),
    cmd("client|setinfo",        4, NONE, Answer(A::Client), "7.2.0",        "noscript loading stale allow_busy"),
    cmd("client|setname",        3, NONE, Answer(A::Client), "2.6.9",        "noscript loading stale allow_busy"),
    cmd("client|tracking",      -3, NONE, Answer(A::Client), "6.0.0",        "noscript loading stale"),
    cmd("client|trackinginfo",   2, NONE, Answer(A::Client), "6.2.0",        "noscript loading stale"),
    cmd("client|unblock",       -3, NONE, Answer(A::Client), "5.0.0",        "admin noscript loading stale"),
    cmd("client|unpause",        2, NONE, Answer(A::Client), "6.2.0",        "admin noscript loading stale"),
];
