//! Repairs: expiries that are sent without the command that they stood behind, because it has run, or may have, and they
//! have not. A late expiry still enforces the bounds.

use std::rc::Rc;

use crate::engine::worker::Worker;
use slotmux_core::policy;

use crate::engine::upstream::block::{Block, Destination};
use crate::engine::upstream::inflight::{InFlight, OnReply};

impl Worker {
    /// Sends expiries whose command has run, or may have, but whose slot moved or whose connection broke before they
    /// ran. A late expiry still enforces the bounds.
    pub(super) fn send_repair(self: &Rc<Self>, repair: Repair) {
        let Repair { entry, bytes } = repair;
        self.stats.expiries_repaired.inc();
        let entry = InFlight {
            // The deadline of a repair counts from now on.
            arrived: self.clock.now(),
            ..entry
        };
        self.send_again(entry, bytes);
    }
}

/// The expiries behind a command, to be sent without it.
pub(super) struct Repair {
    entry: InFlight,
    bytes: Vec<u8>,
}

impl Repair {
    /// The commands after the first one in `block`, if they run without MULTI and there are any. If the first one may
    /// still run on a lost connection, `ahead` is the command that prevents it: an expiry that came before the first
    /// command would find no key.
    pub fn of(entry: InFlight, block: &[u8], ahead: Option<&[u8]>) -> Option<Repair> {
        let OnReply::Block(whole) = &entry.kind else {
            return None;
        };
        if whole.form().atomic || whole.form().commands == 1 || entry.slot.get().is_none() {
            return None;
        }
        let commands_ahead = u32::from(ahead.is_some());
        let bytes = [ahead.unwrap_or_default(), &block[whole.runs_at()..]].concat();
        let form = policy::BlockShape {
            atomic: false,
            commands: commands_ahead + whole.form().commands - 1,
            own: 0,
        };
        let destination = Destination::Repair {
            ahead: commands_ahead,
        };
        let entry = InFlight {
            len: bytes.len() as u32,
            kind: OnReply::Block(Block::new(form, destination, &bytes)),
            // An expiry that is set twice is the same expiry.
            write: false,
            tries: 0,
            ..entry
        };
        Some(Repair { entry, bytes })
    }

    /// Splits a command to be sent: the command ahead of a repair, if there is one, and the rest.
    pub fn split_ahead(entry: InFlight, request: Vec<u8>) -> (Option<Vec<u8>>, InFlight, Vec<u8>) {
        let runs_at = match &entry.kind {
            OnReply::Block(block)
                if matches!(block.destination(), Destination::Repair { ahead: 1.. }) =>
            {
                block.runs_at()
            }
            _ => return (None, entry, request),
        };
        match Repair::of(entry.clone(), &request, None) {
            Some(repair) => {
                let tries = entry.tries;
                let rest = InFlight {
                    tries,
                    ..repair.entry
                };
                (Some(request[..runs_at].to_vec()), rest, repair.bytes)
            }
            None => (None, entry, request),
        }
    }
}
