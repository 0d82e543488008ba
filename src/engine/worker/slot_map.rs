//! A worker's own map from slots to nodes, and the barrier that keeps a client's order while the map changes.
//!
//! The hazard: a client pipelines two writes to one slot; the slot moves between them; the first is redirected and
//! arrives behind the second. Redirected requests keep their order among themselves, because a lane's replies come in
//! order. Only a newer request that goes to the new node while an older one is still on its way to the old one would break it.
//! So each change of a slot's owner gets a number, and a client that has something in flight from before that number
//! waits until it has nothing in flight before it uses that slot.

use std::cell::Cell;

use crate::engine::client::Client;
use crate::engine::sabotage::is_without_barrier;
use crate::engine::upstream::NodeId;
use slotmux_core::slot::{SLOTS, Slot};

#[derive(Clone, Copy)]
struct Entry {
    owner: Option<NodeId>,
    /// The epoch in which `owner` changed last.
    changed: u32,
}

/// Slot to node, with the epoch of each slot's last change.
pub struct SlotMap {
    entries: Box<[Cell<Entry>]>,
    epoch: Cell<u32>,
}

impl Default for SlotMap {
    fn default() -> SlotMap {
        let unowned = Cell::new(Entry {
            owner: None,
            changed: 0,
        });
        SlotMap {
            entries: vec![unowned; SLOTS].into_boxed_slice(),
            epoch: Cell::new(0),
        }
    }
}

impl SlotMap {
    fn entry(&self, slot: Slot) -> &Cell<Entry> {
        // A slot is below 16,384 by construction; the mask spares the bounds check.
        &self.entries[slot.0 as usize & (SLOTS - 1)]
    }

    /// The node that serves `slot`, as far as this worker knows.
    pub fn owner(&self, slot: Slot) -> Option<NodeId> {
        self.entry(slot).get().owner
    }

    /// Sets the node that serves `slot`; returns whether it was another before.
    pub fn set(&self, slot: Slot, owner: Option<NodeId>) -> bool {
        let entry = self.entry(slot);
        let differs = entry.get().owner != owner;
        if differs {
            let epoch = self.epoch.get().wrapping_add(1);
            self.epoch.set(epoch);
            entry.set(Entry {
                owner,
                changed: epoch,
            });
        }
        differs
    }

    /// The barrier: whether `client` may send to `slot` now. If not, it has to wait until nothing of it is in flight. A
    /// client with nothing in flight passes, and its later commands are compared with the map of this moment.
    pub fn try_pass_barrier(&self, client: &Client, slot: Slot) -> bool {
        if client.in_flight() == 0 {
            client.order.set_epoch(self.epoch.get());
            return true;
        }
        let changed_since = self
            .entry(slot)
            .get()
            .changed
            .wrapping_sub(client.order.epoch());
        // `changed` is behind or at the client's epoch: the difference wrapped to the upper half, or is 0.
        changed_since == 0 || changed_since > u32::MAX / 2 || is_without_barrier()
    }
}
