//! INFO inside a transaction: the nodes are asked before the transaction is sent, so that it has the same fields as outside.

use std::cell::RefCell;
use std::rc::Rc;

use crate::engine::client::Client;
use crate::engine::client::dispatch::NotSent;
use crate::engine::upstream::inflight::{InFlight, OnReply};
use crate::engine::upstream::retry::lost::unreachable;
use crate::engine::worker::Worker;
use slotmux_core::command::Merge;
use slotmux_core::resp::request::Request;
use slotmux_core::resp::write;
use slotmux_core::route::merge::info::{self, OwnInfo};

use super::broadcast::lanes;
use super::gather::{Gather, MergeWith};

/// INFO with all sections, and with those that a node shows by default.
const QUESTIONS: [&[u8]; 2] = [
    b"*2\r\n$4\r\nINFO\r\n$10\r\neverything\r\n",
    b"*1\r\n$4\r\nINFO\r\n",
];

/// The replies of the primaries, once they have come: those to the first question, then those to the second.
#[derive(Debug, Default)]
pub struct InfoAhead(RefCell<Option<Vec<Vec<u8>>>>);

impl InfoAhead {
    /// Takes the replies.
    pub fn set(&self, replies: Vec<Vec<u8>>) {
        *self.0.borrow_mut() = Some(replies);
    }

    /// Whether all replies, or their errors, have come.
    pub fn is_complete(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Appends the reply to an INFO of the transaction.
    pub fn answer(&self, request: &Request, own: &OwnInfo, out: &mut Vec<u8>) {
        let replies = self.0.borrow();
        let replies = replies.as_deref().unwrap_or_default();
        let (everything, default) = replies.split_at(replies.len() / 2);
        let names = (1..request.argc()).map(|at| request.arg(at));
        info::merged_some(own, names, everything, default, out);
    }
}

/// Asks all primaries. The replies are awaited among the client's requests, and are no replies of its own.
pub fn ask_ahead(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    ahead: &Rc<InfoAhead>,
) -> Result<(), NotSent> {
    let nodes = worker.map.primaries();
    let lanes = lanes(worker, client, &nodes, false, true)?;
    if lanes.is_empty() {
        ahead.set(Vec::new());
        return Ok(());
    }
    let whole = InFlight {
        seq: client.take_seq(),
        ..InFlight::internal(worker, client, 0, OnReply::Discard)
    };
    let known = MergeWith::Ahead(ahead.clone());
    let parts = lanes.len() * QUESTIONS.len();
    let gather = Rc::new(Gather::new(whole, Merge::First, known, parts));
    let mut failed = Vec::new();
    for (at, question) in QUESTIONS.iter().enumerate() {
        for (node, lane) in lanes.iter().enumerate() {
            let part = (at * lanes.len() + node) as u32;
            if lane.is_unavailable(worker) {
                failed.push((part, unreachable(worker, lane)));
            } else {
                let entry = gather.entry(part, None, question.len());
                lane.send(worker, entry, question);
            }
        }
    }
    for (part, text) in failed {
        let mut reply = Vec::new();
        write::error(&mut reply, &text);
        gather.take(worker, part, &reply, true);
    }
    Ok(())
}
