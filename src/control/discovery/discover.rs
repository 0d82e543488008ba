//! Finds which node serves which slot, first from the seeds and later from the known nodes. Queries several nodes at once;
//! [`merge`](super::merge) makes one topology of their views.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Value};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::addr::Addr;
use super::ask::{Access, Identity, NodeReply, Unusable, ask};
use super::commands::{AskedNode, UpstreamCommands};
use super::merge::merge;
pub use super::no_topology::{BadSeed, DiscoverError};
use super::other_databases::look_for_databases;
use super::output_limit::look;
use super::parameters::{parameter, warnings};
use super::rights::{FeaturesInUse, check};
use super::server::ServerIdentity;
use super::topology::{Node, Topology, UpstreamKind};
use super::view::{NodeView, ServerInfo};
use crate::engine::blocking::wait_replicas::any_command_counts;
use slotmux_core::config::{Config, TtlMode, UnknownCommands};
use slotmux_core::policy::Policies;

/// Views that are merged: enough that one stale node is outvoted, few enough to be no load.
const VIEWS: usize = 3;
/// Wait for further views after the first one.
const GRACE: Duration = Duration::from_millis(500);
/// Pause before the next seed is queried although the previous one may still reply.
const NEXT_SEED: Duration = Duration::from_millis(250);
/// Rounds of queries to known nodes before the seeds are queried.
const ROUNDS: usize = 2;
/// Consecutive refreshes that may keep slots against the views: see [`merge`].
const STALE_ROUNDS: u32 = 10;

/// Consecutive refreshes that come early because of replicas that the nodes do not name to clients yet. New replicas are
/// named within seconds; one that never gets any data must not cause early refreshes for ever.
const HIDDEN_ROUNDS: u32 = 30;

/// The first major version in which PEXPIRE has NX and LT.
const OLDEST_WITH_EXPIRE_OPTIONS: u32 = 7;

/// The result of a discovery.
#[derive(Debug)]
pub struct Discovered {
    /// The topology; its version is set when it is published.
    pub topology: Topology,
    /// The nodes disagree or are behind the known topology, so that the next refresh comes early.
    pub is_unsettled: bool,
}

/// Discovers the topology repeatedly, with state that helps later discoveries.
pub struct Discovery {
    access: Arc<Access>,
    seeds: Vec<Addr>,
    command_deadline: Duration,
    learns: bool,
    /// A prefix with an enforced policy, for which the upstream has to know the options of PEXPIRE.
    enforced: Option<Vec<u8>>,
    observes: bool,
    /// Whether the rights of the upstream user are checked before the first topology is used.
    checks_rights: bool,
    commands: UpstreamCommands,
    stale_rounds: u32,
    hidden_rounds: u32,
}

impl Discovery {
    /// From the configuration; `run_id` is the one in our own INFO.
    pub fn new(config: &Config, run_id: &str) -> Discovery {
        let cluster = &config.cluster;
        let policies = Policies::new(config);
        Discovery {
            access: Arc::new(Access::new(config, run_id)),
            seeds: cluster.seeds.clone(),
            command_deadline: cluster.timeouts.command,
            learns: config.commands.unknown == UnknownCommands::Learn,
            enforced: policies.enforced_prefix().map(<[u8]>::to_vec),
            observes: policies.iter().any(|(_, policy)| {
                let ttl = policy.ttl.as_ref();
                ttl.is_some_and(|ttl| ttl.mode == TtlMode::Observe)
            }),
            checks_rights: false,
            commands: UpstreamCommands::default(),
            stale_rounds: 0,
            hidden_rounds: 0,
        }
    }

    /// Also checks the rights that a proxy needs beyond those of a discovery.
    #[must_use]
    pub fn with_rights_checked(mut self) -> Discovery {
        self.checks_rights = true;
        self
    }

