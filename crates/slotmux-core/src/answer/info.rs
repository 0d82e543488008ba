//! `INFO`: the sections of a Redis server, with the fields that clients read, about slotmux itself; and one additional
//! section. Kind and version are the upstream's, because clients choose features by them. [`crate::route::merge::info`]
//! puts these values into the nodes' sections.

use std::fmt::Write;
use std::time::Duration;

use super::pausing::PausedCommands;
use super::process::ProcessUsage;
use super::{AnswerHost, AnsweredRequest, AskingClient};
use crate::c_string;
use crate::config::ListenAddress;
use crate::resp::{Span, write};

/// Figures for `INFO` and `CONFIG GET` that the configuration lacks. Counts are of the whole process since its
/// start or the last CONFIG RESETSTAT, all workers together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InfoFacts {
    /// 40 hexadecimal digits, new at every start.
    pub run_id: String,
    /// The port that the asking client's listener has; 0 if it has none.
    pub tcp_port: u16,
    /// Since 1970.
    pub now: Duration,
    /// Since the start.
    pub uptime: Duration,
    /// Clients that slotmux takes.
    pub max_clients: u64,
    /// Clients connected now.
    pub clients: u64,
    /// Clients that wait in a blocking command or for the end of a CLIENT PAUSE now.
    pub blocked_clients: u64,
    /// Clients that track what they read now.
    pub tracking_clients: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections turned away.
    pub rejected: u64,
    /// Requests from clients.
    pub requests: u64,
    /// Recent requests per second. 0 if it is not measured.
    pub requests_per_second: u64,
    /// Error replies to clients.
    pub errors: u64,
    /// Bytes read from clients.
    pub bytes_in: u64,
    /// Bytes written to clients.
    pub bytes_out: u64,
    /// Reads from clients' sockets.
    pub reads: u64,
    /// Writes to clients' sockets.
    pub writes: u64,
    /// Resources that the process uses.
    pub usage: ProcessUsage,
    /// `cluster` or `standalone`; empty while it is not known.
    pub topology: &'static str,
    /// Shards of the topology.
    pub shards: u64,
    /// Nodes of the topology, replicas included.
    pub nodes: u64,
    /// Connections to nodes now.
    pub upstream_connections: u64,
    /// Channels that clients listen to.
    pub channels: u64,
    /// Patterns that clients listen to.
    pub patterns: u64,
    /// Shard channels that clients listen to.
    pub shard_channels: u64,
    /// Clients that listen to channels of any kind.
    pub pubsub_clients: u64,
    /// The commands that a CLIENT PAUSE holds, and for how long.
    pub paused: (PausedCommands, Duration),
}

struct InfoView<'a> {
    host: &'a AnswerHost<'a>,
    facts: InfoFacts,
}

struct InfoSection {
    /// The title in the reply; in lower case it is the argument of INFO that asks for it.
    title: &'static str,
    /// Whether `INFO` alone has it. `INFO all` has them all.
    by_default: bool,
    fields: fn(&InfoView<'_>, &mut String),
}

/// A section with fields of slotmux.
const fn own(title: &'static str, fields: fn(&InfoView<'_>, &mut String)) -> InfoSection {
    InfoSection {
        title,
        by_default: true,
        fields,
    }
}

/// A section that slotmux has nothing to say in.
const fn empty(title: &'static str, by_default: bool) -> InfoSection {
    InfoSection {
        by_default,
        ..own(title, |_, _| {})
    }
}

/// The section that only Valkey 9.1 and later have.
const CLUSTER_INFO: &str = "Cluster Info";

/// In the order of Redis.
const SECTIONS: &[InfoSection] = &[
    own("Server", server),
    own("Clients", clients),
    own("Memory", memory),
    own("Persistence", persistence),
    own("Stats", stats),
    own("Replication", replication),
    own("CPU", cpu),
    empty("Modules", true),
    empty("Commandstats", false),
    empty("Errorstats", true),
    empty("Latencystats", false),
    own("Cluster", |view, text| {
        line(text, "cluster_enabled", u8::from(view.host.is_cluster()));
    }),
    own(CLUSTER_INFO, |view, text| {
        if view.host.is_cluster() {
            text.push_str(&super::cluster::info_text(view.host));
        }
    }),
    empty("Keyspace", true),
    own("Slotmux", slotmux),
];

/// The sections that an INFO asks for.
fn chosen<'a>(names: impl Iterator<Item = &'a [u8]>) -> [bool; SECTIONS.len()] {
    let mut names = names.peekable();
    if names.peek().is_none() {
        return std::array::from_fn(|at| SECTIONS[at].by_default);
    }
    let mut chosen = [false; SECTIONS.len()];
    for asked in names {
        let is = |name: &str| c_string::is(asked, name.as_bytes());
        let all = is("all") || is("everything");
        let default = is("default");
        for (chosen, section) in chosen.iter_mut().zip(SECTIONS) {
            *chosen |= all || (default && section.by_default) || is(section.title);
        }
    }
    chosen
}

