//! The downstream side: one accepted connection, its replies, and what is known about it.

use std::cell::{Cell, OnceCell, Ref, RefCell};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::task::Waker;

use crate::engine::transport::Transport;
use crate::engine::upstream::NodeId;
use crate::engine::upstream::lane::Lane;
use crate::engine::worker::Worker;
use crate::engine::worker::clock::Tick;
use slotmux_core::answer::AskingClient;
use slotmux_core::resp::Protocol;

use slotmux_core::answer::session::{ReplyMode, Session};
use slotmux_core::answer::tracking::Tracking;

use crate::engine::blocking::wait::Blocked;
use crate::engine::transaction::queued::Queue;
use order::Held;
use push::Pushes;

use crate::engine::transaction::watch::Watch;
use long_request::Work;

pub mod before_topology;
pub mod dispatch;
pub mod forward;
pub mod intercept;
pub mod long_request;
pub mod order;
pub mod push;
pub mod read;
pub mod tracking;
pub mod write;

/// A client is not read while more than this many bytes of replies wait for it. Large enough that a client which
/// reads never meets it, small enough that 10,000 clients which don't read cost 2.5 GiB at the most.
pub const OUTPUT_PAUSE: usize = 256 * 1024;

/// How far a connection is on its way to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Requests are read and answered.
    Open,
    /// Nothing more is read; what is in flight is answered, then the connection ends.
    Finishing,
    /// Every reply and our FIN were sent; what the client still sends is read and dropped until it has read them.
    /// Closing at once would send a reset that can overtake the last replies.
    Lingering,
    /// The connection is closed. Replies that still come are dropped.
    Closed,
}

/// Why a client is not read at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pause {
    /// It is read.
    No,
    /// Until at most this many of its requests are in flight: 0 at a barrier, half the limit for a long pipeline.
    InFlight(u32),
    /// Until its question to all workers, the only request in flight, is answered.
    Question,
    /// Until its blocking command, the only request in flight, is answered: see [`crate::engine::blocking`].
    Blocked,
    /// Until it has read half of the replies that wait for it.
    Output,
    /// Until a lane that it needs has room; the lane wakes it.
    Lane,
    /// Until `CLIENT PAUSE` is over for its next command.
    Held,
    /// Until there is an upstream, or no more hope for one: see [`before_topology`].
    Upstream,
    /// Until its long request is complete. Its task does one slice in each turn: see [`long_request`].
    Slices,
    /// Until the nodes confirm what its long request waits for; the confirmation wakes it.
    Confirmation,
}

