//! SET and its relatives for one key: the TTL goes into the command itself.

use super::append::Appendix;
use super::given::{JudgedTtl, TtlForm};
use super::govern::RuleOutcome;
use super::guessed::GuessedTtls;
use super::options::{OptionSet, TtlOptions, bounded, defaulted, defaulted_with, position, read};
use super::splice::{copy, number, px};
use super::subject::TtlSubject;
use super::{Actions, Governed, ReplyConversion};
use crate::config::{Persist, Strength};
use crate::resp::write;

/// `SET key value [NX | XX | IFEQ … | IFNE … | IFDEQ … | IFDNE …] [GET] [EX | PX | EXAT | PXAT | KEEPTTL]`
pub(super) fn set(subject: &TtlSubject, out: &mut Vec<u8>) -> RuleOutcome {
    const OPTIONS: (usize, OptionSet) = (3, OptionSet::Set);
    match read(subject.request, OPTIONS.0, OPTIONS.1) {
        TtlOptions::None => defaulted(subject, out),
        TtlOptions::Ttl(ttl) => bounded(subject, OPTIONS, ttl, out),
        TtlOptions::Keep => kept(subject, out),
        TtlOptions::Unknown => {
            let guessed = GuessedTtls::find(subject.request, OPTIONS.0);
            // Options stand in any order, and without a TTL among them there is room for one.
            if guessed.is_empty() && subject.ttl.strength == Strength::InlineOnly {
                return defaulted(subject, out);
            }
            guessed.rule(subject, out)
        }
        TtlOptions::Persist | TtlOptions::Refused => RuleOutcome::AS_IS,
    }
}

/// KEEPTTL: only the server knows the kept TTL, so the bounds follow as expiries.
fn kept(subject: &TtlSubject, out: &mut Vec<u8>) -> RuleOutcome {
    let mut appendix = Appendix::new(subject.case, out);
    appendix.attach(subject, subject.default_of_kept(), subject.ttl.max);
    appendix.finish()
}

/// `SETEX key seconds value` and `PSETEX key milliseconds value`
pub(super) fn setex(subject: &TtlSubject, form: TtlForm, out: &mut Vec<u8>) -> RuleOutcome {
    let request = subject.request;
    let (milliseconds, action) = match subject.judge(request.arg(2), form) {
        JudgedTtl::Stays => return RuleOutcome::AS_IS,
        JudgedTtl::Bounded => return subject.bound(out),
        JudgedTtl::Refused(refusal) => return RuleOutcome::refused(&refusal, out),
        JudgedTtl::Becomes(milliseconds, action) => (milliseconds, action),
    };
    let (form, value) = form.of(milliseconds);
    write::array(out, 4);
    let name: &[u8] = if form == TtlForm::EX {
        b"SETEX"
    } else {
        b"PSETEX"
    };
    write::bulk(out, name);
    copy(out, request, 1..2);
    number(out, value);
    copy(out, request, 3..4);
    RuleOutcome::rewritten(action, ReplyConversion::AsIs)
}

/// `SETNX key value`, also as `MSETNX` of one pair
pub(super) fn setnx(subject: &TtlSubject, out: &mut Vec<u8>) -> RuleOutcome {
    as_set(subject, b"NX", ReplyConversion::OkAsInteger, out)
}

/// `GETSET key value`
pub(super) fn getset(subject: &TtlSubject, out: &mut Vec<u8>) -> RuleOutcome {
    as_set(subject, b"GET", ReplyConversion::AsIs, out)
}

/// A command of key and value that has no room for a TTL, as SET with one option.
fn as_set(
    subject: &TtlSubject,
    option: &[u8],
    reply: ReplyConversion,
    out: &mut Vec<u8>,
) -> RuleOutcome {
    let Some(default) = subject.default() else {
        return RuleOutcome::AS_IS;
    };
    out.extend_from_slice(b"*6\r\n$3\r\nSET\r\n");
    copy(out, subject.request, 1..3);
    write::bulk(out, option);
    px(out, default);
    RuleOutcome::rewritten(Actions::DEFAULTED, reply)
}

/// `GETEX key [EX | PX | EXAT | PXAT | PERSIST]`
///
/// Without an option it only reads. There is no way to give a TTL to keys that have one and to no other, so a key
/// without TTL gets the default as well where PERSIST is rewritten.
pub(super) fn getex(subject: &TtlSubject, out: &mut Vec<u8>) -> RuleOutcome {
    const OPTIONS: (usize, OptionSet) = (2, OptionSet::GetEx);
    match read(subject.request, OPTIONS.0, OPTIONS.1) {
        TtlOptions::Ttl(ttl) => bounded(subject, OPTIONS, ttl, out),
        TtlOptions::Persist => match (subject.ttl.persist, subject.default()) {
            (Persist::Rewrite, Some(default)) => {
                write::array(out, 4);
                copy(out, subject.request, 0..2);
                px(out, default);
                RuleOutcome::rewritten(Actions::UNPERSISTED, ReplyConversion::AsIs)
            }
            (Persist::Reject, _) => subject.refuse_persist("GETEX with PERSIST", out),
            (Persist::Allow, _) | (Persist::Rewrite, None) => RuleOutcome::AS_IS,
        },
        TtlOptions::Unknown => GuessedTtls::find(subject.request, OPTIONS.0).rule(subject, out),
        TtlOptions::None | TtlOptions::Keep | TtlOptions::Refused => RuleOutcome::AS_IS,
    }
}

/// `INCREX key [BYINT … | BYFLOAT …] [LBOUND …] [UBOUND …] [SATURATE] [EX | PX | EXAT | PXAT | PERSIST] [ENX]`
///
/// Without a TTL a key keeps the one that it has, which only an expiry behind the command can bound. `ENX` gives a TTL
/// to keys without one. PERSIST is a write without TTL where the policy allows it.
pub(super) fn increx(subject: &TtlSubject, out: &mut Vec<u8>) -> RuleOutcome {
    const OPTIONS: (usize, OptionSet) = (2, OptionSet::IncrEx);
    let request = subject.request;
    let is_inline = subject.ttl.strength == Strength::InlineOnly;
    match read(request, OPTIONS.0, OPTIONS.1) {
        TtlOptions::None if is_inline => defaulted_with(subject, b"ENX", out),
        TtlOptions::None => subject.append(out),
        TtlOptions::Ttl(ttl) => {
            let outcome = bounded(subject, OPTIONS, ttl, out);
            let keeps = || position(request, OPTIONS, b"enx").is_some();
            match outcome.governed {
                Governed::AsIs if keeps() => subject.bound(out),
                _ => outcome,
            }
        }
        TtlOptions::Persist => match (subject.ttl.persist, subject.default()) {
            (Persist::Reject, _) => subject.refuse_persist("INCREX with PERSIST", out),
            (Persist::Rewrite, Some(default)) => {
                let at = position(request, OPTIONS, b"persist").unwrap_or(request.argc());
                write::array(out, request.argc() + 1);
                copy(out, request, 0..at);
                px(out, default);
                copy(out, request, at + 1..request.argc());
                RuleOutcome::rewritten(Actions::UNPERSISTED, ReplyConversion::AsIs)
            }
            _ => subject.append(out),
        },
        TtlOptions::Unknown => GuessedTtls::find(request, OPTIONS.0).rule(subject, out),
        TtlOptions::Keep | TtlOptions::Refused => RuleOutcome::AS_IS,
    }
}

#[cfg(test)]
mod newer_tests;
#[cfg(test)]
mod tests;
