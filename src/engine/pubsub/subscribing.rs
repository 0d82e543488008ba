//! A SUBSCRIBE, PSUBSCRIBE or SSUBSCRIBE in progress: its names are requested from the nodes, confirmed by them, and
//! reported to the client, each in slices.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::engine::client::long_request::{KeptRequest, LongRequest, Progress};
use crate::engine::client::{Client, ClientPhase, OUTPUT_PAUSE, Pause};
use crate::engine::worker::Worker;
use crate::engine::worker::clock::Tick;
use slotmux_core::resp::write;

use super::subscriber::confirm;
use super::subscriptions::ENTRY;
use super::{SubscriptionChange, SubscriptionKind};

const NOT_CONFIRMED: &str =
    "ERR slotmux: upstream timeout, the node of the channel did not confirm the subscription";

/// The part of a subscribe request that topics share: each topic counts it once per occurrence of its name.
pub struct PendingSubscribe {
    /// Arrival time of the request.
    pub arrived: Tick,
    /// Result, once all names are confirmed or the request has failed.
    outcome: RefCell<Option<Result<(), Failure>>>,
    /// Number of requested names that are not confirmed yet.
    missing: Cell<usize>,
    /// Whether all of its names were requested.
    is_asked: Cell<bool>,
    client: Rc<Client>,
}

/// Why a subscribe request fails.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// A node refuses one of its names; the error reply.
    Refused(Box<[u8]>),
    /// The nodes did not confirm all names before its deadline.
    Late,
}

impl PendingSubscribe {
    /// Counts one more name to be confirmed.
    pub fn add_missing(&self) {
        self.missing.set(self.missing.get() + 1);
    }

    /// Counts one of its names as confirmed.
    pub fn confirm_one(&self) {
        self.missing.set(self.missing.get().saturating_sub(1));
        self.look();
    }

    fn all_requested(&self) {
        self.is_asked.set(true);
        self.look();
    }

    fn look(&self) {
        if self.is_asked.get() && self.missing.get() == 0 && !self.is_settled() {
            *self.outcome.borrow_mut() = Some(Ok(()));
        }
    }

    /// Fails with this error, unless it is settled.
    pub fn fail(&self, error: &[u8]) {
        if !self.is_settled() {
            *self.outcome.borrow_mut() = Some(Err(Failure::Refused(error.into())));
        }
    }

    /// Fails because of its deadline, unless it is settled.
    pub fn expire(&self) {
        if !self.is_settled() {
            *self.outcome.borrow_mut() = Some(Err(Failure::Late));
        }
    }

    /// Whether it has succeeded or failed.
    pub fn is_settled(&self) -> bool {
        self.outcome.borrow().is_some()
    }

    /// The client that sent it.
    pub fn client(&self) -> &Rc<Client> {
        &self.client
    }
}

/// Stage of a subscribe request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum SubscribeStage {
    /// Requesting the names from the nodes.
    Requesting,
    /// Waiting for confirmations.
    Awaiting,
    /// Registering the client for the names, and reporting them to it.
    Reporting,
    /// Failed: releasing the requested names.
    Releasing,
}

/// A subscribe request in progress.
pub struct Subscribing {
    kept: KeptRequest,
    kind: SubscriptionKind,
    stage: SubscribeStage,
    /// Next argument in this stage.
    at: usize,
    /// End of the arguments that were requested.
    asked: usize,
    pending: Rc<PendingSubscribe>,
    seq: u32,
    mute: bool,
    /// Bytes that it counts for.
    reserved: usize,
}

/// Bytes that a number of names in a request of `bytes` count for, from the start.
pub fn cost(names: usize, bytes: usize) -> usize {
    names.saturating_mul(ENTRY).saturating_add(bytes)
}

impl Subscribing {
    /// Reserves the place of the next reply for it.
    pub fn new(
        worker: &Worker,
        client: &Rc<Client>,
        kept: KeptRequest,
        kind: SubscriptionKind,
        mute: bool,
    ) -> Subscribing {
        let pending = Rc::new(PendingSubscribe {
            arrived: worker.clock.last(),
            outcome: RefCell::new(None),
            missing: Cell::new(0),
            is_asked: Cell::new(false),
            client: client.clone(),
        });
        worker.hub.register(&pending);
        Subscribing {
            kept,
            kind,
            stage: SubscribeStage::Requesting,
            at: 1,
            asked: 1,
            pending,
            seq: client.take_seq(),
            mute,
            reserved: 0,
        }
        .counted(worker, client)
    }

    fn request_names(&mut self, worker: &Rc<Worker>, client: &Rc<Client>) -> Progress {
        if self.pending.is_settled() {
            return self.ends(worker, client);
        }
        if !worker.hub.claim_room(client) {
            client.pause_for(Pause::Confirmation);
            return Progress::Waits;
        }
        let request = self.kept.request();
        let last = self.kept.request().argc();
        let (kind, pending) = (self.kind, self.pending.clone());
        for at in self.kept.slice(self.asked, last) {
            worker
                .hub
                .subscribe(worker, &pending, kind, request.arg(at));
            // One by one: after a panic exactly the requested names are released.
            self.asked = at + 1;
        }
        if self.asked < last {
            return Progress::More;
        }
        pending.all_requested();
        self.stage = SubscribeStage::Awaiting;
        self.wait(worker, client)
    }

