//! A client in a blocking command: the state of its wait, and how it ends.
//!
//! The command has a dedicated lane, and is the only one of its client in flight. Input behind it is read up to a limit, as
//! Redis does, so that a hang-up is noticed; it is not dispatched.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::engine::upstream::inflight::InFlight;
use crate::engine::upstream::lane::Lane;
use crate::engine::worker::Worker;
use slotmux_core::command::BlockingTimeout;
use slotmux_core::resp::{Protocol, write};

use crate::engine::client::{Client, Pause};

/// Most bytes that are read behind a blocking command. A client that has sent more is found to have left only if its
/// connection was reset, and once a second.
const READ_BEHIND: usize = 1024 * 1024;

/// State of a blocked client.
pub struct Blocked {
    wait: BlockingTimeout,
    /// When its time is over.
    until: Option<Instant>,
    /// The lanes on which it waits now: one, and for WAIT one per node.
    lanes: RefCell<Vec<Rc<Lane>>>,
    /// When it was last sent to a node.
    sent: Cell<Instant>,
    /// Whether its last node has confirmed that there was nothing for it so far.
    is_vouched: Cell<bool>,
}

impl Client {
    /// Blocks the client on the request that was just dispatched, the only one in flight.
    pub fn block(&self, worker: &Worker, wait: BlockingTimeout) {
        let now = Instant::now();
        let blocked = Blocked {
            wait,
            until: wait.limit.and_then(|limit| now.checked_add(limit)),
            lanes: RefCell::default(),
            sent: Cell::new(now),
            is_vouched: Cell::new(false),
        };
        *self.blocked.borrow_mut() = Some(Box::new(blocked));
        self.pause_for(Pause::Blocked);
        worker.stats.blocked_clients.inc();
    }

    /// Whether it waits in a blocking command.
    pub fn is_blocked(&self) -> bool {
        self.waiting.pause() == Pause::Blocked && self.in_flight() > 0
    }

    /// Whether it is blocked on request `seq`.
    pub fn is_blocked_on(&self, seq: u32) -> bool {
        self.is_blocked() && self.oldest() == seq
    }

    /// The request on which it is blocked.
    pub fn blocked_on(&self) -> Option<u32> {
        self.is_blocked().then(|| self.oldest())
    }

    /// Runs `f` on the state of its wait, if it is blocked.
    pub fn with_blocked<T>(&self, f: impl FnOnce(&Blocked) -> T) -> Option<T> {
        self.blocked.borrow().as_deref().map(f)
    }

    /// Ends the wait. A client that has left without its reply gives up its connections, so that no element is popped
    /// without a receiver.
    pub fn end_block(&self, worker: &Worker) {
        let Some(blocked) = self.blocked.take() else {
            return;
        };
        worker.stats.blocked_clients.dec();
        // The wait does not count as idle, and the reply is not written yet.
        self.output.touch(worker.clock.now());
        if self.in_flight() > 0 {
            for lane in blocked.lanes.take() {
                worker.turn.hang_up(lane);
            }
        }
    }

    /// Reads input behind the blocking command, into `keep`, to notice that the client leaves. Ready once it has left.
    pub fn poll_behind(
        &self,
        worker: &Worker,
        cx: &mut Context<'_>,
        mut keep: impl FnMut(&Client, &[u8]),
    ) -> Poll<()> {
        let mut scratch = worker.scratch.client.borrow_mut();
        while self.waiting.pending_input() < READ_BEHIND {
            let read = match self.transport.borrow_mut().as_mut() {
                Some(transport) => std::task::ready!(transport.poll_read(cx, &mut scratch)),
                None => return Poll::Ready(()),
            };
            match read {
                Ok(read @ 1..) => {
                    worker.stats.client_bytes_in.add(read as u64);
                    self.waiting.saw(worker.clock.now());
                    keep(self, &scratch[..read]);
                }
                _ => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }
}

impl Blocked {
    /// It waits on this lane from now on.
    pub fn set_lane(&self, lane: &Rc<Lane>) {
        let mut lanes = self.lanes.borrow_mut();
        if !lanes.iter().any(|other| Rc::ptr_eq(other, lane)) {
            lanes.push(lane.clone());
        }
        self.sent.set(Instant::now());
    }

    /// It no longer waits on this lane; other lanes of a WAIT stay.
    pub fn leave_lane(&self, lane: &Lane) {
        let mut lanes = self.lanes.borrow_mut();
        lanes.retain(|other| !std::ptr::eq(&**other, lane));
    }

    /// It waits on no lane, and is about to be sent again.
    pub fn leave_lanes(&self) {
        self.lanes.borrow_mut().clear();
    }

    /// The lanes on which it waits.
    pub fn lanes(&self) -> Vec<Rc<Lane>> {
        self.lanes.borrow().clone()
    }

    /// Time since it was last sent to a node.
    pub fn since_sent(&self) -> Duration {
        self.sent.get().elapsed()
    }

    /// Whether its time has been over for longer than `patience`, in which its node should have answered.
    pub fn is_late_by(&self, patience: Duration) -> bool {
        let is_over = |until: Instant| until.elapsed() > patience;
        self.until.is_some_and(is_over) && self.since_sent() > patience
    }

    /// Records whether a node has confirmed, by ending the wait, that there was nothing; false if the outcome at the last
    /// node is unknown.
    pub fn vouch(&self, is_vouched: bool) {
        self.is_vouched.set(is_vouched);
    }

    /// Whether its time is over and its last node has confirmed that there was nothing for it.
    pub fn has_waited_in_vain(&self) -> bool {
        let is_over = self.until.is_some_and(|until| Instant::now() >= until);
        self.is_vouched.get() && is_over
    }

    /// How it waits, and how much of its time is left; `None` if it has no known end.
    pub fn left(&self) -> Option<(BlockingTimeout, Duration)> {
        let until = self.until?;
        Some((self.wait, until.saturating_duration_since(Instant::now())))
    }
}

/// Reply of every blocking command that has timed out: the null array. Only a node may decide that there was nothing.
pub fn timed_out(entry: &InFlight) -> Vec<u8> {
    let mut reply = Vec::new();
    match entry.client.session.protocol() {
        Protocol::Resp2 => reply.extend_from_slice(b"*-1\r\n"),
        Protocol::Resp3 => write::null(&mut reply, Protocol::Resp3),
    }
    reply
}
