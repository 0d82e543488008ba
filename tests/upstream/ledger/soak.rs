//! One cluster, one slotmux, one load, and all faults in turn while clients come and go: one round in every test run,
//! or `SLOTMUX_SOAK_MINUTES` with `scripts/soak`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use slotmux::tools::demo::cluster::LocalCluster;

use crate::ledger::rig::{
    Ledger, Outcome, cluster, fail_over, may_take_over, replica_of, replicas_in_step, usual,
};
use slotmux_testing::{PATIENCE, Proxy, RawClient, SetAtEnd, Value, poll_until};

/// Duration of the run.
const MINUTES: &str = "SLOTMUX_SOAK_MINUTES";

/// Requests per second, so that the keys of a long run fit into memory.
const RATE: &str = "3000";

/// Clients that connect, send and leave, one after the other, some without waiting for the reply.
fn churn(port: u16, stop: &AtomicBool, connects: &AtomicUsize) {
    while !stop.load(Ordering::Relaxed) {
        let mut client = RawClient::connect(port);
        if connects.fetch_add(1, Ordering::Relaxed).is_multiple_of(3) {
            client.send(&["GET", "churn"]);
        } else {
            assert_eq!(client.call(&["PING", "churn"]), Value::bulk("churn"));
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// A little more than four times the node timeout. When a primary died right after its planned failover, a replica of
/// Redis 7.0 was seen to win without a new vote, with the epoch of the dead one, and no node gave it the slots.
const ELECTION_IS_OVER: Duration = Duration::from_secs(10);

/// Shards without a fault.
const OTHERS: [usize; 2] = [1, 2];

/// The primary of the first slot.
fn primary(cluster: &LocalCluster) -> usize {
    cluster.primary_of_slot(0).expect("an owner")
}

/// Ends a primary when its replica has everything, and starts it again as its successor's replica.
fn crash(cluster: &LocalCluster, ledger: &mut Ledger) {
    let dead = primary(cluster);
    ledger.quiesce();
    replicas_in_step(cluster);
    let replica = replica_of(cluster, dead);
    may_take_over(cluster, replica, false);
    cluster.kill(dead);
    ledger.resume();
    ledger.progress(&OTHERS);
    may_take_over(cluster, replica, true);
    poll_until(PATIENCE, "the failover to the replica", || {
        primary(cluster) != dead
    });
    ledger.recovered();
    cluster.restart(dead).expect("back");
}

/// Freezes a primary for less time than a failover needs.
fn freeze(cluster: &LocalCluster, ledger: &mut Ledger) {
    let node = primary(cluster);
    let replica = replica_of(cluster, node);
    may_take_over(cluster, replica, false);
    cluster.stop(node).expect("frozen");
    ledger.progress(&OTHERS);
    cluster.resume(node).expect("awake");
    ledger.recovered();
    cluster.wait_ok().expect("a whole cluster");
    may_take_over(cluster, replica, true);
}

fn plan(cluster: &LocalCluster, ledger: &mut Ledger) {
    fail_over(cluster, replica_of(cluster, primary(cluster)));
    ledger.recovered();
    thread::sleep(ELECTION_IS_OVER);
}

/// Moves a few slots to another shard and back.
fn move_slots(cluster: &LocalCluster, ledger: &mut Ledger) {
    let (home, other) = (
        primary(cluster),
        cluster.primary_of_slot(16383).expect("an owner"),
    );
    for slot in 0..20 {
        for (from, to) in [(home, other), (other, home)] {
            cluster.migrate_slot(slot, from, to).expect("moved");
            cluster.wait_owner(slot, to).expect("known");
        }
    }
    ledger.recovered();
}

/// Ends all connections of clients, which includes slotmux.
fn hang_up(cluster: &LocalCluster, ledger: &mut Ledger) {
    for node in 0..cluster.nodes().len() {
        let killed =
            cluster.query::<i64>(node, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        assert!(killed.is_ok(), "{killed:?}");
    }
    ledger.recovered();
}

type Fault = fn(&LocalCluster, &mut Ledger);

const FAULTS: [(&str, Fault); 5] = [
    ("crash", crash),
    ("freeze", freeze),
    ("failover", plan),
    ("slots", move_slots),
    ("hang-up", hang_up),
];

#[test]
fn soak() {
    let minutes = std::env::var(MINUTES).map_or(0.0, |text| {
        text.parse::<f64>().expect("a number of minutes")
    });
    let until = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    let cluster = cluster(&[]);
    // The recovery times at the end are those of users.
    let proxy = Proxy::start(&cluster, usual);
    let (stop, connects) = (AtomicBool::new(false), AtomicUsize::new(0));
    let outcome = thread::scope(|scope| {
        let _stop = SetAtEnd(&stop);
        for _ in 0..4 {
            scope.spawn(|| churn(proxy.port(), &stop, &connects));
        }
        let mut ledger =
            Ledger::start(proxy.port(), &cluster, &["--clients", "24", "--rate", RATE]);
        let mut round = 0;
        while round == 0 || Instant::now() < until {
            round += 1;
            for (name, fault) in FAULTS {
                ledger.phase(&format!("{name} {round}"));
                fault(&cluster, &mut ledger);
                // All clients, before the next fault.
                ledger.progress(&[0, 1, 2]);
                cluster.wait_ok().expect("a whole cluster");
                replicas_are_back(&cluster);
            }
            let memory = proxy.rss() / 1024 / 1024;
            eprintln!(
                "soak: round {round} done, {} connections came and went, {memory} MiB",
                connects.load(Ordering::Relaxed)
            );
        }
        ledger.finish()
    });
    outcome.assert_clean();
    assert_eq!(proxy.metric("slotmux_panics_total"), Some(0.0));
    eprintln!(
        "soak: CLEAN. {} writes acknowledged, {} refused, {} of unknown fate, {} reads failed; 0 wrong, 0 lost, 0 doubled",
        outcome.count("acked"),
        outcome.count("refused"),
        outcome.count("unknown"),
        outcome.count("read_errors"),
    );
    eprintln!("soak: errors {:#}", outcome.report["errors"]);
    for (fault, _) in FAULTS {
        print_recovery(&outcome, fault);
    }
    for phase in outcome.report["phases"].as_array().into_iter().flatten() {
        if phase["errors"]
            .as_object()
            .is_some_and(|errors| !errors.is_empty())
        {
            eprintln!("soak: {}: {}", phase["name"], phase["errors"]);
        }
    }
}

/// Prints the longest wait of clients in the rounds of a fault, and the longest direct outage of a shard.
fn print_recovery(outcome: &Outcome, fault: &str) {
    let most = |of: &Json, figure: &str| {
        let phases = of["phases"].as_array().into_iter().flatten();
        let rounds = phases.filter(|phase| {
            let name = phase["name"].as_str().unwrap_or_default();
            name.starts_with(fault)
        });
        let shards = rounds.flat_map(|phase| phase["shards"].as_array().into_iter().flatten());
        shards.filter_map(|shard| shard[figure].as_i64()).max()
    };
    let [ours, direct, over] = [
        most(&outcome.report, "longest_wait_ms"),
        most(&outcome.report["control"], "longest_gap_ms"),
        most(&outcome.report, "over_direct_ms"),
    ]
    .map(|figure| figure.expect("a figure of each"));
    eprintln!(
        "soak: {fault}: clients waited {ours} ms at most, a shard was unavailable for {direct} ms at most; in the same round {over:+} ms at most"
    );
}

/// Waits until every primary has its replica again, so that the next fault meets a complete cluster.
fn replicas_are_back(cluster: &LocalCluster) {
    poll_until(PATIENCE, "the replicas to be up", || {
        (0..cluster.nodes().len()).all(|node| is_in_place(cluster, node))
    });
}

/// Whether a node is a primary with its replica or the other way round.
fn is_in_place(cluster: &LocalCluster, node: usize) -> bool {
    let info = cluster.query::<String>(node, &["INFO", "replication"]);
    info.is_ok_and(|info| {
        let with = if info.contains("role:master") {
            "connected_slaves:1"
        } else {
            "master_link_status:up"
        };
        info.contains(with)
    })
}
