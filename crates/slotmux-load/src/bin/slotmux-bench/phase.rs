//! What the clients of one thread share during one phase: its rules, buffers for one turn, counts, and who waits.

use crate::args::{Limit, Plan};
use crate::pace::Pace;
use crate::tally::{Live, Tally};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

/// Bytes that one read takes; shared by all clients of a thread.
const READ: usize = 256 * 1024;

/// What the clients of one thread share during one phase.
pub struct Phase {
    /// The plan.
    pub plan: Arc<Plan>,
    /// When the phase ends.
    pub limit: Limit,
    /// Requests in one write.
    pub depth: usize,
    /// Stores the keys one after the other instead of drawing from the mix: the next one.
    pub load: Option<Cell<u64>>,
    /// Schedule of an open loop.
    pub pace: Option<Pace>,
    /// Requests that may still be sent.
    pub budget: Cell<u64>,
    /// No more requests.
    pub stop: Cell<bool>,
    /// Buffers and counts.
    pub work: RefCell<Work>,
    /// What the progress line reads.
    pub live: Arc<Live>,
    /// All times are nanoseconds after this moment.
    pub epoch: Instant,
}

impl Phase {
    /// Nanoseconds since the phase began.
    pub fn now(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }
}

/// Buffers that are only used within one turn of one client, and the counts.
pub struct Work {
    /// What one read takes.
    pub read: Box<[u8]>,
    /// The pipeline that is put together.
    pub out: Vec<u8>,
    /// For names and values.
    pub scratch: Vec<u8>,
    /// The counts.
    pub tally: Tally,
}

impl Default for Work {
    fn default() -> Work {
        Work {
            read: vec![0; READ].into_boxed_slice(),
            out: Vec::new(),
            scratch: Vec::new(),
            tally: Tally::default(),
        }
    }
}

/// How others on the thread see and wake a client.
#[derive(Default)]
pub struct Beat {
    waker: RefCell<Option<Waker>>,
    /// Since when (nanoseconds of the phase) the client has waited for a byte; `u64::MAX` while it waits for none.
    pub waiting_since: Cell<u64>,
    /// Set when it waited too long.
    pub expired: Cell<bool>,
}

impl Beat {
    /// Lets the client have a turn.
    pub fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Remembers how to wake the client.
    pub fn remember(&self, waker: &Waker) {
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }
}
