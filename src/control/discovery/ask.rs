//! Queries one node: connects, authenticates, and asks for its view, within a time limit.

use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisError, RedisResult, Value};

use super::addr::{Addr, AddressMap};
use super::mode::ServerMode;
use super::open::{Opened, joined, open_address, resolve};
use super::view::{NodeView, ServerInfo, text};
use crate::engine::first_words::error_words;
use slotmux_core::config::{self, Config, Password};

/// Reported for a reply that does not identify the server.
const NOT_STATED: &str = "its reply does not say";

/// How nodes are queried: credentials, limits, and the expected kind of node.
#[derive(Debug)]
pub(super) struct Access {
    pub username: String,
    pub passwords: Vec<Password>,
    pub connect_timeout: Duration,
    pub response_timeout: Duration,
    pub kind: config::ExpectedKind,
    pub map: AddressMap,
    /// The run id in our own INFO.
    pub own_run_id: String,
    /// The password that worked last; it is tried first, so that a rotation does not fill the nodes' ACL logs.
    pub working: AtomicUsize,
}

impl Access {
    /// From the configuration; `run_id` is the one in our own INFO.
    pub fn new(config: &Config, run_id: &str) -> Access {
        let cluster = &config.cluster;
        Access {
            username: cluster.username.clone(),
            passwords: cluster.passwords.clone(),
            connect_timeout: cluster.connections.connect_timeout,
            response_timeout: cluster.timeouts.response,
            kind: cluster.kind,
            map: AddressMap::new(cluster.address_map.clone()),
            own_run_id: run_id.to_owned(),
            working: AtomicUsize::default(),
        }
    }
}

impl Access {
    /// User name by which slotmux authenticates, as the nodes call it.
    pub fn user(&self) -> &str {
        match self.username.as_str() {
            "" => "default",
            username => username,
        }
    }
}

/// The reply of a node, and the connection for further queries.
pub(super) struct NodeReply {
    /// Where it was reached: the given host if it has one address, else that address.
    pub from: Addr,
    pub identity: Identity,
    pub connection: MultiplexedConnection,
}

/// A node's own statement of its kind.
pub(super) enum Identity {
    Cluster(NodeView),
    Standalone(ServerInfo),
}

impl Identity {
    /// The id of a node of a cluster.
    pub fn id(&self) -> Option<&str> {
        match self {
            Identity::Cluster(view) => view.myself.as_deref(),
            Identity::Standalone(_) => None,
        }
    }

    pub fn server(&self) -> &ServerInfo {
        match self {
            Identity::Cluster(view) => &view.server,
            Identity::Standalone(server) => server,
        }
    }
}

/// Why a node could not be used; the text completes `host:port: ...`.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("the name cannot be resolved: {0}")]
    Unresolved(String),
    #[error("{0}")]
    Unreachable(String),
    #[error("no answer within {0:?}")]
    Silent(Duration),
    #[error("the password was refused: {0}")]
    Password(String),
    #[error("it asks for a password and none is configured")]
    PasswordNeeded,
    #[error("it refuses {command}: {error}")]
    Command {
        command: &'static str,
        error: String,
    },
    #[error("it is not a node of a cluster, but cluster.kind says so")]
    NoCluster,
    #[error("it is a Sentinel, which has no data: name the Redis servers themselves")]
    Sentinel,
    /// The node refuses every connection; its error text.
    #[error("{0}")]
    Rejected(String),
    #[error(
        "it does not say whether it is a node of a cluster: INFO: {info}; HELLO: {hello}. Permit the upstream user INFO, \
         or set cluster.kind"
    )]
    ModeUnknown { info: String, hello: String },
    #[error("it is slotmux itself")]
    Ourselves,
    #[error("it is loading its data set")]
    Loading,
    #[error("it belongs to no cluster yet: it knows no slots")]
    NoSlots,
    /// One name, several addresses.
    #[error("{reasons}")]
    Several { reasons: String, is_final: bool },
    #[error("{0}")]
    BadView(#[from] super::view::BadView),
}

impl Unusable {
    /// Whether only another configuration can help.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Unusable::Password(_)
                | Unusable::PasswordNeeded
                | Unusable::NoCluster
                | Unusable::Sentinel
                | Unusable::Ourselves
        )
    }
}

/// Queries the node at `target`, at each of its addresses until one replies.
pub(super) async fn ask(access: &Access, target: &Addr) -> Result<NodeReply, Unusable> {
    let addresses = resolve(access, target).await?;
    let mut reasons = Vec::new();
    for address in &addresses {
        let from = match addresses.as_slice() {
            [_] => target.clone(),
            _ => Addr::new(&address.ip().to_string(), address.port()),
        };
        match ask_address(access, *address, from).await {
            Ok(reply) => return Ok(reply),
            // Another address of the name may be a Redis, but not for long if names lead back here.
            Err(Unusable::Ourselves) => return Err(Unusable::Ourselves),
            Err(reason) => reasons.push((address.ip(), reason)),
        }
    }
    Err(joined(reasons))
}

