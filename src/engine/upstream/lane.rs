//! A lane: one connection of a worker to a node, shared by many clients; their commands and the replies pass it in
//! one order.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::rc::Rc;
use std::task::Waker;

use crate::engine::client::Client;
use crate::engine::sabotage::sabotage;
use crate::engine::transport::Transport;
use crate::engine::worker::Worker;
use crate::engine::worker::clock::Tick;
use slotmux_core::cluster::addr::Addr;
use slotmux_core::resp::{Limits, Protocol, scan_request};
use slotmux_core::scripts::SentScripts;

use super::NodeId;
use super::inflight::{InFlight, OnReply};
use super::ring::Ring;
use crate::engine::upstream::connection_id::ConnectionId;
use crate::engine::upstream::lane_pool::LaneUse;
use crate::engine::upstream::tracking::Tracked;

/// Bytes written to a node before others get their turn.
const WRITE_PER_TURN: usize = 1024 * 1024;

/// The clients that may use a lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Every client.
    Shared,
    /// One client at a time, for a request that would hold up all others; kept in a pool between uses.
    Dedicated,
}

/// The connection of a lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Link {
    /// Not connected yet, or the connection was lost; since when.
    Down(Tick),
    /// It is connected and authenticated.
    Up,
    /// It is out of use for good: the node left the cluster, or the pool has no use for it.
    Retired,
}

/// One upstream connection with what it carries.
pub struct Lane {
    /// Unique in its worker, never reused.
    pub number: u64,
    /// The node it leads to.
    pub node: NodeId,
    /// Where that node is.
    pub addr: Addr,
    /// RESP version of its replies.
    pub protocol: Protocol,
    /// The clients that may use it.
    pub class: Class,
    link: Cell<Link>,
    transport: RefCell<Option<Transport>>,
    /// Wakes the lane's task.
    waker: OnceCell<Waker>,
    /// Requests that are not answered yet.
    ring: RefCell<Ring>,
    /// The entries of the requests in the ring, oldest first.
    in_flight: RefCell<VecDeque<InFlight>>,
    /// Whether it is on the worker's list of lanes to write at the end of this turn.
    dirty: Cell<bool>,
    /// Whether the socket took less than was there to write.
    pub(super) write_blocked: Cell<bool>,
    /// Whether its task has to close the connection, which was found dead from outside the task.
    closing: Cell<bool>,
    /// Whether another connection to its node was made while it waited for its next try.
    hurried: Cell<bool>,
    /// Clients that wait for room.
    pub(super) waiting: RefCell<Vec<Rc<Client>>>,
    /// When the node last sent something, or was first owed a reply; on a dedicated lane also when it last took
    /// something of a request.
    last_heard: Cell<Tick>,
    /// The id of this connection at its node.
    pub(super) id: Cell<ConnectionId>,
    /// The command that makes its node close the connection; `None` if no policy needs it or the node did not report the
    /// connection's identity. It outlives the connection, until the next one is made.
    pub(super) kill_command: RefCell<Option<Box<[u8]>>>,
    /// Number of CLIENT UNBLOCKs for its client in flight: until they are answered no other client may have the lane.
    pub(super) holds: Cell<u32>,
    /// Since when the node is known to have lost its slots, while a client is blocked there.
    pub(super) replaced_since: Cell<Option<Tick>>,
    /// Which scripts were sent over this connection.
    pub(super) scripts: RefCell<SentScripts>,
    /// The keys that clients have read over this connection and want reported.
    pub(super) tracked: Tracked,
    /// The run of the node's process that answers on this connection, once it was asked.
    process_run: Cell<Option<u64>>,
    /// Client and sequence number of the command after the last answered `ASKING`.
    asking_for: Cell<Option<(u64, u32)>>,
    /// Whether the front of the oldest command's reply was passed on already.
    mid_reply: Cell<bool>,
    /// Whether a part of the oldest command's reply has come.
    reply_begun: Cell<bool>,
    /// Whether it is not read because its client does not take what it has.
    held_back: Cell<bool>,
    /// When a dedicated lane was last used.
    pub(super) last_used: Cell<Tick>,
    /// Whether a health check's PING is on its way, ahead of everything that is in flight.
    pub(super) pinged: Cell<bool>,
    /// The use of a dedicated lane, while it is in use.
    pub(super) used_for: Cell<Option<LaneUse>>,
    /// The client that a dedicated lane is kept for while it carries nothing, by its id.
    pub(super) pinned: Cell<Option<u64>>,
    /// From 0 to 1, by chance: how much sooner than others it is checked.
    pub(super) check_jitter: f64,
}

