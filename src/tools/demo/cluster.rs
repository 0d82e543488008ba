//! A real Redis Cluster of `redis-server` children on loopback: formed in about two seconds, gone with its value.

use std::path::PathBuf;
use std::time::Duration;

use redis::{Connection, FromRedisValue};

use super::guard::Guard;
use super::server::{LocalError, ServerOptions, ServerProcess, wait_until};
use super::view::ViewLine;
use slotmux_core::slot::SLOTS;

/// How long forming, failing over or agreeing may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Node timeout while the cluster forms: gossip spreads within half of it.
const FORMING_TIMEOUT: Duration = Duration::from_millis(1_000);

/// The options of a [`LocalCluster`].
#[derive(Clone, Debug)]
pub struct Options {
    /// Shards; the slots are divided evenly, in order.
    pub primaries: usize,
    /// Replicas of each primary.
    pub replicas_per_primary: usize,
    /// `cluster-node-timeout` once the cluster is formed: after it a silent primary is replaced.
    pub node_timeout: Duration,
    /// `requirepass` and `masterauth` of every node.
    pub password: Option<String>,
    /// Further configuration lines of every node: name, value.
    pub extra: Vec<(String, String)>,
    /// The server program, if it is not to be the usual one.
    pub program: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            primaries: 3,
            replicas_per_primary: 1,
            node_timeout: Duration::from_secs(2),
            password: None,
            extra: Vec::new(),
            program: None,
        }
    }
}

/// The role of a node when the cluster was formed; a failover changes its current role.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// It owned slots.
    Primary,
    /// It replicated a primary.
    Replica,
}

/// One node: its process and its place in the cluster as formed.
#[derive(Debug)]
pub struct Node {
    /// The cluster's name for it (40 hexadecimal digits); survives restarts.
    pub id: String,
    /// Its data port.
    pub port: u16,
    /// Which shard it was made for, from 0.
    pub shard: usize,
    /// Its role as formed.
    pub role: Role,
    /// Its process.
    pub process: ServerProcess,
}

/// A running cluster; dropping it ends the processes and removes their files.
#[derive(Debug)]
pub struct LocalCluster {
    // Before the guard: the processes end first, then their folder goes.
    nodes: Vec<Node>,
    options: Options,
    guard: Guard,
}

impl LocalCluster {
    /// Starts the nodes, forms the cluster and waits until every node agrees on it and every replica is in step.
    pub fn start(options: Options) -> Result<LocalCluster, LocalError> {
        let guard = Guard::new()?;
        let count = options.primaries * (1 + options.replicas_per_primary);
        let of_each = node_options(&options);
        let mut nodes = Vec::with_capacity(count);
        for (index, process) in ServerProcess::start_many(&guard, count, &of_each)?
            .into_iter()
            .enumerate()
        {
            nodes.push(Node {
                id: process.query(&["CLUSTER", "MYID"])?,
                port: process.port(),
                shard: index % options.primaries,
                role: if index < options.primaries {
                    Role::Primary
                } else {
                    Role::Replica
                },
                process,
            });
        }
        let cluster = LocalCluster {
            nodes,
            options,
            guard,
        };
        cluster.form()?;
        Ok(cluster)
    }

    /// The nodes: first the primaries in slot order, then the replicas; [`LocalCluster::add_node`] appends.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// One node by its index in [`LocalCluster::nodes`].
    ///
    /// # Panics
    /// If there is no such node.
    pub fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// Every node as `redis://127.0.0.1:PORT`, without the password.
    pub fn seeds(&self) -> Vec<String> {
        self.nodes
            .iter()
            .map(|node| format!("redis://127.0.0.1:{}", node.port))
            .collect()
    }

    /// The password of every node.
    pub fn password(&self) -> Option<&str> {
        self.options.password.as_deref()
    }

    /// Opens a connection to a node.
    pub fn connect(&self, node: usize) -> Result<Connection, LocalError> {
        self.nodes[node].process.connect()
    }

    /// Sends one command to a node.
    pub fn query<T: FromRedisValue>(&self, node: usize, words: &[&str]) -> Result<T, LocalError> {
        self.nodes[node].process.query(words)
    }

    /// Ends a node as a crash would (SIGKILL).
    pub fn kill(&self, node: usize) {
        self.nodes[node].process.kill();
    }

    /// Freezes a node (SIGSTOP).
    pub fn stop(&self, node: usize) -> Result<(), LocalError> {
        self.nodes[node].process.stop()
    }

    /// Lets a frozen node go on.
    pub fn resume(&self, node: usize) -> Result<(), LocalError> {
        self.nodes[node].process.resume()
    }

