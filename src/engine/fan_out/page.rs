//! One page of a SCAN: asked of the node whose turn it is, held against the topology when it comes, and given the
//! cursor that leads on. Where a node is at its end and the page has room, the next node is asked for the same page.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::engine::client::Client;
use crate::engine::client::dispatch::Dispatched;
use crate::engine::client::forward::{Sending, entry, find_room, refuse_unreachable, try_shared};
use crate::engine::upstream::NodeId;
use crate::engine::upstream::inflight::{InFlight, OnReply};
use crate::engine::upstream::lane::Lane;
use crate::engine::worker::Worker;
use slotmux_core::policy::{NamespaceId, ReplyConversion};
use slotmux_core::resp::request::Request;
use slotmux_core::resp::{number, write};

use super::gather::Gather;
use slotmux_core::route::hidden_keys::visible;
use slotmux_core::route::merge::array_body;
use slotmux_core::route::scan::{AfterPage, ScanCursor, ScanStep, parse};

/// Sent once per connection, ahead of its first page: the reply identifies the run of the node's process.
const INFO: &[u8] = b"*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n";

/// Times that a page is asked for again because it is void or too short. A void one needs another change of the cluster.
const TRIES: u8 = 8;
/// COUNT of a page that was too short, and its growth each time that it still is.
const LONGER_COUNT: u32 = 256;
const LONGER_FACTOR: u32 = 8;
/// Keys of a page without COUNT, as in Redis.
const DEFAULT_COUNT: usize = 10;

pub(super) const NO_NODE: &str = "CLUSTERDOWN slotmux: no node of the cluster is known";
const RESTLESS: &str = "TRYAGAIN slotmux: the cluster changed again and again during this page, go on from the same cursor";
const NO_PAGE: &str = "ERR slotmux: the node's reply is no page of a scan";

/// A requested page.
pub struct Page {
    step: Cell<ScanStep>,
    /// The node that is asked.
    node: Cell<NodeId>,
    tries: Cell<u8>,
    /// The COUNT that replaces the client's, if pages were too short.
    count: Cell<Option<u32>>,
    /// The client's arguments behind the cursor.
    options: Vec<u8>,
    argc: usize,
    /// Keys that fill the page: another node is asked while there are fewer.
    room: usize,
    found: RefCell<Found>,
}

/// The keys of the nodes that are at their end.
#[derive(Default)]
struct Found {
    keys: usize,
    /// The keys as they are in the reply, one after the other.
    bytes: Vec<u8>,
    /// The cursor behind them.
    next: u64,
}

/// The result of a page that has arrived.
pub enum PageOutcome {
    /// This is the client's reply.
    Reply(Vec<u8>),
    /// Ask for [`Page`]'s step: the page is void, or too short, or has room for the keys of the next node.
    Ask,
}

/// Takes a `SCAN` over all nodes, which goes on from `cursor`.
pub fn page(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    request: &Request,
    cursor: ScanCursor,
) -> Result<Dispatched, &'static str> {
    if !try_shared(client) {
        return Ok(Dispatched::Deferred);
    }
    let step = worker.map.itinerary.borrow().step(cursor).ok_or(NO_NODE)?;
    let lane = lane(worker, client, step).ok_or(NO_NODE)?;
    if lane.is_unavailable(worker) {
        return Ok(refuse_unreachable(worker, client, &lane));
    }
    if let Err(not_sent) = find_room(worker, client, &lane) {
        return Ok(not_sent.into());
    }
    let mut options = Vec::new();
    for at in 2..request.argc() {
        write::bulk(&mut options, request.arg(at));
    }
    let page = Page {
        step: Cell::new(step),
        node: Cell::new(lane.node),
        tries: Cell::new(0),
        count: Cell::new(None),
        options,
        argc: request.argc(),
        room: page_len(request),
        found: RefCell::default(),
    };
    let sending = Sending::as_is(
        request,
        false,
        NamespaceId::UNMATCHED,
        ReplyConversion::AsIs,
    );
    let whole = entry(worker, client, None, &sending);
    let gather = Rc::new(Gather::of_page(whole, page));
    send_request(worker, &gather, &lane);
    Ok(Dispatched::Accepted)
}

