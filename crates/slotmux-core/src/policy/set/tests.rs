//! The rules of SET and its relatives as tables.

use super::super::rows::{check, decide, seconds, under};
use super::*;
use crate::config::{KeepTtl, OverMax, Strength, TtlMode};
use std::time::Duration;

#[test]
fn set_with_a_default() {
    let policies = under(|ttl| ttl.default = seconds(100));
    check(
        &policies,
        &[
            ("SET k v", "defaulted: SET k v PX 100000"),
            ("set k ''", "defaulted: set k  PX 100000"),
            ("SET k v NX", "defaulted: SET k v NX PX 100000"),
            ("SET k v xx Get", "defaulted: SET k v xx Get PX 100000"),
            ("SET k v NX NX", "defaulted: SET k v NX NX PX 100000"),
            // Nothing is bounded without a maximum.
            ("SET k v EX 999999", "="),
            ("SET k v PX 1", "="),
            ("SET k v EXAT 99999999999", "="),
            // Keys of other namespaces, and of none.
            ("SET o v", "defaulted: SET o v PX 7000"),
            ("SET w v", "defaulted: ="),
            ("SET f v", "="),
            ("SET x v", "="),
            (
                "SET k v KEEPTTL",
                "appended: MULTI | SET k v KEEPTTL | PEXPIRE k 100000 NX | EXEC",
            ),
            // Options of newer servers.
            ("SET k v IFEQ w", "defaulted: SET k v IFEQ w PX 100000"),
            (
                "SET k v GET ifdne EX",
                "defaulted: SET k v GET ifdne EX PX 100000",
            ),
            (
                "SET k v IFNEW w",
                "appended: MULTI | SET k v IFNEW w | PEXPIRE k 100000 NX | EXEC",
            ),
        ],
    );
}

#[test]
fn set_within_bounds() {
    let policies = under(|ttl| {
        ttl.default = seconds(10);
        ttl.max = seconds(100);
        ttl.min = seconds(2);
    });
    check(
        &policies,
        &[
            ("SET k v", "defaulted: SET k v PX 10000"),
            ("SET k v EX 2", "="),
            ("SET k v EX 100", "="),
            ("SET k v EX 101", "clamped: SET k v EX 100"),
            ("SET k v ex 1", "raised: SET k v EX 2"),
            ("SET k v PX 100000", "="),
            ("SET k v PX 100001", "clamped: SET k v PX 100000"),
            ("SET k v PX 1999", "raised: SET k v PX 2000"),
            ("SET k v PX 1", "raised: SET k v PX 2000"),
            ("SET k v NX EX 101 GET", "clamped: SET k v NX EX 100 GET"),
            // Of several, Redis looks at the last only, so that the others go.
            ("SET k v EX 500 EX 50", "="),
            ("SET k v EX x EX 50", "="),
            ("SET k v EX 50 EX 500", "clamped: SET k v EX 100"),
            (
                "SET k v EX EX EX 5 NX EX 500 GET",
                "clamped: SET k v NX EX 100 GET",
            ),
            // Points in time, with a second for the difference of clocks: the clock shows 1 700 000 000.
            (
                "SET k v EXAT 1700000101",
                "appended: MULTI | SET k v EXAT 1700000101 | PEXPIRE k 100000 LT | EXEC",
            ),
            ("SET k v EXAT 1700000102", "clamped: SET k v PX 100000"),
            (
                "SET k v PXAT 1700000101000",
                "appended: MULTI | SET k v PXAT 1700000101000 | PEXPIRE k 100000 LT | EXEC",
            ),
            ("SET k v PXAT 1700000101001", "clamped: SET k v PX 100000"),
            ("SET k v PXAT 1700000000999", "raised: SET k v PX 2000"),
            (
                "SET k v PXAT 1700000001000",
                "appended: MULTI | SET k v PXAT 1700000001000 | PEXPIRE k 100000 LT | EXEC",
            ),
            (
                "SET k v PXAT 9223372036854775807",
                "clamped: SET k v PX 100000",
            ),
            (
                "SET k v EXAT 9223372036854775",
                "clamped: SET k v PX 100000",
            ),
            // Expired at once: it deletes.
            (
                "SET k v EXAT 1700000000",
                "appended: MULTI | SET k v EXAT 1700000000 | PEXPIRE k 100000 LT | EXEC",
            ),
            ("SET k v EXAT 5", "="),
            (
                "SET k v KEEPTTL",
                "appended: MULTI | SET k v KEEPTTL | PEXPIRE k 10000 NX | PEXPIRE k 100000 LT | EXEC",
            ),
            // Servers compare options as C strings.
            ("SET k v Ex\0 101", "clamped: SET k v EX 100"),
            ("SET k v px\0x 1", "raised: SET k v PX 2000"),
            (
                "SET k v NX\0 exAt\0\0 1700000102",
                "clamped: SET k v NX\0 PX 100000",
            ),
            ("SET k v EX\0 5 PX\0 5", "="),
            ("SET k v pxat\0 5 KEEPTTL\0", "="),
            (
                "SET k v keepttl\0x",
                "appended: MULTI | SET k v keepttl\0x | PEXPIRE k 10000 NX | PEXPIRE k 100000 LT | EXEC",
            ),
            (
                "SET k v E\0X 500",
                "appended: MULTI | SET k v E\0X 500 | PEXPIRE k 10000 NX | PEXPIRE k 100000 LT | EXEC",
            ),
            (
                "SET k v FOO EX 500",
                "appended: MULTI | SET k v FOO EX 500 | PEXPIRE k 10000 NX | PEXPIRE k 100000 LT | EXEC",
            ),
        ],
    );
}

