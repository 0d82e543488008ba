//! From an in-flight entry to the client that waits for it.

use std::rc::Rc;

use crate::resp::write;
use crate::worker::Worker;

use super::inflight::{InFlight, Kind};

/// Delivers bytes of the reply to `entry`; `complete` with the last of them.
pub fn deliver_piece(worker: &Rc<Worker>, entry: &InFlight, bytes: &[u8], complete: bool) {
    match &entry.kind {
        Kind::Deliver => entry.client.reply_piece(
            worker,
            entry.seq,
            if entry.mute { &[] } else { bytes },
            complete,
        ),
        Kind::Part { gather, part } => gather.take(worker, *part, bytes, complete),
        Kind::Asking | Kind::Swallow => {}
    }
}

/// Answers `entry` with an error of slotmux's own (without the leading `-`).
pub fn deliver_error(worker: &Rc<Worker>, entry: &InFlight, text: &str) {
    worker.stats.errors.inc();
    let mut reply = Vec::new();
    write::error(&mut reply, text);
    deliver_piece(worker, entry, &reply, true);
}
