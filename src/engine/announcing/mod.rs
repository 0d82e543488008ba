//! Changes of keys that no reply of a lane could bring: those with the prefixes of clients that track with `BCAST`, and those
//! for clients of RESP2, whose lanes have no pushes.
//!
//! Each worker has [`announcer`]s, connections to every primary that carry nothing else. Their pushes are not in order with
//! the replies of lanes, so a client gets them behind everything that it has in flight. Whenever a primary was without an
//! announcer for a while, its clients forget everything.

pub mod announcer;
mod audience;
mod cover;
pub mod redirect;
pub mod start;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use tokio::sync::Notify;

use crate::engine::client::Client;
use crate::engine::client::tracking::{FORGET_ALL, invalidation};
use crate::engine::upstream::NodeId;
use crate::engine::upstream::tracking::within_memory;
use crate::engine::worker::Worker;
use crate::engine::worker::clock::Tick;
use slotmux_core::resp::Protocol;

use announcer::{Announced, Announcer, Changed};
use audience::Audience;
use cover::Cover;

/// Milliseconds between two looks at nodes that do not announce, or announce more than clients want.
const LOOK_EVERY: u64 = 1000;
/// Looks after which a node that announces more than clients want is asked for less.
const LOOKS_BEFORE_LESS: u32 = 10;

/// The announcers of one node.
#[derive(Default)]
struct NodeAnnouncers {
    /// The one for prefixes.
    prefixes: Option<Rc<Announcer>>,
    /// The one that takes its place once its node announces: it has other prefixes.
    next: Option<Rc<Announcer>>,
    /// Former ones that may still bring changes.
    ending: Vec<Rc<Announcer>>,
    /// The one for reads over connections of RESP2.
    reads: Option<Rc<Announcer>>,
}

/// The part that an announcer plays for its node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Prefixes,
    Next,
    Ending,
    Reads,
    /// It has been replaced, and is about to end.
    Former,
}

#[derive(Default)]
struct Inner {
    audience: Audience,
    /// Clients whose CLIENT TRACKING is not answered yet: they ignore earlier invalidations.
    starting: BTreeSet<u64>,
    /// Clients with NOLOOP, which have lanes of their own.
    owners: BTreeMap<u64, Rc<Client>>,
    /// Clients that redirect and speak RESP2, or did.
    redirecting: BTreeSet<u64>,
    nodes: HashMap<NodeId, NodeAnnouncers>,
}

/// The announcers of one worker, and the clients that need them.
#[derive(Default)]
pub struct Announcements {
    inner: RefCell<Inner>,
    /// Notified when a node announces, or refuses to.
    news: Notify,
    looked: Cell<Tick>,
    looks: Cell<u32>,
    /// Clients that redirect to clients of workers whose mailboxes were full.
    pub(super) overflowed: RefCell<BTreeSet<redirect::Sender>>,
}

impl NodeAnnouncers {
    fn part(&self, announcer: &Announcer) -> Part {
        let is = |other: &Rc<Announcer>| std::ptr::eq(&**other, announcer);
        match self {
            _ if self.prefixes.as_ref().is_some_and(is) => Part::Prefixes,
            _ if self.next.as_ref().is_some_and(is) => Part::Next,
            _ if self.reads.as_ref().is_some_and(is) => Part::Reads,
            _ if self.ending.iter().any(is) => Part::Ending,
            _ => Part::Former,
        }
    }

    /// Opens missing announcers and closes unneeded ones.
    fn settle(&mut self, worker: &Rc<Worker>, node: NodeId, cover: &Cover, needs_reads: bool) {
        if cover.is_empty() {
            let all = self.prefixes.take().into_iter().chain(self.next.take());
            all.chain(self.ending.drain(..))
                .for_each(|announcer| announcer.close());
        } else {
            let open = || Announcer::open(worker, node, Announced::Prefixes);
            let current = self.prefixes.get_or_insert_with(open);
            // One that is not up asks for the prefixes of the moment in which it connects.
            if current.is_up() && !current.includes(cover) && self.next.is_none() {
                self.next = Some(open());
            }
        }
        if !needs_reads {
            if let Some(reads) = self.reads.take() {
                reads.close();
            }
        } else if self.reads.is_none() {
            self.reads = Some(Announcer::open(worker, node, Announced::Reads));
        }
    }

    fn all(&self) -> impl Iterator<Item = &Rc<Announcer>> {
        let single = [&self.prefixes, &self.next, &self.reads];
        single.into_iter().flatten().chain(&self.ending)
    }

    fn is_announcing_prefixes(&self) -> bool {
        self.prefixes
            .as_ref()
            .is_some_and(|current| current.is_up())
    }
}

impl Announcements {
    /// The prefixes that a node has to be asked for.
    pub(super) fn cover(&self) -> Cover {
        self.inner.borrow().audience.cover()
    }

