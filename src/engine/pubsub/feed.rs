//! A feed: the connection of a worker to one node that carries subscriptions and nothing else. It speaks RESP3, so that
//! messages are push frames and never look like a reply.

use std::cell::{Cell, OnceCell, RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Poll, Waker};

use tokio::time::sleep;

use crate::engine::client::long_request::Portion;
use crate::engine::client::{Client, Pause};
use crate::engine::sabotage::sabotage;
use crate::engine::upstream::NodeId;
use crate::engine::upstream::connect::{dial, jittered, wait_for_turn};
use crate::engine::upstream::read::End;
use crate::engine::worker::Worker;
use crate::engine::worker::clock::Tick;
use slotmux_core::cluster::addr::Addr;
use slotmux_core::resp::{Protocol, write};

use super::feed_connection::FeedConnection;
use super::frame::{Frame, read};
use super::names::Names;
use super::{SubscriptionChange, SubscriptionKind};

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

/// Bytes of unsent requests at which no further subscription is requested.
const OUT_FULL: usize = 256 * 1024;

/// Unanswered requests at which no further subscription is requested.
const UNANSWERED_FULL: usize = 1024;

/// A request that the node has not answered yet.
#[derive(Debug)]
enum FeedRequest {
    /// A change, by its number and name.
    Change(u64, SubscriptionChange, Rc<[u8]>),
    /// A health check.
    Ping,
}

/// A node's answer to a subscribe request.
pub enum SubscribeResult<'a> {
    /// The subscription has begun.
    Confirmed,
    /// It was refused; the error reply.
    Refused(&'a [u8]),
}

/// Names by kind.
type Confirmed = [Names<()>; 3];

/// A subscription connection.
pub struct Feed {
    /// The node at its other end.
    pub node: NodeId,
    /// That node's address.
    pub addr: Addr,
    /// Topics that use it.
    pub topics: Cell<usize>,
    /// When a topic last used it.
    last_used: Cell<Tick>,
    is_up: Cell<bool>,
    is_closed: Cell<bool>,
    is_silent: Cell<bool>,
    out: RefCell<Vec<u8>>,
    unanswered: RefCell<VecDeque<FeedRequest>>,
    /// Number of the next request.
    next: Cell<u64>,
    /// Number of the first request on this connection.
    first: Cell<u64>,
    /// Number of this connection.
    connection: Cell<u64>,
    /// Subscriptions that the node has confirmed on this connection.
    confirmed: RefCell<Confirmed>,
    /// Clients that wait for room for more requests.
    waiting: RefCell<Vec<Rc<Client>>>,
    last_heard: Cell<Tick>,
    waker: OnceCell<Waker>,
}

impl Feed {
    /// A feed that is not connected yet. Its task is [`run`].
    pub fn new(node: NodeId, addr: Addr, now: Tick) -> Feed {
        Feed {
            node,
            addr,
            topics: Cell::new(0),
            last_used: Cell::new(now),
            is_up: Cell::new(false),
            is_closed: Cell::new(false),
            is_silent: Cell::new(false),
            out: RefCell::default(),
            unanswered: RefCell::default(),
            next: Cell::new(0),
            first: Cell::new(0),
            connection: Cell::new(0),
            confirmed: RefCell::default(),
            waiting: RefCell::default(),
            last_heard: Cell::new(now),
            waker: OnceCell::new(),
        }
    }

    /// Whether it is connected.
    pub fn is_up(&self) -> bool {
        self.is_up.get()
    }

    /// Whether it is closed, or about to be.
    pub fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    /// Number of the current connection; each new connection has another number.
    pub fn connection(&self) -> u64 {
        self.connection.get()
    }

    /// Whether the request of this number was sent on the current connection.
    pub fn was_sent(&self, number: u64) -> bool {
        self.is_up.get() && number >= self.first.get()
    }

    /// Whether its node can take more requests now.
    pub fn has_room(&self) -> bool {
        self.out.borrow().len() < OUT_FULL && self.unanswered.borrow().len() < UNANSWERED_FULL
    }

    /// Registers `client`, which waits for room.
    pub fn wait(&self, client: &Rc<Client>) {
        self.waiting.borrow_mut().push(client.clone());
    }

