//! Sending a command again: at once to where its slot is now, or in a moment.

use std::rc::Rc;
use std::time::Duration;

use crate::engine::blocking::wait::timed_out;
use crate::engine::sabotage::sabotage;
use crate::engine::worker::Worker;
use crate::engine::worker::clock::{Tick, ticks};

use crate::engine::upstream::NodeId;
use crate::engine::upstream::deliver::{deliver_error, deliver_piece};
use crate::engine::upstream::inflight::InFlight;
use crate::engine::upstream::retry::lost::{UNKNOWN_FATE, UNKNOWN_IN_TIME};
use crate::engine::upstream::retry::overtaken;
use crate::engine::upstream::retry::queue::Until;
use crate::engine::upstream::retry::refused::settle_verified;
use crate::engine::upstream::retry::verify_refusal::{Verification, VerificationState};

/// First wait before another try, in milliseconds; it doubles with each try.
const FIRST_WAIT: u64 = 10;
/// Longest wait before another try, in milliseconds. A slot that comes back is noticed within this.
const LONGEST_WAIT: u64 = 160;
/// How often waiting commands are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Commands that are retried or answered in one turn.
const SENT_PER_TURN: usize = 256;
/// Milliseconds for which an expiry whose command has run is retried. No client waits for it, and a node that was
/// frozen for longer than `timeouts.command` still runs the commands in its sockets.
const REPAIR_PATIENCE: u64 = 60_000;
/// The error for a command that found no node to run on.
const NOT_SERVED: &str =
    "CLUSTERDOWN slotmux: the slot was not served before the command's deadline";

/// The error for which a command waits.
enum RetryError {
    /// A node's reply.
    Node(Box<[u8]>),
    /// An error of slotmux' own, without the leading `-`.
    Slotmux(Box<str>),
}

/// A command that waits for another try.
pub struct QueuedRetry {
    entry: InFlight,
    request: Vec<u8>,
    due: Tick,
    /// The error for which it waits: the client's if time runs out.
    error: Option<RetryError>,
    /// The node of that error; a command without a slot goes there again.
    node: Option<NodeId>,
    /// Set while it is unknown whether it has run.
    verification: Option<Rc<Verification>>,
}

impl QueuedRetry {
    /// The command.
    pub(super) fn entry(&self) -> &InFlight {
        &self.entry
    }
}

impl Worker {
    /// Whether a command's deadline leaves time for another try.
    pub fn has_time(&self, entry: &InFlight) -> bool {
        !entry
            .arrived
            .is_over(self.patience(entry), self.clock.now())
    }

    /// How long after its arrival a command is retried, in ticks.
    fn patience(&self, entry: &InFlight) -> u64 {
        if entry.is_repair() {
            self.timeouts.command.max(REPAIR_PATIENCE)
        } else {
            self.timeouts.command
        }
    }

    /// Sends a command that has not run to the node that serves its slot now. It never overtakes an older one of the
    /// same client and slot that waits for its own next try.
    pub fn send_again(self: &Rc<Self>, entry: InFlight, request: Vec<u8>) {
        if self.retries.is_overtaken(&entry) {
            return deliver_error(self, &entry, overtaken::ERROR);
        }
        let Some((entry, request)) = self.prepare_resend(entry, request) else {
            return;
        };
        let Some(owner) = entry.slot.get().and_then(|slot| self.map.slots.owner(slot)) else {
            return self.retry_later(entry, request);
        };
        if entry.is_transaction()
            && let Some(text) = self.check_transactions(owner)
        {
            return deliver_error(self, &entry, &text);
        }
        let Some(lane) = self.lane_for_retry(owner, &entry) else {
            return self.retry_for_lane(entry, request);
        };
        if self.would_overtake(&entry, &lane) || self.may_be_overtaken(&entry) {
            self.release_unused(&lane);
            return self.retry_later(entry, request);
        }
        if !entry.is_watch() || entry.tries > 0 {
            self.stats.retries.inc();
        }
        lane.prepare_blocking(self, &entry);
        lane.send_scripts_ahead(self, &entry, &request);
        lane.send_owned(self, entry, request);
    }

