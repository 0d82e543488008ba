//! The body of a transaction: what of it goes to which slot, and what EXEC's reply is made of. Pure decisions; sending
//! is `client/transaction.rs`, the replies come together in `upstream/exec.rs`.

use std::collections::HashMap;

use crate::client::request::Request;
use crate::command::{
    Answer, Command, CommandRef, Flags, Merge, Route, Unresolved, refused_error, resolve,
};
use crate::config::Multi;
use crate::policy::{Actions, Decision, Governed, NamespaceId, Reply, commands_of};
use crate::pubsub::Kind;
use crate::scripts::{names_script, shows_script};
use crate::slot::Slot;

use super::parts::{govern_part, keys_by_slot, write_part};
use super::{Knowledge, Plan, Transaction, error_reply, keyed, plan, refuse};

/// Where an element of EXEC's reply comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// It is known already. Empty: slotmux answers the command when the transaction runs.
    Here(Vec<u8>),
    /// slotmux answers this request once it is known that the transaction has run.
    Later(Vec<u8>),
    /// The reply in this cell.
    Part(u32),
    /// The replies in `count` cells from `first` on, merged.
    Parts {
        /// The first cell.
        first: u32,
        /// How many there are.
        count: u32,
        /// How they become one.
        merge: Merge,
        /// For [`Merge::Elements`]: the part that holds each element.
        order: Vec<u32>,
    },
}

/// One element of EXEC's reply: the reply to one command of the client.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    /// Where it comes from.
    pub source: Source,
    /// The namespace of the command's first key.
    pub namespace: NamespaceId,
    /// What the reply says, and how it becomes that to the client's command.
    pub reply: Reply,
    /// Whether the command may have changed data.
    pub write: bool,
}

/// The commands for one slot.
#[derive(Debug, PartialEq)]
pub struct Group {
    /// The slot. `None`: none of the whole body has keys, so any node will do.
    pub slot: Option<Slot>,
    /// The commands, one behind the other.
    pub commands: Vec<u8>,
    /// For each command the cell for its reply; `None` for what the client did not ask for.
    pub targets: Vec<Option<u32>>,
    /// Whether any of it may change data.
    pub write: bool,
    /// Whether any of it would block outside of a transaction: then even one command alone needs its MULTI.
    pub blocks: bool,
}

impl Group {
    /// Whether it is sent between MULTI and EXEC. One command of several groups is as whole without, unless that is what
    /// keeps it from blocking.
    pub fn is_block(&self, is_split: bool) -> bool {
        !is_split || self.targets.len() > 1 || self.blocks
    }
}

/// What is counted of one command when the transaction runs.
#[derive(Debug, PartialEq)]
pub struct Counted {
    /// Which of the client's commands.
    pub command: usize,
    /// The namespace of its first key.
    pub namespace: NamespaceId,
    /// What the policy made of it.
    pub actions: Actions,
    /// Whether something of it goes to a node.
    pub is_sent: bool,
    /// Whether the policy refused it.
    pub is_refused: bool,
}

/// A transaction, ready to be sent.
#[derive(Debug, Default, PartialEq)]
pub struct Body {
    /// What goes where, in the order in which the slots appear.
    pub groups: Vec<Group>,
    /// What the reply is made of.
    pub elements: Vec<Element>,
    /// How many cells there are.
    pub cells: u32,
    /// What is counted.
    pub counted: Vec<Counted>,
    /// Whether commands of it name scripts by their SHA1.
    pub names_scripts: bool,
    /// Whether commands of it may show scripts, or have them forgotten.
    pub shows_scripts: bool,
}

impl Body {
    /// Whether all of it goes to this slot, or to any node.
    pub fn stays_in(&self, slot: Slot) -> bool {
        let mut slots = self.groups.iter().map(|group| group.slot);
        self.groups.len() < 2 && slots.all(|other| other.is_none_or(|other| other == slot))
    }

    /// Sees to it that a node is asked whether it may run: one that needs no node gets a command for it.
    pub fn ask_a_node(&mut self) {
        if self.groups.is_empty() {
            self.groups.push(Group {
                slot: None,
                commands: b"*1\r\n$4\r\nPING\r\n".to_vec(),
                targets: vec![None],
                write: false,
                blocks: false,
            });
        }
    }
}

