//! Steps of a program: commands on a key, alone, behind a WATCH or as a block, and their replies. A redirect, a passing
//! refusal or a lost connection ends the attempt.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::oneshot;

use crate::engine::sabotage::hold_at;
use crate::engine::upstream::inflight::{InFlight, OnReply};
use crate::engine::upstream::lane::{Lane, Link};
use crate::engine::upstream::retry::lost::{UNKNOWN_FATE, UNKNOWN_IN_TIME};
use crate::engine::upstream::step::{Budget, Step, StepOutcome};
use slotmux_core::cluster::redirect::{ErrorVerdict, judge, target};
use slotmux_core::resp::{elements_of, write};
use slotmux_core::slot::Slot;

use super::talk::{Talk, Trouble};

const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";
const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";

const INVALID_EXEC: &str =
    "ERR slotmux: not executed, the node's reply to EXEC does not fit its transaction";

/// The effect of a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Effect {
    /// It changes nothing that lasts.
    Read,
    /// It may change data.
    Write,
}

/// Steps whose replies are awaited.
pub(super) struct Awaited {
    receivers: Vec<oneshot::Receiver<StepOutcome>>,
    lane: Rc<Lane>,
    /// The key that an ASK is about. `None`: an ASK may be about another key of the step.
    key: Option<Vec<u8>>,
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

impl Talk {
    /// Sends commands on a key, or on several of its slot.
    ///
    /// # Errors
    /// The lane has another connection than the one with which the program began.
    pub fn send(
        &mut self,
        key: &[u8],
        commands: &[Vec<u8>],
        effect: Effect,
        budget: &Budget,
    ) -> Result<Awaited, Trouble> {
        let is_asking = self.asking.iter().any(|(other, _)| other == key);
        let client = self.client.clone();
        let held = self.held(key).ok_or(Trouble::Again)?;
        if !held.is_sound(&client) {
            return Err(Trouble::Again);
        }
        held.has_spoken = true;
        let lane = held.lane.clone();
        let receivers = self.send_over(&lane, commands, effect, budget, is_asking);
        Ok(Awaited {
            receivers,
            lane,
            key: Some(key.to_vec()),
            effect,
        })
    }

    fn send_over(
        &self,
        lane: &Rc<Lane>,
        commands: &[Vec<u8>],
        effect: Effect,
        budget: &Budget,
        is_asking: bool,
    ) -> Vec<oneshot::Receiver<StepOutcome>> {
        let mut receivers = Vec::with_capacity(commands.len());
        let mut is_in_block = false;
        for command in commands {
            if is_asking && !is_in_block {
                let internal = Rc::new(Cell::new(usize::MAX));
                // An error of ASKING shows in the command behind it.
                drop(self.send_one(lane, ASKING, Effect::Read, &internal));
            }
            match &command[..] {
                MULTI => is_in_block = true,
                EXEC => is_in_block = false,
                _ => {}
            }
            receivers.push(self.send_one(lane, command, effect, budget));
        }
        receivers
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
            key,
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
                    let is_up = lane.link() == Link::Up;
                    let is_unknown = effect == Effect::Write && is_up;
                    self.is_cut_off = !is_up;
                    // Without time left, that is the end.
                    return Err(match is_unknown {
                        true => Trouble::unknown(UNKNOWN_IN_TIME),
                        false => Trouble::Again,
                    });
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
            is_refused |= self.note_refusal(key.as_deref(), &lane, reply);
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
        key: &[u8],
        commands: &[Vec<u8>],
        effect: Effect,
    ) -> Result<Vec<Vec<u8>>, Trouble> {
        let budget = self.reply_budget();
        let awaited = self.send(key, commands, effect, &budget)?;
        self.receive(awaited).await
    }

