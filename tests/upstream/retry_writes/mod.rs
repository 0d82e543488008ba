//! `retry_writes`: a write whose connection broke before it was answered is sent again if its namespace allows it and
//! it may run twice; any other write gets the error that its fate is unknown, and runs once.

mod real;
mod scripted;

use slotmux_core::slot::slot_of;
use slotmux_testing::ProxyConfig;

const UNKNOWN: &str =
    "ERR slotmux: connection to the node was lost, the command may have been executed";

/// Namespaces whose writes are sent again, two of them with a TTL, and one in which they are not. Unmatched keys follow
/// `defaults.namespace.retry_writes`, which the others inherit.
fn namespaces(config: &mut ProxyConfig) {
    config.set("server.workers", 1);
    config.set("cluster.connections.backoff", "10ms..50ms");
    for section in [
        "name = \"in\"\nmatch = [\"in:\"]\nretry_writes = \"idempotent\"",
        "name = \"brief\"\nmatch = [\"brief:\"]\nretry_writes = \"idempotent\"\nttl = { default = \"1h\", max = \"2h\" }",
        "name = \"loose\"\nmatch = [\"loose:\"]\nretry_writes = \"idempotent\"\nttl = { default = \"1h\", strength = \"pipelined\" }",
        "name = \"out\"\nmatch = [\"out:\"]\nretry_writes = \"never\"",
        "name = \"plain\"\nmatch = [\"plain:\"]",
    ] {
        config.add_section("namespace", section.parse().expect("TOML"));
    }
}

/// A hash tag whose slot belongs to the first of three nodes.
fn tag() -> String {
    (0..)
        .map(|i| format!("{{t{i}}}"))
        .find(|tag| slot_of(tag.as_bytes()).0 < 5461)
        .expect("a tag")
}
