//! Sending a command again: at once to where its slot is now, or in a moment.

use std::rc::Rc;
use std::time::Duration;

use crate::engine::client::Client;
use crate::engine::client::blocking::timed_out;
use crate::engine::clock::{Tick, ticks};
use crate::engine::sabotage::sabotage;
use crate::engine::worker::Worker;
use slotmux_core::resp::write;
use slotmux_core::slot::Slot;

use super::NodeId;
use super::deliver::{deliver_error, deliver_piece};
use super::doubt::{Doubt, Proof};
use super::inflight::InFlight;
use super::lost::{UNKNOWN_FATE, UNKNOWN_IN_TIME};
use super::overtaken;
use super::pool::Use;
use super::redirected::believe;
use super::waiting::Until;

/// First wait before another try, in milliseconds; it doubles with each try.
const FIRST_WAIT: u64 = 10;
/// Longest wait before another try, in milliseconds. A slot that comes back is noticed within this.
const LONGEST_WAIT: u64 = 160;
/// How often waiting commands are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Commands that are tried again or answered before others get their turn.
const SENT_PER_TURN: usize = 256;
/// Milliseconds that an expiry is tried for whose command has run: nobody waits for it, and a node that was frozen longer
/// than a command may take still runs what lies in its sockets.
const REPAIR_PATIENCE: u64 = 60_000;
/// The error for a command that found no node to run on.
const NOT_SERVED: &str =
    "CLUSTERDOWN slotmux: the slot was not served before the command's deadline";

/// A command that waits for another try.
pub struct Waiting {
    entry: InFlight,
    request: Vec<u8>,
    due: Tick,
    /// The error for which it waits: the client's if time runs out.
    error: Option<Box<[u8]>>,
    /// The node that said so; what has no slot goes there again.
    node: Option<NodeId>,
    /// Whether it is known at all that it has not run.
    doubt: Option<Rc<Doubt>>,
}

impl Worker {
    /// Whether any command that waits for another try is one of these.
    pub(super) fn is_any_waiting(&self, is_one: impl Fn(&InFlight) -> bool) -> bool {
        let waiting = self.waiting.borrow();
        waiting.all().any(|waiting| is_one(&waiting.entry))
    }

    /// Commands that wait for another try.
    pub(super) fn retries_waiting(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// These slots have an owner now: what waits for that is tried again.
    pub(super) fn slots_are_served(&self, slots: &[Slot]) {
        let mut waiting = self.waiting.borrow_mut();
        for &slot in slots {
            waiting.served(slot);
        }
    }

    /// A client has left: its commands that wait for another try are looked at next.
    pub fn forget_retries(&self, client: &Client) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.left(client.id, self.clock.now());
    }

    /// Whether a command's deadline leaves time for another try.
    pub fn has_time(&self, entry: &InFlight) -> bool {
        !entry
            .arrived
            .is_over(self.patience(entry), self.clock.now())
    }

    /// How long another try is made after a command arrived, in ticks.
    fn patience(&self, entry: &InFlight) -> u64 {
        if entry.is_repair() {
            self.command_timeout.max(REPAIR_PATIENCE)
        } else {
            self.command_timeout
        }
    }

    /// Sends a command that has not run to the node that serves its slot now. It never overtakes an older one of the
    /// same client and slot that waits for its own next try.
    pub fn send_again(self: &Rc<Self>, entry: InFlight, request: Vec<u8>) {
        if self.is_overtaken(&entry) {
            return deliver_error(self, &entry, overtaken::ERROR);
        }
        let Some((entry, request)) = self.still_waiting(entry, request) else {
            return;
        };
        let Some(owner) = entry.slot.get().and_then(|slot| self.slots.owner(slot)) else {
            return self.retry_later(entry, request);
        };
        if entry.is_transaction()
            && let Some(text) = self.refuses_transactions(owner)
        {
            return deliver_error(self, &entry, &text);
        }
        let Some(lane) = self.lane_again(owner, &entry) else {
            return self.retry_for_lane(entry, request);
        };
        if self.would_overtake(&entry, &lane) || self.may_be_overtaken(&entry) {
            self.release_unused(&lane);
            return self.retry_later(entry, request);
        }
        if !entry.is_watch() || entry.tries > 0 {
            self.stats.retries.inc();
        }
        lane.begin_block(self, &entry);
        lane.send_scripts_ahead(self, &entry, &request);
        lane.send_owned(self, entry, request);
    }

