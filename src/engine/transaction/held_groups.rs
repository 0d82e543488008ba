//! The order in which the groups of a watched transaction over several slots are sent.
//!
//! First come the watched groups that only read, together; then each watched group that writes, alone; then the others. A
//! failure of a watched group ends the transaction: before any write has run, as in one slot; later, the groups that were
//! not sent have an error that says so.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::engine::client::Client;
use crate::engine::transaction::exec_reply::Exec;
use crate::engine::transaction::watch::{Pinned, Watch};
use crate::engine::upstream::inflight::InFlight;
use crate::engine::worker::Worker;
use slotmux_core::resp::write;

/// For a group that was not sent.
const NOT_EXECUTED: &[u8] =
    b"-EXECABORT slotmux: not executed, because a watched key of another slot changed, \
or its node failed, after commands of this transaction had run\r\n";
/// For a watched group that did not run.
const CHANGED: &[u8] = b"-EXECABORT slotmux: not executed, because a watched key of its slot changed after commands of \
other slots had run\r\n";

/// A group that waits for the groups before it.
pub struct HeldGroup {
    /// Its index.
    number: u32,
    entry: InFlight,
    bytes: Vec<u8>,
    /// The watch of its slot.
    watch: Option<Rc<Watch>>,
}

impl HeldGroup {
    /// A block to be sent over the lane of its watch, if it has one.
    pub fn new(
        number: u32,
        entry: InFlight,
        bytes: Vec<u8>,
        watch: Option<Rc<Watch>>,
    ) -> HeldGroup {
        HeldGroup {
            number,
            entry,
            bytes,
            watch,
        }
    }
}

impl Exec {
    /// Sends these groups, in their order, and answers.
    pub(super) fn start(self: &Rc<Self>, worker: &Rc<Worker>, groups: VecDeque<HeldGroup>) {
        self.held.replace(groups);
        self.go_on(worker);
        if self.missing.get() == 0 {
            self.answer(worker);
        }
    }

    /// Sends the next groups once all that were sent are answered, or ends the transaction.
    pub(super) fn go_on(self: &Rc<Self>, worker: &Rc<Worker>) {
        while self.has_watched() && self.missing.get() == self.held.borrow().len() {
            let sent = self.targets.len() - self.missing.get();
            let mut watched = (0..sent as u32).take_while(|&group| self.is_watched(group));
            if let Some(group) = watched.find(|&group| self.has_failed(group)) {
                return self.give_up(worker, group);
            }
            if self.held.borrow().is_empty() {
                return;
            }
            self.send_next(worker);
        }
    }

    /// Sends the watched groups that only read, one that writes, or all that is left.
    fn send_next(self: &Rc<Self>, worker: &Rc<Worker>) {
        let mut held = self.held.borrow_mut();
        let reads = held
            .iter()
            .take_while(|group| self.only_reads(group.number));
        let count = match held.front() {
            Some(front) if self.only_reads(front.number) => reads.count(),
            Some(front) if self.is_watched(front.number) => 1,
            _ => held.len(),
        };
        let next: Vec<HeldGroup> = held.drain(..count).collect();
        drop(held);
        for group in next {
            self.send_group(worker, group);
        }
    }

    fn send_group(self: &Rc<Self>, worker: &Rc<Worker>, group: HeldGroup) {
        let client = &self.whole.client;
        let HeldGroup {
            number,
            entry,
            bytes,
            watch,
        } = group;
        match watch {
            Some(watch) if watch.is_intact(client) => {
                Pinned::to(&watch).send(worker, client, entry, bytes);
                watch.end(worker, client);
            }
            Some(watch) => {
                watch.end(worker, client);
                self.fail(worker, number, &nil(client));
                self.missing.set(self.missing.get().saturating_sub(1));
            }
            None => worker.send_again(entry, bytes),
        }
    }

    /// A watched group has failed: nothing more is sent.
    fn give_up(&self, worker: &Worker, failed: u32) {
        let client = &self.whole.client;
        if failed <= self.mode.watched_reads {
            self.is_void.set(true);
        } else if !self.has_error(failed) {
            self.fail(worker, failed, CHANGED);
            self.note_own_error(failed);
        }
        for group in self.held.take() {
            if let Some(watch) = &group.watch {
                watch.end(worker, client);
            }
            self.fail(worker, group.number, NOT_EXECUTED);
            self.note_own_error(group.number);
        }
        self.missing.set(0);
    }

    /// Whether a group is watched and writes nothing.
    fn only_reads(&self, group: u32) -> bool {
        group < self.mode.watched_reads
    }
}

/// EXEC's reply if a watched key has changed.
fn nil(client: &Client) -> Vec<u8> {
    let mut nil = Vec::new();
    write::null_array(&mut nil, client.session.protocol());
    nil
}