/// Whether an INFO asks for more than slotmux' own section.
pub fn info_of_nodes(buf: &[u8], args: &[Span]) -> bool {
    let mut names = args.iter().skip(1).map(|arg| arg.of(buf));
    args.len() < 2 || names.any(|name| !c_string::is(name, b"slotmux"))
}

/// `INFO [section ...]`
pub(super) fn info(
    request: AnsweredRequest<'_>,
    subject: &AskingClient<'_>,
    host: &AnswerHost<'_>,
    out: &mut Vec<u8>,
) {
    let chosen = chosen(request.from(1));
    let mut text = String::new();
    let view = InfoView {
        host,
        facts: host.process.facts(),
    };
    for (chosen, section) in chosen.iter().zip(SECTIONS) {
        let is_known = section.title != CLUSTER_INFO || host.server.number().has_cluster_section();
        if *chosen && is_known {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            text.push_str("# ");
            text.push_str(section.title);
            text.push_str("\r\n");
            (section.fields)(&view, &mut text);
        }
    }
    write::verbatim(out, subject.protocol, "txt", &text);
}

fn line(text: &mut String, field: &str, value: impl std::fmt::Display) {
    // Writing to a String never fails.
    let _ = write!(text, "{field}:{value}\r\n");
}

fn server(view: &InfoView<'_>, text: &mut String) {
    let InfoView { host, facts } = view;
    let uptime = facts.uptime.as_secs();
    line(text, "redis_version", host.version());
    let is_valkey = host.server.valkey_version.is_some();
    if let Some(version) = &host.server.valkey_version {
        line(text, "server_name", &host.server.name);
        line(text, "valkey_version", version);
    }
    line(text, "redis_git_sha1", "00000000");
    line(text, "redis_git_dirty", 0);
    let mode = host.mode();
    match is_valkey {
        true => line(text, "server_mode", mode),
        false => line(text, "redis_mode", mode),
    }
    line(text, "os", facts.usage.operating_system);
    line(text, "arch_bits", usize::BITS);
    line(text, "process_id", facts.usage.process_id);
    line(text, "process_supervised", "no");
    line(text, "run_id", &facts.run_id);
    line(text, "tcp_port", facts.tcp_port);
    line(text, "server_time_usec", facts.now.as_micros());
    line(text, "uptime_in_seconds", uptime);
    line(text, "uptime_in_days", uptime / (24 * 60 * 60));
    line(text, "executable", facts.usage.executable);
    // Path of a Redis configuration file; slotmux' own file has another format.
    line(text, "config_file", "");
    if is_valkey {
        let zone = host.server.zone.as_deref();
        line(text, "availability_zone", zone.unwrap_or_default());
    }
    if host.server.number().lists_listeners() {
        listeners(view, text);
    }
}

/// The addresses that clients can connect to.
fn listeners(view: &InfoView<'_>, text: &mut String) {
    let listeners = &view.host.config.listeners;
    let addresses = listeners.iter().flat_map(|listener| &listener.bind);
    for (number, address) in addresses.enumerate() {
        let value = match address {
            ListenAddress::Tcp(addr) => {
                format!("name=tcp,bind={},port={}", addr.ip(), addr.port())
            }
            ListenAddress::Unix(path) => format!("name=unix,bind={}", path.display()),
        };
        line(text, &format!("listener{number}"), value);
    }
}

fn clients(view: &InfoView<'_>, text: &mut String) {
    let facts = &view.facts;
    line(text, "connected_clients", facts.clients);
    line(text, "cluster_connections", 0);
    line(text, "maxclients", facts.max_clients);
    line(text, "blocked_clients", facts.blocked_clients);
    line(text, "tracking_clients", facts.tracking_clients);
    let version = view.host.server.number();
    if version.lists_listeners() {
        line(text, "pubsub_clients", facts.pubsub_clients);
    }
    line(text, "clients_in_timeout_table", 0);
    if !version.tells_of_pauses() {
        return;
    }
    let (hold, remaining) = facts.paused;
    let (reason, actions) = match hold {
        PausedCommands::Nothing => ("none", "none"),
        PausedCommands::Writes => ("client_pause", "write"),
        PausedCommands::Everything => ("client_pause", "all"),
    };
    line(text, "paused_reason", reason);
    line(text, "paused_actions", actions);
    line(text, "paused_timeout_milliseconds", remaining.as_millis());
}

fn memory(view: &InfoView<'_>, text: &mut String) {
    let ProcessUsage {
        resident,
        peak,
        total_memory: total,
        ..
    } = view.facts.usage;
    let both = |text: &mut String, field: &str, bytes: u64| {
        line(text, field, bytes);
        line(text, &format!("{field}_human"), human(bytes));
    };
    both(text, "used_memory", resident);
    both(text, "used_memory_rss", resident);
    both(text, "used_memory_peak", peak);
    let percent = 100.0 * resident as f64 / peak.max(1) as f64;
    line(text, "used_memory_peak_perc", format_args!("{percent:.2}%"));
    both(text, "total_system_memory", total);
    // slotmux holds no keys, so it has no limit to evict them by.
    both(text, "maxmemory", 0);
    line(text, "maxmemory_policy", "noeviction");
    line(text, "mem_fragmentation_ratio", "1.00");
    line(text, "lazyfree_pending_objects", 0);
    line(text, "lazyfreed_objects", 0);
}

