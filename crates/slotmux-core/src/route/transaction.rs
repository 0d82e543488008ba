//! The body of a transaction: what of it goes to which slot, and what EXEC's reply is made of. Pure decisions; sending
//! is `transaction/commands.rs`, the replies come together in `transaction/exec_reply.rs`.

use crate::command::alike::NEVER_QUEUED;
use crate::command::listening::SubscriptionKind;
use crate::command::{Command, CommandRef, Flags, Merge, OwnAnswer, Route, Unresolved, resolve};
use crate::config::Multi;
use crate::policy::{Actions, Decision, NamespaceId, RefusalRule, ReplyConversion};
use crate::resp::request::Request;
use crate::resp::write;
use crate::scripts::{names_script, shows_script};
use crate::slot::Slot;

use super::lacking::lacking;
use super::parts::keys_by_slot;
use super::pattern_slot::slot_of_pattern;
use super::script;
use super::{CROSS_SLOT, Knowledge, MOST_ARGS, Plan, keyed, plan, refuse, refuse_command};

use building::BodyBuilder;

mod building;

/// The source of an element of EXEC's reply.
#[derive(Clone, Debug, PartialEq)]
pub enum ElementSource {
    /// This reply, which is known before the transaction runs.
    Known(Vec<u8>),
    /// slotmux itself, which answers the command when the transaction runs.
    Own,
    /// slotmux itself, which answers this request once the transaction is known to have run.
    OwnLater(Vec<u8>),
    /// The reply in this cell.
    Part(u32),
    /// A CONFIG GET: the reply in this cell, merged with slotmux' own reply to this request.
    Parameters(u32, Vec<u8>),
    /// The replies in `count` cells from `first` on, merged.
    Parts {
        /// The first cell.
        first: u32,
        /// Number of cells.
        count: u32,
        /// The way they are merged.
        merge: Merge,
        /// For [`Merge::Elements`]: the part that holds each element.
        order: Vec<u32>,
    },
}

/// One element of EXEC's reply: the reply to one command of the client.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecElement {
    /// The source of its reply.
    pub source: ElementSource,
    /// The namespace of the command's first key.
    pub namespace: NamespaceId,
    /// How the node's reply becomes the reply to the client's command.
    pub reply: ReplyConversion,
    /// Whether the command may have changed data.
    pub write: bool,
}

/// The commands for one slot, encoded.
#[derive(Debug, PartialEq)]
pub struct SlotGroup {
    /// The slot. `None`: no command of the body has keys, so any node will do.
    pub slot: Option<Slot>,
    /// The commands, one behind the other.
    pub commands: Vec<u8>,
    /// For each command the cell for its reply; `None` for what the client did not ask for.
    pub targets: Vec<Option<u32>>,
    /// Whether any of it may change data.
    pub write: bool,
    /// Whether any command would block outside of a transaction: then even a single one needs its MULTI.
    pub blocks: bool,
}

impl SlotGroup {
    /// A block whose only purpose is that the node finds no change of the watched keys of its slot.
    fn check(slot: Slot, key: &[u8]) -> SlotGroup {
        let mut commands = Vec::new();
        write::request(&mut commands, &[b"EXISTS", key]);
        SlotGroup {
            slot: Some(slot),
            commands,
            targets: vec![None],
            write: false,
            blocks: true,
        }
    }

    /// Whether it is sent between MULTI and EXEC. A group of one command is atomic without them if there are other groups;
    /// it gets them only to keep it from blocking.
    pub fn is_block(&self, is_split: bool) -> bool {
        !is_split || self.targets.len() > 1 || self.blocks
    }
}

/// Counters of one command, recorded when the transaction runs.
#[derive(Debug, PartialEq)]
pub struct CountedCommand {
    /// Index of the client's command.
    pub command: usize,
    /// The namespace of its first key.
    pub namespace: NamespaceId,
    /// The actions of its policy.
    pub actions: Actions,
    /// Whether something of it goes to a node.
    pub is_sent: bool,
    /// Whether the policy refused it.
    pub is_refused: bool,
}

