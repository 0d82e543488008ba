//! Sending a command again: at once to where its slot is now, or in a moment.

use std::rc::Rc;
use std::time::Duration;

use crate::client::blocking::timed_out;
use crate::clock::Tick;
use crate::resp::write;
use crate::sabotage::sabotage;
use crate::worker::Worker;

use super::NodeId;
use super::deliver::{deliver_error, deliver_piece};
use super::doubt::{Doubt, Proof};
use super::inflight::InFlight;
use super::lane::Lane;
use super::lost::{UNKNOWN_FATE, UNKNOWN_IN_TIME};
use super::overtaken;
use super::pool::Use;
use super::redirected::believe;

/// First wait before another try, in milliseconds; it doubles with each try.
const FIRST_WAIT: u32 = 10;
/// Longest wait before another try, in milliseconds. A slot that comes back is noticed within this.
const LONGEST_WAIT: u32 = 160;
/// How often waiting commands are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
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
    /// Shows every waiting command to `f`.
    pub(super) fn each_waiting(&self, mut f: impl FnMut(&mut InFlight)) {
        for waiting in self.waiting.borrow_mut().iter_mut() {
            f(&mut waiting.entry);
        }
    }

    /// Commands that wait for another try.
    pub(super) fn retries_waiting(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// Whether a command's deadline leaves time for another try.
    pub fn has_time(&self, entry: &InFlight) -> bool {
        !entry
            .arrived
            .is_over(self.command_timeout, self.clock.now())
    }

    /// Sends a command that has not run to the node that serves its slot now. It never overtakes an older one of the
    /// same client and slot that waits for its own next try.
    pub fn send_again(self: &Rc<Self>, entry: InFlight, request: Vec<u8>) {
        if entry.is_overtaken() {
            return deliver_error(self, &entry, overtaken::ERROR);
        }
        let Some((entry, request)) = self.still_waiting(entry, request) else {
            return;
        };
        let Some(owner) = entry.slot.and_then(|slot| self.slots.owner(slot)) else {
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

    /// Whether newer commands of the same client and slot are on their way. They are about to be refused as well, unless
    /// the slot comes back to their node; what becomes of them decides about this one.
    fn may_be_overtaken(&self, entry: &InFlight) -> bool {
        entry.client.in_flight() > 1 && self.lanes().iter().any(|lane| lane.has_newer(entry))
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

    /// Whether an older command of the same client and slot is still on its way elsewhere: on another lane, after a
    /// slot that moved twice in a row, or waiting for its own next try.
    pub fn would_overtake(&self, entry: &InFlight, lane: &Rc<Lane>) -> bool {
        self.has_retry_ahead(entry)
            || (entry.client.in_flight() > 1
                && self.lanes().iter().any(|other| {
                    !Rc::ptr_eq(other, lane)
                        && other
                            .entries()
                            .borrow()
                            .iter()
                            .any(|earlier| earlier.is_older_in_stream(entry))
                }))
    }

    /// Whether a newer command of the same client and slot is on another lane.
    pub fn has_newer_elsewhere(&self, entry: &InFlight, lane: &Rc<Lane>) -> bool {
        let mut lanes = self.lanes().into_iter();
        lanes.any(|other| !Rc::ptr_eq(&other, lane) && other.has_newer(entry))
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
    pub(super) fn take_doubted(&self, doubt: &Rc<Doubt>) -> Option<(InFlight, Vec<u8>)> {
        let mut waiting = self.waiting.borrow_mut();
        let is_its = |one: &Waiting| {
            let its = one.doubt.as_ref();
            its.is_some_and(|its| Rc::ptr_eq(its, doubt))
        };
        let place = waiting.iter().position(is_its)?;
        let entry = &waiting[place].entry;
        let mut ahead = waiting.iter().take(place);
        if entry.client.is_closed() || ahead.any(|older| older.entry.same_stream(entry)) {
            return None;
        }
        let one = waiting.remove(place)?;
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
        if entry.is_overtaken() {
            return deliver_error(self, &entry, overtaken::ERROR);
        }
        let wait = FIRST_WAIT
            .saturating_mul(1 << entry.tries.min(8))
            .min(LONGEST_WAIT);
        let client = &entry.client;
        let others = client.waiting_retries.get();
        if !entry.is_repair() {
            client.waiting_retries.set(others + 1);
        }
        let due = self.clock.now().plus(wait);
        // An older command comes back later than a newer one that did not even set out: it goes ahead of it. Most have
        // no other; in an outage thousands wait here.
        let mut waiting = self.waiting.borrow_mut();
        let is_older = |newer: &Waiting| entry.is_older_in_stream(&newer.entry);
        let place = (others > 0)
            .then(|| waiting.iter().position(is_older))
            .flatten()
            .unwrap_or(waiting.len());
        waiting.insert(
            place,
            Waiting {
                entry,
                request,
                due,
                error,
                node,
                doubt,
            },
        );
        drop(waiting);
        if !self.waiting_is_looked_after.replace(true) {
            tokio::task::spawn_local(look_after_waiting(self.clone()));
        }
    }

    /// Whether an older command of the same client and slot waits for another try.
    pub fn has_retry_ahead(&self, entry: &InFlight) -> bool {
        entry.client.waiting_retries.get() > 0
            && self
                .waiting
                .borrow()
                .iter()
                .any(|waiting| waiting.entry.is_older_in_stream(entry))
    }

    /// Sends what is due, in the order in which it began to wait.
    fn send_due(self: &Rc<Self>) {
        let now = self.clock.now();
        let waiting = self.waiting.take();
        for one in waiting {
            let client = one.entry.client.clone();
            let sent = self.contained("another try of a command", || self.send_if_due(one, now));
            if sent.is_none() {
                // Nobody else would answer it.
                client.close(self);
            }
        }
    }

    fn send_if_due(self: &Rc<Self>, one: Waiting, now: Tick) {
        sabotage("resend.due");
        let client = one.entry.client.clone();
        let retries = client.waiting_retries.get();
        let is_repair = one.entry.is_repair();
        if !is_repair {
            // Without itself, so that one that is alone is not compared with all the others.
            client.waiting_retries.set(retries - 1);
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
                _ => self.keep_waiting(one, retries),
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
            match one.node.filter(|_| one.entry.slot.is_none()) {
                Some(node) => self.send_to(node, one.entry, one.request),
                None => self.send_again(one.entry, one.request),
            }
        } else {
            self.keep_waiting(one, retries);
        }
    }

    fn keep_waiting(&self, one: Waiting, retries: u32) {
        one.entry.client.waiting_retries.set(retries);
        self.waiting.borrow_mut().push_back(one);
    }
}

async fn look_after_waiting(worker: Rc<Worker>) {
    while !worker.waiting.borrow().is_empty() {
        tokio::time::sleep(LOOK_EVERY).await;
        worker.contained("another try of commands", || worker.send_due());
    }
    worker.waiting_is_looked_after.set(false);
}
