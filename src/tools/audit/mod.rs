//! `slotmux ttl audit`: walks every key of every primary, reports the keys that break the policy of their namespace, and
//! repairs them with `--repair`. It finds keys that the proxy does not see: older ones, and those written past it.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use indicatif::ProgressBar;
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::control::discovery::dial::Dialer;
use crate::control::discovery::discover::{DiscoverError, Discovery};
use slotmux_core::cluster::topology::{Topology, UpstreamKind};
use slotmux_core::config::{Config, TtlMode};
use slotmux_core::policy::{NamespaceId, Policies};

pub mod args;
mod json;
mod rate_limit;
pub mod repair;
pub mod report;
mod send;
mod table;
pub mod tally;
mod walk;

pub use repair::Repair;
pub use report::{NodeReport, Report, Row};
pub use send::NodeError;
pub use tally::Tally;

use rate_limit::RateLimit;
use tally::Tallies;
use walk::{Scope, Walked, walk};

/// Nodes that are walked at the same time: more would need memory without being faster.
const NODES_AT_ONCE: usize = 16;

/// The first version whose PEXPIRE knows NX and LT.
const REPAIRS_FROM: u32 = 7;

/// The options of an audit.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only keys of this namespace.
    pub namespace: Option<String>,
    /// Whether keys are repaired; else it is a dry run.
    pub repair: bool,
    /// Most keys per second, all nodes together.
    pub rate: Option<u32>,
}

/// Why an audit could not run.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// `--namespace` is not in the configuration.
    #[error("--namespace: there is no namespace {name:?}; {}", declared(.names))]
    NoNamespace {
        /// The given name.
        name: String,
        /// The declared namespaces.
        names: Vec<String>,
    },
    /// No node was found.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// The upstream has no `PEXPIRE … NX`.
    #[error("--repair needs PEXPIRE with NX and LT, so Redis 7.0 or newer; the upstream is {0}")]
    TooOld(String),
    /// The runtime could not be started.
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn declared(names: &[String]) -> String {
    match names {
        [] => "the configuration declares none".to_owned(),
        names => format!("there are {}", names.join(", ")),
    }
}

/// Audits until the end or until `stop`; then the report covers the keys seen so far.
pub fn run(
    config: &Config,
    options: &Options,
    progress: ProgressBar,
    stop: CancellationToken,
) -> Result<Report, AuditError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(audit(config, options, progress, stop))
}

async fn audit(
    config: &Config,
    options: &Options,
    progress: ProgressBar,
    stop: CancellationToken,
) -> Result<Report, AuditError> {
    let started = Instant::now();
    let policies = Policies::new(config);
    let (only, pattern) = selection(config, &policies, options)?;
    // Without a run id: an audit serves no INFO that a node could return.
    let mut discovery = Discovery::new(config, "");
    let nothing = Topology::empty();
    let first = discovery.discover(&nothing);
    let topology = match stop.run_until_cancelled(first).await {
        Some(found) => found?.topology,
        None => nothing,
    };
    let has_enforced = policies.iter().any(|(_, policy)| {
        let ttl = policy.ttl.as_ref();
        ttl.is_some_and(|ttl| ttl.mode == TtlMode::Enforce)
    });
    if options.repair && has_enforced && is_too_old(&topology.server.version) {
        return Err(AuditError::TooOld(topology.server.version.clone()));
    }
    let scope = Arc::new(Scope {
        policies,
        only,
        pattern,
        repair: options.repair,
        rate_limit: RateLimit::new(options.rate),
        dialer: Arc::new(Dialer::new(config)),
        turns: Semaphore::new(NODES_AT_ONCE),
        progress,
        stop: stop.clone(),
    });
    let walked = walk_all(&scope, &topology).await;
    scope.progress.finish_and_clear();

    let is_interrupted = topology.is_empty() || walked.iter().any(|w| matches!(w.end, Ok(false)));
    let is_cluster = topology.kind == UpstreamKind::Cluster && !topology.is_empty();
    let slots_moved = if is_cluster && !is_interrupted {
        let again = stop.run_until_cancelled(discovery.discover(&topology));
        match again.await {
            Some(Ok(now)) => now.topology.moved_since(&topology).count(),
            _ => 0,
        }
    } else {
        0
    };
    let mut tallies = Tallies::default();
    for walked in &walked {
        tallies.merge(&walked.tallies);
    }
    Ok(Report {
        keys: tallies.keys(),
        rows: rows(&scope, &mut tallies),
        nodes: walked.iter().map(NodeReport::from).collect(),
        is_repair: options.repair,
        is_interrupted,
        skipped: walked.iter().map(|walked| walked.skipped).sum(),
        slots_unserved: if is_cluster { topology.uncovered() } else { 0 },
        slots_moved,
        took: started.elapsed(),
    })
}