    fn wait(&mut self, worker: &Rc<Worker>, client: &Rc<Client>) -> Progress {
        if self.pending.is_settled() {
            return self.ends(worker, client);
        }
        client.pause_for(Pause::Confirmation);
        Progress::Waits
    }

    /// All names are confirmed, or the request has failed and its error is replied at once.
    fn ends(&mut self, worker: &Rc<Worker>, client: &Rc<Client>) -> Progress {
        self.at = 1;
        let outcome = self.pending.outcome.borrow().clone();
        let error = match outcome {
            Some(Err(Failure::Refused(error))) => Some(error),
            Some(Err(Failure::Late)) => Some(self.late_error(worker)),
            Some(Ok(())) | None => None,
        };
        let Some(error) = error else {
            self.stage = SubscribeStage::Reporting;
            return self.report(worker, client);
        };
        self.stage = SubscribeStage::Releasing;
        worker.stats.errors.inc();
        client.reply(worker, self.seq, if self.mute { &[] } else { &error });
        self.release(worker, client)
    }

    /// The error for an expired deadline, with the last error of a lost node, if there is one.
    fn late_error(&self, worker: &Worker) -> Box<[u8]> {
        let request = self.kept.request();
        let some = self.kept.slice(1, self.asked);
        let names = some.map(|at| request.arg(at));
        let mut error = Vec::new();
        match worker.hub.last_error_of_lost_node(worker, self.kind, names) {
            Some(words) => write::error(&mut error, &format!("{NOT_CONFIRMED}: {words}")),
            None => write::error(&mut error, NOT_CONFIRMED),
        }
        error.into()
    }

    fn report(&mut self, worker: &Rc<Worker>, client: &Rc<Client>) -> Progress {
        let change = SubscriptionChange {
            kind: self.kind,
            subscribes: true,
        };
        let last = self.asked;
        let request = self.kept.request();
        let mut out = worker.scratch.buffers.take();
        let listens = client.phase() == ClientPhase::Open;
        for at in self.kept.slice(self.at, last) {
            let name = request.arg(at);
            if listens && let Some(name) = worker.hub.name(self.kind, name) {
                let began = !client.is_subscriber();
                let (is_new, count) = client.with_subscriptions(|subscriptions| {
                    let is_new = subscriptions.add(self.kind, &name);
                    (is_new, subscriptions.count(self.kind))
                });
                if is_new {
                    worker.hub.add_client(self.kind, &name, client);
                    worker.shared.census.add_client(self.kind, &name);
                    worker.stats.subscriptions.inc();
                    if began {
                        worker.stats.pubsub_clients.inc();
                    }
                }
                confirm(
                    &mut out,
                    client.session.protocol(),
                    change,
                    Some(&name),
                    count,
                );
            }
            self.at = at + 1;
            worker.hub.release(worker, self.kind, name);
        }
        let is_last = self.at == last;
        // The reported names count as subscriptions from now on.
        self.count(worker, client, last - self.at);
        // A confirmation is a push: CLIENT REPLY does not suppress it, and messages may follow each one.
        client.reply_piece(worker, self.seq, &out, is_last);
        worker.scratch.buffers.give(out);
        if is_last {
            return Progress::Done;
        }
        client.complete_piece();
        if client.buffered() > OUTPUT_PAUSE && client.phase() == ClientPhase::Open {
            client.pause_for(Pause::Output);
            return Progress::Waits;
        }
        Progress::More
    }

    fn release(&mut self, worker: &Rc<Worker>, client: &Rc<Client>) -> Progress {
        let last = self.asked;
        let request = self.kept.request();
        for at in self.kept.slice(self.at, last) {
            self.at = at + 1;
            worker.hub.release(worker, self.kind, request.arg(at));
        }
        self.count(worker, client, last - self.at);
        if self.at < last {
            return Progress::More;
        }
        Progress::Done
    }

    fn counted(mut self, worker: &Worker, client: &Client) -> Subscribing {
        self.count(worker, client, self.kept.request().argc() - 1);
        self
    }

    /// Counts the bytes for a number of remaining names.
    fn count(&mut self, worker: &Worker, client: &Client, names: usize) {
        let bytes = match names {
            0 => 0,
            names => cost(names, KeptRequest::cost(&self.kept.request())),
        };
        client.change_reserved(worker, std::mem::replace(&mut self.reserved, bytes), bytes);
    }
}

impl LongRequest for Subscribing {
    fn step(&mut self, worker: &Rc<Worker>, client: &Rc<Client>) -> Progress {
        if client.is_closed()
            && matches!(
                self.stage,
                SubscribeStage::Requesting | SubscribeStage::Awaiting
            )
        {
            self.pending.fail(b"");
            return self.ends(worker, client);
        }
        match self.stage {
            SubscribeStage::Requesting => self.request_names(worker, client),
            SubscribeStage::Awaiting => self.wait(worker, client),
            SubscribeStage::Reporting => self.report(worker, client),
            SubscribeStage::Releasing => self.release(worker, client),
        }
    }

    fn reserved(&self) -> usize {
        self.reserved
    }
}
