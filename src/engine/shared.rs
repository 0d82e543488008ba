//! The shared state of the workers: read-only configuration and snapshots, counters with one writer each, and mailboxes. No
//! request waits for any of it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::engine::announcing::redirect::{MailboxBytes, Redirected, Sender};
use crate::engine::library_requests::LibraryRequests;
use crate::engine::monitor::MonitorQueue;
use crate::engine::pause::PauseNote;
use crate::engine::pubsub::SubscriptionKind;
use crate::engine::pubsub::census::Census;
use crate::engine::refresh_requests::RefreshHandle;
use crate::engine::stats::counters::{Counter, WorkerStats, total};
use crate::engine::stats::observed::Example;
use crate::engine::stats::outages::Outages;
use crate::engine::stats::since_reset::{SinceReset, Total};
use crate::engine::stats::unmatched::Seen;
use crate::engine::stats::usage::usage;
use crate::engine::transport::Accepted;
use crate::engine::upstream::blocking::Release;
use crate::engine::worker::clock::unix_time;
use slotmux_core::answer::pausing::PauseRequest;
use slotmux_core::answer::session::Redirection;
use slotmux_core::answer::{self, ClientSelection, InfoFacts, KillFilter};
use slotmux_core::cluster::topology::Topology;
use slotmux_core::config::{Config, EffectiveSettings, ListenAddress};
use slotmux_core::policy::{NamespaceId, Policies};
use slotmux_core::scripts::ScriptStore;

/// Seconds without a failed accept after which the next one is logged again.
const QUIET_ACCEPTS: u64 = 60;

/// A letter to a worker.
#[derive(Debug)]
pub enum Mail {
    /// Take over a connection that another worker accepted.
    Adopt(Accepted),
    /// Report the id and line of each client that the selection admits.
    List(Arc<ClientSelection>, oneshot::Sender<Vec<(u64, String)>>),
    /// Close the clients that the filter admits, except the asking one; report how many, and whether that one was among
    /// them.
    Kill(Arc<KillFilter>, u64, oneshot::Sender<Killed>),
    /// Hold commands as given, from this moment on.
    Pause(PauseRequest, Instant, oneshot::Sender<()>),
    /// Report whether a command that may write is in flight.
    Writes(oneshot::Sender<bool>),
    /// Show all commands to one more monitoring client.
    Monitor(Arc<MonitorQueue>, oneshot::Sender<()>),
    /// Stop showing commands to that client.
    Unmonitor(Arc<MonitorQueue>),
    /// End the wait of this blocked client; report whether it was blocked here.
    Unblock(u64, Release, oneshot::Sender<bool>),
    /// Report where this client is, if it belongs to this worker.
    Find(u64, oneshot::Sender<Option<Redirection>>),
    /// Give a client of this worker invalidations of another one.
    Redirected(Redirected),
    /// Notify a client of this worker that the client that it redirects to has left.
    RedirectionBroken(Sender),
    /// Report the prefixes of keys of no namespace.
    Unmatched(oneshot::Sender<Vec<Seen>>),
    /// Report requests that enforcing the policy of a namespace would have changed.
    Observed(NamespaceId, oneshot::Sender<Vec<Example>>),
    /// Finish what is in flight, take nothing new, and end.
    Drain,
}

/// The result of a `CLIENT KILL` in one worker.
#[derive(Clone, Copy, Debug, Default)]
pub struct Killed {
    /// Clients that matched, the asking one included.
    pub count: u64,
    /// Whether the asking one matched. It closes after it got its reply.
    pub asker: bool,
}