/// Plans a request that is to be queued. What blocks elsewhere does not in a transaction, and is like any other then.
/// `rewritten` is as for [`plan`].
pub fn plan_queued(
    request: &Request,
    command: Result<&'static Command, Unresolved>,
    knowledge: &Knowledge,
    rewritten: &mut Vec<u8>,
) -> Plan {
    if let Ok(command) = command
        && command.route == Route::Blocking
    {
        return keyed(request, CommandRef::Table(command), knowledge, rewritten);
    }
    if let Ok(command) = command
        && command.flags.contains(Flags::NO_MULTI)
        && command.route != Route::Transaction
    {
        return refuse("ERR Command not allowed inside a transaction");
    }
    match plan(request, command, knowledge, rewritten) {
        Plan::Answer(what, command) if !may_be_queued(what, command) => in_multi(command.full_name),
        // The one node has the whole keyspace, but not all who listen.
        Plan::Everywhere { write, merge, .. }
            if knowledge.is_one_node && !merge.counts_subscribers() =>
        {
            Plan::Anywhere { write }
        }
        // An element of EXEC's reply is made at once: what slotmux says of itself.
        Plan::AnswerWithNodes(what, command) => Plan::Answer(what, command),
        // WAIT is about what this client wrote before, on any node.
        Plan::Everywhere { .. }
        | Plan::Acknowledged { .. }
        | Plan::Scan { .. }
        | Plan::Subscription(_) => in_multi(command.map_or("", |command| command.full_name)),
        // It runs with the rest of the transaction, wherever that is.
        Plan::Publish {
            kind: Kind::Channel | Kind::Pattern,
            ..
        } => Plan::Anywhere { write: true },
        Plan::Publish {
            kind: Kind::Shard,
            slot,
        } => Plan::Forward {
            slot,
            write: true,
            decision: Decision::NONE,
            wait: None,
        },
        plan => plan,
    }
}

fn in_multi(name: &str) -> Plan {
    refuse(&refused_error(
        name,
        "it can't be used inside MULTI, as it needs more than one node or the connection as a whole",
    ))
}

/// Whether slotmux can answer this in the middle of EXEC's reply. CLIENT REPLY would change its form half way; the others
/// wait for other workers.
fn may_be_queued(what: Answer, command: &Command) -> bool {
    const WAITING: [&str; 6] = [
        "client|list",
        "client|kill",
        "client|unblock",
        "client|reply",
        "client|pause",
        "client|unpause",
    ];
    !matches!(what, Answer::Slotmux) && !WAITING.contains(&command.full_name)
}

/// Makes a body of the queued `requests`.
///
/// # Errors
/// The text of EXEC's error, if its keys are in several slots and a setting forbids that.
pub fn body(requests: &[Request], knowledge: &Knowledge) -> Result<Body, String> {
    let mut planned = Vec::with_capacity(requests.len());
    for request in requests {
        let mut rewritten = Vec::new();
        let command = resolve(request.bytes, request.args);
        let finds = command.is_ok_and(|command| command.finds);
        let plan = plan_queued(request, command, knowledge, &mut rewritten);
        planned.push((plan, rewritten, finds));
    }
    let plans = || planned.iter().map(|(plan, ..)| plan);
    let mut slots = plans().filter_map(|plan| match plan {
        Plan::Forward { slot, .. } => Some(*slot),
        _ => None,
    });
    let first = slots.next();
    let differs = slots.any(|slot| Some(slot) != first);
    let is_split = plans().any(|plan| matches!(plan, Plan::Split { .. }))
        || (differs && !knowledge.is_one_node);
    if is_split {
        check_setting(requests, plans(), knowledge)?;
    }
    let mut making = Making {
        body: Body::default(),
        places: HashMap::new(),
        // Where one node has every slot, all of it is one group.
        only: (!is_split).then_some(first),
        joins: first.or_else(|| requests.iter().zip(plans()).find_map(split_slot)),
    };
    for (at, (request, planned)) in requests.iter().zip(&planned).enumerate() {
        let (plan, rewritten, finds) = planned;
        let said = if *finds { Reply::Found } else { Reply::AsIs };
        making.body.names_scripts |= names_script(request);
        making.body.shows_scripts |= shows_script(request);
        making.add(at, request, plan, rewritten, said, knowledge);
    }
    Ok(making.body)
}

