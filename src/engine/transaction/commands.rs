//! MULTI, EXEC and DISCARD: requests are checked and kept until EXEC, then sent as one block per slot.
//!
//! A transaction in one slot is one block on the client's usual lane, and as atomic as in Redis. One over several slots runs
//! slot by slot if the setting `multi` of its namespaces permits it.

use std::rc::Rc;

use crate::engine::worker::Worker;
use slotmux_core::answer::info_of_nodes;
use slotmux_core::command::OwnAnswer;
use slotmux_core::policy::NamespaceId;
use slotmux_core::resp::{Limits, Protocol, Span, number, scan_request};
use slotmux_core::route::transaction::{TransactionBody, body};
use slotmux_core::route::{Plan, TransactionCommand};

use crate::engine::client::dispatch::{Dispatched, refuse, refuse_with};
use crate::engine::client::forward::{answer as reply_here, begin_dedicated, try_dedicated};
use crate::engine::client::{Client, Pause};
use crate::engine::fan_out::info_ahead::ask_ahead;
use crate::engine::transaction::execute::Executing;
use crate::engine::transaction::lanes::{ExecLanes, lanes};
use crate::engine::transaction::queued::{Added, Queue, read_again};
use crate::engine::transaction::send::{LocalAnswers, send};
use crate::engine::transaction::watch::{Pinned, Watch, answer_nil, watch};
use slotmux_core::resp::request::Request;
use slotmux_core::slot::Slot;

/// Longest transaction in bytes, with any `max_request`: with the expiries of its policies it has to stay below the
/// 4 GiB that a lane can count.
const LARGEST: usize = 1024 * 1024 * 1024;

const ABORTED: &str = "EXECABORT Transaction discarded because of previous errors.";
const WRONG_EXEC: &str = "EXECABORT Transaction discarded because of: \
    wrong number of arguments for 'exec' command";
const HELLO_IN_MULTI: &str =
    "ERR slotmux: HELLO can't change the protocol inside MULTI, in the middle of EXEC's reply";
const TOO_LARGE: &str =
    "ERR slotmux: the transaction is above max_request or max_args, which bound it as a whole";

impl Client {
    /// Bytes of the requests that wait for EXEC.
    pub fn queued(&self) -> usize {
        self.transaction.with_queue(Queue::len).unwrap_or(0)
    }

    /// Bytes that the requests which wait for EXEC count for.
    pub(crate) fn queue_cost(&self) -> usize {
        self.transaction.with_queue(Queue::cost).unwrap_or(0)
    }

    /// How many requests wait for EXEC, if it is in a transaction.
    pub fn queued_commands(&self) -> Option<usize> {
        self.transaction.with_queue(Queue::count)
    }

    /// Whether `is_such` is true for any request that waits for EXEC.
    pub fn has_queued(&self, is_such: impl Fn(&[u8], &[Span]) -> bool) -> bool {
        let found = self.transaction.with_queue(|queue| {
            let mut args = Vec::new();
            queue.requests().any(|bytes| {
                let _ = scan_request(bytes, &Limits::ACCEPTED, &mut args);
                is_such(bytes, &args)
            })
        });
        found.unwrap_or(false)
    }

    /// A request was refused: inside a transaction, EXEC then runs nothing.
    pub fn abort_transaction(&self, worker: &Worker) {
        if self.transaction.with_queue_mut(Queue::abort).is_some() {
            self.charge_buffers(worker);
        }
    }

    /// Forgets the transaction that it is in.
    pub fn end_transaction(&self, worker: &Worker) {
        if self.transaction.take_queue().is_some() {
            self.charge_buffers(worker);
        }
    }
}

