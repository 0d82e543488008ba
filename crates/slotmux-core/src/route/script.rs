//! A call of a script or function: sent to the node of its declared keys, if the rules permit it. One without keys goes to
//! a node that its script and arguments determine, so that a repeated call is answered by the same data.

use crate::command::{Command, CommandRef};
use crate::policy::Decision;
use crate::resp::request::Request;
use crate::scripts::digest_of_call;
use crate::slot::{SLOTS, Slot};

use super::{Knowledge, Plan, Slots, one_slot, other_database, refuse_by, slot_of_keys};

/// The plan for EVAL, EVALSHA, FCALL and their read-only forms.
pub(super) fn call(
    request: &Request,
    command: &'static Command,
    knowledge: &Knowledge,
    rewritten: &mut Vec<u8>,
) -> Plan {
    match call_among_others(request, command, knowledge, rewritten) {
        Plan::Anywhere { write } if !knowledge.is_one_node => Plan::Forward {
            slot: slot_of_call(request),
            write,
            decision: Decision::NONE,
            wait: None,
        },
        plan => plan,
    }
}

/// The same slot for the same script and arguments.
fn slot_of_call(request: &Request) -> Slot {
    Slot((digest_of_call(request) % SLOTS as u32) as u16)
}

/// As [`call`], inside a transaction: a call without keys runs where the other commands do.
pub(super) fn call_among_others(
    request: &Request,
    command: &'static Command,
    knowledge: &Knowledge,
    rewritten: &mut Vec<u8>,
) -> Plan {
    let by_table = CommandRef::Table(command);
    let slots = slot_of_keys(request, by_table);
    // A request whose keys can't be found counts as one without declared keys: no node is asked to find them.
    let has_keys = matches!(slots, Ok(Slots { first: Some(_), .. }));
    let (name, reads) = (command.full_name, command.is_readonly());
    if name == "eval"
        && let Some(refusal) = other_database::code(request, 1, name, knowledge)
    {
        return refusal;
    }
    match knowledge.policies.script_refusal(name, reads, has_keys) {
        Some(refusal) => refuse_by(&refusal),
        None => one_slot(request, by_table, slots, knowledge, rewritten),
    }
}
