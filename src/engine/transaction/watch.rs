//! WATCH: the client keeps a dedicated lane from its first WATCH to the end of the transaction.
//!
//! The node watches the keys, on a connection that no other client uses meanwhile. slotmux adds what the node cannot see: if
//! that connection is lost, or the slot leaves the node, EXEC replies nil, as if a key had changed.

use std::cell::Cell;
use std::rc::Rc;

use crate::engine::upstream::NodeId;
use crate::engine::upstream::inflight::{InFlight, OnReply};
use crate::engine::upstream::lane::{Lane, Link};
use crate::engine::upstream::lane_pool::LaneUse;
use crate::engine::worker::Worker;
use slotmux_core::cluster::topology::UpstreamKind;
use slotmux_core::policy::{NamespaceId, ReplyConversion};
use slotmux_core::resp::write;
use slotmux_core::slot::Slot;

use crate::engine::client::Client;
use crate::engine::client::dispatch::{Dispatched, NotSent, refuse};
use crate::engine::client::forward::{
    Sending, answer as reply_here, entry, refuse_no_lane, track, try_dedicated,
};
use slotmux_core::resp::request::Request;

const OTHER_SLOT: &str =
    "CROSSSLOT slotmux: all keys that are watched at the same time have to be in one slot";

/// The watched keys of a client.
pub struct Watch {
    /// The slot of all keys; `None` if one node has every slot.
    slot: Option<Slot>,
    /// The lane on which the node watches; this client's while it is pinned by it.
    lane: Rc<Lane>,
    /// Whether every command on that lane needs an ASKING.
    is_asking: bool,
    /// Whether the client's requests in flight are on that lane.
    is_used: Cell<bool>,
    /// Number of keys in its requests.
    keys: Cell<usize>,
}

impl Watch {
    /// Number of keys, each as often as it was named.
    pub fn keys(&self) -> usize {
        self.keys.get()
    }

    fn add_keys(&self, keys: usize) {
        self.keys.set(self.keys.get().saturating_add(keys));
    }

    /// Whether the watch holds. If not, EXEC replies nil.
    pub fn is_intact(&self, client: &Client) -> bool {
        self.lane.is_pinned_by(client)
            && self.lane.link() == Link::Up
            && self.lane.protocol == client.session.protocol()
    }

    /// Whether it has keys of this slot.
    pub fn covers(&self, slot: Slot) -> bool {
        self.slot.is_none_or(|own| own == slot)
    }

    /// The node that holds the WATCH.
    pub fn node(&self) -> NodeId {
        self.lane.node
    }

    /// Its slot; `None` where one node has every slot.
    pub fn slot(&self) -> Option<Slot> {
        self.slot
    }
}

impl Client {
    /// Its watched keys in `slot`, if the watch holds.
    fn watch_of(&self, slot: Slot) -> Option<Rc<Watch>> {
        let watch = self.transaction.with_watch(|watch| {
            let is_usable = watch.covers(slot) && watch.is_intact(self);
            is_usable.then(|| watch.clone())
        });
        watch.flatten()
    }

    /// A watched key may have changed unseen: EXEC replies nil. The lane is free for other clients.
    pub fn break_watch(self: &Rc<Self>, worker: &Worker) {
        self.transaction.with_watch(|watch| {
            if watch.lane.is_pinned_by(self) {
                watch.lane.unwatch(worker, self);
            }
        });
    }

    /// Ends its watch.
    pub fn end_watch(self: &Rc<Self>, worker: &Worker) {
        self.break_watch(worker);
        self.transaction.clear_watch();
    }

    /// A request goes over another dedicated lane than the pinned one.
    pub(crate) fn mark_watch_unused(&self) {
        self.transaction
            .with_watch(|watch| watch.is_used.set(false));
    }
}

/// Dispatches `WATCH`. `slot` is `None` if its keys are in several.
pub fn watch(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    request: &Request,
    slot: Option<Slot>,
    namespace: NamespaceId,
) -> Dispatched {
    let Some(slot) = slot else {
        return refuse(worker, client, slotmux_core::route::CROSS_SLOT);
    };
    let before = client.transaction.watch();
    if before.as_ref().is_some_and(|watch| !watch.covers(slot)) {
        return refuse(worker, client, OTHER_SLOT);
    }
    // Nothing else of this client is in flight with WATCH, so that later reads run behind it.
    if !try_dedicated(client) {
        return Dispatched::Deferred;
    }
    if before.is_some_and(|watch| !watch.is_intact(client)) {
        // As in Redis, one more key changes nothing once EXEC is bound to reply nil.
        worker.stats.answered_locally.inc();
        reply_here(worker, client, b"+OK\r\n");
        return Dispatched::Accepted;
    }
    let sending = Sending::as_is(request, false, namespace, ReplyConversion::AsIs);
    let kind = |is_asking| OnReply::Watch {
        is_awaited: true,
        is_asking,
    };
    match pinned(client, slot) {
        Some(pinned) => {
            let mut entry = entry(worker, client, Some(slot), &sending);
            entry.kind = kind(pinned.watch.is_asking);
            pinned.send(worker, client, entry, request.bytes.to_vec());
        }
        None => {
            let mut entry = entry(worker, client, Some(slot), &sending);
            entry.kind = kind(false);
            client.upstream.set_dedicated(true);
            worker.send_again(entry, request.bytes.to_vec());
        }
    }
    client.await_replies();
    Dispatched::Accepted
}

