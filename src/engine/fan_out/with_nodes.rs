//! INFO, sent to every primary, and CONFIG GET, sent to one: the reply joins slotmux' own figures with the nodes'
//! figures about the data.
//!
//! A node that does not answer costs INFO its part of the figures, never the reply: INFO is needed most when a node is down.

use std::rc::Rc;

use crate::engine::client::Client;
use crate::engine::client::dispatch::{Dispatched, NO_NODE, refuse};
use crate::engine::client::local_answers::{answer_here, local_answer};
use crate::engine::upstream::NodeId;
use crate::engine::worker::Worker;
use slotmux_core::command::{Command, Merge, OwnAnswer};
use slotmux_core::resp::request::Request;
use slotmux_core::resp::{Limits, scan_request, write};

use super::broadcast::{Fan, fan_out};
use super::gather::MergeWith;
use slotmux_core::route::all_nodes::Recipients;
use slotmux_core::route::merge::info::{OwnInfo, SectionChoice};

/// slotmux' own INFO with all of its sections.
pub fn own_info(worker: &Worker, client: &Rc<Client>, command: &Command) -> Vec<u8> {
    let (mut bytes, mut args, mut own) = (Vec::new(), Vec::new(), Vec::new());
    write::request(&mut bytes, &[b"INFO", b"everything"]);
    if scan_request(&bytes, &Limits::ACCEPTED, &mut args).is_ok() {
        let request = Request {
            bytes: &bytes,
            args: &args,
        };
        let replies = client.session.reply_mode();
        let what = OwnAnswer::Info;
        let shared = &*worker.shared;
        local_answer(worker, client, what, command, &request, shared, &mut own);
        client.session.set_reply_mode(replies);
    }
    own
}

/// Takes a request that slotmux answers with the replies of the primaries.
pub fn answer_with_nodes(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    what: OwnAnswer,
    command: &Command,
    request: &Request,
) -> Dispatched {
    let mut nodes = worker.map.primaries();
    if nodes.is_empty() {
        // INFO can report slotmux alone; parameters of the data are not invented.
        return match what {
            OwnAnswer::Info => answer_here(worker, client, what, command, request),
            _ => refuse(worker, client, NO_NODE),
        };
    }
    if what != OwnAnswer::Info {
        // One reachable node is enough. Without one, the error says so.
        let is_there = |node: &NodeId| !worker.shared_lane(*node, client).is_unavailable(worker);
        let first = nodes.iter().position(is_there).unwrap_or(0);
        nodes = vec![nodes[first]];
    }
    let mut own = Vec::new();
    // It is not sent yet, and this may be tried again: a CLIENT REPLY SKIP is not used up by it.
    let replies = client.session.reply_mode();
    let shared = &*worker.shared;
    local_answer(worker, client, what, command, request, shared, &mut own);
    client.session.set_reply_mode(replies);
    if own.starts_with(b"-") {
        // A refused request needs no node.
        return answer_here(worker, client, what, command, request);
    }
    let mut all = Vec::new();
    write::request(&mut all, &[b"INFO", b"everything"]);
    let (known, bytes) = match what {
        OwnAnswer::Info => {
            let takes_all = request.argc() <= 2 || worker.map.server.get().takes_sections();
            let (sections, bytes) = match takes_all {
                true => (SectionChoice::OfNodes, request.bytes),
                false => (SectionChoice::titles_of(&own), &all[..]),
            };
            let own = OwnInfo {
                asked: own,
                everything: own_info(worker, client, command),
                sections,
            };
            (MergeWith::Info(own), bytes)
        }
        _ => (MergeWith::Settings(own), request.bytes),
    };
    let fan = Fan {
        merge: Merge::First,
        write: false,
        recipients: Recipients::Primaries,
        known,
        bytes,
    };
    fan_out(worker, client, request, fan, &nodes)
}