/// The first slot of a command that is split.
fn split_slot((request, plan): (&Request, &Plan)) -> Option<Slot> {
    match plan {
        Plan::Split { step, .. } => keys_by_slot(request, *step).first().map(|(slot, _)| *slot),
        _ => None,
    }
}

/// Whether the settings let a body over several slots run. Those of all its keys' namespaces are asked, and the strictest
/// decides.
fn check_setting<'a>(
    requests: &[Request],
    mut plans: impl Iterator<Item = &'a Plan>,
    knowledge: &Knowledge,
) -> Result<(), String> {
    let policies = knowledge.policies;
    let mut strictest: Option<(Multi, NamespaceId)> = None;
    for request in requests {
        let Some(command) = knowledge.command(request) else {
            continue;
        };
        // Where the keys of a request cannot be found it is sent nowhere in particular.
        let _ = command.for_each_key(request.bytes, request.args, |at| {
            let namespace = policies.find(request.arg(at));
            let multi = policies.multi(namespace);
            if strictest.is_none_or(|(other, _)| multi < other) {
                strictest = Some((multi, namespace));
            }
        });
    }
    let (multi, namespace) = strictest.unwrap_or_default();
    let whose = policies
        .get(namespace)
        .map_or("of [defaults.namespace]".to_owned(), |policy| {
            format!("of namespace '{}'", policy.name)
        });
    match multi {
        Multi::Reject => Err(format!(
            "CROSSSLOT slotmux: transaction not executed, its keys are in several slots and multi = \"reject\" {whose}"
        )),
        Multi::SplitReadonly if plans.any(writes) => Err(format!(
            "CROSSSLOT slotmux: transaction not executed, it writes, its keys are in several slots, and \
             multi = \"split-readonly\" {whose}; \"split\" would run it slot by slot"
        )),
        Multi::SplitReadonly | Multi::Split => Ok(()),
    }
}

fn writes(plan: &Plan) -> bool {
    match plan {
        Plan::Forward { write, .. } | Plan::Split { write, .. } | Plan::Anywhere { write } => {
            *write
        }
        _ => false,
    }
}

/// Whether it would hold up a connection that other clients share, were it not in a transaction.
fn blocks(request: &Request, knowledge: &Knowledge) -> bool {
    let command = knowledge.command(request);
    command.is_some_and(|command| command.blocks(request.bytes, request.args))
}

/// A body that is being made.
struct Making {
    body: Body,
    /// The group of each slot.
    places: HashMap<Option<Slot>, usize>,
    /// The slot of the only group, if there is one group only.
    only: Option<Option<Slot>>,
    /// The slot whose group commands without keys join.
    joins: Option<Slot>,
}

