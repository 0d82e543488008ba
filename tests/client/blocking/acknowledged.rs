//! WAIT: never reports more replicas than a dedicated connection would.

use std::time::Duration;

use slotmux::tools::demo::cluster::{LocalCluster, Options};

use super::{bulks, call, key_on, send, until_blocked, until_counted};
use slotmux_testing::{PATIENCE, Proxy, RawClient, Value, calm_cluster, poll_until};

/// The id of the only blocked connection of a node.
fn blocked_connection(cluster: &LocalCluster, node: usize) -> String {
    let list: String = cluster.query(node, &["CLIENT", "LIST"]).expect("a list");
    let line = list.lines().find(|line| line.contains(" flags=b "));
    let id = line.and_then(|line| line.strip_prefix("id=")?.split(' ').next());
    id.expect("one that is blocked").to_owned()
}

#[test]
fn wait_counts_the_replicas_that_acknowledged() {
    let cluster = calm_cluster(1);
    let proxy = Proxy::start(&cluster, |_| {});
    let keys = [0, 1, 2].map(|node| key_on(&cluster, node, "wait"));
    let replicas = [0, 1, 2].map(|node| cluster.replicas_of(node).expect("replicas")[0]);
    for protocol in [2, 3] {
        let connect = || {
            if protocol == 2 {
                proxy.client()
            } else {
                proxy.client_resp3()
            }
        };
        let (mut zero, mut all, mut none) = (connect(), connect(), connect());
        for key in &keys {
            assert_eq!(
                call(&mut all, &format!("SET {key} {protocol}")),
                Value::ok()
            );
        }
        assert_eq!(call(&mut zero, &format!("SET {} z", keys[0])), Value::ok());
        assert_eq!(call(&mut all, "WAIT 1 0"), Value::Integer(1));
        assert_eq!(call(&mut zero, "WAIT 1 0"), Value::Integer(1));
        assert_eq!(call(&mut none, "WAIT 1 0"), Value::Integer(1));
        // One replica is stopped.
        cluster.stop(replicas[1]).expect("it stands still");
        for key in &keys {
            assert_eq!(
                call(&mut all, &format!("INCRBY {{{key}}}n 1")).integer(),
                protocol - 1
            );
        }
        assert_eq!(call(&mut all, "WAIT 1 200"), Value::Integer(0));
        assert_eq!(call(&mut all, "WAIT 0 0"), Value::Integer(0));
        assert_eq!(
            call(&mut all, "WAIT 1 200"),
            Value::Integer(0),
            "also on the second query"
        );
        // A client that wrote nothing there does not wait for it.
        assert_eq!(call(&mut zero, &format!("SET {} y", keys[0])), Value::ok());
        assert_eq!(call(&mut zero, "WAIT 1 0"), Value::Integer(1));
        // A client that waits for ever is answered when the replica continues.
        send(&mut all, "WAIT 1 0");
        until_blocked(&cluster, 1, 1);
        until_counted(&proxy, 1);
        cluster.resume(replicas[1]).expect("it goes on");
        assert_eq!(all.read(), Value::Integer(1));
        assert_eq!(call(&mut all, "WAIT 5 500"), Value::Integer(1));
    }
}

#[test]
fn writes_of_every_form_are_waited_for() {
    let cluster = calm_cluster(1);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("defaults.namespace.multi", "split");
    });
    let replica = cluster.replicas_of(1).expect("replicas")[0];
    let (here, there) = (key_on(&cluster, 0, "form"), key_on(&cluster, 1, "form"));
    let forms = [
        format!("SET {there} 1"),
        format!("MSET {here} 1 {there} 1"),
        format!("DEL {here} {there}"),
        format!("EVAL return(redis.call('SET',KEYS[1],1)) 1 {there}"),
        format!("MULTI|SET {here} 1|SET {there} 1|EXEC"),
        format!("SET {there} {}", "b".repeat(1 << 20)),
        format!("RPUSH {{{there}}}list x|BLPOP {{{there}}}list 0"),
        "FLUSHALL".to_owned(),
    ];
    for form in &forms {
        let mut client = proxy.client();
        assert_eq!(call(&mut client, "WAIT 1 0"), Value::Integer(1));
        cluster.stop(replica).expect("it stands still");
        for line in form.split('|') {
            let reply = call(&mut client, line);
            assert!(!matches!(reply, Value::Error(_)), "{reply:?}");
        }
        let form = &form[..form.len().min(60)];
        assert_eq!(call(&mut client, "WAIT 1 100"), Value::Integer(0), "{form}");
        cluster.resume(replica).expect("it goes on");
        assert_eq!(call(&mut client, "WAIT 1 0"), Value::Integer(1), "{form}");
    }
}

#[test]
fn wait_and_its_errors_are_as_in_redis() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let mut client = proxy.client();
    let mut direct = RawClient::connect(cluster.node(0).port);
    for line in [
        "WAIT 0 0",
        "WAIT 1 10",
        "WAIT x 0",
        "WAIT 0 -1",
        "WAIT 0 x",
        "WAIT 0",
        "WAITAOF 0 0 0",
    ] {
        assert_eq!(call(&mut client, line), call(&mut direct, line), "{line}");
    }
    // CLIENT UNBLOCK ends it like any other wait.
    let id = call(&mut client, "CLIENT ID").integer();
    let mut other = proxy.client();
    send(&mut client, "WAIT 1 0");
    until_counted(&proxy, 1);
    assert_eq!(
        call(&mut other, &format!("CLIENT UNBLOCK {id}")),
        Value::Integer(1)
    );
    assert_eq!(client.read(), Value::Integer(0));
    send(&mut client, "WAIT 1 0");
    until_counted(&proxy, 1);
    drop(client);
    until_counted(&proxy, 0);
    for node in 0..3 {
        until_blocked(&cluster, node, 0);
    }
}

