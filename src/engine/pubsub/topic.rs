//! One channel or pattern with its clients: the node whose messages count, and slotmux' subscriptions at the nodes.

use std::collections::HashMap;
use std::rc::Rc;

use crate::engine::upstream::NodeId;
use crate::engine::worker::Worker;
use slotmux_core::cluster::redirect::{ErrorVerdict, judge, target};
use slotmux_core::slot::{Slot, slot_of};

use super::feed::{self, Feed};
use super::listeners::Listeners;
use super::subscribing::PendingSubscribe;
use super::{SubscriptionChange, SubscriptionKind, is_notification, may_match_notifications};

/// State of a subscription at a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SubscriptionState {
    /// Requested by the request of this number.
    Requested(u64),
    /// Confirmed: the node sends messages on the connection of this number.
    Confirmed(u64),
    /// The node has refused; it is asked again soon.
    Refused,
}

/// A subscription at a node.
pub struct NodeSubscription {
    /// The connection to the node.
    pub feed: Rc<Feed>,
    /// Its state.
    pub state: SubscriptionState,
}

impl NodeSubscription {
    /// Whether the node sends messages on the current connection.
    pub fn is_confirmed(&self) -> bool {
        self.feed.is_up() && self.state == SubscriptionState::Confirmed(self.feed.connection())
    }

    /// Whether the node has to be asked: it was not asked on this connection, or has refused.
    fn needs_request(&self) -> bool {
        match self.state {
            SubscriptionState::Requested(number) => !self.feed.was_sent(number),
            SubscriptionState::Confirmed(_) => !self.is_confirmed(),
            SubscriptionState::Refused => true,
        }
    }
}

/// A channel or pattern that clients listen to or subscribe to.
#[derive(Default)]
pub struct Topic {
    /// The clients that get its messages.
    pub clients: Listeners,
    /// How many subscribe requests in progress name it.
    pub pending: usize,
    /// Requests that wait for its confirmation, and settled ones: at most twice as many as `pending` in all.
    pub waiting: Vec<Rc<PendingSubscribe>>,
    /// The node whose messages count.
    pub home: Option<NodeId>,
    /// The subscriptions at nodes.
    pub subscriptions: Vec<NodeSubscription>,
    /// Redirects that were followed since a node has confirmed.
    pub redirects: u8,
}

impl Topic {
    /// Whether no client needs it any more.
    pub fn is_unused(&self) -> bool {
        self.clients.is_empty() && self.pending == 0
    }

    /// Whether every needed node has confirmed.
    pub fn is_confirmed(&self) -> bool {
        !self.subscriptions.is_empty()
            && self
                .subscriptions
                .iter()
                .all(NodeSubscription::is_confirmed)
    }

    /// Counts the topic as confirmed at its waiting requests, if it is, and returns them.
    pub fn confirmed(&mut self) -> Vec<Rc<PendingSubscribe>> {
        if self.waiting.is_empty() || !self.is_confirmed() {
            return Vec::new();
        }
        let waiting = std::mem::take(&mut self.waiting);
        waiting.iter().for_each(|pending| pending.confirm_one());
        waiting
    }
}

/// Drops settled requests from `waiting` once they may be as many as those that `pending` counts. A walk through all of them
/// for each request that ends would take quadratic time where many wait for one channel.
pub fn drop_settled<W>(waiting: &mut Vec<W>, pending: usize, is_settled: impl Fn(&W) -> bool) {
    if waiting.len() > 2 * pending {
        waiting.retain(|pending| !is_settled(pending));
    }
}

