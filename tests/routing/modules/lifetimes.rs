//! Keys that commands of modules create get the TTL of their namespace.

use slotmux_testing::{Proxy, RawClient, Value};

use super::{shared, shown, words};

const NAMESPACES: &str = "[[namespace]]\nname = \"short\"\nmatch = \"s:\"\nttl.default = \"100s\"\n\
     ttl.max = \"200s\"\nmulti = \"split\"\n";

/// The TTL of a key in seconds, as the nodes have it.
fn ttl(client: &mut RawClient, key: &str) -> i64 {
    client.call(&["TTL", key]).integer()
}

/// Lines, and the keys that the last one creates.
const ROWS: &[(&[&str], &[&str])] = &[
    (&["JSON.SET s:json $ 1"], &["s:json"]),
    (&["JSON.MERGE s:merged $ 1"], &["s:merged"]),
    (
        &["JSON.MSET s:m1 $ 1 s:m2 $ 2 s:m3 $ 3 s:m4 $ 4"],
        &["s:m1", "s:m2", "s:m3", "s:m4"],
    ),
    (&["JSON.MSET s:{m}1 $ 1 s:{m}2 $ 2"], &["s:{m}1", "s:{m}2"]),
    (&["BF.ADD s:bf 1"], &["s:bf"]),
    (&["BF.MADD s:bfm 1 2"], &["s:bfm"]),
    (&["BF.INSERT s:bfi ITEMS 1 2"], &["s:bfi"]),
    (&["BF.RESERVE s:bfr 0.01 10"], &["s:bfr"]),
    (&["CF.ADD s:cf 1"], &["s:cf"]),
    (&["CF.RESERVE s:cfr 10"], &["s:cfr"]),
    (&["CMS.INITBYDIM s:{cms} 10 2"], &["s:{cms}"]),
    (
        &[
            "CMS.INITBYDIM s:{cms}a 10 2",
            "CMS.INITBYDIM s:{cms}b 10 2",
            "CMS.MERGE s:{cms}a 1 s:{cms}b",
        ],
        &["s:{cms}a", "s:{cms}b"],
    ),
    (&["TOPK.RESERVE s:topk 3"], &["s:topk"]),
    (&["TDIGEST.CREATE s:{td}"], &["s:{td}"]),
    (
        &["TDIGEST.CREATE s:{td}a", "TDIGEST.MERGE s:{td}b 1 s:{td}a"],
        &["s:{td}a", "s:{td}b"],
    ),
    (&["FT.SUGADD s:sug hello 1"], &["s:sug"]),
    (&["GRAPH.QUERY s:{g} CREATE(:A)"], &["s:{g}"]),
    (
        &["GRAPH.QUERY s:{g}a CREATE(:A)", "GRAPH.COPY s:{g}a s:{g}b"],
        &["s:{g}a", "s:{g}b"],
    ),
];

#[test]
fn a_key_that_a_module_creates_gets_the_default() {
    let Some(cluster) = shared() else { return };
    let proxy = Proxy::start(cluster, |config| config.extend(NAMESPACES));
    for mut client in [proxy.client(), proxy.client_resp3()] {
        for (lines, keys) in ROWS {
            for line in *lines {
                let reply = client.call(&words(line));
                assert!(!matches!(reply, Value::Error(_)), "{line}: {reply:?}");
                // The client gets the reply to its own command, not that to the expiry behind it.
                let is_own =
                    !line.starts_with("GRAPH.QUERY") || shown(&reply).contains("Nodes created: 1");
                assert!(is_own, "{line}: {reply:?}");
            }
            for key in *keys {
                let left = ttl(&mut client, key);
                assert!((1..=100).contains(&left), "{lines:?}: {key} has {left}");
                client.call(&["DEL", key]);
            }
        }
        // A key outside of the namespace gets no TTL.
        client.call(&words("JSON.SET free $ 1"));
        assert_eq!(ttl(&mut client, "free"), -1);
    }
}

#[test]
fn in_transactions_and_by_scripts_as_well() {
    let Some(cluster) = shared() else { return };
    let proxy = Proxy::start(cluster, |config| config.extend(NAMESPACES));
    let mut client = proxy.client();
    for line in [
        "MULTI",
        "JSON.SET s:t1 $ 1",
        "BF.ADD s:t2 1",
        "JSON.MSET s:t3 $ 1 s:t4 $ 2",
        "GRAPH.QUERY s:t6 CREATE(:A)",
    ] {
        client.call(&words(line));
    }
    let reply = client.call(&["EXEC"]);
    let (graph, others) = reply.items().split_last().expect("replies");
    assert_eq!(others, [Value::ok(), Value::Integer(1), Value::ok()]);
    assert!(shown(graph).contains("Nodes created: 1"), "{graph:?}");
    let script = "return redis.call('JSON.SET', KEYS[1], '$', '1')";
    assert_eq!(client.call(&["EVAL", script, "1", "s:t5"]), Value::ok());
    for key in ["s:t1", "s:t2", "s:t3", "s:t4", "s:t5", "s:t6"] {
        let left = ttl(&mut client, key);
        assert!((1..=100).contains(&left), "{key} has {left}");
    }
}

#[test]
fn explained() {
    let Some(cluster) = shared() else { return };
    let proxy = Proxy::start(cluster, |config| config.extend(NAMESPACES));
    let mut client = proxy.client();
    let mut explain = |line: &str| shown(&client.call(&words(&format!("SLOTMUX EXPLAIN {line}"))));
    let several = explain("JSON.MSET s:m1 $ 1 s:m2 $ 2");
    assert!(
        several.contains("sent in 2 parts, one for each slot"),
        "{several}"
    );
    assert!(several.contains("PEXPIRE s:m1 100000 NX"), "{several}");
    let query = explain("GRAPH.QUERY s:g CREATE(:A)");
    assert!(
        query.contains("a connection of its own, as it may be held up"),
        "{query}"
    );
    assert!(query.contains("PEXPIRE s:g 100000 NX"), "{query}");
    let list = explain("GRAPH.LIST");
    assert!(list.contains("sent as it is to every primary"), "{list}");
    let create = explain("FT.CREATE i SCHEMA n NUMERIC");
    assert!(create.contains("commands.one_node"), "{create}");
}
