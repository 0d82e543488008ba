//! The client's side of a subscription: its commands, their confirmations, and what it may do while it has any.

use std::cell::Cell;
use std::collections::HashSet;
use std::rc::Rc;

use crate::client::dispatch::{Taken, refuse};
use crate::client::request::Request;
use crate::client::{Client, Pause, Phase};
use crate::clock::Tick;
use crate::command::{Command, Unresolved};
use crate::resp::{Protocol, write};
use crate::route::{Plan, Transaction};
use crate::worker::Worker;

use super::hub::Hub;
use super::in_order::InOrder;
use super::{Change, Kind};

/// What one subscription counts for beside its name: entries in the tables of client, worker, connection and process.
const ENTRY: usize = 512;

/// What a client listens to.
#[derive(Debug, Default)]
pub struct Subscriptions {
    names: [InOrder; 3],
    bytes: usize,
}

impl Subscriptions {
    /// Bytes that they count for.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many of each kind there are.
    pub fn counts(&self) -> [usize; 3] {
        Kind::ALL.map(|kind| self.names[kind.index()].len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.iter().all(InOrder::is_empty)
    }

    /// The number in a confirmation: shard channels are counted apart.
    fn count(&self, kind: Kind) -> usize {
        let [channels, patterns, shards] = self.counts();
        match kind {
            Kind::Channel | Kind::Pattern => channels + patterns,
            Kind::Shard => shards,
        }
    }

    fn add(&mut self, kind: Kind, name: &Rc<[u8]>) -> bool {
        let is_new = self.names[kind.index()].insert(name.clone());
        if is_new {
            self.bytes += name.len() + ENTRY;
        }
        is_new
    }

    fn remove(&mut self, kind: Kind, name: &[u8]) -> bool {
        let was_there = self.names[kind.index()].remove(name);
        if was_there {
            self.bytes -= name.len() + ENTRY;
        }
        was_there
    }
}

/// A client's SUBSCRIBE, PSUBSCRIBE or SSUBSCRIBE that the nodes have not confirmed yet.
pub struct Wish {
    /// What it subscribes to.
    pub kind: Kind,
    /// When it came.
    pub arrived: Tick,
    /// How many of its distinct names are not confirmed.
    pub missing: Cell<usize>,
    names: Vec<Rc<[u8]>>,
    distinct: Vec<Rc<[u8]>>,
    client: Rc<Client>,
    seq: u32,
    mute: bool,
    is_settled: Cell<bool>,
}

impl Wish {
    /// Its names, each once.
    pub fn distinct(&self) -> &[Rc<[u8]>] {
        &self.distinct
    }

    /// Whether it was fulfilled or has failed.
    pub fn is_settled(&self) -> bool {
        self.is_settled.get()
    }

    /// One of its names was confirmed. Returns whether that was the last.
    pub fn one_came(&self) -> bool {
        let missing = self.missing.get().saturating_sub(1);
        self.missing.set(missing);
        missing == 0
    }

