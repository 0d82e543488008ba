//! Writes that were learned from the upstream: their TTL is bounded in place where `COMMAND DOCS` tells for sure where it
//! is, and an expiry for each key that they may create follows in any case.

use super::append::{Appendix, TtlEdit};
use super::given::JudgedTtl;
use super::govern::{PolicyCase, RuleOutcome};
use super::guessed::GuessedTtls;
use super::options::{TtlOption, TtlOptions, form_of};
use super::subject::TtlSubject;
use super::{Actions, Refusal};
use crate::c_string;
use crate::command::LearnedCommand;
use crate::config::{Persist, Strength, TtlMode};
use crate::resp::request::Request;

/// The rule of a learned command.
pub(super) fn rule(case: &PolicyCase, command: &LearnedCommand, out: &mut Vec<u8>) -> RuleOutcome {
    let request = case.request;
    let from = command.first_option(request.bytes, request.args);
    let options = read_from(request, command, from);
    let guessed = match options {
        TtlOptions::Unknown => GuessedTtls::find(request, from),
        _ => GuessedTtls::default(),
    };
    let mut appendix = Appendix::new(case, out);
    let mut edit: Option<TtlEdit> = None;
    // The shortest maximum that no expiry holds.
    let mut most = u64::MAX;
    // Where no key can be found, the server refuses the request.
    let each = |f: &mut dyn FnMut(&TtlSubject)| {
        let _ = command.for_each_written_key(request.bytes, request.args, |at| {
            if let Some(subject) = TtlSubject::of_key(case, at) {
                f(&subject);
            }
        });
    };
    each(&mut |subject| {
        let is_enforced = subject.ttl.mode == TtlMode::Enforce;
        if is_enforced && is_inline(subject) {
            most = most.min(subject.ttl.max.unwrap_or(u64::MAX));
        }
        match judge(subject, options, &guessed) {
            Judged::Refused(refusal) => appendix.refuse(subject, refusal),
            Judged::Becomes(new) if is_enforced => {
                edit = Some(edit.map_or(new, |edit| edit.with(new)));
            }
            Judged::Becomes(new) => appendix.note(new.action),
            Judged::Stays => {}
        }
    });
    if let Some(mut edit) = edit {
        edit.milliseconds = edit.milliseconds.min(most);
        appendix.edit(edit);
    }
    each(&mut |subject| {
        let default = match options {
            TtlOptions::Keep => subject.default_of_kept(),
            _ => subject.default(),
        };
        appendix.attach(subject, default, subject.ttl.max);
    });
    appendix.finish()
}

/// Whether no expiry follows the command for this key.
fn is_inline(subject: &TtlSubject) -> bool {
    subject.ttl.strength == Strength::InlineOnly
}

/// The decision about the options for one key.
enum Judged {
    Stays,
    Becomes(TtlEdit),
    Refused(Refusal),
}

fn judge(subject: &TtlSubject, options: TtlOptions, guessed: &GuessedTtls) -> Judged {
    match options {
        TtlOptions::Ttl(option) => match subject.judge_option(option) {
            JudgedTtl::Refused(refusal) => Judged::Refused(refusal),
            // The expiry behind the command bounds a long TTL by the clock of the node.
            JudgedTtl::Becomes(_, action) if action != Actions::RAISED && !is_inline(subject) => {
                Judged::Stays
            }
            JudgedTtl::Becomes(milliseconds, action) => Judged::Becomes(TtlEdit {
                option,
                milliseconds,
                action,
            }),
            JudgedTtl::Stays | JudgedTtl::Bounded => Judged::Stays,
        },
        TtlOptions::Persist if !may_persist(subject) => {
            Judged::Refused(subject.refusal_of_persist("PERSIST"))
        }
        TtlOptions::Unknown => guessed
            .refusal(subject)
            .map_or(Judged::Stays, Judged::Refused),
        _ => Judged::Stays,
    }
}

/// The default behind the command fulfils `persist = "rewrite"`.
fn may_persist(subject: &TtlSubject) -> bool {
    match subject.ttl.persist {
        Persist::Allow => true,
        Persist::Rewrite => !is_inline(subject) || subject.default().is_none(),
        Persist::Reject => false,
    }
}

/// The TTL among the options of a learned command.
pub(super) fn read(request: &Request, command: &LearnedCommand) -> TtlOptions {
    let from = command.first_option(request.bytes, request.args);
    match read_from(request, command, from) {
        TtlOptions::Unknown if GuessedTtls::find(request, from).is_empty() => TtlOptions::None,
        options => options,
    }
}

