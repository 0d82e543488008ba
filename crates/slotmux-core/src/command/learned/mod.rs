//! Commands that the table lacks (those of modules and of newer servers), as the upstream's `COMMAND` reply
//! describes them, and the set of all names that the upstream knows.

mod command;
mod keys;
mod options;
#[cfg(test)]
mod sample;
mod value;

use std::collections::{HashMap, HashSet};

use redis::Value;

pub use self::command::LearnedCommand;
use self::options::LearnedOptions;
use self::value::{elements, entries, text};
use super::{Command, Lifetime, Route, all, lookup};
use crate::resp::Span;

/// Longest full name that is learned, in bytes; the longest known one of a module has 26.
const LONGEST: usize = 64;

/// Commands learned from an upstream's `COMMAND` reply: those that the table lacks by name, and all names.
#[derive(Debug, Default)]
pub struct Learned {
    commands: HashMap<Box<[u8]>, LearnedCommand>,
    names: HashSet<Box<[u8]>>,
    /// Full names of commands in the table that a policy rewrites and that the upstream lacks.
    lacking_rewritten: Vec<&'static str>,
}

impl Learned {
    /// Learns from the reply to `COMMAND`, in RESP2 or RESP3. Unreadable entries are left out.
    pub fn from_reply(reply: &Value) -> Learned {
        let mut learned = Learned::default();
        for command in elements(reply) {
            learned.learn(command, None);
        }
        let lacking = all().filter(|command| is_rewritten(command) && learned.lacks(command));
        learned.lacking_rewritten = lacking.map(|command| command.full_name).collect();
        learned
    }

    /// Whether the upstream lacks a command of the table, as far as it told its commands.
    pub fn lacks(&self, command: &Command) -> bool {
        // Servers before 7.0 do not list subcommands.
        let has_listed = || self.names.iter().any(|name| name.contains(&b'|'));
        !self.names.is_empty()
            && !self.knows(command.full_name.as_bytes())
            && (!command.full_name.contains('|') || has_listed())
    }

    /// As [`Learned::lacks`], for a command that a policy rewrites; without a look-up by name.
    pub fn lacks_rewritten(&self, command: &Command) -> bool {
        let mut lacking = self.lacking_rewritten.iter();
        lacking.any(|name| std::ptr::eq(*name, command.full_name))
    }

    /// The learned command or container of that name in any case. Does not allocate.
    pub fn get(&self, name: &[u8]) -> Option<&LearnedCommand> {
        self.commands.get(LowerCaseName::new(&[name])?.bytes())
    }

    /// The learned subcommand of a container, which may itself be learned or in the table.
    pub fn subcommand(&self, container: &[u8], name: &[u8]) -> Option<&LearnedCommand> {
        self.commands
            .get(LowerCaseName::new(&[container, b"|", name])?.bytes())
    }

    /// The learned command of a request, down to the subcommand. Its number of arguments is not checked.
    pub fn resolve(&self, buf: &[u8], args: &[Span]) -> Option<&LearnedCommand> {
        let name = args.first()?.of(buf);
        let sub = args.get(1).map(|arg| arg.of(buf));
        match (self.get(name), sub) {
            (Some(command), Some(sub)) if command.container => self.subcommand(name, sub),
            (None, Some(sub)) => self.subcommand(name, sub),
            (command, _) => command,
        }
    }

    /// Whether the upstream has a command of that name in any case; `container|name` asks for a subcommand.
    pub fn knows(&self, name: &[u8]) -> bool {
        LowerCaseName::new(&[name]).is_some_and(|name| self.names.contains(name.bytes()))
    }

    /// Number of learned commands and subcommands.
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// Whether the table has all that the upstream has.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// The names of the commands whose options have to be asked for with `COMMAND DOCS`: those that may give keys a TTL.
    pub fn undescribed(&self) -> impl Iterator<Item = &str> {
        let commands = self.commands.values();
        let asked = commands.filter(|command| command.route == Route::Keyed && command.is_write());
        asked.map(|command| command.full_name.as_str())
    }

    /// Takes the options of learned commands from the reply to `COMMAND DOCS`.
    pub fn describe(&mut self, reply: &Value) {
        for (name, docs) in entries(reply) {
            let folded = text(name).and_then(|name| LowerCaseName::new(&[name]));
            let command = folded.and_then(|name| self.commands.get_mut(name.bytes()));
            if let Some(command) = command {
                command.options = LearnedOptions::from_docs(docs);
            }
        }
    }

