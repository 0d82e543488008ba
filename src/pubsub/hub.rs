//! A worker's subscriptions: which of its clients listen to what, from which nodes the messages come, and what becomes of
//! a message that has come.
//!
//! Each channel and pattern has a home, the one node whose messages count: a message that is published on a cluster
//! reaches every node, so that with two homes it would come twice. Notifications of keys are the exception. They stay
//! with the node that has the key, and count from every primary.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::client::Client;
use crate::clock::Tick;
use crate::cluster::redirect::{Verdict, judge};
use crate::resp::{Protocol, write};
use crate::upstream::NodeId;
use crate::worker::Worker;

use super::feed::{Answer, Feed};
use super::subscriber::Wish;
use super::topic::{State, Topic, follow, settle_links, subscribe, unlink, unsubscribe};
use super::{Kind, is_notification};

/// Redirects of one shard channel that are followed at once; nodes that disagree need a moment to agree.
const PROMPT_REDIRECTS: u8 = 3;

/// Topics that are asked for again in one sweep: a node that refuses everything is not stormed.
const AGAIN_PER_SWEEP: usize = 1000;

type Topics = HashMap<Rc<[u8]>, Topic>;

#[derive(Default)]
struct Inner {
    topics: [Topics; 3],
    feeds: HashMap<NodeId, Rc<Feed>>,
    /// Topics that a node has refused, or that have lost their feed.
    again: Vec<(Kind, Rc<[u8]>)>,
    /// Wishes that were not fulfilled at once; some may be settled already.
    wishes: Vec<Rc<Wish>>,
}

/// The subscriptions of one worker.
#[derive(Default)]
pub struct Hub {
    inner: RefCell<Inner>,
}

impl Hub {
    /// Takes a client's wish. It is fulfilled now or later, or fails.
    pub fn wish(&self, worker: &Rc<Worker>, wish: Wish) {
        let mut missing = 0;
        let wish = Rc::new(wish);
        {
            let inner = &mut *self.inner.borrow_mut();
            for name in wish.distinct() {
                let topic = inner.topics[wish.kind.index()]
                    .entry(name.clone())
                    .or_default();
                topic.wishes += 1;
                settle_links(worker, &mut inner.feeds, wish.kind, name, topic);
                if !topic.is_confirmed() {
                    topic.waiting.push(wish.clone());
                    missing += 1;
                }
            }
            wish.missing.set(missing);
            if missing > 0 {
                inner.wishes.push(wish.clone());
            }
        }
        if missing == 0 {
            self.settle(worker, &wish, Ok(()));
        }
    }

    /// A client listens from now on.
    pub fn join(&self, kind: Kind, name: &Rc<[u8]>, client: &Rc<Client>) {
        let mut inner = self.inner.borrow_mut();
        if let Some(topic) = inner.topics[kind.index()].get_mut(name) {
            topic.clients.insert(client.id, client.clone());
        }
    }

    /// A client does not listen any more.
    pub fn leave(&self, worker: &Worker, kind: Kind, name: &Rc<[u8]>, client: u64) {
        let mut inner = self.inner.borrow_mut();
        if let Some(topic) = inner.topics[kind.index()].get_mut(name) {
            topic.clients.remove(&client);
        }
        inner.drop_unused(worker, kind, name);
    }

    /// Fans a message out, if it counts.
    pub fn deliver(
        &self,
        worker: &Worker,
        feed: &Feed,
        kind: Kind,
        name: &[u8],
        channel: &[u8],
        frame: &[u8],
    ) {
        let inner = self.inner.borrow();
        let Some(topic) = inner.topics[kind.index()].get(name) else {
            return;
        };
        let counts = if kind != Kind::Shard && is_notification(channel) {
            worker.is_primary(feed.node)
        } else {
            topic.home == Some(feed.node)
        };
        if !counts {
            return;
        }
        worker.stats.messages.add(topic.clients.len() as u64);
        if worker.takes_pushes(frame, topic.clients.len()) {
            for client in topic.clients.values() {
                client.push(worker, frame);
            }
            return;
        }
        // Who is closed for it leaves the topic.
        let clients: Vec<Rc<Client>> = topic.clients.values().cloned().collect();
        drop(inner);
        for client in clients {
            client.push_sparingly(worker, frame);
        }
    }

