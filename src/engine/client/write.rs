//! Replies on their way to the client: into its output in request order, and from there into the socket once a turn.

use std::rc::Rc;
use std::time::Duration;

use crate::engine::upstream::lane::Lane;
use crate::engine::worker::Worker;

use super::output::{Stall, Written};
use super::{Client, ClientPhase, OUTPUT_PAUSE, Pause};

/// Patience with a client that holds back a dedicated lane, if `output_soft` does not set it.
const STALL_PATIENCE: Duration = Duration::from_secs(10);

impl Client {
    /// The whole reply to request `seq`. Empty bytes answer a request whose reply is suppressed.
    pub fn reply(self: &Rc<Self>, worker: &Worker, seq: u32, bytes: &[u8]) {
        self.reply_piece(worker, seq, bytes, true);
    }

    /// Bytes of the reply to request `seq`; `complete` with the last of them. The pieces of a large reply are passed
    /// on as they come if it is that request's turn.
    pub fn reply_piece(self: &Rc<Self>, worker: &Worker, seq: u32, bytes: &[u8], complete: bool) {
        let head = self.order.head();
        if self.is_closed() {
            // Counting goes on, so that a drain can see that nothing is in flight any more.
            if complete {
                worker.stats.replies_dropped.inc();
                self.order.advance_to(head.wrapping_add(1));
            }
            return;
        }
        if seq == head {
            let answered = self.output.append_with(worker, |out| {
                out.extend_from_slice(bytes);
                if !complete {
                    self.output.set_mid_reply(true);
                    return 0;
                }
                if self.output.is_mid_reply() {
                    self.end_mid_reply(out);
                }
                let (released, is_next_begun) =
                    self.order.release_early(&worker.scratch.early_replies, out);
                if is_next_begun {
                    self.output.set_mid_reply(true);
                }
                1 + released
            });
            if answered > 0 {
                worker.stats.replies.add(u64::from(answered));
                self.answered(worker, head.wrapping_add(answered));
            }
        } else {
            let ahead = seq.wrapping_sub(head);
            if ahead >= self.in_flight() {
                debug_assert!(false, "a request was answered twice");
                return;
            }
            self.order
                .hold(&worker.scratch.early_replies, ahead, bytes, complete);
        }
        worker.turn.touch_client(self);
    }

    /// An own answer, in its place behind the requests in flight.
    pub fn reply_now(self: &Rc<Self>, worker: &Worker, bytes: &[u8]) {
        let seq = self.take_seq();
        self.reply(worker, seq, bytes);
    }

    /// Everything before `head` is answered: resumes a client that waited for it.
    fn answered(self: &Rc<Self>, worker: &Worker, head: u32) {
        self.order.advance_to(head);
        if self.has_pushes_behind() {
            self.send_pushes_behind(worker);
        }
        if self.in_flight() == 0 {
            // The flush that follows updates the memory budget.
            self.memory.take_requests();
        }
        match self.waiting.pause() {
            Pause::InFlight(most) if self.in_flight() <= most => self.wake(),
            Pause::Question if self.in_flight() == 0 => self.wake(),
            Pause::Blocked if self.in_flight() == 0 => {
                self.end_block(worker);
                self.wake();
            }
            _ => {}
        }
    }

    /// Writes what the socket takes. Called once per turn, and when a blocked socket has room again.
    pub fn flush(self: &Rc<Self>, worker: &Worker) {
        self.output.clear_dirty();
        self.write_out(worker);
    }

    /// Writes what the socket takes and applies the limits.
    pub(super) fn write_out(self: &Rc<Self>, worker: &Worker) {
        if self.is_closed() {
            return;
        }
        if !self.output.is_blocked() && !self.write_some(worker) {
            self.close(worker);
            return;
        }
        self.check_output(worker);
        if self.phase.get() == ClientPhase::Finishing
            && self.in_flight() == 0
            && !self.has_long_request()
            && self.output.is_empty()
        {
            self.phase.set(ClientPhase::Lingering);
            self.with_transport(|transport| transport.finish());
            worker.clients.linger(self, worker.clock.now());
            self.wake();
        }
    }

    /// Writes what the socket takes. Returns false if the connection failed.
    fn write_some(&self, worker: &Worker) -> bool {
        let transport = self.transport.borrow();
        let Some(transport) = transport.as_ref() else {
            return true;
        };
        match self.output.write(worker, transport) {
            Written::All => true,
            Written::Some => {
                self.wake();
                true
            }
            Written::Failed => false,
        }
    }

    /// Applies the output limits, the memory budget and the pause for output after a write.
    pub fn check_output(&self, worker: &Worker) {
        let buffered = self.buffered();
        if buffered <= OUTPUT_PAUSE / 2 {
            self.output.release_held_back_lane();
        }
        if buffered == 0 && self.memory.charged() == 0 {
            return;
        }
        let limits = worker.limits(self);
        if buffered > limits.output_hard {
            self.close_over_limit(worker, buffered);
            return;
        }
        match limits.output_soft {
            Some((soft, patience)) if buffered > soft => {
                if self.output.note_over_soft(worker, patience) {
                    self.close_over_limit(worker, buffered);
                    return;
                }
            }
            _ => self.output.clear_over_soft(),
        }
        self.charge_buffers(worker);
        if self.waiting.pause() == Pause::Output && buffered <= OUTPUT_PAUSE / 2 {
            self.wake();
        }
    }

    /// Holds back `lane`, on which this client alone waits for a reply, if the client has too much output. Returns whether
    /// the lane must not be read; it is woken when more was taken.
    pub fn hold_back_if_full(&self, worker: &Worker, lane: &Rc<Lane>) -> bool {
        if self.is_closed() || self.buffered() <= OUTPUT_PAUSE {
            return false;
        }
        self.output.hold_back(worker, lane);
        true
    }

    /// Closes a client that takes next to nothing of a reply while it holds back a dedicated lane, which it would keep for
    /// ever.
    pub fn check_stall(&self, worker: &Worker) {
        let patience = worker
            .limits(self)
            .output_soft
            .map_or(STALL_PATIENCE, |(_, patience)| patience);
        if self.output.take_stall(worker.clock.now(), patience) == Stall::Stalled {
            self.close_over_limit(worker, self.buffered());
        }
    }

    /// Counts the bytes of a request that is kept for this client alone, until nothing of it is in flight.
    pub fn add_request_bytes(&self, worker: &Worker, bytes: usize) {
        self.memory.add_request(bytes);
        self.charge_buffers(worker);
    }

    /// Counts bytes of replies that are gathered from several nodes. Returns the bytes of all of them.
    pub fn change_gathered(&self, worker: &Worker, before: usize, after: usize) -> usize {
        let gathered = self.memory.change_gathered(before, after);
        self.charge_buffers(worker);
        gathered
    }

    pub(super) fn close_over_limit(&self, worker: &Worker, buffered: usize) {
        self.close_with(worker, buffered, "it does not read its replies");
    }

    /// Closes a client whose gathered reply is above its output limit.
    pub fn close_for_reply(&self, worker: &Worker, bytes: usize) {
        self.close_with(worker, bytes, "its reply is too large");
    }

    fn close_with(&self, worker: &Worker, bytes: usize, why: &str) {
        if !self.is_closed() {
            tracing::warn!(client = self.id, bytes, "client closed: {why}");
            worker.stats.limit_closes.inc();
            self.close(worker);
        }
    }
}
