//! A command whose keys are in several slots, sent slot by slot.
//!
//! Redis Cluster refuses two slots in one command even where one node has both, so the parts are per slot; the parts
//! for one node leave in one write.

use std::collections::HashMap;
use std::rc::Rc;

use crate::engine::client::Client;
use crate::engine::client::dispatch::{Dispatched, NotSent, refuse};
use crate::engine::client::forward::{
    Sending, begin_dedicated, entry, find_room, pass_barrier, refuse_unreachable, try_dedicated,
    try_shared,
};
use crate::engine::client::long_request::{COPIED_BYTES, SLICE};
use crate::engine::transaction::watch::dedicated_lane_for;
use crate::engine::upstream::NodeId;
use crate::engine::upstream::block::{Block, Destination};
use crate::engine::upstream::inflight::{InFlight, OnReply};
use crate::engine::upstream::lane::Lane;
use crate::engine::upstream::lane_pool::LaneUse;
use crate::engine::worker::Worker;
use crate::engine::worker::clock::unix_milliseconds;
use slotmux_core::command::split::SplitShape;
use slotmux_core::command::{CommandRef, HeldCommand, Merge};
use slotmux_core::policy::{Decision, Governed};
use slotmux_core::resp::request::Request;
use slotmux_core::slot::Slot;

use super::gather::{Gather, MergeWith};
use crate::engine::fan_out::split_long::{self, LongSplit, SplitCommand};
use slotmux_core::route::parts::{govern_part, keys_by_slot, part_of_each_key, write_part};

/// Number of nodes up to which they are searched one by one; more are looked up in a table.
const FEW: usize = 16;

/// The parts of a request, complete.
#[derive(Default)]
pub struct SplitParts {
    /// Their bytes, concatenated.
    pub bytes: Vec<u8>,
    /// The parts, in the order of the bytes.
    pub parts: Vec<Part>,
}

/// One part.
pub struct Part {
    /// The slot of its keys.
    pub slot: Slot,
    /// End of its bytes in `SplitParts::bytes`.
    pub end: usize,
    /// Decision of the policies about it.
    pub decision: Option<Decision>,
}

impl Part {
    /// Whether its bytes are the client's, not rewritten by a policy.
    fn is_as_sent(&self) -> bool {
        let governed = self.decision.map(|decision| decision.governed);
        governed.is_none_or(|governed| governed == Governed::AsIs)
    }
}

/// A request that is sent in parts.
pub struct Whole<'a> {
    /// The request.
    pub sending: &'a Sending<'a>,
    /// How the parts' replies become one.
    pub merge: Merge,
    /// Whether client-side caching tracks the keys that it reads.
    pub tracks: bool,
}

const NO_MEMORY: &str =
    "ERR slotmux: not executed, server.memory_limit has no room for so many keys";

/// Sends a request whose keys are in several slots.
pub fn split(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    sending: &Sending,
    command: HeldCommand,
    merge: Merge,
    shape: SplitShape,
) -> Dispatched {
    let request = sending.request;
    let tracks = client.tracks() && client.session.tracking().wants_next();
    let count = shape.count(request.argc());
    if count > SLICE || keys_are_long(request, shape) {
        let cost = split_long::cost(request, count, shape);
        if !worker.has_memory_for(cost) {
            return refuse(worker, client, NO_MEMORY);
        }
        client.change_reserved(worker, 0, cost);
        let split_command = SplitCommand {
            command,
            merge,
            shape,
            tracks,
        };
        client.begin_long_request(
            worker,
            Box::new(LongSplit::new(sending, split_command, cost)),
        );
        return Dispatched::Accepted;
    }
    let keys = keys_by_slot(request, shape);
    let groups: Vec<&[(Slot, u32)]> = keys.chunk_by(|a, b| a.0 == b.0).collect();
    let mut split_parts = SplitParts {
        bytes: worker.scratch.buffers.take(),
        parts: Vec::with_capacity(groups.len()),
    };
    for group in &groups {
        let start = split_parts.bytes.len();
        write_part(request, group, shape, &mut split_parts.bytes);
        split_parts.parts.push(Part {
            slot: group[0].0,
            decision: govern_split_part(worker, command.by_ref(), &mut split_parts.bytes, start),
            end: split_parts.bytes.len(),
        });
    }
    let whole = Whole {
        sending,
        merge,
        tracks,
    };
    let order = || part_of_each_key(shape, &groups);
    let dispatched = send(worker, client, &whole, &split_parts, order);
    worker.scratch.buffers.give(split_parts.bytes);
    dispatched
}

