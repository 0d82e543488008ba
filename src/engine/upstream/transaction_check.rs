//! Whether a node runs transactions for slotmux: checked before anything else if a policy needs them, and again after a
//! node has refused one. Until the node runs one, transactions for it are refused here, which costs other clients no
//! connection.

use std::rc::Rc;

use tokio::net::TcpStream;

use crate::engine::handshake::{ConnectError, exchange};
use crate::engine::worker::Worker;
use crate::engine::worker::clock::Tick;
use slotmux_core::cluster::redirect::{ErrorVerdict, judge};
use slotmux_core::resp::{Protocol, write};

use crate::engine::upstream::NodeId;
use crate::engine::upstream::connect::{log_in, within_timeout};

/// Milliseconds after which a node that refuses transactions is asked again, if a client needs one: an operator may
/// have changed its users.
const ASK_AGAIN: u64 = 1000;

/// Starts of errors by which a node refuses a command permanently.
const PERMANENT_ERRORS: [&[u8]; 2] = [b"-NOPERM", b"-ERR unknown command"];

/// The refusal of a node that runs no transactions.
pub(super) struct RefusedTransactions {
    /// Its reply, in words.
    reply: String,
    /// When it refused, or was last asked again.
    since: Tick,
}

/// Checks that a transaction of the upstream user is closed by its EXEC. Nothing is executed.
async fn try_transaction(stream: &mut TcpStream) -> Result<(), String> {
    let replies = ask(stream, &[&[b"MULTI"], &[b"EXEC"]]).await?;
    let mut lines = replies.split(|&byte| byte == b'\n');
    for (step, line) in [("MULTI", lines.next()), ("EXEC", lines.next())] {
        if let Some(refusal) = line.and_then(refusal) {
            return Err(format!("it answers {step} with \"{refusal}\""));
        }
    }
    Ok(())
}

/// Checks that the upstream user may attach an expiry to a key below `prefix` within a transaction. Otherwise MULTI or
/// the expiry could be refused while the command between them runs. Nothing is executed: MULTI is known to be accepted
/// before PEXPIRE follows one.
pub(super) async fn try_expiry(stream: &mut TcpStream, prefix: &[u8]) -> Result<(), ConnectError> {
    let expiry: &[&[u8]] = &[b"PEXPIRE", prefix, b"1000", b"LT"];
    let tried = async {
        try_transaction(stream).await?;
        let replies = ask(stream, &[&[b"MULTI"], expiry, &[b"DISCARD"]]).await?;
        let lines = replies.split(|&byte| byte == b'\n');
        for (step, line) in ["MULTI", "PEXPIRE", "DISCARD"].into_iter().zip(lines) {
            match refusal(line) {
                // An expiry may be redirected like any command, or refused by a node that takes no writes now; neither
                // is lasting.
                Some(text) if step != "PEXPIRE" || is_permanent(line) => {
                    return Err(format!("it answers {step} with \"{text}\""));
                }
                _ => {}
            }
        }
        Ok(())
    };
    tried.await.map_err(|reason: String| {
        ConnectError::Refused(format!(
            "a TTL policy needs MULTI, EXEC, DISCARD and PEXPIRE: {reason}"
        ))
    })
}

async fn ask(stream: &mut TcpStream, commands: &[&[&[u8]]]) -> Result<Vec<u8>, String> {
    let mut requests = Vec::new();
    for command in commands {
        write::request(&mut requests, command);
    }
    let replies = exchange(stream, &requests, commands.len()).await;
    replies.map_err(|error| error.to_string())
}

/// Why a transaction was refused, by one line of the replies; `None` if it was not, or if the node is only busy.
fn refusal(line: &[u8]) -> Option<String> {
    let text = line.strip_prefix(b"-")?;
    let reason = text
        .strip_prefix(b"EXECABORT Transaction discarded because of: ")
        .unwrap_or(text);
    // The reason comes with EXECABORT, so Redis has closed the transaction.
    let is_held_up = reason.len() < text.len()
        && (reason.starts_with(b"BUSY ") || judge(reason) != ErrorVerdict::Deliver);
    let shown = || String::from_utf8_lossy(text).trim_end().to_owned();
    (!is_held_up).then(shown)
}

/// Whether a command is refused permanently, for any key.
fn is_permanent(line: &[u8]) -> bool {
    PERMANENT_ERRORS.iter().any(|start| line.starts_with(start))
}

impl Worker {
    /// Refuses transactions for a node from now on: it has refused one with this reply.
    pub(super) fn refuse_transactions(&self, node: NodeId, reply: &str) {
        let since = self.clock.now();
        let mut found = self.nodes.node_mut(node);
        if found.refused_transactions.is_none() {
            tracing::error!(node = %found.addr, reply, "node runs no transactions: they are refused until it does");
        }
        found.refused_transactions = Some(RefusedTransactions {
            reply: reply.to_owned(),
            since,
        });
    }

    /// Allows transactions for a node: it has run one.
    pub(super) fn allow_transactions(&self, node: NodeId) {
        let mut found = self.nodes.node_mut(node);
        if found.refused_transactions.take().is_some() {
            tracing::info!(node = %found.addr, "node runs transactions again");
        }
    }

    /// Returns the error for a transaction that its node would refuse. The node is asked again from time to time.
    pub fn check_transactions(self: &Rc<Self>, node: NodeId) -> Option<String> {
        let now = self.clock.now();
        let (text, is_due) = {
            let found = &mut *self.nodes.node_mut(node);
            let refused = found.refused_transactions.as_mut()?;
            let text = format!(
                "ERR slotmux: node {} runs no transactions ({}), the commands were not executed",
                found.addr, refused.reply
            );
            let is_due = refused.since.is_over(ASK_AGAIN, now);
            if is_due {
                refused.since = now;
            }
            (text, is_due)
        };
        if is_due {
            let worker = self.clone();
            let asking = async move { worker.ask_again(node).await };
            self.spawn("a transaction check", asking, |_| {});
        }
        Some(text)
    }

    async fn ask_again(self: Rc<Self>, node: NodeId) {
        let addr = self.address_of(node);
        let attempt = async {
            let mut stream = log_in(&self, &addr, Protocol::Resp2).await?;
            try_transaction(&mut stream)
                .await
                .map_err(ConnectError::Refused)
        };
        match within_timeout(&self, attempt).await {
            Ok(()) => self.allow_transactions(node),
            Err(error) => tracing::debug!(node = %addr, %error, "node still runs no transactions"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::upstream::transaction_check::refusal;

    #[test]
    fn which_lines_refuse_a_transaction() {
        for (line, refuses) in [
            ("+OK", false),
            ("*0", false),
            (
                "-ERR unknown command 'EXEC', with args beginning with: ",
                true,
            ),
            (
                "-NOPERM this user has no permissions to run the 'multi' command",
                true,
            ),
            (
                "-EXECABORT Transaction discarded because of: NOPERM this user has no permissions to run the 'exec' command",
                true,
            ),
            (
                "-EXECABORT Transaction discarded because of previous errors.",
                true,
            ),
            (
                "-EXECABORT Transaction discarded because of: BUSY Redis is busy running a script.",
                false,
            ),
            (
                "-EXECABORT Transaction discarded because of: LOADING Redis is loading the dataset in memory",
                false,
            ),
            ("-LOADING Redis is loading the dataset in memory", true),
        ] {
            assert_eq!(refusal(line.as_bytes()).is_some(), refuses, "{line}");
        }
    }
}