    /// Queries the nodes of `previous`, then the seeds, whose names are resolved again.
    pub async fn discover(&mut self, previous: &Topology) -> Result<Discovered, DiscoverError> {
        if previous.kind == UpstreamKind::Cluster && !previous.is_empty() {
            let known = self.ask_known(previous).await;
            if !known.is_empty() {
                let found = self.conclude(known, previous).await?;
                return self.usable(found);
            }
            warn!("no known node answers: asking the seeds");
        }
        let first = self.ask_seeds(previous).await?;
        let replies = self.ask_more(first).await;
        let found = self.conclude(replies, previous).await?;
        let found = self.usable(found)?;
        if self.checks_rights && previous.is_empty() {
            self.check_rights(&found.topology).await?;
        }
        Ok(found)
    }

    async fn check_rights(&self, topology: &Topology) -> Result<(), DiscoverError> {
        let of = Arc::new(FeaturesInUse {
            kind: topology.kind,
            enforced: self.enforced.clone(),
            observes: self.observes,
            learns: self.learns,
            wait_by_script: !any_command_counts(&topology.server.version),
        });
        let checked = check(&self.access, topology, &of).await;
        checked.map_err(|report| DiscoverError::Rights {
            user: self.access.user().to_owned(),
            report,
        })?;
        // A refused SELECT would be in the ACL LOG of a user whose rights were chosen.
        if of.enforced.is_some()
            && self.access.user() == "default"
            && let Some(shard) = topology.shards.first()
        {
            let node = shard.primary.addr.clone();
            tokio::spawn(look_for_databases(self.access.clone(), node));
        }
        Ok(())
    }

    /// Warns of each node that closes connections because of big replies, and calls `note` with it.
    pub fn look_at_output_limits(&self, topology: &Topology, note: impl Fn(Addr) + Send + 'static) {
        let nodes = topology.nodes().map(|node| node.addr.clone());
        tokio::spawn(look(self.access.clone(), nodes.collect(), note));
    }

    /// Rejects an upstream that is too old for the policies.
    fn usable(&self, found: Discovered) -> Result<Discovered, DiscoverError> {
        let ServerIdentity { name, version, .. } = &found.topology.server;
        let major = version.split('.').next().map(str::parse::<u32>);
        match major {
            Some(Ok(major)) if self.enforced.is_some() && major < OLDEST_WITH_EXPIRE_OPTIONS => {
                Err(DiscoverError::TooOld(format!("{name} {version}")))
            }
            _ => Ok(found),
        }
    }

    /// Returns the first usable reply of a seed. Seeds are queried in order, each a moment after the previous one.
    async fn ask_seeds(&self, previous: &Topology) -> Result<NodeReply, DiscoverError> {
        let mut asked = JoinSet::new();
        let mut waiting = self.seeds.iter();
        let mut refused: Vec<BadSeed> = Vec::new();
        let mut replica: Option<NodeReply> = None;
        loop {
            let next_is_due = match waiting.next() {
                Some(seed) => {
                    self.spawn_ask(&mut asked, seed.clone());
                    Instant::now() + NEXT_SEED
                }
                None if asked.is_empty() => break,
                None => Instant::now() + self.access.connect_timeout,
            };
            while let Ok(Some(joined)) = timeout_at(next_is_due, asked.join_next()).await {
                match joined {
                    Ok((seed, Ok(reply))) => {
                        let server = reply.identity.server();
                        if server.is_slotmux && previous.is_empty() {
                            warn!("upstream {seed} is another slotmux, used as a single server");
                        }
                        if matches!(reply.identity, Identity::Cluster(_)) || !server.is_replica {
                            return Ok(reply);
                        }
                        // A plain replica takes no writes: used only if no other seed is usable.
                        replica.get_or_insert(reply);
                    }
                    Ok((seed, Err(Unusable::Ourselves))) => {
                        return Err(DiscoverError::Ourselves(seed));
                    }
                    Ok((seed, Err(reason))) => refused.push(BadSeed {
                        seed,
                        reason: reason.to_string(),
                        is_final: reason.is_final(),
                    }),
                    Err(panic) => warn!("a query of a seed ended in a panic: {panic}"),
                }
                if waiting.len() > 0 {
                    break;
                }
            }
        }
        if let Some(reply) = replica {
            if previous.is_empty() {
                warn!("upstream {} is a replica: it refuses writes", reply.from);
            }
            return Ok(reply);
        }
        let position = |seed: &Addr| self.seeds.iter().position(|other| other == seed);
        refused.sort_by_key(|bad| position(&bad.seed));
        Err(DiscoverError::NoneUsable(refused))
    }

