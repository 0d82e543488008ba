//! Tests of the page over a real socket.

use std::collections::HashMap;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::*;
use crate::engine::refresh_requests;
use slotmux_core::cluster::addr::Addr;
use slotmux_core::cluster::topology::{Node, Topology};
use slotmux_core::config::{Config, EffectiveSettings};

struct Server {
    port: u16,
    shared: Arc<Shared>,
    publish: watch::Sender<Arc<Topology>>,
    cancel: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start() -> Server {
        let mut config = Config::default();
        config.server.workers = 2;
        let (publish, topology) = watch::channel(Arc::new(Topology::empty()));
        let (handle, _requests) = refresh_requests::channel();
        let (shared, _letters) = Shared::new(
            Arc::new(config),
            EffectiveSettings::default(),
            topology,
            handle,
            1 << 20,
            77,
            "ab".repeat(20),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cancel = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, shared.clone(), cancel.clone()));
        Server {
            port,
            shared,
            publish,
            cancel,
            serving,
        }
    }

    /// Status line, head and body.
    async fn get(&self, path: &str) -> (u16, String, String) {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut reply = String::new();
        socket.read_to_string(&mut reply).await.unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_ascii_lowercase(), body.to_owned())
    }

    /// The samples of `/metrics` by name and labels.
    async fn samples(&self) -> HashMap<String, f64> {
        let (_, _, body) = self.get("/metrics").await;
        let samples = body.lines().filter(|line| !line.starts_with('#'));
        samples
            .map(|line| {
                let (name, value) = line.rsplit_once(' ').unwrap();
                (name.to_owned(), value.parse().unwrap())
            })
            .collect()
    }

    fn publish_a_server(&self) {
        let mut topology = Topology::standalone(Node::new("a", Addr::new("127.0.0.1", 1)));
        topology.version = 3;
        self.publish.send_replace(Arc::new(topology));
    }
}

#[tokio::test]
async fn readiness_follows_the_topology_and_the_drain() {
    let page = Server::start().await;
    let (status, _, body) = page.get("/readyz").await;
    assert_eq!(
        (status, body.as_str()),
        (503, "no topology: no upstream has answered yet\n")
    );
    page.publish_a_server();
    // One of the two workers is late.
    page.shared.worker_has_topology();
    let (status, _, body) = page.get("/readyz").await;
    let starting = "starting: a worker has no topology yet\n";
    assert_eq!((status, body.as_str()), (503, starting));
    page.shared.worker_has_topology();
    let (status, _, body) = page.get("/readyz").await;
    assert_eq!((status, body.as_str()), (200, "ready\n"));
    page.shared.is_draining.store(true, Ordering::Relaxed);
    let (status, _, body) = page.get("/readyz").await;
    assert_eq!((status, body.as_str()), (503, "draining\n"));
    assert_eq!(
        page.get("/healthz").await.0,
        200,
        "a draining process lives"
    );
    assert_eq!(page.get("/else").await.0, 404);
}

#[tokio::test]
async fn metrics_are_sums_over_the_workers() {
    let page = Server::start().await;
    page.publish_a_server();
    page.shared.stats[0].clients.add(3);
    page.shared.stats[1].clients.add(4);
    page.shared.stats[0].requests.add(10);
    page.shared.stats[1].requests.add(20);
    let (status, head, body) = page.get("/metrics").await;
    assert_eq!(status, 200);
    assert!(
        head.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{head}"
    );
    assert!(body.ends_with("# EOF\n"));
    assert!(body.contains("# TYPE slotmux_clients gauge\n"), "{body}");
    assert!(body.contains("# TYPE slotmux_requests counter\n"), "{body}");
    let samples = page.samples().await;
    for (name, value) in [
        ("slotmux_clients", 7.0),
        ("slotmux_requests_total", 30.0),
        ("slotmux_worker_clients{worker=\"0\"}", 3.0),
        ("slotmux_worker_clients{worker=\"1\"}", 4.0),
        ("slotmux_worker_requests_total{worker=\"1\"}", 20.0),
        ("slotmux_topology_version", 3.0),
        ("slotmux_topology_shards", 1.0),
        ("slotmux_topology_nodes", 1.0),
        ("slotmux_topology_uncovered_slots", 0.0),
        ("slotmux_topology_refreshes_total", 0.0),
        ("slotmux_accepting", 1.0),
        ("slotmux_max_clients", 77.0),
        (
            "slotmux_upstream_info{name=\"default\",kind=\"standalone\",server=\"\",version=\"\"}",
            1.0,
        ),
        (
            concat!(
                "slotmux_build_info{version=\"",
                env!("CARGO_PKG_VERSION"),
                "\"}"
            ),
            1.0,
        ),
    ] {
        assert_eq!(samples.get(name), Some(&value), "{name}");
    }
    for name in [
        "process_start_time_seconds",
        "process_resident_memory_bytes",
        "process_open_fds",
    ] {
        assert!(samples[name] > 0.0, "{name}");
    }
    assert!(samples.contains_key("process_cpu_seconds_total"));
}

#[tokio::test]
async fn every_number_of_a_worker_is_on_the_page_once() {
    let page = Server::start().await;
    let (_, _, body) = page.get("/metrics").await;
    for field in crate::engine::stats::counters::WorkerStats::FIELDS {
        let described = format!("# HELP slotmux_{} {}\n", field.name, field.help);
        assert_eq!(body.matches(&described).count(), 1, "{described}");
    }
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_hold_up_the_end() {
    let page = Server::start().await;
    let mut stuck = TcpStream::connect(("127.0.0.1", page.port)).await.unwrap();
    stuck
        .write_all(b"GET /metrics HTTP/1.1\r\nHost:")
        .await
        .unwrap();
    assert_eq!(page.get("/healthz").await.0, 200);
    page.cancel.cancel();
    let patience = Duration::from_secs(30);
    tokio::time::timeout(patience, page.serving)
        .await
        .expect("it ends")
        .unwrap();
    drop(stuck);
}
