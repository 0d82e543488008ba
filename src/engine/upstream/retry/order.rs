//! Overtaking: a worker's queries about the order of a client's commands on a slot.
//!
//! They are needed only after failures and redirects. The first query indexes the commands on all lanes ([`Streams`]). The
//! index is then kept up to date, and dropped after a while without queries; without it a request costs one branch.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::engine::client::Client;
use crate::engine::worker::Worker;

use crate::engine::upstream::inflight::InFlight;
use crate::engine::upstream::lane::Lane;
use crate::engine::upstream::retry::order_index::{Member, Seq, Streams};

/// Sweeps without a query after which the index is dropped: a second.
const SWEEPS_KEPT: u32 = 10;

/// The index of the commands on all lanes, while it is kept.
#[derive(Default)]
pub struct LaneIndex {
    is_kept: Cell<bool>,
    /// Sweeps since the last query.
    sweeps: Cell<u32>,
    streams: RefCell<Streams>,
}

impl LaneIndex {
    /// Records that `lane` has taken `entry`.
    #[inline]
    pub fn added(&self, lane: &Lane, entry: &InFlight) {
        if self.is_kept.get() {
            let mut streams = self.streams.borrow_mut();
            streams.add(lane.number, entry.client.id, entry.member());
        }
    }

    /// Records that `entry` has left `lane`.
    #[inline]
    pub fn removed(&self, lane: &Lane, entry: &InFlight) {
        if self.is_kept.get() {
            let mut streams = self.streams.borrow_mut();
            streams.remove(lane.number, entry.client.id, entry.member());
        }
    }
}

impl InFlight {
    /// Its place in its stream, if it belongs to one. A repair is not a client's command and belongs to none.
    pub fn member(&self) -> Option<Member> {
        let slot = self.slot.get().filter(|_| !self.is_repair())?;
        Some(Member {
            client: self.client.id,
            slot,
            seq: Seq(self.seq),
        })
    }
}

impl Worker {
    /// Whether an older command of the same client and slot is still in flight elsewhere: on another lane, after a slot
    /// that moved twice in a row, or waiting for its own retry.
    pub fn would_overtake(&self, entry: &InFlight, lane: &Lane) -> bool {
        self.has_retry_ahead(entry)
            || (is_pipelined(&entry.client)
                && self.query(entry, |streams, of| {
                    streams.has_older_elsewhere(of, lane.number)
                }))
    }

    /// Whether an older command of the same client and slot waits for a retry.
    pub fn has_retry_ahead(&self, entry: &InFlight) -> bool {
        let member = entry.member();
        entry.client.order.has_waiting_retries()
            && member.is_some_and(|of| self.retries.has_older(of))
    }

    /// Whether newer commands of the same client and slot are in flight. They are about to be refused as well, unless
    /// the slot returns to their node; their outcome decides about this command.
    pub(crate) fn may_be_overtaken(&self, entry: &InFlight) -> bool {
        is_pipelined(&entry.client) && self.query(entry, |streams, of| streams.has_newer(of, None))
    }

    /// Whether a newer command of the same client and slot is on another lane.
    pub fn has_newer_elsewhere(&self, entry: &InFlight, lane: &Lane) -> bool {
        self.query(entry, |streams, of| {
            streams.has_newer(of, Some(lane.number))
        })
    }

    /// Whether the same client has sent something on this slot after `entry`. Both are on one lane: the barrier keeps a
    /// client from using a slot's new lane while it has something in flight from before the change. A command without a
    /// slot may concern every key of its node.
    pub(crate) fn has_followers(&self, entry: &InFlight, lane: &Lane) -> bool {
        if entry.slot.get().is_none() {
            let streams = self.indexed_streams();
            return streams.has_client_on(entry.client.id, lane.number);
        }
        self.query(entry, |streams, of| streams.has_any_on(of, lane.number))
    }

    fn query(&self, entry: &InFlight, is_so: impl FnOnce(&Streams, Member) -> bool) -> bool {
        let member = entry.member();
        member.is_some_and(|of| is_so(&self.indexed_streams(), of))
    }

    /// The index, which is built if it is not kept.
    fn indexed_streams(&self) -> std::cell::Ref<'_, Streams> {
        let index = &self.retries.lane_index;
        index.sweeps.set(0);
        if !index.is_kept.replace(true) {
            index.streams.replace(self.index_all_lanes());
        }
        index.streams.borrow()
    }

    fn index_all_lanes(&self) -> Streams {
        let mut streams = Streams::default();
        for lane in self.lanes() {
            for entry in &*lane.entries().borrow() {
                streams.add(lane.number, entry.client.id, entry.member());
            }
        }
        streams
    }

    /// Drops the index after a while without queries.
    pub fn sweep_lane_index(&self) {
        let index = &self.retries.lane_index;
        let sweeps = index.sweeps.get() + 1;
        if index.is_kept.get() {
            index.sweeps.set(sweeps);
            if sweeps > SWEEPS_KEPT {
                index.is_kept.set(false);
                let streams = index.streams.take();
                // Every test with a redirected or waiting command runs this check.
                debug_assert!(
                    streams == self.index_all_lanes(),
                    "the index differs from the lanes"
                );
            }
        }
    }
}

fn is_pipelined(client: &Rc<Client>) -> bool {
    client.in_flight() > 1
}
