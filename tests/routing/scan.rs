//! SCAN as if it were one Redis: every key at least once, for any page size, proxy and placement of the slots.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_core::slot::slot_of;
use slotmux_testing::{Layout, Peer, Proxy, RawClient, Step, Value, calm_cluster, shared_proxy};

/// The text of a bulk string.
pub fn text(value: &Value) -> String {
    match value {
        Value::Bulk(bytes) => String::from_utf8(bytes.clone()).expect("text"),
        other => panic!("{other:?} is not a bulk string"),
    }
}

/// One page: the next cursor and the keys.
fn page(client: &mut RawClient, cursor: &str, options: &[&str]) -> (String, Vec<String>) {
    let reply = client.call(&[&["SCAN", cursor], options].concat());
    let items = reply.items();
    assert_eq!(items.len(), 2, "{reply:?}");
    let next = text(&items[0]);
    assert!(next.parse::<i64>().is_ok_and(|next| next >= 0), "{next}");
    (next, items[1].items().iter().map(text).collect())
}

/// A whole scan, page by page through these clients in turn: each key with its number of occurrences.
fn scan(clients: &mut [RawClient], options: &[&str]) -> BTreeMap<String, usize> {
    let (mut cursor, mut found) = ("0".to_owned(), BTreeMap::new());
    for turn in 0..100_000 {
        let at = turn % clients.len();
        let (next, keys) = page(&mut clients[at], &cursor, options);
        for key in keys {
            *found.entry(key).or_insert(0) += 1;
        }
        if next == "0" {
            return found;
        }
        cursor = next;
    }
    panic!("the scan does not end");
}

/// Sets keys with this prefix, and returns them.
pub fn fill(client: &mut RawClient, prefix: &str, count: usize) -> BTreeSet<String> {
    let keys: BTreeSet<String> = (0..count).map(|i| format!("{prefix}{i}")).collect();
    let sets: Vec<Vec<String>> = keys
        .iter()
        .map(|key| vec!["SET".to_owned(), key.clone(), "1".to_owned()])
        .collect();
    for reply in client.pipeline(&sets) {
        assert_eq!(reply, Value::ok());
    }
    keys
}

fn keys_of(found: BTreeMap<String, usize>) -> BTreeSet<String> {
    found.into_keys().collect()
}

#[test]
fn a_scan_finds_all_keys_with_any_page_size_through_any_proxy() {
    let cluster = calm_cluster(0);
    let proxies = [
        Proxy::start(&cluster, |_| {}),
        Proxy::start(&cluster, |_| {}),
    ];
    let mut clients = [
        proxies[0].client(),
        proxies[1].client_resp3(),
        proxies[0].client_resp3(),
        proxies[1].client(),
    ];
    assert!(scan(&mut clients, &[]).is_empty());
    let mut all = fill(&mut clients[0], "scan:", 3000);
    let matching = fill(&mut clients[0], "match:", 200);
    all.extend(matching.iter().cloned());
    for options in [
        &[][..],
        &["COUNT", "1"],
        &["COUNT", "7"],
        &["count", "1000"],
    ] {
        assert_eq!(keys_of(scan(&mut clients, options)), all, "{options:?}");
    }
    let found = scan(&mut clients[..1], &["COUNT", "100000"]);
    assert!(found.values().all(|times| *times == 1));
    assert_eq!(keys_of(found), all);
    assert_eq!(
        keys_of(scan(&mut clients, &["MATCH", "match:*", "COUNT", "50"])),
        matching
    );
    clients[0].call(&["SADD", "match:set", "a"]);
    assert_eq!(
        keys_of(scan(&mut clients, &["MATCH", "match:*", "TYPE", "set"])),
        BTreeSet::from(["match:set".to_owned()])
    );
    all.insert("match:set".to_owned());

    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut writer = proxies[0].client();
        let stop = &stop;
        scope.spawn(move || {
            for i in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let key = format!("other:{}", i % 5000);
                writer.call(&["SET", &key, "1"]);
                writer.call(&["DEL", &format!("other:{}", i % 4999)]);
            }
        });
        let _stop = slotmux_testing::SetAtEnd(stop);
        for _ in 0..5 {
            let found = keys_of(scan(&mut clients, &["COUNT", "20"]));
            assert!(all.iter().all(|key| found.contains(key)));
        }
    });
}