    /// Takes one entry: name, arity, flags, first key, last key, step, ACL categories, tips, key specifications,
    /// subcommands. Servers before 7.0 leave out the last ones.
    fn learn(&mut self, entry: &Value, container: Option<&str>) {
        let entry = elements(entry);
        let Some(full_name) = entry
            .first()
            .and_then(text)
            .and_then(|name| full_name(name, container))
        else {
            return;
        };
        let Some(folded) = LowerCaseName::new(&[full_name.as_bytes()]) else {
            return;
        };
        self.names.insert(folded.bytes().into());
        let subcommands = entry.get(9).map_or(&[][..], elements);
        if container.is_none() {
            for sub in subcommands {
                self.learn(sub, Some(&full_name));
            }
        }
        if !in_table(&full_name) {
            let command = LearnedCommand::new(full_name, entry, !subcommands.is_empty());
            self.commands.insert(folded.bytes().into(), command);
        }
    }
}

/// Whether a policy may send another command in its place.
fn is_rewritten(command: &Command) -> bool {
    !matches!(
        command.lifetime,
        Lifetime::Untouched
            | Lifetime::Creates { .. }
            | Lifetime::Stores
            | Lifetime::Script
            | Lifetime::Unknown
    )
}

/// Whether the table says what is to be done with a command. It does so for all subcommands of a container that it
/// never forwards, those it has not heard of included.
fn in_table(full_name: &str) -> bool {
    let (name, sub) = full_name
        .split_once('|')
        .map_or((full_name, None), |(name, sub)| (name, Some(sub)));
    match (lookup(name.as_bytes()), sub) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(container), Some(sub)) => {
            !matches!(container.route, Route::Keyed | Route::AnyNode)
                || container.subcommand(sub.as_bytes()).is_some()
        }
    }
}

/// The full name in lower case. Servers before 7.0 give the subcommand's own name only.
fn full_name(name: &[u8], container: Option<&str>) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
    match container {
        Some(container) if !name.contains('|') => Some(format!("{container}|{name}")),
        _ => (!name.is_empty()).then_some(name),
    }
}

/// A name in lower case on the stack.
struct LowerCaseName([u8; LONGEST], usize);

impl LowerCaseName {
    /// The parts, one after another. `None` where they are too long or empty.
    fn new(parts: &[&[u8]]) -> Option<LowerCaseName> {
        let mut folded = LowerCaseName([0; LONGEST], 0);
        for part in parts {
            let end = folded.1 + part.len();
            folded.0.get_mut(folded.1..end)?.copy_from_slice(part);
            folded.1 = end;
        }
        folded.0.make_ascii_lowercase();
        (folded.1 > 0).then_some(folded)
    }

    fn bytes(&self) -> &[u8] {
        &self.0[..self.1]
    }
}

#[cfg(test)]
mod tests {
    use super::command::KEYLESS;
    use super::sample::{entry, keys_of, request, simple, word};
    use super::*;

    #[test]
    fn only_what_the_table_lacks_is_kept_and_every_name_is_known() {
        let learned = Learned::from_reply(&Value::Array(vec![
            simple("get 2 1 1 1: readonly fast"),
            simple("json.get -2 1 1 1: readonly module"),
            entry(
                "object -2 0 0 0:",
                Vec::new(),
                vec![
                    simple("object|freq 3 2 2 1: readonly"),
                    simple("object|news 3 2 2 1: readonly"),
                ],
            ),
            entry(
                "client -2 0 0 0:",
                Vec::new(),
                vec![simple("client|news 2 0 0 0: readonly")],
            ),
            entry(
                "Store -2 0 0 0:",
                Vec::new(),
                vec![
                    simple("store|put 4 2 2 1: write"),
                    simple("take 3 2 2 1: write"),
                ],
            ),
        ]));
        assert_eq!(learned.len(), 5);
        for name in [
            "get",
            "GET",
            "json.get",
            "Object|Freq",
            "object|news",
            "client|news",
            "STORE",
            "store|take",
        ] {
            assert!(learned.knows(name.as_bytes()), "{name}");
        }
        for name in ["json.set", "", "client|setname", &"x".repeat(10_000)] {
            assert!(
                !learned.knows(name.as_bytes()) && learned.get(name.as_bytes()).is_none(),
                "{name}"
            );
        }
        assert!(learned.get(b"get").is_none());
        assert!(
            learned.subcommand(b"client", b"news").is_none(),
            "CLIENT is never forwarded"
        );
        let resolved = |line: &str| {
            let (buf, args) = request(line);
            learned
                .resolve(&buf, &args)
                .map(|command| (command.full_name.clone(), command.route))
        };
        assert_eq!(
            resolved("JSON.GET k"),
            Some(("json.get".into(), Route::Keyed))
        );
        assert_eq!(
            resolved("object NEWS k"),
            Some(("object|news".into(), Route::Keyed))
        );
        assert_eq!(
            resolved("store put k v"),
            Some(("store|put".into(), Route::Keyed))
        );
        assert_eq!(
            resolved("store TAKE k"),
            Some(("store|take".into(), Route::Keyed))
        );
        assert_eq!(
            resolved("store"),
            Some(("store".into(), Route::Refused(KEYLESS)))
        );
        assert_eq!(resolved("store give k"), None);
        assert_eq!(resolved("object freq k"), None);
        assert_eq!(resolved("get k"), None);
        let put = learned
            .subcommand(b"store", b"put")
            .expect("it was learned");
        assert_eq!(keys_of(put, "store put k v"), Ok(vec!["k".to_owned()]));
        assert_eq!(
            put.arity_error(),
            "ERR wrong number of arguments for 'store|put' command"
        );
        assert!(put.is_write() && !put.is_readonly() && put.arity_ok(4) && !put.arity_ok(3));
    }