    /// Sends a command that has no slot to its node again.
    fn send_to(self: &Rc<Self>, node: NodeId, entry: InFlight, request: Vec<u8>) {
        match self.lane_again(node, &entry) {
            Some(lane) => {
                self.stats.retries.inc();
                lane.begin_block(self, &entry);
                lane.send_owned(self, entry, request);
            }
            None => self.wait(entry, request, None, Some(node), None),
        }
    }

    /// Keeps a command for another try in a moment. Until then its client sends nothing else.
    pub fn retry_later(self: &Rc<Self>, entry: InFlight, request: Vec<u8>) {
        self.wait(entry, request, None, None, None);
    }

    /// As [`Worker::retry_later`], for a command that found no lane of its own free.
    pub(super) fn retry_for_lane(self: &Rc<Self>, entry: InFlight, request: Vec<u8>) {
        let mut error = Vec::new();
        let of = match entry.is_watch() || entry.is_blocking() {
            true => Use::Kept,
            false => Use::Big,
        };
        write::error(&mut error, of.refusal());
        self.wait(entry, request, Some(error.into()), None, None);
    }

    /// As [`Worker::retry_later`], for a command whose `node` may have got over `error` then.
    pub fn retry_after(
        self: &Rc<Self>,
        entry: InFlight,
        request: Vec<u8>,
        error: &[u8],
        node: NodeId,
    ) {
        self.wait(entry, request, Some(error.into()), Some(node), None);
    }

    /// Keeps a command of which it is not known whether it has run.
    pub(super) fn wait_for_proof(
        self: &Rc<Self>,
        entry: InFlight,
        request: Vec<u8>,
        doubt: Rc<Doubt>,
    ) {
        self.wait(entry, request, None, None, Some(doubt));
    }

    /// Takes out what waited for this proof. What would overtake something else stays.
    pub(super) fn take_doubted(&self, doubt: &Doubt) -> Option<(InFlight, Vec<u8>)> {
        let mut waiting = self.waiting.borrow_mut();
        let place = doubt.place()?;
        if waiting.get(place)?.entry.client.is_closed() {
            return None;
        }
        let one = waiting.take_oldest(place)?;
        let retries = &one.entry.client.waiting_retries;
        retries.set(retries.get().saturating_sub(1));
        Some((one.entry, one.request))
    }

    fn wait(
        self: &Rc<Self>,
        entry: InFlight,
        request: Vec<u8>,
        error: Option<Box<[u8]>>,
        node: Option<NodeId>,
        doubt: Option<Rc<Doubt>>,
    ) {
        if self.is_overtaken(&entry) {
            return deliver_error(self, &entry, overtaken::ERROR);
        }
        let wait = FIRST_WAIT
            .saturating_mul(1 << entry.tries.min(8))
            .min(LONGEST_WAIT);
        let one = Waiting {
            due: self.clock.now().plus(wait),
            entry,
            request,
            error,
            node,
            doubt,
        };
        self.keep_waiting(one, Tick::default());
        if !self.waiting_is_looked_after.replace(true) {
            tokio::task::spawn_local(look_after_waiting(self.clone()));
        }
    }

    /// Puts a command among those that wait. Its time is not looked at before `least`.
    fn keep_waiting(&self, one: Waiting, least: Tick) {
        let entry = &one.entry;
        let client = entry.client.clone();
        let until = match entry.slot.get() {
            // The proof of one in doubt comes from a node that has no slot to serve for that.
            Some(slot) if one.doubt.is_none() && self.slots.owner(slot).is_none() => {
                Until::Served(slot, one.due)
            }
            _ => Until::Due(one.due),
        };
        let is_repair = entry.is_repair();
        let ends = if client.is_closed() && !is_repair {
            // Nobody waits for it.
            least
        } else {
            self.ends_waiting(entry).max(least)
        };
        if !is_repair {
            client.waiting_retries.set(client.waiting_retries.get() + 1);
        }
        let (member, doubt) = (entry.member(), one.doubt.clone());
        let mut waiting = self.waiting.borrow_mut();
        let place = waiting.keep(client.id, member, one, until, ends);
        if let Some(doubt) = doubt {
            doubt.waits_at(place);
        }
    }

