//! RESTORE, whose TTL stands before the value and is a point in time if ABSTTL stands behind it.

use super::given::{JudgedTtl, TtlForm};
use super::govern::RuleOutcome;
use super::guessed::GuessedTtls;
use super::splice::{copy, number};
use super::subject::TtlSubject;
use super::{Actions, ReplyConversion};
use crate::c_string;
use crate::resp::number::parse_i64;
use crate::resp::request::Request;
use crate::resp::write;

/// Index of the first option.
const OPTIONS: usize = 4;

/// `RESTORE key ttl value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]`, where a TTL of 0 means none
pub(super) fn restore(subject: &TtlSubject, out: &mut Vec<u8>) -> RuleOutcome {
    let request = subject.request;
    let is_absolute = match read(request) {
        RestoreOptions::Known { is_absolute } => is_absolute,
        RestoreOptions::Refused => return RuleOutcome::AS_IS,
        RestoreOptions::Unknown => {
            let is_absolute = |at| is_word(request, at, b"absttl");
            let form = match (OPTIONS..request.argc()).any(is_absolute) {
                true => TtlForm::PXAT,
                false => TtlForm::PX,
            };
            return GuessedTtls::rule_of(subject, 2, form, out);
        }
    };
    let form = if is_absolute {
        TtlForm::PXAT
    } else {
        TtlForm::PX
    };
    let (milliseconds, action) = match (request.arg(2), subject.default()) {
        (b"0", None) => return RuleOutcome::AS_IS,
        (b"0", Some(default)) => (default, Actions::DEFAULTED),
        (given, _) => match subject.judge_unchecked(given, form) {
            JudgedTtl::Stays => return RuleOutcome::AS_IS,
            JudgedTtl::Bounded => return subject.bound(out),
            JudgedTtl::Refused(refusal) => return RuleOutcome::refused(&refusal, out),
            JudgedTtl::Becomes(milliseconds, action) => (milliseconds, action),
        },
    };
    let stay = (OPTIONS..request.argc()).filter(|&at| !is_word(request, at, b"absttl"));
    write::array(out, OPTIONS + stay.clone().count());
    copy(out, request, 0..2);
    number(out, milliseconds);
    copy(out, request, 3..OPTIONS);
    for at in stay {
        copy(out, request, at..at + 1);
    }
    RuleOutcome::rewritten(action, ReplyConversion::AsIs)
}

enum RestoreOptions {
    /// All are known.
    Known { is_absolute: bool },
    /// Every server refuses them.
    Refused,
    /// There is a word that is not known here.
    Unknown,
}

fn is_word(request: &Request, at: usize, word: &[u8]) -> bool {
    c_string::is(request.arg(at), word)
}

/// Whether the TTL is a point in time, as far as the options are known.
pub(super) fn is_absolute(request: &Request) -> bool {
    matches!(read(request), RestoreOptions::Known { is_absolute: true })
}

fn read(request: &Request) -> RestoreOptions {
    let [mut is_absolute, mut idletime, mut freq] = [false; 3];
    let mut at = OPTIONS;
    while at < request.argc() {
        let is = |word: &[u8]| is_word(request, at, word);
        if is(b"absttl") {
            is_absolute = true;
        } else if is(b"idletime") || is(b"freq") {
            let largest = if is(b"freq") { 255 } else { i64::MAX };
            idletime |= is(b"idletime");
            freq |= is(b"freq");
            at += 1;
            let number = parse_i64(request.arg(at));
            let is_valid = number.is_some_and(|number| (0..=largest).contains(&number));
            if !is_valid || (idletime && freq) {
                return RestoreOptions::Refused;
            }
        } else if !is(b"replace") {
            return RestoreOptions::Unknown;
        }
        at += 1;
    }
    RestoreOptions::Known { is_absolute }
}

#[cfg(test)]
mod tests {
    use super::super::rows::{check, seconds, under};