/// Chooses the home of a topic and the nodes that it needs, ends the subscriptions at other nodes, and requests those that
/// are missing or were refused.
pub fn settle_subscriptions(
    worker: &Rc<Worker>,
    feeds: &mut HashMap<NodeId, Rc<Feed>>,
    kind: SubscriptionKind,
    name: &Rc<[u8]>,
    topic: &mut Topic,
) {
    topic.home = home(worker, kind, name, topic.home);
    let mut nodes: Vec<NodeId> = topic.home.into_iter().collect();
    let takes_notifications = match kind {
        SubscriptionKind::Channel => is_notification(name),
        SubscriptionKind::Pattern => may_match_notifications(name),
        SubscriptionKind::Shard => false,
    };
    if takes_notifications {
        let primaries = worker.map.primaries().into_iter();
        nodes.extend(primaries.filter(|&node| topic.home != Some(node)));
    }
    if nodes.is_empty() {
        // A refresh may find a node before the deadline.
        worker.refresh.request();
    }
    topic.subscriptions.retain(|subscription| {
        let is_needed = nodes.contains(&subscription.feed.node);
        if !is_needed {
            release_feed(subscription);
            unsubscribe(worker, subscription, kind, name);
        }
        is_needed && !subscription.feed.is_closed()
    });
    for node in nodes {
        let subscription = topic
            .subscriptions
            .iter()
            .position(|subscription| subscription.feed.node == node);
        let subscription = subscription.unwrap_or_else(|| {
            let feed = feeds.entry(node).or_insert_with(|| open(worker, node));
            feed.topics.set(feed.topics.get() + 1);
            // Most topics have one.
            topic.subscriptions.reserve_exact(1);
            topic.subscriptions.push(NodeSubscription {
                feed: feed.clone(),
                state: SubscriptionState::Refused,
            });
            topic.subscriptions.len() - 1
        });
        let subscription = &mut topic.subscriptions[subscription];
        if subscription.needs_request() && subscription.feed.is_up() {
            subscription.state = SubscriptionState::Requested(subscription.feed.request(
                worker,
                subscribe(kind),
                name,
            ));
        }
    }
}

/// The home of a topic. For a shard channel it is the owner of its slot. Otherwise the home stays as long as the node is in
/// the cluster, since a move could lose or duplicate a message.
fn home(
    worker: &Worker,
    kind: SubscriptionKind,
    name: &[u8],
    now: Option<NodeId>,
) -> Option<NodeId> {
    let stays = kind != SubscriptionKind::Shard
        && now.is_some_and(|node| {
            let addr = worker.address_of(node);
            worker.map.topology.borrow().node_at(&addr).is_some()
        });
    if stays {
        return now;
    }
    worker.map.slots.owner(slot_of(name)).or(now)
}

fn open(worker: &Rc<Worker>, node: NodeId) -> Rc<Feed> {
    let feed = Feed::new(node, worker.address_of(node), worker.clock.now());
    let feed = Rc::new(feed);
    let (task, failed) = (feed::run(worker.clone(), feed.clone()), feed.clone());
    worker.spawn(
        "the task of a subscription connection",
        task,
        move |worker| {
            feed::end(worker, &failed);
        },
    );
    feed
}

/// A subscription is removed from its topic.
pub fn release_feed(subscription: &NodeSubscription) {
    let subscriptions = &subscription.feed.topics;
    subscriptions.set(subscriptions.get().saturating_sub(1));
}

/// Ends a subscription at its node.
pub fn unsubscribe(
    worker: &Worker,
    subscription: &NodeSubscription,
    kind: SubscriptionKind,
    name: &Rc<[u8]>,
) {
    if !subscription.needs_request() {
        let change = SubscriptionChange {
            kind,
            subscribes: false,
        };
        subscription.feed.request(worker, change, name);
    }
}

/// The change that begins a subscription.
fn subscribe(kind: SubscriptionKind) -> SubscriptionChange {
    SubscriptionChange {
        kind,
        subscribes: true,
    }
}

/// Follows a redirect of a shard channel. Returns whether the error was one.
pub fn follow(worker: &Worker, feed: &Feed, error: &[u8]) -> bool {
    let ErrorVerdict::Moved { slot, host, port } = judge(error) else {
        return false;
    };
    worker.stats.moved.inc();
    worker.refresh.request();
    let addr = target(host, port, &feed.addr).map(|addr| worker.map.reachable(addr));
    if let Some(addr) = addr {
        worker.set_owner(Slot(slot), worker.node_at(addr));
        return true;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_crowd_that_waits_for_one_channel_ends_in_linear_time() {
        const CROWD: usize = 10_000;
        let looks = Cell::new(0);
        let mut waiting: Vec<usize> = (0..CROWD).collect();
        for ended in 1..=CROWD {
            let pending = CROWD - ended;
            drop_settled(&mut waiting, pending, |&pending| {
                looks.set(looks.get() + 1);
                pending < ended
            });
            assert!(waiting.len() <= 2 * pending, "{ended}");
        }
        assert!(waiting.is_empty());
        assert!(looks.get() <= 4 * CROWD, "{} looks", looks.get());
    }
}
