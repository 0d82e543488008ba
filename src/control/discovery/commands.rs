//! The commands of the upstream: asked of a node whenever it runs another server or other modules than before, and joined
//! over all nodes that were seen.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Value};
use tracing::warn;

use super::ask::error_text;
use super::describe::describe;
use super::topology::Topology;
use super::view::ServerInfo;
use slotmux_core::cluster::server::ServerIdentity;
use slotmux_core::command::Learned;

/// The server and the modules of a node, which decide about its commands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct NodeBuild {
    server: String,
    modules: BTreeSet<String>,
}

impl NodeBuild {
    fn of(server: &ServerInfo) -> NodeBuild {
        let ServerIdentity {
            name,
            version,
            valkey_version,
            ..
        } = &server.identity;
        let version = valkey_version.as_ref().unwrap_or(version);
        NodeBuild {
            server: format!("{name} {version}"),
            modules: server.modules.clone(),
        }
    }
}

/// A node that has just been asked for its view.
pub(super) struct AskedNode {
    /// Its id, or its address.
    pub id: String,
    pub server: ServerInfo,
    pub connection: MultiplexedConnection,
}

/// The commands that the nodes have.
#[derive(Default)]
pub(super) struct UpstreamCommands {
    builds: HashMap<String, NodeBuild>,
    /// The commands of each build; empty where the node refuses COMMAND.
    learned: HashMap<NodeBuild, Arc<Learned>>,
    /// The builds whose commands are joined, and the result.
    joined: (BTreeSet<NodeBuild>, Arc<Learned>),
}

impl UpstreamCommands {
    /// The commands of all nodes of `topology`, as far as they were asked in this or an earlier refresh. A command that
    /// only some nodes have is among them, as one client of these nodes could use it.
    pub async fn of(&mut self, topology: &Topology, asked: &mut [AskedNode]) -> Arc<Learned> {
        let mut present: BTreeSet<&str> = topology.nodes().map(|node| node.id.as_str()).collect();
        present.extend(asked.iter().map(|node| node.id.as_str()));
        self.builds.retain(|id, _| present.contains(id.as_str()));
        for node in asked {
            let build = NodeBuild::of(&node.server);
            self.builds.insert(node.id.clone(), build.clone());
            if !self.learned.contains_key(&build)
                && let Some(learned) = ask_commands(&mut node.connection).await
            {
                self.learned.insert(build, Arc::new(learned));
            }
        }
        let in_use: BTreeSet<NodeBuild> = self.builds.values().cloned().collect();
        self.learned.retain(|build, _| in_use.contains(build));
        let known: BTreeSet<NodeBuild> = in_use
            .into_iter()
            .filter(|build| self.learned.contains_key(build))
            .collect();
        // Without any answer the commands that were known stay known.
        if !known.is_empty() && known != self.joined.0 {
            self.warn_of_differences(topology);
            let mut each = known.iter().map(|build| &self.learned[build]);
            let learned = match (each.next(), known.len()) {
                (Some(only), 1) => only.clone(),
                _ => Arc::new(Learned::joined(
                    known.iter().map(|build| &*self.learned[build]),
                )),
            };
            self.joined = (known, learned);
        }
        self.joined.1.clone()
    }

    /// Warns once of modules that some nodes lack: their commands fail there.
    fn warn_of_differences(&self, topology: &Topology) {
        let all: BTreeSet<&String> = self
            .builds
            .values()
            .flat_map(|build| &build.modules)
            .collect();
        for module in all {
            let lacks = |build: &NodeBuild| !build.modules.contains(module);
            if let Some((id, _)) = self.builds.iter().find(|(_, build)| lacks(build)) {
                let node = topology.nodes().find(|node| node.id == *id);
                let node = node.map_or(id.clone(), |node| node.addr.to_string());
                warn!(
                    "{node} lacks the module {module}, which other nodes have: its commands fail there"
                );
            }
        }
    }
}

/// The commands of one node. `None`: it has not answered, and is asked again at the next refresh.
async fn ask_commands(connection: &mut MultiplexedConnection) -> Option<Learned> {
    let mut pipe = redis::pipe();
    pipe.ignore_errors().cmd("COMMAND");
    let replies: RedisResult<Vec<RedisResult<Value>>> = pipe.query_async(connection).await;
    match replies.ok()?.into_iter().next()? {
        Ok(commands) => {
            let mut learned = Learned::from_reply(&commands);
            let described = describe(connection, &mut learned).await;
            described.ok().map(|()| learned)
        }
        Err(error) => {
            warn!(
                "the upstream's COMMAND cannot be learned from: {}",
                error_text(&error)
            );
            Some(Learned::default())
        }
    }
}
