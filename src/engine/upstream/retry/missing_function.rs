//! A node lacks the function of an FCALL: the control thread loads the library into it, if most of the other primaries have
//! it, and the call is sent again. A function that has run may return the same error, so the call is sent again only if the
//! node has confirmed that it lacked the function.

use std::rc::Rc;

use slotmux_core::functions::called;
use slotmux_core::resp::request::Request;
use slotmux_core::resp::{Limits, scan_request};

use crate::engine::upstream::block::Destination;
use crate::engine::upstream::inflight::{InFlight, OnReply};
use crate::engine::upstream::lane::Lane;
use crate::engine::upstream::retry::verify_refusal::{
    Verification, VerificationState, client_part,
};
use crate::engine::worker::Worker;

/// Takes over a call whose node has answered with `error` that it lacks the function; gives it back if the client gets the error.
/// The library is asked for in any case, so that the next call finds it.
pub(super) fn ask_for_library(
    worker: &Rc<Worker>,
    lane: &Rc<Lane>,
    entry: InFlight,
    error: &[u8],
    request: Vec<u8>,
) -> Option<InFlight> {
    let Some(function) = function_of(&entry, &request) else {
        worker.stats.errors.inc();
        return Some(entry);
    };
    let asked = worker.shared.libraries.ask(&lane.addr, Some(&function));
    let Some(outcome) = asked.filter(|_| may_wait(worker, lane, &entry)) else {
        worker.stats.errors.inc();
        return Some(entry);
    };
    let client = entry.client.clone();
    let verification = Rc::new(Verification::pending(lane, error));
    entry.restart();
    client.order.note_redirected(entry.seq);
    worker.queue_until_verified(entry, request, verification.clone());
    let host = worker.clone();
    let waiting = async move {
        let state = match outcome.await {
            Ok(true) => VerificationState::Confirmed(verification.error().into()),
            Ok(false) | Err(_) => VerificationState::Forged,
        };
        host.conclude(&verification, state);
    };
    worker.spawn_for(&client, "a call whose function is missing", waiting);
    None
}

/// Asks for the function that the primary of a transaction lacks: a command failed with this error, and is not sent again.
pub(crate) fn ask_for_libraries(worker: &Worker, entry: &InFlight) {
    let owner = entry
        .slot
        .get()
        .and_then(|slot| worker.map.slots.owner(slot));
    if let Some(node) = owner {
        // The outcome is for later calls.
        let _ = worker.shared.libraries.ask(&worker.address_of(node), None);
    }
}

/// The function that the client's command calls.
fn function_of(entry: &InFlight, request: &[u8]) -> Option<Vec<u8>> {
    let bytes = client_part(entry, request);
    let mut args = Vec::new();
    scan_request(bytes, &Limits::ACCEPTED, &mut args).ok()?;
    if args.is_empty() {
        return None;
    }
    called(&Request { bytes, args: &args }).map(<[u8]>::to_vec)
}

/// Whether a call may wait for the library: it can be sent again as a whole, and overtakes no command of its client.
fn may_wait(worker: &Worker, lane: &Rc<Lane>, entry: &InFlight) -> bool {
    let is_whole = match &entry.kind {
        OnReply::Deliver => true,
        OnReply::Block(block) => matches!(block.destination(), Destination::Deliver),
        _ => false,
    };
    is_whole
        && entry.is_awaited()
        && entry.has_tries_left()
        && !lane.is_pinned_by(&entry.client)
        && !worker.retries.is_overtaken(entry)
        && !worker.has_followers(entry, lane)
        && worker.has_time(entry)
}
