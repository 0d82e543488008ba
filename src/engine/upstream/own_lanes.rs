//! Own lanes, each with a single client, for `CLIENT TRACKING … NOLOOP`. Only the node can leave out the invalidations of a
//! connection's own writes, and these are the client's only where no other client writes over the connection.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::engine::client::Client;
use crate::engine::client::tracking::FORGET_ALL;
use crate::engine::worker::Worker;

use super::NodeId;
use super::index;
use super::inflight::{InFlight, OnReply};
use super::lane::{Class, Lane};
use super::reader_table::Reader;
use slotmux_core::resp::Protocol;

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const OFF: &[u8] = b"*3\r\n$6\r\nCLIENT\r\n$8\r\nTRACKING\r\n$3\r\nOFF\r\n";

/// The client of an own lane, and the tracking that its node was asked for.
pub(super) struct OwnLane {
    owner: Reader,
    /// The last CLIENT TRACKING that was sent over the connection.
    requested: RefCell<Option<Vec<u8>>>,
    /// Whether the node has confirmed it.
    is_announcing: Cell<bool>,
    /// Whether a PING was sent behind which its invalidations do not count, as its client uses another protocol.
    is_fenced: Cell<bool>,
}

impl OwnLane {
    fn client(&self, worker: &Worker) -> Option<Rc<Client>> {
        let client = self.owner.client(worker)?;
        client.upstream.has_own_lanes().then_some(client)
    }

    /// Its client, if that tracks prefixes.
    pub(super) fn broadcast_client(&self, worker: &Worker) -> Option<Rc<Client>> {
        let client = self.client(worker)?;
        client.session.tracking().is_broadcast().then_some(client)
    }

    /// Makes its client forget everything, if it tracks prefixes and its CLIENT TRACKING was confirmed.
    pub(super) fn forget(&self, worker: &Worker) {
        if let Some(client) = self.broadcast_client(worker)
            && !worker.announcements.is_starting(&client)
        {
            client.invalidate_behind_all(worker, FORGET_ALL);
        }
    }

    /// Takes the reply to CLIENT TRACKING of `node`. Changes before it were not announced, unless a lane of the other
    /// protocol brings them.
    pub(super) fn take_tracking(&self, worker: &Worker, node: NodeId, reply: &[u8]) {
        self.is_announcing.set(reply[0] != b'-');
        if reply[0] == b'-' {
            self.requested.take();
        }
        let is_handed_over = [Protocol::Resp2, Protocol::Resp3]
            .iter()
            .all(|&protocol| worker.is_announcing(node, protocol, self.owner.id));
        if !is_handed_over {
            self.forget(worker);
        }
        worker.announcements.notify();
    }

    /// The connection is another one: its node was not asked yet.
    pub(super) fn restart(&self) {
        self.requested.take();
    }

    /// Its node has stopped announcing.
    pub(super) fn lost(&self, worker: &Worker) {
        self.requested.take();
        if self.is_announcing.replace(false) {
            self.forget(worker);
        }
    }
}

impl Lane {
    /// Asks the node of an own lane for the tracking of its client, unless it was asked already.
    pub(super) fn settle_own(self: &Rc<Self>, worker: &Worker, own: &OwnLane, client: &Rc<Client>) {
        let tracking = client.session.tracking();
        let Some(receiver) = self.receiver(worker).filter(|_| tracking.is_on()) else {
            return;
        };
        let session = client.session.rare();
        let details = session.as_ref().and_then(|session| session.tracking());
        let prefixes = details.filter(|_| tracking.is_broadcast());
        let prefixes = prefixes.into_iter().flat_map(|details| &details.prefixes);
        let prefixes: Vec<&[u8]> = prefixes.map(|prefix| &**prefix).collect();
        let request = receiver.request(tracking, &prefixes);
        drop(session);
        if own.requested.borrow().as_ref() == Some(&request) {
            return;
        }
        own.is_announcing.set(false);
        let internal = |bytes: &[u8], kind| InFlight::internal(worker, client, bytes.len(), kind);
        if own.requested.replace(Some(request.clone())).is_some() {
            // A node only ever adds prefixes.
            self.send(worker, internal(OFF, OnReply::Discard), OFF);
        }
        self.send(worker, internal(&request, OnReply::Tracking), &request);
    }

    /// A connection was made: on an own lane, the node has to be asked for the tracking of its client.
    pub(super) fn begin_announcing(self: &Rc<Self>, worker: &Worker) {
        if let Some(own) = self.tracked.own.get()
            && let Some(client) = own.broadcast_client(worker)
        {
            self.settle_own(worker, own, &client);
        }
    }
}

impl Worker {
    /// The lane to `node` that `client` has for itself; opened if it is not there.
    pub(super) fn own_lane(self: &Rc<Self>, node: NodeId, client: &Client) -> Rc<Lane> {
        let protocol = client.session.protocol();
        let found = self.nodes.node(node);
        if let Some(lane) = found.own[index(protocol)].get(&client.id) {
            return lane.clone();
        }
        drop(found);
        let lane = self.open_lane(node, protocol, Class::Shared);
        lane.tracked.own.get_or_init(|| OwnLane {
            owner: Reader::of(client),
            requested: RefCell::new(None),
            is_announcing: Cell::new(false),
            is_fenced: Cell::new(false),
        });
        let mut found = self.nodes.node_mut(node);
        found.own[index(protocol)].insert(client.id, lane.clone());
        lane
    }

    /// Opens the lane to `node` of a client that tracks prefixes with NOLOOP, and asks the node for them.
    pub fn settle_own_lane(self: &Rc<Self>, node: NodeId, client: &Rc<Client>) {
        let lane = self.own_lane(node, client);
        if let Some(own) = lane.tracked.own.get() {
            lane.settle_own(self, own, client);
        }
    }

    /// Whether `node` announces the changes that `client` tracks to its own lane.
    pub fn is_announcing_to(&self, node: NodeId, client: &Client) -> bool {
        self.is_announcing(node, client.session.protocol(), client.id)
    }

    fn is_announcing(&self, node: NodeId, protocol: Protocol, client: u64) -> bool {
        let found = self.nodes.node(node);
        let lane = found.own[index(protocol)].get(&client);
        let own = lane.and_then(|lane| lane.tracked.own.get());
        own.is_some_and(|own| own.is_announcing.get())
    }

    /// Forgets the reads of a client with own lanes that has switched tracking off: it gets no invalidation of them.
    pub fn forget_own_reads(&self, client: &Client) {
        for lane in self.lanes() {
            let own = lane.tracked.own.get();
            if own.is_some_and(|own| own.owner == Reader::of(client)) {
                lane.tracked.drop_readers();
            }
        }
    }

    /// Ends the use of an idle lane whose client has left or does not use it. True: it can be retired. The lane of a client
    /// that uses another protocol brings first what its node has announced so far.
    pub(super) fn end_own_use(&self, lane: &Rc<Lane>) -> bool {
        let Some(own) = lane.tracked.own.get() else {
            return false;
        };
        let Some(client) = own.client(self) else {
            return true;
        };
        if client.session.protocol() == lane.protocol {
            own.is_fenced.set(false);
            return false;
        }
        if own.is_announcing.get() && !own.is_fenced.replace(true) {
            let entry = InFlight::internal(self, &client, PING.len(), OnReply::Discard);
            lane.send(self, entry, PING);
            return false;
        }
        own.is_announcing.set(false);
        true
    }

    /// Most clients of this worker that may have own lanes.
    pub fn most_owners(&self) -> usize {
        self.nodes.bounds().kept()
    }
}
