//! One reply out of the replies of several nodes: collected part by part, merged when the last has come.
//!
//! A part that failed never turns into a missing value: the whole reply is then an error.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::engine::client::long_request::{COPIED_BYTES, SLICE};
use crate::engine::pubsub::counts;
use crate::engine::upstream::inflight::{InFlight, OnReply};
use crate::engine::worker::Worker;
use slotmux_core::command::Merge;
use slotmux_core::functions::Deletion;
use slotmux_core::policy::ReplyConversion;
use slotmux_core::resp::write;
use slotmux_core::slot::Slot;

use super::info_ahead::InfoAhead;
use super::page::{Page, PageOutcome, request_step};
use crate::engine::fan_out::random_key;
use slotmux_core::route::hidden_keys;
use slotmux_core::route::merge::elements::ElementMerge;
use slotmux_core::route::merge::info::OwnInfo;
use slotmux_core::route::merge::{UNLIKE, merged};
use slotmux_core::route::merge::{exists, info, parameters, texts};

/// Bytes for an awaited part: its entry on the lane and its place here.
const PART: usize = 96;

/// Elements that are ordered in one turn.
const ELEMENTS: usize = 4 * SLICE;

/// A request that was sent in parts.
pub struct Gather {
    /// The request as a whole. Where it may have written, a failure may have left the other parts done.
    whole: InFlight,
    merge: Merge,
    known: MergeWith,
    parts: RefCell<Vec<Vec<u8>>>,
    missing: Cell<usize>,
    bytes: Cell<usize>,
    /// Bytes that it counts for besides the replies.
    reserved: Cell<usize>,
}

/// Knowledge that the merge needs besides the parts.
pub enum MergeWith {
    /// Nothing.
    Nothing,
    /// For [`Merge::Elements`]: the part that holds each element, in the order of the request's keys.
    Order(Vec<u32>),
    /// For [`Merge::Texts`]: the address of each part's node.
    Nodes(Vec<String>),
    /// For [`Merge::AllTrue`]: which of the scripts that are asked for slotmux keeps.
    Kept(Vec<bool>),
    /// It deletes libraries of functions; finished if all primaries say so.
    Deletion(Deletion),
    /// It is an INFO; slotmux' own answer.
    Info(OwnInfo),
    /// INFO ahead of a transaction; the replies are kept for it.
    Ahead(Rc<InfoAhead>),
    /// It is a CONFIG GET; slotmux' own answer.
    Settings(Vec<u8>),
    /// It is one page of a SCAN.
    Page(Page),
    /// A request that lists keys, some of which rules hide; the number of hidden keys drawn so far.
    Hiding(u8),
}

impl Gather {
    /// A reply of `parts` parts for a request.
    pub fn new(whole: InFlight, merge: Merge, known: MergeWith, parts: usize) -> Gather {
        Gather {
            whole,
            merge,
            known,
            parts: RefCell::new(vec![Vec::new(); parts]),
            missing: Cell::new(parts),
            bytes: Cell::new(0),
            reserved: Cell::new(0),
        }
    }

    /// Counts the memory that waits for the replies against its client's budget, until the last reply has come.
    pub fn count(&self, worker: &Worker) {
        let elements = match &self.known {
            MergeWith::Order(order) => size_of_val(&order[..]),
            _ => 0,
        };
        let bytes = elements + self.missing.get() * PART;
        self.reserved.set(bytes);
        self.whole.client.change_reserved(worker, 0, bytes);
    }

    /// Ends the count: no part is awaited.
    fn count_no_more(&self, worker: &Worker) {
        let client = &self.whole.client;
        client.change_reserved(worker, self.reserved.take(), 0);
        client.change_gathered(worker, self.bytes.take(), 0);
    }

    /// The one reply that is a page of a SCAN.
    pub fn of_page(whole: InFlight, page: Page) -> Gather {
        Gather::new(whole, Merge::First, MergeWith::Page(page), 1)
    }

    /// The page of a SCAN that it is.
    pub fn page(&self) -> Option<&Page> {
        match &self.known {
            MergeWith::Page(page) => Some(page),
            _ => None,
        }
    }

