//! CLIENT TRACKING, upstream: the keys that clients have read over a shared lane and whose changes they want reported.
//!
//! The node tracks a connection, not a client. So each lane keeps the readers of each key, from the moment in which the reply
//! comes: an invalidation between two replies then finds exactly the clients that have read the key before it. Where the node
//! no longer reports a key, slotmux sends the invalidation itself.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::engine::announcing::announcer::Changed;
use crate::engine::client::Client;
use crate::engine::client::tracking::{FORGET_ALL, INVALIDATE, invalidation, tracked_keys};
use crate::engine::worker::Worker;
use slotmux_core::answer::tracking::Tracking;
use slotmux_core::resp::{Limits, Protocol, scan_request, write};
use slotmux_core::slot::{OptionalSlot, Slot, slot_of};

use crate::engine::upstream::NodeId;
use crate::engine::upstream::inflight::{InFlight, OnReply};
use crate::engine::upstream::lane::Lane;
use crate::engine::upstream::own_lanes::OwnLane;
use crate::engine::upstream::reader_table::{Reader, Readers, Table};

const CACHING: &[u8] = b"*3\r\n$6\r\nCLIENT\r\n$7\r\nCACHING\r\n$3\r\nYES\r\n";

/// Errors of a node that may accept CLIENT TRACKING later.
const TEMPORARY_ERRORS: [&[u8]; 2] = [b"-BUSY", b"-LOADING"];

/// Size of the table of one lane. Beyond it keys are evicted, and their readers get invalidations.
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// The connection that gets the invalidations of a lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Receiver {
    /// Itself.
    Lane,
    /// The announcer with this id at the node: there are no pushes in RESP2.
    Announcer(u64),
}

/// The tracking of one connection.
#[derive(Default)]
pub struct Tracked {
    /// How the node was asked to track the reads of this lane, if it was.
    requested: Cell<Option<Receiver>>,
    /// Whether it tracks what the next command reads.
    is_next_tracked: Cell<bool>,
    table: RefCell<Table>,
    /// Its client, if it has it for itself.
    pub(super) own: OnceCell<OwnLane>,
}

impl Tracked {
    /// Forgets the readers of all keys.
    pub(super) fn drop_readers(&self) {
        self.table.take();
    }
}

impl Lane {
    /// The connection that its invalidations would come over. `None`: it does not exist yet.
    pub(super) fn receiver(&self, worker: &Worker) -> Option<Receiver> {
        match self.protocol {
            Protocol::Resp3 => Some(Receiver::Lane),
            Protocol::Resp2 => {
                let id = worker.announcements.reads_id(self.node);
                id.map(Receiver::Announcer)
            }
        }
    }

    /// Whether invalidations of keys read over it reach slotmux.
    pub fn has_announcements(&self, worker: &Worker) -> bool {
        self.receiver(worker).is_some()
    }

    /// Makes the node track the read `entry`, which has to follow at once. `own` are the bytes of the client's request.
    pub fn send_caching(self: &Rc<Self>, worker: &Worker, entry: &InFlight, own: &[u8]) {
        let Some(receiver) = self.receiver(worker) else {
            return;
        };
        let ahead = |kind, bytes: &[u8]| InFlight {
            len: bytes.len() as u32,
            kind,
            slot: OptionalSlot::NONE,
            write: false,
            ..entry.clone()
        };
        if let Some(own) = self.tracked.own.get() {
            self.settle_own(worker, own, &entry.client);
        } else if self.tracked.requested.replace(Some(receiver)) != Some(receiver) {
            let request = receiver.request(Tracking::default(), &[]);
            self.send(worker, ahead(OnReply::Tracking, &request), &request);
        }
        self.send(worker, ahead(OnReply::Caching, CACHING), CACHING);
        if let Receiver::Announcer(_) = receiver {
            // The announcer may be faster than the reply.
            let mut table = self.tracked.table.borrow_mut();
            let reader = Reader::of(&entry.client);
            tracked_keys(worker, own, |key| table.add(slot_of(key), key, reader));
            let evicted = table.shrink(MOST_BYTES);
            drop(table);
            send_invalidations(worker, evicted);
        }
    }