    /// Answers the client, who listens from now on if all went well.
    pub fn settle(&self, worker: &Worker, hub: &Hub, result: Result<(), &[u8]>) {
        self.is_settled.set(true);
        let client = &self.client;
        if let Err(error) = result {
            worker.stats.errors.inc();
            return client.reply(worker, self.seq, if self.mute { &[] } else { error });
        }
        let mut out = Vec::new();
        if client.phase() == Phase::Open {
            let change = Change {
                kind: self.kind,
                subscribes: true,
            };
            for name in &self.names {
                let (is_new, count) = client.with_subscriptions(|subscriptions| {
                    let is_new = subscriptions.add(self.kind, name);
                    (is_new, subscriptions.count(self.kind))
                });
                if is_new {
                    hub.join(self.kind, name, client);
                    worker.process.census.client_joined(self.kind, name);
                    worker.stats.subscriptions.inc();
                }
                confirm(&mut out, client.protocol.get(), change, Some(name), count);
            }
            client.charge_buffers(worker);
        }
        // A confirmation is a push: no CLIENT REPLY holds it back.
        client.reply(worker, self.seq, &out);
    }
}

/// Takes a command that changes a client's subscriptions.
pub fn change(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    request: &Request,
    change: Change,
) -> Taken {
    if client.in_flight() > 0 {
        // What comes before it is answered before its messages begin.
        client.pause_for(Pause::InFlight(0));
        return Taken::No;
    }
    worker.stats.local.inc();
    // A CLIENT REPLY SKIP is used up by it, though it does not suppress a confirmation.
    let mute = client.is_muted();
    if change.subscribes {
        let names: Vec<Rc<[u8]>> = (1..request.argc())
            .map(|at| request.arg(at).into())
            .collect();
        let mut seen = HashSet::new();
        let distinct = names.iter().filter(|name| seen.insert((*name).clone()));
        let wish = Wish {
            kind: change.kind,
            arrived: worker.clock.last(),
            missing: Cell::new(0),
            distinct: distinct.cloned().collect(),
            names,
            client: client.clone(),
            seq: client.take_seq(),
            mute,
            is_settled: Cell::new(false),
        };
        worker.hub.wish(worker, wish);
        if client.in_flight() > 0 {
            client.add_request_bytes(worker, request.bytes.len());
            // What comes behind it is run in its order.
            client.pause_for(Pause::InFlight(0));
        }
    } else {
        unsubscribe(worker, client, request, change);
    }
    Taken::Yes
}

fn unsubscribe(worker: &Worker, client: &Rc<Client>, request: &Request, change: Change) {
    let kind = change.kind;
    let protocol = client.protocol.get();
    let mut out = Vec::new();
    let mut names: Vec<Rc<[u8]>> = (1..request.argc())
        .map(|at| request.arg(at).into())
        .collect();
    if names.is_empty() {
        names = client.with_subscriptions(|subscriptions| {
            subscriptions.names[kind.index()].iter().cloned().collect()
        });
        if names.is_empty() {
            let count = client.with_subscriptions(|subscriptions| subscriptions.count(kind));
            confirm(&mut out, protocol, change, None, count);
        }
    }
    for name in &names {
        client.leave(worker, kind, name);
        let count = client.with_subscriptions(|subscriptions| subscriptions.count(kind));
        confirm(&mut out, protocol, change, Some(name), count);
    }
    client.drop_idle_pushes();
    client.charge_buffers(worker);
    client.reply_now(worker, &out);
}

/// Appends the confirmation of a change; without a name, that there was nothing to change.
fn confirm(
    out: &mut Vec<u8>,
    protocol: Protocol,
    change: Change,
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
        Plan::Unknown(_) | Plan::Transaction(Transaction::WrongExec) => true,
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
) -> Taken {
    let name = match command {
        Ok(command) => command.full_name.to_owned(),
        Err(_) => String::from_utf8_lossy(request.arg(0)).to_ascii_lowercase(),
    };
    // As Redis, whatever is wrong with an EXEC, says that the transaction is gone.
    let code = match plan {
        Plan::Transaction(Transaction::Exec) => "EXECABORT Transaction discarded because of:",
        _ => "ERR",
    };
    let text = format!(
        "{code} Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
    );
    refuse(worker, client, &text)
}

impl Client {
    /// Whether it listens to anything.
    pub fn is_subscriber(&self) -> bool {
        self.subscription_counts() != [0; 3]
    }

    /// Whether messages come between its replies that look like them.
    pub fn is_restricted(&self) -> bool {
        self.protocol.get() == Protocol::Resp2 && self.is_subscriber()
    }

    fn leave(&self, worker: &Worker, kind: Kind, name: &Rc<[u8]>) {
        if self.with_subscriptions(|subscriptions| subscriptions.remove(kind, name)) {
            worker.hub.leave(worker, kind, name, self.id);
            worker.process.census.client_left(kind, name);
            worker.stats.subscriptions.dec();
        }
    }

    /// Ends all of its subscriptions.
    pub fn leave_everything(&self, worker: &Worker) {
        if !self.is_subscriber() {
            return;
        }
        let all = self.with_subscriptions(|subscriptions| {
            Kind::ALL.map(|kind| subscriptions.names[kind.index()].iter().cloned().collect())
        });
        for (kind, names) in Kind::ALL.into_iter().zip::<[Vec<Rc<[u8]>>; 3]>(all) {
            for name in names {
                self.leave(worker, kind, &name);
            }
        }
        self.drop_idle_pushes();
    }
}
