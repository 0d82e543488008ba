//! Letters between workers: those in a worker's mailbox, and those that answer its own clients' requests about all workers.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::engine::client::{Client, ClientPhase};
use crate::engine::pause;
use crate::engine::sabotage::sabotage;
use crate::engine::shared::{Killed, Mail};
use crate::engine::transport::Accepted;
use crate::engine::upstream::blocking::Release;
use crate::engine::worker::Worker;
use slotmux_core::answer::pausing::PauseRequest;
use slotmux_core::answer::{
    BufferFigures, ClientLine, ClientSelection, KillFilter, UnblockRequest,
};
use slotmux_core::resp::write;

/// Reads a worker's letters until the process ends.
pub async fn run(worker: Rc<Worker>, mut letters: UnboundedReceiver<Mail>) {
    while let Some(letter) = letters.recv().await {
        // If this panics, the asker gets no answer from this worker.
        worker.contained("a letter from another worker", || {
            worker.answer_letter(letter)
        });
    }
}

/// Answers `CLIENT LIST` when every worker has reported its lines.
pub fn answer_list(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    selection: ClientSelection,
    mute: bool,
) {
    let (worker, client, seq) = (worker.clone(), client.clone(), client.take_seq());
    let protocol = client.session.protocol();
    let (host, asker) = (worker.clone(), client.clone());
    let answering = async move {
        // The semaphore is never closed.
        let _turn = worker.shared.listing.acquire().await;
        if client.is_closed() {
            return client.reply(&worker, seq, &[]);
        }
        let selection = Arc::new(selection);
        let lines = worker
            .shared
            .ask_all(|reply| Mail::List(selection.clone(), reply))
            .await;
        let mut out = Vec::new();
        selection.reply(lines.concat(), protocol, &mut out);
        client.reply(&worker, seq, if mute { &[] } else { &out });
        client.charge_buffers(&worker);
        worker.keep_within_memory();
    };
    host.spawn_for(&asker, "CLIENT LIST", answering);
}

/// Answers `CLIENT KILL` when every worker has closed its share. The asking client comes last, after its reply.
pub fn answer_kill(worker: &Rc<Worker>, client: &Rc<Client>, kill: KillFilter, mute: bool) {
    let (worker, client, seq) = (worker.clone(), client.clone(), client.take_seq());
    let (host, asker) = (worker.clone(), client.clone());
    let answering = async move {
        let kill = Arc::new(kill);
        let killed = worker
            .shared
            .ask_all(|reply| Mail::Kill(kill.clone(), client.id, reply))
            .await;
        let mut out = Vec::new();
        kill.reply(killed.iter().map(|killed| killed.count).sum(), &mut out);
        client.reply(&worker, seq, if mute { &[] } else { &out });
        if killed.iter().any(|killed| killed.asker) {
            client.finish(&worker);
        }
    };
    host.spawn_for(&asker, "CLIENT KILL", answering);
}

/// Answers `CLIENT PAUSE` and `UNPAUSE` when every worker has changed its pause and no write is in flight.
pub fn answer_pause(worker: &Rc<Worker>, client: &Rc<Client>, pausing: PauseRequest, mute: bool) {
    let (worker, client, seq) = (worker.clone(), client.clone(), client.take_seq());
    let begins = Instant::now();
    let (host, asker) = (worker.clone(), client.clone());
    let answering = async move {
        worker
            .shared
            .ask_all(|reply| Mail::Pause(pausing, begins, reply))
            .await;
        pause::settle(&worker, begins).await;
        client.reply(&worker, seq, if mute { &[] } else { b"+OK\r\n" });
    };
    host.spawn_for(&asker, "CLIENT PAUSE", answering);
}

/// Answers `CLIENT UNBLOCK` when every worker has looked for the client.
pub fn answer_unblock(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    unblock: UnblockRequest,
    mute: bool,
) {
    let (worker, client, seq) = (worker.clone(), client.clone(), client.take_seq());
    // No client has an id below 1.
    let id = u64::try_from(unblock.id).unwrap_or(0);
    let release = if unblock.by_error {
        Release::Error
    } else {
        Release::Timeout
    };
    let (host, asker) = (worker.clone(), client.clone());
    let answering = async move {
        let released = worker
            .shared
            .ask_all(|reply| Mail::Unblock(id, release, reply))
            .await;
        let mut out = Vec::new();
        write::integer(&mut out, i64::from(released.contains(&true)));
        client.reply(&worker, seq, if mute { &[] } else { &out });
    };
    host.spawn_for(&asker, "CLIENT UNBLOCK", answering);
}

