//! WATCH: the client keeps a dedicated lane from its first WATCH to the end of the transaction, one for each watched slot.
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
use slotmux_core::command::split::SplitShape;
use slotmux_core::policy::{NamespaceId, ReplyConversion};
use slotmux_core::resp::{Limits, scan_request, write};
use slotmux_core::route::MOST_ARGS;
use slotmux_core::route::parts::{keys_by_slot, write_part};
use slotmux_core::slot::Slot;

use crate::engine::client::Client;
use crate::engine::client::dispatch::{Dispatched, NotSent, refuse};
use crate::engine::client::forward::{
    Sending, answer as reply_here, entry, refuse_no_lane, track, try_dedicated,
};
use slotmux_core::resp::request::Request;

/// Slots whose keys a client may watch at the same time: it keeps a connection for each of them.
const MOST_SLOTS: usize = 16;

const TOO_MANY_SLOTS: &str =
    "CROSSSLOT slotmux: keys of more than 16 slots can't be watched at the same time";
/// It is divided in one turn.
const TOO_MANY_KEYS: &str =
    "CROSSSLOT slotmux: a WATCH of keys in several slots must have fewer than 16,384 keys";

/// The watched keys of a client in one slot.
pub struct Watch {
    /// The slot of all keys; `None` if one node has every slot.
    slot: Option<Slot>,
    /// The first of the keys.
    key: Box<[u8]>,
    /// The lane on which the node watches; this client's while it is pinned by it.
    lane: Rc<Lane>,
    /// Whether every command on that lane needs an ASKING.
    is_asking: bool,
    /// Whether the client's requests in flight are on that lane.
    is_used: Cell<bool>,
    /// The watch of another slot.
    older: Option<Rc<Watch>>,
    /// Number of keys in its requests.
    keys: Cell<usize>,
}

/// The parts of a WATCH that are still to be sent, one for each slot, the next one last.
pub type WatchParts = Vec<(Slot, Vec<u8>)>;

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

    /// Its slot, and one of its keys; `None` where one node has every slot.
    pub fn place(&self) -> Option<(Slot, &[u8])> {
        self.slot.map(|slot| (slot, &*self.key))
    }

    /// The next watch of its client.
    pub fn older(&self) -> Option<&Rc<Watch>> {
        self.older.as_ref()
    }

    /// Bytes that it holds.
    fn held(&self) -> usize {
        self.key.len()
    }

    /// Ends it: the lane is free for other clients once the node has confirmed that.
    pub fn end(&self, worker: &Worker, client: &Rc<Client>) {
        if self.lane.is_pinned_by(client) {
            self.lane.unwatch(worker, client);
        }
    }
}

impl Client {
    /// Its watched keys in `slot`, if the watch holds.
    fn watch_of(&self, slot: Slot) -> Option<Rc<Watch>> {
        let mut watches = self.transaction.watches().into_iter();
        watches.find(|watch| watch.covers(slot) && watch.is_intact(self))
    }

    /// The slot of its first watch: commands without keys run there. `None` if it watches nothing, or one node has every
    /// slot.
    pub(crate) fn watched_slot(&self) -> Option<Slot> {
        let watches = self.transaction.watches();
        watches.last().and_then(|watch| watch.slot)
    }

    /// Bytes that its watches hold.
    pub(crate) fn watched(&self) -> usize {
        if !self.transaction.has_watch() {
            return 0;
        }
        let watches = self.transaction.watches();
        watches.iter().map(|watch| watch.held()).sum()
    }

    /// A watched key may have changed unseen: EXEC replies nil. The lanes are free for other clients.
    pub fn break_watch(self: &Rc<Self>, worker: &Worker) {
        for watch in self.transaction.watches() {
            watch.end(worker, self);
        }
    }

    /// Ends its watch.
    pub fn end_watch(self: &Rc<Self>, worker: &Worker) {
        if self.transaction.has_watch() {
            self.break_watch(worker);
            self.transaction.clear_watches();
            self.charge_buffers(worker);
        }
    }

