//! The bytes on their way to one client: the unwritten ones, how far the socket has accepted them, and the dedicated lane
//! that is held back until more of it is taken.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use crate::engine::transport::Transport;
use crate::engine::upstream::lane::Lane;
use crate::engine::worker::Worker;
use crate::engine::worker::clock::{Tick, ticks};

use super::OUTPUT_PAUSE;

/// Bytes written to a client before others get their turn.
pub(super) const WRITE_PER_TURN: usize = 1024 * 1024;

/// Bytes that a client which holds back a dedicated lane has to take within its patience. Otherwise a few clients that read a byte
/// now and then would keep all the connections that others wait for.
const LEAST_TAKEN: usize = 96 * 1024;

/// How a write has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Written {
    /// Everything was taken.
    All,
    /// The socket, or the share of this turn, has no room for more: the client's task writes the rest.
    Some,
    /// The connection failed.
    Failed,
}

/// How a client that holds back a dedicated lane has used its patience.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stall {
    /// It holds nothing back, its patience is not over, or it has taken enough.
    No,
    /// It has taken next to nothing.
    Stalled,
}

/// The output of one client.
pub struct Output {
    /// Replies that are not written yet, from `sent` on.
    bytes: RefCell<Vec<u8>>,
    /// Bytes of them that the kernel took.
    sent: Cell<usize>,
    /// Whether the socket took less than was there to write.
    is_blocked: Cell<bool>,
    /// Whether the client is on the worker's list of clients to write to at the end of this turn.
    is_dirty: Cell<bool>,
    /// Whether a part of the reply under way was appended.
    is_mid_reply: Cell<bool>,
    /// When the socket last took something.
    last_taken: Cell<Tick>,
    /// When it was first seen over the soft limit.
    over_soft: Cell<Option<Tick>>,
    /// A dedicated lane that is not read until more of this is taken.
    held_back: RefCell<Option<Rc<Lane>>>,
    /// Since when `taken` is counted.
    taken_since: Cell<Tick>,
    /// Bytes that the socket has accepted since then.
    taken: Cell<usize>,
    /// Bytes that the socket has ever accepted.
    bytes_out: Cell<u64>,
}

