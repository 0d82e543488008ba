//! The reply of EXEC: collected from the blocks of its transaction, and put together in the client's order.
//!
//! Replies to the expiries of policies, for which the client did not ask, are dropped here. The collected replies count
//! against the client's output limit.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::rc::Rc;

use crate::engine::client::local_answers::answer_into;
use crate::engine::client::long_request::{COPIED_BYTES, SLICE};
use crate::engine::stats::namespaces::CountedRequest;
use crate::engine::worker::Worker;
use slotmux_core::answer::FiguresOnce;
use slotmux_core::policy::ReplyConversion;
use slotmux_core::resp::request::Request;
use slotmux_core::resp::{Limits, scan_request, write};
use slotmux_core::route::merge::merged;
use slotmux_core::route::merge::parameters;
use slotmux_core::route::transaction::{ElementSource, ExecElement};

use crate::engine::transaction::held_groups::HeldGroup;
use crate::engine::upstream::deliver::ok_as_integer;
use crate::engine::upstream::inflight::InFlight;

/// One transaction that was sent, in one or more groups of commands, each to one slot.
pub struct Exec {
    /// The EXEC.
    pub(super) whole: InFlight,
    /// The elements of its reply.
    elements: Vec<ExecElement>,
    /// How it runs.
    pub(super) mode: ExecMode,
    /// For each group and each of its commands, the cell for its reply; `None` if the client did not ask for it.
    pub(super) targets: Vec<Vec<Option<u32>>>,
    cells: RefCell<Vec<Vec<u8>>>,
    /// For each cell the failed group whose error stands for it; empty if no group failed.
    failed: RefCell<Vec<Option<FailedGroup>>>,
    groups: RefCell<Vec<GroupProgress>>,
    pub(super) missing: Cell<usize>,
    /// The groups that are not sent yet.
    pub(super) held: RefCell<VecDeque<HeldGroup>>,
    /// Whether a watched group failed before any command ran: its error is the whole reply.
    pub(super) is_void: Cell<bool>,
    is_answered: Cell<bool>,
    bytes: Cell<usize>,
    /// Bytes that it counts for besides the replies.
    reserved: Cell<usize>,
}

/// Bytes for a reply that is awaited: its cell, its target, and its group should that fail.
const CELL: usize =
    size_of::<Vec<u8>>() + size_of::<Option<u32>>() + size_of::<Option<FailedGroup>>();

/// Elements that are joined in one turn.
const ELEMENTS: usize = 2 * SLICE;

/// A failed group, by its number and one. `None` takes no memory beside it.
#[derive(Clone, Copy)]
struct FailedGroup(NonZeroU32);

impl FailedGroup {
    fn new(group: u32) -> Option<FailedGroup> {
        group
            .checked_add(1)
            .and_then(NonZeroU32::new)
            .map(FailedGroup)
    }

    fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// How a transaction runs.
#[derive(Clone, Copy, Debug)]
pub struct ExecMode {
    /// In several groups: one of them may fail alone.
    pub is_split: bool,
    /// Number of groups, at the front, that run only if no watched key has changed.
    pub watched: u32,
    /// Number of these, at the front, that only read.
    pub watched_reads: u32,
    /// With commands that name scripts by their SHA1.
    pub names_scripts: bool,
}

/// Progress of one group.
#[derive(Clone, Default)]
struct GroupProgress {
    /// Whether a reply has come in part.
    is_open: bool,
    /// Whether the reply that is coming is kept in its cell.
    is_kept: bool,
    /// Whether it is sent again: earlier replies are void.
    is_stale: bool,
    /// The error if nothing of it ran, or its fate is unknown.
    error: Option<Vec<u8>>,
    /// Whether that is an error of slotmux' own.
    is_own_error: bool,
}

impl Exec {
    /// A transaction with these groups, by their `targets`, and `cells` replies that are wanted. `local_bytes` of its reply
    /// are known already, and count for the client.
    pub fn new(
        whole: InFlight,
        elements: Vec<ExecElement>,
        local_bytes: usize,
        targets: Vec<Vec<Option<u32>>>,
        cells: u32,
        mode: ExecMode,
    ) -> Exec {
        Exec {
            whole,
            elements,
            mode,
            cells: RefCell::new(vec![Vec::new(); cells as usize]),
            failed: RefCell::default(),
            groups: RefCell::new(vec![GroupProgress::default(); targets.len()]),
            missing: Cell::new(targets.len()),
            held: RefCell::default(),
            is_void: Cell::new(false),
            is_answered: Cell::new(false),
            targets,
            bytes: Cell::new(local_bytes),
            reserved: Cell::new(0),
        }
    }

