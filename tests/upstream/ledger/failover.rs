//! A primary is replaced: by plan, by a crash, or because it was silent for too long.

use slotmux::tools::demo::cluster::LocalCluster;
use slotmux::tools::demo::server::{LocalServer, ServerOptions};

use crate::ledger::rig::{
    Ledger, Outcome, cluster, fail_over, may_take_over, proxy, replica_of, replicas_in_step,
    steady_cluster,
};
use slotmux_testing::{PATIENCE, poll_until};

const HEALTHY: [usize; 2] = [1, 2];

/// Clients of the runs with commands in flight.
const CLIENTS: u64 = 51;

/// Waits until the first slot has another owner than the first node, as an unaffected node reports.
fn replaced(cluster: &LocalCluster) {
    let first = &cluster.node(0).id;
    poll_until(PATIENCE, "the failover to the replica", || {
        let view = cluster.view(1).expect("a view");
        view.iter().any(|line| line.owns(0) && line.id != *first)
    });
}

#[test]
fn a_planned_failover_causes_no_error() {
    let cluster = steady_cluster();
    let proxy = proxy(&cluster, |_| {});
    let mut ledger = Ledger::start(proxy.port(), &cluster, &[]);
    ledger.phase("failover");
    for _ in 0..2 {
        let primary = cluster.primary_of_slot(0).expect("an owner");
        fail_over(&cluster, replica_of(&cluster, primary));
        ledger.recovered();
        cluster.wait_ok().expect("a whole cluster");
    }
    let outcome = ledger.finish();
    outcome.print_outages("failover");
    outcome.assert_clean();
    outcome.assert_no_errors("failover", &[0, 1, 2]);
}

#[test]
fn a_crash_with_nothing_in_flight_causes_no_error() {
    let cluster = cluster(&[]);
    let proxy = proxy(&cluster, |_| {});
    let mut ledger = Ledger::start(proxy.port(), &cluster, &[]);
    // Writes that the replica lacks are lost with the primary, behind any proxy.
    ledger.quiesce();
    replicas_in_step(&cluster);
    let replica = replica_of(&cluster, 0);
    may_take_over(&cluster, replica, false);
    ledger.phase("crash");
    cluster.kill(0);
    ledger.resume();
    ledger.progress(&HEALTHY);
    may_take_over(&cluster, replica, true);
    replaced(&cluster);
    ledger.recovered();
    let outcome = ledger.finish();
    outcome.print_outages("crash");
    outcome.assert_clean();
    outcome.assert_no_errors("crash", &[0, 1, 2]);
}

/// Lost writes were acknowledged by the dead node and lost with it: a client without slotmux loses as much. They are
/// still in its file in `folder`.
fn assert_redis_had(folder: &str, outcome: &Outcome) {
    let extra = [("dir", folder), ("appendonly", "yes")];
    let dead = LocalServer::start(&ServerOptions {
        extra: extra
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        ..ServerOptions::default()
    })
    .expect("the dead node's data");
    let keys: i64 = dead.query(&["DBSIZE"]).expect("its size");
    assert!(keys > 0, "its file was not read");
    let lost: Vec<(String, String)> =
        serde_json::from_value(outcome.report["lost_writes"].clone()).expect("pairs");
    eprintln!(
        "crash: {} acknowledged writes were not replicated yet",
        outcome.count("lost")
    );
    for (key, token) in lost {
        let kind: String = dead.query(&["TYPE", &key]).expect("its type");
        let is_there = match kind.as_str() {
            "list" => dead
                .query::<Vec<String>>(&["LRANGE", &key, "0", "-1"])
                .expect("a list")
                .contains(&token),
            "hash" => dead.query(&["HEXISTS", &key, &token]).expect("a hash"),
            "string" => dead
                .query::<String>(&["GET", &key])
                .expect("a string")
                .contains(&token),
            _ => false,
        };
        assert!(
            is_there,
            "{token} of {key} was acknowledged and never ran: {}",
            outcome.report
        );
    }
}

#[test]
fn a_crash_under_load_costs_only_commands_in_flight() {
    // The file of the dead node contains its acknowledged writes.
    let cluster = cluster(&[("appendonly", "yes"), ("appendfsync", "always")]);
    let folder: (String, String) = cluster
        .query(0, &["CONFIG", "GET", "dir"])
        .expect("its folder");
    let proxy = proxy(&cluster, |_| {});
    let mut ledger = Ledger::start(proxy.port(), &cluster, &["--clients", "51"]);
    let replica = replica_of(&cluster, 0);
    may_take_over(&cluster, replica, false);
    ledger.phase("crash");
    cluster.kill(0);
    ledger.progress(&HEALTHY);
    may_take_over(&cluster, replica, true);
    replaced(&cluster);
    ledger.recovered();
    let outcome = ledger.finish();
    outcome.print_outages("crash");
    outcome.assert_no_errors("crash", &HEALTHY);
    for finding in [
        "wrong",
        "doubled",
        "ran_though_refused",
        "reordered",
        "foreign",
        "different",
        "without_ttl",
        "unreadable",
    ] {
        assert_eq!(outcome.count(finding), 0, "{finding}: {:#}", outcome.report);
    }
    assert_redis_had(&folder.1, &outcome);
    outcome.assert_connections_kept();
    outcome.assert_no_more_than_in_flight("crash", CLIENTS / 3);
}

