//! A run of `slotmux-ledger`, controlled by a test, and its report.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use slotmux::tools::demo::cluster::{LocalCluster, Options};

use slotmux_testing::built::load_tool;
use slotmux_testing::{CALM, PATIENCE, Proxy, ProxyConfig, poll_until};

/// A number of requests of one client that exceeds its pipeline, for any depth here.
const SEVERAL: u32 = 40;

/// The namespace whose keys must have a TTL.
const TTL_PREFIX: &str = "brief:";

/// Nodes that serve their slots while others are gone, and replace a silent primary soon: but not one that is delayed
/// on a busy machine, because its unreplicated writes would be lost.
pub fn cluster(extra: &[(&str, &str)]) -> LocalCluster {
    start(Duration::from_secs(2), extra)
}

/// The same, for faults without failover.
pub fn steady_cluster() -> LocalCluster {
    start(CALM, &[])
}

fn start(node_timeout: Duration, extra: &[(&str, &str)]) -> LocalCluster {
    let mut lines = vec![("cluster-require-full-coverage", "no")];
    lines.extend(extra);
    let lines = lines
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    LocalCluster::start(Options {
        node_timeout,
        extra: lines.collect(),
        ..Options::default()
    })
    .expect("a cluster")
}

/// Nodes that log every write before they acknowledge it, so that a crash loses none, and that are not replaced.
const DURABLE: [(&str, &str); 3] = [
    ("appendonly", "yes"),
    ("appendfsync", "always"),
    ("cluster-require-full-coverage", "no"),
];

/// Three primaries of that kind.
pub fn durable_cluster() -> LocalCluster {
    LocalCluster::start(Options {
        replicas_per_primary: 0,
        node_timeout: CALM,
        extra: DURABLE
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        ..Options::default()
    })
    .expect("a cluster")
}

/// A namespace of keys with a TTL; otherwise the defaults.
pub fn usual(config: &mut ProxyConfig) {
    config.set("log.level", "warn");
    let namespace = format!(
        "name = \"brief\"\nmatch = [\"{TTL_PREFIX}\"]\nttl = {{ default = \"1h\", max = \"2h\" }}"
    );
    config.add_section("namespace", namespace.parse().expect("TOML"));
}

/// The same, with commands that wait longer than any failover of a busy machine.
pub fn patient(config: &mut ProxyConfig) {
    usual(config);
    config.set("cluster.timeouts.command", "25s");
}

/// A patient slotmux in front of a cluster.
pub fn proxy(cluster: &LocalCluster, configure: impl FnOnce(&mut ProxyConfig)) -> Proxy {
    Proxy::start(cluster, |config| {
        patient(config);
        configure(config);
    })
}

/// A running `slotmux-ledger`.
pub struct Ledger {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Ledger {
    /// Starts it on a port, with the nodes of a cluster for lookups, and lets it work a little.
    pub fn start(port: u16, cluster: &LocalCluster, args: &[&str]) -> Ledger {
        let mut ledger = Ledger::begin(port, cluster, args);
        ledger.recovered();
        ledger
    }

