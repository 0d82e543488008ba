//! A lane's task: connects, authenticates, serves, and starts again with growing pauses when the connection breaks.

use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::cluster::addr::Addr;
use crate::config::Password;
use crate::resp::reply::ReplyScanner;
use crate::resp::{Protocol, write};
use crate::transport::Transport;
use crate::worker::Worker;

use super::NodeId;
use super::lane::{Class, Lane, Link};
use super::lost::{after_failure, after_loss, fail_all};
use super::read::{End, Replies};
use super::suspect::{clear_suspects, part_from_suspects};
use super::trial::try_expiry;

/// A handshake reply longer than this is none.
const LONGEST_HANDSHAKE_REPLY: usize = 64 * 1024;

/// How long a connection of one client may be without traffic before the kernel asks the node for a sign of life.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The node can't be reached.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It took longer than `connections.connect_timeout`.
    #[error("no connection within the connect timeout")]
    Timeout,
    /// The node refused the handshake.
    #[error("the node refused the handshake: {0}")]
    Refused(String),
}

/// Runs a lane until it is retired.
pub async fn run(worker: Rc<Worker>, lane: Rc<Lane>) {
    std::future::poll_fn(|cx| {
        lane.set_waker(cx.waker());
        Poll::Ready(())
    })
    .await;
    let (shortest, longest) = worker.config.cluster.connections.backoff;
    let mut pause = shortest;
    while lane.link() != Link::Retired {
        wait_for_turn(&worker, lane.node).await;
        let connected = connect(&worker, &lane).await;
        match connected {
            Ok(transport) => {
                if lane.link() == Link::Retired {
                    break;
                }
                pause = shortest;
                worker.reached(lane.node);
                worker.stats.upstream_connects.inc();
                lane.set_up(&worker, transport);
                part_from_suspects(&worker, &lane);
                if lane.class == Class::Dedicated && lane.is_idle() {
                    // What it was opened for has not waited for it: another may use it.
                    worker.release(&lane);
                }
                let end = serve(&worker, &lane).await;
                if matches!(end, End::Retired) {
                    break;
                }
                worker.stats.upstream_lost.inc();
                tracing::warn!(node = %lane.addr, %end, in_flight = lane.in_flight(), "upstream connection lost");
            }
            Err(error) => {
                worker.missed(lane.node, &error);
                clear_suspects(&lane);
                after_failure(&worker, &lane);
            }
        }
        worker.refresh.request();
        if lane.class == Class::Dedicated && lane.is_idle() {
            worker.discard(&lane);
            break;
        }
        rest(&lane, jittered(pause)).await;
        pause = (pause * 2).min(longest);
    }
}

/// Waits before the next try, until another connection to the node was made.
async fn rest(lane: &Lane, pause: Duration) {
    lane.is_hurried();
    let mut over = pin!(sleep(pause));
    std::future::poll_fn(|cx| {
        if lane.is_hurried() || lane.link() == Link::Retired {
            return Poll::Ready(());
        }
        over.as_mut().poll(cx)
    })
    .await;
}

/// Waits until a node may be connected to. Those who wait for the same do not come back in step.
pub async fn wait_for_turn(worker: &Worker, node: NodeId) {
    while let Err(milliseconds) = worker.may_connect(node) {
        let least = Duration::from_millis(milliseconds.into());
        sleep(least.mul_f64(1.0 + fastrand::f64())).await;
    }
}

/// Half of a pause is random, so that the workers and proxies that lost a node together don't return together.
pub fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// Serves one connection until it ends, and settles what was in flight then.
async fn serve(worker: &Rc<Worker>, lane: &Rc<Lane>) -> End {
    let mut replies = Replies::default();
    let end = std::future::poll_fn(|cx| {
        if lane.write_blocked.get() {
            let ready = lane
                .transport()
                .borrow()
                .as_ref()
                .map(|transport| transport.poll_write_ready(cx));
            if matches!(ready, Some(Poll::Ready(_))) {
                lane.write_blocked.set(false);
                lane.flush(worker);
            }
        }
        replies.poll(worker, lane, cx)
    })
    .await;
    lane.set_down(worker);
    after_loss(worker, lane, &end);
    end
}

