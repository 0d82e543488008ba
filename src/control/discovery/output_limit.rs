//! Warns at the start of nodes that close a connection whose pending output is too big (`client-output-buffer-limit`): a
//! shared connection carries the replies of many clients.

use std::sync::Arc;

use redis::{RedisResult, Value};

use super::addr::Addr;
use super::ask::Access;
use super::open::open;
use super::parameters::parameter;

const SETTING: &str = "client-output-buffer-limit";

/// The limit of class `normal` in the parameter's value, verbatim; `None` if there is no limit.
fn limit(value: &str) -> Option<String> {
    let words: Vec<&str> = value.split_whitespace().collect();
    let of_normal = words
        .chunks_exact(4)
        .find(|class| class[0].eq_ignore_ascii_case("normal"))?;
    // The hard limit, the soft limit, and the seconds for which the soft one may be exceeded.
    let is_limited = of_normal[1..3].iter().any(|&bytes| bytes != "0");
    is_limited.then(|| of_normal.join(" "))
}

/// Warns of each of `nodes` that has such a limit, and calls `note` with it.
pub(super) async fn look(access: Arc<Access>, nodes: Vec<Addr>, note: impl Fn(Addr)) {
    for node in nodes {
        let Ok(mut connection) = open(&access, &node).await else {
            // An unreachable node is reported elsewhere.
            continue;
        };
        let mut get = redis::cmd("CONFIG");
        get.arg("GET").arg(SETTING);
        // CONFIG is often withheld; then there is nothing to warn of.
        let reply: RedisResult<Value> = get.query_async(&mut connection).await;
        let value = reply.ok().and_then(|reply| parameter(&reply));
        if let Some(limit) = value.as_deref().and_then(limit) {
            note(node.clone());
            tracing::warn!(
                %node,
                "{SETTING} is \"{limit}\": the node ends a connection that many clients share when one of them reads more \
                 than that; set it to \"normal 0 0 0\""
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::limit;

    #[test]
    fn limits_of_ordinary_clients() {
        let others = "slave 268435456 67108864 60 pubsub 33554432 8388608 60";
        for (normal, expected) in [
            ("normal 0 0 0", None),
            ("normal 0 0 60", None),
            ("normal 1048576 0 0", Some("normal 1048576 0 0")),
            ("normal 0 1024 5", Some("normal 0 1024 5")),
            ("", None),
        ] {
            for value in [format!("{normal} {others}"), format!("{others} {normal}")] {
                assert_eq!(limit(&value).as_deref(), expected, "{value}");
            }
        }
    }
}
