//! A worker's subscriptions: the names that its clients listen to, the nodes that send messages, and their delivery.
//!
//! Each channel and pattern has a home, the one node whose messages count: a message that is published on a cluster
//! reaches every node, so that with two homes it would come twice. Notifications of keys are the exception. They stay
//! with the node that has the key, and count from every primary.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use crate::engine::client::Client;
use crate::engine::upstream::NodeId;
use crate::engine::worker::Worker;
use crate::engine::worker::clock::Tick;
use slotmux_core::cluster::redirect::{ErrorVerdict, judge};
use slotmux_core::resp::Protocol;

use super::feed::{Feed, SubscribeResult};
use super::names::{Names, SHARDS};
use super::subscribing::PendingSubscribe;
use super::topic::{
    SubscriptionState, Topic, drop_settled, follow, release_feed, settle_subscriptions, unsubscribe,
};
use super::{SubscriptionKind, is_notification};

/// Redirects of one shard channel that are followed at once; nodes that disagree need a moment to agree.
const PROMPT_REDIRECTS: u8 = 3;

/// Topics that are asked for again in one sweep: a node that refuses everything is not stormed.
const AGAIN_PER_SWEEP: usize = 1000;

/// Pause of a walk through all topics while the nodes have no room for more requests.
const REST: Duration = Duration::from_millis(5);

#[derive(Default)]
struct Inner {
    topics: [Names<Topic>; 3],
    feeds: HashMap<NodeId, Rc<Feed>>,
    /// Topics that a node has refused.
    again: Vec<(SubscriptionKind, Rc<[u8]>)>,
    /// Subscribe requests in progress; some may be settled already.
    pending: Vec<Rc<PendingSubscribe>>,
}

/// The subscriptions of one worker.
#[derive(Default)]
pub struct Hub {
    inner: RefCell<Inner>,
    /// The next shard of topics to check after a change of the nodes or their connections; `None` if all are checked.
    walk: Cell<Option<usize>>,
    /// Whether a task runs the walk.
    is_walking: Cell<bool>,
}

impl Hub {
    /// Registers a subscribe request, which fails at its deadline.
    pub fn register(&self, pending: &Rc<PendingSubscribe>) {
        self.inner.borrow_mut().pending.push(pending.clone());
    }

    /// Subscribes to a name, unless the nodes have confirmed it. The topic stays until each call is matched by a
    /// [`Hub::release`].
    pub fn subscribe(
        &self,
        worker: &Rc<Worker>,
        pending: &Rc<PendingSubscribe>,
        kind: SubscriptionKind,
        name: &[u8],
    ) {
        let inner = &mut *self.inner.borrow_mut();
        let (name, topic) = inner.topics[kind.index()].obtain(name);
        topic.pending += 1;
        settle_subscriptions(worker, &mut inner.feeds, kind, &name, topic);
        if !topic.is_confirmed() {
            pending.add_missing();
            topic.waiting.push(pending.clone());
        }
    }

    /// Releases a name of a subscribe request: it has failed, or its client listens now.
    pub fn release(&self, worker: &Worker, kind: SubscriptionKind, name: &[u8]) {
        let mut inner = self.inner.borrow_mut();
        let Some(topic) = inner.topics[kind.index()].get_mut(name) else {
            return;
        };
        topic.pending = topic.pending.saturating_sub(1);
        drop_settled(&mut topic.waiting, topic.pending, |pending| {
            pending.is_settled()
        });
        inner.drop_unused(worker, kind, name);
    }

    /// The name as its topic stores it.
    pub fn name(&self, kind: SubscriptionKind, name: &[u8]) -> Option<Rc<[u8]>> {
        let mut inner = self.inner.borrow_mut();
        let found = inner.topics[kind.index()].entry_mut(name);
        found.map(|(name, _)| name)
    }

    /// Returns whether the nodes can take more requests now. If not, `client` is resumed when they can.
    pub fn claim_room(&self, client: &Rc<Client>) -> bool {
        let inner = self.inner.borrow();
        let full = inner.feeds.values().find(|feed| !feed.has_room());
        if let Some(feed) = full {
            feed.wait(client);
        }
        full.is_none()
    }

    /// A client listens from now on.
    pub fn add_client(&self, kind: SubscriptionKind, name: &[u8], client: &Rc<Client>) {
        let mut inner = self.inner.borrow_mut();
        if let Some(topic) = inner.topics[kind.index()].get_mut(name) {
            topic.clients.add(client);
        }
    }

    /// A client does not listen any more.
    pub fn remove_client(&self, worker: &Worker, kind: SubscriptionKind, name: &[u8], client: u64) {
        let mut inner = self.inner.borrow_mut();
        if let Some(topic) = inner.topics[kind.index()].get_mut(name) {
            topic.clients.remove(client);
        }
        inner.drop_unused(worker, kind, name);
    }

