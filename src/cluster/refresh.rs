//! Keeps the topology fresh: one discovery at a time, when somebody asks for it and from time to time, never more
//! often than the configuration allows, and ever more slowly while nobody answers.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::addr::Addr;
use super::discover::{DiscoverError, Discovery};
use super::topology::Topology;
use crate::config::Config;
use crate::sabotage::sabotage;

/// Longest pause while nobody answers. A try each two seconds is no load, and a cluster that comes back should be
/// seen before the commands that wait for it end.
const LONGEST_BACKOFF: Duration = Duration::from_secs(2);
/// Pause after nodes disagreed: the news spreads by gossip within about a second.
const UNSETTLED: Duration = Duration::from_secs(1);
/// How often a trouble that stays is told again.
const TELL_AGAIN: Duration = Duration::from_secs(30);
/// Share by which pauses vary, so that many slotmux do not ask in step.
const JITTER: f64 = 0.1;

/// Asks for a refresh, from any thread.
#[derive(Clone, Debug)]
pub struct RefreshHandle(Arc<Shared>);

/// The other end of [`RefreshHandle`], for [`run`].
#[derive(Debug)]
pub struct RefreshRequests(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    is_wanted: AtomicBool,
    notify: Notify,
    stats: RefreshStats,
    /// Why the last refresh failed; `None` if it succeeded.
    trouble: Mutex<Option<String>>,
    /// Nodes that close connections because of big replies, as checked at the start.
    limited: Mutex<HashSet<Addr>>,
}

impl Shared {
    fn trouble(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn limited(&self) -> MutexGuard<'_, HashSet<Addr>> {
        self.limited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of the refreshes; written by [`run`] only.
#[derive(Debug, Default)]
pub struct RefreshStats {
    /// Discoveries that were started.
    pub started: AtomicU64,
    /// Discoveries in which no upstream could be used.
    pub failed: AtomicU64,
    /// Topologies that were published.
    pub published: AtomicU64,
    /// When a discovery succeeded last, in seconds since 1970; 0 is never.
    pub last_success: AtomicU64,
}

/// A handle and what [`run`] needs to hear it.
pub fn channel() -> (RefreshHandle, RefreshRequests) {
    let shared = Arc::new(Shared::default());
    (RefreshHandle(shared.clone()), RefreshRequests(shared))
}

impl RefreshHandle {
    /// Asks for a refresh. Cheap, and any number of requests before the next refresh are one.
    pub fn request(&self) {
        // A storm of redirects only reads: the flag's cache line stays shared.
        if !self.0.is_wanted.load(Ordering::Relaxed)
            && !self.0.is_wanted.swap(true, Ordering::AcqRel)
        {
            self.0.notify.notify_one();
        }
    }

    /// Whether the check at the start found that the node closes connections because of big replies.
    pub fn is_output_limited(&self, node: &Addr) -> bool {
        self.0.limited().contains(node)
    }

    /// Counts of refreshes.
    pub fn stats(&self) -> &RefreshStats {
        &self.0.stats
    }

    /// Why the last refresh failed; `None` if it succeeded.
    pub fn trouble(&self) -> Option<String> {
        self.0.trouble().clone()
    }
}

impl RefreshRequests {
    /// Returns once a refresh is wanted; the wish stays until [`Self::take`].
    async fn wanted(&self) {
        while !self.0.is_wanted.load(Ordering::Acquire) {
            self.0.notify.notified().await;
        }
    }

    /// From here on a request asks for another refresh.
    fn take(&self) {
        self.0.is_wanted.store(false, Ordering::Release);
    }
}

/// One discovery from the seeds; the topology has version 1.
pub async fn first(config: &Config, run_id: &str) -> Result<Topology, DiscoverError> {
    let found = Discovery::new(config, run_id)
        .discover(&Topology::empty())
        .await?;
    let mut topology = found.topology;
    topology.version = 1;
    Ok(topology)
}

/// Refreshes until cancelled. What `publish` holds is the topology to start from; if it is empty, the first discovery
/// starts at once.
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
    let pace = Pace::new(config);
    let stats = &requests.0.stats;
    let mut discovery = Discovery::new(config, run_id).with_rights_checked();
    let mut last_error: Option<(DiscoverError, Instant)> = None;
    let mut failures = 0;
    // Requests are served no earlier than `earliest`; without one the next refresh is at `latest`.
    let mut earliest = Instant::now();
    let mut latest = earliest
        + if publish.borrow().is_empty() {
            Duration::ZERO
        } else {
            jittered(pace.refresh)
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
                requests.0.trouble().take();
                if last_error.take().is_some() && !previous.is_empty() {
                    info!("an upstream answers again");
                }
                failures = 0;
                stats.last_success.store(unix_seconds(), Ordering::Relaxed);
                if previous.is_empty() {
                    let shared = requests.0.clone();
                    let note = move |node| {
                        shared.limited().insert(node);
                    };
                    discovery.look_at_output_limits(&found.topology, note);
                }
                if publish_if_new(found.topology, &previous, publish) {
                    stats.published.fetch_add(1, Ordering::Relaxed);
                }
                earliest = started + jittered(pace.min_interval);
                latest = started
                    + jittered(if found.is_unsettled {
                        pace.unsettled()
                    } else {
                        pace.refresh
                    });
            }
            Err(error) if previous.is_empty() && error.is_final() => return error,
            Err(error) => {
                failures += 1;
                stats.failed.fetch_add(1, Ordering::Relaxed);
                requests.0.trouble().replace(error.to_string());
                let is_known = last_error
                    .as_ref()
                    .is_some_and(|(last, told)| *last == error && told.elapsed() < TELL_AGAIN);
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
                earliest = Instant::now() + jittered(pace.backoff(failures));
                latest = earliest;
            }
        }
    }
}

/// Returns whether the topology was another one.
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

/// The pauses between refreshes.
#[derive(Clone, Copy, Debug)]
struct Pace {
    refresh: Duration,
    min_interval: Duration,
    backoff: Duration,
}

impl Pace {
    fn new(config: &Config) -> Pace {
        let topology = &config.cluster.topology;
        Pace {
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

    const PACE: Pace = Pace {
        refresh: Duration::from_secs(30),
        min_interval: Duration::from_millis(250),
        backoff: Duration::from_millis(100),
    };

    #[test]
    fn backs_off_to_a_limit() {
        let pauses: Vec<u128> = (1..=6)
            .map(|failures| PACE.backoff(failures).as_millis())
            .collect();
        assert_eq!(pauses, [250, 500, 1000, 2000, 2000, 2000]);
        assert_eq!(PACE.backoff(u32::MAX), LONGEST_BACKOFF);
        let slow = Pace {
            min_interval: Duration::from_secs(9),
            ..PACE
        };
        assert_eq!(
            slow.backoff(1),
            slow.min_interval,
            "never faster than the configuration allows"
        );
        assert_eq!(PACE.unsettled(), UNSETTLED);
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
            let (handle, requests) = channel();
            let waiting =
                |limit| tokio::time::timeout(Duration::from_millis(limit), requests.wanted());
            assert!(waiting(1).await.is_err(), "nobody asked");
            std::thread::scope(|threads| {
                for _ in 0..4 {
                    threads.spawn(|| (0..1000).for_each(|_| handle.request()));
                }
            });
            waiting(60_000).await.unwrap();
            waiting(60_000)
                .await
                .expect("a wish stays until it is taken");
            requests.take();
            assert!(
                waiting(1).await.is_err(),
                "one refresh serves all that asked before it"
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