    /// A feed is connected: everything that it is to bring is asked for.
    pub fn connected(&self, worker: &Worker, feed: &Feed) {
        let mut inner = self.inner.borrow_mut();
        for kind in Kind::ALL {
            for (name, topic) in &mut inner.topics[kind.index()] {
                for link in &mut topic.links {
                    if std::ptr::eq(&*link.feed, feed) {
                        link.state = State::Asked(feed.ask(worker, subscribe(kind), name));
                    }
                }
            }
        }
    }

    /// A feed has lost its connection.
    pub fn disconnected(&self, feed: &Feed) {
        let mut inner = self.inner.borrow_mut();
        let topics = inner.topics.iter_mut().flat_map(HashMap::values_mut);
        for link in topics.flat_map(|topic| &mut topic.links) {
            if std::ptr::eq(&*link.feed, feed) {
                // No request has this number: the next connection sets another.
                link.state = State::Asked(u64::MAX);
            }
        }
    }

    /// A feed's task has ended. What still wants something of it gets another one soon.
    pub fn forget(&self, feed: &Rc<Feed>) {
        let inner = &mut *self.inner.borrow_mut();
        if inner
            .feeds
            .get(&feed.node)
            .is_some_and(|other| Rc::ptr_eq(other, feed))
        {
            inner.feeds.remove(&feed.node);
        }
        for kind in Kind::ALL {
            for (name, topic) in &mut inner.topics[kind.index()] {
                let before = topic.links.len();
                topic.links.retain(|link| !Rc::ptr_eq(&link.feed, feed));
                if topic.links.len() < before {
                    inner.again.push((kind, name.clone()));
                }
            }
        }
    }

    /// A node has answered request `number`, which asked for a subscription.
    pub fn answered(
        &self,
        worker: &Rc<Worker>,
        feed: &Feed,
        number: u64,
        kind: Kind,
        name: &Rc<[u8]>,
        answer: Answer,
    ) {
        let mut settled = Vec::new();
        let mut result = Ok(());
        {
            let inner = &mut *self.inner.borrow_mut();
            let Some(topic) = inner.topics[kind.index()].get_mut(name) else {
                return;
            };
            let Some(link) = topic
                .links
                .iter_mut()
                .find(|link| std::ptr::eq(&*link.feed, feed) && link.state == State::Asked(number))
            else {
                return;
            };
            match answer {
                Answer::Confirmed => {
                    link.state = State::Confirmed;
                    topic.redirects = 0;
                    if topic.is_confirmed() {
                        let came = topic.waiting.drain(..);
                        settled.extend(came.filter(|wish| wish.one_came()));
                    }
                }
                Answer::Refused(error) => {
                    link.state = State::Refused;
                    tracing::debug!(
                        node = %feed.addr,
                        error = %error.escape_ascii(),
                        "subscription refused"
                    );
                    if follow(worker, feed, error) && topic.redirects < PROMPT_REDIRECTS {
                        topic.redirects += 1;
                        settle_links(worker, &mut inner.feeds, kind, name, topic);
                    } else {
                        inner.again.push((kind, name.clone()));
                    }
                    if judge(error) == Verdict::Deliver {
                        settled.append(&mut topic.waiting);
                        result = Err(error);
                    }
                }
            }
        }
        for wish in settled {
            self.settle(worker, &wish, result);
        }
    }

    /// A node has ended a subscription of itself: the slot of a shard channel has left it.
    pub fn ended(&self, worker: &Rc<Worker>, feed: &Feed, kind: Kind, name: &Rc<[u8]>) {
        let inner = &mut *self.inner.borrow_mut();
        let Some(topic) = inner.topics[kind.index()].get_mut(name) else {
            return;
        };
        let before = topic.links.len();
        // One that is asked for is answered by itself.
        topic.links.retain(|link| {
            let is_over = std::ptr::eq(&*link.feed, feed) && link.state == State::Confirmed;
            if is_over {
                unlink(link);
            }
            !is_over
        });
        if topic.links.len() < before {
            worker.refresh.request();
            topic.redirects = 0;
            settle_links(worker, &mut inner.feeds, kind, name, topic);
        }
    }

    /// The topology, or what is known of it, has changed.
    pub fn reconcile(&self, worker: &Rc<Worker>) {
        let inner = &mut *self.inner.borrow_mut();
        for kind in Kind::ALL {
            for (name, topic) in &mut inner.topics[kind.index()] {
                settle_links(worker, &mut inner.feeds, kind, name, topic);
            }
        }
    }

