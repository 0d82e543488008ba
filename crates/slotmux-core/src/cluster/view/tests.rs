//! Replies of real shape, and of every wrong one.

use super::*;

pub(crate) fn bulk(text: &str) -> Value {
    Value::BulkString(text.as_bytes().to_vec())
}

/// A node of CLUSTER SLOTS.
pub(crate) fn node(host: &str, port: i64, id: &str, metadata: &[&str]) -> Value {
    let metadata = Value::Array(metadata.iter().map(|text| bulk(text)).collect());
    Value::Array(vec![bulk(host), Value::Int(port), bulk(id), metadata])
}

/// An entry of CLUSTER SLOTS.
pub(crate) fn range(first: i64, last: i64, nodes: Vec<Value>) -> Value {
    let mut entry = vec![Value::Int(first), Value::Int(last)];
    entry.extend(nodes);
    Value::Array(entry)
}

fn read(slots: Vec<Value>, nodes: &str) -> Result<NodeView, BadView> {
    let asked = Addr::new("seed.example.net", 7000);
    NodeView::read(
        &asked,
        &AddressMap::default(),
        &Value::Array(slots),
        nodes,
        ServerInfo::default(),
    )
}

fn addrs(view: &NodeView) -> Vec<String> {
    let name = |node: &SeenNode| {
        node.addr
            .as_ref()
            .map_or("unknown".to_owned(), Addr::to_string)
    };
    view.nodes.iter().map(name).collect()
}

#[test]
fn counts_healthy_replicas_that_are_not_named_to_clients() {
    let slots = || {
        vec![range(
            0,
            99,
            vec![node("h", 1, "a", &[]), node("h", 2, "b", &[])],
        )]
    };
    let line = |id: &str, flags: &str| format!("{id} h:1@2 {flags} a 0 0 1 connected\n");
    for (lines, hidden) in [
        (vec![line("a", "myself,master"), line("b", "slave")], 0),
        (
            vec![
                line("b", "slave"),
                line("c", "slave"),
                line("d", "slave,fail?"),
            ],
            2,
        ),
        (
            ["slave,fail", "handshake,slave", "slave,noaddr", "master"]
                .map(|flags| line("c", flags))
                .to_vec(),
            0,
        ),
    ] {
        let view = read(slots(), &lines.concat()).unwrap();
        assert_eq!(view.hidden_replicas, hidden, "{lines:?}");
    }
}

#[test]
fn reads_primaries_replicas_epochs_and_names() {
    let slots = vec![
        range(
            0,
            99,
            vec![
                node("10.0.0.1", 7000, "a", &["hostname", "n1"]),
                node("10.0.0.2", 7001, "b", &[]),
            ],
        ),
        range(100, 199, vec![node("10.0.0.3", 7002, "c", &[])]),
        range(
            300,
            300,
            vec![
                node("10.0.0.1", 7000, "a", &[]),
                node("10.0.0.2", 7001, "b", &[]),
            ],
        ),
    ];
    let nodes = "a 10.0.0.1:7000@17000,n1 myself,master - 0 0 7 connected 0-99 300\n\
                 b 10.0.0.2:7001@17001,n2,shard-id=x slave,fail a 0 0 7 connected\n\
                 c 10.0.0.3:7002@17002,,shard-id=y master,fail? - 0 0 9 connected 100-199\n";
    let view = read(slots, nodes).unwrap();
    assert_eq!(view.ranges, [(0, 99, 0), (100, 199, 2), (300, 300, 0)]);
    assert_eq!(
        addrs(&view),
        ["10.0.0.1:7000", "10.0.0.2:7001", "10.0.0.3:7002"]
    );
    assert_eq!(view.nodes[0].replicas, [1]);
    assert_eq!(view.myself.as_deref(), Some("a"));
    assert_eq!((view.epochs["a"], view.epochs["c"]), (7, 9));
    let hostnames: Vec<_> = view
        .nodes
        .iter()
        .map(|node| node.hostname.as_deref())
        .collect();
    assert_eq!(hostnames, [Some("n1"), Some("n2"), None]);
    let failed: Vec<bool> = view.nodes.iter().map(|node| node.failed).collect();
    assert_eq!(failed, [false, true, false], "fail? is one node's opinion");
}

#[test]
fn every_form_of_endpoint() {
    let null = Value::Array(vec![
        Value::Nil,
        Value::Int(1),
        bulk("null"),
        Value::Map(vec![]),
    ]);
    let resp3 = Value::Map(vec![(bulk("ip"), bulk("10.0.0.9"))]);
    let resp3 = Value::Array(vec![bulk("?"), Value::Int(2), bulk("question"), resp3]);
    let slots = vec![
        range(0, 0, vec![node("", 7000, "empty", &[])]),
        range(1, 1, vec![null]),
        range(2, 2, vec![resp3]),
        range(3, 3, vec![node("?", 3, "known", &[])]),
        range(4, 4, vec![node("?", 4, "unknown", &[])]),
        range(5, 5, vec![node("::1", 5, "six", &[])]),
        range(
            6,
            6,
            vec![node("n6.example.net", 6, "name", &["ip", "10.0.0.6"])],
        ),
    ];
    let nodes =
        "known ::7:3@13 master - 0 0 1 connected 3\nunknown :4@14 master - 0 0 1 connected 4\n";
    let view = read(slots, nodes).unwrap();
    assert_eq!(
        addrs(&view),
        [
            "seed.example.net:7000",
            "seed.example.net:1",
            "10.0.0.9:2",
            "[::7]:3",
            "unknown",
            "[::1]:5",
            "n6.example.net:6"
        ]
    );
    assert_eq!(view.nodes[6].ip, "10.0.0.6");
    assert!(!view.nodes[0].announced && !view.nodes[1].announced && view.nodes[2].announced);
}

