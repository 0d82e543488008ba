//! The counts and repairs of a whole walk.

use std::collections::HashSet;

use crate::audit::*;
use slotmux_testing::PATIENCE;

#[test]
fn a_dry_run_counts_every_key_and_changes_none() {
    let (_turn, cluster) = empty_cluster();
    seed(cluster);
    let report = run(&config_of(cluster), &dry_run());
    assert!(report.is_complete(), "{:?}", report.problems());
    assert_eq!((report.keys, report.nodes.len()), (3_420, 3));
    let per_node: u64 = report.nodes.iter().map(|node| node.keys).sum();
    assert_eq!(per_node, 3_420);

    let cache = tally(&report, "cache");
    assert_eq!((cache.keys, cache.without_ttl), (2_250, 1_500));
    assert_eq!((cache.to_set, cache.to_cut), (1_500, 40));
    assert_eq!(cache.remaining, [10, 700, 0, 40, 0, 0]);
    let longest = cache.longest.expect("a TTL");
    let three_days = (3 * DAY).as_millis() as u64;
    assert!(
        longest <= three_days && longest > three_days - PATIENCE.as_millis() as u64 * 4,
        "{longest}"
    );
    let sessions = tally(&report, "sessions");
    assert_eq!(
        (sessions.keys, sessions.to_set, sessions.to_cut),
        (500, 200, 300)
    );
    let watched = tally(&report, "watched");
    assert_eq!((watched.to_set, watched.to_cut), (150, 20));
    assert_eq!(watched.remaining, [0, 0, 0, 0, 0, 20]);
    let free = tally(&report, "free");
    assert_eq!((free.keys, free.without_ttl, free.to_set), (100, 100, 0));
    let unmatched = tally(&report, "");
    assert_eq!(
        (unmatched.keys, unmatched.remaining),
        (400, [0, 0, 0, 350, 50, 0])
    );

    // Keys of observed namespaces are not violations.
    assert_eq!((report.violations(), report.status()), (2_040, 3));
    assert_eq!(pttl(cluster, "cache:1"), -1);
    assert!(pttl(cluster, "sess:1") > (90 * MINUTE).as_millis() as i64);
}

#[test]
fn repairs_are_spread_and_final() {
    let (_turn, cluster) = empty_cluster();
    seed(cluster);
    let config = config_of(cluster);
    let report = run(&config, &repair());
    assert!(report.is_complete(), "{:?}", report.problems());
    assert_eq!(report.status(), 0);
    let cache = tally(&report, "cache");
    assert_eq!((cache.set, cache.cut, cache.moot), (1_500, 40, 0));
    let sessions = tally(&report, "sessions");
    assert_eq!((sessions.set, sessions.cut), (200, 300));
    let watched = tally(&report, "watched");
    assert_eq!((watched.set, watched.cut), (0, 0));

    let slack = 4 * PATIENCE.as_millis() as i64;
    let within = |prefix: &str, count: usize, low: Duration, high: Duration| {
        let (low, high) = (low.as_millis() as i64, high.as_millis() as i64);
        let ttls: Vec<i64> = (0..count)
            .map(|i| pttl(cluster, &format!("{prefix}{i}")))
            .collect();
        for ttl in &ttls {
            assert!((low - slack..=high).contains(ttl), "{prefix}: {ttl}");
        }
        ttls.iter().collect::<HashSet<_>>().len()
    };
    // 10 % to both sides of the default, 10 % below a maximum; hardly two keys expire in the same millisecond.
    assert!(within("cache:", 300, 54 * MINUTE, 66 * MINUTE) > 290);
    assert!(within("cache:long:", 40, DAY * 9 / 10, DAY) > 35);
    assert!(within("cache:session:", 200, 27 * MINUTE, 30 * MINUTE) > 190);
    within("sess:", 300, 27 * MINUTE, 30 * MINUTE);
    // Keys that obeyed their policy, or have no enforced one, are unchanged.
    within("cache:ok:", 50, 30 * MINUTE, 30 * MINUTE);
    assert_eq!(pttl(cluster, "watched:1"), -1);
    assert_eq!(pttl(cluster, "free*[1]:1"), -1);
    assert!(pttl(cluster, "other:1") > (4 * DAY).as_millis() as i64);

    let first = pttl(cluster, "cache:1");
    let again = run(&config, &repair());
    for name in ["cache", "sessions"] {
        let tally = tally(&again, name);
        assert_eq!(
            (tally.to_set, tally.to_cut, tally.set, tally.cut),
            (0, 0, 0, 0)
        );
    }
    assert_eq!(again.status(), 0);
    assert!(pttl(cluster, "cache:1") <= first, "never longer");
}

#[test]
fn a_single_namespace() {
    let (_turn, cluster) = empty_cluster();
    seed(cluster);
    let config = config_of(cluster);
    // One prefix with glob characters, and two prefixes, one of them inside another namespace's.
    for (name, keys) in [("free", 100), ("sessions", 500), ("cache", 2_250)] {
        let options = Options {
            namespace: Some(name.to_owned()),
            ..Options::default()
        };
        let report = run(&config, &options);
        assert_eq!(report.keys, keys, "{name}");
        assert_eq!(report.rows.len(), 1);
        assert_eq!(tally(&report, name).keys, keys);
    }
}
