//! The map of slots to nodes: an immutable snapshot, and the difference between two of them.

use std::collections::HashSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::addr::Addr;
use super::server::{ServerIdentity, ServerVersion};
use crate::command::Learned;
use crate::slot::{SLOTS, Slot};

/// Shard index of a slot without an owner. Slots are two bytes each in the table that every request reads.
pub const NO_SHARD: u16 = u16::MAX;

/// The kind of the upstream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UpstreamKind {
    /// A Redis Cluster.
    Cluster,
    /// One server that serves all slots.
    Standalone,
}

/// One node, as the cluster announces it and as it is reached. Nodes are equal if they are the same at the same place, whether
/// or not they were asked: [`Topology::server`] follows from their statements.
#[derive(Clone, Debug)]
pub struct Node {
    /// The 40 hex digits of the node id; for a standalone server its address.
    pub id: String,
    /// Where to connect: the preferred endpoint, the empty-host rule and the address map applied.
    pub addr: Addr,
    /// The IP that the cluster gossips; may be empty.
    pub announced_ip: String,
    /// The announced hostname, if there is one.
    pub hostname: Option<String>,
    /// Its statements about itself, known once the node itself was asked.
    pub server: Option<Arc<ServerIdentity>>,
}

impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        self.id == other.id
            && self.addr == other.addr
            && self.announced_ip == other.announced_ip
            && self.hostname == other.hostname
    }
}

impl Eq for Node {}

impl Node {
    /// A node of which no more than id and address are known.
    pub fn new(id: impl Into<String>, addr: Addr) -> Node {
        Node {
            id: id.into(),
            addr,
            announced_ip: String::new(),
            hostname: None,
            server: None,
        }
    }
}

/// A primary and its replicas.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shard {
    /// The node that takes writes.
    pub primary: Node,
    /// Replicas in step with it; failed ones are left out.
    pub replicas: Vec<Node>,
    /// Config epoch of the primary: the higher one wins a slot.
    pub epoch: u64,
}

/// A snapshot of the cluster. Never changes; a new one has a higher version.
#[derive(Clone)]
pub struct Topology {
    /// Grows by one with each published change; 0 is the empty topology.
    pub version: u64,
    /// Cluster or single server.
    pub kind: UpstreamKind,
    /// Shards that own slots, ordered by the id of their primary.
    pub shards: Vec<Shard>,
    /// The server that clients see: the oldest among the primaries, as far as these have been asked.
    pub server: ServerIdentity,
    /// Commands that the upstream knows, read from its COMMAND.
    pub learned: Arc<Learned>,
    slots: Box<[u16]>,
}

impl Topology {
    /// The topology before the first discovery: no shards, no slots, version 0.
    pub fn empty() -> Topology {
        Topology::new(
            UpstreamKind::Cluster,
            Vec::new(),
            vec![NO_SHARD; SLOTS].into(),
        )
    }

    /// A topology from shards and, for each slot, the index of its shard. An index without a shard, like a slot past
    /// the end of `slots`, is a slot without an owner.
    pub fn new(kind: UpstreamKind, shards: Vec<Shard>, slots: Box<[u16]>) -> Topology {
        let mut slots = slots.into_vec();
        slots.resize(SLOTS, NO_SHARD);
        for shard in &mut slots {
            if usize::from(*shard) >= shards.len() {
                *shard = NO_SHARD;
            }
        }
        Topology {
            version: 0,
            kind,
            shards,
            server: ServerIdentity::default(),
            learned: Arc::default(),
            slots: slots.into(),
        }
    }

    /// A topology from shards with their slot ranges; a later range wins.
    pub fn from_ranges(
        kind: UpstreamKind,
        parts: Vec<(Shard, Vec<RangeInclusive<u16>>)>,
    ) -> Topology {
        let mut slots = vec![NO_SHARD; SLOTS];
        let mut shards = Vec::with_capacity(parts.len());
        for (index, (shard, ranges)) in (0u16..NO_SHARD).zip(parts) {
            for slot in ranges.into_iter().flatten() {
                if let Some(owner) = slots.get_mut(usize::from(slot)) {
                    *owner = index;
                }
            }
            shards.push(shard);
        }
        Topology::new(kind, shards, slots.into())
    }

    /// One server that serves everything.
    pub fn standalone(node: Node) -> Topology {
        let shard = Shard {
            primary: node,
            replicas: Vec::new(),
            epoch: 0,
        };
        Topology::new(UpstreamKind::Standalone, vec![shard], vec![0; SLOTS].into())
    }

