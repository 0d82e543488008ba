//! An authenticated connection to a node, over the first of its addresses that accepts one. The first exchange is on
//! the bare stream, so that the error text of a peer that refuses is not lost.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, Value, parse_redis_value};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::addr::Addr;
use super::ask::{Access, Unusable, error_text};
use super::mode::ServerHello;
use crate::engine::first_words::error_words;
use crate::engine::handshake::{ConnectError, exchange, greet, refuses_connection};
use slotmux_core::resp::Protocol;

const HELLO: &[u8] = b"*1\r\n$5\r\nHELLO\r\n";

/// A connection, and the reply to HELLO on it.
pub(super) struct Opened {
    pub connection: MultiplexedConnection,
    /// The error text if the node refuses HELLO.
    pub hello: Result<ServerHello, String>,
}

/// An authenticated connection to the node at `target`, over the first of its addresses that accepts one.
pub(super) async fn open(
    access: &Access,
    target: &Addr,
) -> Result<MultiplexedConnection, Unusable> {
    let mut reasons = Vec::new();
    for address in resolve(access, target).await? {
        match open_address(access, address).await {
            Ok(opened) => return Ok(opened.connection),
            Err(reason) => reasons.push((address.ip(), reason)),
        }
    }
    Err(joined(reasons))
}

/// Joins the reasons at all addresses of one name.
pub(super) fn joined(mut reasons: Vec<(IpAddr, Unusable)>) -> Unusable {
    if reasons.len() > 1 {
        let each: Vec<String> = reasons
            .iter()
            .map(|(ip, reason)| format!("[{ip}] {reason}"))
            .collect();
        return Unusable::Several {
            reasons: each.join(", "),
            is_final: reasons.iter().any(|(_, reason)| reason.is_final()),
        };
    }
    reasons.pop().map_or(
        Unusable::Unresolved("it has no address".into()),
        |(_, reason)| reason,
    )
}

/// The addresses of a node's name, each once.
pub(super) async fn resolve(access: &Access, target: &Addr) -> Result<Vec<SocketAddr>, Unusable> {
    let lookup = tokio::net::lookup_host((&*target.host, target.port));
    let found = timeout(access.connect_timeout, lookup)
        .await
        .map_err(|_| Unusable::Unresolved("the resolver does not answer".into()))?
        .map_err(|error| Unusable::Unresolved(error.to_string()))?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

/// Connects, authenticates, and hands the stream to the client library.
pub(super) async fn open_address(access: &Access, address: SocketAddr) -> Result<Opened, Unusable> {
    let mut stream = log_in(access, address).await?;
    let hello = say_hello(access, &mut stream).await?;
    let settings = RedisConnectionInfo::default().set_skip_set_lib_name();
    let limits = AsyncConnectionConfig::new().set_response_timeout(Some(access.response_timeout));
    let (connection, driver) = MultiplexedConnection::new_with_config(&settings, stream, limits)
        .await
        .map_err(|error| Unusable::Unreachable(error_text(&error)))?;
    // The driver ends with the last handle of the connection.
    tokio::spawn(driver);
    Ok(Opened { connection, hello })
}

/// Connects, and tries the passwords in order until one is accepted.
async fn log_in(access: &Access, address: SocketAddr) -> Result<TcpStream, Unusable> {
    let count = access.passwords.len();
    if count == 0 {
        return connect(access, address).await;
    }
    let start = access.working.load(Ordering::Relaxed);
    let mut refused = String::new();
    for index in (0..count).map(|step| (start + step) % count) {
        let password = access.passwords[index].reveal();
        let mut stream = connect(access, address).await?;
        let greeting = greet(
            &mut stream,
            Protocol::Resp2,
            &access.username,
            Some(password),
        );
        match timeout(access.response_timeout, greeting).await {
            Ok(Ok(())) => {
                access.working.store(index, Ordering::Relaxed);
                return Ok(stream);
            }
            Ok(Err(ConnectError::Credentials(error))) => refused = error,
            Ok(Err(error)) => return Err(unusable(error)),
            Err(_) => return Err(Unusable::Silent(access.response_timeout)),
        }
    }
    Err(Unusable::Password(refused))
}

async fn connect(access: &Access, address: SocketAddr) -> Result<TcpStream, Unusable> {
    let stream = timeout(access.connect_timeout, TcpStream::connect(address))
        .await
        .map_err(|_| Unusable::Silent(access.connect_timeout))?
        .map_err(|error| Unusable::Unreachable(error.to_string()))?;
    // Without the option a request is only slower.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Asks the server for its mode. A server that refuses HELLO but accepts slotmux is identified by other commands.
async fn say_hello(
    access: &Access,
    stream: &mut TcpStream,
) -> Result<Result<ServerHello, String>, Unusable> {
    let reply = timeout(access.response_timeout, exchange(stream, HELLO, 1))
        .await
        .map_err(|_| Unusable::Silent(access.response_timeout))?
        .map_err(unusable)?;
    let Some(error) = reply.strip_prefix(b"-") else {
        let reply = parse_redis_value(&reply).unwrap_or(Value::Nil);
        return Ok(Ok(ServerHello::read(&reply)));
    };
    let error_text = error_words(error);
    if error.starts_with(b"NOAUTH") && access.passwords.is_empty() {
        return Err(Unusable::PasswordNeeded);
    }
    if refuses_connection(error) && !error.starts_with(b"NOPROTO") {
        return Err(Unusable::Rejected(error_text));
    }
    Ok(Err(error_text))
}

fn unusable(error: ConnectError) -> Unusable {
    match error.refusal() {
        Some(text) => Unusable::Rejected(text.to_owned()),
        None => Unusable::Unreachable(error.to_string()),
    }
}
