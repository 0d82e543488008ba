//! Explains the treatment of a request without carrying it out: the namespace, the nodes, the commands that would be
//! sent, the arithmetic of its TTL and the settings that decide. It uses the same [`plan`] as a real request and changes
//! nothing.

use std::collections::HashSet;

use crate::command::Lifetime;
use crate::command::{self, CommandRef, OwnAnswer};
use crate::config::{Config, EffectiveSettings, TtlMode};
use crate::policy::{Actions, Decision, NamespaceId, Policies, docs};
use crate::resp::request::Request;
use crate::resp::{Limits, Span, scan_request};
use crate::route::all_nodes::Recipients;
use crate::route::cross_slot::steps;
use crate::route::{Knowledge, Plan, plan};
use crate::slot::Slot;

pub mod lifetimes;
mod outcome;
mod parts;
mod refusal;
mod render;
pub mod terms;
#[cfg(test)]
mod tests;
pub mod words;

use outcome::{hidden, lane, outcome, refusal};
use parts::{ExplainedPart, sends};
use refusal::{refusal_reason, refusal_setting};
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
    /// Whether recent replies to such requests were big.
    fn expects_big_reply(&self, request: &Request) -> bool;
}

/// All that an explanation depends on besides the request.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The inputs of the plan.
    pub knowledge: &'a Knowledge<'a>,
    /// The configuration.
    pub config: &'a Config,
    /// The configuration in words.
    pub settings: &'a EffectiveSettings,
    /// The nodes.
    pub nodes: &'a dyn NodeDirectory,
}

/// The treatment of a request, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// The request, shortened.
    pub command: String,
    /// The outcome in one sentence.
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
    /// For each key that it writes, the TTL that it gives, the policy's decision, and the reason.
    pub ttl: Vec<String>,
    /// The rule for commands of its kind.
    pub rule: Option<String>,
    /// The actions of the policy, by their names in metrics; in observe mode, the actions that it would take.
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
        told.nodes = nodes_of(&plan, &told.slots, nodes);
        told.sends = sends(&parts, nodes);
        if let Plan::CrossSlot {
            program,
            command,
            decision,
            ..
        } = &plan
        {
            let command = CommandRef::Table(command);
            told.slots = steps::slots(request, command);
            told.slots.truncate(MOST);
            told.nodes = nodes_of(&plan, &told.slots, nodes);
            let governed = (decision.governed, &*parts[0].instead);
            told.sends = steps::in_full(request, command, *program, governed);
        }
        told.lane = (!parts.is_empty()).then(|| lane(request, &plan, &parts, around));
    }
    // An observed policy is explained as if it were enforced, in words that say so.
    let mut reason = refusal_reason(&plan, &parts);
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
        reason = reason.or_else(|| governing.first()?.refusal_reason());
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
        .extend(refusal_setting(&plan, reason, around));
    if !hidden(&plan, knowledge.policies).is_empty() {
        let setting = around.settings.of("defaults.namespace.unmatched");
        told.decided_by.extend(setting.map(ToString::to_string));
    }
    told
}

/// The addresses of the nodes that a plan sends to.
fn nodes_of(plan: &Plan, slots: &[Slot], nodes: &dyn NodeDirectory) -> Vec<String> {
    match plan {
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
        _ => distinct(slots.iter().map(|slot| {
            let node = nodes.of_slot(*slot);
            node.unwrap_or_else(|reason| format!("not known: {reason}"))
        })),
    }
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
        // If no key can be found, none is written.
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
        // If no key can be found, there is no namespace.
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
