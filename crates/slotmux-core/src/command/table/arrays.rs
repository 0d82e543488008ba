//! Commands on arrays.

use super::row::*;

#[rustfmt::skip]
pub(super) static ARRAYS: &[Command] = &[
    cmd("arcount",      2, KEY, Keyed, "8.8.0", "readonly fast"),
    cmd("ardel",       -3, KEY, Keyed, "8.8.0", "write fast"),
    cmd("ardelrange",  -4, KEY, Keyed, "8.8.0", "write"),
    cmd("arget",        3, KEY, Keyed, "8.8.0", "readonly fast"),
    cmd("argetrange",   4, KEY, Keyed, "8.8.0", "readonly"),
    cmd("argrep",      -6, KEY, Keyed, "8.8.0", "readonly"),
    cmd("arinfo",      -2, KEY, Keyed, "8.8.0", "readonly"),
    cmd("arinsert",    -3, KEY, Keyed, "8.8.0", "write denyoom fast"),
    cmd("arlastitems", -3, KEY, Keyed, "8.8.0", "readonly"),
    cmd("arlen",        2, KEY, Keyed, "8.8.0", "readonly fast"),
    cmd("armget",      -3, KEY, Keyed, "8.8.0", "readonly fast"),
    cmd("armset",      -4, KEY, Keyed, "8.8.0", "write denyoom fast"),
    cmd("arnext",       2, KEY, Keyed, "8.8.0", "readonly fast"),
    cmd("arop",        -5, KEY, Keyed, "8.8.0", "readonly"),
    cmd("arring",      -4, KEY, Keyed, "8.8.0", "write denyoom"),
    cmd("arscan",      -4, KEY, Keyed, "8.8.0", "readonly"),
    cmd("arseek",       3, KEY, Keyed, "8.8.0", "write fast"),
    cmd("arset",       -4, KEY, Keyed, "8.8.0", "write denyoom fast"),
];
