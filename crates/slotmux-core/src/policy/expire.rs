//! EXPIRE and its relatives, whose number is kept within the bounds, and PERSIST.

use super::given::{JudgedTtl, TtlForm};
use super::govern::RuleOutcome;
use super::guessed::GuessedTtls;
use super::splice::{copy, number};
use super::subject::TtlSubject;
use super::{Actions, ReplyConversion};
use crate::c_string;
use crate::config::Persist;
use crate::resp::request::Request;
use crate::resp::write;

/// `EXPIRE key seconds [NX | XX | GT | LT]` in all four forms
pub(super) fn expire(subject: &TtlSubject, form: TtlForm, out: &mut Vec<u8>) -> RuleOutcome {
    const CONDITIONS: usize = 3;
    let request = subject.request;
    match conditions(request, CONDITIONS) {
        ExpireConditions::Known => {}
        ExpireConditions::Refused => return RuleOutcome::AS_IS,
        ExpireConditions::Unknown => return GuessedTtls::rule_of(subject, 2, form, out),
    }
    let (milliseconds, action) = match subject.judge(request.arg(2), form) {
        JudgedTtl::Stays => return RuleOutcome::AS_IS,
        JudgedTtl::Bounded => return subject.bound(out),
        JudgedTtl::Refused(refusal) => return RuleOutcome::refused(&refusal, out),
        JudgedTtl::Becomes(milliseconds, action) => (milliseconds, action),
    };
    let (form, value) = form.of(milliseconds);
    write::array(out, request.argc());
    let name: &[u8] = if form == TtlForm::EX {
        b"EXPIRE"
    } else {
        b"PEXPIRE"
    };
    write::bulk(out, name);
    copy(out, request, 1..2);
    number(out, value);
    copy(out, request, CONDITIONS..request.argc());
    RuleOutcome::rewritten(action, ReplyConversion::AsIs)
}

enum ExpireConditions {
    /// They are known and go together.
    Known,
    /// Every server refuses them.
    Refused,
    /// There is a word that is not known here.
    Unknown,
}

fn conditions(request: &Request, from: usize) -> ExpireConditions {
    let [mut nx, mut xx, mut gt, mut lt] = [false; 4];
    for at in from..request.argc() {
        let is = |word: &[u8]| c_string::is(request.arg(at), word);
        match () {
            () if is(b"nx") => nx = true,
            () if is(b"xx") => xx = true,
            () if is(b"gt") => gt = true,
            () if is(b"lt") => lt = true,
            () => return ExpireConditions::Unknown,
        }
    }
    if (nx && (xx || gt || lt)) || (gt && lt) {
        ExpireConditions::Refused
    } else {
        ExpireConditions::Known
    }
}

