//! Commands that their node refused: sent on after a redirect, kept for a retry, or answered with the error.

use std::rc::Rc;

use crate::engine::transaction::commands::is_watch_broken;
use crate::engine::worker::Worker;
use slotmux_core::cluster::addr::Addr;
use slotmux_core::cluster::redirect::{
    ErrorVerdict, MissingCode, is_refused_for_now, judge, target,
};
use slotmux_core::cluster::topology;
use slotmux_core::resp::request::Request;
use slotmux_core::resp::{Limits, scan_request};
use slotmux_core::scripts::is_script_call;

use crate::engine::blocking::wait_replicas::count_instead;
use crate::engine::upstream::blocking::{is_forced, restart_search};
use crate::engine::upstream::deliver::{deliver_error, deliver_piece};
use crate::engine::upstream::inflight::{InFlight, OnReply};
use crate::engine::upstream::lane::{Lane, Link};
use crate::engine::upstream::repair::Repair;
use crate::engine::upstream::retry::decide::{Facts, Next, PROMPT_REDIRECTS, decide};
use crate::engine::upstream::retry::missing_function::ask_for_library;
use crate::engine::upstream::retry::overtaken;
use crate::engine::upstream::retry::verify_refusal::{
    Verification, VerificationState, client_part, may_be_forged,
};

/// Number of commands that may wait for a retry while later commands of their clients are in flight. The memory of a
/// lane is bounded; this bounds the commands that leave their lane for a wait and so make room there for more.
const WAITING_WITH_FOLLOWERS: usize = 1024;

/// Takes over a command that got an error reply; gives it back if the error is to be delivered. `request` copies the
/// command's bytes, which only a command that is sent again needs.
pub fn take_over(
    worker: &Rc<Worker>,
    lane: &Rc<Lane>,
    entry: InFlight,
    reply: &[u8],
    request: impl Fn() -> Vec<u8>,
) -> Option<InFlight> {
    match MissingCode::in_error(reply) {
        Some(MissingCode::Script) => {
            return load_and_try_again(worker, lane, entry, request(), Refusal::Said(reply));
        }
        Some(MissingCode::Function) => {
            return ask_for_library(worker, lane, entry, reply, request());
        }
        None => {}
    }
    let entry = match count_instead(worker, lane, entry, reply, &request) {
        Ok(()) => return None,
        Err(entry) => entry,
    };
    if is_forced(&entry, reply) {
        // The node closes this connection next: no other client may get it.
        lane.hold();
        lane.close();
        worker.refresh.request();
        if entry.slot.get().is_none() {
            // A WAIT is about this very node.
            worker.stats.errors.inc();
            return Some(entry);
        }
        let request = request();
        let entry = again(worker, restart_search(worker, lane, entry), &request);
        entry.client.with_blocked(|blocked| blocked.vouch(true));
        worker.retry_after(entry, request, reply, lane.node);
        return None;
    }
    if entry.is_repair() && is_refused_for_now(reply) {
        return take_refused(
            worker,
            lane,
            entry,
            (reply, ErrorVerdict::TryAgain),
            request,
            false,
        );
    }
    let verdict = judge(reply);
    if verdict == ErrorVerdict::Deliver || is_impossible(worker, verdict) {
        worker.stats.errors.inc();
        return Some(entry);
    }
    count(worker, verdict);
    take_refused(worker, lane, entry, (reply, verdict), request, false)
}

/// The same for an error that means that the node has not run `entry`. `is_verified`: no script has forged it.
fn take_refused(
    worker: &Rc<Worker>,
    lane: &Rc<Lane>,
    entry: InFlight,
    (reply, verdict): (&[u8], ErrorVerdict),
    request: impl FnOnce() -> Vec<u8>,
    is_verified: bool,
) -> Option<InFlight> {
    if settle_watch(worker, lane, &entry) {
        return None;
    }
    let entry = restart_search(worker, lane, entry);
    // A redirect is followed, also if later commands are in flight.
    let is_redirect = matches!(
        verdict,
        ErrorVerdict::Moved { .. } | ErrorVerdict::Ask { .. }
    );
    let facts = Facts {
        slot: entry.slot.get().map(|slot| slot.0),
        tries: entry.tries,
        has_time: worker.has_time(&entry),
        has_followers: !is_redirect && worker.has_followers(&entry, lane),
        may_queue: worker.retries.len() < WAITING_WITH_FOLLOWERS,
    };
    if worker.retries.is_overtaken(&entry) {
        deliver_error(worker, &entry, overtaken::ERROR);
        return None;
    }
    let next = match decide(verdict, facts) {
        Next::Deliver => {
            worker.stats.errors.inc();
            return Some(entry);
        }
        Next::Fail => {
            deliver_error(
                worker,
                &entry,
                "ERR slotmux: too many redirections, the nodes disagree about the slot",
            );
            return None;
        }
        next => next,
    };
    let request = request();
    if !is_verified && may_be_forged(&entry, client_part(&entry, &request)) {
        worker.refresh.request();
        let asked = worker.verify_refusal(lane, entry, request, reply);
        return asked.inspect_err(|_| worker.stats.errors.inc()).err();
    }
    carry_out(worker, lane, entry, request, next, reply);
    None
}

