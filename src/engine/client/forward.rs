//! A request on its way to one node: the barrier, the choice of the lane, and the pauses for lack of room.

use std::rc::Rc;

use crate::engine::pubsub::census::Receivers;
use crate::engine::upstream::NodeId;
use crate::engine::upstream::block::{self as upstream, Destination};
use crate::engine::upstream::inflight::{InFlight, OnReply};
use crate::engine::upstream::lane::Lane;
use crate::engine::upstream::lane_pool::LaneUse;
use crate::engine::upstream::retry::lost::unreachable;
use crate::engine::worker::Worker;
use slotmux_core::command::BlockingTimeout;
use slotmux_core::policy::{BlockShape, NamespaceId, ReplyConversion};
use slotmux_core::resp::write;
use slotmux_core::slot::Slot;

use super::dispatch::{Dispatched, NotSent};
use super::{Client, Pause};
use crate::engine::transaction::watch::{dedicated_lane_for, pinned};
use slotmux_core::resp::request::Request;

/// A request, and the bytes that are sent for it.
#[derive(Clone, Copy)]
pub struct Sending<'a> {
    /// The client's request.
    pub request: &'a Request<'a>,
    /// Whether it may change data.
    pub write: bool,
    /// The namespace of its first key.
    pub namespace: NamespaceId,
    /// The bytes that go to the node.
    pub bytes: &'a [u8],
    /// The shape of the block, if the bytes are more than one command.
    pub block: Option<BlockShape>,
    /// How their reply becomes the client's.
    pub reply: ReplyConversion,
    /// How long it may hold its connection up, if it may.
    pub wait: Option<BlockingTimeout>,
    /// The correction of the number of a message's receivers.
    pub receivers: Option<Receivers>,
}

impl<'a> Sending<'a> {
    /// The request as it is.
    pub fn as_is(
        request: &'a Request<'a>,
        write: bool,
        namespace: NamespaceId,
        reply: ReplyConversion,
    ) -> Sending<'a> {
        Sending {
            request,
            write,
            namespace,
            bytes: request.bytes,
            block: None,
            reply,
            wait: None,
            receivers: None,
        }
    }
}

/// Sends a request to the node of `slot`.
pub fn to_slot(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    slot: Slot,
    sending: &Sending,
) -> Dispatched {
    // A blocking command needs a connection that can be closed with it, so that it never takes the pinned lane.
    if sending.wait.is_none()
        && let Some(pinned) = pinned(client, slot)
    {
        return pinned.take(worker, client, slot, sending);
    }
    if !pass_barrier(worker, client, slot) {
        return Dispatched::Deferred;
    }
    let Some(owner) = worker.map.slots.owner(slot) else {
        // The slot has no owner, as far as slotmux knows. A refresh may find one before the deadline.
        worker.refresh.request();
        let entry = entry(worker, client, Some(slot), sending);
        track(worker, client, None, &entry, sending);
        client.add_request_bytes(worker, sending.bytes.len());
        if let Some(wait) = sending.wait {
            client.upstream.set_dedicated(true);
            client.block(worker, wait);
        }
        worker.retry_later(entry, sending.bytes.to_vec());
        return Dispatched::Accepted;
    };
    to_node(worker, client, owner, Some(slot), sending)
}

/// Sends a request to `node`.
pub fn to_node(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    node: NodeId,
    slot: Option<Slot>,
    sending: &Sending,
) -> Dispatched {
    let lane = match lane_for(worker, client, node, sending) {
        Ok(lane) => lane,
        Err(not_sent) => return not_sent.into(),
    };
    if lane.is_unavailable(worker) {
        worker.release_unused(&lane);
        return refuse_unreachable(worker, client, &lane);
    }
    let entry = entry(worker, client, slot, sending);
    if let Some(wait) = sending.wait {
        client.block(worker, wait);
        lane.prepare_blocking(worker, &entry);
    }
    lane.send_script_ahead(worker, &entry, sending.request);
    track(worker, client, Some(&lane), &entry, sending);
    lane.send(worker, entry, sending.bytes);
    Dispatched::Accepted
}

/// Lets a tracking client get an invalidation when the keys of `entry` change.
#[inline]
pub fn track(
    worker: &Worker,
    client: &Rc<Client>,
    lane: Option<&Rc<Lane>>,
    entry: &InFlight,
    sending: &Sending,
) {
    if client.tracks() && client.session.tracking().wants_next() {
        // A policy makes several commands of a script call.
        let lane = lane.filter(|_| std::ptr::eq(sending.bytes, sending.request.bytes));
        client.track(worker, lane, entry, sending.request.bytes);
    }
}

/// Answers a request of which nothing was sent, because a node that it needs was given up.
pub fn refuse_unreachable(worker: &Worker, client: &Rc<Client>, lane: &Lane) -> Dispatched {
    refuse(worker, client, &unreachable(worker, lane))
}

/// Answers a request for which no dedicated lane became free in time.
pub fn refuse_no_lane(worker: &Worker, client: &Rc<Client>, of: LaneUse) -> Dispatched {
    refuse(worker, client, of.refusal())
}

