//! Blocking commands on their lanes: sent again with the time that is left, released on demand, closed with their client.
//!
//! A node lets its blocked clients go with MOVED when their slot has moved, and with UNBLOCKED when it becomes a replica.
//! Nothing was popped then, so the command blocks again where the slot is now. A connection that breaks meanwhile may
//! have broken between the pop and its reply: what writes gets an error then, as from a connection without slotmux.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::engine::blocking::wait::{Blocked, timed_out};
use crate::engine::client::Client;
use crate::engine::worker::Worker;
use crate::engine::worker::clock::Tick;
use slotmux_core::resp::request::Request;
use slotmux_core::resp::{Limits, Scan, scan_request, write};
use slotmux_core::slot::OptionalSlot;

use crate::engine::upstream::block::Block;
use crate::engine::upstream::connection_id::ConnectionId;
use crate::engine::upstream::deliver::{deliver_error, deliver_piece};
use crate::engine::upstream::inflight::{InFlight, OnReply};
use crate::engine::upstream::lane::{Lane, Link};
use crate::engine::upstream::retry::lost::{UNKNOWN_FATE, repair, unreachable};
use crate::engine::upstream::retry::refused::take_over;
use crate::engine::upstream::retry::unanswered::Unanswered;

/// Asks for the id of a connection at its node.
const CLIENT_ID: &[u8] = b"*2\r\n$6\r\nCLIENT\r\n$2\r\nID\r\n";

/// Start of the error by which a node that becomes a replica releases its blocked clients.
const FORCED: &[u8] = b"-UNBLOCKED force unblock from blocking operation";

/// Time at its node after which a client counts as blocked there; a later error is not part of the search for a node.
const WAS_BLOCKED: Duration = Duration::from_secs(1);

/// How soon a node is asked again to let a client go that has not arrived there yet.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// How `CLIENT UNBLOCK` ends a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Release {
    /// As if its time were over.
    Timeout,
    /// By an error.
    Error,
}

/// Whether a node has released a blocking command because it becomes a replica.
pub(super) fn is_forced(entry: &InFlight, reply: &[u8]) -> bool {
    reply.starts_with(FORCED) && entry.is_blocking()
}

/// A command that was blocked at a node begins its search for another with all the time that a search may take.
pub(super) fn restart_search(worker: &Worker, lane: &Lane, entry: InFlight) -> InFlight {
    if !entry.is_blocking() {
        return entry;
    }
    let was_blocked = entry.client.with_blocked(|blocked| {
        blocked.leave_lane(lane);
        blocked.since_sent() >= WAS_BLOCKED
    });
    if was_blocked != Some(true) {
        return entry;
    }
    InFlight {
        arrived: worker.clock.now(),
        tries: 0,
        ..entry
    }
}

impl InFlight {
    /// Whether it blocks, its time is over, and nothing was there for it.
    pub(super) fn has_waited_in_vain(&self) -> bool {
        let is_vain = self.client.with_blocked(Blocked::has_waited_in_vain);
        self.is_blocking() && is_vain == Some(true)
    }
}

impl Lane {
    /// Prepares the lane for `entry`, which is sent next: for a blocking command the connection's id has to be known, to release
    /// it.
    pub fn prepare_blocking(self: &Rc<Self>, worker: &Worker, entry: &InFlight) {
        if !entry.is_blocking() {
            return;
        }
        entry.client.with_blocked(|blocked| blocked.set_lane(self));
        self.replaced_since.set(None);
        if self.id.get() != ConnectionId::NotAsked {
            return;
        }
        self.id.set(ConnectionId::Unknown);
        let asking = InFlight {
            len: CLIENT_ID.len() as u32,
            slot: OptionalSlot::NONE,
            write: false,
            kind: OnReply::ConnectionId,
            ..entry.clone()
        };
        self.send(worker, asking, CLIENT_ID);
    }

    /// Whether request `seq` of `client` is blocked on it.
    fn blocks(&self, client: &Rc<Client>, seq: u32) -> bool {
        let is_its = |entry: &InFlight| {
            Rc::ptr_eq(&entry.client, client) && entry.seq == seq && entry.is_blocking()
        };
        self.entries().borrow().iter().any(is_its)
    }

    /// Keeps it out of the pool until [`Lane::end_hold`].
    pub(super) fn hold(&self) {
        self.holds.set(self.holds.get() + 1);
    }

    fn end_hold(&self) {
        self.holds.set(self.holds.get().saturating_sub(1));
    }

    /// Whether it is kept out of the pool.
    pub(super) fn is_held(&self) -> bool {
        self.holds.get() > 0
    }