/// Queues a planned request of a transaction. `rewritten` are its bytes as the policies rewrote it.
pub fn queue(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    request: &Request,
    plan: Plan,
    rewritten: &[u8],
) -> Dispatched {
    match plan {
        Plan::Refuse(reply, _) | Plan::Unknown(reply) => {
            return refuse_with(worker, client, &reply);
        }
        Plan::Answer(OwnAnswer::Hello, _) if changes_protocol(client, request) => {
            return refuse(worker, client, HELLO_IN_MULTI);
        }
        Plan::Forward { decision, .. } if decision.governed.is_refused() => {
            if decision.namespace == NamespaceId::UNMATCHED {
                worker.note_unmatched(request);
            }
            worker.count_actions(decision.namespace, decision.actions, true, request);
            return refuse(worker, client, &String::from_utf8_lossy(rewritten));
        }
        _ => {}
    }
    let asks_nodes = matches!(plan, Plan::Answer(OwnAnswer::Info, _))
        && info_of_nodes(request.bytes, request.args);
    let limits = worker.limits(client);
    let added = client.transaction.with_queue_mut(|queue| {
        let largest = limits.max_request.min(LARGEST);
        let added = queue.add(request.bytes, largest, limits.max_args);
        if added == Added::Kept && asks_nodes && queue.info.is_none() {
            queue.info = Some(Rc::default());
        }
        added
    });
    match added {
        Some(Added::Kept | Added::Aborted) => {}
        Some(Added::TooLarge) => return refuse(worker, client, TOO_LARGE),
        None => return Dispatched::Accepted,
    }
    client.charge_buffers(worker);
    worker.stats.answered_locally.inc();
    reply_here(worker, client, b"+QUEUED\r\n");
    Dispatched::Accepted
}

/// Whether a `HELLO` asks for another protocol, which would change the form of EXEC's reply in its middle.
fn changes_protocol(client: &Client, request: &Request) -> bool {
    let asked = match number::parse_i64(request.arg(1)) {
        Some(2) => Protocol::Resp2,
        Some(3) => Protocol::Resp3,
        _ => return false,
    };
    asked != client.session.protocol()
}

/// Dispatches one of the commands around a transaction.
pub fn step(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    request: &Request,
    what: TransactionCommand,
) -> Dispatched {
    let is_open = client.transaction.is_open();
    let text = match what {
        TransactionCommand::Multi if !is_open => {
            client.transaction.open();
            return ok(worker, client);
        }
        TransactionCommand::Discard if is_open => {
            client.end_transaction(worker);
            client.end_watch(worker);
            return ok(worker, client);
        }
        TransactionCommand::Unwatch => {
            client.end_watch(worker);
            return ok(worker, client);
        }
        TransactionCommand::Exec if is_open => return exec(worker, client),
        TransactionCommand::Multi => "ERR MULTI calls can not be nested",
        TransactionCommand::Watch { .. } if is_open => "ERR WATCH inside MULTI is not allowed",
        TransactionCommand::Watch { slot, namespace } => {
            return watch(worker, client, request, slot, namespace);
        }
        TransactionCommand::Exec => "ERR EXEC without MULTI",
        TransactionCommand::Discard => "ERR DISCARD without MULTI",
        TransactionCommand::WrongExec => {
            client.end_transaction(worker);
            client.end_watch(worker);
            WRONG_EXEC
        }
    };
    // As in Redis, these errors leave the transaction as it is.
    worker.stats.errors.inc();
    reply_here(worker, client, format!("-{text}\r\n").as_bytes());
    Dispatched::Accepted
}

fn ok(worker: &Worker, client: &Rc<Client>) -> Dispatched {
    worker.stats.answered_locally.inc();
    reply_here(worker, client, b"+OK\r\n");
    Dispatched::Accepted
}

fn exec(worker: &Rc<Worker>, client: &Rc<Client>) -> Dispatched {
    let Some(queue) = client.transaction.take_queue() else {
        return Dispatched::Accepted;
    };
    if !queue.is_aborted
        && let Some(info) = &queue.info
    {
        let may_ask = !info.is_complete() && client.in_flight() == 0;
        if may_ask && let Err(not_sent) = ask_ahead(worker, client, info) {
            let dispatched = not_sent.into();
            if dispatched == Dispatched::Deferred {
                client.transaction.put_back(queue);
            } else {
                // The client has its error.
                client.end_watch(worker);
                client.charge_buffers(worker);
            }
            return dispatched;
        }
        if !info.is_complete() {
            // EXEC is dispatched again once the nodes have answered.
            client.pause_for(Pause::InFlight(0));
            client.transaction.put_back(queue);
            return Dispatched::Deferred;
        }
        client.transaction.set_info(Some(info.clone()));
    }
    if queue.is_long() && !queue.is_aborted {
        let work = Executing::new(worker, client, queue);
        client.begin_long_request(worker, Box::new(work));
        return Dispatched::Accepted;
    }
    let dispatched = if queue.is_aborted {
        refuse(worker, client, ABORTED)
    } else {
        run(worker, client, &queue)
    };
    if dispatched == Dispatched::Deferred {
        client.transaction.put_back(queue);
    } else {
        if client.in_flight() == 0 {
            // It is answered already.
            client.transaction.set_info(None);
        }
        client.end_watch(worker);
        client.charge_buffers(worker);
    }
    dispatched
}