/// Settles a refused command of a client that watches keys, if no node may run it now; returns whether that is so.
fn settle_watch(worker: &Rc<Worker>, lane: &Rc<Lane>, entry: &InFlight) -> bool {
    if lane.is_pinned_by(&entry.client) {
        // The slot is moving, or its node is no longer the primary: it can't vouch for the keys that it has watched.
        entry.client.break_watch(worker);
    }
    if entry.is_watched() {
        worker.refresh.request();
        worker.answer_unwatched(entry);
        return true;
    }
    if entry.is_watch() && is_watch_broken(&entry.client) {
        // As in Redis, one more key changes nothing once EXEC is bound to answer nil.
        deliver_piece(worker, entry, b"+OK\r\n", true);
        return true;
    }
    false
}

/// Sends a refused command on, or queues it for a retry.
fn carry_out(
    worker: &Rc<Worker>,
    lane: &Rc<Lane>,
    entry: InFlight,
    request: Vec<u8>,
    next: Next<'_>,
    reply: &[u8],
) {
    let (tries, slot) = (entry.tries, entry.slot.get());
    match next {
        Next::Deliver | Next::Fail => {}
        Next::Follow { host, port } => {
            worker.refresh.request();
            let target = credible(worker, lane, host, port, &request);
            // Without an address the node does not know where the slot is: the refresh has to find out.
            let is_prompt = match (target, slot) {
                (Some(addr), Some(slot)) => {
                    let node = worker.node_at(addr);
                    worker.set_owner(slot, node);
                    tries < PROMPT_REDIRECTS
                }
                _ => false,
            };
            let entry = again(worker, entry, &request);
            if is_prompt {
                worker.send_again(entry, request);
            } else {
                worker.retry_later(entry, request);
            }
        }
        Next::Ask { host, port } => match credible(worker, lane, host, port, &request) {
            Some(addr) => ask(worker, addr, again(worker, entry, &request), request),
            None => {
                worker.refresh.request();
                worker.retry_later(again(worker, entry, &request), request);
            }
        },
        Next::Later => {
            worker.refresh.request();
            let entry = again(worker, entry, &request);
            worker.retry_after(entry, request, reply, lane.node);
        }
    }
}

/// Settles a script call whose error was verified: it is sent again as the node's error demands, or it has run.
pub(crate) fn settle_verified(
    worker: &Rc<Worker>,
    verification: &Verification,
    entry: InFlight,
    request: Vec<u8>,
) {
    let lane = verification.lane();
    let entry = match verification.state() {
        VerificationState::Confirmed(reply) => match MissingCode::in_error(&reply) {
            Some(MissingCode::Script) => {
                load_and_try_again(worker, lane, entry, request, Refusal::Verified)
            }
            Some(MissingCode::Function) => {
                let entry = again(worker, entry, &request);
                match entry.slot.get() {
                    Some(_) => worker.send_again(entry, request),
                    None => worker.retry_after(entry, request, &reply, lane.node),
                }
                None
            }
            None => {
                let refusal = (&*reply, judge(&reply));
                take_refused(worker, lane, entry, refusal, || request, true)
            }
        },
        VerificationState::Pending | VerificationState::Forged => {
            worker.stats.errors.inc();
            Some(entry)
        }
    };
    if let Some(entry) = entry {
        worker.retries.record_run(&entry);
        deliver_piece(worker, &entry, verification.error(), true);
    }
}

/// A refusal, and whether a script may have forged it.
enum Refusal<'a> {
    /// The error reply to the command itself, which a script can forge.
    Said(&'a [u8]),
    /// The node has confirmed it.
    Verified,
}

