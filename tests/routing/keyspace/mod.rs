//! Commands about all keys at once, over a cluster of these tests as if it were one Redis.

mod functions;
mod hidden;
mod info;
mod parameters;
mod reports;
mod script_rules;
mod settings;

use std::collections::{BTreeMap, BTreeSet};

use slotmux_testing::{PATIENCE, Proxy, Value, calm_cluster, poll_until};

use slotmux::tools::demo::cluster::LocalCluster;
use slotmux_core::slot::slot_of;
use slotmux_testing::Shared;

/// A cluster for these tests alone: some remove or count all keys.
static SHARED: Shared = Shared::new();

fn shared_cluster() -> &'static LocalCluster {
    SHARED.cluster()
}

fn shared_proxy() -> &'static Proxy {
    SHARED.proxy()
}

/// A key on this primary.
pub fn key_on(cluster: &LocalCluster, node: usize, from: usize) -> String {
    let is_there =
        |key: &String| cluster.primary_of_slot(slot_of(key.as_bytes()).0).ok() == Some(node);
    (from..)
        .map(|i| format!("key:{i}"))
        .find(is_there)
        .expect("a key")
}

/// Every text in a reply, one per line.
pub fn said(reply: &Value) -> String {
    match reply {
        Value::Array(list) => list.iter().map(said).collect(),
        Value::Map(pairs) => pairs
            .iter()
            .map(|(name, value)| said(name) + &said(value))
            .collect(),
        Value::Bulk(_) => reply.text() + "\n",
        _ => String::new(),
    }
}

#[test]
fn all_keys_at_once() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    for mut client in [proxy.client(), proxy.client_resp3()] {
        assert_eq!(client.call(&["RANDOMKEY"]), Value::Null);
        assert_eq!(client.call(&["DBSIZE"]), Value::Integer(0));
        // While only one node has a key, that key is drawn.
        for node in 0..3 {
            let key = key_on(&cluster, node, 0);
            client.call(&["SET", &key, "1"]);
            for _ in 0..20 {
                assert_eq!(client.call(&["RANDOMKEY"]), Value::bulk(&key));
            }
            client.call(&["DEL", &key]);
        }
        // One node has 1 key, another 30: one in thirty-one comes from the first.
        let few = key_on(&cluster, 0, 0);
        client.call(&["SET", &few, "1"]);
        let mut many = BTreeSet::new();
        let mut from = 0;
        while many.len() < 30 {
            let key = key_on(&cluster, 1, from);
            from = key["key:".len()..].parse::<usize>().expect("a number") + 1;
            client.call(&["SET", &key, "1"]);
            many.insert(key);
        }
        let mut drawn = BTreeMap::new();
        for reply in client.pipeline(&vec![vec!["RANDOMKEY"]; 2000]) {
            *drawn.entry(format!("{reply:?}")).or_insert(0) += 1;
        }
        let from_few = drawn[&format!("{:?}", Value::bulk(&few))];
        assert!((10..200).contains(&from_few), "{from_few} of 2000");
        assert!(drawn.len() > 20, "{drawn:?}");
        assert_eq!(client.call(&["DBSIZE"]), Value::Integer(31));
        assert_eq!(client.call(&["KEYS", "*"]).items().len(), 31);
        for (flush, words) in [("FLUSHALL", "ASYNC"), ("FLUSHDB", "SYNC")] {
            client.call(&["SET", &few, "1"]);
            assert_eq!(client.call(&[flush, words]), Value::ok());
            assert_eq!(client.call(&["DBSIZE"]), Value::Integer(0));
        }
    }
}

#[test]
fn every_primary_saves() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let mut client = proxy.client();
    let saved = |node: usize| -> i64 { cluster.query(node, &["LASTSAVE"]).expect("a reply") };
    let before: Vec<i64> = (0..3).map(saved).collect();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(
        client.call(&["BGSAVE"]),
        Value::Simple("Background saving started".into())
    );
    poll_until(PATIENCE, "all nodes to save", || {
        (0..3).all(|node| saved(node) > before[node])
    });
    let least = (0..3).map(saved).min().expect("three");
    assert_eq!(client.call(&["LASTSAVE"]), Value::Integer(least));
    assert_eq!(client.call(&["SAVE"]), Value::ok());
    assert_eq!(
        client.call(&["BGREWRITEAOF"]),
        Value::Simple("Background append only file rewriting started".into())
    );
}

/// An incomplete sum would be worse than an error.
#[test]
fn while_a_node_is_down_totals_are_refused() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("cluster.timeouts.command", "700ms");
    });
    let mut client = proxy.client();
    client.call(&["SET", &key_on(&cluster, 0, 0), "1"]);
    cluster.kill(1);
    // First the command waits for the connection, then the node is given up.
    for _ in 0..2 {
        for words in [
            &["DBSIZE"][..],
            &["KEYS", "*"],
            &["RANDOMKEY"],
            &["FLUSHALL"],
        ] {
            let reply = client.call(words);
            assert!(reply.error().contains("slotmux"), "{words:?} {reply:?}");
        }
    }
    assert_eq!(client.call(&["PING"]), Value::Simple("PONG".into()));
}

/// SORT takes the patterns that a cluster takes, and its errors are those of the node.
#[test]
fn sort_behaves_as_on_the_node() {
    let cluster = shared_cluster();
    let proxy = crate::keyspace::shared_proxy();
    let mut client = proxy.client();
    let node = cluster
        .primary_of_slot(slot_of(b"{s}list").0)
        .expect("a node");
    let mut direct = slotmux_testing::RawClient::connect(cluster.node(node).port);
    client.call(&["RPUSH", "{s}list", "3", "1", "2"]);
    for line in [
        "SORT {s}list",
        "SORT {s}list BY nosort",
        "SORT {s}list BY nosort GET #",
        "SORT {s}list BY w_* GET #",
        "SORT {s}list GET w_*",
        "SORT {s}list GET # DESC LIMIT 0 2",
        "SORT_RO {s}list BY nosort GET #",
        "SORT_RO {s}list BY w_*",
        "SORT {s}list STORE {s}sorted",
        "SORT {s}list FOO",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(client.call(&words), direct.call(&words), "{line}");
    }
    client.call(&["DEL", "{s}list", "{s}sorted"]);
}
