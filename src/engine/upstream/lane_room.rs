//! Room on a lane: clients wait while it has too much in flight, and are resumed when half of that is answered.

use std::rc::Rc;

use crate::engine::client::{Client, Pause};
use crate::engine::worker::Worker;
use crate::engine::worker::clock::Tick;

use crate::engine::upstream::lane::{Lane, Link};

impl Lane {
    /// Whether clients have to wait before they give it more.
    pub fn is_full(&self, worker: &Worker) -> bool {
        let limits = &worker.config.cluster.connections;
        self.entries().borrow().len() >= limits.max_in_flight
            || self.ring().borrow().len() >= limits.max_in_flight_bytes
    }

    /// Pauses `client` until there is room.
    pub fn wait(&self, worker: &Worker, client: &Rc<Client>) {
        worker.stats.client_pauses.inc();
        client.pause_for(Pause::Lane);
        self.waiting.borrow_mut().push(client.clone());
    }

    /// Resumes clients that waited for room, if there is enough of it.
    pub(super) fn wake_waiting(&self, worker: &Worker) {
        if self.waiting.borrow().is_empty() {
            return;
        }
        let limits = &worker.config.cluster.connections;
        let has_room = self.entries().borrow().len() <= limits.max_in_flight / 2
            && self.ring().borrow().len() <= limits.max_in_flight_bytes / 2;
        if has_room || self.link() == Link::Retired {
            for client in self.waiting.take() {
                client.resume();
            }
        }
    }

    /// Wakes clients that have waited for room for as long as a command may take, and forgets those that have left.
    pub fn end_vain_waits(&self, worker: &Worker, now: Tick) {
        let mut woken = Vec::new();
        self.waiting.borrow_mut().retain(|client| {
            let is_over = client.has_waited_too_long(worker, now);
            if is_over {
                woken.push(client.clone());
            }
            !is_over && !client.is_closed()
        });
        for client in woken {
            client.resume();
        }
    }
}
