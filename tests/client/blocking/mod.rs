//! Blocking commands in front of real clusters: as if each client had its own connection to one Redis.

mod acknowledged;
mod commands;
mod dead_moves;
mod faults;
mod leaving;
mod moves;
mod pool;

use slotmux::tools::demo::cluster::LocalCluster;
use slotmux_core::slot::slot_of;
use slotmux_testing::{PATIENCE, Proxy, RawClient, Value, poll_until};

/// A key in a slot of this node.
pub fn key_on(cluster: &LocalCluster, node: usize, prefix: &str) -> String {
    let is_there =
        |key: &String| cluster.primary_of_slot(slot_of(key.as_bytes()).0).ok() == Some(node);
    let mut keys = (0..).map(|i| format!("{prefix}:{i}"));
    keys.find(is_there).expect("a key")
}

/// The number of blocked clients that a node reports.
pub fn blocked_at(cluster: &LocalCluster, node: usize) -> usize {
    let info: String = cluster
        .query(node, &["INFO", "clients"])
        .unwrap_or_default();
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("blocked_clients:"));
    line.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Waits until a node reports this number of blocked clients.
#[track_caller]
pub fn until_blocked(cluster: &LocalCluster, node: usize, count: usize) {
    poll_until(PATIENCE, "clients to be blocked at their node", || {
        blocked_at(cluster, node) == count
    });
}

/// Waits until slotmux counts this number of blocked clients.
#[track_caller]
pub fn until_counted(proxy: &Proxy, count: usize) {
    poll_until(PATIENCE, "slotmux to count its blocked clients", || {
        proxy.metric("slotmux_blocked_clients") == Some(count as f64)
    });
}

/// Sends a command, given as one line.
pub fn send(client: &mut RawClient, line: &str) {
    client.send(&line.split(' ').collect::<Vec<_>>());
}

/// Sends a command, given as one line, and reads the reply.
#[track_caller]
pub fn call(client: &mut RawClient, line: &str) -> Value {
    send(client, line);
    client.read()
}

/// A list of bulk strings.
pub fn bulks(words: &[&str]) -> Value {
    Value::Array(words.iter().map(Value::bulk).collect())
}
