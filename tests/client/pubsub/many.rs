//! Many subscribers, slow ones, and ones that leave at any moment.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::pubsub::shared_cluster;
use slotmux_testing::client::command;
use slotmux_testing::{PATIENCE, Proxy, RawClient, Value, calm_cluster, poll_until};

use super::{expect_message, home, subscribe, subscribers_at};

#[test]
fn a_thousand_subscribers_are_one_per_worker_upstream() {
    let cluster = &calm_cluster(0);
    let proxy = Proxy::start(cluster, |config| config.set("log.level", "info"));
    let node = home(cluster, "many");
    let mut publisher = proxy.client();
    publisher.call(&["PUBLISH", "many", "nobody"]);
    let connections = proxy.upstream_connections(cluster);
    let mut clients: Vec<RawClient> = (0..1000).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send(&["SUBSCRIBE", "many"]);
    }
    for client in &mut clients {
        assert_eq!(client.read().items()[2], Value::Integer(1));
    }
    assert_eq!(subscribers_at(cluster, node, "NUMSUB", "many"), 2);
    assert!(proxy.upstream_connections(cluster) <= connections + 2);
    for text in ["1", "2"] {
        assert_eq!(
            publisher.call(&["PUBLISH", "many", text]),
            Value::Integer(1000)
        );
    }
    for client in &mut clients {
        expect_message(client, "many", "1");
        expect_message(client, "many", "2");
    }
    drop(clients);
    poll_until(PATIENCE, "no subscriber at the node", || {
        subscribers_at(cluster, node, "NUMSUB", "many") == 0
    });
    assert_eq!(proxy.metric("slotmux_subscriptions"), Some(0.0));
    poll_until(PATIENCE, "the clients to be gone", || {
        proxy.metric("slotmux_clients") == Some(1.0)
    });
}

#[test]
fn an_unused_subscription_connection_is_closed() {
    let cluster = &calm_cluster(0);
    let proxy = Proxy::start(cluster, |config| {
        config.set("cluster.connections.dedicated_idle", "100ms");
    });
    // Those of the start, which looks at the nodes, may still be open.
    let (mut before, mut readings) = (0, 0);
    poll_until(PATIENCE, "the connections of the start to close", || {
        let found = proxy.upstream_connections(cluster);
        readings = if found == before { readings + 1 } else { 0 };
        before = found;
        readings == 10
    });
    let mut client = proxy.client();
    subscribe(&mut client, &["SUBSCRIBE", "idle:1", "idle:2", "idle:3"]);
    assert!(proxy.upstream_connections(cluster) > before);
    client.call(&["RESET"]);
    poll_until(PATIENCE, "the connections to close", || {
        proxy.upstream_connections(cluster) == before
    });
    subscribe(&mut client, &["SUBSCRIBE", "idle:1"]);
    proxy.client().call(&["PUBLISH", "idle:1", "again"]);
    expect_message(&mut client, "idle:1", "again");
}

#[test]
fn a_slow_subscriber_is_closed_and_affects_no_other() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("listener.limits.output_hard", "1MiB");
        config.set("server.workers", 1);
    });
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(8 * 1024).expect("set");
    let address = SocketAddr::from(([127, 0, 0, 1], proxy.port()));
    socket.connect(&address.into()).expect("a connection");
    let mut slow: TcpStream = socket.into();
    slow.write_all(&command(&["SUBSCRIBE", "slow"]))
        .expect("sent");
    let mut publisher = proxy.client();
    let mut reader = proxy.client();
    subscribe(&mut reader, &["SUBSCRIBE", "slow"]);
    poll_until(PATIENCE, "the slow client to be subscribed", || {
        let receivers = publisher.call(&["PUBLISH", "slow", "first"]);
        expect_message(&mut reader, "slow", "first");
        receivers == Value::Integer(2)
    });
    let text = "x".repeat(16 * 1024);
    const MESSAGES: usize = 1000;
    for _ in 0..MESSAGES {
        assert!(publisher.call(&["PUBLISH", "slow", &text]).integer() >= 1);
        expect_message(&mut reader, "slow", &text);
    }
    poll_until(PATIENCE, "the slow client to be closed", || {
        proxy.metric("slotmux_limit_closes_total") == Some(1.0)
    });
    assert_eq!(
        publisher.call(&["PUBLISH", "slow", "last"]),
        Value::Integer(1)
    );
    expect_message(&mut reader, "slow", "last");
    drop(slow);
}

#[test]
fn clients_that_leave_at_any_moment_leave_no_state() {
    let cluster = shared_cluster();
    let proxy = Proxy::start(cluster, |_| {});
    let mut stays = proxy.client();
    subscribe(&mut stays, &["SUBSCRIBE", "leave:0"]);
    let mut publisher = proxy.client();
    for round in 0..150 {
        let mut client = proxy.client();
        let name = format!("leave:{}", round % 7);
        let subscribe = [
            command(&["SUBSCRIBE", &name, "leave:x"]),
            command(&["PSUBSCRIBE", "leave:*"]),
            command(&["SSUBSCRIBE", &name]),
        ]
        .concat();
        let cut = match round % 5 {
            0 => subscribe.len() / 2,
            _ => subscribe.len(),
        };
        client.send_raw(&subscribe[..cut]);
        if round % 3 == 0 {
            client.read();
        }
        if round % 4 == 0 {
            client.send(&["UNSUBSCRIBE"]);
        }
        drop(client);
        publisher.call(&["PUBLISH", "leave:1", "x"]);
    }
    poll_until(PATIENCE, "one remaining client", || {
        proxy.metric("slotmux_subscriptions") == Some(1.0)
    });
    poll_until(PATIENCE, "the nodes to know the change", || {
        let count = |channel: &str| {
            (0..3)
                .map(|node| subscribers_at(cluster, node, "NUMSUB", channel))
                .sum::<i64>()
        };
        count("leave:x") == 0 && count("leave:3") == 0 && count("leave:0") == 1
    });
    publisher.call(&["PUBLISH", "leave:0", "end"]);
    expect_message(&mut stays, "leave:0", "end");
}
