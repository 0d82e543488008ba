//! Decides where a request goes, without sending anything.

use crate::cluster::server::ServerVersion;
use crate::command::listening::{SubscriptionChange, SubscriptionKind};
use crate::command::split::SplitShape;
use crate::command::{
    BlockingTimeout, Command, CommandRef, HeldCommand, Learned, Merge, OwnAnswer, Route,
    Unresolved, refused_error, resolve,
};
use crate::config::Commands;
use crate::policy::{
    Decision, NamespaceId, Policies, Refusal, RefusalReason, RefusalRule, permitted,
    permitted_everywhere,
};
use crate::resp::request::Request;
use crate::slot::{Slot, slot_of};

use by_keys::{Slots, blocking, keyed, one_slot, shape_of, slot_of_keys, split_or_whole};
use keys_in_slot::keys_in_slot;

pub mod all_nodes;
pub mod big_replies;
mod by_keys;
pub mod cross_slot;
pub mod hidden_keys;
mod keys_in_slot;
mod lacking;
mod learned;
pub mod merge;
mod other_database;
pub mod parts;
mod pattern_slot;
pub mod scan;
mod script;
pub mod transaction;

use all_nodes::Recipients;

/// The treatment of a request, decided before any of it is done.
#[derive(Clone, Debug)]
pub enum Plan {
    /// Send it, or the bytes that its policy wants instead, to the node of this slot.
    Forward {
        /// The slot of all of its keys.
        slot: Slot,
        /// Whether it may change data.
        write: bool,
        /// The decision of its namespace's policy.
        decision: Decision,
        /// How long it may block its connection, if it may: it then needs a dedicated lane.
        wait: Option<BlockingTimeout>,
    },
    /// Send it, as it is, to any node.
    Anywhere {
        /// Whether it may change data.
        write: bool,
    },
    /// Its keys are in several slots: send each slot its part and merge the replies.
    Split {
        /// How the parts' replies become one.
        merge: Merge,
        /// Where its keys are.
        shape: SplitShape,
        /// Whether it may change data.
        write: bool,
        /// The namespace of its first key.
        namespace: NamespaceId,
        /// The command, by whose policy each part is sent.
        command: HeldCommand,
    },
    /// Its keys are in several slots, and it is not a sum of its parts: run this program.
    CrossSlot {
        /// The program.
        program: cross_slot::Program,
        /// The command.
        command: &'static Command,
        /// Whether it may change data.
        write: bool,
        /// The decision of the policies about the whole request.
        decision: Decision,
    },
    /// Send it to every primary, or node, and merge the replies.
    Everywhere {
        /// How the replies become one.
        merge: Merge,
        /// Whether it may change data.
        write: bool,
        /// To which nodes, and how.
        recipients: Recipients,
    },
    /// slotmux answers it with figures of the primaries: INFO and CONFIG GET about the data.
    AnswerWithNodes(OwnAnswer, &'static Command),
    /// Send it to the primaries that its client wrote to, over connections of their own, and merge the replies.
    Acknowledged {
        /// How the replies become one.
        merge: Merge,
    },
    /// It is a message: send it to the node of its channel's slot.
    Publish {
        /// The kind of channel.
        kind: SubscriptionKind,
        /// The slot of the channel.
        slot: Slot,
    },
    /// It changes what its client listens to.
    Subscription(SubscriptionChange),
    /// It is one page of a scan over all primaries.
    Scan {
        /// Where the scan stands.
        cursor: scan::ScanCursor,
    },
    /// slotmux answers it.
    Answer(OwnAnswer, &'static Command),
    /// It begins, ends or guards a transaction.
    Transaction(TransactionCommand),
    /// slotmux answers with this error reply, for this reason.
    Refuse(Vec<u8>, RefusalReason),
    /// No such command, or a wrong number of arguments: slotmux answers with this error reply, also before
    /// authentication, as Redis does.
    Unknown(Vec<u8>),
}

/// The commands around a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionCommand {
    /// `MULTI`
    Multi,
    /// `EXEC`
    Exec,
    /// `EXEC` with arguments, which aborts the transaction.
    WrongExec,
    /// `DISCARD`
    Discard,
    /// `WATCH`
    Watch {
        /// The slot of all of its keys, if it is one.
        slot: Option<Slot>,
        /// The namespace of its first key.
        namespace: NamespaceId,
    },
    /// `UNWATCH`
    Unwatch,
}

/// The inputs of a plan besides the request.
#[derive(Clone, Copy)]
pub struct Knowledge<'a> {
    /// Learned commands, which the table lacks. `None`: learning is switched off.
    pub learned: Option<&'a Learned>,
    /// Kind and version of the upstream's servers.
    pub server: ServerVersion,
    /// Whether one node has every slot, so that nothing is split or refused for its slots.
    pub is_one_node: bool,
    /// Whether slotmux shows itself to the client as a cluster.
    pub as_cluster: bool,
    /// Namespaces and their policies.
    pub policies: &'a Policies,
    /// Settings about single commands.
    pub commands: &'a Commands,
    /// Unix time in milliseconds, for commands that name a moment.
    pub now: fn() -> u64,
}

