//! The nodes that a worker knows: its lanes to each, and how connecting to it goes.

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use crate::engine::handshake::ConnectError;
use crate::engine::worker::Worker;
use crate::engine::worker::clock::Tick;
use slotmux_core::cluster::addr::Addr;
use slotmux_core::cluster::topology::Topology;
use slotmux_core::config::Config;
use slotmux_core::resp::Protocol;

use crate::engine::upstream::connect_rate::Bucket;
use crate::engine::upstream::lane::{Lane, Link};
use crate::engine::upstream::lane_pool::{Bounds, Pool};
use crate::engine::upstream::transaction_check::RefusedTransactions;

/// A node in a worker's table of nodes. The number of an address never changes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NodeId(u32);

impl NodeId {
    /// Its bit in a set of nodes. Those beyond the 63rd share one.
    pub fn bit(self) -> u64 {
        1 << self.0.min(63)
    }
}

/// A worker's lanes to one node.
pub(super) struct NodeLanes {
    pub(super) addr: Addr,
    /// Lanes by protocol and place: a client always uses the same place, which keeps its order.
    pub(super) shared: [Vec<Option<Rc<Lane>>>; 2],
    /// Lanes of clients that share theirs with no other, by protocol and client.
    pub(super) own: [HashMap<u64, Rc<Lane>>; 2],
    /// Its dedicated lanes.
    pub(super) pool: Pool,
    /// How often it may be connected to.
    connect_rate: Bucket,
    /// Since when every attempt to connect to it has failed.
    unreachable_since: Option<Tick>,
    /// Its error at the last of those attempts.
    last_refusal: Option<Box<str>>,
    /// Whether that error is logged already.
    is_refusal_logged: bool,
    /// Its error reply to HELLO 3, if it refuses nothing else.
    resp3_refusal: Option<Box<str>>,
    /// Set while it refuses transactions.
    pub(super) refused_transactions: Option<RefusedTransactions>,
}

/// A worker's nodes and lanes.
pub struct NodeTable {
    by_addr: RefCell<HashMap<Addr, NodeId>>,
    nodes: RefCell<Vec<NodeLanes>>,
    /// Every lane.
    lanes: RefCell<Vec<Weak<Lane>>>,
    next_lane: Cell<u64>,
    /// Half-closed connections whose nodes have not closed their side yet.
    half_closed: Cell<usize>,
    /// Index of the configured password that a node accepted last.
    pub(super) password: Cell<usize>,
    /// Limits of dedicated lanes to one node.
    bounds: Bounds,
    /// Number of shared lanes to one node and protocol.
    shared_lanes: usize,
}

impl NodeTable {
    /// An empty table.
    pub fn new(config: &Config) -> NodeTable {
        NodeTable {
            by_addr: RefCell::default(),
            nodes: RefCell::default(),
            lanes: RefCell::default(),
            next_lane: Cell::new(0),
            half_closed: Cell::new(0),
            password: Cell::new(0),
            bounds: Bounds::of(config),
            shared_lanes: config.cluster.connections.shared,
        }
    }

    /// The number of `addr`, which is entered if it is new.
    fn id_of(&self, addr: Addr, now: Tick) -> NodeId {
        if let Some(&id) = self.by_addr.borrow().get(&addr) {
            return id;
        }
        let mut nodes = self.nodes.borrow_mut();
        let id = NodeId(u32::try_from(nodes.len()).unwrap_or(u32::MAX));
        self.by_addr.borrow_mut().insert(addr.clone(), id);
        nodes.push(NodeLanes {
            addr,
            shared: [vec![None; self.shared_lanes], vec![None; self.shared_lanes]],
            own: Default::default(),
            pool: Pool::default(),
            connect_rate: Bucket::new(now),
            unreachable_since: None,
            last_refusal: None,
            is_refusal_logged: false,
            resp3_refusal: None,
            refused_transactions: None,
        });
        id
    }

    pub(super) fn node(&self, id: NodeId) -> Ref<'_, NodeLanes> {
        Ref::map(self.nodes.borrow(), |nodes| &nodes[id.0 as usize])
    }

    pub(super) fn node_mut(&self, id: NodeId) -> RefMut<'_, NodeLanes> {
        RefMut::map(self.nodes.borrow_mut(), |nodes| &mut nodes[id.0 as usize])
    }

    /// Calls `f` for each pool of dedicated lanes.
    pub(super) fn for_each_pool(&self, mut f: impl FnMut(&mut Pool)) {
        for node in &mut *self.nodes.borrow_mut() {
            f(&mut node.pool);
        }
    }

    /// Limits of dedicated lanes to one node.
    pub(super) fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Adds a lane, which `make` makes of its number.
    pub(super) fn add_lane(&self, make: impl FnOnce(u64) -> Lane) -> Rc<Lane> {
        let number = self.next_lane.get();
        self.next_lane.set(number + 1);
        let lane = Rc::new(make(number));
        let mut lanes = self.lanes.borrow_mut();
        lanes.retain(|lane| lane.strong_count() > 0);
        lanes.push(Rc::downgrade(&lane));
        lane
    }

    /// Counts one more half-closed connection.
    pub(super) fn add_half_closed(&self) {
        self.half_closed.set(self.half_closed.get() + 1);
    }

    /// Counts one half-closed connection less.
    pub(super) fn remove_half_closed(&self) {
        self.half_closed
            .set(self.half_closed.get().saturating_sub(1));
    }

    /// Whether a node has not closed its side of a half-closed connection yet.
    pub(super) fn has_half_closed(&self) -> bool {
        self.half_closed.get() > 0
    }
}

