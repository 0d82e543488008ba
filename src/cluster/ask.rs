//! One question to one node: connect, authenticate, ask what it knows, within a time limit.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo,
    RedisError, RedisResult, Value,
};

use super::addr::{Addr, AddressMap};
use super::view::{Server, View, text};
use crate::config::{self, Config, Password};

/// How nodes are asked: credentials, limits, and what they are expected to be.
#[derive(Debug)]
pub(super) struct Access {
    pub username: String,
    pub passwords: Vec<Password>,
    pub connect_timeout: Duration,
    pub response_timeout: Duration,
    pub kind: config::Kind,
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

/// What a node answered, and the connection for further questions.
pub(super) struct Answer {
    /// Where it was reached: the host that was asked if it has one address, else that address.
    pub from: Addr,
    pub says: Says,
    pub connection: MultiplexedConnection,
}

/// What a node says it is.
pub(super) enum Says {
    Cluster(View),
    Standalone(Server),
}

impl Says {
    pub fn server(&self) -> &Server {
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

/// An authenticated connection to the node at `target`, over the first of its addresses that gives one.
pub(super) async fn open(access: &Access, target: &Addr) -> Result<MultiplexedConnection, Refusal> {
    let mut refusals = Vec::new();
    for address in resolve(access, target).await? {
        match open_address(access, address).await {
            Ok(connection) => return Ok(connection),
            Err(refusal) => refusals.push((address.ip(), refusal)),
        }
    }
    Err(together(refusals))
}

/// What the addresses of one name refused.
fn together(mut refusals: Vec<(IpAddr, Refusal)>) -> Refusal {
    if refusals.len() > 1 {
        let each: Vec<String> = refusals
            .iter()
            .map(|(ip, refusal)| format!("[{ip}] {refusal}"))
            .collect();
        return Refusal::Several {
            said: each.join(", "),
            is_final: refusals.iter().any(|(_, refusal)| refusal.is_final()),
        };
    }
    refusals.pop().map_or(
        Refusal::Unresolved("it has no address".into()),
        |(_, refusal)| refusal,
    )
}

async fn resolve(access: &Access, target: &Addr) -> Result<Vec<SocketAddr>, Refusal> {
    let lookup = tokio::net::lookup_host((&*target.host, target.port));
    let found = tokio::time::timeout(access.connect_timeout, lookup)
        .await
        .map_err(|_| Refusal::Unresolved("the resolver does not answer".into()))?
        .map_err(|error| Refusal::Unresolved(error.to_string()))?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

async fn ask_address(access: &Access, address: SocketAddr, from: Addr) -> Result<Answer, Refusal> {
    let mut connection = open_address(access, address).await?;
    let standalone_only = access.kind == config::Kind::Standalone;
    let mut pipe = redis::pipe();
    pipe.ignore_errors().cmd("INFO");
    if !standalone_only {
        pipe.cmd("CLUSTER").arg("SLOTS").cmd("CLUSTER").arg("NODES");
    }
    let replies: Vec<RedisResult<Value>> = pipe
        .query_async(&mut connection)
        .await
        .map_err(|error| broken(access, &error))?;
    let mut replies = replies.into_iter();
    let server = match replies.next() {
        Some(Ok(info)) => Server::from_info(text(&info).unwrap_or_default()),
        Some(Err(error)) if error.code() == Some("NOAUTH") => return Err(Refusal::PasswordNeeded),
        // INFO may be withheld by the ACL or renamed; the rest is worth having without it.
        Some(Err(error))
            if error.code() == Some("NOPERM") || words(&error).contains("unknown command") =>
        {
            Server::default()
        }
        Some(Err(error)) => {
            return Err(Refusal::Command {
                command: "INFO",
                error: words(&error),
            });
        }
        None => Server::default(),
    };
    // First of all: as long as we wait for ourselves, we say that we are loading.
    if !server.run_id.is_empty() && server.run_id == access.own_run_id {
        return Err(Refusal::Ourselves);
    }
    if server.is_loading {
        return Err(Refusal::Loading);
    }
    let says = match (replies.next(), replies.next()) {
        (Some(Ok(slots)), Some(Ok(nodes))) => {
            let nodes = text(&nodes).unwrap_or_default();
            let view = View::read(&from, &access.map, &slots, nodes, server)?;
            if view.ranges.is_empty() {
                return Err(Refusal::NoSlots);
            }
            Says::Cluster(view)
        }
        (Some(Err(error)), _) | (_, Some(Err(error))) => {
            match judge_cluster_error(access.kind, &error) {
                None => Says::Standalone(server),
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

async fn open_address(
    access: &Access,
    address: SocketAddr,
) -> Result<MultiplexedConnection, Refusal> {
    let mut connection = connect(access, address).await?;
    authenticate(access, &mut connection).await?;
    Ok(connection)
}

async fn connect(access: &Access, address: SocketAddr) -> Result<MultiplexedConnection, Refusal> {
    // No credentials here: AUTH is sent as a command, which keeps the server's own words about a wrong password.
    let settings = RedisConnectionInfo::default().set_skip_set_lib_name();
    let info = ConnectionAddr::Tcp(address.ip().to_string(), address.port())
        .into_connection_info()
        .map_err(|error| Refusal::Unreachable(words(&error)))?
        .set_redis_settings(settings);
    let limits = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(access.connect_timeout))
        .set_response_timeout(Some(access.response_timeout));
    let client = Client::open(info).map_err(|error| Refusal::Unreachable(words(&error)))?;
    client
        .get_multiplexed_async_connection_with_config(&limits)
        .await
        .map_err(|error| {
            if error.is_timeout() {
                Refusal::Silent(access.connect_timeout)
            } else {
                Refusal::Unreachable(words(&error))
            }
        })
}

/// Shows one password after the other until one is accepted.
async fn authenticate(
    access: &Access,
    connection: &mut MultiplexedConnection,
) -> Result<(), Refusal> {
    let count = access.passwords.len();
    let start = access.working.load(Ordering::Relaxed);
    let mut refused = None;
    for index in (0..count).map(|step| (start + step) % count) {
        let Some(password) = access.passwords.get(index) else {
            continue;
        };
        let mut auth = redis::cmd("AUTH");
        if !access.username.is_empty() {
            auth.arg(&access.username);
        }
        auth.arg(password.reveal());
        match auth.query_async::<()>(connection).await {
            Ok(()) => {
                access.working.store(index, Ordering::Relaxed);
                return Ok(());
            }
            Err(error) if error.code().is_some() => refused = Some(words(&error)),
            Err(error) => return Err(broken(access, &error)),
        }
    }
    refused.map_or(Ok(()), |error| Err(Refusal::Password(error)))
}

/// `None`: the error means a plain server, and that is allowed.
fn judge_cluster_error(kind: config::Kind, error: &RedisError) -> Option<Refusal> {
    let said = words(error);
    match error.code() {
        Some("NOAUTH") => return Some(Refusal::PasswordNeeded),
        Some("LOADING") => return Some(Refusal::Loading),
        _ => {}
    }
    let is_plain = said.contains("cluster support disabled") || said.contains("unknown command");
    match (is_plain, kind) {
        (true, config::Kind::Cluster) => Some(Refusal::NoCluster),
        (true, _) => None,
        (false, _) => Some(Refusal::Command {
            command: "CLUSTER SLOTS or CLUSTER NODES",
            error: said,
        }),
    }
}

fn broken(access: &Access, error: &RedisError) -> Refusal {
    if error.is_timeout() {
        Refusal::Silent(access.response_timeout)
    } else {
        Refusal::Unreachable(words(error))
    }
}

/// An error as the server, or the system, worded it.
pub fn words(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    }
}
