//! The share of one client in the worker's memory budget.

use std::cell::Cell;

use crate::engine::worker::Worker;

use super::Client;

/// Bytes of a client below which it does not count against the memory budget: ten thousand such clients hold 10 MiB at most.
pub(super) const WORTH_COUNTING: usize = 1024;

/// Bytes that one client counts for. Buffers that every active client has are not counted.
#[derive(Default)]
pub struct MemoryUse {
    /// Bytes that count against the worker's budget.
    charged: Cell<usize>,
    /// Bytes of requests that are kept for this client alone: a big one in flight, and those that wait for a retry.
    requests: Cell<usize>,
    /// Bytes of replies that are gathered from several nodes.
    gathered: Cell<usize>,
    /// Bytes of its long request and of replies that are awaited.
    reserved: Cell<usize>,
}

impl MemoryUse {
    /// Bytes that count against the worker's budget.
    pub fn charged(&self) -> usize {
        self.charged.get()
    }

    /// Replaces what counts against the worker's budget.
    pub(super) fn charge(&self, worker: &Worker, bytes: usize) {
        let before = self.charged.replace(bytes);
        if before != bytes {
            worker.memory.change(before, bytes);
        }
    }

    /// Bytes that are kept beside the client's input, output and names.
    pub(super) fn kept(&self) -> usize {
        self.requests.get() + self.reserved.get() + self.gathered.get()
    }

    /// Counts bytes of a request.
    pub(super) fn add_request(&self, bytes: usize) {
        self.requests.set(self.requests.get() + bytes);
    }

    /// Nothing is in flight: no request is kept. Returns the bytes that were.
    pub(super) fn take_requests(&self) -> usize {
        self.requests.take()
    }

    /// Bytes of replies that are gathered.
    pub(super) fn gathered(&self) -> usize {
        self.gathered.get()
    }

    /// Changes the bytes of gathered replies, and returns them.
    pub(super) fn change_gathered(&self, before: usize, after: usize) -> usize {
        let gathered = (self.gathered.get() + after).saturating_sub(before);
        self.gathered.set(gathered);
        gathered
    }

    /// Bytes that are reserved.
    pub(super) fn reserved(&self) -> usize {
        self.reserved.get()
    }

    /// Changes the bytes that are reserved.
    pub(super) fn change_reserved(&self, before: usize, after: usize) {
        let reserved = (self.reserved.get() + after).saturating_sub(before);
        self.reserved.set(reserved);
    }
}

impl Client {
    /// Notes how many bytes were read from this client and not taken yet.
    pub(super) fn set_pending_input(&self, worker: &Worker, bytes: usize) {
        self.waiting.set_pending_input(bytes);
        self.charge_buffers(worker);
    }

    /// Counts this client's buffers against the worker's memory budget. Buffers that every active client has are not counted.
    pub fn charge_buffers(&self, worker: &Worker) {
        if self.is_closed() {
            return;
        }
        let bytes = self.waiting.pending_input()
            + self.memory.kept()
            + self.queue_cost()
            + self.watched()
            + self.subscribed()
            + self.session.named()
            + self.output_held();
        let bytes = if bytes > WORTH_COUNTING { bytes } else { 0 };
        self.memory.charge(worker, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_the_sum_of_its_parts() {
        let memory = MemoryUse::default();
        memory.add_request(3);
        memory.add_request(4);
        memory.change_reserved(0, 100);
        assert_eq!(memory.change_gathered(0, 20), 20);
        assert_eq!(memory.kept(), 127);
        memory.change_reserved(100, 10);
        // More than was counted leaves nothing behind.
        assert_eq!(memory.change_gathered(50, 0), 0);
        assert_eq!(memory.take_requests(), 7);
        assert_eq!(memory.kept(), 10);
    }
}
