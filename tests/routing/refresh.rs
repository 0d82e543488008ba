//! The refresh against clusters that change: failover, moving slots, nodes that come and go, and upstreams that are
//! away for a while.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use slotmux::control::discovery::refresh;
use slotmux::engine::refresh_requests::{self, RefreshHandle};
use slotmux::tools::demo::cluster::{LocalCluster, Options};
use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_core::cluster::addr::Addr;
use slotmux_core::cluster::topology::{Topology, UpstreamKind};
use slotmux_core::config::Config;
use slotmux_core::slot::Slot;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use slotmux_testing::{PATIENCE, Peer, Step, calm_cluster, poll_for, poll_until, shared_cluster};

/// Longer than any test: a refresh before that was requested.
const NEVER: Duration = Duration::from_secs(3600);

fn local(port: u16) -> Addr {
    Addr::new("127.0.0.1", port)
}

/// Refreshes as fast as the configuration allows: each 50 ms, no faster than each 10 ms.
fn config(seeds: &[u16]) -> Config {
    let mut config = Config::default();
    config.cluster.seeds = seeds.iter().map(|&port| local(port)).collect();
    config.cluster.topology.refresh = Duration::from_millis(50);
    config.cluster.topology.min_interval = Duration::from_millis(10);
    config.cluster.connections.backoff.0 = Duration::from_millis(10);
    config.cluster.connections.connect_timeout = Duration::from_secs(1);
    config.cluster.timeouts.response = Duration::from_secs(1);
    config
}

/// A refresh on a thread of its own, as the control thread runs it.
struct Refresher {
    handle: RefreshHandle,
    topology: watch::Receiver<Arc<Topology>>,
    cancel: CancellationToken,
    thread: Option<thread::JoinHandle<()>>,
}

impl Refresher {
    fn start(config: Config) -> Refresher {
        let (publish, topology) = watch::channel(Arc::new(Topology::empty()));
        let (handle, requests) = refresh_requests::channel();
        let cancel = CancellationToken::new();
        let stop = cancel.clone();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            // It ends either by our request or with a final error, which shows in a missing publication.
            let refreshing = refresh::run(&config, "run", &publish, &requests, &stop);
            let _ = runtime.block_on(refreshing);
        });
        Refresher {
            handle,
            topology,
            cancel,
            thread: Some(thread),
        }
    }

    fn now(&self) -> Arc<Topology> {
        self.topology.borrow().clone()
    }

    /// Waits for a topology that satisfies the condition.
    fn wait(&self, what: &str, passes: impl Fn(&Topology) -> bool) -> Arc<Topology> {
        poll_for(PATIENCE, what, || {
            Some(self.now()).filter(|topology| passes(topology))
        })
    }

    fn wait_first(&self) -> Arc<Topology> {
        self.wait("a first topology", |topology| !topology.is_empty())
    }

    /// Waits until this many further discoveries have been counted.
    fn wait_more(&self, counted: impl Fn(&RefreshHandle) -> &AtomicU64, more: u64) {
        let number = || counted(&self.handle).load(Ordering::Relaxed);
        let before = number();
        poll_until(PATIENCE, "more refreshes", || number() >= before + more);
    }

    fn published(&self) -> u64 {
        self.handle.stats().published.load(Ordering::Relaxed)
    }
}

impl Drop for Refresher {
    fn drop(&mut self) {
        self.cancel.cancel();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the refresh panicked");
        }
    }
}

fn port_of(topology: &Topology, slot: u16) -> u16 {
    topology
        .primary_of(Slot(slot))
        .map_or(0, |node| node.addr.port)
}

#[test]
fn a_stable_cluster_is_published_once() {
    let refresher = Refresher::start(config(&[shared_cluster().node(0).port]));
    let first = refresher.wait_first();
    // Each refresh queries other nodes in another order.
    refresher.wait_more(|handle| &handle.stats().started, 20);
    assert_eq!(refresher.published(), 1);
    assert!(Arc::ptr_eq(&first, &refresher.now()));
    assert!(
        refresher
            .handle
            .stats()
            .last_success
            .load(Ordering::Relaxed)
            > 0
    );
    assert_eq!(refresher.handle.stats().failed.load(Ordering::Relaxed), 0);
}