    /// The entry of part `part`, which is to be sent in `len` bytes.
    pub fn entry(self: &Rc<Self>, part: u32, slot: Option<Slot>, len: usize) -> InFlight {
        InFlight {
            len: len as u32,
            slot: slot.into(),
            reply: ReplyConversion::AsIs,
            kind: OnReply::Part {
                gather: self.clone(),
                part,
            },
            ..self.whole.clone()
        }
    }

    /// Whether the deadline of the request leaves time to send something more for it.
    pub fn has_time(&self, worker: &Worker) -> bool {
        worker.has_time(&self.whole)
    }

    /// The gather of another draw for the same request, because the drawn key is hidden.
    pub fn next_draw(&self, tries: u8, nodes: usize) -> Gather {
        let known = MergeWith::Hiding(tries);
        Gather::new(self.whole.clone(), self.merge, known, nodes * 2)
    }

    /// Takes bytes of a part's reply; `complete` with the last of them. The last part of all sends the reply.
    pub fn take(self: &Rc<Self>, worker: &Rc<Worker>, part: u32, bytes: &[u8], complete: bool) {
        if !self.whole.client.is_closed() {
            self.bytes.set(self.bytes.get() + bytes.len());
            // A pipeline of such requests can wait for one slow node: what counts is what all of them hold.
            let collected = self.whole.client.change_gathered(worker, 0, bytes.len());
            if collected > worker.limits(&self.whole.client).output_hard {
                self.whole.client.close_for_reply(worker, collected);
            } else {
                self.parts.borrow_mut()[part as usize].extend_from_slice(bytes);
            }
        }
        if self.whole.client.is_closed() {
            *self.parts.borrow_mut() = Vec::new();
        }
        if complete {
            self.missing.set(self.missing.get() - 1);
            if self.missing.get() == 0 {
                if self.extend_page(worker) || self.hide_keys(worker) {
                    return;
                }
                if let MergeWith::Ahead(ahead) = &self.known {
                    ahead.set(self.parts.take());
                }
                if self.is_long() {
                    return self.join_in_slices(worker);
                }
                let mut reply = worker.scratch.buffers.take();
                if !self.whole.mute && !self.whole.client.is_closed() {
                    let parts = self.parts.borrow();
                    if self.merge(worker, &parts, &mut reply) {
                        worker.stats.errors.inc();
                    } else {
                        counts::amend(&worker.shared.census, self.merge, &mut reply);
                        if let MergeWith::Deletion(deletion) = &self.known {
                            worker.shared.libraries.deletions.finish(deletion);
                        }
                    }
                    drop(parts);
                    worker.count_reply(self.whole.counted(), &reply, true);
                }
                self.count_no_more(worker);
                self.whole.client.reply(worker, self.whole.seq, &reply);
                worker.scratch.buffers.give(reply);
            }
        }
    }

    /// Whether ordering its elements takes more than one turn.
    fn is_long(&self) -> bool {
        let is_error = |part: &Vec<u8>| part.starts_with(b"-");
        let is_long = |order: &Vec<u32>| {
            order.len() > ELEMENTS || (!order.is_empty() && self.bytes.get() > COPIED_BYTES)
        };
        matches!(&self.known, MergeWith::Order(order) if is_long(order))
            && !self.whole.mute
            && !self.whole.client.is_closed()
            && !self.parts.borrow().iter().any(is_error)
    }

    /// Orders its elements, some in each turn, and sends the reply. Its place among the replies is reserved already.
    fn join_in_slices(self: &Rc<Self>, worker: &Rc<Worker>) {
        let (gather, host) = (self.clone(), worker.clone());
        let joining = async move {
            let parts = gather.parts.take();
            let MergeWith::Order(order) = &gather.known else {
                return;
            };
            let client = &gather.whole.client;
            let mut reply = Vec::new();
            let joined = match ElementMerge::begin(&parts, order, &mut reply) {
                Some(mut joining) => loop {
                    tokio::task::yield_now().await;
                    if client.is_closed() {
                        break Some(());
                    }
                    if !host.turn.claim_slice() {
                        continue;
                    }
                    let before = reply.len();
                    match joining.some(ELEMENTS, COPIED_BYTES, &mut reply) {
                        Some(false) => {
                            let (held, grown) = (gather.reserved.get(), reply.len() - before);
                            gather.reserved.set(held + grown);
                            client.change_reserved(&host, 0, grown);
                            host.keep_within_memory();
                        }
                        Some(true) => break Some(()),
                        None => break None,
                    }
                },
                None => None,
            };
            if joined.is_none() {
                reply.clear();
                write::error(&mut reply, UNLIKE);
                host.stats.errors.inc();
            }
            host.count_reply(gather.whole.counted(), &reply, true);
            gather.count_no_more(&host);
            client.reply(&host, gather.whole.seq, &reply);
        };
        let gather = self.clone();
        worker.spawn("the reply to a long request", joining, move |worker| {
            gather.whole.client.close(worker);
            gather.count_no_more(worker);
        });
    }

