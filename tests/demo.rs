//! The local clusters that everything else is tested on: formed, moved, failed over, frozen, and gone without a trace.

use std::time::Duration;

use slotmux::demo::cluster::{LocalCluster, Options, Role};
use slotmux::demo::ports::is_free;
use slotmux::demo::server::{LocalServer, ServerOptions, wait_until};
use slotmux::slot::slot_of;

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_cluster_is_whole_when_started_and_gone_when_dropped() {
    let options = Options {
        password: Some("a secret".replace(' ', "-")),
        ..Options::default()
    };
    let cluster = LocalCluster::start(options).expect("a cluster");
    let ports: Vec<u16> = cluster.nodes().iter().map(|node| node.port).collect();
    let roles: Vec<Role> = cluster.nodes().iter().map(|node| node.role).collect();
    assert_eq!(roles, [[Role::Primary; 3], [Role::Replica; 3]].concat());
    assert_eq!(
        cluster.seeds()[0],
        format!("redis://127.0.0.1:{}", ports[0])
    );
    for (slot, owner) in [
        (0, 0),
        (5460, 0),
        (5461, 1),
        (10921, 1),
        (10922, 2),
        (16383, 2),
    ] {
        assert_eq!(
            cluster.primary_of_slot(slot).expect("an owner"),
            owner,
            "slot {slot}"
        );
    }
    for primary in 0..3 {
        assert_eq!(
            cluster.replicas_of(primary).expect("replicas"),
            [primary + 3]
        );
        cluster
            .query::<()>(primary, &["PING"])
            .expect("the password is used");
    }
    drop(cluster);
    assert!(
        ports
            .iter()
            .all(|&port| is_free(port) && is_free(port + 10_000))
    );
}

#[test]
fn a_slot_moves_with_its_keys_and_can_be_held_half_way() {
    let mut cluster = LocalCluster::start(Options {
        replicas_per_primary: 0,
        ..Options::default()
    })
    .expect("a cluster");
    let slot = slot_of(b"{tag}").0;
    let from = cluster.primary_of_slot(slot).expect("an owner");
    let to = (from + 1) % 3;
    for number in 0..250 {
        cluster
            .query::<()>(
                from,
                &["SET", &format!("{{tag}}{number}"), &number.to_string()],
            )
            .expect("stored");
    }
    cluster.migrate_slot_begin(slot, from, to).expect("begun");
    assert_eq!(
        cluster
            .migrate_slot_step(slot, from, to, 40)
            .expect("a step"),
        40
    );
    let count = slot.to_string();
    assert_eq!(
        cluster
            .query::<usize>(to, &["CLUSTER", "COUNTKEYSINSLOT", &count])
            .expect("a count"),
        40
    );
    let asked = cluster
        .query::<String>(from, &["GET", "{tag}missing"])
        .expect_err("ASK");
    assert!(
        asked
            .to_string()
            .contains(&cluster.node(to).port.to_string()),
        "{asked}"
    );
    cluster
        .migrate_slot_finish(slot, from, to)
        .expect("finished");
    cluster.wait_owner(slot, to).expect("all know");
    assert_eq!(cluster.primary_of_slot(slot).expect("an owner"), to);
    assert_eq!(
        cluster
            .query::<usize>(to, &["CLUSTER", "COUNTKEYSINSLOT", &count])
            .expect("a count"),
        250
    );

    let added = cluster.add_node().expect("one more node");
    cluster.migrate_slot(slot, to, added).expect("moved on");
    assert_eq!(
        cluster
            .query::<String>(added, &["GET", "{tag}7"])
            .expect("a value"),
        "7"
    );
}

#[test]
fn primaries_die_fail_over_freeze_and_return() {
    let cluster = LocalCluster::start(Options::default()).expect("a cluster");
    cluster.failover(3).expect("asked for");
    assert_eq!(cluster.primary_of_slot(0).expect("an owner"), 3);

    cluster.kill(1);
    cluster
        .wait_for("the replica to take over", |view| {
            view.iter()
                .any(|line| line.id == cluster.node(4).id && line.owns(5461))
        })
        .expect("elected");
    cluster.restart(1).expect("back");
    cluster.wait_ok().expect("whole again");

    cluster.stop(2).expect("frozen");
    let frozen = cluster
        .node(2)
        .process
        .query_within::<String>(Duration::from_millis(50), &["PING"]);
    assert!(frozen.is_err(), "{frozen:?}");
    cluster.resume(2).expect("thawed");
    wait_until(PATIENCE, "the answer", || {
        Ok(cluster.query::<String>(2, &["PING"])? == "PONG")
    })
    .expect("answers");
}

#[test]
fn a_plain_server_takes_settings_and_a_password() {
    let server = LocalServer::start(&ServerOptions {
        password: Some("secret".to_owned()),
        extra: vec![("maxmemory".to_owned(), "64mb".to_owned())],
    })
    .expect("a server");
    let value: Vec<String> = server
        .query(&["CONFIG", "GET", "maxmemory"])
        .expect("an answer");
    assert_eq!(value, ["maxmemory", "67108864"]);
    assert!(
        server
            .query::<i64>(&["CLUSTER", "COUNTKEYSINSLOT", "0"])
            .is_err()
    );

    let wrong = ServerOptions {
        extra: vec![("no-such-setting".to_owned(), "1".to_owned())],
        ..Default::default()
    };
    let refused = LocalServer::start(&wrong).expect_err("a bad setting");
    assert!(refused.to_string().contains("no-such-setting"), "{refused}");
}
