//! The transaction state of one client: its requests since MULTI, and its watched keys.

use std::cell::{Cell, RefCell};
use std::iter::successors;
use std::rc::Rc;

use super::queued::Queue;
use super::watch::Watch;
use crate::engine::fan_out::info_ahead::InfoAhead;

/// The transaction state of one client.
#[derive(Default)]
pub struct TransactionState {
    /// Requests since MULTI, while it is in a transaction.
    queue: RefCell<Option<Box<Queue>>>,
    /// Its watched keys, if there are any: the newest watch, which leads to those of other slots.
    watch: RefCell<Option<Rc<Watch>>>,
    /// The nodes' INFO, while a transaction with an INFO runs.
    info: Cell<Option<Rc<InfoAhead>>>,
}

impl TransactionState {
    /// Whether the client is between MULTI and EXEC.
    pub fn is_open(&self) -> bool {
        self.queue.borrow().is_some()
    }

    /// MULTI: starts a transaction with nothing queued.
    pub fn open(&self) {
        *self.queue.borrow_mut() = Some(Box::default());
    }

    /// EXEC, DISCARD or a reset: returns the queued commands.
    pub fn take_queue(&self) -> Option<Box<Queue>> {
        self.queue.take()
    }

    /// The nodes' INFO for the transaction that runs.
    pub fn info(&self) -> Option<Rc<InfoAhead>> {
        let info = self.info.take();
        self.info.set(info.clone());
        info
    }

    /// A transaction begins or ends in which INFO says this.
    pub fn set_info(&self, info: Option<Rc<InfoAhead>>) {
        self.info.set(info);
    }

    /// EXEC could not run yet: the queue stays.
    pub fn put_back(&self, queue: Box<Queue>) {
        *self.queue.borrow_mut() = Some(queue);
    }

    /// Runs `f` on the queue, if the client is in a transaction.
    pub fn with_queue<T>(&self, f: impl FnOnce(&Queue) -> T) -> Option<T> {
        self.queue.borrow().as_deref().map(f)
    }

    /// Runs `f` on the queue, to change it.
    pub fn with_queue_mut<T>(&self, f: impl FnOnce(&mut Queue) -> T) -> Option<T> {
        self.queue.borrow_mut().as_deref_mut().map(f)
    }

    /// Whether the client has watched something since the last transaction.
    pub fn has_watch(&self) -> bool {
        self.watch.borrow().is_some()
    }

    /// The client's watches, one for each slot.
    pub fn watches(&self) -> Vec<Rc<Watch>> {
        let newest = self.watch.borrow().clone();
        successors(newest, |watch| watch.older().cloned()).collect()
    }

    /// The watch to which the next one leads.
    pub fn newest_watch(&self) -> Option<Rc<Watch>> {
        self.watch.borrow().clone()
    }

    /// Adds a watch, which leads to the newest one so far.
    pub fn add_watch(&self, watch: Watch) {
        self.watch.replace(Some(Rc::new(watch)));
    }

    /// Removes all watches.
    pub fn clear_watches(&self) {
        self.watch.take();
    }
}