    /// Sends a command that has no slot to its node again.
    fn send_to(self: &Rc<Self>, node: NodeId, entry: InFlight, request: Vec<u8>) {
        match self.lane_for_retry(node, &entry) {
            Some(lane) => {
                self.stats.retries.inc();
                lane.prepare_blocking(self, &entry);
                lane.send_owned(self, entry, request);
            }
            None => self.wait_for_lane(entry, request, Some(node)),
        }
    }

    /// Keeps a command for another try in a moment. Until then its client sends nothing else.
    pub fn retry_later(self: &Rc<Self>, entry: InFlight, request: Vec<u8>) {
        self.queue_retry(entry, request, None, None, None);
    }

    /// As [`Worker::retry_later`], for a command that found no dedicated lane free.
    pub(crate) fn retry_for_lane(self: &Rc<Self>, entry: InFlight, request: Vec<u8>) {
        self.wait_for_lane(entry, request, None);
    }

    fn wait_for_lane(self: &Rc<Self>, entry: InFlight, request: Vec<u8>, node: Option<NodeId>) {
        let error = RetryError::Slotmux(entry.use_for_retry().refusal().into());
        self.queue_retry(entry, request, Some(error), node, None);
    }

    /// As [`Worker::retry_later`], for a command whose `node` may have got over `error` then.
    pub fn retry_after(
        self: &Rc<Self>,
        entry: InFlight,
        request: Vec<u8>,
        error: &[u8],
        node: NodeId,
    ) {
        let error = RetryError::Node(error.into());
        self.queue_retry(entry, request, Some(error), Some(node), None);
    }

    /// As [`Worker::retry_after`], for an error of slotmux' own, without the leading `-`.
    pub(crate) fn retry_after_own(
        self: &Rc<Self>,
        entry: InFlight,
        request: Vec<u8>,
        text: &str,
        node: NodeId,
    ) {
        let error = RetryError::Slotmux(text.into());
        self.queue_retry(entry, request, Some(error), Some(node), None);
    }

    /// Keeps a command until it is known whether it has run.
    pub(crate) fn queue_until_verified(
        self: &Rc<Self>,
        entry: InFlight,
        request: Vec<u8>,
        verification: Rc<Verification>,
    ) {
        self.queue_retry(entry, request, None, None, Some(verification));
    }

    /// Removes and returns the command that waited for this proof, unless it would overtake another one.
    pub(crate) fn take_verified(&self, verification: &Verification) -> Option<(InFlight, Vec<u8>)> {
        let mut queue = self.retries.queue.borrow_mut();
        let place = verification.place()?;
        if queue.get(place)?.entry.client.is_closed() {
            return None;
        }
        let one = queue.take_oldest(place)?;
        one.entry.client.order.remove_waiting_retry();
        Some((one.entry, one.request))
    }

    fn queue_retry(
        self: &Rc<Self>,
        entry: InFlight,
        request: Vec<u8>,
        error: Option<RetryError>,
        node: Option<NodeId>,
        verification: Option<Rc<Verification>>,
    ) {
        if self.retries.is_overtaken(&entry) {
            return deliver_error(self, &entry, overtaken::ERROR);
        }
        let wait = FIRST_WAIT
            .saturating_mul(1 << entry.tries.min(8))
            .min(LONGEST_WAIT);
        let one = QueuedRetry {
            due: self.clock.now().plus(wait),
            entry,
            request,
            error,
            node,
            verification,
        };
        self.enqueue(one, Tick::default());
        if !self.retries.has_task.replace(true) {
            tokio::task::spawn_local(run_retries(self.clone()));
        }
    }

    /// Puts a command among the waiting ones. Its deadline is not checked before `least`.
    fn enqueue(&self, one: QueuedRetry, least: Tick) {
        let entry = &one.entry;
        let client = entry.client.clone();
        let until = match entry.slot.get() {
            // A command in verification waits for the reply of a node, not for an owner of its slot.
            Some(slot) if one.verification.is_none() && self.map.slots.owner(slot).is_none() => {
                Until::Served(slot, one.due)
            }
            _ => Until::Due(one.due),
        };
        let is_repair = entry.is_repair();
        let ends = if client.is_closed() && !is_repair {
            // No client waits for it.
            least
        } else {
            self.wait_end(entry).max(least)
        };
        if !is_repair {
            client.order.add_waiting_retry();
        }
        let (member, verification) = (entry.member(), one.verification.clone());
        let mut queue = self.retries.queue.borrow_mut();
        let place = queue.add(client.id, member, one, until, ends);
        if let Some(verification) = verification {
            verification.set_place(place);
        }
    }

