//! Upstream connections: how many, for which use, and for how long.

use slotmux_core::config::Config;

use slotmux_testing::peer::Gate;
use slotmux_testing::{
    PATIENCE, Peer, Proxy, ProxyConfig, RawClient, Step, Value, poll_until, shared_cluster,
};

fn connected(proxy: &Proxy) -> Option<f64> {
    proxy.metric("slotmux_upstream_connections")
}

#[test]
fn shared_sets_the_number_of_lanes() {
    for shared in [1, 3] {
        let proxy = Proxy::start(shared_cluster(), |config| {
            config.set("server.workers", 1);
            config.set("cluster.connections.shared", shared);
        });
        let mut clients: Vec<RawClient> = (0..12).map(|_| proxy.client()).collect();
        for client in &mut clients {
            for key in ["a", "b", "c", "d", "e", "f"] {
                assert_eq!(client.call(&["SET", key, "1"]), Value::ok());
            }
        }
        let expected = f64::from(shared) * 3.0;
        assert_eq!(connected(&proxy), Some(expected), "over three nodes");
    }
}

#[test]
fn dedicated_connections_are_bounded_and_returned() {
    const CLIENTS: usize = 6;
    for by_variable in [false, true] {
        let gate = Gate::default();
        let script_gate = gate.clone();
        let peer = Peer::start(move |request| {
            (request.name() == "SET").then(|| {
                vec![
                    Step::Gate(script_gate.clone()),
                    Step::Bytes(b"+OK\r\n".to_vec()),
                ]
            })
        });
        let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
            config.set("server.workers", 1);
            config.set("cluster.connections.dedicated_idle", "50ms");
            config.set("cluster.timeouts.command", "60s");
            config.set("cluster.timeouts.response", "60s");
            if by_variable {
                // One lane for each protocol is subtracted.
                config.env("REDIS_MAX_CONNECTIONS", "4");
            } else {
                config.set("cluster.connections.dedicated_max", 2);
            }
        });
        let mut sharing = proxy.client();
        assert_eq!(sharing.call(&["DEL", "key"]), Value::ok());
        assert_eq!(connected(&proxy), Some(1.0));

        let big = "x".repeat(Config::default().cluster.connections.bulk_threshold);
        let mut clients: Vec<RawClient> = (0..CLIENTS).map(|_| proxy.client()).collect();
        for client in &mut clients {
            client.send(&["SET", "key", &big]);
        }
        poll_until(PATIENCE, "two in flight and the others waiting", || {
            peer.requests_named("SET").len() == 2
                && proxy.metric("slotmux_client_pauses_total") >= Some(CLIENTS as f64 - 2.0)
        });
        assert_eq!(connected(&proxy), Some(3.0));
        assert_eq!(
            sharing.call(&["DEL", "key"]),
            Value::ok(),
            "no other client waits"
        );
        gate.open();
        for client in &mut clients {
            assert_eq!(client.read(), Value::ok());
        }
        let mut used: Vec<usize> = peer
            .requests_named("SET")
            .iter()
            .map(|request| request.connection)
            .collect();
        used.sort_unstable();
        used.dedup();
        assert_eq!(used.len(), 2, "used again and again");
        // Half of the patience is shorter than the default of half a minute.
        poll_until(PATIENCE / 2, "the unused ones to be closed", || {
            connected(&proxy) == Some(1.0)
        });
    }
}

#[test]
fn pinned_connections_are_bounded() {
    for (key, variable) in [
        (Some("cluster.connections.kept_max"), None),
        (Some("cluster.connections.dedicated_max"), None),
        // Two connections are lanes, and one of the remaining three is left for big values.
        (None, Some("5")),
    ] {
        let peer = Peer::start(|_| None);
        let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
            config.set("server.workers", 1);
            config.set("cluster.timeouts.command", "1s");
            if let Some(key) = key {
                config.set(key, 2);
            }
            if let Some(most) = variable {
                config.env("REDIS_MAX_CONNECTIONS", most);
            }
        });
        let mut clients: Vec<RawClient> = (0..3).map(|_| proxy.client()).collect();
        for client in &mut clients[..2] {
            assert_eq!(client.call(&["WATCH", "k"]), Value::ok());
        }
        let refused = clients[2].call(&["WATCH", "k"]);
        assert!(refused.error().contains("kept_max"), "{refused:?}");
        let big = "x".repeat(Config::default().cluster.connections.bulk_threshold);
        assert_eq!(clients[2].call(&["SET", "k", &big]), Value::ok());
        assert_eq!(clients[0].call(&["UNWATCH"]), Value::ok());
        assert_eq!(clients[2].call(&["WATCH", "k"]), Value::ok());
    }
}

#[test]
fn values_above_the_threshold_use_a_dedicated_lane() {
    let value = "x".repeat(8 * 1024);
    for (threshold, expected) in [("4KiB", 2.0), ("16KiB", 1.0)] {
        let peer = Peer::start(|_| None);
        let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
            config.set("server.workers", 1);
            config.set("cluster.connections.bulk_threshold", threshold);
        });
        let mut client = proxy.client();
        assert_eq!(client.call(&["SET", "key", "small"]), Value::ok());
        assert_eq!(connected(&proxy), Some(1.0));
        assert_eq!(client.call(&["SET", "key", &value]), Value::ok());
        assert_eq!(connected(&proxy), Some(expected), "{threshold}");
    }
}

/// How many of this many requests a lane takes while its node does not answer.
fn taken_by_a_lane(sent: usize, size: usize, configure: impl FnOnce(&mut ProxyConfig)) -> usize {
    let peer = Peer::start(|request| (request.name() == "SET").then(Vec::new));
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "60s");
        config.set("cluster.timeouts.response", "60s");
        configure(config);
    });
    let value = "x".repeat(size);
    let mut clients: Vec<RawClient> = (0..sent).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send(&["SET", "key", &value]);
    }
    let parked = || {
        proxy
            .metric("slotmux_client_pauses_total")
            .expect("the metric") as usize
    };
    poll_until(
        PATIENCE,
        "all connections to be accepted or to wait",
        || peer.requests_named("SET").len() + parked() == sent,
    );
    peer.requests_named("SET").len()
}

#[test]
fn a_lane_is_limited_in_commands_and_bytes() {
    let set = |key: &'static str, value: toml::Value| {
        move |config: &mut ProxyConfig| config.set(key, value)
    };
    let commands = |most: i64| set("cluster.connections.max_in_flight", most.into());
    let bytes = |most: &str| set("cluster.connections.max_in_flight_bytes", most.into());
    assert_eq!(taken_by_a_lane(8, 1, commands(5)), 5);
    assert_eq!(taken_by_a_lane(8, 1, commands(100)), 8);
    // Each is a little over 32 KiB; the third finds a lane that is full.
    assert_eq!(taken_by_a_lane(8, 32 << 10, bytes("64KiB")), 2);
    assert_eq!(taken_by_a_lane(8, 32 << 10, bytes("1MiB")), 8);
}