    /// Registers the needs of a client whose tracking has changed. [`Announcements::settle`] opens connections for them.
    pub fn update(&self, client: &Rc<Client>) {
        let tracking = client.session.tracking();
        let mut inner = self.inner.borrow_mut();
        let is_own = tracking.is_on() && tracking.noloop;
        let listens = tracking.is_broadcast() && !is_own && !client.is_closed();
        let session = client.session.rare();
        let details = session.as_ref().and_then(|session| session.tracking());
        match details.filter(|_| listens) {
            Some(details) => inner.audience.set(client, &details.prefixes),
            None => inner.audience.remove(client.id),
        }
        let redirects = tracking.redirects && tracking.is_on() && !client.is_closed();
        if is_own && !client.is_closed() {
            inner.owners.insert(client.id, client.clone());
        } else {
            inner.owners.remove(&client.id);
        }
        // One that speaks RESP3 meanwhile has still read over the connections of RESP2.
        if !redirects {
            inner.redirecting.remove(&client.id);
        } else if client.session.protocol() == Protocol::Resp2 {
            inner.redirecting.insert(client.id);
        }
    }

    /// Removes a client that has left. The next sweep closes the connections that only this client needed.
    pub fn remove(&self, client: u64) {
        let mut inner = self.inner.borrow_mut();
        inner.audience.remove(client);
        inner.owners.remove(&client);
        inner.redirecting.remove(&client);
        inner.starting.remove(&client);
    }

    /// Opens the announcers that clients need, and closes the others. The unsent invalidations of a node that has ceased to
    /// be a primary are lost.
    pub fn settle(&self, worker: &Rc<Worker>) {
        let primaries = worker.map.primaries();
        let (mut is_lost, mut lost_reads) = (false, Vec::new());
        {
            let inner = &mut *self.inner.borrow_mut();
            let cover = inner.audience.cover();
            let needs_reads = !inner.redirecting.is_empty();
            inner.nodes.retain(|node, announcers| {
                let stays = primaries.contains(node);
                if !stays {
                    is_lost |= announcers.is_announcing_prefixes();
                    announcers.all().for_each(|announcer| announcer.close());
                    if announcers.reads.is_some() {
                        lost_reads.push(*node);
                    }
                }
                stays
            });
            if !cover.is_empty() || needs_reads || !inner.nodes.is_empty() {
                for node in primaries {
                    let announcers = inner.nodes.entry(node).or_default();
                    announcers.settle(worker, node, &cover, needs_reads);
                }
            }
        }
        for node in lost_reads {
            worker.forget_reads(node);
        }
        self.settle_owners(worker);
        if is_lost {
            self.forget_all(worker);
        }
        self.news.notify_waiters();
    }

    /// Opens the lanes of clients that have theirs for themselves and track prefixes.
    fn settle_owners(&self, worker: &Rc<Worker>) {
        let owners: Vec<Rc<Client>> = self.inner.borrow().owners.values().cloned().collect();
        if owners.is_empty() {
            return;
        }
        for node in worker.map.primaries() {
            for client in owners
                .iter()
                .filter(|client| client.session.tracking().is_broadcast())
            {
                worker.settle_own_lane(node, client);
            }
        }
    }

    /// Whether there is room for one more client with lanes of its own.
    pub(super) fn has_room_for_owner(&self, worker: &Worker, client: &Client) -> bool {
        let inner = self.inner.borrow();
        inner.owners.contains_key(&client.id) || inner.owners.len() < worker.most_owners()
    }

    /// Whether the CLIENT TRACKING of a client that did not track before is not answered yet.
    pub fn is_starting(&self, client: &Client) -> bool {
        self.inner.borrow().starting.contains(&client.id)
    }

    /// Wakes the tasks that wait for nodes to announce.
    pub fn notify(&self) {
        self.news.notify_waiters();
    }

    /// The node of `announcer` has begun to announce.
    pub(super) fn began(&self, worker: &Rc<Worker>, announcer: &Rc<Announcer>) {
        let part = {
            let mut inner = self.inner.borrow_mut();
            let Some(node) = inner.nodes.get_mut(&announcer.node) else {
                return announcer.close();
            };
            let part = node.part(announcer);
            if part == Part::Next {
                let former = std::mem::replace(&mut node.prefixes, node.next.take());
                match former {
                    Some(former) if former.is_up() => {
                        former.finish();
                        node.ending.push(former);
                        Part::Next
                    }
                    // No connection announced changes up to this moment.
                    Some(former) => {
                        former.close();
                        Part::Prefixes
                    }
                    None => Part::Prefixes,
                }
            } else {
                part
            }
        };
        match part {
            // Changes before this moment were not announced.
            Part::Prefixes => self.forget_all(worker),
            Part::Former => announcer.close(),
            Part::Next | Part::Ending | Part::Reads => {}
        }
        self.settle(worker);
    }

    /// The node of `announcer` has stopped announcing, or refuses to.
    pub(super) fn lost(&self, worker: &Rc<Worker>, announcer: &Announcer) {
        let part = {
            let mut inner = self.inner.borrow_mut();
            let node = inner.nodes.get_mut(&announcer.node);
            let part = node
                .as_ref()
                .map_or(Part::Former, |node| node.part(announcer));
            if part == Part::Ending
                && let Some(node) = node
            {
                node.ending
                    .retain(|other| !std::ptr::eq(&**other, announcer));
            }
            part
        };
        match part {
            Part::Prefixes | Part::Ending => self.forget_all(worker),
            Part::Reads => worker.forget_reads(announcer.node),
            Part::Next | Part::Former => {}
        }
        self.news.notify_waiters();
    }

