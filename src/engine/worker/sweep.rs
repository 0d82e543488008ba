//! What time alone brings about: deadlines, silence, health checks, idle clients, hang-ups of paused clients, the
//! memory budget.

use std::collections::BinaryHeap;
use std::rc::Rc;
use std::time::Duration;

use crate::engine::client::{Client, ClientPhase};
use crate::engine::sabotage::{clock_ahead, sabotage};
use crate::engine::transport::Hangup;
use crate::engine::upstream::connect::fail;
use crate::engine::upstream::health::check_health;
use crate::engine::upstream::retry::lost::check_deadlines;
use crate::engine::worker::Worker;
use crate::engine::worker::clock::{Tick, ticks};

/// How late a deadline may be noticed.
const DEADLINES_EVERY: Duration = Duration::from_millis(100);
/// Every how many of these the clients are looked at, all of them: once a second.
const CLIENTS_EVERY: u32 = 10;
/// How long a client whose replies were all sent may take to close its end.
const LINGER: u64 = 1000;

/// Sweeps until the worker ends.
pub async fn run(worker: Rc<Worker>) {
    let mut round: u32 = 0;
    loop {
        tokio::time::sleep(DEADLINES_EVERY).await;
        if let Some(by) = clock_ahead() {
            worker.clock.set_ahead(by);
        }
        let now = worker.clock.now();
        // Clients first: one that is let go on below has not had its turn yet and would look idle.
        round = round.wrapping_add(1);
        if round.is_multiple_of(CLIENTS_EVERY) {
            worker.sweep_clients(now);
        }
        worker.contained("the sweep", || {
            worker.check_upstream(now);
            worker.end_vain_waits(now);
        });
        worker.sweep_lanes(now);
        worker.contained("the sweep", || {
            worker.hub.sweep(&worker, now);
            worker.memory.show(&worker.stats.client_buffer_bytes);
            worker.close_lingering(now);
            worker.keep_within_memory();
        });
    }
}

impl Worker {
    fn sweep_clients(self: &Rc<Self>, now: Tick) {
        for client in self.all_clients() {
            // Else it would keep the sweep from those behind it for ever.
            if self
                .contained("the sweep", || self.look_after(&client, now))
                .is_none()
            {
                client.close(self);
            }
        }
        self.contained("the sweep", || {
            self.retire_unneeded_lanes();
            self.wake_waiting_for_dedicated();
            self.buffers.trim();
            self.held.trim();
        });
    }

    fn sweep_lanes(self: &Rc<Self>, now: Tick) {
        let mut in_flight = 0;
        for lane in self.lanes() {
            let swept = self.contained("the sweep", || {
                sabotage("sweep.lane");
                check_deadlines(self, &lane, now);
                lane.end_vain_waits(self, now);
                check_health(self, &lane, now);
            });
            if swept.is_none() {
                self.contained("the sweep", || fail(self, &lane));
            }
            in_flight += lane.in_flight();
        }
        self.stats.in_flight.set(in_flight as u64);
        self.contained("the sweep", || {
            self.sweep_carried();
            self.sweep_overtaken();
        });
        self.give_up_abandoned();
    }

    /// Remembers a client that was sent everything, to close it if it doesn't close itself.
    pub fn linger(&self, client: &Rc<Client>) {
        self.lingering
            .borrow_mut()
            .push_back((client.clone(), self.clock.now().plus(LINGER)));
    }

    fn close_lingering(&self, now: Tick) {
        loop {
            let mut lingering = self.lingering.borrow_mut();
            match lingering.front() {
                Some((_, until)) if until.has_come(now) => {}
                _ => return,
            }
            let client = lingering.pop_front();
            drop(lingering);
            if let Some((client, _)) = client {
                client.close(self);
            }
        }
    }

    fn look_after(&self, client: &Rc<Client>, now: Tick) {
        sabotage("sweep.client");
        client.check_output(self);
        client.check_stall(self);
        let idle = self.config.listeners[client.session.listener()].idle_timeout;
        let is_idle = idle.is_some_and(|idle| client.is_quiet_for(ticks(idle), now))
            && client.in_flight() == 0
            && !client.has_long_request()
            && !client.is_subscriber()
            && !client.waits_for_slotmux()
            && !client.is_monitor()
            && client.phase() == ClientPhase::Open;
        // One that is blocked has left as soon as it sends no more, as in Redis.
        let hangup = client.with_transport(|transport| transport.hangup());
        let has_hung_up = !client.is_read()
            && match hangup {
                Some(Hangup::Full) => true,
                // Its client does not wait for the end of a pause. As in Redis, held commands do not run.
                Some(Hangup::Half) => {
                    client.is_blocked() || (client.is_held() && client.in_flight() == 0)
                }
                _ => false,
            };
        if is_idle || has_hung_up {
            client.close(self);
        }
    }

    /// Closes those who hold the most if all clients together hold more than they may: as many as it takes.
    #[inline]
    pub fn keep_within_memory(&self) {
        if self.memory.is_over() {
            self.shed_largest();
        }
    }

    #[cold]
    fn shed_largest(&self) {
        let clients = self.clients.borrow();
        let holders = clients
            .iter()
            .map(|(key, client)| (client.memory.charged(), key));
        let mut holders: BinaryHeap<(usize, usize)> =
            holders.filter(|(bytes, _)| *bytes > 0).collect();
        drop(clients);
        while self.memory.is_over()
            && let Some((bytes, key)) = holders.pop()
        {
            let Some(client) = self.clients.borrow().get(key).cloned() else {
                continue;
            };
            tracing::warn!(
                client = client.id,
                bytes,
                all = self.memory.used(),
                "client closed: all clients together hold more than the memory limit"
            );
            self.stats.limit_closes.inc();
            client.close(self);
        }
    }
}