    /// Appends the one reply; returns whether it is an error.
    fn merge(&self, worker: &Worker, parts: &[Vec<u8>], out: &mut Vec<u8>) -> bool {
        let order = match &self.known {
            MergeWith::Info(own) => {
                info::merged(own, parts, out);
                return false;
            }
            MergeWith::Settings(own) => {
                let part = parts.first().map_or(&[][..], Vec::as_slice);
                return parameters::merged(own, part, worker.administers(), out);
            }
            // The merge below reports errors.
            MergeWith::Kept(kept) if exists::exist(parts, kept, out).is_some() => return false,
            MergeWith::Nodes(nodes) => return texts::merged(parts, nodes, out),
            MergeWith::Order(order) => &order[..],
            MergeWith::Nothing
            | MergeWith::Kept(_)
            | MergeWith::Deletion(_)
            | MergeWith::Page(_)
            | MergeWith::Ahead(_)
            | MergeWith::Hiding(_) => &[],
        };
        merged(parts, self.merge, order, self.whole.write, out)
    }

    /// Drops the front of a part's reply that broke off: it will come again.
    pub fn forget(&self, worker: &Worker, part: u32) {
        let mut parts = self.parts.borrow_mut();
        // For a client that has left no bytes are kept.
        let half = parts.get_mut(part as usize).map_or(0, |part| {
            let half = part.len();
            *part = Vec::new();
            half
        });
        drop(parts);
        self.bytes.set(self.bytes.get().saturating_sub(half));
        self.whole.client.change_gathered(worker, half, 0);
    }

    /// Removes hidden keys from the parts. True: the drawn key is hidden, and another one is requested.
    fn hide_keys(self: &Rc<Self>, worker: &Rc<Worker>) -> bool {
        let MergeWith::Hiding(tries) = self.known else {
            return false;
        };
        let client = &self.whole.client;
        let is_error = |part: &Vec<u8>| part.starts_with(b"-");
        let mut parts = self.parts.borrow_mut();
        // The merge below reports errors.
        if client.is_closed() || parts.iter().any(is_error) {
            return false;
        }
        let policies = &worker.shared.policies;
        if self.merge != Merge::RandomKey {
            for part in parts.iter_mut() {
                // The merge below reports a part that is not an array of keys.
                *part = hidden_keys::visible(part, policies).unwrap_or_default();
            }
            return false;
        }
        match random_key::draw_outcome(&parts, policies, tries, fastrand::u64) {
            Some(random_key::DrawOutcome::Key(reply)) => *parts = vec![reply, b":1\r\n".to_vec()],
            Some(random_key::DrawOutcome::Again) => {
                *parts = Vec::new();
                drop(parts);
                client.change_gathered(worker, self.bytes.take(), 0);
                random_key::draw_again(worker, client, self, tries + 1);
                return true;
            }
            None => {}
        }
        false
    }

    /// Turns the page of a SCAN into the client's reply. True: another part of it is requested first.
    fn extend_page(self: &Rc<Self>, worker: &Rc<Worker>) -> bool {
        let Some(page) = self.page() else {
            return false;
        };
        let client = &self.whole.client;
        if client.is_closed() {
            return false;
        }
        let received = self.parts.borrow()[0].clone();
        let before = page.found_bytes();
        let reply = match page.judge(worker, client, &received) {
            PageOutcome::Reply(reply) => reply,
            PageOutcome::Ask => {
                self.forget(worker, 0);
                let grown = page.found_bytes() - before;
                self.bytes.set(self.bytes.get() + grown);
                client.change_gathered(worker, 0, grown);
                self.missing.set(1);
                match request_step(worker, self, client) {
                    Ok(()) => return true,
                    Err(reply) => reply,
                }
            }
        };
        self.parts.borrow_mut()[0] = reply;
        false
    }
}
