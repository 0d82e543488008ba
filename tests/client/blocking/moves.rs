//! Slots move and primaries change while clients are blocked.

use super::{blocked_at, bulks, call, key_on, send, until_blocked};
use slotmux::tools::demo::cluster::{LocalCluster, Options};
use slotmux_core::slot::slot_of;
use slotmux_testing::{PATIENCE, Proxy, RawClient, Value, calm_cluster, poll_until};
use std::time::Duration;

#[test]
fn a_slot_that_moves_takes_its_blocked_clients_along() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let key = key_on(&cluster, 0, "moving");
    let slot = slot_of(key.as_bytes()).0;
    let mut feeder = proxy.client();
    let forms = [
        (format!("BLPOP {key} 0"), Some(bulks(&[&key, "x"]))),
        (format!("BRPOP {key} 100"), Some(bulks(&[&key, "x"]))),
        (format!("BLMPOP 100 1 {key} LEFT"), None),
        (
            format!("BLMOVE {key} {{{key}}}to LEFT LEFT 100.5"),
            Some(Value::bulk("x")),
        ),
    ];
    let (mut at, mut next) = (0, 1);
    for (line, expected) in forms {
        let mut blocked = proxy.client();
        send(&mut blocked, &line);
        until_blocked(&cluster, at, 1);
        cluster.migrate_slot(slot, at, next).expect("it moves");
        until_blocked(&cluster, next, 1);
        assert_eq!(blocked_at(&cluster, at), 0);
        call(&mut feeder, &format!("RPUSH {key} x"));
        let reply = blocked.read();
        match expected {
            Some(expected) => assert_eq!(reply, expected, "{line}"),
            None => assert_eq!(reply.items()[1], bulks(&["x"]), "{line}"),
        }
        (at, next) = (next, (next + 1) % 3);
    }
    let mut blocked = proxy.client_resp3();
    send(
        &mut blocked,
        &format!("XREAD BLOCK 100000 STREAMS {{{key}}}s $"),
    );
    until_blocked(&cluster, at, 1);
    cluster.migrate_slot(slot, at, next).expect("it moves");
    until_blocked(&cluster, next, 1);
    call(&mut feeder, &format!("XADD {{{key}}}s 1-1 f v"));
    assert!(matches!(blocked.read(), Value::Map(_)));
}

#[test]
fn a_blocked_watching_client_delays_no_other_when_the_slot_moves() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| config.set("server.workers", 1));
    let key = key_on(&cluster, 0, "watched");
    let slot = slot_of(key.as_bytes()).0;
    let (mut client, mut other) = (proxy.client(), proxy.client());
    assert_eq!(call(&mut client, &format!("WATCH {{{key}}}w")), Value::ok());
    send(&mut client, &format!("BLPOP {key} 0"));
    until_blocked(&cluster, 0, 1);
    cluster.migrate_slot(slot, 0, 1).expect("it moves");
    until_blocked(&cluster, 1, 1);
    // On a shared connection this would wait behind it.
    let beside = key_on(&cluster, 1, "beside");
    assert_eq!(call(&mut other, &format!("GET {beside}")), Value::Null);
    call(&mut other, &format!("RPUSH {key} x"));
    assert_eq!(client.read(), bulks(&[&key, "x"]));
    assert_eq!(call(&mut client, "MULTI"), Value::ok());
    call(&mut client, &format!("SET {{{key}}}w 1"));
    assert_eq!(call(&mut client, "EXEC"), Value::Null);
}

#[test]
fn the_timeout_runs_on_through_moves() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let key = key_on(&cluster, 0, "time");
    let slot = slot_of(key.as_bytes()).0;
    for (protocol, line) in [
        (2, format!("BLPOP {key} 3")),
        (3, format!("BLMOVE {key} {{{key}}}to LEFT LEFT 3")),
        (2, format!("XREAD BLOCK 3000 STREAMS {{{key}}}s $")),
    ] {
        let mut blocked = if protocol == 2 {
            proxy.client()
        } else {
            proxy.client_resp3()
        };
        send(&mut blocked, &line);
        let (at, next) = (cluster.primary_of_slot(slot).expect("an owner"), 1);
        let next = if at == next { 2 } else { next };
        until_blocked(&cluster, at, 1);
        cluster.migrate_slot(slot, at, next).expect("it moves");
        until_blocked(&cluster, next, 1);
        // The new node got less than the whole time.
        let words: String = cluster
            .query(next, &["CLIENT", "LIST"])
            .expect("its clients");
        assert!(words.contains(" flags=b"), "{words}");
        assert_eq!(blocked.read(), Value::Null, "{line}");
    }
}

#[test]
fn the_importing_node_of_an_open_slot_may_be_where_it_blocks() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let key = key_on(&cluster, 0, "open");
    let slot = slot_of(key.as_bytes()).0;
    let mut feeder = proxy.client();
    cluster.migrate_slot_begin(slot, 0, 1).expect("it begins");
    let mut blocked = proxy.client();
    send(&mut blocked, &format!("BLPOP {key} 0"));
    until_blocked(&cluster, 1, 1);
    call(&mut feeder, &format!("RPUSH {key} x"));
    assert_eq!(blocked.read(), bulks(&[&key, "x"]));
    send(&mut blocked, &format!("BLPOP {key} 0"));
    until_blocked(&cluster, 1, 1);
    cluster.migrate_slot_finish(slot, 0, 1).expect("it ends");
    call(&mut feeder, &format!("RPUSH {key} y"));
    assert_eq!(blocked.read(), bulks(&[&key, "y"]));
}