    /// What time alone brings about: wishes that are overdue, what a node has refused, feeds that are silent or idle.
    pub fn sweep(&self, worker: &Rc<Worker>, now: Tick) {
        let (fulfilled, overdue) = self.due(worker, now);
        for wish in fulfilled {
            self.settle(worker, &wish, Ok(()));
        }
        for wish in overdue {
            worker.stats.timeouts.inc();
            let error = self.not_confirmed(worker, &wish);
            self.settle(worker, &wish, Err(&error));
        }
        let inner = &mut *self.inner.borrow_mut();
        let few = inner.again.len().min(AGAIN_PER_SWEEP);
        let rest = inner.again.split_off(few);
        for (kind, name) in std::mem::replace(&mut inner.again, rest) {
            if let Some(topic) = inner.topics[kind.index()].get_mut(&name) {
                topic.redirects = 0;
                settle_links(worker, &mut inner.feeds, kind, &name, topic);
            }
        }
        inner.feeds.retain(|_, feed| {
            let is_of_use = feed.check(worker, now);
            if !is_of_use {
                feed.retire();
            }
            is_of_use
        });
    }

    /// Wishes whose every name is confirmed by now, as a node that was missing is not needed any more; and those that are
    /// past their deadline.
    fn due(&self, worker: &Worker, now: Tick) -> (Vec<Rc<Wish>>, Vec<Rc<Wish>>) {
        let inner = &mut *self.inner.borrow_mut();
        inner.wishes.retain(|wish| !wish.is_settled());
        let is_fulfilled = |wish: &&Rc<Wish>| {
            let topics = &inner.topics[wish.kind.index()];
            let mut names = wish.distinct().iter();
            names.all(|name| topics.get(name).is_some_and(Topic::is_confirmed))
        };
        let fulfilled = inner.wishes.iter().filter(is_fulfilled).cloned().collect();
        let overdue = inner
            .wishes
            .iter()
            .filter(|wish| wish.arrived.is_over(worker.command_timeout, now))
            .cloned()
            .collect();
        (fulfilled, overdue)
    }

    /// The error for a wish that is overdue: with the words of a node that takes no connection, if it has any.
    fn not_confirmed(&self, worker: &Worker, wish: &Wish) -> Vec<u8> {
        let inner = self.inner.borrow();
        let topics = &inner.topics[wish.kind.index()];
        let topics = wish.distinct().iter().filter_map(|name| topics.get(name));
        let mut feeds = topics.flat_map(|topic| topic.links.iter().map(|link| &link.feed));
        let said = feeds.find_map(|feed| {
            let said = worker.last_words(feed.node, Protocol::Resp3);
            Some((&feed.addr, said.filter(|_| !feed.is_up())?))
        });
        let mut error = Vec::new();
        match said {
            Some((addr, said)) => {
                write::error(&mut error, &format!("{NOT_CONFIRMED}: {addr} says {said}"))
            }
            None => write::error(&mut error, NOT_CONFIRMED),
        }
        error
    }

    /// Fulfils a wish or lets it fail, by which it lets go of its topics.
    fn settle(&self, worker: &Worker, wish: &Rc<Wish>, result: Result<(), &[u8]>) {
        if wish.is_settled() {
            return;
        }
        wish.settle(worker, self, result);
        let mut inner = self.inner.borrow_mut();
        for name in wish.distinct() {
            if let Some(topic) = inner.topics[wish.kind.index()].get_mut(name) {
                topic.wishes = topic.wishes.saturating_sub(1);
                // When most of them are settled, so that each is looked at once or twice, not with every other.
                if topic.waiting.len() > 2 * topic.wishes {
                    topic.waiting.retain(|other| !other.is_settled());
                }
            }
            inner.drop_unused(worker, wish.kind, name);
        }
    }
}

const NOT_CONFIRMED: &str =
    "ERR slotmux: upstream timeout, the node of the channel did not confirm the subscription";

impl Inner {
    /// Ends the subscriptions of a topic that nobody wants any more.
    fn drop_unused(&mut self, worker: &Worker, kind: Kind, name: &Rc<[u8]>) {
        let topics = &mut self.topics[kind.index()];
        if topics.get(name).is_some_and(Topic::is_unused)
            && let Some(topic) = topics.remove(name)
        {
            for link in &topic.links {
                unlink(link);
                unsubscribe(worker, link, kind, name);
            }
        }
    }
}
