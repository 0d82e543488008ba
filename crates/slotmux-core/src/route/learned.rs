//! Commands that the table lacks: where each goes, by its description and by how many nodes there are.

use crate::command::{
    BlockingTimeout, CommandRef, HeldCommand, KEYLESS, Learned, LearnedCommand, LearnedRoute,
    Merge, Unresolved, refused_error,
};
use crate::policy::{Decision, RefusalRule, permitted_everywhere};
use crate::resp::request::Request;
use crate::slot::{Slot, slot_of};

use super::all_nodes::Recipients;
use super::by_keys::{UNTOLD_KEYS, blocking, keyed, split_or_whole};
use super::lacking::lacking;
use super::{Knowledge, Plan, error_reply, refuse, refuse_by, refuse_command};

/// The end of the error for an unknown command without arguments, as most versions have it.
const NO_ARGUMENTS: &[u8] = b", with args beginning with: ";
/// The reason to refuse a command about an index of which each node has a share.
const SHARE: &str =
    "the search module has no coordinator here, so that an index has the keys of one node only";
/// The reason to refuse a command whose keys only the server can find.
const HIDDEN_KEYS: &str =
    "slotmux learned it from the server, and nothing tells where its keys are";
/// The setting that permits it.
const PERMIT: &str = "commands.one_node lets it go to one node";

/// Plans a command that the table lacks: known only to the upstream, or unknown.
pub(super) fn plan_learned(
    request: &Request,
    knowledge: &Knowledge,
    unresolved: &Unresolved,
    rewritten: &mut Vec<u8>,
) -> Plan {
    let error = || {
        let known = match *unresolved {
            Unresolved::Arity(command) | Unresolved::Subcommand(command) => {
                lacking(request, command, knowledge)
            }
            Unresolved::Command => None,
        };
        known.unwrap_or_else(|| {
            let mut text = unresolved.error(request.bytes, request.args);
            if request.argc() == 1 && knowledge.server.lists_only_arguments_that_are_there() {
                let bare = text.strip_suffix(NO_ARGUMENTS).map(<[u8]>::len);
                text.truncate(bare.unwrap_or(text.len()));
            }
            Plan::Unknown(error_reply(&text))
        })
    };
    let Some(learned) = knowledge.learned else {
        return error();
    };
    let Some(command) = learned.resolve(request.bytes, request.args) else {
        return error();
    };
    if !command.arity_ok(request.argc()) {
        return Plan::Unknown(error_reply(command.arity_error().as_bytes()));
    }
    let by_ref = CommandRef::Learned(command);
    match command.route {
        LearnedRoute::Keyed => keyed(request, by_ref, knowledge, rewritten),
        LearnedRoute::Blocking => blocking(request, by_ref, knowledge, rewritten),
        LearnedRoute::Split(shape, merge) => {
            let command = HeldCommand::Learned(command.clone());
            split_or_whole(request, command, shape, merge, knowledge, rewritten)
        }
        LearnedRoute::AnyNode => keyless(command, knowledge),
        LearnedRoute::AllPrimaries(merge) => all_primaries(command, merge, knowledge),
        LearnedRoute::ListsIndexes if learned.has_search_coordinator() => {
            keyless(command, knowledge)
        }
        LearnedRoute::ListsIndexes => all_primaries(command, Merge::Union, knowledge),
        LearnedRoute::Coordinated if learned.has_search_coordinator() => {
            keyless(command, knowledge)
        }
        LearnedRoute::OneNode | LearnedRoute::Coordinated => one_node(command, knowledge),
        LearnedRoute::OfIndex { at } => of_index(request, command, at, learned, knowledge),
        LearnedRoute::HiddenKeys if knowledge.is_one_node && !knowledge.policies.is_active() => {
            keyless(command, knowledge)
        }
        LearnedRoute::HiddenKeys => refuse_command(&command.full_name, HIDDEN_KEYS),
        LearnedRoute::Refused(reason) => refuse_command(&command.full_name, reason),
    }
}

