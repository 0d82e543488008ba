//! CLUSTER COUNTKEYSINSLOT and GETKEYSINSLOT, for clients to which slotmux looks like a cluster: sent to the slot's node.

use crate::command::Command;
use crate::policy::{Decision, RefusalRule, permitted_everywhere};
use crate::resp::number;
use crate::resp::request::Request;
use crate::slot::{SLOTS, Slot};

use super::{Knowledge, Plan, refuse, refuse_by, refuse_command};

/// The plan for `CLUSTER COUNTKEYSINSLOT slot` and `CLUSTER GETKEYSINSLOT slot count`. `None`: another subcommand, or a
/// malformed number, which slotmux answers itself.
pub(super) fn keys_in_slot(
    request: &Request,
    command: &Command,
    knowledge: &Knowledge,
) -> Option<Plan> {
    let count = match command.name {
        "countkeysinslot" => Some(0),
        "getkeysinslot" => number::parse_i64(request.arg(3)),
        _ => return None,
    };
    let slot = number::parse_i64(request.arg(2))?;
    let slot = u16::try_from(slot)
        .ok()
        .filter(|slot| usize::from(*slot) < SLOTS)?;
    count.filter(|count| *count >= 0)?;
    if command.name == "getkeysinslot" && knowledge.policies.hides_keys() {
        let text = "ERR slotmux: 'cluster|getkeysinslot' is refused, as it would name keys of no namespace (unmatched)";
        return Some(refuse(RefusalRule::Unmatched, text));
    }
    if knowledge.is_one_node {
        let reason = "behind slotmux is one plain Redis, which does not keep its keys by slot";
        return Some(refuse_command(command.full_name, reason));
    }
    // The keys may be any namespace's, as those of KEYS.
    Some(
        match permitted_everywhere(command.full_name, false, knowledge.policies) {
            Ok(()) => Plan::Forward {
                slot: Slot(slot),
                write: false,
                decision: Decision::NONE,
                wait: None,
            },
            Err(refusal) => refuse_by(&refusal),
        },
    )
}
