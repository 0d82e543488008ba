//! Facts about the arguments of one request that rules need, computed for all of its keys in one walk.

use std::cell::OnceCell;

use super::govern::PolicyCase;
use crate::command::Lifetime;
use crate::command::alike::MOVES;

/// Facts about the arguments of a request, each computed once for all keys: a request may have millions of them.
pub(super) struct ArgumentFacts<'a> {
    pub case: &'a PolicyCase<'a>,
    /// Whether the command changes keys at all.
    is_write: bool,
    /// Bytes of the longest argument that is a value.
    longest: OnceCell<usize>,
    /// The keys that SORT and its like store to, in order.
    stored: OnceCell<Vec<usize>>,
}

impl<'a> ArgumentFacts<'a> {
    pub fn new(case: &'a PolicyCase<'a>) -> ArgumentFacts<'a> {
        ArgumentFacts {
            case,
            is_write: case.command.changes_keys(),
            longest: OnceCell::new(),
            stored: OnceCell::new(),
        }
    }

    /// Whether the command may change the key in argument `at`. Sources of a copy or a combination are only read; those
    /// of a move are taken from.
    pub fn changes(&self, at: usize) -> bool {
        if !self.is_write {
            return false;
        }
        let command = self.case.command;
        match command.lifetime() {
            Lifetime::Creates { at: destination } => {
                at == usize::from(destination) || MOVES.contains(&command.full_name())
            }
            Lifetime::Stores => {
                let stored = self.stored.get_or_init(|| stored(self.case));
                stored.binary_search(&at).is_ok()
            }
            _ => true,
        }
    }

    /// The length of a value above `max` that belongs to the key in argument `at`: of MSET its own, otherwise any
    /// argument that is not a key.
    pub fn too_large(&self, at: usize, max: usize) -> Option<usize> {
        let request = self.case.request;
        if !self.is_write || request.bytes.len() <= max {
            return None;
        }
        let len = match self.case.command.lifetime() {
            Lifetime::MSet | Lifetime::MSetNx | Lifetime::MSetEx => {
                request.args.get(at + 1).map_or(0, |arg| arg.len())
            }
            _ => *self.longest.get_or_init(|| longest_value(self.case)),
        };
        (len > max).then_some(len)
    }
}

fn stored(case: &PolicyCase) -> Vec<usize> {
    let mut stored = Vec::new();
    let PolicyCase {
        request, command, ..
    } = case;
    // Where no key can be found, none is written.
    let _ = command.for_each_written_key(request.bytes, request.args, |at| stored.push(at));
    stored.sort_unstable();
    stored
}

/// Bytes of the longest argument that is neither a key nor a script, nor the name of one.
fn longest_value(case: &PolicyCase) -> usize {
    let args = case.request.args;
    let first = match case.command.lifetime() {
        Lifetime::Script => 2,
        _ => 1,
    };
    let longest = |from: usize, until: usize| {
        let between = args.get(from..until).unwrap_or_default();
        between.iter().map(|arg| arg.len()).max().unwrap_or(0)
    };
    let (mut next, mut found, mut is_ordered) = (first, 0, true);
    let _ = case.each_key(|key| {
        is_ordered &= key >= next;
        found = found.max(longest(next, key));
        next = next.max(key + 1);
    });
    if is_ordered {
        return found.max(longest(next, args.len()));
    }
    let mut keys = Vec::new();
    let _ = case.each_key(|key| keys.push(key));
    keys.sort_unstable();
    keys.push(args.len());
    let (mut next, mut found) = (first, 0);
    for key in keys {
        found = found.max(longest(next, key));
        next = next.max(key + 1);
    }
    found
}