    /// The same, without the initial work.
    pub fn begin(port: u16, cluster: &LocalCluster, args: &[&str]) -> Ledger {
        let nodes: Vec<String> = cluster
            .nodes()
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port))
            .collect();
        let nodes = nodes.join(",");
        let common = ["--nodes", &nodes, "--control", "--ttl-prefix", TTL_PREFIX];
        Ledger::launch(port, &[&common[..], args].concat())
    }

    /// Starts it with only these arguments.
    pub fn launch(port: u16, args: &[&str]) -> Ledger {
        let mut child = Command::new(load_tool("slotmux-ledger"))
            .args([
                "--target",
                &format!("127.0.0.1:{port}"),
                "--json",
                "--steps",
                "--no-progress",
            ])
            .args(["--timeout", "60s", "--settle", "30s"])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("slotmux-ledger");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut ledger = Ledger {
            child,
            input,
            output,
        };
        assert_eq!(ledger.line(), "ready");
        ledger
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    #[track_caller]
    fn order(&mut self, line: &str) -> String {
        let input = self.input.as_mut().expect("it runs");
        writeln!(input, "{line}").expect("an order");
        self.line()
    }

    /// Starts a new phase of the counts.
    #[track_caller]
    pub fn phase(&mut self, name: &str) {
        assert_eq!(self.order(&format!("phase {name}")), "phase");
    }

    /// Waits until nothing is in flight and stops sending.
    #[track_caller]
    pub fn quiesce(&mut self) {
        assert_eq!(self.order("quiesce"), "quiet");
    }

    /// Continues sending.
    #[track_caller]
    pub fn resume(&mut self) {
        assert_eq!(self.order("resume"), "going");
    }

    /// Waits until in each shard a write sent after this call has been acknowledged.
    #[track_caller]
    pub fn recovered(&mut self) {
        let answer = self.order("recovered");
        assert!(answer.starts_with("recovered"), "{answer}");
    }

    /// Waits until each client of these shards has been served several times more than it had in flight. Called while
    /// another shard is missing, this shows that no client stalls with it.
    #[track_caller]
    pub fn progress(&mut self, shards: &[usize]) {
        let shards: Vec<String> = shards.iter().map(ToString::to_string).collect();
        let answer = self.order(&format!("progress {} {SEVERAL}", shards.join(",")));
        assert!(answer.starts_with("progressed"), "{answer}");
    }

    /// From now on this percentage of requests reads; with 100 there are no writes.
    #[track_caller]
    pub fn reads(&mut self, percent: u8) {
        assert_eq!(self.order(&format!("reads {percent}")), "reads");
    }

    /// Ends the run and returns its report.
    #[track_caller]
    pub fn finish(mut self) -> Outcome {
        drop(self.input.take());
        let mut text = String::new();
        self.output.read_to_string(&mut text).expect("a report");
        let status = self.child.wait().expect("its end");
        let report =
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e} in {text:?}, {status}"));
        Outcome {
            code: status.code(),
            report,
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The report of a run.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit status.
    pub code: Option<i32>,
    /// Its report.
    pub report: Value,
}

impl Outcome {
    /// A count by its name.
    #[track_caller]
    pub fn count(&self, name: &str) -> u64 {
        self.report[name]
            .as_u64()
            .unwrap_or_else(|| panic!("no {name} in {}", self.report))
    }

    /// No wrong, lost or doubled write, none without its TTL, and no client had to reconnect.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert_eq!(self.code, Some(0), "{}", self.report);
        self.assert_connections_kept();
    }

    /// No client had to reconnect, for any fault behind slotmux.
    #[track_caller]
    pub fn assert_connections_kept(&self) {
        assert_eq!(self.count("connections_lost"), 0, "{:#}", self.report);
    }

    /// In a phase no request was refused, and at most this many pipelines of requests were of unknown fate.
    #[track_caller]
    pub fn assert_no_more_than_in_flight(&self, phase: &str, pipelines: u64) {
        assert_eq!(self.in_phase(phase, "refused"), 0, "{:#}", self.report);
        // A transaction is two writes.
        let most = pipelines * self.count("depth") * 2;
        let unknown = self.in_phase(phase, "unknown");
        assert!(unknown <= most, "{unknown} of {most}: {:#}", self.report);
    }

    /// No request of these shards got an error in a phase.
    #[track_caller]
    pub fn assert_no_errors(&self, phase: &str, shards: &[usize]) {
        for &shard in shards {
            let shard = &self.phase(phase)["shards"][shard];
            for kind in ["refused", "unknown", "read_errors"] {
                assert_eq!(
                    shard[kind], 0,
                    "{phase}: {kind} of slots {}: {:#}",
                    shard["slots"], self.report
                );
            }
        }
    }

    /// The sum of a count over the shards of a phase.
    #[track_caller]
    pub fn in_phase(&self, phase: &str, name: &str) -> u64 {
        let shards = self.phase(phase)["shards"].as_array().expect("shards");
        shards
            .iter()
            .map(|shard| shard[name].as_u64().expect("a number"))
            .sum()
    }

    #[track_caller]
    fn phase(&self, name: &str) -> &Value {
        phase(&self.report, name)
    }

    /// Prints how long each shard was unavailable, through slotmux and directly.
    pub fn print_outages(&self, name: &str) {
        let (ours, direct) = (self.phase(name), phase(&self.report["control"], name));
        for (ours, direct) in ours["shards"]
            .as_array()
            .into_iter()
            .flatten()
            .zip(direct["shards"].as_array().into_iter().flatten())
        {
            eprintln!(
                "{name}: slots {}: {} acknowledged, {} refused, {} unknown, {} failed reads, unavailable {} ms, waited for {} ms, directly {} ms ({:+} ms)",
                ours["slots"],
                ours["acked"],
                ours["refused"],
                ours["unknown"],
                ours["read_errors"],
                ours["longest_gap_ms"],
                ours["longest_wait_ms"],
                direct["longest_gap_ms"],
                ours["over_direct_ms"].as_i64().unwrap_or_default(),
            );
        }
        eprintln!("{name}: errors {}", ours["errors"]);
    }
}

