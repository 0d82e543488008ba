//! The process: binds the sockets, starts the workers, runs the control thread's tasks, and drains at the end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::Instrument;

use crate::control::admin;
use crate::control::discovery::discover::DiscoverError;
use crate::control::discovery::libraries;
use crate::control::discovery::refresh;
use crate::control::resources;
use crate::engine::refresh_requests::{self, RefreshRequests};
use crate::engine::sabotage::sabotage;
use crate::engine::shared::{Mail, Shared};
use crate::engine::worker::Worker;
use crate::engine::worker::listener::{Bound, accept, bind_all};
use crate::engine::worker::{drain, mail, sweep, turn};
use slotmux_core::cluster::topology::Topology;
use slotmux_core::config::{Config, EffectiveSettings, ListenAddress};

/// An epoll batch of up to this many events is one turn: with tokio's default of 61 a worker with thousands of busy
/// clients would write to each lane many times per batch.
const EVENTS_PER_TURN: u32 = 1024;

/// Why slotmux could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartupError {
    /// An address can't be listened on.
    #[error("cannot listen on {0}: {1}")]
    Bind(String, #[source] io::Error),
    /// The upstream can't be used as configured; waiting would not help.
    #[error(transparent)]
    Upstream(#[from] DiscoverError),
    /// The system gave no thread or runtime.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// Runs slotmux until `shutdown` is cancelled and the drain is over. Blocks. `settings` are the configuration as text.
///
/// # Errors
/// Only while starting; later problems are logged, and the affected clients get error replies.
pub fn run(
    config: Config,
    settings: EffectiveSettings,
    shutdown: CancellationToken,
) -> Result<(), StartupError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(supervise(Arc::new(config), settings, shutdown))
}

/// The control thread's main task.
///
/// Clients are served before the first topology is known, so that slotmux and its upstream may start in any order, and
/// so that an upstream that leads back to slotmux itself is recognised by its replies.
async fn supervise(
    config: Arc<Config>,
    settings: EffectiveSettings,
    shutdown: CancellationToken,
) -> Result<(), StartupError> {
    let server = &config.server;
    let (sockets, addresses) = bind_all(&config.listeners, server.backlog, server.workers)
        .map_err(|(what, error)| StartupError::Bind(what, error))?;
    let (publish, topology) = watch::channel(Arc::new(Topology::empty()));
    let (refresh, requests) = refresh_requests::channel();
    let (shared, letters) = Shared::new(
        config.clone(),
        settings,
        topology,
        refresh,
        resources::memory_limit(&config),
        resources::max_clients(&config, config.cluster.seeds.len()),
        resources::run_id(),
    );
    let cancel = CancellationToken::new();
    let tasks = TaskTracker::new();
    start_admin(&shared, &tasks, &cancel).await?;
    // Tracks threads: each holds a token until it ends.
    let workers = TaskTracker::new();
    for (id, (bound, letters)) in sockets.into_iter().zip(letters).enumerate() {
        start_worker(id, shared.clone(), bound, letters, workers.token())?;
    }
    announce(&config, &addresses);

    let refreshing = keep_refreshing(shared.clone(), publish, requests, cancel.clone());
    // The span has level error, so that the name is in every log line at any log level. A field "name" would appear
    // twice in JSON, next to the span's own.
    let span = tracing::error_span!("cluster", cluster = config.cluster.name);
    let mut control = tasks.spawn(refreshing.instrument(span));
    tasks.spawn(
        cancel
            .clone()
            .run_until_cancelled_owned(follow(shared.clone())),
    );
    tasks.spawn(give_libraries(shared.clone(), cancel.clone()));
    let failure = tokio::select! {
        () = shutdown.cancelled() => None,
        // Panics are contained, so none has ended it.
        ended = &mut control => ended.ok().flatten(),
    };
    if failure.is_none() {
        shutdown.cancelled().await;
        tracing::info!("draining: no new clients, replies that are due are delivered");
    }
    shared.is_draining.store(true, Ordering::Relaxed);
    for worker in 0..server.workers {
        shared.send(worker, Mail::Drain);
    }
    workers.close();
    if tokio::time::timeout(server.drain_timeout, workers.wait())
        .await
        .is_err()
    {
        tracing::warn!("the drain timeout is over, the remaining clients are cut off");
    }
    cancel.cancel();
    tasks.close();
    tasks.wait().await;
    tracing::info!("stopped");
    failure.map_or(Ok(()), |error| Err(error.into()))
}

/// Refreshes the topology until cancelled. Panics restart it: a topology that is not refreshed sends clients to nodes
/// that are gone. Returns the error that ended it early, if any.
async fn keep_refreshing(
    shared: Arc<Shared>,
    publish: watch::Sender<Arc<Topology>>,
    requests: RefreshRequests,
    cancel: CancellationToken,
) -> Option<DiscoverError> {
    let begin = || {
        // Repeats a request that the panic lost.
        shared.refresh.request();
        refresh::run(&shared.config, &shared.run_id, &publish, &requests, &cancel)
    };
    let what = "the refreshes of the topology";
    shared.restarted(what, &cancel, begin).await?.err()
}

/// Gives primaries the libraries of functions that they lack, until cancelled.
async fn give_libraries(shared: Arc<Shared>, cancel: CancellationToken) {
    let begin = || cancel.run_until_cancelled(libraries::run(&shared));
    shared
        .restarted("the loading of libraries of functions", &cancel, begin)
        .await;
}

/// Logs when slotmux is ready, and adapts the limit of clients to the number of nodes.
async fn follow(shared: Arc<Shared>) {
    let mut topology = shared.topology.clone();
    let mut is_ready = false;
    while topology.changed().await.is_ok() {
        let newest = topology.borrow_and_update().clone();
        let following = async { fit(&shared, &newest, &mut is_ready) };
        shared
            .contained("a change of the topology", following)
            .await;
    }
}

fn fit(shared: &Shared, newest: &Topology, is_ready: &mut bool) {
    sabotage("proxy.fit");
    let most = resources::max_clients(&shared.config, newest.nodes().count());
    let before = shared.set_max_clients(most);
    if !*is_ready && !newest.is_empty() {
        *is_ready = true;
        let workers = shared.config.server.workers;
        tracing::info!(workers, max_clients = most, "ready");
    } else if before != most {
        tracing::info!(
            max_clients = most,
            "the number of nodes changes that of clients"
        );
    }
}

async fn start_admin(
    shared: &Arc<Shared>,
    tasks: &TaskTracker,
    cancel: &CancellationToken,
) -> Result<(), StartupError> {
    let Some(addr) = shared.config.admin.bind else {
        return Ok(());
    };
    let listener = tokio::net::TcpListener::bind(addr)
        .await
        .map_err(|error| StartupError::Bind(addr.to_string(), error))?;
    tracing::info!(address = %listener.local_addr()?, "admin page");
    // This handle stays open for a restart after a panic.
    let listener = listener.into_std()?;
    let (shared, cancel) = (shared.clone(), cancel.clone());
    tasks.spawn(async move {
        let begin = || serve_admin(&listener, &shared, &cancel);
        shared.restarted("the admin page", &cancel, begin).await;
    });
    Ok(())
}

/// Serves the admin page until cancelled.
async fn serve_admin(
    listener: &std::net::TcpListener,
    shared: &Arc<Shared>,
    cancel: &CancellationToken,
) {
    let listener = listener
        .try_clone()
        .and_then(tokio::net::TcpListener::from_std);
    match listener {
        Ok(listener) => admin::serve(listener, shared.clone(), cancel.clone()).await,
        Err(error) => tracing::error!(%error, "the admin page has ended"),
    }
}

/// Logs each listening address. `addresses` are those of the bound TCP sockets, in the order of the configuration.
fn announce(config: &Config, addresses: &[SocketAddr]) {
    let mut addresses = addresses.iter();
    for listener in &config.listeners {
        let name = &listener.name;
        for bind in &listener.bind {
            match (bind, addresses.as_slice()) {
                (ListenAddress::Tcp(_), [address, ..]) => {
                    tracing::info!(listener = name, "listening on {address}");
                    addresses.next();
                }
                (bind, _) => tracing::info!(listener = name, "listening on {bind}"),
            }
        }
    }
}

fn start_worker(
    id: usize,
    shared: Arc<Shared>,
    bound: Vec<Bound>,
    letters: UnboundedReceiver<Mail>,
    running: TaskTrackerToken,
) -> io::Result<()> {
    thread::Builder::new()
        .name(format!("worker-{id}"))
        .spawn(move || {
            let _running = running;
            let runtime = Builder::new_current_thread()
                .enable_all()
                .event_interval(EVENTS_PER_TURN)
                .build_local(LocalOptions::default());
            match runtime {
                Ok(runtime) => runtime.block_on(work(id, shared, bound, letters)),
                Err(error) => tracing::error!(%error, worker = id, "the worker has no runtime"),
            }
        })
        .map(drop)
}

/// A worker's main task: starts its other tasks, then waits for the drain.
async fn work(id: usize, shared: Arc<Shared>, bound: Vec<Bound>, letters: UnboundedReceiver<Mail>) {
    let worker = Worker::new(id, shared);
    tokio::task::spawn_local(turn::run(worker.clone()));
    tokio::task::spawn_local(mail::run(worker.clone(), letters));
    tokio::task::spawn_local(sweep::run(worker.clone()));
    let mut topology = worker.shared.topology.clone();
    let follower = worker.clone();
    tokio::task::spawn_local(async move {
        while topology.changed().await.is_ok() {
            let newest = topology.borrow_and_update().clone();
            follower.contained("a change of the topology", || follower.apply(newest));
        }
    });
    let accepting: Vec<_> = bound
        .into_iter()
        .map(|bound| tokio::task::spawn_local(accept(worker.clone(), bound)))
        .collect();
    worker.drained.cancelled().await;
    for task in accepting {
        task.abort();
    }
    drain::finished(&worker).await;
}