#[test]
fn what_redis_refuses_is_left_to_redis() {
    let policies = under(|ttl| {
        ttl.max = seconds(100);
        ttl.min = seconds(2);
    });
    for line in [
        "SET k v EX",
        "SET k v EX 0",
        "SET k v EX -5",
        "SET k v EX +500",
        "SET k v EX 0500",
        "SET k v EX ''",
        "SET k v EX 5.5",
        "SET k v EX NX",
        "SET k v EX 9223372036854776",
        "SET k v EX 9223372036854775",
        "SET k v EX 9223372036854775808",
        "SET k v PX 9223372036854775807",
        "SET k v EXAT 9223372036854776",
        "SET k v EXAT -1",
        "SET k v EX 500 PX 500",
        "SET k v EX 500 EXAT 500",
        "SET k v EX 500 KEEPTTL",
        "SET k v KEEPTTL PX 500",
        "SET k v NX XX",
        "SET k v XX EX 500 NX",
        "SETEX k 0 v",
        "SETEX k x v",
        "SETEX k 9223372036854775807 v",
        "PSETEX k 9223372036854775807 v",
        "GETEX k EX",
        "GETEX k EX 0",
        "GETEX k PERSIST EX 500",
        "GETEX k EX 500 PERSIST",
        "GETEX k EX 500 PX 500",
    ] {
        assert_eq!(decide(&policies, line), "=", "{line}");
    }
}

