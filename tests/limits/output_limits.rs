//! Nodes with a `client-output-buffer-limit` for normal clients: a read above it costs its own client a connection, and
//! does not repeatedly close the shared one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use slotmux::tools::demo::cluster::LocalCluster;
use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_testing::peer::Gate;
use slotmux_testing::{
    PATIENCE, Peer, Proxy, RawClient, SetAtEnd, Step, Value, calm_cluster, poll_until,
};

const LIMIT: &str = "normal 1mb 0 0";

fn limited_server() -> LocalServer {
    let server = LocalServer::start(&ServerOptions {
        extra: vec![("client-output-buffer-limit".to_owned(), LIMIT.to_owned())],
        ..ServerOptions::default()
    })
    .expect("Redis");
    let _: redis::Value = server
        .query(&["SETRANGE", "big:1", "4000000", "x"])
        .expect("a big value");
    server
}

/// Waits until slotmux knows this number of nodes with a limit.
#[track_caller]
fn until_known(proxy: &Proxy, nodes: usize) {
    poll_until(PATIENCE, "the limits to be known", || {
        proxy.log().matches("client-output-buffer-limit is").count() == nodes
    });
}

fn lost(proxy: &Proxy) -> u64 {
    proxy.metric("slotmux_upstream_lost_total").expect("it") as u64
}

#[track_caller]
fn assert_convicted(reply: &Value) {
    let error = reply.error();
    assert!(error.contains("client-output-buffer-limit"), "{error}");
}

#[test]
fn a_read_that_ends_its_connection_is_retried_once_on_a_dedicated_lane() {
    let server = limited_server();
    let proxy = Proxy::start_before(&server, |config| config.set("server.workers", 1));
    until_known(&proxy, 1);
    let mut client = proxy.client();
    let mut other = proxy.client();
    assert_eq!(other.call(&["SET", "small", "1"]), Value::ok());
    assert_convicted(&client.call(&["GET", "big:1"]));
    // The shared connection, and the dedicated one.
    assert_eq!(lost(&proxy), 2);
    assert_convicted(&client.call(&["GETRANGE", "big:1", "0", "3000000"]));
    // From now on similar reads are sent alone: clients of a shared connection are not affected.
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _end = SetAtEnd(&is_over);
        let neighbour = scope.spawn(|| {
            let mut count = 0;
            while !is_over.load(Ordering::Relaxed) {
                count += 1;
                let reply = other.call(&["INCR", "counter"]);
                assert_eq!(reply, Value::Integer(count));
            }
            count
        });
        for _ in 0..5 {
            assert_convicted(&client.call(&["GET", "big:1"]));
            assert_convicted(&client.call(&["GETRANGE", "big:1", "0", "3000000"]));
        }
        is_over.store(true, Ordering::Relaxed);
        let written = neighbour.join().expect("its count");
        assert!(written > 0);
    });
    assert_eq!(client.call(&["GET", "small"]), Value::bulk("1"));
}

/// With several candidates each read is sent alone, and the others get their replies, in order.
#[test]
fn harmless_reads_get_their_replies() {
    let server = limited_server();
    let proxy = Proxy::start_before(&server, |config| config.set("server.workers", 1));
    until_known(&proxy, 1);
    let mut clients: Vec<RawClient> = (0..10).map(|_| proxy.client()).collect();
    for number in 0..40 {
        let (key, value) = (format!("small:{number}"), format!("v{number}"));
        assert_eq!(clients[0].call(&["SET", &key, &value]), Value::ok());
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let mut commands: Vec<Vec<String>> = (0..40)
            .map(|key| vec!["GET".to_owned(), format!("small:{key}")])
            .collect();
        if number == 5 {
            commands.insert(20, vec!["GET".to_owned(), "big:1".to_owned()]);
        }
        let mut bytes = Vec::new();
        for words in &commands {
            bytes.extend(
                format!("*2\r\n$3\r\nGET\r\n${}\r\n{}\r\n", words[1].len(), words[1]).bytes(),
            );
        }
        client.send_raw(&bytes);
    }
    for (number, client) in clients.iter_mut().enumerate() {
        for key in 0..40 {
            if number == 5 && key == 20 {
                assert_convicted(&client.read());
            }
            assert_eq!(client.read(), Value::bulk(format!("v{key}")), "{number}");
        }
    }
    assert!(lost(&proxy) <= 3, "{}", lost(&proxy));
}

fn limited_cluster() -> LocalCluster {
    let cluster = calm_cluster(0);
    for node in 0..3 {
        let words = ["CONFIG", "SET", "client-output-buffer-limit", LIMIT];
        let _: redis::Value = cluster.query(node, &words).expect("set");
    }
    cluster
}

