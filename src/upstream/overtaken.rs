//! Commands that must not run any more, because a newer one of the same client and slot has run.
//!
//! A slot may leave a node and come back while commands for it wait in the node's queue: the first of them is
//! redirected, those behind it run. By the time the first one has found its way back, it is too late for it: it gets an
//! error, since order beats hiding. The same goes for a node that begins to serve between two of them.

use crate::worker::Worker;

use super::inflight::InFlight;

/// As many tries as no command makes: it marks one that was overtaken.
const OVERTAKEN: u8 = u8::MAX;

/// The error for a command that was overtaken. It has not run. `TRYAGAIN` is Redis' own word for a slot on the move.
pub const ERROR: &str = "TRYAGAIN slotmux: not executed, since a later command of this client on the slot had run by then";

impl InFlight {
    /// Whether it must not run any more.
    pub fn is_overtaken(&self) -> bool {
        self.tries == OVERTAKEN
    }

    /// Counts tries. However many there are, they are never taken for the mark.
    pub fn count_tries(&mut self, more: u8) {
        if !self.is_overtaken() {
            self.tries = self.tries.saturating_add(more).min(OVERTAKEN - 1);
        }
    }

    fn overtake(&mut self) {
        self.tries = OVERTAKEN;
    }
}

impl Worker {
    /// `entry` has run. Marks the older ones of its client and slot that are still on their way.
    #[inline]
    pub fn has_run(&self, entry: &InFlight) {
        if entry.client.has_redirected() {
            self.overtake_older(entry);
        }
    }

    #[cold]
    fn overtake_older(&self, entry: &InFlight) {
        for lane in self.lanes() {
            for older in lane.entries().borrow_mut().iter_mut() {
                if older.is_older_in_stream(entry) {
                    older.overtake();
                }
            }
        }
        self.each_waiting(|older| {
            if older.is_older_in_stream(entry) {
                older.overtake();
            }
        });
    }
}