impl Lane {
    /// A lane that is not connected yet.
    pub fn new(
        number: u64,
        node: NodeId,
        addr: Addr,
        protocol: Protocol,
        class: Class,
        now: Tick,
    ) -> Lane {
        Lane {
            number,
            node,
            addr,
            protocol,
            class,
            link: Cell::new(Link::Down(now)),
            transport: RefCell::new(None),
            waker: OnceCell::new(),
            ring: RefCell::default(),
            in_flight: RefCell::default(),
            dirty: Cell::new(false),
            write_blocked: Cell::new(false),
            closing: Cell::new(false),
            hurried: Cell::new(false),
            waiting: RefCell::default(),
            last_heard: Cell::new(now),
            id: Cell::default(),
            kill_command: RefCell::default(),
            holds: Cell::new(0),
            replaced_since: Cell::new(None),
            scripts: RefCell::default(),
            tracked: Tracked::default(),
            process_run: Cell::new(None),
            asking_for: Cell::new(None),
            mid_reply: Cell::new(false),
            reply_begun: Cell::new(false),
            held_back: Cell::new(false),
            last_used: Cell::new(now),
            pinged: Cell::new(false),
            used_for: Cell::new(None),
            pinned: Cell::new(None),
            check_jitter: fastrand::f64(),
        }
    }

    /// The state of its connection.
    pub fn link(&self) -> Link {
        self.link.get()
    }

    /// Commands that were given to it and are not answered.
    pub fn in_flight(&self) -> usize {
        self.in_flight.borrow().len()
    }

    /// Whether nothing is in flight.
    pub fn is_idle(&self) -> bool {
        self.in_flight.borrow().is_empty()
    }

    /// Whether its node has been away for longer than a command may take: a command given to it now would only wait
    /// for its deadline.
    pub fn is_unavailable(&self, worker: &Worker) -> bool {
        match self.link.get() {
            Link::Up => false,
            Link::Down(since) => {
                since.is_over(worker.timeouts.command, worker.clock.now())
                    // A new lane uses what others have found out.
                    || worker.is_unreachable(self.node)
            }
            Link::Retired => true,
        }
    }

    /// Notes that it is on the list of lanes to write to; returns whether it was before.
    pub fn mark_dirty(&self) -> bool {
        self.dirty.replace(true)
    }

    /// Appends a command. It is written at the end of this turn, or when the connection is there.
    pub fn send(self: &Rc<Self>, worker: &Worker, entry: InFlight, request: &[u8]) {
        debug_assert_eq!(entry.len as usize, request.len());
        self.ring.borrow_mut().push(request);
        sabotage("lane.send");
        self.enqueue(worker, entry);
    }

    /// As [`Lane::send`], for a request that is owned already.
    pub fn send_owned(self: &Rc<Self>, worker: &Worker, entry: InFlight, request: Vec<u8>) {
        debug_assert_eq!(entry.len as usize, request.len());
        self.ring.borrow_mut().push_owned(request);
        self.enqueue(worker, entry);
    }

    fn enqueue(self: &Rc<Self>, worker: &Worker, entry: InFlight) {
        if entry.write {
            entry.client.upstream.note_written(self.node);
        }
        let mut in_flight = self.in_flight.borrow_mut();
        if in_flight.is_empty() && !self.is_pinged() {
            // The silence that counts starts when a reply is owed.
            self.last_heard.set(worker.clock.now());
        }
        worker.retries.lane_index.added(self, &entry);
        in_flight.push_back(entry);
        drop(in_flight);
        worker.turn.touch_lane(self);
    }