/// A node lacks a script though it may have been sent: it was flushed, or the command came here by a redirect. The command is
/// sent again behind the script, if that is known and no command of the same client would be overtaken; otherwise the client
/// gets the error, and the script goes ahead of the next call.
fn load_and_try_again(
    worker: &Rc<Worker>,
    lane: &Rc<Lane>,
    entry: InFlight,
    bytes: Vec<u8>,
    refusal: Refusal,
) -> Option<InFlight> {
    let mut args = Vec::new();
    let is_whole = scan_request(&bytes, &Limits::ACCEPTED, &mut args).is_ok() && !args.is_empty();
    let request = Request {
        bytes: &bytes,
        args: &args,
    };
    if is_whole {
        lane.forget_script(&request);
    }
    let may = is_whole
        && matches!(entry.kind, OnReply::Deliver)
        && entry.has_tries_left()
        && !worker.retries.is_overtaken(&entry)
        && !worker.has_followers(&entry, lane)
        && worker.has_time(&entry)
        && lane.link() == Link::Up;
    if let Refusal::Said(error) = refusal
        && may
        && may_be_forged(&entry, &bytes)
        && worker.shared.scripts.has(request.arg(1))
    {
        let asked = worker.verify_refusal(lane, entry, bytes, error);
        return asked.inspect_err(|_| worker.stats.errors.inc()).err();
    }
    let in_flight = lane.in_flight();
    if may {
        lane.send_script_ahead(worker, &entry, &request);
    }
    if lane.in_flight() == in_flight {
        worker.stats.errors.inc();
        return Some(entry);
    }
    // No second retry: a client that flushes scripts all the time gets the error.
    let mut entry = entry;
    entry.use_up_tries();
    worker.stats.retries.inc();
    if entry.client.tracks() {
        entry.client.untrack(worker, &entry, &bytes);
    }
    lane.send_owned(worker, entry, bytes);
    None
}

/// Whether only a script can have returned this error: a single server knows of no slots.
fn is_impossible(worker: &Worker, verdict: ErrorVerdict<'_>) -> bool {
    worker.map.topology.borrow().kind == topology::UpstreamKind::Standalone
        && matches!(
            verdict,
            ErrorVerdict::Moved { .. }
                | ErrorVerdict::Ask { .. }
                | ErrorVerdict::TryAgain
                | ErrorVerdict::ClusterDown
        )
}

/// The target of a redirect, if it may be followed. A script may have forged it: it must not send other clients, and the
/// upstream's password, to an address that the cluster has not announced.
fn credible(worker: &Worker, lane: &Lane, host: &str, port: u16, request: &[u8]) -> Option<Addr> {
    let addr = worker.map.reachable(target(host, port, &lane.addr)?);
    let is_known = worker.map.topology.borrow().node_at(&addr).is_some();
    (is_known || !runs_script(request)).then_some(addr)
}

/// Whether the first command in `request` runs a script or a function.
pub(crate) fn runs_script(request: &[u8]) -> bool {
    let mut args = Vec::new();
    let is_whole = scan_request(request, &Limits::ACCEPTED, &mut args).is_ok();
    let request = Request {
        bytes: request,
        args: &args,
    };
    is_whole && is_script_call(&request)
}

/// Sends a command to the node that is taking its slot over, behind `ASKING`. The map stays as it is.
fn ask(worker: &Rc<Worker>, addr: Addr, entry: InFlight, request: Vec<u8>) {
    let Some((mut entry, request)) = worker.prepare_resend(entry, request) else {
        return;
    };
    let Some(lane) = worker.lane_for_retry(worker.node_at(addr), &entry) else {
        return worker.retry_for_lane(entry, request);
    };
    if worker.retries.is_overtaken(&entry) || worker.would_overtake(&entry, &lane) {
        worker.release_unused(&lane);
        return worker.retry_later(entry, request);
    }
    if let OnReply::Watch { is_asking, .. } = &mut entry.kind {
        *is_asking = true;
    }
    // An ASKING covers only the next command, which has to be one that names the keys.
    let (ahead, entry, request) = Repair::split_ahead(entry, request);
    if let Some(ahead) = ahead {
        let aside = InFlight::internal(worker, &entry.client, ahead.len(), OnReply::Discard);
        lane.send_owned(worker, aside, ahead);
    }
    lane.prepare_blocking(worker, &entry);
    lane.send_scripts_ahead(worker, &entry, &request);
    lane.send_asking(worker, &entry);
    lane.send_owned(worker, entry, request);
}

/// Prepares `entry` for another try. Keys that it reads then are not tracked: its client gets an invalidation.
fn again(worker: &Worker, mut entry: InFlight, request: &[u8]) -> InFlight {
    entry.restart();
    if entry.client.tracks() {
        entry.client.untrack(worker, &entry, request);
    }
    if let OnReply::Watch { is_asking, .. } = &mut entry.kind {
        *is_asking = false;
    }
    entry.client.order.note_redirected(entry.seq);
    entry.count_tries(1);
    entry
}

fn count(worker: &Worker, verdict: ErrorVerdict<'_>) {
    let counter = match verdict {
        ErrorVerdict::Moved { .. } => &worker.stats.moved,
        ErrorVerdict::Ask { .. } => &worker.stats.ask,
        ErrorVerdict::TryAgain => &worker.stats.tryagain,
        ErrorVerdict::ClusterDown | ErrorVerdict::MasterDown => &worker.stats.clusterdown,
        ErrorVerdict::Loading => &worker.stats.loading,
        ErrorVerdict::ReadOnly => &worker.stats.readonly_errors,
        ErrorVerdict::Deliver => return,
    };
    counter.inc();
}
