//! THE table of keys: every section's keys and the reading that sets each. The file, the environment and flags all
//! come through here; nothing else knows which keys there are.

use std::time::Duration;

use super::problem::Reading;
use super::read::{addr_map, admin_bind, binds, log_level, output_soft, passwords, secrets, seeds};
use super::section::{Key, key, list, put, section, set_each, set_only, set_section};
use super::value::Value;
use super::{
    Admin, ClientLimits, Cluster, Commands, Config, Connections, Format, Kind, Listener, Log,
    Retry, Server, Timeouts, TopologyRefresh, Unknown, User,
};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const ZERO: Duration = Duration::ZERO;
const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(365 * 86_400);
/// The kernel's own bound on TCP_KEEPIDLE.
const KEEPALIVE_MAX: Duration = Duration::from_secs(32_767);
/// Positions within a request are 32 bits wide.
const REQUEST_MAX: u64 = 2 * GIB;

const ROOT: &[Key<Config>] = &[
    section(
        "server",
        |c, v, r| set_section(&mut c.server, SERVER, v, r),
        |at, out| list(SERVER, at, out),
    ),
    section(
        "listener",
        |c, v, r| set_each(&mut c.listeners, Listener::default, LISTENER, v, r),
        |at, out| list(LISTENER, at, out),
    ),
    section(
        "user",
        |c, v, r| set_each(&mut c.users, nobody, USER, v, r),
        |at, out| list(USER, at, out),
    ),
    section(
        "cluster",
        |c, v, r| set_only(&mut c.cluster, CLUSTER, v, r),
        |at, out| list(CLUSTER, at, out),
    ),
    section(
        "commands",
        |c, v, r| set_section(&mut c.commands, COMMANDS, v, r),
        |at, out| list(COMMANDS, at, out),
    ),
    section(
        "admin",
        |c, v, r| set_section(&mut c.admin, ADMIN, v, r),
        |at, out| list(ADMIN, at, out),
    ),
    section(
        "log",
        |c, v, r| set_section(&mut c.log, LOG, v, r),
        |at, out| list(LOG, at, out),
    ),
];

const SERVER: &[Key<Server>] = &[
    key("workers", |s, v, r| put(&mut s.workers, workers(v, r))),
    key("max_clients", |s, v, r| {
        put(&mut s.max_clients, v.integer_or_auto(1..=10_000_000, r))
    }),
    key("backlog", |s, v, r| {
        put(&mut s.backlog, v.integer(1..=65_535, r))
    }),
    key("memory_limit", |s, v, r| {
        put(
            &mut s.memory_limit,
            v.size_or_none(16 * MIB..=1024 * GIB, r),
        )
    }),
    key("drain_timeout", |s, v, r| {
        put(&mut s.drain_timeout, v.duration(ZERO..=HOUR, r))
    }),
];

const LISTENER: &[Key<Listener>] = &[
    key("name", |l, v, r| put(&mut l.name, v.name(r))),
    key("bind", |l, v, r| put(&mut l.bind, binds(v, r))),
    key("idle_timeout", |l, v, r| {
        put(&mut l.idle_timeout, v.duration_or_none(MS..=YEAR, r))
    }),
    key("tcp_keepalive", |l, v, r| {
        put(
            &mut l.tcp_keepalive,
            v.duration_or_none(SECOND..=KEEPALIVE_MAX, r),
        )
    }),
    key("default_user", |l, v, r| {
        put(&mut l.default_user, v.name(r))
    }),
    section(
        "limits",
        |l, v, r| set_section(&mut l.limits, LIMITS, v, r),
        |at, out| list(LIMITS, at, out),
    ),
];

const LIMITS: &[Key<ClientLimits>] = &[
    key("max_request", |l, v, r| {
        put(&mut l.max_request, v.bytes(KIB..=REQUEST_MAX, r))
    }),
    key("max_args", |l, v, r| {
        put(&mut l.max_args, v.integer(16..=16_777_216, r))
    }),
    key("max_inline", |l, v, r| {
        put(&mut l.max_inline, v.bytes(KIB..=16 * MIB, r))
    }),
    key("max_pipeline", |l, v, r| {
        put(&mut l.max_pipeline, v.integer(1..=1_048_576, r))
    }),
    key("output_soft", |l, v, r| {
        put(&mut l.output_soft, output_soft(v, r))
    }),
    key("output_hard", |l, v, r| {
        put(&mut l.output_hard, v.bytes(64 * KIB..=16 * GIB, r))
    }),
];

const USER: &[Key<User>] = &[
    key("name", |u, v, r| put(&mut u.name, v.name(r))),
    key("passwords", |u, v, r| put(&mut u.passwords, secrets(v, r))),
];

