//! The worker under test, with its tasks as a thread of slotmux runs them, and its nodes.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use slotmux::engine::refresh_requests::{self, RefreshRequests};
use slotmux::engine::shared::Shared;
use slotmux::engine::transport::Transport;
use slotmux::engine::worker::Worker;
use slotmux::engine::worker::{mail, sweep, turn};
use slotmux_core::cluster::addr::Addr;
use slotmux_core::cluster::topology::{Node, Shard, Topology, UpstreamKind};
use slotmux_core::config::{CommandLine, Config, EffectiveSettings, Sources, load_with_origins};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::watch;

use super::PATIENCE;
use super::dice::Dice;
use super::node::{Manners, Script, serve};

/// A worker and its nodes.
pub struct World {
    worker: Rc<Worker>,
    /// The behaviour of the nodes for each request.
    pub script: Rc<Script>,
    /// Kept, so that the channels stay open.
    _publish: watch::Sender<Arc<Topology>>,
    _requests: RefreshRequests,
    nodes: Vec<tokio::task::JoinHandle<()>>,
}

impl World {
    /// Starts nodes that share the slots, and a worker with small limits and short deadlines.
    pub async fn start(manners: Manners, dice: &mut Dice) -> World {
        let mut listeners = Vec::new();
        for _ in 0..dice.between(1..=3) {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.expect("a port"));
        }
        let ports: Rc<[u16]> = listeners
            .iter()
            .map(|listener| listener.local_addr().expect("its address").port())
            .collect();
        let script = Rc::new(Script::new(manners, ports.clone(), dice));
        let nodes = listeners
            .into_iter()
            .map(|listener| tokio::task::spawn_local(serve(listener, script.clone(), dice.fork())))
            .collect();

        let sources = Sources {
            flags: CommandLine {
                upstream: vec![format!("redis://127.0.0.1:{}", ports[0])],
                ..CommandLine::default()
            },
            ..Sources::default()
        };
        let loaded = load_with_origins(&sources).expect("a configuration");
        let settings = EffectiveSettings::new(&loaded.config, &loaded.origins);
        let mut config = loaded.config;
        limit(&mut config, manners, dice);
        let topology = topology(&ports, dice);
        let (_publish, topology) = watch::channel(Arc::new(topology));
        let (handle, _requests) = refresh_requests::channel();
        let (process, letters) = Shared::new(
            Arc::new(config),
            settings,
            topology,
            handle,
            64 << 20,
            1000,
            "0".repeat(40),
        );
        let worker = Worker::new(0, process);
        let letters = letters.into_iter().next().expect("a mailbox");
        tokio::task::spawn_local(turn::run(worker.clone()));
        tokio::task::spawn_local(mail::run(worker.clone(), letters));
        tokio::task::spawn_local(sweep::run(worker.clone()));
        World {
            worker,
            script,
            _publish,
            _requests,
            nodes,
        }
    }

    /// A new client's end of a connection.
    pub fn connect(&self) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        assert!(self.worker.shared.admit_client(0));
        self.worker.welcome(Transport::Unix(theirs), 0);
        ours
    }

    /// Checks, after all clients have left, that no state of them remains.
    pub async fn end(self) {
        let worker = &self.worker;
        let in_flight =
            || -> Vec<usize> { worker.lanes().iter().map(|lane| lane.in_flight()).collect() };
        let left =
            || worker.clients.len() + worker.memory.used() + in_flight().iter().sum::<usize>();
        let all_left = async {
            while left() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, all_left).await.is_err() {
            panic!(
                "{} clients, {} bytes and {:?} commands are left",
                worker.clients.len(),
                worker.memory.used(),
                in_flight(),
            );
        }
        assert_eq!(worker.stats.panics.get(), 0, "a panic");
        for lane in worker.lanes() {
            assert!(lane.is_consistent(), "bytes without an entry");
        }
        for node in self.nodes {
            node.abort();
        }
    }
}

/// Small limits, so that every one of them is reached.
fn limit(config: &mut Config, manners: Manners, dice: &mut Dice) {
    config.server.workers = 1;
    let milliseconds = |ms: usize| Duration::from_millis(ms as u64);
    let cluster = &mut config.cluster;
    if manners != Manners::Good {
        cluster.timeouts.command = milliseconds(dice.between(200..=1000));
        cluster.timeouts.response = milliseconds(dice.between(100..=1200));
    }
    let connections = &mut cluster.connections;
    connections.backoff = (milliseconds(1), milliseconds(10));
    connections.connect_timeout = milliseconds(500);
    connections.shared = dice.between(1..=2);
    connections.dedicated_max = dice.between(1..=3);
    connections.health_interval = dice.one_in(2).then_some(milliseconds(100));
    connections.max_in_flight = dice.between(2..=64);
    connections.bulk_threshold = dice.between(4..=64) * 1024;
    config.listeners[0].limits.max_pipeline = dice.between(1..=64) as u32;
}

/// The slots in as many random pieces as there are nodes.
fn topology(ports: &[u16], dice: &mut Dice) -> Topology {
    let mut cuts: Vec<u16> = (1..ports.len())
        .map(|_| dice.between(1..=16382) as u16)
        .collect();
    cuts.sort_unstable();
    cuts.push(16384);
    let mut first = 0;
    let parts = ports.iter().zip(cuts).map(|(&port, next)| {
        let shard = Shard {
            primary: Node::new(format!("{port:040}"), Addr::new("127.0.0.1", port)),
            replicas: Vec::new(),
            epoch: 1,
        };
        let slots = first..=next.saturating_sub(1);
        first = next;
        (shard, vec![slots])
    });
    Topology::from_ranges(UpstreamKind::Cluster, parts.collect())
}