    /// Counts the memory that waits for the replies against its client's budget, until it is answered.
    pub fn count_waiting(&self, worker: &Worker) {
        let cells = self.cells.borrow().len();
        let bytes = self.elements.len() * size_of::<ExecElement>() + cells * CELL;
        self.reserved.set(bytes);
        self.whole.client.change_reserved(worker, 0, bytes);
    }

    /// Takes bytes of the reply to command `at` of a group; `complete` with the last of them.
    pub fn take(&self, worker: &Worker, group: u32, at: u32, bytes: &[u8], complete: bool) {
        self.renew(worker, group);
        let target = self.targets[group as usize][at as usize];
        let mut groups = self.groups.borrow_mut();
        let state = &mut groups[group as usize];
        let is_first = !std::mem::replace(&mut state.is_open, !complete);
        let failed = is_first && bytes.first() == Some(&b'-');
        let Some(cell) = target else {
            worker.stats.expiries_failed.add(u64::from(failed));
            return;
        };
        if self.whole.client.is_closed() {
            return;
        }
        if is_first {
            // Several commands may stand for one of the client's: the first error counts, or else the first reply.
            let before = &mut self.cells.borrow_mut()[cell as usize];
            state.is_kept = before.is_empty() || (failed && before[0] != b'-');
            if state.is_kept {
                let gone = std::mem::take(before).len();
                self.count(worker, gone, 0);
            }
        }
        if state.is_kept {
            self.cells.borrow_mut()[cell as usize].extend_from_slice(bytes);
            self.count(worker, 0, bytes.len());
        }
    }

    /// Takes the one reply of a group: that of its only command, or the error for the whole group.
    pub fn settle(self: &Rc<Self>, worker: &Rc<Worker>, group: u32, reply: &[u8]) {
        let is_open = self.groups.borrow()[group as usize].is_open;
        if !is_open && reply.first() == Some(&b'-') {
            self.fail(worker, group, reply);
        } else if !reply.is_empty() {
            self.take(worker, group, 0, reply, true);
        } else if self.is_watched(group) {
            // Its client has left, and its lane was given up: it may not have run.
            self.fail(worker, group, reply);
        }
        self.done(worker);
    }

    /// The error that a group is about to be answered with is slotmux' own.
    pub fn note_own_error(&self, group: u32) {
        self.groups.borrow_mut()[group as usize].is_own_error = true;
    }

    /// Takes a reply to the EXEC of a group that is not an array.
    pub fn replace(self: &Rc<Self>, worker: &Rc<Worker>, group: u32, reply: &[u8]) {
        self.fail(worker, group, reply);
        self.done(worker);
    }

    /// Whether a group has failed.
    pub(super) fn has_failed(&self, group: u32) -> bool {
        self.groups.borrow()[group as usize].error.is_some()
    }

    /// Whether a group has failed with an error, not with nil.
    pub(super) fn has_error(&self, group: u32) -> bool {
        let groups = self.groups.borrow();
        let error = groups[group as usize].error.as_ref();
        error.is_some_and(|error| error.first() == Some(&b'-'))
    }

    /// Keeps the error of a group once, for all of its cells. If the client has left, only the failure is kept: it decides
    /// about the groups that are not sent yet.
    pub(super) fn fail(&self, worker: &Worker, group: u32, error: &[u8]) {
        let is_closed = self.whole.client.is_closed();
        let kept = if is_closed { &[][..] } else { error };
        self.groups.borrow_mut()[group as usize].error = Some(kept.to_vec());
        if !is_closed {
            self.count(worker, 0, kept.len());
        }
    }

    /// Whether any group runs only if no watched key has changed.
    pub(super) fn has_watched(&self) -> bool {
        self.mode.watched > 0
    }

    /// Whether a group runs only if no watched key has changed.
    pub fn is_watched(&self, group: u32) -> bool {
        group < self.mode.watched
    }

    /// Whether commands of it name scripts by their SHA1.
    pub fn names_scripts(&self) -> bool {
        self.mode.names_scripts
    }

    /// A group is answered. The last one of all sends the reply.
    pub fn done(self: &Rc<Self>, worker: &Rc<Worker>) {
        self.missing.set(self.missing.get().saturating_sub(1));
        self.go_on(worker);
        if self.missing.get() == 0 {
            self.answer(worker);
        }
    }

