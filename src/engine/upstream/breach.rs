//! A node that does not answer a block as the protocol wants: its client is told so, and the connection ends.
//!
//! A transaction that the node still has open would take every later command of the connection for its own, and run none
//! of them. Probed on Redis 7.0: an EXEC that is renamed leaves it open, one that the user may not run does not.

use std::rc::Rc;

use crate::engine::worker::Worker;
use slotmux_core::cluster::redirect::{Verdict, judge};
use slotmux_core::resp::write;

use super::deliver::deliver_error;
use super::inflight::InFlight;
use super::lane::Lane;
use super::read::End;

/// Bytes of a node's reply that are quoted at the most.
const QUOTED: usize = 120;

/// What a node answers to a command that it keeps for EXEC.
const QUEUED: &[u8] = b"+QUEUED\r\n";

/// The step of a block that a node did not take as it should.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// MULTI.
    Multi,
    /// A command that is to be queued.
    Queueing,
    /// EXEC.
    Exec,
}

impl Step {
    /// Its name in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Step::Multi => "MULTI",
            Step::Queueing => "a command in a transaction",
            Step::Exec => "EXEC",
        }
    }
}

/// Whether a node that answers EXEC with this error has closed the transaction. Redis says EXECABORT, or redirects EXEC
/// itself by the keys of what it has queued.
pub(super) fn closes(error: &[u8]) -> bool {
    error.starts_with(b"-EXECABORT ")
        || error.starts_with(b"-CROSSSLOT ")
        || matches!(
            judge(error),
            Verdict::Moved { .. } | Verdict::Ask { .. } | Verdict::TryAgain | Verdict::ClusterDown
        )
}

/// The first line of a reply, to be shown.
fn quoted(reply: &[u8]) -> String {
    let line = reply
        .split(|&byte| byte == b'\r')
        .next()
        .unwrap_or_default();
    let line = &line[..line.len().min(QUOTED)];
    String::from_utf8_lossy(line).replace(char::is_control, "?")
}

/// Whether a reply says that the node has a transaction open, though none was asked for. Only a script can say so by
/// itself.
#[inline]
pub fn is_queued(reply: &[u8]) -> bool {
    reply == QUEUED
}

impl Worker {
    /// The oldest entry, a block that was taken off its lane, met a reply that none may bring at this step. The client
    /// learns it at once: no other node is asked, and nothing is tried again.
    pub(super) fn end_breach(
        self: &Rc<Self>,
        lane: &Lane,
        entry: &InFlight,
        step: Step,
        reply: &[u8],
    ) -> End {
        let said = format!("answers {} with \"{}\"", step.name(), quoted(reply));
        if step == Step::Multi {
            self.stats.blocks_refused.inc();
        }
        if reply.first() == Some(&b'-') {
            self.distrust(lane.node, &said);
        }
        if entry.is_awaited() {
            let text = format!(
                "ERR slotmux: node {} {said}, the commands may have been executed",
                lane.addr
            );
            deliver_error(self, entry, &text);
        }
        End::Breach(said)
    }

    /// The same for an EXEC that was refused: nothing has run, but the transaction may be open.
    pub(super) fn end_open(self: &Rc<Self>, lane: &Lane, error: &[u8]) -> End {
        let said = format!("answers EXEC with \"{}\"", quoted(error));
        if judge(error) == Verdict::Deliver {
            self.stats.blocks_refused.inc();
            self.distrust(lane.node, &said);
        }
        End::Breach(said)
    }

    /// What the client of that EXEC is told, or what decides whether it is sent elsewhere.
    pub(super) fn open_error(&self, lane: &Lane, error: &[u8]) -> Vec<u8> {
        if judge(error) != Verdict::Deliver {
            return error.to_vec();
        }
        let mut reply = Vec::new();
        let text = format!(
            "ERR slotmux: node {} answers EXEC with \"{}\", the commands were not executed",
            lane.addr,
            quoted(error)
        );
        write::error(&mut reply, &text);
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::closes;

    #[test]
    fn which_errors_of_exec_close_the_transaction() {
        for (error, is_closed) in [
            (
                "-EXECABORT Transaction discarded because of previous errors.",
                true,
            ),
            (
                "-EXECABORT Transaction discarded because of: NOPERM no",
                true,
            ),
            ("-MOVED 7 127.0.0.1:1", true),
            ("-ASK 7 127.0.0.1:1", true),
            (
                "-TRYAGAIN Multiple keys request during rehashing of slot",
                true,
            ),
            ("-CLUSTERDOWN The cluster is down", true),
            (
                "-CROSSSLOT Keys in request don't hash to the same slot",
                true,
            ),
            (
                "-ERR unknown command 'EXEC', with args beginning with: ",
                false,
            ),
            (
                "-NOPERM this user has no permissions to run the 'exec' command",
                false,
            ),
            ("-LOADING Redis is loading the dataset in memory", false),
            ("-MASTERDOWN Link with MASTER is down", false),
            ("-EXECABORTED", false),
            ("-ERR EXEC without MULTI", false),
        ] {
            assert_eq!(closes(error.as_bytes()), is_closed, "{error}");
        }
    }
}