    /// Fans a message out, if it counts.
    pub fn deliver(
        &self,
        worker: &Worker,
        feed: &Feed,
        kind: SubscriptionKind,
        name: &[u8],
        channel: &[u8],
        frame: &[u8],
    ) {
        let inner = self.inner.borrow();
        let Some(topic) = inner.topics[kind.index()].get(name) else {
            return;
        };
        let counts = if kind != SubscriptionKind::Shard && is_notification(channel) {
            worker.map.is_primary(feed.node)
        } else {
            topic.home == Some(feed.node)
        };
        if !counts {
            return;
        }
        worker.stats.pubsub_messages.add(topic.clients.len() as u64);
        if worker.reserve_pushes(frame, topic.clients.len()) {
            for client in topic.clients.iter() {
                client.push(worker, frame);
            }
            return;
        }
        // A client that is closed because of the message leaves the topic.
        let clients: Vec<Rc<Client>> = topic.clients.iter().cloned().collect();
        drop(inner);
        for client in clients {
            client.push_sparingly(worker, frame);
        }
    }

    /// Removes a feed whose task has ended. Topics that still need it get a new one.
    pub fn forget(&self, feed: &Rc<Feed>) {
        let mut inner = self.inner.borrow_mut();
        if inner
            .feeds
            .get(&feed.node)
            .is_some_and(|other| Rc::ptr_eq(other, feed))
        {
            inner.feeds.remove(&feed.node);
        }
        if feed.topics.get() > 0 {
            // With the next sweep, so that a feed that fails at once is not reopened without a pause.
            self.walk.set(Some(0));
        }
    }

    /// A node has answered request `number`, which asked for a subscription.
    pub fn answered(
        &self,
        worker: &Rc<Worker>,
        feed: &Feed,
        number: u64,
        kind: SubscriptionKind,
        name: &Rc<[u8]>,
        answer: SubscribeResult,
    ) {
        let mut waiting = Vec::new();
        {
            let inner = &mut *self.inner.borrow_mut();
            let Some(topic) = inner.topics[kind.index()].get_mut(name) else {
                return;
            };
            let Some(subscription) = topic.subscriptions.iter_mut().find(|subscription| {
                std::ptr::eq(&*subscription.feed, feed)
                    && subscription.state == SubscriptionState::Requested(number)
            }) else {
                return;
            };
            match answer {
                SubscribeResult::Confirmed => {
                    subscription.state = SubscriptionState::Confirmed(feed.connection());
                    topic.redirects = 0;
                    waiting = topic.confirmed();
                }
                SubscribeResult::Refused(error) => {
                    subscription.state = SubscriptionState::Refused;
                    tracing::debug!(
                        node = %feed.addr,
                        error = %error.escape_ascii(),
                        "subscription refused"
                    );
                    if follow(worker, feed, error) && topic.redirects < PROMPT_REDIRECTS {
                        topic.redirects += 1;
                        settle_subscriptions(worker, &mut inner.feeds, kind, name, topic);
                    } else {
                        inner.again.push((kind, name.clone()));
                    }
                    if judge(error) == ErrorVerdict::Deliver {
                        waiting.append(&mut topic.waiting);
                        waiting.iter().for_each(|pending| pending.fail(error));
                    }
                }
            }
        }
        continue_settled(worker, &waiting);
    }

    /// A node has ended a subscription by itself: the slot of a shard channel has left it.
    pub fn ended(&self, worker: &Rc<Worker>, feed: &Feed, kind: SubscriptionKind, name: &Rc<[u8]>) {
        let inner = &mut *self.inner.borrow_mut();
        let Some(topic) = inner.topics[kind.index()].get_mut(name) else {
            return;
        };
        let before = topic.subscriptions.len();
        // A requested one is answered separately.
        topic.subscriptions.retain(|subscription| {
            let is_over = std::ptr::eq(&*subscription.feed, feed) && subscription.is_confirmed();
            if is_over {
                release_feed(subscription);
            }
            !is_over
        });
        if topic.subscriptions.len() < before {
            worker.refresh.request();
            topic.redirects = 0;
            settle_subscriptions(worker, &mut inner.feeds, kind, name, topic);
        }
    }

    /// Checks every topic after a change of the nodes or their connections, one shard in each turn, and subscribes
    /// where needed.
    pub fn check_all(&self, worker: &Rc<Worker>) {
        self.walk.set(Some(0));
        self.start_walk(worker);
    }

    fn start_walk(&self, worker: &Rc<Worker>) {
        // A small table is a single shard.
        self.walk_shard(worker);
        if self.walk.get().is_some() && !self.is_walking.replace(true) {
            let walker = worker.clone();
            let walk = async move {
                while walker.hub.walk.get().is_some() {
                    tokio::task::yield_now().await;
                    if !walker.hub.walk_shard(&walker) {
                        tokio::time::sleep(REST).await;
                    }
                }
                walker.hub.is_walking.set(false);
            };
            worker.spawn("a look at all subscriptions", walk, |worker| {
                worker.hub.is_walking.set(false);
            });
        }
    }

