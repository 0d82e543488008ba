//! Replies on their way to the client: into its output in request order, and from there into the socket once a turn.

use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use crate::engine::upstream::lane::Lane;
use crate::engine::worker::Worker;
use crate::engine::worker::clock::ticks;

use super::{Client, OUTPUT_PAUSE, Pause, Phase};

/// Bytes written to a client before others get their turn.
pub(super) const WRITE_PER_TURN: usize = 1024 * 1024;

/// How long a client may hold back a lane of its own before it has to have taken [`LEAST_TAKEN`], where `output_soft` does not
/// say.
const STALL_PATIENCE: Duration = Duration::from_secs(10);

/// What a client that holds back a lane of its own has to take in each such time. Else a few that read a byte now and then
/// would keep all the connections that others wait for.
const LEAST_TAKEN: usize = 96 * 1024;

impl Client {
    /// The whole reply to request `seq`. Empty bytes answer a request whose reply is suppressed.
    pub fn reply(self: &Rc<Self>, worker: &Worker, seq: u32, bytes: &[u8]) {
        self.reply_piece(worker, seq, bytes, true);
    }

    /// Bytes of the reply to request `seq`; `complete` with the last of them. The pieces of a large reply are passed
    /// on as they come if it is that request's turn.
    pub fn reply_piece(self: &Rc<Self>, worker: &Worker, seq: u32, bytes: &[u8], complete: bool) {
        let head = self.head_seq.get();
        if self.is_closed() {
            // Counting goes on, so that a drain can see that nothing is in flight any more.
            if complete {
                worker.stats.abandoned.inc();
                self.head_seq.set(head.wrapping_add(1));
            }
            return;
        }
        if seq == head {
            let mut out = self.out.borrow_mut();
            if out.capacity() == 0 {
                *out = worker.scratch.buffers.take();
            }
            out.extend_from_slice(bytes);
            if complete {
                if self.is_mid_reply.get() {
                    self.end_mid_reply(&mut out);
                }
                let mut answered = 1;
                let mut held = self.held.borrow_mut();
                if let Some(early) = held.as_mut() {
                    answered += early.advance(&mut out);
                    self.is_mid_reply.set(early.is_next_begun());
                    if early.is_empty() {
                        worker.scratch.early_replies.give(held.take());
                    }
                }
                drop((out, held));
                worker.stats.replies.add(u64::from(answered));
                self.answered(worker, head.wrapping_add(answered));
            } else {
                self.is_mid_reply.set(true);
                drop(out);
            }
        } else {
            let ahead = seq.wrapping_sub(head);
            if ahead >= self.in_flight() {
                debug_assert!(false, "a request was answered twice");
                return;
            }
            self.held
                .borrow_mut()
                .get_or_insert_with(|| worker.scratch.early_replies.take())
                .hold(ahead as usize, bytes, complete);
        }
        worker.turn.touch_client(self);
    }

    /// A reply that slotmux gives itself, in its place behind what is in flight.
    pub fn reply_now(self: &Rc<Self>, worker: &Worker, bytes: &[u8]) {
        let seq = self.take_seq();
        self.reply(worker, seq, bytes);
    }

