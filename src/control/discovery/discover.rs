//! Finds out which node serves which slot: from the seeds at first, from the known nodes later. Asks several nodes
//! at once and leaves the judgement to [`merge`](super::merge).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Value};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::addr::Addr;
use super::ask::{Access, Answer, Refusal, Says, ask, words};
use super::merge::merge;
pub use super::no_topology::{BadSeed, DiscoverError};
use super::output_limit::look;
use super::rights::{Use, check};
use super::settings::{setting, warnings};
use super::topology::{Node, Topology, UpstreamKind};
use super::view::{NodeView, ServerInfo};
use crate::engine::blocking::wait_replicas::any_command_counts;
use slotmux_core::command::Learned;
use slotmux_core::config::{Config, TtlMode, UnknownCommands};
use slotmux_core::policy::Policies;

/// Nodes whose views make one topology: enough that one stale node is outvoted, few enough to be no load.
const VIEWS: usize = 3;
/// How long the other views are waited for once there is one.
const GRACE: Duration = Duration::from_millis(500);
/// Pause after which the next seed is asked although the one before may still answer.
const NEXT_SEED: Duration = Duration::from_millis(250);
/// Rounds of known nodes that are asked before the seeds are.
const ROUNDS: usize = 2;
/// Refreshes in a row that may hold on to slots against the views: see [`merge`].
const STALE_ROUNDS: u32 = 10;

/// Refreshes in a row that hurry because of replicas that the nodes do not name to clients yet. New replicas are named
/// within seconds; one that never gets any data must not keep slotmux asking.
const HIDDEN_ROUNDS: u32 = 30;

/// The first major version in which PEXPIRE has NX and LT.
const OLDEST_WITH_EXPIRE_OPTIONS: u32 = 7;

/// What a discovery found.
#[derive(Debug)]
pub struct Found {
    /// The topology; its version is left to whoever publishes it.
    pub topology: Topology,
    /// The nodes disagree, or are older than what was known: worth asking again soon.
    pub is_unsettled: bool,
}

/// Discovers the topology again and again; remembers what helps the next time.
pub struct Discovery {
    access: Arc<Access>,
    seeds: Vec<Addr>,
    command_deadline: Duration,
    learns: bool,
    /// A prefix whose policy is enforced: the upstream then has to know the options of PEXPIRE.
    enforced: Option<Vec<u8>>,
    observes: bool,
    /// Whether the rights of the upstream user are checked before the first topology is used.
    checks_rights: bool,
    /// The last try to learn the upstream's commands got no answer.
    has_to_learn: bool,
    stale_rounds: u32,
    hidden_rounds: u32,
}

