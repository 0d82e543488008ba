//! `slotmux demo`: a real local cluster with slotmux in front, until Ctrl-C. The integration tests and the load benchmark
//! use the same clusters and servers.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::control::proxy::{self, StartupError};
use crate::control::signals;
use slotmux_core::config::{self, Config, EffectiveSettings, ExpectedKind, LoadedConfig, Problem};

pub mod cluster;
pub mod guard;
pub mod migrate;
pub mod ports;
pub mod server;
mod settings;
pub mod view;

use cluster::{LocalCluster, Options, Role};
use server::{LocalError, wait_until};

/// Ports tried, from the wanted one upwards.
const PORTS_TRIED: u16 = 200;

/// First choice for `/metrics`: the port of redis_exporter.
const ADMIN_PORT: u16 = 9121;

/// How long slotmux may take to be ready.
const PATIENCE: Duration = Duration::from_secs(20);

/// Time limit of one request to its admin page.
const LOOK_TIMEOUT: Duration = Duration::from_millis(500);

/// Drain timeout: clients of a demo may be cut off soon after Ctrl-C. Longer than the second for which slotmux waits
/// for a client to close, so that an idle client causes no warning.
const DRAIN: Duration = Duration::from_secs(2);

/// Node timeout: short, so that a failover is seen soon after a primary was killed.
const NODE_TIMEOUT: Duration = Duration::from_secs(3);

/// The options of `slotmux demo`.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// The port of 127.0.0.1 to listen on; the next free one when it is taken.
    pub port: u16,
    /// Shards of the cluster, at least 3.
    pub primaries: usize,
    /// Replicas of each primary.
    pub replicas: usize,
}

impl Default for DemoOptions {
    fn default() -> DemoOptions {
        DemoOptions {
            port: 6379,
            primaries: 3,
            replicas: 1,
        }
    }
}

/// Why the demo could not run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The cluster did not come up.
    #[error(transparent)]
    Cluster(#[from] LocalError),
    /// The environment does not fit.
    #[error("{}", lines(.0))]
    Config(Vec<Problem>),
    /// slotmux did not come up.
    #[error(transparent)]
    Proxy(#[from] StartupError),
    /// The thread that slotmux ran in ended by a panic.
    #[error("slotmux ended unexpectedly")]
    Panicked,
    /// Signals cannot be awaited, or no thread could be started.
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}

/// Runs the demo until SIGINT, SIGTERM or SIGHUP; when it returns, processes and files are gone.
pub fn run(options: &DemoOptions) -> Result<(), DemoError> {
    let shutdown = CancellationToken::new();
    // Before the first child process, so that a signal at any time leads to the cleanup.
    signals::cancel_on_signal(shutdown.clone(), signals::Hangup::Ends)?;
    let (primaries, replicas) = (options.primaries, options.replicas);
    say(&format!(
        "Starting a Redis Cluster of {primaries} primaries, {replicas} replica(s) each, on this machine..."
    ));
    let cluster = LocalCluster::start(Options {
        primaries,
        replicas_per_primary: replicas,
        node_timeout: NODE_TIMEOUT,
        // The other shards serve on while a primary is down.
        extra: vec![("cluster-require-full-coverage".into(), "no".into())],
        ..Options::default()
    })?;
    if shutdown.is_cancelled() {
        return Ok(());
    }
    let port = free_port_from(options.port)?;
    let admin = free_port_from(ADMIN_PORT)?;
    let (config, words) = proxy_config(&cluster, port, admin)?;
    let stop = shutdown.clone();
    let proxy = thread::Builder::new()
        .name("slotmux-demo".to_owned())
        .spawn(move || {
            let outcome = proxy::run(config, words, stop.clone());
            stop.cancel();
            outcome
        })?;
    wait_until(PATIENCE, "slotmux to be ready", || {
        Ok(shutdown.is_cancelled() || is_ready(admin))
    })?;
    if !shutdown.is_cancelled() {
        say(&welcome(&cluster, options.port, port, admin));
    }
    let outcome = proxy.join().map_err(|_| DemoError::Panicked)?;
    drop(cluster);
    outcome?;
    say("Stopped. The processes and their files are gone.");
    Ok(())
}

/// The configuration of the demo's slotmux, with its settings as text.
fn proxy_config(
    cluster: &LocalCluster,
    port: u16,
    admin: u16,
) -> Result<(Config, EffectiveSettings), DemoError> {
    let nodes = cluster.nodes().iter().map(|node| node.port);
    let sources = settings::sources(nodes, port, admin, std::env::vars_os());
    let LoadedConfig {
        mut config,
        origins,
        warnings,
    } = config::load_with_origins(&sources).map_err(DemoError::Config)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    config.server.drain_timeout = DRAIN;
    config.cluster.kind = ExpectedKind::Cluster;
    let words = EffectiveSettings::new(&config, &origins);
    Ok((config, words))
}

/// The text that is printed once everything runs.
fn welcome(cluster: &LocalCluster, wanted: u16, port: u16, admin: u16) -> String {
    let mut text = String::from("\n");
    if port != wanted {
        let _ = writeln!(
            text,
            "Port {wanted} is taken, so slotmux listens on {port}.\n"
        );
    }
    let _ = writeln!(
        text,
        "slotmux is on 127.0.0.1:{port}. To any Redis client it looks like one plain Redis:\n"
    );
    let _ = writeln!(text, "    redis-cli -p {port} mset one 1 two 2 three 3");
    let _ = writeln!(text, "    redis-cli -p {port} mget one two three\n");
    let _ = writeln!(
        text,
        "The three keys live on different nodes of this cluster:\n"
    );
    for node in cluster.nodes() {
        let role = if node.role == Role::Primary {
            "primary"
        } else {
            "replica"
        };
        let pid = node.process.pid().unwrap_or_default();
        let _ = writeln!(
            text,
            "    127.0.0.1:{}  {role} of shard {}  (pid {pid})",
            node.port,
            node.shard + 1
        );
    }
    let _ = writeln!(text, "\nMetrics: http://127.0.0.1:{admin}/metrics");
    let _ = write!(text, "Ctrl-C stops all of it and leaves nothing behind.");
    text
}

/// The first free port from the wanted one upwards.
fn free_port_from(wanted: u16) -> Result<u16, LocalError> {
    (wanted..=wanted.saturating_add(PORTS_TRIED))
        .find(|&port| ports::is_free(port))
        .ok_or(LocalError::NoPort)
}

/// Whether the admin page says that slotmux is ready.
fn is_ready(admin: u16) -> bool {
    let look = || -> io::Result<bool> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, admin));
        let mut stream = TcpStream::connect_timeout(&address, LOOK_TIMEOUT)?;
        stream.set_read_timeout(Some(LOOK_TIMEOUT))?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(head.ends_with(b" 200"))
    };
    look().unwrap_or(false)
}

/// Prints for the user. A closed terminal must not prevent the cleanup.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
