//! The lanes of a transaction: all are found before anything is sent, so that all or none of its blocks are sent.

use std::rc::Rc;

use crate::engine::fan_out::split::Lanes;
use crate::engine::upstream::lane_pool::LaneUse;
use crate::engine::worker::Worker;
use slotmux_core::route::transaction::TransactionBody;

use crate::engine::client::Client;
use crate::engine::client::dispatch::{NO_NODE, NotSent, refuse};
use crate::engine::client::forward::{try_dedicated, try_shared};
use crate::engine::transaction::watch::Watch;

/// The lanes of a transaction.
pub(crate) enum ExecLanes<'a> {
    /// Those on which its keys are watched; groups of other slots find theirs when they are sent.
    Watched {
        /// The watches.
        watches: Vec<Rc<Watch>>,
        /// The number of groups of watched slots that only read.
        reads: usize,
    },
    /// A lane to each of its nodes.
    ByNode(&'a Lanes),
}

impl ExecLanes<'_> {
    /// Releases the lanes: nothing is sent over them.
    pub(crate) fn release(&self, worker: &Worker, client: &Rc<Client>) {
        match self {
            ExecLanes::Watched { watches, .. } => {
                watches.iter().for_each(|watch| watch.end(worker, client))
            }
            ExecLanes::ByNode(lanes) => lanes.all().for_each(|lane| worker.release_unused(lane)),
        }
    }
}

/// Finds the lanes for all groups.
pub(crate) fn lanes(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    body: &TransactionBody,
    is_big: bool,
) -> Result<Lanes, NotSent> {
    let mut lanes = Lanes::default();
    if body.groups.is_empty() {
        return Ok(lanes);
    }
    let may_send = if is_big {
        try_dedicated(client)
    } else {
        try_shared(client)
    };
    if !may_send {
        return Err(NotSent::Deferred);
    }
    let dedicated = is_big.then_some(LaneUse::BigValue);
    for group in &body.groups {
        let added = match (group.slot, worker.any_node(client)) {
            (Some(slot), _) => lanes.add(worker, client, slot, dedicated),
            (None, Some(node)) => lanes.add_node(worker, client, node, dedicated),
            (None, None) => {
                refuse(worker, client, NO_NODE);
                Err(NotSent::Refused)
            }
        };
        if let Err(not_sent) = added {
            lanes.release(worker);
            return Err(not_sent);
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
        refuse(worker, client, &text);
        return Err(NotSent::Refused);
    }
    Ok(lanes)
}