/// Clients that block on a key: two pop and one reads.
fn block_three(proxy: &Proxy, cluster: &LocalCluster, node: usize, key: &str) -> [RawClient; 3] {
    let lines = [
        format!("BLPOP {key} 0"),
        format!("BLMOVE {{{key}}}from {{{key}}}to LEFT LEFT 1000"),
        format!("XREAD BLOCK 0 STREAMS {{{key}}}s 0"),
    ];
    let clients = lines.map(|line| {
        let mut client = proxy.client();
        send(&mut client, &line);
        client
    });
    until_blocked(cluster, node, 3);
    clients
}

#[test]
fn a_failover_is_not_noticed() {
    let cluster = calm_cluster(1);
    let proxy = Proxy::start(&cluster, |config| {
        let section = "name = \"ttl\"\nmatch = [\"ttl:\"]\nttl = { default = \"100s\" }";
        config.add_section("namespace", section.parse().expect("TOML"));
    });
    let key = key_on(&cluster, 0, "failover");
    let mut feeder = proxy.client();
    let [mut pops, mut moves, mut reads] = block_three(&proxy, &cluster, 0, &key);
    // One with an expiry behind it, which the old primary does not answer any more.
    let mut governed = proxy.client();
    let (from, to) = (format!("ttl:{{{key}}}a"), format!("ttl:{{{key}}}b"));
    send(&mut governed, &format!("BLMOVE {from} {to} LEFT LEFT 1000"));
    until_blocked(&cluster, 0, 4);
    let replica = cluster.replicas_of(0).expect("replicas")[0];
    cluster.failover(replica).expect("a failover");
    until_blocked(&cluster, replica, 4);
    call(&mut feeder, &format!("RPUSH {key} x"));
    call(&mut feeder, &format!("RPUSH {{{key}}}from y"));
    call(&mut feeder, &format!("XADD {{{key}}}s 1-1 f v"));
    assert_eq!(pops.read(), bulks(&[&key, "x"]));
    assert_eq!(moves.read(), Value::bulk("y"));
    assert_eq!(reads.read().items().len(), 1);
    call(&mut feeder, &format!("RPUSH {from} z"));
    assert_eq!(governed.read(), Value::bulk("z"));
    poll_until(PATIENCE, "a TTL", || {
        call(&mut feeder, &format!("TTL {to}")).integer() > 0
    });
}

#[test]
fn a_dead_primary_fails_pops_and_not_reads() {
    let cluster = LocalCluster::start(Options {
        replicas_per_primary: 1,
        node_timeout: Duration::from_secs(2),
        ..Options::default()
    })
    .expect("a cluster");
    let proxy = Proxy::start(&cluster, |config| {
        config.set("cluster.timeouts.command", "60s");
    });
    let key = key_on(&cluster, 0, "dies");
    let replica = cluster.replicas_of(0).expect("replicas")[0];
    let [mut pops, mut moves, mut reads] = block_three(&proxy, &cluster, 0, &key);
    cluster.kill(0);
    for client in [&mut pops, &mut moves] {
        let error = client.read();
        assert!(
            error.error().contains("may have been executed"),
            "{error:?}"
        );
    }
    // Each asks again, and is served by the new primary.
    send(&mut pops, &format!("BLPOP {key} 0"));
    until_blocked(&cluster, replica, 2);
    let mut feeder = proxy.client();
    call(&mut feeder, &format!("RPUSH {key} x"));
    call(&mut feeder, &format!("XADD {{{key}}}s 1-1 f v"));
    assert_eq!(pops.read(), bulks(&[&key, "x"]));
    assert_eq!(reads.read().items().len(), 1);
}

#[test]
fn a_silent_primary_is_given_up_once_it_is_replaced() {
    let cluster = LocalCluster::start(Options {
        replicas_per_primary: 1,
        node_timeout: Duration::from_secs(2),
        ..Options::default()
    })
    .expect("a cluster");
    let proxy = Proxy::start(&cluster, |config| {
        config.set("cluster.timeouts.response", "1s");
        config.set("cluster.timeouts.command", "60s");
        // No other event reports the change: the clients send no requests.
        config.set("cluster.topology.refresh", "500ms");
    });
    let key = key_on(&cluster, 0, "silent");
    let replica = cluster.replicas_of(0).expect("replicas")[0];
    let [mut pops, mut moves, mut reads] = block_three(&proxy, &cluster, 0, &key);
    cluster.stop(0).expect("it stands still");
    until_blocked(&cluster, replica, 3);
    let mut feeder = proxy.client();
    call(&mut feeder, &format!("RPUSH {key} x"));
    call(&mut feeder, &format!("RPUSH {{{key}}}from y"));
    call(&mut feeder, &format!("XADD {{{key}}}s 1-1 f v"));
    assert_eq!(pops.read(), bulks(&[&key, "x"]));
    assert_eq!(moves.read(), Value::bulk("y"));
    assert_eq!(reads.read().items().len(), 1);
    cluster.resume(0).expect("it goes on");
    poll_until(PATIENCE, "the old primary to become a replica", || {
        blocked_at(&cluster, 0) == 0
    });
}
