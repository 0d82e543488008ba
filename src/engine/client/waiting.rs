//! Why a client is not read at the moment, and since when a request of it waits for a lane.

use std::cell::Cell;

use crate::engine::worker::clock::Tick;

/// Why a client is not read at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pause {
    /// It is read.
    No,
    /// Until at most this many of its requests are in flight: 0 at a barrier, half the limit for a long pipeline.
    InFlight(u32),
    /// Until its question to all workers, the only request in flight, is answered.
    Question,
    /// Until its blocking command, the only request in flight, is answered: see [`crate::engine::blocking`].
    Blocked,
    /// Until it has read half of the replies that wait for it.
    Output,
    /// Until a lane that it needs has room; the lane wakes it.
    Lane,
    /// Until `CLIENT PAUSE` is over for its next command.
    Held,
    /// Until there is an upstream, or no more hope for one: see [`super::before_topology`].
    Upstream,
    /// Until its long request is complete. Its task does one slice in each turn: see [`super::long_request`].
    Slices,
    /// Until the nodes confirm what its long request waits for; the confirmation wakes it.
    Confirmation,
}

/// The waits of one client.
pub struct Waiting {
    pause: Cell<Pause>,
    /// Since when a request that was read waits for a lane.
    lane_since: Cell<Option<Tick>>,
    /// Bytes that were read and are not dispatched yet; the client's task has them.
    pending_input: Cell<usize>,
    /// When the client last sent something.
    last_seen: Cell<Tick>,
    /// Bytes that it has sent.
    bytes_in: Cell<u64>,
}

impl Waiting {
    pub(super) fn new(now: Tick) -> Waiting {
        Waiting {
            pause: Cell::new(Pause::No),
            lane_since: Cell::new(None),
            pending_input: Cell::new(0),
            last_seen: Cell::new(now),
            bytes_in: Cell::new(0),
        }
    }

    /// Bytes that the client has sent.
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in.get()
    }

    /// Counts bytes that the client has sent.
    pub(super) fn count_in(&self, bytes: usize) {
        self.bytes_in.set(self.bytes_in.get() + bytes as u64);
    }

    /// Why the client is not read.
    #[inline]
    pub fn pause(&self) -> Pause {
        self.pause.get()
    }

    /// Sets why the client is not read.
    pub fn set_pause(&self, pause: Pause) {
        self.pause.set(pause);
    }

    /// Ends the pause if it has this reason. Returns whether it had.
    pub(super) fn end_pause(&self, reason: Pause) -> bool {
        let is_reason = self.pause.get() == reason;
        if is_reason {
            self.pause.set(Pause::No);
        }
        is_reason
    }

    /// Since when a request waits for a lane.
    pub(super) fn lane_since(&self) -> Option<Tick> {
        self.lane_since.get()
    }

    /// A request waits for a lane: from now on if none did before.
    pub(super) fn start_waiting(&self, now: Tick) {
        let since = self.lane_since.get().unwrap_or(now);
        self.lane_since.set(Some(since));
    }

    /// No request waits for a lane.
    pub(super) fn stop_waiting(&self) {
        self.lane_since.set(None);
    }

    /// Bytes that were read and are not dispatched yet.
    pub fn pending_input(&self) -> usize {
        self.pending_input.get()
    }

    /// Sets the bytes that were read and are not dispatched yet.
    pub(super) fn set_pending_input(&self, bytes: usize) {
        self.pending_input.set(bytes);
    }

    /// When the client last sent something.
    pub fn last_seen(&self) -> Tick {
        self.last_seen.get()
    }

    /// The client sends something.
    pub(crate) fn saw(&self, now: Tick) {
        self.last_seen.set(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::worker::clock::Clock;

    #[test]
    fn a_wait_for_a_lane_begins_once() {
        let start = Clock::start().now();
        let waiting = Waiting::new(start);
        waiting.start_waiting(start);
        waiting.start_waiting(start.plus(5));
        assert_eq!(waiting.lane_since(), Some(start));
        waiting.stop_waiting();
        waiting.start_waiting(start.plus(7));
        assert_eq!(waiting.lane_since(), Some(start.plus(7)));
    }

    #[test]
    fn a_pause_ends_for_its_own_reason() {
        let waiting = Waiting::new(Clock::start().now());
        waiting.set_pause(Pause::Output);
        assert!(!waiting.end_pause(Pause::Lane));
        assert_eq!(waiting.pause(), Pause::Output);
        assert!(waiting.end_pause(Pause::Output));
        assert_eq!(waiting.pause(), Pause::No);
    }
}