#[test]
fn what_only_the_clock_of_the_node_decides_is_bounded_behind() {
    let with = |strength| {
        under(|ttl| {
            ttl.max = seconds(100);
            ttl.strength = strength;
        })
    };
    let behind = |line: &str| format!("appended: MULTI | {line} | PEXPIRE k 100000 LT | EXEC");
    // The first TTL does not overflow by slotmux' clock, the others do; the node's clock may differ. The last lines are
    // refused, or delete, by every clock.
    for (number, is_known) in [
        ("4611686018427387904", false),
        ("9223370336854775807", false),
        ("9223370336854775808", false),
        ("9223372036854774807", false),
        ("9223372036854774808", true),
        ("9223372036854775807", true),
    ] {
        for line in [
            format!("SET k v PX {number}"),
            format!("SET k v NX PX {number} GET"),
            format!("PSETEX k {number} v"),
            format!("GETEX k PX {number}"),
            format!("PEXPIRE k {number}"),
            format!("PEXPIRE k {number} GT"),
            format!("MSETEX 1 k v PX {number}"),
        ] {
            let expected = if is_known {
                "=".to_owned()
            } else {
                behind(&line)
            };
            let decided = decide(&with(Strength::Atomic), &line);
            assert_eq!(decided, expected);
            if !is_known {
                let inline = decide(&with(Strength::InlineOnly), &line);
                assert!(inline.starts_with("clamped: "), "{inline}");
            }
        }
    }
    check(
        &with(Strength::Atomic),
        &[
            (
                "SET k v PX 4611686018427387903",
                "clamped: SET k v PX 100000",
            ),
            // A point that is within the maximum by any clock, and the first that is not.
            ("SET k v PXAT 100000", "="),
            ("SET k v PXAT 100001", &behind("SET k v PXAT 100001")),
            ("EXPIREAT k 1", "="),
            ("EXPIREAT k 1699999990", &behind("EXPIREAT k 1699999990")),
            (
                "EXPIREAT k 1700000050 NX",
                &behind("EXPIREAT k 1700000050 NX"),
            ),
            (
                "GETEX k EXAT 1700000050",
                &behind("GETEX k EXAT 1700000050"),
            ),
            (
                "RESTORE k 1700000050000 v ABSTTL REPLACE",
                &behind("RESTORE k 1700000050000 v ABSTTL REPLACE"),
            ),
            (
                "MSETEX 2 k 1 k2 2 PXAT 1700000050000",
                "appended: MULTI | MSETEX 2 k 1 k2 2 PXAT 1700000050000 | PEXPIRE k 100000 LT | PEXPIRE k2 100000 LT | EXEC",
            ),
            (
                "MSETEX 2 k 1 f 2 PXAT 1700000050000",
                "appended: MULTI | MSETEX 2 k 1 f 2 PXAT 1700000050000 | PEXPIRE k 100000 LT | EXEC",
            ),
        ],
    );
    check(
        &with(Strength::Pipelined),
        &[(
            "SET k v PXAT 1700000050000",
            "appended: SET k v PXAT 1700000050000 | PEXPIRE k 100000 LT",
        )],
    );
    check(
        &with(Strength::InlineOnly),
        &[
            ("SET k v PXAT 1700000050000", "SET k v PX 50000"),
            ("SET k v EXAT 1700000101", "SET k v PX 100000"),
            ("EXPIREAT k 1700000050 NX", "PEXPIRE k 50000 NX"),
            ("RESTORE k 1700000050000 v ABSTTL", "RESTORE k 50000 v"),
            ("SET k v PXAT 1700000000000", "="),
        ],
    );
    let only_a_minimum = under(|ttl| ttl.min = seconds(2));
    check(
        &only_a_minimum,
        &[
            ("SET k v PXAT 1700000050000", "="),
            ("SET k v PX 9223370336854775808", "="),
        ],
    );
}

#[test]
fn a_bound_of_broken_seconds_is_written_in_milliseconds() {
    let policies = under(|ttl| {
        ttl.max = Some(Duration::from_millis(2500));
        ttl.min = Some(Duration::from_millis(1500));
    });
    check(
        &policies,
        &[
            ("SET k v", "defaulted: SET k v PX 2500"),
            ("SET k v EX 3", "clamped: SET k v PX 2500"),
            ("SET k v EX 1", "raised: SET k v PX 1500"),
            ("SET k v EX 9 EX 3 GET", "clamped: SET k v PX 2500 GET"),
            ("SETEX k 3 v", "clamped: PSETEX k 2500 v"),
            ("PSETEX k 1 v", "raised: PSETEX k 1500 v"),
            ("GETEX k EX 3", "clamped: GETEX k PX 2500"),
        ],
    );
}

#[test]
fn a_minimum_alone_gives_no_default() {
    let policies = under(|ttl| ttl.min = seconds(2));
    check(
        &policies,
        &[
            ("SET k v", "="),
            ("SET k v EX 1", "raised: SET k v EX 2"),
            ("SET k v EX 99999", "="),
            ("SET k v KEEPTTL", "="),
            ("SET k v FOO", "="),
            ("SETNX k v", "="),
            ("GETSET k v", "="),
        ],
    );
}

#[test]
fn relatives_of_set() {
    let policies = under(|ttl| {
        ttl.default = seconds(10);
        ttl.max = seconds(100);
        ttl.min = seconds(2);
    });
    check(
        &policies,
        &[
            ("SETEX k 100 v", "="),
            ("SETEX k 101 v", "clamped: SETEX k 100 v"),
            ("setex k 1 v", "raised: SETEX k 2 v"),
            ("PSETEX k 100001 v", "clamped: PSETEX k 100000 v"),
            ("SETNX k v", "defaulted: SET k v NX PX 10000 > integer"),
            ("GETSET k v", "defaulted: SET k v GET PX 10000"),
            ("SETNX f v", "="),
            ("GETSET w v", "defaulted: ="),
            ("GETEX k", "="),
            ("GETEX k EX 50", "="),
            ("GETEX k EX 500", "clamped: GETEX k EX 100"),
            ("GETEX k EX 5 EX 500", "clamped: GETEX k EX 100"),
            ("GETEX k PXAT 1700009000000", "clamped: GETEX k PX 100000"),
            ("GETEX k EXAT 5", "="),
            ("GETEX k PERSIST", "="),
            (
                "GETEX k KEEPTTL",
                "appended: MULTI | GETEX k KEEPTTL | PEXPIRE k 10000 NX | PEXPIRE k 100000 LT | EXEC",
            ),
        ],
    );
}

