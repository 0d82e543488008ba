//! Dispatches a request: it is planned, checked against the state of its client, and carried out.

use std::rc::Rc;

use crate::engine::fan_out::broadcast::broadcast;
use crate::engine::fan_out::page::page;
use crate::engine::fan_out::split::split;
use crate::engine::fan_out::with_nodes::answer_with_nodes;
use crate::engine::pubsub::{publish::publish, subscriber};
use crate::engine::sabotage::sabotage;
use crate::engine::worker::Worker;
use slotmux_core::c_string;
use slotmux_core::command::{self, Command, Unresolved};
use slotmux_core::policy::{Actions, Decision, Governed, NamespaceId, ReplyConversion};
use slotmux_core::resp::write;
use slotmux_core::route::transaction::plan_queued;
use slotmux_core::route::{Plan, TransactionCommand, plan};
use slotmux_core::slot::Slot;

use super::forward::{Sending, answer as reply_here, to_node, to_slot};
use super::local_answers::answer_here;
use super::{Client, Pause};
use crate::engine::blocking::wait_replicas::acknowledged;
use crate::engine::client::before_topology::{NO_UPSTREAM, Upstream, needs_upstream};
use crate::engine::client::intercept::carry_out_attended;
use crate::engine::transaction::commands::{self, queue};
use slotmux_core::resp::request::Request;

/// Result of dispatching a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dispatched {
    /// It is sent or answered.
    Accepted,
    /// The client is paused. The request is dispatched again afterwards.
    Deferred,
}

/// Why nothing of a request was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotSent {
    /// It is refused: its error is answered.
    Refused,
    /// The client is paused.
    Deferred,
}

impl From<NotSent> for Dispatched {
    fn from(not_sent: NotSent) -> Dispatched {
        match not_sent {
            NotSent::Refused => Dispatched::Accepted,
            NotSent::Deferred => Dispatched::Deferred,
        }
    }
}

/// Words with which Redis sees that a client speaks HTTP.
const HTTP_WORDS: [&[u8]; 2] = [b"post", b"host:"];

/// The command that sets the totals of INFO to 0.
const RESET_TOTALS: &str = "config|resetstat";

const NO_AUTH: &str = "NOAUTH Authentication required.";
/// Redis' error for an EXEC says in every case that the transaction is discarded.
const EXEC_BEFORE_LOGIN: &str =
    "EXECABORT Transaction discarded because of: NOAUTH Authentication required.";

/// Dispatches one request of `client`.
pub fn dispatch(worker: &Rc<Worker>, client: &Rc<Client>, request: &Request) -> Dispatched {
    sabotage("dispatch");
    if client.order.has_waiting_retries() {
        // A request of this client waits for a retry; this one could overtake it.
        client.pause_for(Pause::InFlight(0));
        return Dispatched::Deferred;
    }
    let command = command::resolve(request.bytes, request.args);
    match command {
        Ok(command) => client.session.set_last_command(command.full_name),
        Err(_) if is_http(request) => return close_http(worker, client),
        Err(_) => {}
    }
    let mut rewritten = worker.scratch.take_rewritten();
    let plan = worker.with_knowledge_for(client, |knowledge| {
        if client.transaction.is_open() {
            plan_queued(request, command, knowledge, &mut rewritten)
        } else {
            plan(request, command, knowledge, &mut rewritten)
        }
    });
    let dispatched = if worker.interception.is_on() {
        carry_out_attended(worker, client, request, command, plan, &rewritten)
    } else {
        carry_out(worker, client, request, command, plan, &rewritten)
    };
    worker.scratch.return_rewritten(rewritten);
    if client.tracks() && dispatched == Dispatched::Accepted {
        client.use_up_caching(command.ok().map(|command| command.full_name));
    }
    dispatched
}

/// Carries a plan out, if the state of the client allows it.
pub(super) fn carry_out(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    request: &Request,
    command: Result<&'static Command, Unresolved>,
    plan: Plan,
    rewritten: &[u8],
) -> Dispatched {
    if let Some(dispatched) = check_state(worker, client, request, command, &plan) {
        return dispatched;
    }
    if client.transaction.is_open() && !plan.is_never_queued() {
        return queue(worker, client, request, plan, rewritten);
    }
    // Scripts in a transaction are noted when it runs.
    if let Ok(command) = command {
        worker
            .traffic
            .scripts
            .note(&worker.shared.scripts, command, request);
    }
    let reply = match command {
        Ok(command) if command.finds => ReplyConversion::Found,
        _ => ReplyConversion::AsIs,
    };
    match plan {
        Plan::Forward {
            slot,
            write,
            decision,
            wait,
        } => {
            let mut sending = Sending::as_is(request, write, decision.namespace, reply);
            sending.wait = wait;
            forward(worker, client, slot, decision, sending, rewritten)
        }
        Plan::Split {
            merge,
            shape,
            write,
            namespace,
            command,
        } => {
            let sending = Sending::as_is(request, write, namespace, reply);
            split(worker, client, &sending, command, merge, shape)
        }
        Plan::Anywhere { write } => match worker.any_node(client) {
            Some(node) => {
                let sending = Sending::as_is(request, write, NamespaceId::UNMATCHED, reply);
                to_node(worker, client, node, None, &sending)
            }
            None => refuse(worker, client, NO_NODE),
        },
        Plan::Everywhere { .. } if worker.map.primaries().is_empty() => {
            refuse(worker, client, NO_NODE)
        }
        Plan::Everywhere {
            merge,
            write,
            recipients,
        } => {
            if let Ok(command) = command {
                worker.shared.libraries.deletions.note(command, request);
            }
            let dispatched = broadcast(worker, client, request, merge, write, recipients);
            let is_reset = command.is_ok_and(|command| command.full_name == RESET_TOTALS);
            if is_reset && dispatched == Dispatched::Accepted {
                worker.shared.reset_totals();
            }
            dispatched
        }
        Plan::Publish { kind, slot } => publish(worker, client, request, kind, slot),
        Plan::Subscription(change) => subscriber::change(worker, client, request, change),
        Plan::AnswerWithNodes(what, command) => {
            answer_with_nodes(worker, client, what, command, request)
        }
        Plan::Acknowledged { merge } => acknowledged(worker, client, request, merge),
        Plan::Scan { cursor } => page(worker, client, request, cursor)
            .unwrap_or_else(|text| refuse(worker, client, text)),
        Plan::Answer(what, command) => answer_here(worker, client, what, command, request),
        Plan::Transaction(what) => commands::step(worker, client, request, what),
        Plan::Refuse(reply, _) | Plan::Unknown(reply) => refuse_with(worker, client, &reply),
    }
}