#[test]
fn the_address_map_has_the_last_word() {
    let asked = Addr::new("seed", 7000);
    let map = AddressMap::new([
        (Addr::new("10.0.0.1", 7000), Addr::new("outside", 17000)),
        (Addr::new("seed", 7001), Addr::new("outside", 17001)),
    ]);
    let slots = vec![
        range(0, 0, vec![node("10.0.0.1", 7000, "a", &[])]),
        range(1, 1, vec![node("", 7001, "b", &[])]),
    ];
    let view = NodeView::read(
        &asked,
        &map,
        &Value::Array(slots),
        "",
        ServerInfo::default(),
    )
    .unwrap();
    assert_eq!(addrs(&view), ["outside:17000", "outside:17001"]);
}

#[test]
fn replies_of_another_shape_are_errors() {
    let good = || node("h", 1, "a", &[]);
    let table: Vec<(Value, &str, &str)> = vec![
        (Value::Okay, "", "not an array"),
        (
            Value::Array(vec![Value::Nil]),
            "",
            "an entry that is not an array",
        ),
        (
            Value::Array(vec![range(0, 1, vec![])]),
            "",
            "an entry without a primary",
        ),
        (
            Value::Array(vec![range(0, 16384, vec![good()])]),
            "",
            "a slot out of range",
        ),
        (
            Value::Array(vec![range(-1, 1, vec![good()])]),
            "",
            "a slot out of range",
        ),
        (
            Value::Array(vec![range(2, 1, vec![good()])]),
            "",
            "a range that ends before it starts",
        ),
        (
            Value::Array(vec![range(0, 1, vec![Value::Okay])]),
            "",
            "a node that is not an array",
        ),
        (
            Value::Array(vec![range(0, 1, vec![node("h", 65536, "a", &[])])]),
            "",
            "a port out of range",
        ),
        (
            Value::Array(vec![range(
                0,
                1,
                vec![Value::Array(vec![bulk("h"), Value::Int(1)])],
            )]),
            "",
            "without an id",
        ),
        (
            Value::Array(vec![range(0, 1, vec![good(), Value::Int(1)])]),
            "",
            "a node that is not an array",
        ),
        (Value::Array(vec![]), "a b c\n", "fewer than eight fields"),
        (
            Value::Array(vec![]),
            "a b c d e f x connected\n",
            "no number",
        ),
    ];
    for (slots, nodes, what) in table {
        let asked = Addr::new("h", 1);
        let error = NodeView::read(
            &asked,
            &AddressMap::default(),
            &slots,
            nodes,
            ServerInfo::default(),
        )
        .unwrap_err();
        assert!(error.to_string().contains(what), "{error} lacks {what:?}");
    }
}

#[test]
fn reads_info_of_redis_valkey_and_slotmux() {
    let redis = ServerInfo::from_info(
        "# Server\r\nredis_version:7.0.15\r\nredis_mode:cluster\r\nrole:master\r\n",
    );
    assert_eq!(
        (
            redis.identity.version.as_str(),
            redis.identity.name.as_str(),
            redis.is_replica
        ),
        ("7.0.15", "redis", false)
    );
    let valkey = ServerInfo::from_info(
        "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.0\r\navailability_zone:eu-1a\r\n\
         loading:1\r\nrole:slave\r\n",
    );
    assert_eq!(
        (
            valkey.identity.name.as_str(),
            valkey.identity.valkey_version.as_deref(),
            valkey.identity.zone.as_deref()
        ),
        ("valkey", Some("8.1.0"), Some("eu-1a"))
    );
    assert_eq!(redis.identity.valkey_version, None);
    for (name, version, valkey_version) in
        [("valkey", "9.1.0", Some("9.1.0")), ("redis", "7.2.4", None)]
    {
        let mut without_info = ServerInfo::default();
        without_info.add(ServerHello {
            name: name.into(),
            version: version.into(),
            ..ServerHello::default()
        });
        assert_eq!(
            without_info.identity.valkey_version.as_deref(),
            valkey_version
        );
    }
    assert!(valkey.is_replica && valkey.is_loading);
    let ours = ServerInfo::from_info("run_id:abc\r\n# Slotmux\r\nslotmux_version:0.1.0\r\n");
    assert!(ours.is_slotmux && !redis.is_slotmux);
    assert_eq!((ours.run_id.as_str(), ours.identity.zone), ("abc", None));
}