    /// Checks the topics of the next shard. False if the nodes can take no more requests now.
    fn walk_shard(&self, worker: &Rc<Worker>) -> bool {
        let Some(shard) = self.walk.get() else {
            return true;
        };
        let mut waiting = Vec::new();
        {
            let inner = &mut *self.inner.borrow_mut();
            if shard > 0 && !inner.feeds.values().all(|feed| feed.has_room()) {
                return false;
            }
            for kind in SubscriptionKind::ALL {
                for (name, topic) in inner.topics[kind.index()].shard_mut(shard) {
                    settle_subscriptions(worker, &mut inner.feeds, kind, name, topic);
                    // A topic may no longer need a node that was missing.
                    waiting.append(&mut topic.confirmed());
                }
            }
            let is_large = inner.topics.iter().any(Names::is_large);
            let next = Some(shard + 1).filter(|&next| is_large && next < SHARDS);
            self.walk.set(next);
        }
        continue_settled(worker, &waiting);
        true
    }

    /// Regular checks: overdue requests, refused subscriptions, feeds that are silent or idle.
    pub fn sweep(&self, worker: &Rc<Worker>, now: Tick) {
        let overdue = self.overdue(worker, now);
        for pending in &overdue {
            worker.stats.timeouts.inc();
            pending.expire();
        }
        continue_settled(worker, &overdue);
        let waiting = self.sweep_nodes(worker, now);
        continue_settled(worker, &waiting);
        if self.walk.get().is_some() && !self.is_walking.get() {
            self.start_walk(worker);
        }
    }

    /// Retries refused subscriptions, and drops unused feeds. Returns the requests of topics that are confirmed by that.
    fn sweep_nodes(&self, worker: &Rc<Worker>, now: Tick) -> Vec<Rc<PendingSubscribe>> {
        let mut waiting = Vec::new();
        let inner = &mut *self.inner.borrow_mut();
        let few = inner.again.len().min(AGAIN_PER_SWEEP);
        let rest = inner.again.split_off(few);
        for (kind, name) in std::mem::replace(&mut inner.again, rest) {
            if let Some(topic) = inner.topics[kind.index()].get_mut(&name) {
                topic.redirects = 0;
                settle_subscriptions(worker, &mut inner.feeds, kind, &name, topic);
                waiting.append(&mut topic.confirmed());
            }
        }
        inner.feeds.retain(|_, feed| {
            let is_of_use = feed.check(worker, now);
            if !is_of_use {
                feed.close();
            }
            is_of_use
        });
        waiting
    }

    /// The last error of a node that should confirm one of these names but accepts no connection, with its address.
    pub fn last_error_of_lost_node<'a>(
        &self,
        worker: &Worker,
        kind: SubscriptionKind,
        names: impl Iterator<Item = &'a [u8]>,
    ) -> Option<String> {
        let inner = self.inner.borrow();
        let topics = &inner.topics[kind.index()];
        let topics = names.filter_map(|name| topics.get(name));
        let mut feeds = topics.flat_map(|topic| {
            topic
                .subscriptions
                .iter()
                .map(|subscription| &subscription.feed)
        });
        feeds.find_map(|feed| {
            let said = worker.last_refusal(feed.node, Protocol::Resp3);
            let said = said.filter(|_| !feed.is_up())?;
            Some(format!("{} says {said}", feed.addr))
        })
    }

    /// Requests that are past their deadline.
    fn overdue(&self, worker: &Worker, now: Tick) -> Vec<Rc<PendingSubscribe>> {
        let pending = &mut self.inner.borrow_mut().pending;
        pending.retain(|pending| !pending.is_settled());
        let is_over =
            |pending: &&Rc<PendingSubscribe>| pending.arrived.is_over(worker.timeouts.command, now);
        pending.iter().filter(is_over).cloned().collect()
    }
}

/// Continues settled requests at once, so that a message that follows a confirmation finds its client listening.
fn continue_settled(worker: &Rc<Worker>, pending: &[Rc<PendingSubscribe>]) {
    for pending in pending.iter().filter(|pending| pending.is_settled()) {
        let client = pending.client();
        if client.awaits_confirmation() {
            client.continue_long_request(worker);
            // The client's task does the rest, or takes the next request.
            client.wake();
        }
    }
}

impl Inner {
    /// Ends the subscriptions of a topic that no client needs any more.
    fn drop_unused(&mut self, worker: &Worker, kind: SubscriptionKind, name: &[u8]) {
        let topics = &mut self.topics[kind.index()];
        let found = topics.entry_mut(name);
        if let Some((name, topic)) = found
            && topic.is_unused()
        {
            for subscription in &topic.subscriptions {
                release_feed(subscription);
                unsubscribe(worker, subscription, kind, &name);
            }
            topics.remove(&name);
        }
    }
}