    /// A request goes over another lane than the pinned ones.
    pub(crate) fn mark_watch_unused(&self) {
        if self.transaction.has_watch() {
            let watches = self.transaction.watches();
            watches.iter().for_each(|watch| watch.is_used.set(false));
        }
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
    if slot.is_none() && request.argc() > MOST_ARGS {
        return refuse(worker, client, TOO_MANY_KEYS);
    }
    let mut parts = match slot {
        Some(slot) => vec![(slot, request.bytes.to_vec())],
        None => parts_of(request),
    };
    let watches = client.transaction.watches();
    let is_new = |slot: Slot| !watches.iter().any(|watch| watch.covers(slot));
    let new = parts.iter().filter(|(slot, _)| is_new(*slot)).count();
    if watches.len() + new > MOST_SLOTS {
        return refuse(worker, client, TOO_MANY_SLOTS);
    }
    // Nothing else of this client is in flight with WATCH, so that later reads run behind it.
    if !try_dedicated(client) {
        return Dispatched::Deferred;
    }
    if watches.iter().any(|watch| !watch.is_intact(client)) {
        // As in Redis, one more key changes nothing once EXEC is bound to reply nil.
        worker.stats.answered_locally.inc();
        reply_here(worker, client, b"+OK\r\n");
        return Dispatched::Accepted;
    }
    let sending = Sending::as_is(request, false, namespace, ReplyConversion::AsIs);
    let entry = entry(worker, client, slot, &sending);
    client.upstream.set_dedicated(true);
    if worker.is_big(request.bytes.len()) {
        client.add_request_bytes(worker, request.bytes.len());
    }
    parts.reverse();
    watch_next(worker, entry, parts);
    client.await_replies();
    Dispatched::Accepted
}

/// All arguments of WATCH are keys.
const KEYS: SplitShape = SplitShape::of_step(1);

/// One WATCH for each slot of a request's keys.
fn parts_of(request: &Request) -> WatchParts {
    let keys = keys_by_slot(request, KEYS);
    let groups = keys.chunk_by(|(slot, _), (other, _)| slot == other);
    let part = |group: &[(Slot, u32)]| {
        let mut part = Vec::new();
        write_part(request, group, KEYS, &mut part);
        (group[0].0, part)
    };
    groups.map(part).collect()
}

/// Sends the next part of a WATCH; `entry` is that of the part before it. One after the other: each keeps a lane.
pub fn watch_next(worker: &Rc<Worker>, mut entry: InFlight, mut parts: WatchParts) {
    let Some((slot, bytes)) = parts.pop() else {
        return;
    };
    let client = entry.client.clone();
    let pinned = pinned(&client, slot);
    let is_asking = pinned.as_ref().is_some_and(|pinned| pinned.watch.is_asking);
    entry.kind = OnReply::Watch {
        is_awaited: true,
        is_asking,
        behind: (!parts.is_empty()).then(|| Rc::new(parts)),
    };
    entry.slot = Some(slot).into();
    entry.len = bytes.len() as u32;
    entry.tries = 0;
    match pinned {
        Some(pinned) => pinned.send(worker, &client, entry, bytes),
        None => worker.send_again(entry, bytes),
    }
}

/// The node watches the keys of `entry`; `request` are its bytes.
pub fn watch_holds(worker: &Worker, lane: &Rc<Lane>, entry: &InFlight, request: &[u8]) {
    let client = &entry.client;
    let OnReply::Watch {
        is_awaited,
        is_asking,
        ..
    } = entry.kind
    else {
        return;
    };
    // Its name is one of them.
    let keys = lane.arguments_of(entry).saturating_sub(1);
    if lane.is_pinned_by(client) {
        let watches = client.transaction.watches();
        let of_lane = watches.iter().find(|watch| Rc::ptr_eq(&watch.lane, lane));
        if let Some(watch) = of_lane {
            watch.add_keys(keys);
        }
        return;
    }
    let slot = entry.slot.get();
    let is_one_node = worker.map.topology.borrow().kind == UpstreamKind::Standalone;
    let slot = slot.filter(|_| !is_one_node);
    let watches = client.transaction.watches();
    let was_watched = match slot {
        Some(slot) => watches.iter().any(|watch| watch.covers(slot)),
        None => !watches.is_empty(),
    };
    // A client that already watched this slot has lost that connection; a closed or unawaited one does not wait.
    if was_watched || client.is_closed() || !is_awaited {
        return lane.unwatch(worker, client);
    }
    lane.pin(client);
    let mut args = Vec::new();
    // It was written by slotmux, or scanned on arrival, so this cannot fail.
    let _ = scan_request(request, &Limits::ACCEPTED, &mut args);
    let request = Request {
        bytes: request,
        args: &args,
    };
    client.transaction.add_watch(Watch {
        slot,
        key: request.arg(1).into(),
        lane: lane.clone(),
        is_asking,
        is_used: Cell::new(true),
        older: client.transaction.newest_watch(),
        keys: Cell::new(keys),
    });
    client.charge_buffers(worker);
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
        client.mark_watch_unused();
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
    let watches = client.transaction.watches();
    let keeps_one = watches.iter().any(|watch| watch.lane.is_pinned_by(client));
    if of == LaneUse::BlockOrWatch && keeps_one {
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
