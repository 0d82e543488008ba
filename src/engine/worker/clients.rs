//! A worker's clients: those that are connected, those that linger, and the one whose command is being processed.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::rc::Rc;

use slab::Slab;

use crate::engine::client::Client;
use crate::engine::worker::clock::Tick;

/// Milliseconds that a client whose replies were all sent may take to close its end.
const LINGER: u64 = 1000;

/// The clients of one worker.
#[derive(Default)]
pub struct Clients {
    connected: RefCell<Slab<Rc<Client>>>,
    /// Clients that were sent everything and may take a moment to close; until when.
    lingering: RefCell<VecDeque<(Rc<Client>, Tick)>>,
    /// Id of the client whose command was dequeued and is being processed, for the repair after a panic.
    in_process: Cell<Option<NonZeroU64>>,
}

impl Clients {
    /// Adds the client that `make` makes of its place.
    pub fn add(&self, make: impl FnOnce(usize) -> Client) -> Rc<Client> {
        let mut connected = self.connected.borrow_mut();
        let place = connected.vacant_entry();
        let client = Rc::new(make(place.key()));
        place.insert(client.clone());
        client
    }

    /// Removes a client.
    pub fn remove(&self, client: &Client) {
        self.connected.borrow_mut().try_remove(client.key);
    }

    /// Number of connected clients.
    pub fn len(&self) -> usize {
        self.connected.borrow().len()
    }

    /// Whether no client is connected.
    pub fn is_empty(&self) -> bool {
        self.connected.borrow().is_empty()
    }

    /// The client at a place.
    pub fn at(&self, place: usize) -> Option<Rc<Client>> {
        self.connected.borrow().get(place).cloned()
    }

    /// All of them.
    pub fn all(&self) -> Vec<Rc<Client>> {
        let connected = self.connected.borrow();
        connected.iter().map(|(_, client)| client.clone()).collect()
    }

    /// Remembers a client that was sent everything, to close it if it doesn't close itself.
    pub fn linger(&self, client: &Rc<Client>, now: Tick) {
        let mut lingering = self.lingering.borrow_mut();
        lingering.push_back((client.clone(), now.plus(LINGER)));
    }

    /// Removes and returns a client that has lingered for long enough.
    pub fn take_lingered(&self, now: Tick) -> Option<Rc<Client>> {
        let mut lingering = self.lingering.borrow_mut();
        let (_, until) = lingering.front()?;
        if !until.has_come(now) {
            return None;
        }
        lingering.pop_front().map(|(client, _)| client)
    }

    /// Records that a command of this client was dequeued and is being processed.
    #[inline]
    pub fn begin_processing(&self, client: &Client) {
        self.in_process.set(NonZeroU64::new(client.id));
    }

    /// Records that the command is queued again, or answered.
    #[inline]
    pub fn end_processing(&self) {
        self.in_process.set(None);
    }

    /// Takes the client whose command was being processed when a panic came.
    pub fn take_in_process(&self) -> Option<Rc<Client>> {
        let id = self.in_process.take()?.get();
        self.all().into_iter().find(|client| client.id == id)
    }
}