impl<'a> Knowledge<'a> {
    /// The command of a request, from the table or learned.
    pub fn command(&self, request: &Request) -> Option<CommandRef<'a>> {
        let command = resolve(request.bytes, request.args).ok();
        command.map(CommandRef::Table).or_else(|| {
            let learned = self.learned?.resolve(request.bytes, request.args)?;
            Some(CommandRef::Learned(learned))
        })
    }

    /// The same, to be used after these inputs are gone.
    pub fn held_command(&self, request: &Request) -> Option<HeldCommand> {
        let command = resolve(request.bytes, request.args).ok();
        command.map(HeldCommand::Table).or_else(|| {
            let learned = self.learned?.resolve(request.bytes, request.args)?;
            Some(HeldCommand::Learned(learned.clone()))
        })
    }
}

/// The error for keys that have to be in one slot.
pub const CROSS_SLOT: &str = "CROSSSLOT Keys in request don't hash to the same slot";

/// Arguments of a command that is answered in one turn: a millisecond or two. Clients that need more send several
/// requests.
pub const MOST_ARGS: usize = 16 * 1024;

/// Plans `request`. `command` is the result of looking it up in the table. The bytes that a policy wants to be sent
/// instead, or its error, are left in `rewritten`.
pub fn plan(
    request: &Request,
    command: Result<&'static Command, Unresolved>,
    knowledge: &Knowledge,
    rewritten: &mut Vec<u8>,
) -> Plan {
    let command = match command {
        Ok(command) => command,
        Err(Unresolved::Arity(command)) if command.full_name == "exec" => {
            return Plan::Transaction(TransactionCommand::WrongExec);
        }
        Err(unresolved) => {
            return learned::plan_learned(request, knowledge, &unresolved, rewritten);
        }
    };
    if request.argc() > MOST_ARGS && command.route.is_answered_at_once() {
        let text = format!(
            "ERR slotmux: not executed, a command that slotmux answers itself, or asks all nodes for, has at most \
             {MOST_ARGS} arguments here"
        );
        return refuse(RefusalRule::Inherent, &text);
    }
    match command.route {
        Route::Script => script::call(request, command, knowledge, rewritten),
        Route::Keyed => keyed(request, CommandRef::Table(command), knowledge, rewritten),
        Route::OneDatabase => {
            other_database::copy(request, CommandRef::Table(command), knowledge, rewritten)
        }
        Route::Split(merge) => {
            let shape = shape_of(&command.keys);
            let command = HeldCommand::Table(command);
            split_or_whole(request, command, shape, merge, knowledge, rewritten)
        }
        Route::AnyNode => anywhere(command, knowledge),
        Route::AllPrimaries(merge) => all_nodes::everywhere(request, command, merge, knowledge),
        Route::AllNodes(merge) => all_nodes::administer(request, command, merge, knowledge),
        Route::Debug => all_nodes::debug(request, command, knowledge, rewritten),
        Route::Publish(kind) => Plan::Publish {
            kind,
            slot: slot_of(request.arg(1)),
        },
        Route::Scan => scan_page(request, command, knowledge),
        Route::ClusterScan => cluster_scan(request, command, knowledge),
        Route::Answer(OwnAnswer::Cluster) if knowledge.as_cluster => {
            let keys = keys_in_slot(request, command, knowledge);
            keys.unwrap_or(Plan::Answer(OwnAnswer::Cluster, command))
        }
        Route::Answer(what) if all_nodes::asks_nodes(request, what, command) => {
            Plan::AnswerWithNodes(what, command)
        }
        Route::Answer(what) => Plan::Answer(what, command),
        Route::Transaction => transaction(request, command, knowledge),
        Route::Blocking => blocking(request, CommandRef::Table(command), knowledge, rewritten),
        Route::Acknowledged(merge) => Plan::Acknowledged { merge },
        Route::Subscribe(change) => Plan::Subscription(change),
        Route::Refused(reason) => refuse_command(command.full_name, reason),
    }
}

/// A command without keys that every node answers alike, if every namespace permits it.
fn anywhere(command: &Command, knowledge: &Knowledge) -> Plan {
    match permitted_everywhere(command.full_name, false, knowledge.policies) {
        // Unless the table marks the command as read-only, it may have changed something.
        Ok(()) => Plan::Anywhere {
            write: !command.is_readonly(),
        },
        Err(refusal) => refuse_by(&refusal),
    }
}

/// A scan: over the one node as it is, else a page of one shard.
fn scan_page(request: &Request, command: &Command, knowledge: &Knowledge) -> Plan {
    if let Err(refusal) = permitted_everywhere(command.full_name, false, knowledge.policies) {
        return refuse_by(&refusal);
    }
    // If no key is hidden the reply of the only node is passed on unchanged.
    if knowledge.is_one_node && !knowledge.policies.hides_keys() {
        return Plan::Anywhere { write: false };
    }
    match scan::read(request.arg(1), knowledge.server).and_then(scan::ScanCursor::decode) {
        Some(cursor) => Plan::Scan { cursor },
        None => refuse(RefusalRule::Inherent, "ERR invalid cursor"),
    }
}