/// `PERSIST key`
///
/// `PEXPIRE key default XX` answers as PERSIST does: 1 exactly when the key had a TTL.
pub(super) fn persist(subject: &TtlSubject, out: &mut Vec<u8>) -> RuleOutcome {
    match (subject.ttl.persist, subject.default()) {
        (Persist::Rewrite, Some(default)) => {
            out.extend_from_slice(b"*4\r\n$7\r\nPEXPIRE\r\n");
            copy(out, subject.request, 1..2);
            number(out, default);
            out.extend_from_slice(b"$2\r\nXX\r\n");
            RuleOutcome::rewritten(Actions::UNPERSISTED, ReplyConversion::AsIs)
        }
        (Persist::Reject, _) => subject.refuse_persist("PERSIST", out),
        (Persist::Allow, _) | (Persist::Rewrite, None) => RuleOutcome::AS_IS,
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::{check, decide, seconds, under};
    use super::*;
    use crate::config::{OverMax, TtlMode};
    use std::time::Duration;

    #[test]
    fn numbers_are_kept_within_the_bounds() {
        let policies = under(|ttl| {
            ttl.default = seconds(10);
            ttl.max = seconds(100);
            ttl.min = seconds(2);
        });
        check(
            &policies,
            &[
                ("EXPIRE k 100", "="),
                ("EXPIRE k 101", "clamped: EXPIRE k 100"),
                ("expire k 1", "raised: EXPIRE k 2"),
                ("EXPIRE k 101 nx", "clamped: EXPIRE k 100 nx"),
                ("EXPIRE k 101 XX GT", "clamped: EXPIRE k 100 XX GT"),
                ("EXPIRE k 1 LT", "raised: EXPIRE k 2 LT"),
                ("PEXPIRE k 100001 GT", "clamped: PEXPIRE k 100000 GT"),
                (
                    "EXPIREAT k 1700000101",
                    "appended: MULTI | EXPIREAT k 1700000101 | PEXPIRE k 100000 LT | EXEC",
                ),
                ("EXPIREAT k 1700000102 XX", "clamped: PEXPIRE k 100000 XX"),
                ("PEXPIREAT k 1700000101001", "clamped: PEXPIRE k 100000"),
                ("PEXPIREAT k 1700000000500 GT", "raised: PEXPIRE k 2000 GT"),
                (
                    "PEXPIREAT k 9223372036854775807",
                    "clamped: PEXPIRE k 100000",
                ),
                // These delete the key.
                ("EXPIRE k 0", "="),
                ("EXPIRE k -1", "="),
                (
                    "EXPIREAT k 1700000000",
                    "appended: MULTI | EXPIREAT k 1700000000 | PEXPIRE k 100000 LT | EXEC",
                ),
                ("EXPIREAT k -5", "="),
                // These are errors.
                ("EXPIRE k x", "="),
                ("EXPIRE k 9223372036854775807", "="),
                ("EXPIRE k 9223372036854775", "="),
                ("EXPIRE k -9223372036854775808", "="),
                ("PEXPIRE k 9223372036854775807", "="),
                ("EXPIRE k 500 NX XX", "="),
                ("EXPIRE k 500 NX GT", "="),
                ("EXPIRE k 500 GT LT", "="),
                // Servers compare options as C strings.
                ("EXPIRE k 101 nx\0", "clamped: EXPIRE k 100 nx\0"),
                ("EXPIRE k 1 Lt\0x", "raised: EXPIRE k 2 Lt\0x"),
                ("EXPIRE k 500 NX\0 XX\0", "="),
                // A condition that Redis may get some day.
                (
                    "EXPIRE k 1 FOO",
                    "refused: -ERR slotmux: a TTL is below the 2000 ms that namespace 'keys' allows (ttl.min); slotmux does not know all options of this command, and does not change them",
                ),
                (
                    "EXPIRE k 500 FOO",
                    "appended: MULTI | EXPIRE k 500 FOO | PEXPIRE k 10000 NX | PEXPIRE k 100000 LT | EXEC",
                ),
                ("EXPIRE w 500", "clamped: ="),
                ("EXPIRE f 500", "="),
                ("EXPIRE x 500", "="),
            ],
        );
    }

    #[test]
    fn a_bound_of_broken_seconds_is_written_in_milliseconds() {
        let policies = under(|ttl| ttl.max = Some(Duration::from_millis(1500)));
        check(
            &policies,
            &[("EXPIRE k 2 NX", "clamped: PEXPIRE k 1500 NX")],
        );
    }

    #[test]
    fn over_max_that_is_rejected() {
        let reject = |mode| {
            under(|ttl| {
                ttl.max = seconds(100);
                ttl.over_max = OverMax::Reject;
                ttl.mode = mode;
            })
        };
        check(
            &reject(TtlMode::Enforce),
            &[
                (
                    "EXPIRE k 101",
                    "refused: -ERR slotmux: a TTL of 101000 ms is above the 100000 ms that namespace 'keys' allows (ttl.max)",
                ),
                (
                    "EXPIRE k 101 NX\0",
                    "refused: -ERR slotmux: a TTL of 101000 ms is above the 100000 ms that namespace 'keys' allows (ttl.max)",
                ),
                ("EXPIRE k 500 NX XX", "="),
                ("EXPIRE k 100", "="),
            ],
        );
        assert_eq!(
            decide(&reject(TtlMode::Observe), "EXPIRE k 101"),
            "refused: ="
        );
    }

    #[test]
    fn persist_by_policy() {
        for (persist, expected) in [
            (Persist::Allow, "="),
            (Persist::Rewrite, "unpersisted: PEXPIRE k 10000 XX"),
            (
                Persist::Reject,
                "refused: -ERR slotmux: namespace 'keys' refuses PERSIST (ttl.persist)",
            ),
        ] {
            let policies = under(|ttl| {
                ttl.default = seconds(10);
                ttl.persist = persist;
            });
            assert_eq!(decide(&policies, "PERSIST k"), expected);
        }
        let no_default = under(|ttl| {
            ttl.min = seconds(1);
            ttl.persist = Persist::Rewrite;
        });
        assert_eq!(decide(&no_default, "PERSIST k"), "=");
    }
}