    /// Resumes waiting clients, if there is enough room.
    pub(super) fn wake_waiting(&self) {
        if self.waiting.borrow().is_empty() {
            return;
        }
        let has_room = self.out.borrow().len() < OUT_FULL / 2
            && self.unanswered.borrow().len() < UNANSWERED_FULL / 2;
        if has_room {
            for client in self.waiting.take() {
                client.resume_from(Pause::Confirmation);
            }
        }
    }

    /// Requests a change and returns its number. Without a connection nothing is sent: once there is one, every needed
    /// subscription is requested.
    pub fn request(&self, worker: &Worker, change: SubscriptionChange, name: &Rc<[u8]>) -> u64 {
        let number = self.next.get();
        self.next.set(number + 1);
        if self.is_up.get() {
            let mut request = Vec::new();
            write::request(&mut request, &[change.name().as_bytes(), name]);
            self.send(
                worker,
                FeedRequest::Change(number, change, name.clone()),
                &request,
            );
        }
        number
    }

    fn send(&self, worker: &Worker, asked: FeedRequest, request: &[u8]) {
        let mut queue = self.unanswered.borrow_mut();
        if queue.is_empty() {
            // Silence counts from the first unanswered request.
            self.last_heard.set(worker.clock.now());
        }
        queue.push_back(asked);
        self.out.borrow_mut().extend_from_slice(request);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Closes it for good.
    pub fn close(&self) {
        self.is_closed.set(true);
        self.wake();
    }

    /// Closes the connection of a node that was silent for too long, and sends a due health check. False if the feed was
    /// unused for so long that it can be closed.
    pub fn check(&self, worker: &Worker, now: Tick) -> bool {
        if self.topics.get() > 0 {
            self.last_used.set(now);
        } else if self
            .last_used
            .get()
            .is_over(worker.timeouts.dedicated_idle, now)
        {
            return false;
        }
        if !self.is_up.get() {
            return true;
        }
        let heard = self.last_heard.get();
        if !self.unanswered.borrow().is_empty() {
            if heard.is_over(worker.timeouts.response, now) {
                self.is_silent.set(true);
                self.wake();
            }
        } else if let Some(interval) = worker.timeouts.health_interval
            && heard.is_over(interval, now)
        {
            self.send(worker, FeedRequest::Ping, PING);
        }
        true
    }

    /// Whether it has to be closed because its node is silent.
    pub(super) fn is_silent(&self) -> bool {
        self.is_silent.get()
    }

    /// The node has sent something.
    pub(super) fn heard(&self, worker: &Worker) {
        self.last_heard.set(worker.clock.now());
    }

    /// Requests that are not written yet.
    pub(super) fn unwritten(&self) -> RefMut<'_, Vec<u8>> {
        self.out.borrow_mut()
    }

    fn connected(&self, worker: &Rc<Worker>) {
        self.is_silent.set(false);
        self.last_heard.set(worker.clock.now());
        self.first.set(self.next.get());
        self.is_up.set(true);
        worker.stats.upstream_connects.inc();
        worker.stats.upstream_connections.inc();
        if self.topics.get() > 0 {
            worker.hub.check_all(worker);
        }
    }

    fn disconnected(&self, worker: &Rc<Worker>) {
        if !self.is_up.replace(false) {
            return;
        }
        worker.stats.upstream_connections.dec();
        self.out.take();
        self.unanswered.take();
        self.connection.set(self.connection.get() + 1);
        let mut lost = self.confirmed.take();
        if remove_some_from_census(worker, &mut lost, &self.addr) {
            let (shared, addr) = (worker.clone(), self.addr.clone());
            let forgetting = async move {
                while remove_some_from_census(&shared, &mut lost, &addr) {
                    tokio::task::yield_now().await;
                }
            };
            worker.spawn("the end of many subscriptions", forgetting, |_| {});
        }
        self.wake_waiting();
    }

