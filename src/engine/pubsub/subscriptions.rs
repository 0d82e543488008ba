//! The subscriptions of one client, and their end: in slices where there are many.

use std::rc::Rc;

use crate::engine::client::Client;
use crate::engine::client::long_request::Portion;
use crate::engine::worker::Worker;

use super::SubscriptionKind;
use crate::engine::pubsub::ordered_names::OrderedNames;

/// Bytes that one subscription counts for besides its name: entries in the tables of client, worker, connection and
/// process.
pub const ENTRY: usize = 512;

/// The subscriptions of a client.
#[derive(Debug, Default)]
pub struct Subscriptions {
    names: [OrderedNames; 3],
    bytes: usize,
}

impl Subscriptions {
    /// Bytes that they count for.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of subscriptions of each kind.
    pub fn counts(&self) -> [usize; 3] {
        SubscriptionKind::ALL.map(|kind| self.names[kind.index()].len())
    }

    /// Whether there are no subscriptions.
    pub fn is_empty(&self) -> bool {
        self.names.iter().all(OrderedNames::is_empty)
    }

    /// The number in a confirmation: shard channels are counted separately.
    pub fn count(&self, kind: SubscriptionKind) -> usize {
        let [channels, patterns, shards] = self.counts();
        match kind {
            SubscriptionKind::Channel | SubscriptionKind::Pattern => channels + patterns,
            SubscriptionKind::Shard => shards,
        }
    }

    /// Adds a name. False if it is there already.
    pub fn add(&mut self, kind: SubscriptionKind, name: &Rc<[u8]>) -> bool {
        let is_new = self.names[kind.index()].insert(name.clone());
        if is_new {
            self.bytes += name.len() + ENTRY;
        }
        is_new
    }

    /// Removes a name. False if it was not there.
    pub fn remove(&mut self, kind: SubscriptionKind, name: &[u8]) -> bool {
        let was_there = self.names[kind.index()].remove(name);
        if was_there {
            self.bytes -= name.len() + ENTRY;
        }
        was_there
    }

    /// As many names of a kind as the portion has room for, the oldest first.
    pub fn some(&self, kind: SubscriptionKind, portion: &mut Portion) -> Vec<Rc<[u8]>> {
        self.names[kind.index()].some(portion)
    }
}

impl Client {
    /// Whether it listens to anything.
    pub fn is_subscriber(&self) -> bool {
        self.subscription_counts() != [0; 3]
    }

    /// Ends one subscription, if it exists.
    pub fn unsubscribe(&self, worker: &Worker, kind: SubscriptionKind, name: &[u8]) {
        if self.with_subscriptions(|subscriptions| subscriptions.remove(kind, name)) {
            worker.hub.remove_client(worker, kind, name, self.id);
            worker.shared.census.remove_client(kind, name);
            worker.stats.subscriptions.dec();
            if !self.is_subscriber() {
                worker.stats.pubsub_clients.dec();
            }
        }
    }

    /// Ends some of its subscriptions. True if there are more.
    pub fn unsubscribe_some(&self, worker: &Worker) -> bool {
        if !self.is_subscriber() {
            return false;
        }
        let before = self.subscribed();
        let mut portion = Portion::default();
        for kind in SubscriptionKind::ALL {
            let names =
                self.with_subscriptions(|subscriptions| subscriptions.some(kind, &mut portion));
            for name in names {
                self.unsubscribe(worker, kind, &name);
            }
        }
        let after = self.subscribed();
        if self.is_closed() {
            worker.memory.change_leaving(before, after);
        } else {
            self.charge_buffers(worker);
        }
        self.drop_idle_pushes();
        self.is_subscriber()
    }

    /// Ends all of its subscriptions at once, for callers without another turn.
    pub fn unsubscribe_all(&self, worker: &Worker) {
        while self.unsubscribe_some(worker) {}
    }
}
