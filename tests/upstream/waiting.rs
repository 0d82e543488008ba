//! Commands that wait for a node: the events that let them continue, and that none waits beyond its deadline.

use std::time::Duration;

use slotmux::tools::demo::cluster::{LocalCluster, Options};
use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_core::slot::slot_of;
use slotmux_testing::{PATIENCE, Proxy, RawClient, Value, calm_cluster, poll_until};

/// A key of the first node of three.
fn key_of_first(name: &str) -> String {
    (0..)
        .map(|i| format!("{name}:{i}"))
        .find(|key| slot_of(key.as_bytes()).0 < 16384 / 3)
        .expect("a third of all keys")
}

/// No other event reports a failover here: no connection is made to the dead node, and no refresh is due.
#[test]
fn a_waiting_command_causes_a_query_for_the_new_primary() {
    let cluster = LocalCluster::start(Options {
        replicas_per_primary: 1,
        node_timeout: Duration::from_secs(1),
        extra: vec![("cluster-require-full-coverage".into(), "no".into())],
        ..Options::default()
    })
    .expect("a cluster");
    let proxy = Proxy::start(&cluster, |config| {
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "30s");
        config.set("cluster.connections.backoff", "1h..1h");
        config.set("cluster.topology.refresh", "1h");
    });
    let mut client = proxy.client();
    let key = key_of_first("waits");
    assert_eq!(client.call(&["SET", &key, "1"]), Value::ok());
    cluster.kill(0);
    assert_eq!(client.call(&["SET", &key, "2"]), Value::ok());
    assert_eq!(client.call(&["GET", &key]), Value::bulk("2"));
}

#[test]
fn a_new_connection_ends_the_pause_of_the_others() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    let proxy = Proxy::start_before(&server, |config| {
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "30s");
        config.set("cluster.connections.shared", 2);
        config.set("cluster.connections.backoff", "1h..1h");
    });
    let mut first = proxy.client();
    assert_eq!(first.call(&["SET", "k", "1"]), Value::ok());
    server.kill();
    poll_until(PATIENCE, "the connection to be lost", || {
        proxy.metric("slotmux_upstream_lost_total") == Some(1.0)
    });
    server.restart().expect("back");
    // The first one's connection pauses for an hour; another client is the first on the other one.
    first.send(&["PING"]);
    assert_eq!(first.read(), Value::Simple("PONG".to_owned()));
    first.send(&["SET", "k", "2"]);
    let mut second = proxy.client();
    assert_eq!(second.call(&["SET", "l", "3"]), Value::ok());
    assert_eq!(first.read(), Value::ok());
}

/// A frozen node with as much in flight as fits; further commands wait for room.
fn with_a_full_lane(f: impl FnOnce(&LocalCluster, &Proxy, &mut RawClient)) {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "500ms");
        config.set("cluster.timeouts.response", "300s");
        config.set("cluster.connections.max_in_flight", 20);
    });
    let key = key_of_first("full");
    let mut filling = proxy.client();
    assert_eq!(filling.call(&["SET", &key, "v"]), Value::ok());
    cluster.stop(0).expect("frozen");
    for reply in filling.pipeline(&vec![vec!["GET", &*key]; 20]) {
        assert_eq!(reply.error(), "ERR slotmux: upstream timeout");
    }
    f(&cluster, &proxy, &mut filling);
}

#[test]
fn a_command_waiting_for_room_is_refused_at_its_deadline() {
    with_a_full_lane(|cluster, proxy, filling| {
        let (full, key) = (key_of_first("full"), key_of_first("late"));
        let mut client = proxy.client();
        let commands = [
            vec!["SET", &*key, "1"],
            vec!["GET", &*key],
            vec!["MGET", &*key, &*full],
            vec!["DBSIZE"],
        ];
        // All of one pipeline arrived together: only the first of them waits.
        let commands: Vec<Vec<&str>> = commands.iter().cycle().take(400).cloned().collect();
        for (reply, command) in client.pipeline(&commands).iter().zip(&commands) {
            let text = reply.error();
            assert!(
                text.contains("more to answer than fits") && text.ends_with("was not executed"),
                "{command:?}: {text}"
            );
        }
        cluster.resume(0).expect("awake");
        poll_until(PATIENCE, "room", || {
            filling.call(&["GET", &full]) == Value::bulk("v")
        });
        assert_eq!(client.call(&["EXISTS", &key]), Value::Integer(0));
        assert_eq!(client.call(&["SET", &key, "2"]), Value::ok());
    });
}

#[test]
fn a_command_waiting_for_room_runs_as_soon_as_there_is_some() {
    with_a_full_lane(|cluster, proxy, _| {
        let key = key_of_first("soon");
        let mut client = proxy.client();
        let before = proxy.metric("slotmux_client_pauses_total");
        client.send(&["SET", &key, "1"]);
        poll_until(PATIENCE, "the command to wait", || {
            proxy.metric("slotmux_client_pauses_total") > before
        });
        cluster.resume(0).expect("awake");
        let reply = client.read();
        // On a busy machine its deadline may have passed by then.
        if reply != Value::ok() {
            assert!(reply.error().ends_with("was not executed"), "{reply:?}");
        }
        poll_until(PATIENCE, "the node to serve", || {
            client.call(&["SET", &key, "2"]) == Value::ok()
        });
    });
}
