//! The downstream side: one accepted connection, in parts that own their state.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::task::Waker;

use crate::engine::blocking::wait::Blocked;
use crate::engine::transaction::state::TransactionState;
use crate::engine::transport::Transport;
use crate::engine::worker::Worker;
use crate::engine::worker::clock::Tick;
use slotmux_core::answer::AskingClient;
use slotmux_core::answer::session::ReplyMode;

use long_request::LongRequestSlot;
use memory_use::MemoryUse;
use output::Output;
use push::Pushes;
use request_order::RequestOrder;
use session_state::SessionState;
use upstream_use::UpstreamUse;
use waiting::Waiting;

pub use waiting::Pause;

mod admission;
pub mod before_topology;
pub mod dispatch;
pub mod early_replies;
pub mod forward;
pub mod intercept;
pub mod local_answers;
pub mod long_request;
mod memory_use;
mod output;
pub mod push;
pub mod read;
mod request_order;
mod session_state;
pub mod tracking;
mod upstream_use;
mod waiting;
pub mod write;

/// A client is not read while it has more unsent replies than this, in bytes. A client that reads never reaches it, and
/// 10,000 clients that do not read cost 2.5 GiB at most.
pub const OUTPUT_PAUSE: usize = 256 * 1024;

/// Phase of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientPhase {
    /// Requests are read and answered.
    Open,
    /// Nothing more is read; requests in flight are answered, then the connection ends.
    Finishing,
    /// Every reply and our FIN were sent; what the client still sends is read and dropped until it has read them.
    /// Closing at once would send a reset that can overtake the last replies.
    Lingering,
    /// The connection is closed. Replies that still come are dropped.
    Closed,
}

/// One client connection. Everything here belongs to one worker thread.
pub struct Client {
    /// Unique in the process, never reused.
    pub id: u64,
    /// Its place in the worker's table of clients.
    pub key: usize,
    /// When it connected.
    pub connected: Tick,
    /// The socket; `None` once closed.
    pub(crate) transport: RefCell<Option<Transport>>,
    /// Wakes the client's task.
    waker: OnceCell<Waker>,
    /// Its phase.
    phase: Cell<ClientPhase>,
    /// Protocol, login and settings.
    pub(crate) session: SessionState,
    /// The order of its requests and replies.
    pub(crate) order: RequestOrder,
    /// Why it is not read.
    pub(crate) waiting: Waiting,
    /// Bytes on their way to it.
    pub(crate) output: Output,
    /// Its share in the memory budget.
    pub(crate) memory: MemoryUse,
    /// Its use of the upstream.
    pub(crate) upstream: UpstreamUse,
    /// Its transaction and watched keys.
    pub(crate) transaction: TransactionState,
    /// Its blocking command, while it is blocked.
    pub(crate) blocked: RefCell<Option<Box<Blocked>>>,
    /// Its subscriptions, and pushes that wait.
    pushes: RefCell<Option<Box<Pushes>>>,
    /// Its long request, while one is in progress.
    long_request: LongRequestSlot,
}

impl Client {
    /// A client that has just been accepted.
    pub fn new(id: u64, key: usize, listener: u8, transport: Transport, now: Tick) -> Client {
        Client {
            id,
            key,
            connected: now,
            transport: RefCell::new(Some(transport)),
            waker: OnceCell::new(),
            phase: Cell::new(ClientPhase::Open),
            session: SessionState::new(listener),
            order: RequestOrder::default(),
            waiting: Waiting::new(now),
            output: Output::new(now),
            memory: MemoryUse::default(),
            upstream: UpstreamUse::default(),
            transaction: TransactionState::default(),
            blocked: RefCell::new(None),
            pushes: RefCell::new(None),
            long_request: LongRequestSlot::default(),
        }
    }

    /// Its phase.
    pub fn phase(&self) -> ClientPhase {
        self.phase.get()
    }

    /// Whether its connection is closed: replies are dropped.
    pub fn is_closed(&self) -> bool {
        self.phase.get() == ClientPhase::Closed
    }