/// The recorded outage of a node ends when the node is back, though no connection has been made to it since.
#[test]
fn a_restarted_primary_causes_no_error() {
    let cluster = cluster(&[]);
    let proxy = proxy(&cluster, |config| {
        // Its outage is longer than the deadline of a command.
        config.set("cluster.timeouts.command", "1s");
        config.set("cluster.topology.refresh", "250ms");
    });
    let mut ledger = Ledger::start(proxy.port(), &cluster, &[]);
    ledger.quiesce();
    replicas_in_step(&cluster);
    ledger.phase("crash");
    cluster.kill(0);
    ledger.resume();
    replaced(&cluster);
    ledger.recovered();
    ledger.quiesce();
    cluster.restart(0).expect("back");
    cluster.wait_ok().expect("a whole cluster");
    replicas_in_step(&cluster);
    fail_over(&cluster, 0);
    let refreshes = || {
        proxy
            .metric("slotmux_topology_refreshes_total")
            .expect("a count")
    };
    let before = refreshes();
    poll_until(PATIENCE, "slotmux to detect the change", || {
        refreshes() >= before + 3.0
    });
    ledger.phase("again");
    ledger.resume();
    ledger.recovered();
    let outcome = ledger.finish();
    outcome.print_outages("again");
    outcome.assert_clean();
    outcome.assert_no_errors("again", &[0, 1, 2]);
}

#[test]
fn a_crash_causes_no_error_for_readers() {
    let cluster = cluster(&[]);
    let proxy = proxy(&cluster, |_| {});
    let mut ledger = Ledger::start(proxy.port(), &cluster, &["--clients", "51"]);
    // The keys exist, and the replica has them.
    ledger.progress(&[0, 1, 2]);
    ledger.quiesce();
    replicas_in_step(&cluster);
    ledger.reads(100);
    ledger.phase("crash");
    ledger.resume();
    ledger.progress(&[0, 1, 2]);
    // Requests that its clients have sent by the time the others continue are in flight on it.
    let replica = replica_of(&cluster, 0);
    may_take_over(&cluster, replica, false);
    cluster.stop(0).expect("frozen");
    ledger.progress(&HEALTHY);
    cluster.kill(0);
    may_take_over(&cluster, replica, true);
    replaced(&cluster);
    ledger.recovered();
    ledger.progress(&[0, 1, 2]);
    let outcome = ledger.finish();
    outcome.print_outages("crash");
    outcome.assert_clean();
    outcome.assert_no_errors("crash", &[0, 1, 2]);
    assert_eq!(
        outcome.in_phase("crash", "acked"),
        0,
        "{:#}",
        outcome.report
    );
}

#[test]
fn a_frozen_primary_is_replaced_and_does_no_harm_when_it_returns() {
    let cluster = cluster(&[]);
    let proxy = proxy(&cluster, |config| {
        // Its replacement ends the wait for the frozen node, not these settings.
        config.set("cluster.timeouts.response", "300s");
        config.set("cluster.timeouts.command", "300s");
    });
    let mut ledger = Ledger::start(proxy.port(), &cluster, &["--clients", "51"]);
    ledger.quiesce();
    replicas_in_step(&cluster);
    let replica = replica_of(&cluster, 0);
    may_take_over(&cluster, replica, false);
    ledger.phase("frozen");
    cluster.stop(0).expect("frozen");
    ledger.resume();
    ledger.progress(&HEALTHY);
    may_take_over(&cluster, replica, true);
    replaced(&cluster);
    ledger.recovered();
    // Requests still in its socket were given up: it may run them when it wakes up, and loses them again.
    ledger.quiesce();
    ledger.resume();
    ledger.phase("back");
    cluster.resume(0).expect("awake");
    cluster.wait_ok().expect("a whole cluster");
    ledger.recovered();
    let outcome = ledger.finish();
    outcome.print_outages("frozen");
    outcome.assert_clean();
    outcome.assert_no_errors("frozen", &HEALTHY);
    outcome.assert_no_more_than_in_flight("frozen", CLIENTS / 3);
    // All requests sent to it were in flight on it.
    assert!(outcome.in_phase("frozen", "unknown") > 0);
    outcome.assert_no_errors("back", &[0, 1, 2]);
}