/// The lane to the primary that a step leads to.
fn lane(worker: &Rc<Worker>, client: &Client, step: ScanStep) -> Option<Rc<Lane>> {
    let primaries = worker.map.primaries();
    let node = primaries.get(usize::from(step.shard))?;
    Some(worker.shared_lane(*node, client))
}

/// Sends the request for the page that `gather` waits for.
fn send_request(worker: &Rc<Worker>, gather: &Rc<Gather>, lane: &Rc<Lane>) {
    let Some(page) = gather.page() else { return };
    page.node.set(lane.node);
    let mut request = Vec::new();
    let count = page.count.get();
    write::array(&mut request, page.argc + 2 * usize::from(count.is_some()));
    write::bulk(&mut request, b"SCAN");
    let mut number = itoa::Buffer::new();
    write::bulk(&mut request, number.format(page.step.get().node).as_bytes());
    request.extend_from_slice(&page.options);
    if let Some(count) = count {
        // The last COUNT of a request is the one that counts.
        write::bulk(&mut request, b"COUNT");
        write::bulk(&mut request, number.format(count).as_bytes());
    }
    let entry = gather.entry(0, None, request.len());
    if lane.process_run().is_none() {
        let question = InFlight {
            len: INFO.len() as u32,
            kind: OnReply::ProcessRun,
            ..entry.clone()
        };
        lane.send(worker, question, INFO);
    }
    lane.send_owned(worker, entry, request);
}

/// Requests the step that the page has come to. An error is the client's reply.
pub fn request_step(
    worker: &Rc<Worker>,
    gather: &Rc<Gather>,
    client: &Client,
) -> Result<(), Vec<u8>> {
    let Some(page) = gather.page() else {
        return Ok(());
    };
    if page.tries.get() > TRIES {
        return Err(error(RESTLESS));
    }
    match lane(worker, client, page.step.get()) {
        // The client has keys already: it gets the error with its next page.
        Some(lane) if page.has_found() && lane.is_unavailable(worker) => Err(page.reply()),
        Some(lane) => {
            send_request(worker, gather, &lane);
            Ok(())
        }
        None => Err(error(NO_NODE)),
    }
}

/// The keys that fill a page: the COUNT of a request, or that of Redis where it has none. The node refuses other numbers.
fn page_len(request: &Request) -> usize {
    let values = (2..request.argc()).step_by(2);
    let mut counts = values.rev();
    let last = counts.find(|&at| request.arg(at).eq_ignore_ascii_case(b"COUNT"));
    let last = last.filter(|&at| at + 1 < request.argc());
    let count = last.and_then(|at| number::parse_i64(request.arg(at + 1)));
    count.map_or(DEFAULT_COUNT, |count| usize::try_from(count).unwrap_or(0))
}

impl Page {
    /// Decides about the node's reply, which is whole.
    pub fn judge(&self, worker: &Rc<Worker>, client: &Client, reply: &[u8]) -> PageOutcome {
        if reply.starts_with(b"-") {
            return PageOutcome::Reply(match self.has_found() {
                true => self.reply(),
                false => reply.to_vec(),
            });
        }
        let Some((node_cursor, keys)) = parts(reply) else {
            return PageOutcome::Reply(error(NO_PAGE));
        };
        let step = self.step.get();
        // The connection of this reply: on a new one the run is unknown until it was asked.
        let run = worker.shared_lane(self.node.get(), client).process_run();
        let itinerary = worker.map.itinerary.borrow();
        let restart = itinerary.begin().unwrap_or(step);
        // Another topology may have come since.
        let now = itinerary.step(step.cursor);
        let place = now.map(|now| usize::from(now.shard));
        let node = place.and_then(|place| worker.map.primaries().get(place).copied());
        if node != Some(self.node.get()) {
            return self.again(worker, restart);
        }
        let Some(run) = run else {
            return self.again(worker, now.unwrap_or(step));
        };
        match itinerary.after(step, run, node_cursor) {
            AfterPage::Go(next) => {
                if self.collect(worker, keys, next).is_none() {
                    return PageOutcome::Reply(error(NO_PAGE));
                }
                let further = match node_cursor {
                    0 => ScanCursor::decode(next).filter(|_| next != 0 && self.has_room()),
                    _ => None,
                };
                match further.and_then(|cursor| itinerary.step(cursor)) {
                    Some(step) => self.ask(step),
                    None => PageOutcome::Reply(self.reply()),
                }
            }
            AfterPage::Longer => {
                let longer = |count: u32| count.saturating_mul(LONGER_FACTOR);
                let count = self.count.get().map_or(LONGER_COUNT, longer);
                let outcome = self.again(worker, step);
                self.count.set(Some(count));
                outcome
            }
            AfterPage::Instead(step) => self.again(worker, step),
            AfterPage::Void => self.again(worker, restart),
        }
    }

