//! One command that was given to a lane and is not answered yet.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::oneshot;

use crate::engine::client::Client;
use crate::engine::fan_out::gather::Gather;
use crate::engine::pubsub::census::Receivers;
use crate::engine::stats::namespaces::CountedRequest;
use crate::engine::worker::Worker;
use crate::engine::worker::clock::Tick;
use slotmux_core::policy::{NamespaceId, ReplyConversion};
use slotmux_core::slot::OptionalSlot;

use super::block::{Block, Destination};
use crate::engine::transaction::exec_reply::Exec;
use crate::engine::transaction::watch::WatchParts;
use crate::engine::upstream::retry::decide::MAX_TRIES;
use crate::engine::upstream::retry::verify_refusal::Verification;

/// The use of the reply.
#[derive(Clone)]
pub enum OnReply {
    /// Deliver it as the reply of the client's request.
    Deliver,
    /// It is a part of the reply of the client's request.
    Part {
        /// The gather that collects the parts.
        gather: Rc<Gather>,
        /// Index of the part.
        part: u32,
    },
    /// It is the number of receivers of a message, to be corrected for the client.
    Publish(Receivers),
    /// There are several: the replies to the commands of a block.
    Block(Rc<Block>),
    /// It confirms that the node watches the keys.
    Watch {
        /// Whether the client still waits for that.
        is_awaited: bool,
        /// Whether it followed an ASK: so must all commands of its client while the watch holds.
        is_asking: bool,
        /// The parts for other slots, to be sent once this one is confirmed.
        behind: Option<Rc<WatchParts>>,
    },
    /// Awaited by no client: it confirms that the node no longer watches keys on this connection.
    Unwatch,
    /// It identifies the run of the node's process that answers on this connection.
    ProcessRun,
    /// It gives the connection's id at its node.
    ConnectionId,
    /// Whether it is 1 is reported to the sender's receiver.
    ReportOne(Rc<Cell<Option<oneshot::Sender<bool>>>>),
    /// Awaited by no client: the reply to the `ASKING` ahead of the next entry.
    Asking,
    /// Awaited by no client: it confirms that the node tracks reads on this connection.
    Tracking,
    /// Awaited by no client: it confirms that the node tracks the reads of the next entry.
    Caching,
    /// Awaited by no client: it shows whether a key in observe mode has a TTL.
    Probe,
    /// Not a client's command: it verifies an error that a script may have forged.
    Verify(Rc<Verification>),
    /// Awaited no longer: its client got an error, since the command took too long.
    Discard,
}

impl OnReply {
    /// A reply of which it is reported to `asker` whether it is 1.
    pub fn report_one(asker: oneshot::Sender<bool>) -> OnReply {
        OnReply::ReportOne(Rc::new(Cell::new(Some(asker))))
    }
}

/// An entry of a lane's queue. Its request is the next `len` bytes of the lane's ring.
#[derive(Clone)]
pub struct InFlight {
    /// Client that sent the request.
    pub client: Rc<Client>,
    /// Place of the reply among the client's replies.
    pub seq: u32,
    /// Length of the request in bytes.
    pub len: u32,
    /// When the request arrived at slotmux; its deadline always counts from here.
    pub arrived: Tick,
    /// The namespace of its first key.
    pub namespace: NamespaceId,
    /// The slot of its keys; none for a command of this node (keyless, or a part of a broadcast).
    pub slot: OptionalSlot,
    /// Times it was sent again: redirects, retries.
    pub tries: u8,
    /// Whether its reply is suppressed (`CLIENT REPLY`).
    pub mute: bool,
    /// Whether it may have changed data. When its fate is unknown it is sent again only as [`crate::engine::upstream::retry::may_have_run`] says.
    pub write: bool,
    /// How the reply becomes that of the client's request.
    pub reply: ReplyConversion,
    /// The use of the reply.
    pub kind: OnReply,
}

impl InFlight {
    /// A command of slotmux' own for a client, which has no place among that client's.
    pub fn internal(worker: &Worker, client: &Rc<Client>, len: usize, kind: OnReply) -> InFlight {
        InFlight {
            client: client.clone(),
            seq: 0,
            len: len as u32,
            arrived: worker.clock.last(),
            namespace: NamespaceId::UNMATCHED,
            slot: OptionalSlot::NONE,
            tries: 0,
            mute: true,
            write: false,
            reply: ReplyConversion::AsIs,
            kind,
        }
    }

    /// Whether it may take as long as it likes, since it is what its client is blocked in.
    pub fn is_blocking(&self) -> bool {
        self.client.is_blocked_on(self.seq) && self.is_awaited() && !self.is_repair()
    }

