//! Decides whether a client is read: pauses one with too much in flight or too much output, and ends pauses.

use crate::engine::worker::Worker;

use super::{Client, OUTPUT_PAUSE, Pause};

impl Client {
    /// Whether the reason for which this client is not read has gone.
    fn is_pause_over(&self) -> bool {
        match self.waiting.pause() {
            Pause::No => true,
            Pause::InFlight(most) => self.in_flight() <= most,
            Pause::Question | Pause::Blocked => self.in_flight() == 0,
            Pause::Output => self.buffered() <= OUTPUT_PAUSE / 2,
            Pause::Lane | Pause::Upstream | Pause::Held | Pause::Slices | Pause::Confirmation => {
                false
            }
        }
    }

    /// Ends a pause whose reason has gone. Returns whether the client may be read.
    pub(super) fn try_resume(&self) -> bool {
        let is_over = self.is_pause_over();
        if is_over {
            self.waiting.set_pause(Pause::No);
        }
        is_over
    }

    /// Pauses the client if it has too many requests in flight, or too much output. Returns whether another request may be
    /// dispatched.
    pub(super) fn try_admit(&self, worker: &Worker) -> bool {
        let most = worker.limits(self).max_pipeline;
        if self.in_flight() >= most {
            worker.stats.client_pauses.inc();
            self.pause_for(Pause::InFlight(most / 2));
            return false;
        }
        if self.output.len() > OUTPUT_PAUSE && self.buffered() > OUTPUT_PAUSE {
            worker.stats.client_pauses.inc();
            self.pause_for(Pause::Output);
            return false;
        }
        true
    }

    /// Stops reading for `reason`.
    pub fn pause_for(&self, reason: Pause) {
        self.waiting.set_pause(reason);
    }

    /// The lane that this client waited for has room again.
    pub fn resume(&self) {
        self.waiting.end_pause(Pause::Lane);
        self.wake();
    }
}
