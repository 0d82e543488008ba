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
use slotmux_core::cluster::redirect::{ErrorVerdict, MissingCode, is_refused_for_now, judge};
use slotmux_core::policy;
use slotmux_core::resp::write;

use super::deliver::deliver_to;
use super::inflight::{InFlight, OnReply};
use crate::engine::transaction::exec_reply::Exec;
use crate::engine::upstream::protocol_error::{BlockStep, closes, is_queued};
use crate::engine::upstream::retry::missing_function::ask_for_libraries;

/// Reply to MULTI that begins a transaction.
const BEGUN: &[u8] = b"+OK\r\n";

/// Start of the error of a node that refuses EXEC because of a queued command; the error of that command follows, without
/// its `-`.
const ABORTED: &[u8] = b"-EXECABORT Transaction discarded because of: ";

/// The destination of the one reply of a block.
#[derive(Clone)]
pub enum Destination {
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
pub enum BlockProgress {
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
    ProtocolError(BlockStep),
    /// It was the last one; the client's command has run, but an expiry behind it did not reach its key.
    Incomplete,
}

/// The next reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ExpectedReply {
    /// The reply to MULTI.
    Multi,
    /// The reply to a command that is to be queued.
    Queueing { at: u32 },
    /// The reply to EXEC.
    Exec,
    /// An element of EXEC's reply.
    Element { at: u32 },
    /// The reply to a command outside a transaction; `of` replies come in all.
    WithoutMulti { at: u32, of: u32 },
}

/// The state of one block.
pub struct Block {
    destination: Destination,
    form: policy::BlockShape,
    /// Bytes of the block that have to reach the node before anything can have run.
    runs_at: u32,
    expected: Cell<ExpectedReply>,
    /// The first error that decides about the reply.
    error: RefCell<Option<Vec<u8>>>,
    /// Whether a command behind the client's did not reach its key.
    missed: Cell<bool>,
    /// Whether the client has its answer, or no longer waits for one.
    settled: Cell<bool>,
}

