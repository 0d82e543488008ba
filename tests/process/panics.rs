//! A panic, at any place, costs one client or the commands of one lane; the worker continues and logs it. Only a debug
//! build panics on demand.
#![cfg(debug_assertions)]

use std::fs;
use std::path::Path;

use slotmux_core::slot::slot_of;
use slotmux_testing::client::command;
use slotmux_testing::peer::Gate;
use slotmux_testing::{
    Layout, PATIENCE, Peer, Proxy, ProxyConfig, RawClient, Step, Value, poll_until, shared_cluster,
};
use tempfile::TempDir;

/// One worker that panics at a requested place.
struct Sabotaged {
    folder: TempDir,
    proxy: Proxy,
}

impl Sabotaged {
    fn start(seeds: &[String]) -> Sabotaged {
        Sabotaged::start_with(seeds, &[], |_| {})
    }

    /// A worker that panics at these places while it starts.
    fn start_with(
        seeds: &[String],
        armed: &[&str],
        configure: impl FnOnce(&mut ProxyConfig),
    ) -> Sabotaged {
        let folder = TempDir::new().expect("a folder");
        for place in armed {
            fs::write(folder.path().join(place), "").expect("a file");
        }
        let proxy = Proxy::start_at(seeds, None, |config| {
            config.set("server.workers", 1);
            config.set("cluster.timeouts.command", "2s");
            config.set("cluster.timeouts.response", "10s");
            config.set("cluster.connections.backoff", "10ms..100ms");
            config.env("SABOTAGE", &folder.path().display().to_string());
            config.may_panic = true;
            configure(config);
        });
        Sabotaged { folder, proxy }
    }

    fn file(&self, place: &str) -> std::path::PathBuf {
        Path::new(self.folder.path()).join(place)
    }

    /// The next pass of this place panics.
    fn arm(&self, place: &str) {
        fs::write(self.file(place), "").expect("a file");
    }

    /// Waits until the place was reached, and the panic was counted.
    fn struck(&self, place: &str, panics: u32) {
        let wanted = Some(f64::from(panics));
        poll_until(PATIENCE, place, || {
            !self.file(place).exists() && self.proxy.metric("slotmux_panics_total") >= wanted
        });
        assert_eq!(self.proxy.metric("slotmux_panics_total"), wanted, "{place}");
        let log = self.proxy.log();
        assert!(log.contains(&format!("sabotaged: {place}")), "{log}");
        assert!(
            log.contains("slotmux::engine::sabotage::sabotage"),
            "no backtrace: {log}"
        );
    }
}

/// A request of these arguments.
fn long(name: &str, arguments: impl Iterator<Item = String>) -> Vec<u8> {
    let words: Vec<String> = std::iter::once(name.to_owned()).chain(arguments).collect();
    command(&words)
}

/// Whether a client gets the replies to its own requests, over all nodes.
fn works(client: &mut RawClient, name: &str) {
    let keys: Vec<String> = (0..50).map(|i| format!("{name}:{i}")).collect();
    let commands: Vec<Vec<&str>> = keys
        .iter()
        .flat_map(|key| [vec!["SET", key, key], vec!["GET", key]])
        .collect();
    for (i, pair) in client.pipeline(&commands).chunks(2).enumerate() {
        assert_eq!(pair, [Value::ok(), Value::bulk(&keys[i])]);
    }
}

#[test]
fn a_panic_in_a_clients_task_costs_that_client() {
    let slotmux = Sabotaged::start(&shared_cluster().seeds());
    let mut other = slotmux.proxy.client();
    works(&mut other, "other");
    let places = ["dispatch", "lane.send", "dispatch", "lane.send"];
    for (i, place) in (1..).zip(places) {
        let mut failed = slotmux.proxy.client();
        works(&mut failed, "victim");
        slotmux.arm(place);
        failed.send(&["GET", "victim:0"]);
        assert_eq!(failed.read_to_close(), b"", "{place}");
        slotmux.struck(place, i);
        // On the lanes that the failed client used as well.
        works(&mut other, "other");
        poll_until(PATIENCE, "the failed client to be forgotten", || {
            slotmux.proxy.metric("slotmux_clients") == Some(1.0)
        });
    }
}

