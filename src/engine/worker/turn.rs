//! The end of a turn: everything that was appended to lanes and clients since the last one is written now.
//!
//! The runtime wakes the tasks of one epoll batch in order; the first that has something to write wakes this task,
//! which therefore runs behind all of them. Each lane and each client gets one write, however many requests the batch
//! brought.

use std::cell::{Cell, OnceCell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::engine::client::Client;
use crate::engine::sabotage::sabotage;
use crate::engine::upstream::connect::fail;
use crate::engine::upstream::lane::Lane;
use crate::engine::worker::Worker;

/// Lanes and clients with something to write.
#[derive(Default)]
pub struct Turn {
    lanes: RefCell<Vec<Rc<Lane>>>,
    clients: RefCell<Vec<Rc<Client>>>,
    hung_up: RefCell<Vec<Rc<Lane>>>,
    waker: OnceCell<Waker>,
    is_armed: Cell<bool>,
    /// Whether a client has left whose big request is in flight.
    has_unawaited: Cell<bool>,
    /// Slices of long requests done in this turn.
    slices: Cell<u32>,
}

/// Slices of long requests per turn: however many clients send long requests, the others wait for no more slices than
/// this.
const SLICES: u32 = 4;

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

    /// Notes that the client that is blocked on `lane` has left.
    pub fn hang_up(&self, lane: Rc<Lane>) {
        self.hung_up.borrow_mut().push(lane);
        self.arm();
    }

    /// Notes that a client has left whose big request is in flight.
    pub fn note_unawaited(&self) {
        self.has_unawaited.set(true);
        self.arm();
    }

    /// Claims one slice of a long request; false if this turn has no room for it.
    pub fn claim_slice(&self) -> bool {
        self.arm();
        let slices = self.slices.get();
        self.slices.set(slices.saturating_add(1));
        slices < SLICES
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
        self.slices.set(0);
        // Before any write: requests that are no longer awaited need not be sent.
        each_contained(
            worker,
            self.hung_up.take().into_iter(),
            |lane| worker.hang_up(lane),
            |lane| fail(worker, lane),
        );
        if self.has_unawaited.take() {
            worker.cancel_unawaited_requests();
        }
        let mut lanes = self.lanes.take();
        each_contained(
            worker,
            lanes.drain(..),
            |lane| lane.flush(worker),
            |lane| fail(worker, lane),
        );
        self.lanes.replace(lanes);
        let mut clients = self.clients.take();
        each_contained(
            worker,
            clients.drain(..),
            |client| client.flush(worker),
            |client| client.close(worker),
        );
        self.clients.replace(clients);
        worker.memory.end_turn();
        if worker.memory.is_over() {
            worker.contained("the end of a turn", || worker.keep_within_memory());
        }
    }
}

/// Calls `f` with each of them, and `fail` with one on which it has panicked; the others follow.
fn each_contained<T>(
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

/// Polls the task again in the next turn, behind the tasks that the kernel has events for by then. Its waker alone would
/// bring it back in this turn, ahead of new events: a peer that sends faster than slotmux reads would delay all others.
pub fn poll_again(cx: &mut Context<'_>) {
    // The first poll is always pending.
    let _ = pin!(tokio::task::yield_now()).poll(cx);
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use tokio::io::AsyncReadExt;

    use super::*;

    /// A task that always has more to do lets the runtime poll the kernel after each of its own polls.
    #[test]
    fn who_polls_again_does_not_keep_the_kernel_from_being_asked() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sender = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        sender.write_all(b"!").unwrap();
        let (receiver, _) = listener.accept().unwrap();
        receiver.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .event_interval(1024)
            .build_local(Default::default())
            .unwrap();
        let polls = runtime.block_on(async {
            let polls = Rc::new(Cell::new(0));
            let counted = polls.clone();
            tokio::task::spawn_local(std::future::poll_fn(move |cx| {
                counted.set(counted.get() + 1);
                poll_again(cx);
                Poll::<()>::Pending
            }));
            let mut receiver = tokio::net::TcpStream::from_std(receiver).unwrap();
            receiver.read_u8().await.unwrap();
            polls.get()
        });
        assert!(polls < 16, "{polls} polls before the byte was heard of");
    }
}