async fn ask_address(
    access: &Access,
    address: SocketAddr,
    from: Addr,
) -> Result<NodeReply, Unusable> {
    let Opened {
        mut connection,
        hello,
    } = open_address(access, address).await?;
    let mut pipe = redis::pipe();
    pipe.ignore_errors().cmd("INFO");
    if access.kind != config::ExpectedKind::Standalone {
        pipe.cmd("CLUSTER").arg("SLOTS").cmd("CLUSTER").arg("NODES");
    }
    let replies: Vec<RedisResult<Value>> = pipe
        .query_async(&mut connection)
        .await
        .map_err(|error| broken(access, &error))?;
    let mut replies = replies.into_iter();
    let (mut server, withheld) = match replies.next() {
        Some(Ok(info)) => (ServerInfo::from_info(text(&info).unwrap_or_default()), None),
        Some(Err(error)) => match judge_error("INFO", &error) {
            Some(reason) => return Err(reason),
            // INFO may be withheld by the ACL or renamed; the rest works without it.
            None => (ServerInfo::default(), Some(error_text(&error))),
        },
        None => (ServerInfo::default(), None),
    };
    let hello_withheld = hello.as_ref().err().cloned();
    server.add(hello.unwrap_or_default());
    // Checked first: while slotmux waits for itself, its own INFO says that it is loading.
    if !server.run_id.is_empty() && server.run_id == access.own_run_id {
        return Err(Unusable::Ourselves);
    }
    if server.mode == Some(ServerMode::Sentinel) {
        return Err(Unusable::Sentinel);
    }
    if server.is_loading {
        return Err(Unusable::Loading);
    }
    let identity = match (replies.next(), replies.next()) {
        // A reply that names slots outweighs the server's own statement.
        (Some(Ok(slots)), Some(Ok(nodes)))
            if server.mode != Some(ServerMode::Standalone) || has_slots(&slots) =>
        {
            let nodes = text(&nodes).unwrap_or_default();
            let view = NodeView::read(&from, &access.map, &slots, nodes, server)?;
            if view.ranges.is_empty() {
                return Err(Unusable::NoSlots);
            }
            Identity::Cluster(view)
        }
        (Some(slots), Some(nodes)) => {
            let refused = [
                ("CLUSTER SLOTS", slots.err()),
                ("CLUSTER NODES", nodes.err()),
            ];
            let mut refused = refused
                .into_iter()
                .filter_map(|(command, error)| Some((command, error?)));
            match without_view(access.kind, server.mode, refused.next()) {
                None => Identity::Standalone(server),
                Some(Unusable::ModeUnknown { .. }) => {
                    return Err(Unusable::ModeUnknown {
                        info: withheld.unwrap_or_else(|| NOT_STATED.to_owned()),
                        hello: hello_withheld.unwrap_or_else(|| NOT_STATED.to_owned()),
                    });
                }
                Some(reason) => return Err(reason),
            }
        }
        _ => Identity::Standalone(server),
    };
    Ok(NodeReply {
        from,
        identity,
        connection,
    })
}

fn has_slots(slots: &Value) -> bool {
    matches!(slots, Value::Array(ranges) if !ranges.is_empty())
}

/// The reason if this error ends the discovery at its server, for any command.
fn judge_error(command: &'static str, error: &RedisError) -> Option<Unusable> {
    match error.code() {
        Some("NOAUTH") => Some(Unusable::PasswordNeeded),
        Some("LOADING") => Some(Unusable::Loading),
        // Temporary: another try identifies the server.
        Some("BUSY" | "MASTERDOWN" | "TRYAGAIN") => Some(Unusable::Command {
            command,
            error: error_text(error),
        }),
        _ => None,
    }
}

/// Judges a server that reports no cluster view. `None`: it is a plain server, which is allowed. Only its own
/// statements and the configuration decide that.
fn without_view(
    kind: config::ExpectedKind,
    mode: Option<ServerMode>,
    refused: Option<(&'static str, RedisError)>,
) -> Option<Unusable> {
    if let Some((command, error)) = &refused
        && let Some(reason) = judge_error(command, error)
    {
        return Some(reason);
    }
    match (mode, refused) {
        (Some(ServerMode::Standalone), _) if kind == config::ExpectedKind::Cluster => {
            Some(Unusable::NoCluster)
        }
        (Some(ServerMode::Standalone), _) => None,
        (None, _) if kind == config::ExpectedKind::Auto => Some(Unusable::ModeUnknown {
            info: String::new(),
            hello: String::new(),
        }),
        (_, Some((command, error))) => Some(Unusable::Command {
            command,
            error: error_text(&error),
        }),
        (_, None) => Some(Unusable::NoSlots),
    }
}

fn broken(access: &Access, error: &RedisError) -> Unusable {
    if error.is_timeout() {
        Unusable::Silent(access.response_timeout)
    } else {
        Unusable::Unreachable(error_text(error))
    }
}

/// The error text of the server or the system, fit for a log and without quoted parts of the request.
pub fn error_text(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => error_words(format!("{code} {detail}").as_bytes()),
        _ => error.to_string(),
    }
}
