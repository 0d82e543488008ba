//! A connection was lost, or a deadline passed: the treatment of the commands in flight.
//!
//! A command that was not handed to the kernel whole has not run and is sent again. One that was may have run: a read
//! is sent again if nothing can have changed what it sees and `retry` allows it, a write is answered with an error that
//! says so. A command that may have changed data is never sent twice, except writes that their namespace lets repeat
//! ([`crate::engine::upstream::retry::may_have_run`]).

use std::rc::Rc;

use crate::engine::sabotage::sabotage;
use crate::engine::worker::Worker;
use crate::engine::worker::clock::Tick;

use crate::engine::upstream::blocking::check_blocked;
use crate::engine::upstream::deliver::deliver_error;
use crate::engine::upstream::inflight::{InFlight, OnReply};
use crate::engine::upstream::lane::{Class, Lane, Link};
use crate::engine::upstream::read::End;
use crate::engine::upstream::retry::may_have_run::repeatable;
use crate::engine::upstream::retry::oversize_reply::{
    OversizeFinding, judge_lost_read, oversize_error,
};
use crate::engine::upstream::retry::overtaken;
use crate::engine::upstream::retry::unanswered::Unanswered;

/// The error for a write whose fate is unknown.
pub(crate) const UNKNOWN_FATE: &str =
    "ERR slotmux: connection to the node was lost, the command may have been executed";

/// The error for a write to which the node did not reply in time.
pub(crate) const UNKNOWN_IN_TIME: &str =
    "ERR slotmux: upstream timeout, the command may have been executed";

/// The error for a read that its node left without a reply.
const TIMEOUT: &str = "ERR slotmux: upstream timeout";

/// Milliseconds of silence after which slotmux checks whether the node was replaced, and closes the connection if it was: a
/// node that has handed over its slots by plan would have redirected the command long before.
const SILENCE: u64 = 500;

/// Settles the commands in flight on a lane whose connection is lost.
pub fn after_loss(worker: &Rc<Worker>, lane: &Rc<Lane>, end: &End) {
    if fail_if_shifted(worker, lane) {
        return;
    }
    let mut refusal = lane.refusal();
    let mut unanswered = lane.take_unanswered(worker);
    settle_partial_reply(worker, lane, &mut unanswered);
    let mut repeatable = repeatable(worker, lane, end, &unanswered).into_iter();
    settle_each(worker, unanswered, |taken| {
        let loss = Loss {
            end,
            repeatable: repeatable.next().unwrap_or(false),
            refusal: if taken.entry.is_blocking() {
                refusal.take()
            } else {
                None
            },
        };
        settle(worker, lane, taken, loss);
    });
    lane.wake_waiting(worker);
}

/// Calls `f` with each of them. A panic costs the client of the command that it came with.
pub(crate) fn settle_each(
    worker: &Rc<Worker>,
    unanswered: Vec<Unanswered>,
    mut f: impl FnMut(Unanswered),
) {
    for taken in unanswered {
        let client = taken.entry.client.clone();
        let done = worker.contained("a command whose connection was lost", || {
            sabotage("lost.each");
            f(taken);
        });
        if done.is_none() {
            client.close(worker);
        }
    }
}

/// How a command lost its connection.
struct Loss<'a> {
    end: &'a End,
    /// See [`repeatable`].
    repeatable: bool,
    /// The node's error reply to the blocking command.
    refusal: Option<Vec<u8>>,
}

/// Decides about one command whose connection was lost.
fn settle(worker: &Rc<Worker>, lane: &Rc<Lane>, mut taken: Unanswered, loss: Loss) {
    let Loss {
        end,
        repeatable,
        refusal,
    } = loss;
    let retry = &worker.config.cluster.retry;
    let is_final = matches!(end, End::Silent) && !retry.on_timeout;
    if taken.entry.is_blocking() {
        match refusal {
            Some(error) => worker.block_refused(lane, taken, &error),
            None => worker.block_lost(lane, taken, matches!(end, End::Silent)),
        }
        return;
    }
    let entry = &taken.entry;
    if !entry.is_awaited() {
        if taken.was_written {
            // The command has run, or may have; the expiries behind it may not.
            repair(worker, lane, taken.entry, &taken.request);
        }
        return;
    }
    if entry.is_watched() && !(taken.was_written && entry.write) {
        worker.answer_unwatched(entry);
        return;
    }
    let tries = u32::from(entry.tries);
    let has_time = worker.has_time(entry);
    if entry.is_repair() && has_time {
        send_on(worker, lane, taken);
        return;
    }
    let is_repeated = repeatable && !is_final && tries < retry.reads;
    if taken.was_written && (entry.is_watched() || !is_repeated) {
        let is_timeout = is_final && !entry.write;
        let error = if is_timeout { TIMEOUT } else { UNKNOWN_FATE };
        deliver_error(worker, entry, error);
        if !taken.entry.is_repair() {
            repair(worker, lane, taken.entry, &taken.request);
        }
        return;
    }
    if taken.was_written && entry.write {
        worker.stats.writes_repeated.inc();
        taken.entry.mark_repeated();
    } else if taken.was_written {
        let is_limited = || worker.refresh.is_output_limited(&lane.addr);
        match judge_lost_read(entry, lane.class, end, is_limited) {
            OversizeFinding::NotOversize => {}
            OversizeFinding::Possible => entry.mark_oversize_candidate(),
            OversizeFinding::Likely => worker.expect_big_reply_like(&taken),
            OversizeFinding::Certain => {
                worker.expect_big_reply_like(&taken);
                return deliver_error(worker, &taken.entry, &oversize_error(lane));
            }
        }
    }
    let entry = &taken.entry;
    if !has_time || (!taken.was_written && entry.write && tries >= retry.unsent_writes) {
        if !has_time {
            worker.stats.timeouts.inc();
        }
        deliver_error(worker, entry, &unreachable(worker, lane));
    } else {
        let more = u8::from(taken.was_written || entry.write);
        taken.entry.count_tries(more);
        send_on(worker, lane, taken);
    }
}

