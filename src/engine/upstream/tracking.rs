//! CLIENT TRACKING, upstream: the keys that clients have read over a shared lane and whose changes they want reported.
//!
//! The node tracks a connection, not a client. So each lane keeps the readers of each key, from the moment in which the reply
//! comes: an invalidation between two replies then finds exactly the clients that have read the key before it. Where the node
//! no longer reports a key, slotmux sends the invalidation itself.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use crate::engine::client::Client;
use crate::engine::client::tracking::{FORGET_ALL, INVALIDATE, invalidation, tracked_keys};
use crate::engine::worker::Worker;
use slotmux_core::resp::{Limits, scan_request};
use slotmux_core::slot::{OptionalSlot, Slot, slot_of};

use crate::engine::upstream::NodeId;
use crate::engine::upstream::inflight::{InFlight, OnReply};
use crate::engine::upstream::lane::Lane;

const TRACKING: &[u8] = b"*4\r\n$6\r\nCLIENT\r\n$8\r\nTRACKING\r\n$2\r\nON\r\n$5\r\nOPTIN\r\n";
const CACHING: &[u8] = b"*3\r\n$6\r\nCLIENT\r\n$7\r\nCACHING\r\n$3\r\nYES\r\n";

/// Errors of a node that may accept CLIENT TRACKING later.
const TEMPORARY_ERRORS: [&[u8]; 2] = [b"-BUSY", b"-LOADING"];

/// Size of the table of one lane. Beyond it keys are evicted, and their readers get invalidations.
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// Bytes of an entry besides its key.
const ENTRY: usize = 96;

/// A client that has read a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct Reader {
    id: u64,
    /// Its place in the worker's table of clients.
    place: usize,
}

/// Clients that have read one key, in order.
type Readers = Vec<Reader>;

/// The clients that have read each key.
#[derive(Default)]
struct Table {
    slots: HashMap<Slot, HashMap<Box<[u8]>, Readers>>,
    bytes: usize,
}

/// The tracking of one connection.
#[derive(Default)]
pub struct Tracked {
    /// Whether the node was asked to track the reads of this lane.
    is_requested: Cell<bool>,
    /// Whether it tracks what the next command reads.
    is_next_tracked: Cell<bool>,
    table: RefCell<Table>,
}

impl Table {
    fn add(&mut self, slot: Slot, key: &[u8], reader: Reader) {
        let keys = self.slots.entry(slot).or_default();
        match keys.get_mut(key) {
            Some(readers) => {
                if let Err(place) = readers.binary_search(&reader) {
                    readers.insert(place, reader);
                    self.bytes += size_of::<Reader>();
                }
            }
            None => {
                self.bytes += cost(key, 1);
                keys.insert(key.into(), vec![reader]);
            }
        }
    }

    fn take(&mut self, key: &[u8]) -> Readers {
        let slot = slot_of(key);
        let Some(keys) = self.slots.get_mut(&slot) else {
            return Readers::new();
        };
        let readers = keys.remove(key).unwrap_or_default();
        if keys.is_empty() {
            self.slots.remove(&slot);
        }
        if !readers.is_empty() {
            self.bytes -= cost(key, readers.len());
        }
        readers
    }

    fn take_slot(&mut self, slot: Slot) -> HashMap<Box<[u8]>, Readers> {
        let keys = self.slots.remove(&slot).unwrap_or_default();
        for (key, readers) in &keys {
            self.bytes -= cost(key, readers.len());
        }
        keys
    }

    /// Takes keys out, whichever, until it holds no more than `most` bytes.
    fn shrink(&mut self, most: usize) -> Vec<(Box<[u8]>, Readers)> {
        let mut taken = Vec::new();
        while self.bytes > most {
            let any = self
                .slots
                .values()
                .next()
                .and_then(|keys| keys.keys().next());
            let Some(key) = any.cloned() else {
                break;
            };
            let readers = self.take(&key);
            taken.push((key, readers));
        }
        taken
    }

    fn readers(&self) -> BTreeSet<Reader> {
        let keys = self.slots.values().flat_map(HashMap::values);
        keys.flatten().copied().collect()
    }
}

fn cost(key: &[u8], readers: usize) -> usize {
    key.len() + ENTRY + readers * size_of::<Reader>()
}

impl Reader {
    fn of(client: &Client) -> Reader {
        Reader {
            id: client.id,
            place: client.key,
        }
    }

    /// The client, if it is there still.
    fn client(self, worker: &Worker) -> Option<Rc<Client>> {
        let client = worker.clients.at(self.place)?;
        (client.id == self.id).then_some(client)
    }
}

