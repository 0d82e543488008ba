//! One question to one node: connect, authenticate, ask what it knows, within a time limit.

use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisError, RedisResult, Value};

use super::addr::{Addr, AddressMap};
use super::mode::ServerMode;
use super::open::{Opened, open_address, resolve, together};
use super::view::{NodeView, ServerInfo, text};
use crate::engine::first_words::error_words;
use slotmux_core::config::{self, Config, Password};

/// A reply that does not identify the server.
const NOT_SAID: &str = "its reply does not tell";

/// How nodes are asked: credentials, limits, and what they are expected to be.
#[derive(Debug)]
pub(super) struct Access {
    pub username: String,
    pub passwords: Vec<Password>,
    pub connect_timeout: Duration,
    pub response_timeout: Duration,
    pub kind: config::ExpectedKind,
    pub map: AddressMap,
    /// The run id that our own INFO tells.
    pub own_run_id: String,
    /// The password that worked last; it is tried first, so that a rotation does not fill the nodes' ACL logs.
    pub working: AtomicUsize,
}

impl Access {
    /// By the configuration; `run_id` is the one that our own INFO tells.
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

/// What a node answered, and the connection for further questions.
pub(super) struct Answer {
    /// Where it was reached: the host that was asked if it has one address, else that address.
    pub from: Addr,
    pub says: Says,
    pub connection: MultiplexedConnection,
}

/// What a node says it is.
pub(super) enum Says {
    Cluster(NodeView),
    Standalone(ServerInfo),
}

impl Says {
    pub fn server(&self) -> &ServerInfo {
        match self {
            Says::Cluster(view) => &view.server,
            Says::Standalone(server) => server,
        }
    }
}

/// Why a node could not be used; the text completes `host:port: ...`.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
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
    /// The node refuses every connection; its own words.
    #[error("{0}")]
    KeptOut(String),
    #[error(
        "it does not say whether it is a node of a cluster: INFO: {info}; HELLO: {hello}. Permit the upstream user INFO, \
         or set cluster.kind"
    )]
    Untold { info: String, hello: String },
    #[error("it is slotmux itself")]
    Ourselves,
    #[error("it is loading its data set")]
    Loading,
    #[error("it belongs to no cluster yet: it knows no slots")]
    NoSlots,
    /// One name, several addresses.
    #[error("{said}")]
    Several { said: String, is_final: bool },
    #[error("{0}")]
    BadView(#[from] super::view::BadView),
}

impl Refusal {
    /// Whether asking again without another configuration is useless.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Refusal::Password(_)
                | Refusal::PasswordNeeded
                | Refusal::NoCluster
                | Refusal::Sentinel
                | Refusal::Ourselves
        )
    }
}

/// Asks the node at `target`, at each of its addresses until one answers.
pub(super) async fn ask(access: &Access, target: &Addr) -> Result<Answer, Refusal> {
    let addresses = resolve(access, target).await?;
    let mut refusals = Vec::new();
    for address in &addresses {
        let from = match addresses.as_slice() {
            [_] => target.clone(),
            _ => Addr::new(&address.ip().to_string(), address.port()),
        };
        match ask_address(access, *address, from).await {
            Ok(answer) => return Ok(answer),
            // Another address of the name may be a Redis, but not for long if names lead back here.
            Err(Refusal::Ourselves) => return Err(Refusal::Ourselves),
            Err(refusal) => refusals.push((address.ip(), refusal)),
        }
    }
    Err(together(refusals))
}

async fn ask_address(access: &Access, address: SocketAddr, from: Addr) -> Result<Answer, Refusal> {
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
            Some(refusal) => return Err(refusal),
            // INFO may be withheld by the ACL or renamed; the rest works without it.
            None => (ServerInfo::default(), Some(words(&error))),
        },
        None => (ServerInfo::default(), None),
    };
    let hello_withheld = hello.as_ref().err().cloned();
    server.add(hello.unwrap_or_default());
    // First of all: as long as we wait for ourselves, we say that we are loading.
    if !server.run_id.is_empty() && server.run_id == access.own_run_id {
        return Err(Refusal::Ourselves);
    }
    if server.mode == Some(ServerMode::Sentinel) {
        return Err(Refusal::Sentinel);
    }
    if server.is_loading {
        return Err(Refusal::Loading);
    }
    let says = match (replies.next(), replies.next()) {
        // A reply that names slots outweighs the server's own statement.
        (Some(Ok(slots)), Some(Ok(nodes)))
            if server.mode != Some(ServerMode::Standalone) || has_slots(&slots) =>
        {
            let nodes = text(&nodes).unwrap_or_default();
            let view = NodeView::read(&from, &access.map, &slots, nodes, server)?;
            if view.ranges.is_empty() {
                return Err(Refusal::NoSlots);
            }
            Says::Cluster(view)
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
                None => Says::Standalone(server),
                Some(Refusal::Untold { .. }) => {
                    return Err(Refusal::Untold {
                        info: withheld.unwrap_or_else(|| NOT_SAID.to_owned()),
                        hello: hello_withheld.unwrap_or_else(|| NOT_SAID.to_owned()),
                    });
                }
                Some(refusal) => return Err(refusal),
            }
        }
        _ => Says::Standalone(server),
    };
    Ok(Answer {
        from,
        says,
        connection,
    })
}

fn has_slots(slots: &Value) -> bool {
    matches!(slots, Value::Array(ranges) if !ranges.is_empty())
}

/// An error that ends the discovery at this server, whichever command got it.
fn judge_error(command: &'static str, error: &RedisError) -> Option<Refusal> {
    match error.code() {
        Some("NOAUTH") => Some(Refusal::PasswordNeeded),
        Some("LOADING") => Some(Refusal::Loading),
        // Temporary: another try identifies the server.
        Some("BUSY" | "MASTERDOWN" | "TRYAGAIN") => Some(Refusal::Command {
            command,
            error: words(error),
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
) -> Option<Refusal> {
    if let Some((command, error)) = &refused
        && let Some(refusal) = judge_error(command, error)
    {
        return Some(refusal);
    }
    match (mode, refused) {
        (Some(ServerMode::Standalone), _) if kind == config::ExpectedKind::Cluster => {
            Some(Refusal::NoCluster)
        }
        (Some(ServerMode::Standalone), _) => None,
        (None, _) if kind == config::ExpectedKind::Auto => Some(Refusal::Untold {
            info: String::new(),
            hello: String::new(),
        }),
        (_, Some((command, error))) => Some(Refusal::Command {
            command,
            error: words(&error),
        }),
        (_, None) => Some(Refusal::NoSlots),
    }
}

fn broken(access: &Access, error: &RedisError) -> Refusal {
    if error.is_timeout() {
        Refusal::Silent(access.response_timeout)
    } else {
        Refusal::Unreachable(words(error))
    }
}

/// An error in the words of the server or the system, without quoted parts of the request, and fit for a log.
pub fn words(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => error_words(format!("{code} {detail}").as_bytes()),
        _ => error.to_string(),
    }
}
