//! A lane's task: connects, authenticates, serves, and starts again with growing pauses when the connection breaks.

use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::engine::handshake::{ConnectError, exchange, greet};
use crate::engine::transport::Transport;
use crate::engine::worker::Worker;
use slotmux_core::cluster::addr::Addr;
use slotmux_core::config::Password;
use slotmux_core::resp::Protocol;

use super::NodeId;
use super::lane::{Class, Lane, Link};
use super::read::{End, Replies};
use crate::engine::upstream::connection_id::{CLIENT_INFO, kill_command_of};
use crate::engine::upstream::retry::lost::{after_failure, after_loss, fail_all, fail_if_shifted};
use crate::engine::upstream::retry::oversize_reply::{clear_candidates, isolate_candidates};
use crate::engine::upstream::transaction_check::try_expiry;

/// How long a connection of one client may be without traffic before the kernel asks the node for a sign of life.
const KEEPALIVE: Duration = Duration::from_secs(15);

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
            Ok((transport, kill_command)) => {
                if lane.link() == Link::Retired {
                    break;
                }
                pause = shortest;
                worker.record_connect(lane.node, lane.protocol);
                worker.stats.upstream_connects.inc();
                fail_if_shifted(&worker, &lane);
                lane.set_up(&worker, transport, kill_command);
                lane.begin_announcing(&worker);
                isolate_candidates(&worker, &lane);
                if lane.class == Class::Dedicated && lane.is_idle() {
                    // The command that it was opened for has not waited for it: another one may use it.
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
                worker.record_connect_failure(lane.node, &error);
                clear_candidates(&lane);
                after_failure(&worker, &lane);
            }
        }
        worker.refresh.request();
        if lane.class == Class::Dedicated && lane.is_idle() {
            worker.retire_lane(&lane);
            break;
        }
        rest(&lane, jittered(pause)).await;
        pause = (pause * 2).min(longest);
    }
}

/// Waits before the next attempt, or until another connection to the node was made.
async fn rest(lane: &Lane, pause: Duration) {
    lane.take_hurry();
    let mut over = pin!(sleep(pause));
    std::future::poll_fn(|cx| {
        if lane.take_hurry() || lane.link() == Link::Retired {
            return Poll::Ready(());
        }
        over.as_mut().poll(cx)
    })
    .await;
}

/// Waits until a node may be connected to. The waits are random, so that several lanes do not come back in step.
pub async fn wait_for_turn(worker: &Worker, node: NodeId) {
    while let Err(milliseconds) = worker.claim_connect(node) {
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

/// Connects a lane. Where a policy is enforced, its node has to accept expiries in transactions.
async fn connect(
    worker: &Worker,
    lane: &Lane,
) -> Result<(Transport, Option<Box<[u8]>>), ConnectError> {
    let attempt = async {
        let mut stream = log_in(worker, &lane.addr, lane.protocol).await?;
        let mut kill_command = None;
        if let Some(prefix) = worker.shared.policies.enforced_prefix() {
            try_expiry(&mut stream, prefix).await?;
            worker.allow_transactions(lane.node);
            let identity = exchange(&mut stream, CLIENT_INFO, 1).await?;
            kill_command = kill_command_of(&identity);
        }
        let transport = Transport::Tcp(stream);
        if lane.class == Class::Dedicated {
            // On a connection with a blocked command only the kernel notices that the node has gone.
            transport.set_keepalive(KEEPALIVE);
        }
        Ok((transport, kill_command))
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

/// Ends an attempt to connect that takes longer than it may.
pub async fn within_timeout<T>(
    worker: &Worker,
    attempt: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    timeout(worker.config.cluster.connections.connect_timeout, attempt)
        .await
        .unwrap_or(Err(ConnectError::Timeout))
}

/// Connects and authenticates with the first password that works. The one that did so last is tried first: each wrong one
/// is an entry in the node's ACL LOG.
pub async fn log_in(
    worker: &Worker,
    addr: &Addr,
    protocol: Protocol,
) -> Result<TcpStream, ConnectError> {
    let cluster = &worker.config.cluster;
    let passwords = passwords(&cluster.passwords);
    let first = worker.nodes.password.get();
    let mut last = None;
    for place in 0..passwords.len() {
        let which = (first + place) % passwords.len();
        let mut stream = TcpStream::connect((&*addr.host, addr.port)).await?;
        stream.set_nodelay(true)?;
        match greet(&mut stream, protocol, &cluster.username, passwords[which]).await {
            Ok(()) => {
                worker.nodes.password.set(which);
                return Ok(stream);
            }
            Err(error @ ConnectError::Credentials(_)) => last = Some(error),
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

/// Fails a lane after a panic in its task, or one that it caused: its commands get errors, the lane is replaced.
pub fn fail(worker: &Rc<Worker>, lane: &Rc<Lane>) {
    tracing::error!(node = %lane.addr, in_flight = lane.in_flight(), "lane failed: its commands get errors, and it is replaced");
    lane.set_down(worker);
    let unanswered = lane.take_unanswered(worker);
    // First, so that no repair is sent over it.
    worker.retire_lane(lane);
    fail_all(worker, lane, unanswered);
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
}
