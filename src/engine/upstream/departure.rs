//! Connections that are given up while their node may still run a command on them: the expiries that a policy put behind
//! that command are sent once the node has let go, never ahead of it.
//!
//! The connection is ended by half: the node reads all that was sent, then the end, and closes its own side when it has
//! forgotten the client. The expiries that go over another connection then follow a `CLIENT KILL` of just this client
//! ([`super::identity`]), for whatever stands between slotmux and the node may have closed in its place.

use std::rc::Rc;
use std::task::{Poll, ready};

use tokio::time::timeout;

use crate::engine::transport::Transport;
use crate::engine::worker::Worker;

use super::block::Repair;
use super::deliver::deliver_piece;
use super::inflight::InFlight;
use super::lane::Lane;

/// What a node still says to a client that has left is read in pieces of this size, and dropped.
const PIECE: usize = 4096;

impl Worker {
    /// Gives up a dedicated lane all of whose clients have left. Its place in the pool is taken until the node has let go
    /// of it, for `timeouts.response` at the longest.
    pub(super) fn depart(self: &Rc<Self>, lane: &Rc<Lane>) {
        let mut repairs = Vec::new();
        for taken in lane.take_all(self) {
            deliver_piece(self, &taken.entry, b"", true);
            if taken.was_written {
                repairs.extend(lane.repair(taken.entry, &taken.request));
            }
        }
        let transport = lane.transport().borrow_mut().take();
        let (Some(transport), false) = (transport, repairs.is_empty()) else {
            lane.set_down(self);
            return self.discard(lane);
        };
        lane.set_down(self);
        self.withdraw(lane);
        self.departing.set(self.departing.get() + 1);
        let (worker, parted) = (self.clone(), lane.clone());
        let failed = lane.clone();
        let parting = async move {
            worker.until_let_go(transport).await;
            for repair in repairs {
                worker.send_repair(repair);
            }
            worker.departed(&parted);
        };
        self.spawn("the end of a connection", parting, move |worker| {
            worker.departed(&failed);
        });
    }

    /// Waits until the node has closed its side.
    async fn until_let_go(&self, mut transport: Transport) {
        transport.finish();
        let mut piece = vec![0; PIECE];
        let closed = std::future::poll_fn(|cx| {
            loop {
                if let Ok(0) | Err(_) = ready!(transport.poll_read(cx, &mut piece)) {
                    return Poll::Ready(());
                }
            }
        });
        let patience = self.config.cluster.timeouts.response;
        if timeout(patience, closed).await.is_err() {
            tracing::warn!("node does not close a connection that was ended, it is given up");
        }
    }

    fn departed(&self, lane: &Rc<Lane>) {
        self.departing.set(self.departing.get().saturating_sub(1));
        self.free_place(lane);
    }

    /// Whether expiries are still to be sent for commands whose connection is gone, or are on their way.
    pub fn has_repairs(&self) -> bool {
        let waits = self.departing.get() > 0 || self.is_any_waiting(InFlight::is_repair);
        let carries = |lane: &Rc<Lane>| {
            let entries = lane.entries().borrow();
            entries.iter().any(|entry| entry.is_repair())
        };
        waits || self.lanes().iter().any(carries)
    }
}

impl Lane {
    /// The expiries behind a command that was in flight on its connection, to be sent over another one.
    pub(super) fn repair(&self, entry: InFlight, block: &[u8]) -> Option<Repair> {
        Repair::of(entry, block, &self.ending.borrow())
    }
}
