//! The exchange of one program with its nodes: its lanes, one for each node or slot, its time, and the keys that have moved
//! ahead of their slots. `exchange.rs` sends steps over the lanes.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::client::Client;
use crate::engine::upstream::NodeId;
use crate::engine::upstream::inflight::{InFlight, OnReply};
use crate::engine::upstream::lane::{Lane, Link};
use crate::engine::upstream::lane_pool::LaneUse;
use crate::engine::upstream::retry::lost::unreachable;
use crate::engine::upstream::step::{Budget, Step};
use crate::engine::worker::Worker;
use slotmux_core::resp::Protocol;
use slotmux_core::slot::{Slot, slot_of};

use super::exchange::request;

/// Pause before a lane is looked for again where none is free.
const LANE_PAUSE: Duration = Duration::from_millis(5);

const NO_OWNER: &str = "CLUSTERDOWN slotmux: not executed, a slot of the command has no node";

/// Why a program has no result.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It has to start over.
    Again,
    /// The client gets this error reply of a node.
    Reply(Vec<u8>),
    /// The client gets this error.
    Error(String),
    /// Its reply has more than this many bytes, which is above the client's limit.
    HugeReply(usize),
}

impl Trouble {
    /// Connection or time was lost after a write may have run.
    pub fn unknown(text: &str) -> Trouble {
        Trouble::Error(text.to_owned())
    }
}

/// One lane of a program.
pub(super) struct Held {
    pub lane: Rc<Lane>,
    /// The only slot that it serves, if the slots of the program are kept apart.
    pub slot: Option<Slot>,
    /// Whether anything was sent over it: then a new connection is another one.
    pub has_spoken: bool,
    /// Whether the node may be watching keys on it.
    pub watches: bool,
}

impl Held {
    /// Whether it is still the connection that it was.
    pub fn is_sound(&self, client: &Client) -> bool {
        match self.lane.link() {
            Link::Retired => false,
            Link::Up => self.lane.is_pinned_by(client),
            Link::Down(_) => !self.has_spoken,
        }
    }
}

/// The exchange of one program.
pub(super) struct Talk {
    pub worker: Rc<Worker>,
    pub client: Rc<Client>,
    pub deadline: Instant,
    pub lanes: Vec<Held>,
    /// Keys that have moved ahead of their slots, and the nodes that have them: for the next attempt.
    pub asked: Vec<(Vec<u8>, NodeId)>,
    /// The same for this attempt.
    pub asking: Vec<(Vec<u8>, NodeId)>,
    /// Bytes that count as the client's.
    held: usize,
    /// Whether the time ended while there was no connection to a node.
    pub is_cut_off: bool,
    /// Steps that are done.
    pub steps: usize,
}

impl Talk {
    pub fn new(worker: &Rc<Worker>, entry: &InFlight) -> Talk {
        let passed = worker.clock.now().since(entry.arrived);
        let left = worker.timeouts.command.saturating_sub(passed);
        Talk {
            worker: worker.clone(),
            client: entry.client.clone(),
            deadline: Instant::now() + Duration::from_millis(left),
            lanes: Vec::new(),
            asked: Vec::new(),
            asking: Vec::new(),
            held: 0,
            is_cut_off: false,
            steps: 0,
        }
    }

    pub fn protocol(&self) -> Protocol {
        self.client.session.protocol()
    }

    pub fn has_time(&self) -> bool {
        Instant::now() < self.deadline
    }

    /// Gives the program the time of one more command: it has done something that it must not leave half done.
    pub fn extend(&mut self) {
        let more = Duration::from_millis(self.worker.timeouts.command);
        self.deadline = self.deadline.max(Instant::now() + more);
    }

    /// Bytes that the program keeps count as the client's.
    pub fn hold(&mut self, bytes: usize) {
        self.client.change_gathered(&self.worker, self.held, bytes);
        self.held = bytes;
    }

    /// A budget for replies of any size that the client may get.
    pub fn reply_budget(&self) -> Budget {
        Rc::new(Cell::new(self.worker.limits(&self.client).output_hard))
    }

    /// Begins an attempt on these keys: a lane to each of their nodes.
    pub async fn begin(&mut self, keys: &[&[u8]]) -> Result<(), Trouble> {
        self.begin_with(keys, |_| None).await
    }

    /// The same with a lane for each slot: EXEC for one slot then keeps the watches of another one.
    pub async fn begin_apart(&mut self, keys: &[&[u8]]) -> Result<(), Trouble> {
        self.begin_with(keys, Some).await
    }