#[test]
fn getex_with_persist() {
    let rows: [(Persist, &[(&str, &str)]); 2] = [
        (
            Persist::Rewrite,
            &[
                ("GETEX k PERSIST", "unpersisted: GETEX k PX 10000"),
                ("GETEX k persist PERSIST", "unpersisted: GETEX k PX 10000"),
            ],
        ),
        (
            Persist::Reject,
            &[(
                "GETEX k PERSIST",
                "refused: -ERR slotmux: namespace 'keys' refuses GETEX with PERSIST (ttl.persist)",
            )],
        ),
    ];
    for (persist, rows) in rows {
        let policies = under(|ttl| {
            ttl.default = seconds(10);
            ttl.persist = persist;
        });
        check(&policies, rows);
    }
    let no_default = under(|ttl| {
        ttl.min = seconds(1);
        ttl.persist = Persist::Rewrite;
    });
    check(&no_default, &[("GETEX k PERSIST", "=")]);
}

#[test]
fn keepttl_that_is_honoured() {
    let policies = under(|ttl| {
        ttl.default = seconds(10);
        ttl.keepttl = KeepTtl::Honour;
    });
    check(&policies, &[("SET k v KEEPTTL", "=")]);
    let bounded = under(|ttl| {
        ttl.default = seconds(10);
        ttl.max = seconds(100);
        ttl.keepttl = KeepTtl::Honour;
    });
    check(
        &bounded,
        &[(
            "SET k v KEEPTTL",
            "appended: MULTI | SET k v KEEPTTL | PEXPIRE k 100000 LT | EXEC",
        )],
    );
}

#[test]
fn over_max_that_is_rejected() {
    let policies = under(|ttl| {
        ttl.max = seconds(100);
        ttl.over_max = OverMax::Reject;
    });
    let refused = |ttl| {
        format!(
            "refused: -ERR slotmux: a TTL of {ttl} ms is above the 100000 ms that namespace 'keys' allows (ttl.max)"
        )
    };
    check(
        &policies,
        &[
            ("SET k v EX 101", &refused(101_000)),
            ("SET k v EXAT 1700000102", &refused(102_000)),
            ("SETEX k 101 v", &refused(101_000)),
            ("GETEX k PX 100001", &refused(100_001)),
            ("SET k v EX 100", "="),
            (
                "SET k v EXAT 1700000101",
                "appended: MULTI | SET k v EXAT 1700000101 | PEXPIRE k 100000 LT | EXEC",
            ),
            ("SET k v PX 9223372036854775807", "="),
            ("SET k v", "defaulted: SET k v PX 100000"),
        ],
    );
}

#[test]
fn strength_and_mode() {
    let with = |strength, mode| {
        under(|ttl| {
            ttl.max = seconds(100);
            ttl.over_max = OverMax::Reject;
            ttl.strength = strength;
            ttl.mode = mode;
        })
    };
    check(
        &with(Strength::Pipelined, TtlMode::Enforce),
        &[
            ("SET k v", "defaulted: SET k v PX 100000"),
            (
                "SET k v KEEPTTL",
                "appended: SET k v KEEPTTL | PEXPIRE k 100000 LT",
            ),
        ],
    );
    check(
        &with(Strength::InlineOnly, TtlMode::Enforce),
        &[
            ("SET k v", "defaulted: SET k v PX 100000"),
            ("SET k v KEEPTTL", "left_bare: ="),
            ("SET k v FOO", "defaulted: SET k v FOO PX 100000"),
        ],
    );
    check(
        &with(Strength::Atomic, TtlMode::Observe),
        &[
            ("SET k v", "defaulted: ="),
            ("SET k v EX 500", "refused: ="),
            ("SETNX k v", "defaulted: ="),
            ("SET k v KEEPTTL", "appended: ="),
        ],
    );
    check(
        &with(Strength::Atomic, TtlMode::Off),
        &[("SET k v", "="), ("SET k v EX 500", "=")],
    );
}