/// Connects a lane. Where a policy is enforced, its node has to let us attach expiries.
async fn connect(worker: &Worker, lane: &Lane) -> Result<Transport, ConnectError> {
    let attempt = async {
        let mut stream = log_in(worker, &lane.addr, lane.protocol).await?;
        if let Some(prefix) = worker.process.policies.enforced_prefix() {
            try_expiry(&mut stream, prefix).await?;
            worker.trust(lane.node);
        }
        let transport = Transport::Tcp(stream);
        if lane.class == Class::Dedicated {
            // On a connection with a blocked command only the kernel notices that the node has gone.
            transport.set_keepalive(KEEPALIVE);
        }
        Ok(transport)
    };
    within_timeout(worker, attempt).await
}

/// Connects to a node without a lane, and authenticates.
pub async fn dial(
    worker: &Worker,
    addr: &Addr,
    protocol: Protocol,
) -> Result<Transport, ConnectError> {
    let attempt = async { log_in(worker, addr, protocol).await.map(Transport::Tcp) };
    within_timeout(worker, attempt).await
}

pub(super) async fn within_timeout<T>(
    worker: &Worker,
    attempt: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    timeout(worker.config.cluster.connections.connect_timeout, attempt)
        .await
        .unwrap_or(Err(ConnectError::Timeout))
}

