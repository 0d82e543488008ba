//! From an in-flight entry to the client that waits for it.

use std::borrow::Cow;
use std::rc::Rc;

use crate::engine::blocking::wait_replicas::caught_up;
use crate::engine::pubsub::publish::corrected;
use crate::engine::transaction::watch::watch_next;
use crate::engine::worker::Worker;
use slotmux_core::policy::ReplyConversion;
use slotmux_core::resp::write;

use super::block::Destination;
use super::inflight::{InFlight, OnReply};
use crate::engine::upstream::retry::lost::UNKNOWN_FATE;

/// Delivers bytes of the reply to `entry`; `complete` with the last of them.
pub fn deliver_piece(worker: &Rc<Worker>, entry: &InFlight, bytes: &[u8], complete: bool) {
    match &entry.kind {
        OnReply::Watch {
            is_awaited: true,
            behind: Some(parts),
            ..
        } if bytes == b"+OK\r\n" => watch_next(worker, entry.clone(), (**parts).clone()),
        OnReply::Deliver
        | OnReply::Watch {
            is_awaited: true, ..
        } => deliver_to(worker, entry, &Destination::Deliver, bytes, complete),
        OnReply::Publish(receivers) => {
            let bytes = corrected(*receivers, bytes);
            deliver_to(worker, entry, &Destination::Deliver, &bytes, complete);
        }
        OnReply::Part { gather, part } => {
            if !complete && entry.reply == ReplyConversion::CaughtUp {
                // The rest alone counts no replicas.
                return;
            }
            gather.take(worker, *part, &as_asked(entry.reply, bytes), complete);
        }
        OnReply::Block(block) if block.is_awaited() => {
            if complete {
                block.settle();
            }
            deliver_to(worker, entry, block.destination(), bytes, complete);
        }
        OnReply::Probe => worker.count_probe(entry.namespace, bytes),
        OnReply::Block(_)
        | OnReply::Watch { .. }
        | OnReply::Unwatch
        | OnReply::Verify(_)
        | OnReply::Asking
        | OnReply::Tracking
        | OnReply::Caching
        | OnReply::Discard
        | OnReply::ProcessRun
        | OnReply::ConnectionId
        | OnReply::ReportOne(_) => {}
    }
}

/// Delivers bytes of the one reply of `entry` to its destination.
pub fn deliver_to(
    worker: &Rc<Worker>,
    entry: &InFlight,
    destination: &Destination,
    bytes: &[u8],
    complete: bool,
) {
    let bytes = &*as_asked(entry.reply, bytes);
    match destination {
        Destination::Deliver => {
            worker.count_reply(entry.counted(), bytes, complete);
            let bytes = if entry.mute { &[] } else { bytes };
            entry.client.reply_piece(worker, entry.seq, bytes, complete);
        }
        Destination::Part { gather, part } => gather.take(worker, *part, bytes, complete),
        Destination::Exec { exec, group } if complete => exec.settle(worker, *group, bytes),
        Destination::Exec { exec, group } => exec.take(worker, *group, 0, bytes, false),
        Destination::Repair { .. } => worker
            .stats
            .expiries_failed
            .add(u64::from(bytes.starts_with(b"-"))),
    }
}

/// The reply to the client's request, made of the reply to the rewritten one.
#[inline]
fn as_asked(how: ReplyConversion, bytes: &[u8]) -> Cow<'_, [u8]> {
    match how {
        ReplyConversion::AsIs | ReplyConversion::Found => bytes.into(),
        ReplyConversion::OkAsInteger => ok_as_integer(bytes).into(),
        ReplyConversion::Repeated if bytes.starts_with(b"-") => {
            let mut error = Vec::new();
            write::error(&mut error, UNKNOWN_FATE);
            error.into()
        }
        ReplyConversion::CaughtUp if !bytes.starts_with(b"-") => caught_up(bytes).into(),
        ReplyConversion::Repeated | ReplyConversion::CaughtUp => bytes.into(),
    }
}

/// The reply of SETNX where `SET … NX` replied this.
pub(crate) fn ok_as_integer(reply: &[u8]) -> &[u8] {
    match reply.first() {
        Some(b'+') => b":1\r\n",
        Some(b'$' | b'_') => b":0\r\n",
        _ => reply,
    }
}

/// Answers `entry` with an error of slotmux's own (without the leading `-`).
pub fn deliver_error(worker: &Rc<Worker>, entry: &InFlight, text: &str) {
    worker.stats.errors.inc();
    let mut reply = Vec::new();
    write::error(&mut reply, text);
    entry.note_own_error();
    deliver_piece(worker, entry, &reply, true);
}
