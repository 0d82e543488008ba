//! Requests that are too long for one turn: worked on in slices, one in each turn, with the worker's other clients
//! served in between.
//!
//! The state is kept with the client, whose task continues it before it reads anything else. So the order of the
//! client's requests and replies is kept.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;

use crate::engine::sabotage::sabotage;
use crate::engine::worker::Worker;
use slotmux_core::resp::Span;

use crate::engine::client::{Client, ClientPhase, Pause};
use slotmux_core::resp::request::Request;

/// Arguments, commands or names per turn: a millisecond or two.
pub const SLICE: usize = 1024;

/// Bytes of requests per turn: a few arguments may be long, and a few commands have many arguments.
pub const SLICE_BYTES: usize = 128 * 1024;

/// Bytes that are only copied per turn, into or out of the parts of a request: a fraction of a millisecond.
pub const COPIED_BYTES: usize = 1 << 20;

/// The share of one turn in a long request: a number of arguments, commands or names, and fewer where they are long.
#[derive(Debug)]
pub struct Portion {
    items: usize,
    bytes: usize,
}

impl Default for Portion {
    fn default() -> Portion {
        Portion::of(SLICE, SLICE_BYTES)
    }
}

impl Portion {
    /// This many items, and this many bytes of them.
    pub fn of(items: usize, bytes: usize) -> Portion {
        Portion { items, bytes }
    }

    /// Takes an item of this many bytes. False if the portion is used up. The last item may be longer than what is left,
    /// so that each portion takes one.
    pub fn take(&mut self, bytes: usize) -> bool {
        let is_left = self.items > 0 && self.bytes > 0;
        if is_left {
            self.items -= 1;
            self.bytes = self.bytes.saturating_sub(bytes);
        }
        is_left
    }
}

/// Bytes that a request may count for without a check of the budget. Small requests are counted like anything else, and
/// close the client that holds the most.
const SMALL: usize = 64 * 1024;

/// Progress of a long request after a slice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// More slices to do, in another turn.
    More,
    /// Continues once its client is resumed.
    Waits,
    /// Answered, or sent.
    Done,
}

/// A long request. No other request of its client is dispatched meanwhile.
pub trait LongRequest {
    /// Works on the next slice. If its client has left, it only frees what it holds and waits for nothing.
    fn step(&mut self, worker: &Rc<Worker>, client: &Rc<Client>) -> Progress;

    /// Bytes that it counts for at its client now.
    fn reserved(&self) -> usize;
}

/// The long request of one client, if it has one.
#[derive(Default)]
pub(super) struct LongRequestSlot {
    /// The request, between two slices.
    request: RefCell<Option<Box<dyn LongRequest>>>,
    /// Whether there is one, also while a slice of it is being done.
    is_present: Cell<bool>,
}

impl LongRequestSlot {
    fn is_present(&self) -> bool {
        self.is_present.get()
    }

    fn set_present(&self, is_present: bool) {
        self.is_present.set(is_present);
    }

    fn take(&self) -> Option<Box<dyn LongRequest>> {
        self.request.take()
    }

    fn keep(&self, request: Box<dyn LongRequest>) {
        *self.request.borrow_mut() = Some(request);
    }
}

/// A request that is kept beyond the turn in which it arrived.
pub struct KeptRequest {
    bytes: Box<[u8]>,
    args: Box<[Span]>,
}

