//! The configuration: one typed, validated [`Config`] in which durations and sizes are numbers. The modules below read
//! it from a file, the environment and flags. Its keys are called settings; CONFIG GET shows parameters
//! ([`crate::parameters`]).

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

mod acl_words;
mod check;
mod commands;
mod default;
mod document;
mod draft;
pub mod env;
mod host_name;
pub mod keys;
mod layer;
mod lines;
mod load;
pub mod log_filter;
mod namespace;
mod origins;
mod problem;
mod read;
mod read_namespace;
mod secret;
mod section;
mod seed;
mod settings;
mod show;
mod suggest;
mod ttl_env;
mod value;

pub use crate::cluster::addr::Addr;
pub use commands::{
    AdminCommands, Commands, FlushCommands, KeysCommand, ScriptCalls, UnknownCommands,
};
pub use host_name::plain_host_name;
pub use load::{CommandLine, LoadedConfig, SourceFile, Sources, load, load_with_origins};
pub use namespace::{
    CrossSlot, JitterBy, KeepTtl, Multi, Namespace, OverMax, Persist, RetryWrites, ScriptKeys,
    Strength, Ttl, TtlMode, UnmatchedKeys,
};
pub use origins::Origins;
pub use problem::{Origin, Problem, ProblemKind};
pub use secret::{Password, Secret};
pub use settings::{EffectiveSetting, EffectiveSettings};
pub use show::show;

use problem::element_key;

/// The whole configuration.
///
/// The default is complete except for `cluster.seeds`, which has no default.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The process: threads, clients, memory, drain.
    pub server: ServerSettings,
    /// Where clients connect; never empty.
    pub listeners: Vec<Listener>,
    /// Users that may connect. Empty: any client, from this machine only (see [`Config::is_open`]).
    pub users: Vec<User>,
    /// The Redis behind slotmux.
    pub cluster: Cluster,
    /// Namespaces with their policies.
    pub namespaces: Vec<Namespace>,
    /// Permissions for keys of no namespace.
    pub unmatched: UnmatchedKeys,
    /// Treatment of a transaction with keys of no namespace: `defaults.namespace.multi`, which namespaces inherit.
    pub multi: Multi,
    /// Treatment of commands over several slots with keys of no namespace: `defaults.namespace.cross_slot`, which
    /// namespaces inherit.
    pub cross_slot: CrossSlot,
    /// Treatment of writes of unknown fate to keys of no namespace: `defaults.namespace.retry_writes`, which namespaces
    /// inherit.
    pub retry_writes: RetryWrites,
    /// Treatment of commands that do not map to one node.
    pub commands: Commands,
    /// The HTTP address for `/metrics`, `/healthz` and `/readyz`.
    pub admin: Admin,
    /// Level and format of the log.
    pub log: Log,
}

/// `[server]`
#[derive(Clone, Debug, PartialEq)]
pub struct ServerSettings {
    /// Worker threads, at least 1.
    pub workers: usize,
    /// Maximum number of clients of the process. `None`: derived from the descriptor limit.
    pub max_clients: Option<usize>,
    /// Length of the kernel's queue of connections that are not accepted yet.
    pub backlog: u32,
    /// Bytes that the buffers of all clients may hold together. `None`: derived from the cgroup's limit.
    pub memory_limit: Option<u64>,
    /// How long a drain waits for outstanding replies.
    pub drain_timeout: Duration,
}

/// `[[listener]]`
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Its name in logs; unique.
    pub name: String,
    /// The addresses it listens on; never empty.
    pub bind: Vec<ListenAddress>,
    /// Whether it looks like one Redis or like a cluster.
    pub personality: Personality,
    /// Address announced to clients with `personality = "cluster"`. `None`: the address they connected to.
    pub announce: Option<Addr>,
    /// Clients that send nothing for this long are closed. `None`: never.
    pub idle_timeout: Option<Duration>,
    /// Idle time after which the kernel probes a connection. `None`: no probes.
    pub tcp_keepalive: Option<Duration>,
    /// Limits of one client.
    pub limits: ClientLimits,
    /// The user of `AUTH <password>` without a name.
    pub default_user: String,
}

/// How slotmux looks to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Personality {
    /// One Redis outside any cluster.
    #[default]
    Standalone,
    /// A cluster of one primary with every slot, for clients that support only clusters.
    Cluster,
}

/// One address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// `host:port`; port 0 lets the kernel choose.
    Tcp(SocketAddr),
    /// `unix:path`
    Unix(PathBuf),
}

/// `[listener.limits]`
#[derive(Clone, Debug, PartialEq)]
pub struct ClientLimits {
    /// Bytes of one request, and of one argument of it.
    pub max_request: usize,
    /// Arguments of one request.
    pub max_args: usize,
    /// Bytes of one inline request.
    pub max_inline: usize,
    /// Requests in flight per client; above the limit the client is not read.
    pub max_pipeline: u32,
    /// A client with more unsent bytes than this for longer than this is closed. `None`: only `output_hard` closes.
    pub output_soft: Option<(usize, Duration)>,
    /// A client with more unsent bytes than this is closed at once.
    pub output_hard: usize,
}

/// `[[user]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name in `AUTH <name> <password>`; unique.
    pub name: String,
    /// Any of these lets the user in; never empty.
    pub passwords: Vec<Secret>,
}

