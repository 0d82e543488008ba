//! The order of one client's requests: their numbers, the replies that came early, and what a change of the slot map must
//! not let overtake.

use std::cell::{Cell, RefCell};

use crate::engine::worker::buffers::EarlyRepliesPool;

use super::early_replies::EarlyReplies;

/// Numbers wrap. Two of them are compared by their distance, which is far below half of the range.
const HALF: u32 = u32::MAX / 2;

/// The order of one client's requests.
#[derive(Default)]
pub struct RequestOrder {
    /// Number of the next request.
    next: Cell<u32>,
    /// Number of the request whose reply goes out next.
    head: Cell<u32>,
    /// The worker's slot epoch when nothing was in flight last: see [`crate::engine::worker::slot_map`].
    epoch: Cell<u32>,
    /// The latest redirected request, until it is known to be answered.
    redirected: Cell<Option<u32>>,
    /// Requests that wait for a retry. While there is one, nothing else of the client is sent.
    waiting_retries: Cell<u32>,
    /// Replies that came before their turn.
    early: RefCell<Option<Box<EarlyReplies>>>,
}

impl RequestOrder {
    /// Requests that were accepted and are not answered yet.
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.next.get().wrapping_sub(self.head.get())
    }

    /// Number of the next request.
    pub fn next(&self) -> u32 {
        self.next.get()
    }

    /// Number of the oldest unanswered request.
    #[inline]
    pub fn head(&self) -> u32 {
        self.head.get()
    }

    /// Takes the next place.
    #[inline]
    pub fn take_seq(&self) -> u32 {
        let seq = self.next.get();
        self.next.set(seq.wrapping_add(1));
        seq
    }

    /// Everything before `head` is answered.
    #[inline]
    pub(super) fn advance_to(&self, head: u32) {
        self.head.set(head);
    }

    /// Whether every request up to `seq` is answered.
    #[inline]
    pub fn has_answered(&self, seq: u32) -> bool {
        seq.wrapping_sub(self.head.get()) > HALF
    }

    /// Whether every request before `seq` is answered.
    #[inline]
    pub(super) fn has_answered_before(&self, seq: u32) -> bool {
        seq == self.head.get() || self.has_answered(seq)
    }

    /// Whether a redirected request may still be in flight.
    pub fn has_redirected(&self) -> bool {
        self.redirected
            .get()
            .is_some_and(|seq| !self.has_answered(seq))
    }

    /// Forgets the redirected request once it is answered: after half of the range its number would look new.
    pub fn forget_answered_redirect(&self) {
        let redirected = self.redirected.get();
        if redirected.is_some_and(|seq| self.has_answered(seq)) {
            self.redirected.set(None);
        }
    }

    /// Request `seq` was redirected.
    pub fn note_redirected(&self, seq: u32) {
        let latest = match self.redirected.get() {
            Some(other) if other.wrapping_sub(seq) <= HALF => other,
            _ => seq,
        };
        self.redirected.set(Some(latest));
    }

    /// The slot epoch when nothing was in flight last.
    pub fn epoch(&self) -> u32 {
        self.epoch.get()
    }

    /// Nothing is in flight in this slot epoch.
    pub fn set_epoch(&self, epoch: u32) {
        self.epoch.set(epoch);
    }

    /// Whether a request waits for a retry.
    #[inline]
    pub fn has_waiting_retries(&self) -> bool {
        self.waiting_retries.get() > 0
    }

    /// One more request waits for a retry.
    pub fn add_waiting_retry(&self) {
        self.waiting_retries.set(self.waiting_retries.get() + 1);
    }

    /// One request less waits for a retry.
    pub fn remove_waiting_retry(&self) {
        let waiting = self.waiting_retries.get();
        self.waiting_retries.set(waiting.saturating_sub(1));
    }

    /// Whether replies are held that came before their turn.
    pub(super) fn has_early(&self) -> bool {
        self.early.borrow().is_some()
    }

    /// Bytes of the replies that came before their turn.
    pub(super) fn early_bytes(&self) -> usize {
        self.early.borrow().as_ref().map_or(0, |early| early.len())
    }

    /// Holds bytes of a reply that is `ahead` places behind the next one.
    pub(super) fn hold(&self, pool: &EarlyRepliesPool, ahead: u32, bytes: &[u8], complete: bool) {
        self.early
            .borrow_mut()
            .get_or_insert_with(|| pool.take())
            .hold(ahead as usize, bytes, complete);
    }

    /// The next reply has gone out whole. Appends those that can follow it, and returns how many of them are complete and
    /// whether the one behind has begun.
    pub(super) fn release_early(&self, pool: &EarlyRepliesPool, out: &mut Vec<u8>) -> (u32, bool) {
        let mut early = self.early.borrow_mut();
        let Some(replies) = early.as_mut() else {
            return (0, false);
        };
        let completed = replies.advance(out);
        let is_next_begun = replies.is_next_begun();
        if replies.is_empty() {
            pool.give(early.take());
        }
        (completed, is_next_begun)
    }

    /// Drops the replies that came before their turn.
    pub(super) fn drop_early(&self) {
        self.early.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_counts_until_it_is_answered() {
        let order = RequestOrder::default();
        order.next.set(u32::MAX);
        order.head.set(u32::MAX);
        let first = order.take_seq();
        let second = order.take_seq();
        assert_eq!((first, second, order.in_flight()), (u32::MAX, 0, 2));
        order.note_redirected(second);
        order.note_redirected(first);
        order.advance_to(second);
        order.forget_answered_redirect();
        assert!(order.has_redirected(), "the later one is in flight");
        assert!(order.has_answered(first) && order.has_answered_before(second));
        order.advance_to(second.wrapping_add(1));
        assert!(!order.has_redirected());
        order.forget_answered_redirect();
        // Half of the range later its number would look new.
        order.advance_to(second.wrapping_add(HALF + 5));
        assert!(!order.has_redirected());
    }
}
