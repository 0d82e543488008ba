//! A command for all nodes, sent to every one of them.

use std::rc::Rc;

use crate::engine::client::Client;
use crate::engine::client::dispatch::{Dispatched, NotSent};
use crate::engine::client::forward::{
    Sending, begin_dedicated, entry, find_room, refuse_unreachable, try_dedicated, try_shared,
};
use crate::engine::transaction::watch::dedicated_lane_for;
use crate::engine::upstream::NodeId;
use crate::engine::upstream::lane::Lane;
use crate::engine::upstream::lane_pool::LaneUse;
use crate::engine::upstream::retry::lost::unreachable;
use crate::engine::worker::Worker;
use slotmux_core::command::{self, Merge};
use slotmux_core::functions::Deletion;
use slotmux_core::policy::{NamespaceId, ReplyConversion};
use slotmux_core::resp::request::Request;
use slotmux_core::resp::write;

use super::gather::{Gather, MergeWith};
use slotmux_core::route::all_nodes::Recipients;

pub(super) const DBSIZE: &[u8] = b"*1\r\n$6\r\nDBSIZE\r\n";

/// A request to several nodes, and the merge of their replies.
pub struct Fan<'a> {
    /// How the replies become one.
    pub merge: Merge,
    /// Whether it may change something.
    pub write: bool,
    /// To which nodes, and how.
    pub recipients: Recipients,
    /// Knowledge that the merge needs.
    pub known: MergeWith,
    /// The bytes sent.
    pub bytes: &'a [u8],
}

/// Sends `request` to the nodes that it reaches, of which there is at least one.
pub fn broadcast(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    request: &Request,
    merge: Merge,
    write: bool,
    recipients: Recipients,
) -> Dispatched {
    let nodes = worker.nodes_of(recipients);
    let known = match merge {
        Merge::Texts => MergeWith::Nodes(
            nodes
                .iter()
                .map(|&node| worker.address_of(node).to_string())
                .collect(),
        ),
        Merge::AllTrue => {
            let scripts = &worker.shared.scripts;
            let shas = (2..request.argc()).map(|at| request.arg(at));
            MergeWith::Kept(shas.map(|sha| scripts.has(sha)).collect())
        }
        Merge::AllOk => deletion_of(request).map_or(MergeWith::Nothing, MergeWith::Deletion),
        merge if merge.lists_keys() && worker.shared.policies.hides_keys() => MergeWith::Hiding(0),
        _ => MergeWith::Nothing,
    };
    let fan = Fan {
        merge,
        write,
        recipients,
        known,
        bytes: request.bytes,
    };
    fan_out(worker, client, request, fan, &nodes)
}

/// The deletion of functions that a request asks for.
fn deletion_of(request: &Request) -> Option<Deletion> {
    let command = command::resolve(request.bytes, request.args).ok()?;
    Deletion::of(command, request)
}

/// Sends `fan` to `nodes`.
pub(super) fn fan_out(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    request: &Request,
    fan: Fan,
    nodes: &[NodeId],
) -> Dispatched {
    let is_alone = fan.recipients != Recipients::Primaries;
    // A change of the whole keyspace waits for all commands in flight: a redirected one must not end up behind it.
    if (fan.write || is_alone) && !try_dedicated(client) || !try_shared(client) {
        return Dispatched::Deferred;
    }
    // Where some replies are enough, an unavailable node is a failed part.
    let is_enough = fan.merge.takes_failures() || matches!(fan.known, MergeWith::Info(_));
    let lanes = match lanes(worker, client, nodes, is_alone, is_enough) {
        Ok(lanes) => lanes,
        Err(not_sent) => return not_sent.into(),
    };
    if is_alone {
        begin_dedicated(worker, client, fan.bytes.len());
    }
    let sending = Sending {
        bytes: fan.bytes,
        ..Sending::as_is(
            request,
            fan.write,
            NamespaceId::UNMATCHED,
            ReplyConversion::AsIs,
        )
    };
    let whole = entry(worker, client, None, &sending);
    // A key is drawn in proportion to the number of keys: each node reports that right behind its key.
    let weighs = fan.merge == Merge::RandomKey;
    let parts = lanes.len() * if weighs { 2 } else { 1 };
    let gather = Rc::new(Gather::new(whole, fan.merge, fan.known, parts));
    let mut failed = Vec::new();
    for (part, lane) in lanes.iter().enumerate() {
        if lane.is_unavailable(worker) {
            worker.release_unused(lane);
            failed.push((part as u32, unreachable(worker, lane)));
            continue;
        }
        let entry = gather.entry(part as u32, None, fan.bytes.len());
        lane.send(worker, entry, fan.bytes);
        if weighs {
            let size = gather.entry((lanes.len() + part) as u32, None, DBSIZE.len());
            lane.send(worker, size, DBSIZE);
        }
    }
    for (part, text) in failed {
        let mut reply = Vec::new();
        write::error(&mut reply, &text);
        gather.take(worker, part, &reply, true);
    }
    Dispatched::Accepted
}

/// The lane to each node: all are there before anything is sent, so that it is all or nothing, unless `is_enough`: some will
/// do.
pub(super) fn lanes(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    nodes: &[NodeId],
    is_alone: bool,
    is_enough: bool,
) -> Result<Vec<Rc<Lane>>, NotSent> {
    let mut lanes: Vec<Rc<Lane>> = Vec::with_capacity(nodes.len());
    let mut failure = None;
    for &node in nodes {
        let lane = if is_alone {
            dedicated_lane_for(worker, client, node, LaneUse::BigValue)
        } else {
            Ok(worker.shared_lane(node, client))
        };
        match lane {
            Ok(lane) => lanes.push(lane),
            Err(not_sent) => {
                failure = Some(not_sent);
                break;
            }
        }
    }
    let failure = failure.or_else(|| {
        let lost = lanes.iter().find(|lane| lane.is_unavailable(worker));
        if let Some(lost) = lost.filter(|_| !is_enough) {
            refuse_unreachable(worker, client, lost);
            return Some(NotSent::Refused);
        }
        let mut lanes = lanes.iter();
        lanes.find_map(|lane| find_room(worker, client, lane).err())
    });
    match failure {
        None => Ok(lanes),
        Some(not_sent) => {
            for lane in lanes {
                worker.release_unused(&lane);
            }
            Err(not_sent)
        }
    }
}