/// CLUSTERSCAN: its cursor names a slot as a key does, and the node of that slot reads the rest of it. So the scan goes on
/// over all slots, also after they have moved, and the state of the scan is in the cursor alone.
fn cluster_scan(request: &Request, command: &Command, knowledge: &Knowledge) -> Plan {
    if knowledge.policies.hides_keys() {
        let text = "ERR slotmux: 'clusterscan' is refused, as it would name keys of no namespace (unmatched); SCAN leaves \
                    them out";
        return refuse(RefusalRule::Unmatched, text);
    }
    match permitted_everywhere(command.full_name, false, knowledge.policies) {
        Ok(()) => Plan::Forward {
            slot: slot_of(request.arg(1)),
            write: false,
            decision: Decision::NONE,
            wait: None,
        },
        Err(refusal) => refuse_by(&refusal),
    }
}

fn transaction(request: &Request, command: &'static Command, knowledge: &Knowledge) -> Plan {
    Plan::Transaction(match command.name {
        "exec" => TransactionCommand::Exec,
        "discard" => TransactionCommand::Discard,
        "watch" => return watch(request, CommandRef::Table(command), knowledge),
        "unwatch" => TransactionCommand::Unwatch,
        _ => TransactionCommand::Multi,
    })
}

fn watch(request: &Request, command: CommandRef, knowledge: &Knowledge) -> Plan {
    let slots = slot_of_keys(request, command).unwrap_or_default();
    let slot = slots
        .first
        .filter(|_| !slots.differs || knowledge.is_one_node);
    match permitted(request, command, knowledge.policies) {
        Ok(namespace) => Plan::Transaction(TransactionCommand::Watch { slot, namespace }),
        Err(refusal) => refuse_by(&refusal),
    }
}

/// A refusal by a rule of no namespace.
fn refuse(rule: RefusalRule, text: &str) -> Plan {
    Plan::Refuse(error_reply(text.as_bytes()), rule.of_none())
}

/// A refusal by the policies.
fn refuse_by(refusal: &Refusal) -> Plan {
    Plan::Refuse(error_reply(refusal.text.as_bytes()), refusal.reason)
}

/// The refusal of a command that slotmux never sends like this.
fn refuse_command(full_name: &str, reason: &str) -> Plan {
    refuse(RefusalRule::Inherent, &refused_error(full_name, reason))
}

/// An error reply. The text may repeat what a client sent, so it need not be UTF-8; it has no line ends.
fn error_reply(text: &[u8]) -> Vec<u8> {
    [b"-", text, b"\r\n"].concat()
}

impl Plan {
    /// Whether a client may do this before it has authenticated.
    pub fn needs_no_authentication(&self) -> bool {
        match self {
            Plan::Answer(what, _) => crate::answer::allowed_before_login(*what),
            Plan::Unknown(_) | Plan::Transaction(TransactionCommand::WrongExec) => true,
            _ => false,
        }
    }

    /// Whether this is done at once inside a transaction; everything else is queued.
    pub fn is_never_queued(&self) -> bool {
        match self {
            Plan::Transaction(what) => *what != TransactionCommand::Unwatch,
            Plan::Answer(OwnAnswer::Reset | OwnAnswer::Quit, _) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::resolve;
    use crate::resp::{Limits, scan_request};

    fn plan_of(bytes: &[u8]) -> Plan {
        let mut args = Vec::new();
        scan_request(bytes, &Limits::default(), &mut args).expect("a request");
        let request = Request { bytes, args: &args };
        let knowledge = Knowledge {
            learned: None,
            server: ServerVersion::default(),
            is_one_node: false,
            as_cluster: false,
            policies: &Policies::default(),
            commands: &Commands::default(),
            now: || 0,
        };
        plan(&request, resolve(bytes, &args), &knowledge, &mut Vec::new())
    }

    #[test]
    fn a_wrong_exec_still_ends_a_transaction() {
        let wrong = plan_of(b"*2\r\n$4\r\nEXEC\r\n$1\r\nx\r\n");
        assert!(matches!(
            wrong,
            Plan::Transaction(TransactionCommand::WrongExec)
        ));
        assert!(wrong.is_never_queued() && wrong.needs_no_authentication());
        let right = plan_of(b"*1\r\n$4\r\nEXEC\r\n");
        assert!(matches!(right, Plan::Transaction(TransactionCommand::Exec)));
        assert!(!right.needs_no_authentication());
        let other = plan_of(b"*2\r\n$5\r\nMULTI\r\n$1\r\nx\r\n");
        assert!(matches!(other, Plan::Unknown(_)));
    }
}
