//! Each key and variable of the configuration has its effect on the running process. Keys whose effect is a subject of
//! its own are tested with that subject: the table below names the file.

mod connections;
mod environment;
mod listener;
mod process;
mod timing;
mod upstream;
mod users;

use slotmux_core::config::{env, keys};

/// Every key, and the file with the test that fails when the key has no effect.
const KEYS: &[(&str, &str)] = &[
    ("server.workers", PROCESS),
    ("server.max_clients", PROCESS),
    ("server.backlog", PROCESS),
    ("server.memory_limit", "limits/one_client.rs"),
    ("server.drain_timeout", "process/drain.rs"),
    ("listener.name", PROCESS),
    ("listener.bind", LISTENER),
    ("listener.personality", "routing/cluster_personality.rs"),
    ("listener.announce", "routing/cluster_personality.rs"),
    ("listener.idle_timeout", LISTENER),
    ("listener.tcp_keepalive", LISTENER),
    ("listener.default_user", USERS),
    ("listener.limits.max_request", "limits/one_client.rs"),
    ("listener.limits.max_args", "limits/one_client.rs"),
    ("listener.limits.max_inline", "limits/one_client.rs"),
    ("listener.limits.max_pipeline", "limits/one_client.rs"),
    ("listener.limits.output_soft", "limits/one_client.rs"),
    ("listener.limits.output_hard", "limits/one_client.rs"),
    ("user.name", USERS),
    ("user.passwords", USERS),
    ("cluster.name", PROCESS),
    ("cluster.seeds", UPSTREAM),
    ("cluster.kind", UPSTREAM),
    ("cluster.username", UPSTREAM),
    ("cluster.password", UPSTREAM),
    ("cluster.address_map", UPSTREAM),
    ("cluster.connections.shared", CONNECTIONS),
    ("cluster.connections.dedicated_max", CONNECTIONS),
    ("cluster.connections.kept_max", CONNECTIONS),
    ("cluster.connections.dedicated_idle", CONNECTIONS),
    ("cluster.connections.bulk_threshold", CONNECTIONS),
    ("cluster.connections.max_in_flight", CONNECTIONS),
    ("cluster.connections.max_in_flight_bytes", CONNECTIONS),
    ("cluster.connections.connect_timeout", TIMING),
    ("cluster.connections.backoff", TIMING),
    ("cluster.connections.health_interval", TIMING),
    ("cluster.timeouts.command", TIMING),
    ("cluster.timeouts.response", TIMING),
    ("cluster.retry.on_timeout", "upstream/faults/lost.rs"),
    ("cluster.retry.reads", "upstream/faults/lost.rs"),
    ("cluster.retry.unsent_writes", "upstream/faults/lost.rs"),
    ("cluster.topology.refresh", TIMING),
    ("cluster.topology.min_interval", TIMING),
    ("namespace.name", "ttl/main.rs"),
    ("namespace.match", "ttl/main.rs"),
    ("namespace.ttl_env", "ttl/keys.rs"),
    ("namespace.read_only", "ttl/namespaces.rs"),
    ("namespace.max_key", "ttl/namespaces.rs"),
    ("namespace.max_value", "ttl/namespaces.rs"),
    ("namespace.deny", "ttl/namespaces.rs"),
    ("namespace.multi", "client/transactions/slots.rs"),
    ("namespace.retry_writes", "upstream/retry_writes/mod.rs"),
    ("namespace.ttl.mode", "ttl/keys.rs"),
    ("namespace.ttl.default", "ttl/keys.rs"),
    ("namespace.ttl.max", "ttl/table.rs"),
    ("namespace.ttl.min", "ttl/keys.rs"),
    ("namespace.ttl.jitter", "ttl/keys.rs"),
    ("namespace.ttl.jitter_by", "ttl/keys.rs"),
    ("namespace.ttl.over_max", "ttl/namespaces.rs"),
    ("namespace.ttl.persist", "ttl/keys.rs"),
    ("namespace.ttl.keepttl", "ttl/keys.rs"),
    ("namespace.ttl.strength", "ttl/blocks.rs"),
    ("namespace.ttl.scripts", "ttl/keys.rs"),
    ("defaults.namespace.unmatched", "ttl/namespaces.rs"),
    ("defaults.namespace.flush", KEYSPACE),
    ("defaults.namespace.read_only", NAMESPACES),
    ("defaults.namespace.max_key", NAMESPACES),
    ("defaults.namespace.max_value", NAMESPACES),
    ("defaults.namespace.deny", NAMESPACES),
    ("defaults.namespace.multi", "client/transactions/slots.rs"),
    (
        "defaults.namespace.retry_writes",
        "upstream/retry_writes/real.rs",
    ),
    ("defaults.namespace.ttl.mode", NAMESPACES),
    ("defaults.namespace.ttl.default", "ttl/keys.rs"),
    ("defaults.namespace.ttl.max", NAMESPACES),
    ("defaults.namespace.ttl.min", NAMESPACES),
    ("defaults.namespace.ttl.jitter", NAMESPACES),
    ("defaults.namespace.ttl.jitter_by", NAMESPACES),
    ("defaults.namespace.ttl.over_max", NAMESPACES),
    ("defaults.namespace.ttl.persist", NAMESPACES),
    ("defaults.namespace.ttl.keepttl", NAMESPACES),
    ("defaults.namespace.ttl.strength", NAMESPACES),
    ("defaults.namespace.ttl.scripts", NAMESPACES),
    ("commands.unknown", UPSTREAM),
    ("commands.monitor", "client/monitor/limits.rs"),
    ("commands.monitor_rate", "client/monitor/limits.rs"),
    ("commands.keys", KEYSPACE),
    ("commands.admin", KEYSPACE),
    ("commands.scripts", "routing/keyspace/script_rules.rs"),
    ("commands.one_node", "routing/modules/graphs.rs"),
    ("admin.bind", PROCESS),
    ("admin.hosts", ADMIN_PAGE),
    ("admin.max_connections", ADMIN_PAGE),
    ("admin.header_timeout", ADMIN_PAGE),
    ("admin.idle_timeout", ADMIN_PAGE),
    ("admin.write_timeout", ADMIN_PAGE),
    ("log.level", PROCESS),
    ("log.format", PROCESS),
];