    /// Index in `shards` of the shard that serves `slot`.
    #[inline]
    pub fn shard_index(&self, slot: Slot) -> Option<u16> {
        self.slots
            .get(usize::from(slot.0))
            .copied()
            .filter(|&index| index != NO_SHARD)
    }

    /// The shard that serves `slot`.
    #[inline]
    pub fn shard_of(&self, slot: Slot) -> Option<&Shard> {
        self.shards.get(usize::from(self.shard_index(slot)?))
    }

    /// The node that takes requests for `slot`.
    #[inline]
    pub fn primary_of(&self, slot: Slot) -> Option<&Node> {
        self.shard_of(slot).map(|shard| &shard.primary)
    }

    /// For each slot the index of its shard, or [`NO_SHARD`].
    pub fn slots(&self) -> &[u16] {
        &self.slots
    }

    /// Primaries and replicas of all shards.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.shards
            .iter()
            .flat_map(|shard| std::iter::once(&shard.primary).chain(&shard.replicas))
    }

    /// The node that is reached at `addr`.
    pub fn node_at(&self, addr: &Addr) -> Option<&Node> {
        self.nodes().find(|node| node.addr == *addr)
    }

    /// Whether no discovery has succeeded yet.
    pub fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }

    /// `cluster`, `standalone`, or nothing while it is not known.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            _ if self.is_empty() => "",
            UpstreamKind::Cluster => "cluster",
            UpstreamKind::Standalone => "standalone",
        }
    }

    /// Number of slots without an owner.
    pub fn uncovered(&self) -> usize {
        self.slots
            .iter()
            .filter(|&&shard| shard == NO_SHARD)
            .count()
    }

    /// Makes the oldest of its primaries the server that clients see.
    pub fn choose_server(&mut self) {
        let primaries = self.shards.iter().map(|shard| &shard.primary);
        let known = primaries.filter_map(|node| node.server.as_ref());
        self.server = ServerIdentity::of_all(known);
    }

    /// Kind and version of the server that clients see.
    pub fn server_version(&self) -> ServerVersion {
        self.server.number()
    }

    /// Whether both say the same, versions aside.
    pub fn same_as(&self, other: &Topology) -> bool {
        self.kind == other.kind
            && self.shards == other.shards
            && self.slots == other.slots
            && self.server == other.server
            && Arc::ptr_eq(&self.learned, &other.learned)
    }

    /// Slots whose requests go to another address than in `older`: those that need a barrier.
    pub fn moved_since<'a>(&'a self, older: &'a Topology) -> impl Iterator<Item = Slot> + 'a {
        (0..SLOTS as u16).map(Slot).filter(|&slot| {
            self.primary_of(slot).map(|node| &node.addr)
                != older.primary_of(slot).map(|node| &node.addr)
        })
    }

    /// The changes since `older`, for the log.
    pub fn diff(&self, older: &Topology) -> TopologyDiff {
        let new_nodes: HashSet<&Addr> = self.nodes().map(|node| &node.addr).collect();
        let old_nodes: HashSet<&Addr> = older.nodes().map(|node| &node.addr).collect();
        let listed = |of: &HashSet<&Addr>, without: &HashSet<&Addr>| {
            let mut addrs: Vec<Addr> = of.difference(without).map(|addr| (*addr).clone()).collect();
            addrs.sort();
            addrs
        };
        TopologyDiff {
            joined: listed(&new_nodes, &old_nodes),
            left: listed(&old_nodes, &new_nodes),
            slots_moved: self.moved_since(older).count(),
            shards: self.shards.len(),
            nodes: new_nodes.len(),
            uncovered: self.uncovered(),
        }
    }
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topology")
            .field("version", &self.version)
            .field("kind", &self.kind)
            .field("shards", &self.shards)
            .field("server", &self.server.version)
            .field("uncovered", &self.uncovered())
            .finish_non_exhaustive()
    }
}

/// How one topology differs from the one before; its text is one log line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopologyDiff {
    /// Addresses that are new.
    pub joined: Vec<Addr>,
    /// Addresses that are gone.
    pub left: Vec<Addr>,
    /// Slots that are served at another address, or no longer, or for the first time.
    pub slots_moved: usize,
    /// Shards now.
    pub shards: usize,
    /// Nodes now.
    pub nodes: usize,
    /// Number of slots without an owner now.
    pub uncovered: usize,
}