    /// Starts a node again on its port, with its memory of the cluster and without its data.
    pub fn restart(&self, node: usize) -> Result<(), LocalError> {
        self.nodes[node].process.restart()
    }

    /// The current owner of a slot, according to the first node that answers.
    pub fn primary_of_slot(&self, slot: u16) -> Result<usize, LocalError> {
        let table = self.any_view()?;
        let owner = table
            .iter()
            .find(|line| line.owns(slot))
            .map(|line| line.id.as_str());
        let index = owner.and_then(|id| self.nodes.iter().position(|node| node.id == id));
        index.ok_or_else(|| LocalError::Deadline(format!("an owner of slot {slot}")))
    }

    /// The current replicas of a node, according to the first node that answers.
    pub fn replicas_of(&self, primary: usize) -> Result<Vec<usize>, LocalError> {
        let id = &self.nodes[primary].id;
        let table = self.any_view()?;
        let copies = |node: &Node| {
            table
                .iter()
                .any(|line| line.id == node.id && line.primary.as_ref() == Some(id))
        };
        Ok((0..self.nodes.len())
            .filter(|&index| copies(&self.nodes[index]))
            .collect())
    }

    /// Makes a replica the primary of its shard (`CLUSTER FAILOVER`) and waits until every running node knows.
    ///
    /// With a dead primary it takes over by force.
    pub fn failover(&self, replica: usize) -> Result<(), LocalError> {
        let id = &self.nodes[replica].id;
        let primary = self
            .view(replica)?
            .into_iter()
            .find(|line| line.id == *id)
            .and_then(|line| line.primary);
        let primary = primary.and_then(|id| self.nodes.iter().find(|node| node.id == id));
        let gentle = primary.is_some_and(|node| node.process.query::<String>(&["PING"]).is_ok());
        let words: &[&str] = if gentle {
            &["CLUSTER", "FAILOVER"]
        } else {
            &["CLUSTER", "FAILOVER", "TAKEOVER"]
        };
        self.query::<()>(replica, words)?;
        self.wait_for("the failover", |view| {
            view.iter()
                .any(|line| line.id == *id && line.primary.is_none() && !line.ranges.is_empty())
        })
    }

    /// Starts one more node, makes it known to all and returns its index: an empty primary, ready for slots.
    pub fn add_node(&mut self) -> Result<usize, LocalError> {
        let of_each = node_options(&self.options);
        let mut started = ServerProcess::start_many(&self.guard, 1, &of_each)?;
        let process = started.pop().ok_or(LocalError::NoPort)?;
        let shard = self
            .nodes
            .iter()
            .map(|node| node.shard + 1)
            .max()
            .unwrap_or(0);
        let id: String = process.query(&["CLUSTER", "MYID"])?;
        let index = self.nodes.len();
        self.nodes.push(Node {
            id,
            port: process.port(),
            shard,
            role: Role::Primary,
            process,
        });
        for other in 0..index {
            self.meet(other, index)?;
        }
        self.settle()?;
        Ok(index)
    }

