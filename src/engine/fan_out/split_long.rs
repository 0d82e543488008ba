//! A long command whose keys are in several slots, split into its parts in slices: the slot of each key, the keys
//! ordered by slot, the bytes of each part. Sending is one step, so that all parts are sent or none.

use std::rc::Rc;

use crate::engine::client::Client;
use crate::engine::client::long_request::{
    KeptRequest, LongRequest, Portion, Progress, SLICE, SLICE_BYTES,
};
use crate::engine::worker::Worker;
use slotmux_core::command::split::SplitShape;
use slotmux_core::command::{HeldCommand, Merge};
use slotmux_core::policy::{NamespaceId, ReplyConversion};
use slotmux_core::resp::request::Request;
use slotmux_core::route::parts::{begin_part, end_part, write_key};
use slotmux_core::slot::{SLOTS, Slot, slot_of};

use crate::engine::client::dispatch::Dispatched;
use crate::engine::client::forward::Sending;
use crate::engine::fan_out::split::{Part, SplitParts, Whole, govern_split_part, send};

/// Bytes that a key counts for besides its own: its slot, its places in both orders, its header in its part.
const KEY: usize = 32;

/// Bytes that a part counts for besides its keys: its own bytes, its entry on the lane, its reply.
const PART: usize = 192;

/// SplitStage of the work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum SplitStage {
    Hashes,
    Sorts,
    Writes,
    Sends,
}

/// A command being split.
pub struct LongSplit {
    kept: KeptRequest,
    command: HeldCommand,
    merge: Merge,
    shape: SplitShape,
    write: bool,
    namespace: NamespaceId,
    reply: ReplyConversion,
    tracks: bool,
    /// Bytes that it counts for.
    reserved: usize,
    stage: SplitStage,
    keys: SortedKeys,
    split_parts: SplitParts,
    /// Start of the part that is being written.
    start: usize,
    /// The next key to be written.
    at: usize,
}

/// Bytes that a request of so many keys counts for while it is split.
pub fn cost(request: &Request, keys: usize, shape: SplitShape) -> usize {
    let repeated = shape.repeated(request.argc());
    let repeated: usize = repeated.map(|at| request.arg(at).len()).sum();
    2 * KeptRequest::cost(request) + keys * KEY + keys.min(SLOTS) * (PART + repeated)
}

/// The facts that [`crate::engine::fan_out::split::split`] knows about the command.
pub struct SplitCommand {
    /// The command.
    pub command: HeldCommand,
    /// How the parts' replies become one.
    pub merge: Merge,
    /// Where its keys are.
    pub shape: SplitShape,
    /// Whether client-side caching tracks the keys that it reads.
    pub tracks: bool,
}

impl LongSplit {
    /// Starts with nothing done. The command counts for `reserved` bytes.
    pub fn new(sending: &Sending, split_command: SplitCommand, reserved: usize) -> LongSplit {
        let kept = KeptRequest::new(sending.request);
        LongSplit {
            command: split_command.command,
            merge: split_command.merge,
            shape: split_command.shape,
            write: sending.write,
            namespace: sending.namespace,
            reply: sending.reply,
            tracks: split_command.tracks,
            reserved,
            stage: SplitStage::Hashes,
            keys: SortedKeys::new(split_command.shape.count(kept.request().argc())),
            split_parts: SplitParts::default(),
            start: 0,
            at: 0,
            kept,
        }
    }

    /// Writes some of the keys into their parts. True once all parts are complete.
    fn write_some(&mut self, worker: &Worker) -> bool {
        let request = self.kept.request();
        let until = self.keys.sorted.len().min(self.at + SLICE);
        let full = self.split_parts.bytes.len() + SLICE_BYTES;
        while self.at < until && self.split_parts.bytes.len() < full {
            let (slot, key) = self.keys.get(self.at);
            let bytes = &mut self.split_parts.bytes;
            if self.at == 0 || self.keys.get(self.at - 1).0 != slot {
                self.start = bytes.len();
                begin_part(&request, self.keys.in_slot(slot), self.shape, bytes);
            }
            write_key(&request, self.shape.place(key), self.shape, bytes);
            self.at += 1;
            let is_last = self.at == self.keys.sorted.len() || self.keys.get(self.at).0 != slot;
            if is_last {
                end_part(&request, self.shape, bytes);
                let decision = govern_split_part(
                    worker,
                    self.command.by_ref(),
                    &mut self.split_parts.bytes,
                    self.start,
                );
                self.split_parts.parts.push(Part {
                    slot,
                    end: self.split_parts.bytes.len(),
                    decision,
                });
            }
        }
        self.at == self.keys.sorted.len()
    }