/// A transaction, ready to be sent.
#[derive(Debug, Default, PartialEq)]
pub struct TransactionBody {
    /// The commands by slot, in the order in which the slots appear.
    pub groups: Vec<SlotGroup>,
    /// The elements of EXEC's reply, in order.
    pub elements: Vec<ExecElement>,
    /// Number of cells.
    pub cells: u32,
    /// Counters to record when it runs.
    pub counted: Vec<CountedCommand>,
    /// Whether commands of it name scripts by their SHA1.
    pub names_scripts: bool,
    /// Whether commands of it may show scripts, or have them forgotten.
    pub shows_scripts: bool,
}

impl TransactionBody {
    /// Puts the groups of watched slots first, each as a block: it runs only if no watched key has changed. A watched slot
    /// without commands gets a group that reads one of its watched keys. Of these groups the ones that only read are
    /// first; returns their number.
    pub fn guard(&mut self, watched: &[(Slot, &[u8])]) -> usize {
        let is_watched = |slot: Option<Slot>| watched.iter().any(|(own, _)| Some(*own) == slot);
        self.groups
            .sort_by_key(|group| (!is_watched(group.slot), group.write));
        for group in &mut self.groups {
            group.blocks |= is_watched(group.slot);
        }
        let has_commands = |slot: Slot| self.groups.iter().any(|group| group.slot == Some(slot));
        let checks: Vec<SlotGroup> = watched
            .iter()
            .filter(|(slot, _)| !has_commands(*slot))
            .map(|(slot, key)| SlotGroup::check(*slot, key))
            .collect();
        self.groups.splice(0..0, checks);
        let reads = |group: &&SlotGroup| is_watched(group.slot) && !group.write;
        self.groups.iter().take_while(reads).count()
    }

    /// Adds a PING to a body that sends nothing, so that a node decides whether it may run.
    pub fn ask_a_node(&mut self) {
        if self.groups.is_empty() {
            self.groups.push(SlotGroup {
                slot: None,
                commands: b"*1\r\n$4\r\nPING\r\n".to_vec(),
                targets: vec![None],
                write: false,
                blocks: false,
            });
        }
    }
}

