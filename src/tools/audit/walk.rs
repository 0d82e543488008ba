//! Walks the keys of one node: SCAN, their TTLs, and the repairs that they need.

use std::sync::Arc;

use indicatif::ProgressBar;
use redis::Cmd;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::rate_limit::RateLimit;
use super::repair::Repair;
use super::send::{NodeError, Nodes};
use super::tally::Tallies;
use crate::control::discovery::dial::Dialer;
use slotmux_core::cluster::addr::Addr;
use slotmux_core::config::TtlMode;
use slotmux_core::policy::{NamespaceId, Policies, TtlPolicy};

/// Shared by the walks of all nodes.
pub(super) struct Scope {
    pub policies: Policies,
    /// The selected namespace, if only one is checked.
    pub only: Option<NamespaceId>,
    /// The glob pattern of its keys, if a single one covers them.
    pub pattern: Option<Vec<u8>>,
    pub repair: bool,
    pub rate_limit: RateLimit,
    pub dialer: Arc<Dialer>,
    /// Permits for walking nodes at the same time.
    pub turns: Semaphore,
    pub progress: ProgressBar,
    pub stop: CancellationToken,
}

/// The result of one walk.
pub(super) struct Walked {
    pub node: Addr,
    /// Whether all keys were seen; `Ok(false)` is an early stop.
    pub end: Result<bool, NodeError>,
    pub tallies: Tallies,
    /// Keys whose TTL no node returned.
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
        // Before waiting for a permit, so that the progress covers all nodes early. It may be refused.
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
            // With a pattern the node checks more keys than it returns.
            let looked_at = match scope.pattern {
                Some(_) => u64::from(scope.rate_limit.batch()),
                None => keys.len() as u64,
            };
            let admitted = scope.rate_limit.admit(looked_at);
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
            // Expired or deleted since the scan: not counted.
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
            // A repair without a reply counts as left.
            if let Some(reply) = reply {
                self.tallies.of(namespace).add_repair(repair, reply == 1);
            }
        }
        Ok(())
    }
}

/// The TTL policy of a namespace, if it has one.
pub(super) fn ttl_policy(policies: &Policies, namespace: NamespaceId) -> Option<&TtlPolicy> {
    policies.get(namespace)?.ttl.as_ref()
}

fn scan(scope: &Scope, cursor: u64) -> Cmd {
    let mut scan = redis::cmd("SCAN");
    scan.arg(cursor).arg("COUNT").arg(scope.rate_limit.batch());
    if let Some(pattern) = &scope.pattern {
        scan.arg("MATCH").arg(pattern);
    }
    scan
}