/// `[[cluster]]`
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Its name in logs and metrics.
    pub name: String,
    /// Nodes to query for the topology, in this order. Without duplicates.
    pub seeds: Vec<Addr>,
    /// Whether the seeds are nodes of a cluster or one plain Redis.
    pub kind: ExpectedKind,
    /// The user to authenticate as. Empty: the upstream's default user.
    pub username: String,
    /// Passwords to authenticate with, in order, until one works. Empty: no authentication.
    pub passwords: Vec<Password>,
    /// Where to connect instead of an announced address.
    pub address_map: HashMap<Addr, Addr>,
    /// Number and limits of connections.
    pub connections: Connections,
    /// How long commands may take.
    pub timeouts: Timeouts,
    /// Number of retries of a command.
    pub retry: Retry,
    /// Intervals of topology refreshes.
    pub topology: TopologyRefresh,
}

/// Kind of the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ExpectedKind {
    /// As the first seed that replies reports.
    #[default]
    Auto,
    /// A cluster; a seed that is not a cluster node is an error.
    Cluster,
    /// One Redis that owns every slot.
    Standalone,
}

/// `[cluster.connections]`
#[derive(Clone, Debug, PartialEq)]
pub struct Connections {
    /// Lanes per worker, node and protocol, at least 1.
    pub shared: usize,
    /// Dedicated connections per node for big values, all workers together.
    pub dedicated_max: usize,
    /// Dedicated connections per node for blocked clients and WATCH. `None`: as many as `dedicated_max`.
    pub kept_max: Option<usize>,
    /// Bound of both together, if `REDIS_MAX_CONNECTIONS` sets one.
    pub own_max: Option<usize>,
    /// How long an unused dedicated connection is kept.
    pub dedicated_idle: Duration,
    /// Requests and replies above this number of bytes are big values.
    pub bulk_threshold: usize,
    /// Commands in flight per lane.
    pub max_in_flight: usize,
    /// Unsent bytes per lane.
    pub max_in_flight_bytes: usize,
    /// How long a connect may take, handshake included.
    pub connect_timeout: Duration,
    /// Pause after the first failed connect, and the longest one; it doubles in between.
    pub backoff: (Duration, Duration),
    /// Silence after which a connection is checked by PING. `None`: never.
    pub health_interval: Option<Duration>,
}

impl Connections {
    /// Connections to a node that clients may keep.
    pub fn kept(&self) -> usize {
        self.kept_max.unwrap_or(self.dedicated_max)
    }

    /// Connections to a node that serve one client at a time.
    pub fn own(&self) -> usize {
        let both = self.dedicated_max + self.kept();
        self.own_max.map_or(both, |most| most.min(both))
    }
}

/// `[cluster.timeouts]`
#[derive(Clone, Debug, PartialEq)]
pub struct Timeouts {
    /// From the arrival of a command to its reply, waiting included.
    pub command: Duration,
    /// From the write of a command to the first byte of its reply.
    pub response: Duration,
}

/// `[cluster.retry]`
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Whether a read is retried after its connection was closed for silence.
    pub on_timeout: bool,
    /// Retries of a read whose connection was lost.
    pub reads: u32,
    /// Retries of a write that was certainly not sent.
    pub unsent_writes: u32,
}

/// `[cluster.topology]`
#[derive(Clone, Debug, PartialEq)]
pub struct TopologyRefresh {
    /// Interval of periodic refreshes.
    pub refresh: Duration,
    /// Shortest interval between two refreshes.
    pub min_interval: Duration,
}

/// `[admin]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where the admin page listens. `None`: nowhere.
    pub bind: Option<SocketAddr>,
    /// Host names by which requests may address it, besides IP addresses and `localhost`; in lower case.
    pub hosts: Vec<String>,
    /// Maximum number of open connections, at least 1.
    pub max_connections: usize,
    /// Time for a request to arrive.
    pub header_timeout: Duration,
    /// Time between two requests of a connection.
    pub idle_timeout: Duration,
    /// Time for a client to take a response.
    pub write_timeout: Duration,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// `off`, `error`, `warn`, `info`, `debug` or `trace`, or the directives of tracing-subscriber's `EnvFilter`.
    pub level: String,
    /// Format of a line.
    pub format: LogFormat,
}

/// Format of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Reply to a client from another machine while no password is set. It is written as is and the connection is closed,
/// as Redis does in protected mode.
pub const PROTECTED: &str = "-DENIED slotmux is running in protected mode because no user has a password. In this \
    mode connections are only accepted from the loopback interface. To accept connections from other machines give \
    the default user a password, by SLOTMUX_PASSWORD or by a [[user]] section of the configuration.\r\n";

impl Config {
    /// Whether clients need no password. An open slotmux serves this machine only: a listener must answer other
    /// peers with [`PROTECTED`].
    pub fn is_open(&self) -> bool {
        self.users.is_empty()
    }

    /// The user of this name, if there is one.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }
}

impl ListenAddress {
    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            ListenAddress::Tcp(addr) => addr.ip().to_canonical().is_loopback(),
            ListenAddress::Unix(_) => true,
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Tcp(addr) => addr.fmt(f),
            ListenAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
