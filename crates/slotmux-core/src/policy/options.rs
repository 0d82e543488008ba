//! The options of SET, GETEX and MSETEX, read in the order and with the exclusions of Redis.

use super::given::{JudgedTtl, TtlForm};
use super::govern::RuleOutcome;
use super::splice::{copy, px};
use super::subject::TtlSubject;
use super::{Actions, ReplyConversion};
use crate::c_string;
use crate::resp::request::Request;
use crate::resp::write;

/// The commands that have such options, each a part of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OptionSet {
    /// All but PERSIST.
    Set,
    /// A TTL or PERSIST.
    GetEx,
    /// The options of SET without GET.
    MSetEx,
}

/// The TTL that the options state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TtlOptions {
    /// Nothing about the TTL.
    None,
    /// A TTL.
    Ttl(TtlOption),
    /// KEEPTTL
    Keep,
    /// PERSIST
    Persist,
    /// Options that every server refuses.
    Refused,
    /// An unknown word is among them; anything may follow it.
    Unknown,
}

/// The TTL among the options: of several, Redis takes the last and does not look at the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TtlOption {
    /// Index of the last one's word.
    at: usize,
    form: TtlForm,
    /// Number of TTL options.
    count: usize,
}

impl TtlOption {
    /// Index of the word that stands before the number.
    pub fn at(self) -> usize {
        self.at
    }

    /// The form of the number.
    pub fn form(self) -> TtlForm {
        self.form
    }
}

/// Reads the options from argument `from` on.
pub(super) fn read(request: &Request, from: usize, of: OptionSet) -> TtlOptions {
    let (mut options, mut nx, mut xx) = (TtlOptions::None, false, false);
    let mut at = from;
    while at < request.argc() {
        let word = request.arg(at);
        let is = |known: &[u8]| c_string::is(word, known);
        if let Some(form) = form_of(word) {
            let count = match options {
                TtlOptions::None => 1,
                TtlOptions::Ttl(ttl) if ttl.form == form => ttl.count + 1,
                _ => return TtlOptions::Refused,
            };
            if at + 1 == request.argc() {
                return TtlOptions::Refused;
            }
            options = TtlOptions::Ttl(TtlOption { at, form, count });
            at += 1;
        } else if of != OptionSet::GetEx && is(b"keepttl") {
            options = only(options, TtlOptions::Keep);
        } else if of == OptionSet::GetEx && is(b"persist") {
            options = only(options, TtlOptions::Persist);
        } else if of != OptionSet::GetEx && is(b"nx") {
            nx = true;
        } else if of != OptionSet::GetEx && is(b"xx") {
            xx = true;
        } else if of != OptionSet::Set || !is(b"get") {
            return TtlOptions::Unknown;
        }
        if (nx && xx) || options == TtlOptions::Refused {
            return TtlOptions::Refused;
        }
        at += 1;
    }
    options
}

/// `option` where nothing stands before it that excludes it.
fn only(before: TtlOptions, option: TtlOptions) -> TtlOptions {
    if before == TtlOptions::None || before == option {
        option
    } else {
        TtlOptions::Refused
    }
}

/// The TTL option that servers recognise in `word`.
pub(super) fn form_of(word: &[u8]) -> Option<TtlForm> {
    let folded = |at: usize| word.get(at).map_or(0, u8::to_ascii_lowercase);
    let in_seconds = match (folded(0), folded(1)) {
        (b'e', b'x') => true,
        (b'p', b'x') => false,
        _ => return None,
    };
    match word.get(2..)? {
        [] | [0, ..] if in_seconds => Some(TtlForm::EX),
        [] | [0, ..] => Some(TtlForm::PX),
        at if !c_string::is(at, b"at") => None,
        _ if in_seconds => Some(TtlForm::EXAT),
        _ => Some(TtlForm::PXAT),
    }
}

impl TtlSubject<'_> {
    /// As [`TtlSubject::judge`].
    pub fn judge_option(&self, ttl: TtlOption) -> JudgedTtl {
        self.judge(self.request.arg(ttl.at + 1), ttl.form)
    }

    /// Whether an expiry with the maximum has to follow the command, for each of its keys.
    pub fn is_bounded_behind(&self, ttl: TtlOption) -> bool {
        matches!(self.judge_option(ttl), JudgedTtl::Bounded)
    }
}

/// The request with the TTL that its policy allows, where that is another than the one it has.
pub(super) fn bounded(
    subject: &TtlSubject,
    from: usize,
    ttl: TtlOption,
    out: &mut Vec<u8>,
) -> RuleOutcome {
    let request = subject.request;
    let (milliseconds, action) = match subject.judge_option(ttl) {
        JudgedTtl::Stays => return RuleOutcome::AS_IS,
        JudgedTtl::Bounded => return subject.bound(out),
        JudgedTtl::Refused(refusal) => return RuleOutcome::refused(&refusal, out),
        JudgedTtl::Becomes(milliseconds, action) => (milliseconds, action),
    };
    write::array(out, request.argc() - 2 * (ttl.count - 1));
    copy(out, request, 0..from);
    let mut at = from;
    while at < request.argc() {
        if form_of(request.arg(at)).is_none() {
            copy(out, request, at..at + 1);
            at += 1;
            continue;
        }
        if at == ttl.at {
            ttl.form.write(out, milliseconds);
        }
        at += 2;
    }
    RuleOutcome::rewritten(action, ReplyConversion::AsIs)
}

/// The request with `PX` and the default behind it, if there is a default.
pub(super) fn defaulted(subject: &TtlSubject, out: &mut Vec<u8>) -> RuleOutcome {
    let Some(default) = subject.default() else {
        return RuleOutcome::AS_IS;
    };
    let request = subject.request;
    out.reserve(request.bytes.len() + 64);
    write::array(out, request.argc() + 2);
    copy(out, request, 0..request.argc());
    px(out, default);
    RuleOutcome::rewritten(Actions::DEFAULTED, ReplyConversion::AsIs)
}