impl Output {
    /// Bytes that the socket has ever accepted.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out.get()
    }

    pub(super) fn new(now: Tick) -> Output {
        Output {
            bytes: RefCell::new(Vec::new()),
            sent: Cell::new(0),
            is_blocked: Cell::new(false),
            is_dirty: Cell::new(false),
            is_mid_reply: Cell::new(false),
            last_taken: Cell::new(now),
            over_soft: Cell::new(None),
            held_back: RefCell::new(None),
            taken_since: Cell::new(now),
            taken: Cell::new(0),
            bytes_out: Cell::new(0),
        }
    }

    /// Bytes that the socket has not taken.
    pub(super) fn unsent(&self) -> usize {
        self.bytes.borrow().len() - self.sent.get()
    }

    /// Bytes in the buffer, those included that the socket has taken.
    pub(super) fn len(&self) -> usize {
        self.bytes.borrow().len()
    }

    /// Whether nothing is left to write.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.borrow().is_empty()
    }

    /// Bytes that the buffer takes: those that the socket has taken stay a while.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.borrow().capacity()
    }

    /// Runs `append` on the buffer; a missing buffer is taken from the worker's pool.
    #[inline]
    pub(super) fn append_with<T>(
        &self,
        worker: &Worker,
        append: impl FnOnce(&mut Vec<u8>) -> T,
    ) -> T {
        let mut bytes = self.bytes.borrow_mut();
        if bytes.capacity() == 0 {
            *bytes = worker.scratch.buffers.take();
        }
        append(&mut bytes)
    }

    /// Drops everything.
    pub(super) fn clear(&self) {
        *self.bytes.borrow_mut() = Vec::new();
        self.sent.set(0);
    }

    /// Whether the socket took less than was there to write.
    pub fn is_blocked(&self) -> bool {
        self.is_blocked.get()
    }

    /// The socket has room again.
    pub(super) fn unblock(&self) {
        self.is_blocked.set(false);
    }

    /// The client is on the worker's list of clients to write to. Returns whether it was before.
    pub(super) fn mark_dirty(&self) -> bool {
        self.is_dirty.replace(true)
    }

    /// The client is written to now.
    pub(super) fn clear_dirty(&self) {
        self.is_dirty.set(false);
    }

    /// Whether a part of the reply under way was appended: nothing else may follow before the rest of it.
    pub(super) fn is_mid_reply(&self) -> bool {
        self.is_mid_reply.get()
    }

    /// A part of a reply was appended, or its last part.
    pub(super) fn set_mid_reply(&self, is_mid_reply: bool) {
        self.is_mid_reply.set(is_mid_reply);
    }

    /// When the socket last took something.
    pub(super) fn last_taken(&self) -> Tick {
        self.last_taken.get()
    }

    /// The socket counts as having taken something now.
    pub(crate) fn touch(&self, now: Tick) {
        self.last_taken.set(now);
    }

    /// Writes what the socket takes.
    pub(super) fn write(&self, worker: &Worker, transport: &Transport) -> Written {
        let mut bytes = self.bytes.borrow_mut();
        let first = self.sent.get();
        let mut sent = first;
        let mut written = Written::All;
        while sent < bytes.len() {
            let until = bytes.len().min(first + WRITE_PER_TURN);
            if sent == until {
                // Other clients first; the socket is still ready.
                written = Written::Some;
                break;
            }
            match transport.try_write(&bytes[sent..until]) {
                Ok(n) => {
                    worker.stats.client_writes.inc();
                    worker.stats.client_bytes_out.add(n as u64);
                    self.bytes_out.set(self.bytes_out.get() + n as u64);
                    sent += n;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    written = Written::Some;
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Written::Failed,
            }
        }
        if written == Written::Some {
            self.is_blocked.set(true);
        }
        if sent > first {
            self.last_taken.set(worker.clock.now());
            self.taken.set(self.taken.get() + (sent - first));
        }
        if sent == bytes.len() {
            worker.scratch.buffers.give(std::mem::take(&mut bytes));
            sent = 0;
        } else if sent >= OUTPUT_PAUSE && sent * 2 >= bytes.len() {
            // At least half goes, so that each byte moves once at most on average.
            bytes.drain(..sent);
            sent = 0;
        }
        self.sent.set(sent);
        written
    }

    /// The output is within the soft limit.
    pub(super) fn clear_over_soft(&self) {
        self.over_soft.set(None);
    }

    /// The output is over the soft limit. Returns whether it has been for longer than `patience`.
    pub(super) fn note_over_soft(&self, worker: &Worker, patience: Duration) -> bool {
        let since = self.over_soft.get().unwrap_or_else(|| worker.clock.now());
        self.over_soft.set(Some(since));
        since.is_over(ticks(patience), worker.clock.now())
    }

    /// Holds `lane` back until more is taken.
    pub(super) fn hold_back(&self, worker: &Worker, lane: &Rc<Lane>) {
        if self.held_back.replace(Some(lane.clone())).is_none() {
            let now = worker.clock.now();
            self.last_taken.set(now);
            self.taken_since.set(now);
            self.taken.set(0);
        }
    }

    /// Lets the lane that is held back be read again.
    pub(super) fn release_held_back_lane(&self) {
        if let Some(lane) = self.held_back.take() {
            lane.wake();
        }
    }

    /// Whether next to nothing was taken within `patience` while a lane is held back. Every span is looked at once.
    pub(super) fn take_stall(&self, now: Tick, patience: Duration) -> Stall {
        let is_due = self.taken_since.get().is_over(ticks(patience), now);
        if self.held_back.borrow().is_none() || !is_due {
            return Stall::No;
        }
        self.taken_since.set(now);
        if self.taken.replace(0) < LEAST_TAKEN {
            Stall::Stalled
        } else {
            Stall::No
        }
    }
}
