//! Restarts of nodes: one by one as in maintenance, or all at once as in a power cut.

use std::thread;

use slotmux::tools::demo::cluster::LocalCluster;

use crate::ledger::rig::{
    Ledger, durable_cluster, fail_over, proxy, replicas_in_step, steady_cluster,
};
use slotmux_testing::{PATIENCE, poll_until};

/// Waits until a restarted node has all data.
fn in_step(cluster: &LocalCluster, node: usize) {
    poll_until(PATIENCE, "a replica to be back", || {
        let info = cluster.query::<String>(node, &["INFO", "replication"]);
        info.is_ok_and(|info| {
            info.contains("master_link_status:up") && info.contains("master_sync_in_progress:0")
        })
    });
}

#[test]
fn rolling_restarts_cause_no_error() {
    let cluster = steady_cluster();
    let proxy = proxy(&cluster, |_| {});
    let mut ledger = Ledger::start(proxy.port(), &cluster, &[]);
    ledger.phase("rolling");
    for node in 0..cluster.nodes().len() {
        let replicas = cluster.replicas_of(node).expect("a view");
        if let Some(&replica) = replicas.first() {
            fail_over(&cluster, replica);
        }
        in_step(&cluster, node);
        // On a busy machine the node may have to redirect commands that were under way to it before the failover.
        ledger.progress(&[0, 1, 2]);
        cluster.restart(node).expect("back");
        in_step(&cluster, node);
        cluster.wait_ok().expect("a whole cluster");
    }
    ledger.recovered();
    let outcome = ledger.finish();
    outcome.print_outages("rolling");
    outcome.assert_clean();
    outcome.assert_no_errors("rolling", &[0, 1, 2]);
}

#[test]
fn a_primary_that_crashes_and_comes_back_costs_commands_in_flight() {
    let cluster = durable_cluster();
    let proxy = proxy(&cluster, |_| {});
    let mut ledger = Ledger::start(proxy.port(), &cluster, &["--clients", "30"]);
    ledger.phase("crashes");
    for _ in 0..3 {
        cluster.kill(0);
        ledger.progress(&[1, 2]);
        cluster.restart(0).expect("back");
        ledger.recovered();
        ledger.progress(&[0, 1, 2]);
    }
    let outcome = ledger.finish();
    outcome.print_outages("crashes");
    outcome.assert_clean();
    outcome.assert_no_errors("crashes", &[1, 2]);
    outcome.assert_no_more_than_in_flight("crashes", 3 * 10);
}

#[test]
fn all_nodes_may_crash_at_once() {
    let cluster = durable_cluster();
    let proxy = proxy(&cluster, |_| {});
    let mut ledger = Ledger::start(proxy.port(), &cluster, &[]);
    ledger.phase("dark");
    (0..3).for_each(|node| cluster.kill(node));
    thread::scope(|scope| {
        for node in 0..3 {
            let cluster = &cluster;
            scope.spawn(move || cluster.restart(node).expect("back"));
        }
    });
    cluster.wait_ok().expect("a whole cluster");
    ledger.recovered();
    let outcome = ledger.finish();
    outcome.print_outages("dark");
    outcome.assert_clean();
    outcome.assert_no_more_than_in_flight("dark", outcome.count("clients"));
}

#[test]
fn a_crash_without_traffic_causes_no_error() {
    let cluster = durable_cluster();
    let proxy = proxy(&cluster, |_| {});
    let mut ledger = Ledger::start(proxy.port(), &cluster, &[]);
    ledger.quiesce();
    replicas_in_step(&cluster);
    ledger.phase("crash");
    cluster.kill(0);
    ledger.resume();
    ledger.progress(&[1, 2]);
    cluster.restart(0).expect("back");
    ledger.recovered();
    let outcome = ledger.finish();
    outcome.print_outages("crash");
    outcome.assert_clean();
    outcome.assert_no_errors("crash", &[0, 1, 2]);
}
