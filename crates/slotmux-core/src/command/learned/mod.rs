//! Commands that the table lacks (those of modules and of newer servers), as the upstream's `COMMAND` reply
//! describes them, and the set of all names that the upstream knows.

mod command;
mod keys;
mod known;
mod options;
mod route;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;
mod value;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use redis::Value;

pub use self::command::LearnedCommand;
use self::options::LearnedOptions;
pub use self::route::{KEYLESS, LearnedRoute};
use self::value::{elements, entries, text};
use super::{Command, Lifetime, Route, all, lookup};
use crate::resp::Span;

/// Longest full name that is learned, in bytes; the longest known one of a module has 26.
const LONGEST: usize = 64;

/// Commands learned from an upstream's `COMMAND` reply: those that the table lacks by name, and all names.
#[derive(Debug, Default)]
pub struct Learned {
    commands: HashMap<Box<[u8]>, Arc<LearnedCommand>>,
    names: HashSet<Box<[u8]>>,
    /// Full names of commands in the table that a policy rewrites and that the upstream lacks.
    lacking_rewritten: Vec<&'static str>,
}

/// A command that the search module has where it is built with its coordinator, which asks all nodes by itself.
const OF_COORDINATOR: &[u8] = b"search.clusterinfo";

impl Learned {
    /// Learns from the reply to `COMMAND`, in RESP2 or RESP3. Unreadable entries are left out.
    pub fn from_reply(reply: &Value) -> Learned {
        let mut learned = Learned::default();
        for command in elements(reply) {
            learned.learn(command, None);
        }
        learned.note_lacking();
        learned
    }

    fn note_lacking(&mut self) {
        let lacking = all().filter(|command| is_rewritten(command) && self.lacks(command));
        self.lacking_rewritten = lacking.map(|command| command.full_name).collect();
    }

    /// Whether the upstream lacks a command of the table, as far as its commands are known.
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

    /// The commands of all of these; where two describe a command, the first one counts.
    pub fn joined<'a>(all: impl IntoIterator<Item = &'a Learned>) -> Learned {
        let mut joined = Learned::default();
        for learned in all {
            joined.names.extend(learned.names.iter().cloned());
            for (name, command) in &learned.commands {
                let described = joined.commands.entry(name.clone());
                described.or_insert_with(|| command.clone());
            }
        }
        joined.note_lacking();
        joined
    }

    /// Whether the search module answers for all nodes, whichever it is asked.
    pub fn has_search_coordinator(&self) -> bool {
        self.knows(OF_COORDINATOR)
    }

    /// The learned command or container of that name in any case. Does not allocate.
    pub fn get(&self, name: &[u8]) -> Option<&Arc<LearnedCommand>> {
        self.commands.get(LowerCaseName::new(&[name])?.bytes())
    }

    /// The learned subcommand of a container, which may itself be learned or in the table.
    pub fn subcommand(&self, container: &[u8], name: &[u8]) -> Option<&Arc<LearnedCommand>> {
        self.commands
            .get(LowerCaseName::new(&[container, b"|", name])?.bytes())
    }

    /// The learned command of a request, down to the subcommand. Its number of arguments is not checked.
    pub fn resolve(&self, buf: &[u8], args: &[Span]) -> Option<&Arc<LearnedCommand>> {
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
        let asked = commands.filter(|command| command.has_keys() && command.is_write());
        asked.map(|command| command.full_name.as_str())
    }

    /// Takes the options of learned commands from the reply to `COMMAND DOCS`.
    pub fn describe(&mut self, reply: &Value) {
        for (name, docs) in entries(reply) {
            let folded = text(name).and_then(|name| LowerCaseName::new(&[name]));
            let command = folded.and_then(|name| self.commands.get_mut(name.bytes()));
            // The caller has just learned it, so no other owner exists.
            if let Some(command) = command.and_then(Arc::get_mut) {
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
            self.commands
                .insert(folded.bytes().into(), Arc::new(command));
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
