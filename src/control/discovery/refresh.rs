//! Keeps the topology fresh: one discovery at a time, on request and periodically, never more often than configured, and
//! at growing intervals while no node answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::discover::{DiscoverError, Discovery};
use super::topology::Topology;
use crate::engine::refresh_requests::RefreshRequests;
use crate::engine::sabotage::sabotage;
use slotmux_core::config::Config;

/// Longest pause while no node answers. One attempt in two seconds is negligible load, and a cluster that comes back should be found
/// before the deadlines of waiting commands.
const LONGEST_BACKOFF: Duration = Duration::from_secs(2);
/// Pause after nodes disagreed: the news spreads by gossip within about a second.
const UNSETTLED: Duration = Duration::from_secs(1);
/// How often a persistent problem is logged.
const LOG_AGAIN: Duration = Duration::from_secs(30);
/// Share by which pauses vary, so that several slotmux do not refresh at the same moment.
const JITTER: f64 = 0.1;

/// One discovery from the seeds; the topology has version 1.
pub async fn first(config: &Config, run_id: &str) -> Result<Topology, DiscoverError> {
    let found = Discovery::new(config, run_id)
        .discover(&Topology::empty())
        .await?;
    let mut topology = found.topology;
    topology.version = 1;
    Ok(topology)
}

/// Refreshes until cancelled, starting from the topology in `publish`; if that is empty, the first discovery starts at
/// once.
///
/// # Errors
/// If there is no topology yet and only another configuration can bring one.
pub async fn run(
    config: &Config,
    run_id: &str,
    publish: &watch::Sender<Arc<Topology>>,
    requests: &RefreshRequests,
    cancel: &CancellationToken,
) -> Result<(), DiscoverError> {
    let refreshing = refresh(config, run_id, publish, requests);
    let ended = cancel.run_until_cancelled(refreshing).await;
    ended.map_or(Ok(()), Err)
}

async fn refresh(
    config: &Config,
    run_id: &str,
    publish: &watch::Sender<Arc<Topology>>,
    requests: &RefreshRequests,
) -> DiscoverError {
    let intervals = Intervals::new(config);
    let stats = requests.stats();
    let mut discovery = Discovery::new(config, run_id).with_rights_checked();
    let mut last_error: Option<(DiscoverError, Instant)> = None;
    let mut failures = 0;
    // A requested refresh starts no earlier than `earliest`; without a request the next one starts at `latest`.
    let mut earliest = Instant::now();
    let mut latest = earliest
        + if publish.borrow().is_empty() {
            Duration::ZERO
        } else {
            jittered(intervals.refresh)
        };
    loop {
        tokio::select! {
            () = sleep_until(latest) => {}
            () = requests.wanted() => sleep_until(earliest.min(latest)).await,
        }
        requests.take();
        let started = Instant::now();
        stats.started.fetch_add(1, Ordering::Relaxed);
        let previous = publish.borrow().clone();
        sabotage("refresh.discover");
        match discovery.discover(&previous).await {
            Ok(found) => {
                requests.set_trouble(None);
                if last_error.take().is_some() && !previous.is_empty() {
                    info!("an upstream answers again");
                }
                failures = 0;
                stats.last_success.store(unix_seconds(), Ordering::Relaxed);
                if previous.is_empty() {
                    let note = requests.limited_nodes();
                    discovery.look_at_output_limits(&found.topology, note);
                }
                if publish_if_new(found.topology, &previous, publish) {
                    stats.published.fetch_add(1, Ordering::Relaxed);
                }
                earliest = started + jittered(intervals.min_interval);
                latest = started
                    + jittered(if found.is_unsettled {
                        intervals.unsettled()
                    } else {
                        intervals.refresh
                    });
            }
            Err(error) if previous.is_empty() && error.is_final() => return error,
            Err(error) => {
                failures += 1;
                stats.failed.fetch_add(1, Ordering::Relaxed);
                requests.set_trouble(Some(error.to_string()));
                let is_known = last_error
                    .as_ref()
                    .is_some_and(|(last, logged)| *last == error && logged.elapsed() < LOG_AGAIN);
                if is_known {
                    debug!("still: {error}");
                } else {
                    if previous.is_empty() {
                        warn!("not ready, trying again: {error}");
                    } else {
                        warn!("the topology cannot be refreshed: {error}");
                    }
                    last_error = Some((error, Instant::now()));
                }
                earliest = Instant::now() + jittered(intervals.backoff(failures));
                latest = earliest;
            }
        }
    }
}

