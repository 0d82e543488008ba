//! Answers that slotmux gives itself: about the connection, the process and the cluster.

use std::rc::Rc;

use crate::engine::announcing::start::answer_tracking;
use crate::engine::fan_out::with_nodes::own_info;
use crate::engine::monitor;
use crate::engine::operator;
use crate::engine::pubsub::unsubscribing::ResetSubscriptions;
use crate::engine::worker::Worker;
use crate::engine::worker::mail::{answer_kill, answer_list, answer_pause, answer_unblock};
use slotmux_core::answer::tracking::NOT_IN_MULTI;
use slotmux_core::answer::{
    AnswerHost, AnswerOutcome, AskingClient, ProcessFigures, answer, info_of_nodes,
};
use slotmux_core::command::{self, Command, OwnAnswer};
use slotmux_core::resp::request::Request;
use slotmux_core::resp::write;
use slotmux_core::route::merge::info::OwnInfo;

use super::dispatch::Dispatched;
use super::{Client, Pause};

/// Answers a command about the connection or about slotmux itself.
pub(crate) fn answer_here(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    what: OwnAnswer,
    command: &Command,
    request: &Request,
) -> Dispatched {
    let changes_lanes = matches!(what, OwnAnswer::Hello | OwnAnswer::Reset)
        || (what == OwnAnswer::Client && command.name == "tracking");
    if changes_lanes && client.in_flight() > 0 {
        // Protocol and NOLOOP select the lanes, and a client changes lanes only with nothing in flight.
        client.pause_for(Pause::InFlight(0));
        return Dispatched::Deferred;
    }
    let (replies, protocol) = (client.session.reply_mode(), client.session.protocol());
    let mut out = worker.scratch.buffers.take();
    let process = &*worker.shared;
    let outcome = local_answer(worker, client, what, command, request, process, &mut out);
    let is_question = asks_all_workers(&outcome);
    if is_question && client.in_flight() > 0 {
        // One at a time: a thousand lists of thousands of clients would fill the memory.
        client.session.set_reply_mode(replies);
        client.pause_for(Pause::InFlight(0));
        worker.scratch.buffers.give(out);
        return Dispatched::Deferred;
    }
    worker.stats.answered_locally.inc();
    // The command itself may have changed the mode: CLIENT REPLY OFF has no reply.
    let mute = !client.session.reply_mode().wanted();
    give(worker, client, outcome, request, mute, &mut out);
    if is_question {
        // Later commands do not change the answer, and do not run if the client has closed itself.
        client.pause_for(Pause::Question);
    }
    if client.session.protocol() != protocol {
        client.protocol_changed(worker);
    }
    worker.scratch.buffers.give(out);
    Dispatched::Accepted
}

/// Whether the answer needs all workers.
fn asks_all_workers(outcome: &AnswerOutcome) -> bool {
    match outcome {
        AnswerOutcome::List(_)
        | AnswerOutcome::Kill(_)
        | AnswerOutcome::Unblock(_)
        | AnswerOutcome::Track(_)
        | AnswerOutcome::Pause(_)
        | AnswerOutcome::Monitor => true,
        AnswerOutcome::Ask(question) => question.asks_everyone(),
        _ => false,
    }
}

/// Gives the answer in `out`, or does what `outcome` asks for.
fn give(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    outcome: AnswerOutcome,
    request: &Request,
    mute: bool,
    out: &mut Vec<u8>,
) {
    match outcome {
        AnswerOutcome::Answered => client.reply_now(worker, if mute { &[] } else { out }),
        AnswerOutcome::Close => {
            client.reply_now(worker, if mute { &[] } else { out });
            client.finish(worker);
        }
        AnswerOutcome::Reset => {
            client.end_transaction(worker);
            client.end_watch(worker);
            let reply = if mute { Vec::new() } else { out.clone() };
            client.begin_long_request(worker, Box::new(ResetSubscriptions::new(client, reply)));
        }
        AnswerOutcome::OwnLine => {
            client.with_line(worker, |line| line.reply(out));
            client.reply_now(worker, if mute { &[] } else { out });
        }
        AnswerOutcome::List(selection) => answer_list(worker, client, selection, mute),
        AnswerOutcome::Kill(kill) => answer_kill(worker, client, kill, mute),
        AnswerOutcome::Pause(pausing) => answer_pause(worker, client, pausing, mute),
        AnswerOutcome::Monitor => monitor::begin(worker, client, mute),
        AnswerOutcome::Track(request) => answer_tracking(worker, client, *request, mute),
        AnswerOutcome::Unblock(unblock) => answer_unblock(worker, client, unblock, mute),
        AnswerOutcome::Ask(question) => operator::answer(worker, client, question, request, mute),
    }
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
    let own = |command: &'static Command| Some((command, command.route.own_answer()?));
    let Some((command, what)) = resolved.ok().and_then(own) else {
        return write::error(out, "ERR slotmux: the command can't be used inside MULTI");
    };
    worker.stats.answered_locally.inc();
    if what == OwnAnswer::Info
        && let Some(info) = client.transaction.info()
    {
        let mut own = OwnInfo {
            everything: own_info(worker, client, command),
            ..OwnInfo::default()
        };
        local_answer(
            worker,
            client,
            what,
            command,
            request,
            process,
            &mut own.asked,
        );
        if info_of_nodes(request.bytes, request.args) {
            info.answer(request, &own, out);
        } else {
            out.extend_from_slice(&own.asked);
        }
        return;
    }
    match local_answer(worker, client, what, command, request, process, out) {
        AnswerOutcome::OwnLine => {
            client.with_line(worker, |line| line.reply(out));
        }
        AnswerOutcome::Track(_) => write::error(out, NOT_IN_MULTI),
        AnswerOutcome::Monitor => {
            write::error(out, "ERR MONITOR isn't allowed for DENY BLOCKING client");
        }
        _ => {}
    }
}

/// Appends slotmux' own answer, with the figures of `process`. Returns the remaining work.
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
        server: &topology.server,
        process,
    };
    let tracking = client.session.tracking();
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
        // Its name may have changed.
        client.charge_buffers(worker);
    }
    client.tracking_changed(worker, tracking);
    outcome
}