/// Connects and authenticates with the first password that works. The one that did so last is tried first: each wrong one
/// is an entry in the node's ACL LOG.
pub(super) async fn log_in(
    worker: &Worker,
    addr: &Addr,
    protocol: Protocol,
) -> Result<TcpStream, ConnectError> {
    let cluster = &worker.config.cluster;
    let passwords = passwords(&cluster.passwords);
    let first = worker.password.get();
    let mut last = None;
    for place in 0..passwords.len() {
        let which = (first + place) % passwords.len();
        let mut stream = TcpStream::connect((&*addr.host, addr.port)).await?;
        stream.set_nodelay(true)?;
        match handshake(&mut stream, protocol, &cluster.username, passwords[which]).await {
            Ok(()) => {
                worker.password.set(which);
                return Ok(stream);
            }
            Err(error @ ConnectError::Refused(_)) => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or(ConnectError::Timeout))
}

/// The passwords to try; one `None` where no authentication is configured.
fn passwords(configured: &[Password]) -> Vec<Option<&str>> {
    match configured {
        [] => vec![None],
        configured => configured.iter().map(|one| Some(one.reveal())).collect(),
    }
}

async fn handshake(
    stream: &mut TcpStream,
    protocol: Protocol,
    username: &str,
    password: Option<&str>,
) -> Result<(), ConnectError> {
    let mut request = Vec::new();
    let user = if username.is_empty() {
        "default"
    } else {
        username
    };
    match (protocol, password) {
        (Protocol::Resp3, Some(password)) => {
            write::request(
                &mut request,
                &[
                    b"HELLO",
                    b"3",
                    b"AUTH",
                    user.as_bytes(),
                    password.as_bytes(),
                ],
            );
        }
        (Protocol::Resp3, None) => write::request(&mut request, &[b"HELLO", b"3"]),
        // The one-argument form is what a server without users understands too.
        (Protocol::Resp2, Some(password)) if username.is_empty() => {
            write::request(&mut request, &[b"AUTH", password.as_bytes()]);
        }
        (Protocol::Resp2, Some(password)) => {
            write::request(
                &mut request,
                &[b"AUTH", user.as_bytes(), password.as_bytes()],
            );
        }
        // One round trip that fails where authentication is needed, rather than the first client's command.
        (Protocol::Resp2, None) => write::request(&mut request, &[b"PING"]),
    }
    stream.write_all(&request).await?;
    let reply = read_reply(stream).await?;
    match reply.first() {
        // A node that loads its data, is a replica without its primary, or is held up by a script is connected all the
        // same. That script may be what is to be killed over this connection.
        Some(b'-')
            if ![&b"-LOADING"[..], b"-MASTERDOWN", b"-BUSY "]
                .iter()
                .any(|away| reply.starts_with(away)) =>
        {
            let text = String::from_utf8_lossy(&reply[1..]);
            Err(ConnectError::Refused(text.trim_end().to_owned()))
        }
        _ => Ok(()),
    }
}

/// Reads exactly one reply: the handshake is the only thing on the connection so far.
async fn read_reply(stream: &mut TcpStream) -> Result<Vec<u8>, ConnectError> {
    read_replies(stream, 1).await
}

/// Reads so many replies, which are all that is to come. A push is no reply and is left out. What comes behind the last
/// reply would be taken for that of the first command.
pub(super) async fn read_replies(
    stream: &mut (impl AsyncRead + Unpin),
    count: usize,
) -> Result<Vec<u8>, ConnectError> {
    let mut replies = Vec::new();
    let mut scanner = ReplyScanner::default();
    let (mut start, mut scanned, mut complete) = (0, 0, 0);
    while replies.len() < LONGEST_HANDSHAKE_REPLY {
        if stream.read_buf(&mut replies).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        while scanned < replies.len() {
            let progress = scanner.advance(&replies[scanned..]).map_err(|malformed| {
                ConnectError::Refused(format!("malformed reply: {malformed}"))
            })?;
            scanned += progress.consumed;
            if !progress.done {
                break;
            }
            if replies[start] == b'>' {
                replies.drain(start..scanned);
                scanned = start;
            } else {
                complete += 1;
                start = scanned;
            }
        }
        if complete > count || (complete == count && start < replies.len()) {
            return Err(ConnectError::Refused(
                "it says more than it was asked".to_owned(),
            ));
        }
        if complete == count {
            return Ok(replies);
        }
    }
    Err(ConnectError::Refused("the reply does not end".to_owned()))
}

/// After a panic in a lane's task, or one for which it was to blame: its commands get their errors, the lane is replaced.
pub fn fail(worker: &Rc<Worker>, lane: &Rc<Lane>) {
    tracing::error!(node = %lane.addr, in_flight = lane.in_flight(), "the commands on the lane fail, it is replaced");
    lane.set_down(worker);
    fail_all(worker, lane);
    worker.discard(lane);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_differ_but_stay_near() {
        let pause = Duration::from_millis(1000);
        let pauses: std::collections::HashSet<Duration> =
            (0..100).map(|_| jittered(pause)).collect();
        assert!(pauses.len() > 50, "{}", pauses.len());
        assert!(pauses.iter().all(|&one| one >= pause / 2 && one <= pause));
    }

    /// What two replies of a handshake come to that are read in pieces of `size` bytes.
    fn two_of(bytes: &[u8], size: usize) -> Result<Vec<u8>, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (mut near, mut far) = tokio::io::duplex(size);
            let bytes = bytes.to_vec();
            let writing = tokio::spawn(async move { far.write_all(&bytes).await });
            let read = read_replies(&mut near, 2).await;
            drop(near);
            let _ = writing.await;
            read.map_err(|error| error.to_string())
        })
    }

    #[test]
    fn a_push_is_no_reply_of_a_handshake() {
        let push = ">2\r\n$4\r\npush\r\n:1\r\n";
        for bytes in [
            format!("{push}-ERR no\r\n%1\r\n+a\r\n:1\r\n"),
            format!("-ERR no\r\n{push}{push}%1\r\n+a\r\n:1\r\n"),
        ] {
            for size in [1, 7, 1000] {
                let read = two_of(bytes.as_bytes(), size).unwrap();
                assert_eq!(read, b"-ERR no\r\n%1\r\n+a\r\n:1\r\n", "{size}");
            }
        }
    }

    #[test]
    fn what_comes_behind_a_handshake_ends_the_connection() {
        for bytes in ["+a\r\n+b\r\n+c\r\n", "+a\r\n+b\r\n$5\r\n"] {
            let error = two_of(bytes.as_bytes(), 1000).unwrap_err();
            assert!(error.contains("more than it was asked"), "{error}");
        }
    }
}