#[test]
fn unmoved_keys_are_found_while_slots_move() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("cluster.topology.refresh", "1s")
    });
    let other = Proxy::start(&cluster, |config| {
        config.set("cluster.topology.refresh", "1s")
    });
    let mut clients = [proxy.client(), other.client()];
    let all = fill(&mut clients[0], "moving:", 2000);
    // The lowest slot of the first shard goes to the last one, which comes before the second from then on, and slots of
    // all shards move around.
    let moves = [
        (0, 0, 2),
        (5461, 1, 0),
        (10923, 2, 1),
        (1, 0, 1),
        (2, 0, 2),
        (16383, 2, 0),
    ];
    let moved: BTreeSet<u16> = moves.iter().map(|(slot, ..)| *slot).collect();
    let stayed = |key: &&String| !moved.contains(&slot_of(key.as_bytes()).0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (done, cluster) = (&done, &cluster);
        scope.spawn(move || {
            let _done = slotmux_testing::SetAtEnd(done);
            for (slot, from, to) in moves {
                cluster.migrate_slot(slot, from, to).expect("it moves");
                cluster.wait_owner(slot, to).expect("all nodes know it");
                std::thread::sleep(std::time::Duration::from_millis(300));
            }
        });
        let mut scans = 0;
        while !done.load(Ordering::Relaxed) || scans < 3 {
            let found = scan(&mut clients, &["COUNT", "20"]);
            for key in all.iter().filter(stayed) {
                assert!(found.contains_key(key), "{key} is missing in scan {scans}");
            }
            scans += 1;
        }
    });
    assert_eq!(keys_of(scan(&mut clients, &[])), all);
}

#[test]
fn a_shard_whose_lowest_slot_falls_behind_the_scan_is_not_skipped() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("cluster.topology.refresh", "300ms")
    });
    let mut client = proxy.client();
    let all = fill(&mut client, "behind:", 900);
    let mut cursor = "0".to_owned();
    let mut found = BTreeSet::new();
    // Into the second shard: its slots begin at 5461.
    loop {
        let (next, keys) = page(&mut client, &cursor, &["COUNT", "50"]);
        found.extend(keys);
        cursor = next;
        let number: u64 = cursor.parse().expect("a number");
        if number >> 16 & 0x3fff == 5461 {
            break;
        }
    }
    cluster.migrate_slot(3, 0, 2).expect("it moves");
    cluster.wait_owner(3, 2).expect("all nodes know it");
    slotmux_testing::poll_until(
        slotmux_testing::PATIENCE,
        "slotmux to know the change",
        || proxy.log().contains("1 slots moved"),
    );
    while cursor != "0" {
        let (next, keys) = page(&mut client, &cursor, &["COUNT", "50"]);
        found.extend(keys);
        cursor = next;
    }
    assert_eq!(found, all);
}

#[test]
fn a_restarted_node_is_scanned_again() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let mut client = proxy.client();
    let all = fill(&mut client, "again:", 900);
    let (cursor, first) = page(&mut client, "0", &["COUNT", "100"]);
    let owner = cluster.primary_of_slot(0).expect("an owner");
    let _: () = cluster.query(owner, &["SAVE"]).expect("saved");
    cluster.kill(owner);
    cluster.restart(owner).expect("it is back");
    cluster.wait_ok().expect("a cluster");
    let mut found: BTreeSet<String> = first.iter().cloned().collect();
    let (mut cursor, mut came) = (cursor, Vec::new());
    while cursor != "0" {
        let (next, keys) = page(&mut client, &cursor, &["COUNT", "100"]);
        came.extend(keys);
        cursor = next;
    }
    // All keys must come after the restart; earlier ones do not count.
    found.clear();
    found.extend(came);
    assert_eq!(found, all);
}

