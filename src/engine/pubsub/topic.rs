//! One channel or pattern that somebody wants: the node whose messages count, and the nodes that were asked for it.

use std::collections::HashMap;
use std::rc::Rc;

use crate::engine::upstream::NodeId;
use crate::engine::worker::Worker;
use slotmux_core::cluster::redirect::{ErrorVerdict, judge, target};
use slotmux_core::slot::{Slot, slot_of};

use super::feed::{self, Feed};
use super::listeners::Listeners;
use super::subscribing::Wish;
use super::{SubscriptionChange, SubscriptionKind, is_notification, may_match_notifications};

/// How far a subscription at a node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Requested by the request of this number.
    Asked(u64),
    /// Confirmed: the node sends messages on the connection of this number.
    Confirmed(u64),
    /// The node does not want to; it is asked again soon.
    Refused,
}

/// A subscription at a node.
pub struct Link {
    /// The connection to the node.
    pub feed: Rc<Feed>,
    /// How far it is.
    pub state: State,
}

impl Link {
    /// Whether the node sends messages on the current connection.
    pub fn is_confirmed(&self) -> bool {
        self.feed.is_up() && self.state == State::Confirmed(self.feed.connection())
    }

    /// Whether the node has to be asked: it was not asked on this connection, or has refused.
    fn is_to_be_asked(&self) -> bool {
        match self.state {
            State::Asked(number) => !self.feed.is_asked(number),
            State::Confirmed(_) => !self.is_confirmed(),
            State::Refused => true,
        }
    }
}

/// A channel or pattern that somebody wants.
#[derive(Default)]
pub struct Topic {
    /// The clients that get its messages.
    pub clients: Listeners,
    /// How many wishes of clients name it.
    pub wishes: usize,
    /// Wishes that wait for its confirmation, and settled ones: at most twice as many as `wishes` in all.
    pub waiting: Vec<Rc<Wish>>,
    /// The node whose messages count.
    pub home: Option<NodeId>,
    /// The nodes that were asked.
    pub links: Vec<Link>,
    /// Redirects that were followed since a node has confirmed.
    pub redirects: u8,
}

impl Topic {
    /// Whether nobody wants it any more.
    pub fn is_unused(&self) -> bool {
        self.clients.is_empty() && self.wishes == 0
    }

    /// Whether every node that has to has confirmed.
    pub fn is_confirmed(&self) -> bool {
        !self.links.is_empty() && self.links.iter().all(Link::is_confirmed)
    }

    /// Counts the topic as confirmed at its waiting wishes, if it is, and returns them.
    pub fn confirmed(&mut self) -> Vec<Rc<Wish>> {
        if self.waiting.is_empty() || !self.is_confirmed() {
            return Vec::new();
        }
        let waiting = std::mem::take(&mut self.waiting);
        waiting.iter().for_each(|wish| wish.one_came());
        waiting
    }
}

/// Drops the settled of the `waiting` wishes once they may be as many as those that `wishes` counts. A walk through all of
/// them for each wish that ends would take a crowd that waits for one channel quadratic time.
pub fn drop_settled<W>(waiting: &mut Vec<W>, wishes: usize, is_settled: impl Fn(&W) -> bool) {
    if waiting.len() > 2 * wishes {
        waiting.retain(|wish| !is_settled(wish));
    }
}

/// Chooses the home of a topic and the nodes that it needs, lets go of others, and asks those that were not asked or have
/// refused.
pub fn settle_links(
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
    topic.links.retain(|link| {
        let is_needed = nodes.contains(&link.feed.node);
        if !is_needed {
            unlink(link);
            unsubscribe(worker, link, kind, name);
        }
        is_needed && !link.feed.is_retired()
    });
    for node in nodes {
        let link = topic.links.iter().position(|link| link.feed.node == node);
        let link = link.unwrap_or_else(|| {
            let feed = feeds.entry(node).or_insert_with(|| open(worker, node));
            feed.links.set(feed.links.get() + 1);
            // Most topics have one.
            topic.links.reserve_exact(1);
            topic.links.push(Link {
                feed: feed.clone(),
                state: State::Refused,
            });
            topic.links.len() - 1
        });
        let link = &mut topic.links[link];
        if link.is_to_be_asked() && link.feed.is_up() {
            link.state = State::Asked(link.feed.ask(worker, subscribe(kind), name));
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

/// A link is about to go.
pub fn unlink(link: &Link) {
    let links = &link.feed.links;
    links.set(links.get().saturating_sub(1));
}

/// Ends the subscription of a link that was taken away.
pub fn unsubscribe(worker: &Worker, link: &Link, kind: SubscriptionKind, name: &Rc<[u8]>) {
    if !link.is_to_be_asked() {
        let change = SubscriptionChange {
            kind,
            subscribes: false,
        };
        link.feed.ask(worker, change, name);
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
            let wishes = CROWD - ended;
            drop_settled(&mut waiting, wishes, |&wish| {
                looks.set(looks.get() + 1);
                wish < ended
            });
            assert!(waiting.len() <= 2 * wishes, "{ended}");
        }
        assert!(waiting.is_empty());
        assert!(looks.get() <= 4 * CROWD, "{} looks", looks.get());
    }
}
