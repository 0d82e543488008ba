//! Commands that cannot carry a TTL themselves: expiries follow behind them, as one block.
//!
//! `PEXPIRE key default NX` gives a key a TTL that has none, `PEXPIRE key max LT` cuts one that is too long, and as no
//! TTL counts as an infinite one, it also gives one. Neither ever prolongs a TTL, and a missing key stays missing.

use super::govern::{BlockShape, PolicyCase, RuleOutcome};
use super::options::TtlOption;
use super::splice::{copy, number};
use super::subject::TtlSubject;
use super::{Actions, Governed, Refusal, ReplyConversion};
use crate::config::{Strength, TtlMode};
use crate::resp::write;

/// The start of an atomic block.
pub(super) const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
/// The end of an atomic block.
pub(super) const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";

/// The commands of a block, without MULTI and EXEC.
pub fn commands_of(block: BlockShape, bytes: &[u8]) -> &[u8] {
    let inner = bytes
        .strip_prefix(MULTI)
        .and_then(|rest| rest.strip_suffix(EXEC));
    inner.filter(|_| block.atomic).unwrap_or(bytes)
}

/// Commands as one transaction.
pub fn as_transaction(commands: &[u8]) -> Vec<u8> {
    [MULTI, commands, EXEC].concat()
}

/// A command and the expiries behind it, as far as they are written.
pub(super) struct Appendix<'a, 'out> {
    case: &'a PolicyCase<'a>,
    out: &'out mut Vec<u8>,
    /// Number of commands; 0 as long as no key needs an expiry.
    commands: u32,
    actions: Actions,
    atomic: bool,
    refusal: Option<Refusal>,
    edit: Option<TtlEdit>,
}

/// Another TTL in place of one that the command states.
#[derive(Clone, Copy)]
pub(super) struct TtlEdit {
    /// The option that is replaced.
    pub option: TtlOption,
    /// The TTL from now on.
    pub milliseconds: u64,
    /// The reason.
    pub action: Actions,
}

impl TtlEdit {
    /// The TTL for keys of both policies: a minimum counts more than a maximum that an expiry holds as well.
    pub fn with(self, other: TtlEdit) -> TtlEdit {
        let both = self.action.and(other.action);
        let raised = [self, other]
            .into_iter()
            .filter(|edit| edit.action.contains(Actions::RAISED));
        let shorter = std::cmp::min_by_key(self, other, |edit| edit.milliseconds);
        let longest = raised.max_by_key(|edit| edit.milliseconds);
        let chosen = longest.unwrap_or(shorter);
        TtlEdit {
            action: both,
            ..chosen
        }
    }
}

impl<'a, 'out> Appendix<'a, 'out> {
    /// Nothing is written yet.
    pub fn new(case: &'a PolicyCase<'a>, out: &'out mut Vec<u8>) -> Appendix<'a, 'out> {
        Appendix {
            case,
            out,
            commands: 0,
            actions: Actions::NONE,
            atomic: false,
            refusal: None,
            edit: None,
        }
    }

    /// Counts an action of a policy that only observes.
    pub fn note(&mut self, action: Actions) {
        self.actions = self.actions.and(action);
    }

    /// Sends the command with another TTL. Comes before the first key.
    pub fn edit(&mut self, edit: TtlEdit) {
        self.edit = Some(edit);
        self.actions = self.actions.and(edit.action);
    }

    /// The command with expiries for each key that it may leave without one.
    pub fn of_written_keys(case: &'a PolicyCase<'a>, out: &'out mut Vec<u8>) -> RuleOutcome {
        let mut appendix = Appendix::new(case, out);
        let PolicyCase {
            request, command, ..
        } = case;
        // Without keys there is nothing to attach, and the server refuses the request.
        let _ = command.for_each_written_key(request.bytes, request.args, |at| appendix.key(at));
        appendix.finish()
    }

    /// Attaches what the policy of the key in argument `at` asks for.
    pub fn key(&mut self, at: usize) {
        if let Some(subject) = TtlSubject::of_key(self.case, at) {
            self.attach(&subject, subject.default(), subject.ttl.max);
        }
    }

    /// Attaches a default and a maximum, those that there are, for the key of a subject.
    pub fn attach(&mut self, subject: &TtlSubject, default: Option<u64>, max: Option<u64>) {
        if default.is_none() && max.is_none() {
            return;
        }
        if subject.ttl.strength == Strength::InlineOnly {
            self.actions = self.actions.and(Actions::LEFT_BARE);
            return;
        }
        self.actions = self.actions.and(Actions::APPENDED);
        if subject.ttl.mode == TtlMode::Observe {
            return;
        }
        self.atomic |= subject.ttl.strength == Strength::Atomic;
        if self.commands == 0 {
            self.out.extend_from_slice(MULTI);
            self.command();
            self.commands = 1;
        }
        if let Some(default) = default.filter(|_| default != max) {
            self.pexpire(subject.at, default, b"$2\r\nNX\r\n");
        }
        if let Some(max) = max {
            self.pexpire(subject.at, max, b"$2\r\nLT\r\n");
        }
    }

