//! The parts of a command whose keys are in several slots, one for each slot: what they are made of, and what the
//! policies make of each.

use crate::client::request::Request;
use crate::command::CommandRef;
use crate::policy::{self, Decision, Lifetime, Policies, govern};
use crate::resp::{Span, write};
use crate::slot::{Slot, slot_of};

use super::Knowledge;

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

/// Writes the part with these keys over whatever is in `out`.
pub fn write_part(request: &Request, keys: &[(Slot, u32)], step: usize, out: &mut Vec<u8>) {
    out.clear();
    write::array(out, 1 + keys.len() * step);
    write::bulk(out, request.arg(0));
    for &(_, at) in keys {
        for offset in 0..step {
            write::bulk(out, request.arg(at as usize + offset));
        }
    }
}

/// What the policies make of the part with these keys, whose bytes are `part`, with the bytes that are sent instead, or the
/// error, in `rewritten`; `None` if they have nothing to say about such a command.
pub fn govern_part(
    policies: &Policies,
    command: CommandRef,
    part: &Part,
    now: fn() -> u64,
    rewritten: &mut Vec<u8>,
) -> Option<Decision> {
    if !policies.is_active() || command.lifetime() == Lifetime::Untouched {
        return None;
    }
    let args = part.args();
    let request = Request {
        bytes: part.bytes,
        args: &args,
    };
    Some(govern(&request, command, policies, now, rewritten))
}

/// A part as [`write_part`] has written it.
pub struct Part<'a> {
    /// The whole request.
    pub request: &'a Request<'a>,
    /// Its keys.
    pub keys: &'a [(Slot, u32)],
    /// Arguments per key.
    pub step: usize,
    /// What was written.
    pub bytes: &'a [u8],
}

impl Part<'_> {
    /// Where its arguments lie. They are where they were written: nothing is searched for, so that nothing can be missed.
    fn args(&self) -> Vec<Span> {
        let count = 1 + self.keys.len() * self.step;
        let mut args = Vec::with_capacity(count);
        let mut digits = itoa::Buffer::new();
        // A sign and a number in one line, ahead of the arguments and of each of them.
        let mut header = |number: usize| 1 + digits.format(number).len() + 2;
        let mut at = header(count);
        let mut place = |index: usize| {
            let len = self.request.arg(index).len();
            let start = at + header(len);
            args.push(Span {
                start: start as u32,
                end: (start + len) as u32,
            });
            at = start + len + 2;
        };
        place(0);
        for &(_, key) in self.keys {
            for offset in 0..self.step {
                place(key as usize + offset);
            }
        }
        args
    }
}

/// A part with what the policies made of it.
pub struct Governed {
    /// The slot of its keys.
    pub slot: Slot,
    /// The part itself.
    pub own: Vec<u8>,
    /// What is sent instead, if anything is, or the error that the client gets.
    pub instead: Vec<u8>,
    /// What the policies decided.
    pub decision: Decision,
}

impl Governed {
    /// Whether it must not be sent.
    pub fn is_refused(&self) -> bool {
        self.decision.governed == policy::Governed::Refused
    }
}

/// All parts of a request, whose keys are those of `groups`.
pub fn governed_parts(
    request: &Request,
    groups: &[&[(Slot, u32)]],
    step: usize,
    command: CommandRef,
    knowledge: &Knowledge,
) -> Vec<Governed> {
    let part = |keys: &&[(Slot, u32)]| {
        let (mut own, mut instead) = (Vec::new(), Vec::new());
        write_part(request, keys, step, &mut own);
        let written = Part {
            request,
            keys,
            step,
            bytes: &own,
        };
        let (policies, now) = (knowledge.policies, knowledge.now);
        let decision = govern_part(policies, command, &written, now, &mut instead);
        Governed {
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
    use crate::resp::{Limits, scan_request};

    #[test]
    fn the_arguments_of_a_part_are_where_they_were_written() {
        let long = vec![b'x'; 1000];
        for step in [1, 2] {
            for keys in [1, 4, 5, 9, 10, 100] {
                let mut words: Vec<&[u8]> = vec![b"MSET"];
                for number in 0..keys * step {
                    words.push(&long[..number * 7 % 1000]);
                }
                let mut bytes = Vec::new();
                write::request(&mut bytes, &words);
                let mut args = Vec::new();
                scan_request(&bytes, &Limits::default(), &mut args).expect("a request");
                let request = Request {
                    bytes: &bytes,
                    args: &args,
                };
                for part in keys_by_slot(&request, step).chunks(7) {
                    let mut written = Vec::new();
                    write_part(&request, part, step, &mut written);
                    let mut scanned = Vec::new();
                    scan_request(&written, &Limits::default(), &mut scanned).expect("a part");
                    let part = Part {
                        request: &request,
                        keys: part,
                        step,
                        bytes: &written,
                    };
                    assert_eq!(part.args(), scanned, "{step} {keys}");
                }
            }
        }
    }
}