async fn walk_all(scope: &Arc<Scope>, topology: &Topology) -> Vec<Walked> {
    let mut walks = JoinSet::new();
    for shard in &topology.shards {
        walks.spawn(walk(scope.clone(), shard.primary.addr.clone()));
    }
    let mut walked = walks.join_all().await;
    walked.sort_by(|a, b| a.node.cmp(&b.node));
    walked
}

/// The selected namespace, and a pattern for its keys if a single one covers all of them.
fn selection(
    config: &Config,
    policies: &Policies,
    options: &Options,
) -> Result<(Option<NamespaceId>, Option<Vec<u8>>), AuditError> {
    let Some(name) = &options.namespace else {
        return Ok((None, None));
    };
    let found = policies.iter().zip(&config.namespaces);
    for ((id, policy), namespace) in found {
        if policy.name == *name {
            let pattern = match namespace.prefixes.as_slice() {
                [prefix] => Some(pattern_of(prefix)),
                _ => None,
            };
            return Ok((Some(id), pattern));
        }
    }
    Err(AuditError::NoNamespace {
        name: name.clone(),
        names: policies.iter().map(|(_, p)| p.name.clone()).collect(),
    })
}

/// The glob pattern of a literal prefix.
fn pattern_of(prefix: &str) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(prefix.len() + 1);
    for &byte in prefix.as_bytes() {
        if matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\') {
            pattern.push(b'\\');
        }
        pattern.push(byte);
    }
    pattern.push(b'*');
    pattern
}

/// An unknown version counts as new enough: an old node refuses the command itself.
fn is_too_old(version: &str) -> bool {
    let major = version.split('.').next().unwrap_or_default();
    major.parse::<u32>().is_ok_and(|major| major < REPAIRS_FROM)
}

/// One row per checked namespace, and one for the keys of no namespace.
fn rows(scope: &Scope, tallies: &mut Tallies) -> Vec<Row> {
    let named = scope.policies.iter().map(|(id, policy)| (id, Some(policy)));
    named
        .chain([(NamespaceId::UNMATCHED, None)])
        .filter(|(id, _)| scope.only.is_none_or(|only| only == *id))
        .map(|(id, policy)| Row {
            namespace: policy.map(|policy| policy.name.clone()),
            policy: policy.and_then(|policy| policy.ttl.clone()),
            tally: tallies.of(id).clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_taken_literally() {
        for (prefix, pattern) in [
            ("app:", "app:*"),
            ("a*b?", "a\\*b\\?*"),
            ("[x]\\{}^-", "\\[x\\]\\\\{}^-*"),
        ] {
            assert_eq!(pattern_of(prefix), pattern.as_bytes(), "{prefix}");
        }
    }

    #[test]
    fn a_namespace_that_is_not_declared_is_named() {
        let options = Options {
            namespace: Some("cahce".to_owned()),
            ..Options::default()
        };
        let run = |config: &Config| {
            let stop = CancellationToken::new();
            run(config, &options, ProgressBar::hidden(), stop)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            run(&Config::default()),
            "--namespace: there is no namespace \"cahce\"; the configuration declares none"
        );
    }

    #[test]
    fn versions_that_can_be_repaired() {
        for (version, too_old) in [
            ("6.2.14", true),
            ("5.0", true),
            ("7.0.0", false),
            ("7.2.4", false),
            ("10.0", false),
            ("", false),
            ("unstable", false),
        ] {
            assert_eq!(is_too_old(version), too_old, "{version}");
        }
    }
}