    /// Takes the reply to `CLIENT TRACKING`.
    pub(super) fn take_tracking(&self, worker: &Worker, reply: &[u8]) {
        if let Some(own) = self.tracked.own.get() {
            own.take_tracking(worker, self.node, reply);
        }
        if TEMPORARY_ERRORS
            .iter()
            .any(|error| reply.starts_with(error))
        {
            self.tracked.requested.set(None);
        } else if reply[0] == b'-' {
            let error = String::from_utf8_lossy(&reply[1..]);
            tracing::warn!(node = %self.addr, error = error.trim_end(),
                "node refuses CLIENT TRACKING: clients that track invalidate their whole cache after each read");
        }
    }

    /// Takes the reply to `CLIENT CACHING` ahead of a command of this client.
    pub(super) fn take_caching(&self, worker: &Worker, entry: &InFlight, failed: bool) {
        if failed {
            entry.client.forget_behind(worker, entry.seq);
        } else {
            self.tracked.is_next_tracked.set(true);
        }
    }

    /// Takes the mark that the node tracks the keys read by the command that is answered now.
    #[inline]
    pub(super) fn take_is_tracked(&self) -> bool {
        self.tracked.is_next_tracked.get() && self.tracked.is_next_tracked.replace(false)
    }

    /// Notes what `entry`, the oldest command, has read just now.
    #[cold]
    pub(super) fn note_read(&self, worker: &Worker, entry: &InFlight) {
        let client = &entry.client;
        if client.is_closed() || !client.tracks() {
            return;
        }
        let reader = Reader::of(client);
        let ring = self.ring().borrow();
        let mut table = self.tracked.table.borrow_mut();
        let mut elsewhere: Vec<Vec<u8>> = Vec::new();
        tracked_keys(worker, ring.front(entry.len as usize), |key| {
            let slot = slot_of(key);
            if worker.map.slots.owner(slot) == Some(self.node) {
                table.add(slot, key, reader);
            } else {
                elsewhere.push(key.to_vec());
            }
        });
        let evicted = table.shrink(MOST_BYTES);
        drop((ring, table));
        // The slot has left while the reply was on its way.
        let left = elsewhere.into_iter().map(|key| (key.into(), vec![reader]));
        send_invalidations(worker, left.chain(evicted));
    }

    /// Takes a push of the node. Only invalidations are of use.
    pub(super) fn take_push(&self, worker: &Worker, push: &[u8]) {
        let Some(what) = push.strip_prefix(INVALIDATE) else {
            return;
        };
        if let Some(own) = self.tracked.own.get()
            && let Some(client) = own.broadcast_client(worker)
        {
            return client.invalidate_behind_all(worker, push);
        }
        let (limits, mut args) = (Limits::ACCEPTED, Vec::new());
        if what.first() != Some(&b'*') || scan_request(what, &limits, &mut args).is_err() {
            // The node has lost all its keys.
            let readers = self.tracked.table.take().readers();
            for client in readers
                .iter()
                .filter_map(|reader| reader.reading_client(worker))
            {
                client.invalidate(worker, push);
            }
            return;
        }
        for key in args.iter().map(|key| key.of(what)) {
            self.invalidate_readers(worker, key, |client, frame| {
                client.invalidate(worker, frame)
            });
        }
    }

    /// Gives the readers of `key` to `tell`, with the frame that invalidates it.
    fn invalidate_readers(
        &self,
        worker: &Worker,
        key: &[u8],
        mut tell: impl FnMut(&Rc<Client>, &[u8]),
    ) {
        let readers = self.tracked.table.borrow_mut().take(key);
        if readers.is_empty() {
            return;
        }
        let frame = within_memory(worker, invalidation(&[key]), readers.len());
        for client in readers
            .iter()
            .filter_map(|reader| reader.reading_client(worker))
        {
            tell(&client, &frame);
        }
    }

    /// The connection is gone: the node reports none of its keys, so their readers forget everything.
    pub(super) fn invalidate_tracked(&self, worker: &Worker) {
        self.forget_tracking();
        if let Some(own) = self.tracked.own.get() {
            own.lost(worker);
        }
        self.forget_readers(worker);
    }

    fn forget_readers(&self, worker: &Worker) {
        let readers = self.tracked.table.take().readers();
        for client in readers
            .iter()
            .filter_map(|reader| reader.reading_client(worker))
        {
            client.invalidate_behind_all(worker, FORGET_ALL);
        }
    }

    /// Forgets that tracking was requested: it has to be requested again on the next connection.
    pub(super) fn forget_tracking(&self) {
        self.tracked.requested.set(None);
        if let Some(own) = self.tracked.own.get() {
            own.restart();
        }
        self.tracked.is_next_tracked.set(false);
    }
}

