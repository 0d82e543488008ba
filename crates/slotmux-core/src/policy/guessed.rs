//! TTL options among words that slotmux cannot read: found by the grammar that all newer commands share, and judged by the
//! strictest rule. They are never rewritten, as such a word may be a value.

use super::given::{JudgedTtl, TtlForm};
use super::govern::RuleOutcome;
use super::options::form_of;
use super::subject::TtlSubject;
use super::{Actions, Refusal, RefusalRule};
use crate::c_string;
use crate::config::{Persist, Strength};
use crate::resp::number::parse_i64;
use crate::resp::request::Request;

/// The TTLs that a request may state: of each kind the shortest and the longest, so that a key is judged at once.
#[derive(Clone, Copy, Default)]
pub(super) struct GuessedTtls {
    relative: Range,
    absolute: Range,
    persists: bool,
    /// Whether any word is one of a TTL, valid or not.
    is_any: bool,
}

/// Of some TTLs in milliseconds.
#[derive(Clone, Copy, Default)]
struct Range {
    shortest: Option<Stated>,
    longest: Option<Stated>,
}

/// A TTL, and the place of its number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Stated {
    milliseconds: i64,
    at: usize,
    in_seconds: bool,
}

impl GuessedTtls {
    /// Those from argument `from` on: each word of a TTL option with a positive number behind it, and each PERSIST.
    pub fn find(request: &Request, from: usize) -> GuessedTtls {
        let mut found = GuessedTtls::default();
        for at in from..request.argc() {
            let word = request.arg(at);
            found.persists |= c_string::is(word, b"persist");
            let form = form_of(word);
            found.is_any |= found.persists || form.is_some() || c_string::is(word, b"keepttl");
            let Some(form) = form.filter(|_| at + 1 < request.argc()) else {
                continue;
            };
            let unit = if form.in_seconds { 1000 } else { 1 };
            let number = parse_i64(request.arg(at + 1)).filter(|&number| number > 0);
            let Some(milliseconds) = number.and_then(|number| number.checked_mul(unit)) else {
                continue;
            };
            let stated = Stated {
                milliseconds,
                at: at + 1,
                in_seconds: form.in_seconds,
            };
            let range = match form.is_absolute {
                true => &mut found.absolute,
                false => &mut found.relative,
            };
            range.add(stated);
        }
        found
    }

    /// Whether no word is about a TTL.
    pub fn is_empty(&self) -> bool {
        !self.is_any
    }

    /// The rule for the only key of a request: a refusal, or an expiry behind the command.
    pub fn rule(&self, subject: &TtlSubject, out: &mut Vec<u8>) -> RuleOutcome {
        match self.refusal(subject) {
            Some(refusal) => RuleOutcome::refused(&refusal, out),
            None => subject.append(out),
        }
    }

    /// As [`GuessedTtls::rule`], for the TTL in argument `at` of a command with unknown options.
    pub fn rule_of(
        subject: &TtlSubject,
        at: usize,
        form: TtlForm,
        out: &mut Vec<u8>,
    ) -> RuleOutcome {
        match broken_rule(subject, at, form) {
            Some(refusal) => RuleOutcome::refused(&with_reason(refusal), out),
            None => subject.append(out),
        }
    }

    /// The refusal of a TTL that an expiry behind the command cannot correct: it can shorten or add a TTL, not prolong one.
    pub fn refusal(&self, subject: &TtlSubject) -> Option<Refusal> {
        self.broken_rule(subject).map(with_reason)
    }

    fn broken_rule(&self, subject: &TtlSubject) -> Option<Refusal> {
        let is_inline = subject.ttl.strength == Strength::InlineOnly;
        let may_persist = match subject.ttl.persist {
            Persist::Allow => true,
            Persist::Rewrite => !is_inline,
            Persist::Reject => false,
        };
        if self.persists && !may_persist {
            return Some(subject.refusal_of_persist("PERSIST"));
        }
        let all = [(self.relative, false), (self.absolute, true)];
        let stated = all.iter().flat_map(|(range, is_absolute)| {
            let both = [range.shortest, range.longest].into_iter().flatten();
            both.map(|stated| (stated, *is_absolute))
        });
        let mut broken = stated.filter_map(|(stated, is_absolute)| {
            let form = TtlForm {
                is_absolute,
                in_seconds: stated.in_seconds,
            };
            broken_rule(subject, stated.at, form)
        });
        broken.next()
    }
}

/// The rule that the TTL in argument `at` breaks, if an expiry behind the command does not correct it.
fn broken_rule(subject: &TtlSubject, at: usize, form: TtlForm) -> Option<Refusal> {
    let (name, is_inline) = (subject.name, subject.ttl.strength == Strength::InlineOnly);
    match subject.judge(subject.request.arg(at), form) {
        JudgedTtl::Refused(refusal) => Some(refusal),
        JudgedTtl::Becomes(min, Actions::RAISED) => {
            let text = format!(
                "ERR slotmux: a TTL is below the {min} ms that namespace '{name}' allows (ttl.min)"
            );
            Some(subject.refusal(RefusalRule::TtlMin, text))
        }
        JudgedTtl::Becomes(max, Actions::CLAMPED) if is_inline => {
            let text = format!(
                "ERR slotmux: a TTL is above the {max} ms that namespace '{name}' allows (ttl.max)"
            );
            Some(subject.refusal(RefusalRule::TtlMax, text))
        }
        JudgedTtl::Becomes(..) | JudgedTtl::Bounded | JudgedTtl::Stays => None,
    }
}

fn with_reason(mut refusal: Refusal) -> Refusal {
    let reason = "; slotmux does not know all options of this command, and does not change them";
    refusal.text.push_str(reason);
    refusal
}

impl Range {
    fn add(&mut self, stated: Stated) {
        self.shortest = Some(
            self.shortest
                .map_or(stated, |shortest| shortest.min(stated)),
        );
        self.longest = Some(self.longest.map_or(stated, |longest| longest.max(stated)));
    }
}
