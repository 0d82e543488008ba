//! One node's statements about the cluster and about itself: its CLUSTER SLOTS, CLUSTER NODES and INFO, read without
//! any trust in their shape.

use std::collections::{BTreeSet, HashMap};

use redis::Value;

use super::addr::{Addr, AddressMap};
use super::mode::{ServerHello, ServerMode};
use super::server::{ServerIdentity, ServerModule};
use crate::slot::SLOTS;

/// The cluster as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// Every node that CLUSTER SLOTS names, each once.
    pub nodes: Vec<SeenNode>,
    /// First slot, last slot, index of the owner in `nodes`.
    pub ranges: Vec<(u16, u16, usize)>,
    /// Config epochs of all nodes that CLUSTER NODES names, by id.
    pub epochs: HashMap<String, u64>,
    /// Healthy replicas that CLUSTER NODES names and CLUSTER SLOTS leaves out, as it does until they have data.
    pub hidden_replicas: usize,
    /// Id of the node that was asked.
    pub myself: Option<String>,
    /// That node's report about itself.
    pub server: ServerInfo,
    by_id: HashMap<String, usize>,
}

/// A node as another one (or it itself) sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenNode {
    /// Node id.
    pub id: String,
    /// Where to connect, the address map applied. `None`: announced as unknown, and no IP is known either.
    pub addr: Option<Addr>,
    /// Whether the host was announced, and not filled in with the host that we asked.
    pub announced: bool,
    /// The IP that the cluster gossips; may be empty.
    pub ip: String,
    /// Announced hostname.
    pub hostname: Option<String>,
    /// Whether the cluster has agreed that it is down.
    pub failed: bool,
    /// Indexes of its replicas in `NodeView::nodes`.
    pub replicas: Vec<usize>,
}

/// The statements of a node about itself; missing fields are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerInfo {
    /// Its kind, version, zone and modules.
    pub identity: ServerIdentity,
    /// It replicates from another server.
    pub is_replica: bool,
    /// It is reading its data set.
    pub is_loading: bool,
    /// `run_id`, new at each start of the server.
    pub run_id: String,
    /// It is a slotmux.
    pub is_slotmux: bool,
    /// The mode that the server states.
    pub mode: Option<ServerMode>,
    /// Its modules, each with its version.
    pub modules: BTreeSet<String>,
}

impl ServerInfo {
    /// Reads the text of INFO.
    pub fn from_info(text: &str) -> ServerInfo {
        let mut server = ServerInfo::default();
        server.identity.name = "redis".to_owned();
        for line in text.lines() {
            let Some((field, value)) = line.split_once(':') else {
                continue;
            };
            server.mode = server.mode.max(ServerMode::of_info(field, value));
            let identity = &mut server.identity;
            match field {
                "redis_version" => identity.version = value.to_owned(),
                "valkey_version" => identity.valkey_version = Some(value.to_owned()),
                "server_name" => identity.name = value.to_owned(),
                "availability_zone" if !value.is_empty() => identity.zone = Some(value.to_owned()),
                "role" => server.is_replica = value == "slave" || value == "replica",
                "loading" => server.is_loading = value == "1",
                "run_id" => server.run_id = value.to_owned(),
                "slotmux_version" => server.is_slotmux = true,
                "module" => server.modules.extend(module_of_info(value)),
                _ => {}
            }
        }
        server
    }

    /// Adds the statements of HELLO, which is never withheld: it replaces a forbidden INFO.
    pub fn add(&mut self, hello: ServerHello) {
        self.mode = self.mode.max(hello.mode);
        if self.modules.is_empty() {
            let name = |module: &ServerModule| format!("{} {}", module.name, module.version);
            self.modules = hello.modules.iter().map(name).collect();
        }
        let identity = &mut self.identity;
        if identity.version.is_empty() {
            // In HELLO, Valkey states its own version.
            identity.valkey_version = (hello.name == "valkey").then(|| hello.version.clone());
            identity.version.clone_from(&hello.version);
            identity.name.clone_from(&hello.name);
            self.is_replica |= hello.is_replica;
        }
        identity.greeting_name = hello.name;
        identity.greeting_version = hello.version;
        identity.zone = identity.zone.take().or(hello.zone);
        identity.modules = hello.modules;
    }
}

