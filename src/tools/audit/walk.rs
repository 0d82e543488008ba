//! One node from its first key to its last: SCAN, the TTLs of what it found, and the repairs that they need.

use std::sync::Arc;

use indicatif::ProgressBar;
use redis::Cmd;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::pace::Pace;
use super::repair::Repair;
use super::send::{NodeError, Nodes};
use super::tally::Tallies;
use crate::control::discovery::dial::Dialer;
use slotmux_core::cluster::addr::Addr;
use slotmux_core::config::TtlMode;
use slotmux_core::policy::{NamespaceId, Policies, TtlPolicy};

/// What the walks of all nodes share.
pub(super) struct Scope {
    pub policies: Policies,
    /// The one namespace that is looked at.
    pub only: Option<NamespaceId>,
    /// The glob pattern of its keys, if one is enough.
    pub pattern: Option<Vec<u8>>,
    pub repair: bool,
    pub pace: Pace,
    pub dialer: Arc<Dialer>,
    /// Permits for the nodes that are walked at the same time.
    pub turns: Semaphore,
    pub progress: ProgressBar,
    pub stop: CancellationToken,
}

/// What came of a node.
pub(super) struct Walked {
    pub node: Addr,
    /// Whether all of it was seen; `Ok(false)` is an early stop.
    pub end: Result<bool, NodeError>,
    pub tallies: Tallies,
    /// Keys whose TTL no node would tell.
    pub skipped: u64,
}

/// Walks one node until its end, an error, or the stop.
pub(super) async fn walk(scope: Arc<Scope>, node: Addr) -> Walked {
    let mut walk = Walk {
        nodes: Nodes::new(scope.dialer.clone()),
        node,
        tallies: Tallies::default(),
        skipped: 0,
    };
    let end = walk.run(&scope).await;
    Walked {
        node: walk.node,
        end,
        tallies: walk.tallies,
        skipped: walk.skipped,
    }
}

struct Walk {
    nodes: Nodes,
    node: Addr,
    tallies: Tallies,
    skipped: u64,
}

impl Walk {
    async fn run(&mut self, scope: &Scope) -> Result<bool, NodeError> {
        // Before the turn, so that the progress knows all keys early; and it can do without.
        let size = self
            .nodes
            .try_ask::<u64>(&self.node, &redis::cmd("DBSIZE"))
            .await?;
        scope.progress.inc_length(size.unwrap_or(0));
        let waited = scope.stop.run_until_cancelled(scope.turns.acquire()).await;
        let Some(_turn) = waited else {
            return Ok(false);
        };
        let mut cursor = 0;
        loop {
            if scope.stop.is_cancelled() {
                return Ok(false);
            }
            let keys: Vec<Vec<u8>>;
            (cursor, keys) = self.nodes.ask(&self.node, &scan(scope, cursor)).await?;
            // With a pattern the node looks at more keys than it tells of.
            let looked_at = match scope.pattern {
                Some(_) => u64::from(scope.pace.batch()),
                None => keys.len() as u64,
            };
            let admitted = scope.pace.admit(looked_at);
            if scope.stop.run_until_cancelled(admitted).await.is_none() {
                return Ok(false);
            }
            self.look_at(scope, &keys).await?;
            scope.progress.inc(looked_at);
            if cursor == 0 {
                return Ok(true);
            }
        }
    }

    async fn look_at(&mut self, scope: &Scope, keys: &[Vec<u8>]) -> Result<(), NodeError> {
        let keys: Vec<(NamespaceId, &[u8])> = keys
            .iter()
            .map(|key| (scope.policies.find(key), key.as_slice()))
            .filter(|(namespace, _)| scope.only.is_none_or(|only| only == *namespace))
            .collect();
        let pttl = |number: usize| {
            let mut command = redis::cmd("PTTL");
            command.arg(keys[number].1);
            command
        };
        let ttls = self.nodes.ask_each(&self.node, keys.len(), pttl).await?;
        let mut repairs: Vec<(NamespaceId, &[u8], Repair)> = Vec::new();
        for (&(namespace, key), pttl) in keys.iter().zip(ttls) {
            let Some(pttl) = pttl else {
                self.skipped += 1;
                continue;
            };
            // Expired or deleted since the scan: it is as if it had not been found.
            if pttl == -2 {
                continue;
            }
            let policy = ttl_policy(&scope.policies, namespace);
            let wanted = policy.and_then(|policy| Repair::of(policy, key, pttl));
            self.tallies.of(namespace).add(pttl, wanted);
            let is_enforced = policy.is_some_and(|policy| policy.mode == TtlMode::Enforce);
            if let Some(repair) = wanted.filter(|_| scope.repair && is_enforced) {
                repairs.push((namespace, key, repair));
            }
        }
        let command = |number: usize| {
            let (_, key, repair) = repairs[number];
            repair.command(key)
        };
        let done = self
            .nodes
            .ask_each(&self.node, repairs.len(), command)
            .await?;
        for (&(namespace, _, repair), reply) in repairs.iter().zip(done) {
            // One that no node would take stays among those that are left.
            if let Some(reply) = reply {
                self.tallies.of(namespace).add_repair(repair, reply == 1);
            }
        }
        Ok(())
    }
}

/// The lifetime of a namespace's keys, if anything is said about it.
pub(super) fn ttl_policy(policies: &Policies, namespace: NamespaceId) -> Option<&TtlPolicy> {
    policies.get(namespace)?.ttl.as_ref()
}

fn scan(scope: &Scope, cursor: u64) -> Cmd {
    let mut scan = redis::cmd("SCAN");
    scan.arg(cursor).arg("COUNT").arg(scope.pace.batch());
    if let Some(pattern) = &scope.pattern {
        scan.arg("MATCH").arg(pattern);
    }
    scan
}
