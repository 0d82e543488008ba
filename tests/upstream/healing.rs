//! EVALSHA on nodes that never saw its script, as if they were one Redis that did.

use slotmux::tools::demo::cluster::LocalCluster;
use slotmux_core::slot::slot_of;
use slotmux_testing::{Proxy, RawClient, Value, calm_cluster, shared_cluster, shared_proxy};

fn key_on(cluster: &LocalCluster, node: usize, prefix: &str) -> String {
    let is_there =
        |key: &String| cluster.primary_of_slot(slot_of(key.as_bytes()).0).ok() == Some(node);
    let mut keys = (0..).map(|i| format!("{prefix}:{i}"));
    keys.find(is_there).expect("a key")
}

/// Runs a script by EVAL on one node; returns its SHA1.
fn show(client: &mut RawClient, script: &str, key: &str) -> String {
    client.call(&["EVAL", script, "1", key]);
    let sha = client.call(&["EVAL", "return redis.sha1hex(ARGV[1])", "0", script]);
    match sha {
        Value::Bulk(sha) => String::from_utf8(sha).expect("hex"),
        other => panic!("{other:?}"),
    }
}

/// Redis adds a hint to this.
const NO_SCRIPT: &str = "NOSCRIPT No matching script.";

#[track_caller]
fn assert_no_script(reply: &Value) {
    assert!(reply.error().starts_with(NO_SCRIPT), "{reply:?}");
}

#[test]
fn a_script_run_by_one_client_runs_on_every_node() {
    let cluster = shared_cluster();
    let proxy = shared_proxy();
    let mut shows = proxy.client();
    let script = "redis.call('INCR', KEYS[1]) return 'healed'";
    let sha = show(&mut shows, script, &key_on(cluster, 0, "healed"));
    // Clients of both workers, and nodes that never saw it; pipelined behind and ahead of other commands.
    for (round, mut client) in (0..8).map(|_| proxy.client()).enumerate() {
        for node in 0..3 {
            let key = key_on(cluster, node, &format!("healed:{round}"));
            let sha = if round % 2 == 0 {
                sha.clone()
            } else {
                sha.to_uppercase()
            };
            let replies = client.pipeline(&[
                vec!["SET", &key, "5"],
                vec!["EVALSHA", &sha, "1", &key],
                vec!["INCR", &key],
                vec!["EVALSHA_RO", "0", "1", &key],
            ]);
            assert_eq!(replies[1], Value::bulk("healed"), "node {node}");
            assert_eq!(replies[2], Value::Integer(7), "order");
            assert_no_script(&replies[3]);
        }
    }
    let unknown = "0123456789012345678901234567890123456789";
    assert_no_script(&shows.call(&["EVALSHA", unknown, "0"]));
}

#[test]
fn a_script_flushed_directly_at_a_node_comes_back_and_one_flushed_through_slotmux_does_not() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let mut client = proxy.client();
    let key = key_on(&cluster, 1, "flushed");
    let sha = show(&mut client, "return 'here again'", &key);
    for _ in 0..3 {
        assert_eq!(
            client.call(&["EVALSHA", &sha, "1", &key]),
            Value::bulk("here again")
        );
        let _: () = cluster.query(1, &["SCRIPT", "FLUSH"]).expect("flushed");
    }
    assert_eq!(client.call(&["SCRIPT", "FLUSH"]), Value::ok());
    assert_no_script(&client.call(&["EVALSHA", &sha, "1", &key]));
    assert_eq!(
        client.call(&["SCRIPT", "LOAD", "return 'here again'"]),
        Value::bulk(&sha)
    );
    let exists = client.call(&["SCRIPT", "EXISTS", &sha]);
    assert_eq!(exists.items(), [Value::Integer(1)]);
    let _: () = cluster.query(1, &["SCRIPT", "FLUSH"]).expect("flushed");
    assert_eq!(
        client.call(&["EVALSHA", &sha, "1", &key]),
        Value::bulk("here again")
    );
}

#[test]
fn a_script_survives_a_failover_and_a_move_of_its_slot() {
    let cluster = calm_cluster(1);
    let proxy = Proxy::start(&cluster, |_| {});
    let mut client = proxy.client();
    let key = key_on(&cluster, 0, "over");
    let sha = show(&mut client, "return 'still'", &key);
    let call = ["EVALSHA", &sha, "1", &key];
    assert_eq!(client.call(&call), Value::bulk("still"));
    let slot = slot_of(key.as_bytes()).0;
    cluster.migrate_slot(slot, 0, 1).expect("it moves");
    let _: () = cluster.query(1, &["SCRIPT", "FLUSH"]).expect("flushed");
    assert_eq!(
        client.call(&call),
        Value::bulk("still"),
        "behind a redirect"
    );
    let replica = cluster.replicas_of(1).expect("replicas")[0];
    cluster.failover(replica).expect("a failover");
    for _ in 0..20 {
        assert_eq!(client.call(&call), Value::bulk("still"), "after a failover");
    }
}
