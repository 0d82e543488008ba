//! `slotmux ttl audit` on real keys: exact counts, repairs that are spread and final, slots that move, nodes that die,
//! and a stop midway.

mod binary;
mod counts;
mod trouble;

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use indicatif::ProgressBar;
use slotmux::tools::audit::{self, Options, Report, Tally};
use slotmux::tools::demo::cluster::LocalCluster;
use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_core::config::{Addr, Config, Namespace, Ttl, TtlMode};
use slotmux_core::slot::{SLOTS, slot_of};
use slotmux_testing::Shared;
use tokio_util::sync::CancellationToken;

/// A cluster for these tests alone: an audit sees every key.
static SHARED: Shared = Shared::new();

fn shared_cluster() -> &'static LocalCluster {
    SHARED.cluster()
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

fn namespace(name: &str, prefixes: &[&str], ttl: Ttl) -> Namespace {
    Namespace {
        name: name.to_owned(),
        prefixes: prefixes.iter().map(|&prefix| prefix.to_owned()).collect(),
        ttl,
        ttl_env: Vec::new(),
        read_only: false,
        max_key: None,
        max_value: None,
        deny: Vec::new(),
        multi: slotmux_core::config::Multi::default(),
        cross_slot: slotmux_core::config::CrossSlot::default(),
        retry_writes: slotmux_core::config::RetryWrites::default(),
    }
}

/// Cache, below it sessions with another policy, one that is only observed, and one without policy.
fn namespaces() -> Vec<Namespace> {
    let watched = Ttl {
        mode: TtlMode::Observe,
        default: Some(HOUR),
        max: Some(DAY),
        ..Ttl::default()
    };
    vec![
        namespace(
            "cache",
            &["cache:"],
            Ttl {
                default: Some(HOUR),
                max: Some(DAY),
                ..Ttl::default()
            },
        ),
        namespace(
            "sessions",
            &["cache:session:", "sess:"],
            Ttl {
                max: Some(30 * MINUTE),
                ..Ttl::default()
            },
        ),
        namespace("watched", &["watched:"], watched),
        namespace("free", &["free*[1]:"], Ttl::default()),
    ]
}

fn config(ports: impl IntoIterator<Item = u16>) -> Config {
    let mut config = Config {
        namespaces: namespaces(),
        ..Config::default()
    };
    config.cluster.seeds = ports
        .into_iter()
        .map(|port| Addr::new("127.0.0.1", port))
        .collect();
    config
}

fn config_of(cluster: &LocalCluster) -> Config {
    config(cluster.nodes().iter().map(|node| node.port))
}

fn run(config: &Config, options: &Options) -> Report {
    let stop = CancellationToken::new();
    audit::run(config, options, ProgressBar::hidden(), stop).expect("an audit")
}

fn dry_run() -> Options {
    Options::default()
}

fn repair() -> Options {
    Options {
        repair: true,
        ..Options::default()
    }
}

/// The shared cluster, empty, for one test at a time: an audit sees every key.
fn empty_cluster() -> (MutexGuard<'static, ()>, &'static LocalCluster) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let turn = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
    let cluster = shared_cluster();
    for primary in 0..3 {
        cluster
            .query::<()>(primary, &["FLUSHALL"])
            .expect("flushed");
    }
    (turn, cluster)
}

/// The primary for which a key was made: the slots are distributed evenly, in order.
fn home(key: &str) -> usize {
    let slot = usize::from(slot_of(key.as_bytes()).0);
    (0..3)
        .rev()
        .find(|primary| slot >= SLOTS * primary / 3)
        .expect("a primary")
}

/// Stores keys with their TTLs.
fn store(cluster: &LocalCluster, keys: &[(String, Option<Duration>)]) {
    for primary in 0..3 {
        let mut pipe = redis::pipe();
        for (key, ttl) in keys.iter().filter(|(key, _)| home(key) == primary) {
            let set = pipe.cmd("SET").arg(key).arg("x");
            if let Some(ttl) = ttl {
                set.arg("PX").arg(ttl.as_millis() as u64);
            }
        }
        let mut connection = cluster.connect(primary).expect("a connection");
        if !pipe.is_empty() {
            pipe.query::<()>(&mut connection).expect("stored");
        }
    }
}

fn pttl(cluster: &LocalCluster, key: &str) -> i64 {
    cluster
        .query(home(key), &["PTTL", key])
        .unwrap_or_else(|error| panic!("PTTL {key}: {error}"))
}

fn many(prefix: &str, count: usize, ttl: Option<Duration>) -> Vec<(String, Option<Duration>)> {
    (0..count).map(|i| (format!("{prefix}{i}"), ttl)).collect()
}

/// 3,420 keys of every kind.
fn seed(cluster: &LocalCluster) {
    let keys = [
        many("cache:", 1_500, None),
        many("cache:ok:", 700, Some(30 * MINUTE)),
        many("cache:short:", 10, Some(50 * Duration::from_secs(1))),
        many("cache:long:", 40, Some(3 * DAY)),
        many("cache:session:", 200, None),
        many("sess:", 300, Some(2 * HOUR)),
        many("watched:", 150, None),
        many("watched:long:", 20, Some(400 * DAY)),
        many("free*[1]:", 100, None),
        many("freeXX1:", 50, Some(20 * DAY)),
        many("other:", 350, Some(5 * DAY)),
    ];
    store(cluster, &keys.concat());
}

fn tally<'a>(report: &'a Report, name: &str) -> &'a Tally {
    let row = report
        .rows
        .iter()
        .find(|row| row.namespace.as_deref().unwrap_or("") == name);
    &row.unwrap_or_else(|| panic!("a row for {name:?}")).tally
}

fn server_with(keys: usize) -> LocalServer {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    let mut pipe = redis::pipe();
    for i in 0..keys {
        pipe.cmd("SET").arg(format!("cache:{i}")).arg("x");
    }
    let mut connection = server.connect().expect("a connection");
    pipe.query::<()>(&mut connection).expect("stored");
    server
}
