//! `personality = "cluster"`: slotmux as a cluster of one primary. Tests with cluster clients are in `libraries/`.

use slotmux::tools::demo::ports::PortLease;
use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_core::slot::slot_of;
use slotmux_testing::{Proxy, RawClient, Value, shared_cluster};

/// slotmux as a cluster on its main port, and as one Redis on the second.
fn proxy(announce: Option<&str>) -> (Proxy, PortLease) {
    let lease = PortLease::any().expect("a port");
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("listener.personality", "cluster");
        if let Some(announce) = announce {
            config.set("listener.announce", announce);
        }
        config.add_listener("plain", &format!("127.0.0.1:{}", lease.port()));
    });
    (proxy, lease)
}

fn text(value: &Value) -> String {
    value.text()
}

#[test]
fn every_slot_is_at_the_address_of_the_listener() {
    let (proxy, _plain) = proxy(None);
    let port = i64::from(proxy.port());
    let mut client = proxy.client();
    let id = client.call(&["CLUSTER", "MYID"]).text();
    assert!(
        id.len() == 40 && id.bytes().all(|digit| digit.is_ascii_hexdigit()),
        "{id}"
    );
    let slots = client.call(&["CLUSTER", "SLOTS"]);
    let node = Value::Array(vec![
        Value::bulk("127.0.0.1"),
        Value::Integer(port),
        Value::bulk(&id),
        Value::Array(vec![]),
    ]);
    let range = Value::Array(vec![Value::Integer(0), Value::Integer(16383), node]);
    assert_eq!(slots, Value::Array(vec![range]));
    let nodes = client.call(&["CLUSTER", "NODES"]).text();
    let bus = (proxy.port()).wrapping_add(10_000);
    assert_eq!(
        nodes,
        format!("{id} 127.0.0.1:{port}@{bus} myself,master - 0 0 1 connected 0-16383\n")
    );
    // In the form that the version of the upstream uses.
    let theirs: Vec<redis::Value> = shared_cluster()
        .query(0, &["CLUSTER", "SHARDS"])
        .expect("shards");
    assert!(!theirs.is_empty());
    let shards = client.call(&["CLUSTER", "SHARDS"]).items().to_vec();
    let shard = shards[0].items().to_vec();
    assert_eq!(shard[0], Value::bulk("slots"));
    assert_eq!(
        shard[1],
        Value::Array(vec![Value::Integer(0), Value::Integer(16383)])
    );
    let node = shard[3].items()[0].items().to_vec();
    let names: Vec<String> = node.iter().step_by(2).map(text).collect();
    assert_eq!(
        names,
        [
            "id",
            "port",
            "ip",
            "endpoint",
            "role",
            "replication-offset",
            "health"
        ]
    );
    assert_eq!(node[3], Value::Integer(port));
    let info = client.call(&["CLUSTER", "INFO"]).text();
    assert!(
        info.starts_with("cluster_state:ok\r\ncluster_slots_assigned:16384\r\n"),
        "{info}"
    );
    // The same after a restart; otherwise a client would take it for another cluster's.
    assert_eq!(proxy.client_resp3().call(&["CLUSTER", "MYID"]).text(), id);
}

#[test]
fn the_listener_reports_cluster_mode() {
    let (proxy, plain) = proxy(None);
    let mut client = proxy.client();
    let mode = |client: &mut RawClient| {
        let hello = client.call(&["HELLO", "2"]).items().to_vec();
        let at = hello.iter().position(|item| *item == Value::bulk("mode"));
        text(&hello[at.expect("a mode") + 1])
    };
    assert_eq!(mode(&mut client), "cluster");
    let info = client.call(&["INFO"]).text();
    assert!(
        info.contains("cluster_enabled:1") && info.contains("_mode:cluster"),
        "{info}"
    );
    let setting = client
        .call(&["CONFIG", "GET", "cluster-enabled"])
        .items()
        .to_vec();
    assert_eq!(setting[1], Value::bulk("yes"));
    for command in ["READONLY", "ASKING", "READWRITE"] {
        assert_eq!(client.call(&[command]), Value::ok());
    }
    assert_eq!(client.call(&["SELECT", "0"]), Value::ok());
    let mut node = RawClient::connect(shared_cluster().node(0).port);
    for index in ["1", "99", "-1", "x", "99999999999"] {
        let select = ["SELECT", index];
        assert_eq!(client.call(&select), node.call(&select), "{index}");
    }

    // The other listener of the same process shows no sign of it.
    let mut client = RawClient::connect(plain.port());
    assert_eq!(mode(&mut client), "standalone");
    assert!(client.call(&["INFO"]).text().contains("cluster_enabled:0"));
    for command in [&["CLUSTER", "SLOTS"][..], &["READONLY"]] {
        let refused = client.call(command);
        assert_eq!(
            refused.error(),
            "ERR This instance has cluster support disabled"
        );
    }
}