#[test]
fn a_panic_in_a_lanes_task_costs_its_commands() {
    let gate = Gate::default();
    let held_back = gate.clone();
    let peer = Peer::start(move |request| {
        (request.name() == "GET").then(|| {
            vec![
                Step::Gate(held_back.clone()),
                Step::Bytes(format!("+{}\r\n", request.word(1)).into_bytes()),
            ]
        })
    });
    let slotmux = Sabotaged::start(&peer.seeds());
    let mut clients: Vec<RawClient> = (0..5).map(|_| slotmux.proxy.client()).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        client.send(&["GET", &format!("before:{i}")]);
        // So that the first command gets the first reply.
        poll_until(PATIENCE, "the command to be in flight", || {
            slotmux.proxy.metric("slotmux_in_flight") == Some(i as f64 + 1.0)
        });
    }
    slotmux.arm("read.take_reply");
    gate.open();
    slotmux.struck("read.take_reply", 1);
    assert_eq!(clients.remove(0).read_to_close(), b"");
    for client in &mut clients {
        let error = client.read();
        assert!(error.error().contains("connection to the node was lost"));
    }
    for (i, client) in clients.iter_mut().enumerate() {
        let value = format!("after:{i}");
        assert_eq!(client.call(&["GET", &value]), Value::Simple(value));
    }
}

/// After such a panic the bytes of a lane begin with a request that has no entry any more: no bytes may be cut from
/// them.
#[test]
fn no_expiry_is_repaired_with_bytes_of_another_client() {
    let gate = Gate::default();
    let held_back = gate.clone();
    let peer = Peer::start(move |request| {
        (request.name() == "GET").then(|| {
            vec![
                Step::Gate(held_back.clone()),
                Step::Bytes(b"+got\r\n".to_vec()),
            ]
        })
    });
    let slotmux = Sabotaged::start_with(&peer.seeds(), &[], |config| {
        let section = "name = \"ns\"\nmatch = [\"ns:\"]\n\
            ttl = { default = \"100s\", strength = \"pipelined\" }";
        config.add_section("namespace", section.parse().expect("TOML"));
    });
    let key = format!("ns:{}", "k".repeat(60));
    let governed = slotmux_testing::client::command(&["HSET", &key, "f", "v"]);
    // The requests have the same length up to a key part that looks like a command.
    let (head, evil) = (
        "*2\r\n$3\r\nGET\r\n$500\r\n",
        "*2\r\n$4\r\nEVIL\r\n$1\r\nx\r\n",
    );
    let mut foreign = format!("{}{evil}", "p".repeat(governed.len() - head.len()));
    foreign.push_str(&"q".repeat(500 - foreign.len()));
    let (mut first, mut second) = (slotmux.proxy.client(), slotmux.proxy.client());
    for (number, client, bytes) in [
        (
            1.0,
            &mut first,
            slotmux_testing::client::command(&["GET", &foreign]),
        ),
        (2.0, &mut second, governed),
    ] {
        client.send_raw(&bytes);
        poll_until(PATIENCE, "the command to be in flight", || {
            slotmux.proxy.metric("slotmux_in_flight") == Some(number)
        });
    }
    slotmux.arm("read.take_reply");
    gate.open();
    slotmux.struck("read.take_reply", 1);
    let error = second.read();
    assert!(error.error().contains("connection to the node was lost"));
    // Over the same lane, behind any repair.
    assert_eq!(second.call(&["GET", "k"]), Value::Simple("got".into()));
    assert_eq!(peer.requests_named("EVIL"), []);
}

/// A lane that ends releases its place, even after a panic.
#[test]
fn a_panic_over_a_connection_that_ends_releases_its_place() {
    let gate = Gate::default();
    let held_back = gate.clone();
    let peer = Peer::start(move |request| match request.name().as_str() {
        "BLMOVE" => Some(vec![Step::Gate(held_back.clone())]),
        "BLPOP" => Some(Step::reply("*2\r\n$1\r\nk\r\n$1\r\nv\r\n")),
        _ => None,
    });
    let slotmux = Sabotaged::start_with(&peer.seeds(), &[], |config| {
        let section = "name = \"ns\"\nmatch = [\"ns:\"]\nttl = { default = \"100s\" }";
        config.add_section("namespace", section.parse().expect("TOML"));
        config.set("cluster.connections.kept_max", 1);
    });
    let mut blocked = slotmux.proxy.client();
    blocked.send(&["BLMOVE", "{k}from", "ns:{k}to", "LEFT", "LEFT", "0"]);
    poll_until(PATIENCE, "the BLMOVE to arrive", || {
        !peer.requests_named("BLMOVE").is_empty()
    });
    slotmux.arm("departure.withdrawn");
    drop(blocked);
    slotmux.struck("departure.withdrawn", 1);
    let mut next = slotmux.proxy.client();
    let popped = next.call(&["BLPOP", "k", "0"]);
    assert_eq!(popped.items().len(), 2, "{popped:?}");
    gate.open();
}

