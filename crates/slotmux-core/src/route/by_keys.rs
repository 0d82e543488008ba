//! Commands with keys: to the node of their slot, or split by the slots of their keys.

use crate::command::{BlockingTimeout, CommandRef, KeyError, KeySpec, Merge};
use crate::policy::{Decision, RefusalRule, govern, permitted};
use crate::resp::request::Request;
use crate::slot::{Slot, slot_of};

use super::{Knowledge, Plan, cross_slot, refuse, refuse_by};

const UNTOLD_KEYS: &str = "ERR slotmux: the keys of this request cannot be found in it as the server says that they can, and there \
    are namespaces with policies";

/// Arguments per key.
fn step(keys: &KeySpec) -> usize {
    match keys {
        KeySpec::Range { step, .. } => usize::from(*step).max(1),
        _ => 1,
    }
}

/// A command with keys: to their slot, if it is one.
pub(super) fn keyed(
    request: &Request,
    command: CommandRef,
    knowledge: &Knowledge,
    rewritten: &mut Vec<u8>,
) -> Plan {
    let slots = slot_of_keys(request, command);
    one_slot(request, command, slots, knowledge, rewritten)
}

/// A command that may hold its connection up.
pub(super) fn blocking(
    request: &Request,
    command: CommandRef,
    knowledge: &Knowledge,
    rewritten: &mut Vec<u8>,
) -> Plan {
    let patience = BlockingTimeout::of(command, request.bytes, request.args);
    match keyed(request, command, knowledge, rewritten) {
        Plan::Forward {
            slot,
            write,
            decision,
            ..
        } => Plan::Forward {
            slot,
            write,
            decision,
            wait: patience,
        },
        // It is malformed, as far as is known here. A node that thinks otherwise holds up this client alone.
        Plan::Anywhere { write } if patience.is_some() => Plan::Forward {
            slot: Slot(0),
            write,
            decision: Decision::NONE,
            wait: patience,
        },
        other => other,
    }
}

/// The slots of a request's keys, as far as it matters.
#[derive(Default)]
pub(super) struct Slots {
    pub first: Option<Slot>,
    pub differs: bool,
}

pub(super) fn slot_of_keys(request: &Request, command: CommandRef) -> Result<Slots, KeyError> {
    let mut slots = Slots::default();
    command.for_each_key(request.bytes, request.args, |at| {
        // Once two slots differ the others do not matter; there may be a million.
        if !slots.differs {
            let slot = slot_of(request.arg(at));
            slots.differs = *slots.first.get_or_insert(slot) != slot;
        }
    })?;
    Ok(slots)
}

pub(super) fn one_slot(
    request: &Request,
    command: CommandRef,
    slots: Result<Slots, KeyError>,
    knowledge: &Knowledge,
    rewritten: &mut Vec<u8>,
) -> Plan {
    let write = !command.is_readonly();
    match slots {
        // For a command that the table lacks, it is unknown whether servers refuse such a request.
        Err(_) if matches!(command, CommandRef::Learned(_)) && knowledge.policies.is_active() => {
            refuse(RefusalRule::UncertainKeys, UNTOLD_KEYS)
        }
        // A request whose keys can't be found is malformed, and any node says how.
        Err(_) | Ok(Slots { first: None, .. }) => Plan::Anywhere { write },
        Ok(Slots { differs: true, .. }) if !knowledge.is_one_node => {
            cross_slot::plan(request, command, knowledge, rewritten)
        }
        Ok(Slots {
            first: Some(slot), ..
        }) => Plan::Forward {
            slot,
            write,
            decision: if knowledge.policies.is_active() {
                govern(
                    request,
                    command,
                    knowledge.policies,
                    knowledge.now,
                    rewritten,
                )
            } else {
                Decision::NONE
            },
            wait: None,
        },
    }
}

/// A command whose keys are in several slots.
pub(super) fn split(
    request: &Request,
    command: CommandRef<'static>,
    merge: Merge,
    knowledge: &Knowledge,
) -> Plan {
    let step = match command {
        CommandRef::Table(command) => step(&command.keys),
        CommandRef::Learned(_) => 1,
    };
    match permitted(request, command, knowledge.policies) {
        Ok(namespace) => Plan::Split {
            merge,
            step,
            write: !command.is_readonly(),
            namespace,
            command,
        },
        Err(refusal) => refuse_by(&refusal),
    }
}
