//! From what several nodes say to one topology. Pure: where they disagree about a slot, the higher config epoch wins.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::topology::{NO_SHARD, Node, Shard, Topology, UpstreamKind};
use super::view::{NodeView, SeenNode};
use crate::slot::SLOTS;

/// The outcome of [`merge`].
#[derive(Debug)]
pub struct MergedTopology {
    /// The merged topology. Its version is 0 and its learned commands are empty.
    pub topology: Topology,
    /// Slots for which the views name different owners: news is still spreading, ask again soon.
    pub disputed: usize,
    /// Slots that stayed where they were because every view was older than the topology before.
    pub remembered: usize,
    /// Number of slots whose owner announces no address to connect to.
    pub unreachable: usize,
}

/// Merges the views; the first one decides where epochs are equal.
///
/// A node keeps the address it had in `previous` as long as a view still gives it, so that views which name one node
/// differently do not move it to and fro. With `trust_memory`, a slot also stays where it was if every view that
/// knows its owner knows it at an older epoch than `previous` does: such views are stale, as in the smaller part of
/// a partition.
pub fn merge(views: &[NodeView], previous: &Topology, trust_memory: bool) -> MergedTopology {
    let mut claims = Claims::default();
    for view in views {
        claims.add(view);
    }
    let remembered = if trust_memory {
        claims.keep_what_views_are_too_old_for(views, previous)
    } else {
        0
    };

    let known = KnownNodes {
        views,
        nodes_before: previous
            .nodes()
            .map(|node| (node.id.as_str(), node))
            .collect(),
        shards_before: previous
            .shards
            .iter()
            .map(|shard| (shard.primary.id.as_str(), shard))
            .collect(),
    };
    let mut epochs: HashMap<usize, u64> = HashMap::new();
    for claim in claims.by_slot.iter().flatten() {
        let epoch = epochs.entry(claim.owner).or_default();
        *epoch = claim.epoch.max(*epoch);
    }
    // Shards in the order of their primaries' ids: the same cluster gives the same topology from any node.
    let mut order: Vec<usize> = epochs.keys().copied().collect();
    order.sort_by(|&a, &b| claims.id(a).cmp(claims.id(b)));
    let primaries: HashSet<&str> = order.iter().map(|&owner| claims.id(owner)).collect();
    let mut index_of = HashMap::new();
    let mut shards = Vec::with_capacity(order.len());
    for &owner in &order {
        let epoch = epochs.get(&owner).copied().unwrap_or_default();
        let (Some(shard), Ok(index)) = (
            known.shard(claims.id(owner), epoch, &primaries),
            u16::try_from(shards.len()),
        ) else {
            continue;
        };
        index_of.insert(owner, index);
        shards.push(shard);
    }
    let shard_of = |claim: &Option<Claim>| match claim {
        Some(claim) => index_of.get(&claim.owner).copied().unwrap_or(NO_SHARD),
        None => NO_SHARD,
    };
    let slots: Box<[u16]> = claims.by_slot.iter().map(shard_of).collect();
    let served = slots.iter().filter(|&&shard| shard != NO_SHARD).count();
    let unreachable = claims.by_slot.iter().flatten().count() - served;

    let mut topology = Topology::new(UpstreamKind::Cluster, shards, slots);
    topology.choose_server();
    if topology.server.version.is_empty()
        && let Some(view) = views.first()
    {
        // Only replicas have answered so far.
        topology.server = view.server.identity.clone();
    }
    MergedTopology {
        topology,
        disputed: claims.disputed.len(),
        remembered,
        unreachable,
    }
}

/// Owner of a slot, as claimed by a node that knows the owner at this epoch.
#[derive(Clone, Copy)]
struct Claim {
    owner: usize,
    epoch: u64,
}

/// The best claim for each slot so far. Owners are numbers, so that 16384 slots are not 16384 strings.
struct Claims<'a> {
    by_slot: Vec<Option<Claim>>,
    disputed: HashSet<usize>,
    by_id: HashMap<&'a str, usize>,
    ids: Vec<&'a str>,
}

impl Default for Claims<'_> {
    fn default() -> Self {
        Claims {
            by_slot: vec![None; SLOTS],
            disputed: HashSet::new(),
            by_id: HashMap::new(),
            ids: Vec::new(),
        }
    }
}

impl<'a> Claims<'a> {
    fn owner(&mut self, id: &'a str) -> usize {
        let next = self.ids.len();
        let index = *self.by_id.entry(id).or_insert(next);
        if index == next {
            self.ids.push(id);
        }
        index
    }

