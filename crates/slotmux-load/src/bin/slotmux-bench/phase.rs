//! The state that clients of one thread share during one phase: rules, buffers for one turn, counts, and waiting clients.

use crate::args::{Limit, Plan};
use crate::pace::Pace;
use crate::tally::{Live, Tally};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

/// Bytes that one read takes; shared by all clients of a thread.
const READ: usize = 256 * 1024;

/// The state that clients of one thread share during one phase.
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
    /// No more requests are sent.
    pub stop: Cell<bool>,
    /// Buffers and counts.
    pub work: RefCell<Work>,
    /// Counts for the progress line.
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
    /// The buffer of one read.
    pub read: Box<[u8]>,
    /// The pipeline that is being written.
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

/// The part of a client that other tasks of the thread see, and by which they wake it.
#[derive(Default)]
pub struct Beat {
    waker: RefCell<Option<Waker>>,
    /// Since when (nanoseconds of the phase) the client has waited for a byte; `u64::MAX` if it does not wait.
    pub waiting_since: Cell<u64>,
    /// Whether it has waited too long.
    pub expired: Cell<bool>,
}

impl Beat {
    /// Wakes the client's task.
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