impl KeptRequest {
    /// A copy of `request`.
    pub fn new(request: &Request) -> KeptRequest {
        KeptRequest {
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

    /// The arguments of one turn, of those from `at` to `until`.
    pub fn slice(&self, at: usize, until: usize) -> Range<usize> {
        let (request, mut portion) = (self.request(), Portion::default());
        let mut end = at;
        while end < until && portion.take(request.arg(end).len()) {
            end += 1;
        }
        at..end
    }

    /// Bytes needed to keep `request`.
    pub fn cost(request: &Request) -> usize {
        request.bytes.len() + size_of_val(request.args)
    }
}

impl Worker {
    /// Whether this many bytes fit beside all memory in use, before any of them is allocated.
    pub fn has_memory_for(&self, bytes: usize) -> bool {
        bytes <= SMALL || self.memory.has_room(bytes)
    }
}

impl Client {
    /// Whether a long request is in progress.
    #[inline]
    pub fn has_long_request(&self) -> bool {
        self.long_request.is_present()
    }

    /// Begins a long request: its first slice is done at once.
    pub fn begin_long_request(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        mut work: Box<dyn LongRequest>,
    ) {
        let progress = self.do_slice(worker, &mut *work);
        self.keep_long_request(work, progress);
    }

    /// Does a slice. A panic closes the client, and the request is kept as that of a client that has left: its next slices
    /// free what it holds. A panic in one of these ends it, and gives back at least the bytes that it counts for.
    fn do_slice(self: &Rc<Self>, worker: &Rc<Worker>, work: &mut dyn LongRequest) -> Progress {
        let has_left = self.is_closed();
        let done = worker.contained("a long request", || {
            let progress = work.step(worker, self);
            sabotage("work.slice");
            progress
        });
        if let Some(progress) = done {
            return progress;
        }
        self.close(worker);
        if has_left {
            self.change_reserved(worker, work.reserved(), 0);
            return Progress::Done;
        }
        Progress::More
    }

    /// Ends the long request of a client that has left, for callers without another turn.
    pub fn end_long_request(self: &Rc<Self>, worker: &Rc<Worker>) {
        // A client that has left waits for nothing.
        while self.has_long_request() && self.continue_long_request(worker) == Progress::More {}
    }

    /// Works on the next slice.
    pub fn continue_long_request(self: &Rc<Self>, worker: &Rc<Worker>) -> Progress {
        let Some(mut work) = self.long_request.take() else {
            // Not between two slices: it is over.
            self.long_request.set_present(false);
            return Progress::Done;
        };
        let progress = self.do_slice(worker, &mut *work);
        self.keep_long_request(work, progress);
        if progress == Progress::Done && self.phase() == ClientPhase::Finishing {
            // It may have been the last request before the connection ends.
            worker.turn.touch_client(self);
        }
        progress
    }

    fn keep_long_request(&self, work: Box<dyn LongRequest>, progress: Progress) {
        self.long_request.set_present(progress != Progress::Done);
        match progress {
            Progress::More => self.pause_for(Pause::Slices),
            Progress::Waits => {}
            Progress::Done => {
                if matches!(self.waiting.pause(), Pause::Slices | Pause::Confirmation) {
                    self.pause_for(Pause::No);
                }
                return;
            }
        }
        self.long_request.keep(work);
    }

    /// Whether its long request waits for a confirmation.
    pub fn awaits_confirmation(&self) -> bool {
        self.long_request.is_present() && self.waiting.pause() == Pause::Confirmation
    }

    /// Whether its long request can continue now.
    pub(super) fn try_continue(&self) -> bool {
        self.phase() != ClientPhase::Open
            || self.waiting.pause() == Pause::Slices
            || self.try_resume()
    }

    /// Changes what a request of this client counts for, from `before` to `after` bytes.
    pub fn change_reserved(&self, worker: &Worker, before: usize, after: usize) {
        if before == after {
            return;
        }
        self.memory.change_reserved(before, after);
        if self.is_closed() {
            worker.memory.change_leaving(before, after);
        } else {
            self.charge_buffers(worker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slotmux_core::resp::{Limits, scan_request, write};

    #[test]
    fn a_slice_has_few_arguments_where_they_are_long() {
        for (length, expected) in [
            (1, SLICE),
            (SLICE_BYTES / SLICE, SLICE),
            (SLICE_BYTES / 8, 8),
            (SLICE_BYTES / 8 + 1, 8),
            (SLICE_BYTES - 1, 2),
            (SLICE_BYTES, 1),
            (3 * SLICE_BYTES, 1),
        ] {
            let count = expected + 3;
            let (mut bytes, mut args) = (Vec::new(), Vec::new());
            write::array(&mut bytes, count);
            (0..count).for_each(|_| write::bulk(&mut bytes, &vec![b'x'; length]));
            scan_request(&bytes, &Limits::ACCEPTED, &mut args).expect("a request");
            let kept = KeptRequest::new(&Request {
                bytes: &bytes,
                args: &args,
            });
            assert_eq!(kept.slice(1, count), 1..1 + expected, "{length}");
            assert_eq!(kept.slice(count - 1, count), count - 1..count, "{length}");
            assert_eq!(kept.slice(count, count), count..count, "{length}");
        }
    }
}
