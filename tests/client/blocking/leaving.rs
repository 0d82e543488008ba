//! Early ends of a wait: the client leaves, is killed or released, or slotmux ends.

use std::time::Duration;

use super::{bulks, call, key_on, send, until_blocked, until_counted};
use slotmux::tools::demo::cluster::LocalCluster;
use slotmux_testing::{PATIENCE, Proxy, RawClient, Value, calm_cluster, poll_until};

/// Pushes directly to the node and returns how many elements stay.
fn stays_after_push(cluster: &LocalCluster, node: usize, key: &str) -> i64 {
    let mut direct = RawClient::connect(cluster.node(node).port);
    call(&mut direct, &format!("RPUSH {key} x"));
    call(&mut direct, &format!("LLEN {key}")).integer()
}

fn id_of(client: &mut RawClient) -> String {
    call(client, "CLIENT ID").integer().to_string()
}

#[test]
fn nothing_is_popped_for_a_client_that_has_left() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let mut other = proxy.client();
    // It hangs up, half-closes, does either with commands behind the blocked one, or is killed.
    for way in ["close", "finish", "close behind", "finish behind", "kill"] {
        let key = key_on(&cluster, 0, way.split(' ').next().expect("a word"));
        let mut blocked = proxy.client();
        let id = id_of(&mut blocked);
        send(&mut blocked, &format!("BLPOP {key} 0"));
        if way.ends_with("behind") {
            let behind = "b".repeat(300 * 1024);
            send(&mut blocked, &format!("SET left {behind}"));
        }
        until_blocked(&cluster, 0, 1);
        match way {
            "kill" => {
                let killed = call(&mut other, &format!("CLIENT KILL ID {id}"));
                assert_eq!(killed, Value::Integer(1));
                assert_eq!(blocked.read_to_close(), b"");
            }
            way if way.starts_with("finish") => blocked.finish_sending(),
            _ => drop(blocked),
        }
        until_blocked(&cluster, 0, 0);
        until_counted(&proxy, 0);
        assert_eq!(stays_after_push(&cluster, 0, &key), 1, "{way}");
        call(&mut other, &format!("DEL {key}"));
        assert_eq!(call(&mut other, "EXISTS left"), Value::Integer(0), "{way}");
    }
}

#[test]
fn client_unblock_ends_a_wait_in_both_ways() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| config.set("server.workers", 3));
    let key = key_on(&cluster, 1, "let:go");
    // Clients of any worker, and each several times, so that connections are used again.
    for round in 0..6 {
        let mut other = proxy.client();
        for mut blocked in [proxy.client(), proxy.client_resp3()] {
            let id = id_of(&mut blocked);
            for (how, is_error) in [("", false), (" TIMEOUT", false), (" ERROR", true)] {
                for line in [
                    format!("BLPOP {key} 0"),
                    format!("BLMOVE {key} {{{key}}}to LEFT LEFT 100"),
                    format!("XREAD BLOCK 0 STREAMS {{{key}}}s $"),
                ] {
                    send(&mut blocked, &line);
                    until_counted(&proxy, 1);
                    let list = call(&mut other, "CLIENT LIST").text();
                    let shown = list
                        .lines()
                        .find(|line| line.starts_with(&format!("id={id} ")))
                        .expect("its line");
                    assert!(shown.contains(" flags=b "), "{shown}");
                    let unblock = format!("CLIENT UNBLOCK {id}{how}");
                    assert_eq!(
                        call(&mut other, &unblock),
                        Value::Integer(1),
                        "round {round}"
                    );
                    let reply = blocked.read();
                    if is_error {
                        let error = "UNBLOCKED client unblocked via CLIENT UNBLOCK";
                        assert_eq!(reply.error(), error);
                    } else {
                        assert_eq!(reply, Value::Null);
                    }
                    assert_eq!(call(&mut other, &unblock), Value::Integer(0));
                }
            }
            // It continues as before, and its next wait is unaffected.
            send(&mut blocked, &format!("BLPOP {key} 0"));
            until_blocked(&cluster, 1, 1);
            call(&mut other, &format!("RPUSH {key} x"));
            assert_eq!(blocked.read(), bulks(&[&key, "x"]));
        }
    }
    let mut other = proxy.client();
    for id in ["0", "-5", "987654321"] {
        let reply = call(&mut other, &format!("CLIENT UNBLOCK {id}"));
        assert_eq!(reply, Value::Integer(0));
    }
    let info = call(&mut other, "INFO clients").text();
    assert!(info.contains("blocked_clients:0"), "{info}");
}

#[test]
fn no_element_is_lost_while_clients_are_unblocked() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let key = key_on(&cluster, 2, "race");
    let (mut blocked, mut other, mut feeder) = (proxy.client(), proxy.client(), proxy.client());
    let id = id_of(&mut blocked);
    for number in 0..300 {
        send(&mut blocked, &format!("BLPOP {key} 0"));
        until_counted(&proxy, 1);
        // The order of the two is not fixed.
        send(&mut feeder, &format!("RPUSH {key} {number}"));
        send(&mut other, &format!("CLIENT UNBLOCK {id}"));
        let is_popped = blocked.read() != Value::Null;
        assert_eq!(feeder.read(), Value::Integer(1));
        let is_let_go = other.read() == Value::Integer(1);
        assert_ne!(is_popped, is_let_go, "round {number}");
        let left = call(&mut other, &format!("LPOP {key}"));
        assert_eq!(left == Value::Null, is_popped, "round {number}");
    }
}

#[test]
fn a_drain_releases_blocked_clients() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("server.drain_timeout", "60s");
    });
    let key = key_on(&cluster, 0, "drain");
    let mut blocked: Vec<RawClient> = (0..5).map(|_| proxy.client()).collect();
    for client in &mut blocked {
        send(client, &format!("BLPOP {key} 0"));
    }
    until_blocked(&cluster, 0, 5);
    proxy.terminate();
    for client in &mut blocked {
        assert!(client.read().error().starts_with("UNBLOCKED "));
        assert_eq!(client.read_to_close(), b"");
    }
    assert_eq!(proxy.wait_exit().code(), Some(0));
    assert_eq!(stays_after_push(&cluster, 0, &key), 1);
}

#[test]
fn a_client_that_leaves_between_two_nodes_is_forgotten() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("cluster.timeouts.command", "20s");
    });
    let key = key_on(&cluster, 0, "between");
    let mut blocked = proxy.client();
    send(&mut blocked, &format!("XREAD BLOCK 0 STREAMS {key} $"));
    until_blocked(&cluster, 0, 1);
    // No replica takes over: the command looks for a node until its client has gone.
    cluster.kill(0);
    poll_until(PATIENCE, "the command to wait for its node", || {
        proxy.metric("slotmux_upstream_lost_total") > Some(0.0)
    });
    assert!(!blocked.has_news(Duration::from_millis(300)));
    drop(blocked);
    until_counted(&proxy, 0);
    cluster.restart(0).expect("it is back");
    cluster.wait_ok().expect("a cluster");
    let mut other = proxy.client();
    assert_eq!(
        call(&mut other, &format!("EXISTS {key}")),
        Value::Integer(0)
    );
    until_blocked(&cluster, 0, 0);
}