/// Whether finding the slots of so few keys takes more than one turn. Values are only copied.
fn keys_are_long(request: &Request, shape: SplitShape) -> bool {
    let keys = shape.keys(request.argc());
    request.bytes.len() > COPIED_BYTES
        && keys.map(|at| request.arg(at).len()).sum::<usize>() > COPIED_BYTES
}

/// Sends all parts, or none if there is no room for them now. `order` gives the part of each key.
pub fn send(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    whole: &Whole,
    split_parts: &SplitParts,
    order: impl FnOnce() -> Vec<u32>,
) -> Dispatched {
    let request = whole.sending.request;
    let is_big = worker.is_big(request.bytes.len());
    if !(if is_big {
        try_dedicated(client)
    } else {
        try_shared(client)
    }) {
        return Dispatched::Deferred;
    }
    let mut lanes = Lanes::default();
    for part in &split_parts.parts {
        if let Err(not_sent) = lanes.add(
            worker,
            client,
            part.slot,
            is_big.then_some(LaneUse::BigValue),
        ) {
            lanes.release(worker);
            return not_sent.into();
        }
    }
    let known = match whole.merge {
        Merge::Elements => MergeWith::Order(order()),
        _ => MergeWith::Nothing,
    };
    worker.stats.split_requests.inc();
    if is_big {
        begin_dedicated(worker, client, request.bytes.len());
    }
    let entry = entry(worker, client, None, whole.sending);
    // Reporting a million keys takes as long again as parsing them.
    let names_keys = request.argc() <= SLICE;
    if whole.tracks && !names_keys {
        client.forget_behind(worker, entry.seq);
    }
    let count = split_parts.parts.len();
    let gather = Rc::new(Gather::new(entry, whole.merge, known, count));
    gather.count(worker);
    let (mut start, mut is_tracked_whole) = (0, false);
    for (number, part) in (0..).zip(&split_parts.parts) {
        let bytes = &split_parts.bytes[start..part.end];
        start = part.end;
        let Some(entry) = part_entry(worker, &gather, number, part, bytes, request) else {
            continue;
        };
        let owner = worker.map.slots.owner(part.slot);
        let lane = owner.and_then(|owner| lanes.to(owner));
        if whole.tracks && names_keys {
            if part.is_as_sent() {
                client.track(worker, lane, &entry, bytes);
            } else if !is_tracked_whole {
                // The bytes are no longer the client's: its request has all keys, for all such parts.
                is_tracked_whole = true;
                client.track(worker, None, &entry, request.bytes);
            }
        }
        match lane {
            Some(lane) => lane.send(worker, entry, bytes),
            None => {
                worker.refresh.request();
                if !is_big {
                    // Of a big one all parts count already.
                    client.add_request_bytes(worker, bytes.len());
                }
                worker.retry_later(entry, bytes.to_vec());
            }
        }
    }
    // A node gets nothing if the policies have refused all of its parts.
    if is_big {
        lanes.release_idle(worker);
    }
    Dispatched::Accepted
}

/// The entry of part `number`, whose bytes these are. `None` if the policies have refused it: then its error is in the
/// gather.
fn part_entry(
    worker: &Rc<Worker>,
    gather: &Rc<Gather>,
    number: u32,
    part: &Part,
    bytes: &[u8],
    request: &Request,
) -> Option<InFlight> {
    let mut entry = gather.entry(number, Some(part.slot), bytes.len());
    let Some(decision) = &part.decision else {
        return Some(entry);
    };
    let is_refused = decision.governed.is_refused();
    worker.count_actions(decision.namespace, decision.actions, is_refused, request);
    if is_refused {
        gather.take(worker, number, bytes, true);
        return None;
    }
    if let Governed::Block(form) = decision.governed {
        let destination = Destination::Part {
            gather: gather.clone(),
            part: number,
        };
        entry.kind = OnReply::Block(Block::new(form, destination, bytes));
    }
    Some(entry)
}

