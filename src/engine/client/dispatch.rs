//! Dispatches a request: it is planned, checked against the state of its client, and carried out.

use std::rc::Rc;

use crate::engine::fan_out::broadcast::broadcast;
use crate::engine::fan_out::page::page;
use crate::engine::fan_out::split::split;
use crate::engine::fan_out::with_nodes::answer_with_nodes;
use crate::engine::monitor;
use crate::engine::operator;
use crate::engine::pubsub::{publish::publish, subscriber, unsubscribing::ResetSubscriptions};
use crate::engine::sabotage::sabotage;
use crate::engine::worker::Worker;
use crate::engine::worker::mail::{answer_kill, answer_list, answer_pause, answer_unblock};
use slotmux_core::answer::{AnswerHost, AnswerOutcome, AskingClient, ProcessFigures, answer};
use slotmux_core::c_string;
use slotmux_core::command::{self, Command, CommandRef, OwnAnswer, Route, Unresolved};
use slotmux_core::policy::{Actions, Decision, Governed, NamespaceId, ReplyConversion};
use slotmux_core::resp::write;
use slotmux_core::route::transaction::plan_queued;
use slotmux_core::route::{Plan, TransactionCommand, plan};
use slotmux_core::slot::Slot;

use super::forward::{Sending, answer as reply_here, to_node, to_slot};
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

const NO_AUTH: &str = "NOAUTH Authentication required.";
/// As Redis, whatever is wrong with an EXEC, says that the transaction is gone.
const EXEC_BEFORE_LOGIN: &str =
    "EXECABORT Transaction discarded because of: NOAUTH Authentication required.";

/// Dispatches one request of `client`.
pub fn dispatch(worker: &Rc<Worker>, client: &Rc<Client>, request: &Request) -> Dispatched {
    sabotage("dispatch");
    if client.order.has_waiting_retries() {
        // Something of this client waits for another try; what is sent now could overtake it.
        client.pause_for(Pause::InFlight(0));
        return Dispatched::Deferred;
    }
    let command = command::resolve(request.bytes, request.args);
    match command {
        Ok(command) => client.session.set_last_command(command.full_name),
        Err(_) if is_from_a_browser(request) => return turn_away(worker, client),
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
    if !client.session.is_authenticated() && !plan.needs_no_authentication() {
        let text = match plan {
            Plan::Transaction(TransactionCommand::Exec) => EXEC_BEFORE_LOGIN,
            _ => NO_AUTH,
        };
        return refuse(worker, client, text);
    }
    let upstream = worker.map.upstream.get();
    if upstream != Upstream::Known && needs_upstream(worker, client, &plan, &command) {
        if upstream == Upstream::Missing {
            return refuse(worker, client, NO_UPSTREAM);
        }
        client.pause_for(Pause::Upstream);
        return Dispatched::Deferred;
    }
    if client.is_restricted() && !subscriber::may(command, &plan) {
        return subscriber::refuse_restricted(worker, client, request, command, &plan);
    }
    if client.transaction.is_open() && !plan.is_never_queued() {
        return queue(worker, client, request, plan, rewritten);
    }
    // What is queued is noted when it runs.
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
            step,
            write,
            namespace,
            command,
        } => {
            let sending = Sending::as_is(request, write, namespace, reply);
            split(worker, client, &sending, command, merge, step)
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
            let dispatched = broadcast(worker, client, request, merge, write, recipients);
            let is_reset = command.is_ok_and(|command| command.full_name == "config|resetstat");
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
        Plan::Refuse(reply) | Plan::Unknown(reply) => refuse_with(worker, client, &reply),
    }
}

/// Sends a request, or what its policy made of it, to the node of its slot, and counts what the policy did.
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
        Governed::Refused => {
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
    // Observing refuses nothing for a lifetime: what is refused all the same is not permitted.
    let is_refused = governed == Governed::Refused;
    if dispatched == Dispatched::Accepted
        && !actions.is_empty()
        && worker.count_actions(namespace, actions, is_refused, request)
        && actions.contains(Actions::APPENDED)
        && let Ok(command) = command::resolve(request.bytes, request.args)
    {
        worker.probe(client, slot, namespace, CommandRef::Table(command), request);
    }
    dispatched
}

/// Whether this is a line of HTTP. A web page can make a browser of this machine send requests to slotmux, and in their
/// bodies commands.
fn is_from_a_browser(request: &Request) -> bool {
    let name = request.args.first().map(|name| name.of(request.bytes));
    name.is_some_and(|name| c_string::is(name, b"post") || c_string::is(name, b"host:"))
}

/// Closes the client without a word and without running what follows, as Redis does.
fn turn_away(worker: &Worker, client: &Client) -> Dispatched {
    worker.stats.protocol_errors.inc();
    tracing::debug!(
        client = client.id,
        "HTTP, perhaps commands that a web page sends by a browser: the client is closed"
    );
    client.close(worker);
    Dispatched::Accepted
}

/// Why nothing can be sent at all.
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