/// Runs a transaction, if there is room for it now.
fn run(worker: &Rc<Worker>, client: &Rc<Client>, queue: &Queue) -> Dispatched {
    if is_watch_broken(client) {
        return answer_nil(worker, client);
    }
    let mut spans: Vec<Vec<Span>> = Vec::with_capacity(queue.ends.len());
    for bytes in queue.requests() {
        let mut args = Vec::new();
        if let Err(text) = read_again(bytes, &mut args) {
            return refuse(worker, client, text);
        }
        spans.push(args);
    }
    let requests: Vec<Request> = queue
        .requests()
        .zip(&spans)
        .map(|(bytes, args)| Request { bytes, args })
        .collect();
    let watched = client.watched_slot();
    let planned =
        worker.with_knowledge_for(client, |knowledge| body(&requests, watched, knowledge));
    let mut body = match planned {
        Ok(body) => body,
        Err(text) => return refuse(worker, client, &text),
    };
    run_body(worker, client, &requests, &mut body, LocalAnswers::Now)
}

/// Whether a watched key has changed, or the watch was lost: EXEC then runs nothing.
pub(crate) fn is_watch_broken(client: &Client) -> bool {
    let watches = client.transaction.watches();
    watches.iter().any(|watch| !watch.is_intact(client))
}

/// Sends a planned transaction, if there is room for it now. Without room its body stays unchanged.
pub(crate) fn run_body(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    requests: &[Request],
    body: &mut TransactionBody,
    local: LocalAnswers,
) -> Dispatched {
    let watches = client.transaction.watches();
    if !watches.is_empty() {
        return run_watched(worker, client, requests, body, watches);
    }
    let size: usize = body.groups.iter().map(|group| group.commands.len()).sum();
    let expected: Vec<_> = requests
        .iter()
        .filter_map(|request| worker.traffic.big_replies.expected(request))
        .collect();
    let is_big = worker.is_big(size) || !expected.is_empty();
    let lanes = match lanes(worker, client, body, is_big) {
        Ok(lanes) => lanes,
        Err(not_sent) => return not_sent.into(),
    };
    if is_big {
        begin_dedicated(worker, client, size);
        for group in expected {
            worker.traffic.big_replies.spend(group);
        }
    }
    let body = std::mem::take(body);
    send(
        worker,
        client,
        requests,
        body,
        ExecLanes::ByNode(&lanes),
        local,
    );
    if local == LocalAnswers::Deferred {
        // slotmux' own answers may change the following commands.
        client.await_replies();
    }
    Dispatched::Accepted
}

/// Sends a transaction with watched keys over the lanes on which they are watched.
fn run_watched(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    requests: &[Request],
    body: &mut TransactionBody,
    watches: Vec<Rc<Watch>>,
) -> Dispatched {
    let owner = |slot: Slot| worker.map.slots.owner(slot);
    let blocks = body.groups.iter().filter(|group| group.is_block(true));
    let others = blocks.filter_map(|group| group.slot.and_then(owner));
    let mut nodes = watches.iter().map(|watch| watch.node()).chain(others);
    if let Some(text) = nodes.find_map(|node| worker.check_transactions(node)) {
        return refuse(worker, client, &text);
    }
    // A command in flight may be redirected: then the watch does not hold.
    let is_ready = |watch: &Rc<Watch>| Pinned::to(watch).try_use(worker, client);
    if !try_dedicated(client) || !watches.iter().all(is_ready) {
        return Dispatched::Deferred;
    }
    let mut body = std::mem::take(body);
    let places: Vec<_> = watches.iter().filter_map(|watch| watch.place()).collect();
    let reads = body.guard(&places);
    body.ask_a_node();
    drop(places);
    // From here on the transaction ends them.
    client.transaction.clear_watches();
    send(
        worker,
        client,
        requests,
        body,
        ExecLanes::Watched { watches, reads },
        LocalAnswers::Deferred,
    );
    // slotmux' own elements are made after the reply, as they may depend on the commands that ran.
    client.await_replies();
    Dispatched::Accepted
}
