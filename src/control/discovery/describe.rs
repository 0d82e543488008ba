//! Queries the options of learned commands, by which TTL policies find the TTL in a request.

use redis::Value;
use redis::aio::MultiplexedConnection;
use slotmux_core::command::Learned;

/// Asks for the options of the commands that may give keys a TTL. Without an answer the policies treat them by the
/// strictest rule.
pub(super) async fn describe(connection: &mut MultiplexedConnection, learned: &mut Learned) {
    let mut names = learned.undescribed().peekable();
    if names.peek().is_none() {
        return;
    }
    let mut docs = redis::cmd("COMMAND");
    docs.arg("DOCS");
    names.for_each(|name| {
        docs.arg(name);
    });
    if let Ok(reply) = docs.query_async::<Value>(connection).await {
        learned.describe(&reply);
    }
}
