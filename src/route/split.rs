//! A command whose keys are in several slots, sent slot by slot.
//!
//! Redis Cluster refuses two slots in one command even where one node has both, so the parts are per slot; the parts
//! for one node leave in one write.

use std::rc::Rc;

use crate::client::Client;
use crate::client::dispatch::Taken;
use crate::client::forward::{
    Sending, entry, find_room, may_be_alone, may_share, may_use, refuse_unreachable, set_out_alone,
};
use crate::client::request::Request;
use crate::client::watch::own_lane;
use crate::clock::unix_milliseconds;
use crate::command::{CommandRef, Merge};
use crate::policy::Governed;
use crate::slot::Slot;
use crate::upstream::NodeId;
use crate::upstream::block::{Block, Then};
use crate::upstream::inflight::Kind;
use crate::upstream::lane::Lane;
use crate::upstream::pool::Use;
use crate::worker::Worker;

use super::gather::{Gather, Known};
use super::parts::{govern_part, keys_by_slot, write_part};

/// Sends a request, whose arguments from the second on are keys (`step` 1) or keys and values (`step` 2).
pub fn split(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    sending: &Sending,
    command: CommandRef,
    merge: Merge,
    step: usize,
) -> Taken {
    let request = sending.request;
    let keys = keys_by_slot(request, step);
    let groups: Vec<&[(Slot, u32)]> = keys.chunk_by(|a, b| a.0 == b.0).collect();
    let is_big = worker.is_big(request.bytes.len());
    if !(if is_big {
        may_be_alone(client)
    } else {
        may_share(client)
    }) {
        return Taken::No;
    }
    let mut lanes = Lanes::default();
    for group in &groups {
        if let Err(taken) = lanes.add(worker, client, group[0].0, is_big.then_some(Use::Big)) {
            lanes.release(worker);
            return taken;
        }
    }
    let mut order = Vec::new();
    if merge == Merge::Elements {
        order = vec![0; request.argc() - 1];
        for (part, group) in groups.iter().enumerate() {
            for &(_, at) in *group {
                order[at as usize - 1] = part as u32;
            }
        }
    }
    worker.stats.split.inc();
    if is_big {
        set_out_alone(worker, client, request.bytes.len());
    }
    let tracks = client.tracks() && client.tracking.get().wants_next();
    let whole = entry(worker, client, None, sending);
    let gather = Rc::new(Gather::new(whole, merge, Known::Order(order), groups.len()));
    let mut part_bytes = worker.buffers.take();
    let mut rewritten = Vec::new();
    for (part, group) in groups.iter().enumerate() {
        write_part(request, group, step, &mut part_bytes);
        let governed = governed(worker, request, command, &part_bytes, &mut rewritten);
        let (slot, part) = (group[0].0, part as u32);
        let bytes = match governed {
            Governed::Block(_) | Governed::Rewritten(_) => &rewritten,
            // What the policies do not permit was refused as a whole.
            Governed::AsIs | Governed::Refused => &part_bytes,
        };
        let mut entry = gather.entry(part, Some(slot), bytes.len());
        if let Governed::Block(form) = governed {
            let gather = gather.clone();
            entry.kind = Kind::Block(Block::new(form, Then::Part { gather, part }, bytes));
        }
        match worker.slots.owner(slot).and_then(|owner| lanes.to(owner)) {
            Some(lane) => {
                if tracks {
                    client.track(worker, Some(lane), &entry, &part_bytes);
                }
                lane.send(worker, entry, bytes);
            }
            None => {
                if tracks {
                    client.track(worker, None, &entry, &part_bytes);
                }
                worker.refresh.request();
                if !is_big {
                    // Of a big one all parts count already.
                    client.add_request_bytes(worker, bytes.len());
                }
                worker.retry_later(entry, bytes.clone());
            }
        }
    }
    worker.buffers.give(part_bytes);
    Taken::Yes
}

/// What the policies make of one part of `request`; their actions are counted. Of the commands that are split only MSET changes
/// lifetimes: it becomes a block, or of a single pair a SET, whose reply is that of MSET.
fn governed(
    worker: &Worker,
    request: &Request,
    command: CommandRef,
    part: &[u8],
    rewritten: &mut Vec<u8>,
) -> Governed {
    let policies = &worker.process.policies;
    let Some(decision) = govern_part(policies, command, part, unix_milliseconds, rewritten) else {
        return Governed::AsIs;
    };
    worker.count_actions(decision.namespace, decision.actions, false, request);
    decision.governed
}

/// The lane to each node that gets a part. A big request has lanes of its own, as one for a single slot has.
#[derive(Default)]
pub(crate) struct Lanes(Vec<(NodeId, Rc<Lane>)>);

impl Lanes {
    /// Sees to it that the part for `slot` can be sent. If it can't be now, the client pauses, or the request is refused
    /// as a whole: all parts are asked before one is sent.
    pub fn add(
        &mut self,
        worker: &Rc<Worker>,
        client: &Rc<Client>,
        slot: Slot,
        alone: Option<Use>,
    ) -> Result<(), Taken> {
        if !may_use(worker, client, slot) {
            return Err(Taken::No);
        }
        match worker.slots.owner(slot) {
            Some(owner) => self.add_node(worker, client, owner, alone),
            None => Ok(()),
        }
    }

    /// As [`Lanes::add`], for what goes to a node whatever its slots.
    pub fn add_node(
        &mut self,
        worker: &Rc<Worker>,
        client: &Rc<Client>,
        owner: NodeId,
        alone: Option<Use>,
    ) -> Result<(), Taken> {
        if self.to(owner).is_some() {
            return Ok(());
        }
        let lane = match alone {
            Some(of) => own_lane(worker, client, owner, of)?,
            None => worker.shared_lane(owner, client),
        };
        self.0.push((owner, lane.clone()));
        if lane.is_given_up(worker) {
            return Err(refuse_unreachable(worker, client, &lane));
        }
        match alone {
            Some(_) => Ok(()),
            None => find_room(worker, client, &lane),
        }
    }

    /// The lane to a node, if it was added.
    pub fn to(&self, node: NodeId) -> Option<&Rc<Lane>> {
        self.0
            .iter()
            .find_map(|(owner, lane)| (*owner == node).then_some(lane))
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Rc<Lane>> {
        self.0.iter().map(|(_, lane)| lane)
    }

    /// Gives back the lanes of its own: nothing was sent.
    pub fn release(self, worker: &Worker) {
        for (_, lane) in self.0 {
            worker.release_unused(&lane);
        }
    }
}