#[test]
fn shared_tasks_of_a_worker_continue_after_a_panic() {
    let slotmux = Sabotaged::start(&shared_cluster().seeds());
    let mut panics = 0;
    // The second of each shows that the first did not end the task.
    for place in ["sweep.lane", "sweep.client", "turn.end", "mail.letter"].repeat(2) {
        let mut client = slotmux.proxy.client();
        works(&mut client, "before");
        slotmux.arm(place);
        if place == "mail.letter" {
            // The only worker did not report anything.
            assert_eq!(client.call(&["CLIENT", "LIST"]).text(), "");
        } else if place == "turn.end" {
            // The panic may hit the lane or the client that is being written.
            client.send(&["GET", "before:0"]);
            let _ = client.try_read();
        }
        panics += 1;
        slotmux.struck(place, panics);
        poll_until(PATIENCE, "the lanes to be connected again", || {
            slotmux.proxy.client().call(&["GET", "before:0"]) == Value::bulk("before:0")
        });
        works(&mut slotmux.proxy.client(), "after");
    }
    let mut asker = slotmux.proxy.client();
    assert_eq!(asker.call(&["CLIENT", "LIST"]).text().lines().count(), 1);
}

#[test]
fn a_panic_over_a_waiting_command_costs_its_client() {
    let layout = Layout::default();
    let peer = Peer::start_in(&layout, |_| None);
    layout.set(&[(8192, 16383, peer.port())]);
    let slotmux = Sabotaged::start(&peer.seeds());
    let unowned = (0..)
        .map(|i| format!("nobody:{i}"))
        .find(|key| slot_of(key.as_bytes()).0 < 8192)
        .expect("a key");
    for panics in 1..=2 {
        let mut failed = slotmux.proxy.client();
        slotmux.arm("resend.due");
        failed.send(&["SET", &unowned, "1"]);
        assert_eq!(failed.read_to_close(), b"");
        slotmux.struck("resend.due", panics);
        // The next one waits until its deadline and gets that error.
        let mut other = slotmux.proxy.client();
        let error = other.call(&["SET", &unowned, "1"]);
        assert!(
            error.error().starts_with("CLUSTERDOWN slotmux: "),
            "{error:?}"
        );
    }
}

#[test]
fn a_panic_over_a_command_whose_connection_was_lost_costs_its_client() {
    let gate = Gate::default();
    let held_back = gate.clone();
    let peer = Peer::start(move |request| {
        (request.name() == "SET").then(|| vec![Step::Gate(held_back.clone()), Step::Close])
    });
    let slotmux = Sabotaged::start(&peer.seeds());
    let mut clients: Vec<RawClient> = (0..5).map(|_| slotmux.proxy.client()).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        client.send(&["SET", "lost", "1"]);
        poll_until(PATIENCE, "the command to be in flight", || {
            slotmux.proxy.metric("slotmux_in_flight") == Some(i as f64 + 1.0)
        });
    }
    slotmux.arm("lost.each");
    gate.open();
    slotmux.struck("lost.each", 1);
    assert_eq!(clients.remove(0).read_to_close(), b"");
    for client in &mut clients {
        let error = client.read();
        assert!(error.error().contains("connection to the node was lost"));
    }
}

#[test]
fn a_panic_over_a_message_costs_the_subscription_connection() {
    let slotmux = Sabotaged::start(&shared_cluster().seeds());
    let mut listener = slotmux.proxy.client();
    listener.call(&["SUBSCRIBE", "panics"]);
    let mut speaker = slotmux.proxy.client();
    for panics in 1..=2 {
        slotmux.arm("feed.take");
        speaker.call(&["PUBLISH", "panics", "lost"]);
        slotmux.struck("feed.take", panics);
        poll_until(PATIENCE, "a message", || {
            speaker.call(&["PUBLISH", "panics", "found"]);
            listener.has_news(std::time::Duration::from_millis(50))
        });
        let message = listener.read();
        assert_eq!(
            message,
            Value::Array(["message", "panics", "found"].map(Value::bulk).to_vec())
        );
        while listener.has_news(std::time::Duration::from_millis(50)) {
            listener.read();
        }
    }
}

