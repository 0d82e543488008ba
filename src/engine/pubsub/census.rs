//! Counts the clients of this process by channel and pattern, and slotmux' own subscriptions by node. They correct the
//! nodes' numbers to those of one Redis.
//!
//! A node counts one subscriber for each worker. The number for a client is the node's without these, and the clients of
//! all workers instead. Only subscribing, publishing and asking for numbers take the lock.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use slotmux_core::cluster::addr::Addr;
use slotmux_core::glob;

use super::SubscriptionKind;
use super::names::Names;

/// The counts of one channel or pattern.
#[derive(Debug, Default)]
struct ListenerCounts {
    clients: u32,
    /// Subscriptions of slotmux' own workers by node; there are few nodes.
    upstream: Vec<(Addr, u32)>,
}

impl ListenerCounts {
    fn workers_at(&self, node: &Addr) -> u32 {
        let mut nodes = self.upstream.iter();
        nodes
            .find_map(|(addr, workers)| (addr == node).then_some(*workers))
            .unwrap_or(0)
    }
}

/// The counts of one kind of channel or pattern.
#[derive(Debug, Default)]
struct CensusTable {
    names: Names<ListenerCounts, Box<[u8]>>,
    /// Names that clients listen to.
    listened: usize,
    /// Subscribed names at nodes, counted once per node.
    subscribed: usize,
}

/// The numbers of the whole process.
#[derive(Debug, Default)]
pub struct Census {
    tables: Mutex<[CensusTable; 3]>,
    /// Names in all tables, for a look without the lock.
    names: AtomicUsize,
}

/// The correction of a node's number of receivers to that of one Redis.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Receivers {
    /// How many of them are our workers.
    pub workers: u32,
    /// How many clients listen instead.
    pub clients: u32,
}

impl Receivers {
    /// The number for the client where the node replied `number`.
    pub fn correct(self, number: i64) -> i64 {
        number.saturating_sub(self.workers.into()).max(0) + i64::from(self.clients)
    }

    fn add(&mut self, counts: &ListenerCounts, node: &Addr) {
        self.workers += counts.workers_at(node);
        self.clients += counts.clients;
    }
}