/// The process as its workers see it.
#[derive(Debug)]
pub struct Shared {
    /// The configuration.
    pub config: Arc<Config>,
    /// Every setting as text, with its source.
    pub settings: EffectiveSettings,
    /// Namespaces and their policies.
    pub policies: Policies,
    /// Counters, one set per worker.
    pub stats: Vec<Arc<WorkerStats>>,
    /// Counters of the control thread, of the same names: few of them ever move.
    pub control: WorkerStats,
    /// The newest topology.
    pub topology: watch::Receiver<Arc<Topology>>,
    /// Asks for a newer one.
    pub refresh: RefreshHandle,
    /// Nodes that workers cannot connect to.
    pub outages: Outages,
    /// Scripts that clients have shown.
    pub scripts: ScriptStore,
    /// Asks for the libraries that primaries lack.
    pub libraries: LibraryRequests,
    /// Listeners of each channel and pattern.
    pub census: Census,
    /// Bytes that the clients of all workers may hold.
    pub memory_limit: usize,
    /// 40 hexadecimal digits, new at every start.
    pub run_id: String,
    /// Whether a drain has begun.
    pub is_draining: AtomicBool,
    /// The pause that the workers keep.
    pub paused: Mutex<PauseNote>,
    /// Clients that monitor.
    pub monitoring: AtomicUsize,
    /// One CLIENT LIST at a time: many at once would take a multiple of the memory of one list.
    pub listing: Semaphore,
    /// Invalidations that wait in mailboxes.
    pub redirected: MailboxBytes,
    /// Clients that may be connected; changes with the number of nodes.
    max_clients: AtomicUsize,
    /// Workers that have no topology yet.
    workers_without_topology: AtomicUsize,
    mailboxes: Vec<mpsc::UnboundedSender<Mail>>,
    totals: SinceReset,
    /// Connected clients per worker, for the balance; on the worker's accepts and closes only.
    clients: Vec<AtomicUsize>,
    connected: AtomicUsize,
    next_client_id: AtomicU64,
    /// The second after the start in which an accept failed last, and one more.
    accept_failed: AtomicU64,
    started: Instant,
}