    /// The facts for the count of its reply.
    pub fn counted(&self) -> CountedRequest {
        CountedRequest {
            namespace: self.namespace,
            arrived: self.arrived,
            reply: self.reply,
        }
    }

    /// Whether a client still waits for the reply.
    pub fn is_awaited(&self) -> bool {
        match &self.kind {
            OnReply::Deliver | OnReply::Publish(_) | OnReply::Part { .. } => true,
            OnReply::Block(block) => block.is_awaited(),
            OnReply::Watch { is_awaited, .. } => *is_awaited,
            OnReply::Probe
            | OnReply::Verify(_)
            | OnReply::Discard
            | OnReply::Asking
            | OnReply::Tracking
            | OnReply::Caching
            | OnReply::Unwatch
            | OnReply::ProcessRun
            | OnReply::ConnectionId
            | OnReply::ReportOne(_) => false,
        }
    }

    /// Cancels the wait for the reply, which is dropped when it arrives. The returned entry has to be answered instead.
    pub fn cancel(&mut self) -> InFlight {
        let awaited = self.clone();
        match &mut self.kind {
            // A block is the same one in both, and settled by the answer.
            OnReply::Block(_) => {}
            // The node then has to forget the keys.
            OnReply::Watch { is_awaited, .. } => *is_awaited = false,
            kind => *kind = OnReply::Discard,
        }
        awaited
    }

    /// Counts more tries, without an overflow.
    pub fn count_tries(&mut self, more: u8) {
        self.tries = self.tries.saturating_add(more);
    }

    /// Whether it may be sent again once more, as far as the number of tries goes.
    pub fn has_tries_left(&self) -> bool {
        self.tries < MAX_TRIES
    }

    /// Makes its next try the last one.
    pub fn use_up_tries(&mut self) {
        self.tries = MAX_TRIES;
    }

    /// Whether it only repairs expiries. Its client has its reply, or has left.
    pub fn is_repair(&self) -> bool {
        matches!(&self.kind, OnReply::Block(block) if matches!(block.destination(), Destination::Repair { .. }))
    }

    /// Whether it is a WATCH.
    pub fn is_watch(&self) -> bool {
        matches!(self.kind, OnReply::Watch { .. })
    }

    /// The EXEC whose block this is, if any.
    pub fn exec(&self) -> Option<&Exec> {
        match &self.kind {
            OnReply::Block(block) => match block.destination() {
                Destination::Exec { exec, .. } => Some(exec.as_ref()),
                _ => None,
            },
            _ => None,
        }
    }

    /// The error that it is answered with is slotmux' own: a group of a transaction has failed.
    pub(crate) fn note_own_error(&self) {
        if let OnReply::Block(block) = &self.kind
            && let Destination::Exec { exec, group } = block.destination()
        {
            exec.note_own_error(*group);
        }
    }

    /// Whether it is a transaction that runs only if no watched key has changed. It is never sent a second time: a change
    /// can lie between.
    pub fn is_watched(&self) -> bool {
        match &self.kind {
            OnReply::Block(block) => match block.destination() {
                Destination::Exec { exec, group } => exec.is_watched(*group),
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether it is a block with commands that name scripts by their SHA1, or may be.
    pub fn may_name_scripts(&self) -> bool {
        match self.exec() {
            Some(exec) => exec.names_scripts(),
            None => matches!(self.kind, OnReply::Block(_)),
        }
    }

    /// Whether its reply is the whole reply of the client's request.
    pub fn is_whole(&self) -> bool {
        match &self.kind {
            OnReply::Deliver | OnReply::Publish(_) => true,
            OnReply::Block(block) => matches!(block.destination(), Destination::Deliver),
            _ => false,
        }
    }

    /// Bytes of it that have to reach the node before anything can have run.
    pub fn runs_at(&self) -> usize {
        match &self.kind {
            OnReply::Block(block) => block.runs_at(),
            _ => self.len as usize,
        }
    }

    /// Whether it is sent between MULTI and EXEC.
    pub fn is_transaction(&self) -> bool {
        matches!(&self.kind, OnReply::Block(block) if block.form().atomic)
    }

    /// Drops the partial reply: the command is about to be sent again.
    pub fn restart(&self) {
        if let OnReply::Block(block) = &self.kind {
            block.restart();
        }
    }

    /// Whether it is the `ASKING` of the entry behind it.
    pub fn is_asking(&self) -> bool {
        matches!(self.kind, OnReply::Asking)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_entry_stays_small() {
        // Lanes hold up to 16,384 of them each, and every request writes one.
        assert!(size_of::<super::InFlight>() <= 48);
    }
}