/// Sends the expiries after a command that has run on a lost connection, or may still run there.
pub(crate) fn repair(worker: &Rc<Worker>, lane: &Lane, entry: InFlight, request: &[u8]) {
    if let Some(repair) = lane.repair(entry, request) {
        worker.send_repair(repair);
    }
}

/// Deals with commands whose connection could not be made: a blocking command searches for its node again.
pub fn after_failure(worker: &Rc<Worker>, lane: &Rc<Lane>) {
    if !lane.entries().borrow().iter().any(InFlight::is_blocking) || fail_if_shifted(worker, lane) {
        return;
    }
    settle_each(worker, lane.take_unanswered(worker), |taken| {
        if taken.entry.is_blocking() {
            worker.block_lost(lane, taken, false);
        }
    });
}

/// Settles the oldest command if the front of its reply was passed on already.
fn settle_partial_reply(worker: &Rc<Worker>, lane: &Lane, unanswered: &mut Vec<Unanswered>) {
    let Some(oldest) = unanswered.first().filter(|_| lane.is_mid_reply()) else {
        return;
    };
    match &oldest.entry.kind {
        OnReply::Block(block) if !block.is_awaited() => {}
        // It has not left slotmux: the part is as if nothing had come.
        OnReply::Part { gather, part } => gather.forget(worker, *part),
        OnReply::Block(block) if !oldest.entry.is_whole() => block.forget(worker),
        OnReply::Deliver | OnReply::Publish(_) | OnReply::Block(_) => {
            let Unanswered { entry, request, .. } = unanswered.remove(0);
            if !entry.mute {
                // Half a reply can't be taken back or completed; the only honest end is the client's connection.
                entry.client.close(worker);
            }
            deliver_error(worker, &entry, UNKNOWN_FATE);
            repair(worker, lane, entry, &request);
        }
        OnReply::Watch { .. }
        | OnReply::Unwatch
        | OnReply::Verify(_)
        | OnReply::Probe
        | OnReply::Asking
        | OnReply::Tracking
        | OnReply::Caching
        | OnReply::Discard
        | OnReply::ProcessRun
        | OnReply::ConnectionId
        | OnReply::Step(_)
        | OnReply::ReportOne(_) => {}
    }
}

/// Sends the commands of a lane without a connection to the present nodes of their slots. Called when the map has changed.
pub fn reroute(worker: &Rc<Worker>, lane: &Rc<Lane>) {
    if lane.link() == Link::Up || lane.is_idle() || fail_if_shifted(worker, lane) {
        return;
    }
    settle_each(worker, lane.take_unanswered(worker), |taken| {
        if taken.entry.is_awaited() {
            send_on(worker, lane, taken);
        }
    });
    lane.wake_waiting(worker);
}

/// Sends a command by the map as it is now. One that followed an ASK stays with its node: the newer commands of its
/// client are still sent to the old one, and it must not get behind them. The same goes for one of which newer ones are
/// still on the way they were sent: those will be redirected and follow it here.
fn send_on(worker: &Rc<Worker>, lane: &Rc<Lane>, taken: Unanswered) {
    if worker.retries.is_overtaken(&taken.entry) {
        return deliver_error(worker, &taken.entry, overtaken::ERROR);
    }
    match taken.entry.slot.get() {
        Some(slot)
            if !taken.asking
                && worker.map.slots.owner(slot) != Some(lane.node)
                && !worker.has_newer_elsewhere(&taken.entry, lane) =>
        {
            worker.send_again(taken.entry, taken.request);
        }
        // A command without a slot is for this node, over another lane.
        None if lane.link() == Link::Retired => {
            let error = unreachable(worker, lane);
            worker.retry_after_own(taken.entry, taken.request, &error, lane.node);
        }
        _ if lane.link() == Link::Retired => worker.retry_later(taken.entry, taken.request),
        _ => lane.put_back(worker, taken),
    }
}

