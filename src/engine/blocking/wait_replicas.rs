//! WAIT and WAITAOF: how many replicas have the writes of this client.
//!
//! A node counts from the last offset that the asking connection has seen. On a dedicated lane WAIT would therefore reply at
//! once, for writes that went over a shared one. So a command ahead of it makes the node bring the connection's offset up to
//! its own, which covers everything that the client wrote there. The reply is never more than the client's own connection
//! to that node would get; of several nodes it is the smallest.
//!
//! Up to Redis 7.0 any command that runs has this effect: a WAIT for no replicas. It needs no right besides the one for
//! the client's own WAIT, and a node that refuses PING because it can't save accepts it. From 7.2 on only a command
//! that is replicated has the effect: a script that sets a key and removes it, which leaves nothing behind. A node that can't
//! save, or has too few replicas or too little memory, refuses it. Such a node takes no write of any client, so its own figures
//! count: the replicas that have its whole stream.

use std::rc::Rc;

use crate::engine::fan_out::gather::{Gather, MergeWith};
use crate::engine::fan_out::split::Lanes;
use crate::engine::upstream::NodeId;
use crate::engine::upstream::block::{Block, Destination};
use crate::engine::upstream::first_request;
use crate::engine::upstream::inflight::{InFlight, OnReply};
use crate::engine::upstream::lane::Lane;
use crate::engine::upstream::lane_pool::LaneUse;
use crate::engine::worker::Worker;
use slotmux_core::cluster::redirect::is_refused_for_now;
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

/// Start of the script that [`acknowledged`] sends ahead.
const TOUCH_START: &[u8] = b"*4\r\n$4\r\nEVAL\r\n";

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

/// Takes over a WAIT whose node has refused the script ahead of it with `error`; `request` copies the bytes of both. WAITAOF gets
/// the error: INFO has no figures about the data on the node's disk.
pub fn count_instead(
    worker: &Rc<Worker>,
    lane: &Rc<Lane>,
    entry: InFlight,
    error: &[u8],
    request: &dyn Fn() -> Vec<u8>,
) -> Result<(), InFlight> {
    let OnReply::Block(block) = &entry.kind else {
        return Err(entry);
    };
    let Destination::Part { gather, part } = block.destination() else {
        return Err(entry);
    };
    if !is_refused_for_now(error) || !is_touched_wait(&request()) {
        return Err(entry);
    }
    let mut info = Vec::new();
    write::request(&mut info, &[b"INFO", b"replication"]);
    let entry = InFlight {
        len: info.len() as u32,
        kind: OnReply::Part {
            gather: gather.clone(),
            part: *part,
        },
        reply: ReplyConversion::CaughtUp,
        ..entry.clone()
    };
    lane.send_owned(worker, entry, info);
    Ok(())
}

/// Whether these are the script and a WAIT.
fn is_touched_wait(bytes: &[u8]) -> bool {
    let wait = bytes.get(first_request(bytes)..).unwrap_or_default();
    let mut lines = wait.split(|&byte| byte == b'\n');
    bytes.starts_with(TOUCH_START)
        && lines
            .nth(2)
            .is_some_and(|name| name.eq_ignore_ascii_case(b"WAIT\r"))
}

/// The number of replicas that have the whole stream of their primary, by its `INFO replication`, as a reply.
pub fn caught_up(info: &[u8]) -> Vec<u8> {
    let info = String::from_utf8_lossy(info);
    let offset = info
        .lines()
        .find_map(|line| line.strip_prefix("master_repl_offset:"))
        .and_then(|offset| offset.parse::<u64>().ok());
    let has_all = |line: &&str| {
        let replica = line
            .strip_prefix("slave")
            .and_then(|line| line.split_once(':'));
        replica
            .into_iter()
            .flat_map(|(_, fields)| fields.split(','))
            .filter_map(|field| field.strip_prefix("offset=")?.parse::<u64>().ok())
            .any(|has| offset.is_some_and(|all| has >= all))
    };
    let mut reply = Vec::new();
    write::integer(&mut reply, info.lines().filter(has_all).count() as i64);
    reply
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
    use super::*;

    #[test]
    fn replicas_with_the_whole_stream_are_counted() {
        let info = "$9\r\n# Replication\r\nrole:master\r\nconnected_slaves:3\r\n\
            slave0:ip=::1,port=1,state=online,offset=70,lag=0\r\n\
            slave1:ip=::1,port=2,state=online,offset=69,lag=0,type=replica\r\n\
            slave2:ip=::1,port=3,state=wait_bgsave,offset=0,lag=0\r\n\
            slave_repl_offset:70\r\nmaster_repl_offset:70\r\n\r\n";
        assert_eq!(caught_up(info.as_bytes()), b":1\r\n");
        for info in ["", "slave0:offset=7", "master_repl_offset:7\r\n"] {
            assert_eq!(caught_up(info.as_bytes()), b":0\r\n", "{info}");
        }
    }

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
