//! Connections that break, slots that move, primaries that change: clients that read there get an invalidation.

use std::time::Duration;

use slotmux::tools::demo::cluster::{LocalCluster, Options};
use slotmux_core::slot::slot_of;

use super::{
    expect_all_forgotten, expect_invalidation, expect_silence, keys_of, read_at_last, tracking,
};
use slotmux_testing::{PATIENCE, Proxy, RawClient, Value, calm_cluster, poll_until};

fn home(cluster: &LocalCluster, key: &str) -> usize {
    let slot = slot_of(key.as_bytes()).0;
    cluster.primary_of_slot(slot).expect("an owner")
}

/// Asserts that reads are tracked, eventually: after a fault the first reads may be invalidated at once.
#[track_caller]
fn expect_tracking(client: &mut RawClient, writer: &mut RawClient, key: &str) {
    for _ in 0..3 {
        read_at_last(client, key);
        if !client.has_news(Duration::from_millis(50)) {
            assert_eq!(writer.call(&["SET", key, "1"]), Value::ok());
            return expect_invalidation(client, key);
        }
        client.read();
    }
    panic!("{key} is not tracked");
}

#[test]
fn a_client_whose_lane_broke_forgets_everything() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let mut client = tracking(&proxy, &[]);
    let mut elsewhere = tracking(&proxy, &[]);
    let mut writer = proxy.client();
    let node = home(&cluster, "a");
    let far = ["b", "c", "d", "e"]
        .into_iter()
        .find(|key| home(&cluster, key) != node)
        .expect("another node");
    for _ in 0..3 {
        client.call(&["GET", "a"]);
        elsewhere.call(&["GET", far]);
        let kill = ["CLIENT", "KILL", "TYPE", "normal"];
        cluster.query::<()>(node, &kill).expect("killed");
        expect_all_forgotten(&mut client);
        // Afterwards everything is as before.
        expect_tracking(&mut client, &mut writer, "a");
        expect_silence(&mut elsewhere, far);
        writer.call(&["SET", far, "1"]);
        expect_invalidation(&mut elsewhere, far);
    }
}

#[test]
fn a_slot_that_moves_takes_the_tracking_along() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let mut client = tracking(&proxy, &[]);
    let mut writer = proxy.client();
    let slot = slot_of(b"{m}k").0;
    let from = home(&cluster, "{m}k");
    let to = (from + 1) % 3;
    writer.call(&["SET", "{m}k", "1"]);
    client.call(&["GET", "{m}k"]);
    // The key never existed: no node reports it when the slot moves.
    client.call(&["GET", "{m}never"]);
    cluster.migrate_slot_begin(slot, from, to).expect("opened");
    while cluster
        .migrate_slot_step(slot, from, to, 10)
        .expect("moved")
        > 0
    {}
    expect_invalidation(&mut client, "{m}k");
    // During the move, by an ASK: the read can't be tracked there, and is invalidated after the reply.
    assert_eq!(client.call(&["GET", "{m}k"]), Value::bulk("1"));
    expect_invalidation(&mut client, "{m}k");
    cluster
        .migrate_slot_finish(slot, from, to)
        .expect("finished");
    // By a MOVED: the same, and values read at the old node are invalid.
    client.send(&["GET", "{m}k"]);
    let mut told = Vec::new();
    let mut is_read = false;
    while !(is_read
        && ["{m}k", "{m}never"]
            .iter()
            .all(|key| told.iter().any(|told| told == key)))
    {
        match client.read() {
            push @ Value::Push(_) => told.extend(keys_of(&push).expect("single keys")),
            value => is_read = value == Value::bulk("1"),
        }
    }
    expect_tracking(&mut client, &mut writer, "{m}k");
    expect_tracking(&mut client, &mut writer, "{m}never");
}

#[test]
fn a_failover_invalidates_reads_from_the_old_primary() {
    let cluster = LocalCluster::start(Options {
        replicas_per_primary: 1,
        ..Options::default()
    })
    .expect("a cluster");
    let proxy = Proxy::start(&cluster, |config| {
        // Only the nodes themselves report a change.
        config.set("cluster.topology.refresh", "1h");
    });
    let mut client = tracking(&proxy, &[]);
    let mut writer = proxy.client();
    writer.call(&["SET", "f", "1"]);
    client.call(&["GET", "f"]);
    let old = home(&cluster, "f");
    let replica = cluster.replicas_of(old).expect("replicas")[0];
    poll_until(PATIENCE, "the value to be copied", || {
        let info: String = cluster
            .query(replica, &["INFO", "replication"])
            .expect("info");
        info.contains("master_link_status:up")
    });
    cluster.failover(replica).expect("a failover");
    // slotmux does not know of it yet. The old primary gets the change as a replica, and reports it.
    poll_until(PATIENCE, "the new primary to accept the write", || {
        cluster.query::<()>(replica, &["SET", "f", "2"]).is_ok()
    });
    assert!(matches!(client.read(), Value::Push(_)));
    assert_eq!(read_at_last(&mut client, "f"), Value::bulk("2"));
    expect_tracking(&mut client, &mut writer, "f");
    // Then a primary that dies.
    client.call(&["GET", "f"]);
    cluster.kill(replica);
    expect_all_forgotten(&mut client);
    expect_tracking(&mut client, &mut writer, "f");
}
