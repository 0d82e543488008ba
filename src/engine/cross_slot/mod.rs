//! Commands over several slots that run as a program of steps, each step over a dedicated lane. A program is a task of its
//! own; its command is the only one of its client in flight, so that the client's order holds.
//!
//! A program that finds that a key has changed, or that a slot is being moved, starts over, until the deadline of its
//! command. It goes on if its client leaves, except for pure reads: a move must not stop halfway.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use crate::engine::client::Client;
use crate::engine::client::dispatch::Dispatched;
use crate::engine::client::forward::{
    Sending, begin_dedicated, entry, pass_barrier, track, try_dedicated,
};
use crate::engine::upstream::NodeId;
use crate::engine::upstream::deliver::{deliver_error, deliver_piece};
use crate::engine::upstream::inflight::InFlight;
use crate::engine::worker::Worker;
use slotmux_core::command::{Command, CommandRef};
use slotmux_core::policy::Decision;
use slotmux_core::resp::Span;
use slotmux_core::resp::request::Request;
use slotmux_core::route::cross_slot::{Program, steps};

use talk::{Talk, Trouble};

mod bring;
mod exchange;
mod in_turn;
mod move_element;
mod move_member;
mod parking;
mod rename;
mod set_all_new;
mod talk;

/// First and longest pause before a program starts over. Half of it is random, so that two programs that disturb each
/// other come apart.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// The error of a program that started over until its deadline.
const RESTLESS: &str =
    "TRYAGAIN slotmux: not executed, keys of the command changed or their slots moved at every try";

/// The error of a program that had no reply in time.
const TIMEOUT: &str = "ERR slotmux: upstream timeout, the command was not executed";

/// The programs of a worker.
pub struct CrossSlotState {
    /// Number of programs that are under way.
    busy: Cell<usize>,
    /// Distinguishes the temporary names of this worker from all others.
    secret: u64,
    /// Number of the next temporary name.
    next: Cell<u64>,
    /// Which forms of values nodes have read back.
    readable: RefCell<HashSet<(NodeId, bring::Form)>>,
}

impl Default for CrossSlotState {
    fn default() -> CrossSlotState {
        CrossSlotState {
            busy: Cell::new(0),
            secret: fastrand::u64(..),
            next: Cell::new(0),
            readable: RefCell::default(),
        }
    }
}

impl CrossSlotState {
    /// Whether any program is under way.
    pub fn is_busy(&self) -> bool {
        self.busy.get() > 0
    }

    /// A number that is used once.
    fn next_number(&self) -> u64 {
        self.next.replace(self.next.get() + 1)
    }
}

/// Counts a program as under way until it is dropped, after a panic too.
struct UnderWay(Rc<Worker>);

impl UnderWay {
    fn begin(worker: &Rc<Worker>) -> UnderWay {
        let busy = &worker.cross_slot.busy;
        busy.set(busy.get() + 1);
        UnderWay(worker.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let busy = &self.0.cross_slot.busy;
        busy.set(busy.get() - 1);
    }
}

/// A request that a program runs.
struct Job {
    bytes: Vec<u8>,
    args: Vec<Span>,
    command: CommandRef<'static>,
    program: Program,
    write: bool,
    decision: Decision,
    /// The bytes that its policy wants to be sent instead.
    rewritten: Vec<u8>,
}

impl Job {
    fn request(&self) -> Request<'_> {
        Request {
            bytes: &self.bytes,
            args: &self.args,
        }
    }
}

/// Begins the program of a request.
pub fn begin(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    sending: &Sending,
    program: Program,
    command: &'static Command,
    decision: Decision,
    rewritten: &[u8],
) -> Dispatched {
    if !try_dedicated(client) {
        return Dispatched::Deferred;
    }
    let request = sending.request;
    let command = CommandRef::Table(command);
    for slot in steps::slots(request, command) {
        if !pass_barrier(worker, client, slot) {
            return Dispatched::Deferred;
        }
    }
    begin_dedicated(worker, client, request.bytes.len());
    let entry = entry(worker, client, None, sending);
    track(worker, client, None, &entry, sending);
    client.await_replies();
    worker.stats.cross_slot.inc();
    if !decision.actions.is_empty() {
        worker.count_actions(decision.namespace, decision.actions, false, request);
    }
    let job = Job {
        bytes: request.bytes.to_vec(),
        args: request.args.to_vec(),
        command,
        program,
        write: sending.write,
        decision,
        rewritten: rewritten.to_vec(),
    };
    let under_way = UnderWay::begin(worker);
    let task = async move {
        run(&under_way.0, entry, job).await;
    };
    worker.spawn_for(client, "a command over several slots", task);
    Dispatched::Accepted
}

/// Runs a program to its end and delivers its reply.
async fn run(worker: &Rc<Worker>, entry: InFlight, job: Job) {
    let mut talk = Talk::new(worker, &entry);
    let mut pause = PAUSES.0;
    let mut progress = Progress::default();
    loop {
        let trouble = match attempt(&mut talk, &job, &mut progress).await {
            Ok(reply) => break deliver_piece(worker, &entry, &reply, true),
            Err(trouble) => trouble,
        };
        match trouble {
            Trouble::Again if !talk.has_time() || (!job.write && entry.client.is_closed()) => {
                worker.stats.timeouts.inc();
                let text = match &progress.left_behind {
                    Some(text) => text,
                    None if progress.attempts == 0 || talk.is_cut_off => TIMEOUT,
                    None => RESTLESS,
                };
                break deliver_error(worker, &entry, text);
            }
            Trouble::Again => {
                worker.stats.cross_slot_restarts.inc();
                let half = pause / 2;
                tokio::time::sleep(half + half.mul_f64(fastrand::f64())).await;
                pause = (pause * 2).min(PAUSES.1);
                progress.attempts += 1;
            }
            Trouble::Reply(_) | Trouble::Error(_) if progress.left_behind.is_some() => {
                let text = progress.left_behind.as_deref().unwrap_or(RESTLESS);
                break deliver_error(worker, &entry, text);
            }
            Trouble::Reply(reply) => {
                worker.stats.errors.inc();
                break deliver_piece(worker, &entry, &reply, true);
            }
            Trouble::Error(text) => break deliver_error(worker, &entry, &text),
            Trouble::HugeReply(bytes) => {
                entry.client.close_for_reply(worker, bytes);
                break deliver_piece(worker, &entry, b"", true);
            }
        }
    }
}

/// The state that one attempt of a program hands to the next.
#[derive(Default)]
struct Progress {
    /// Attempts that ended without a result.
    attempts: usize,
    /// Attempts that could not run where they tried to, so that another slot may do.
    refusals: usize,
    /// Whether the destination has been written, and would have to be left or undone.
    has_written: bool,
    /// The error if the program has to give up although something of it was done.
    left_behind: Option<String>,
}

async fn attempt(talk: &mut Talk, job: &Job, progress: &mut Progress) -> Result<Vec<u8>, Trouble> {
    match job.program {
        Program::Bring { written } => bring::attempt(talk, job, written, progress).await,
        Program::FirstOf => in_turn::first_of(talk, job).await,
        Program::Streams => in_turn::streams(talk, job).await,
        Program::Rename { is_nx } => rename::attempt(talk, job, is_nx, progress).await,
        Program::MoveMember => move_member::attempt(talk, job).await,
        Program::MoveElement => move_element::attempt(talk, job).await,
        Program::SetAllNew => set_all_new::attempt(talk, job).await,
    }
}
