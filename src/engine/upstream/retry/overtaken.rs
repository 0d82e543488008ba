//! Overtaken commands: they must not run, because a newer one of the same client and slot has run.
//!
//! A slot may leave a node and come back while commands for it wait in the node's queue: the first of them is
//! redirected, those behind it run. When the first one has found its way back it must not run: it gets an error, since order
//! beats hiding. The same goes for a node that begins to serve between two of them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::engine::client::Client;
use slotmux_core::slot::Slot;

use crate::engine::upstream::inflight::InFlight;
use crate::engine::upstream::retry::order_index::{Member, Seq};

/// The error for a command that was overtaken. It has not run. `TRYAGAIN` is Redis' own word for a slot on the move.
pub const ERROR: &str = "TRYAGAIN slotmux: not executed, since a later command of this client on the slot had run by then";

/// For clients with a redirected command in flight: the newest command of each slot that has run. All older ones are
/// overtaken.
#[derive(Default)]
pub struct CompletedCommands {
    clients: RefCell<HashMap<u64, ClientCommands>>,
}

struct ClientCommands {
    client: Rc<Client>,
    slots: HashMap<Slot, Seq>,
    newest: Seq,
}

impl CompletedCommands {
    /// Records that a command has run.
    #[cold]
    pub(super) fn record(&self, entry: &InFlight) {
        let Some(Member { client, slot, seq }) = entry.member() else {
            return;
        };
        let mut clients = self.clients.borrow_mut();
        let of = clients.entry(client).or_insert_with(|| ClientCommands {
            client: entry.client.clone(),
            slots: HashMap::new(),
            newest: seq,
        });
        of.newest = of.newest.max(seq);
        let newest = of.slots.entry(slot).or_insert(seq);
        *newest = seq.max(*newest);
    }

    /// Whether a newer command of the same client and slot has run.
    pub(super) fn has_newer_than(&self, entry: &InFlight) -> bool {
        let clients = self.clients.borrow();
        if clients.is_empty() {
            return false;
        }
        let newest = || {
            let of = entry.member()?;
            let newest = clients.get(&of.client)?.slots.get(&of.slot)?;
            Some(of.seq < *newest)
        };
        newest().unwrap_or(false)
    }

    /// Forgets commands with no older command in flight.
    pub(super) fn sweep(&self) {
        let mut clients = self.clients.borrow_mut();
        clients.retain(|_, of| {
            of.client.in_flight() > 0 && !of.client.order.has_answered(of.newest.0)
        });
    }
}
