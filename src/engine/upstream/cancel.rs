//! Cancelled big requests: their client has left or their deadline has passed. Without this the dedicated lane of such a
//! request would hold its bytes until the node answers.
//!
//! The connection is closed instead. The node then has either an incomplete request, which it drops, or the whole one,
//! which runs like that of any client that has left.

use std::rc::Rc;

use crate::engine::worker::Worker;

use crate::engine::upstream::inflight::InFlight;
use crate::engine::upstream::lane::{Class, Lane};

impl Worker {
    /// Closes the lanes whose big request is no longer awaited.
    pub fn cancel_unawaited_requests(self: &Rc<Self>) {
        for lane in self.lanes() {
            if lane.is_unawaited(self) {
                self.contained("a cancelled request", || self.half_close(&lane));
            }
        }
    }
}

impl Lane {
    fn is_unawaited(&self, worker: &Worker) -> bool {
        let is_cancelled = |entry: &InFlight| {
            !entry.is_repair()
                && !entry.is_step()
                && (entry.client.is_closed() || !entry.is_awaited())
        };
        self.class == Class::Dedicated
            && worker.is_big(self.ring().borrow().len())
            && self.entries().borrow().iter().all(is_cancelled)
            && !self.is_cut_between()
    }

    /// Whether the node has the client's command, but not the expiry behind it: one sent over another connection could
    /// arrive first.
    fn is_cut_between(&self) -> bool {
        let (entries, ring) = (self.entries().borrow(), self.ring().borrow());
        entries.front().is_some_and(|entry| {
            ring.front_is_written(entry.runs_at()) && !ring.front_is_written(entry.len as usize)
        })
    }
}