    /// Writes what the socket takes. Called once per turn, and when a blocked socket has room again.
    pub fn flush(&self, worker: &Worker) {
        self.dirty.set(false);
        if self.write_blocked.get() {
            return;
        }
        let transport = self.transport.borrow();
        let Some(transport) = transport.as_ref() else {
            return;
        };
        let mut ring = self.ring.borrow_mut();
        let mut quota = WRITE_PER_TURN;
        while !ring.unwritten().is_empty() {
            if quota == 0 {
                // Other lanes first; the socket is still ready.
                self.write_blocked.set(true);
                self.wake();
                return;
            }
            let bytes = ring.unwritten();
            match transport.try_write(&bytes[..bytes.len().min(quota)]) {
                Ok(n) => {
                    worker.stats.upstream_writes.inc();
                    ring.wrote(n);
                    quota -= n;
                    if self.class == Class::Dedicated {
                        self.last_heard.set(worker.clock.now());
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    // The next read reports a broken connection and settles it.
                    self.write_blocked.set(true);
                    self.wake();
                    return;
                }
            }
        }
    }

    /// Polls the lane's task soon.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Retires the lane. Its task ends; all commands in flight must have been taken off before.
    pub fn retire(&self, worker: &Worker) {
        debug_assert!(self.is_idle());
        self.pinned.set(None);
        if self.link.replace(Link::Retired) == Link::Up {
            worker.stats.upstream_connections.dec();
        }
        drop(self.transport.borrow_mut().take());
        self.invalidate_tracked(worker);
        self.wake_waiting(worker);
        self.wake();
    }

    /// Whether the front of the oldest command's reply was passed on already: nothing else can be its answer now.
    pub fn is_mid_reply(&self) -> bool {
        self.mid_reply.get()
    }

    /// The run of the node's process that answers on this connection, if it was asked.
    pub fn process_run(&self) -> Option<u64> {
        self.process_run.get()
    }

    /// Whether it is not read because its client does not read: silence then means nothing.
    pub fn is_held_back(&self) -> bool {
        self.held_back.get()
    }

    /// When the node last sent something while a reply was owed.
    pub fn last_heard(&self) -> Tick {
        self.last_heard.get()
    }
}

/// For the lane's own task and the files of this folder.
impl Lane {
    pub(super) fn set_waker(&self, waker: &Waker) {
        self.waker.get_or_init(|| waker.clone());
    }

    pub(super) fn transport(&self) -> &RefCell<Option<Transport>> {
        &self.transport
    }

    pub(super) fn ring(&self) -> &RefCell<Ring> {
        &self.ring
    }

    pub(super) fn entries(&self) -> &RefCell<VecDeque<InFlight>> {
        &self.in_flight
    }

    /// Removes the oldest entry.
    pub(super) fn take_oldest(&self, worker: &Worker) -> Option<InFlight> {
        let entry = self.in_flight.borrow_mut().pop_front()?;
        worker.retries.lane_index.removed(self, &entry);
        Some(entry)
    }

    /// Puts the oldest entry back: more of its replies are to come.
    pub(super) fn put_oldest(&self, worker: &Worker, entry: InFlight) {
        worker.retries.lane_index.added(self, &entry);
        self.in_flight.borrow_mut().push_front(entry);
    }

    /// Whether the next reply is that of a block's EXEC.
    pub(super) fn is_at_exec(&self) -> bool {
        matches!(
            self.in_flight.borrow().front(),
            Some(InFlight { kind: OnReply::Block(block), .. }) if block.is_at_exec()
        )
    }

    /// Takes the head of EXEC's array for the oldest entry, a block. False if it does not fit.
    pub(super) fn begin_elements(&self, count: i64) -> bool {
        match self.in_flight.borrow().front() {
            Some(InFlight {
                kind: OnReply::Block(block),
                ..
            }) => block.begin_elements(count),
            _ => false,
        }
    }