#[test]
fn a_failover_changes_the_owner_and_the_dead_node_is_forgotten() {
    let cluster = LocalCluster::start(Options {
        node_timeout: Duration::from_secs(1),
        ..Options::default()
    })
    .unwrap();
    let primary = cluster.primary_of_slot(0).unwrap();
    let replica = cluster.replicas_of(primary).unwrap()[0];
    let ports = [primary, replica].map(|node| cluster.node(node).port);
    // The only seed dies: the refresh continues with the nodes that it named.
    let refresher = Refresher::start(config(&[ports[0]]));
    let before = refresher.wait_first();
    assert_eq!(port_of(&before, 0), ports[0]);
    cluster.kill(primary);
    let after = refresher.wait("the replica to own the slots", |topology| {
        port_of(topology, 0) == ports[1]
    });
    assert!(after.version > before.version);
    assert_eq!((after.shards.len(), after.uncovered()), (3, 0));
    assert!(after.shard_of(Slot(0)).unwrap().epoch > before.shard_of(Slot(0)).unwrap().epoch);
    assert_eq!(after.moved_since(&before).count(), 5461);
    refresher.wait("the dead node to be gone", |topology| {
        topology.node_at(&local(ports[0])).is_none()
    });

    cluster.restart(primary).unwrap();
    let healed = refresher.wait("the old primary to be a replica", |topology| {
        topology
            .shards
            .iter()
            .any(|shard| shard.replicas.iter().any(|node| node.addr.port == ports[0]))
    });
    assert_eq!(port_of(&healed, 0), ports[1]);
}

#[test]
fn a_request_suffices_to_detect_a_moved_slot_and_a_new_node() {
    let mut cluster = calm_cluster(0);
    let mut config = config(&[cluster.node(0).port]);
    config.cluster.topology.refresh = NEVER;
    let refresher = Refresher::start(config);
    let before = refresher.wait_first();
    let newcomer = cluster.add_node().unwrap();
    cluster.migrate_slot(7, 0, newcomer).unwrap();
    cluster.wait_owner(7, newcomer).unwrap();
    assert_eq!(refresher.published(), 1, "published without a request");
    refresher.handle.request();
    let port = cluster.node(newcomer).port;
    let after = refresher.wait("the slot at its new owner", |topology| {
        port_of(topology, 7) == port
    });
    assert_eq!((after.version, after.shards.len()), (before.version + 1, 4));
    let moved: Vec<Slot> = after.moved_since(&before).collect();
    assert_eq!(moved, [Slot(7)]);
    assert_eq!(port_of(&after, 6), port_of(&before, 6));
}

#[test]
fn a_storm_of_requests_is_a_few_refreshes() {
    let mut config = config(&[shared_cluster().node(1).port]);
    config.cluster.topology.refresh = NEVER;
    config.cluster.topology.min_interval = Duration::from_millis(100);
    let refresher = Refresher::start(config);
    refresher.wait_first();
    let started = || refresher.handle.stats().started.load(Ordering::Relaxed);
    let before = started();
    let mut asked = 0u64;
    poll_until(PATIENCE, "three more refreshes", || {
        (0..10_000).for_each(|_| refresher.handle.request());
        asked += 10_000;
        started() >= before + 3
    });
    assert!(
        (started() - before) * 1_000 < asked,
        "{} refreshes for {asked} requests",
        started() - before
    );
    assert_eq!(refresher.published(), 1);
}

#[test]
fn without_answers_the_last_topology_stays() {
    let server = LocalServer::start(&ServerOptions::default()).unwrap();
    let refresher = Refresher::start(config(&[server.port()]));
    let before = refresher.wait_first();
    assert_eq!(before.kind, UpstreamKind::Standalone);
    server.kill();
    refresher.wait_more(|handle| &handle.stats().failed, 2);
    assert!(Arc::ptr_eq(&before, &refresher.now()));
    server.restart().unwrap();
    let failed = || refresher.handle.stats().failed.load(Ordering::Relaxed);
    let started = || refresher.handle.stats().started.load(Ordering::Relaxed);
    poll_until(PATIENCE, "a refresh that succeeds again", || {
        let (started_before, failed_before) = (started(), failed());
        poll_until(PATIENCE, "one more refresh", || {
            started() >= started_before + 2
        });
        failed() == failed_before
    });
    assert!(
        Arc::ptr_eq(&before, &refresher.now()),
        "an unchanged topology was published"
    );
}

#[test]
fn a_late_seed_is_found() {
    let server = LocalServer::start(&ServerOptions::default()).unwrap();
    let port = server.port();
    server.kill();
    let refresher = Refresher::start(config(&[port]));
    refresher.wait_more(|handle| &handle.stats().failed, 2);
    assert!(refresher.now().is_empty());
    server.restart().unwrap();
    assert_eq!(port_of(&refresher.wait_first(), 16383), port);
}

/// The cluster report of a fake node: ranges with owners as (first slot, last slot, id, port), and its epoch.
type Opinion = (u64, Vec<(u16, u16, u64, u16)>);