    /// Sends the parts, if there is room for them now.
    fn send(&mut self, worker: &Rc<Worker>, client: &Rc<Client>) -> Dispatched {
        let request = self.kept.request();
        let sending = Sending::as_is(&request, self.write, self.namespace, self.reply);
        let whole = Whole {
            sending: &sending,
            merge: self.merge,
            tracks: self.tracks,
        };
        let order = || {
            let mut order = vec![0; self.keys.slots.len()];
            let mut at = 0;
            for part in 0..self.split_parts.parts.len() {
                for _ in 0..self.keys.in_slot(self.split_parts.parts[part].slot) {
                    order[self.keys.get(at).1] = part as u32;
                    at += 1;
                }
            }
            order
        };
        send(worker, client, &whole, &self.split_parts, order)
    }
}

impl LongRequest for LongSplit {
    fn step(&mut self, worker: &Rc<Worker>, client: &Rc<Client>) -> Progress {
        if client.is_closed() {
            client.change_reserved(worker, std::mem::take(&mut self.reserved), 0);
            return Progress::Done;
        }
        match self.stage {
            SplitStage::Hashes => {
                let request = self.kept.request();
                let first = self.keys.slots.len();
                let mut portion = Portion::default();
                for key in first..self.keys.count {
                    let key = request.arg(self.shape.place(key));
                    if !portion.take(key.len()) {
                        break;
                    }
                    self.keys.add(slot_of(key));
                }
                if self.keys.slots.len() == self.keys.count {
                    self.keys.count_up();
                    self.stage = SplitStage::Sorts;
                }
            }
            SplitStage::Sorts => {
                if self.keys.sort_some(4 * SLICE) {
                    self.stage = SplitStage::Writes;
                }
            }
            SplitStage::Writes => {
                if self.write_some(worker) {
                    self.stage = SplitStage::Sends;
                }
            }
            SplitStage::Sends => {
                return match self.send(worker, client) {
                    Dispatched::Accepted => {
                        client.change_reserved(worker, std::mem::take(&mut self.reserved), 0);
                        Progress::Done
                    }
                    Dispatched::Deferred => Progress::Waits,
                };
            }
        }
        Progress::More
    }

    fn reserved(&self) -> usize {
        self.reserved
    }
}

/// SortedKeys grouped by slot, in the client's order within each slot: a counting sort.
struct SortedKeys {
    count: usize,
    /// The slot of each key.
    slots: Vec<Slot>,
    /// End of each slot's keys; during the sort, the place of the next key of each slot.
    places: Box<[u32]>,
    /// Number of keys in each slot.
    counts: Box<[u32]>,
    /// The keys, ordered by slot.
    sorted: Vec<u32>,
    next: usize,
}

impl SortedKeys {
    fn new(count: usize) -> SortedKeys {
        SortedKeys {
            count,
            slots: Vec::with_capacity(count),
            places: vec![0; SLOTS].into(),
            counts: vec![0; SLOTS].into(),
            sorted: Vec::new(),
            next: 0,
        }
    }

    fn add(&mut self, slot: Slot) {
        self.slots.push(slot);
        self.counts[usize::from(slot.0)] += 1;
    }

    /// Turns the counts into places, once all keys are counted.
    fn count_up(&mut self) {
        let mut before = 0;
        for (place, count) in self.places.iter_mut().zip(&self.counts) {
            *place = before;
            before += count;
        }
        self.sorted = vec![0; self.slots.len()];
    }

    /// Moves some keys to their places. True once all are moved.
    fn sort_some(&mut self, most: usize) -> bool {
        let until = self.slots.len().min(self.next + most);
        for key in self.next..until {
            let place = &mut self.places[usize::from(self.slots[key].0)];
            self.sorted[*place as usize] = key as u32;
            *place += 1;
        }
        self.next = until;
        until == self.slots.len()
    }

    /// The key at a place, and its slot.
    fn get(&self, place: usize) -> (Slot, usize) {
        let key = self.sorted[place] as usize;
        (self.slots[key], key)
    }

    fn in_slot(&self, slot: Slot) -> usize {
        self.counts[usize::from(slot.0)] as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_by_slot_and_stay_in_order_within_one() {
        let slots: Vec<Slot> = (0..1000u16).map(|i| Slot(i * 7 % 13)).collect();
        for most in [1, 7, 1000] {
            let mut keys = SortedKeys::new(slots.len());
            slots.iter().for_each(|slot| keys.add(*slot));
            keys.count_up();
            while !keys.sort_some(most) {}
            let mut expected: Vec<(Slot, usize)> = slots.iter().copied().zip(0..).collect();
            expected.sort_by_key(|(slot, _)| slot.0);
            let sorted: Vec<_> = (0..slots.len()).map(|place| keys.get(place)).collect();
            assert_eq!(sorted, expected, "{most}");
            assert_eq!(keys.in_slot(Slot(0)), 77);
        }
    }
}
