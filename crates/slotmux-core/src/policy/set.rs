//! SET and its relatives for one key: the TTL goes into the command itself.

use super::append::Appendix;
use super::given::{Form, Judged};
use super::govern::Ruled;
use super::options::{Of, Options, bounded, defaulted, read};
use super::splice::{copy, number, px};
use super::subject::Subject;
use super::{Actions, Reply};
use crate::config::Persist;
use crate::resp::write;

/// `SET key value [NX | XX] [GET] [EX | PX | EXAT | PXAT | KEEPTTL]`
pub(super) fn set(subject: &Subject, out: &mut Vec<u8>) -> Ruled {
    const OPTIONS: usize = 3;
    match read(subject.request, OPTIONS, Of::Set) {
        Options::None => defaulted(subject, out),
        Options::Ttl(ttl) => bounded(subject, OPTIONS, ttl, out),
        Options::Keep => kept(subject, out),
        Options::Unknown => subject.append(out),
        Options::Persist | Options::Refused => Ruled::AS_IS,
    }
}

/// KEEPTTL: what is kept only the server knows, so that the bounds follow behind it.
fn kept(subject: &Subject, out: &mut Vec<u8>) -> Ruled {
    let mut appendix = Appendix::new(subject.case, out);
    appendix.attach(subject, subject.default_of_kept(), subject.ttl.max);
    appendix.finish()
}

/// `SETEX key seconds value` and `PSETEX key milliseconds value`
pub(super) fn setex(subject: &Subject, form: Form, out: &mut Vec<u8>) -> Ruled {
    let request = subject.request;
    let (milliseconds, action) = match subject.judge(request.arg(2), form) {
        Judged::Stays => return Ruled::AS_IS,
        Judged::Bounded => return subject.bound(out),
        Judged::Refused(text) => return Ruled::refused(&text, out),
        Judged::Becomes(milliseconds, action) => (milliseconds, action),
    };
    let (form, value) = form.of(milliseconds);
    write::array(out, 4);
    let name: &[u8] = if form == Form::EX {
        b"SETEX"
    } else {
        b"PSETEX"
    };
    write::bulk(out, name);
    copy(out, request, 1..2);
    number(out, value);
    copy(out, request, 3..4);
    Ruled::rewritten(action, Reply::AsIs)
}

/// `SETNX key value`, also as `MSETNX` of one pair
pub(super) fn setnx(subject: &Subject, out: &mut Vec<u8>) -> Ruled {
    as_set(subject, b"NX", Reply::OkAsInteger, out)
}

/// `GETSET key value`
pub(super) fn getset(subject: &Subject, out: &mut Vec<u8>) -> Ruled {
    as_set(subject, b"GET", Reply::AsIs, out)
}

/// A command of key and value that has no room for a TTL, as SET with one option.
fn as_set(subject: &Subject, option: &[u8], reply: Reply, out: &mut Vec<u8>) -> Ruled {
    let Some(default) = subject.default() else {
        return Ruled::AS_IS;
    };
    out.extend_from_slice(b"*6\r\n$3\r\nSET\r\n");
    copy(out, subject.request, 1..3);
    write::bulk(out, option);
    px(out, default);
    Ruled::rewritten(Actions::DEFAULTED, reply)
}

/// `GETEX key [EX | PX | EXAT | PXAT | PERSIST]`
///
/// Without an option it only reads. There is no way to give a TTL to keys that have one and to no other, so a key
/// without TTL gets the default as well where PERSIST is rewritten.
pub(super) fn getex(subject: &Subject, out: &mut Vec<u8>) -> Ruled {
    const OPTIONS: usize = 2;
    match read(subject.request, OPTIONS, Of::GetEx) {
        Options::Ttl(ttl) => bounded(subject, OPTIONS, ttl, out),
        Options::Persist => match (subject.ttl.persist, subject.default()) {
            (Persist::Rewrite, Some(default)) => {
                write::array(out, 4);
                copy(out, subject.request, 0..2);
                px(out, default);
                Ruled::rewritten(Actions::UNPERSISTED, Reply::AsIs)
            }
            (Persist::Reject, _) => Ruled::refused(
                &format!(
                    "ERR slotmux: namespace '{}' refuses GETEX with PERSIST (ttl.persist)",
                    subject.name
                ),
                out,
            ),
            (Persist::Allow, _) | (Persist::Rewrite, None) => Ruled::AS_IS,
        },
        Options::Unknown => subject.append(out),
        Options::None | Options::Keep | Options::Refused => Ruled::AS_IS,
    }
}

#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;
