//! Notes at the start that scripts can reach databases other than the one that slotmux shows: keys that they write there are
//! under no TTL policy.

use std::sync::Arc;

use redis::{RedisResult, Value};
use tracing::info;

use super::addr::Addr;
use super::ask::Access;
use super::open::open;

/// Tries SELECT at `node`, on a connection that is closed afterwards.
pub(super) async fn look_for_databases(access: Arc<Access>, node: Addr) {
    let Ok(mut connection) = open(&access, &node).await else {
        // An unreachable node is reported elsewhere.
        return;
    };
    let mut select = redis::cmd("SELECT");
    select.arg(1);
    let reply: RedisResult<Value> = select.query_async(&mut connection).await;
    if reply.is_ok() {
        info!(
            %node,
            user = access.user(),
            "the node has several databases and the upstream user may use them: a script that runs SELECT can write keys \
             that no TTL policy covers; \"-select -move -swapdb\" for that user prevents it"
        );
    }
}