/// The replies of a node that are the same for all nodes.
#[test]
fn replies_are_those_of_a_node() {
    let (proxy, _plain) = proxy(None);
    let mut node = RawClient::connect(shared_cluster().node(0).port);
    let mut client = proxy.client();
    for words in [
        &["CLUSTER", "KEYSLOT", "a{b}c"][..],
        &["CLUSTER", "COUNTKEYSINSLOT", "16384"],
        &["CLUSTER", "COUNTKEYSINSLOT", "-1"],
        &["CLUSTER", "COUNTKEYSINSLOT", "x"],
        &["CLUSTER", "GETKEYSINSLOT", "1", "-1"],
        &["CLUSTER", "GETKEYSINSLOT", "1", "x"],
        &["CLUSTER", "GETKEYSINSLOT", "x", "1"],
        &["CLUSTER", "GETKEYSINSLOT", "16384", "1"],
        &["CLUSTER", "REPLICAS", "nobody"],
        &["CLUSTER", "COUNT-FAILURE-REPORTS", "nobody"],
        &["CLUSTER", "SLOTS", "x"],
        &["CLUSTER"],
        &["CLUSTER", "NOSUCH"],
        &["SELECT", "1"],
        &["SELECT", "x"],
        &["READONLY", "x"],
    ] {
        assert_eq!(
            client.call_bytes(words),
            node.call_bytes(words),
            "{words:?}"
        );
    }
    let id = client.call(&["CLUSTER", "MYID"]).text();
    for (words, reply) in [
        (["CLUSTER", "REPLICAS", &id], Value::Array(vec![])),
        (["CLUSTER", "COUNT-FAILURE-REPORTS", &id], Value::Integer(0)),
    ] {
        assert_eq!(client.call(&words), reply, "{words:?}");
    }
    assert_eq!(client.call(&["CLUSTER", "LINKS"]), Value::Array(vec![]));
    for words in [
        &["CLUSTER", "RESET"][..],
        &["CLUSTER", "FAILOVER"],
        &["CLUSTER", "MEET", "127.0.0.1", "1"],
        &["CLUSTER", "SETSLOT", "1", "STABLE"],
        &["CLUSTER", "FLUSHSLOTS"],
    ] {
        let refused = client.call(words);
        assert!(refused.error().starts_with("ERR slotmux: "), "{refused:?}");
    }
}

#[test]
fn the_keys_of_a_slot_come_from_its_node() {
    let (proxy, _plain) = proxy(None);
    let mut client = proxy.client();
    // Slots of different nodes.
    for tag in ["personality-a", "personality-b", "personality-c"] {
        let keys = [1, 2, 3].map(|n| format!("{{{tag}}}:{n}"));
        for key in &keys {
            assert_eq!(client.call(&["SET", key, "v"]), Value::ok());
        }
        let slot = slot_of(tag.as_bytes()).0.to_string();
        let count = client.call(&["CLUSTER", "COUNTKEYSINSLOT", &slot]);
        assert_eq!(count, Value::Integer(3));
        let found = client.call(&["CLUSTER", "GETKEYSINSLOT", &slot, "10"]);
        let mut found: Vec<String> = found.items().iter().map(text).collect();
        found.sort();
        assert_eq!(found, keys);
        let explained = client.call(&["SLOTMUX", "EXPLAIN", "CLUSTER", "COUNTKEYSINSLOT", &slot]);
        let explained = format!("{explained:?}");
        assert!(!explained.contains("answered by slotmux"), "{explained}");
        let some = client.call(&["CLUSTER", "GETKEYSINSLOT", &slot, "2"]);
        assert_eq!(some.items().len(), 2);
        // Between other commands and in a transaction it keeps its place.
        let replies = client.pipeline(&[
            vec!["GET", &keys[0]],
            vec!["CLUSTER", "COUNTKEYSINSLOT", &slot],
            vec!["MULTI"],
            vec!["CLUSTER", "COUNTKEYSINSLOT", &slot],
            vec!["CLUSTER", "KEYSLOT", &keys[0]],
            vec!["DEL", &keys[0]],
            vec!["EXEC"],
            vec!["CLUSTER", "COUNTKEYSINSLOT", &slot],
        ]);
        assert_eq!(replies[0], Value::bulk("v"));
        assert_eq!(replies[1], Value::Integer(3));
        let slot: i64 = slot.parse().expect("a number");
        assert_eq!(
            replies[6],
            Value::Array(vec![
                Value::Integer(3),
                Value::Integer(slot),
                Value::Integer(1)
            ])
        );
        assert_eq!(replies[7], Value::Integer(2));
    }
}

#[test]
fn the_announced_address_is_reported() {
    let (proxy, _plain) = proxy(Some("slotmux.example.net:7000"));
    let mut client = proxy.client();
    let slots = client.call(&["CLUSTER", "SLOTS"]).items().to_vec();
    let node = slots[0].items()[2].items().to_vec();
    assert_eq!(node[0], Value::bulk("slotmux.example.net"));
    assert_eq!(node[1], Value::Integer(7000));
    let nodes = client.call(&["CLUSTER", "NODES"]).text();
    assert!(
        nodes.contains(" slotmux.example.net:7000@17000 "),
        "{nodes}"
    );
}

#[test]
fn a_unix_socket_needs_an_announced_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = format!("unix:{}", folder.path().join("socket").display());
    let refused = Proxy::launch(&shared_cluster().seeds(), None, |config| {
        config.add_listener("near", &path);
        config.set("listener.personality", "cluster");
    });
    assert!(!refused.wait_exit().success());
    assert!(
        refused.log().contains("set listener.announce"),
        "{}",
        refused.log()
    );
    Proxy::start(shared_cluster(), |config| {
        config.add_listener("near", &path);
        config.set("listener.personality", "cluster");
        config.set("listener.announce", "127.0.0.1:1");
    });
}

#[test]
fn one_plain_redis_can_be_shown_as_a_cluster() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    let proxy = Proxy::start_before(&server, |config| {
        config.set("listener.personality", "cluster");
    });
    let mut client = proxy.client();
    let slots = client.call(&["CLUSTER", "SLOTS"]).items().to_vec();
    assert_eq!(slots[0].items()[1], Value::Integer(16383));
    assert_eq!(client.call(&["SET", "k", "v"]), Value::ok());
    let refused = client.call(&["CLUSTER", "COUNTKEYSINSLOT", "1"]);
    assert!(refused.error().contains("one plain Redis"), "{refused:?}");
}