impl Making {
    fn add(
        &mut self,
        at: usize,
        request: &Request,
        plan: &Plan,
        rewritten: &[u8],
        said: Reply,
        knowledge: &Knowledge,
    ) {
        let mut element = Element {
            source: Source::Here(Vec::new()),
            namespace: NamespaceId::UNMATCHED,
            reply: said,
            write: writes(plan),
        };
        let mut counted = Counted {
            command: at,
            namespace: NamespaceId::UNMATCHED,
            actions: Actions::NONE,
            is_sent: true,
            is_refused: false,
        };
        match plan {
            Plan::Forward {
                slot,
                write,
                decision,
                ..
            } => {
                counted.namespace = decision.namespace;
                counted.actions = decision.actions;
                if decision.governed == Governed::Refused {
                    // Only time can have made it so since it was queued.
                    element.source = Source::Here(error_reply(rewritten));
                    counted.is_sent = false;
                    counted.is_refused = true;
                } else {
                    if let Governed::Rewritten(reply) = decision.governed
                        && reply != Reply::AsIs
                    {
                        element.reply = reply;
                    }
                    let cell = self.cell();
                    self.send(
                        Some(*slot),
                        request.bytes,
                        rewritten,
                        decision,
                        cell,
                        *write,
                    );
                    if blocks(request, knowledge) {
                        let place = self.places[&self.only.unwrap_or(Some(*slot))];
                        self.body.groups[place].blocks = true;
                    }
                    element.source = Source::Part(cell);
                }
            }
            Plan::Anywhere { write } => {
                let cell = self.cell();
                let joins = self.joins;
                self.send(joins, request.bytes, &[], &Decision::NONE, cell, *write);
                element.source = Source::Part(cell);
            }
            Plan::Split {
                merge,
                step,
                write,
                namespace,
                command,
            } => {
                counted.namespace = *namespace;
                let keys = keys_by_slot(request, *step);
                let parts: Vec<&[(Slot, u32)]> = keys.chunk_by(|a, b| a.0 == b.0).collect();
                let mut order = Vec::new();
                if *merge == Merge::Elements {
                    order = vec![0; request.argc() - 1];
                }
                let (mut own, mut instead) = (Vec::new(), Vec::new());
                let first = self.body.cells;
                for (number, part) in parts.iter().enumerate() {
                    if *merge == Merge::Elements {
                        for (_, key) in *part {
                            order[*key as usize - 1] = number as u32;
                        }
                    }
                    write_part(request, part, *step, &mut own);
                    instead.clear();
                    let (policies, now) = (knowledge.policies, knowledge.now);
                    let decision = govern_part(policies, *command, &own, now, &mut instead)
                        .unwrap_or(Decision::NONE);
                    let cell = self.cell();
                    self.send(Some(part[0].0), &own, &instead, &decision, cell, *write);
                    if !decision.actions.is_empty() {
                        self.body.counted.push(Counted {
                            command: at,
                            namespace: decision.namespace,
                            actions: decision.actions,
                            is_sent: false,
                            is_refused: false,
                        });
                    }
                }
                element.source = Source::Parts {
                    first,
                    count: parts.len() as u32,
                    merge: *merge,
                    order,
                };
            }
            other => {
                counted.is_sent = false;
                match other {
                    Plan::Transaction(Transaction::Unwatch) => {
                        element.source = Source::Here(b"+OK\r\n".to_vec());
                    }
                    Plan::Refuse(error) | Plan::Unknown(error) => {
                        element.source = Source::Here(error.clone());
                    }
                    _ => {}
                }
            }
        }
        element.namespace = counted.namespace;
        self.body.elements.push(element);
        if counted.is_sent || !counted.actions.is_empty() {
            self.body.counted.push(counted);
        }
    }

    fn cell(&mut self) -> u32 {
        self.body.cells += 1;
        self.body.cells - 1
    }

    /// Puts what is sent for one command of the client into the group of its slot.
    fn send(
        &mut self,
        slot: Option<Slot>,
        own: &[u8],
        instead: &[u8],
        decision: &Decision,
        cell: u32,
        write: bool,
    ) {
        let slot = self.only.unwrap_or(slot);
        let groups = &mut self.body.groups;
        let place = *self.places.entry(slot).or_insert_with(|| {
            groups.push(Group {
                slot,
                commands: Vec::new(),
                targets: Vec::new(),
                write: false,
                blocks: false,
            });
            groups.len() - 1
        });
        let group = &mut groups[place];
        group.write |= write;
        match decision.governed {
            // What is refused was refused before it came here.
            Governed::AsIs | Governed::Refused => {
                group.commands.extend_from_slice(own);
                group.targets.push(Some(cell));
            }
            Governed::Rewritten(_) => {
                group.commands.extend_from_slice(instead);
                group.targets.push(Some(cell));
            }
            Governed::Block(form) => {
                group.commands.extend_from_slice(commands_of(form, instead));
                let own = (0..form.commands).map(|at| (at < form.own).then_some(cell));
                group.targets.extend(own);
            }
        }
    }
}

#[cfg(test)]
mod tests;
