//! What would become of a request, told and not done: the namespace, the nodes, the commands that would be sent, the
//! arithmetic of its TTL and the configuration that decides. It asks the same [`plan`] as a request that is carried
//! out, and changes nothing.

use std::collections::HashSet;

use crate::command::Lifetime;
use crate::command::{self, CommandRef, OwnAnswer};
use crate::config::{Config, EffectiveSettings, TtlMode, UnknownCommands};
use crate::policy::{Actions, Decision, Governed, NamespaceId, Policies, ReplyConversion, docs};
use crate::resp::request::Request;
use crate::resp::{Limits, Span, scan_request};
use crate::route::all_nodes::Recipients;
use crate::route::{Knowledge, Plan, TransactionCommand, plan};
use crate::slot::Slot;

#[cfg(test)]
mod all_nodes_tests;
pub mod lifetimes;
mod parts;
mod render;
pub mod terms;
#[cfg(test)]
mod tests;
pub mod words;

use parts::{ExplainedPart, sends};
use terms::{KeyTerm, terms};

/// Lines of a list that are shown, such as the keys of a long MSET: an explanation is for people.
const MOST: usize = 32;

/// A source of facts about the nodes. Unknown facts are described in words.
pub trait NodeDirectory {
    /// The address of the node that serves a slot, or why it is not known.
    fn of_slot(&self, slot: Slot) -> Result<String, String>;
    /// The address of the node that gets what has no key.
    fn any(&self) -> String;
    /// The addresses of all primaries.
    fn primaries(&self) -> Vec<String>;
    /// The addresses of all nodes, replicas included.
    fn all(&self) -> Vec<String>;
    /// Whether the reply to such requests has been big of late.
    fn expects_big_reply(&self, request: &Request) -> bool;
}

/// All that an explanation depends on besides the request.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// What the plan depends on.
    pub knowledge: &'a Knowledge<'a>,
    /// The configuration.
    pub config: &'a Config,
    /// The configuration in words.
    pub settings: &'a EffectiveSettings,
    /// The nodes.
    pub nodes: &'a dyn NodeDirectory,
}

/// What would become of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// The request, shortened.
    pub command: String,
    /// What would become of it, in one sentence.
    pub outcome: String,
    /// The error that the client would get.
    pub reply: Option<String>,
    /// The namespaces of its keys, that of the first key first.
    pub namespaces: Vec<String>,
    /// The slots of its keys.
    pub slots: Vec<Slot>,
    /// The nodes that it would go to.
    pub nodes: Vec<String>,
    /// Over which kind of connection.
    pub lane: Option<&'static str>,
    /// The commands that would be sent, in their order. Those of several slots say for which one they are.
    pub sends: Vec<String>,
    /// The same if what is only observed were enforced; empty if that makes no difference.
    pub would_send: Vec<String>,
    /// For each key that it writes, what it gives, what the policy makes of it, and why.
    pub ttl: Vec<String>,
    /// What is done about commands of its kind.
    pub rule: Option<String>,
    /// What the policy does, by the names that metrics have; or would do, where it only observes.
    pub actions: Vec<&'static str>,
    /// The keys of the configuration that decide, with their values and where they come from.
    pub decided_by: Vec<String>,
}

