//! Commands whose keys are in several slots and which no node can run as they are: which of them slotmux runs all the
//! same, and by which program. Pure decisions; `engine/cross_slot` carries the programs out.

use crate::command::{CommandRef, KeySpec, Lifetime, Route};
use crate::config::CrossSlot;
use crate::policy::{Decision, NamespaceId, Refusal, RefusalRule, govern};
use crate::resp::request::Request;

use super::{CROSS_SLOT, Knowledge, Plan, refuse, refuse_by};

pub mod brought;
pub mod names;
pub mod parts;
pub mod steps;

/// The program by which a command over several slots runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The keys of other slots are copied to the slot of the written key, or of the first key, under temporary names; a
    /// node computes there.
    Bring {
        /// Index of the key that is written.
        written: Option<usize>,
    },
    /// The keys are tried in their order, until one has elements: LMPOP, ZMPOP.
    FirstOf,
    /// Each slot gets its streams, and the replies are joined: XREAD, XREADGROUP.
    Streams,
    /// RENAME and RENAMENX: the destination is written before the source is removed.
    Rename {
        /// Whether an existing destination is kept: RENAMENX.
        is_nx: bool,
    },
    /// SMOVE: the member is parked in the slot of its source until the destination has it.
    MoveMember,
    /// LMOVE, RPOPLPUSH: the element is parked in the slot of its source until the destination has it.
    MoveElement,
    /// MSETNX: all keys are found missing, then each slot gets its part.
    SetAllNew,
}

impl Program {
    /// The program for a request whose keys are in several slots. `None`: no program runs it.
    pub fn of(request: &Request, command: CommandRef) -> Option<Program> {
        let CommandRef::Table(known) = command else {
            // A module may keep more in its values than DUMP shows, and does not declare which key it writes.
            return None;
        };
        // A script sees the names of its keys, so that other names would be another call.
        if known.route == Route::Script || command.blocks(request.bytes, request.args) {
            return None;
        }
        match known.full_name {
            "rename" => return Some(Program::Rename { is_nx: false }),
            "renamenx" => return Some(Program::Rename { is_nx: true }),
            "smove" => return Some(Program::MoveMember),
            "lmove" | "rpoplpush" => return Some(Program::MoveElement),
            "msetnx" => return Some(Program::SetAllNew),
            "lmpop" | "zmpop" => return Some(Program::FirstOf),
            // These move as well, with replies of their own.
            "lmovem" | "msetex" => return None,
            _ => {}
        }
        if known.keys == KeySpec::Streams {
            return Some(Program::Streams);
        }
        if known.is_readonly() {
            return Some(Program::Bring { written: None });
        }
        match known.lifetime {
            Lifetime::Creates { at } => Some(Program::Bring {
                written: Some(usize::from(at)),
            }),
            Lifetime::Stores => {
                let (mut written, mut count) = (0, 0);
                let all = command.for_each_written_key(request.bytes, request.args, |at| {
                    written = at;
                    count += 1;
                });
                // After an unknown word there may be several, of which the server takes one.
                (all.is_ok() && count == 1).then_some(Program::Bring {
                    written: Some(written),
                })
            }
            _ => None,
        }
    }

    /// The least that the setting of the keys has to be.
    fn needs(self, command: CommandRef) -> CrossSlot {
        match self {
            Program::FirstOf => CrossSlot::Reads,
            _ if command.is_readonly() => CrossSlot::Reads,
            _ => CrossSlot::All,
        }
    }
}

/// Plans a command whose keys are in several slots.
pub(super) fn plan(
    request: &Request,
    command: CommandRef,
    knowledge: &Knowledge,
    rewritten: &mut Vec<u8>,
) -> Plan {
    let (Some(program), CommandRef::Table(known)) = (Program::of(request, command), command) else {
        return refuse(RefusalRule::Inherent, CROSS_SLOT);
    };
    if let Err(refusal) = check(request, command, program, knowledge) {
        return refuse_by(&refusal);
    }
    let decision = if knowledge.policies.is_active() {
        govern(
            request,
            command,
            knowledge.policies,
            knowledge.now,
            rewritten,
        )
    } else {
        Decision::NONE
    };
    Plan::CrossSlot {
        program,
        command: known,
        write: !command.is_readonly(),
        decision,
    }
}

/// Whether the settings of all keys permit the program.
fn check(
    request: &Request,
    command: CommandRef,
    program: Program,
    knowledge: &Knowledge,
) -> Result<(), Refusal> {
    let policies = knowledge.policies;
    let mut strictest: Option<(CrossSlot, NamespaceId)> = None;
    // Keys that cannot be found have no slots that differ.
    let _ = command.for_each_key(request.bytes, request.args, |at| {
        let namespace = policies.find(request.arg(at));
        let setting = policies.cross_slot(namespace);
        if strictest.is_none_or(|(other, _)| setting < other) {
            strictest = Some((setting, namespace));
        }
    });
    let (setting, namespace) = strictest.unwrap_or_default();
    let needed = program.needs(command);
    if setting >= needed {
        return Ok(());
    }
    let reason = RefusalRule::CrossSlot.of(namespace);
    if setting == CrossSlot::Reject {
        return Err(reason.with(CROSS_SLOT.to_owned()));
    }
    let whose = policies
        .get(namespace)
        .map_or("of [defaults.namespace]".to_owned(), |policy| {
            format!("of namespace '{}'", policy.name)
        });
    Err(reason.with(format!(
        "{CROSS_SLOT}, and cross_slot = \"reads\" {whose}; \"all\" would run it, which is not atomic"
    )))
}

#[cfg(test)]
mod tests;