/// Answers the commands of a lane whose deadline has passed, and closes a connection that was silent for too long.
pub fn check_deadlines(worker: &Rc<Worker>, lane: &Rc<Lane>, now: Tick) {
    if lane.is_idle() && !lane.is_pinged() {
        return;
    }
    if lane.is_held_back() {
        return;
    }
    if lane.is_blocked() {
        return check_blocked(worker, lane, now);
    }
    if lane.link() == Link::Up {
        answer_overdue(worker, lane, now);
        if lane.last_heard().is_over(worker.timeouts.response, now) {
            tracing::warn!(node = %lane.addr, in_flight = lane.in_flight(), "node is silent, connection closed");
            lane.close();
        } else if check_silence(worker, lane, now) && is_replaced(worker, lane) {
            tracing::warn!(node = %lane.addr, in_flight = lane.in_flight(), "node was replaced and is silent, connection closed");
            lane.close();
        }
        return;
    }
    // While commands wait, the topology is refreshed: nothing else reports the new node of their slots.
    worker.refresh.request();
    let is_overdue = |entry: &InFlight| entry.arrived.is_over(worker.timeouts.command, now);
    if !lane.entries().borrow().iter().any(is_overdue) || fail_if_shifted(worker, lane) {
        return;
    }
    // Nothing of this was written: overdue commands are removed, so that they do not run after their clients got an error.
    settle_each(worker, lane.take_unanswered(worker), |taken| {
        if !worker.has_time(&taken.entry) {
            worker.stats.timeouts.inc();
            deliver_error(worker, &taken.entry, &unreachable(worker, lane));
        } else if taken.entry.is_awaited() {
            lane.put_back(worker, taken);
        }
    });
    lane.wake_waiting(worker);
}

/// Returns whether the node of a shared lane has been silent for a while. A frozen or isolated node does not report that it
/// was replaced, so the other nodes are asked, about twice a second.
fn check_silence(worker: &Worker, lane: &Lane, now: Tick) -> bool {
    /// Deadlines are looked at about so often.
    const LOOK: u64 = 100;
    let silence = now.since(lane.last_heard());
    if lane.class != Class::Shared || silence < SILENCE {
        return false;
    }
    if silence % SILENCE < LOOK {
        worker.refresh.request();
    }
    true
}

/// Whether the node of a lane was replaced: it is no longer a primary, and another one has the slot of the oldest command. A
/// command that was sent again may be here by an ASK, which leads to nodes without slots too.
fn is_replaced(worker: &Worker, lane: &Lane) -> bool {
    let entries = lane.entries().borrow();
    let oldest = entries
        .front()
        .filter(|entry| entry.tries == 0 && entry.slot.get().is_some());
    oldest.is_some_and(|entry| worker.is_replaced(lane, entry))
}

/// Answers overdue commands whose replies may still come; those are dropped when they do.
fn answer_overdue(worker: &Rc<Worker>, lane: &Rc<Lane>, now: Tick) {
    if lane.class == Class::Dedicated && !lane.last_heard().is_over(worker.timeouts.command, now) {
        // A big value may take any time while bytes move.
        return;
    }
    let mut overdue = Vec::new();
    // A reply that has begun can't be replaced by an error; if the rest does not come, the silence ends it.
    let begun = usize::from(lane.is_mid_reply());
    // All are looked at: one that was sent again stands behind newer ones.
    for entry in lane.entries().borrow_mut().iter_mut().skip(begun) {
        if entry.is_awaited()
            && !entry.is_repair()
            && entry.arrived.is_over(worker.timeouts.command, now)
            && !entry.is_blocking()
        {
            overdue.push(entry.cancel());
        }
    }
    for entry in overdue {
        worker.stats.timeouts.inc();
        worker.stats.replies_dropped.inc();
        let text = if entry.write {
            UNKNOWN_IN_TIME
        } else {
            TIMEOUT
        };
        deliver_error(worker, &entry, text);
    }
}

/// Answers all commands in flight with an error if the bytes of a lane do not match its entries, as after a panic between
/// the two. Sent again, the bytes would be a request of another client.
pub(crate) fn fail_if_shifted(worker: &Rc<Worker>, lane: &Rc<Lane>) -> bool {
    let is_shifted = !lane.is_consistent();
    if is_shifted {
        fail_all(worker, lane, lane.take_unanswered(worker));
        lane.wake_waiting(worker);
    }
    is_shifted
}

/// Answers all commands in flight with an error: the last resort after a panic in the lane's task.
pub(crate) fn fail_all(worker: &Rc<Worker>, lane: &Rc<Lane>, mut unanswered: Vec<Unanswered>) {
    settle_partial_reply(worker, lane, &mut unanswered);
    settle_each(worker, unanswered, |taken| {
        if taken.entry.is_awaited() {
            deliver_error(worker, &taken.entry, UNKNOWN_FATE);
        }
        if taken.was_written && !taken.entry.is_repair() {
            repair(worker, lane, taken.entry, &taken.request);
        }
    });
}

/// The error for a command that could not be given to its node.
pub fn unreachable(worker: &Worker, lane: &Lane) -> String {
    let addr = &lane.addr;
    match worker.last_refusal(lane.node, lane.protocol) {
        Some(refusal) => format!(
            "ERR slotmux: node {addr} is unreachable ({refusal}), the command was not executed"
        ),
        None => {
            format!("ERR slotmux: node {addr} is unreachable, the command was not executed")
        }
    }
}
