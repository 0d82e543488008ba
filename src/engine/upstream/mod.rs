//! The upstream side: the nodes that a worker knows, and its lanes to them.

use std::collections::HashMap;
use std::rc::Rc;

use crate::engine::client::dispatch::NotSent;
use crate::engine::client::forward::refuse_no_lane;
use crate::engine::client::{Client, Pause};
use crate::engine::handshake::ConnectError;
use crate::engine::worker::Worker;
use crate::engine::worker::clock::Tick;
use slotmux_core::cluster::addr::Addr;
use slotmux_core::resp::scan::Boundary;
use slotmux_core::resp::{Limits, Protocol, Scan};

use connect_rate::Bucket;
use inflight::InFlight;
use lane::{Class, Lane, Link};
use lane_pool::{Grant, Pool, Use};
use transaction_check::Distrust;

pub mod block;
pub mod blocking;
pub mod cancel;
pub mod connect;
pub mod connect_rate;
pub mod connection_id;
pub mod deliver;
pub mod half_closed;
pub mod health;
pub mod inflight;
pub mod lane;
pub mod lane_pool;
pub mod pinned;
pub mod protocol_error;
pub mod read;
pub mod retry;
pub mod ring;
pub mod script_load;
pub mod tracking;
pub mod transaction_check;

/// A node in a worker's table of nodes. The number of an address never changes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NodeId(u32);

/// What a worker has to one node.
struct Node {
    addr: Addr,
    /// Lanes by protocol and place: a client always uses the same place, which keeps its order.
    shared: [Vec<Option<Rc<Lane>>>; 2],
    /// Its dedicated lanes.
    pool: Pool,
    /// How often it may be connected to.
    connects: Bucket,
    /// Since when every try to connect to it has failed.
    gone: Option<Tick>,
    /// Its words at the last of those attempts.
    last_words: Option<Box<str>>,
    /// Whether these words are logged already.
    words_are_told: bool,
    /// Its reply to HELLO 3, if it refuses nothing else.
    no_resp3: Option<Box<str>>,
    /// Set while it refuses transactions.
    distrust: Option<Distrust>,
}

/// A worker's nodes.
#[derive(Default)]
pub struct Nodes {
    by_addr: HashMap<Addr, NodeId>,
    nodes: Vec<Node>,
}

impl NodeId {
    /// Its bit in a set of nodes. Those beyond the 63rd share one.
    pub fn bit(self) -> u64 {
        1 << self.0.min(63)
    }
}

impl Nodes {
    /// The number of `addr`, which is entered if it is new.
    fn id(&mut self, addr: Addr, lanes: usize, now: Tick) -> NodeId {
        if let Some(&id) = self.by_addr.get(&addr) {
            return id;
        }
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.by_addr.insert(addr.clone(), id);
        self.nodes.push(Node {
            addr,
            shared: [vec![None; lanes], vec![None; lanes]],
            pool: Pool::default(),
            connects: Bucket::new(now),
            gone: None,
            last_words: None,
            words_are_told: false,
            no_resp3: None,
            distrust: None,
        });
        id
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize]
    }
}

/// Length of the first request in `bytes`.
fn first_request(bytes: &[u8]) -> usize {
    match Boundary::default().advance(bytes, &Limits::ACCEPTED) {
        Ok(Scan::Complete { len }) => len,
        _ => bytes.len(),
    }
}

/// RESP2 is 0, RESP3 is 1.
fn index(protocol: Protocol) -> usize {
    usize::from(protocol == Protocol::Resp3)
}

impl Worker {
    /// The number of the node at `addr`.
    pub fn node_at(&self, addr: Addr) -> NodeId {
        self.nodes.borrow_mut().id(
            addr,
            self.config.cluster.connections.shared,
            self.clock.now(),
        )
    }

    /// The address of a node.
    pub fn address_of(&self, node: NodeId) -> Addr {
        self.nodes.borrow().node(node).addr.clone()
    }