/// Addresses that a log line names before it goes on with a number.
const NAMED_IN_LOG: usize = 6;

impl fmt::Display for TopologyDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} shards, {} nodes, {} slots moved",
            self.shards, self.nodes, self.slots_moved
        )?;
        for (what, addrs) in [("joined", &self.joined), ("left", &self.left)] {
            let names: Vec<String> = addrs
                .iter()
                .take(NAMED_IN_LOG)
                .map(Addr::to_string)
                .collect();
            match addrs.len() {
                0 => {}
                n if n > NAMED_IN_LOG => write!(
                    f,
                    ", {what}: {} and {} more",
                    names.join(" "),
                    n - NAMED_IN_LOG
                )?,
                _ => write!(f, ", {what}: {}", names.join(" "))?,
            }
        }
        if self.uncovered > 0 {
            write!(f, ", {} slots that no node serves", self.uncovered)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: &str, port: u16, replicas: &[u16]) -> Shard {
        Shard {
            primary: Node::new(id, Addr::new("127.0.0.1", port)),
            replicas: replicas
                .iter()
                .map(|&p| Node::new(format!("r{p}"), Addr::new("127.0.0.1", p)))
                .collect(),
            epoch: 1,
        }
    }

    fn two_shards() -> Topology {
        let parts = vec![
            (shard("a", 7000, &[7002]), vec![0..=8191]),
            (shard("b", 7001, &[]), vec![8192..=16383]),
        ];
        Topology::from_ranges(UpstreamKind::Cluster, parts)
    }

    #[test]
    fn finds_the_owner_of_each_slot() {
        let topology = two_shards();
        assert_eq!(topology.primary_of(Slot(0)).unwrap().addr.port, 7000);
        assert_eq!(topology.primary_of(Slot(8191)).unwrap().addr.port, 7000);
        assert_eq!(topology.primary_of(Slot(8192)).unwrap().addr.port, 7001);
        assert_eq!(topology.primary_of(Slot(16383)).unwrap().addr.port, 7001);
        assert!(topology.primary_of(Slot(16384)).is_none());
        assert_eq!(topology.nodes().count(), 3);
        assert_eq!(topology.uncovered(), 0);
        assert_eq!(
            topology.node_at(&Addr::new("127.0.0.1", 7002)).unwrap().id,
            "r7002"
        );
    }

    #[test]
    fn the_empty_topology_and_bad_indexes_serve_nothing() {
        let empty = Topology::empty();
        assert!(empty.is_empty() && empty.shard_of(Slot(5)).is_none());
        assert_eq!(empty.uncovered(), SLOTS);
        let odd = Topology::new(
            UpstreamKind::Cluster,
            vec![shard("a", 1, &[])],
            vec![0, 1, NO_SHARD].into(),
        );
        assert_eq!(odd.uncovered(), SLOTS - 1);
        assert!(odd.shard_of(Slot(1)).is_none() && odd.shard_of(Slot(9000)).is_none());
    }

    #[test]
    fn a_single_server_serves_all_slots() {
        let topology = Topology::standalone(Node::new("x", Addr::new("h", 1)));
        assert_eq!(
            (topology.kind, topology.uncovered()),
            (UpstreamKind::Standalone, 0)
        );
        assert_eq!(&*topology.primary_of(Slot(16383)).unwrap().addr.host, "h");
    }

    #[test]
    fn a_diff_names_what_changed() {
        let old = two_shards();
        assert!(old.same_as(&old.clone()));
        let parts = vec![
            (shard("a", 7000, &[]), vec![0..=8000]),
            (shard("c", 7003, &[]), vec![8192..=16383]),
        ];
        let new = Topology::from_ranges(UpstreamKind::Cluster, parts);
        assert!(!new.same_as(&old));
        let diff = new.diff(&old);
        assert_eq!((diff.slots_moved, diff.uncovered), (8192 + 191, 191));
        assert_eq!(
            diff.to_string(),
            "2 shards, 2 nodes, 8383 slots moved, joined: 127.0.0.1:7003, left: 127.0.0.1:7001 127.0.0.1:7002, \
             191 slots that no node serves"
        );
        assert_eq!(new.moved_since(&old).next(), Some(Slot(8001)));
    }

    #[test]
    fn a_replica_alone_is_a_change_that_moves_no_slot() {
        let old = two_shards();
        let mut new = two_shards();
        new.shards[0].replicas.clear();
        assert!(!new.same_as(&old));
        assert_eq!(new.moved_since(&old).count(), 0);
    }
}
