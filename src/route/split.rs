//! A command whose keys are in several slots, sent slot by slot.
//!
//! Redis Cluster refuses two slots in one command even where one node has both, so the parts are per slot; the parts
//! for one node leave in one write.

use std::rc::Rc;

use crate::client::Client;
use crate::client::dispatch::Taken;
use crate::client::forward::{may_share, may_use, refuse_unreachable};
use crate::client::request::Request;
use crate::command::Merge;
use crate::resp::write;
use crate::slot::{Slot, slot_of};
use crate::upstream::inflight::{InFlight, Kind};
use crate::worker::Worker;

use super::gather::Gather;

/// Sends `request`, whose arguments from the second on are keys (`step` 1) or keys and values (`step` 2).
pub fn split(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    request: &Request,
    merge: Merge,
    step: usize,
    write: bool,
) -> Taken {
    let mut keys: Vec<(Slot, u32)> = (1..request.argc())
        .step_by(step)
        .map(|at| (slot_of(request.arg(at)), at as u32))
        .collect();
    // Stable: within a slot the keys stay in the client's order, which decides between duplicates.
    keys.sort_by_key(|&(slot, _)| slot.0);
    let groups: Vec<&[(Slot, u32)]> = keys.chunk_by(|a, b| a.0 == b.0).collect();
    if !may_share(client) {
        return Taken::No;
    }
    for group in &groups {
        if let Err(taken) = may_send(worker, client, group[0].0) {
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
    if worker.is_big(request.bytes.len()) {
        client.add_request_bytes(worker, request.bytes.len());
    }
    let mute = client.is_muted();
    let seq = client.take_seq();
    let arrived = worker.clock.now();
    let gather = Rc::new(Gather::new(
        client,
        seq,
        mute,
        write,
        merge,
        order,
        groups.len(),
    ));
    let mut bytes = worker.buffers.take();
    for (part, group) in groups.iter().enumerate() {
        bytes.clear();
        write::array(&mut bytes, 1 + group.len() * step);
        write::bulk(&mut bytes, request.arg(0));
        for &(_, at) in *group {
            for offset in 0..step {
                write::bulk(&mut bytes, request.arg(at as usize + offset));
            }
        }
        let slot = group[0].0;
        let entry = InFlight {
            client: client.clone(),
            seq,
            len: bytes.len() as u32,
            arrived,
            slot: Some(slot),
            tries: 0,
            mute,
            write,
            kind: Kind::Part {
                gather: gather.clone(),
                part: part as u32,
            },
        };
        match worker.slots.owner(slot) {
            Some(owner) => worker
                .shared_lane(owner, client)
                .send(worker, entry, &bytes),
            None => {
                worker.refresh.request();
                worker.retry_later(entry, bytes.clone());
            }
        }
    }
    worker.buffers.give(bytes);
    Taken::Yes
}

/// Whether the part for `slot` may be sent now; if not, the client pauses, or the request is refused as a whole. All
/// parts are asked before one is sent.
fn may_send(worker: &Rc<Worker>, client: &Rc<Client>, slot: Slot) -> Result<(), Taken> {
    if !may_use(worker, client, slot) {
        return Err(Taken::No);
    }
    let Some(owner) = worker.slots.owner(slot) else {
        return Ok(());
    };
    let lane = worker.shared_lane(owner, client);
    if lane.is_given_up(worker) {
        return Err(refuse_unreachable(worker, client, &lane));
    }
    if lane.is_full(worker) {
        lane.wait(worker, client);
        return Err(Taken::No);
    }
    Ok(())
}
