//! One channel or pattern that somebody wants: the node whose messages count, and the nodes that were asked for it.

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

/// How far a subscription at a node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SubscriptionState {
    /// Requested by the request of this number.
    Requested(u64),
    /// Confirmed: the node sends messages on the connection of this number.
    Confirmed(u64),
    /// The node does not want to; it is asked again soon.
    Refused,
}

/// A subscription at a node.
pub struct NodeSubscription {
    /// The connection to the node.
    pub feed: Rc<Feed>,
    /// How far it is.
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

/// A channel or pattern that somebody wants.
#[derive(Default)]
pub struct Topic {
    /// The clients that get its messages.
    pub clients: Listeners,
    /// How many pending of clients name it.
    pub pending: usize,
    /// Wishes that wait for its confirmation, and settled ones: at most twice as many as `pending` in all.
    pub waiting: Vec<Rc<PendingSubscribe>>,
    /// The node whose messages count.
    pub home: Option<NodeId>,
    /// The nodes that were asked.
    pub subscriptions: Vec<NodeSubscription>,
    /// Redirects that were followed since a node has confirmed.
    pub redirects: u8,
}

impl Topic {
    /// Whether nobody wants it any more.
    pub fn is_unused(&self) -> bool {
        self.clients.is_empty() && self.pending == 0
    }

    /// Whether every node that has to has confirmed.
    pub fn is_confirmed(&self) -> bool {
        !self.subscriptions.is_empty()
            && self
                .subscriptions
                .iter()
                .all(NodeSubscription::is_confirmed)
    }

    /// Counts the topic as confirmed at its waiting pending, if it is, and returns them.
    pub fn confirmed(&mut self) -> Vec<Rc<PendingSubscribe>> {
        if self.waiting.is_empty() || !self.is_confirmed() {
            return Vec::new();
        }
        let waiting = std::mem::take(&mut self.waiting);
        waiting.iter().for_each(|pending| pending.confirm_one());
        waiting
    }
}

/// Drops the settled of the `waiting` pending once they may be as many as those that `pending` counts. A walk through all of
/// them for each pending that ends would take a crowd that waits for one channel quadratic time.
pub fn drop_settled<W>(waiting: &mut Vec<W>, pending: usize, is_settled: impl Fn(&W) -> bool) {
    if waiting.len() > 2 * pending {
        waiting.retain(|pending| !is_settled(pending));
    }
}

/// Chooses the home of a topic and the nodes that it needs, lets go of others, and asks those that were not asked or have
/// refused.
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
        // The refresh may know better before the deadline.
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

/// The node whose messages count. A shard channel's is the owner of its slot. Any other stays where it is as long as that
/// node is in the cluster, for every move could lose a message or bring it twice.
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

/// A subscription is about to go.
pub fn release_feed(subscription: &NodeSubscription) {
    let subscriptions = &subscription.feed.topics;
    subscriptions.set(subscriptions.get().saturating_sub(1));
}

/// Ends the subscription of a subscription that was taken away.
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

/// The change by which a node is asked for messages.
fn subscribe(kind: SubscriptionKind) -> SubscriptionChange {
    SubscriptionChange {
        kind,
        subscribes: true,
    }
}

/// Notes where the slot of a shard channel is, if the error says so.
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
