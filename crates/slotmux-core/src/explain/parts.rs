//! The parts that a plan sends: a request, or one part for each slot, each with the decision of the policies.

use std::borrow::Cow;

use super::{MOST, NodeDirectory, words};
use crate::policy::{Decision, Governed, RefusalReason};
use crate::resp::request::Request;
use crate::route::parts::{self, governed_parts, keys_by_slot};
use crate::route::{Knowledge, Plan};
use crate::slot::Slot;

/// A request, or a part of one, on its way to one node.
pub(super) struct ExplainedPart<'a> {
    pub slot: Option<Slot>,
    /// The client's command, or the part of it.
    pub own: Cow<'a, [u8]>,
    /// The bytes to send instead, if any, or the error for the client.
    pub instead: Vec<u8>,
    pub decision: Decision,
}

impl ExplainedPart<'_> {
    /// The error that the client gets instead, if that is what the policy decided.
    pub fn refusal(&self) -> Option<String> {
        let is_refused = self.decision.governed.is_refused();
        is_refused.then(|| String::from_utf8_lossy(&self.instead).into_owned())
    }

    /// The reason for it.
    pub fn refusal_reason(&self) -> Option<RefusalReason> {
        match self.decision.governed {
            Governed::Refused(reason) => Some(reason),
            _ => None,
        }
    }
}

/// The parts that a plan sends. `rewritten` is what it left there.
pub(super) fn parts<'a>(
    request: &Request<'a>,
    plan: &Plan,
    knowledge: &Knowledge,
    rewritten: Vec<u8>,
) -> Vec<ExplainedPart<'a>> {
    let whole = |slot, decision, instead| ExplainedPart {
        slot,
        own: Cow::Borrowed(request.bytes),
        instead,
        decision,
    };
    match plan {
        Plan::Forward { slot, decision, .. } => {
            vec![whole(Some(*slot), *decision, rewritten)]
        }
        Plan::Publish { slot, .. } => vec![whole(Some(*slot), Decision::NONE, Vec::new())],
        Plan::Anywhere { .. }
        | Plan::Everywhere { .. }
        | Plan::AnswerWithNodes(..)
        | Plan::Acknowledged { .. }
        | Plan::Scan { .. } => {
            vec![whole(None, Decision::NONE, Vec::new())]
        }
        Plan::Split { shape, command, .. } => {
            let keys = keys_by_slot(request, *shape);
            let groups: Vec<&[(Slot, u32)]> = keys.chunk_by(|a, b| a.0 == b.0).collect();
            let parts = governed_parts(request, &groups, *shape, command.by_ref(), knowledge);
            let part = |part: parts::GovernedPart| ExplainedPart {
                slot: Some(part.slot),
                own: Cow::Owned(part.own),
                instead: part.instead,
                decision: part.decision,
            };
            parts.into_iter().map(part).collect()
        }
        Plan::Answer(..)
        | Plan::Subscription(_)
        | Plan::Transaction(_)
        | Plan::Refuse(..)
        | Plan::Unknown(_) => Vec::new(),
    }
}

/// The commands of all parts.
pub(super) fn sends(parts: &[ExplainedPart], nodes: &dyn NodeDirectory) -> Vec<String> {
    let mut lines = Vec::new();
    for part in parts {
        let bytes = match part.decision.governed {
            Governed::AsIs => &part.own,
            Governed::Rewritten(_) | Governed::Block(_) => &*part.instead,
            Governed::Refused(_) => continue,
        };
        for line in words::commands(bytes, MOST) {
            lines.push(match part.slot {
                Some(slot) if parts.len() > 1 => match nodes.of_slot(slot) {
                    Ok(node) => format!("slot {} at {node}: {line}", slot.0),
                    Err(_) => format!("slot {}: {line}", slot.0),
                },
                _ => line,
            });
        }
        if lines.len() > MOST {
            lines.truncate(MOST);
            lines.push("... and more".to_owned());
            break;
        }
    }
    lines
}