/// One client connection. Everything here belongs to one worker thread.
pub struct Client {
    /// Unique in the process, never reused.
    pub id: u64,
    /// Its place in the worker's table of clients.
    pub key: usize,
    /// Index of the listener it came from.
    pub listener: u8,
    /// When it connected.
    pub connected: Tick,
    /// When it last sent something.
    pub last_seen: Cell<Tick>,
    /// The socket; `None` once closed.
    pub(crate) transport: RefCell<Option<Transport>>,
    /// Wakes the client's task.
    waker: OnceCell<Waker>,
    /// RESP version of its replies, and so of the lanes that it uses.
    pub protocol: Cell<Protocol>,
    /// Whether it may run commands.
    pub authenticated: Cell<bool>,
    /// Full name of its last command; empty before the first.
    pub last_command: Cell<&'static str>,
    /// Whether what it has in flight is on a lane of its own.
    pub is_alone: Cell<bool>,
    /// `CLIENT REPLY`.
    pub reply_mode: Cell<ReplyMode>,
    /// `CLIENT TRACKING`.
    pub tracking: Cell<Tracking>,
    /// How far it is on its way to its end.
    phase: Cell<Phase>,
    /// Why it is not read at the moment.
    pub(crate) pause: Cell<Pause>,
    /// Whether the socket took less than was there to write.
    write_blocked: Cell<bool>,
    /// Whether it is on the worker's list of clients to write to at the end of this turn.
    dirty: Cell<bool>,
    /// Number of the next request.
    pub(crate) next_seq: Cell<u32>,
    /// Number of the request whose reply goes out next. In flight: `next_seq - head_seq`.
    pub(crate) head_seq: Cell<u32>,
    /// The worker's slot epoch when this client last had nothing in flight: see [`crate::engine::fan_out::slots`].
    pub epoch: Cell<u32>,
    /// The latest of its requests that was redirected, while there may be one.
    redirected: Cell<Option<u32>>,
    /// Its requests that wait for another try; while there is one, nothing else of this client is sent.
    pub waiting_retries: Cell<u32>,
    /// First and last of its reads that may have ended their connection, see [`crate::engine::upstream::retry::oversize_reply`].
    pub oversize_candidates: Cell<Option<(u32, u32)>>,
    /// Replies that are not written yet, from `sent` on.
    out: RefCell<Vec<u8>>,
    /// Bytes of `out` that the kernel took.
    sent: Cell<usize>,
    /// Bytes that were read and not taken yet; its task holds them.
    pending_input: Cell<usize>,
    /// Bytes of its requests that are kept for it alone: a big one on its way, and what waits for another try.
    request_bytes: Cell<usize>,
    /// Bytes of replies that are collected from several nodes for it.
    pub(crate) gathered: Cell<usize>,
    /// A lane of its own that is not read until this client has taken more of what it has.
    held_back: RefCell<Option<Rc<Lane>>>,
    /// Since when it is looked how much it takes while it holds a lane back.
    watched_since: Cell<Tick>,
    /// What the socket has taken of its replies since then.
    taken: Cell<usize>,
    /// When the socket last took some of its replies.
    pub(crate) last_taken: Cell<Tick>,
    /// Bytes that count against the worker's memory budget for this client.
    charged: Cell<usize>,
    /// When it was first seen over the soft output limit.
    over_soft: Cell<Option<Tick>>,
    /// Replies that came before their turn.
    pub(crate) held: RefCell<Option<Box<Held>>>,
    /// What is known of its wait, while it is blocked.
    pub(crate) blocked: RefCell<Option<Box<Blocked>>>,
    /// Since when what it has sent waits for a lane that is free, or has room.
    waits_since: Cell<Option<Tick>>,
    /// The nodes that it sent writes to, by [`NodeId::bit`](crate::engine::upstream::NodeId::bit).
    pub(crate) written: Cell<u64>,
    /// Whether the reply that is under way went out in part.
    pub is_mid_reply: Cell<bool>,
    /// What it gets unasked.
    pushes: RefCell<Option<Box<Pushes>>>,
    /// What it sent between MULTI and EXEC, while it is there.
    pub(crate) transaction: RefCell<Option<Box<Queue>>>,
    /// What it watches, while it does.
    pub(crate) watch: RefCell<Option<Rc<Watch>>>,
    /// Its long request, while one is in progress.
    work: RefCell<Option<Box<dyn Work>>>,
    /// Whether there is one, also while a slice of it is being done.
    has_work: Cell<bool>,
    /// Bytes that it counts for.
    reserved: Cell<usize>,
    /// Rare state: names, user.
    session: RefCell<Option<Box<Session>>>,
}

impl Client {
    /// A client that has just been accepted.
    pub fn new(id: u64, key: usize, listener: u8, transport: Transport, now: Tick) -> Client {
        Client {
            id,
            key,
            listener,
            connected: now,
            last_seen: Cell::new(now),
            transport: RefCell::new(Some(transport)),
            waker: OnceCell::new(),
            protocol: Cell::new(Protocol::Resp2),
            authenticated: Cell::new(false),
            last_command: Cell::new(""),
            is_alone: Cell::new(false),
            reply_mode: Cell::new(ReplyMode::On),
            tracking: Cell::default(),
            phase: Cell::new(Phase::Open),
            pause: Cell::new(Pause::No),
            write_blocked: Cell::new(false),
            dirty: Cell::new(false),
            next_seq: Cell::new(0),
            head_seq: Cell::new(0),
            epoch: Cell::new(0),
            redirected: Cell::new(None),
            waiting_retries: Cell::new(0),
            oversize_candidates: Cell::new(None),
            out: RefCell::new(Vec::new()),
            sent: Cell::new(0),
            pending_input: Cell::new(0),
            request_bytes: Cell::new(0),
            gathered: Cell::new(0),
            held_back: RefCell::new(None),
            watched_since: Cell::new(now),
            taken: Cell::new(0),
            last_taken: Cell::new(now),
            charged: Cell::new(0),
            over_soft: Cell::new(None),
            held: RefCell::new(None),
            blocked: RefCell::new(None),
            waits_since: Cell::new(None),
            written: Cell::new(0),
            is_mid_reply: Cell::new(false),
            pushes: RefCell::new(None),
            transaction: RefCell::new(None),
            watch: RefCell::new(None),
            work: RefCell::new(None),
            has_work: Cell::new(false),
            reserved: Cell::new(0),
            session: RefCell::new(None),
        }
    }

