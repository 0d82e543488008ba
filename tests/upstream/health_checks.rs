//! Connections that died unnoticed, and what health checks must not disturb: new clients during a check, and the pool
//! of dedicated connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use slotmux_testing::peer::{Gate, Request};
use slotmux_testing::{PATIENCE, Peer, Proxy, ProxyConfig, RawClient, Step, Value, poll_until};

const INTERVAL: &str = "cluster.connections.health_interval";

/// slotmux in front of a peer. Its clients use RESP3: those lanes greet by HELLO, so a PING is a health check.
fn start(peer: &Peer, configure: impl FnOnce(&mut ProxyConfig)) -> (Proxy, RawClient) {
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("cluster.connections.backoff", "1ms..2ms");
        config.set("cluster.retry.reads", 0);
        config.set(INTERVAL, "100ms");
        configure(config);
    });
    let client = proxy.client_resp3();
    (proxy, client)
}

/// Stays silent on connections up to the `dead`th that carried a GET.
fn dying(
    dead: &Arc<AtomicUsize>,
) -> impl Fn(&Request) -> Option<Vec<Step>> + Send + Sync + 'static {
    let dead = dead.clone();
    move |request| {
        let is_lane = matches!(request.name().as_str(), "GET" | "SET" | "PING");
        (is_lane && request.connection < dead.load(Ordering::SeqCst)).then(Vec::new)
    }
}

fn lost(proxy: &Proxy) -> f64 {
    proxy
        .metric("slotmux_upstream_lost_total")
        .expect("the metric")
}

#[test]
fn a_dead_connection_is_found_before_it_costs_a_command() {
    for (interval, is_found) in [("100ms", true), ("none", false)] {
        let dead = Arc::new(AtomicUsize::new(0));
        let peer = Peer::start(dying(&dead));
        let (proxy, mut client) = start(&peer, |config| {
            config.set(INTERVAL, interval);
            config.set("cluster.timeouts.response", "500ms");
        });
        assert_eq!(client.call(&["GET", "key"]), Value::ok());
        dead.store(peer.accepted(), Ordering::SeqCst);
        if is_found {
            poll_until(PATIENCE, "the dead connection to be replaced", || {
                lost(&proxy) == 1.0 && proxy.metric("slotmux_upstream_connections") == Some(1.0)
            });
            assert!(proxy.log().contains("node is silent"), "{}", proxy.log());
            assert_eq!(client.call(&["GET", "key"]), Value::ok());
            assert_eq!(client.call(&["SET", "key", "1"]), Value::ok());
        } else {
            let reply = client.call(&["GET", "key"]);
            assert!(reply.error().starts_with("ERR slotmux: "), "{reply:?}");
        }
    }
}

#[test]
fn a_health_check_is_not_a_client_command() {
    let gate = Gate::default();
    let held_back = gate.clone();
    let peer = Peer::start(move |request| match request.name().as_str() {
        "PING" => Some(vec![
            Step::Gate(held_back.clone()),
            Step::Bytes(b"-LOADING alive all the same\r\n".to_vec()),
        ]),
        "GET" => Some(Step::reply(format!("+{}\r\n", request.word(1)))),
        _ => None,
    });
    let (proxy, mut client) = start(&peer, |config| {
        config.set("cluster.timeouts.command", "60s");
        config.set("cluster.timeouts.response", "60s");
        config.set("cluster.connections.dedicated_max", 1);
    });
    let mut other = proxy.client_resp3();
    let big = "b".repeat(1 << 20);
    assert_eq!(
        client.call(&["GET", "first"]),
        Value::Simple("first".into())
    );
    assert_eq!(client.call(&["SET", "big", &big]), Value::ok());
    poll_until(PATIENCE, "commands on both lanes", || {
        peer.requests_named("PING").len() == 2
    });
    assert_eq!(proxy.metric("slotmux_in_flight"), Some(0.0));
    // The shared lane, and the only dedicated one, which is free although its PING is in flight.
    let keys: Vec<String> = (0..20).map(|i| format!("key:{i}")).collect();
    for key in &keys {
        client.send(&["GET", key]);
    }
    other.send(&["SET", "big", &big]);
    poll_until(PATIENCE, "all commands to be in flight", || {
        proxy.metric("slotmux_in_flight") == Some(21.0)
    });
    assert_eq!(proxy.metric("slotmux_client_pauses_total"), Some(0.0));
    gate.open();
    for key in &keys {
        assert_eq!(client.read(), Value::Simple(key.clone()));
    }
    assert_eq!(other.read(), Value::ok());
    let errors = proxy.metric("slotmux_errors_total");
    assert_eq!((lost(&proxy), errors), (0.0, Some(0.0)));
}

#[test]
fn health_checks_do_not_keep_an_unused_dedicated_connection() {
    let peer = Peer::start(|_| None);
    let (proxy, mut client) = start(&peer, |config| {
        config.set("cluster.connections.dedicated_idle", "1s");
    });
    let big = "b".repeat(1 << 20);
    assert_eq!(client.call(&["SET", "key", &big]), Value::ok());
    let lane = peer.requests_named("SET")[0].connection;
    let checks = || {
        let pings = peer.requests_named("PING");
        pings.iter().filter(|ping| ping.connection == lane).count()
    };
    // Two rounds of the sweep and one of retirement.
    poll_until(PATIENCE / 2, "the connections to be closed", || {
        proxy.metric("slotmux_upstream_connections") == Some(0.0)
    });
    assert!(checks() >= 2, "{} health checks", checks());
    assert_eq!(lost(&proxy), 0.0);
}

#[test]
fn a_drain_does_not_wait_for_a_health_check() {
    let peer = Peer::start(|request| (request.name() == "PING").then(Vec::new));
    let (proxy, mut client) = start(&peer, |config| {
        config.set("cluster.timeouts.response", "1h");
        config.set("server.drain_timeout", "1h");
    });
    assert_eq!(client.call(&["SET", "key", "1"]), Value::ok());
    poll_until(PATIENCE, "a health check", || {
        !peer.requests_named("PING").is_empty()
    });
    proxy.terminate();
    assert!(proxy.wait_exit().success());
}

#[test]
fn an_invalid_answer_to_a_health_check_ends_the_connection() {
    let big = format!("${}\r\n{}\r\n", 1 << 20, "b".repeat(1 << 20));
    for words in ["+OK\r\n", "$4\r\nPONG\r\n", &big] {
        let words = words.to_owned();
        let peer = Peer::start(move |request| match request.name().as_str() {
            "PING" => Some(Step::reply(&words)),
            "GET" => Some(Step::reply(format!("+{}\r\n", request.word(1)))),
            _ => None,
        });
        let (proxy, mut client) = start(&peer, |config| {
            // A command may be sent on a connection that is about to be given up.
            config.set("cluster.retry.reads", 100);
        });
        for i in 0..=3 {
            poll_until(PATIENCE, "the connection to be given up", || {
                lost(&proxy) >= f64::from(i)
            });
            let key = format!("key:{i}");
            assert_eq!(client.call(&["GET", &key]), Value::Simple(key));
        }
    }
}
