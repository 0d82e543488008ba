//! Commands whose replies differ from those of Redis in one setting or another, and why.

use super::sample::Setting;

/// By full name: the settings, and a remark.
pub const DIFFERS: &[(&str, &[Setting], &str)] = &[
    (
        "hello",
        &[Setting::Multi],
        "inside MULTI it is refused: EXEC's reply would be in two protocols",
    ),
    ("command|getkeys", &[Setting::Multi], LOOSEST),
    ("zrank", &[Setting::Multi], LOOSEST),
    ("zrevrank", &[Setting::Multi], LOOSEST),
];

const LOOSEST: &str =
    "newer servers take another number of arguments, so the node refuses a wrong one, at EXEC";

/// Rows of commands that no sample can show here, with the name of their other test.
pub const ELSEWHERE: &[(&str, &str)] = &[
    (
        "bgrewriteaof",
        "equal | equal | refused | - | on every node; tests/routing/keyspace compares it",
    ),
    (
        "scan",
        "in form | in form | refused | in form | the cursor is slotmux' own; tests/routing/scan.rs compares what it brings",
    ),
];