    pub(super) fn is_reply_begun(&self) -> bool {
        self.reply_begun.get()
    }

    pub(super) fn set_reply_begun(&self, begun: bool) {
        self.reply_begun.set(begun);
    }

    pub(super) fn set_mid_reply(&self, mid_reply: bool) {
        self.mid_reply.set(mid_reply);
    }

    /// Decides whether the client of a dedicated lane has to read its replies before more is read here. A shared lane
    /// never waits for one of its clients.
    pub(super) fn update_held_back(self: &Rc<Self>, worker: &Worker) -> bool {
        let waits = self.class == Class::Dedicated
            && self.in_flight.borrow().front().is_some_and(|entry| {
                entry.is_whole() && entry.client.hold_back_if_full(worker, self)
            });
        if self.held_back.replace(waits) && !waits {
            self.heard(worker.clock.now());
        }
        waits
    }

    /// Records that the `ASKING` ahead of a command was answered.
    pub(super) fn record_asking(&self, asking: &InFlight) {
        self.asking_for.set(Some((asking.client.id, asking.seq)));
    }

    /// Whether an `ASKING` was sent ahead of this command, which was just answered.
    pub(super) fn followed_asking(&self, entry: &InFlight) -> bool {
        self.asking_for.get() == Some((entry.client.id, entry.seq))
    }

    pub(super) fn set_process_run(&self, run: u64) {
        self.process_run.set(Some(run));
    }

    pub(super) fn heard(&self, now: Tick) {
        self.last_heard.set(now);
    }

    /// Number of arguments of `entry`, the oldest command, its name included.
    pub fn arguments_of(&self, entry: &InFlight) -> usize {
        let (ring, mut args) = (self.ring.borrow(), Vec::new());
        // It was scanned on arrival, so this cannot fail.
        let _ = scan_request(ring.front(entry.len as usize), &Limits::ACCEPTED, &mut args);
        args.len()
    }

    /// Whether every unanswered byte belongs to an entry.
    pub fn is_consistent(&self) -> bool {
        let entries: usize = self
            .entries()
            .borrow()
            .iter()
            .map(|entry| entry.len as usize)
            .sum();
        self.ring.borrow().len() == entries + self.ping_len()
    }

    /// Makes the lane's task end this connection and settle what is in flight on it.
    pub fn close(&self) {
        self.closing.set(true);
        self.wake();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.get()
    }

    /// Ends the wait for the next attempt to connect: the node takes connections.
    pub fn hurry(&self) {
        self.hurried.set(true);
        self.wake();
    }

    /// Takes the hurry; returns whether there was one since the last call.
    pub(super) fn take_hurry(&self) -> bool {
        self.hurried.replace(false)
    }

    /// Takes a fresh connection into use.
    pub(super) fn set_up(
        self: &Rc<Self>,
        worker: &Worker,
        transport: Transport,
        kill_command: Option<Box<[u8]>>,
    ) {
        *self.kill_command.borrow_mut() = kill_command;
        *self.transport.borrow_mut() = Some(transport);
        self.write_blocked.set(false);
        self.closing.set(false);
        self.mid_reply.set(false);
        self.reply_begun.set(false);
        self.process_run.set(None);
        self.scripts.borrow_mut().clear();
        self.last_heard.set(worker.clock.now());
        self.link.set(Link::Up);
        worker.stats.upstream_connections.inc();
        worker.turn.touch_lane(self);
    }

    /// Drops the connection; the caller settles the commands in flight.
    pub(super) fn set_down(&self, worker: &Worker) {
        self.held_back.set(false);
        self.pinned.set(None);
        self.id.take();
        self.invalidate_tracked(worker);
        drop(self.transport.borrow_mut().take());
        if self.link.get() == Link::Up {
            worker.stats.upstream_connections.dec();
            self.link.set(Link::Down(worker.clock.now()));
        }
    }
}