/// Answers a command about the connection or about slotmux itself.
pub(crate) fn answer_here(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    what: OwnAnswer,
    command: &Command,
    request: &Request,
) -> Dispatched {
    if matches!(what, OwnAnswer::Hello | OwnAnswer::Reset) && client.in_flight() > 0 {
        // The protocol decides about the lanes. A client changes lanes only with nothing in flight.
        client.pause_for(Pause::InFlight(0));
        return Dispatched::Deferred;
    }
    let (replies, protocol) = (client.session.reply_mode(), client.session.protocol());
    let mut out = worker.scratch.buffers.take();
    let process = &*worker.shared;
    let outcome = local_answer(worker, client, what, command, request, process, &mut out);
    let asks_everyone = match &outcome {
        AnswerOutcome::List(_)
        | AnswerOutcome::Kill(_)
        | AnswerOutcome::Unblock(_)
        | AnswerOutcome::Pause(_)
        | AnswerOutcome::Monitor => true,
        AnswerOutcome::Ask(question) => question.asks_everyone(),
        _ => false,
    };
    if asks_everyone && client.in_flight() > 0 {
        // One at a time: a thousand lists of thousands of clients would fill the memory.
        client.session.set_reply_mode(replies);
        client.pause_for(Pause::InFlight(0));
        worker.scratch.buffers.give(out);
        return Dispatched::Deferred;
    }
    worker.stats.answered_locally.inc();
    // The mode may be the answer's own doing: CLIENT REPLY OFF answers itself with silence.
    let mute = !client.session.reply_mode().wanted();
    match outcome {
        AnswerOutcome::Answered => client.reply_now(worker, if mute { &[] } else { &out }),
        AnswerOutcome::Close => {
            client.reply_now(worker, if mute { &[] } else { &out });
            client.finish(worker);
        }
        AnswerOutcome::Reset => {
            client.end_transaction(worker);
            client.end_watch(worker);
            let reply = if mute { Vec::new() } else { out.clone() };
            client.begin_long_request(worker, Box::new(ResetSubscriptions::new(client, reply)));
        }
        AnswerOutcome::OwnLine => {
            client.with_line(worker, |line| line.reply(&mut out));
            client.reply_now(worker, if mute { &[] } else { &out });
        }
        AnswerOutcome::List(selection) => answer_list(worker, client, selection, mute),
        AnswerOutcome::Kill(kill) => answer_kill(worker, client, kill, mute),
        AnswerOutcome::Pause(pausing) => answer_pause(worker, client, pausing, mute),
        AnswerOutcome::Monitor => monitor::begin(worker, client, mute),
        AnswerOutcome::Unblock(unblock) => answer_unblock(worker, client, unblock, mute),
        AnswerOutcome::Ask(question) => operator::answer(worker, client, question, request, mute),
    }
    if asks_everyone {
        // What comes behind it changes nothing of the answer, nor is it run for a client that has closed itself.
        client.pause_for(Pause::Question);
    }
    if client.session.protocol() != protocol {
        client.start_invalidations(worker);
    }
    worker.scratch.buffers.give(out);
    Dispatched::Accepted
}

/// Appends slotmux' own answer to `request`, which is an element of EXEC's reply.
pub fn answer_into(
    worker: &Worker,
    client: &Rc<Client>,
    request: &Request,
    process: &dyn ProcessFigures,
    out: &mut Vec<u8>,
) {
    let resolved = command::resolve(request.bytes, request.args);
    let Some((command, what)) = resolved.ok().and_then(|command| match command.route {
        Route::Answer(what) => Some((command, what)),
        _ => None,
    }) else {
        return write::error(out, "ERR slotmux: the command can't be used inside MULTI");
    };
    worker.stats.answered_locally.inc();
    match local_answer(worker, client, what, command, request, process, out) {
        AnswerOutcome::OwnLine => {
            client.with_line(worker, |line| line.reply(out));
        }
        AnswerOutcome::Monitor => {
            write::error(out, "ERR MONITOR isn't allowed for DENY BLOCKING client");
        }
        _ => {}
    }
}

/// Appends slotmux' own answer, with what `process` tells, and says what is left to do.
pub(crate) fn local_answer(
    worker: &Worker,
    client: &Rc<Client>,
    what: OwnAnswer,
    command: &Command,
    request: &Request,
    process: &dyn ProcessFigures,
    out: &mut Vec<u8>,
) -> AnswerOutcome {
    let topology = worker.map.topology.borrow().clone();
    let addresses = match what {
        OwnAnswer::Cluster => client.with_transport(|transport| transport.addresses()),
        _ => None,
    };
    let local = addresses.flatten().map(|(_, local)| local);
    let host = AnswerHost {
        config: &worker.config,
        listener: worker.listener_of(client),
        local: local.as_ref(),
        server_version: &topology.server_version,
        process,
    };
    let tracked = client.tracks();
    let outcome = client.as_subject(|subject: &mut AskingClient| {
        answer(
            what,
            command,
            request.bytes,
            request.args,
            subject,
            &host,
            out,
        )
    });
    if matches!(
        what,
        OwnAnswer::Client | OwnAnswer::Hello | OwnAnswer::Reset
    ) {
        // It may have another name now.
        client.charge_buffers(worker);
    }
    match (tracked, client.tracks()) {
        (false, true) => worker.stats.tracking_clients.inc(),
        (true, false) => worker.stats.tracking_clients.dec(),
        _ => {}
    }
    outcome
}