/// Checks a plan against the state of the client: its login, its subscriptions, and whether there is an upstream. `None` if
/// nothing is in the way.
#[inline]
fn check_state(
    worker: &Worker,
    client: &Rc<Client>,
    request: &Request,
    command: Result<&'static Command, Unresolved>,
    plan: &Plan,
) -> Option<Dispatched> {
    if !client.session.is_authenticated() && !plan.needs_no_authentication() {
        let text = match plan {
            Plan::Transaction(TransactionCommand::Exec) => EXEC_BEFORE_LOGIN,
            _ => NO_AUTH,
        };
        return Some(refuse(worker, client, text));
    }
    let upstream = worker.map.upstream.get();
    if upstream != Upstream::Known && needs_upstream(worker, client, plan, &command) {
        if upstream == Upstream::Missing {
            return Some(refuse(worker, client, NO_UPSTREAM));
        }
        client.pause_for(Pause::Upstream);
        return Some(Dispatched::Deferred);
    }
    if client.is_restricted() && !subscriber::is_allowed(command, plan) {
        let refused = subscriber::refuse_restricted(worker, client, request, command, plan);
        return Some(refused);
    }
    None
}

/// Sends a request, rewritten by its policy or not, to the node of its slot, and counts the policy's actions.
fn forward<'a>(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    slot: Slot,
    decision: Decision,
    mut sending: Sending<'a>,
    rewritten: &'a [u8],
) -> Dispatched {
    let Decision {
        namespace,
        actions,
        governed,
    } = decision;
    let request = sending.request;
    let dispatched = match governed {
        Governed::Refused(_) => {
            if namespace == NamespaceId::UNMATCHED {
                worker.note_unmatched(request);
            }
            refuse(worker, client, &String::from_utf8_lossy(rewritten))
        }
        Governed::AsIs => to_slot(worker, client, slot, &sending),
        Governed::Rewritten(reply) => {
            sending.bytes = rewritten;
            if reply != ReplyConversion::AsIs {
                sending.reply = reply;
            }
            to_slot(worker, client, slot, &sending)
        }
        Governed::Block(form) => {
            sending.bytes = rewritten;
            sending.block = Some(form);
            to_slot(worker, client, slot, &sending)
        }
    };
    // A policy that observes refuses no lifetime, so that a refusal has another reason.
    let is_refused = governed.is_refused();
    if dispatched == Dispatched::Accepted
        && !actions.is_empty()
        && worker.count_actions(namespace, actions, is_refused, request)
        && actions.contains(Actions::APPENDED)
        && let Some(command) = worker.with_knowledge(|knowledge| knowledge.held_command(request))
    {
        worker.probe(client, slot, namespace, command.by_ref(), request);
    }
    dispatched
}

/// Whether this is a line of HTTP. A web page can make a browser on this machine send requests to slotmux, with commands in
/// their bodies.
fn is_http(request: &Request) -> bool {
    let name = request.args.first().map(|name| name.of(request.bytes));
    name.is_some_and(|name| HTTP_WORDS.iter().any(|word| c_string::is(name, word)))
}

/// Closes the client without a reply and without running later requests, as Redis does.
fn close_http(worker: &Worker, client: &Client) -> Dispatched {
    worker.stats.protocol_errors.inc();
    tracing::debug!(
        client = client.id,
        "client closed: it speaks HTTP, perhaps a web page that sends commands through a browser"
    );
    client.close(worker);
    Dispatched::Accepted
}

/// The error if no node is known.
pub(crate) const NO_NODE: &str = "CLUSTERDOWN slotmux: no node of the cluster is known";

/// Answers a request with an error. Inside a transaction that aborts it.
pub fn refuse(worker: &Worker, client: &Rc<Client>, text: &str) -> Dispatched {
    let mut reply = Vec::new();
    write::error(&mut reply, text);
    refuse_with(worker, client, &reply)
}

/// As [`refuse`], with a whole reply.
pub(crate) fn refuse_with(worker: &Worker, client: &Rc<Client>, reply: &[u8]) -> Dispatched {
    client.abort_transaction(worker);
    worker.stats.errors.inc();
    reply_here(worker, client, reply);
    Dispatched::Accepted
}
