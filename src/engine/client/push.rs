//! Pushes: frames between the replies of a client, never inside one.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::engine::pubsub::subscriptions::Subscriptions;
use crate::engine::upstream::retry::order_index::Seq;
use crate::engine::worker::Worker;
use slotmux_core::resp::Protocol;

use super::output::WRITE_PER_TURN;
use super::{Client, ClientPhase, OUTPUT_PAUSE};

/// State of a client that gets pushes.
#[derive(Debug, Default)]
pub struct Pushes {
    subscriptions: Subscriptions,
    /// Pushes that wait for the end of the reply that is under way.
    waiting: Vec<u8>,
    /// Pushes that wait for all replies before that to this request.
    behind: BTreeMap<Seq, Vec<u8>>,
    /// Bytes of them.
    behind_bytes: usize,
}

impl Pushes {
    /// Bytes of the pushes that wait.
    fn pending(&self) -> usize {
        self.waiting.len() + self.behind_bytes
    }

    /// Drops the pushes that wait; the subscriptions stay, for they end in slices.
    fn drop_pending(&mut self) {
        self.waiting = Vec::new();
        self.behind.clear();
        self.behind_bytes = 0;
    }
}

impl Worker {
    /// Reserves memory for a frame to this many clients. True: it can be appended without a check of each client; they are
    /// written, and held to their limits, at the end of the turn.
    pub fn reserve_pushes(&self, frame: &[u8], clients: usize) -> bool {
        frame.len() <= OUTPUT_PAUSE
            && self
                .memory
                .claim_for_turn(frame.len().saturating_mul(clients))
    }
}

impl Client {
    /// As [`Client::push`], where [`Worker::reserve_pushes`] returned false. A client without room for the frame is closed.
    #[cold]
    pub fn push_sparingly(self: &Rc<Self>, worker: &Worker, frame: &[u8]) {
        if self.phase.get() != ClientPhase::Open {
            return;
        }
        // Bytes that the socket takes at once need not fit.
        let bytes = self.buffered() + frame.len();
        if bytes
            > worker
                .limits(self)
                .output_hard
                .saturating_add(WRITE_PER_TURN)
        {
            return self.close_over_limit(worker, bytes);
        }
        self.push(worker, frame);
        // Written before the next client gets the frame.
        self.write_out(worker);
        worker.keep_within_memory();
    }

    /// Sends the client a push frame of RESP3; one of RESP2 gets it as an array.
    pub fn push(self: &Rc<Self>, worker: &Worker, frame: &[u8]) {
        match (self.session.protocol(), frame) {
            // An array differs from a push by its first byte.
            (Protocol::Resp2, [_, rest @ ..]) => self.push_bytes(worker, &[b"*", rest]),
            _ => self.push_bytes(worker, &[frame]),
        }
    }

    /// Sends the client lines of MONITOR, which have one form in both protocols.
    pub fn push_lines(self: &Rc<Self>, worker: &Worker, lines: &[u8]) {
        self.push_bytes(worker, &[lines]);
    }

    /// Appends a push, cut into `pieces`. It counts as output like any reply. While a reply is sent in parts, it waits for
    /// the end of that reply.
    fn push_bytes(self: &Rc<Self>, worker: &Worker, pieces: &[&[u8]]) {
        if self.phase.get() != ClientPhase::Open {
            return;
        }
        let append = |out: &mut Vec<u8>| {
            for piece in pieces {
                out.extend_from_slice(piece);
            }
        };
        if self.output.is_mid_reply() {
            append(&mut self.pushes.borrow_mut().get_or_insert_default().waiting);
        } else {
            self.output.append_with(worker, append);
        }
        worker.turn.touch_client(self);
    }

