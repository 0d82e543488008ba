//! The connections that a transaction goes over.

use std::rc::Rc;

use crate::engine::fan_out::split::Lanes;
use crate::engine::upstream::lane_pool::Use;
use crate::engine::worker::Worker;
use slotmux_core::route::transaction::TransactionBody;

use crate::engine::client::Client;
use crate::engine::client::dispatch::{NO_NODE, Taken, refuse};
use crate::engine::client::forward::{may_be_alone, may_share};
use crate::engine::transaction::watch::Pinned;

/// Over which connections a transaction goes.
pub(crate) enum Ways<'a> {
    /// The one where its keys are watched.
    Pinned(Pinned),
    /// Those that its slots' nodes are reached by.
    Usual(&'a Lanes),
}

impl Ways<'_> {
    /// Gives back what nothing is sent over.
    pub(crate) fn release(&self, worker: &Worker) {
        if let Ways::Usual(lanes) = self {
            lanes.all().for_each(|lane| worker.release_unused(lane));
        }
    }
}

/// The lanes for all groups: asked for before anything is sent, so that it is all or nothing.
pub(crate) fn lanes(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    body: &TransactionBody,
    is_big: bool,
) -> Result<Lanes, Taken> {
    let mut lanes = Lanes::default();
    if body.groups.is_empty() {
        return Ok(lanes);
    }
    let is_free = if is_big {
        may_be_alone(client)
    } else {
        may_share(client)
    };
    if !is_free {
        return Err(Taken::No);
    }
    let alone = is_big.then_some(Use::Big);
    for group in &body.groups {
        let added = match (group.slot, worker.any_node(client)) {
            (Some(slot), _) => lanes.add(worker, client, slot, alone),
            (None, Some(node)) => lanes.add_node(worker, client, node, alone),
            (None, None) => Err(refuse(worker, client, NO_NODE)),
        };
        if let Err(taken) = added {
            lanes.release(worker);
            return Err(taken);
        }
    }
    let is_split = body.groups.len() > 1;
    let blocks = body.groups.iter().filter(|group| group.is_block(is_split));
    let mut nodes = blocks.filter_map(|group| match group.slot {
        Some(slot) => worker.map.slots.owner(slot),
        None => worker.any_node(client),
    });
    if let Some(text) = nodes.find_map(|node| worker.check_transactions(node)) {
        lanes.release(worker);
        return Err(refuse(worker, client, &text));
    }
    Ok(lanes)
}
