//! Bodies over several slots: the setting `multi`, and the array merged from the parts.

use super::{count, transaction, with_namespaces};
use slotmux_testing::{Proxy, Value, shared_cluster};

const WRITES: [&str; 3] = ["SET split:a 1", "SET split:b 2", "GET split:c"];
const READS: [&str; 3] = ["GET split:a", "GET split:b", "EXISTS split:c"];

#[track_caller]
fn is_refused(reply: &Value, setting: &str, whose: &str) {
    let error = reply.error();
    assert!(error.starts_with("CROSSSLOT "), "{error}");
    assert!(error.contains(&format!("multi = \"{setting}\"")), "{error}");
    assert!(error.contains(whose), "{error}");
}

#[test]
fn the_default_splits_reads() {
    let proxy = with_namespaces(&[("split", "")]);
    for mut client in [proxy.client(), proxy.client_resp3()] {
        client.call(&["DEL", "split:a", "split:b", "split:c"]);
        is_refused(
            &transaction(&mut client, &WRITES),
            "split-readonly",
            "of namespace 'split'",
        );
        // No command has run.
        assert_eq!(
            transaction(&mut client, &READS).items(),
            [Value::Null, Value::Null, Value::Integer(0)]
        );
        // Keys of no namespace, and a command that would be split.
        let reply = transaction(&mut client, &["MSET none:a 1 none:b 2"]);
        is_refused(&reply, "split-readonly", "[defaults.namespace]");
    }
    assert_eq!(count(&proxy, "transactions_split"), 2);
    assert_eq!(count(&proxy, "transactions_split_failed"), 0);
}

#[test]
fn reject_refuses_reads_too() {
    let proxy = with_namespaces(&[("split", "multi = \"reject\"")]);
    let mut client = proxy.client();
    is_refused(
        &transaction(&mut client, &READS),
        "reject",
        "of namespace 'split'",
    );
    assert_eq!(
        transaction(&mut client, &["GET split:{x}", "GET split:{x}b"]).items(),
        [Value::Null, Value::Null]
    );
    assert_eq!(count(&proxy, "transactions_split"), 0);
}

#[test]
fn the_default_of_all_namespaces_also_holds_for_unmatched_keys() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("defaults.namespace.multi", "split");
    });
    let mut client = proxy.client();
    assert_eq!(
        transaction(
            &mut client,
            &["SET def:a 1", "SET def:b 2", "DEL def:a def:b"]
        )
        .items(),
        [Value::ok(), Value::ok(), Value::Integer(2)]
    );
}

#[test]
fn blocking_commands_in_a_split_transaction_do_not_block() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("defaults.namespace.multi", "split");
    });
    let mut client = proxy.client();
    let lines = [
        "SET still:a 1",
        "BLPOP still:b 0",
        "BZPOPMIN still:c 0",
        "XREAD BLOCK 0 STREAMS still:d $",
        "BLMOVE {still}e {still}f LEFT LEFT 0",
    ];
    let replies = transaction(&mut client, &lines);
    let mut expected = vec![Value::Null; 5];
    expected[0] = Value::ok();
    assert_eq!(replies.items(), expected);
}

#[test]
fn the_strictest_of_several_namespaces_decides() {
    let proxy = with_namespaces(&[
        ("loose", "multi = \"split\""),
        ("middle", ""),
        ("strict", "multi = \"reject\""),
    ]);
    let mut client = proxy.client();
    type Refusal = Option<(&'static str, &'static str)>;
    let cases: &[(&[&str], Refusal)] = &[
        (&["SET loose:a 1", "SET loose:b 1"], None),
        (&["GET loose:a", "GET middle:b"], None),
        (
            &["SET loose:a 1", "SET middle:b 1"],
            Some(("split-readonly", "'middle'")),
        ),
        (
            &["GET loose:a", "GET middle:b", "GET strict:c"],
            Some(("reject", "'strict'")),
        ),
    ];
    for (lines, refusal) in cases {
        let reply = transaction(&mut client, lines);
        match refusal {
            Some((setting, whose)) => is_refused(&reply, setting, whose),
            None => assert_eq!(reply.items().len(), lines.len(), "{reply:?}"),
        }
    }
}