impl Worker {
    /// Enters that `node` serves `slot`.
    pub fn set_owner(&self, slot: Slot, node: NodeId) {
        if self.map.slots.set(slot, Some(node)) {
            self.slots_have_moved(&[slot]);
        }
    }

    /// These slots have another owner: the previous one sends no invalidations for earlier reads.
    pub fn slots_have_moved(&self, slots: &[Slot]) {
        self.retries.serve(slots);
        for lane in self.lanes() {
            let mut table = lane.tracked.table.borrow_mut();
            if table.slots.is_empty() {
                continue;
            }
            let has_left = |slot: &&Slot| self.map.slots.owner(**slot) != Some(lane.node);
            let keys: Vec<_> = slots
                .iter()
                .filter(has_left)
                .flat_map(|&slot| table.take_slot(slot))
                .collect();
            drop(table);
            send_invalidations(self, keys);
        }
    }
}

impl Worker {
    pub(super) fn lanes_of_resp2(&self, node: NodeId) -> impl Iterator<Item = Rc<Lane>> {
        let lanes = self.lanes().into_iter();
        lanes.filter(move |lane| lane.node == node && lane.protocol == Protocol::Resp2)
    }

    /// The announcer of `node` reports changes of keys that were read over connections of RESP2.
    pub fn changed_reads(&self, node: NodeId, changed: &Changed) {
        if let Changed::Keys(keys) = changed {
            self.announcements.changed_for_owners(self, keys);
        }
        for lane in self.lanes_of_resp2(node) {
            match changed {
                Changed::All => {
                    if let Some(own) = lane.tracked.own.get() {
                        own.forget(self);
                    }
                    lane.forget_readers(self);
                }
                Changed::Keys(keys) => {
                    for key in *keys {
                        lane.invalidate_readers(self, key, |client, frame| {
                            client.invalidate_behind_all(self, frame);
                        });
                    }
                }
            }
        }
    }

    /// The announcer of `node` is lost: changes of keys read over connections of RESP2 may have been missed.
    pub fn forget_reads(&self, node: NodeId) {
        for lane in self.lanes_of_resp2(node) {
            if let Some(own) = lane.tracked.own.get() {
                own.lost(self);
            }
            lane.forget_readers(self);
        }
    }
}

impl Receiver {
    /// The request that makes the node track for it: its reads, or `prefixes`.
    pub(super) fn request(self, tracking: Tracking, prefixes: &[&[u8]]) -> Vec<u8> {
        let mut words: Vec<&[u8]> = vec![b"CLIENT", b"TRACKING", b"ON"];
        words.push(if tracking.is_broadcast() {
            b"BCAST"
        } else {
            b"OPTIN"
        });
        if tracking.noloop {
            words.push(b"NOLOOP");
        }
        let id = match self {
            Receiver::Lane => None,
            Receiver::Announcer(id) => Some(id.to_string()),
        };
        if let Some(id) = &id {
            words.extend([&b"REDIRECT"[..], id.as_bytes()]);
        }
        for prefix in prefixes {
            words.extend([&b"PREFIX"[..], prefix]);
        }
        let mut request = Vec::new();
        write::request(&mut request, &words);
        request
    }
}

/// The frame for so many clients. Where it does not fit into the memory budget they get a short one, by which they forget
/// everything.
pub fn within_memory(worker: &Worker, frame: Vec<u8>, clients: usize) -> Vec<u8> {
    if worker.reserve_pushes(&frame, clients) {
        frame
    } else {
        FORGET_ALL.to_vec()
    }
}

/// Sends invalidations of keys that are no longer tracked: one push per client, with sorted keys.
fn send_invalidations(worker: &Worker, keys: impl IntoIterator<Item = (Box<[u8]>, Readers)>) {
    let mut by_reader: BTreeMap<Reader, Vec<Rc<[u8]>>> = BTreeMap::new();
    for (key, readers) in keys {
        let key: Rc<[u8]> = key.into();
        for reader in readers {
            by_reader.entry(reader).or_default().push(key.clone());
        }
    }
    for (reader, mut keys) in by_reader {
        if let Some(client) = reader.reading_client(worker) {
            keys.sort_unstable();
            let keys: Vec<&[u8]> = keys.iter().map(|key| &**key).collect();
            let frame = within_memory(worker, invalidation(&keys), 1);
            client.invalidate_behind_all(worker, &frame);
        }
    }
}