    fn id(&self, owner: usize) -> &'a str {
        self.ids.get(owner).copied().unwrap_or_default()
    }

    fn add(&mut self, view: &'a NodeView) {
        let of_view: Vec<Claim> = view
            .nodes
            .iter()
            .map(|node| Claim {
                owner: self.owner(&node.id),
                epoch: view.epochs.get(&node.id).copied().unwrap_or(0),
            })
            .collect();
        for &(first, last, node) in &view.ranges {
            let Some(&new) = of_view.get(node) else {
                continue;
            };
            for slot in usize::from(first)..=usize::from(last) {
                let Some(best) = self.by_slot.get_mut(slot) else {
                    continue;
                };
                let Some(claim) = best else {
                    *best = Some(new);
                    continue;
                };
                if claim.owner != new.owner {
                    self.disputed.insert(slot);
                }
                if new.epoch > claim.epoch {
                    *claim = new;
                }
            }
        }
    }

    /// Returns how many slots were kept.
    fn keep_what_views_are_too_old_for(
        &mut self,
        views: &[NodeView],
        previous: &'a Topology,
    ) -> usize {
        if previous.kind != UpstreamKind::Cluster {
            return 0;
        }
        let mut kept: Vec<Option<Claim>> = Vec::with_capacity(previous.shards.len());
        for shard in &previous.shards {
            let id = &shard.primary.id;
            let newest = views.iter().filter_map(|view| view.epochs.get(id)).max();
            let is_stale = newest.is_some_and(|&epoch| epoch < shard.epoch);
            kept.push(is_stale.then(|| Claim {
                owner: self.owner(id),
                epoch: shard.epoch,
            }));
        }
        let mut count = 0;
        for (claim, &shard) in self.by_slot.iter_mut().zip(previous.slots()) {
            let Some(Some(kept)) = kept.get(usize::from(shard)) else {
                continue;
            };
            if claim.is_none_or(|claim| claim.epoch < kept.epoch) {
                *claim = Some(*kept);
                count += 1;
            }
        }
        count
    }
}

/// All statements about nodes, of this and of earlier queries.
struct KnownNodes<'a> {
    views: &'a [NodeView],
    nodes_before: HashMap<&'a str, &'a Node>,
    shards_before: HashMap<&'a str, &'a Shard>,
}

impl KnownNodes<'_> {
    /// The shard of a primary. `None` if no view has an address for it.
    fn shard(&self, id: &str, epoch: u64, primaries: &HashSet<&str>) -> Option<Shard> {
        let newest = self
            .views
            .iter()
            .filter_map(|view| view.epochs.get(id))
            .max();
        let mut replicas: Vec<Node> = Vec::new();
        // Replicas by the views that know the primary best; a node that owns slots is not a replica.
        let best = self
            .views
            .iter()
            .filter(|view| view.epochs.get(id) == newest);
        for (view, primary) in best.filter_map(|view| Some((view, view.find(id)?))) {
            for replica in primary
                .replicas
                .iter()
                .filter_map(|&index| view.nodes.get(index))
            {
                let listed = replicas.iter().any(|other| other.id == replica.id);
                if !listed
                    && !primaries.contains(replica.id.as_str())
                    && !self.has_failed(&replica.id)
                {
                    replicas.extend(self.node(&replica.id));
                }
            }
        }
        replicas.sort_by(|a, b| a.id.cmp(&b.id));
        match self.node(id) {
            Some(primary) => Some(Shard {
                primary,
                replicas,
                epoch,
            }),
            // Only memory has an address for it.
            None => {
                let mut shard = (*self.shards_before.get(id)?).clone();
                let is_primary = |node: &Node| primaries.contains(node.id.as_str());
                shard.replicas.retain(|replica| !is_primary(replica));
                Some(Shard { epoch, ..shard })
            }
        }
    }

    fn has_failed(&self, id: &str) -> bool {
        self.views
            .iter()
            .any(|view| view.find(id).is_some_and(|seen| seen.failed))
    }

    fn node(&self, id: &str) -> Option<Node> {
        let before = self.nodes_before.get(id);
        let seen: Vec<&SeenNode> = self.views.iter().filter_map(|view| view.find(id)).collect();
        let is_stated = |addr| seen.iter().any(|seen| seen.addr.as_ref() == Some(addr));
        let kept = before.map(|node| &node.addr).filter(|addr| is_stated(addr));
        let announced = seen
            .iter()
            .filter(|seen| seen.announced)
            .find_map(|seen| seen.addr.as_ref());
        let addr = kept
            .or(announced)
            .or(seen.iter().find_map(|seen| seen.addr.as_ref()))?;
        let own = self
            .views
            .iter()
            .find(|view| view.myself.as_deref() == Some(id));
        Some(Node {
            id: id.to_owned(),
            addr: addr.clone(),
            // A node that was never met does not know its own IP.
            announced_ip: seen
                .iter()
                .map(|seen| seen.ip.as_str())
                .chain(before.map(|node| node.announced_ip.as_str()))
                .find(|ip| !ip.is_empty())
                .unwrap_or_default()
                .to_owned(),
            hostname: seen.iter().find_map(|seen| seen.hostname.clone()),
            server: match own {
                Some(view) => Some(Arc::new(view.server.identity.clone())),
                None => before.and_then(|node| node.server.clone()),
            },
        })
    }
}

#[cfg(test)]
mod tests;