    /// Whether `node` may be connected to now; or in how many milliseconds it may be.
    pub fn may_connect(&self, node: NodeId) -> Result<(), u32> {
        let now = self.clock.now();
        self.nodes.borrow_mut().node_mut(node).connects.take(now)
    }

    /// Records a new connection to `node` in `protocol`: other lanes need not wait for their next attempt.
    pub fn reached(&self, node: NodeId, protocol: Protocol) {
        let mut nodes = self.nodes.borrow_mut();
        let found = nodes.node_mut(node);
        found.connects.tried(true);
        found.last_words = None;
        if protocol == Protocol::Resp3 {
            found.no_resp3 = None;
        }
        found.words_are_told = false;
        if found.gone.take().is_some() {
            tracing::info!(node = %found.addr, "node takes connections again");
            self.shared.outages.over(self.id, &found.addr);
        }
        drop(nodes);
        for lane in self.lanes() {
            if lane.node == node && lane.link() != Link::Up {
                lane.hurry();
            }
        }
    }

    /// A connection to `node` could not be made. The log tells that a node has gone and that it is back, not of each try.
    pub fn missed(&self, node: NodeId, error: &ConnectError) {
        self.stats.upstream_connect_failures.inc();
        let is_up = |lane: &Rc<Lane>| lane.node == node && lane.link() == Link::Up;
        let is_usable = self.lanes().iter().any(is_up);
        let now = self.clock.now();
        let mut nodes = self.nodes.borrow_mut();
        let found = nodes.node_mut(node);
        let node = &found.addr;
        if let ConnectError::NoResp3(said) = error {
            // RESP2 connections still work: neither they nor the next attempt need to wait.
            if found.no_resp3.as_deref() != Some(said) {
                tracing::warn!(%node, %error, "node cannot serve RESP3 clients");
                found.no_resp3 = Some(said.as_str().into());
            }
            return;
        }
        found.connects.tried(false);
        let has_words = error.last_words().is_some();
        let is_news = found.gone.is_none() || (has_words && !found.words_are_told);
        found.last_words = error.last_words().map(Into::into);
        found.words_are_told |= has_words;
        if is_news {
            tracing::warn!(%node, %error, "cannot connect to node, retrying");
        } else {
            tracing::debug!(%node, %error, "node takes no connection");
        }
        found.gone.get_or_insert(now);
        if !is_usable {
            self.shared.outages.note(self.id, node, error.to_string());
        }
    }

    /// The last words of `node` at a failed attempt to connect in `protocol`, if it had any.
    pub fn last_words(&self, node: NodeId, protocol: Protocol) -> Option<String> {
        let nodes = self.nodes.borrow();
        let node = nodes.node(node);
        let no_resp3 = node.no_resp3.as_ref();
        match no_resp3.filter(|_| protocol == Protocol::Resp3) {
            Some(said) => Some(format!("it refuses HELLO 3: {said}")),
            None => node.last_words.as_deref().map(str::to_owned),
        }
    }

    /// Whether every attempt to connect to a node has failed for longer than a command may take.
    pub fn is_gone(&self, node: NodeId) -> bool {
        let gone = self.nodes.borrow().node(node).gone;
        gone.is_some_and(|since| since.is_over(self.command_timeout, self.clock.now()))
    }

    /// The lane to `node` that `client` shares with others; opened if it is not there.
    pub fn shared_lane(self: &Rc<Self>, node: NodeId, client: &Client) -> Rc<Lane> {
        let protocol = client.session.protocol();
        let nodes = self.nodes.borrow();
        let lanes = &nodes.node(node).shared[index(protocol)];
        let place = client.id as usize % lanes.len();
        if let Some(lane) = &lanes[place] {
            return lane.clone();
        }
        drop(nodes);
        let lane = self.open_lane(node, protocol, Class::Shared);
        self.nodes.borrow_mut().node_mut(node).shared[index(protocol)][place] = Some(lane.clone());
        lane
    }

