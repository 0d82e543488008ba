//! Commands with keys in several slots: replies and values as on one Redis, and the state after failures.

mod bad_nodes;
#[cfg(debug_assertions)]
mod interrupted;
mod moving_slots;
mod policies;
mod same_as_redis;
mod settings;
mod snapshots;

use slotmux_testing::{Proxy, RawClient, Value, shared_cluster};

/// slotmux that runs every command over several slots.
pub fn running_all() -> Proxy {
    Proxy::start(shared_cluster(), |config| {
        config.set("defaults.namespace.cross_slot", "all");
        config.set("log.level", "warn");
    })
}

/// The words of a line; `@` begins the names of one test's keys.
pub fn words(line: &str, prefix: &str) -> Vec<Vec<u8>> {
    line.split(' ')
        .map(|word| word.replace('@', prefix).into_bytes())
        .collect()
}

/// Sends a line.
#[track_caller]
pub fn call(client: &mut RawClient, line: &str) -> Value {
    client.call(&words(line, ""))
}