    /// Sends the reply. For a transaction of which nothing was sent, at once.
    pub fn answer(self: &Rc<Self>, worker: &Rc<Worker>) {
        // A group that can't be sent is answered while the group before it is settled.
        if self.is_answered.replace(true) {
            return;
        }
        let client = &self.whole.client;
        let mut reply = worker.scratch.buffers.take();
        if !client.is_closed() && self.begin(worker, &mut reply) {
            if self.is_long() {
                return self.answer_in_slices(worker, reply);
            }
            let process = FiguresOnce::new(&*worker.shared);
            for element in &self.elements {
                self.write(worker, element, &process, &mut reply);
            }
        }
        self.finish(worker, reply);
    }

    /// Whether building its reply takes more than one turn.
    fn is_long(&self) -> bool {
        let groups = self.groups.borrow();
        let errors = groups.iter().filter_map(|group| group.error.as_ref());
        let longest = errors.map(Vec::len).max().unwrap_or(0);
        self.elements.len() > ELEMENTS
            || self.bytes.get() > COPIED_BYTES
            || self.elements.len().saturating_mul(longest) > COPIED_BYTES
    }

    /// Builds a long reply, some elements in each turn. Its place among the replies is reserved already.
    fn answer_in_slices(self: &Rc<Self>, worker: &Rc<Worker>, mut reply: Vec<u8>) {
        let (exec, host) = (self.clone(), worker.clone());
        let answering = async move {
            let client = &exec.whole.client;
            let mut rest = &exec.elements[..];
            while !rest.is_empty() {
                tokio::task::yield_now().await;
                while !host.turn.claim_slice() {
                    tokio::task::yield_now().await;
                }
                let process = FiguresOnce::new(&*host.shared);
                let (before, mut gone) = (reply.len(), 0);
                let mut done = 0;
                while done < rest.len().min(ELEMENTS) && reply.len() - before <= COPIED_BYTES {
                    let element = &rest[done];
                    done += 1;
                    gone += exec.held(element);
                    if client.is_closed() {
                        break;
                    }
                    exec.write(&host, element, &process, &mut reply);
                }
                rest = if client.is_closed() {
                    &[]
                } else {
                    &rest[done..]
                };
                exec.count(&host, gone, reply.len() - before);
                host.keep_within_memory();
            }
            exec.finish(&host, reply);
        };
        let exec = self.clone();
        worker.spawn("the reply to a long EXEC", answering, move |worker| {
            exec.whole.client.close(worker);
            exec.count_no_more(worker);
        });
    }

    /// Ends what it counts for.
    fn count_no_more(&self, worker: &Worker) {
        let client = &self.whole.client;
        client.change_reserved(worker, self.reserved.take(), 0);
        client.change_gathered(worker, self.bytes.take(), 0);
    }

    /// Bytes held for an element, which are freed once it is written.
    fn held(&self, element: &ExecElement) -> usize {
        match element.source {
            ElementSource::Part(cell) => self.cells.borrow()[cell as usize].len(),
            _ => 0,
        }
    }

    /// Sends the complete reply.
    fn finish(&self, worker: &Worker, mut reply: Vec<u8>) {
        let client = &self.whole.client;
        if self.whole.mute || client.is_closed() {
            reply.clear();
        }
        self.cells.borrow_mut().clear();
        self.failed.take();
        self.count_no_more(worker);
        client.transaction.set_info(None);
        client.reply(worker, self.whole.seq, &reply);
        // Many of them may come in one turn.
        client.charge_buffers(worker);
        worker.keep_within_memory();
        worker.scratch.buffers.give(reply);
    }

    /// A group is sent again.
    pub fn restart(&self, group: u32) {
        self.groups.borrow_mut()[group as usize].is_stale = true;
    }

    /// Voids the replies of a group.
    pub fn forget(&self, worker: &Worker, group: u32) {
        self.restart(group);
        self.renew(worker, group);
    }

    fn renew(&self, worker: &Worker, group: u32) {
        let mut groups = self.groups.borrow_mut();
        let state = &mut groups[group as usize];
        if !std::mem::take(&mut state.is_stale) {
            return;
        }
        state.is_open = false;
        let mut cells = self.cells.borrow_mut();
        for cell in self.targets[group as usize].iter().flatten() {
            let gone = std::mem::take(&mut cells[*cell as usize]).len();
            self.count(worker, gone, 0);
        }
    }

    /// Counts the collected bytes. A client whose output limit they exceed is closed.
    fn count(&self, worker: &Worker, gone: usize, new: usize) {
        let client = &self.whole.client;
        self.bytes
            .set((self.bytes.get() + new).saturating_sub(gone));
        let collected = client.change_gathered(worker, gone, new);
        if collected > worker.limits(client).output_hard {
            client.close_for_reply(worker, collected);
        }
    }

