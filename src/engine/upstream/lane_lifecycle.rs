//! Lanes as they are opened, chosen for a command, released to the pool and retired.

use std::rc::Rc;

use crate::engine::client::dispatch::NotSent;
use crate::engine::client::forward::refuse_no_lane;
use crate::engine::client::{Client, Pause};
use crate::engine::worker::Worker;
use crate::engine::worker::clock::Tick;
use slotmux_core::resp::Protocol;

use crate::engine::upstream::inflight::InFlight;
use crate::engine::upstream::lane::{Class, Lane, Link};
use crate::engine::upstream::lane_pool::{Grant, LaneUse};
use crate::engine::upstream::node_table::NodeId;
use crate::engine::upstream::{connect, index};

impl Worker {
    /// The lane to `node` that `client` shares with others; opened if it is not there.
    pub fn shared_lane(self: &Rc<Self>, node: NodeId, client: &Client) -> Rc<Lane> {
        if client.upstream.has_own_lanes() {
            return self.own_lane(node, client);
        }
        let protocol = client.session.protocol();
        let found = self.nodes.node(node);
        let lanes = &found.shared[index(protocol)];
        let place = client.id as usize % lanes.len();
        if let Some(lane) = &lanes[place] {
            return lane.clone();
        }
        drop(found);
        let lane = self.open_lane(node, protocol, Class::Shared);
        self.nodes.node_mut(node).shared[index(protocol)][place] = Some(lane.clone());
        lane
    }

    /// A dedicated lane to `node` for `client`. If as many as allowed are in use, the client waits for one and is woken; a
    /// client that has waited for as long as a command may take is refused.
    pub fn dedicated_lane(
        self: &Rc<Self>,
        node: NodeId,
        client: &Rc<Client>,
        of: LaneUse,
    ) -> Result<Rc<Lane>, NotSent> {
        if let Some(lane) = self.free_lane(node, client, of) {
            return Ok(lane);
        }
        let now = self.clock.now();
        client.start_waiting(now);
        if client.has_waited_too_long(self, now) {
            refuse_no_lane(self, client, of);
            return Err(NotSent::Refused);
        }
        self.stats.client_pauses.inc();
        client.pause_for(Pause::Lane);
        self.nodes.node_mut(node).pool.wait(of, client);
        Err(NotSent::Deferred)
    }

    /// Wakes clients that have waited for a dedicated lane for as long as a command may take.
    pub fn end_vain_waits(&self, now: Tick) {
        let mut woken = Vec::new();
        self.nodes.for_each_pool(|pool| {
            woken.extend(pool.remove_waiting(|client| client.has_waited_too_long(self, now)));
        });
        for client in woken {
            client.resume();
        }
    }

    /// The lane to `node` for the retry of a command: one that had a dedicated lane gets one again. `None` if no such lane
    /// is free now. A possible oversize read does not wait for a lane where none becomes free: it takes the shared one
    /// again, and stays marked.
    pub fn lane_for_retry(self: &Rc<Self>, node: NodeId, entry: &InFlight) -> Option<Rc<Lane>> {
        let client = &entry.client;
        // A watching client keeps its pinned lane only because of its WATCH.
        let was_dedicated =
            client.upstream.is_dedicated() && entry.is_whole() && !client.transaction.has_watch();
        let of = entry.use_for_retry();
        let is_big = was_dedicated || self.is_big(entry.len as usize);
        if entry.is_repair() || (of == LaneUse::BigValue && !is_big) {
            return Some(self.shared_lane(node, client));
        }
        let lane = self.free_lane(node, client, of);
        if lane.is_some() {
            client.upstream.set_dedicated(true);
        } else if of == LaneUse::OversizeCheck && !is_big {
            let is_stalled = self.nodes.node(node).pool.is_stalled(self.clock.now());
            return is_stalled.then(|| self.shared_lane(node, client));
        }
        lane
    }

    /// An unused dedicated lane to `node`; `None` if as many as allowed are in use.
    pub fn free_lane(
        self: &Rc<Self>,
        node: NodeId,
        client: &Client,
        of: LaneUse,
    ) -> Option<Rc<Lane>> {
        let protocol = client.session.protocol();
        let bounds = self.nodes.bounds();
        let mut found = self.nodes.node_mut(node);
        let pool = &mut found.pool;
        let grant = match of {
            LaneUse::BigValue | LaneUse::BlockOrWatch => pool.take(of, protocol, bounds),
            LaneUse::OversizeCheck => pool.take_for_check(protocol, bounds, self.clock.now()),
        }?;
        drop(found);
        let lane = match grant {
            Grant::Free(lane) => lane,
            Grant::New(instead) => {
                if let Some(other) = instead {
                    other.retire(self);
                }
                self.open_lane(node, protocol, Class::Dedicated)
            }
        };
        lane.used_for.set(Some(of));
        Some(lane)
    }