impl Worker {
    fn answer_letter(self: &Rc<Self>, letter: Mail) {
        sabotage("mail.letter");
        // The asker may have stopped waiting.
        match letter {
            Mail::Adopt(accepted) => self.adopt(accepted),
            Mail::List(selection, reply) => {
                let _ = reply.send(self.lines(&selection));
            }
            Mail::Kill(kill, asker, reply) => {
                let _ = reply.send(self.kill(&kill, asker));
            }
            Mail::Pause(pausing, begins, reply) => {
                self.pause_clients(pausing, begins.into());
                let _ = reply.send(());
            }
            Mail::Writes(reply) => {
                let _ = reply.send(self.has_writes_in_flight());
            }
            Mail::Monitor(feed, reply) => {
                self.add_monitor(feed);
                let _ = reply.send(());
            }
            Mail::Unmonitor(feed) => self.remove_monitor(&feed),
            Mail::Unblock(id, release, reply) => {
                let worker = self.clone();
                let unblocking = async move {
                    let _ = reply.send(worker.unblock(id, release).await);
                };
                self.spawn("an unblocking", unblocking, |_| {});
            }
            Mail::Find(id, reply) => {
                let _ = reply.send(self.find_client(id));
            }
            Mail::Redirected(letter) => self.take_redirected(&letter),
            Mail::RedirectionBroken(from) => self.redirection_is_broken(from),
            Mail::Unmatched(reply) => {
                let _ = reply.send(self.traffic.unmatched.seen());
            }
            Mail::Observed(namespace, reply) => {
                let _ = reply.send(self.traffic.observed.examples(namespace));
            }
            Mail::Drain => self.drain(),
        }
    }

    /// Takes over a connection that was accepted and counted.
    pub fn adopt(self: &Rc<Self>, accepted: Accepted) {
        let listener = accepted.listener;
        match accepted.into_transport() {
            Ok(transport) if !self.is_draining() => self.welcome(transport, listener),
            _ => self.shared.client_left(self.id),
        }
    }

    fn lines(&self, selection: &ClientSelection) -> Vec<(u64, String)> {
        let mut lines = Vec::new();
        for client in self.clients.all() {
            client.with_line(self, |line| {
                if selection.admits(line) {
                    let mut text = String::new();
                    line.write(&mut text);
                    lines.push((line.id, text));
                }
            });
        }
        lines
    }

    fn kill(&self, kill: &KillFilter, asker: u64) -> Killed {
        let mut killed = Killed::default();
        for client in self.clients.all() {
            if client.with_line(self, |line| kill.admits(line)) != Some(true) {
                continue;
            }
            killed.count += 1;
            if client.id == asker {
                killed.asker = true;
            } else {
                client.close(self);
            }
        }
        killed
    }
}

impl Client {
    /// Describes this client as `CLIENT LIST` does; `None` if it has just closed.
    pub fn with_line<T>(&self, worker: &Worker, f: impl FnOnce(&ClientLine) -> T) -> Option<T> {
        let now = worker.clock.now();
        let (fd, addresses) =
            self.with_transport(|transport| (transport.fd(), transport.addresses()))?;
        let (addr, laddr) = addresses?;
        let session = self.session.rare();
        let topology = worker.map.topology.borrow();
        let pending_input = self.waiting.pending_input();
        let buffered = self.buffered();
        let line = ClientLine {
            id: self.id,
            addr: &addr,
            laddr: &laddr,
            fd,
            age: now.since(self.connected) / 1000,
            idle: now.since(self.waiting.last_seen()) / 1000,
            session: session.as_deref(),
            default_user: &worker.config.listeners[self.session.listener()].default_user,
            closing: self.phase() != ClientPhase::Open,
            held: self.is_held(),
            multi: self.queued_commands(),
            blocked: self.is_blocked(),
            watched: self
                .transaction
                .watches()
                .iter()
                .map(|watch| watch.keys())
                .sum(),
            multi_bytes: self.queued(),
            input: BufferFigures {
                len: pending_input,
                capacity: pending_input,
            },
            output: BufferFigures {
                len: buffered,
                capacity: buffered,
            },
            // An asking client is parked only by its question, and a blocked client is read to notice when it leaves.
            reading: self.is_read() || self.is_asking() || self.is_blocked(),
            writing: self.output.is_blocked(),
            command: self.session.last_command(),
            protocol: self.session.protocol(),
            tracking: self.session.tracking(),
            subscriptions: self.subscription_counts(),
            traffic: [self.waiting.bytes_in(), self.output.bytes_out()],
            requests: self.order.next().into(),
            server: topology.server_version(),
        };
        Some(f(&line))
    }
}
