//! The exchange of one program with its nodes: a dedicated lane for each, on which it may watch keys, and steps whose
//! replies come back to the program.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::engine::client::Client;
use crate::engine::sabotage::hold_at;
use crate::engine::upstream::NodeId;
use crate::engine::upstream::inflight::{InFlight, OnReply};
use crate::engine::upstream::lane::{Lane, Link};
use crate::engine::upstream::lane_pool::LaneUse;
use crate::engine::upstream::retry::lost::{UNKNOWN_FATE, UNKNOWN_IN_TIME, unreachable};
use crate::engine::upstream::step::{Budget, Step, StepOutcome};
use crate::engine::worker::Worker;
use slotmux_core::cluster::redirect::{ErrorVerdict, judge, target};
use slotmux_core::resp::{Protocol, elements_of, write};
use slotmux_core::slot::Slot;

/// Pause before a lane is looked for again where none is free.
const LANE_PAUSE: Duration = Duration::from_millis(5);

const TIMEOUT: &str = "ERR slotmux: upstream timeout, the command was not executed";
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
    fn unknown(text: &str) -> Trouble {
        Trouble::Error(text.to_owned())
    }
}

/// The effect of a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Effect {
    /// It changes nothing that lasts.
    Read,
    /// It may change data.
    Write,
}

/// One lane of a program.
struct Held {
    lane: Rc<Lane>,
    /// The only slot that it serves, if the slots of the program are kept apart.
    slot: Option<Slot>,
    /// Whether anything was sent over it: then a new connection is another one.
    has_spoken: bool,
    /// Whether the node may be watching keys on it.
    watches: bool,
}

impl Held {
    /// Whether it is still the connection that it was.
    fn is_sound(&self, client: &Client) -> bool {
        match self.lane.link() {
            Link::Retired => false,
            Link::Up => self.lane.is_pinned_by(client),
            Link::Down(_) => !self.has_spoken,
        }
    }
}

/// Steps whose replies are awaited.
pub(super) struct Awaited {
    receivers: Vec<oneshot::Receiver<StepOutcome>>,
    lane: Rc<Lane>,
    slot: Slot,
    effect: Effect,
}

/// The outcome of a block.
#[derive(Debug)]
pub(super) enum BlockOutcome {
    /// The replies to its commands.
    Done(Vec<Vec<u8>>),
    /// A watched key has changed: nothing of it has run.
    Nil,
}

/// The exchange of one program.
pub(super) struct Talk {
    pub worker: Rc<Worker>,
    pub client: Rc<Client>,
    deadline: Instant,
    lanes: Vec<Held>,
    /// Slots for which a node has named another one for the next attempt.
    asked: Vec<(Slot, NodeId)>,
    /// The same, as far as it holds for this attempt.
    asking: Vec<(Slot, NodeId)>,
    /// Bytes that count as the client's.
    held: usize,
    /// Steps that are done.
    steps: usize,
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

    /// Begins an attempt on keys of these slots: a lane to each of their nodes.
    pub async fn begin(&mut self, slots: &[Slot]) -> Result<(), Trouble> {
        self.begin_with(slots, |_| None).await
    }

    /// The same with a lane for each slot: EXEC for one slot then leaves alone what is watched in another one.
    pub async fn begin_apart(&mut self, slots: &[Slot]) -> Result<(), Trouble> {
        self.begin_with(slots, Some).await
    }