/// Parts of a split request, transactions that read, and scans of all keys only end the connection of one client.
#[test]
fn every_form_of_read_is_isolated() {
    let cluster = limited_cluster();
    let proxy = Proxy::start(&cluster, |config| {
        config.set("server.workers", 1);
        config.set("defaults.namespace.multi", "split");
    });
    until_known(&proxy, 3);
    let mut client = proxy.client();
    for key in ["{a}big", "{b}big"] {
        let reply = client.call(&["SETRANGE", key, "4000000", "x"]);
        assert_eq!(reply, Value::Integer(4_000_001));
    }
    assert_eq!(client.call(&["SET", "{a}small", "1"]), Value::ok());
    let before = lost(&proxy);
    let reply = client.call(&["MGET", "{a}big", "{b}small"]);
    assert!(
        reply.error().contains("client-output-buffer-limit"),
        "{reply:?}"
    );
    let replies = client.pipeline(&[
        vec!["MULTI"],
        vec!["GET", "{a}big"],
        vec!["GET", "{a}small"],
        vec!["EXEC"],
    ]);
    assert!(
        replies[3].error().contains("client-output-buffer-limit"),
        "{replies:?}"
    );
    let script = "return string.rep('x', 4000000)";
    assert_convicted(&client.call(&["EVAL_RO", script, "1", "{a}k"]));
    assert!(lost(&proxy) - before <= 6, "{}", lost(&proxy) - before);
    assert_eq!(client.call(&["GET", "{a}small"]), Value::bulk("1"));
}

/// A connection that breaks for another reason makes no read a candidate.
#[test]
fn a_connection_that_breaks_once_causes_no_error() {
    let is_first = AtomicBool::new(true);
    let peer = Peer::start(move |request| match request.name().as_str() {
        "GET" if is_first.swap(false, Ordering::SeqCst) => Some(vec![Step::Close]),
        "GET" => Some(Step::reply(format!("+{}\r\n", request.word(1)))),
        _ => None,
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("server.workers", 1)
    });
    let mut client = proxy.client();
    let commands: Vec<Vec<String>> = (0..50)
        .map(|number| match number % 5 {
            4 => vec!["SET".to_owned(), format!("other:{number}"), "v".to_owned()],
            _ => vec!["GET".to_owned(), format!("k:{number}")],
        })
        .collect();
    let replies = client.pipeline(&commands);
    for (number, reply) in replies.iter().enumerate() {
        match number % 5 {
            // In one slot or another: a write that may have run gets an error.
            4 => assert!(matches!(reply, Value::Simple(_) | Value::Error(_))),
            _ => assert_eq!(*reply, Value::Simple(format!("k:{number}"))),
        }
    }
}

/// A peer that closes the first connection with a GET once the gate is open, and has a value that fills every buffer.
fn closes_once(gate: &Gate) -> Peer {
    let (gate, is_first) = (gate.clone(), AtomicBool::new(true));
    let big = format!("$20000000\r\n{}\r\n", "x".repeat(20_000_000));
    Peer::start(move |request| match request.name().as_str() {
        "GET" if is_first.swap(false, Ordering::SeqCst) => {
            Some(vec![Step::Gate(gate.clone()), Step::Close])
        }
        "GET" if request.word(1) == "big" => Some(Step::reply(&big)),
        "GET" => Some(Step::reply("+small\r\n")),
        "STRLEN" => Some(Step::reply(&big)),
        _ => None,
    })
}

#[test]
fn a_lost_read_does_not_wait_for_slow_readers_of_big_values() {
    let gate = Gate::default();
    gate.open();
    let peer = closes_once(&gate);
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("cluster.connections.dedicated_max", 2);
        config.set("cluster.timeouts.command", "3s");
    });
    let mut client = proxy.client();
    // They are known to be big, and sent alone from now on.
    for _ in 0..2 {
        assert_eq!(client.call(&["STRLEN", "big"]).text().len(), 20_000_000);
    }
    let _slow: Vec<RawClient> = (0..2)
        .map(|_| {
            let mut slow = proxy.client();
            slow.send(&["STRLEN", "big"]);
            slow
        })
        .collect();
    poll_until(PATIENCE, "the slow readers to be served", || {
        peer.requests_named("STRLEN").len() == 4
    });
    assert_eq!(client.call(&["GET", "key"]), Value::Simple("small".into()));
}

/// As many candidates as there are places for are read slowly: the others go over the shared connection again.
#[test]
fn a_lost_read_does_not_wait_for_slow_readers_among_the_candidates() {
    const PLACES: usize = 16;
    let gate = Gate::default();
    let peer = closes_once(&gate);
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "10s");
    });
    let mut clients: Vec<RawClient> = (0..=PLACES).map(|_| proxy.client()).collect();
    for (number, client) in (0..).zip(&mut clients) {
        let key = if number < PLACES { "big" } else { "key" };
        client.send(&["GET", key]);
        poll_until(PATIENCE, "the command to be in flight", || {
            proxy.metric("slotmux_in_flight") == Some(number as f64 + 1.0)
        });
    }
    gate.open();
    let last = clients.last_mut().expect("a client");
    assert_eq!(last.read(), Value::Simple("small".into()));
}

#[test]
fn the_start_names_each_node_with_an_output_limit() {
    let cluster = calm_cluster(0);
    let words = ["CONFIG", "SET", "client-output-buffer-limit", LIMIT];
    let _: redis::Value = cluster.query(1, &words).expect("set");
    let proxy = Proxy::start(&cluster, |_| {});
    let warned = || -> Vec<String> {
        let log = proxy.log();
        let lines = log
            .lines()
            .filter(|line| line.contains("client-output-buffer-limit"));
        lines.map(str::to_owned).collect()
    };
    poll_until(PATIENCE, "the warning", || !warned().is_empty());
    let lines = warned();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let port = cluster.nodes()[1].port.to_string();
    assert!(
        lines[0].contains("WARN") && lines[0].contains(&port) && lines[0].contains("1048576 0 0"),
        "{lines:?}"
    );
}
