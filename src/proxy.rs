//! The process: binds, learns the topology, starts the workers and the control thread, and waits for the end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::cluster::discover::DiscoverError;
use crate::cluster::refresh;
use crate::config::{Bind, Config};
use crate::listener::{Bound, accept, bind_all};
use crate::process::{Mail, Process};
use crate::resources;
use crate::worker::Worker;
use crate::{drain, mail, sweep, turn};

/// An epoll batch of up to this many events is one turn: with tokio's default of 61 a worker with thousands of busy
/// clients would write to each lane many times per batch.
const EVENTS_PER_TURN: u32 = 1024;

/// Pause between attempts to reach a cluster that was not there at the start.
const DISCOVER_EVERY: Duration = Duration::from_secs(1);

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

/// Runs slotmux until `shutdown` is cancelled and the drain is over. Blocks.
///
/// # Errors
/// Only while starting; what goes wrong later is logged and answered to the clients that it concerns.
pub fn run(config: Config, shutdown: CancellationToken) -> Result<(), StartupError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(supervise(Arc::new(config), shutdown))
}

/// The control thread's main task.
async fn supervise(config: Arc<Config>, shutdown: CancellationToken) -> Result<(), StartupError> {
    let run_id = resources::run_id();
    let server = &config.server;
    let (sockets, addresses) = bind_all(&config.listeners, server.backlog, server.workers)
        .map_err(|(what, error)| StartupError::Bind(what, error))?;
    let Some(topology) = first_topology(&config, &run_id, &shutdown).await? else {
        return Ok(());
    };
    let max_clients = resources::max_clients(&config, topology.nodes().count());
    let memory_limit = resources::memory_limit(&config);
    let (publish, topology) = watch::channel(Arc::new(topology));
    let (refresh, requests) = refresh::channel();
    let (process, letters) = Process::new(
        config.clone(),
        topology,
        refresh,
        memory_limit,
        max_clients,
        run_id,
    );

    let cancel = CancellationToken::new();
    let control = tokio::spawn(refresh::run(
        config.clone(),
        process.run_id.clone(),
        publish,
        requests,
        cancel.clone(),
    ));
    let admin = start_admin(&process, &cancel).await?;

    let workers: Vec<_> = sockets
        .into_iter()
        .zip(letters)
        .enumerate()
        .map(|(id, (bound, letters))| start_worker(id, process.clone(), bound, letters))
        .collect::<io::Result<_>>()?;
    announce(&config, &addresses, max_clients);

    shutdown.cancelled().await;
    tracing::info!("draining: no new clients, replies that are due are delivered");
    process.is_draining.store(true, Ordering::Relaxed);
    for worker in 0..server.workers {
        process.send(worker, Mail::Drain);
    }
    let all_ended = async {
        while !workers.iter().all(thread::JoinHandle::is_finished) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(server.drain_timeout, all_ended)
        .await
        .is_err()
    {
        tracing::warn!("the drain timeout is over, the remaining clients are cut off");
    }
    cancel.cancel();
    let _ = control.await;
    if let Some(admin) = admin {
        let _ = admin.await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// Asks for the topology until there is one. `None` if slotmux is to stop before that.
async fn first_topology(
    config: &Config,
    run_id: &str,
    shutdown: &CancellationToken,
) -> Result<Option<crate::cluster::topology::Topology>, StartupError> {
    loop {
        let error = match refresh::first(config, run_id).await {
            Ok(topology) => return Ok(Some(topology)),
            Err(error) if error.is_final() => return Err(error.into()),
            Err(error) => error,
        };
        tracing::warn!(%error, "no topology yet, trying again");
        tokio::select! {
            () = shutdown.cancelled() => return Ok(None),
            () = tokio::time::sleep(DISCOVER_EVERY) => {}
        }
    }
}

async fn start_admin(
    process: &Arc<Process>,
    cancel: &CancellationToken,
) -> Result<Option<tokio::task::JoinHandle<()>>, StartupError> {
    let Some(addr) = process.config.admin.bind else {
        return Ok(None);
    };
    let listener = tokio::net::TcpListener::bind(addr)
        .await
        .map_err(|error| StartupError::Bind(addr.to_string(), error))?;
    tracing::info!(address = %listener.local_addr()?, "admin page");
    Ok(Some(tokio::spawn(admin::serve(
        listener,
        process.clone(),
        cancel.clone(),
    ))))
}

fn announce(config: &Config, addresses: &[SocketAddr], max_clients: usize) {
    for address in addresses {
        tracing::info!("listening on {address}");
    }
    for listener in &config.listeners {
        for bind in &listener.bind {
            if let Bind::Unix(path) = bind {
                tracing::info!("listening on unix:{}", path.display());
            }
        }
    }
    tracing::info!(workers = config.server.workers, max_clients, "ready");
}

fn start_worker(
    id: usize,
    process: Arc<Process>,
    bound: Vec<Bound>,
    letters: UnboundedReceiver<Mail>,
) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new()
        .name(format!("worker-{id}"))
        .spawn(move || {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .event_interval(EVENTS_PER_TURN)
                .build_local(LocalOptions::default());
            match runtime {
                Ok(runtime) => runtime.block_on(work(id, process, bound, letters)),
                Err(error) => tracing::error!(%error, worker = id, "the worker has no runtime"),
            }
        })
}

/// A worker's main task: starts the others, then waits for the drain.
async fn work(
    id: usize,
    process: Arc<Process>,
    bound: Vec<Bound>,
    letters: UnboundedReceiver<Mail>,
) {
    let worker = Worker::new(id, process);
    tokio::task::spawn_local(turn::run(worker.clone()));
    tokio::task::spawn_local(mail::run(worker.clone(), letters));
    tokio::task::spawn_local(sweep::run(worker.clone()));
    let mut topology = worker.process.topology.clone();
    let follower = worker.clone();
    tokio::task::spawn_local(async move {
        while topology.changed().await.is_ok() {
            let newest = topology.borrow_and_update().clone();
            follower.apply(newest);
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