/// The node watches what `entry` named.
pub fn watch_holds(worker: &Worker, lane: &Rc<Lane>, entry: &InFlight) {
    let client = &entry.client;
    let OnReply::Watch {
        is_awaited,
        is_asking,
    } = entry.kind
    else {
        return;
    };
    // Its name is one of them.
    let keys = lane.arguments_of(entry).saturating_sub(1);
    if lane.is_pinned_by(client) {
        client.transaction.with_watch(|watch| watch.add_keys(keys));
        return;
    }
    // A client that watched before has lost that connection; the others are no longer waiting.
    if client.transaction.has_watch() || client.is_closed() || !is_awaited {
        return lane.unwatch(worker, client);
    }
    lane.pin(client);
    let is_one_node = worker.map.topology.borrow().kind == UpstreamKind::Standalone;
    client.transaction.set_watch(Watch {
        slot: entry.slot.get().filter(|_| !is_one_node),
        lane: lane.clone(),
        is_asking,
        is_used: Cell::new(true),
        keys: Cell::new(keys),
    });
}

/// The pinned lane of a command in a watched slot.
pub struct Pinned {
    watch: Rc<Watch>,
}

/// The pinned lane for `slot`, if it is watched.
#[inline]
pub fn pinned(client: &Client, slot: Slot) -> Option<Pinned> {
    if !client.transaction.has_watch() {
        return None;
    }
    client.watch_of(slot).map(|watch| Pinned { watch })
}

impl Pinned {
    /// The pinned lane of a watch that holds.
    pub fn to(watch: &Rc<Watch>) -> Pinned {
        Pinned {
            watch: watch.clone(),
        }
    }

    /// Pauses the client while it has something in flight elsewhere, or the lane is full. Returns whether the lane can be used
    /// now.
    pub fn try_use(&self, worker: &Worker, client: &Rc<Client>) -> bool {
        let is_here = client.upstream.is_dedicated() && self.watch.is_used.get();
        if !is_here && !try_dedicated(client) {
            return false;
        }
        if self.watch.lane.is_full(worker) {
            self.watch.lane.wait(worker, client);
            return false;
        }
        true
    }

    /// Sends a command, or a block of them.
    pub fn send(self, worker: &Worker, client: &Client, entry: InFlight, bytes: Vec<u8>) {
        client.upstream.set_dedicated(true);
        self.watch.is_used.set(true);
        if worker.is_big(bytes.len()) {
            client.add_request_bytes(worker, bytes.len());
        }
        let lane = &self.watch.lane;
        lane.send_scripts_ahead(worker, &entry, &bytes);
        if self.watch.is_asking {
            lane.send_asking(worker, &entry);
        }
        lane.send_owned(worker, entry, bytes);
    }

    /// Sends a request for the watched slot.
    pub fn take(
        self,
        worker: &Worker,
        client: &Rc<Client>,
        slot: Slot,
        sending: &Sending,
    ) -> Dispatched {
        if !self.try_use(worker, client) {
            return Dispatched::Deferred;
        }
        let entry = entry(worker, client, Some(slot), sending);
        track(worker, client, None, &entry, sending);
        let lane = &self.watch.lane;
        lane.send_script_ahead(worker, &entry, sending.request);
        self.send(worker, client, entry, sending.bytes.to_vec());
        Dispatched::Accepted
    }
}

/// A dedicated lane to `node`. A client that keeps one for its WATCH never waits for a second one to keep: two such clients
/// could wait for each other.
pub fn dedicated_lane_for(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    node: NodeId,
    of: LaneUse,
) -> Result<Rc<Lane>, NotSent> {
    let watch = client.transaction.watch();
    if of == LaneUse::BlockOrWatch && watch.is_some_and(|watch| watch.lane.is_pinned_by(client)) {
        let lane = worker.free_lane(node, client, of);
        return lane.ok_or_else(|| {
            refuse_no_lane(worker, client, of);
            NotSent::Refused
        });
    }
    worker.dedicated_lane(node, client, of)
}

/// Answers EXEC as Redis does where a watched key has changed.
pub(crate) fn answer_nil(worker: &Worker, client: &Rc<Client>) -> Dispatched {
    let mut nil = Vec::new();
    write::null_array(&mut nil, client.session.protocol());
    worker.stats.answered_locally.inc();
    reply_here(worker, client, &nil);
    Dispatched::Accepted
}
