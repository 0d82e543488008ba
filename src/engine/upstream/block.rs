//! A block: several commands that one request became, sent at once and answered together. This state machine makes one
//! reply of their replies.
//!
//! Between MULTI and EXEC the node answers `+OK`, one `+QUEUED` per command, and an array. A command that it refuses
//! while queueing (a redirect, too) makes EXEC fail with EXECABORT: then nothing of the block has run, and the first
//! such error is the reason. A redirect can also be EXEC's own reply, with the same meaning. Only an array means that the
//! commands have run, and then all of them have. Probed on Redis 7.0; <https://redis.io/docs/latest/develop/using-commands/transactions/>.
//!
//! Without MULTI the commands merely follow each other; an expiry behind the client's command is repaired if it fails.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::engine::fan_out::gather::Gather;
use crate::engine::worker::Worker;
use slotmux_core::cluster::redirect::{ErrorVerdict, is_refused_for_now, judge};
use slotmux_core::policy;
use slotmux_core::resp::write;

use super::deliver::deliver_to;
use super::inflight::{InFlight, OnReply};
use crate::engine::transaction::exec_reply::Exec;
use crate::engine::upstream::protocol_error::{Step, closes, is_queued};

/// Reply to MULTI that begins a transaction.
const BEGUN: &[u8] = b"+OK\r\n";

/// Start of the error of a node that refuses EXEC because of a queued command; the error of that command follows, without
/// its `-`.
const ABORTED: &[u8] = b"-EXECABORT Transaction discarded because of: ";

/// The destination of the one reply of a block.
#[derive(Clone)]
pub enum Then {
    /// The client, as the reply of its request.
    Deliver,
    /// A part of the reply of the client's request.
    Part {
        /// The gather that collects the parts.
        gather: Rc<Gather>,
        /// Index of the part.
        part: u32,
    },
    /// A part of the reply to EXEC, command by command.
    Exec {
        /// The EXEC whose reply is collected.
        exec: Rc<Exec>,
        /// Index of the group of commands.
        group: u32,
    },
    /// Delivered to no client: the block repairs expiries that did not take effect after their command.
    Repair {
        /// Number of commands ahead of the expiries that only ensure that the client's command has run or never will.
        ahead: u32,
    },
}

/// The effect of a reply on its block.
#[derive(PartialEq, Eq, Debug)]
pub enum Progress {
    /// More replies are to come.
    More,
    /// It was the last one.
    Done,
    /// It was the last one, and nothing has run, for this reason.
    Refused(Vec<u8>),
    /// It was EXEC's, and nothing has run, for this reason; but the node may still queue later commands.
    Open(Vec<u8>),
    /// Invalid for a node that runs transactions: it is unknown which commands have run and in which state the connection
    /// is.
    ProtocolError(Step),
    /// It was the last one; the client's command has run, but an expiry behind it did not reach its key.
    Incomplete,
}

/// The next reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// The reply to MULTI.
    Multi,
    /// The reply to a command that is to be queued.
    Queueing { at: u32 },
    /// The reply to EXEC.
    Exec,
    /// An element of EXEC's reply.
    Element { at: u32 },
    /// The reply to a command outside a transaction; `of` replies come in all.
    Bare { at: u32, of: u32 },
}

/// The state of one block.
pub struct Block {
    then: Then,
    form: policy::BlockShape,
    /// Bytes of the block that have to reach the node before anything can have run.
    runs_at: u32,
    stage: Cell<Stage>,
    /// The first error that decides about the reply.
    error: RefCell<Option<Vec<u8>>>,
    /// Whether a command behind the client's did not reach its key.
    missed: Cell<bool>,
    /// Whether the client has its answer, or no longer waits for one.
    settled: Cell<bool>,
}

impl Block {
    /// A block of that form in `bytes`.
    pub fn new(form: policy::BlockShape, then: Then, bytes: &[u8]) -> Rc<Block> {
        let runs_at = if form.atomic {
            bytes.len()
        } else {
            super::first_request(bytes)
        };
        Rc::new(Block {
            then,
            form,
            runs_at: runs_at as u32,
            stage: Cell::new(first_stage(form)),
            error: RefCell::default(),
            missed: Cell::new(false),
            settled: Cell::new(false),
        })
    }