    /// A lane to `node` for `client` alone. If as many as allowed are in use, the client waits for one and is woken; one
    /// that has waited for as long as a command may take is refused.
    pub fn dedicated_lane(
        self: &Rc<Self>,
        node: NodeId,
        client: &Rc<Client>,
        of: Use,
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
        let mut nodes = self.nodes.borrow_mut();
        nodes.node_mut(node).pool.wait(of, client);
        Err(NotSent::Deferred)
    }

    /// Wakes who has waited for a dedicated lane for as long as a command may take.
    pub fn end_vain_waits(&self, now: Tick) {
        let mut woken = Vec::new();
        for node in &mut self.nodes.borrow_mut().nodes {
            woken.extend(
                node.pool
                    .give_up(|client| client.has_waited_too_long(self, now)),
            );
        }
        for client in woken {
            client.resume();
        }
    }

    /// The lane to `node` on which a command goes for another try: one that travelled alone does so again. `None` if
    /// no such lane is free now. A suspect does not wait for a lane where none becomes free: it takes the shared one
    /// again, and stays a suspect.
    pub fn lane_again(self: &Rc<Self>, node: NodeId, entry: &InFlight) -> Option<Rc<Lane>> {
        let client = &entry.client;
        // What was over a pinned lane only stayed there for its WATCH.
        let was_alone =
            client.upstream.is_dedicated() && entry.is_whole() && !client.transaction.has_watch();
        let of = entry.use_again();
        let is_big = was_alone || self.is_big(entry.len as usize);
        if entry.is_repair() || (of == Use::Big && !is_big) {
            return Some(self.shared_lane(node, client));
        }
        let lane = self.free_lane(node, client, of);
        if lane.is_some() {
            client.upstream.set_dedicated(true);
        } else if of == Use::Suspect && !is_big {
            let is_stalled = {
                let nodes = self.nodes.borrow();
                nodes.node(node).pool.is_stalled(self.clock.now())
            };
            return is_stalled.then(|| self.shared_lane(node, client));
        }
        lane
    }