#[test]
fn a_client_waiting_for_several_nodes_is_released_where_it_still_waits() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("server.workers", 1);
        config.set("cluster.connections.dedicated_max", 1);
    });
    let (mut waits, mut pops, mut other) = (proxy.client(), proxy.client(), proxy.client());
    let id = call(&mut waits, "CLIENT ID").integer();
    send(&mut waits, "WAIT 1 0");
    for node in 0..3 {
        until_blocked(&cluster, node, 1);
    }
    // One node has answered, and its connection now belongs to another client.
    let there = blocked_connection(&cluster, 1);
    let is_let_go: i64 = cluster
        .query(1, &["CLIENT", "UNBLOCK", &there])
        .expect("an answer");
    assert_eq!(is_let_go, 1);
    until_blocked(&cluster, 1, 0);
    let key = key_on(&cluster, 1, "used:again");
    send(&mut pops, &format!("BLPOP {key} 0"));
    until_blocked(&cluster, 1, 1);
    assert_eq!(blocked_connection(&cluster, 1), there);
    assert_eq!(
        call(&mut other, &format!("CLIENT UNBLOCK {id}")),
        Value::Integer(1)
    );
    assert_eq!(waits.read(), Value::Integer(0));
    call(&mut other, &format!("RPUSH {key} x"));
    assert_eq!(pops.read(), bulks(&[&key, "x"]));
}

#[test]
fn a_wait_that_lost_one_node_leaves_the_others_when_it_ends() {
    let cluster = calm_cluster(0);
    for leaves in [true, false] {
        let proxy = Proxy::start(&cluster, |config| config.set("server.workers", 1));
        let (mut waits, mut other) = (proxy.client(), proxy.client());
        let id = call(&mut waits, "CLIENT ID").integer();
        send(&mut waits, "WAIT 1 0");
        for node in 0..3 {
            until_blocked(&cluster, node, 1);
        }
        let there = blocked_connection(&cluster, 0);
        let killed: i64 = cluster
            .query(0, &["CLIENT", "KILL", "ID", &there])
            .expect("an answer");
        assert_eq!(killed, 1);
        poll_until(PATIENCE, "slotmux to notice", || {
            proxy.metric("slotmux_upstream_lost_total") == Some(1.0)
        });
        if leaves {
            drop(waits);
        } else {
            let unblock = format!("CLIENT UNBLOCK {id}");
            assert_eq!(call(&mut other, &unblock), Value::Integer(1));
            let reply = waits.read();
            assert!(
                reply.error().contains("may have been executed"),
                "{reply:?}"
            );
        }
        for node in 0..3 {
            until_blocked(&cluster, node, 0);
        }
    }
}

#[test]
fn a_wait_at_a_silent_node_ends_once_the_node_is_replaced() {
    let cluster = LocalCluster::start(Options {
        replicas_per_primary: 1,
        node_timeout: Duration::from_secs(2),
        ..Options::default()
    })
    .expect("a cluster");
    let proxy = Proxy::start(&cluster, |config| {
        config.set("cluster.timeouts.response", "1s");
        config.set("cluster.timeouts.command", "60s");
        config.set("cluster.topology.refresh", "500ms");
    });
    let key = key_on(&cluster, 0, "silent");
    let mut waits = proxy.client();
    assert_eq!(call(&mut waits, &format!("SET {key} 1")), Value::ok());
    send(&mut waits, "WAIT 5 0");
    until_blocked(&cluster, 0, 1);
    cluster.stop(0).expect("it stands still");
    let reply = waits.read();
    assert!(
        reply.error().contains("may have been executed"),
        "{reply:?}"
    );
    cluster.resume(0).expect("it goes on");
}

#[test]
fn wait_works_on_a_node_that_refuses_ping() {
    let cluster = calm_cluster(1);
    let proxy = Proxy::start(&cluster, |_| {});
    let key = key_on(&cluster, 0, "no:ping");
    let replica = cluster.replicas_of(0).expect("replicas")[0];
    let forbid: &[&str] = &["ACL", "SETUSER", "default", "-ping"];
    cluster.query::<()>(0, forbid).expect("it is forbidden");
    cluster
        .query::<String>(0, &["PING"])
        .expect_err("it is refused");
    for mut client in [proxy.client(), proxy.client_resp3()] {
        assert_eq!(call(&mut client, &format!("SET {key} 1")), Value::ok());
        assert_eq!(call(&mut client, "WAIT 1 0"), Value::Integer(1));
        cluster.stop(replica).expect("it stands still");
        assert_eq!(call(&mut client, &format!("SET {key} 2")), Value::ok());
        assert_eq!(call(&mut client, "WAIT 1 100"), Value::Integer(0));
        cluster.resume(replica).expect("it goes on");
        assert_eq!(call(&mut client, "WAIT 1 0"), Value::Integer(1));
    }
}