    /// The error that the oldest command got already, if it may block and the replies to what follows it have not all
    /// come. A node that becomes a replica does not send them.
    pub(super) fn refusal(&self) -> Option<Vec<u8>> {
        match self.entries().borrow().front() {
            Some(entry) if entry.is_blocking() => match &entry.kind {
                OnReply::Block(block) => block.refusal(),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether its oldest command blocks. Silence means nothing then.
    pub(super) fn is_blocked(&self) -> bool {
        let entries = self.entries().borrow();
        !self.is_pinged()
            && !self.is_reply_begun()
            && entries.front().is_some_and(|entry| {
                entry.is_blocking() && self.ring().borrow().front_is_written(entry.len as usize)
            })
    }
}

/// Closes a lane whose client is blocked at a node that is dead or isolated: the client's time is over and the node does not
/// reply, or the node is no longer a primary and does not redirect.
pub(super) fn check_blocked(worker: &Rc<Worker>, lane: &Lane, now: Tick) {
    let entries = lane.entries().borrow();
    let Some(entry) = entries.front() else { return };
    let patience = worker.config.cluster.timeouts.response;
    let is_late = |blocked: &Blocked| blocked.is_late_by(patience);
    if entry.client.with_blocked(is_late) == Some(true) {
        tracing::warn!(node = %lane.addr, "node does not end a wait whose time is over, connection closed");
        return lane.close();
    }
    let is_replaced = worker.is_replaced(lane, entry);
    let since = is_replaced.then(|| lane.replaced_since.get().unwrap_or(now));
    lane.replaced_since.set(since);
    if let Some(since) = since
        && since.is_over(worker.timeouts.response, now)
    {
        tracing::warn!(node = %lane.addr, "node is no longer a primary and is silent, connection closed");
        lane.close();
    }
}

impl Worker {
    /// Whether the node of a lane was replaced: it is no longer a primary, and another one has the slot of `entry`, if that has
    /// one.
    pub(super) fn is_replaced(&self, lane: &Lane, entry: &InFlight) -> bool {
        let is_elsewhere = entry.slot.get().is_none_or(|slot| {
            let owner = self.map.slots.owner(slot);
            owner.is_some_and(|owner| owner != lane.node)
        });
        is_elsewhere && !self.map.is_primary(lane.node)
    }

    /// The entry and bytes to send a command again with: a blocking command gets the time that is left. `None` if
    /// there is nothing to send, since its client has left or its time is over with nothing there. If its time is
    /// over and no node has confirmed that nothing was there, a node is still asked, with the shortest time.
    pub(super) fn prepare_resend(
        self: &Rc<Self>,
        entry: InFlight,
        request: Vec<u8>,
    ) -> Option<(InFlight, Vec<u8>)> {
        if !entry.is_blocking() {
            return Some((entry, request));
        }
        if entry.client.is_closed() {
            deliver_piece(self, &entry, b"", true);
            return None;
        }
        let left = entry.client.with_blocked(|blocked| {
            blocked.leave_lanes();
            blocked.left()
        });
        if entry.has_waited_in_vain() {
            deliver_piece(self, &entry, &timed_out(&entry), true);
            return None;
        }
        let shortened = left.flatten().and_then(|(wait, left)| wait.shortened(left));
        let Some((at, text)) = shortened else {
            return Some((entry, request));
        };
        let request = with_argument(request, at, text.as_bytes());
        let kind = match &entry.kind {
            OnReply::Block(block) => OnReply::Block(Block::new(
                block.form(),
                block.destination().clone(),
                &request,
            )),
            kind => kind.clone(),
        };
        let entry = InFlight {
            len: request.len() as u32,
            kind,
            ..entry
        };
        Some((entry, request))
    }

    /// A blocking command whose connection is gone after the node has refused it.
    pub(super) fn block_refused(self: &Rc<Self>, lane: &Rc<Lane>, taken: Unanswered, error: &[u8]) {
        let Unanswered { entry, request, .. } = taken;
        if let Some(entry) = take_over(self, lane, entry, error, || request.clone()) {
            deliver_piece(self, &entry, error, true);
        }
    }

    /// A blocking command whose connection is lost. `is_silent`: slotmux closed it because of its node's silence.
    pub(super) fn block_lost(self: &Rc<Self>, lane: &Lane, taken: Unanswered, is_silent: bool) {
        let Unanswered {
            entry,
            request,
            was_written,
            ..
        } = taken;
        let entry = restart_search(self, lane, entry);
        entry.client.with_blocked(|blocked| blocked.vouch(false));
        // A write at a silent node that was replaced meanwhile is not part of the cluster's data.
        let is_void = is_silent && self.is_replaced(lane, &entry);
        let may_repeat = !was_written || ((!entry.write || is_void) && entry.slot.get().is_some());
        if !may_repeat {
            deliver_error(self, &entry, UNKNOWN_FATE);
            return repair(self, lane, entry, &request);
        }
        if entry.slot.get().is_none() {
            return deliver_error(self, &entry, &unreachable(self, lane));
        }
        let error = unreachable(self, lane);
        self.retry_after_own(entry, request, &error, lane.node);
    }

    /// Ends the connection on which a client that has left is blocked, and settles what was in flight there. The node
    /// may still move the client's element.
    pub fn hang_up(self: &Rc<Self>, lane: &Rc<Lane>) {
        let is_left = |entry: &InFlight| entry.client.is_closed() && entry.is_blocking();
        if !lane.entries().borrow().iter().any(is_left) {
            return;
        }
        self.half_close(lane);
    }

    /// Releases client `id`, if it is one of this worker's and blocked: the node itself is asked, so that an element popped
    /// meanwhile arrives. Returns whether that ended the wait.
    pub async fn unblock(self: Rc<Self>, id: u64, release: Release) -> bool {
        let mut clients = self.clients.all().into_iter();
        let Some(client) = clients.find(|client| client.id == id) else {
            return false;
        };
        let Some(seq) = client.blocked_on() else {
            return false;
        };
        let asked = self.clock.now();
        let mut is_released = false;
        // It may be on its way to its node, or from one to the other.
        while client.is_blocked_on(seq)
            && !client.is_closed()
            && !asked.is_over(self.timeouts.command, self.clock.now())
        {
            let lanes = client.with_blocked(|blocked| blocked.lanes());
            let mut is_behind = false;
            for lane in lanes.unwrap_or_default() {
                // Of several nodes that WAIT asks, one that has answered may serve another client on this connection by now.
                if !lane.blocks(&client, seq) {
                    continue;
                }
                if self.release_at_node(&client, &lane, release).await {
                    is_released = true;
                    client.with_blocked(|blocked| blocked.leave_lane(&lane));
                } else {
                    is_behind = true;
                }
            }
            if is_released && !is_behind {
                return true;
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        is_released
    }

    /// Asks a node to release the client that is blocked on `lane`.
    async fn release_at_node(
        self: &Rc<Self>,
        client: &Rc<Client>,
        lane: &Rc<Lane>,
        release: Release,
    ) -> bool {
        let ConnectionId::Known(id) = lane.id.get() else {
            return false;
        };
        let mut request = Vec::new();
        let how: &[u8] = match release {
            Release::Timeout => b"TIMEOUT",
            Release::Error => b"ERROR",
        };
        let id = id.to_string();
        write::request(&mut request, &[b"CLIENT", b"UNBLOCK", id.as_bytes(), how]);
        let (sender, is_one) = oneshot::channel();
        let entry = InFlight::internal(self, client, request.len(), OnReply::report_one(sender));
        // Until the answer is there no other client may block on that connection.
        lane.hold();
        self.shared_lane(lane.node, client)
            .send_owned(self, entry, request);
        let is_released = is_one.await == Ok(true);
        lane.end_hold();
        if lane.link() == Link::Up && lane.is_idle() {
            self.release(lane);
        }
        is_released
    }
}

/// The request at the start of `bytes` with another argument `at`.
fn with_argument(bytes: Vec<u8>, at: usize, text: &[u8]) -> Vec<u8> {
    let mut args = Vec::new();
    let Ok(Scan::Complete { len }) = scan_request(&bytes, &Limits::ACCEPTED, &mut args) else {
        return bytes;
    };
    let request = Request {
        bytes: &bytes[..len],
        args: &args,
    };
    let words: Vec<&[u8]> = (0..request.argc())
        .map(|index| {
            if index == at {
                text
            } else {
                request.arg(index)
            }
        })
        .collect();
    let mut changed = Vec::with_capacity(bytes.len() + text.len());
    write::request(&mut changed, &words);
    changed.extend_from_slice(&bytes[len..]);
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_argument_changes_and_what_follows_stays() {
        let request = b"*3\r\n$5\r\nBLPOP\r\n$1\r\nk\r\n$1\r\n9\r\n*1\r\n$4\r\nPING\r\n".to_vec();
        assert_eq!(
            with_argument(request, 2, b"1.234"),
            b"*3\r\n$5\r\nBLPOP\r\n$1\r\nk\r\n$5\r\n1.234\r\n*1\r\n$4\r\nPING\r\n"
        );
    }
}
