//! Timeouts, pauses and intervals. No test looks at a clock: each compares the behaviour of slotmux with another time
//! of slotmux' own.

use slotmux_testing::{PATIENCE, Peer, Proxy, ProxyConfig, Step, Value, poll_until};

/// The greeting of a lane: until it is answered the connection is not usable.
const GREETING: &str = "PING";

fn failures(proxy: &Proxy) -> f64 {
    proxy
        .metric("slotmux_upstream_connect_failures_total")
        .expect("the metric")
}

/// slotmux in front of a peer, with one worker.
fn start(peer: &Peer, configure: impl FnOnce(&mut ProxyConfig)) -> Proxy {
    Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("server.workers", 1);
        configure(config);
    })
}

/// Connections that failed until a command's deadline of two seconds.
fn failures_in_a_deadline(peer: &Peer, configure: impl FnOnce(&mut ProxyConfig)) -> f64 {
    let proxy = start(peer, |config| {
        config.set("cluster.timeouts.command", "2s");
        configure(config);
    });
    let reply = proxy.client().call(&["GET", "key"]);
    assert!(reply.error().contains("unreachable"), "{reply:?}");
    failures(&proxy)
}

#[test]
fn a_node_that_never_greets_is_given_up_after_the_connect_timeout() {
    let silent = || Peer::start(|request| (request.name() == GREETING).then(Vec::new));
    let by_key = |text: &'static str| {
        move |config: &mut ProxyConfig| {
            config.set("cluster.connections.connect_timeout", text);
            config.set("cluster.connections.backoff", "1ms..2ms");
        }
    };
    assert_eq!(failures_in_a_deadline(&silent(), by_key("1h")), 0.0);
    assert!(failures_in_a_deadline(&silent(), by_key("50ms")) >= 3.0);
    let by_variable = failures_in_a_deadline(&silent(), |config| {
        by_key("1h")(config);
        config.env("REDIS_CONNECTION_TIMEOUT", "0.05");
    });
    assert!(by_variable >= 3.0);
}

/// A node that hangs up on every connection.
fn unfriendly() -> Peer {
    Peer::start(|request| (request.name() == GREETING).then(|| vec![Step::Close]))
}

#[test]
fn failed_connects_are_repeated_after_the_backoff() {
    let with = |backoff: &'static str| {
        failures_in_a_deadline(&unfriendly(), |config| {
            config.set("cluster.connections.backoff", backoff);
        })
    };
    assert_eq!(with("1h..1h"), 1.0);
    // With the default it would be no more than six.
    assert!(with("1ms..5ms") >= 20.0);
    // It grows from the first to the second: a constant first pause would allow hundreds.
    assert!(with("5ms..1h") <= 11.0);
}

/// A node that never answers a GET.
fn mute() -> Peer {
    Peer::start(|request| (request.name() == "GET").then(Vec::new))
}

#[test]
fn a_command_ends_at_its_deadline_and_keeps_the_connection() {
    let peer = mute();
    let proxy = start(&peer, |config| {
        config.set("cluster.timeouts.command", "200ms");
        config.set("cluster.timeouts.response", "1h");
    });
    let reply = proxy.client().call(&["GET", "key"]);
    assert!(reply.error().contains("upstream timeout"), "{reply:?}");
    assert_eq!(proxy.metric("slotmux_upstream_lost_total"), Some(0.0));
    assert!(!proxy.log().contains("node is silent"));

    // Within the deadline there are at most twenty pauses in a second, and the default deadline is five seconds.
    let peer = unfriendly();
    let proxy = start(&peer, |config| {
        config.set("cluster.timeouts.command", "300ms");
        config.set("cluster.connections.backoff", "100ms..100ms");
    });
    let reply = proxy.client().call(&["GET", "key"]);
    assert!(reply.error().contains("unreachable"), "{reply:?}");
    assert!((1.0..25.0).contains(&failures(&proxy)));
}

