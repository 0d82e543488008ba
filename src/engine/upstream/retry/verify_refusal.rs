//! A script may return any error, even one that means that the node has not run the command. So an error to a script
//! that may write is verified: the node gets a command that changes nothing and that it refuses for the same reason.
//! Only if it refuses that too is the script sent a second time. Otherwise the error is the script's own, and goes to
//! its client.
//!
//! Meanwhile the call waits among the retries, so that no command of its client overtakes it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::engine::worker::Worker;
use slotmux_core::cluster::redirect::{ErrorVerdict, MissingCode, judge};
use slotmux_core::command;
use slotmux_core::resp::request::Request;
use slotmux_core::resp::{Limits, scan_request, write};
use slotmux_core::scripts::{is_script_call, names_script};

use crate::engine::upstream::inflight::{InFlight, OnReply};
use crate::engine::upstream::lane::Lane;
use crate::engine::upstream::retry::queue::Place;
use crate::engine::upstream::retry::refused::settle_verified;

/// Reply to SCRIPT EXISTS for a script that the node lacks.
const LACKS_IT: &[u8] = b"*1\r\n:0\r\n";

/// The verification of an error that may be the node's or a script's.
pub struct Verification {
    lane: Rc<Lane>,
    error: Box<[u8]>,
    state: RefCell<VerificationState>,
    /// Place of the waiting call.
    place: Cell<Option<Place>>,
}

/// State of a verification.
#[derive(Clone)]
pub(crate) enum VerificationState {
    /// The node was asked and has not replied.
    Pending,
    /// The node does not refuse now: the error is the script's, which has run.
    Forged,
    /// The node refuses too, with this error.
    Confirmed(Box<[u8]>),
}

impl Verification {
    /// Of an error that arrived on this lane.
    pub(crate) fn pending(lane: &Rc<Lane>, error: &[u8]) -> Verification {
        Verification {
            lane: lane.clone(),
            error: error.into(),
            state: RefCell::new(VerificationState::Pending),
            place: Cell::new(None),
        }
    }

    /// The lane on which the error arrived.
    pub(crate) fn lane(&self) -> &Rc<Lane> {
        &self.lane
    }

    /// The error.
    pub(crate) fn error(&self) -> &[u8] {
        &self.error
    }

    /// Place of the waiting call.
    pub(crate) fn place(&self) -> Option<Place> {
        self.place.get()
    }

    /// Records where the call waits.
    pub(crate) fn set_place(&self, place: Place) {
        self.place.set(Some(place));
    }

    /// Its state.
    pub(crate) fn state(&self) -> VerificationState {
        self.state.borrow().clone()
    }

    /// The state after the node's reply.
    fn judge(&self, reply: &[u8]) -> VerificationState {
        let is_about_script = MissingCode::in_error(&self.error) == Some(MissingCode::Script);
        if is_about_script && reply == LACKS_IT {
            VerificationState::Confirmed(self.error.clone())
        } else if is_same_kind(judge(&self.error), judge(reply)) {
            VerificationState::Confirmed(reply.into())
        } else {
            VerificationState::Forged
        }
    }
}

/// Whether two refusals have the same reason. The target of a redirect may differ.
fn is_same_kind(one: ErrorVerdict, other: ErrorVerdict) -> bool {
    one != ErrorVerdict::Deliver && std::mem::discriminant(&one) == std::mem::discriminant(&other)
}

/// Whether the error reply to `entry` may come from code that has run. `request` is the client's part of the entry.
pub(crate) fn may_be_forged(entry: &InFlight, request: &[u8]) -> bool {
    // In a transaction no error of a command counts as the node's own.
    if !entry.write || entry.is_transaction() {
        return false;
    }
    with(request, |request| {
        // A command outside the table belongs to a module, which may run users' code.
        is_script_call(request) || command::resolve(request.bytes, request.args).is_err()
    })
    .unwrap_or(false)
}

