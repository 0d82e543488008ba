//! Commands with keys: to the node of their slot, or split by the slots of their keys.

use crate::command::split::{MOST_REPEATED, SplitShape};
use crate::command::{BlockingTimeout, CommandRef, HeldCommand, KeyError, KeySpec, Merge};
use crate::policy::{Decision, Governed, RefusalRule, govern, permitted};
use crate::resp::request::Request;
use crate::slot::{Slot, slot_of};

use super::lacking::lacking_rewritten;
use super::{CROSS_SLOT, Knowledge, Plan, error_reply, refuse, refuse_by};

pub(super) const UNTOLD_KEYS: &str = "ERR slotmux: the keys of this request cannot be found in it as the server says that they can, and there \
    are namespaces with policies";

/// Where the keys of a split command of the table are.
pub(super) fn shape_of(keys: &KeySpec) -> SplitShape {
    SplitShape::of_step(match keys {
        KeySpec::Range { step, .. } => (*step).max(1),
        _ => 1,
    })
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
            refuse(RefusalRule::Inherent, CROSS_SLOT)
        }
        Ok(Slots {
            first: Some(slot), ..
        }) => {
            let mut decision = Decision::NONE;
            if knowledge.policies.is_active() {
                let Knowledge { policies, now, .. } = *knowledge;
                decision = govern(request, command, policies, now, rewritten);
                if matches!(decision.governed, Governed::Rewritten(_))
                    && let CommandRef::Table(command) = command
                    && let Some(error) = lacking_rewritten(request, command, knowledge)
                {
                    return error;
                }
            }
            Plan::Forward {
                slot,
                write,
                decision,
                wait: None,
            }
        }
    }
}

/// A command with keys that may be in several slots.
pub(super) fn split_or_whole(
    request: &Request,
    command: HeldCommand,
    shape: SplitShape,
    merge: Merge,
    knowledge: &Knowledge,
    rewritten: &mut Vec<u8>,
) -> Plan {
    match slot_of_keys(request, command.by_ref()) {
        Ok(slots) if slots.differs && !knowledge.is_one_node => {
            split(request, command, shape, merge, knowledge)
        }
        slots => one_slot(request, command.by_ref(), slots, knowledge, rewritten),
    }
}

/// A command whose keys are in several slots.
fn split(
    request: &Request,
    command: HeldCommand,
    shape: SplitShape,
    merge: Merge,
    knowledge: &Knowledge,
) -> Plan {
    if let HeldCommand::Learned(learned) = &command {
        // The table has the number of arguments; of a learned command only a node would find that one is missing.
        if !shape.fits(request.argc()) {
            return Plan::Unknown(error_reply(learned.arity_error().as_bytes()));
        }
        let repeated = shape.repeated(request.argc());
        if repeated.map(|at| request.arg(at).len()).sum::<usize>() > MOST_REPEATED {
            let text = format!(
                "ERR slotmux: not executed, the keys are in several slots, and what goes to each of them besides its \
                 keys has at most {MOST_REPEATED} bytes here"
            );
            return refuse(RefusalRule::Inherent, &text);
        }
    }
    match permitted(request, command.by_ref(), knowledge.policies) {
        Ok(namespace) => Plan::Split {
            merge,
            shape,
            write: !command.by_ref().is_readonly(),
            namespace,
            command,
        },
        Err(refusal) => refuse_by(&refusal),
    }
}