impl Discovery {
    /// By the configuration; `run_id` is the one that our own INFO tells.
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
            has_to_learn: false,
            stale_rounds: 0,
            hidden_rounds: 0,
        }
    }

    /// The same for a proxy, which needs more rights than a discovery.
    #[must_use]
    pub fn with_rights_checked(mut self) -> Discovery {
        self.checks_rights = true;
        self
    }

    /// Asks the nodes of `previous`, then the seeds, whose names are resolved anew.
    pub async fn discover(&mut self, previous: &Topology) -> Result<Found, DiscoverError> {
        if previous.kind == UpstreamKind::Cluster && !previous.is_empty() {
            let known = self.ask_known(previous).await;
            if !known.is_empty() {
                let found = self.conclude(known, previous).await?;
                return self.usable(found);
            }
            warn!("no known node answers: asking the seeds");
        }
        let first = self.ask_seeds(previous).await?;
        let answers = self.ask_more(first).await;
        let found = self.conclude(answers, previous).await?;
        let found = self.usable(found)?;
        if self.checks_rights && previous.is_empty() {
            self.check_rights(&found.topology).await?;
        }
        Ok(found)
    }

    async fn check_rights(&self, topology: &Topology) -> Result<(), DiscoverError> {
        let of = Arc::new(Use {
            kind: topology.kind,
            enforced: self.enforced.clone(),
            observes: self.observes,
            learns: self.learns,
            wait_by_script: !any_command_counts(&topology.server_version),
        });
        let checked = check(&self.access, topology, &of).await;
        checked.map_err(|told| DiscoverError::Rights {
            user: self.access.user().to_owned(),
            told,
        })
    }

    /// Warns of the nodes that close connections because of big replies, and calls `note` with each.
    pub fn look_at_output_limits(&self, topology: &Topology, note: impl Fn(Addr) + Send + 'static) {
        let nodes = topology.nodes().map(|node| node.addr.clone());
        tokio::spawn(look(self.access.clone(), nodes.collect(), note));
    }

    /// What was found, unless it is too old for the policies.
    fn usable(&self, found: Found) -> Result<Found, DiscoverError> {
        let Topology {
            server_name,
            server_version,
            ..
        } = &found.topology;
        let major = server_version.split('.').next().map(str::parse::<u32>);
        match major {
            Some(Ok(major)) if self.enforced.is_some() && major < OLDEST_WITH_EXPIRE_OPTIONS => {
                Err(DiscoverError::TooOld(format!(
                    "{server_name} {server_version}"
                )))
            }
            _ => Ok(found),
        }
    }

    /// The first seed with a usable answer. Seeds are asked in their order, each a moment after the one before.
    async fn ask_seeds(&self, previous: &Topology) -> Result<Answer, DiscoverError> {
        let mut asked = JoinSet::new();
        let mut waiting = self.seeds.iter();
        let mut refused: Vec<BadSeed> = Vec::new();
        let mut replica: Option<Answer> = None;
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
                    Ok((seed, Ok(answer))) => {
                        let server = answer.says.server();
                        if server.is_slotmux && previous.is_empty() {
                            warn!("upstream {seed} is another slotmux, used as a single server");
                        }
                        if matches!(answer.says, Says::Cluster(_)) || !server.is_replica {
                            return Ok(answer);
                        }
                        // A plain replica takes no writes: only if no other seed is better.
                        replica.get_or_insert(answer);
                    }
                    Ok((seed, Err(Refusal::Ourselves))) => {
                        return Err(DiscoverError::Ourselves(seed));
                    }
                    Ok((seed, Err(refusal))) => refused.push(BadSeed {
                        seed,
                        reason: refusal.to_string(),
                        is_final: refusal.is_final(),
                    }),
                    Err(panic) => warn!("a question to a seed ended in a panic: {panic}"),
                }
                if waiting.len() > 0 {
                    break;
                }
            }
        }
        if let Some(answer) = replica {
            if previous.is_empty() {
                warn!("upstream {} is a replica: it refuses writes", answer.from);
            }
            return Ok(answer);
        }
        let position = |seed: &Addr| self.seeds.iter().position(|other| other == seed);
        refused.sort_by_key(|bad| position(&bad.seed));
        Err(DiscoverError::NoneUsable(refused))
    }

    /// Adds the views of some other primaries to that of a seed.
    async fn ask_more(&self, first: Answer) -> Vec<Answer> {
        let Says::Cluster(view) = &first.says else {
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
        let mut answers = vec![first];
        answers.extend(self.ask_all(others, Some(Instant::now() + GRACE)).await);
        answers
    }

    /// Views of known nodes; none if no asked one answers, or if those who do belong to another cluster by now.
    async fn ask_known(&self, previous: &Topology) -> Vec<Answer> {
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
            let mut answers = self.ask_all(round.to_vec(), None).await;
            answers.retain(|answer| {
                let Says::Cluster(view) = &answer.says else {
                    return false;
                };
                // An address may have been given to a node of another cluster since.
                let is_ours = view.epochs.keys().any(|id| known_ids.contains(id.as_str()));
                if !is_ours {
                    warn!(
                        "{} belongs to another cluster now: its view is left out",
                        answer.from
                    );
                }
                is_ours
            });
            if !answers.is_empty() {
                return answers;
            }
        }
        Vec::new()
    }

    /// Asks all at once. Once one has answered, the others have a short time left.
    async fn ask_all(&self, nodes: Vec<Addr>, mut until: Option<Instant>) -> Vec<Answer> {
        let mut asked = JoinSet::new();
        for node in nodes {
            self.spawn_ask(&mut asked, node);
        }
        let mut answers = Vec::new();
        loop {
            let joined = match until {
                Some(until) => timeout_at(until, asked.join_next()).await.unwrap_or(None),
                None => asked.join_next().await,
            };
            match joined {
                None => return answers,
                Some(Ok((_, Ok(answer)))) => {
                    until.get_or_insert(Instant::now() + GRACE);
                    answers.push(answer);
                }
                Some(Ok((node, Err(refusal)))) => {
                    info!("{node} gives no view of the cluster: {refusal}")
                }
                Some(Err(panic)) => warn!("a question to a node ended in a panic: {panic}"),
            }
        }
    }

    fn spawn_ask(&self, asked: &mut JoinSet<(Addr, Result<Answer, Refusal>)>, node: Addr) {
        let access = self.access.clone();
        asked.spawn(async move {
            let answer = ask(&access, &node).await;
            (node, answer)
        });
    }

    /// From answers, of which there is at least one, to a topology.
    async fn conclude(
        &mut self,
        answers: Vec<Answer>,
        previous: &Topology,
    ) -> Result<Found, DiscoverError> {
        let mut views: Vec<NodeView> = Vec::new();
        let mut server: Option<(Addr, ServerInfo)> = None;
        let mut connection = None;
        for answer in answers {
            connection.get_or_insert(answer.connection);
            match answer.says {
                Says::Cluster(view) => views.push(view),
                Says::Standalone(found) => server = Some((answer.from, found)),
            }
        }
        let (mut topology, is_unsettled) = match server {
            Some((addr, server)) if views.is_empty() => (self.standalone(addr, server), false),
            _ => self.cluster(&views, previous),
        };
        topology.learned = previous.learned.clone();
        let is_same_server = topology.server_version == previous.server_version
            && topology.server_name == previous.server_name;
        if let Some(connection) = connection
            && (previous.is_empty() || !is_same_server || self.has_to_learn)
        {
            self.learn(connection, &mut topology, previous.is_empty())
                .await;
        }
        Ok(Found {
            topology,
            is_unsettled,
        })
    }

    /// Asks for what changes only with the server: its commands, and once at the start its settings.
    async fn learn(
        &mut self,
        mut connection: MultiplexedConnection,
        topology: &mut Topology,
        is_first: bool,
    ) {
        let mut pipe = redis::pipe();
        pipe.ignore_errors();
        pipe.cmd("CONFIG").arg("GET").arg("cluster-node-timeout");
        pipe.cmd("CONFIG")
            .arg("GET")
            .arg("cluster-require-full-coverage");
        if self.learns {
            pipe.cmd("COMMAND");
        }
        let replies: RedisResult<Vec<RedisResult<Value>>> = pipe.query_async(&mut connection).await;
        let mut replies = replies.unwrap_or_default().into_iter();
        // CONFIG is often withheld; then there is nothing to warn of.
        let mut setting = || {
            replies
                .next()
                .and_then(Result::ok)
                .and_then(|reply| setting(&reply))
        };
        let (node_timeout, full_coverage) = (setting(), setting());
        if is_first && topology.kind == UpstreamKind::Cluster {
            let node_timeout = node_timeout
                .and_then(|ms| ms.parse().ok())
                .map(Duration::from_millis);
            let full_coverage = full_coverage.is_some_and(|value| value == "yes");
            for warning in warnings(node_timeout, full_coverage, self.command_deadline) {
                warn!("{warning}");
            }
        }
        self.has_to_learn = false;
        match replies.next() {
            Some(Ok(commands)) => topology.learned = Arc::new(Learned::from_reply(&commands)),
            Some(Err(error)) => warn!(
                "the upstream's COMMAND cannot be learned from: {}",
                words(&error)
            ),
            None => self.has_to_learn = self.learns,
        }
    }

    fn standalone(&self, addr: Addr, server: ServerInfo) -> Topology {
        let addr = self.access.map.apply(addr);
        let node = Node {
            zone: server.zone,
            ..Node::new(addr.to_string(), addr)
        };
        let mut topology = Topology::standalone(node);
        topology.server_version = server.version;
        topology.server_name = server.name;
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
