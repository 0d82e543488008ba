//! The client's side of a subscription: its commands, their confirmations, and what it may do while it has any.

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

/// Takes a command that changes a client's subscriptions.
pub fn change(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    request: &Request,
    change: SubscriptionChange,
) -> Dispatched {
    if client.in_flight() > 0 {
        // What comes before it is answered before its messages begin.
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
    // A CLIENT REPLY SKIP is used up by it, though it does not suppress a confirmation.
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

/// Whether a client of RESP2 may do this while it is subscribed. The replies to anything else could not be told from
/// messages.
pub fn may(command: Result<&'static Command, Unresolved>, plan: &Plan) -> bool {
    match plan {
        // It is refused for what is wrong with it.
        Plan::Unknown(_) | Plan::Transaction(TransactionCommand::WrongExec) => true,
        Plan::Subscription(_) => true,
        _ => command.is_ok_and(|command| matches!(command.full_name, "ping" | "quit" | "reset")),
    }
}

/// Refuses what such a client may not do.
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
    // As Redis, whatever is wrong with an EXEC, says that the transaction is gone.
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
    /// Whether messages come between its replies that look like them.
    pub fn is_restricted(&self) -> bool {
        self.session.protocol() == Protocol::Resp2 && self.is_subscriber()
    }
}
