//! A request on its way to one node: the barrier, the choice of the lane, and the pauses where there is no room.

use std::rc::Rc;

use crate::resp::write;
use crate::slot::Slot;
use crate::upstream::NodeId;
use crate::upstream::inflight::{InFlight, Kind};
use crate::upstream::lane::Lane;
use crate::upstream::lost::unreachable;
use crate::worker::Worker;

use super::dispatch::Taken;
use super::{Client, Pause};

/// Sends a request to the node of `slot`.
pub fn to_slot(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    slot: Slot,
    write: bool,
    request: &[u8],
) -> Taken {
    if !may_use(worker, client, slot) {
        return Taken::No;
    }
    let Some(owner) = worker.slots.owner(slot) else {
        // Nobody serves the slot, as far as we know. The refresh may know better before the deadline.
        worker.refresh.request();
        let entry = entry(worker, client, Some(slot), write, request.len());
        worker.retry_later(entry, request.to_vec());
        return Taken::Yes;
    };
    to_node(worker, client, owner, Some(slot), write, request)
}

/// Sends a request to `node`.
pub fn to_node(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    node: NodeId,
    slot: Option<Slot>,
    write: bool,
    request: &[u8],
) -> Taken {
    let lane = match lane_for(worker, client, node, request.len()) {
        Ok(lane) => lane,
        Err(taken) => return taken,
    };
    if lane.is_given_up(worker) {
        let mut reply = Vec::new();
        write::error(&mut reply, &unreachable(&lane));
        worker.stats.errors.inc();
        answer(worker, client, &reply);
        return Taken::Yes;
    }
    let entry = entry(worker, client, slot, write, request.len());
    lane.send(worker, entry, request);
    Taken::Yes
}

/// Answers a request here, unless its reply is suppressed.
pub fn answer(worker: &Worker, client: &Rc<Client>, reply: &[u8]) {
    let reply = if client.is_muted() { &[] } else { reply };
    client.reply_now(worker, reply);
}

/// The barrier (see [`crate::route::slots`]): false pauses the client until nothing of it is in flight.
pub fn may_use(worker: &Worker, client: &Client, slot: Slot) -> bool {
    let allowed = worker.slots.order_allows(client, slot);
    if !allowed {
        worker.stats.barrier_parks.inc();
        client.pause_for(Pause::InFlight(0));
    }
    allowed
}

/// Whether `client` may use shared lanes now: not while it has something in flight on a lane of its own.
pub fn may_share(client: &Client) -> bool {
    if client.is_alone.get() && client.in_flight() > 0 {
        client.pause_for(Pause::InFlight(0));
        return false;
    }
    client.is_alone.set(false);
    true
}

/// The lane for a request of `len` bytes. A large one travels alone, so that it holds up nobody; since that is another
/// connection, the client has to have nothing in flight on its way there and on its way back.
fn lane_for(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    node: NodeId,
    len: usize,
) -> Result<Rc<Lane>, Taken> {
    if len > worker.config.cluster.connections.bulk_threshold {
        if client.in_flight() > 0 {
            client.pause_for(Pause::InFlight(0));
            return Err(Taken::No);
        }
        let lane = worker.dedicated_lane(node, client).ok_or(Taken::No)?;
        client.is_alone.set(true);
        return Ok(lane);
    }
    if !may_share(client) {
        return Err(Taken::No);
    }
    let lane = worker.shared_lane(node, client);
    if lane.is_full(worker) {
        lane.wait(worker, client);
        return Err(Taken::No);
    }
    Ok(lane)
}

/// The in-flight entry of a request, in the next place of the client's order.
fn entry(
    worker: &Worker,
    client: &Rc<Client>,
    slot: Option<Slot>,
    write: bool,
    len: usize,
) -> InFlight {
    InFlight {
        mute: client.is_muted(),
        client: client.clone(),
        seq: client.take_seq(),
        // A request is at most `max_request` long, which is checked to be below 4 GiB.
        len: len as u32,
        arrived: worker.clock.now(),
        slot,
        tries: 0,
        write,
        kind: Kind::Deliver,
    }
}

impl Client {
    /// Whether the reply of the request that is being taken is suppressed. Asked once per request: a
    /// `CLIENT REPLY SKIP` is used up by it.
    pub fn is_muted(&self) -> bool {
        let mode = self.reply_mode.get().begin();
        self.reply_mode.set(mode);
        !mode.wanted()
    }
}