    /// Its form.
    pub fn form(&self) -> policy::BlockShape {
        self.form
    }

    /// The destination of its reply.
    pub fn then(&self) -> &Then {
        &self.then
    }

    /// Bytes that have to reach the node before anything can have run.
    pub fn runs_at(&self) -> usize {
        self.runs_at as usize
    }

    /// The error that decides about the reply, if one has come.
    pub fn refusal(&self) -> Option<Vec<u8>> {
        self.error.borrow().clone()
    }

    /// The block's bytes from the client's command on.
    pub fn client_part<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let start = if self.form.atomic {
            super::first_request(bytes)
        } else {
            0
        };
        &bytes[start..]
    }

    /// Whether a client waits for the outcome.
    pub fn is_awaited(&self) -> bool {
        !self.settled.get()
    }

    /// Ends the wait for its replies: later ones are counted and dropped.
    pub fn settle(&self) {
        self.settled.set(true);
    }

    /// Forgets the replies that came: it is about to be sent again.
    pub fn restart(&self) {
        self.stage.set(first_stage(self.form));
        self.error.take();
        self.missed.set(false);
        if let Then::Exec { exec, group } = &self.then {
            exec.restart(*group);
        }
    }

    /// Takes back the pieces of a part that were taken: the rest will not come.
    pub fn forget(&self, worker: &Worker) {
        match &self.then {
            Then::Part { gather, part } => gather.forget(worker, *part),
            Then::Exec { exec, group } => exec.forget(worker, *group),
            Then::Deliver | Then::Repair { .. } => {}
        }
    }

    /// Whether the next reply is that of EXEC: an array then is no reply, but the frame around those that follow.
    pub fn is_at_exec(&self) -> bool {
        self.stage.get() == Stage::Exec
    }

    /// Takes the head of EXEC's array. False if it does not fit the block.
    pub fn begin_elements(&self, count: i64) -> bool {
        self.stage.set(Stage::Element { at: 0 });
        count == i64::from(self.form.commands) && count > 0
    }

    /// Takes a reply, or an element of EXEC's, or the last piece of one; `failed` if it is an error.
    pub fn take(
        &self,
        worker: &Rc<Worker>,
        entry: &InFlight,
        reply: &[u8],
        failed: bool,
    ) -> Progress {
        match self.stage.get() {
            Stage::Multi if reply == BEGUN => self.go_on(Stage::Queueing { at: 0 }),
            // MULTI has failed: what follows may run outside a transaction, and EXEC closes nothing.
            Stage::Multi => Progress::ProtocolError(Step::Multi),
            Stage::Queueing { .. } if !failed && !is_queued(reply) => {
                Progress::ProtocolError(Step::Queueing)
            }
            Stage::Queueing { at } => {
                if failed {
                    self.keep_error(reply);
                }
                let all = at + 1 == self.form.commands;
                self.go_on(if all {
                    Stage::Exec
                } else {
                    Stage::Queueing { at: at + 1 }
                })
            }
            Stage::Exec if !failed => self.take_nil(worker, entry, reply),
            Stage::Exec => self.take_failed_exec(reply),
            Stage::Element { at } => {
                self.take_result(worker, entry, at, reply, failed);
                if at + 1 == self.form.commands {
                    return Progress::Done;
                }
                self.go_on(Stage::Element { at: at + 1 })
            }
            Stage::Bare { at, of } => {
                self.take_bare(worker, entry, at, reply, failed);
                if at + 1 < of {
                    return self.go_on(Stage::Bare { at: at + 1, of });
                }
                if let Some(error) = self.error.take() {
                    Progress::Refused(error)
                } else if self.missed.get() {
                    Progress::Incomplete
                } else {
                    Progress::Done
                }
            }
        }
    }

    /// Whether its commands run without MULTI.
    pub fn is_bare(&self) -> bool {
        matches!(self.stage.get(), Stage::Bare { .. })
    }

    /// The step of the next reply, if that reply is never large.
    pub fn small_step(&self) -> Option<Step> {
        match self.stage.get() {
            Stage::Multi => Some(Step::Multi),
            Stage::Queueing { .. } => Some(Step::Queueing),
            Stage::Exec => Some(Step::Exec),
            Stage::Element { .. } | Stage::Bare { .. } => None,
        }
    }

    /// Takes the front of a large reply that is still coming: the client gets it as it comes, if it is its own.
    pub fn take_piece(&self, worker: &Rc<Worker>, entry: &InFlight, bytes: &[u8]) {
        if let (Then::Exec { exec, group }, Stage::Element { at }) = (&self.then, self.stage.get())
        {
            if self.is_awaited() {
                exec.take(worker, *group, at, bytes, false);
            }
            return;
        }
        if let Stage::Element { at: 0 } | Stage::Bare { at: 0, .. } = self.stage.get()
            && self.form.own == 1
            && self.is_awaited()
        {
            deliver_to(worker, entry, &self.then, bytes, false);
        }
    }

    /// Takes an error reply to EXEC. An old server, and one that does not know EXEC, leaves the transaction open.
    fn take_failed_exec(&self, reply: &[u8]) -> Progress {
        let is_closed = closes(reply);
        match reply.strip_prefix(ABORTED) {
            Some(reason) => self.keep_error(&[b"-", reason].concat()),
            // An error before EXEC is the reason for this one, unless this one gives a reason itself.
            None if is_closed => self.keep_error(reply),
            None => *self.error.borrow_mut() = Some(reply.to_vec()),
        }
        let error = self.error.take().unwrap_or_default();
        if is_closed {
            Progress::Refused(error)
        } else {
            Progress::Open(error)
        }
    }

    /// Takes a reply that is neither array nor error: nothing has run, because a watched key has changed.
    fn take_nil(&self, worker: &Rc<Worker>, entry: &InFlight, reply: &[u8]) -> Progress {
        if !entry.is_watched() || !matches!(reply, b"*-1\r\n" | b"_\r\n") {
            return Progress::ProtocolError(Step::Exec);
        }
        if let Then::Exec { exec, group } = &self.then
            && self.is_awaited()
        {
            self.settle();
            exec.replace(worker, *group, reply);
        }
        Progress::Done
    }

    fn go_on(&self, stage: Stage) -> Progress {
        self.stage.set(stage);
        Progress::More
    }

    fn keep_error(&self, reply: &[u8]) {
        self.error
            .borrow_mut()
            .get_or_insert_with(|| reply.to_vec());
    }

    /// The result of a command that has run in the transaction.
    fn take_result(
        &self,
        worker: &Rc<Worker>,
        entry: &InFlight,
        at: u32,
        reply: &[u8],
        failed: bool,
    ) {
        if let Then::Exec { exec, group } = &self.then {
            worker.retries.record_run(entry);
            if self.is_awaited() {
                exec.take(worker, *group, at, reply, true);
                if at + 1 == self.form.commands {
                    self.settle();
                    exec.done(worker);
                }
            }
            return;
        }
        if at >= self.form.own {
            worker.stats.expiries_failed.add(u64::from(failed));
            return;
        }
        if failed {
            self.keep_error(reply);
        }
        if at + 1 == self.form.own {
            let error = self.error.take();
            self.answer(worker, entry, error.as_deref().unwrap_or(reply));
        }
    }

    /// The reply of a command that ran by itself, or did not.
    fn take_bare(
        &self,
        worker: &Rc<Worker>,
        entry: &InFlight,
        at: u32,
        reply: &[u8],
        failed: bool,
    ) {
        let ahead = match self.then {
            Then::Repair { ahead } => ahead,
            _ => 0,
        };
        let decides = at < self.form.own.max(ahead + 1) && at < self.form.commands;
        if at < ahead {
            // Even if the node refuses it, or finds the connection gone, the expiries can follow.
        } else if decides && failed {
            self.keep_error(reply);
        } else if decides && self.error.borrow().is_none() && at + 1 == self.form.own {
            self.answer(worker, entry, reply);
        } else if failed && at < self.form.commands {
            if judge(reply) == ErrorVerdict::Deliver && !is_refused_for_now(reply) {
                worker.stats.expiries_failed.inc();
            } else {
                self.missed.set(true);
            }
        }
    }

    /// The client's command has run, with this reply. It counts as run from here on, whatever happens to the rest.
    fn answer(&self, worker: &Rc<Worker>, entry: &InFlight, reply: &[u8]) {
        worker.retries.record_run(entry);
        if !self.settled.replace(true) {
            deliver_to(worker, entry, &self.then, reply, true);
        }
    }
}