/// Applies the policies to the part that begins at `start`, in place: it becomes an error if they refuse it. Of the
/// split commands those that write values change lifetimes: MSET becomes a block or, with a single pair, a SET, whose
/// reply is that of MSET; JSON.MSET becomes a block.
pub fn govern_split_part(
    worker: &Worker,
    command: CommandRef,
    bytes: &mut Vec<u8>,
    start: usize,
) -> Option<Decision> {
    let policies = &worker.shared.policies;
    let mut rewritten = Vec::new();
    let part = &bytes[start..];
    let decision = govern_part(policies, command, part, unix_milliseconds, &mut rewritten)?;
    match decision.governed {
        Governed::AsIs => {}
        Governed::Block(_) | Governed::Rewritten(_) => {
            bytes.truncate(start);
            bytes.append(&mut rewritten);
        }
        // The request was permitted as a whole: only the passing of time can turn that into a refusal.
        Governed::Refused(_) => {
            bytes.truncate(start);
            bytes.push(b'-');
            bytes.append(&mut rewritten);
            bytes.extend_from_slice(b"\r\n");
        }
    }
    Some(decision)
}

/// The lane to each node that gets a part. A big request uses dedicated lanes, as one for a single slot does.
#[derive(Default)]
pub(crate) struct Lanes {
    all: Vec<(NodeId, Rc<Lane>)>,
    /// Index of each node in `all`, once there are many.
    places: HashMap<NodeId, usize>,
}

impl Lanes {
    /// Ensures that the part for `slot` can be sent. If it can't be now, the client pauses, or the request is refused as a
    /// whole: all parts are checked before one is sent.
    pub fn add(
        &mut self,
        worker: &Rc<Worker>,
        client: &Rc<Client>,
        slot: Slot,
        alone: Option<LaneUse>,
    ) -> Result<(), NotSent> {
        if !pass_barrier(worker, client, slot) {
            return Err(NotSent::Deferred);
        }
        match worker.map.slots.owner(slot) {
            Some(owner) => self.add_node(worker, client, owner, alone),
            None => Ok(()),
        }
    }

    /// As [`Lanes::add`], for a part that goes to a node independently of slots.
    pub fn add_node(
        &mut self,
        worker: &Rc<Worker>,
        client: &Rc<Client>,
        owner: NodeId,
        alone: Option<LaneUse>,
    ) -> Result<(), NotSent> {
        if self.to(owner).is_some() {
            return Ok(());
        }
        let lane = match alone {
            Some(of) => dedicated_lane_for(worker, client, owner, of)?,
            None => worker.shared_lane(owner, client),
        };
        self.push(owner, lane.clone());
        if lane.is_unavailable(worker) {
            refuse_unreachable(worker, client, &lane);
            return Err(NotSent::Refused);
        }
        match alone {
            Some(_) => Ok(()),
            None => find_room(worker, client, &lane),
        }
    }

    /// The lane to a node, if it was added.
    pub fn to(&self, node: NodeId) -> Option<&Rc<Lane>> {
        if self.all.len() > FEW {
            let (_, lane) = &self.all[*self.places.get(&node)?];
            return Some(lane);
        }
        self.all
            .iter()
            .find_map(|(owner, lane)| (*owner == node).then_some(lane))
    }

    fn push(&mut self, node: NodeId, lane: Rc<Lane>) {
        self.all.push((node, lane));
        if self.all.len() > FEW {
            // From the first node on: the first few were not entered.
            let from = self.places.len();
            let nodes = self.all.iter().map(|(node, _)| *node).enumerate();
            self.places
                .extend(nodes.skip(from).map(|(place, node)| (node, place)));
        }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Rc<Lane>> {
        self.all.iter().map(|(_, lane)| lane)
    }

    /// Releases the dedicated lanes over which nothing was sent.
    pub fn release_idle(self, worker: &Worker) {
        for (_, lane) in self.all {
            if lane.is_idle() {
                worker.release_unused(&lane);
            }
        }
    }

    /// Releases the dedicated lanes: nothing was sent.
    pub fn release(self, worker: &Worker) {
        for (_, lane) in self.all {
            worker.release_unused(&lane);
        }
    }
}
