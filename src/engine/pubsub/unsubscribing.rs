//! UNSUBSCRIBE, PUNSUBSCRIBE and SUNSUBSCRIBE, and RESET of a subscriber: the names are released in slices, and each is
//! reported to the client.

use std::rc::Rc;

use crate::engine::client::long_request::{KeptRequest, LongRequest, Portion, Progress};
use crate::engine::client::{Client, ClientPhase, OUTPUT_PAUSE, Pause};
use crate::engine::worker::Worker;

use super::SubscriptionChange;
use super::subscriber::confirm;

/// An unsubscribe request in progress.
pub struct Unsubscribing {
    kept: KeptRequest,
    change: SubscriptionChange,
    /// The next argument.
    at: usize,
    seq: u32,
    /// Bytes that it counts for.
    reserved: usize,
}

impl Unsubscribing {
    /// Reserves the place of the next reply for it.
    pub fn new(
        worker: &Worker,
        client: &Rc<Client>,
        kept: KeptRequest,
        change: SubscriptionChange,
    ) -> Unsubscribing {
        let reserved = KeptRequest::cost(&kept.request());
        client.change_reserved(worker, 0, reserved);
        Unsubscribing {
            kept,
            change,
            at: 1,
            seq: client.take_seq(),
            reserved,
        }
    }

    fn unsubscribe(&self, worker: &Worker, client: &Client, name: &[u8], out: &mut Vec<u8>) {
        let kind = self.change.kind;
        client.unsubscribe(worker, kind, name);
        let count = client.with_subscriptions(|subscriptions| subscriptions.count(kind));
        confirm(
            out,
            client.session.protocol(),
            self.change,
            Some(name),
            count,
        );
    }
}

impl LongRequest for Unsubscribing {
    fn step(&mut self, worker: &Rc<Worker>, client: &Rc<Client>) -> Progress {
        let is_open = client.phase() == ClientPhase::Open;
        if is_open && !worker.hub.claim_room(client) {
            client.pause_for(Pause::Confirmation);
            return Progress::Waits;
        }
        let kind = self.change.kind;
        let request = self.kept.request();
        let mut out = worker.scratch.buffers.take();
        let is_last = if request.argc() > 1 {
            let slice = self.kept.slice(self.at, request.argc());
            self.at = slice.end;
            for at in slice {
                self.unsubscribe(worker, client, request.arg(at), &mut out);
            }
            self.at == request.argc()
        } else {
            // Without arguments all names are unsubscribed.
            let names = client.with_subscriptions(|subscriptions| {
                subscriptions.some(kind, &mut Portion::default())
            });
            if names.is_empty() {
                let count = client.with_subscriptions(|subscriptions| subscriptions.count(kind));
                confirm(
                    &mut out,
                    client.session.protocol(),
                    self.change,
                    None,
                    count,
                );
            }
            for name in &names {
                self.unsubscribe(worker, client, name, &mut out);
            }
            client.subscription_counts()[kind.index()] == 0
        };
        let is_last = is_last || !is_open;
        client.drop_idle_pushes();
        if is_last {
            client.change_reserved(worker, std::mem::take(&mut self.reserved), 0);
        }
        client.charge_buffers(worker);
        client.reply_piece(worker, self.seq, &out, is_last);
        worker.scratch.buffers.give(out);
        if is_last {
            return Progress::Done;
        }
        // Messages may follow each of the confirmations.
        client.complete_piece();
        if client.buffered() > OUTPUT_PAUSE {
            client.pause_for(Pause::Output);
            return Progress::Waits;
        }
        Progress::More
    }

    fn reserved(&self) -> usize {
        self.reserved
    }
}

/// The RESET of a client with many subscriptions, and its reply.
pub struct ResetSubscriptions {
    seq: u32,
    reply: Vec<u8>,
}

impl ResetSubscriptions {
    /// Reserves the place of the next reply for it.
    pub fn new(client: &Rc<Client>, reply: Vec<u8>) -> ResetSubscriptions {
        ResetSubscriptions {
            seq: client.take_seq(),
            reply,
        }
    }
}

impl LongRequest for ResetSubscriptions {
    fn step(&mut self, worker: &Rc<Worker>, client: &Rc<Client>) -> Progress {
        let is_open = client.phase() == ClientPhase::Open;
        if is_open && !worker.hub.claim_room(client) {
            client.pause_for(Pause::Confirmation);
            return Progress::Waits;
        }
        if client.unsubscribe_some(worker) && is_open {
            return Progress::More;
        }
        client.reply(worker, self.seq, &self.reply);
        Progress::Done
    }

    fn reserved(&self) -> usize {
        // The subscriptions count for themselves.
        0
    }
}