fn refuse(worker: &Worker, client: &Rc<Client>, error: &str) -> Dispatched {
    let mut reply = Vec::new();
    write::error(&mut reply, error);
    worker.stats.errors.inc();
    answer(worker, client, &reply);
    Dispatched::Accepted
}

/// Answers a request here, unless its reply is suppressed.
pub fn answer(worker: &Worker, client: &Rc<Client>, reply: &[u8]) {
    let reply = if client.session.take_muted() {
        &[]
    } else {
        reply
    };
    client.reply_now(worker, reply);
}

/// The barrier, see [`crate::engine::worker::slot_map`]. False: the client is paused until nothing of it is in flight.
pub fn pass_barrier(worker: &Worker, client: &Client, slot: Slot) -> bool {
    let allowed = worker.map.slots.try_pass_barrier(client, slot);
    if !allowed {
        worker.stats.slot_move_pauses.inc();
        client.pause_for(Pause::InFlight(0));
    }
    allowed
}

/// Switches `client` to shared lanes. False: it has something in flight on a dedicated lane, and is paused.
pub fn try_shared(client: &Client) -> bool {
    if client.upstream.is_dedicated() && client.in_flight() > 0 {
        client.pause_for(Pause::InFlight(0));
        return false;
    }
    if client.upstream.set_dedicated(false) {
        client.mark_watch_unused();
    }
    true
}

/// Whether `client` can switch to a dedicated lane. False: it has something in flight, and is paused.
pub fn try_dedicated(client: &Client) -> bool {
    if client.in_flight() > 0 {
        client.pause_for(Pause::InFlight(0));
        return false;
    }
    true
}

/// `client` sends `bytes` over a dedicated lane.
pub fn begin_dedicated(worker: &Worker, client: &Client, bytes: usize) {
    worker.stats.dedicated_requests.inc();
    client.upstream.set_dedicated(true);
    client.mark_watch_unused();
    client.add_request_bytes(worker, bytes);
}

/// The lane for a request. A request that may block, that is big, or whose reply is probably big has a dedicated lane, so
/// that it delays no other client. That is another connection: the client switches with nothing in flight.
fn lane_for(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    node: NodeId,
    sending: &Sending,
) -> Result<Rc<Lane>, NotSent> {
    let expected = worker.traffic.big_replies.expected(sending.request);
    if expected.is_some() || worker.is_big(sending.bytes.len()) || sending.wait.is_some() {
        if !try_dedicated(client) {
            return Err(NotSent::Deferred);
        }
        let of = match sending.wait {
            Some(_) => LaneUse::BlockOrWatch,
            None => LaneUse::BigValue,
        };
        let lane = dedicated_lane_for(worker, client, node, of)?;
        begin_dedicated(worker, client, sending.bytes.len());
        if let Some(group) = expected {
            worker.traffic.big_replies.spend(group);
        }
        return Ok(lane);
    }
    if !try_shared(client) {
        return Err(NotSent::Deferred);
    }
    let lane = worker.shared_lane(node, client);
    find_room(worker, client, &lane)?;
    Ok(lane)
}

/// Makes sure that a shared lane has room. Without room the client waits for it, up to the command's deadline. Nothing waits
/// for a lane that was given up: the caller refuses the command.
pub fn find_room(worker: &Worker, client: &Rc<Client>, lane: &Lane) -> Result<(), NotSent> {
    if !lane.is_full(worker) || lane.is_unavailable(worker) {
        return Ok(());
    }
    let now = worker.clock.now();
    client.start_waiting(now);
    if client.has_waited_too_long(worker, now) {
        worker.stats.timeouts.inc();
        let error = format!(
            "ERR slotmux: upstream timeout: node {} has more to answer than fits on its connection, the command was not \
            executed",
            lane.addr
        );
        refuse(worker, client, &error);
        return Err(NotSent::Refused);
    }
    lane.wait(worker, client);
    Err(NotSent::Deferred)
}

/// The in-flight entry of a request, in the next place of the client's order.
pub fn entry(
    worker: &Worker,
    client: &Rc<Client>,
    slot: Option<Slot>,
    sending: &Sending,
) -> InFlight {
    let kind = match (sending.block, sending.receivers) {
        (None, None) => OnReply::Deliver,
        (None, Some(receivers)) => OnReply::Publish(receivers),
        (Some(form), _) => OnReply::Block(upstream::Block::new(
            form,
            Destination::Deliver,
            sending.bytes,
        )),
    };
    let arrived = client.arrival(worker);
    worker.count_operation(sending.namespace, sending.request);
    InFlight {
        mute: client.session.take_muted(),
        client: client.clone(),
        seq: client.take_seq(),
        // A request is at most `max_request` long, which is checked to be below 4 GiB.
        len: sending.bytes.len() as u32,
        arrived,
        namespace: sending.namespace,
        slot: slot.into(),
        tries: 0,
        write: sending.write,
        reply: sending.reply,
        kind,
    }
}
