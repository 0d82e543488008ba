//! Slots that move, nodes that die, limits and stops.

use std::net::TcpListener;
use std::thread;
use std::time::Instant;

use slotmux::tools::audit::AuditError;

use crate::audit::*;
use slotmux_testing::{PATIENCE, calm_cluster, poll_until};

fn json(report: &Report) -> serde_json::Value {
    serde_json::from_str(&report.json().expect("JSON")).expect("JSON")
}

#[test]
fn keys_of_a_moving_slot_are_found_and_repaired_where_they_are() {
    let (_turn, cluster) = empty_cluster();
    let slot = slot_of(b"{moving}").0;
    let from = home("{moving}");
    let to = (from + 1) % 3;
    let mut config = config_of(cluster);
    config.namespaces.push(namespace(
        "moving",
        &["{moving}"],
        Ttl {
            default: Some(HOUR),
            ..Ttl::default()
        },
    ));
    store(cluster, &many("{moving}", 300, None));
    cluster.migrate_slot_begin(slot, from, to).expect("begun");
    let moved = cluster
        .migrate_slot_step(slot, from, to, 120)
        .expect("moved some");
    assert_eq!(moved, 120);
    // The new owner lists the keys that it has and answers MOVED for them; the old one then answers ASK.
    let report = run(&config, &repair());
    cluster
        .migrate_slot_finish(slot, from, to)
        .expect("finished");
    cluster.wait_owner(slot, to).expect("all know");
    assert!(report.is_complete(), "{:?}", report.problems());
    let tally = tally(&report, "moving");
    assert_eq!((tally.keys, tally.to_set, tally.set), (300, 300, 300));
    for i in 0..300 {
        let key = format!("{{moving}}{i}");
        let ttl: i64 = cluster.query(to, &["PTTL", &key]).expect("a TTL");
        assert!(ttl > 0, "{key}: {ttl}");
    }
    cluster.migrate_slot(slot, to, from).expect("back home");
    cluster.wait_owner(slot, from).expect("all know");
}

#[test]
fn slots_that_move_meanwhile_are_reported() {
    let (_turn, cluster) = empty_cluster();
    store(cluster, &many("free*[1]:", 300, None));
    let options = Options {
        rate: Some(50),
        ..Options::default()
    };
    let slot = slot_of(b"{none}").0;
    let (from, to) = (home("{none}"), (home("{none}") + 1) % 3);
    let progress = ProgressBar::hidden();
    let report = thread::scope(|scope| {
        scope.spawn(|| {
            poll_until(PATIENCE, "the first keys", || progress.position() > 0);
            cluster.migrate_slot(slot, from, to).expect("moved");
            cluster.wait_owner(slot, to).expect("all know");
        });
        let stop = CancellationToken::new();
        audit::run(&config_of(cluster), &options, progress.clone(), stop).expect("a report")
    });
    cluster.migrate_slot(slot, to, from).expect("back home");
    cluster.wait_owner(slot, from).expect("all know");
    assert_eq!((report.keys, report.slots_moved), (300, 1));
    assert!(report.is_complete());
    let problems = report.problems().join("\n");
    assert!(problems.contains("1 slots moved"), "{problems}");
}

#[test]
fn a_lost_node_is_named_and_the_others_are_complete() {
    let cluster = calm_cluster(0);
    seed(&cluster);
    let config = config_of(&cluster);
    let all: Vec<u64> = run(&config, &dry_run())
        .nodes
        .iter()
        .map(|node| node.keys)
        .collect();
    let lost = format!("127.0.0.1:{}", cluster.node(1).port);

    // In the middle of its walk.
    let options = Options {
        rate: Some(1_500),
        ..Options::default()
    };
    let progress = ProgressBar::hidden();
    let report = thread::scope(|scope| {
        scope.spawn(|| {
            poll_until(PATIENCE, "the first keys", || progress.position() >= 600);
            cluster.kill(1);
        });
        let stop = CancellationToken::new();
        audit::run(&config, &options, progress.clone(), stop).expect("a report")
    });
    assert_eq!((report.status(), report.is_complete()), (1, false));
    for (node, &keys) in report.nodes.iter().zip(&all) {
        if node.node.to_string() == lost {
            assert!(
                node.error.is_some() && (1..keys).contains(&node.keys),
                "{node:?}"
            );
        } else {
            assert!(node.is_complete && node.keys == keys, "{node:?}");
        }
    }

    // Before it.
    let report = run(&config, &dry_run());
    assert_eq!(report.status(), 1);
    let problems = report.problems().join("\n");
    assert!(problems.starts_with(&format!("{lost}: ")), "{problems}");
    let keys: u64 = report.nodes.iter().map(|node| node.keys).sum();
    assert_eq!(keys, report.keys);
    let json = json(&report);
    assert_eq!(
        (&json["complete"], &json["interrupted"]),
        (&false.into(), &false.into())
    );
}

#[test]
fn the_rate_is_a_limit() {
    let server = server_with(900);
    let options = Options {
        rate: Some(600),
        ..Options::default()
    };
    let started = Instant::now();
    let report = run(&config([server.port()]), &options);
    // The walk waits for budget after every batch but the last; a batch is the budget of a tenth of a second. A busy
    // machine ends later, never earlier.
    let least = Duration::from_millis(1_200);
    assert!(started.elapsed() >= least, "{:?}", started.elapsed());
    assert_eq!((report.keys, report.status()), (900, 3));
}

#[test]
fn a_stop_midway_reports_the_counts_so_far() {
    let server = server_with(20_000);
    let config = config([server.port()]);
    let options = Options {
        rate: Some(2_000),
        repair: true,
        ..Options::default()
    };
    let stop = CancellationToken::new();
    let progress = ProgressBar::hidden();
    let report = thread::scope(|scope| {
        scope.spawn(|| {
            poll_until(PATIENCE, "the first keys", || progress.position() >= 500);
            stop.cancel();
        });
        audit::run(&config, &options, progress.clone(), stop.clone()).expect("a report")
    });
    assert!((500..20_000).contains(&report.keys), "{}", report.keys);
    assert!(report.is_interrupted && !report.is_complete());
    assert_eq!(report.status(), 130);
    assert_eq!(json(&report)["complete"], false);
    assert!(report.table().contains("PARTIAL"), "{}", report.table());
    // Exactly the keys counted as repaired are repaired.
    let info: String = server.query(&["INFO", "keyspace"]).expect("INFO");
    let repaired = tally(&report, "cache").set;
    assert_eq!(repaired, report.keys);
    assert!(info.contains(&format!("expires={repaired},")), "{info}");
}

#[test]
fn a_stop_before_the_first_answer_counts_as_a_stop() {
    // Accepts connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let stop = CancellationToken::new();
    stop.cancel();
    let config = config([port]);
    let report = audit::run(&config, &dry_run(), ProgressBar::hidden(), stop).expect("a report");
    assert_eq!((report.keys, report.status()), (0, 130));
}

#[test]
fn no_upstream_is_an_error() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    let config = config([server.port()]);
    server.kill();
    let stop = CancellationToken::new();
    let error =
        audit::run(&config, &dry_run(), ProgressBar::hidden(), stop).expect_err("no upstream");
    assert!(matches!(error, AuditError::Discover(_)), "{error}");
}