    /// Refuses the whole request if the policy of a subject is enforced. The first refusal is the one that counts.
    pub fn refuse(&mut self, subject: &TtlSubject, refusal: Refusal) {
        self.actions = self.actions.and(Actions::REFUSED);
        if subject.ttl.mode == TtlMode::Enforce {
            self.refusal.get_or_insert(refusal);
        }
    }

    /// Writes the command itself.
    fn command(&mut self) {
        let request = self.case.request;
        let Some(edit) = self.edit else {
            self.out.extend_from_slice(request.bytes);
            return;
        };
        let at = edit.option.at();
        write::array(self.out, request.argc());
        copy(self.out, request, 0..at);
        edit.option.form().write(self.out, edit.milliseconds);
        copy(self.out, request, at + 2..request.argc());
    }

    fn pexpire(&mut self, at: usize, milliseconds: u64, condition: &[u8]) {
        self.out.extend_from_slice(b"*4\r\n$7\r\nPEXPIRE\r\n");
        copy(self.out, self.case.request, at..at + 1);
        number(self.out, milliseconds);
        self.out.extend_from_slice(condition);
        self.commands += 1;
    }

    /// A block if anything was attached. It is atomic if any of the policies asks for that, unless the command is one
    /// that blocks: between MULTI and EXEC it would not.
    pub fn finish(mut self) -> RuleOutcome {
        let PolicyCase {
            request, command, ..
        } = self.case;
        if let Some(refusal) = self.refusal {
            return RuleOutcome::refused(&refusal, self.out);
        }
        if self.commands == 0 && self.edit.is_some() {
            self.command();
            return RuleOutcome::rewritten(self.actions, ReplyConversion::AsIs);
        }
        if self.commands == 0 {
            return RuleOutcome {
                actions: self.actions,
                governed: Governed::AsIs,
            };
        }
        let atomic = self.atomic && !command.blocks(request.bytes, request.args);
        if atomic {
            self.out.extend_from_slice(EXEC);
        } else {
            self.out.drain(..MULTI.len());
        }
        RuleOutcome {
            actions: self.actions,
            governed: Governed::Block(BlockShape {
                atomic,
                commands: self.commands,
                own: 1,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::super::rows::{check, decide_on, request, seconds, under};
    use crate::command::{CommandRef, Learned};
    use crate::config::Strength;

    #[test]
    fn an_expiry_follows_whatever_may_create_a_key() {
        let policies = under(|ttl| ttl.default = seconds(10));
        let behind = |line: &str, key: &str| {
            format!("appended: MULTI | {line} | PEXPIRE {key} 10000 NX | EXEC")
        };
        for (line, key) in [
            ("APPEND k v", "k"),
            ("INCR k", "k"),
            ("HSET k f v", "k"),
            ("LPUSH k a b", "k"),
            ("ZADD k 1 a", "k"),
            ("XADD k * f v", "k"),
            ("PFADD k a", "k"),
            ("SETBIT k 7 1", "k"),
            ("XGROUP CREATE k g $ MKSTREAM", "k"),
            ("BITOP AND k f x", "k"),
            ("SINTERSTORE k f x", "k"),
            ("ZUNIONSTORE k 2 f x", "k"),
            ("RENAME f k", "k"),
            ("COPY f k REPLACE", "k"),
            ("SMOVE f k m", "k"),
            ("LMOVE f k LEFT LEFT", "k"),
            ("SORT f STORE k", "k"),
            ("SORT f STORE o STORE k", "k"),
            ("SORT f LIMIT 0 1 STORE k", "k"),
            ("GEORADIUS f 1 2 3 m STORE k", "k"),
            ("GEORADIUS f 1 2 3 m STORE f STOREDIST k", "k"),
            ("GEORADIUS f 1 2 3 m STORE f STORE k", "k"),
            ("GEORADIUS f 1 2 3 m COUNT 1 STORE k", "k"),
            ("GEORADIUSBYMEMBER f m 3 m STOREDIST k", "k"),
        ] {
            check(&policies, &[(line, &behind(line, key))]);
        }
        for line in [
            // The key that matters is of another namespace.
            "RENAME k f",
            "SINTERSTORE f k",
            "SORT k STORE f",
            "SORT k",
            "SORT k STORE",
            "GEORADIUS k 1 2 3 m",
            "GEORADIUS k 1 2 3 m STORE",
            "INCR f",
            "INCR x",
            // These create nothing.
            "LPUSHX k v",
            "HDEL k f",
            "DEL k",
            "GET k",
            "XREADGROUP GROUP g c STREAMS k >",
        ] {
            check(&policies, &[(line, "=")]);
        }
    }

    #[test]
    fn default_and_maximum_follow_as_far_as_they_differ() {
        let policies = under(|ttl| ttl.max = seconds(10));
        check(
            &policies,
            &[
                (
                    "INCR k",
                    "appended: MULTI | INCR k | PEXPIRE k 10000 LT | EXEC",
                ),
                (
                    "INCR o",
                    "appended: MULTI | INCR o | PEXPIRE o 7000 NX | PEXPIRE o 70000 LT | EXEC",
                ),
                ("INCR w", "appended: ="),
            ],
        );
        let only_a_minimum = under(|ttl| ttl.min = seconds(10));
        check(&only_a_minimum, &[("INCR k", "=")]);
    }

    #[test]
    fn strength() {
        let with = |strength| {
            under(|ttl| {
                ttl.default = seconds(10);
                ttl.strength = strength;
            })
        };
        check(
            &with(Strength::Pipelined),
            &[
                ("INCR k", "appended: INCR k | PEXPIRE k 10000 NX"),
                // The stronger of two.
                (
                    "EVAL s 2 k o",
                    "appended: MULTI | EVAL s 2 k o | PEXPIRE k 10000 NX | PEXPIRE o 7000 NX | PEXPIRE o 70000 LT | EXEC",
                ),
            ],
        );
        check(
            &with(Strength::InlineOnly),
            &[
                ("INCR k", "left_bare: ="),
                (
                    "EVAL s 2 k o",
                    "appended+left_bare: MULTI | EVAL s 2 k o | PEXPIRE o 7000 NX | PEXPIRE o 70000 LT | EXEC",
                ),
            ],
        );
        check(
            &with(Strength::Atomic),
            &[(
                "BLMOVE f k LEFT LEFT 0",
                "appended: BLMOVE f k LEFT LEFT 0 | PEXPIRE k 10000 NX",
            )],
        );
    }

    #[test]
    fn a_command_that_was_learned() {
        let word = |word: &str| Value::SimpleString(word.to_owned());
        let entry = |name: &str, flag: &str| {
            let numbers = [1, 1, 1].map(Value::Int);
            let mut entry = vec![word(name), Value::Int(-2), Value::Array(vec![word(flag)])];
            entry.extend(numbers);
            Value::Array(entry)
        };
        let learned = Learned::from_reply(&Value::Array(vec![
            entry("m.set", "write"),
            entry("m.get", "readonly"),
        ]));
        let policies = under(|ttl| ttl.default = seconds(10));
        for (line, expected) in [
            (
                "m.set k v",
                "appended: MULTI | m.set k v | PEXPIRE k 10000 NX | EXEC",
            ),
            ("m.set f v", "="),
            ("m.get k v", "="),
        ] {
            let name = line.split(' ').next().unwrap();
            let command = learned.get(name.as_bytes()).expect(name);
            let decided = decide_on(&policies, CommandRef::Learned(command), &request(line));
            assert_eq!(decided, expected, "{line}");
        }
    }

    #[test]
    fn a_learned_command_with_its_keyword_twice() {
        let word = |word: &str| Value::SimpleString(word.to_owned());
        let list = Value::Array;
        let numbers = |pairs: &[(&str, i64)]| {
            let fields = pairs.iter();
            list(
                fields
                    .flat_map(|(name, number)| [word(name), Value::Int(*number)])
                    .collect(),
            )
        };
        let begin = list(vec![
            word("keyword"),
            word("KEYS"),
            word("startfrom"),
            Value::Int(1),
        ]);
        let find = numbers(&[("lastkey", -1), ("keystep", 1), ("limit", 0)]);
        let half = |kind: &str, spec| list(vec![word("type"), word(kind), word("spec"), spec]);
        let spec = list(vec![
            word("flags"),
            list(vec![word("RW"), word("update")]),
            word("begin_search"),
            half("keyword", begin),
            word("find_keys"),
            half("range", find),
        ]);
        let mut entry = vec![word("m.find"), Value::Int(-2)];
        entry.push(list(vec![word("write"), word("movablekeys")]));
        entry.extend([0, 0, 0].map(Value::Int));
        entry.extend([list(vec![]), list(vec![]), list(vec![spec])]);
        let learned = Learned::from_reply(&list(vec![list(entry)]));
        let command = CommandRef::Learned(learned.get(b"m.find").expect("it was learned"));
        let policies = under(|ttl| ttl.default = seconds(10));
        let decided = |line| decide_on(&policies, command, &request(line));
        assert_eq!(
            decided("m.find x keys k"),
            "appended: MULTI | m.find x keys k | PEXPIRE k 10000 NX | EXEC"
        );
        // The command's own option parsing may differ from the server's key search.
        let twice = decided("m.find keys KEYS\0 k");
        assert!(twice.starts_with("refused: -ERR slotmux: "), "{twice}");
    }
}
