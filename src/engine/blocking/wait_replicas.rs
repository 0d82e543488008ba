//! WAIT and WAITAOF: how many replicas have the writes of this client.
//!
//! A node counts from the last offset that the asking connection has seen. On a dedicated lane WAIT would therefore reply at
//! once, for writes that went over a shared one. So a command ahead of it makes the node bring the connection's offset up to
//! its own, which covers everything that the client wrote there. The reply is never more than the client's own connection
//! to that node would get; of several nodes it is the smallest.
//!
//! Up to Redis 7.0 any command that runs has this effect: a WAIT for no replicas. It needs no right besides the one for
//! the client's own WAIT, and a node that refuses PING because it can't save accepts it. From 7.2 on only a command
//! that is replicated has the effect: a script that sets a key and removes it, which leaves nothing behind.

use std::rc::Rc;

use crate::engine::fan_out::gather::{Gather, MergeWith};
use crate::engine::fan_out::split::Lanes;
use crate::engine::upstream::NodeId;
use crate::engine::upstream::block::{Block, Destination};
use crate::engine::upstream::inflight::OnReply;
use crate::engine::upstream::lane_pool::LaneUse;
use crate::engine::worker::Worker;
use slotmux_core::command::{BlockingTimeout, Merge};
use slotmux_core::policy::{BlockShape, NamespaceId, ReplyConversion};
use slotmux_core::resp::write;
use slotmux_core::slot::slot_of;

use crate::engine::client::Client;
use crate::engine::client::dispatch::{Dispatched, NO_NODE, refuse};
use crate::engine::client::forward::{Sending, begin_dedicated, entry, try_dedicated};
use slotmux_core::resp::request::Request;

const NO_WAIT: &[u8] = b"*3\r\n$4\r\nWAIT\r\n$1\r\n0\r\n$1\r\n0\r\n";

const TOUCH: &[u8] = b"redis.call('SET',KEYS[1],'','PX',1000) return redis.call('UNLINK',KEYS[1])";

/// Keys that are tried to find one of a node. With a hundred nodes it is one in a hundred.
const TRIES: u32 = 100_000;

/// Sends WAIT or WAITAOF to the primaries that `client` has written to.
pub fn acknowledged(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    request: &Request,
    merge: Merge,
) -> Dispatched {
    if !try_dedicated(client) {
        return Dispatched::Deferred;
    }
    let nodes = worker.written_by(client);
    if nodes.is_empty() {
        return refuse(worker, client, NO_NODE);
    }
    let mut lanes = Lanes::default();
    for &node in &nodes {
        if let Err(not_sent) = lanes.add_node(worker, client, node, Some(LaneUse::BlockOrWatch)) {
            lanes.release(worker);
            return not_sent.into();
        }
    }
    begin_dedicated(worker, client, request.bytes.len() * nodes.len());
    // It changes no data, and there is no part of a missing reply to report.
    let sending = Sending::as_is(
        request,
        false,
        NamespaceId::UNMATCHED,
        ReplyConversion::AsIs,
    );
    let whole = entry(worker, client, None, &sending);
    client.block(
        worker,
        BlockingTimeout::for_replicas(request.arg(request.argc() - 1)),
    );
    let gather = Rc::new(Gather::new(whole, merge, MergeWith::Nothing, nodes.len()));
    for (part, lane) in (0..).zip(lanes.all()) {
        let bytes = [&worker.touch(lane.node), request.bytes].concat();
        let form = BlockShape {
            atomic: false,
            commands: 2,
            own: 2,
        };
        let then = Destination::Part {
            gather: gather.clone(),
            part,
        };
        let mut entry = gather.entry(part, None, bytes.len());
        entry.kind = OnReply::Block(Block::new(form, then, &bytes));
        lane.prepare_blocking(worker, &entry);
        lane.send_owned(worker, entry, bytes);
    }
    Dispatched::Accepted
}

impl Worker {
    /// The primaries that a client wrote to. All primaries, if it wrote to none or to a node that is no longer a
    /// primary.
    fn written_by(&self, client: &Client) -> Vec<NodeId> {
        let mut primaries = self.map.primaries();
        let written = client.upstream.written();
        let known = primaries.iter().fold(0, |all, node| all | node.bit());
        if written != 0 && written & !known == 0 {
            primaries.retain(|node| written & node.bit() != 0);
        }
        primaries
    }

    /// The command that brings the offset of a connection to `node` up to date.
    fn touch(&self, node: NodeId) -> Vec<u8> {
        if any_command_counts(&self.map.topology.borrow().server.version) {
            return NO_WAIT.to_vec();
        }
        let mut keys = (0..TRIES).map(|number| format!("slotmux:wait:{number}"));
        let key = keys.find(|key| self.map.slots.owner(slot_of(key.as_bytes())) == Some(node));
        let Some(key) = key else {
            return NO_WAIT.to_vec();
        };
        let mut touch = Vec::new();
        write::request(&mut touch, &[b"EVAL", TOUCH, b"1", key.as_bytes()]);
        touch
    }
}

/// Whether a server of this version brings a connection's offset up with any command.
pub fn any_command_counts(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    let mut number = || numbers.next().flatten();
    matches!(
        (number(), number()),
        (Some(..7), Some(_)) | (Some(7), Some(..2))
    )
}

#[cfg(test)]
mod tests {
    use crate::engine::blocking::wait_replicas::any_command_counts;

    #[test]
    fn versions() {
        for version in ["6.2.14", "7.0.15", "7.1.241"] {
            assert!(any_command_counts(version), "{version}");
        }
        for version in ["7.2.0", "7.4.1", "8.0.0", "10.0.0", "", "255.255.255", "x"] {
            assert!(!any_command_counts(version), "{version}");
        }
    }
}