    /// How far it is on its way to its end.
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Whether replies to it go nowhere.
    pub fn is_closed(&self) -> bool {
        self.phase.get() == Phase::Closed
    }

    /// Requests that were taken and are not answered yet.
    pub fn in_flight(&self) -> u32 {
        self.next_seq.get().wrapping_sub(self.head_seq.get())
    }

    /// Whether a request of it that was redirected may still be on its way.
    pub fn has_redirected(&self) -> bool {
        let Some(seq) = self.redirected.get() else {
            return false;
        };
        let is_answered = self.has_answered(seq);
        if is_answered {
            self.redirected.set(None);
        }
        !is_answered
    }

    /// Whether every request up to `seq` is answered.
    pub fn has_answered(&self, seq: u32) -> bool {
        seq.wrapping_sub(self.head_seq.get()) > u32::MAX / 2
    }

    /// Request `seq` was redirected.
    pub fn note_redirected(&self, seq: u32) {
        let latest = match self.redirected.get() {
            Some(other) if other.wrapping_sub(seq) <= u32::MAX / 2 => other,
            _ => seq,
        };
        self.redirected.set(Some(latest));
    }

    /// Sequence number of the oldest unanswered request.
    pub fn oldest(&self) -> u32 {
        self.head_seq.get()
    }

    /// Takes nothing more of it before all that is in flight is answered.
    pub fn await_replies(&self) {
        if self.in_flight() > 0 {
            self.pause_for(Pause::InFlight(0));
        }
    }

    /// Takes the next place in the order of replies.
    pub fn take_seq(&self) -> u32 {
        let seq = self.next_seq.get();
        self.next_seq.set(seq.wrapping_add(1));
        seq
    }

    /// Notes that it is on the list of clients to write to; returns whether it was before.
    pub fn mark_dirty(&self) -> bool {
        self.dirty.replace(true)
    }

    /// Polls the client's task soon.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Bytes of replies that the client has not taken yet.
    pub fn buffered(&self) -> usize {
        let held = self.held.borrow().as_ref().map_or(0, |held| held.len());
        self.out.borrow().len() - self.sent.get() + held + self.waiting_pushes()
    }

    /// Bytes that its replies take here: those that the client has taken stay a while.
    fn output_held(&self) -> usize {
        self.buffered() + self.out.borrow().capacity() - (self.out.borrow().len() - self.sent.get())
    }

    /// Bytes of the names that it has given itself.
    fn named(&self) -> usize {
        self.session
            .borrow()
            .as_ref()
            .map_or(0, |session| session.named())
    }

    /// Reads no more; the connection ends when what is in flight was answered.
    pub fn finish(self: &Rc<Self>, worker: &Worker) {
        if self.phase.get() == Phase::Open {
            self.phase.set(Phase::Finishing);
            self.leave_some(worker);
            // The flush at the end of the turn notices if nothing is left to wait for.
            worker.turn.touch_client(self);
        }
    }

    /// Closes the connection at once; what is in flight runs on and its replies are dropped. A big request that its node does
    /// not have yet is given up: see [`crate::engine::upstream::cancel`].
    pub fn close(&self, worker: &Worker) {
        if self.phase.replace(Phase::Closed) == Phase::Closed {
            return;
        }
        drop(self.transport.borrow_mut().take());
        // A long request and a long list of names are freed in slices.
        worker
            .memory
            .change_leaving(0, self.reserved.get() + self.subscribed());
        self.leave_some(worker);
        self.drop_waiting_pushes();
        *self.out.borrow_mut() = Vec::new();
        self.sent.set(0);
        *self.held.borrow_mut() = None;
        *self.transaction.borrow_mut() = None;
        self.charge(worker, 0);
        if self.request_bytes.take() > 0 && self.in_flight() > 0 {
            worker.turn.cancel();
        }
        if self.waiting_retries.get() > 0 {
            worker.retries.hasten(self.id, worker.clock.now());
        }
        self.end_block(worker);
        if self.tracking.take().is_on() {
            worker.stats.tracking_clients.dec();
        }
        self.end_hold(worker);
        self.wake();
        // The rest of a reply that it did not take is read and dropped.
        self.let_lane_go_on();
    }

    /// What it has sent waits for a lane with room: from now on if it did not before.
    pub fn begin_to_wait(&self, now: Tick) {
        let since = self.waits_since.get().unwrap_or(now);
        self.waits_since.set(Some(since));
    }