impl Block {
    /// A block of that form in `bytes`.
    pub fn new(form: policy::BlockShape, destination: Destination, bytes: &[u8]) -> Rc<Block> {
        let runs_at = if form.atomic {
            bytes.len()
        } else {
            super::first_request(bytes)
        };
        Rc::new(Block {
            destination,
            form,
            runs_at: runs_at as u32,
            expected: Cell::new(first_reply(form)),
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
    pub fn destination(&self) -> &Destination {
        &self.destination
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
        self.expected.set(first_reply(self.form));
        self.error.take();
        self.missed.set(false);
        if let Destination::Exec { exec, group } = &self.destination {
            exec.restart(*group);
        }
    }

    /// Takes back the pieces of a part that were taken: the rest will not come.
    pub fn forget(&self, worker: &Worker) {
        match &self.destination {
            Destination::Part { gather, part } => gather.forget(worker, *part),
            Destination::Exec { exec, group } => exec.forget(worker, *group),
            Destination::Deliver | Destination::Repair { .. } => {}
        }
    }

    /// Whether the next reply is that of EXEC: an array then is the frame around the following replies.
    pub fn is_at_exec(&self) -> bool {
        self.expected.get() == ExpectedReply::Exec
    }

    /// Takes the head of EXEC's array. False if it does not fit the block.
    pub fn begin_elements(&self, count: i64) -> bool {
        self.expected.set(ExpectedReply::Element { at: 0 });
        count == i64::from(self.form.commands) && count > 0
    }

    /// Takes a reply, or an element of EXEC's, or the last piece of one; `failed` if it is an error.
    pub fn take(
        &self,
        worker: &Rc<Worker>,
        entry: &InFlight,
        reply: &[u8],
        failed: bool,
    ) -> BlockProgress {
        match self.expected.get() {
            ExpectedReply::Multi if reply == BEGUN => {
                self.expect(ExpectedReply::Queueing { at: 0 })
            }
            // MULTI has failed: the following commands may run outside a transaction, and EXEC closes nothing.
            ExpectedReply::Multi => BlockProgress::ProtocolError(BlockStep::Multi),
            ExpectedReply::Queueing { .. } if !failed && !is_queued(reply) => {
                BlockProgress::ProtocolError(BlockStep::Queueing)
            }
            ExpectedReply::Queueing { at } => {
                if failed {
                    self.keep_error(reply);
                }
                let all = at + 1 == self.form.commands;
                self.expect(if all {
                    ExpectedReply::Exec
                } else {
                    ExpectedReply::Queueing { at: at + 1 }
                })
            }
            ExpectedReply::Exec if !failed => self.take_nil(worker, entry, reply),
            ExpectedReply::Exec => self.take_failed_exec(reply),
            ExpectedReply::Element { at } => {
                self.take_result(worker, entry, at, reply, failed);
                if at + 1 < self.form.commands {
                    return self.expect(ExpectedReply::Element { at: at + 1 });
                }
                match self.error.take() {
                    Some(error) => BlockProgress::Refused(error),
                    None => BlockProgress::Done,
                }
            }
            ExpectedReply::WithoutMulti { at, of } => {
                self.take_without_multi(worker, entry, at, reply, failed);
                if at + 1 < of {
                    return self.expect(ExpectedReply::WithoutMulti { at: at + 1, of });
                }
                if let Some(error) = self.error.take() {
                    BlockProgress::Refused(error)
                } else if self.missed.get() {
                    BlockProgress::Incomplete
                } else {
                    BlockProgress::Done
                }
            }
        }
    }

    /// Whether its commands run without MULTI.
    pub fn is_without_multi(&self) -> bool {
        matches!(self.expected.get(), ExpectedReply::WithoutMulti { .. })
    }

    /// The step of the next reply, if that reply is never large.
    pub fn small_step(&self) -> Option<BlockStep> {
        match self.expected.get() {
            ExpectedReply::Multi => Some(BlockStep::Multi),
            ExpectedReply::Queueing { .. } => Some(BlockStep::Queueing),
            ExpectedReply::Exec => Some(BlockStep::Exec),
            ExpectedReply::Element { .. } | ExpectedReply::WithoutMulti { .. } => None,
        }
    }

    /// Takes the front of a large reply that is still coming: the client gets it as it comes, if it is its own.
    pub fn take_piece(&self, worker: &Rc<Worker>, entry: &InFlight, bytes: &[u8]) {
        if let (Destination::Exec { exec, group }, ExpectedReply::Element { at }) =
            (&self.destination, self.expected.get())
        {
            if self.is_awaited() {
                exec.take(worker, *group, at, bytes, false);
            }
            return;
        }
        if let ExpectedReply::Element { at: 0 } | ExpectedReply::WithoutMulti { at: 0, .. } =
            self.expected.get()
            && self.form.own == 1
            && self.is_awaited()
        {
            deliver_to(worker, entry, &self.destination, bytes, false);
        }
    }

    /// Takes an error reply to EXEC. An old server, and one that does not know EXEC, leaves the transaction open.
    fn take_failed_exec(&self, reply: &[u8]) -> BlockProgress {
        let is_closed = closes(reply);
        match reply.strip_prefix(ABORTED) {
            Some(reason) => self.keep_error(&[b"-", reason].concat()),
            // An error before EXEC is the reason for this one, unless this one gives a reason itself.
            None if is_closed => self.keep_error(reply),
            None => *self.error.borrow_mut() = Some(reply.to_vec()),
        }
        let error = self.error.take().unwrap_or_default();
        if is_closed {
            BlockProgress::Refused(error)
        } else {
            BlockProgress::Open(error)
        }
    }

    /// Takes a reply that is neither array nor error: nothing has run, because a watched key has changed.
    fn take_nil(&self, worker: &Rc<Worker>, entry: &InFlight, reply: &[u8]) -> BlockProgress {
        if !entry.is_watched() || !matches!(reply, b"*-1\r\n" | b"_\r\n") {
            return BlockProgress::ProtocolError(BlockStep::Exec);
        }
        if let Destination::Exec { exec, group } = &self.destination
            && self.is_awaited()
        {
            self.settle();
            exec.replace(worker, *group, reply);
        }
        BlockProgress::Done
    }

    fn expect(&self, reply: ExpectedReply) -> BlockProgress {
        self.expected.set(reply);
        BlockProgress::More
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
        if let Destination::Exec { exec, group } = &self.destination {
            worker.retries.record_run(entry);
            if failed && is_function_missing(reply) {
                ask_for_libraries(worker, entry);
            }
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
            let error = error.as_deref();
            if self.is_awaited() && error.is_some_and(is_function_missing) {
                // As far as the node can be believed, only the expiries have run, which may run again: it is a refusal.
                self.keep_error(error.unwrap_or_default());
                return;
            }
            self.answer(worker, entry, error.unwrap_or(reply));
        }
    }

    /// The reply of a command that ran by itself, or did not.
    fn take_without_multi(
        &self,
        worker: &Rc<Worker>,
        entry: &InFlight,
        at: u32,
        reply: &[u8],
        failed: bool,
    ) {
        let ahead = match self.destination {
            Destination::Repair { ahead } => ahead,
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

    /// The client's command has run, with this reply. It counts as run from here on, independently of the rest.
    fn answer(&self, worker: &Rc<Worker>, entry: &InFlight, reply: &[u8]) {
        worker.retries.record_run(entry);
        if !self.settled.replace(true) {
            deliver_to(worker, entry, &self.destination, reply, true);
        }
    }
}

impl Worker {
    /// Answers a watched transaction that did not run, and never will: nil, as if a watched key had changed.
    pub(super) fn answer_unwatched(self: &Rc<Self>, entry: &InFlight) {
        let OnReply::Block(block) = &entry.kind else {
            return;
        };
        if let Destination::Exec { exec, group } = &block.destination
            && !block.settled.replace(true)
        {
            let mut nil = Vec::new();
            write::null_array(&mut nil, entry.client.session.protocol());
            exec.replace(self, *group, &nil);
        }
    }
}

fn is_function_missing(error: &[u8]) -> bool {
    MissingCode::in_error(error) == Some(MissingCode::Function)
}

fn first_reply(form: policy::BlockShape) -> ExpectedReply {
    if form.atomic {
        ExpectedReply::Multi
    } else {
        ExpectedReply::WithoutMulti {
            at: 0,
            of: form.commands,
        }
    }
}