impl Worker {
    /// Answers a watched transaction that did not run, and never will: nil, as if a watched key had changed.
    pub(super) fn answer_unwatched(self: &Rc<Self>, entry: &InFlight) {
        let OnReply::Block(block) = &entry.kind else {
            return;
        };
        if let Then::Exec { exec, group } = &block.then
            && !block.settled.replace(true)
        {
            let mut nil = Vec::new();
            write::null_array(&mut nil, entry.client.session.protocol());
            exec.replace(self, *group, &nil);
        }
    }

    /// Sends expiries whose command has run, or may have, but whose slot moved or whose connection broke before they
    /// ran. A late expiry still enforces the bounds.
    pub(super) fn send_repair(self: &Rc<Self>, repair: Repair) {
        let Repair { entry, bytes } = repair;
        self.stats.expiries_repaired.inc();
        let entry = InFlight {
            // The deadline of a repair counts from now on.
            arrived: self.clock.now(),
            ..entry
        };
        self.send_again(entry, bytes);
    }
}

/// The expiries behind a command, to be sent without it.
pub(super) struct Repair {
    entry: InFlight,
    bytes: Vec<u8>,
}

impl Repair {
    /// The commands after the first one in `block`, if they run without MULTI and there are any. If the first one may
    /// still run on a lost connection, `ahead` is the command that prevents it: an expiry that came before the first
    /// command would find no key.
    pub fn of(entry: InFlight, block: &[u8], ahead: Option<&[u8]>) -> Option<Repair> {
        let OnReply::Block(whole) = &entry.kind else {
            return None;
        };
        if whole.form.atomic || whole.form.commands == 1 || entry.slot.get().is_none() {
            return None;
        }
        let commands_ahead = u32::from(ahead.is_some());
        let bytes = [ahead.unwrap_or_default(), &block[whole.runs_at()..]].concat();
        let form = policy::BlockShape {
            atomic: false,
            commands: commands_ahead + whole.form.commands - 1,
            own: 0,
        };
        let then = Then::Repair {
            ahead: commands_ahead,
        };
        let entry = InFlight {
            len: bytes.len() as u32,
            kind: OnReply::Block(Block::new(form, then, &bytes)),
            // An expiry that is set twice is the same expiry.
            write: false,
            tries: 0,
            ..entry
        };
        Some(Repair { entry, bytes })
    }

    /// Splits a command to be sent: the command ahead of a repair, if there is one, and the rest.
    pub fn split_ahead(entry: InFlight, request: Vec<u8>) -> (Option<Vec<u8>>, InFlight, Vec<u8>) {
        let runs_at = match &entry.kind {
            OnReply::Block(block) if matches!(block.then, Then::Repair { ahead: 1.. }) => {
                block.runs_at()
            }
            _ => return (None, entry, request),
        };
        match Repair::of(entry.clone(), &request, None) {
            Some(repair) => {
                let tries = entry.tries;
                let rest = InFlight {
                    tries,
                    ..repair.entry
                };
                (Some(request[..runs_at].to_vec()), rest, repair.bytes)
            }
            None => (None, entry, request),
        }
    }
}

fn first_stage(form: policy::BlockShape) -> Stage {
    if form.atomic {
        Stage::Multi
    } else {
        Stage::Bare {
            at: 0,
            of: form.commands,
        }
    }
}