    /// Takes a lane back that was chosen for a command and not used. A shared lane stays as it is.
    pub fn release_unused(&self, lane: &Rc<Lane>) {
        if lane.class == Class::Dedicated {
            self.release(lane);
        }
    }

    /// Takes a dedicated lane back that has answered everything.
    pub fn release(&self, lane: &Rc<Lane>) {
        if lane.is_held() || lane.is_pinned() {
            return;
        }
        lane.last_used.set(self.clock.now());
        let mut found = self.nodes.node_mut(lane.node);
        found.pool.put_back(lane);
        let served = found.pool.take_served(self.nodes.bounds());
        drop(found);
        served.iter().for_each(|client| client.resume());
    }

    /// Retires a lane for good.
    pub fn retire_lane(&self, lane: &Rc<Lane>) {
        if self.retire_keeping_place(lane) && lane.class == Class::Dedicated {
            self.free_place(lane);
        }
    }

    /// Retires a lane for good; returns whether it was in use. A dedicated lane keeps its place in the pool.
    pub(super) fn retire_keeping_place(&self, lane: &Rc<Lane>) -> bool {
        if lane.link() == Link::Retired {
            return false;
        }
        if lane.class == Class::Shared {
            let mut found = self.nodes.node_mut(lane.node);
            for place in &mut found.shared[index(lane.protocol)] {
                place.take_if(|other| Rc::ptr_eq(other, lane));
            }
            found.own[index(lane.protocol)].retain(|_, other| !Rc::ptr_eq(other, lane));
        }
        lane.retire(self);
        true
    }

    /// Frees the place of a dedicated lane that was retired.
    pub(super) fn free_place(&self, lane: &Rc<Lane>) {
        let mut found = self.nodes.node_mut(lane.node);
        found.pool.remove(lane);
        let served = found.pool.take_served(self.nodes.bounds());
        drop(found);
        served.iter().for_each(|client| client.resume());
    }

    /// Closes a lane whose commands no client awaits; those that were not sent whole never run.
    pub fn abandon_lane(&self, lane: &Rc<Lane>) {
        lane.set_down(self);
        drop(lane.take_unanswered(self));
        self.retire_lane(lane);
    }

    pub(super) fn open_lane(
        self: &Rc<Self>,
        node: NodeId,
        protocol: Protocol,
        class: Class,
    ) -> Rc<Lane> {
        let addr = self.address_of(node);
        let now = self.clock.now();
        let lane = self
            .nodes
            .add_lane(|number| Lane::new(number, node, addr, protocol, class, now));
        let (task, failed) = (connect::run(self.clone(), lane.clone()), lane.clone());
        self.spawn("a lane's task", task, move |worker| {
            connect::fail(worker, &failed);
        });
        lane
    }

    /// Wakes clients that wait for a dedicated lane though there is room for one: the client that was woken for it may
    /// have found that its slot has moved.
    pub fn wake_waiting_for_dedicated(&self) {
        let mut woken = Vec::new();
        let bounds = self.nodes.bounds();
        self.nodes
            .for_each_pool(|pool| woken.extend(pool.take_served(bounds)));
        for client in woken {
            client.resume();
        }
    }

    /// Retires unneeded lanes: those of nodes that left the cluster, and dedicated ones unused for long.
    pub fn retire_unneeded_lanes(&self) {
        let now = self.clock.now();
        for lane in self.lanes() {
            if !lane.is_idle() || lane.link() == Link::Retired {
                continue;
            }
            let is_unused = self.end_own_use(&lane)
                || lane.class == Class::Dedicated
                    && !lane.is_pinned()
                    && lane
                        .last_used
                        .get()
                        .is_over(self.timeouts.dedicated_idle, now);
            if is_unused || !self.is_in_cluster(&lane) {
                self.retire_lane(&lane);
            }
        }
        self.forget_outages_of_removed_nodes();
    }

    fn is_in_cluster(&self, lane: &Lane) -> bool {
        let topology = self.map.topology.borrow();
        topology.nodes().any(|node| node.addr == lane.addr)
    }

    /// Whether a command that may write is in flight, or waits for a retry.
    pub fn has_writes_in_flight(&self) -> bool {
        // A blocking command runs only when another client sends it an element.
        let writes = |entry: &InFlight| entry.write && !entry.is_blocking();
        let is_sent = |lane: &Rc<Lane>| lane.entries().borrow().iter().any(writes);
        self.retries.has_any(writes) || self.lanes().iter().any(is_sent)
    }
}
