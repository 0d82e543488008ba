//! A command for the whole keyspace, sent to every primary.

use std::rc::Rc;

use crate::client::Client;
use crate::client::dispatch::Taken;
use crate::client::forward::{may_be_alone, may_share, refuse_unreachable};
use crate::client::request::Request;
use crate::command::Merge;
use crate::upstream::NodeId;
use crate::upstream::inflight::{InFlight, Kind};
use crate::worker::Worker;

use super::gather::Gather;

/// Sends `request` to `primaries` (at least one).
pub fn broadcast(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    request: &Request,
    merge: Merge,
    write: bool,
    primaries: &[NodeId],
) -> Taken {
    // What changes the whole keyspace goes behind all that is in flight: a command that is sent on must not end up behind
    // it.
    if (write && !may_be_alone(client)) || !may_share(client) {
        return Taken::No;
    }
    let lanes: Vec<_> = primaries
        .iter()
        .map(|&node| worker.shared_lane(node, client))
        .collect();
    if let Some(lost) = lanes.iter().find(|lane| lane.is_given_up(worker)) {
        return refuse_unreachable(worker, client, lost);
    }
    if let Some(full) = lanes.iter().find(|lane| lane.is_full(worker)) {
        full.wait(worker, client);
        return Taken::No;
    }
    let mute = client.is_muted();
    let seq = client.take_seq();
    let gather = Rc::new(Gather::new(
        client,
        seq,
        mute,
        write,
        merge,
        Vec::new(),
        lanes.len(),
    ));
    for (part, lane) in lanes.iter().enumerate() {
        let entry = InFlight {
            client: client.clone(),
            seq,
            len: request.bytes.len() as u32,
            arrived: worker.clock.now(),
            slot: None,
            tries: 0,
            mute,
            write,
            kind: Kind::Part {
                gather: gather.clone(),
                part: part as u32,
            },
        };
        lane.send(worker, entry, request.bytes);
    }
    Taken::Yes
}