/// The command that verifies the refusal of `request` with `error`. `None`: no command can verify it.
fn verifying_command(worker: &Worker, error: &[u8], request: &Request) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    if MissingCode::in_error(error) == Some(MissingCode::Script) {
        write::request(&mut bytes, &[b"SCRIPT", b"EXISTS", request.arg(1)]);
        return names_script(request).then_some(bytes);
    }
    let keys = keys(worker, request);
    match judge(error) {
        ErrorVerdict::Deliver => return None,
        // A write command that changes no key: it returns the length of the value, or 0.
        ErrorVerdict::ClusterDown | ErrorVerdict::ReadOnly => {
            write::request(&mut bytes, &[b"SETRANGE", *keys.first()?, b"0", b""]);
        }
        ErrorVerdict::Loading | ErrorVerdict::MasterDown if keys.is_empty() => {
            write::request(&mut bytes, &[b"PING"]);
        }
        _ if keys.is_empty() => return None,
        _ => {
            let mut words: Vec<&[u8]> = vec![b"EXISTS"];
            words.extend(keys);
            write::request(&mut bytes, &words);
        }
    }
    Some(bytes)
}

/// The keys of a request.
fn keys<'a>(worker: &Worker, request: &Request<'a>) -> Vec<&'a [u8]> {
    let mut keys = Vec::new();
    let topology = worker.map.topology.borrow();
    let add = |at: usize| keys.push(request.arg(at));
    // Keys that can't be found make any node refuse the request before it runs.
    let _ = match command::resolve(request.bytes, request.args) {
        Ok(command) => command::for_each_key(&command.keys, request.bytes, request.args, add),
        Err(_) => match topology.learned.resolve(request.bytes, request.args) {
            Some(learned) => learned.for_each_key(request.bytes, request.args, add),
            None => Ok(()),
        },
    };
    keys
}

fn with<T>(bytes: &[u8], f: impl FnOnce(&Request) -> T) -> Option<T> {
    let mut args = Vec::new();
    scan_request(bytes, &Limits::ACCEPTED, &mut args).ok()?;
    let request = Request { bytes, args: &args };
    (!args.is_empty()).then(|| f(&request))
}

impl Worker {
    /// Verifies with the node of `lane` that it refuses `entry`, whose bytes are `request`, with `error`. Returns the
    /// entry if no command can verify that.
    pub(crate) fn verify_refusal(
        self: &Rc<Self>,
        lane: &Rc<Lane>,
        entry: InFlight,
        request: Vec<u8>,
        error: &[u8],
    ) -> Result<(), InFlight> {
        let client_part = client_part(&entry, &request);
        let command = with(client_part, |request| {
            verifying_command(self, error, request)
        });
        let Some(command) = command.flatten() else {
            return Err(entry);
        };
        let verification = Rc::new(Verification::pending(lane, error));
        entry.restart();
        entry.client.order.note_redirected(entry.seq);
        if lane.followed_asking(&entry) {
            lane.send_asking(self, &entry);
        }
        let kind = OnReply::Verify(verification.clone());
        let verifying = InFlight::internal(self, &entry.client, command.len(), kind);
        lane.send_owned(self, verifying, command);
        self.queue_until_verified(entry, request, verification);
        Ok(())
    }

    /// Takes the node's reply to the verifying command.
    pub(crate) fn take_verification_reply(
        self: &Rc<Self>,
        verification: &Rc<Verification>,
        reply: &[u8],
    ) {
        let state = verification.judge(reply);
        self.conclude(verification, state);
    }

    /// Ends a verification, and settles the call that waited for it.
    pub(crate) fn conclude(
        self: &Rc<Self>,
        verification: &Rc<Verification>,
        state: VerificationState,
    ) {
        verification.state.replace(state);
        if let Some((entry, request)) = self.take_verified(verification) {
            settle_verified(self, verification, entry, request);
        }
    }
}

/// The part of the bytes sent that is the client's command.
pub(crate) fn client_part<'a>(entry: &InFlight, request: &'a [u8]) -> &'a [u8] {
    match &entry.kind {
        OnReply::Block(block) => block.client_part(request),
        _ => request,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_refusals_are_alike_by_their_reason() {
        let moved = b"-MOVED 7 127.0.0.1:1\r\n";
        for (one, other, alike) in [
            (&moved[..], &b"-MOVED 7 127.0.0.1:2\r\n"[..], true),
            (moved, b"-ASK 7 127.0.0.1:1\r\n", false),
            (moved, b":1\r\n", false),
            (moved, b"-NOPERM no\r\n", false),
            (b"-ERR no\r\n", b"-ERR no\r\n", false),
            (
                b"-READONLY You can't write against a read only replica.\r\n",
                b"-READONLY You can't write against a read only replica.\r\n",
                true,
            ),
        ] {
            assert_eq!(is_same_kind(judge(one), judge(other)), alike);
        }
    }
}