/// Many slots, errors among them, split commands and answers of slotmux itself: everything in the client's order.
#[test]
fn the_array_is_in_the_order_of_the_client() {
    let proxy = with_namespaces(&[("o", "multi = \"split\"")]);
    for mut client in [proxy.client(), proxy.client_resp3()] {
        client.call(&["DEL", "o:list"]);
        client.call(&["RPUSH", "o:list", "x"]);
        let mut lines = Vec::new();
        let mut expected = Vec::new();
        for i in 0..200 {
            lines.push(format!("SET o:{i} {i}"));
            expected.push(Value::ok());
            lines.push(format!("GET o:{i}"));
            expected.push(Value::bulk(i.to_string()));
        }
        let more = [
            (
                "GET o:list",
                Value::Error(
                    "WRONGTYPE Operation against a key holding the wrong kind of value".into(),
                ),
            ),
            ("PING", Value::Simple("PONG".into())),
            (
                "MGET o:3 o:nosuch o:1",
                Value::Array(vec![Value::bulk("3"), Value::Null, Value::bulk("1")]),
            ),
            ("MSET o:1 one o:2 two o:3 three", Value::ok()),
            ("ECHO x", Value::bulk("x")),
            ("GET o:2", Value::bulk("two")),
            ("DEL o:1 o:2 o:3 o:nosuch", Value::Integer(3)),
        ];
        for (line, reply) in more {
            lines.push(line.to_owned());
            expected.push(reply);
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(transaction(&mut client, &lines).items(), expected);
    }
    assert_eq!(count(&proxy, "transactions_split"), 2);
    assert_eq!(count(&proxy, "transactions_split_failed"), 0);
}

/// The pipelines of the first user, with the policies of each namespace.
#[test]
fn policies_apply_to_every_part() {
    let proxy = with_namespaces(&[
        (
            "t",
            "multi = \"split\"\nttl = { default = \"100s\", max = \"200s\" }",
        ),
        ("keep", "multi = \"split\""),
    ]);
    let mut client = proxy.client();
    for key in ["t:a", "t:b", "t:c", "t:d", "t:e", "keep:a"] {
        client.call(&["DEL", key]);
    }
    let reply = transaction(
        &mut client,
        &[
            "SET t:a 1",
            "SETEX t:b 1000 1",
            "INCR t:c",
            "SETNX t:d 1",
            "SETNX t:d 2",
            "MSET t:e 1 t:f 2",
            "SET keep:a 1",
            "EXISTS t:a t:b t:c",
        ],
    );
    assert_eq!(
        reply.items(),
        [
            Value::ok(),
            Value::ok(),
            Value::Integer(1),
            Value::Integer(1),
            Value::Integer(0),
            Value::ok(),
            Value::ok(),
            Value::Integer(3)
        ]
    );
    for (key, most) in [
        ("t:a", 100),
        ("t:b", 200),
        ("t:c", 100),
        ("t:d", 100),
        ("t:e", 100),
        ("t:f", 100),
    ] {
        let ttl = client.call(&["TTL", key]).integer();
        assert!((most - 20..=most).contains(&ttl), "{key}: {ttl}");
    }
    assert_eq!(client.call(&["TTL", "keep:a"]), Value::Integer(-1));
}

/// Alone in its slot it would be sent without MULTI, and delay all clients on the connection.
#[test]
fn a_blocking_command_alone_in_its_slot_does_not_block() {
    let proxy = with_namespaces(&[("split", "multi = \"split\"")]);
    for mut client in [proxy.client(), proxy.client_resp3()] {
        for line in [
            "BLPOP split:nothing 0",
            "XREAD BLOCK 0 STREAMS split:nothing $",
        ] {
            let reply = transaction(&mut client, &["SET split:a 1", line]);
            assert_eq!(reply.items(), [Value::ok(), Value::Null], "{line}");
        }
    }
}

#[test]
fn keys_with_a_literal_hash_tag_belong_to_its_slot() {
    let proxy = with_namespaces(&[("split", "")]);
    let mut client = proxy.client();
    client.call(&["SET", "split:{q}:a", "1"]);
    client.call(&["SET", "split:{q}:b", "1"]);
    let body = ["DEL split:{q}:b", "KEYS split:{q}:*", "KEYS split:{q}:none"];
    let reply = transaction(&mut client, &body);
    let listed = Value::Array(vec![Value::bulk("split:{q}:a")]);
    let empty = Value::Array(Vec::new());
    assert_eq!(reply.items(), [Value::Integer(1), listed, empty]);
    // In another slot, and in no particular one.
    let reply = transaction(&mut client, &["SET split:a 1", "KEYS split:{q}:*"]);
    is_refused(&reply, "split-readonly", "of namespace 'split'");
    client.call(&["MULTI"]);
    let reply = client.call(&["KEYS", "split:*"]);
    assert!(reply.error().contains("inside MULTI"), "{reply:?}");
}
