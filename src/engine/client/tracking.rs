//! CLIENT TRACKING of one client: which of its reads are tracked, and where among its replies an invalidation goes.
//!
//! Correctness is a matter of order: an invalidation never goes out ahead of a reply that may hold the old value. An
//! invalidation too many only costs the client another read.

use std::rc::Rc;

use crate::engine::upstream::inflight::{InFlight, OnReply};
use crate::engine::upstream::lane::{Class, Lane};
use crate::engine::worker::Worker;
use slotmux_core::answer::tracking::Tracking;
use slotmux_core::command::Flags;
use slotmux_core::resp::{Limits, Protocol, Scan, scan_request, write};
use slotmux_core::scripts::is_script_call;

use crate::engine::client::Client;
use slotmux_core::resp::request::Request;

/// Start of the push that names changed keys; their array follows.
pub const INVALIDATE: &[u8] = b">2\r\n$10\r\ninvalidate\r\n";
/// The push that invalidates everything.
pub const FORGET_ALL: &[u8] = b">2\r\n$10\r\ninvalidate\r\n_\r\n";

/// A read with more bytes than this is not tracked by its node: its key would come back in a push that is kept whole.
const LONGEST_REQUEST: usize = 64 * 1024;

impl Client {
    /// Whether tracking is on.
    #[inline]
    pub fn tracks(&self) -> bool {
        self.session.tracking().is_on()
    }

    /// Whether its invalidations reach a client: as from Redis, only where there are pushes, or another client for them.
    pub(super) fn receives_invalidations(&self) -> bool {
        let tracking = self.session.tracking();
        tracking.is_on() && (tracking.redirects || self.session.protocol() == Protocol::Resp3)
    }

    /// Its tracking has changed, or may have.
    pub fn tracking_changed(self: &Rc<Self>, worker: &Worker, before: Tracking) {
        let after = self.session.tracking();
        match (before.is_on(), after.is_on()) {
            (false, true) => worker.stats.tracking_clients.inc(),
            (true, false) => worker.stats.tracking_clients.dec(),
            _ => {}
        }
        self.upstream.set_own_lanes(after.is_on() && after.noloop);
        if after.is_broadcast() && !self.receives_invalidations() {
            self.session.set_behind(true);
        }
        if before.noloop && !after.is_on() {
            worker.forget_own_reads(self);
        }
        if before != after || after.is_broadcast() {
            worker.announcements.update(self);
        }
    }

    /// A request was accepted: `CLIENT CACHING` applies to the next command or transaction only. Other `CLIENT` commands may
    /// stand between, as in Redis.
    #[cold]
    pub(super) fn use_up_caching(&self, name: Option<&str>) {
        let is_about_client = name.is_some_and(|name| name.starts_with("client|"));
        if !is_about_client && !self.transaction.is_open() {
            self.session.use_up_caching();
        }
    }

    /// Tracks the keys that `entry`, which is about to be sent, reads: by the node, if `entry` goes next over the shared
    /// `lane` as the client sent it. Otherwise they are invalidated at once, behind the reply. `own` are the bytes of the
    /// client's request.
    #[cold]
    pub fn track(
        self: &Rc<Self>,
        worker: &Worker,
        lane: Option<&Rc<Lane>>,
        entry: &InFlight,
        own: &[u8],
    ) {
        if !self.receives_invalidations() {
            return self.session.set_behind(true);
        }
        let can_be_tracked = own.len() <= LONGEST_REQUEST && is_as_sent(entry);
        let lane = lane.filter(|lane| can_be_tracked && lane.class == Class::Shared);
        match lane.filter(|lane| lane.has_announcements(worker)) {
            Some(lane) => {
                let mut reads = false;
                tracked_keys(worker, own, |_| reads = true);
                if reads {
                    lane.send_caching(worker, entry, own);
                }
            }
            None => self.invalidate_behind(worker, entry.seq, own),
        }
    }

    /// The same for a group of a transaction, of which these are all requests.
    #[cold]
    pub(crate) fn track_all(
        self: &Rc<Self>,
        worker: &Worker,
        lane: Option<&Rc<Lane>>,
        entry: &InFlight,
        requests: &[Request],
    ) {
        let requests: Vec<&[u8]> = requests.iter().map(|request| request.bytes).collect();
        self.track(worker, lane, entry, &requests.concat());
    }

    /// The keys of `entry` are not tracked, or no longer: they are invalidated behind the reply.
    pub fn untrack(self: &Rc<Self>, worker: &Worker, entry: &InFlight, bytes: &[u8]) {
        if self.receives_invalidations() && entry.is_awaited() && !entry.is_repair() {
            self.invalidate_behind(worker, entry.seq, bytes);
        }
    }

