//! The permissions and counts of a namespace; observing changes nothing.

use slotmux::tools::demo::server::LocalServer;

use super::{add_namespace, with_policy};
use slotmux_testing::{PATIENCE, Proxy, RawClient, Value, poll_until, shared_cluster};

fn error_of(reply: Value) -> String {
    reply.error().to_owned()
}

#[test]
fn permissions() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        add_namespace(config, "perm", "default = \"none\"");
        config.set("namespace.max_key", "20B");
        config.set("namespace.max_value", "5B");
        config.set(
            "namespace.deny",
            vec!["rename".to_owned(), "object|freq".to_owned()],
        );
        add_namespace(config, "fixed", "default = \"none\"");
        config.set("namespace.read_only", true);
    });
    let mut client = proxy.client();
    assert_eq!(client.call(&["SET", "perm:{p}:a", "12345"]), Value::ok());
    let cases: &[(&[&str], &[&str])] = &[
        (&["SET", "perm:{p}:a", "123456"], &["perm", "max_value"]),
        (
            &["MSET", "perm:{p}:a", "1", "perm:{p}:b", "123456"],
            &["perm", "max_value"],
        ),
        (&["GET", "perm:{p}:a234567890123"], &["perm", "max_key"]),
        (&["RENAME", "perm:{p}:a", "perm:{p}:b"], &["perm", "deny"]),
        (&["OBJECT", "FREQ", "perm:{p}:a"], &["perm", "deny"]),
        (&["SET", "fixed:a", "1"], &["fixed", "read_only"]),
        (
            &["DEL", "fixed:a", "fixed:b", "fixed:c"],
            &["fixed", "read_only"],
        ),
        (
            &["EVAL", "return 1", "1", "fixed:a"],
            &["fixed", "read_only"],
        ),
        (&["FLUSHALL"], &["fixed", "read_only"]),
    ];
    for (command, parts) in cases {
        let error = error_of(client.call(command));
        assert!(error.starts_with("ERR slotmux: "), "{command:?}: {error}");
        assert!(
            parts.iter().all(|part| error.contains(part)),
            "{command:?}: {error}"
        );
    }
    assert_eq!(client.call(&["GET", "fixed:a"]), Value::Null);
    assert_eq!(
        client.call(&["OBJECT", "ENCODING", "perm:{p}:a"]),
        Value::bulk("int")
    );
    assert_eq!(client.call(&["GET", "perm:{p}:a"]), Value::bulk("12345"));
}

#[test]
fn unmatched_keys() {
    for (unmatched, read, write) in [
        ("allow", true, true),
        ("read-only", true, false),
        ("reject", false, false),
    ] {
        let proxy = Proxy::start(shared_cluster(), |config| {
            add_namespace(config, "ns", "default = \"none\"");
            config.set("defaults.namespace.unmatched", unmatched);
        });
        let mut client = proxy.client();
        let key = format!("stray:{unmatched}");
        let written = client.call(&["SET", &key, "v"]);
        assert_eq!(written == Value::ok(), write, "{unmatched}: {written:?}");
        let got = client.call(&["GET", &key]);
        assert_eq!(
            !matches!(got, Value::Error(_)),
            read,
            "{unmatched}: {got:?}"
        );
        if !write {
            assert!(error_of(written).contains("unmatched"));
        }
        assert_eq!(client.call(&["SET", "ns:k", "v"]), Value::ok());
    }
}

#[test]
fn a_policy_may_refuse() {
    let proxy = with_policy(
        shared_cluster(),
        "max = \"100s\", over_max = \"reject\", persist = \"reject\", scripts = \"reject\"",
    );
    let mut client = proxy.client();
    assert_eq!(client.call(&["SET", "ns:refuse", "v"]), Value::ok());
    for command in [
        &["SET", "ns:refuse", "v", "EX", "101"][..],
        &["EXPIRE", "ns:refuse", "101"],
        &["GETEX", "ns:refuse", "PERSIST"],
        &["PERSIST", "ns:refuse"],
        &["EVAL", "return 1", "1", "ns:refuse"],
    ] {
        let error = error_of(client.call(command));
        assert!(error.starts_with("ERR slotmux: "), "{command:?}: {error}");
        assert!(error.contains("'ns'"), "{command:?}: {error}");
    }
    assert_eq!(
        client.call(&["SET", "ns:refuse", "v", "EX", "100"]),
        Value::ok()
    );
    let counted = |action: &str| {
        proxy.metric(&format!(
            "slotmux_namespace_ttl_actions_total{{namespace=\"ns\",action=\"{action}\",mode=\"enforce\"}}"
        ))
    };
    assert_eq!(counted("refused"), Some(5.0));
    assert_eq!(counted("defaulted"), Some(1.0));
}

#[test]
fn observing_changes_nothing_and_counts_what_enforcing_would() {
    let proxy = with_policy(
        shared_cluster(),
        "default = \"100s\", max = \"200s\", mode = \"observe\", persist = \"reject\"",
    );
    let mut client = proxy.client();
    let key = "ns:observed";
    client.call(&["SET", key, "v"]);
    assert_eq!(client.call(&["TTL", key]), Value::Integer(-1));
    client.call(&["SET", key, "v", "EX", "5000"]);
    assert!(client.call(&["TTL", key]).integer() > 4000);
    assert_eq!(client.call(&["PERSIST", key]), Value::Integer(1));
    client.call(&["DEL", key]);
    client.call(&["INCR", key]);
    assert_eq!(client.call(&["TTL", key]), Value::Integer(-1));
    let counted = |action: &str, mode: &str| {
        proxy.metric(&format!(
            "slotmux_namespace_ttl_actions_total{{namespace=\"ns\",action=\"{action}\",mode=\"{mode}\"}}"
        ))
    };
    for (action, times) in [
        ("defaulted", 1.0),
        ("clamped", 1.0),
        ("refused", 1.0),
        ("appended", 1.0),
    ] {
        assert_eq!(counted(action, "observe"), Some(times), "{action}");
        assert!(
            counted(action, "enforce").is_none_or(|count| count == 0.0),
            "{action}"
        );
    }
}