const CLUSTER: &[Key<Cluster>] = &[
    key("name", |c, v, r| put(&mut c.name, v.name(r))),
    // Before `username` and `password`: those replace what the addresses say.
    key("seeds", seeds),
    key("kind", |c, v, r| put(&mut c.kind, v.choice(KINDS, r))),
    key("username", |c, v, r| {
        put(
            &mut c.username,
            v.text(r, "a name in quotes").map(str::to_owned),
        )
    }),
    key("password", |c, v, r| put(&mut c.passwords, passwords(v, r))),
    key("address_map", |c, v, r| {
        put(&mut c.address_map, addr_map(v, r))
    }),
    section(
        "connections",
        |c, v, r| set_section(&mut c.connections, CONNECTIONS, v, r),
        |at, out| list(CONNECTIONS, at, out),
    ),
    section(
        "timeouts",
        |c, v, r| set_section(&mut c.timeouts, TIMEOUTS, v, r),
        |at, out| list(TIMEOUTS, at, out),
    ),
    section(
        "retry",
        |c, v, r| set_section(&mut c.retry, RETRY, v, r),
        |at, out| list(RETRY, at, out),
    ),
    section(
        "topology",
        |c, v, r| set_section(&mut c.topology, TOPOLOGY, v, r),
        |at, out| list(TOPOLOGY, at, out),
    ),
];

const KINDS: &[(&str, Kind)] = &[
    ("auto", Kind::Auto),
    ("cluster", Kind::Cluster),
    ("standalone", Kind::Standalone),
];

const CONNECTIONS: &[Key<Connections>] = &[
    key("shared", |c, v, r| put(&mut c.shared, v.integer(1..=64, r))),
    key("dedicated_max", |c, v, r| {
        put(&mut c.dedicated_max, v.integer(0..=65_535, r))
    }),
    key("dedicated_idle", |c, v, r| {
        put(&mut c.dedicated_idle, v.duration(MS..=DAY, r))
    }),
    key("bulk_threshold", |c, v, r| {
        put(&mut c.bulk_threshold, v.bytes(KIB..=512 * MIB, r))
    }),
    key("max_in_flight", |c, v, r| {
        put(&mut c.max_in_flight, v.integer(1..=1_048_576, r))
    }),
    key("max_in_flight_bytes", |c, v, r| {
        put(&mut c.max_in_flight_bytes, v.bytes(64 * KIB..=4 * GIB, r))
    }),
    key("connect_timeout", |c, v, r| {
        put(&mut c.connect_timeout, v.duration(MS..=HOUR, r))
    }),
    key("backoff", |c, v, r| {
        put(&mut c.backoff, v.durations(MS..=HOUR, r))
    }),
];

const TIMEOUTS: &[Key<Timeouts>] = &[
    key("command", |t, v, r| {
        put(&mut t.command, v.duration(MS..=HOUR, r))
    }),
    key("response", |t, v, r| {
        put(&mut t.response, v.duration(MS..=HOUR, r))
    }),
];

const RETRY: &[Key<Retry>] = &[
    key("reads", |t, v, r| put(&mut t.reads, v.integer(0..=100, r))),
    key("unsent_writes", |t, v, r| {
        put(&mut t.unsent_writes, v.integer(0..=100, r))
    }),
];

const TOPOLOGY: &[Key<TopologyRefresh>] = &[
    key("refresh", |t, v, r| {
        put(&mut t.refresh, v.duration(MS..=DAY, r))
    }),
    key("min_interval", |t, v, r| {
        put(&mut t.min_interval, v.duration(MS..=HOUR, r))
    }),
];

const COMMANDS: &[Key<Commands>] = &[key("unknown", |c, v, r| {
    put(
        &mut c.unknown,
        v.choice(&[("learn", Unknown::Learn), ("reject", Unknown::Reject)], r),
    )
})];

const ADMIN: &[Key<Admin>] = &[key("bind", |a, v, r| put(&mut a.bind, admin_bind(v, r)))];

const LOG: &[Key<Log>] = &[
    key("level", |l, v, r| put(&mut l.level, log_level(v, r))),
    key("format", |l, v, r| {
        put(
            &mut l.format,
            v.choice(&[("text", Format::Text), ("json", Format::Json)], r),
        )
    }),
];

/// Applies one source: a table of sections.
pub(super) fn apply(config: &mut Config, source: &Value, reading: &mut Reading) {
    set_section(config, ROOT, source, reading);
}

/// Every key, as people write it: `server.workers`.
pub fn all() -> Vec<String> {
    let mut keys = Vec::new();
    list(ROOT, "", &mut keys);
    keys
}

fn workers(value: &Value, reading: &mut Reading) -> Option<usize> {
    let number = value.integer_or_auto(1..=1024, reading)?;
    Some(number.unwrap_or_else(|| Server::default().workers))
}

/// A user before its section was read.
fn nobody() -> User {
    User {
        name: String::new(),
        passwords: Vec::new(),
    }
}