    /// No lane is kept while another one is waited for, as two programs could wait for each other.
    async fn begin_with(
        &mut self,
        slots: &[Slot],
        only: impl Fn(Slot) -> Option<Slot>,
    ) -> Result<(), Trouble> {
        self.asking = std::mem::take(&mut self.asked);
        loop {
            let mut wanted = Vec::new();
            for &slot in slots {
                let Some(node) = self.node_of(slot) else {
                    self.worker.refresh.request();
                    return if self.has_time() {
                        Err(Trouble::Again)
                    } else {
                        Err(Trouble::Error(NO_OWNER.to_owned()))
                    };
                };
                if !wanted.contains(&(node, only(slot))) {
                    wanted.push((node, only(slot)));
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

    /// The lane for a slot.
    fn held(&mut self, slot: Slot) -> Option<&mut Held> {
        let node = self.node_of(slot)?;
        let mut lanes = self.lanes.iter_mut();
        lanes.find(|held| held.lane.node == node && held.slot.is_none_or(|only| only == slot))
    }

    fn node_of(&self, slot: Slot) -> Option<NodeId> {
        let asked = self.asking.iter().find(|(other, _)| *other == slot);
        let owner = || self.worker.map.slots.owner(slot);
        asked.map(|(_, node)| *node).or_else(owner)
    }

    /// Whether two slots are served over one lane.
    pub fn is_same_lane(&self, one: Slot, other: Slot) -> bool {
        self.node_of(one) == self.node_of(other)
    }

    /// Sends commands for one slot.
    ///
    /// # Errors
    /// The lane is not the connection any more that the program began with.
    pub fn send(
        &mut self,
        slot: Slot,
        commands: &[Vec<u8>],
        effect: Effect,
        budget: &Budget,
    ) -> Result<Awaited, Trouble> {
        let is_asking = self.asking.iter().any(|(other, _)| *other == slot);
        let client = self.client.clone();
        let held = self.held(slot).ok_or(Trouble::Again)?;
        if !held.is_sound(&client) {
            return Err(Trouble::Again);
        }
        held.has_spoken = true;
        let lane = held.lane.clone();
        let mut receivers = Vec::with_capacity(commands.len());
        let mut is_in_block = false;
        for command in commands {
            if is_asking && !is_in_block {
                let internal = Rc::new(Cell::new(usize::MAX));
                // An error of ASKING shows in the command behind it.
                drop(self.send_one(&lane, ASKING, Effect::Read, &internal));
            }
            match &command[..] {
                MULTI => is_in_block = true,
                EXEC => is_in_block = false,
                _ => {}
            }
            receivers.push(self.send_one(&lane, command, effect, budget));
        }
        Ok(Awaited {
            receivers,
            lane,
            slot,
            effect,
        })
    }

    fn send_one(
        &self,
        lane: &Rc<Lane>,
        command: &[u8],
        effect: Effect,
        budget: &Budget,
    ) -> oneshot::Receiver<StepOutcome> {
        let (step, receiver) = Step::new(budget.clone());
        let kind = OnReply::Step(step);
        let mut entry = InFlight::internal(&self.worker, &self.client, command.len(), kind);
        entry.write = effect == Effect::Write;
        lane.send(&self.worker, entry, command);
        receiver
    }

    /// The replies to the steps, none of which is a redirect or a passing refusal.
    pub async fn receive(&mut self, awaited: Awaited) -> Result<Vec<Vec<u8>>, Trouble> {
        let Awaited {
            receivers,
            lane,
            slot,
            effect,
        } = awaited;
        let mut replies = Vec::with_capacity(receivers.len());
        for receiver in receivers {
            let outcome = tokio::time::timeout_at(self.deadline, receiver).await;
            let outcome = match outcome {
                Ok(Ok(outcome)) => outcome,
                // The lane has failed, and with it the step.
                Ok(Err(_)) => StepOutcome::Lost { was_written: true },
                Err(_) => {
                    self.worker.stats.timeouts.inc();
                    let is_unknown = effect == Effect::Write && lane.link() == Link::Up;
                    let text = if is_unknown { UNKNOWN_IN_TIME } else { TIMEOUT };
                    return Err(Trouble::unknown(text));
                }
            };
            match outcome {
                StepOutcome::Reply(reply) => replies.push(reply),
                StepOutcome::TooLong => {
                    let most = self.worker.limits(&self.client).output_hard;
                    return Err(Trouble::HugeReply(most));
                }
                StepOutcome::Lost { was_written } => {
                    self.worker.refresh.request();
                    return if was_written && effect == Effect::Write {
                        Err(Trouble::unknown(UNKNOWN_FATE))
                    } else {
                        Err(Trouble::Again)
                    };
                }
            }
        }
        let mut is_refused = false;
        for reply in &replies {
            is_refused |= self.note_refusal(slot, &lane, reply);
        }
        if is_refused {
            return Err(Trouble::Again);
        }
        self.steps += 1;
        hold_at(format_args!("cross_slot-after-{}", self.steps)).await;
        Ok(replies)
    }

    /// As [`Talk::send`] and [`Talk::receive`].
    pub async fn ask(
        &mut self,
        slot: Slot,
        commands: &[Vec<u8>],
        effect: Effect,
    ) -> Result<Vec<Vec<u8>>, Trouble> {
        let budget = self.reply_budget();
        let awaited = self.send(slot, commands, effect, &budget)?;
        self.receive(awaited).await
    }

    /// Watches keys of a slot, and sends `commands` behind that. The replies are those to the commands.
    pub fn watch(
        &mut self,
        slot: Slot,
        keys: &[&[u8]],
        commands: &[Vec<u8>],
        budget: &Budget,
    ) -> Result<Awaited, Trouble> {
        let mut words: Vec<&[u8]> = vec![b"WATCH"];
        words.extend_from_slice(keys);
        let mut all = vec![request(&words)];
        all.extend_from_slice(commands);
        let mut unwatch = None;
        if let Some(held) = self.held(slot)
            && std::mem::replace(&mut held.watches, true)
            && held.lane.is_idle()
        {
            // Left by an attempt before.
            unwatch = Some(request(&[b"UNWATCH"]));
        }
        if let Some(unwatch) = unwatch {
            let internal = Rc::new(Cell::new(usize::MAX));
            drop(self.send(slot, &[unwatch], Effect::Read, &internal)?);
        }
        self.send(slot, &all, Effect::Read, budget)
    }

    /// The replies to the commands behind a WATCH.
    pub async fn receive_watched(&mut self, awaited: Awaited) -> Result<Vec<Vec<u8>>, Trouble> {
        let mut replies = self.receive(awaited).await?;
        let watch = replies.remove(0);
        if watch.starts_with(b"-") {
            return Err(Trouble::Reply(watch));
        }
        Ok(replies)
    }

    /// Runs commands between MULTI and EXEC.
    pub async fn block(
        &mut self,
        slot: Slot,
        commands: Vec<Vec<u8>>,
        effect: Effect,
    ) -> Result<BlockOutcome, Trouble> {
        let budget = self.reply_budget();
        let awaited = self.send_block(slot, commands, effect, &budget)?;
        self.receive_block(awaited).await
    }

    /// Sends commands between MULTI and EXEC.
    pub fn send_block(
        &mut self,
        slot: Slot,
        commands: Vec<Vec<u8>>,
        effect: Effect,
        budget: &Budget,
    ) -> Result<Awaited, Trouble> {
        let mut block = vec![MULTI.to_vec()];
        block.extend(commands);
        block.push(EXEC.to_vec());
        self.send(slot, &block, effect, budget)
    }

    /// The outcome of a block.
    pub async fn receive_block(&mut self, awaited: Awaited) -> Result<BlockOutcome, Trouble> {
        let lane = awaited.lane.clone();
        let mut replies = self.receive(awaited).await?;
        let exec = replies.pop().unwrap_or_default();
        // EXEC ends the watch, whatever it answers.
        let lanes = self.lanes.iter_mut();
        lanes
            .filter(|held| Rc::ptr_eq(&held.lane, &lane))
            .for_each(|held| held.watches = false);
        if let Some(refusal) = replies.into_iter().find(|reply| reply.starts_with(b"-")) {
            return Err(Trouble::Reply(refusal));
        }
        if exec.starts_with(b"-") {
            return Err(Trouble::Reply(exec));
        }
        Ok(match elements_of(&exec) {
            Some(elements) => {
                BlockOutcome::Done(elements.into_iter().map(<[u8]>::to_vec).collect())
            }
            None => BlockOutcome::Nil,
        })
    }

    /// Notes what a refusal says of the slot. False: it is none, and belongs to the client.
    fn note_refusal(&mut self, slot: Slot, lane: &Lane, reply: &[u8]) -> bool {
        let Some(error) = reply.strip_prefix(b"-") else {
            return false;
        };
        let reason = error
            .strip_prefix(b"EXECABORT Transaction discarded because of: ")
            .unwrap_or(error);
        let worker = &self.worker;
        match judge(reason) {
            ErrorVerdict::Deliver => return false,
            ErrorVerdict::Moved {
                slot: named,
                host,
                port,
            } => {
                if let Some(addr) = target(host, port, &lane.addr) {
                    let node = worker.node_at(worker.map.reachable(addr));
                    worker.set_owner(Slot(named), node);
                }
                worker.stats.moved.inc();
            }
            ErrorVerdict::Ask { host, port, .. } => {
                if let Some(addr) = target(host, port, &lane.addr) {
                    let node = worker.node_at(worker.map.reachable(addr));
                    self.asked.push((slot, node));
                }
                worker.stats.ask.inc();
                return true;
            }
            _ => {}
        }
        worker.refresh.request();
        true
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

pub(super) const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
pub(super) const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";
const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";

/// A command.
pub(super) fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write::request(&mut bytes, words);
    bytes
}