    /// Requests that were accepted and are not answered yet.
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.order.in_flight()
    }

    /// Number of the oldest unanswered request.
    pub fn oldest(&self) -> u32 {
        self.order.head()
    }

    /// Reads nothing more until all requests in flight are answered.
    pub fn await_replies(&self) {
        if self.in_flight() > 0 {
            self.pause_for(Pause::InFlight(0));
        }
    }

    /// Takes the next place in the order of replies.
    pub fn take_seq(&self) -> u32 {
        self.order.take_seq()
    }

    /// Notes that it is on the list of clients to write to. Returns whether it was before.
    pub fn mark_dirty(&self) -> bool {
        self.output.mark_dirty()
    }

    /// Ends a piece of the reply under way that is complete in itself: messages may follow it.
    pub fn complete_piece(&self) {
        self.output.set_mid_reply(false);
    }

    /// Polls the client's task soon.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Bytes of replies that the client has not taken yet.
    pub fn buffered(&self) -> usize {
        self.output.unsent() + self.order.early_bytes() + self.pending_push_bytes()
    }

    /// Bytes that its replies take here.
    fn output_held(&self) -> usize {
        self.output.capacity() + self.order.early_bytes() + self.pending_push_bytes()
    }

    /// Reads no more; the connection ends once all requests in flight are answered.
    pub fn finish(self: &Rc<Self>, worker: &Worker) {
        if self.phase.get() == ClientPhase::Open {
            self.phase.set(ClientPhase::Finishing);
            self.unsubscribe_some(worker);
            // The flush at the end of the turn notices if nothing is in flight.
            worker.turn.touch_client(self);
        }
    }

    /// Closes the connection at once; requests in flight run on, and their replies are dropped. A big request that its node
    /// does not have yet is given up: see [`crate::engine::upstream::cancel`].
    pub fn close(&self, worker: &Worker) {
        if self.phase.replace(ClientPhase::Closed) == ClientPhase::Closed {
            return;
        }
        drop(self.transport.borrow_mut().take());
        // A long request and a long list of names are freed in slices.
        worker
            .memory
            .change_leaving(0, self.memory.reserved() + self.subscribed());
        self.unsubscribe_some(worker);
        self.drop_pending_pushes();
        self.output.clear();
        self.order.drop_early();
        self.transaction.take_queue();
        self.memory.charge(worker, 0);
        if self.memory.take_requests() > 0 && self.in_flight() > 0 {
            worker.turn.note_unawaited();
        }
        if self.order.has_waiting_retries() {
            worker.retries.hasten(self.id, worker.clock.now());
        }
        self.end_block(worker);
        if self.session.take_tracking().is_on() {
            worker.stats.tracking_clients.dec();
            worker.announcements.remove(self.id);
        }
        self.end_hold(worker);
        self.wake();
        // The lane drops the rest of the reply.
        self.output.release_held_back_lane();
    }

    /// Its request waits for a lane with room: from now on if it did not before.
    pub fn start_waiting(&self, now: Tick) {
        self.waiting.start_waiting(now);
    }

    /// Whether it has waited for a lane for as long as a command may take.
    pub fn has_waited_too_long(&self, worker: &Worker, now: Tick) -> bool {
        let since = self.waiting.lane_since();
        since.is_some_and(|since| since.is_over(worker.timeouts.command, now))
    }

    /// Arrival time of the request that is about to be sent.
    #[inline]
    pub fn arrival(&self, worker: &Worker) -> Tick {
        match self.waiting.lane_since() {
            None => worker.clock.last(),
            Some(since) => self.late_arrival(worker, since),
        }
    }

    /// A request that waited for a lane keeps its original arrival time. Requests after a refused one arrive
    /// now.
    #[cold]
    fn late_arrival(&self, worker: &Worker, since: Tick) -> Tick {
        let last = worker.clock.last();
        if self.has_waited_too_long(worker, last) {
            return last;
        }
        self.waiting.stop_waiting();
        since
    }

    /// Runs `f` on the socket, unless it is closed.
    pub fn with_transport<T>(&self, f: impl FnOnce(&Transport) -> T) -> Option<T> {
        self.transport.borrow().as_ref().map(f)
    }

    /// Runs `f` on the client as answers see it, and takes over the changes.
    pub fn as_subject<T>(&self, f: impl FnOnce(&mut AskingClient) -> T) -> T {
        self.session.as_subject(self.id, self.is_subscriber(), f)
    }

    /// Whether nothing keeps it from being read.
    pub fn is_read(&self) -> bool {
        self.waiting.pause() == Pause::No
    }

    /// Whether it has neither sent anything nor taken any of its replies for `ms` milliseconds.
    pub fn is_quiet_for(&self, ms: u64, now: Tick) -> bool {
        self.waiting.last_seen().is_over(ms, now) && self.output.last_taken().is_over(ms, now)
    }

    /// Whether it has a request that waits for slotmux or the upstream, not for the client.
    pub fn waits_for_slotmux(&self) -> bool {
        matches!(
            self.waiting.pause(),
            Pause::Lane | Pause::Upstream | Pause::Held | Pause::Slices | Pause::Confirmation
        )
    }

    /// Whether its next command waits for the end of a `CLIENT PAUSE`.
    pub fn is_held(&self) -> bool {
        self.waiting.pause() == Pause::Held
    }

    /// The number by which it monitors, if it does.
    pub fn monitor(&self) -> Option<u32> {
        self.session.monitor()
    }

    /// Whether it monitors.
    pub fn is_monitor(&self) -> bool {
        self.monitor().is_some()
    }

    /// Makes it a monitoring client.
    pub fn set_monitor(&self, number: u32) {
        self.session.set_monitor(number);
    }

    /// Whether all of its replies are suppressed.
    pub fn is_silenced(&self) -> bool {
        self.session.reply_mode() == ReplyMode::Off
    }

    /// Whether it waits for the answer to a question to all workers.
    pub fn is_asking(&self) -> bool {
        self.waiting.pause() == Pause::Question
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_client_stays_small() {
        // Ten thousand clients are ten thousand of these.
        assert!(size_of::<Client>() <= 512, "{}", size_of::<Client>());
    }
}