/// The pages of a peer: the cursor that asks for each, the cursor that it returns, and its key.
type Pages = [(u64, u64, &'static str)];

/// A node that answers SCAN by these pages, and any other cursor by an empty last page. `run` identifies its process.
fn scanned_peer(layout: &Layout, pages: &'static Pages, run: &Arc<Mutex<&'static str>>) -> Peer {
    let run = run.clone();
    Peer::start_in(layout, move |request| match request.name().as_str() {
        "INFO" if request.word(1) == "server" => {
            let text = format!("# Server\r\nrun_id:{}\r\n", run.lock().expect("a run"));
            Some(Step::reply(format!("${}\r\n{text}\r\n", text.len())))
        }
        "SCAN" => {
            let asked = request.word(1).parse();
            let page = pages.iter().find(|page| Ok(page.0) == asked);
            Some(Step::reply(match page {
                Some((_, next, key)) => {
                    let next = next.to_string();
                    let (cursor, key) = (bulk(&next), bulk(key));
                    format!("*2\r\n{cursor}*1\r\n{key}")
                }
                None => "*2\r\n$1\r\n0\r\n*0\r\n".to_owned(),
            }))
        }
        _ => None,
    })
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

/// Cursors as with a table per slot: the position in the table of a slot, above the slot.
const SLOT_TABLES: &Pages = &[
    (0, 5, "a"),
    (5, 1 << 31 | 5, "b"),
    (1 << 31 | 5, 1 << 33 | 5, "c"),
    (1 << 33 | 5, ((1 << 33) + 1) << 14 | 5, "d"),
    (((1 << 33) + 1) << 14 | 5, ((1 << 34) - 1) << 14 | 7999, "e"),
    (((1 << 34) - 1) << 14 | 7999, 0, "f"),
];
/// Cursors as with one table: their lowest bits are no slot, here one of the other node and one of this one.
const ONE_TABLE: &Pages = &[
    (0, 1 << 32 | 3, "g"),
    (1 << 32 | 3, 1 << 33 | 9000, "h"),
    (1 << 33 | 9000, (1 << 34) - 1 - 16383, "i"),
    ((1 << 34) - 1 - 16383, 0, "j"),
];

#[test]
fn a_node_may_return_cursors_of_48_bits() {
    let layout = Layout::default();
    let run = Arc::new(Mutex::new("one"));
    let low = scanned_peer(&layout, SLOT_TABLES, &run);
    let high = scanned_peer(&layout, ONE_TABLE, &run);
    layout.set(&[(0, 7999, low.port()), (8000, 16383, high.port())]);
    let proxies = [(); 2].map(|()| Proxy::start_at(&low.seeds(), None, |_| {}));
    let mut clients = [
        proxies[0].client(),
        proxies[1].client_resp3(),
        proxies[1].client(),
    ];
    let expected: BTreeMap<String, usize> = ('a'..='j').map(|key| (key.to_string(), 1)).collect();
    for count in 1..=clients.len() {
        assert_eq!(
            scan(&mut clients[..count], &[]),
            expected,
            "{count} clients"
        );
    }
}

/// The last buckets of a table of 2^23 that a slot of another node has, each with one key. A page has as many buckets as
/// COUNT says.
fn page_of_imported_slot(cursor: u64, count: u64) -> (u64, Vec<String>) {
    const SLOT: u64 = 9000;
    const BUCKETS: u64 = 1 << 23;
    // The order of the buckets: the bits of their numbers, reversed.
    let place = |bucket: u64| bucket.reverse_bits() >> (64 - 23);
    let from = match cursor {
        0 => BUCKETS - 64,
        _ => place(cursor >> 14),
    };
    let to = BUCKETS.min(from + count);
    let next = match to {
        BUCKETS => 0,
        _ => place(to) << 14 | SLOT,
    };
    (next, (from..to).map(|at| format!("k{at}")).collect())
}

#[test]
fn a_page_is_long_enough_for_a_cursor_that_is_rounded() {
    let layout = Layout::default();
    let peer = Peer::start_in(&layout, |request| match request.name().as_str() {
        "SCAN" => {
            let number = |at: usize| request.word(at).parse().expect("a number");
            let names_count = |&at: &usize| request.word(at).eq_ignore_ascii_case("COUNT");
            let last = (2..request.words.len()).rfind(names_count);
            let count = last.map_or(4, |at| number(at + 1));
            let (next, keys) = page_of_imported_slot(number(1), count);
            let (len, next) = (keys.len(), bulk(&next.to_string()));
            let keys: String = keys.iter().map(|key| bulk(key)).collect();
            Some(Step::reply(format!("*2\r\n{next}*{len}\r\n{keys}")))
        }
        _ => None,
    });
    layout.set(&[(0, 7999, peer.port())]);
    let proxy = Proxy::start_at(&peer.seeds(), None, |_| {});
    let (first, end) = ((1 << 23) - 64, 1 << 23);
    let expected: BTreeSet<String> = (first..end).map(|at| format!("k{at}")).collect();
    for options in [&[][..], &["COUNT", "3"], &["MATCH", "*", "count", "9"]] {
        let found = scan(&mut [proxy.client()], options);
        assert_eq!(keys_of(found), expected, "{options:?}");
    }
}

#[test]
fn a_page_takes_the_keys_of_the_next_node_while_it_has_room() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let mut client = proxy.client();
    assert_eq!(page(&mut client, "0", &[]), ("0".to_owned(), Vec::new()));
    let few = fill(&mut client, "few", 9);
    for options in [
        &[][..],
        &["COUNT", "10"],
        &["MATCH", "COUNT*", "COUNT", "99"],
    ] {
        let (next, keys) = page(&mut client, "0", options);
        assert_eq!(next, "0", "{options:?}");
        let expected = match options {
            ["MATCH", ..] => BTreeSet::new(),
            _ => few.clone(),
        };
        assert_eq!(BTreeSet::from_iter(keys), expected, "{options:?}");
    }
    let many = fill(&mut client, "many", 3000);
    let all: BTreeSet<String> = &few | &many;
    let (next, keys) = page(&mut client, "0", &["COUNT", "1000000"]);
    assert_eq!((next.as_str(), keys.len()), ("0", all.len()));
    // A page that is full leads to the next node.
    let (next, keys) = page(&mut client, "0", &["COUNT", "500"]);
    assert!(
        next != "0" && keys.len() < 1100,
        "{next}, {} keys",
        keys.len()
    );
    assert_eq!(keys_of(scan(&mut [client], &["COUNT", "700"])), all);
}

/// The first node ends its scan and the second one does not answer: the first one's keys are not lost.
#[test]
fn a_page_keeps_the_keys_of_the_nodes_before_one_that_refuses() {
    let layout = Layout::default();
    let run = Arc::new(Mutex::new("one"));
    let first = scanned_peer(&layout, &[(0, 0, "a")], &run);
    let second = Peer::start_in(&layout, |request| match request.name().as_str() {
        "SCAN" => Some(Step::reply("-ERR no scan here\r\n")),
        _ => None,
    });
    layout.set(&[(0, 7999, first.port()), (8000, 16383, second.port())]);
    let proxy = Proxy::start_at(&first.seeds(), None, |_| {});
    let mut client = proxy.client();
    let (next, keys) = page(&mut client, "0", &[]);
    assert_eq!(keys, ["a"]);
    let reply = client.call(&["SCAN", &next]);
    assert_eq!(reply, Value::Error("ERR no scan here".to_owned()));
}

#[test]
fn a_large_cursor_of_a_restarted_node_begins_again() {
    for (pages, keys) in [
        (SLOT_TABLES, &["a", "b", "c", "d", "e", "f"][..]),
        (ONE_TABLE, &["g", "h", "i", "j"]),
    ] {
        let layout = Layout::default();
        let run = Arc::new(Mutex::new("one"));
        let first = scanned_peer(&layout, pages, &run);
        let second = scanned_peer(&layout, &[(0, 0, "last")], &run);
        let (end, begin) = match pages.len() {
            6 => (7999, 8000),
            _ => (2, 3),
        };
        layout.set(&[(0, end, first.port()), (begin, 16383, second.port())]);
        let proxy = Proxy::start_at(&first.seeds(), None, |_| {});
        let mut client = proxy.client();
        let mut cursor = "0".to_owned();
        while cursor.parse::<u64>().expect("a number") < 1 << 62 {
            cursor = page(&mut client, &cursor, &[]).0;
        }
        *run.lock().expect("a run") = "two";
        first.hang_up();
        let mut found = Vec::new();
        for _ in 0..20 {
            let (next, keys) = page(&mut client, &cursor, &[]);
            found.extend(keys);
            cursor = next;
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(found, [keys, &["last"]].concat());
    }
}

#[test]
fn errors_are_those_of_redis() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    let mut redis = RawClient::connect(server.port());
    for mut client in [shared_proxy().client(), shared_proxy().client_resp3()] {
        for words in [
            &["SCAN"][..],
            &["SCAN", "a"],
            &["SCAN", "1 "],
            &["SCAN", " 1"],
            &["SCAN", "18446744073709551616"],
            &["SCAN", "a", "COUNT", "a"],
            &["SCAN", "0", "COUNT"],
            &["SCAN", "0", "COUNT", "a"],
            &["SCAN", "0", "COUNT", "0"],
            &["SCAN", "0", "MATCH"],
            &["SCAN", "0", "FOO", "x"],
            &["SCAN", ""],
            &["SCAN", "\t1"],
            &["SCAN", "+1"],
            &["SCAN", "+ 1"],
            &["SCAN", "1\0x"],
        ] {
            let (ours, expected) = (client.call(words), redis.call(words));
            match expected {
                Value::Error(_) => assert_eq!(ours, expected, "{words:?}"),
                // Versions differ in the numbers that they accept.
                _ => assert_eq!(ours.items().len(), 2, "{words:?}"),
            }
        }
        for never in ["9223372036854775808", "18446744073709551615", "-1"] {
            assert_eq!(client.call(&["SCAN", never]).error(), "ERR invalid cursor");
        }
        assert!(!client.call(&["SCAN", "12345"]).items().is_empty());
    }
}

#[test]
fn a_single_redis_is_scanned_by_its_own_cursors() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    let proxy = Proxy::start_before(&server, |_| {});
    let mut client = proxy.client();
    let mut redis = RawClient::connect(server.port());
    let all = fill(&mut client, "single:", 300);
    let words = ["SCAN", "0", "COUNT", "30"];
    assert_eq!(client.call(&words), redis.call(&words));
    assert_eq!(keys_of(scan(&mut [client], &[])), all);
}

#[test]
fn scans_in_a_pipeline_keep_their_places() {
    let mut client = shared_proxy().client();
    client.call(&["SET", "piped", "1"]);
    let mut commands = Vec::new();
    for _ in 0..200 {
        commands.push(vec!["SCAN", "0", "COUNT", "1000", "MATCH", "piped"]);
        commands.push(vec!["GET", "piped"]);
    }
    for replies in client.pipeline(&commands).chunks(2) {
        assert_eq!(replies[0].items().len(), 2);
        assert_eq!(replies[1], Value::bulk("1"));
    }
}
