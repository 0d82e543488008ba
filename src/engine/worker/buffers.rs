//! Reused memory of a worker: buffers of active clients, so that idle clients need none; and the budget for all of them.

use std::cell::{Cell, RefCell};

use crate::engine::client::early_replies::EarlyReplies;
use crate::engine::stats::counters::Counter;

/// Capacity of a fresh buffer: a few small replies. Thousands of clients may hold one in the same turn; those that need
/// more let theirs grow, and a grown one is used again.
const BUFFER: usize = 512;
/// A buffer that grew beyond this is not kept.
const LARGEST_KEPT: usize = 16 * 1024;
/// Buffers that are kept: what the clients of one epoll batch may need at the same time.
const KEPT: usize = 1024;

/// The unused items of a pool.
struct Spare<T> {
    free: RefCell<Vec<T>>,
    /// The lowest number of free items since the last [`Spare::trim`]: so many were not needed.
    fewest: Cell<usize>,
}

impl<T> Default for Spare<T> {
    fn default() -> Spare<T> {
        Spare {
            free: RefCell::default(),
            fewest: Cell::new(0),
        }
    }
}

impl<T> Spare<T> {
    fn take(&self) -> Option<T> {
        let mut free = self.free.borrow_mut();
        let one = free.pop();
        self.fewest.set(self.fewest.get().min(free.len()));
        one
    }

    fn give(&self, one: T) {
        let mut free = self.free.borrow_mut();
        if free.len() < KEPT {
            free.push(one);
        }
    }

    /// Frees the items that were not needed since the last call.
    fn trim(&self) {
        let mut free = self.free.borrow_mut();
        let needed = free.len().saturating_sub(self.fewest.get());
        free.truncate(needed);
        free.shrink_to(needed);
        self.fewest.set(needed);
    }
}

/// Byte buffers for replies.
#[derive(Default)]
pub struct Buffers {
    spare: Spare<Vec<u8>>,
}

impl Buffers {
    /// An empty buffer with room.
    pub fn take(&self) -> Vec<u8> {
        self.spare
            .take()
            .unwrap_or_else(|| Vec::with_capacity(BUFFER))
    }

    /// Returns a buffer with any content.
    pub fn give(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() > 0 && buffer.capacity() <= LARGEST_KEPT {
            buffer.clear();
            self.spare.give(buffer);
        }
    }

    /// Frees those that were not needed since the last call.
    pub fn trim(&self) {
        self.spare.trim();
    }
}

/// Holders of early replies, for clients with commands on several lanes.
#[derive(Default)]
pub struct EarlyRepliesPool {
    spare: Spare<Box<EarlyReplies>>,
}

impl EarlyRepliesPool {
    /// An empty holder.
    pub fn take(&self) -> Box<EarlyReplies> {
        self.spare.take().unwrap_or_default()
    }

    /// Gives a holder back.
    pub fn give(&self, held: Option<Box<EarlyReplies>>) {
        if let Some(mut held) = held {
            held.recycle();
            self.spare.give(held);
        }
    }

    /// Frees those that were not needed since the last call.
    pub fn trim(&self) {
        self.spare.trim();
    }
}

/// Bytes that an appended byte may cost: a buffer grows to twice its size, and the old ones return to the system later.
const COST_OF_GROWTH: usize = 4;

/// Bytes that clients hold in this worker, as far as they are worth counting, against the worker's share of the limit.
pub struct Memory {
    used: Cell<usize>,
    /// Upper bound of the bytes appended for many clients in this turn, which their clients do not count yet.
    coming: Cell<usize>,
    /// Bytes still held for clients that have left, freed in slices. No client is closed because of them, since that
    /// would free nothing.
    leaving: Cell<usize>,
    limit: usize,
}

impl Memory {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Memory {
        Memory {
            used: Cell::new(0),
            coming: Cell::new(0),
            leaving: Cell::new(0),
            limit,
        }
    }