/// slotmux saves nothing. Without an upstream it has no data to serve yet, which clients know as loading: they ask
/// again until it is over.
fn persistence(view: &InfoView<'_>, text: &mut String) {
    let is_loading = view.facts.topology.is_empty();
    line(text, "loading", u8::from(is_loading));
    if is_loading {
        line(text, "loading_eta_seconds", 1);
    }
    for field in [
        "async_loading",
        "rdb_changes_since_last_save",
        "rdb_bgsave_in_progress",
        "aof_enabled",
        "aof_rewrite_in_progress",
        "aof_rewrite_scheduled",
    ] {
        line(text, field, 0);
    }
}

fn stats(view: &InfoView<'_>, text: &mut String) {
    let facts = &view.facts;
    line(text, "total_connections_received", facts.accepted);
    line(text, "total_commands_processed", facts.requests);
    line(text, "instantaneous_ops_per_sec", facts.requests_per_second);
    line(text, "total_net_input_bytes", facts.bytes_in);
    line(text, "total_net_output_bytes", facts.bytes_out);
    line(text, "rejected_connections", facts.rejected);
    // About keys that slotmux stores itself: it stores no keys.
    for field in [
        "expired_keys",
        "evicted_keys",
        "evicted_clients",
        "keyspace_hits",
        "keyspace_misses",
    ] {
        line(text, field, 0);
    }
    line(text, "pubsub_channels", facts.channels);
    line(text, "pubsub_patterns", facts.patterns);
    line(text, "pubsubshard_channels", facts.shard_channels);
    for field in [
        "tracking_total_keys",
        "tracking_total_items",
        "tracking_total_prefixes",
        "unexpected_error_replies",
    ] {
        line(text, field, 0);
    }
    line(text, "total_error_replies", facts.errors);
    line(text, "total_reads_processed", facts.reads);
    line(text, "total_writes_processed", facts.writes);
}

/// A primary without replicas, as `ROLE` says.
fn replication(view: &InfoView<'_>, text: &mut String) {
    line(text, "role", "master");
    line(text, "connected_slaves", 0);
    line(text, "master_failover_state", "no-failover");
    line(text, "master_replid", &view.facts.run_id);
    line(text, "master_replid2", "0".repeat(40));
    line(text, "master_repl_offset", 0);
    line(text, "second_repl_offset", -1);
    line(text, "repl_backlog_active", 0);
    line(text, "repl_backlog_size", 0);
    line(text, "repl_backlog_first_byte_offset", 0);
    line(text, "repl_backlog_histlen", 0);
}

fn cpu(view: &InfoView<'_>, text: &mut String) {
    let ProcessUsage { user, system, .. } = view.facts.usage;
    line(text, "used_cpu_sys", seconds(system));
    line(text, "used_cpu_user", seconds(user));
    line(text, "used_cpu_sys_children", "0.000000");
    line(text, "used_cpu_user_children", "0.000000");
}

fn slotmux(view: &InfoView<'_>, text: &mut String) {
    let facts = &view.facts;
    let ProcessUsage {
        resident,
        user,
        system,
        ..
    } = facts.usage;
    line(text, "slotmux_version", env!("CARGO_PKG_VERSION"));
    line(text, "slotmux_workers", view.host.config.server.workers);
    line(text, "slotmux_topology", facts.topology);
    line(text, "slotmux_shards", facts.shards);
    line(text, "slotmux_nodes", facts.nodes);
    line(
        text,
        "slotmux_upstream_connections",
        facts.upstream_connections,
    );
    line(text, "slotmux_used_memory_rss", resident);
    line(text, "slotmux_used_cpu_sys", seconds(system));
    line(text, "slotmux_used_cpu_user", seconds(user));
}

fn seconds(time: Duration) -> String {
    format!("{:.6}", time.as_secs_f64())
}

/// A size as Redis prints it for people: `512B`, `1.50K`, `2.00G`.
pub fn human(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut units = ["K", "M", "G", "T"].iter();
    while value >= 1024.0 && units.len() > 1 {
        value /= 1024.0;
        units.next();
    }
    format!("{value:.2}{}", units.next().unwrap_or(&"T"))
}

#[cfg(test)]
mod tests {
    use super::{SECTIONS, chosen, human};

    #[test]
    fn sections_are_named_as_c_compares() {
        let of = |names: &[&'static str]| chosen(names.iter().map(|name| name.as_bytes()));
        assert_ne!(of(&["keyspace"]), [false; SECTIONS.len()]);
        assert_eq!(of(&["Keyspace\0x"]), of(&["keyspace"]));
        assert_eq!(of(&["all\0"]), of(&["all"]));
        assert_eq!(of(&["default\0"]), of(&[]));
        assert_eq!(of(&["key\0space"]), [false; SECTIONS.len()]);
    }

    #[test]
    fn sizes_for_people() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (1_965_504, "1.87M"),
            (25_276_510_208, "23.54G"),
            (3 << 40, "3.00T"),
            (5 << 50, "5120.00T"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }
}