    /// Asks again for a page that was void or too short.
    fn again(&self, worker: &Worker, step: ScanStep) -> PageOutcome {
        self.tries.set(self.tries.get() + 1);
        worker.stats.retries.inc();
        self.ask(step)
    }

    fn ask(&self, step: ScanStep) -> PageOutcome {
        self.count.set(None);
        self.step.set(step);
        PageOutcome::Ask
    }

    /// Adds the visible ones of a node's keys, behind which is the cursor `next`. `None` if the reply is no array.
    fn collect(&self, worker: &Worker, keys: &[u8], next: u64) -> Option<()> {
        let policies = &worker.shared.policies;
        let visible = match policies.hides_keys() {
            true => &visible(keys, policies)?,
            false => keys,
        };
        let (len, bytes) = array_body(visible)?;
        let mut found = self.found.borrow_mut();
        found.keys += usize::try_from(len).ok()?;
        found.bytes.extend_from_slice(bytes);
        found.next = next;
        Some(())
    }

    fn has_room(&self) -> bool {
        self.found.borrow().keys < self.room
    }

    /// Whether a node before the present one is at its end.
    fn has_found(&self) -> bool {
        self.found.borrow().next != 0
    }

    /// Bytes of the keys that wait for those of the next node.
    pub fn found_bytes(&self) -> usize {
        self.found.borrow().bytes.len()
    }

    /// The client's reply.
    fn reply(&self) -> Vec<u8> {
        let found = self.found.borrow();
        let mut out = Vec::with_capacity(found.bytes.len() + 64);
        write::array(&mut out, 2);
        write::bulk(&mut out, itoa::Buffer::new().format(found.next).as_bytes());
        write::array(&mut out, found.keys);
        out.extend_from_slice(&found.bytes);
        out
    }
}

/// The cursor in a node's reply, and the bytes of the keys.
fn parts(reply: &[u8]) -> Option<(u64, &[u8])> {
    let rest = reply.strip_prefix(b"*2\r\n$")?;
    let end = rest.iter().position(|&byte| byte == b'\r')?;
    let len = usize::try_from(number::parse_i64(&rest[..end])?).ok()?;
    let rest = rest.get(end + 2..)?;
    let cursor = parse(rest.get(..len)?)?;
    Some((cursor, rest.get(len + 2..)?))
}

fn error(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write::error(&mut out, text);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_a_cursor_and_keys() {
        for (reply, expected) in [
            (
                &b"*2\r\n$2\r\n12\r\n*1\r\n$1\r\na\r\n"[..],
                Some((12, &b"*1\r\n$1\r\na\r\n"[..])),
            ),
            (b"*2\r\n$1\r\n0\r\n*0\r\n", Some((0, b"*0\r\n"))),
            (b"*2\r\n$9\r\n12\r\n", None),
            (b"*0\r\n", None),
            (b"+OK\r\n", None),
        ] {
            assert_eq!(parts(reply), expected, "{}", reply.escape_ascii());
        }
    }
}
