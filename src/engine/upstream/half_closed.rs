//! Connections that are closed while their node may still run a command on them: the expiries that a policy put after
//! that command are sent once the node has closed its side, never before.
//!
//! The connection is half-closed: the node reads everything that was sent, then the end, and closes its own side once
//! it has dropped the client. The expiries on another connection then follow a `CLIENT KILL` of exactly this client
//! ([`crate::engine::upstream::connection_id`]), because a middlebox between slotmux and the node may have closed in the node's place.

use std::rc::Rc;
use std::task::{Poll, ready};

use tokio::time::timeout;

use crate::engine::sabotage::sabotage;
use crate::engine::transport::Transport;
use crate::engine::worker::Worker;

use crate::engine::upstream::deliver::deliver_piece;
use crate::engine::upstream::inflight::InFlight;
use crate::engine::upstream::lane::Lane;
use crate::engine::upstream::repair::Repair;
use crate::engine::upstream::retry::lost::settle_each;

/// Size of the pieces, in bytes, in which late replies for a client that has left are read and dropped.
const PIECE: usize = 4096;

/// The place in the pool of a half-closed lane. It is freed when this is dropped, after a panic too.
struct Place {
    worker: Rc<Worker>,
    lane: Rc<Lane>,
}

impl Place {
    fn keep(worker: &Rc<Worker>, lane: &Rc<Lane>) -> Place {
        worker.nodes.add_half_closed();
        Place {
            worker: worker.clone(),
            lane: lane.clone(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.worker.nodes.remove_half_closed();
        self.worker.free_place(&self.lane);
    }
}

impl Worker {
    /// Closes a dedicated lane whose clients have all left. It keeps its place in the pool until the node has closed
    /// its side, for at most `timeouts.response`.
    pub(super) fn half_close(self: &Rc<Self>, lane: &Rc<Lane>) {
        let mut repairs = Vec::new();
        settle_each(self, lane.take_unanswered(self), |taken| {
            deliver_piece(self, &taken.entry, b"", true);
            if taken.was_written {
                repairs.extend(lane.repair(taken.entry, &taken.request));
            }
        });
        let transport = lane.transport().borrow_mut().take();
        let (Some(transport), false) = (transport, repairs.is_empty()) else {
            lane.set_down(self);
            return self.retire_lane(lane);
        };
        lane.set_down(self);
        let place = Place::keep(self, lane);
        self.retire_keeping_place(lane);
        sabotage("departure.withdrawn");
        let closing = async move {
            let worker = &place.worker;
            worker.wait_for_close(transport).await;
            for repair in repairs {
                worker.send_repair(repair);
            }
        };
        self.spawn("the end of a connection", closing, |_| {});
    }

    /// Waits until the node has closed its side.
    async fn wait_for_close(&self, mut transport: Transport) {
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
            tracing::warn!("node did not close a half-closed connection in time, dropping it");
        }
    }

    /// Whether any expiries are waiting or in flight for commands whose connection is lost.
    pub fn has_repairs(&self) -> bool {
        let waits = self.nodes.has_half_closed() || self.retries.has_any(InFlight::is_repair);
        let carries = |lane: &Rc<Lane>| {
            let entries = lane.entries().borrow();
            entries.iter().any(|entry| entry.is_repair())
        };
        waits || self.lanes().iter().any(carries)
    }
}

impl Lane {
    /// The expiries after a command that was in flight on this connection, to be sent over another one. None are cut
    /// from bytes that are not certainly those of the command.
    pub(super) fn repair(&self, entry: InFlight, block: &[u8]) -> Option<Repair> {
        if block.len() != entry.len as usize {
            return None;
        }
        Repair::of(entry, block, self.kill_command.borrow().as_deref())
    }
}
