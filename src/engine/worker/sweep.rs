//! The periodic sweep: deadlines, silence, health checks, idle clients, hang-ups of paused clients, the memory budget.

use std::collections::BinaryHeap;
use std::rc::Rc;
use std::time::Duration;

use crate::engine::client::{Client, ClientPhase};
use crate::engine::sabotage::{sabotage, take_clock_ahead};
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

/// Sweeps until the worker ends.
pub async fn run(worker: Rc<Worker>) {
    let mut round: u32 = 0;
    loop {
        tokio::time::sleep(DEADLINES_EVERY).await;
        if let Some(by) = take_clock_ahead() {
            worker.clock.set_ahead(by);
        }
        let now = worker.clock.now();
        // Clients first: a client that is resumed below has not had its turn yet and would look idle.
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
            worker.announcements.sweep(&worker, now);
            worker.memory.show(&worker.stats.client_buffer_bytes);
            worker.close_lingering(now);
            worker.keep_within_memory();
        });
    }
}

impl Worker {
    fn sweep_clients(self: &Rc<Self>, now: Tick) {
        for client in self.clients.all() {
            // Otherwise the sweep would never reach the clients behind it.
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
            self.scratch.trim();
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
            self.sweep_lane_index();
            self.retries.sweep_completed();
        });
        self.cancel_unawaited_requests();
    }

    fn close_lingering(&self, now: Tick) {
        while let Some(client) = self.clients.take_lingered(now) {
            client.close(self);
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

    /// Closes the clients that hold the most while all clients together exceed the memory limit.
    #[inline]
    pub fn keep_within_memory(&self) {
        if self.memory.is_over() {
            self.shed_largest();
        }
    }

    #[cold]
    fn shed_largest(&self) {
        let clients = self.clients.all();
        let holders = clients.iter().enumerate();
        let holders = holders.map(|(at, client)| (client.memory.charged(), client.key, at));
        let mut holders: BinaryHeap<(usize, usize, usize)> =
            holders.filter(|(bytes, ..)| *bytes > 0).collect();
        while self.memory.is_over()
            && let Some((bytes, _, at)) = holders.pop()
        {
            let client = &clients[at];
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