    /// Changes the count of an item from `before` to `after` bytes.
    pub fn change(&self, before: usize, after: usize) {
        self.used
            .set((self.used.get() + after).saturating_sub(before));
    }

    /// Changes what clients that have left count for, from `before` to `after` bytes.
    pub fn change_leaving(&self, before: usize, after: usize) {
        self.leaving
            .set((self.leaving.get() + after).saturating_sub(before));
    }

    /// Whether so many bytes fit beside all memory in use and all memory still to be freed.
    pub fn has_room(&self, bytes: usize) -> bool {
        let held = self.used.get() + self.leaving.get() + self.coming.get();
        held.saturating_add(bytes) <= self.limit
    }

    /// Bytes that are used.
    pub fn used(&self) -> usize {
        self.used.get()
    }

    /// Whether the budget is exceeded.
    pub fn is_over(&self) -> bool {
        self.used.get() > self.limit
    }

    /// Claims so many bytes, to be appended for clients that count for them only at the end of this turn. False if the
    /// budget has no room for them.
    pub fn claim_for_turn(&self, bytes: usize) -> bool {
        let cost = bytes.saturating_mul(COST_OF_GROWTH);
        let coming = self.coming.get().saturating_add(cost);
        let fits = self.used.get().saturating_add(coming) <= self.limit;
        if fits {
            self.coming.set(coming);
        }
        fits
    }

    /// Ends the turn: the bytes appended in it have left, or their clients count them.
    pub fn end_turn(&self) {
        self.coming.set(0);
    }

    /// Shows the use in a gauge.
    pub fn show(&self, gauge: &Counter) {
        gauge.set(self.used.get() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_buffers_are_not_kept() {
        let buffers = Buffers::default();
        buffers.give(Vec::with_capacity(LARGEST_KEPT + 1));
        buffers.give(Vec::new());
        assert_eq!(buffers.spare.free.borrow().len(), 0);
        buffers.give(vec![1; 10]);
        assert!(buffers.take().is_empty());
    }

    #[test]
    fn what_was_not_needed_is_freed() {
        let buffers = Buffers::default();
        let burst: Vec<_> = (0..100).map(|_| buffers.take()).collect();
        burst.into_iter().for_each(|buffer| buffers.give(buffer));
        buffers.trim();
        assert_eq!(
            buffers.spare.free.borrow().len(),
            100,
            "the burst needed them"
        );
        let few: Vec<_> = (0..3).map(|_| buffers.take()).collect();
        few.into_iter().for_each(|buffer| buffers.give(buffer));
        buffers.trim();
        assert_eq!(buffers.spare.free.borrow().len(), 3);
        buffers.trim();
        assert_eq!(buffers.spare.free.borrow().len(), 0);
    }

    #[test]
    fn the_budget_follows_changes() {
        let memory = Memory::new(100);
        memory.change(0, 80);
        memory.change(0, 40);
        assert!(memory.is_over());
        memory.change(80, 10);
        assert!(!memory.is_over());
        assert_eq!(memory.used(), 50);
    }

    #[test]
    fn memory_of_clients_that_leave_counts_and_closes_no_client() {
        let memory = Memory::new(100);
        memory.change(0, 40);
        memory.change_leaving(0, 70);
        assert!(!memory.is_over());
        assert!(!memory.has_room(1));
        memory.change_leaving(70, 20);
        assert!(memory.has_room(40) && !memory.has_room(41));
        assert!(!memory.has_room(usize::MAX));
    }

    #[test]
    fn a_turn_takes_what_the_budget_has_left() {
        let memory = Memory::new(100 * COST_OF_GROWTH);
        memory.change(0, 40 * COST_OF_GROWTH);
        assert!(memory.claim_for_turn(50));
        assert!(!memory.claim_for_turn(11));
        assert!(memory.claim_for_turn(10));
        memory.end_turn();
        assert!(memory.claim_for_turn(60));
        assert!(!memory.claim_for_turn(usize::MAX));
    }
}
