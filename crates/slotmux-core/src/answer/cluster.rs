//! `CLUSTER`, `READONLY`, `READWRITE` and `ASKING`. Most listeners answer as a server outside any cluster, and never show
//! the real nodes. One with `personality = "cluster"` answers as the only primary of a cluster, which has every slot, so
//! that clients find it where they connected to and send it all commands.

use sha1::{Digest, Sha1};

use super::{
    AnswerHost, AnsweredRequest, AskingClient, ClientAddress, NOT_AN_INTEGER, error, help,
};
use crate::c_string;
use crate::command;
use crate::config::ListenAddress;
use crate::resp::{Protocol, number, write};
use crate::slot::{SLOTS, slot_of};

/// Redis' distance between the port for clients and that for other nodes, which clients of the cluster see in `NODES`.
const BUS_PORT_OFFSET: u16 = 10_000;

const LAST_SLOT: usize = SLOTS - 1;

pub(super) fn cluster(
    request: AnsweredRequest<'_>,
    subject: &AskingClient<'_>,
    host: &AnswerHost<'_>,
    out: &mut Vec<u8>,
) {
    if !host.is_cluster() {
        return write::error(out, "ERR This instance has cluster support disabled");
    }
    let node = VisibleNode::of(host);
    let protocol = subject.protocol;
    match request.command.name {
        "readonly" | "readwrite" | "asking" => write::simple(out, "OK"),
        "slots" => slots(&node, protocol, out),
        "shards" => shards(&node, protocol, out),
        "nodes" => write::verbatim(out, protocol, "txt", &node.line()),
        "info" => info(host, protocol, out),
        "myid" => write::bulk(out, node.id("node").as_bytes()),
        "myshardid" => write::bulk(out, node.id("shard").as_bytes()),
        "links" => write::array(out, 0),
        "keyslot" => write::integer(out, slot_of(request.get(2)).0.into()),
        // Only invalid slots arrive here: a request for a valid slot goes to the slot's node.
        "countkeysinslot" => wrong_number(request, "ERR Invalid slot", out),
        "getkeysinslot" => wrong_number(request, "ERR Invalid slot or number of keys", out),
        "replicas" | "slaves" | "count-failure-reports" => about_node(request, &node, out),
        "help" => help::help("CLUSTER", help::CLUSTER, out),
        _ => {
            let reason = "the slots and nodes are those of the cluster behind slotmux; send it to a node of that";
            write::error(
                out,
                &command::refused_error(request.command.full_name, reason),
            );
        }
    }
}

/// The one node that clients see.
struct VisibleNode {
    /// Empty: where the client connected to, as Redis means it where a node does not know its address.
    host: String,
    port: u16,
}

impl VisibleNode {
    fn of(host: &AnswerHost<'_>) -> VisibleNode {
        let (shown, port) = match (&host.listener.announce, host.local) {
            (Some(announced), _) => (announced.host.to_string(), announced.port),
            (None, Some(ClientAddress::Tcp(local))) => {
                (local.ip().to_canonical().to_string(), local.port())
            }
            // The client has just left, so the reply is not read.
            _ => {
                let ports = host.listener.bind.iter().filter_map(|bind| match bind {
                    ListenAddress::Tcp(addr) => Some(addr.port()),
                    ListenAddress::Unix(_) => None,
                });
                (String::new(), ports.min().unwrap_or_default())
            }
        };
        VisibleNode { host: shown, port }
    }

    /// 40 hexadecimal digits that depend on this address alone, not on the process.
    fn id(&self, of: &str) -> String {
        hex::encode(Sha1::digest(format!(
            "slotmux {of} {}:{}",
            self.host, self.port
        )))
    }

    /// The reply to `NODES`.
    fn line(&self) -> String {
        let VisibleNode { host, port } = self;
        let bus = port.wrapping_add(BUS_PORT_OFFSET);
        let id = self.id("node");
        format!("{id} {host}:{port}@{bus} myself,master - 0 0 1 connected 0-{LAST_SLOT}\n")
    }
}

fn slots(node: &VisibleNode, protocol: Protocol, out: &mut Vec<u8>) {
    write::array(out, 1);
    write::array(out, 3);
    write::integer(out, 0);
    write::integer(out, LAST_SLOT as i64);
    write::array(out, 4);
    write::bulk(out, node.host.as_bytes());
    write::integer(out, node.port.into());
    write::bulk(out, node.id("node").as_bytes());
    write::map(out, protocol, 0);
}

fn shards(node: &VisibleNode, protocol: Protocol, out: &mut Vec<u8>) {
    write::array(out, 1);
    write::map(out, protocol, 2);
    write::bulk(out, b"slots");
    write::array(out, 2);
    write::integer(out, 0);
    write::integer(out, LAST_SLOT as i64);
    write::bulk(out, b"nodes");
    write::array(out, 1);
    write::map(out, protocol, 7);
    write::bulk(out, b"id");
    write::bulk(out, node.id("node").as_bytes());
    write::bulk(out, b"port");
    write::integer(out, node.port.into());
    for (name, value) in [
        ("ip", &*node.host),
        ("endpoint", &node.host),
        ("role", "master"),
    ] {
        write::bulk(out, name.as_bytes());
        write::bulk(out, value.as_bytes());
    }
    write::bulk(out, b"replication-offset");
    write::integer(out, 0);
    write::bulk(out, b"health");
    write::bulk(out, b"online");
}

fn info(host: &AnswerHost<'_>, protocol: Protocol, out: &mut Vec<u8>) {
    write::verbatim(out, protocol, "txt", &info_text(host));
}

/// The text of `CLUSTER INFO`.
pub(super) fn info_text(host: &AnswerHost<'_>) -> String {
    let is_known = !host.process.facts().topology.is_empty();
    let state = if is_known { "ok" } else { "fail" };
    format!(
        "cluster_state:{state}\r\n\
         cluster_slots_assigned:{SLOTS}\r\n\
         cluster_slots_ok:{SLOTS}\r\n\
         cluster_slots_pfail:0\r\n\
         cluster_slots_fail:0\r\n\
         cluster_known_nodes:1\r\n\
         cluster_size:1\r\n\
         cluster_current_epoch:1\r\n\
         cluster_my_epoch:1\r\n\
         cluster_stats_messages_sent:0\r\n\
         cluster_stats_messages_received:0\r\n\
         total_cluster_links_buffer_limit_exceeded:0\r\n"
    )
}

/// The error in the numbers of a request: one is not a number, or there is no such slot.
fn wrong_number(request: AnsweredRequest<'_>, out_of_range: &str, out: &mut Vec<u8>) {
    let are_numbers = request
        .from(2)
        .all(|text| number::parse_i64(text).is_some());
    write::error(
        out,
        if are_numbers {
            out_of_range
        } else {
            NOT_AN_INTEGER
        },
    );
}

/// `REPLICAS id`, whose list is empty, and `COUNT-FAILURE-REPORTS id`.
fn about_node(request: AnsweredRequest<'_>, node: &VisibleNode, out: &mut Vec<u8>) {
    let asked = request.get(2);
    if asked != node.id("node").as_bytes() {
        return error(out, &[b"ERR Unknown node ", c_string::of(asked)]);
    }
    match request.command.name {
        "count-failure-reports" => write::integer(out, 0),
        _ => write::array(out, 0),
    }
}
