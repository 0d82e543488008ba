//! The client's side of a subscription: its commands, their confirmations, and what a subscribed client may send.

use std::rc::Rc;

use crate::engine::client::dispatch::{Dispatched, refuse};
use crate::engine::client::long_request::KeptRequest;
use crate::engine::client::{Client, Pause};
use crate::engine::worker::Worker;
use slotmux_core::command::{Command, Unresolved};
use slotmux_core::resp::request::Request;
use slotmux_core::resp::{Protocol, write};
use slotmux_core::route::{Plan, TransactionCommand};

use super::SubscriptionChange;
use super::subscribing::{Subscribing, cost};
use super::unsubscribing::Unsubscribing;

const NO_MEMORY: &str =
    "ERR slotmux: not executed, server.memory_limit has no room for so many names";

/// Dispatches a command that changes a client's subscriptions.
pub fn change(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    request: &Request,
    change: SubscriptionChange,
) -> Dispatched {
    if client.in_flight() > 0 {
        // Earlier requests are answered before its messages begin.
        client.pause_for(Pause::InFlight(0));
        return Dispatched::Deferred;
    }
    let names = request.argc() - 1;
    let bytes = KeptRequest::cost(request);
    let bytes = if change.subscribes {
        cost(names, bytes)
    } else {
        bytes
    };
    if !worker.has_memory_for(bytes) {
        return refuse(worker, client, NO_MEMORY);
    }
    worker.stats.answered_locally.inc();
    // It uses up a CLIENT REPLY SKIP, though confirmations are not suppressed.
    let mute = client.session.take_muted();
    let kept = KeptRequest::new(request);
    if change.subscribes {
        let work = Subscribing::new(worker, client, kept, change.kind, mute);
        client.begin_long_request(worker, Box::new(work));
    } else {
        let work = Unsubscribing::new(worker, client, kept, change);
        client.begin_long_request(worker, Box::new(work));
    }
    Dispatched::Accepted
}

/// Appends the confirmation of a change; without a name, that there was nothing to change.
pub fn confirm(
    out: &mut Vec<u8>,
    protocol: Protocol,
    change: SubscriptionChange,
    name: Option<&[u8]>,
    count: usize,
) {
    write::push(out, protocol, 3);
    write::bulk(out, change.name().as_bytes());
    match name {
        Some(name) => write::bulk(out, name),
        None => write::null(out, protocol),
    }
    write::integer(out, count as i64);
}

/// Commands that a subscribed client of RESP2 may send besides those that change subscriptions.
const ALLOWED: [&str; 3] = ["ping", "quit", "reset"];

/// Whether a client of RESP2 may send this while it is subscribed. Other replies could not be distinguished from messages.
pub fn is_allowed(command: Result<&'static Command, Unresolved>, plan: &Plan) -> bool {
    match plan {
        // Its own error is the reply.
        Plan::Unknown(_) | Plan::Transaction(TransactionCommand::WrongExec) => true,
        Plan::Subscription(_) => true,
        _ => command.is_ok_and(|command| ALLOWED.contains(&command.full_name)),
    }
}

/// Refuses a command that such a client may not send.
pub fn refuse_restricted(
    worker: &Worker,
    client: &Rc<Client>,
    request: &Request,
    command: Result<&'static Command, Unresolved>,
    plan: &Plan,
) -> Dispatched {
    let name = match command {
        Ok(command) => command.full_name.to_owned(),
        Err(_) => String::from_utf8_lossy(request.arg(0)).to_ascii_lowercase(),
    };
    // Redis' error for an EXEC says in every case that the transaction is discarded.
    let code = match plan {
        Plan::Transaction(TransactionCommand::Exec) => {
            "EXECABORT Transaction discarded because of:"
        }
        _ => "ERR",
    };
    let text = format!(
        "{code} Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
    );
    refuse(worker, client, &text)
}

impl Client {
    /// Whether messages that look like replies come between its replies.
    pub fn is_restricted(&self) -> bool {
        self.session.protocol() == Protocol::Resp2 && self.is_subscriber()
    }
}
