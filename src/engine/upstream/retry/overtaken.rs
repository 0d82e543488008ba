//! Commands that must not run any more, because a newer one of the same client and slot has run.
//!
//! A slot may leave a node and come back while commands for it wait in the node's queue: the first of them is
//! redirected, those behind it run. By the time the first one has found its way back, it is too late for it: it gets an
//! error, since order beats hiding. The same goes for a node that begins to serve between two of them.

use std::collections::HashMap;
use std::rc::Rc;

use crate::engine::client::Client;
use crate::engine::worker::Worker;
use slotmux_core::slot::Slot;

use crate::engine::upstream::inflight::InFlight;
use crate::engine::upstream::retry::order_index::Seq;

/// The error for a command that was overtaken. It has not run. `TRYAGAIN` is Redis' own word for a slot on the move.
pub const ERROR: &str = "TRYAGAIN slotmux: not executed, since a later command of this client on the slot had run by then";

/// For clients with a redirected command in flight: the newest command of each slot that has run. All older ones are
/// overtaken.
#[derive(Default)]
pub struct HaveRun {
    clients: HashMap<u64, OfClient>,
}

struct OfClient {
    client: Rc<Client>,
    slots: HashMap<Slot, Seq>,
    newest: Seq,
}

impl HaveRun {
    fn note(&mut self, client: &Rc<Client>, slot: Slot, seq: Seq) {
        let of = self.clients.entry(client.id).or_insert_with(|| OfClient {
            client: client.clone(),
            slots: HashMap::new(),
            newest: seq,
        });
        of.newest = of.newest.max(seq);
        let newest = of.slots.entry(slot).or_insert(seq);
        *newest = seq.max(*newest);
    }

    /// Forgets commands with no older command in flight.
    fn sweep(&mut self) {
        self.clients.retain(|_, of| {
            of.client.in_flight() > 0 && !of.client.order.has_answered(of.newest.0)
        });
    }
}

impl InFlight {
    /// Counts tries, without an overflow.
    pub fn count_tries(&mut self, more: u8) {
        self.tries = self.tries.saturating_add(more);
    }
}

impl Worker {
    /// Records that `entry` has run. Older commands of its client and slot that are still in flight must not run any
    /// more.
    #[inline]
    pub fn has_run(&self, entry: &InFlight) {
        entry.client.order.forget_answered_redirect();
        if entry.client.order.has_redirected() {
            self.note_run(entry);
        }
    }

    #[cold]
    fn note_run(&self, entry: &InFlight) {
        if let Some(of) = entry.member() {
            let mut have_run = self.have_run.borrow_mut();
            have_run.note(&entry.client, of.slot, of.seq);
        }
    }

    /// Whether it must not run any more.
    pub fn is_overtaken(&self, entry: &InFlight) -> bool {
        let have_run = self.have_run.borrow();
        if have_run.clients.is_empty() {
            return false;
        }
        let newest = || {
            let of = entry.member()?;
            let newest = have_run.clients.get(&of.client)?.slots.get(&of.slot)?;
            Some(of.seq < *newest)
        };
        newest().unwrap_or(false)
    }

    /// Forgets commands with no older command in flight.
    pub fn sweep_overtaken(&self) {
        self.have_run.borrow_mut().sweep();
    }
}