    /// No lane is kept while another one is waited for, as two programs could wait for each other.
    async fn begin_with(
        &mut self,
        keys: &[&[u8]],
        only: impl Fn(Slot) -> Option<Slot>,
    ) -> Result<(), Trouble> {
        self.asking = std::mem::take(&mut self.asked);
        loop {
            let mut wanted = Vec::new();
            for &key in keys {
                let Some(node) = self.node_of(key) else {
                    self.worker.refresh.request();
                    return if self.has_time() {
                        Err(Trouble::Again)
                    } else {
                        Err(Trouble::Error(NO_OWNER.to_owned()))
                    };
                };
                let lane = (node, only(slot_of(key)));
                if !wanted.contains(&lane) {
                    wanted.push(lane);
                }
            }
            if self.claim_lanes(&wanted) {
                break;
            }
            if !self.has_time() {
                let text = LaneUse::BlockOrWatch.refusal();
                return Err(Trouble::Error(text.to_owned()));
            }
            tokio::time::sleep(LANE_PAUSE).await;
        }
        for held in &self.lanes {
            if held.lane.is_unavailable(&self.worker) {
                return Err(Trouble::Error(unreachable(&self.worker, &held.lane)));
            }
            if let Some(text) = self.worker.check_transactions(held.lane.node) {
                return Err(Trouble::Error(text));
            }
        }
        Ok(())
    }

    /// Takes the wanted lanes, and keeps those that it has. False, and no lane at all, if one is missing.
    fn claim_lanes(&mut self, wanted: &[(NodeId, Option<Slot>)]) -> bool {
        let (worker, client) = (&self.worker, &self.client);
        let protocol = client.session.protocol();
        let (kept, others): (Vec<Held>, Vec<Held>) = self.lanes.drain(..).partition(|held| {
            wanted.contains(&(held.lane.node, held.slot))
                && held.is_sound(client)
                && held.lane.is_idle()
                && held.lane.protocol == protocol
        });
        for held in others {
            give_back(worker, client, &held);
        }
        self.lanes = kept;
        for held in &mut self.lanes {
            if std::mem::take(&mut held.watches) {
                // Left by the attempt before.
                let internal = Rc::new(Cell::new(usize::MAX));
                let unwatch = request(&[b"UNWATCH"]);
                let kind = OnReply::Step(Step::new(internal).0);
                let entry = InFlight::internal(worker, client, unwatch.len(), kind);
                held.lane.send_owned(worker, entry, unwatch);
            }
        }
        for &(node, slot) in wanted {
            let is_it = |held: &Held| held.lane.node == node && held.slot == slot;
            if self.lanes.iter().any(is_it) {
                continue;
            }
            let Some(lane) = worker.free_lane(node, client, LaneUse::BlockOrWatch) else {
                self.end();
                return false;
            };
            lane.pin(client);
            self.lanes.push(Held {
                lane,
                slot,
                has_spoken: false,
                watches: false,
            });
        }
        true
    }

    /// The node that has a key, as far as is known.
    fn node_of(&self, key: &[u8]) -> Option<NodeId> {
        let asked = self.asking.iter().find(|(other, _)| other == key);
        let owner = || self.worker.map.slots.owner(slot_of(key));
        asked.map(|(_, node)| *node).or_else(owner)
    }

    /// The lane for a key.
    pub fn held(&mut self, key: &[u8]) -> Option<&mut Held> {
        let (node, slot) = (self.node_of(key)?, slot_of(key));
        let mut lanes = self.lanes.iter_mut();
        lanes.find(|held| held.lane.node == node && held.slot.is_none_or(|only| only == slot))
    }

    /// Whether keys are watched on the lane of this key.
    pub fn watches_beside(&mut self, key: &[u8]) -> bool {
        self.held(key).is_some_and(|held| held.watches)
    }

    /// Gives all lanes back.
    pub fn end(&mut self) {
        for held in std::mem::take(&mut self.lanes) {
            give_back(&self.worker, &self.client, &held);
        }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.end();
        self.hold(0);
    }
}

/// Gives a lane back to the pool, or closes it if it is of no more use.
fn give_back(worker: &Rc<Worker>, client: &Rc<Client>, held: &Held) {
    let lane = &held.lane;
    if lane.link() == Link::Retired {
        return;
    }
    if !lane.is_idle() || lane.link() != Link::Up || !lane.is_pinned_by(client) {
        worker.abandon_lane(lane);
    } else if held.watches {
        lane.unwatch(worker, client);
    } else {
        lane.unpin(worker);
    }
}
