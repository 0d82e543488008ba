//! Unanswered commands as they are taken off a lane, with what is known of their fate, to be put back or sent elsewhere.

use std::rc::Rc;

use crate::engine::worker::Worker;

use crate::engine::upstream::inflight::{InFlight, OnReply};
use crate::engine::upstream::lane::Lane;
use crate::engine::upstream::ring::Ring;

/// Sent ahead of a command that follows an ASK; it covers just that command.
const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";

/// A command that was taken off its lane unanswered.
pub struct Unanswered {
    /// The command.
    pub entry: InFlight,
    /// Its bytes; empty where they are not certain, as they do not match the entries of the lane.
    pub request: Vec<u8>,
    /// Whether enough of it was handed to the kernel for it to have run.
    pub was_written: bool,
    /// Whether it followed an ASK: it belongs to this node, independently of the map.
    pub asking: bool,
}

impl Lane {
    /// Puts a command back that was taken out, behind its `ASKING` if it had one.
    pub(crate) fn put_back(self: &Rc<Self>, worker: &Worker, taken: Unanswered) {
        self.prepare_blocking(worker, &taken.entry);
        self.send_scripts_ahead(worker, &taken.entry, &taken.request);
        if taken.asking {
            self.send_asking(worker, &taken.entry);
        }
        self.send_owned(worker, taken.entry, taken.request);
    }

    /// Sends `ASKING` for `entry`, which has to follow at once.
    pub fn send_asking(self: &Rc<Self>, worker: &Worker, entry: &InFlight) {
        let asking = InFlight {
            len: ASKING.len() as u32,
            kind: OnReply::Asking,
            ..entry.clone()
        };
        self.send(worker, asking, ASKING);
    }

    /// Takes out everything that is not answered, oldest first, with what is known of its fate.
    pub(crate) fn take_unanswered(&self, worker: &Worker) -> Vec<Unanswered> {
        let is_shifted = !self.is_consistent();
        self.forget_ping();
        self.forget_tracking();
        self.id.take();
        let mut ring = self.ring().borrow_mut();
        let entries = std::mem::take(&mut *self.entries().borrow_mut());
        let mut unanswered = Vec::with_capacity(entries.len());
        let mut asking = false;
        for entry in entries {
            worker.retries.lane_index.removed(self, &entry);
            let len = entry.len as usize;
            let was_written = ring.front_is_written(entry.runs_at());
            if entry.is_asking() {
                asking = true;
            } else {
                entry.restart();
                if let OnReply::Step(step) = &entry.kind {
                    step.lose(was_written);
                }
                let request = match is_shifted {
                    true => Vec::new(),
                    false => ring.front(len).to_vec(),
                };
                if is_shifted {
                    entry.client.forget_behind(worker, entry.seq);
                } else if entry.client.tracks() {
                    entry.client.untrack(worker, &entry, &request);
                }
                unanswered.push(Unanswered {
                    entry,
                    request,
                    was_written,
                    asking,
                });
                asking = false;
            }
            ring.answer(len);
        }
        *ring = Ring::default();
        unanswered
    }
}