    /// Sends an invalidation once everything before request `seq` is answered.
    pub fn push_behind(self: &Rc<Self>, worker: &Worker, seq: u32, frame: &[u8]) {
        if self.phase.get() != ClientPhase::Open {
            return;
        }
        if self.order.has_answered_before(seq) {
            return self.send_invalidations(worker, frame);
        }
        let mut pushes = self.pushes.borrow_mut();
        let pushes_of_it = pushes.get_or_insert_default();
        let frames = pushes_of_it.behind.entry(Seq(seq)).or_default();
        frames.extend_from_slice(frame);
        pushes_of_it.behind_bytes += frame.len();
        drop(pushes);
        worker.turn.touch_client(self);
    }

    /// Whether pushes wait for replies.
    #[inline]
    pub(super) fn has_pushes_behind(&self) -> bool {
        let pushes = self.pushes.borrow();
        pushes
            .as_ref()
            .is_some_and(|pushes| !pushes.behind.is_empty())
    }

    /// Requests were answered: sends the pushes that waited for them.
    #[cold]
    pub(super) fn send_pushes_behind(self: &Rc<Self>, worker: &Worker) {
        let mut due = Vec::new();
        if let Some(pushes) = self.pushes.borrow_mut().as_mut() {
            while let Some(next) = pushes.behind.first_entry()
                && self.order.has_answered_before(next.key().0)
            {
                due.append(&mut next.remove());
            }
            pushes.behind_bytes -= due.len();
        }
        if !due.is_empty() {
            // It may have switched tracking off since then, or left RESP3.
            if self.receives_invalidations() {
                self.send_invalidations(worker, &due);
            }
            self.drop_idle_pushes();
        }
    }

    /// The reply under way is complete: appends the pushes that waited for it.
    pub(super) fn end_mid_reply(&self, out: &mut Vec<u8>) {
        self.output.set_mid_reply(false);
        if let Some(pushes) = self.pushes.borrow_mut().as_mut() {
            out.append(&mut pushes.waiting);
            pushes.waiting = Vec::new();
        }
        self.drop_idle_pushes();
    }

    /// Bytes of pushes that wait for the end of a reply.
    pub(super) fn pending_push_bytes(&self) -> usize {
        let pushes = self.pushes.borrow();
        pushes.as_ref().map_or(0, |pushes| pushes.pending())
    }

    /// Bytes of the names that it listens to.
    pub fn subscribed(&self) -> usize {
        let pushes = self.pushes.borrow();
        pushes
            .as_ref()
            .map_or(0, |pushes| pushes.subscriptions.bytes())
    }

    /// How many channels, patterns and shard channels it listens to.
    pub fn subscription_counts(&self) -> [usize; 3] {
        let pushes = self.pushes.borrow();
        pushes
            .as_ref()
            .map_or([0; 3], |pushes| pushes.subscriptions.counts())
    }

    /// Runs `f` on what it listens to.
    pub fn with_subscriptions<T>(&self, f: impl FnOnce(&mut Subscriptions) -> T) -> T {
        let mut pushes = self.pushes.borrow_mut();
        f(&mut pushes.get_or_insert_default().subscriptions)
    }

    /// Drops its pending pushes: the client has left.
    pub(super) fn drop_pending_pushes(&self) {
        if let Some(pushes) = self.pushes.borrow_mut().as_mut() {
            pushes.drop_pending();
        }
        self.drop_idle_pushes();
    }

    /// Gives back the memory of a client that gets no pushes any more.
    pub fn drop_idle_pushes(&self) {
        let mut pushes = self.pushes.borrow_mut();
        pushes.take_if(|pushes| {
            pushes.subscriptions.is_empty() && pushes.waiting.is_empty() && pushes.behind.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_pushes_count_for_nothing() {
        let mut pushes = Pushes {
            waiting: vec![0; 7],
            behind: BTreeMap::from([(Seq(3), vec![0; 5])]),
            behind_bytes: 5,
            ..Pushes::default()
        };
        assert_eq!(pushes.pending(), 12);
        pushes.drop_pending();
        assert_eq!(pushes.pending(), 0);
        assert!(pushes.behind.is_empty());
    }
}