impl Census {
    fn tables(&self) -> MutexGuard<'_, [CensusTable; 3]> {
        // A panic leaves numbers behind that are wrong at worst.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(
        &self,
        kind: SubscriptionKind,
        name: &[u8],
        change: impl FnOnce(&mut ListenerCounts),
    ) {
        let mut tables = self.tables();
        let table = &mut tables[kind.index()];
        if table.names.get(name).is_none() {
            table.names.insert(name.into(), ListenerCounts::default());
        }
        if let Some(counts) = table.names.get_mut(name) {
            table.listened -= usize::from(counts.clients > 0);
            table.subscribed -= counts.upstream.len();
            change(counts);
            table.listened += usize::from(counts.clients > 0);
            table.subscribed += counts.upstream.len();
            if counts.clients == 0 && counts.upstream.is_empty() {
                table.names.remove(name);
            }
        }
        let names = tables.iter().map(|table| table.names.len()).sum();
        self.names.store(names, Ordering::Relaxed);
    }

    /// A client listens.
    pub fn add_client(&self, kind: SubscriptionKind, name: &[u8]) {
        self.change(kind, name, |counts| counts.clients += 1);
    }

    /// A client no longer listens.
    pub fn remove_client(&self, kind: SubscriptionKind, name: &[u8]) {
        self.change(kind, name, |counts| {
            counts.clients = counts.clients.saturating_sub(1);
        });
    }

    /// A worker's subscription at `node` was confirmed.
    pub fn add_worker(&self, kind: SubscriptionKind, name: &[u8], node: &Addr) {
        self.change(kind, name, |counts| {
            let mut nodes = counts.upstream.iter_mut();
            match nodes.find(|(addr, _)| addr == node) {
                Some((_, workers)) => *workers += 1,
                None => {
                    counts.upstream.reserve_exact(1);
                    counts.upstream.push((node.clone(), 1));
                }
            }
        });
    }

    /// A worker's subscription at `node` has ended.
    pub fn remove_worker(&self, kind: SubscriptionKind, name: &[u8], node: &Addr) {
        self.change(kind, name, |counts| {
            counts.upstream.retain_mut(|(addr, workers)| {
                if addr == node {
                    *workers = workers.saturating_sub(1);
                }
                *workers > 0
            });
        });
    }

    /// The receivers of a message that is published on `channel` at `node`.
    pub fn receivers(&self, kind: SubscriptionKind, channel: &[u8], node: &Addr) -> Receivers {
        let mut receivers = Receivers::default();
        if self.names.load(Ordering::Relaxed) == 0 {
            return receivers;
        }
        let tables = self.tables();
        if let Some(counts) = tables[kind.index()].names.get(channel) {
            receivers.add(counts, node);
        }
        if kind == SubscriptionKind::Channel {
            for (pattern, counts) in tables[SubscriptionKind::Pattern.index()].names.iter() {
                if glob::matches_exactly(pattern, channel) {
                    receivers.add(counts, node);
                }
            }
        }
        receivers
    }

    /// The correction of the sum of all nodes' subscribers of `name` to that of one Redis.
    pub fn subscribers(&self, kind: SubscriptionKind, name: &[u8]) -> Receivers {
        let tables = self.tables();
        tables[kind.index()]
            .names
            .get(name)
            .map_or_else(Receivers::default, |counts| Receivers {
                workers: counts.upstream.iter().map(|(_, workers)| workers).sum(),
                clients: counts.clients,
            })
    }

    /// Whether only slotmux' workers still listen, for clients that have left.
    pub fn has_only_workers(&self, kind: SubscriptionKind, name: &[u8]) -> bool {
        let tables = self.tables();
        tables[kind.index()]
            .names
            .get(name)
            .is_some_and(|counts| counts.clients == 0)
    }

    /// The correction of the sum of all nodes' patterns to that of one Redis.
    pub fn patterns(&self) -> Receivers {
        let patterns = &self.tables()[SubscriptionKind::Pattern.index()];
        // A node counts a pattern once, regardless of its subscribers.
        Receivers {
            workers: patterns.subscribed as u32,
            clients: patterns.listened as u32,
        }
    }

    /// How many names of this kind clients listen to.
    pub fn names(&self, kind: SubscriptionKind) -> usize {
        self.tables()[kind.index()].listened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_replaced_by_their_clients() {
        let census = Census::default();
        let (a, b) = (Addr::new("h", 1), Addr::new("h", 2));
        for _ in 0..3 {
            census.add_client(SubscriptionKind::Channel, b"news");
        }
        census.add_worker(SubscriptionKind::Channel, b"news", &a);
        census.add_worker(SubscriptionKind::Channel, b"news", &a);
        census.add_client(SubscriptionKind::Pattern, b"n*");
        census.add_worker(SubscriptionKind::Pattern, b"n*", &b);
        let at_a = census.receivers(SubscriptionKind::Channel, b"news", &a);
        assert_eq!((at_a.workers, at_a.clients), (2, 4));
        // Two workers and one that listens at the node itself.
        assert_eq!(at_a.correct(3), 5);
        // A worker has left the node, and we have not heard of it yet.
        assert_eq!(at_a.correct(1), 4);
        assert_eq!(
            census
                .receivers(SubscriptionKind::Channel, b"news", &b)
                .workers,
            1
        );
        assert_eq!(
            census.receivers(SubscriptionKind::Shard, b"news", &a),
            Receivers::default()
        );
        assert_eq!(
            census
                .subscribers(SubscriptionKind::Channel, b"news")
                .correct(2),
            3
        );
        assert_eq!(census.patterns().correct(1), 1);
        assert_eq!(census.names(SubscriptionKind::Channel), 1);
    }

    #[test]
    fn nothing_is_left_of_those_who_left() {
        let census = Census::default();
        let node = Addr::new("h", 1);
        census.add_client(SubscriptionKind::Shard, b"s");
        census.add_worker(SubscriptionKind::Shard, b"s", &node);
        census.remove_client(SubscriptionKind::Shard, b"s");
        assert!(census.has_only_workers(SubscriptionKind::Shard, b"s"));
        assert_eq!(census.names(SubscriptionKind::Shard), 0);
        census.remove_worker(SubscriptionKind::Shard, b"s", &node);
        assert!(!census.has_only_workers(SubscriptionKind::Shard, b"s"));
        assert_eq!(census.names.load(Ordering::Relaxed), 0);
    }
}