/// An expiry changes only a key without TTL: a query behind the command finds out whether it would have.
#[test]
fn observing_checks_whether_keys_have_a_ttl() {
    let proxy = with_policy(shared_cluster(), "default = \"100s\", mode = \"observe\"");
    let mut client = proxy.client();
    for i in 0..10 {
        let key = format!("ns:probed:{i}");
        client.call(&["LPUSH", &key, "v"]);
        if i < 4 {
            client.call(&["EXPIRE", &key, "1000"]);
        }
        assert_eq!(client.call(&["LPUSH", &key, "v"]), Value::Integer(2));
    }
    let of = |name: &str| proxy.metric(&format!("slotmux_namespace_{name}{{namespace=\"ns\"}}"));
    // Every first push makes a key without TTL, six of the second ones find such a key.
    poll_until(PATIENCE, "the keys to be checked", || {
        of("observed_keys_total") == Some(20.0)
    });
    assert_eq!(of("observed_keys_without_ttl_total"), Some(16.0));
}

/// Denied commands are refused in every mode of the TTL policy, and count as enforced.
#[test]
fn permissions_hold_in_observe_mode_too() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        add_namespace(config, "ns", "default = \"100s\", mode = \"observe\"");
        config.set("namespace.read_only", true);
    });
    let error = error_of(proxy.client().call(&["SET", "ns:k", "v"]));
    assert!(error.contains("read_only"), "{error}");
    let refused = |mode: &str| {
        proxy.metric(&format!(
            "slotmux_namespace_ttl_actions_total{{namespace=\"ns\",action=\"refused\",mode=\"{mode}\"}}"
        ))
    };
    assert_eq!(
        (refused("enforce"), refused("observe")),
        (Some(1.0), Some(0.0))
    );
}

#[test]
fn the_counts_of_a_namespace() {
    let proxy = with_policy(shared_cluster(), "default = \"100s\"");
    let mut client = proxy.client();
    client.call(&["SET", "ns:counted", "12345"]);
    client.call(&["GET", "ns:counted"]);
    client.call(&["GET", "ns:absent"]);
    client.call(&["MGET", "ns:counted", "ns:absent", "ns:a", "ns:b"]);
    client.call(&["LPUSH", "ns:counted", "x"]);
    let of = |name: &str| proxy.metric(&format!("slotmux_namespace_{name}{{namespace=\"ns\"}}"));
    assert_eq!(of("operations_total"), Some(5.0));
    assert_eq!(of("errors_total"), Some(1.0));
    assert_eq!(of("hits_total"), Some(2.0));
    assert_eq!(of("misses_total"), Some(4.0));
    let set = "*3\r\n$3\r\nSET\r\n$10\r\nns:counted\r\n$5\r\n12345\r\n".len() as f64;
    assert!(of("bytes_in_total") > Some(set));
    assert!(of("bytes_out_total") > Some("+OK\r\n$5\r\n12345\r\n".len() as f64));
    assert_eq!(of("latency_seconds_count"), Some(5.0));
}

#[test]
fn no_sort_reads_a_denied_key() {
    let server = LocalServer::start(&Default::default()).expect("a server");
    let proxy = Proxy::start_before(&server, |config| {
        add_namespace(config, "deny", "default = \"none\"");
        config.set("namespace.deny", vec!["get".to_owned(), "sort".to_owned()]);
        add_namespace(config, "sess", "default = \"100s\"");
    });
    let mut direct = RawClient::connect(server.port());
    direct.call(&["SET", "deny:1", "secret"]);
    direct.call(&["HSET", "open:1", "f", "field"]);
    direct.call(&["SET", "other:1", "value"]);
    let mut client = proxy.client();
    assert_eq!(client.call(&["RPUSH", "sess:l", "1"]), Value::Integer(1));
    let refused: &[&[&str]] = &[
        &["SORT", "sess:l", "BY", "nosort", "GET", "deny:*"],
        &["SORT", "sess:l", "GET", "#", "GET", "den*"],
        &["SORT", "sess:l", "GET", "*"],
        &["SORT", "sess:l", "BY", "deny:*"],
        &["SORT", "sess:l", "GET", "deny:*->f"],
        &["SORT", "sess:l", "GET", "deny:*", "STORE", "sess:m"],
        &["SORT_RO", "sess:l", "GET", "deny:*"],
        &["sort", "sess:l", "get\0", "deny:*"],
    ];
    for words in refused {
        let error = error_of(client.call(words));
        assert!(error.contains("'deny'"), "{words:?}: {error}");
    }
    for (pattern, found) in [("#", "1"), ("open:*->f", "field"), ("other:*", "value")] {
        for name in ["SORT", "SORT_RO"] {
            let reply = client.call(&[name, "sess:l", "BY", "nosort", "GET", pattern]);
            assert_eq!(reply, Value::Array(vec![Value::bulk(found)]), "{pattern}");
        }
    }
}
