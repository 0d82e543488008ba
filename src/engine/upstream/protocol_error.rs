//! A node whose reply to a block breaks the protocol: the client gets an error, and the connection is closed.
//!
//! If the node still has a transaction open, it would queue every later command of the connection and run none of them.
//! Probed on Redis 7.0: a renamed EXEC leaves the transaction open, a forbidden one does not.

use std::rc::Rc;

use crate::engine::worker::Worker;
use slotmux_core::cluster::redirect::{ErrorVerdict, judge};
use slotmux_core::resp::write;

use crate::engine::upstream::deliver::deliver_error;
use crate::engine::upstream::inflight::InFlight;
use crate::engine::upstream::lane::Lane;
use crate::engine::upstream::read::End;

/// Quoted bytes of a node's reply, at most.
const QUOTED: usize = 120;

/// Reply to a command that the node queues for EXEC.
const QUEUED: &[u8] = b"+QUEUED\r\n";

/// Starts of errors to EXEC that close the transaction.
const CLOSING_ERRORS: [&[u8]; 2] = [b"-EXECABORT ", b"-CROSSSLOT "];

/// The step of a block that got a wrong reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlockStep {
    /// MULTI.
    Multi,
    /// A command to be queued.
    Queueing,
    /// EXEC.
    Exec,
}

impl BlockStep {
    /// Its name in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            BlockStep::Multi => "MULTI",
            BlockStep::Queueing => "a command in a transaction",
            BlockStep::Exec => "EXEC",
        }
    }
}

/// Whether a node that replies to EXEC with this error has closed the transaction. Redis replies EXECABORT, or
/// redirects EXEC by the keys of the queued commands.
pub(super) fn closes(error: &[u8]) -> bool {
    CLOSING_ERRORS.iter().any(|start| error.starts_with(start))
        || matches!(
            judge(error),
            ErrorVerdict::Moved { .. }
                | ErrorVerdict::Ask { .. }
                | ErrorVerdict::TryAgain
                | ErrorVerdict::ClusterDown
        )
}

/// The first line of a reply, fit for an error or log.
fn quoted(reply: &[u8]) -> String {
    let line = reply
        .split(|&byte| byte == b'\r')
        .next()
        .unwrap_or_default();
    let line = &line[..line.len().min(QUOTED)];
    String::from_utf8_lossy(line).replace(char::is_control, "?")
}

/// Whether a reply shows that the node has a transaction open, though none was begun. Otherwise only a script can
/// return this text.
#[inline]
pub fn is_queued(reply: &[u8]) -> bool {
    reply == QUEUED
}

impl Worker {
    /// Ends a block, the oldest entry, which was taken off its lane, because of a reply that is invalid at this step.
    /// The client gets an error at once: nothing is retried, at this node or another.
    pub(super) fn end_by_protocol_error(
        self: &Rc<Self>,
        lane: &Lane,
        entry: &InFlight,
        step: BlockStep,
        reply: &[u8],
    ) -> End {
        let fault = format!("answers {} with \"{}\"", step.name(), quoted(reply));
        if step == BlockStep::Multi {
            self.stats.blocks_refused.inc();
        }
        if reply.first() == Some(&b'-') {
            self.refuse_transactions(lane.node, &fault);
        }
        if entry.is_awaited() {
            let text = format!(
                "ERR slotmux: node {} {fault}, the commands may have been executed",
                lane.addr
            );
            deliver_error(self, entry, &text);
        }
        End::ProtocolError(fault)
    }

    /// The same for a refused EXEC: nothing has run, but the transaction may be open.
    pub(super) fn end_open_transaction(self: &Rc<Self>, lane: &Lane, error: &[u8]) -> End {
        let fault = format!("answers EXEC with \"{}\"", quoted(error));
        if judge(error) == ErrorVerdict::Deliver {
            self.stats.blocks_refused.inc();
            self.refuse_transactions(lane.node, &fault);
        }
        End::ProtocolError(fault)
    }

    /// The error for the client of that EXEC, or the redirect that decides whether it is sent elsewhere.
    pub(super) fn open_transaction_error(
        &self,
        lane: &Lane,
        entry: &InFlight,
        error: &[u8],
    ) -> Vec<u8> {
        if judge(error) != ErrorVerdict::Deliver {
            return error.to_vec();
        }
        entry.note_own_error();
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
    use crate::engine::upstream::protocol_error::closes;

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
