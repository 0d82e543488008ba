//! Commands whose reply did not settle them: the node refused them, or their connection was lost.
//!
//! | module | its part |
//! |---|---|
//! | [`decide`] | the pure decision about a refused command |
//! | [`refused`] | carries that decision out: redirect, retry, or error |
//! | [`verify_refusal`] | an error that a script may have forged is verified first |
//! | [`lost`] | the commands in flight on a lost connection, or past their deadline |
//! | [`unanswered`] | takes those commands off their lane, with what is known of their fate |
//! | [`may_have_run`] | which of those that may have run may be sent again |
//! | [`oversize_reply`] | reads whose reply may be the reason that the node closed the connection |
//! | [`resend`] | sends a command again, at once or later |
//! | [`queue`] | the commands that wait for their next attempt |
//! | [`order`], [`order_index`] | which older commands of the same client and slot are still ahead |
//! | [`overtaken`] | commands that must not run, since a newer one has |

use std::cell::{Cell, RefCell};

use crate::engine::upstream::inflight::InFlight;
use crate::engine::upstream::retry::order::LaneIndex;
use crate::engine::upstream::retry::order_index::Member;
use crate::engine::upstream::retry::overtaken::CompletedCommands;
use crate::engine::upstream::retry::queue::RetryQueue;
use crate::engine::upstream::retry::resend::QueuedRetry;
use crate::engine::worker::clock::Tick;
use slotmux_core::slot::Slot;

pub mod decide;
pub mod lost;
pub mod may_have_run;
pub(crate) mod missing_function;
pub mod order;
pub mod order_index;
pub mod oversize_reply;
pub mod overtaken;
pub mod queue;
pub mod refused;
pub mod resend;
pub mod unanswered;
pub mod verify_refusal;

/// The retries of one worker, and what decides about their order.
#[derive(Default)]
pub struct Retries {
    queue: RefCell<RetryQueue<QueuedRetry>>,
    /// Whether a task runs that sends due commands.
    has_task: Cell<bool>,
    /// The commands on all lanes, indexed while their order is queried.
    pub lane_index: LaneIndex,
    /// Commands that have run, after which older ones must not run.
    completed: CompletedCommands,
}

impl Retries {
    /// Number of commands that wait for a retry.
    pub fn len(&self) -> usize {
        self.queue.borrow().len()
    }

    /// Whether no command waits for a retry.
    pub fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    /// Whether `is_one` holds for any command that waits for a retry.
    pub fn has_any(&self, is_one: impl Fn(&InFlight) -> bool) -> bool {
        self.queue.borrow().all().any(|one| is_one(one.entry()))
    }

    /// Records that these slots have an owner: commands that wait for that are retried.
    pub fn serve(&self, slots: &[Slot]) {
        let mut queue = self.queue.borrow_mut();
        for &slot in slots {
            queue.serve(slot);
        }
    }

    /// Makes the commands of a client that has left be looked at next.
    pub fn hasten(&self, client: u64, now: Tick) {
        self.queue.borrow_mut().hasten(client, now);
    }

    /// Whether a command older than `of` of its client and slot waits for a retry.
    fn has_older(&self, of: Member) -> bool {
        self.queue.borrow().has_older(of)
    }

    /// Records that `entry` has run. Older commands of its client and slot that are still in flight must not run any
    /// more.
    #[inline]
    pub fn record_run(&self, entry: &InFlight) {
        entry.client.order.forget_answered_redirect();
        if entry.client.order.has_redirected() {
            self.completed.record(entry);
        }
    }

    /// Whether a newer command of the same client and slot has run: then `entry` must not run.
    pub fn is_overtaken(&self, entry: &InFlight) -> bool {
        self.completed.has_newer_than(entry)
    }

    /// Forgets completed commands with no older command in flight.
    pub fn sweep_completed(&self) {
        self.completed.sweep();
    }
}