    /// Everything before `head` is answered: lets a client go on that waited for that.
    fn answered(self: &Rc<Self>, worker: &Worker, head: u32) {
        self.head_seq.set(head);
        if self.has_pushes_behind() {
            self.send_pushes_behind(worker);
        }
        if self.in_flight() == 0 {
            // What it counts for is brought up to date by the flush that follows.
            self.request_bytes.set(0);
        }
        match self.pause.get() {
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
        self.dirty.set(false);
        self.write_out(worker);
    }

    /// Writes what the socket takes and applies the limits.
    pub(super) fn write_out(self: &Rc<Self>, worker: &Worker) {
        if self.is_closed() {
            return;
        }
        if !self.write_blocked.get() && !self.write_some(worker) {
            self.close(worker);
            return;
        }
        self.check_output(worker);
        if self.phase.get() == Phase::Finishing
            && self.in_flight() == 0
            && !self.has_work()
            && self.out.borrow().is_empty()
        {
            self.phase.set(Phase::Lingering);
            self.with_transport(|transport| transport.finish());
            worker.clients.linger(self, worker.clock.now());
            self.wake();
        }
    }

    /// Returns false if the connection failed.
    fn write_some(&self, worker: &Worker) -> bool {
        let transport = self.transport.borrow();
        let Some(transport) = transport.as_ref() else {
            return true;
        };
        let mut out = self.out.borrow_mut();
        let first = self.sent.get();
        let mut sent = first;
        while sent < out.len() {
            let until = out.len().min(first + WRITE_PER_TURN);
            if sent == until {
                // Others first; the socket is ready still.
                self.write_blocked.set(true);
                self.wake();
                break;
            }
            match transport.try_write(&out[sent..until]) {
                Ok(n) => {
                    worker.stats.client_writes.inc();
                    worker.stats.client_bytes_out.add(n as u64);
                    sent += n;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.write_blocked.set(true);
                    self.wake();
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        if sent > first {
            self.last_taken.set(worker.clock.now());
            self.taken.set(self.taken.get() + (sent - first));
        }
        if sent == out.len() {
            worker.scratch.buffers.give(std::mem::take(&mut out));
            sent = 0;
        } else if sent >= OUTPUT_PAUSE && sent * 2 >= out.len() {
            // At least half goes, so that each byte moves once at most on average.
            out.drain(..sent);
            sent = 0;
        }
        self.sent.set(sent);
        true
    }

    /// Applies the output limits, the memory budget and the pause for output after a write.
    pub fn check_output(&self, worker: &Worker) {
        let buffered = self.buffered();
        if buffered <= OUTPUT_PAUSE / 2 {
            self.let_lane_go_on();
        }
        if buffered == 0 && self.charged() == 0 {
            return;
        }
        let limits = worker.limits(self);
        if buffered > limits.output_hard {
            self.close_over_limit(worker, buffered);
            return;
        }
        match limits.output_soft {
            Some((soft, patience)) if buffered > soft => {
                let since = self.over_soft.get().unwrap_or_else(|| worker.clock.now());
                self.over_soft.set(Some(since));
                if since.is_over(ticks(patience), worker.clock.now()) {
                    self.close_over_limit(worker, buffered);
                    return;
                }
            }
            _ => self.over_soft.set(None),
        }
        self.charge_buffers(worker);
        if self.pause.get() == Pause::Output && buffered <= OUTPUT_PAUSE / 2 {
            self.wake();
        }
    }

    /// Whether `lane`, which is this client's own, must not be read until more of its replies were taken. The lane is
    /// woken then.
    pub fn holds_back(&self, worker: &Worker, lane: &Rc<Lane>) -> bool {
        if self.is_closed() || self.buffered() <= OUTPUT_PAUSE {
            return false;
        }
        if self.held_back.replace(Some(lane.clone())).is_none() {
            let now = worker.clock.now();
            self.last_taken.set(now);
            self.watched_since.set(now);
            self.taken.set(0);
        }
        true
    }

    pub(super) fn let_lane_go_on(&self) {
        if let Some(lane) = self.held_back.take() {
            lane.wake();
        }
    }

    /// Closes a client that takes next to nothing of a reply for which a lane of its own is held back: it would keep that
    /// connection for ever.
    pub fn check_stall(&self, worker: &Worker) {
        let patience = worker
            .limits(self)
            .output_soft
            .map_or(STALL_PATIENCE, |(_, patience)| patience);
        let now = worker.clock.now();
        let is_due = self.watched_since.get().is_over(ticks(patience), now);
        if self.held_back.borrow().is_none() || !is_due {
            return;
        }
        if self.taken.replace(0) < LEAST_TAKEN {
            self.close_over_limit(worker, self.buffered());
        }
        self.watched_since.set(now);
    }

    /// Counts the bytes of a request that is kept for this client alone, until nothing of it is in flight.
    pub fn add_request_bytes(&self, worker: &Worker, bytes: usize) {
        self.request_bytes.set(self.request_bytes.get() + bytes);
        self.charge_buffers(worker);
    }

    /// Counts the bytes of replies that are collected from several nodes, and says how many all of them hold now.
    pub fn change_gathered(&self, worker: &Worker, before: usize, after: usize) -> usize {
        let gathered = (self.gathered.get() + after).saturating_sub(before);
        self.gathered.set(gathered);
        self.charge_buffers(worker);
        gathered
    }

    pub(super) fn close_over_limit(&self, worker: &Worker, buffered: usize) {
        self.close_with(worker, buffered, "it does not read its replies");
    }

    /// Closes a client of whose reply more has come together than its output may be.
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