    /// Adds the views of some other primaries to that of a seed.
    async fn ask_more(&self, first: NodeReply) -> Vec<NodeReply> {
        let Identity::Cluster(view) = &first.identity else {
            return vec![first];
        };
        let owners: HashSet<usize> = view.ranges.iter().map(|&(_, _, owner)| owner).collect();
        let mut others: Vec<Addr> = owners
            .into_iter()
            .filter_map(|owner| view.nodes.get(owner))
            .filter(|node| !node.failed && view.myself.as_ref() != Some(&node.id))
            .filter_map(|node| node.addr.clone())
            .collect();
        fastrand::shuffle(&mut others);
        others.truncate(VIEWS - 1);
        let mut replies = vec![first];
        replies.extend(self.ask_all(others, Some(Instant::now() + GRACE)).await);
        replies
    }

    /// Replies of known nodes; empty if none of the queried ones replies, or if those that do belong to another cluster now.
    async fn ask_known(&self, previous: &Topology) -> Vec<NodeReply> {
        let mut primaries: Vec<Addr> = previous
            .shards
            .iter()
            .map(|shard| shard.primary.addr.clone())
            .collect();
        let mut replicas: Vec<Addr> = previous
            .shards
            .iter()
            .flat_map(|shard| &shard.replicas)
            .map(|node| node.addr.clone())
            .collect();
        fastrand::shuffle(&mut primaries);
        fastrand::shuffle(&mut replicas);
        primaries.append(&mut replicas);
        let known_ids: HashSet<&str> = previous.nodes().map(|node| node.id.as_str()).collect();
        for round in primaries.chunks(VIEWS).take(ROUNDS) {
            let mut replies = self.ask_all(round.to_vec(), None).await;
            replies.retain(|reply| {
                let Identity::Cluster(view) = &reply.identity else {
                    return false;
                };
                // An address may have been given to a node of another cluster since.
                let is_ours = view.epochs.keys().any(|id| known_ids.contains(id.as_str()));
                if !is_ours {
                    warn!(
                        "{} belongs to another cluster now: its view is left out",
                        reply.from
                    );
                }
                is_ours
            });
            if !replies.is_empty() {
                return replies;
            }
        }
        Vec::new()
    }

    /// Queries all at once. After the first reply the others have a short time left.
    async fn ask_all(&self, nodes: Vec<Addr>, mut until: Option<Instant>) -> Vec<NodeReply> {
        let mut asked = JoinSet::new();
        for node in nodes {
            self.spawn_ask(&mut asked, node);
        }
        let mut replies = Vec::new();
        loop {
            let joined = match until {
                Some(until) => timeout_at(until, asked.join_next()).await.unwrap_or(None),
                None => asked.join_next().await,
            };
            match joined {
                None => return replies,
                Some(Ok((_, Ok(reply)))) => {
                    until.get_or_insert(Instant::now() + GRACE);
                    replies.push(reply);
                }
                Some(Ok((node, Err(reason)))) => {
                    info!("{node} gives no view of the cluster: {reason}")
                }
                Some(Err(panic)) => warn!("a query of a node ended in a panic: {panic}"),
            }
        }
    }

    fn spawn_ask(&self, asked: &mut JoinSet<(Addr, Result<NodeReply, Unusable>)>, node: Addr) {
        let access = self.access.clone();
        asked.spawn(async move {
            let reply = ask(&access, &node).await;
            (node, reply)
        });
    }