impl Shared {
    /// The shared state, and each worker's mailbox.
    pub fn new(
        config: Arc<Config>,
        settings: EffectiveSettings,
        topology: watch::Receiver<Arc<Topology>>,
        refresh: RefreshHandle,
        memory_limit: usize,
        max_clients: usize,
        run_id: String,
    ) -> (Arc<Shared>, Vec<mpsc::UnboundedReceiver<Mail>>) {
        let workers = config.server.workers;
        let (mailboxes, letters) = (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
        let policies = Policies::new(&config);
        let process = Shared {
            stats: (0..workers)
                .map(|_| Arc::new(WorkerStats::new(&policies)))
                .collect(),
            control: WorkerStats::default(),
            settings,
            policies,
            clients: (0..workers).map(|_| AtomicUsize::new(0)).collect(),
            topology,
            refresh,
            outages: Outages::new(&config.cluster.connections),
            scripts: ScriptStore::default(),
            libraries: LibraryRequests::default(),
            census: Census::default(),
            memory_limit,
            max_clients: AtomicUsize::new(max_clients),
            run_id,
            is_draining: AtomicBool::new(false),
            paused: Mutex::default(),
            monitoring: AtomicUsize::new(0),
            listing: Semaphore::new(1),
            redirected: MailboxBytes::new(workers),
            workers_without_topology: AtomicUsize::new(workers),
            mailboxes,
            totals: SinceReset::default(),
            connected: AtomicUsize::new(0),
            next_client_id: AtomicU64::new(1),
            accept_failed: AtomicU64::new(0),
            started: Instant::now(),
            config,
        };
        (Arc::new(process), letters)
    }

    /// A worker has taken over its first topology.
    pub fn worker_has_topology(&self) {
        self.workers_without_topology
            .fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether every worker has a topology, so that none refuses a command for want of one.
    pub fn all_workers_have_topology(&self) -> bool {
        self.workers_without_topology.load(Ordering::Relaxed) == 0
    }

    /// An id that no client had before.
    pub fn next_client_id(&self) -> u64 {
        self.next_client_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Clients that may be connected.
    pub fn max_clients(&self) -> usize {
        self.max_clients.load(Ordering::Relaxed)
    }

    /// Sets the maximum number of clients. Returns the previous limit. Existing clients stay connected.
    pub fn set_max_clients(&self, most: usize) -> usize {
        self.max_clients.swap(most, Ordering::Relaxed)
    }

    /// Records a failed accept; returns whether it is the first of any worker for a while.
    pub fn record_failed_accept(&self) -> bool {
        let now = self.started.elapsed().as_secs() + 1;
        let last = self.accept_failed.swap(now, Ordering::Relaxed);
        last == 0 || now.saturating_sub(last) > QUIET_ACCEPTS
    }

    /// Counts a new client of `worker`; false if there is no room for it.
    pub fn admit_client(&self, worker: usize) -> bool {
        if self.connected.fetch_add(1, Ordering::Relaxed) >= self.max_clients() {
            self.connected.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        self.clients[worker].fetch_add(1, Ordering::Relaxed);
        true
    }

    /// A client of `worker` has left.
    pub fn client_left(&self, worker: usize) {
        self.connected.fetch_sub(1, Ordering::Relaxed);
        self.clients[worker].fetch_sub(1, Ordering::Relaxed);
    }

    /// Where a connection that `worker` has accepted should live: with the least loaded worker if the imbalance is
    /// worth the hand-over. The kernel spreads thousands of connections well, but few of them badly.
    pub fn choose_worker(&self, worker: usize) -> usize {
        let load = |at: usize| self.clients[at].load(Ordering::Relaxed);
        let mine = load(worker);
        let least = (0..self.clients.len())
            .min_by_key(|&at| load(at))
            .unwrap_or(worker);
        if mine * 4 > load(least) * 5 + 8 {
            least
        } else {
            worker
        }
    }

    /// Sends a letter to one worker. A worker that has ended gets nothing.
    pub fn send(&self, worker: usize, mail: Mail) {
        let _ = self.mailboxes[worker].send(mail);
    }

    /// Sends each worker a letter that it answers, and collects the answers. A worker that has ended does not answer.
    pub async fn ask_all<T>(&self, letter: impl Fn(oneshot::Sender<T>) -> Mail) -> Vec<T> {
        let mut replies = Vec::new();
        for worker in 0..self.mailboxes.len() {
            let (sender, receiver) = oneshot::channel();
            self.send(worker, letter(sender));
            replies.push(receiver);
        }
        let mut answers = Vec::new();
        for reply in replies {
            answers.extend(reply.await.ok());
        }
        answers
    }

    /// CONFIG RESETSTAT: restarts the totals of INFO.
    pub fn reset_totals(&self) {
        self.totals.reset(&self.stats);
    }

    fn since_reset(&self, which: Total) -> u64 {
        self.totals.get(which, &self.stats)
    }

    fn sum(&self, get: fn(&WorkerStats) -> &Counter) -> u64 {
        total(self.stats.iter().map(|stats| &**stats), get)
    }
}

impl answer::ProcessFigures for Shared {
    fn facts(&self) -> InfoFacts {
        let topology = self.topology.borrow();
        let tcp_port = self
            .config
            .listeners
            .iter()
            .flat_map(|listener| &listener.bind)
            .find_map(|bind| match bind {
                ListenAddress::Tcp(addr) => Some(addr.port()),
                ListenAddress::Unix(_) => None,
            });
        InfoFacts {
            run_id: self.run_id.clone(),
            tcp_port: tcp_port.unwrap_or(0),
            uptime: self.started.elapsed(),
            max_clients: self.max_clients() as u64,
            clients: self.sum(|stats| &stats.clients),
            // Redis counts those that a pause holds among them.
            blocked_clients: self.sum(|stats| &stats.blocked_clients)
                + self.sum(|stats| &stats.paused_clients),
            tracking_clients: self.sum(|stats| &stats.tracking_clients),
            accepted: self.since_reset(Total::Accepted),
            rejected: self.since_reset(Total::Rejected),
            requests: self.since_reset(Total::Requests),
            requests_per_second: 0,
            errors: self.since_reset(Total::Errors),
            bytes_in: self.since_reset(Total::BytesIn),
            bytes_out: self.since_reset(Total::BytesOut),
            reads: self.since_reset(Total::Reads),
            writes: self.since_reset(Total::Writes),
            now: unix_time(),
            usage: usage(),
            topology: topology.kind_name(),
            shards: topology.shards.len() as u64,
            nodes: topology.nodes().count() as u64,
            upstream_connections: self.sum(|stats| &stats.upstream_connections),
            channels: self.census.names(SubscriptionKind::Channel) as u64,
            patterns: self.census.names(SubscriptionKind::Pattern) as u64,
            shard_channels: self.census.names(SubscriptionKind::Shard) as u64,
            pubsub_clients: self.sum(|stats| &stats.pubsub_clients),
            paused: self
                .paused
                .lock()
                .map_or_else(|_| Default::default(), |paused| paused.left()),
        }
    }

    fn now(&self) -> std::time::Duration {
        unix_time()
    }
}