    fn invalidate_behind(self: &Rc<Self>, worker: &Worker, seq: u32, requests: &[u8]) {
        let mut keys = Vec::new();
        tracked_keys(worker, requests, |key| keys.push(key.to_vec()));
        if !keys.is_empty() {
            let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
            self.push_behind(worker, seq.wrapping_add(1), &invalidation(&keys));
        }
    }

    /// The keys of request `seq` could not be tracked: everything is invalidated behind the reply.
    pub fn forget_behind(self: &Rc<Self>, worker: &Worker, seq: u32) {
        if self.receives_invalidations() {
            self.push_behind(worker, seq.wrapping_add(1), FORGET_ALL);
        }
    }

    /// Invalidates keys that its node reports as changed, behind every reply that came before.
    pub fn invalidate(self: &Rc<Self>, worker: &Worker, frame: &[u8]) {
        if !self.receives_invalidations() {
            return;
        }
        // Replies that are held or gathered may hold the old values.
        if self.order.has_early() || self.memory.gathered() > 0 {
            self.push_behind(worker, self.order.next(), frame);
        } else {
            self.send_invalidations(worker, frame);
        }
    }

    /// Invalidates keys that no node tracks for it any more, behind everything that is in flight.
    pub fn invalidate_behind_all(self: &Rc<Self>, worker: &Worker, frame: &[u8]) {
        if !self.receives_invalidations() {
            return;
        }
        // A command that blocks is the only one in flight, and was never tracked.
        if self.is_blocked() {
            self.send_invalidations(worker, frame);
        } else {
            self.push_behind(worker, self.order.next(), frame);
        }
    }

    /// It has changed its protocol. In RESP2 no invalidation reaches it, unless it redirects.
    pub(super) fn protocol_changed(self: &Rc<Self>, worker: &Rc<Worker>) {
        let tracking = self.session.tracking();
        if !tracking.is_on() {
            return;
        }
        worker.announcements.update(self);
        worker.announcements.settle(worker);
        if !self.receives_invalidations() {
            self.session.set_behind(true);
        } else if tracking.is_behind {
            self.session.set_behind(false);
            self.invalidate_behind_all(worker, FORGET_ALL);
        }
    }
}

/// The push that invalidates these keys.
pub fn invalidation(keys: &[&[u8]]) -> Vec<u8> {
    let mut frame = INVALIDATE.to_vec();
    write::array(&mut frame, keys.len());
    for key in keys {
        write::bulk(&mut frame, key);
    }
    frame
}

/// Whether the bytes of `entry` are the commands of its client, and not a block that a policy made of them.
fn is_as_sent(entry: &InFlight) -> bool {
    match entry.kind {
        OnReply::Deliver | OnReply::Part { .. } => true,
        _ => entry.exec().is_some(),
    }
}

/// Calls `f` with the keys of the requests in `bytes` that a node tracks: those of commands that only read, and all keys of
/// a script.
pub fn tracked_keys(worker: &Worker, bytes: &[u8], mut f: impl FnMut(&[u8])) {
    let (mut rest, mut args) = (bytes, Vec::new());
    while let Ok(Scan::Complete { len }) = scan_request(rest, &Limits::ACCEPTED, &mut args) {
        let request = Request {
            bytes: &rest[..len],
            args: &args,
        };
        worker.with_knowledge(|knowledge| {
            let command = knowledge.command(&request).filter(|command| {
                let flags = command.flags();
                flags.contains(Flags::READONLY) || is_script_call(&request)
            });
            if let Some(command) = command {
                // One whose keys can't be found is malformed.
                let _ = command.for_each_key(request.bytes, request.args, |at| f(request.arg(at)));
            }
        });
        rest = &rest[len..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slotmux_core::answer::tracking::TrackingMode;

    #[test]
    fn each_mode_has_its_reads() {
        for (mode, plain, given) in [
            (TrackingMode::Off, false, false),
            (TrackingMode::All, true, true),
            (TrackingMode::OptIn, false, true),
            (TrackingMode::OptOut, true, false),
            (TrackingMode::Broadcast, false, false),
        ] {
            for (caching, expected) in [(false, plain), (true, given)] {
                assert_eq!(
                    Tracking {
                        mode,
                        caching,
                        ..Tracking::default()
                    }
                    .wants_next(),
                    expected,
                    "{mode:?}"
                );
            }
        }
    }

    #[test]
    fn an_invalidation_names_its_keys() {
        assert_eq!(
            invalidation(&[b"a", b""]),
            b">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\na\r\n$0\r\n\r\n"
        );
        assert!(FORGET_ALL.starts_with(INVALIDATE));
    }
}