    /// Waits until every running node sees all nodes, every slot served and no node failing.
    pub fn wait_ok(&self) -> Result<(), LocalError> {
        let all = self.nodes.len();
        wait_until(PATIENCE, "a whole cluster", || {
            for node in self.running() {
                let info: String = node.process.query(&["CLUSTER", "INFO"])?;
                if !info.contains("cluster_state:ok")
                    || !info.contains(&format!("cluster_slots_ok:{SLOTS}"))
                {
                    return Ok(false);
                }
                let view = read_view(node)?;
                if view.len() != all || view.iter().any(ViewLine::is_troubled) {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    /// Waits until the view of every running node passes `agreed`.
    pub fn wait_for(
        &self,
        what: &str,
        agreed: impl Fn(&[ViewLine]) -> bool,
    ) -> Result<(), LocalError> {
        wait_until(PATIENCE, what, || {
            for node in self.running() {
                if !agreed(&read_view(node)?) {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    /// A node's view of the cluster: one line for each node that it knows.
    pub fn view(&self, node: usize) -> Result<Vec<ViewLine>, LocalError> {
        read_view(&self.nodes[node])
    }

    fn any_view(&self) -> Result<Vec<ViewLine>, LocalError> {
        let mut outcome = Err(LocalError::Deadline("a running node".to_owned()));
        for node in self.running() {
            outcome = read_view(node);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes
            .iter()
            .filter(|node| node.process.pid().is_some())
    }

    fn meet(&self, from: usize, to: usize) -> Result<(), LocalError> {
        self.query(
            from,
            &[
                "CLUSTER",
                "MEET",
                "127.0.0.1",
                &self.nodes[to].port.to_string(),
            ],
        )
    }

    fn form(&self) -> Result<(), LocalError> {
        let primaries = self.options.primaries;
        for (index, node) in self.nodes.iter().enumerate() {
            // Different epochs from the start, so that primaries have no conflict to resolve.
            node.process
                .query::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()])?;
            if node.role == Role::Primary {
                let start = (SLOTS * index / primaries).to_string();
                let end = (SLOTS * (index + 1) / primaries - 1).to_string();
                node.process
                    .query::<()>(&["CLUSTER", "ADDSLOTSRANGE", &start, &end])?;
            }
        }
        // Every node meets every other, so that nothing waits for gossip. First all get their epochs: a node that knows
        // another one refuses to set its epoch.
        for index in 0..self.nodes.len() {
            for other in index + 1..self.nodes.len() {
                self.meet(index, other)?;
            }
        }
        for node in self.nodes.iter().filter(|node| node.role == Role::Replica) {
            let primary = &self.nodes[node.shard].id;
            // Refused until the two have finished their handshake.
            wait_until(PATIENCE, "a replica to know its primary", || {
                node.process
                    .query::<()>(&["CLUSTER", "REPLICATE", primary])?;
                Ok(true)
            })?;
        }
        self.settle()
    }

    /// Waits until the formation is known everywhere, then gives the nodes their final timeouts.
    fn settle(&self) -> Result<(), LocalError> {
        let replicas =
            |view: &[ViewLine]| view.iter().filter(|line| line.primary.is_some()).count();
        let expected = self
            .nodes
            .iter()
            .filter(|node| node.role == Role::Replica)
            .count();
        self.wait_for("the replicas to be known", |view| {
            replicas(view) == expected
        })?;
        self.wait_ok()?;
        wait_until(PATIENCE, "the replicas to be in step", || {
            for node in self.nodes.iter().filter(|node| node.role == Role::Replica) {
                let info: String = node.process.query(&["INFO", "replication"])?;
                if !info.contains("master_link_status:up") {
                    return Ok(false);
                }
            }
            Ok(true)
        })?;
        wait_until(PATIENCE, "the replicas to be named to clients", || {
            for node in &self.nodes {
                let shards: Vec<Vec<redis::Value>> = node.process.query(&["CLUSTER", "SLOTS"])?;
                let mut named: Vec<&redis::Value> = Vec::new();
                for replica in shards.iter().flat_map(|shard| shard.iter().skip(3)) {
                    if !named.contains(&replica) {
                        named.push(replica);
                    }
                }
                if named.len() != expected {
                    return Ok(false);
                }
            }
            Ok(true)
        })?;
        let timeout = self.options.node_timeout.as_millis().to_string();
        let no_failover = self
            .extra_setting("cluster-replica-no-failover")
            .unwrap_or("no");
        for node in &self.nodes {
            node.process
                .query::<()>(&["CONFIG", "SET", "cluster-node-timeout", &timeout])?;
            node.process.query::<()>(&[
                "CONFIG",
                "SET",
                "cluster-replica-no-failover",
                no_failover,
            ])?;
            // A restart reads the file: it has to say the same.
            node.process.query::<()>(&["CONFIG", "REWRITE"])?;
        }
        Ok(())
    }

    fn extra_setting(&self, name: &str) -> Option<&str> {
        self.options
            .extra
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// The configuration of every node while the cluster forms; [`LocalCluster::settle`] sets the rest.
fn node_options(options: &Options) -> ServerOptions {
    let mut settings = vec![
        // CLUSTER SLOTS names a replica once something was replicated to it, if only such a ping. Ten seconds, the
        // default, are too long to wait for.
        ("repl-ping-replica-period".to_owned(), "1".to_owned()),
        ("cluster-enabled".to_owned(), "yes".to_owned()),
        ("cluster-config-file".to_owned(), "nodes.conf".to_owned()),
    ];
    settings.extend(options.extra.iter().cloned());
    // Last, so that they override: on a busy machine no primary may be replaced before the cluster is formed.
    settings.push((
        "cluster-node-timeout".to_owned(),
        FORMING_TIMEOUT.as_millis().to_string(),
    ));
    settings.push(("cluster-replica-no-failover".to_owned(), "yes".to_owned()));
    ServerOptions {
        password: options.password.clone(),
        extra: settings,
        program: options.program.clone(),
    }
}

fn read_view(node: &Node) -> Result<Vec<ViewLine>, LocalError> {
    let text: String = node.process.query(&["CLUSTER", "NODES"])?;
    Ok(text.lines().filter_map(ViewLine::parse).collect())
}