/// Explains one request.
pub fn explain(request: &Request, around: Surroundings) -> Explanation {
    let Surroundings {
        knowledge, nodes, ..
    } = around;
    let planned = |policies, rewritten: &mut Vec<u8>| {
        let knowledge = Knowledge {
            policies,
            ..*knowledge
        };
        let command = command::resolve(request.bytes, request.args);
        plan(request, command, &knowledge, rewritten)
    };
    let mut rewritten = Vec::new();
    let plan = planned(knowledge.policies, &mut rewritten);
    let command = knowledge.command(request);
    let parts = parts::parts(request, &plan, knowledge, rewritten);

    let mut told = Explanation {
        command: words::command(request.args.iter().map(|arg| arg.of(request.bytes))),
        outcome: outcome(&plan, &parts) + hidden(&plan, knowledge.policies),
        reply: refusal(&plan, &parts),
        namespaces: namespaces(request, command, knowledge.policies),
        slots: parts
            .iter()
            .filter_map(|part| part.slot)
            .take(MOST)
            .collect(),
        rule: command
            .filter(|command| command.has_keys() && command.changes_keys())
            .filter(|_| knowledge.policies.is_active())
            .map(|command| {
                let lifetime = command.lifetime();
                let unseen = match lifetime {
                    Lifetime::Script => "; keys that it does not declare are not seen",
                    _ => "",
                };
                docs::sent(lifetime) + unseen
            }),
        ..Explanation::default()
    };
    if told.reply.is_none() {
        told.nodes = match &plan {
            Plan::AnswerWithNodes(OwnAnswer::Config, _) => {
                nodes.primaries().into_iter().take(1).collect()
            }
            Plan::Everywhere {
                recipients: Recipients::NodesDedicated,
                ..
            } => nodes.all(),
            Plan::Everywhere { .. } | Plan::AnswerWithNodes(..) | Plan::Scan { .. } => {
                nodes.primaries()
            }
            Plan::Anywhere { .. } => vec![nodes.any()],
            _ => distinct(told.slots.iter().map(|slot| {
                let node = nodes.of_slot(*slot);
                node.unwrap_or_else(|reason| format!("not known: {reason}"))
            })),
        };
        told.sends = sends(&parts, nodes);
        told.lane = (!parts.is_empty()).then(|| lane(request, &plan, &parts, around));
    }
    // What is only observed is explained as if it were enforced, in words that say so.
    let mut governing = parts;
    if observes(request, command, knowledge.policies) {
        let enforced = knowledge.policies.enforced();
        let mut rewritten = Vec::new();
        let plan = planned(&enforced, &mut rewritten);
        let as_enforced = Knowledge {
            policies: &enforced,
            ..*knowledge
        };
        governing = parts::parts(request, &plan, &as_enforced, rewritten);
        let would_send = match governing.first().and_then(ExplainedPart::refusal) {
            Some(text) => vec![format!("nothing: {text}")],
            None => sends(&governing, nodes),
        };
        if would_send != told.sends {
            told.would_send = would_send;
        }
    }
    if let Some(command) = command {
        explain_lifetimes(&mut told, command, &governing, around);
    }
    told.decided_by
        .extend(decided_refusal(&told, command, around));
    if !hidden(&plan, knowledge.policies).is_empty() {
        let setting = around.settings.of("defaults.namespace.unmatched");
        told.decided_by.extend(setting.map(ToString::to_string));
    }
    told
}

/// Explains the treatment of the written keys, and the deciding setting.
fn explain_lifetimes(
    told: &mut Explanation,
    command: CommandRef,
    parts: &[ExplainedPart],
    around: Surroundings,
) {
    let Knowledge { policies, now, .. } = *around.knowledge;
    if !policies.is_active() {
        return;
    }
    let mut actions = Actions::NONE;
    let mut keys: Vec<String> = Vec::new();
    for part in parts {
        let Decision {
            actions: done,
            governed,
            ..
        } = &part.decision;
        actions = actions.and(*done);
        let mut args = Vec::new();
        let own = request_of(&part.own, &mut args);
        let left = MOST - told.ttl.len();
        for term in terms(&own, command, policies, governed, &part.instead, now, left) {
            let lifetime = command.lifetime();
            told.ttl
                .push(lifetimes::sentence(&term, lifetime, policies));
            keys.extend(deciding(&term, command, policies));
        }
    }
    let mut written = 0;
    for part in parts {
        let mut args = Vec::new();
        let own = request_of(&part.own, &mut args);
        // Where no key can be found, none is written.
        let _ = command.for_each_written_key(own.bytes, own.args, |_| written += 1);
    }
    if written > told.ttl.len() {
        told.ttl
            .push(format!("... and {} more keys", written - told.ttl.len()));
    }
    told.actions = names(actions);
    let settings = distinct(keys.into_iter()).into_iter();
    let settings = settings.filter_map(|key| around.settings.of(&key));
    told.decided_by = settings.map(ToString::to_string).collect();
}

fn deciding(term: &KeyTerm, command: CommandRef, policies: &Policies) -> Vec<String> {
    let Some(policy) = policies.get(term.namespace) else {
        return Vec::new();
    };
    let keys = lifetimes::deciding(term, command.lifetime(), policies);
    let whole = |key| format!("namespace.{}.{key}", policy.name);
    keys.into_iter().map(whole).collect()
}

/// The names of actions, as metrics have them.
pub fn names(actions: Actions) -> Vec<&'static str> {
    let all = Actions::ALL.iter();
    let done = all.filter(|(action, _)| actions.contains(*action));
    done.map(|(_, name)| *name).collect()
}