/// Returns whether the topology has changed.
fn publish_if_new(
    mut topology: Topology,
    previous: &Topology,
    publish: &watch::Sender<Arc<Topology>>,
) -> bool {
    if topology.same_as(previous) {
        return false;
    }
    topology.version = previous.version + 1;
    info!(
        version = topology.version,
        "topology: {}",
        topology.diff(previous)
    );
    publish.send_replace(Arc::new(topology));
    true
}

/// The intervals between refreshes.
#[derive(Clone, Copy, Debug)]
struct Intervals {
    refresh: Duration,
    min_interval: Duration,
    backoff: Duration,
}

impl Intervals {
    fn new(config: &Config) -> Intervals {
        let topology = &config.cluster.topology;
        Intervals {
            refresh: topology.refresh,
            min_interval: topology.min_interval,
            backoff: config.cluster.connections.backoff.0,
        }
    }

    fn unsettled(&self) -> Duration {
        UNSETTLED.max(self.min_interval).min(self.refresh)
    }

    /// Doubles with each failure in a row.
    fn backoff(&self, failures: u32) -> Duration {
        let base = self.backoff.max(self.min_interval);
        base.saturating_mul(1 << failures.saturating_sub(1).min(16))
            .min(LONGEST_BACKOFF.max(self.min_interval))
    }
}

fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(1.0 - JITTER + 2.0 * JITTER * fastrand::f64())
}

fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::super::addr::Addr;
    use super::super::topology::Node;
    use super::*;

    const INTERVALS: Intervals = Intervals {
        refresh: Duration::from_secs(30),
        min_interval: Duration::from_millis(250),
        backoff: Duration::from_millis(100),
    };

    #[test]
    fn backs_off_to_a_limit() {
        let pauses: Vec<u128> = (1..=6)
            .map(|failures| INTERVALS.backoff(failures).as_millis())
            .collect();
        assert_eq!(pauses, [250, 500, 1000, 2000, 2000, 2000]);
        assert_eq!(INTERVALS.backoff(u32::MAX), LONGEST_BACKOFF);
        let slow = Intervals {
            min_interval: Duration::from_secs(9),
            ..INTERVALS
        };
        assert_eq!(
            slow.backoff(1),
            slow.min_interval,
            "never faster than the configuration allows"
        );
        assert_eq!(INTERVALS.unsettled(), UNSETTLED);
        assert_eq!(slow.unsettled(), slow.min_interval);
    }

    #[test]
    fn jitter_stays_within_a_tenth() {
        let pauses: Vec<Duration> = (0..1000)
            .map(|_| jittered(Duration::from_secs(10)))
            .collect();
        assert!(
            pauses
                .iter()
                .all(|pause| (9.0..=11.0).contains(&pause.as_secs_f64()))
        );
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }

    #[test]
    fn many_requests_from_many_threads_are_one() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (handle, requests) = crate::engine::refresh_requests::channel();
            let waiting =
                |limit| tokio::time::timeout(Duration::from_millis(limit), requests.wanted());
            assert!(waiting(1).await.is_err(), "without a request");
            std::thread::scope(|threads| {
                for _ in 0..4 {
                    threads.spawn(|| (0..1000).for_each(|_| handle.request()));
                }
            });
            waiting(60_000).await.unwrap();
            waiting(60_000)
                .await
                .expect("a request stays until it is taken");
            requests.take();
            assert!(
                waiting(1).await.is_err(),
                "one refresh serves all earlier requests"
            );
            handle.request();
            waiting(60_000).await.unwrap();
        });
    }

    #[test]
    fn publishes_only_what_changed() {
        let (publish, mut seen) = watch::channel(Arc::new(Topology::empty()));
        let offer = |topology: Topology| {
            let previous = publish.borrow().clone();
            publish_if_new(topology, &previous, &publish)
        };
        let server = |port| Topology::standalone(Node::new("a", Addr::new("127.0.0.1", port)));
        let mut first = server(1);
        first.learned = publish.borrow().learned.clone();
        assert!(offer(first.clone()));
        assert_eq!(seen.borrow_and_update().version, 1);
        assert!(!offer(first.clone()));
        assert!(!seen.has_changed().unwrap());
        let mut second = server(2);
        second.learned = first.learned;
        assert!(offer(second));
        assert_eq!(seen.borrow_and_update().version, 2);
    }
}