    /// Whether it has waited for a lane for as long as a command may take.
    pub fn waits_in_vain(&self, worker: &Worker, now: Tick) -> bool {
        let since = self.waits_since.get();
        since.is_some_and(|since| since.is_over(worker.timeouts.command, now))
    }

    /// Arrival time of the request that is about to be sent.
    #[inline]
    pub fn arrival(&self, worker: &Worker) -> Tick {
        match self.waits_since.get() {
            None => worker.clock.last(),
            Some(since) => self.late_arrival(worker, since),
        }
    }

    /// A request that waited for a lane keeps its original arrival time. Requests after one that was refused start
    /// anew.
    #[cold]
    fn late_arrival(&self, worker: &Worker, since: Tick) -> Tick {
        let last = worker.clock.last();
        if self.waits_in_vain(worker, last) {
            return last;
        }
        self.waits_since.set(None);
        since
    }

    /// A write of it goes to `node`.
    #[inline]
    pub fn note_written(&self, node: NodeId) {
        self.written.set(self.written.get() | node.bit());
    }

    /// Runs `f` on the socket, if there is one still.
    pub fn with_transport<T>(&self, f: impl FnOnce(&Transport) -> T) -> Option<T> {
        self.transport.borrow().as_ref().map(f)
    }

    /// Runs `f` on what the answers know of a client, and takes over what it changed.
    pub fn as_subject<T>(&self, f: impl FnOnce(&mut AskingClient) -> T) -> T {
        let mut session = self.session.borrow_mut();
        let mut subject = AskingClient {
            id: self.id,
            protocol: self.protocol.get(),
            authenticated: self.authenticated.get(),
            replies: self.reply_mode.get().begin(),
            tracking: self.tracking.get(),
            is_subscriber: self.is_subscriber(),
            session: &mut session,
        };
        let result = f(&mut subject);
        self.protocol.set(subject.protocol);
        self.authenticated.set(subject.authenticated);
        self.reply_mode.set(subject.replies);
        self.tracking.set(subject.tracking);
        result
    }

    /// Replaces what this client counts for in the worker's memory budget.
    pub fn charge(&self, worker: &Worker, bytes: usize) {
        let before = self.charged.replace(bytes);
        if before != bytes {
            worker.memory.change(before, bytes);
        }
    }

    /// Its rare state, if it has any.
    pub fn session_ref(&self) -> Ref<'_, Option<Box<Session>>> {
        self.session.borrow()
    }

    /// Bytes that were read and not taken yet.
    pub fn pending_input(&self) -> usize {
        self.pending_input.get()
    }

    /// Whether nothing keeps it from being read.
    pub fn is_read(&self) -> bool {
        self.pause.get() == Pause::No
    }

    /// Whether it has neither sent anything nor taken any of its replies for `ms` milliseconds.
    pub fn is_quiet_for(&self, ms: u64, now: Tick) -> bool {
        self.last_seen.get().is_over(ms, now) && self.last_taken.get().is_over(ms, now)
    }

    /// Whether it has a request that is not taken yet for reasons that are not the client's.
    pub fn waits_for_slotmux(&self) -> bool {
        matches!(
            self.pause.get(),
            Pause::Lane | Pause::Upstream | Pause::Held | Pause::Slices | Pause::Confirmation
        )
    }

    /// Whether its next command waits for the end of a `CLIENT PAUSE`.
    pub fn is_held(&self) -> bool {
        self.pause.get() == Pause::Held
    }

    /// The number by which it monitors, if it does.
    pub fn monitor(&self) -> Option<u32> {
        let session = self.session.borrow();
        session.as_ref()?.monitor.map(NonZeroU32::get)
    }

    /// Whether it monitors.
    pub fn is_monitor(&self) -> bool {
        self.monitor().is_some()
    }

    /// Makes it a monitoring client.
    pub fn set_monitor(&self, number: u32) {
        let mut session = self.session.borrow_mut();
        session.get_or_insert_default().monitor = NonZeroU32::new(number);
    }

    /// Whether it gets nothing until it asks for replies again.
    pub fn is_silenced(&self) -> bool {
        self.reply_mode.get() == ReplyMode::Off
    }

    /// Whether it waits for the answer to a question to all workers.
    pub fn is_asking(&self) -> bool {
        self.pause.get() == Pause::Question
    }

    /// Whether it is waited for to take more of its replies.
    pub fn is_written(&self) -> bool {
        self.write_blocked.get()
    }

    /// Bytes that this client counts for in the worker's memory budget.
    pub fn charged(&self) -> usize {
        self.charged.get()
    }
}
