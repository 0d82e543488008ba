//! Memory that a worker uses again: buffers of active clients, so that idle clients need none.

use std::cell::{Cell, RefCell};

use crate::client::order::Held;
use crate::metrics::Counter;

/// Capacity of a fresh buffer: holds the replies of a burst of small requests.
const BUFFER: usize = 4 * 1024;
/// A buffer that grew beyond this is not kept.
const LARGEST_KEPT: usize = 16 * 1024;
/// Buffers that are kept: what the clients of one epoll batch may need at the same time.
const KEPT: usize = 1024;

/// Byte buffers for replies.
#[derive(Default)]
pub struct Buffers {
    free: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// An empty buffer with room.
    pub fn take(&self) -> Vec<u8> {
        self.free
            .borrow_mut()
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(BUFFER))
    }

    /// Gives a buffer back, whatever is in it.
    pub fn give(&self, mut buffer: Vec<u8>) {
        let mut free = self.free.borrow_mut();
        if buffer.capacity() > 0 && buffer.capacity() <= LARGEST_KEPT && free.len() < KEPT {
            buffer.clear();
            free.push(buffer);
        }
    }
}

/// Holders of early replies, for clients with commands on several lanes.
#[derive(Default)]
pub struct HeldPool {
    #[expect(
        clippy::vec_box,
        reason = "clients own them boxed: the box is what is used again"
    )]
    free: RefCell<Vec<Box<Held>>>,
}

impl HeldPool {
    /// An empty holder.
    pub fn take(&self) -> Box<Held> {
        self.free.borrow_mut().pop().unwrap_or_default()
    }

    /// Gives a holder back.
    pub fn give(&self, held: Option<Box<Held>>) {
        let mut free = self.free.borrow_mut();
        if let Some(mut held) = held
            && free.len() < KEPT
        {
            held.recycle();
            free.push(held);
        }
    }
}

/// Bytes that clients hold in this worker, as far as they are worth counting, against the worker's share of the limit.
pub struct Memory {
    used: Cell<usize>,
    limit: usize,
}

impl Memory {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Memory {
        Memory {
            used: Cell::new(0),
            limit,
        }
    }

    /// Something that counted for `before` bytes counts for `after` now.
    pub fn change(&self, before: usize, after: usize) {
        self.used
            .set((self.used.get() + after).saturating_sub(before));
    }

    /// Bytes that are used.
    pub fn used(&self) -> usize {
        self.used.get()
    }

    /// Whether the budget is exceeded.
    pub fn is_over(&self) -> bool {
        self.used.get() > self.limit
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
        assert_eq!(buffers.free.borrow().len(), 0);
        buffers.give(vec![1; 10]);
        assert!(buffers.take().is_empty());
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
}