/// A module with its version, from a line of INFO: `name=ReJSON,ver=20803,…`.
fn module_of_info(value: &str) -> Option<String> {
    let of = |name: &str| {
        let mut fields = value.split(',').filter_map(|field| field.split_once('='));
        fields.find_map(|(field, value)| (field == name).then_some(value))
    };
    Some(format!("{} {}", of("name")?, of("ver").unwrap_or_default()))
}

/// A reply that does not have the shape of what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("CLUSTER {command} cannot be read: {what}")]
pub struct BadView {
    command: &'static str,
    what: &'static str,
}

const fn bad(command: &'static str, what: &'static str) -> BadView {
    BadView { command, what }
}

impl NodeView {
    /// Reads the replies of the node at `asked`. An empty or absent host means the host of `asked`.
    pub fn read(
        asked: &Addr,
        map: &AddressMap,
        slots: &Value,
        nodes: &str,
        server: ServerInfo,
    ) -> Result<NodeView, BadView> {
        let mut view = NodeView {
            nodes: Vec::new(),
            ranges: Vec::new(),
            epochs: HashMap::new(),
            hidden_replicas: 0,
            myself: None,
            server,
            by_id: HashMap::new(),
        };
        let details = view.read_nodes(nodes)?;
        view.read_slots(asked, map, slots, &details)?;
        view.hidden_replicas = details
            .iter()
            .filter(|(id, detail)| detail.is_replica && !view.by_id.contains_key(**id))
            .count();
        Ok(view)
    }

    /// The node with this id, if CLUSTER SLOTS named it.
    pub fn find(&self, id: &str) -> Option<&SeenNode> {
        self.nodes.get(*self.by_id.get(id)?)
    }

    /// CLUSTER NODES: `id ip:port@bus[,hostname[,aux=..]] flags primary ping pong epoch link slots..`.
    fn read_nodes<'a>(
        &mut self,
        text: &'a str,
    ) -> Result<HashMap<&'a str, NodeDetails<'a>>, BadView> {
        let mut details = HashMap::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let mut fields = line.split(' ');
            let (Some(id), Some(endpoint), Some(flags)) =
                (fields.next(), fields.next(), fields.next())
            else {
                return Err(bad("NODES", "a line with fewer than eight fields"));
            };
            let epoch = fields
                .nth(3)
                .ok_or(bad("NODES", "a line with fewer than eight fields"))?;
            let epoch: u64 = epoch
                .parse()
                .map_err(|_| bad("NODES", "a config epoch that is no number"))?;
            let has = |flag: &str| flags.split(',').any(|other| other == flag);
            let failed = has("fail");
            let is_replica = has("slave") && !failed && !has("handshake") && !has("noaddr");
            if has("myself") {
                self.myself = Some(id.to_owned());
            }
            // `ip:port@bus,hostname,shard-id=..`; only the first word after a comma without `=` is a hostname.
            let mut parts = endpoint.split(',');
            let ip_port = parts
                .next()
                .unwrap_or_default()
                .split('@')
                .next()
                .unwrap_or_default();
            let ip = ip_port.rsplit_once(':').map_or("", |(ip, _)| ip);
            let hostname = parts
                .next()
                .filter(|name| !name.is_empty() && !name.contains('='));
            self.epochs.insert(id.to_owned(), epoch);
            details.insert(
                id,
                NodeDetails {
                    ip,
                    hostname,
                    failed,
                    is_replica,
                },
            );
        }
        Ok(details)
    }

    fn read_slots(
        &mut self,
        asked: &Addr,
        map: &AddressMap,
        slots: &Value,
        details: &HashMap<&str, NodeDetails<'_>>,
    ) -> Result<(), BadView> {
        for entry in items(slots).ok_or(bad("SLOTS", "not an array"))? {
            let entry = items(entry).ok_or(bad("SLOTS", "an entry that is not an array"))?;
            let [first, last, primary, replicas @ ..] = entry else {
                return Err(bad("SLOTS", "an entry without a primary"));
            };
            let (first, last) = (slot_number(first)?, slot_number(last)?);
            if first > last {
                return Err(bad("SLOTS", "a range that ends before it starts"));
            }
            let known = self.nodes.len();
            let owner = self.node_index(asked, map, primary, details)?;
            // The replicas of a primary are the same in each of its ranges: read them once.
            if owner >= known
                || self
                    .nodes
                    .get(owner)
                    .is_some_and(|node| node.replicas.is_empty())
            {
                let mut indexes = Vec::with_capacity(replicas.len());
                for replica in replicas {
                    indexes.push(self.node_index(asked, map, replica, details)?);
                }
                if let Some(node) = self.nodes.get_mut(owner) {
                    node.replicas = indexes;
                }
            }
            self.ranges.push((first, last, owner));
        }
        Ok(())
    }

    /// Index of the node that `value` describes (`[host, port, id, [metadata..]]`); a new one is added.
    fn node_index(
        &mut self,
        asked: &Addr,
        map: &AddressMap,
        value: &Value,
        details: &HashMap<&str, NodeDetails<'_>>,
    ) -> Result<usize, BadView> {
        let fields = items(value).ok_or(bad("SLOTS", "a node that is not an array"))?;
        let [host, port, id, rest @ ..] = fields else {
            return Err(bad(
                "SLOTS",
                "a node without an id: the server is older than Redis 4",
            ));
        };
        let id = text(id).ok_or(bad("SLOTS", "a node id that is no text"))?;
        if let Some(&index) = self.by_id.get(id) {
            return Ok(index);
        }
        let host = match host {
            Value::Nil => "",
            host => text(host).ok_or(bad("SLOTS", "a host that is no text"))?,
        };
        let port = match port {
            Value::Int(port) => {
                u16::try_from(*port).map_err(|_| bad("SLOTS", "a port out of range"))?
            }
            _ => return Err(bad("SLOTS", "a port that is no number")),
        };
        let detail = details.get(id);
        let metadata = EndpointMetadata::read(rest.first());
        let ip = metadata
            .ip
            .or(detail.map(|detail| detail.ip))
            .unwrap_or_default();
        let hostname = metadata
            .hostname
            .or(detail.and_then(|detail| detail.hostname));
        let addr = match host {
            "" => Some(Addr {
                host: asked.host.clone(),
                port,
            }),
            // A cluster that prefers hostnames has none for this node: its IP is the next best.
            "?" => (!ip.is_empty()).then(|| Addr::new(ip, port)),
            _ => Some(Addr::new(host, port)),
        };
        self.nodes.push(SeenNode {
            id: id.to_owned(),
            addr: addr.map(|addr| map.apply(addr)),
            announced: !host.is_empty(),
            ip: ip.to_owned(),
            hostname: hostname.filter(|name| !name.is_empty()).map(str::to_owned),
            failed: detail.is_some_and(|detail| detail.failed),
            replicas: Vec::new(),
        });
        self.by_id.insert(id.to_owned(), self.nodes.len() - 1);
        Ok(self.nodes.len() - 1)
    }
}