/// Plans a request that is to be queued. A blocking command does not block in a transaction, so it is planned as any
/// other.
/// `rewritten` is as for [`plan`].
pub fn plan_queued(
    request: &Request,
    command: Result<&'static Command, Unresolved>,
    knowledge: &Knowledge,
    rewritten: &mut Vec<u8>,
) -> Plan {
    // Servers refuse it at once, so that EXEC runs nothing; slot by slot, the other slots would run.
    if let Ok(command) = command
        && let Some(error) = lacking(request, command, knowledge)
    {
        return error;
    }
    if let Ok(command) = command
        && command.route == Route::Blocking
    {
        return match keyed(request, CommandRef::Table(command), knowledge, rewritten) {
            Plan::CrossSlot { .. } => refuse(RefusalRule::Inherent, CROSS_SLOT),
            plan => plan,
        };
    }
    if let Ok(command) = command
        && command.route == Route::Script
    {
        return script::call_among_others(request, command, knowledge, rewritten);
    }
    // Servers that do not forbid MULTI and WATCH by this flag refuse them without a consequence for the transaction.
    if let Ok(command) = command
        && command.flags.contains(Flags::NO_MULTI)
        && (command.route != Route::Transaction || knowledge.server.aborts_nested_multi())
    {
        let name = command.full_name;
        let text = match knowledge.server.names_forbidden_in_multi() {
            true => format!("ERR Command '{name}' not allowed inside a transaction"),
            false => "ERR Command not allowed inside a transaction".to_owned(),
        };
        return refuse(RefusalRule::Inherent, &text);
    }
    let plan = plan(request, command, knowledge, rewritten);
    // Outside of a transaction it goes to all nodes all the same: while a slot moves, two have keys of it.
    if matches!(plan, Plan::Everywhere { .. })
        && let Some(slot) = slot_of_listed(request, command, knowledge)
    {
        return Plan::Forward {
            slot,
            write: false,
            decision: Decision::NONE,
            wait: None,
        };
    }
    match plan {
        Plan::Answer(what, command) if !may_be_queued(what, command) => in_multi(command.full_name),
        // The only node has the whole keyspace, but not all subscribers, and it hides no key.
        Plan::Everywhere { write, merge, .. }
            if knowledge.is_one_node
                && !merge.counts_subscribers()
                && !(merge.lists_keys() && knowledge.policies.hides_keys()) =>
        {
            Plan::Anywhere { write }
        }
        // An element of EXEC's reply is made at once: what slotmux says of itself.
        Plan::AnswerWithNodes(OwnAnswer::Info, command) => Plan::Answer(OwnAnswer::Info, command),
        // WAIT is about what this client wrote before, on any node.
        Plan::Everywhere { .. }
        | Plan::Acknowledged { .. }
        | Plan::Scan { .. }
        | Plan::Subscription(_) => {
            in_multi(knowledge.command(request).map_or("", CommandRef::full_name))
        }
        // It watches keys and starts over, which a transaction cannot.
        Plan::CrossSlot { .. } => refuse(RefusalRule::Inherent, CROSS_SLOT),
        // EXEC splits it in one step, so its size is bounded.
        Plan::Split { .. } if request.argc() > MOST_ARGS => {
            let text = format!(
                "ERR slotmux: a command over several slots has at most {MOST_ARGS} arguments inside MULTI"
            );
            refuse(RefusalRule::Inherent, &text)
        }
        // It runs with the rest of the transaction, wherever that is.
        Plan::Publish {
            kind: SubscriptionKind::Channel | SubscriptionKind::Pattern,
            ..
        } => Plan::Anywhere { write: true },
        Plan::Publish {
            kind: SubscriptionKind::Shard,
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

/// The slot of all keys that a KEYS lists, if its pattern fixes it and no rule hides any of them.
fn slot_of_listed(
    request: &Request,
    command: Result<&Command, Unresolved>,
    knowledge: &Knowledge,
) -> Option<Slot> {
    let is_keys = command.is_ok_and(|command| command.full_name == "keys");
    let lists = is_keys && !knowledge.policies.hides_keys();
    lists.then(|| slot_of_pattern(request.arg(1)))?
}

fn in_multi(name: &str) -> Plan {
    refuse_command(
        name,
        "it can't be used inside MULTI, as it needs more than one node or the connection as a whole",
    )
}

/// Whether slotmux can answer this in the middle of EXEC's reply.
fn may_be_queued(what: OwnAnswer, command: &Command) -> bool {
    !matches!(what, OwnAnswer::Slotmux) && !NEVER_QUEUED.contains(&command.full_name)
}

/// One queued request, planned.
struct PlannedCommand {
    plan: Plan,
    /// The bytes or the error that its policy produced.
    rewritten: Vec<u8>,
    finds: bool,
}

/// A body in the making: each request is [planned](BodyPlanner::plan), [checked](BodyPlanner::check) if needed, and then
/// [added](BodyPlanner::add), for the whole transaction at once or some requests in each turn.
#[derive(Default)]
pub struct BodyPlanner {
    planned: Vec<PlannedCommand>,
    /// The first slot, and whether other slots follow.
    first: Option<Slot>,
    differs: bool,
    /// Whether requests are split, and the first slot of the first split request.
    splits: bool,
    first_of_split: Option<Slot>,
    /// Whether any request may change data.
    writes: bool,
    strictest: Option<(Multi, NamespaceId)>,
    building: BodyBuilder,
}

impl BodyPlanner {
    /// A body that runs only if no key of this slot has changed, if there is one: it counts as one of the body's slots.
    pub fn watching(slot: Option<Slot>) -> BodyPlanner {
        BodyPlanner {
            first: slot,
            ..BodyPlanner::default()
        }
    }

    /// Plans the next request.
    pub fn plan(&mut self, request: &Request, knowledge: &Knowledge) {
        let mut rewritten = Vec::new();
        let command = resolve(request.bytes, request.args);
        let finds = command.is_ok_and(|command| command.finds);
        let plan = plan_queued(request, command, knowledge, &mut rewritten);
        match &plan {
            Plan::Forward { slot, .. } => {
                self.differs |= *self.first.get_or_insert(*slot) != *slot;
            }
            Plan::Split { shape, .. } => {
                self.splits = true;
                if self.first_of_split.is_none() {
                    let keys = keys_by_slot(request, *shape);
                    self.first_of_split = keys.first().map(|(slot, _)| *slot);
                }
            }
            _ => {}
        }
        self.writes |= writes(&plan);
        self.planned.push(PlannedCommand {
            plan,
            rewritten,
            finds,
        });
    }

    /// Whether the transaction covers several slots, so that each request has to be checked.
    pub fn is_split(&self, knowledge: &Knowledge) -> bool {
        self.splits || (self.differs && !knowledge.is_one_node)
    }

    /// Looks up the settings of a request's keys; the strictest decides whether a body over several slots runs.
    pub fn check(&mut self, request: &Request, knowledge: &Knowledge) {
        let policies = knowledge.policies;
        let Some(command) = knowledge.command(request) else {
            return;
        };
        // A request whose keys cannot be found may go to any node, so it has no setting to check.
        let _ = command.for_each_key(request.bytes, request.args, |at| {
            let namespace = policies.find(request.arg(at));
            let multi = policies.multi(namespace);
            if self.strictest.is_none_or(|(other, _)| multi < other) {
                self.strictest = Some((multi, namespace));
            }
        });
    }

    /// Ends the planning: all requests are planned, and checked if needed.
    ///
    /// # Errors
    /// The text of EXEC's error, if its keys are in several slots and a setting forbids that.
    pub fn begin(&mut self, knowledge: &Knowledge) -> Result<(), String> {
        let is_split = self.is_split(knowledge);
        if is_split {
            self.settle(knowledge)?;
        }
        // If one node owns every slot, the whole body is one group.
        self.building.only = (!is_split).then_some(self.first);
        self.building.joins = self.first.or(self.first_of_split);
        Ok(())
    }

    /// Adds request `at` to the body.
    pub fn add(&mut self, at: usize, request: &Request, knowledge: &Knowledge) {
        let PlannedCommand {
            plan,
            rewritten,
            finds,
        } = &self.planned[at];
        let said = if *finds {
            ReplyConversion::Found
        } else {
            ReplyConversion::AsIs
        };
        self.building.body.names_scripts |= names_script(request);
        self.building.body.shows_scripts |= shows_script(request);
        self.building
            .add(at, request, plan, rewritten, said, knowledge);
    }

    /// The body, once all requests are added.
    pub fn body(self) -> TransactionBody {
        self.building.body
    }

    /// Whether the settings of the keys permit it.
    fn settle(&self, knowledge: &Knowledge) -> Result<(), String> {
        let (multi, namespace) = self.strictest.unwrap_or_default();
        let policies = knowledge.policies;
        let whose = policies
            .get(namespace)
            .map_or("of [defaults.namespace]".to_owned(), |policy| {
                format!("of namespace '{}'", policy.name)
            });
        match multi {
            Multi::Reject => Err(format!(
                "CROSSSLOT slotmux: transaction not executed, its keys are in several slots and multi = \"reject\" {whose}"
            )),
            Multi::SplitReadonly if self.writes => Err(format!(
                "CROSSSLOT slotmux: transaction not executed, it writes, its keys are in several slots, and \
             multi = \"split-readonly\" {whose}; \"split\" would run it slot by slot"
            )),
            Multi::SplitReadonly | Multi::Split => Ok(()),
        }
    }
}

/// Makes a body of the queued `requests`, with a watched slot as for [`BodyPlanner::watching`].
///
/// # Errors
/// As [`BodyPlanner::begin`].
pub fn body(
    requests: &[Request],
    watched: Option<Slot>,
    knowledge: &Knowledge,
) -> Result<TransactionBody, String> {
    let mut planning = BodyPlanner::watching(watched);
    for request in requests {
        planning.plan(request, knowledge);
    }
    if planning.is_split(knowledge) {
        for request in requests {
            planning.check(request, knowledge);
        }
    }
    planning.begin(knowledge)?;
    for (at, request) in requests.iter().enumerate() {
        planning.add(at, request, knowledge);
    }
    Ok(planning.body())
}

fn writes(plan: &Plan) -> bool {
    match plan {
        Plan::Forward { write, .. } | Plan::Split { write, .. } | Plan::Anywhere { write } => {
            *write
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