    /// An unused lane to `node`; `None` if as many as allowed are in use.
    pub fn free_lane(self: &Rc<Self>, node: NodeId, client: &Client, of: Use) -> Option<Rc<Lane>> {
        let protocol = client.session.protocol();
        let mut nodes = self.nodes.borrow_mut();
        let pool = &mut nodes.node_mut(node).pool;
        let grant = match of {
            Use::Big | Use::Kept => pool.take(of, protocol, self.own_lanes),
            Use::Suspect => pool.take_for_suspect(protocol, self.own_lanes, self.clock.now()),
        }?;
        drop(nodes);
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

    /// Takes a lane back from [`Worker::lane_again`] that was not used.
    pub fn release_unused(&self, lane: &Rc<Lane>) {
        if lane.class == Class::Dedicated {
            self.release(lane);
        }
    }

    /// Takes a dedicated lane back that has answered everything.
    pub fn release(&self, lane: &Rc<Lane>) {
        if lane.held.get() > 0 || lane.is_pinned() {
            return;
        }
        lane.last_used.set(self.clock.now());
        let mut nodes = self.nodes.borrow_mut();
        let entry = nodes.node_mut(lane.node);
        entry.pool.put_back(lane);
        let served = entry.pool.served(self.own_lanes);
        drop(nodes);
        served.iter().for_each(|client| client.resume());
    }

    /// Forgets a lane that is of no more use.
    pub fn discard(&self, lane: &Rc<Lane>) {
        if self.withdraw(lane) && lane.class == Class::Dedicated {
            self.free_place(lane);
        }
    }

    /// Retires a lane for good; returns whether it was in use. A dedicated lane keeps its place in the pool.
    fn withdraw(&self, lane: &Rc<Lane>) -> bool {
        if lane.link() == Link::Retired {
            return false;
        }
        if lane.class == Class::Shared {
            let mut nodes = self.nodes.borrow_mut();
            let shared = &mut nodes.node_mut(lane.node).shared;
            for place in &mut shared[index(lane.protocol)] {
                place.take_if(|other| Rc::ptr_eq(other, lane));
            }
        }
        lane.retire(self);
        true
    }

    /// Frees the place of a dedicated lane that was withdrawn.
    fn free_place(&self, lane: &Rc<Lane>) {
        let mut nodes = self.nodes.borrow_mut();
        let pool = &mut nodes.node_mut(lane.node).pool;
        pool.remove(lane);
        let served = pool.served(self.own_lanes);
        drop(nodes);
        served.iter().for_each(|client| client.resume());
    }

    /// Every lane there is.
    pub fn lanes(&self) -> Vec<Rc<Lane>> {
        self.lanes
            .borrow()
            .iter()
            .filter_map(std::rc::Weak::upgrade)
            .collect()
    }

    /// Whether a command that may write is on its way, or waits for another try.
    pub fn has_writes_on_their_way(&self) -> bool {
        // What blocks is bound to run only when somebody feeds it.
        let writes = |entry: &InFlight| entry.write && !entry.is_blocking();
        let is_sent = |lane: &Rc<Lane>| lane.entries().borrow().iter().any(writes);
        self.is_any_waiting(writes) || self.lanes().iter().any(is_sent)
    }

    fn next_lane(&self) -> u64 {
        let number = self.next_lane.get();
        self.next_lane.set(number + 1);
        number
    }

    fn open_lane(self: &Rc<Self>, node: NodeId, protocol: Protocol, class: Class) -> Rc<Lane> {
        let addr = self.nodes.borrow().node(node).addr.clone();
        let lane = Rc::new(Lane::new(
            self.next_lane(),
            node,
            addr,
            protocol,
            class,
            self.clock.now(),
        ));
        let mut lanes = self.lanes.borrow_mut();
        lanes.retain(|lane| lane.strong_count() > 0);
        lanes.push(Rc::downgrade(&lane));
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
        for node in &mut self.nodes.borrow_mut().nodes {
            woken.extend(node.pool.served(self.own_lanes));
        }
        for client in woken {
            client.resume();
        }
    }

    /// Gives up lanes that nothing needs: those of nodes that left the cluster, and dedicated ones unused for long.
    pub fn retire_unneeded_lanes(&self) {
        let now = self.clock.now();
        for lane in self.lanes() {
            if !lane.is_idle() || lane.link() == Link::Retired {
                continue;
            }
            let unused = lane.class == Class::Dedicated
                && !lane.is_pinned()
                && lane.last_used.get().is_over(self.dedicated_idle, now);
            if unused
                || !self
                    .topology
                    .borrow()
                    .nodes()
                    .any(|node| node.addr == lane.addr)
            {
                self.discard(&lane);
            }
        }
        self.forget_who_left();
    }

    /// Forgets the outages of nodes that have left the cluster: slotmux no longer connects to them, so their return is
    /// not noticed.
    fn forget_who_left(&self) {
        let topology = self.topology.borrow();
        for node in &mut self.nodes.borrow_mut().nodes {
            if node.gone.is_some() && !topology.nodes().any(|known| known.addr == node.addr) {
                node.gone = None;
                node.last_words = None;
                self.shared.outages.over(self.id, &node.addr);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::first_request;
    use slotmux_core::resp::write;

    #[test]
    fn the_first_request_has_an_end_however_long_it_is() {
        // More arguments than a client has by default.
        let mut bytes = Vec::new();
        write::array(&mut bytes, 1_050_000);
        for _ in 0..1_050_000 {
            write::bulk(&mut bytes, b"x");
        }
        let first = bytes.len();
        write::request(&mut bytes, &[b"PEXPIRE", b"x", b"1", b"NX"]);
        assert_eq!(first_request(&bytes), first);
    }
}
