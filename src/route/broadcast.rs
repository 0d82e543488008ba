//! A command for the whole keyspace, sent to every primary.

use std::rc::Rc;

use crate::client::Client;
use crate::client::dispatch::Taken;
use crate::client::forward::{Sending, entry, may_be_alone, may_share, refuse_unreachable};
use crate::client::request::Request;
use crate::command::Merge;
use crate::policy::{NamespaceId, Reply};
use crate::upstream::NodeId;
use crate::worker::Worker;

use super::gather::Gather;

const DBSIZE: &[u8] = b"*1\r\n$6\r\nDBSIZE\r\n";

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
    let sending = Sending::as_is(request, write, NamespaceId::UNMATCHED, Reply::AsIs);
    let whole = entry(worker, client, None, &sending);
    // A key is drawn by how many there are: each node tells that as well, right behind its key.
    let weighs = merge == Merge::Drawn;
    let parts = lanes.len() * if weighs { 2 } else { 1 };
    let gather = Rc::new(Gather::new(whole, merge, Vec::new(), parts));
    for (part, lane) in lanes.iter().enumerate() {
        let entry = gather.entry(part as u32, None, request.bytes.len());
        lane.send(worker, entry, request.bytes);
        if weighs {
            let size = gather.entry((lanes.len() + part) as u32, None, DBSIZE.len());
            lane.send(worker, size, DBSIZE);
        }
    }
    Taken::Yes
}