/// Why the namespaces do not permit a command that may reach any key.
fn refused_everywhere(command: &LearnedCommand, knowledge: &Knowledge) -> Option<Plan> {
    let drops = command.full_name.starts_with("ft.") && command.full_name.contains("drop");
    if let Err(refusal) = permitted_everywhere(&command.full_name, drops, knowledge.policies) {
        return Some(refuse_by(&refusal));
    }
    None
}

/// Why a command is refused that may show keys of no namespace, if these are hidden.
fn refused_for_hidden(command: &LearnedCommand, knowledge: &Knowledge) -> Option<Plan> {
    knowledge.policies.hides_keys().then(|| {
        let text = format!(
            "ERR slotmux: '{}' is refused, as it may show keys of no namespace (unmatched = \"reject\")",
            command.full_name
        );
        refuse(RefusalRule::Unmatched, &text)
    })
}

/// A command without keys that any node may run.
fn keyless(command: &LearnedCommand, knowledge: &Knowledge) -> Plan {
    if let Some(refused) = refused_everywhere(command, knowledge) {
        return refused;
    }
    let write = !command.is_readonly();
    if !command.blocks() {
        return Plan::Anywhere { write };
    }
    Plan::Forward {
        slot: Slot(0),
        write,
        decision: Decision::NONE,
        wait: Some(BlockingTimeout::UNTOLD),
    }
}

/// A command of which each primary has a share.
fn all_primaries(command: &LearnedCommand, merge: Merge, knowledge: &Knowledge) -> Plan {
    if let Some(refused) = refused_everywhere(command, knowledge) {
        return refused;
    }
    Plan::Everywhere {
        merge,
        write: !command.is_readonly(),
        recipients: Recipients::Primaries,
    }
}

/// A command whose meaning is not known: one node is enough if it is the only one, or if the configuration says so.
fn one_node(command: &LearnedCommand, knowledge: &Knowledge) -> Plan {
    let is_permitted = knowledge.commands.may_go_to_one_node(&command.full_name);
    if !is_permitted && !knowledge.is_one_node {
        return refuse_without_permit(command, KEYLESS);
    }
    // It may create keys that slotmux cannot see.
    if !is_permitted && !command.is_readonly() && knowledge.policies.is_active() {
        return refuse(RefusalRule::UncertainKeys, UNTOLD_KEYS);
    }
    refused_for_hidden(command, knowledge).unwrap_or_else(|| keyless(command, knowledge))
}

/// A command about an index, whose name stands in argument `at`.
fn of_index(
    request: &Request,
    command: &LearnedCommand,
    at: usize,
    learned: &Learned,
    knowledge: &Knowledge,
) -> Plan {
    let is_whole = knowledge.is_one_node || learned.has_search_coordinator();
    if !is_whole && !knowledge.commands.may_go_to_one_node(&command.full_name) {
        return refuse_without_permit(command, SHARE);
    }
    if let Some(refused) =
        refused_everywhere(command, knowledge).or_else(|| refused_for_hidden(command, knowledge))
    {
        return refused;
    }
    let write = !command.is_readonly();
    if at >= request.argc() {
        return Plan::Anywhere { write };
    }
    // Always the same node for an index: it has the cursors of FT.AGGREGATE, and without a coordinator the index. While
    // a coordinator waits for the other nodes, it blocks the connection.
    let waits = command.blocks() || (learned.has_search_coordinator() && !knowledge.is_one_node);
    Plan::Forward {
        slot: slot_of(request.arg(at)),
        write,
        decision: Decision::NONE,
        wait: waits.then_some(BlockingTimeout::UNTOLD),
    }
}

fn refuse_without_permit(command: &LearnedCommand, reason: &str) -> Plan {
    let text = refused_error(&command.full_name, &format!("{reason}; {PERMIT}"));
    refuse(RefusalRule::OneNode, &text)
}

#[cfg(test)]
mod tests;