/// Details of a node that only CLUSTER NODES has.
struct NodeDetails<'a> {
    ip: &'a str,
    hostname: Option<&'a str>,
    failed: bool,
    /// A replica in good health.
    is_replica: bool,
}

/// The fourth element of a node in CLUSTER SLOTS (Redis 7): what its preferred endpoint is not.
#[derive(Default)]
struct EndpointMetadata<'a> {
    ip: Option<&'a str>,
    hostname: Option<&'a str>,
}

impl<'a> EndpointMetadata<'a> {
    fn read(value: Option<&'a Value>) -> EndpointMetadata<'a> {
        let mut metadata = EndpointMetadata::default();
        let mut take = |name: &Value, value: &'a Value| match text(name) {
            Some("ip") => metadata.ip = text(value).filter(|ip| !ip.is_empty()),
            Some("hostname") => metadata.hostname = text(value),
            _ => {}
        };
        match value {
            Some(Value::Map(pairs)) => pairs.iter().for_each(|(name, value)| take(name, value)),
            Some(Value::Array(flat)) => {
                for pair in flat.chunks_exact(2) {
                    take(&pair[0], &pair[1]);
                }
            }
            _ => {}
        }
        metadata
    }
}

fn items(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(items) => Some(items),
        _ => None,
    }
}

/// The text of a string reply.
pub fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text),
        _ => None,
    }
}

fn slot_number(value: &Value) -> Result<u16, BadView> {
    match value {
        Value::Int(slot) => u16::try_from(*slot)
            .ok()
            .filter(|&slot| usize::from(slot) < SLOTS)
            .ok_or(bad("SLOTS", "a slot out of range")),
        _ => Err(bad("SLOTS", "a slot that is no number")),
    }
}

#[cfg(test)]
pub(super) mod tests;