    /// A former announcer has brought everything that its node announced to it.
    pub(super) fn finished(&self, announcer: &Announcer) {
        if let Some(node) = self.inner.borrow_mut().nodes.get_mut(&announcer.node) {
            node.ending
                .retain(|other| !std::ptr::eq(&**other, announcer));
        }
    }

    /// The task of `announcer` has ended. If it is needed, the next look opens another one.
    pub(super) fn forget(&self, announcer: &Announcer) {
        if let Some(node) = self.inner.borrow_mut().nodes.get_mut(&announcer.node) {
            let is = |other: &mut Rc<Announcer>| std::ptr::eq(&**other, announcer);
            node.prefixes.take_if(is);
            node.next.take_if(is);
            node.reads.take_if(is);
            node.ending
                .retain(|other| !std::ptr::eq(&**other, announcer));
        }
    }

    /// Brings changes to the clients.
    pub(super) fn changed(&self, worker: &Worker, announcer: &Announcer, changed: &Changed) {
        if announcer.announced == Announced::Reads {
            return worker.changed_reads(announcer.node, changed);
        }
        let Changed::Keys(keys) = changed else {
            return self.forget_all(worker);
        };
        let receivers = self.inner.borrow().audience.receivers(keys);
        for (keys, clients) in receivers {
            let frame = within_memory(worker, invalidation(&keys), clients.len());
            for client in clients {
                client.invalidate_behind_all(worker, &frame);
            }
        }
    }

    /// A node has announced changes to connections of RESP2. Whether it meant the own lane of a client that tracks prefixes
    /// is not known.
    pub fn changed_for_owners(&self, worker: &Worker, keys: &[&[u8]]) {
        let inner = self.inner.borrow();
        let owners = inner.owners.values().filter(|client| {
            client.session.tracking().is_broadcast() && inner.redirecting.contains(&client.id)
        });
        let owners: Vec<Rc<Client>> = owners.cloned().collect();
        drop(inner);
        for client in owners {
            let session = client.session.rare();
            let details = session.as_ref().and_then(|session| session.tracking());
            let is_own = |key: &&&[u8]| {
                let mut prefixes = details.iter().flat_map(|details| &details.prefixes);
                prefixes.any(|prefix| key.starts_with(prefix))
            };
            let own: Vec<&[u8]> = keys.iter().filter(is_own).copied().collect();
            drop(session);
            if !own.is_empty() {
                let frame = within_memory(worker, invalidation(&own), 1);
                client.invalidate_behind_all(worker, &frame);
            }
        }
    }

    /// Makes the clients that track prefixes forget everything.
    fn forget_all(&self, worker: &Worker) {
        let clients = self.inner.borrow().audience.clients();
        for client in clients {
            if !self.is_starting(&client) {
                client.invalidate_behind_all(worker, FORGET_ALL);
            }
        }
    }

    /// The id at `node` of the announcer for reads over RESP2, if the node announces them.
    pub fn reads_id(&self, node: NodeId) -> Option<u64> {
        let inner = self.inner.borrow();
        inner.nodes.get(&node)?.reads.as_ref()?.id()
    }

    /// Regular checks: silent nodes, nodes that do not announce, prefixes that no client needs.
    pub fn sweep(&self, worker: &Rc<Worker>, now: Tick) {
        redirect::send_overflowed(worker);
        let inner = self.inner.borrow();
        let is_unused = inner.nodes.is_empty() && inner.owners.is_empty();
        drop(inner);
        if is_unused {
            return;
        }
        for announcers in self.inner.borrow().nodes.values() {
            announcers
                .all()
                .for_each(|announcer| announcer.check(worker, now));
        }
        if !self.looked.get().is_over(LOOK_EVERY, now) {
            return;
        }
        self.looked.set(now);
        self.looks.set(self.looks.get().wrapping_add(1));
        if self.looks.get().is_multiple_of(LOOKS_BEFORE_LESS) {
            self.ask_for_less(worker);
        }
        self.settle(worker);
        let inner = self.inner.borrow();
        let is_incomplete = !inner.audience.is_empty()
            && !inner
                .nodes
                .values()
                .all(NodeAnnouncers::is_announcing_prefixes);
        drop(inner);
        if is_incomplete {
            // No value is old for longer than this, whatever the node does meanwhile.
            self.forget_all(worker);
        }
    }

    /// Replaces announcers that bring more than clients want.
    fn ask_for_less(&self, worker: &Rc<Worker>) {
        let inner = &mut *self.inner.borrow_mut();
        let cover = inner.audience.cover();
        for (&node, announcers) in &mut inner.nodes {
            if let Some(current) = &announcers.prefixes
                && current.is_up()
                && !current.asks_for(&cover)
                && !cover.is_empty()
                && announcers.next.is_none()
            {
                announcers.next = Some(Announcer::open(worker, node, Announced::Prefixes));
            }
        }
    }
}