#[test]
fn a_silent_connection_is_given_up_after_the_response_timeout() {
    for by_variable in [false, true] {
        let peer = mute();
        let proxy = start(&peer, |config| {
            config.set("cluster.timeouts.command", "1h");
            config.set("cluster.retry.reads", 0);
            if by_variable {
                config.set("cluster.timeouts.response", "1h");
                config.env("REDIS_SOCKET_TIMEOUT", "0.2");
            } else {
                config.set("cluster.timeouts.response", "200ms");
            }
        });
        let reply = proxy.client().call(&["GET", "key"]);
        assert!(reply.error().starts_with("ERR slotmux: "), "{reply:?}");
        assert!(proxy.log().contains("node is silent"), "{}", proxy.log());
        assert!(proxy.metric("slotmux_upstream_lost_total") >= Some(1.0));
    }
}

/// Health checks that a peer got on connections that carried a SET. Those of RESP3 greet by HELLO, so their PINGs are
/// health checks.
fn checks(peer: &Peer) -> usize {
    let used: Vec<usize> = peer
        .requests_named("SET")
        .iter()
        .map(|request| request.connection)
        .collect();
    let pings = peer.requests_named("PING");
    pings
        .iter()
        .filter(|ping| used.contains(&ping.connection))
        .count()
}

#[test]
fn idle_connections_are_checked_in_the_health_interval() {
    let peers = [(); 4].map(|()| Peer::start(|_| None));
    let [by_key, by_variable, never, by_default] = &peers;
    let used = |peer: &Peer, key: &str, variable: &str| {
        let proxy = start(peer, |config| {
            config.set("cluster.connections.health_interval", key);
            config.env("REDIS_HEALTH_CHECK_INTERVAL", variable);
        });
        let mut client = proxy.client_resp3();
        assert_eq!(client.call(&["SET", "key", "1"]), Value::ok());
        proxy
    };
    let _proxies = [
        used(by_default, "30s", ""),
        used(never, "100ms", "0"),
        used(by_key, "100ms", ""),
        used(by_variable, "none", "0.1"),
    ];
    for peer in [by_key, by_variable] {
        poll_until(PATIENCE, "many health checks", || checks(peer) >= 10);
    }
    assert_eq!((checks(never), checks(by_default)), (0, 0));
}

/// Cluster queries that a peer got.
fn asked(peer: &Peer) -> usize {
    peer.requests_named("CLUSTER").len()
}

#[test]
fn the_topology_is_refreshed_at_the_configured_interval() {
    let peer = Peer::start(|_| None);
    let _proxy = start(&peer, |config| {
        config.set("cluster.topology.refresh", "20ms");
        config.set("cluster.topology.min_interval", "10ms");
    });
    poll_until(PATIENCE, "many refreshes", || asked(&peer) >= 40);
}

#[test]
fn refreshes_on_demand_keep_the_minimum_interval() {
    let [often, seldom] = [(); 2].map(|()| Peer::start(|_| None));
    let with = |peer: &Peer, shortest: &str| {
        start(peer, |config| {
            config.set("cluster.topology.refresh", "1h");
            config.set("cluster.topology.min_interval", shortest);
            config.set("cluster.connections.backoff", "1ms..2ms");
        })
    };
    let proxies = [with(&often, "10ms"), with(&seldom, "1h")];
    let at_first = asked(&seldom);
    for round in 0..5 {
        let before = asked(&often);
        // A lost connection causes a refresh.
        for (peer, proxy) in [&often, &seldom].into_iter().zip(&proxies) {
            assert_eq!(proxy.client().call(&["SET", "key", "1"]), Value::ok());
            peer.hang_up();
            poll_until(PATIENCE, "slotmux to notice the loss", || {
                proxy.metric("slotmux_upstream_lost_total") > Some(f64::from(round))
            });
        }
        poll_until(PATIENCE, "a refresh", || asked(&often) > before);
    }
    assert_eq!(asked(&seldom), at_first);
}
