//! Sending a command again: at once to where its slot is now, or in a moment.

use std::rc::Rc;
use std::time::Duration;

use crate::clock::Tick;
use crate::worker::Worker;

use super::deliver::deliver_error;
use super::inflight::InFlight;
use super::lane::Lane;

/// First wait before another try, in milliseconds; it doubles with each try.
const FIRST_WAIT: u32 = 10;
/// Longest wait before another try, in milliseconds. A slot that comes back is noticed within this.
const LONGEST_WAIT: u32 = 160;
/// How often waiting commands are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A command that waits for another try.
pub struct Waiting {
    entry: InFlight,
    request: Vec<u8>,
    due: Tick,
}

impl Worker {
    /// Whether a command's deadline leaves time for another try.
    pub fn has_time(&self, entry: &InFlight) -> bool {
        !entry
            .arrived
            .is_over(self.command_timeout, self.clock.now())
    }

    /// Sends a command that has not run to the node that serves its slot now. It never overtakes an older one of the
    /// same client and slot that waits for its own next try.
    pub fn send_again(self: &Rc<Self>, entry: InFlight, request: Vec<u8>) {
        let Some(owner) = entry.slot.and_then(|slot| self.slots.owner(slot)) else {
            return self.retry_later(entry, request);
        };
        let lane = self.shared_lane(owner, &entry.client);
        if self.would_overtake(&entry, &lane) {
            return self.retry_later(entry, request);
        }
        self.stats.retries.inc();
        lane.send_owned(self, entry, request);
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
        self.lanes().iter().any(|other| {
            !Rc::ptr_eq(other, lane)
                && other
                    .entries()
                    .borrow()
                    .iter()
                    .any(|newer| entry.is_older_in_stream(newer))
        })
    }

    /// Keeps a command for another try in a moment. Until then its client sends nothing else.
    pub fn retry_later(self: &Rc<Self>, entry: InFlight, request: Vec<u8>) {
        let wait = FIRST_WAIT
            .saturating_mul(1 << entry.tries.min(8))
            .min(LONGEST_WAIT);
        let client = &entry.client;
        client.waiting_retries.set(client.waiting_retries.get() + 1);
        let due = self.clock.now().plus(wait);
        // An older command comes back later than a newer one that did not even set out: it goes ahead of it.
        let mut waiting = self.waiting.borrow_mut();
        let place = waiting
            .iter()
            .position(|newer| entry.is_older_in_stream(&newer.entry))
            .unwrap_or(waiting.len());
        waiting.insert(
            place,
            Waiting {
                entry,
                request,
                due,
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
        for Waiting {
            entry,
            request,
            due,
        } in waiting
        {
            let client = entry.client.clone();
            if !self.has_time(&entry) {
                client.waiting_retries.set(client.waiting_retries.get() - 1);
                self.stats.timeouts.inc();
                deliver_error(
                    self,
                    &entry,
                    "CLUSTERDOWN slotmux: the slot was not served before the command's deadline",
                );
            } else if due.has_come(now) && !self.has_retry_ahead(&entry) {
                client.waiting_retries.set(client.waiting_retries.get() - 1);
                self.send_again(entry, request);
            } else {
                self.waiting.borrow_mut().push_back(Waiting {
                    entry,
                    request,
                    due,
                });
            }
        }
    }
}

async fn look_after_waiting(worker: Rc<Worker>) {
    while !worker.waiting.borrow().is_empty() {
        tokio::time::sleep(LOOK_EVERY).await;
        worker.send_due();
    }
    worker.waiting_is_looked_after.set(false);
}