    #[test]
    fn restore_within_bounds() {
        let policies = under(|ttl| {
            ttl.default = seconds(10);
            ttl.max = seconds(100);
            ttl.min = seconds(2);
        });
        check(
            &policies,
            &[
                ("RESTORE k 0 v", "defaulted: RESTORE k 10000 v"),
                (
                    "RESTORE k 0 v replace ABSTTL",
                    "defaulted: RESTORE k 10000 v replace",
                ),
                ("RESTORE k 100000 v", "="),
                (
                    "RESTORE k 100001 v REPLACE",
                    "clamped: RESTORE k 100000 v REPLACE",
                ),
                ("RESTORE k 1 v", "raised: RESTORE k 2000 v"),
                (
                    "RESTORE k 1700000101000 v ABSTTL",
                    "appended: MULTI | RESTORE k 1700000101000 v ABSTTL | PEXPIRE k 100000 LT | EXEC",
                ),
                (
                    "RESTORE k 1700000101001 v IDLETIME 7 absttl REPLACE",
                    "clamped: RESTORE k 100000 v IDLETIME 7 REPLACE",
                ),
                (
                    "RESTORE k 1700000000500 v ABSTTL ABSTTL FREQ 3",
                    "raised: RESTORE k 2000 v FREQ 3",
                ),
                // Servers compare options as C strings.
                (
                    "RESTORE k 1700000101001 v absttl\0x Replace\0",
                    "clamped: RESTORE k 100000 v Replace\0",
                ),
                ("RESTORE k 0 v IDLETIME\0 1 freq\0 1", "="),
                // In the past: there will be no key.
                ("RESTORE k 5 v ABSTTL", "="),
                // The sum with the clock of the node overflows.
                (
                    "RESTORE k 9223372036854775807 v REPLACE",
                    "clamped: RESTORE k 100000 v REPLACE",
                ),
                (
                    "RESTORE k 9223372036854774807 v",
                    "clamped: RESTORE k 100000 v",
                ),
                (
                    "RESTORE k 9223372036854775807 v ABSTTL",
                    "clamped: RESTORE k 100000 v",
                ),
                // These are errors.
                ("RESTORE k -1 v", "="),
                ("RESTORE k x v", "="),
                ("RESTORE k 0 v IDLETIME", "="),
                ("RESTORE k 0 v IDLETIME absttl", "="),
                ("RESTORE k 0 v IDLETIME 1 FREQ 1", "="),
                ("RESTORE k 0 v FREQ -1", "="),
                ("RESTORE k 0 v FREQ 256", "="),
                (
                    "RESTORE k 0 v FOO",
                    "appended: MULTI | RESTORE k 0 v FOO | PEXPIRE k 10000 NX | PEXPIRE k 100000 LT | EXEC",
                ),
                (
                    "RESTORE k 1 v FOO",
                    "refused: -ERR slotmux: a TTL is below the 2000 ms that namespace 'keys' allows (ttl.min); slotmux does not know all options of this command, and does not change them",
                ),
                (
                    "RESTORE k 1700000001999 v FOO ABSTTL",
                    "appended: MULTI | RESTORE k 1700000001999 v FOO ABSTTL | PEXPIRE k 10000 NX | PEXPIRE k 100000 LT | EXEC",
                ),
                ("RESTORE w 0 v", "defaulted: ="),
                ("RESTORE f 0 v", "="),
            ],
        );
    }

    #[test]
    fn nothing_is_defaulted_without_a_default() {
        let policies = under(|ttl| ttl.min = seconds(2));
        check(
            &policies,
            &[
                ("RESTORE k 0 v", "="),
                ("RESTORE k 1 v", "raised: RESTORE k 2000 v"),
                ("RESTORE k 4611686018427387903 v", "="),
                (
                    "RESTORE k 9223372036854775807 v",
                    "clamped: RESTORE k 4611686018427387903 v",
                ),
            ],
        );
        let reject = under(|ttl| {
            ttl.max = seconds(100);
            ttl.over_max = crate::config::OverMax::Reject;
        });
        check(
            &reject,
            &[(
                "RESTORE k 9223372036854775807 v",
                "refused: -ERR slotmux: a TTL of 9223372036854775807 ms is above the 100000 ms that namespace 'keys' allows (ttl.max)",
            )],
        );
    }
}
