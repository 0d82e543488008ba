//! The options of newer servers, those of the table and unknown ones, as tables.

use super::super::rows::{decide, seconds, under};
use crate::config::{OverMax, Persist, Strength};

/// The policy of the strictest namespace: `min`, `over_max = "reject"`, `persist = "reject"`.
fn strict(strength: Strength) -> crate::policy::Policies {
    under(|ttl| {
        ttl.default = seconds(600);
        ttl.max = seconds(3600);
        ttl.min = seconds(60);
        ttl.over_max = OverMax::Reject;
        ttl.persist = Persist::Reject;
        ttl.strength = strength;
    })
}

const ABOVE: &str = "refused: -ERR slotmux: a TTL of 99999999000 ms is above the 3600000 ms that namespace 'keys' allows (ttl.max)";
const UNKNOWN: &str =
    "; slotmux does not know all options of this command, and does not change them";
const BELOW: &str =
    "refused: -ERR slotmux: a TTL is below the 60000 ms that namespace 'keys' allows (ttl.min)";
const REMOVED: &str = "refused: -ERR slotmux: namespace 'keys' refuses PERSIST (ttl.persist)";

#[test]
fn options_of_newer_servers() {
    let behind = "| PEXPIRE k 600000 NX | PEXPIRE k 3600000 LT | EXEC";
    let appended = |line: &str| format!("appended: MULTI | {line} {behind}");
    for (line, expected) in [
        ("SET k v IFNE x EX 1", "raised: SET k v IFNE x EX 60"),
        (
            "SET k v EX 1 IFDEQ EX GET",
            "raised: SET k v EX 60 IFDEQ EX GET",
        ),
        ("SET k v IFEQ EX EX 61", "="),
        // The value of IFEQ is called like an option, and stays.
        ("SET k v IFEQ EX EX 1", "raised: SET k v IFEQ EX EX 60"),
        ("SET k v EX 5 IFEQ EX EX 1", "raised: SET k v IFEQ EX EX 60"),
        ("SET k v IFEQ EX", "defaulted: SET k v IFEQ EX PX 600000"),
        (
            "SET k EX IFEQ PERSIST",
            "defaulted: SET k EX IFEQ PERSIST PX 600000",
        ),
        ("SET k v IFEQ", "="),
        ("SET k v IFNE x EX 99999999", ABOVE),
        ("INCREX k EX 1", "raised: INCREX k EX 60"),
        (
            "INCREX k BYINT 5 px 1 ENX",
            "raised: INCREX k BYINT 5 PX 60000 ENX",
        ),
        ("INCREX k EX 99999999", ABOVE),
        ("INCREX k EX 100", "="),
        ("INCREX k EX 5 EX 6", "="),
        (
            "INCREX k LBOUND EX EX 1",
            "raised: INCREX k LBOUND EX EX 60",
        ),
        ("INCREX k UBOUND", "="),
        (
            "INCREX k PERSIST",
            "refused: -ERR slotmux: namespace 'keys' refuses INCREX with PERSIST (ttl.persist)",
        ),
    ] {
        assert_eq!(decide(&strict(Strength::Atomic), line), expected, "{line}");
    }
    // Words that no known server has: nothing is rewritten that may be a value.
    for (line, expected) in [
        ("SET k v IFNEW x EX 1", BELOW),
        ("SET k v IFNEW x EX 99999999", ABOVE),
        ("SET k v IFNEW PERSIST", REMOVED),
        ("GETEX k NEW EX 1", BELOW),
        ("INCREX k NEW 5 EX 1", BELOW),
        ("MSETEX 2 k 1 k2 2 NEW EX 1", BELOW),
        ("MSETEX 1 k v NEW persist\0x", REMOVED),
    ] {
        let expected = format!("{expected}{UNKNOWN}");
        assert_eq!(decide(&strict(Strength::Atomic), line), expected, "{line}");
    }
    for line in [
        "SET k v IFNEW x EX 100",
        "SET k v IFNEW EX",
        "SET k v IFNEW EX x",
        "SET k v IFNEW EX EX",
        "INCREX k",
        "INCREX k BYFLOAT 0.5",
        "INCREX k NEW",
    ] {
        assert_eq!(
            decide(&strict(Strength::Atomic), line),
            appended(line),
            "{line}"
        );
    }
    // ENX leaves a key the TTL that it has.
    assert_eq!(
        decide(&strict(Strength::Atomic), "INCREX k EX 100 ENX"),
        "appended: MULTI | INCREX k EX 100 ENX | PEXPIRE k 3600000 LT | EXEC"
    );
}

#[test]
fn options_of_newer_servers_without_an_expiry_behind() {
    for (line, expected) in [
        ("SET k v IFNE x", "defaulted: SET k v IFNE x PX 600000"),
        ("SET k v IFNEW x", "defaulted: SET k v IFNEW x PX 600000"),
        ("INCREX k", "defaulted: INCREX k PX 600000 ENX"),
        (
            "INCREX k SATURATE",
            "defaulted: INCREX k SATURATE PX 600000 ENX",
        ),
        ("INCREX k EX 1", "raised: INCREX k EX 60"),
        ("INCREX k NEW", "left_bare: ="),
        ("SET k v NEW KEEPTTL", "left_bare: ="),
        ("SET k v NEW EX x", "left_bare: ="),
    ] {
        assert_eq!(
            decide(&strict(Strength::InlineOnly), line),
            expected,
            "{line}"
        );
    }
    let below = decide(&strict(Strength::InlineOnly), "SET k v IFNEW x EX 1");
    assert_eq!(below, format!("{BELOW}{UNKNOWN}"));
    let cut = under(|ttl| {
        ttl.max = seconds(100);
        ttl.strength = Strength::InlineOnly;
    });
    let refused = decide(&cut, "SET k v IFNEW x EX 101");
    assert!(
        refused.starts_with("refused: -ERR slotmux: a TTL is above the 100000 ms"),
        "{refused}"
    );
}

#[test]
fn persist_of_increx_by_policy() {
    for (persist, expected) in [
        (
            Persist::Allow,
            "appended: MULTI | INCREX k BYINT 2 PERSIST | PEXPIRE k 600000 NX | EXEC",
        ),
        (Persist::Rewrite, "unpersisted: INCREX k BYINT 2 PX 600000"),
    ] {
        let policies = under(|ttl| {
            ttl.default = seconds(600);
            ttl.persist = persist;
        });
        assert_eq!(decide(&policies, "INCREX k BYINT 2 PERSIST"), expected);
    }
}
