//! SET and its relatives for one key: the TTL goes into the command itself.

use super::append::Appendix;
use super::given::{JudgedTtl, TtlForm};
use super::govern::RuleOutcome;
use super::options::{OptionSet, TtlOptions, bounded, defaulted, read};
use super::splice::{copy, number, px};
use super::subject::TtlSubject;
use super::{Actions, RefusalRule, ReplyConversion};
use crate::config::Persist;
use crate::resp::write;

/// `SET key value [NX | XX] [GET] [EX | PX | EXAT | PXAT | KEEPTTL]`
pub(super) fn set(subject: &TtlSubject, out: &mut Vec<u8>) -> RuleOutcome {
    const OPTIONS: usize = 3;
    match read(subject.request, OPTIONS, OptionSet::Set) {
        TtlOptions::None => defaulted(subject, out),
        TtlOptions::Ttl(ttl) => bounded(subject, OPTIONS, ttl, out),
        TtlOptions::Keep => kept(subject, out),
        TtlOptions::Unknown => subject.append(out),
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
    const OPTIONS: usize = 2;
    match read(subject.request, OPTIONS, OptionSet::GetEx) {
        TtlOptions::Ttl(ttl) => bounded(subject, OPTIONS, ttl, out),
        TtlOptions::Persist => match (subject.ttl.persist, subject.default()) {
            (Persist::Rewrite, Some(default)) => {
                write::array(out, 4);
                copy(out, subject.request, 0..2);
                px(out, default);
                RuleOutcome::rewritten(Actions::UNPERSISTED, ReplyConversion::AsIs)
            }
            (Persist::Reject, _) => {
                let text = format!(
                    "ERR slotmux: namespace '{}' refuses GETEX with PERSIST (ttl.persist)",
                    subject.name
                );
                RuleOutcome::refused(&subject.refusal(RefusalRule::TtlPersist, text), out)
            }
            (Persist::Allow, _) | (Persist::Rewrite, None) => RuleOutcome::AS_IS,
        },
        TtlOptions::Unknown => subject.append(out),
        TtlOptions::None | TtlOptions::Keep | TtlOptions::Refused => RuleOutcome::AS_IS,
    }
}

#[cfg(test)]
mod tests;
