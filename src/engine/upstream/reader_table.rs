//! The clients that have read each key over a lane, bounded in bytes.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use crate::engine::client::Client;
use crate::engine::worker::Worker;
use slotmux_core::slot::{Slot, slot_of};

/// Bytes of an entry besides its key.
const ENTRY: usize = 96;

/// A client that has read a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Reader {
    pub(super) id: u64,
    /// Its place in the worker's table of clients.
    place: usize,
}

/// Clients that have read one key, in order.
pub(super) type Readers = Vec<Reader>;

/// The clients that have read each key.
#[derive(Default)]
pub(super) struct Table {
    pub(super) slots: HashMap<Slot, HashMap<Box<[u8]>, Readers>>,
    bytes: usize,
}

impl Table {
    pub(super) fn add(&mut self, slot: Slot, key: &[u8], reader: Reader) {
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

    pub(super) fn take(&mut self, key: &[u8]) -> Readers {
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

    pub(super) fn take_slot(&mut self, slot: Slot) -> HashMap<Box<[u8]>, Readers> {
        let keys = self.slots.remove(&slot).unwrap_or_default();
        for (key, readers) in &keys {
            self.bytes -= cost(key, readers.len());
        }
        keys
    }

    /// Removes keys, in any order, until it holds at most `most` bytes.
    pub(super) fn shrink(&mut self, most: usize) -> Vec<(Box<[u8]>, Readers)> {
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

    pub(super) fn readers(&self) -> BTreeSet<Reader> {
        let keys = self.slots.values().flat_map(HashMap::values);
        keys.flatten().copied().collect()
    }
}

fn cost(key: &[u8], readers: usize) -> usize {
    key.len() + ENTRY + readers * size_of::<Reader>()
}

impl Reader {
    pub(super) fn of(client: &Client) -> Reader {
        Reader {
            id: client.id,
            place: client.key,
        }
    }

    /// The client, if it is there still.
    pub(super) fn client(self, worker: &Worker) -> Option<Rc<Client>> {
        let client = worker.clients.at(self.place)?;
        (client.id == self.id).then_some(client)
    }

    /// The client, if it still tracks its reads. As in Redis, one that tracks prefixes does not.
    pub(super) fn reading_client(self, worker: &Worker) -> Option<Rc<Client>> {
        let client = self.client(worker)?;
        (!client.session.tracking().is_broadcast()).then_some(client)
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