    /// End of a command's wait: its deadline, or the end of a blocking command's time.
    fn wait_end(&self, entry: &InFlight) -> Tick {
        let deadline = entry.arrived.plus(self.patience(entry));
        let blocked = entry.client.with_blocked(|blocked| blocked.left());
        match blocked {
            Some(Some((_, left))) if entry.is_blocking() => {
                // Not before the time is over.
                deadline.min(self.clock.now().plus(ticks(left) + 1))
            }
            _ => deadline,
        }
    }

    /// Sends due commands and answers those whose wait is over, in each stream the older first. Returns whether more
    /// work is left for another turn.
    fn send_due(self: &Rc<Self>) -> bool {
        let now = self.clock.now();
        for _ in 0..SENT_PER_TURN {
            let Some(one) = self.retries.queue.borrow_mut().take_next(now) else {
                return false;
            };
            let client = one.entry.client.clone();
            let sent = self.contained("another try of a command", || self.send_if_due(one, now));
            if sent.is_none() {
                // No other code would answer it.
                client.close(self);
            }
        }
        true
    }

    fn send_if_due(self: &Rc<Self>, one: QueuedRetry, now: Tick) {
        sabotage("resend.due");
        let client = one.entry.client.clone();
        let is_repair = one.entry.is_repair();
        if !is_repair {
            client.order.remove_waiting_retry();
        }
        if client.is_closed() && !is_repair {
            // It has not run, and its client has left; its bytes no longer count.
            deliver_piece(self, &one.entry, b"", true);
        } else if let Some(verification) = &one.verification {
            match verification.state() {
                // The verification is in flight as long as its lane holds it.
                VerificationState::Pending if Rc::strong_count(verification) == 1 => {
                    deliver_error(self, &one.entry, UNKNOWN_FATE);
                }
                VerificationState::Pending if !self.has_time(&one.entry) => {
                    self.stats.timeouts.inc();
                    deliver_error(self, &one.entry, UNKNOWN_IN_TIME);
                }
                VerificationState::Forged | VerificationState::Confirmed(_)
                    if !self.has_retry_ahead(&one.entry) =>
                {
                    let verification = verification.clone();
                    settle_verified(self, &verification, one.entry, one.request);
                }
                _ => {
                    let due = now.plus(FIRST_WAIT);
                    self.enqueue(QueuedRetry { due, ..one }, due);
                }
            }
        } else if one.entry.has_waited_in_vain() {
            deliver_piece(self, &one.entry, &timed_out(&one.entry), true);
        } else if !self.has_time(&one.entry) {
            self.stats.timeouts.inc();
            match one.error {
                Some(RetryError::Node(error)) => {
                    self.stats.errors.inc();
                    deliver_piece(self, &one.entry, &error, true);
                }
                Some(RetryError::Slotmux(text)) => deliver_error(self, &one.entry, &text),
                None => deliver_error(self, &one.entry, NOT_SERVED),
            }
        } else if one.due.has_come(now) && !self.has_retry_ahead(&one.entry) {
            match one.node.filter(|_| one.entry.slot.get().is_none()) {
                Some(node) => self.send_to(node, one.entry, one.request),
                None => self.send_again(one.entry, one.request),
            }
        } else {
            // The condition that ends its wait has changed meanwhile.
            self.enqueue(one, now.plus(FIRST_WAIT));
        }
    }
}

async fn run_retries(worker: Rc<Worker>) {
    while !worker.retries.is_empty() {
        tokio::time::sleep(LOOK_EVERY).await;
        while let Some(true) = worker.contained("another try of commands", || worker.send_due()) {
            // Other tasks first.
            tokio::task::yield_now().await;
        }
    }
    worker.retries.has_task.set(false);
}