#[test]
fn a_panic_over_a_long_request_frees_its_memory() {
    const NAMES: usize = 50_000;
    let cluster = shared_cluster();
    // Each request counts for a third of it, or more.
    let slotmux = Sabotaged::start_with(&cluster.seeds(), &[], |config| {
        config.set("server.memory_limit", "64MiB");
        config.set("cluster.timeouts.command", "60s");
    });
    let subscribe = long("SUBSCRIBE", (0..NAMES).map(|i| format!("panicked:{i}")));
    let value = "v".repeat(500);
    let pairs = (0..20_000).flat_map(|i| [format!("panicked:{i}"), value.clone()]);
    let mset = long("MSET", pairs);
    let pings = [b"MULTI\r\n", &command(&["PING"]).repeat(NAMES)[..]].concat();
    let begin = |client: &mut RawClient, request: &[u8]| {
        if request == b"EXEC\r\n" {
            let queued = client.pipeline_raw(&pings, NAMES + 1);
            assert_eq!(queued[NAMES], Value::Simple("QUEUED".into()));
        }
    };
    let forgets = |client: &str| {
        poll_until(PATIENCE, &format!("{client} to be forgotten"), || {
            slotmux.proxy.metric("slotmux_clients") == Some(0.0)
        });
    };
    let mut panics = 0;
    for (what, request) in [
        ("SUBSCRIBE", &subscribe[..]),
        ("MSET", &mset),
        ("EXEC", b"EXEC\r\n"),
    ] {
        for _ in 0..4 {
            let mut failed = slotmux.proxy.client();
            begin(&mut failed, request);
            slotmux.arm("work.slice");
            failed.send_raw(request);
            assert_eq!(failed.read_to_close(), b"", "{what}");
            panics += 1;
            slotmux.struck("work.slice", panics);
            forgets("the failed client");
        }
        let mut other = slotmux.proxy.client();
        begin(&mut other, request);
        other.send_raw(request);
        let reply = other.read();
        let is_served = matches!(&reply, Value::Array(_)) || reply == Value::ok();
        assert!(is_served, "{what}: {reply:?}");
        drop(other);
        // Otherwise the next panic may be over a slice of this one.
        forgets("the other client");
    }
    // The names of the first slice were sent to the nodes.
    poll_until(PATIENCE, "all channels to be left", || {
        (0..3).all(|node| {
            let channels = cluster.query(node, &["PUBSUB", "CHANNELS", "panicked:*"]);
            channels.is_ok_and(|channels: Vec<String>| channels.is_empty())
        })
    });
}

#[test]
fn the_topology_is_refreshed_after_a_panic_over_it() {
    let layout = Layout::default();
    let peers = [(); 3].map(|()| Peer::start_in(&layout, |_| None));
    let ports = peers.each_ref().map(Peer::port);
    layout.set(&[(0, 16383, ports[0])]);
    // slotmux has no other source for a moved slot: these nodes do not redirect. The first refresh comes at the start.
    let slotmux = Sabotaged::start_with(&peers[0].seeds(), &["refresh.discover"], |config| {
        config.set("cluster.topology.refresh", "100ms");
        config.set("cluster.topology.min_interval", "50ms");
    });
    slotmux.struck("refresh.discover", 1);
    for (i, port) in ports.into_iter().enumerate().skip(1) {
        slotmux.arm("refresh.discover");
        slotmux.struck("refresh.discover", i as u32 + 1);
        layout.set(&[(0, 8191, ports[0]), (8192, 16383, port)]);
        let (mut client, peer) = (slotmux.proxy.client(), &peers[i]);
        poll_until(PATIENCE, "a request at the new owner", || {
            // `foo` is in slot 12182.
            client.call(&["SET", "foo", "1"]);
            !peer.requests_named("SET").is_empty()
        });
    }
}

#[test]
fn a_panic_of_the_control_thread_spares_its_other_tasks() {
    let seeds = shared_cluster().seeds();
    let slotmux = Sabotaged::start_with(&seeds, &["admin.serve", "proxy.fit"], |_| {});
    slotmux.struck("admin.serve", 2);
    slotmux.struck("proxy.fit", 2);
    for panics in 3..=4 {
        slotmux.arm("admin.metrics");
        let (status, _) = slotmux.proxy.admin_get("/metrics").expect("an answer");
        assert_eq!(status, 500);
        slotmux.struck("admin.metrics", panics);
    }
    works(&mut slotmux.proxy.client(), "control");
}

#[test]
fn a_panic_of_a_monitor_leaves_no_state_in_the_workers() {
    let slotmux = Sabotaged::start_with(&shared_cluster().seeds(), &[], |config| {
        config.set("server.workers", 2);
    });
    let mut clients: Vec<RawClient> = (0..16).map(|_| slotmux.proxy.client()).collect();
    // As often as there are places for monitoring clients, and once more.
    for panics in 1..=17 {
        let mut monitor = slotmux.proxy.client();
        assert_eq!(monitor.call(&["MONITOR"]), Value::ok());
        slotmux.arm("monitor.deliver");
        works(&mut clients[0], "monitored");
        slotmux.struck("monitor.deliver", panics);
        monitor.read_to_close();
        let missed = || slotmux.proxy.metric("slotmux_monitor_lines_dropped_total");
        // A monitor that still receives lines without reading misses every further line.
        poll_until(PATIENCE, "the monitor to get no more lines", || {
            let before = missed();
            for client in &mut clients {
                client.call(&["PING"]);
            }
            missed() == before
        });
    }
}