    #[test]
    fn commands_of_the_table_that_the_upstream_lacks() {
        let command = |name: &str, sub: &[u8]| {
            let container = lookup(name.as_bytes()).expect(name);
            container.subcommand(sub).unwrap_or(container)
        };
        let container = |subcommands| entry("xgroup -2 0 0 0:", Vec::new(), subcommands);
        let create = || simple("xgroup|create -5 2 2 1: write");
        let newer = Learned::from_reply(&Value::Array(vec![
            simple("set -3 1 1 1: write"),
            container(vec![create()]),
        ]));
        let older = Learned::from_reply(&Value::Array(vec![
            simple("msetex -4 1 1 1: write"),
            container(Vec::new()),
        ]));
        let untold = Learned::default();
        for (name, sub, expected) in [
            ("set", "", [false, true, false]),
            ("msetex", "", [true, false, false]),
            ("xgroup", "create", [false, false, false]),
            ("xgroup", "destroy", [true, false, false]),
        ] {
            let command = command(name, sub.as_bytes());
            let found = [&newer, &older, &untold].map(|learned| learned.lacks(command));
            assert_eq!(found, expected, "{name} {sub}");
        }
        let rewritten = |learned: &Learned| {
            ["set", "msetex", "append"].map(|name| learned.lacks_rewritten(command(name, b"")))
        };
        assert_eq!(rewritten(&newer), [false, true, false]);
        assert_eq!(rewritten(&older), [true, false, false]);
        assert_eq!(rewritten(&untold), [false; 3]);
    }

    #[test]
    fn what_may_touch_its_connection_is_never_forwarded() {
        for (line, expected) in [
            ("m.get 2 1 1 1: readonly module fast", Some(Route::Keyed)),
            ("m.set 3 1 1 1: write denyoom module", Some(Route::Keyed)),
            ("m.plain 2 1 1 1:", Some(Route::Keyed)),
            ("m.list 1 0 0 0: readonly", Some(Route::AnyNode)),
            ("m.create -2 0 0 0: write", None),
            ("m.mode 2 0 0 0:", None),
            ("m.wait -2 1 1 1: write blocking", None),
            ("m.listen -2 0 0 0: readonly pubsub", None),
            ("m.admin 2 1 1 1: admin readonly", None),
            ("m.login 2 0 0 0: readonly no_auth", None),
            ("m.watch -2 1 -1 1: noscript loading stale fast", None),
            ("m.tx 1 0 0 0: readonly no_multi", None),
            ("m.ask 2 1 1 1: readonly asking", None),
            ("m.read 2 1 1 1: readonly noscript", Some(Route::Keyed)),
            ("m.hidden -2 0 0 0: readonly movablekeys", None),
            ("m.nonsense -2 1 0 1: readonly", None),
            ("m.nonsense -2 1 1 0: readonly", None),
            ("m.nonsense -2 -1 1 1: readonly", None),
        ] {
            let learned = Learned::from_reply(&Value::Array(vec![simple(line)]));
            let name = line.split(' ').next().unwrap_or("");
            let route = learned.get(name.as_bytes()).expect(line).route;
            match expected {
                Some(expected) => assert_eq!(route, expected, "{line}"),
                None => assert!(matches!(route, Route::Refused(_)), "{line}"),
            }
        }
    }

    #[test]
    fn a_reply_that_is_none_teaches_nothing() {
        for reply in [
            Value::Nil,
            Value::Okay,
            Value::Int(3),
            Value::Array(vec![
                Value::Nil,
                Value::Array(Vec::new()),
                Value::Array(vec![Value::Int(1)]),
            ]),
            Value::Array(vec![Value::Array(vec![Value::BulkString(vec![0xff])])]),
            Value::Array(vec![Value::Array(vec![Value::BulkString(Vec::new())])]),
        ] {
            assert!(Learned::from_reply(&reply).is_empty(), "{reply:?}");
        }
        let bare = Learned::from_reply(&Value::Array(vec![Value::Array(vec![word("m.bare")])]));
        assert_eq!(
            bare.get(b"m.bare")
                .map(|command| (command.arity, command.route)),
            Some((-1, Route::Refused(KEYLESS)))
        );
    }
}
