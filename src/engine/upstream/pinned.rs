//! A pinned lane: a dedicated lane that stays with its client between commands, because the node watches keys for that client
//! on the connection.
//!
//! The client notices the loss of such a lane by itself: a lost connection is pinned to no client.

use std::rc::Rc;

use crate::engine::client::Client;
use crate::engine::worker::Worker;

use crate::engine::upstream::inflight::{InFlight, OnReply};
use crate::engine::upstream::lane::Lane;

const UNWATCH: &[u8] = b"*1\r\n$7\r\nUNWATCH\r\n";

impl Lane {
    /// Keeps it out of the pool for `client`.
    pub fn pin(&self, client: &Client) {
        self.pinned.set(Some(client.id));
    }

    /// Whether it is kept for this client, over the connection on which it was pinned.
    pub fn is_pinned_by(&self, client: &Client) -> bool {
        self.pinned.get() == Some(client.id)
    }

    /// Whether it is kept for a client.
    pub fn is_pinned(&self) -> bool {
        self.pinned.get().is_some()
    }

    /// Gives it back to the pool: it has answered everything, and the node watches nothing on it.
    pub fn unpin(self: &Rc<Self>, worker: &Worker) {
        self.pinned.set(None);
        worker.release(self);
    }

    /// Makes the node forget what it watches here. The lane is in the pool again once that is confirmed.
    pub fn unwatch(self: &Rc<Self>, worker: &Worker, client: &Rc<Client>) {
        self.pinned.set(None);
        let entry = InFlight::internal(worker, client, UNWATCH.len(), OnReply::Unwatch);
        self.send(worker, entry, UNWATCH);
    }
}