impl NodeLanes {
    /// Whether it is part of this topology.
    fn is_in(&self, topology: &Topology) -> bool {
        topology.nodes().any(|known| known.addr == self.addr)
    }
}

impl Worker {
    /// The number of the node at `addr`.
    pub fn node_at(&self, addr: Addr) -> NodeId {
        self.nodes.id_of(addr, self.clock.now())
    }

    /// The address of a node.
    pub fn address_of(&self, node: NodeId) -> Addr {
        self.nodes.node(node).addr.clone()
    }

    /// Every lane there is.
    pub fn lanes(&self) -> Vec<Rc<Lane>> {
        let lanes = self.nodes.lanes.borrow();
        lanes.iter().filter_map(Weak::upgrade).collect()
    }

    /// Claims one connect to `node`, whose rate is limited. The error is the number of milliseconds until there is one.
    pub fn claim_connect(&self, node: NodeId) -> Result<(), u32> {
        let now = self.clock.now();
        self.nodes.node_mut(node).connect_rate.claim(now)
    }

    /// Records a new connection to `node` in `protocol`: other lanes need not wait for their next attempt.
    pub fn record_connect(&self, node: NodeId, protocol: Protocol) {
        let mut found = self.nodes.node_mut(node);
        found.connect_rate.record(true);
        found.last_refusal = None;
        if protocol == Protocol::Resp3 {
            found.resp3_refusal = None;
        }
        found.is_refusal_logged = false;
        if found.unreachable_since.take().is_some() {
            tracing::info!(node = %found.addr, "node takes connections again");
            self.shared.outages.over(self.id, &found.addr);
        }
        drop(found);
        for lane in self.lanes() {
            if lane.node == node && lane.link() != Link::Up {
                lane.hurry();
            }
        }
    }

    /// Records a failed attempt to connect to `node`. The log reports that a node is unreachable and that it is back, not
    /// each attempt.
    pub fn record_connect_failure(&self, node: NodeId, error: &ConnectError) {
        self.stats.upstream_connect_failures.inc();
        let is_up = |lane: &Rc<Lane>| lane.node == node && lane.link() == Link::Up;
        let is_usable = self.lanes().iter().any(is_up);
        let now = self.clock.now();
        let mut found = self.nodes.node_mut(node);
        let found = &mut *found;
        let node = &found.addr;
        if let ConnectError::NoResp3(refusal) = error {
            // RESP2 connections still work: neither they nor the next attempt need to wait.
            if found.resp3_refusal.as_deref() != Some(refusal) {
                tracing::warn!(%node, %error, "node cannot serve RESP3 clients");
                found.resp3_refusal = Some(refusal.as_str().into());
            }
            return;
        }
        found.connect_rate.record(false);
        let has_refusal = error.refusal().is_some();
        let is_news =
            found.unreachable_since.is_none() || (has_refusal && !found.is_refusal_logged);
        found.last_refusal = error.refusal().map(Into::into);
        found.is_refusal_logged |= has_refusal;
        if is_news {
            tracing::warn!(%node, %error, "cannot connect to node, retrying");
        } else {
            tracing::debug!(%node, %error, "node takes no connection");
        }
        found.unreachable_since.get_or_insert(now);
        if !is_usable {
            self.shared.outages.note(self.id, node, error.to_string());
        }
    }

    /// The error of `node` at the last failed attempt to connect in `protocol`, if it sent one.
    pub fn last_refusal(&self, node: NodeId, protocol: Protocol) -> Option<String> {
        let node = self.nodes.node(node);
        let resp3_refusal = node.resp3_refusal.as_ref();
        match resp3_refusal.filter(|_| protocol == Protocol::Resp3) {
            Some(refusal) => Some(format!("it refuses HELLO 3: {refusal}")),
            None => node.last_refusal.as_deref().map(str::to_owned),
        }
    }

    /// Whether every attempt to connect to a node has failed for longer than a command may take.
    pub fn is_unreachable(&self, node: NodeId) -> bool {
        let since = self.nodes.node(node).unreachable_since;
        since.is_some_and(|since| since.is_over(self.timeouts.command, self.clock.now()))
    }

    /// Forgets the outages of nodes that have left the cluster: slotmux no longer connects to them, so their return is
    /// not noticed.
    pub(super) fn forget_outages_of_removed_nodes(&self) {
        let topology = self.map.topology.borrow();
        for node in &mut *self.nodes.nodes.borrow_mut() {
            if node.unreachable_since.is_some() && !node.is_in(&topology) {
                node.unreachable_since = None;
                node.last_refusal = None;
                self.shared.outages.over(self.id, &node.addr);
            }
        }
    }
}