    /// Takes one frame.
    pub(super) fn take(&self, worker: &Rc<Worker>, frame: &[u8]) -> Result<(), End> {
        sabotage("feed.take");
        match read(frame) {
            Frame::Message {
                kind,
                name,
                channel,
            } => worker.hub.deliver(worker, self, kind, name, channel, frame),
            Frame::Changed(change, name) => self.take_change(worker, change, name),
            Frame::Reply => {
                let asked = self.unanswered.borrow_mut().pop_front();
                match asked {
                    Some(FeedRequest::Change(number, change, name)) if change.subscribes => {
                        let answer = SubscribeResult::Refused(frame);
                        worker
                            .hub
                            .answered(worker, self, number, change.kind, &name, answer);
                    }
                    Some(_) => {}
                    None => return Err(End::Unasked),
                }
            }
            Frame::Other => {}
        }
        Ok(())
    }

    /// A subscription has begun or ended. One to a shard channel also ends by itself, when its slot leaves the node.
    fn take_change(&self, worker: &Rc<Worker>, change: SubscriptionChange, name: &[u8]) {
        let census = &worker.shared.census;
        let mut asked = self.unanswered.borrow_mut();
        let is_answer = matches!(
            asked.front(),
            Some(FeedRequest::Change(_, of, called)) if *of == change && **called == *name
        );
        let answered = if is_answer { asked.pop_front() } else { None };
        drop(asked);
        // Reuses the allocation of the requested name, which is shared already.
        let name: Rc<[u8]> = match &answered {
            Some(FeedRequest::Change(_, _, name)) => name.clone(),
            _ => name.into(),
        };
        let mut confirmed = self.confirmed.borrow_mut();
        let confirmed_names = &mut confirmed[change.kind.index()];
        if change.subscribes {
            if confirmed_names.insert(name.clone(), ()) {
                census.add_worker(change.kind, &name, &self.addr);
            }
        } else if confirmed_names.remove(&name).is_some() {
            census.remove_worker(change.kind, &name, &self.addr);
        }
        drop(confirmed);
        match answered {
            Some(FeedRequest::Change(number, ..)) if change.subscribes => {
                let answer = SubscribeResult::Confirmed;
                worker
                    .hub
                    .answered(worker, self, number, change.kind, &name, answer);
            }
            None if !change.subscribes => worker.hub.ended(worker, self, change.kind, &name),
            _ => {}
        }
    }
}

/// Runs a feed until it is closed.
pub async fn run(worker: Rc<Worker>, feed: Rc<Feed>) {
    std::future::poll_fn(|cx| {
        feed.waker.get_or_init(|| cx.waker().clone());
        Poll::Ready(())
    })
    .await;
    let (shortest, longest) = worker.config.cluster.connections.backoff;
    let mut pause = shortest;
    while !feed.is_closed.get() {
        wait_for_turn(&worker, feed.node).await;
        match dial(&worker, &feed.addr, Protocol::Resp3).await {
            Ok(transport) => {
                pause = shortest;
                worker.record_connect(feed.node, Protocol::Resp3);
                feed.connected(&worker);
                let mut connection = FeedConnection::new(transport);
                let end = std::future::poll_fn(|cx| connection.poll(&worker, &feed, cx)).await;
                feed.disconnected(&worker);
                if matches!(end, End::Retired) {
                    break;
                }
                worker.stats.upstream_lost.inc();
                tracing::warn!(node = %feed.addr, %end, "subscription connection lost");
            }
            Err(error) => worker.record_connect_failure(feed.node, &error),
        }
        worker.refresh.request();
        sleep(jittered(pause)).await;
        pause = (pause * 2).min(longest);
    }
    end(&worker, &feed);
}

/// The task of a feed is over, maybe by a panic: another feed then takes its place.
pub fn end(worker: &Rc<Worker>, feed: &Rc<Feed>) {
    feed.is_closed.set(true);
    feed.disconnected(worker);
    worker.hub.forget(feed);
}

/// Removes some of the names that were confirmed on a lost connection from the census. True if there are more.
fn remove_some_from_census(worker: &Worker, lost: &mut Confirmed, addr: &Addr) -> bool {
    let mut portion = Portion::default();
    for kind in SubscriptionKind::ALL {
        let names = &mut lost[kind.index()];
        for name in names.some(&mut portion) {
            names.remove(&name);
            worker.shared.census.remove_worker(kind, &name, addr);
        }
    }
    lost.iter().any(|names| !names.is_empty())
}