fn fake_node(opinion: Arc<Mutex<Opinion>>) -> Peer {
    let bulk = |text: &str| Step::reply(format!("${}\r\n{text}\r\n", text.len()));
    Peer::start(move |request| {
        let (epoch, ranges) = opinion.lock().unwrap().clone();
        match (request.name().as_str(), request.word(1).as_str()) {
            ("INFO", _) => Some(bulk("redis_version:7.0.15\r\n")),
            ("CLUSTER", "SLOTS") => {
                let mut reply = format!("*{}\r\n", ranges.len());
                for (first, last, id, port) in ranges {
                    reply += &format!(
                        "*3\r\n:{first}\r\n:{last}\r\n*3\r\n$9\r\n127.0.0.1\r\n:{port}\r\n"
                    );
                    reply += &format!("$40\r\n{id:040}\r\n");
                }
                Some(Step::reply(reply))
            }
            ("CLUSTER", _) => {
                let lines: Vec<String> = ranges
                    .iter()
                    .map(|(_, _, id, port)| {
                        format!("{id:040} 127.0.0.1:{port}@1 master - 0 0 {epoch} connected\n")
                    })
                    .collect();
                Some(bulk(&lines.concat()))
            }
            _ => None,
        }
    })
}

#[test]
fn a_known_address_that_moved_to_another_cluster_is_ignored() {
    let [mine, theirs] = [(); 2].map(|()| Arc::new(Mutex::new(Opinion::default())));
    let (first, second) = (fake_node(mine.clone()), fake_node(theirs.clone()));
    let (first, second) = (first.port(), second.port());
    let agreed = (5, vec![(0, 8191, 1, first), (8192, 16383, 2, second)]);
    *mine.lock().unwrap() = agreed.clone();
    *theirs.lock().unwrap() = agreed;
    let refresher = Refresher::start(config(&[first]));
    refresher.wait("both shards", |topology| topology.shards.len() == 2);
    // The second address is given to a node of a cluster with higher epochs.
    *theirs.lock().unwrap() = (99, vec![(0, 16383, 77, second)]);
    refresher.wait_more(|handle| &handle.stats().started, 10);
    assert_eq!(refresher.published(), 1);

    // The whole cluster is replaced: the known nodes are useless, and the seed is right.
    *mine.lock().unwrap() = (3, vec![(0, 16383, 88, first)]);
    let anew = refresher.wait("the new cluster", |topology| topology.shards.len() == 1);
    assert_eq!(port_of(&anew, 9000), first);
    assert!(anew.shards[0].primary.id.ends_with("88"));
}

#[test]
fn a_stale_view_is_ignored_only_for_a_while() {
    let opinion = Arc::new(Mutex::new(Opinion::default()));
    let node = fake_node(opinion.clone());
    let port = node.port();
    *opinion.lock().unwrap() = (9, vec![(0, 8191, 1, port), (8192, 16383, 2, port)]);
    let refresher = Refresher::start(config(&[port]));
    refresher.wait_first();
    // The same nodes at older epochs: at first a stale view, but if it persists it is accepted.
    *opinion.lock().unwrap() = (4, vec![(0, 99, 1, port), (100, 16383, 2, port)]);
    let started = || refresher.handle.stats().started.load(Ordering::Relaxed);
    let before = started();
    let after = refresher.wait("the view to be accepted", |topology| topology.version == 2);
    assert_eq!(
        after.shard_of(Slot(100)).unwrap().primary.id,
        format!("{:040}", 2)
    );
    assert_eq!(after.shards[0].epoch, 4);
    let doubts = started() - before;
    assert!(doubts >= 10, "believed after {doubts} refreshes");
}

#[test]
fn replicas_without_data_are_queried_again_soon() {
    let bulk = |text: &str| Step::reply(format!("${}\r\n{text}\r\n", text.len()));
    let has_data = Arc::new(AtomicU64::new(0));
    let named = has_data.clone();
    let node = Peer::start(move |request| {
        let id = |n: u8| format!("{n:040}");
        match (request.name().as_str(), request.word(1).as_str()) {
            ("INFO", _) => Some(bulk("redis_version:7.0.15\r\n")),
            ("CLUSTER", "SLOTS") => {
                let nodes = 1 + named.load(Ordering::Relaxed) as u8;
                let mut reply = format!("*1\r\n*{}\r\n:0\r\n:16383\r\n", 2 + nodes);
                for n in 1..=nodes {
                    reply += &format!("*3\r\n$0\r\n\r\n:{n}\r\n$40\r\n{}\r\n", id(n));
                }
                Some(Step::reply(reply))
            }
            ("CLUSTER", _) => Some(bulk(&format!(
                "{} :1@2 master - 0 0 1 connected\n{} :2@3 slave {} 0 0 1 connected\n",
                id(1),
                id(2),
                id(1)
            ))),
            _ => None,
        }
    });
    let mut config = config(&[node.port()]);
    config.cluster.topology.refresh = NEVER;
    let refresher = Refresher::start(config);
    assert_eq!(refresher.wait_first().nodes().count(), 1);
    has_data.store(1, Ordering::Relaxed);
    refresher.wait("the replica", |topology| topology.nodes().count() == 2);
}
