//! The outcome of a request in words: the bytes sent and their connection, or the error that refuses it.

use super::Surroundings;
use super::parts::ExplainedPart;
use crate::command::{self, OwnAnswer};
use crate::policy::{Governed, Policies, ReplyConversion};
use crate::resp::request::Request;
use crate::route::all_nodes::Recipients;
use crate::route::{Plan, TransactionCommand};

pub(super) fn lane(
    request: &Request,
    plan: &Plan,
    parts: &[ExplainedPart],
    around: Surroundings,
) -> &'static str {
    if matches!(
        plan,
        Plan::Forward { wait: Some(_), .. } | Plan::Acknowledged { .. }
    ) {
        return "a connection of its own, as it may be held up";
    }
    match plan {
        Plan::Everywhere {
            recipients: Recipients::NodesDedicated,
            ..
        } => return "connections of its own, one to each node",
        Plan::Everywhere {
            recipients: Recipients::PrimariesDedicated,
            ..
        } => return "connections of its own, past what holds up the shared ones",
        _ => {}
    }
    let threshold = around.config.cluster.connections.bulk_threshold;
    let longest = parts
        .iter()
        .map(|part| part.own.len().max(part.instead.len()));
    if request.bytes.len().max(longest.max().unwrap_or(0)) > threshold {
        "a connection of its own, as the request is big"
    } else if parts.len() == 1 && around.nodes.expects_big_reply(request) {
        "a connection of its own, as replies to such requests have been big"
    } else {
        "shared with other clients"
    }
}

/// The error that a plan answers with.
pub(super) fn refusal(plan: &Plan, parts: &[ExplainedPart]) -> Option<String> {
    let text = match plan {
        Plan::Forward { .. } => return parts.first().and_then(ExplainedPart::refusal),
        Plan::Refuse(reply, _) | Plan::Unknown(reply) => reply.strip_prefix(b"-").unwrap_or(reply),
        _ => return None,
    };
    let text = String::from_utf8_lossy(text);
    // A blank at the end is part of the error.
    Some(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// A note about keys that the reply leaves out.
pub(super) fn hidden(plan: &Plan, policies: &Policies) -> &'static str {
    let lists_keys = match plan {
        Plan::Scan { .. } => true,
        Plan::Everywhere { merge, .. } => merge.lists_keys(),
        _ => false,
    };
    if lists_keys && policies.hides_keys() {
        "; keys of no namespace are left out"
    } else {
        ""
    }
}

pub(super) fn outcome(plan: &Plan, parts: &[ExplainedPart]) -> String {
    match plan {
        Plan::Forward { decision, .. } => match &decision.governed {
            Governed::AsIs => "sent as it is".to_owned(),
            Governed::Rewritten(ReplyConversion::OkAsInteger) => {
                "sent as another command, whose +OK and nil are told as 1 and 0".to_owned()
            }
            Governed::Rewritten(_) => "sent as another command".to_owned(),
            Governed::Block(block) => {
                let how = if block.atomic {
                    "in one MULTI"
                } else {
                    "one right behind the other"
                };
                format!(
                    "sent as {} commands {how}; the client gets the reply to its own",
                    block.commands
                )
            }
            Governed::Refused(_) => "refused; nothing is sent".to_owned(),
        },
        Plan::Split { merge, .. } => format!(
            "sent in {} parts, one for each slot; replies become one: {}",
            parts.len(),
            command::docs::merged(*merge)
        ),
        Plan::Anywhere { .. } => {
            "sent as it is to any node, as no key of it can be found".to_owned()
        }
        Plan::Everywhere { merge, recipients, .. } => format!(
            "sent as it is to every {}; replies become one: {}",
            match recipients {
                Recipients::Primaries | Recipients::PrimariesDedicated => "primary",
                Recipients::NodesDedicated => "primary and every replica",
            },
            command::docs::merged(*merge)
        ),
        Plan::AnswerWithNodes(OwnAnswer::Config, _) => {
            "asked of the first primary that can be reached, and answered with slotmux' own settings and that node's about the data".to_owned()
        }
        Plan::AnswerWithNodes(..) => {
            "asked of every primary, and answered with slotmux' own figures and theirs about the data".to_owned()
        }
        Plan::Acknowledged { merge } => format!(
            "sent to every primary that the client has written to, behind a command of slotmux' own, over connections \
             of their own; replies become one: {}",
            command::docs::merged(*merge)
        ),
        Plan::Scan { .. } => {
            "sent to one primary after the other, with that node's own cursor; the client's tells which is next"
                .to_owned()
        }
        Plan::Publish { .. } => {
            "sent as it is to the node of its channel's slot".to_owned()
        }
        Plan::Subscription(_) => {
            "answered by slotmux once the node of the channel sends it messages; a channel is no key"
                .to_owned()
        }
        Plan::Answer(..) => "answered by slotmux itself; nothing is sent".to_owned(),
        Plan::Transaction(TransactionCommand::Watch { slot, .. }) => match slot {
            Some(_) => "sent as it is, over a connection of the client's own until EXEC".to_owned(),
            None => "sent in a part for each slot, over a connection of the client's own each until EXEC".to_owned(),
        },
        Plan::Transaction(_) => {
            "belongs to a transaction, of which nothing is sent before its EXEC".to_owned()
        }
        Plan::Refuse(..) | Plan::Unknown(_) => "refused; nothing is sent".to_owned(),
    }
}