#[track_caller]
fn phase<'a>(report: &'a Value, name: &str) -> &'a Value {
    let mut phases = report["phases"].as_array().into_iter().flatten();
    phases
        .find(|phase| phase["name"] == name)
        .unwrap_or_else(|| panic!("no phase {name} in {report}"))
}

/// One field of a node's `INFO replication`.
fn replication(cluster: &LocalCluster, node: usize, name: &str) -> Option<String> {
    let info = cluster
        .query::<String>(node, &["INFO", "replication"])
        .ok()?;
    let field = info
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    field.map(str::to_owned)
}

/// Waits until every replica has all data of its primary. No writes may happen meanwhile.
pub fn replicas_in_step(cluster: &LocalCluster) {
    let offset = |node: usize, name: &str| replication(cluster, node, name)?.parse::<u64>().ok();
    let nodes = 0..cluster.nodes().len();
    // By port. The offset also grows without writes: a primary pings its replicas.
    let wanted: HashMap<String, u64> = nodes
        .clone()
        .filter(|&node| replication(cluster, node, "role").as_deref() == Some("master"))
        .filter_map(|node| {
            Some((
                cluster.node(node).port.to_string(),
                offset(node, "master_repl_offset")?,
            ))
        })
        .collect();
    for node in nodes.filter(|&node| !wanted.contains_key(&cluster.node(node).port.to_string())) {
        poll_until(PATIENCE, "synchronized replicas", || {
            let primary = replication(cluster, node, "master_port");
            let wanted = primary.and_then(|port| wanted.get(&port));
            wanted.is_some() && offset(node, "slave_repl_offset").as_ref() >= wanted
        });
    }
}

/// Whether a replica may take its primary's place. While it may not, a fault makes its shard unavailable.
pub fn may_take_over(cluster: &LocalCluster, replica: usize, may: bool) {
    let hold = if may { "no" } else { "yes" };
    cluster
        .query::<()>(
            replica,
            &["CONFIG", "SET", "cluster-replica-no-failover", hold],
        )
        .expect("a setting");
}

/// The only replica of a primary.
pub fn replica_of(cluster: &LocalCluster, primary: usize) -> usize {
    *cluster
        .replicas_of(primary)
        .expect("a view")
        .first()
        .expect("a replica")
}

/// Makes a replica the primary of its shard. A primary gives up after five seconds in which the two did not
/// synchronize, which happens on a busy machine; then the failover is requested again.
pub fn fail_over(cluster: &LocalCluster, replica: usize) {
    let id = &cluster.node(replica).id;
    let is_primary = || {
        let view = cluster.view(replica).expect("a view");
        view.iter()
            .any(|line| line.id == *id && line.primary.is_none() && !line.ranges.is_empty())
    };
    poll_until(2 * PATIENCE, "a planned failover", || {
        // Refused while one is under way.
        let _ = cluster.query::<()>(replica, &["CLUSTER", "FAILOVER"]);
        let until = Instant::now() + Duration::from_secs(6);
        while !is_primary() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        is_primary()
    });
    cluster.wait_ok().expect("a whole cluster");
}