    /// Begins the array of its reply. False if the reply is an error instead.
    fn begin(&self, worker: &Worker, out: &mut Vec<u8>) -> bool {
        let groups = self.groups.borrow();
        let mut failed = false;
        for ((number, group), targets) in (0..).zip(groups.iter()).zip(&self.targets) {
            let Some(error) = &group.error else {
                continue;
            };
            if !self.mode.is_split || self.is_void.get() {
                let failed = error.first() == Some(&b'-');
                worker.stats.transactions_failed.add(failed.into());
                out.extend_from_slice(error);
                return false;
            }
            // The error of a node about the only command of its group is an ordinary element.
            failed |= targets.len() > 1 || group.is_own_error;
            let mut groups_of = self.failed.borrow_mut();
            groups_of.resize(self.cells.borrow().len(), None);
            for cell in targets.iter().flatten() {
                groups_of[*cell as usize] = FailedGroup::new(number);
            }
        }
        worker.stats.transactions_split_failed.add(failed.into());
        write::array(out, self.elements.len());
        true
    }

    /// Appends one element of the reply.
    fn write(
        &self,
        worker: &Worker,
        element: &ExecElement,
        process: &FiguresOnce,
        out: &mut Vec<u8>,
    ) {
        let start = out.len();
        let groups = self.groups.borrow();
        let error_of = |cell: u32| {
            let group = (*self.failed.borrow().get(cell as usize)?)?;
            groups.get(group.index())?.error.as_deref()
        };
        match &element.source {
            ElementSource::Known(bytes) => return out.extend_from_slice(bytes),
            // It was answered, or deferred to `OwnLater`, before the reply is put together.
            ElementSource::Own => return,
            ElementSource::OwnLater(bytes) => {
                return self.answer_deferred(worker, bytes, process, out);
            }
            ElementSource::Part(cell) => {
                let cells = &mut self.cells.borrow_mut();
                let reply = std::mem::take(&mut cells[*cell as usize]);
                let reply = error_of(*cell).unwrap_or(&reply);
                out.extend_from_slice(match element.reply {
                    ReplyConversion::OkAsInteger => ok_as_integer(reply),
                    ReplyConversion::AsIs
                    | ReplyConversion::Found
                    | ReplyConversion::Repeated
                    | ReplyConversion::CaughtUp => reply,
                });
            }
            ElementSource::Parameters(cell, request) => {
                let mut own = Vec::new();
                self.answer_deferred(worker, request, process, &mut own);
                let cells = self.cells.borrow();
                let node = error_of(*cell).unwrap_or(&cells[*cell as usize]);
                parameters::merged(&own, node, worker.administers(), out);
            }
            ElementSource::Parts {
                first,
                count,
                merge,
                order,
            } => {
                let parts = *first as usize..(first + count) as usize;
                let mut cells = self.cells.borrow_mut();
                for cell in *first..first + count {
                    // The parts of a command are in groups of their own: each error is here once.
                    if let Some(error) = error_of(cell) {
                        cells[cell as usize] = error.to_vec();
                    }
                }
                merged(&cells[parts.clone()], *merge, order, element.write, out);
                // Their bytes stay counted until the reply is whole.
                cells[parts].fill_with(Vec::new);
            }
        }
        let asked = CountedRequest {
            namespace: element.namespace,
            arrived: self.whole.arrived,
            reply: element.reply,
        };
        worker.count_reply(asked, &out[start..], true);
    }

    /// Appends slotmux' own reply to a request, now that the transaction has run.
    fn answer_deferred(
        &self,
        worker: &Worker,
        bytes: &[u8],
        process: &FiguresOnce,
        out: &mut Vec<u8>,
    ) {
        let client = &self.whole.client;
        if client.is_closed() {
            return;
        }
        let mut args = Vec::new();
        // It was scanned on arrival, so this cannot fail.
        let _ = scan_request(bytes, &Limits::ACCEPTED, &mut args);
        let tracked = client.tracks();
        let request = Request { bytes, args: &args };
        answer_into(worker, client, &request, process, out);
        if out.len() > worker.limits(client).output_hard {
            return client.close_for_reply(worker, out.len());
        }
        if !tracked {
            // Reads after a CLIENT TRACKING in the transaction were sent before tracking was on.
            client.forget_behind(worker, self.whole.seq);
        }
    }
}
