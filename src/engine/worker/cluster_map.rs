//! A worker's own copy of the cluster's state: the topology, the node of each slot, and whether any node was
//! found yet.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use crate::engine::client::before_topology::Upstream;
use crate::engine::upstream::NodeId;
use crate::engine::worker::slot_map::SlotMap;
use slotmux_core::cluster::addr::{Addr, AddressMap};
use slotmux_core::cluster::server::ServerVersion;
use slotmux_core::cluster::topology::Topology;
use slotmux_core::config::Config;
use slotmux_core::route::scan::Itinerary;
use slotmux_core::slot::{SLOTS, Slot};

/// One worker's knowledge of the cluster.
pub struct ClusterMap {
    /// The node of each slot.
    pub slots: SlotMap,
    /// The topology that the slot map was made from.
    pub topology: RefCell<Arc<Topology>>,
    /// Kind and version of that topology's servers.
    pub server: Cell<ServerVersion>,
    /// The order in which SCAN visits the shards of that topology.
    pub itinerary: RefCell<Itinerary>,
    /// Whether there is an upstream.
    pub upstream: Cell<Upstream>,
    /// The primaries of the topology.
    primaries: RefCell<Vec<NodeId>>,
    address_map: AddressMap,
}

impl ClusterMap {
    /// Nothing is known yet.
    pub fn new(config: &Config) -> ClusterMap {
        ClusterMap {
            slots: SlotMap::default(),
            topology: RefCell::new(Arc::new(Topology::empty())),
            server: Cell::default(),
            itinerary: RefCell::default(),
            upstream: Cell::new(Upstream::Awaited),
            primaries: RefCell::default(),
            address_map: AddressMap::new(config.cluster.address_map.clone()),
        }
    }

    /// Enters the owners of a topology, whose shards have these primaries, and returns the slots that have changed
    /// owners. The topology itself is replaced by [`ClusterMap::replace_topology`] once what follows from the changed
    /// slots is done.
    pub fn set_owners(&self, topology: &Topology, primaries: Vec<NodeId>) -> Vec<Slot> {
        let mut moved = Vec::new();
        for slot in 0..SLOTS as u16 {
            let owner = topology
                .shard_index(Slot(slot))
                .and_then(|shard| primaries.get(usize::from(shard)));
            // A slot that the topology does not cover keeps the owner that a redirect named.
            if let Some(&owner) = owner
                && self.slots.set(Slot(slot), Some(owner))
            {
                moved.push(Slot(slot));
            }
        }
        *self.primaries.borrow_mut() = primaries;
        *self.itinerary.borrow_mut() = Itinerary::new(topology);
        moved
    }

    /// Replaces the topology.
    pub fn replace_topology(&self, topology: Arc<Topology>) {
        self.server.set(topology.server_version());
        *self.topology.borrow_mut() = topology;
    }

    /// Where to connect for an announced address.
    pub fn reachable(&self, announced: Addr) -> Addr {
        self.address_map.apply(announced)
    }

    /// The nodes that a command for the whole keyspace goes to.
    pub fn primaries(&self) -> Vec<NodeId> {
        self.primaries.borrow().clone()
    }

    /// Whether this is one of them.
    pub fn is_primary(&self, node: NodeId) -> bool {
        self.primaries.borrow().contains(&node)
    }

    /// The primary for the commands without keys of the client with this id.
    pub fn primary_for(&self, client: u64) -> Option<NodeId> {
        let primaries = self.primaries.borrow();
        let place = client.checked_rem(primaries.len() as u64)?;
        primaries.get(place as usize).copied()
    }
}
