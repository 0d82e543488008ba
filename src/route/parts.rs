//! The parts of a command whose keys are in several slots, one for each slot: what they are made of, and what the
//! policies make of each.

use crate::client::request::Request;
use crate::command::CommandRef;
use crate::policy::{Decision, Lifetime, Policies, govern};
use crate::resp::{Limits, scan_request, write};
use crate::slot::{Slot, slot_of};

/// The keys of a request whose arguments from the second on are keys (`step` 1) or keys and values (`step` 2): each
/// with its slot, those of a slot side by side in the client's order, which decides between duplicates.
pub fn keys_by_slot(request: &Request, step: usize) -> Vec<(Slot, u32)> {
    let mut keys: Vec<(Slot, u32)> = (1..request.argc())
        .step_by(step)
        .map(|at| (slot_of(request.arg(at)), at as u32))
        .collect();
    keys.sort_by_key(|&(slot, _)| slot.0);
    keys
}

/// Appends the part with these keys.
pub fn write_part(request: &Request, keys: &[(Slot, u32)], step: usize, out: &mut Vec<u8>) {
    write::array(out, 1 + keys.len() * step);
    write::bulk(out, request.arg(0));
    for &(_, at) in keys {
        for offset in 0..step {
            write::bulk(out, request.arg(at as usize + offset));
        }
    }
}

/// What the policies make of one part, with the bytes that are sent instead in `rewritten`; `None` if they have
/// nothing to say about such a command.
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
    scan_request(part, &Limits::default(), &mut args).ok()?;
    let request = Request {
        bytes: part,
        args: &args,
    };
    Some(govern(&request, command, policies, now, rewritten))
}
