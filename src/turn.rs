//! The end of a turn: everything that was appended to lanes and clients since the last one is written now.
//!
//! The runtime wakes the tasks of one epoll batch in order; the first that has something to write wakes this task,
//! which therefore runs behind all of them. Each lane and each client gets one write, however many requests the batch
//! brought.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::client::Client;
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
        for lane in self.hung_up.take() {
            worker.hang_up(&lane);
        }
        let mut lanes = self.lanes.take();
        for lane in lanes.drain(..) {
            lane.flush(worker);
        }
        self.lanes.replace(lanes);
        let mut clients = self.clients.take();
        for client in clients.drain(..) {
            client.flush(worker);
        }
        self.clients.replace(clients);
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