fn lane(
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
fn refusal(plan: &Plan, parts: &[ExplainedPart]) -> Option<String> {
    let text = match plan {
        Plan::Forward { .. } => return parts.first().and_then(ExplainedPart::refusal),
        Plan::Refuse(reply) | Plan::Unknown(reply) => reply.strip_prefix(b"-").unwrap_or(reply),
        _ => return None,
    };
    let text = String::from_utf8_lossy(text);
    // A blank at the end is part of the error.
    Some(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// A note about keys that the reply leaves out.
fn hidden(plan: &Plan, policies: &Policies) -> &'static str {
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

fn outcome(plan: &Plan, parts: &[ExplainedPart]) -> String {
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
            Governed::Refused => "refused; nothing is sent".to_owned(),
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
            "asked of the first primary that can be reached, and answered with slotmux' own settings and its of the data".to_owned()
        }
        Plan::AnswerWithNodes(..) => {
            "asked of every primary, and answered with what slotmux says of itself and they say of the data".to_owned()
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
            None => "refused, as its keys are in several slots; nothing is sent".to_owned(),
        },
        Plan::Transaction(_) => {
            "belongs to a transaction, of which nothing is sent before its EXEC".to_owned()
        }
        Plan::Refuse(_) | Plan::Unknown(_) => "refused; nothing is sent".to_owned(),
    }
}

/// The name of keys that no namespace claims; no namespace can have this one.
pub const UNMATCHED: &str = "(none)";

fn namespaces(request: &Request, command: Option<CommandRef>, policies: &Policies) -> Vec<String> {
    let name = |id| policies.get(id).map_or(UNMATCHED, |policy| &policy.name);
    let ids = namespaces_of(request, command, policies).into_iter();
    ids.map(|id| name(id).to_owned()).collect()
}

/// The namespace of each key.
fn namespaces_of(
    request: &Request,
    command: Option<CommandRef>,
    policies: &Policies,
) -> Vec<NamespaceId> {
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    let mut note = |at: usize| {
        let namespace = policies.find(request.arg(at));
        if seen.insert(namespace) {
            found.push(namespace);
        }
    };
    if let Some(command) = command {
        // Where no key can be found, there is no namespace.
        let _ = command.for_each_key(request.bytes, request.args, &mut note);
        let _ = command.for_each_written_key(request.bytes, request.args, note);
    }
    found
}

fn observes(request: &Request, command: Option<CommandRef>, policies: &Policies) -> bool {
    let ttl = |id| policies.get(id).and_then(|policy| policy.ttl.as_ref());
    let ids = namespaces_of(request, command, policies).into_iter();
    ids.filter_map(ttl).any(|ttl| ttl.mode == TtlMode::Observe)
}

/// The setting that an error names in its last parentheses, as all errors of policies do; or the one that keeps unknown
/// commands from being learned.
fn decided_refusal(
    told: &Explanation,
    command: Option<CommandRef>,
    around: Surroundings,
) -> Option<String> {
    let text = told.reply.as_deref().or_else(|| {
        let would = told.would_send.first()?;
        would.strip_prefix("nothing: ")
    })?;
    if command.is_none() && around.config.commands.unknown == UnknownCommands::Reject {
        return around
            .settings
            .of("commands.unknown")
            .map(ToString::to_string);
    }
    if let Some(setting) = named_by_command(text, command, around) {
        return Some(setting);
    }
    let (_, named) = text.strip_suffix(')')?.rsplit_once('(')?;
    let named = named.split(' ').next()?;
    let name = text
        .split("namespace '")
        .nth(1)
        .and_then(|rest| rest.split('\'').next());
    let of_namespace =
        name.and_then(|name| around.settings.of(&format!("namespace.{name}.{named}")));
    let setting = of_namespace
        .or_else(|| around.settings.of(&format!("defaults.namespace.{named}")))
        .or_else(|| around.settings.of(named));
    setting.map(ToString::to_string)
}

/// The setting that refuses a command as such. Only words of slotmux' own are searched, none of the client's.
fn named_by_command(
    text: &str,
    command: Option<CommandRef>,
    around: Surroundings,
) -> Option<String> {
    let setting_of = |key: &str| around.settings.of(key).map(ToString::to_string);
    let name = command?.full_name();
    if let Some(reason) = text.strip_prefix(&*command::refused_error(name, "")) {
        let section = match reason.contains("[defaults.namespace]") {
            true => "defaults.namespace.",
            false => "",
        };
        let mut words = reason.split([' ', ';', ',']);
        return words.find_map(|word| setting_of(&format!("{section}{word}")));
    }
    // Which parameters are sent is no setting, but that any are is one.
    let is_of_parameter = ["ERR CONFIG SET ", "ERR Unknown option "]
        .iter()
        .any(|start| text.starts_with(start));
    (name == "config|set" && is_of_parameter)
        .then(|| setting_of("commands.admin"))
        .flatten()
}

fn request_of<'a>(bytes: &'a [u8], args: &'a mut Vec<Span>) -> Request<'a> {
    // It was made of a request, so that it is one.
    let _ = scan_request(bytes, &Limits::ACCEPTED, args);
    Request { bytes, args }
}

fn distinct(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = Vec::new();
    for text in texts {
        if !seen.contains(&text) {
            seen.push(text);
        }
    }
    seen
}