    /// When a command has waited for long enough: at its deadline, or when the time of one that blocks is over.
    fn ends_waiting(&self, entry: &InFlight) -> Tick {
        let deadline = entry.arrived.plus(self.patience(entry));
        let blocked = entry.client.with_blocked(|blocked| blocked.left());
        match blocked {
            Some(Some((_, left))) if entry.is_blocking() => {
                // Not a moment before it is over.
                deadline.min(self.clock.now().plus(ticks(left) + 1))
            }
            _ => deadline,
        }
    }

    /// Sends what is due and answers what has waited for long enough, of each stream the older first. Tells whether
    /// there is more, which is not due in this turn.
    fn send_due(self: &Rc<Self>) -> bool {
        let now = self.clock.now();
        for _ in 0..SENT_PER_TURN {
            let Some(one) = self.waiting.borrow_mut().take_next(now) else {
                return false;
            };
            let client = one.entry.client.clone();
            let sent = self.contained("another try of a command", || self.send_if_due(one, now));
            if sent.is_none() {
                // Nobody else would answer it.
                client.close(self);
            }
        }
        true
    }

    fn send_if_due(self: &Rc<Self>, one: Waiting, now: Tick) {
        sabotage("resend.due");
        let client = one.entry.client.clone();
        let is_repair = one.entry.is_repair();
        if !is_repair {
            client.waiting_retries.set(client.waiting_retries.get() - 1);
        }
        if client.is_closed() && !is_repair {
            // It has not run and nobody waits for it; its bytes count for nobody any more.
            deliver_piece(self, &one.entry, b"", true);
        } else if let Some(doubt) = &one.doubt {
            match doubt.proof() {
                // The question is on its way as long as its lane has it.
                Proof::Awaited if Rc::strong_count(doubt) == 1 => {
                    deliver_error(self, &one.entry, UNKNOWN_FATE);
                }
                Proof::Awaited if !self.has_time(&one.entry) => {
                    self.stats.timeouts.inc();
                    deliver_error(self, &one.entry, UNKNOWN_IN_TIME);
                }
                Proof::Refuted | Proof::Believed(_) if !self.has_retry_ahead(&one.entry) => {
                    let doubt = doubt.clone();
                    believe(self, &doubt, one.entry, one.request);
                }
                _ => {
                    let due = now.plus(FIRST_WAIT);
                    self.keep_waiting(Waiting { due, ..one }, due);
                }
            }
        } else if one.entry.has_waited_in_vain() {
            deliver_piece(self, &one.entry, &timed_out(&one.entry), true);
        } else if !self.has_time(&one.entry) {
            self.stats.timeouts.inc();
            match one.error {
                Some(error) => {
                    self.stats.errors.inc();
                    deliver_piece(self, &one.entry, &error, true);
                }
                None => deliver_error(self, &one.entry, NOT_SERVED),
            }
        } else if one.due.has_come(now) && !self.has_retry_ahead(&one.entry) {
            match one.node.filter(|_| one.entry.slot.get().is_none()) {
                Some(node) => self.send_to(node, one.entry, one.request),
                None => self.send_again(one.entry, one.request),
            }
        } else {
            // What ends its wait has moved meanwhile.
            self.keep_waiting(one, now.plus(FIRST_WAIT));
        }
    }
}

async fn look_after_waiting(worker: Rc<Worker>) {
    while !worker.waiting.borrow().is_empty() {
        tokio::time::sleep(LOOK_EVERY).await;
        while let Some(true) = worker.contained("another try of commands", || worker.send_due()) {
            // Others first.
            tokio::task::yield_now().await;
        }
    }
    worker.waiting_is_looked_after.set(false);
}