impl Lane {
    /// Makes the node track what `entry` reads, which has to follow at once.
    pub fn send_caching(self: &Rc<Self>, worker: &Worker, entry: &InFlight) {
        let ahead = |kind, bytes: &[u8]| InFlight {
            len: bytes.len() as u32,
            kind,
            slot: OptionalSlot::NONE,
            write: false,
            ..entry.clone()
        };
        if !self.tracked.is_requested.replace(true) {
            self.send(worker, ahead(OnReply::Tracking, TRACKING), TRACKING);
        }
        self.send(worker, ahead(OnReply::Caching, CACHING), CACHING);
    }

    /// Takes the reply to `CLIENT TRACKING`.
    pub(super) fn take_tracking(&self, reply: &[u8]) {
        if TEMPORARY_ERRORS
            .iter()
            .any(|error| reply.starts_with(error))
        {
            self.tracked.is_requested.set(false);
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
        let (limits, mut args) = (Limits::ACCEPTED, Vec::new());
        if what.first() != Some(&b'*') || scan_request(what, &limits, &mut args).is_err() {
            // The node has lost all its keys.
            let readers = self.tracked.table.take().readers();
            for client in readers.iter().filter_map(|reader| reader.client(worker)) {
                client.invalidate(worker, push);
            }
            return;
        }
        for key in args.iter().map(|key| key.of(what)) {
            let readers = self.tracked.table.borrow_mut().take(key);
            if readers.is_empty() {
                continue;
            }
            let frame = within_memory(worker, invalidation(&[key]), readers.len());
            for client in readers.iter().filter_map(|reader| reader.client(worker)) {
                client.invalidate(worker, &frame);
            }
        }
    }

    /// The connection is gone: the node reports none of its keys, so their readers forget everything.
    pub(super) fn invalidate_tracked(&self, worker: &Worker) {
        self.forget_tracking();
        let readers = self.tracked.table.take().readers();
        for client in readers.iter().filter_map(|reader| reader.client(worker)) {
            client.invalidate_behind_all(worker, FORGET_ALL);
        }
    }

    /// Forgets that tracking was requested: it has to be requested again on the next connection.
    pub(super) fn forget_tracking(&self) {
        self.tracked.is_requested.set(false);
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

/// The frame for so many clients. Where it does not fit into the memory budget they get a short one, by which they forget
/// everything.
fn within_memory(worker: &Worker, frame: Vec<u8>, clients: usize) -> Vec<u8> {
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
        if let Some(client) = reader.client(worker) {
            keys.sort_unstable();
            let keys: Vec<&[u8]> = keys.iter().map(|key| &**key).collect();
            let frame = within_memory(worker, invalidation(&keys), 1);
            client.invalidate_behind_all(worker, &frame);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(id: u64) -> Reader {
        Reader { id, place: 0 }
    }

    fn add(table: &mut Table, key: &str, id: u64) {
        table.add(slot_of(key.as_bytes()), key.as_bytes(), reader(id));
    }

    #[test]
    fn a_key_has_each_of_its_readers_once() {
        let mut table = Table::default();
        for id in [3, 1, 3, 2, 1] {
            add(&mut table, "a", id);
        }
        add(&mut table, "b", 9);
        assert_eq!(table.take(b"a"), [reader(1), reader(2), reader(3)]);
        assert_eq!(table.take(b"a"), []);
        assert_eq!(table.readers().len(), 1);
        assert_eq!(table.take(b"b"), [reader(9)]);
        assert!(table.slots.is_empty());
        assert_eq!(table.bytes, 0);
    }

    #[test]
    fn a_slot_goes_as_a_whole() {
        let mut table = Table::default();
        for key in ["{s}1", "{s}2", "t"] {
            add(&mut table, key, 1);
        }
        assert_eq!(table.take_slot(slot_of(b"s")).len(), 2);
        assert_eq!(table.take(b"t"), [reader(1)]);
        assert_eq!(table.bytes, 0);
    }

    #[test]
    fn it_is_bounded_and_says_what_it_forgets() {
        let mut table = Table::default();
        let most = 10 * cost(b"k00", 1);
        let mut forgotten = Vec::new();
        for i in 0..50 {
            add(&mut table, &format!("k{i:02}"), 1);
            forgotten.extend(table.shrink(most).into_iter().map(|(key, _)| key));
            assert!(table.bytes <= most);
        }
        let kept = (0..50)
            .map(|i| format!("k{i:02}"))
            .filter(|key| !table.take(key.as_bytes()).is_empty())
            .inspect(|key| assert!(!forgotten.contains(&key.as_bytes().into())))
            .count();
        assert_eq!((kept, forgotten.len()), (10, 40));
    }
}
