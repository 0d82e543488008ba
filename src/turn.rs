//! The end of a turn: everything that was appended to lanes and clients since the last one is written now.
//!
//! The runtime wakes the tasks of one epoll batch in order; the first that has something to write wakes this task,
//! which therefore runs behind all of them. Each lane and each client gets one write, however many requests the batch
//! brought.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::client::Client;
use crate::contain::sabotage;
use crate::upstream::connect::fail;
use crate::upstream::lane::Lane;
use crate::worker::Worker;

/// Who has something to write.
#[derive(Default)]
pub struct Turn {
    lanes: RefCell<Vec<Rc<Lane>>>,
    clients: RefCell<Vec<Rc<Client>>>,
    hung_up: RefCell<Vec<Rc<Lane>>>,
    waker: OnceCell<Waker>,
    is_armed: Cell<bool>,
}

impl Turn {
    /// `lane` has something to write.
    pub fn touch_lane(&self, lane: &Rc<Lane>) {
        if !lane.mark_dirty() {
            self.lanes.borrow_mut().push(lane.clone());
            self.arm();
        }
    }

    /// `client` has something to write.
    pub fn touch_client(&self, client: &Rc<Client>) {
        if !client.mark_dirty() {
            self.clients.borrow_mut().push(client.clone());
            self.arm();
        }
    }

    /// The client that is blocked on `lane` has left.
    pub fn hang_up(&self, lane: Rc<Lane>) {
        self.hung_up.borrow_mut().push(lane);
        self.arm();
    }

    fn arm(&self) {
        if !self.is_armed.replace(true)
            && let Some(waker) = self.waker.get()
        {
            waker.wake_by_ref();
        }
    }

    /// Writes everything that was touched. The lists keep their memory for the next turn.
    fn end(&self, worker: &Rc<Worker>) {
        self.is_armed.set(false);
        // Before anything is written: what nobody waits for need not leave.
        each(
            worker,
            self.hung_up.take().into_iter(),
            |lane| worker.hang_up(lane),
            |lane| fail(worker, lane),
        );
        let mut lanes = self.lanes.take();
        each(
            worker,
            lanes.drain(..),
            |lane| lane.flush(worker),
            |lane| fail(worker, lane),
        );
        self.lanes.replace(lanes);
        let mut clients = self.clients.take();
        each(
            worker,
            clients.drain(..),
            |client| client.flush(worker),
            |client| client.close(worker),
        );
        self.clients.replace(clients);
    }
}

/// Does `f` with each of them. A panic costs the one that it came with, on which `fail` is done; the others are not to be
/// forgotten for it.
fn each<T>(
    worker: &Rc<Worker>,
    mut all: impl Iterator<Item = T>,
    f: impl Fn(&T),
    fail: impl Fn(&T),
) {
    let mut at = None;
    while worker
        .contained("the end of a turn", || {
            for one in all.by_ref() {
                let one = at.insert(one);
                sabotage("turn.end");
                f(one);
            }
        })
        .is_none()
    {
        worker.contained("the end of a turn", || at.as_ref().map(&fail));
    }
}

/// The task that ends each turn of a worker.
pub async fn run(worker: Rc<Worker>) {
    std::future::poll_fn(|cx| {
        worker.turn.waker.get_or_init(|| cx.waker().clone());
        worker.turn.end(&worker);
        Poll::Pending
    })
    .await
}
