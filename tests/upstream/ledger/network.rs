//! Faults of the network between slotmux and its nodes: connections are cut in the middle of a frame, stall, are slow,
//! or carry inserted bytes; and the password changes.

use std::time::Duration;

use slotmux::tools::demo::cluster::{LocalCluster, Options};
use toml::Table;

use crate::ledger::rig::{Ledger, Outcome, proxy};
use slotmux_testing::fault::Way;
use slotmux_testing::{
    CALM, FaultProxy, PATIENCE, Proxy, ProxyConfig, calm_cluster, poll_until, times,
};

/// Clients of the first shard, of 16.
const OF_A_SHARD: u64 = 6;

/// A cluster whose first node slotmux reaches through a network that fails.
fn faulty(configure: impl FnOnce(&mut ProxyConfig)) -> (LocalCluster, FaultProxy, Proxy) {
    let cluster = calm_cluster(0);
    let network = FaultProxy::start(cluster.node(0).port);
    let proxy = proxy(&cluster, |config| {
        let mut map = Table::new();
        let announced = format!("127.0.0.1:{}", cluster.node(0).port);
        map.insert(announced, format!("127.0.0.1:{}", network.port()).into());
        config.set("cluster.address_map", map);
        configure(config);
    });
    (cluster, network, proxy)
}

#[test]
fn connections_cut_in_mid_frame_cost_only_commands_in_flight() {
    let (outcome, _) = cut(|_| {});
    outcome.print_outages("cuts");
}

#[test]
fn repeated_writes_are_neither_lost_nor_reordered() {
    let (outcome, proxy) = cut(|config| {
        config.set("defaults.namespace.retry_writes", "idempotent");
    });
    outcome.print_outages("cuts");
    assert!(proxy.metric("slotmux_writes_repeated_total") > Some(0.0));
}

/// Cuts connections under load, which costs at most the commands in flight on them.
fn cut(configure: impl FnOnce(&mut ProxyConfig)) -> (Outcome, Proxy) {
    let (cluster, network, proxy) = faulty(configure);
    let mut ledger = Ledger::start(proxy.port(), &cluster, &[]);
    ledger.phase("cuts");
    for round in 0..times(20, 200) {
        network.cut(if round % 2 == 0 { Way::Up } else { Way::Down });
        poll_until(PATIENCE, "the cut", || network.happened() > round);
        ledger.recovered();
    }
    let outcome = ledger.finish();
    outcome.assert_clean();
    outcome.assert_no_errors("cuts", &[1, 2]);
    outcome.assert_no_more_than_in_flight("cuts", times(20, 200) as u64 * OF_A_SHARD);
    (outcome, proxy)
}

#[test]
fn inserted_bytes_end_a_connection_and_reach_no_client() {
    let (cluster, network, proxy) = faulty(|_| {});
    let mut ledger = Ledger::start(proxy.port(), &cluster, &[]);
    ledger.phase("garbage");
    let garbage: [&[u8]; 6] = [
        b"?!\r\n",
        b"\0\0\0\0",
        b"$-7\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"*1\r\n$x\r\n",
        b"*99999999999\r\n",
    ];
    for round in 0..times(10, 100) {
        network.inject(garbage[round % garbage.len()]);
        poll_until(PATIENCE, "the inserted bytes", || {
            network.happened() > round
        });
        ledger.recovered();
    }
    let outcome = ledger.finish();
    outcome.print_outages("garbage");
    outcome.assert_clean();
    outcome.assert_no_errors("garbage", &[1, 2]);
    outcome.assert_no_more_than_in_flight("garbage", times(10, 100) as u64 * OF_A_SHARD);
}

#[test]
fn a_slow_network_causes_no_errors() {
    let (cluster, network, proxy) = faulty(|_| {});
    let mut ledger = Ledger::start(proxy.port(), &cluster, &[]);
    ledger.phase("slow");
    network.delay(Duration::from_millis(50));
    (0..3).for_each(|_| ledger.recovered());
    network.delay(Duration::ZERO);
    ledger.recovered();
    let outcome = ledger.finish();
    outcome.print_outages("slow");
    outcome.assert_clean();
    outcome.assert_no_errors("slow", &[0, 1, 2]);
}

#[test]
fn a_network_that_swallows_everything_affects_only_its_own_shard() {
    let (cluster, network, proxy) = faulty(|config| {
        config.set("cluster.timeouts.response", "1s");
        config.set("cluster.connections.connect_timeout", "500ms");
        config.set("cluster.timeouts.command", "2s");
    });
    let mut ledger = Ledger::start(proxy.port(), &cluster, &[]);
    ledger.phase("swallowed");
    network.stall(true);
    poll_until(
        PATIENCE,
        "connections to be given up and not to be made again",
        || {
            proxy.metric("slotmux_upstream_lost_total") >= Some(1.0)
                && proxy.metric("slotmux_upstream_connect_failures_total") >= Some(2.0)
        },
    );
    ledger.progress(&[1, 2]);
    // The held bytes arrive now, late.
    network.stall(false);
    ledger.recovered();
    ledger.phase("after");
    ledger.recovered();
    let outcome = ledger.finish();
    outcome.print_outages("swallowed");
    outcome.assert_clean();
    outcome.assert_no_errors("swallowed", &[1, 2]);
    outcome.assert_no_errors("after", &[1, 2]);
}

#[test]
fn a_password_is_changed_under_load() {
    let cluster = LocalCluster::start(Options {
        replicas_per_primary: 0,
        node_timeout: CALM,
        password: Some("old".to_owned()),
        ..Options::default()
    })
    .expect("a cluster");
    let mut nodes: Vec<redis::Connection> = (0..3)
        .map(|node| cluster.connect(node).expect("a connection"))
        .collect();
    let mut run = |words: &[&str]| {
        for node in &mut nodes {
            let mut command = redis::Cmd::new();
            words.iter().for_each(|word| {
                command.arg(*word);
            });
            command.query::<()>(node).expect("done");
        }
    };
    let proxy = proxy(&cluster, |config| {
        config.set("cluster.password", vec!["old".to_owned(), "new".to_owned()])
    });
    run(&["ACL", "SETUSER", "default", ">new"]);
    let mut ledger = Ledger::start(proxy.port(), &cluster, &["--node-password", "new"]);
    ledger.phase("rotation");
    run(&["ACL", "SETUSER", "default", "<old"]);
    ledger.recovered();
    // Existing connections stay: only new ones need the new password.
    ledger.phase("again");
    run(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    ledger.recovered();
    let outcome = ledger.finish();
    outcome.print_outages("again");
    outcome.assert_clean();
    outcome.assert_no_errors("rotation", &[0, 1, 2]);
    outcome.assert_no_more_than_in_flight("again", outcome.count("clients"));
}
