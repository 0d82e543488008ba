//! Where a request goes: the decision, without doing any of it.

use crate::client::request::Request;
use crate::command::{
    Answer, Command, KeySpec, Learned, Merge, Route, Unresolved, blocks, for_each_key,
    refused_error,
};
use crate::slot::{Slot, slot_of};

pub mod broadcast;
pub mod gather;
pub mod slots;
pub mod split;

/// What is to be done with a request.
#[derive(Clone, Debug)]
pub enum Plan {
    /// Send it, as it is, to the node of this slot.
    Forward {
        /// The slot of all of its keys.
        slot: Slot,
        /// Whether it may change data.
        write: bool,
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
        /// Arguments per key: 1, or 2 for key and value.
        step: usize,
        /// Whether it may change data.
        write: bool,
    },
    /// Send it to every primary and merge the replies.
    Everywhere {
        /// How the replies become one.
        merge: Merge,
        /// Whether it may change data.
        write: bool,
    },
    /// slotmux answers it.
    Answer(Answer, &'static Command),
    /// It belongs to a transaction, which slotmux does not have yet.
    Transaction(Transaction),
    /// slotmux answers with this error reply.
    Refuse(Vec<u8>),
    /// It is no command that could run: slotmux answers with this error reply, also before authentication, as Redis
    /// does.
    Unknown(Vec<u8>),
}

/// The commands around a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transaction {
    /// `MULTI`
    Multi,
    /// `EXEC`
    Exec,
    /// `DISCARD`
    Discard,
    /// `WATCH`
    Watch,
    /// `UNWATCH`
    Unwatch,
}

/// What a plan depends on besides the request.
pub struct Knowledge<'a> {
    /// Commands that our table lacks, where slotmux may learn them.
    pub learned: Option<&'a Learned>,
    /// Whether one node has every slot, so that nothing is split or refused for its slots.
    pub is_one_node: bool,
}

const CROSS_SLOT: &str = "CROSSSLOT Keys in request don't hash to the same slot";

/// Decides what is to be done with `request`, whose command the table knows or not.
pub fn plan(
    request: &Request,
    command: Result<&'static Command, Unresolved>,
    knowledge: &Knowledge,
) -> Plan {
    let command = match command {
        Ok(command) => command,
        Err(unresolved) => return plan_learned(request, knowledge, &unresolved),
    };
    // Where the table does not say that a command only reads, it may have changed something.
    let write = !command.is_readonly();
    match command.route {
        Route::Keyed => keyed(request, command, write, knowledge),
        Route::Split(merge) => match keyed(request, command, write, knowledge) {
            Plan::Refuse(_) => Plan::Split {
                merge,
                step: step(&command.keys),
                write,
            },
            plan => plan,
        },
        Route::AnyNode => Plan::Anywhere { write },
        Route::AllPrimaries(merge) => Plan::Everywhere { merge, write },
        Route::Answer(what) => Plan::Answer(what, command),
        Route::Transaction => transaction(command),
        Route::Blocking if !blocks(command, request.bytes, request.args) => {
            keyed(request, command, write, knowledge)
        }
        Route::Blocking => refuse(&refused_error(
            command.full_name,
            "blocking commands are not supported yet",
        )),
        Route::Subscribe => refuse(&refused_error(
            command.full_name,
            "subscriptions and MONITOR are not supported yet",
        )),
        Route::Refused(reason) => refuse(&refused_error(command.full_name, reason)),
    }
}

/// Arguments per key.
fn step(keys: &KeySpec) -> usize {
    match keys {
        KeySpec::Range { step, .. } => usize::from(*step).max(1),
        _ => 1,
    }
}

/// A command with keys: to their slot, if it is one.
fn keyed(request: &Request, command: &Command, write: bool, knowledge: &Knowledge) -> Plan {
    let mut slots = OneSlot::default();
    let keys = for_each_key(&command.keys, request.bytes, request.args, |at| {
        slots.add(request.arg(at))
    });
    // A request whose keys can't be found is malformed, and any node says how.
    if keys.is_err() {
        return Plan::Anywhere { write };
    }
    slots.plan(write, knowledge)
}

/// The slot of a request's keys, as long as it is one.
#[derive(Default)]
struct OneSlot {
    slot: Option<Slot>,
    differs: bool,
}

impl OneSlot {
    fn add(&mut self, key: &[u8]) {
        let slot = slot_of(key);
        self.differs |= *self.slot.get_or_insert(slot) != slot;
    }

    fn plan(self, write: bool, knowledge: &Knowledge) -> Plan {
        match self.slot {
            None => Plan::Anywhere { write },
            Some(_) if self.differs && !knowledge.is_one_node => refuse(CROSS_SLOT),
            Some(slot) => Plan::Forward { slot, write },
        }
    }
}

/// A command that the table lacks: known to the upstream, or to nobody.
fn plan_learned(request: &Request, knowledge: &Knowledge, unresolved: &Unresolved) -> Plan {
    let error = || Plan::Unknown(error_reply(&unresolved.error(request.bytes, request.args)));
    let Some(learned) = knowledge.learned else {
        return error();
    };
    let Some(command) = learned.resolve(request.bytes, request.args) else {
        return error();
    };
    if !command.arity_ok(request.argc()) {
        return Plan::Unknown(error_reply(command.arity_error().as_bytes()));
    }
    if let Route::Refused(reason) = command.route {
        return refuse(&refused_error(&command.full_name, reason));
    }
    let write = !command.is_readonly();
    let mut slots = OneSlot::default();
    match command.for_each_key(request.bytes, request.args, |at| slots.add(request.arg(at))) {
        Ok(()) => slots.plan(write, knowledge),
        Err(_) => Plan::Anywhere { write },
    }
}

fn transaction(command: &Command) -> Plan {
    Plan::Transaction(match command.name {
        "exec" => Transaction::Exec,
        "discard" => Transaction::Discard,
        "watch" => Transaction::Watch,
        "unwatch" => Transaction::Unwatch,
        _ => Transaction::Multi,
    })
}

fn refuse(text: &str) -> Plan {
    Plan::Refuse(error_reply(text.as_bytes()))
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
            Plan::Unknown(_) => true,
            _ => false,
        }
    }

    /// Whether this is not refused along with a refused transaction.
    pub fn ends_refused_transaction(&self) -> bool {
        matches!(
            self,
            Plan::Transaction(_) | Plan::Answer(Answer::Reset | Answer::Quit, _)
        )
    }
}