    /// Watches a key, and sends `commands` behind that. The replies are those to the commands.
    pub fn watch(
        &mut self,
        key: &[u8],
        commands: &[Vec<u8>],
        budget: &Budget,
    ) -> Result<Awaited, Trouble> {
        let mut all = vec![request(&[b"WATCH", key])];
        all.extend_from_slice(commands);
        if let Some(held) = self.held(key) {
            held.watches = true;
        }
        self.send(key, &all, Effect::Read, budget)
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

    /// Runs commands on a key between MULTI and EXEC.
    pub async fn block(
        &mut self,
        key: &[u8],
        commands: Vec<Vec<u8>>,
        effect: Effect,
    ) -> Result<BlockOutcome, Trouble> {
        let budget = self.reply_budget();
        let awaited = self.send(key, &as_block(commands), effect, &budget)?;
        self.receive_block(awaited).await
    }

    /// The same with commands on other keys of the slot, which a node that hands the slot over would ask elsewhere.
    pub async fn block_beside(
        &mut self,
        key: &[u8],
        commands: Vec<Vec<u8>>,
        effect: Effect,
    ) -> Result<BlockOutcome, Trouble> {
        let budget = self.reply_budget();
        let awaited = self.send_block(key, commands, effect, &budget)?;
        self.receive_block(awaited).await
    }

    /// Sends such a block.
    pub fn send_block(
        &mut self,
        key: &[u8],
        commands: Vec<Vec<u8>>,
        effect: Effect,
        budget: &Budget,
    ) -> Result<Awaited, Trouble> {
        let mut awaited = self.send(key, &as_block(commands), effect, budget)?;
        awaited.key = None;
        Ok(awaited)
    }

    /// Makes sure that no watched key has changed, except those that are watched on the lane of `home`. This ends the
    /// watches of the nodes.
    pub async fn check_watched(&mut self, home: &[u8]) -> Result<(), Trouble> {
        let home = self.held(home).map(|held| held.lane.number);
        let budget = self.reply_budget();
        let mut awaited = Vec::new();
        for held in &self.lanes {
            if !held.watches || Some(held.lane.number) == home {
                continue;
            }
            if !held.is_sound(&self.client) {
                return Err(Trouble::Again);
            }
            let block = as_block(Vec::new());
            awaited.push(Awaited {
                receivers: self.send_over(&held.lane, &block, Effect::Read, &budget, false),
                lane: held.lane.clone(),
                key: None,
                effect: Effect::Read,
            });
        }
        let mut has_changed = false;
        for part in awaited {
            has_changed |= matches!(self.receive_block(part).await?, BlockOutcome::Nil);
        }
        if has_changed {
            return Err(Trouble::Again);
        }
        Ok(())
    }

    /// The outcome of a block.
    pub async fn receive_block(&mut self, awaited: Awaited) -> Result<BlockOutcome, Trouble> {
        let (lane, effect) = (awaited.lane.clone(), awaited.effect);
        let mut replies = self.receive(awaited).await?;
        let exec = replies.pop().unwrap_or_default();
        // The first is that to MULTI.
        let queued = replies.len().saturating_sub(1);
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
        if exec == b"*-1\r\n" || exec == b"_\r\n" {
            return Ok(BlockOutcome::Nil);
        }
        match elements_of(&exec).filter(|elements| elements.len() == queued) {
            Some(elements) => Ok(BlockOutcome::Done(
                elements.into_iter().map(<[u8]>::to_vec).collect(),
            )),
            None => Err(Trouble::Error(match effect {
                Effect::Read => INVALID_EXEC.to_owned(),
                Effect::Write => UNKNOWN_FATE.to_owned(),
            })),
        }
    }

    /// Notes the information of a refusal about the key or its slot. False: the reply is no refusal, and goes to the client.
    fn note_refusal(&mut self, key: Option<&[u8]>, lane: &Lane, reply: &[u8]) -> bool {
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
                if let Some((addr, key)) = target(host, port, &lane.addr).zip(key) {
                    let node = worker.node_at(worker.map.reachable(addr));
                    self.asked.push((key.to_vec(), node));
                }
                worker.stats.ask.inc();
                return true;
            }
            _ => {}
        }
        worker.refresh.request();
        true
    }
}

/// Commands between MULTI and EXEC.
fn as_block(commands: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut block = vec![MULTI.to_vec()];
    block.extend(commands);
    block.push(EXEC.to_vec());
    block
}

/// A command.
pub(super) fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write::request(&mut bytes, words);
    bytes
}