fn read_from(request: &Request, command: &LearnedCommand, from: usize) -> TtlOptions {
    if !command.knows_options() {
        return TtlOptions::Unknown;
    }
    let mut options = TtlOptions::None;
    let mut at = from;
    while at < request.argc() {
        let word = request.arg(at);
        let Some(takes) = command.option_takes(word) else {
            return TtlOptions::Unknown;
        };
        if at + takes >= request.argc() {
            return TtlOptions::Unknown;
        }
        let is = |known: &[u8]| c_string::is(word, known);
        let found = match (form_of(word), takes) {
            (Some(form), 1) => TtlOptions::Ttl(TtlOption::only(at, form)),
            _ if takes == 0 && is(b"persist") => TtlOptions::Persist,
            _ if takes == 0 && is(b"keepttl") => TtlOptions::Keep,
            _ => TtlOptions::None,
        };
        options = match (options, found) {
            (options, TtlOptions::None) => options,
            (TtlOptions::None, found) => found,
            // `COMMAND DOCS` does not say which of them counts.
            _ => return TtlOptions::Unknown,
        };
        at += 1 + takes;
    }
    options
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::super::Policies;
    use super::super::rows::{decide_on, namespace, policies, request, seconds, under};
    use crate::command::{CommandRef, Learned};
    use crate::config::{OverMax, Persist, Strength};

    fn list(words: &[&str]) -> Value {
        let word = |word: &&str| Value::BulkString((*word).into());
        Value::Array(words.iter().map(word).collect())
    }

    /// `M.ADD key value …` with the options of a newer command: `[UP by] [EX s] [PX ms] [PERSIST] [KEEPTTL]`.
    fn learned(is_described: bool) -> Learned {
        let mut entry = vec![Value::BulkString(b"m.add".to_vec()), Value::Int(-3)];
        entry.push(list(&["write"]));
        entry.extend([1, 1, 1].map(Value::Int));
        let mut learned = Learned::from_reply(&Value::Array(vec![Value::Array(entry)]));
        assert_eq!(learned.undescribed().collect::<Vec<_>>(), ["m.add"]);
        let argument = |name: &str, kind: &str, token: &str| {
            list(&["name", name, "type", kind, "token", token])
        };
        let arguments = Value::Array(vec![
            list(&["name", "key", "type", "key"]),
            list(&["name", "value", "type", "string"]),
            argument("up", "integer", "UP"),
            argument("seconds", "integer", "EX"),
            argument("milliseconds", "integer", "PX"),
            argument("persist", "pure-token", "PERSIST"),
            argument("keep", "pure-token", "KEEPTTL"),
        ]);
        if is_described {
            let docs = Value::Array(vec![Value::BulkString(b"arguments".to_vec()), arguments]);
            let name = Value::BulkString(b"m.add".to_vec());
            learned.describe(&Value::Array(vec![name, docs]));
        }
        learned
    }

    fn decide(policies: &Policies, is_described: bool, line: &str) -> String {
        let learned = learned(is_described);
        let command = learned.get(b"m.add").expect("it was learned");
        decide_on(policies, CommandRef::Learned(command), &request(line))
    }

    const BEHIND: &str = "| PEXPIRE k 600000 NX | PEXPIRE k 3600000 LT | EXEC";

    fn strict(strength: Strength) -> Policies {
        under(|ttl| {
            ttl.default = seconds(600);
            ttl.max = seconds(3600);
            ttl.min = seconds(60);
            ttl.over_max = OverMax::Reject;
            ttl.persist = Persist::Reject;
            ttl.strength = strength;
        })
    }

    #[test]
    fn a_described_command_is_bounded_in_place() {
        for (line, expected) in [
            ("m.add k v EX 1", "appended+raised: MULTI | m.add k v EX 60"),
            (
                "m.add k EX UP 5 PX 1",
                "appended+raised: MULTI | m.add k EX UP 5 PX 60000",
            ),
            (
                "m.add k EX UP EX EX 1",
                "appended+raised: MULTI | m.add k EX UP EX EX 60",
            ),
            ("m.add k v EX 100", "appended: MULTI | m.add k v EX 100"),
            ("m.add k v UP EX", "appended: MULTI | m.add k v UP EX"),
            (
                "m.add k PERSIST UP PERSIST",
                "appended: MULTI | m.add k PERSIST UP PERSIST",
            ),
            ("m.add k EX", "appended: MULTI | m.add k EX"),
        ] {
            let decided = decide(&strict(Strength::Atomic), true, line);
            let (actions, sent) = expected.split_once(": ").unwrap();
            let mut actions: Vec<&str> = actions.split('+').collect();
            actions.reverse();
            assert_eq!(
                decided,
                format!("{}: {sent} {BEHIND}", actions.join("+")),
                "{line}"
            );
        }
        for (line, rule) in [
            ("m.add k v EX 3601", "(ttl.max)"),
            ("m.add k v UP 1 PERSIST", "(ttl.persist)"),
            // The request does not follow the description.
            ("m.add k v NEW EX 1", "(ttl.min)"),
            ("m.add k v EX 5 PX 5", "(ttl.min)"),
        ] {
            let decided = decide(&strict(Strength::Atomic), true, line);
            assert!(
                decided.starts_with("refused: -ERR slotmux: ") && decided.contains(rule),
                "{line}: {decided}"
            );
        }
        assert_eq!(
            decide(&strict(Strength::InlineOnly), true, "m.add k v EX 1"),
            "raised+left_bare: m.add k v EX 60"
        );
        let clamps = under(|ttl| {
            ttl.max = seconds(100);
            ttl.strength = Strength::InlineOnly;
        });
        assert_eq!(
            decide(&clamps, true, "m.add k v EX 500"),
            "clamped+left_bare: m.add k v EX 100"
        );
        let observed = decide(&strict(Strength::Atomic), true, "m.add w v EX 71");
        assert_eq!(observed, "appended: =");
    }

    /// `M.PUT key key [EX s]`
    fn decide_on_two_keys(policies: &Policies, line: &str) -> String {
        let mut entry = vec![Value::BulkString(b"m.put".to_vec()), Value::Int(-3)];
        entry.push(list(&["write"]));
        entry.extend([1, 2, 1].map(Value::Int));
        let mut learned = Learned::from_reply(&Value::Array(vec![Value::Array(entry)]));
        let arguments = Value::Array(vec![
            list(&["name", "one", "type", "key"]),
            list(&["name", "other", "type", "key"]),
            list(&["name", "seconds", "type", "integer", "token", "EX"]),
        ]);
        let docs = Value::Array(vec![Value::BulkString(b"arguments".to_vec()), arguments]);
        let name = Value::BulkString(b"m.put".to_vec());
        learned.describe(&Value::Array(vec![name, docs]));
        let command = learned.get(b"m.put").expect("it was learned");
        decide_on(policies, CommandRef::Learned(command), &request(line))
    }

    #[test]
    fn a_minimum_of_one_key_passes_no_maximum_of_another_that_no_expiry_holds() {
        let with = |strength| {
            policies(vec![
                namespace("short", "s", |ttl| {
                    ttl.max = seconds(40);
                    ttl.strength = strength;
                }),
                namespace("long", "l", |ttl| ttl.min = seconds(60)),
            ])
        };
        let inline = with(Strength::InlineOnly);
        for (line, expected) in [
            ("m.put s l EX 30", "raised+left_bare: m.put s l EX 40"),
            ("m.put l s EX 30", "raised+left_bare: m.put l s EX 40"),
            (
                "m.put s l EX 50",
                "clamped+raised+left_bare: m.put s l EX 40",
            ),
            ("m.put l l EX 30", "raised: m.put l l EX 60"),
        ] {
            assert_eq!(decide_on_two_keys(&inline, line), expected, "{line}");
        }
        assert_eq!(
            decide_on_two_keys(&with(Strength::Atomic), "m.put s l EX 30"),
            "raised+appended: MULTI | m.put s l EX 60 | PEXPIRE s 40000 LT | EXEC"
        );
    }

    #[test]
    fn persist_is_refused_where_no_default_follows() {
        let rewrite = |strength| {
            under(|ttl| {
                ttl.default = seconds(600);
                ttl.persist = Persist::Rewrite;
                ttl.strength = strength;
            })
        };
        for is_described in [true, false] {
            let decided = decide(
                &rewrite(Strength::InlineOnly),
                is_described,
                "m.add k v PERSIST",
            );
            assert!(decided.contains("(ttl.persist)"), "{decided}");
            let decided = decide(
                &rewrite(Strength::Atomic),
                is_described,
                "m.add k v PERSIST",
            );
            assert_eq!(
                decided,
                "appended: MULTI | m.add k v PERSIST | PEXPIRE k 600000 NX | EXEC"
            );
        }
    }

    #[test]
    fn a_command_without_description_is_never_rewritten() {
        for line in [
            "m.add k EX",
            "m.add k EX 1",
            "m.add k PERSIST",
            "m.add k v EX x",
            "m.add k v EX 100",
        ] {
            let decided = decide(&strict(Strength::Atomic), false, line);
            assert_eq!(
                decided,
                format!("appended: MULTI | {line} {BEHIND}"),
                "{line}"
            );
        }
        for (line, rule) in [
            ("m.add k v EX 1", "(ttl.min)"),
            ("m.add k v UP 5 PX 1", "(ttl.min)"),
            ("m.add k v EX 3601", "(ttl.max)"),
            ("m.add k v PERSIST", "(ttl.persist)"),
        ] {
            let decided = decide(&strict(Strength::Atomic), false, line);
            assert!(
                decided.starts_with("refused: -ERR slotmux: ") && decided.contains(rule),
                "{line}: {decided}"
            );
        }
    }
}