    /// Makes a topology of at least one reply.
    async fn conclude(
        &mut self,
        replies: Vec<NodeReply>,
        previous: &Topology,
    ) -> Result<Discovered, DiscoverError> {
        let mut views: Vec<NodeView> = Vec::new();
        let mut server: Option<(Addr, ServerInfo)> = None;
        let mut asked = Vec::with_capacity(replies.len());
        for reply in replies {
            asked.push(AskedNode {
                id: reply
                    .identity
                    .id()
                    .unwrap_or(&reply.from.to_string())
                    .to_owned(),
                server: reply.identity.server().clone(),
                connection: reply.connection,
            });
            match reply.identity {
                Identity::Cluster(view) => views.push(view),
                Identity::Standalone(found) => server = Some((reply.from, found)),
            }
        }
        let (mut topology, is_unsettled) = match server {
            Some((addr, server)) if views.is_empty() => (self.standalone(addr, server), false),
            _ => self.cluster(&views, previous),
        };
        if previous.is_empty()
            && topology.kind == UpstreamKind::Cluster
            && let Some(node) = asked.first_mut()
        {
            self.look_at_parameters(&mut node.connection).await;
        }
        topology.learned = if self.learns {
            self.commands.of(&topology, &mut asked).await
        } else {
            previous.learned.clone()
        };
        Ok(Discovered {
            topology,
            is_unsettled,
        })
    }

    /// Warns of parameters of the nodes that make failovers longer than commands wait.
    async fn look_at_parameters(&self, connection: &mut MultiplexedConnection) {
        let mut pipe = redis::pipe();
        pipe.ignore_errors();
        pipe.cmd("CONFIG").arg("GET").arg("cluster-node-timeout");
        pipe.cmd("CONFIG")
            .arg("GET")
            .arg("cluster-require-full-coverage");
        let replies: RedisResult<Vec<RedisResult<Value>>> = pipe.query_async(connection).await;
        let mut replies = replies.unwrap_or_default().into_iter();
        // CONFIG is often withheld; then there is no warning.
        let mut next = || {
            replies
                .next()
                .and_then(Result::ok)
                .and_then(|reply| parameter(&reply))
        };
        let (node_timeout, full_coverage) = (next(), next());
        let node_timeout = node_timeout
            .and_then(|ms| ms.parse().ok())
            .map(Duration::from_millis);
        let full_coverage = full_coverage.is_some_and(|value| value == "yes");
        for warning in warnings(node_timeout, full_coverage, self.command_deadline) {
            warn!("{warning}");
        }
    }

    fn standalone(&self, addr: Addr, server: ServerInfo) -> Topology {
        let addr = self.access.map.apply(addr);
        let node = Node {
            server: Some(Arc::new(server.identity)),
            ..Node::new(addr.to_string(), addr)
        };
        let mut topology = Topology::standalone(node);
        topology.choose_server();
        topology
    }

    fn cluster(&mut self, views: &[NodeView], previous: &Topology) -> (Topology, bool) {
        let merged = merge(views, previous, self.stale_rounds < STALE_ROUNDS);
        self.stale_rounds = if merged.remembered > 0 {
            self.stale_rounds + 1
        } else {
            0
        };
        if merged.remembered > 0 {
            warn!(
                "the nodes that were asked are behind: {} slots stay where they were",
                merged.remembered
            );
        }
        if merged.unreachable > 0 {
            warn!(
                "{} slots are served by nodes that announce no address",
                merged.unreachable
            );
        }
        let has_hidden = views.iter().any(|view| view.hidden_replicas > 0);
        self.hidden_rounds = if has_hidden {
            self.hidden_rounds + 1
        } else {
            0
        };
        let is_incomplete = has_hidden && self.hidden_rounds <= HIDDEN_ROUNDS;
        (
            merged.topology,
            merged.disputed > 0 || merged.remembered > 0 || is_incomplete,
        )
    }
}