const ADMIN_PAGE: &str = "process/admin_page.rs";
const CONNECTIONS: &str = "config/effects/connections.rs";
const ENVIRONMENT: &str = "config/effects/environment.rs";
const KEYSPACE: &str = "routing/keyspace/settings.rs";
const LISTENER: &str = "config/effects/listener.rs";
/// Keys of namespaces: that they reach their namespaces.
const NAMESPACES: &str = "config/namespaces.rs";
const PROCESS: &str = "config/effects/process.rs";
const TIMING: &str = "config/effects/timing.rs";
const UPSTREAM: &str = "config/effects/upstream.rs";
const USERS: &str = "config/effects/users.rs";

/// Every variable with a name of its own.
const VARIABLES: &[(&str, &str)] = &[
    ("REDIS_URL", ENVIRONMENT),
    ("REDIS_USERNAME", UPSTREAM),
    ("REDIS_PASSWORD", UPSTREAM),
    ("REDIS_CONNECTION_TIMEOUT", TIMING),
    ("REDIS_SOCKET_TIMEOUT", TIMING),
    ("REDIS_HEALTH_CHECK_INTERVAL", TIMING),
    ("REDIS_RETRY_ON_TIMEOUT", "upstream/faults/lost.rs"),
    ("SLOTMUX_LISTEN", ENVIRONMENT),
    ("SLOTMUX_MAX_CLIENTS", PROCESS),
    ("SLOTMUX_WORKERS", PROCESS),
    ("SLOTMUX_LOG", PROCESS),
    ("SLOTMUX_ADMIN", ENVIRONMENT),
    ("SLOTMUX_CONFIG", ENVIRONMENT),
    ("SLOTMUX_PASSWORD", USERS),
    ("REDIS_MAX_CONNECTIONS", CONNECTIONS),
];

/// A new key or variable needs an entry with its test here, and the test must exist.
#[test]
fn every_key_and_variable_has_its_test() {
    let keys = keys::all();
    let listed: Vec<&str> = KEYS.iter().map(|(key, _)| *key).collect();
    assert_eq!(listed, keys);
    let listed: Vec<&str> = VARIABLES.iter().map(|(name, _)| *name).collect();
    assert_eq!(listed, env::names());
    for (name, file) in KEYS.iter().chain(VARIABLES) {
        let path = format!("{}/tests/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        // Keys that every test sets anyway, or by other means than the key's whole name.
        let is_implied = ["cluster.seeds", "user.name"].contains(name);
        let name = name.strip_prefix("defaults.").unwrap_or(name);
        let name = name.strip_prefix("namespace.").unwrap_or(name);
        let name = name.strip_prefix("ttl.").unwrap_or(name);
        assert!(is_implied || text.contains(name), "{name} is not in {file}");
    }
}
