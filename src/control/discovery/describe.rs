//! Queries the options of learned commands, by which TTL policies find the TTL in a request.

use redis::aio::MultiplexedConnection;
use redis::{RedisError, Value};
use slotmux_core::command::Learned;

/// Asks for the options of the commands that may give keys a TTL. A node that refuses leaves them undescribed, and the
/// policies treat them by the strictest rule.
///
/// # Errors
/// The node has not answered.
pub(super) async fn describe(
    connection: &mut MultiplexedConnection,
    learned: &mut Learned,
) -> Result<(), RedisError> {
    let mut names = learned.undescribed().peekable();
    if names.peek().is_none() {
        return Ok(());
    }
    let mut docs = redis::cmd("COMMAND");
    docs.arg("DOCS");
    names.for_each(|name| {
        docs.arg(name);
    });
    match docs.query_async::<Value>(connection).await {
        Ok(reply) => learned.describe(&reply),
        Err(error) if error.is_io_error() || error.is_timeout() => return Err(error),
        Err(_) => {}
    }
    Ok(())
}
