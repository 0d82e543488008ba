//! A request that is too long for one turn: it is worked on in slices, one in each turn, and the other clients of the worker
//! are served in between.
//!
//! Its state is kept with its client, whose task goes on with it before it takes anything else. So the order of the client's
//! requests and of its replies is that of any other request.

use std::rc::Rc;

use crate::engine::worker::Worker;
use slotmux_core::resp::Span;

use super::{Client, Pause, Phase};
use slotmux_core::resp::request::Request;

/// Arguments, commands or names that are worked on in one turn: a millisecond or two.
pub const SLICE: usize = 1024;

/// Bytes of requests that are worked on in one turn: a few arguments may be long, and a few commands have many arguments.
pub const SLICE_BYTES: usize = 128 * 1024;

/// Bytes that a request may count for without a look at the budget. What is small is counted as any other, and closes who
/// holds the most.
const SMALL: usize = 64 * 1024;

/// How far a long request is after a slice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// There is more to do, in another turn.
    More,
    /// It goes on once its client's pause is over.
    Waits,
    /// It is answered, or on its way.
    Done,
}

/// A long request. While there is one its client takes no other.
pub trait Work {
    /// Works on the next slice. Its client may have left; then it only lets go of what it has, and waits for nothing.
    fn step(&mut self, worker: &Rc<Worker>, client: &Rc<Client>) -> Progress;
}

/// A request that is kept beyond the turn in which it came.
pub struct Kept {
    bytes: Box<[u8]>,
    args: Box<[Span]>,
}

impl Kept {
    /// A copy of `request`.
    pub fn new(request: &Request) -> Kept {
        Kept {
            bytes: request.bytes.into(),
            args: request.args.into(),
        }
    }

    /// The request.
    pub fn request(&self) -> Request<'_> {
        Request {
            bytes: &self.bytes,
            args: &self.args,
        }
    }

    /// Bytes that keeping `request` takes.
    pub fn cost(request: &Request) -> usize {
        request.bytes.len() + size_of_val(request.args)
    }
}

impl Worker {
    /// Whether so many bytes fit beside all that is held, before any of them is allocated.
    pub fn has_memory_for(&self, bytes: usize) -> bool {
        bytes <= SMALL || self.memory.has_room(bytes)
    }
}

impl Client {
    /// Whether it has a long request that is worked on.
    #[inline]
    pub fn has_work(&self) -> bool {
        self.has_work.get()
    }

    /// Begins a long request: its first slice is done at once.
    pub fn begin_work(self: &Rc<Self>, worker: &Rc<Worker>, mut work: Box<dyn Work>) {
        let progress = work.step(worker, self);
        self.keep_work(work, progress);
    }

    /// Works on the next slice.
    pub fn go_on_with_work(self: &Rc<Self>, worker: &Rc<Worker>) -> Progress {
        let Some(mut work) = self.work.take() else {
            // It has panicked.
            self.has_work.set(false);
            return Progress::Done;
        };
        let progress = work.step(worker, self);
        self.keep_work(work, progress);
        if progress == Progress::Done && self.phase() == Phase::Finishing {
            // That was all that it waited for, maybe.
            worker.turn.touch_client(self);
        }
        progress
    }

    fn keep_work(&self, work: Box<dyn Work>, progress: Progress) {
        self.has_work.set(progress != Progress::Done);
        match progress {
            Progress::More => self.pause_for(Pause::Slices),
            Progress::Waits => {}
            Progress::Done => {
                if matches!(self.pause.get(), Pause::Slices | Pause::Confirmation) {
                    self.pause_for(Pause::No);
                }
                return;
            }
        }
        *self.work.borrow_mut() = Some(work);
    }

    /// Whether its long request waits for something that has to come.
    pub fn awaits_confirmation(&self) -> bool {
        self.has_work.get() && self.pause.get() == Pause::Confirmation
    }

    /// Whether its long request can be gone on with now.
    pub(super) fn may_work(&self) -> bool {
        self.phase() != Phase::Open || self.pause.get() == Pause::Slices || self.may_go_on()
    }

    /// What is kept for a request of it counted for `before` bytes and counts for `after` now.
    pub fn change_reserved(&self, worker: &Worker, before: usize, after: usize) {
        if before == after {
            return;
        }
        let reserved = (self.reserved.get() + after).saturating_sub(before);
        self.reserved.set(reserved);
        if self.is_closed() {
            worker.memory.change_leaving(before, after);
        } else {
            self.charge_buffers(worker);
        }
    }
}
