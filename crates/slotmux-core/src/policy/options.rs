//! The options of SET, GETEX, MSETEX and INCREX, read in the order and with the exclusions of Redis.

use super::given::{JudgedTtl, TtlForm};
use super::govern::RuleOutcome;
use super::splice::{copy, px};
use super::subject::TtlSubject;
use super::{Actions, ReplyConversion};
use crate::c_string;
use crate::resp::request::Request;
use crate::resp::write;

/// The commands that have such options, each a part of them. All have the four spellings of a TTL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OptionSet {
    /// KEEPTTL, GET and conditions.
    Set,
    /// PERSIST.
    GetEx,
    /// KEEPTTL, NX and XX.
    MSetEx,
    /// PERSIST, ENX and the options of the increment.
    IncrEx,
}

impl OptionSet {
    /// The number of arguments of an option that says nothing about the TTL. `None`: no known server has it.
    fn takes(self, word: &[u8]) -> Option<usize> {
        const OF_SET: &[(&[u8], usize)] = &[
            (b"nx", 0),
            (b"xx", 0),
            (b"get", 0),
            (b"ifeq", 1),
            (b"ifne", 1),
            (b"ifdeq", 1),
            (b"ifdne", 1),
        ];
        const OF_INCREX: &[(&[u8], usize)] = &[
            (b"byint", 1),
            (b"byfloat", 1),
            (b"lbound", 1),
            (b"ubound", 1),
            (b"saturate", 0),
            (b"enx", 0),
        ];
        let known = match self {
            OptionSet::Set => OF_SET,
            OptionSet::MSetEx => &OF_SET[..2],
            OptionSet::GetEx => &[],
            OptionSet::IncrEx => OF_INCREX,
        };
        let mut found = known.iter().filter(|(known, _)| c_string::is(word, known));
        found.next().map(|(_, takes)| *takes)
    }

    fn has_persist(self) -> bool {
        matches!(self, OptionSet::GetEx | OptionSet::IncrEx)
    }
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
    /// The only TTL of a request.
    pub fn only(at: usize, form: TtlForm) -> TtlOption {
        TtlOption { at, form, count: 1 }
    }

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
        let takes = if let Some(form) = form_of(word) {
            let count = match options {
                TtlOptions::None => 1,
                TtlOptions::Ttl(ttl) if ttl.form == form && of != OptionSet::IncrEx => {
                    ttl.count + 1
                }
                _ => return TtlOptions::Refused,
            };
            options = TtlOptions::Ttl(TtlOption { at, form, count });
            1
        } else if !of.has_persist() && is(b"keepttl") {
            options = only(options, TtlOptions::Keep);
            0
        } else if of.has_persist() && is(b"persist") {
            options = only(options, TtlOptions::Persist);
            0
        } else if let Some(takes) = of.takes(word) {
            nx |= is(b"nx");
            xx |= is(b"xx");
            takes
        } else {
            return TtlOptions::Unknown;
        };
        let is_cut = at + takes >= request.argc();
        if is_cut || (nx && xx) || options == TtlOptions::Refused {
            return TtlOptions::Refused;
        }
        at += 1 + takes;
    }
    options
}

/// The place of the option `word` among options that [`read`] knows all.
pub(super) fn position(
    request: &Request,
    (from, of): (usize, OptionSet),
    word: &[u8],
) -> Option<usize> {
    let mut at = from;
    while at < request.argc() && !c_string::is(request.arg(at), word) {
        at += width(request.arg(at), of);
    }
    (at < request.argc()).then_some(at)
}

/// The number of arguments of an option with its word.
fn width(word: &[u8], of: OptionSet) -> usize {
    match form_of(word) {
        Some(_) => 2,
        None => 1 + of.takes(word).unwrap_or(0),
    }
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
    (from, of): (usize, OptionSet),
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
        let end = at + width(request.arg(at), of);
        if at == ttl.at {
            ttl.form.write(out, milliseconds);
        } else if form_of(request.arg(at)).is_none() {
            copy(out, request, at..end);
        }
        at = end;
    }
    RuleOutcome::rewritten(action, ReplyConversion::AsIs)
}

/// The request with `PX` and the default behind it, if there is a default.
pub(super) fn defaulted(subject: &TtlSubject, out: &mut Vec<u8>) -> RuleOutcome {
    defaulted_with(subject, b"", out)
}

/// As [`defaulted`], with one more option behind it.
pub(super) fn defaulted_with(
    subject: &TtlSubject,
    option: &[u8],
    out: &mut Vec<u8>,
) -> RuleOutcome {
    let Some(default) = subject.default() else {
        return RuleOutcome::AS_IS;
    };
    let request = subject.request;
    let more = usize::from(!option.is_empty());
    out.reserve(request.bytes.len() + 64);
    write::array(out, request.argc() + 2 + more);
    copy(out, request, 0..request.argc());
    px(out, default);
    if more > 0 {
        write::bulk(out, option);
    }
    RuleOutcome::rewritten(Actions::DEFAULTED, ReplyConversion::AsIs)
}
