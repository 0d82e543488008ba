//! The parts of a command whose keys are in several slots, one for each slot: what they are made of, and what the
//! policies make of each.

use crate::command::CommandRef;
use crate::command::Lifetime;
use crate::command::split::SplitShape;
use crate::policy::{Decision, Policies, govern};
use crate::resp::request::Request;
use crate::resp::{Limits, Scan, scan_request, write};
use crate::slot::{Slot, slot_of};

use super::Knowledge;

/// The keys of a split request, each with its slot and its place: those of a slot side by side in the client's order,
/// which decides between duplicates.
pub fn keys_by_slot(request: &Request, shape: SplitShape) -> Vec<(Slot, u32)> {
    let mut keys: Vec<(Slot, u32)> = shape
        .keys(request.argc())
        .map(|at| (slot_of(request.arg(at)), at as u32))
        .collect();
    keys.sort_by_key(|&(slot, _)| slot.0);
    keys
}

/// For each key of a split request the number of the part that has it; `groups` are the keys of the parts.
pub fn part_of_each_key(shape: SplitShape, groups: &[&[(Slot, u32)]]) -> Vec<u32> {
    let mut order = vec![0; groups.iter().map(|group| group.len()).sum()];
    for (part, group) in (0..).zip(groups) {
        for &(_, at) in *group {
            order[shape.number(at as usize)] = part;
        }
    }
    order
}

/// Appends the part with these keys.
pub fn write_part(request: &Request, keys: &[(Slot, u32)], shape: SplitShape, out: &mut Vec<u8>) {
    begin_part(request, keys.len(), shape, out);
    for &(_, at) in keys {
        write_key(request, at as usize, shape, out);
    }
    end_part(request, shape, out);
}

/// Appends the start of a part with so many keys.
pub fn begin_part(request: &Request, keys: usize, shape: SplitShape, out: &mut Vec<u8>) {
    write::array(out, shape.argc(keys));
    for at in shape.front(request.argc()) {
        write::bulk(out, request.arg(at));
    }
}

/// Appends the key in argument `at` with what belongs to it.
pub fn write_key(request: &Request, at: usize, shape: SplitShape, out: &mut Vec<u8>) {
    for at in shape.of_key(at) {
        write::bulk(out, request.arg(at));
    }
}

/// Appends what follows the last key of a part.
pub fn end_part(request: &Request, shape: SplitShape, out: &mut Vec<u8>) {
    for at in shape.behind(request.argc()) {
        write::bulk(out, request.arg(at));
    }
}

/// The error for a part that can't be parsed. slotmux has just written the part, so the error never shows.
const UNREADABLE: &[u8] =
    b"ERR slotmux: not executed, a part of the command could not be checked against its policy";

/// Applies the policies to one part: the bytes to send instead, or the error, go to `rewritten`. `None` if the policies
/// do not concern such a command.
pub fn govern_part(
    policies: &Policies,
    command: CommandRef,
    part: &[u8],
    now: fn() -> u64,
    rewritten: &mut Vec<u8>,
) -> Option<Decision> {
    if !policies.is_active() || command.lifetime() == Lifetime::Untouched {
        return None;
    }
    let mut args = Vec::new();
    let scan = scan_request(part, &Limits::ACCEPTED, &mut args);
    if !matches!(scan, Ok(Scan::Complete { len }) if len == part.len()) {
        rewritten.clear();
        rewritten.extend_from_slice(UNREADABLE);
        return Some(Decision::REFUSED);
    }
    let request = Request {
        bytes: part,
        args: &args,
    };
    Some(govern(&request, command, policies, now, rewritten))
}

/// A part and the decision of the policies.
pub struct GovernedPart {
    /// The slot of its keys.
    pub slot: Slot,
    /// The part itself.
    pub own: Vec<u8>,
    /// The bytes to send instead, if any, or the error for the client.
    pub instead: Vec<u8>,
    /// The decision of the policies.
    pub decision: Decision,
}

impl GovernedPart {
    /// Whether it must not be sent.
    pub fn is_refused(&self) -> bool {
        self.decision.governed.is_refused()
    }
}

/// All parts of a request, for the keys of `groups`.
pub fn governed_parts(
    request: &Request,
    groups: &[&[(Slot, u32)]],
    shape: SplitShape,
    command: CommandRef,
    knowledge: &Knowledge,
) -> Vec<GovernedPart> {
    let part = |keys: &&[(Slot, u32)]| {
        let (mut own, mut instead) = (Vec::new(), Vec::new());
        write_part(request, keys, shape, &mut own);
        let (policies, now) = (knowledge.policies, knowledge.now);
        let decision = govern_part(policies, command, &own, now, &mut instead);
        GovernedPart {
            slot: keys[0].0,
            own,
            instead,
            decision: decision.unwrap_or(Decision::NONE),
        }
    };
    groups.iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::resolve;
    use crate::config::{Config, UnmatchedKeys};
    use crate::policy::Actions;

    #[test]
    fn a_part_that_cannot_be_read_is_refused_and_counts_as_that() {
        let policies = Policies::new(&Config {
            unmatched: UnmatchedKeys::ReadOnly,
            ..Config::default()
        });
        let mut args = Vec::new();
        let mset = b"*3\r\n$4\r\nMSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
        scan_request(mset, &Limits::ACCEPTED, &mut args).unwrap();
        let command = CommandRef::Table(resolve(mset, &args).unwrap());
        let twice = [&mset[..], mset].concat();
        for part in [&mset[..9], b"", &twice] {
            let mut rewritten = b"of another part".to_vec();
            let decision = govern_part(&policies, command, part, || 0, &mut rewritten).unwrap();
            assert!(decision.governed.is_refused());
            assert_eq!(decision.actions, Actions::REFUSED);
            assert_eq!(rewritten, UNREADABLE);
        }
    }
}
