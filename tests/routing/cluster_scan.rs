//! CLUSTERSCAN of Valkey 9.1 over a cluster whose slots move.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use slotmux_core::slot::slot_of;
use slotmux_testing::{Proxy, RawClient, Value, calm_cluster};

use crate::scan::{fill, text};

/// A whole CLUSTERSCAN: the keys, and the number of pages.
fn cluster_scan(client: &mut RawClient, options: &[&str]) -> (BTreeSet<String>, usize) {
    let (mut cursor, mut found) = ("0".to_owned(), BTreeSet::new());
    for pages in 1..100_000 {
        let reply = client.call(&[&["CLUSTERSCAN", &cursor], options].concat());
        let [next, keys] = reply.items() else {
            panic!("{reply:?}")
        };
        found.extend(keys.items().iter().map(text));
        cursor = text(next);
        if cursor == "0" {
            return (found, pages);
        }
    }
    panic!("the scan does not end");
}

/// CLUSTERSCAN of Valkey 9.1: its cursor leads from node to node, and stays valid while slots move.
#[test]
fn a_cluster_scan_goes_over_all_slots() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let mut node = RawClient::connect(cluster.node(0).port);
    let mut clients = [proxy.client(), proxy.client_resp3()];
    let all = fill(&mut clients[0], "clusterscan:", 2000);
    for words in [
        &["CLUSTERSCAN", "x"][..],
        &["CLUSTERSCAN", ""],
        &["CLUSTERSCAN", "0", "FOO"],
        &["CLUSTERSCAN", "0", "SLOT", "16384"],
    ] {
        let theirs = node.call(words);
        if !theirs.error().starts_with("MOVED") {
            assert_eq!(clients[0].call(words), theirs, "{words:?}");
        }
    }
    if node.call(&["COMMAND", "INFO", "clusterscan"]).items()[0] != Value::Null {
        for client in &mut clients {
            for options in [
                &[][..],
                &["COUNT", "20"],
                &["MATCH", "clusterscan:*", "COUNT", "100"],
            ] {
                let (found, pages) = cluster_scan(client, options);
                assert_eq!(found, all, "{options:?}");
                assert!(pages > 3);
            }
            let slot = slot_of(b"clusterscan:7").0.to_string();
            let (found, _) = cluster_scan(client, &["SLOT", &slot]);
            assert!(
                found.contains("clusterscan:7") && found.len() < 100,
                "{found:?}"
            );
        }
        let moves = [(0, 0, 2), (5461, 1, 0), (10923, 2, 1), (16383, 2, 0)];
        let moved: BTreeSet<u16> = moves.iter().map(|(slot, ..)| *slot).collect();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (done, cluster) = (&done, &cluster);
            scope.spawn(move || {
                let _done = slotmux_testing::SetAtEnd(done);
                for (slot, from, to) in moves {
                    cluster.migrate_slot(slot, from, to).expect("it moves");
                    cluster.wait_owner(slot, to).expect("all nodes know it");
                }
            });
            let mut scans = 0;
            while !done.load(Ordering::Relaxed) || scans < 2 {
                let (found, _) = cluster_scan(&mut clients[0], &["COUNT", "20"]);
                let stayed = |key: &&String| !moved.contains(&slot_of(key.as_bytes()).0);
                for key in all.iter().filter(stayed) {
                    assert!(found.contains(key), "{key} is missing in scan {scans}");
                }
                scans += 1;
            }
        });
        assert_eq!(cluster_scan(&mut clients[1], &[]).0, all);
    }
    let hiding = Proxy::start(&cluster, |config| {
        config.set("defaults.namespace.unmatched", "reject");
    });
    let refused = hiding.client().call(&["CLUSTERSCAN", "0"]);
    assert!(
        refused.error().contains("SCAN leaves them out"),
        "{refused:?}"
    );
}
