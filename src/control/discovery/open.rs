//! An authenticated connection to a node, over the first of its addresses that accepts one. The first exchange is on
//! the bare stream, so that the words of a peer that refuses are not lost.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, Value, parse_redis_value};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::addr::Addr;
use super::ask::{Access, Refusal, words};
use super::mode::ServerHello;
use crate::engine::first_words::error_words;
use crate::engine::handshake::{ConnectError, exchange, greet, keeps_out};
use slotmux_core::resp::Protocol;

const HELLO: &[u8] = b"*1\r\n$5\r\nHELLO\r\n";

/// A connection, and what the node said to HELLO on it.
pub(super) struct Opened {
    pub connection: MultiplexedConnection,
    /// The error text if the node refuses HELLO.
    pub hello: Result<ServerHello, String>,
}

/// An authenticated connection to the node at `target`, over the first of its addresses that accepts one.
pub(super) async fn open(access: &Access, target: &Addr) -> Result<MultiplexedConnection, Refusal> {
    let mut refusals = Vec::new();
    for address in resolve(access, target).await? {
        match open_address(access, address).await {
            Ok(opened) => return Ok(opened.connection),
            Err(refusal) => refusals.push((address.ip(), refusal)),
        }
    }
    Err(together(refusals))
}

/// Joins the refusals of all addresses of one name.
pub(super) fn together(mut refusals: Vec<(IpAddr, Refusal)>) -> Refusal {
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

/// The addresses of a node's name, each once.
pub(super) async fn resolve(access: &Access, target: &Addr) -> Result<Vec<SocketAddr>, Refusal> {
    let lookup = tokio::net::lookup_host((&*target.host, target.port));
    let found = timeout(access.connect_timeout, lookup)
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

/// Connects, authenticates, and hands the stream over.
pub(super) async fn open_address(access: &Access, address: SocketAddr) -> Result<Opened, Refusal> {
    let mut stream = log_in(access, address).await?;
    let hello = say_hello(access, &mut stream).await?;
    let settings = RedisConnectionInfo::default().set_skip_set_lib_name();
    let limits = AsyncConnectionConfig::new().set_response_timeout(Some(access.response_timeout));
    let (connection, driver) = MultiplexedConnection::new_with_config(&settings, stream, limits)
        .await
        .map_err(|error| Refusal::Unreachable(words(&error)))?;
    // The driver ends with the last handle of the connection.
    tokio::spawn(driver);
    Ok(Opened { connection, hello })
}

/// Connects, and tries the passwords in order until one is accepted.
async fn log_in(access: &Access, address: SocketAddr) -> Result<TcpStream, Refusal> {
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
            Ok(Err(ConnectError::Credentials(said))) => refused = said,
            Ok(Err(error)) => return Err(refusal(error)),
            Err(_) => return Err(Refusal::Silent(access.response_timeout)),
        }
    }
    Err(Refusal::Password(refused))
}

async fn connect(access: &Access, address: SocketAddr) -> Result<TcpStream, Refusal> {
    let stream = timeout(access.connect_timeout, TcpStream::connect(address))
        .await
        .map_err(|_| Refusal::Silent(access.connect_timeout))?
        .map_err(|error| Refusal::Unreachable(error.to_string()))?;
    // Without it a request is only slower.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Asks the server for its mode. A server that refuses HELLO but accepts slotmux is asked by other commands.
async fn say_hello(
    access: &Access,
    stream: &mut TcpStream,
) -> Result<Result<ServerHello, String>, Refusal> {
    let reply = timeout(access.response_timeout, exchange(stream, HELLO, 1))
        .await
        .map_err(|_| Refusal::Silent(access.response_timeout))?
        .map_err(refusal)?;
    let Some(error) = reply.strip_prefix(b"-") else {
        let reply = parse_redis_value(&reply).unwrap_or(Value::Nil);
        return Ok(Ok(ServerHello::read(&reply)));
    };
    let said = error_words(error);
    if error.starts_with(b"NOAUTH") && access.passwords.is_empty() {
        return Err(Refusal::PasswordNeeded);
    }
    if keeps_out(error) && !error.starts_with(b"NOPROTO") {
        return Err(Refusal::KeptOut(said));
    }
    Ok(Err(said))
}

fn refusal(error: ConnectError) -> Refusal {
    match error.last_words() {
        Some(said) => Refusal::KeptOut(said.to_owned()),
        None => Refusal::Unreachable(error.to_string()),
    }
}
