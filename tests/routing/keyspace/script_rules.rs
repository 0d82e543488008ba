//! Calls of scripts and functions that declare no keys, under rules that such a script can break.

use std::collections::BTreeSet;

use toml::Table;

use crate::keyspace::shared_cluster;
use slotmux_testing::{Proxy, ProxyConfig, RawClient, Value, shared_proxy};

use crate::keyspace::{key_on, said};

/// Namespaces `sess:` (a TTL, enforced), `ro:` (read-only), `deny:` (without GET).
pub fn add_namespaces(config: &mut ProxyConfig) {
    for text in [
        "name = \"sess\"\nmatch = [\"sess:\"]\nttl = { default = \"100s\", max = \"200s\" }",
        "name = \"ro\"\nmatch = [\"ro:\"]\nread_only = true",
        "name = \"deny\"\nmatch = [\"deny:\"]\ndeny = [\"get\"]",
    ] {
        let section: Table = text.parse().expect("TOML");
        config.add_section("namespace", section);
    }
}

/// Calls without declared keys: of every kind, and some that Redis itself would refuse.
const KEYLESS: [&[&str]; 8] = [
    &["EVAL", "return redis.call('SET', 'ro:1', '1')", "0"],
    &["eval", "return redis.call('FLUSHALL')", "0", "ro:1"],
    &["EVALSHA", "0000000000000000000000000000000000000000", "0"],
    &["FCALL", "nosuch", "0"],
    &["EVAL", "return redis.call('SET', 'ro:1', '1')", "00", "x"],
    &["EVAL", "return 1", "-1"],
    &["EVAL", "return 1", " 0"],
    &["EVAL", "#!lua flags=no-writes\nreturn 1", "0"],
];
const KEYLESS_READS: [&[&str]; 3] = [
    &["EVAL_RO", "return redis.call('GET', 'x')", "0"],
    &[
        "EVALSHA_RO",
        "0000000000000000000000000000000000000000",
        "0",
    ],
    &["FCALL_RO", "nosuch", "0"],
];

fn is_refused(reply: &Value) -> bool {
    matches!(reply, Value::Error(text) if text.starts_with("ERR slotmux: '") && text.ends_with("(commands.scripts)"))
}

fn assert_refused(client: &mut RawClient, calls: &[&[&str]], expected: bool) {
    for call in calls {
        let reply = client.call(call);
        assert_eq!(is_refused(&reply), expected, "{call:?}: {reply:?}");
    }
}

#[test]
fn calls_without_keys_break_no_rule() {
    let cluster = shared_cluster();
    let proxy = Proxy::start(cluster, |config| {
        add_namespaces(config);
        config.set("defaults.namespace.flush", "reject");
    });
    let key = format!("{{{}}}x", key_on(cluster, 0, 0));
    let mut plain = crate::keyspace::shared_proxy().client();
    plain.call(&["SET", &key, "kept"]);
    for mut client in [proxy.client(), proxy.client_resp3()] {
        assert_refused(&mut client, &KEYLESS, true);
        // `deny` may list read commands.
        assert_refused(&mut client, &KEYLESS_READS, true);
        // In a pipeline each call has its own reply.
        let replies = client.pipeline(&[vec!["PING"], KEYLESS[0].to_vec(), vec!["PING"]]);
        assert!(is_refused(&replies[1]), "{replies:?}");
        assert_eq!(replies[2], Value::Simple("PONG".into()));
        client.call(&["MULTI"]);
        assert_refused(&mut client, &KEYLESS[..1], true);
        assert!(client.call(&["EXEC"]).error().starts_with("EXECABORT"));
        // A call that declares its keys is subject to their rules.
        let set = "return redis.call('SET', KEYS[1], '1')";
        assert_eq!(client.call(&["EVAL", set, "1", "sess:1"]), Value::ok());
        assert!((99..=100).contains(&client.call(&["TTL", "sess:1"]).integer()));
        let reply = client.call(&["EVAL", set, "1", "ro:1"]);
        assert!(reply.error().contains("read_only"), "{reply:?}");
        // Commands that store scripts run none of them.
        client.call(&["SCRIPT", "LOAD", "return 1"]).text();
        // EXPLAIN reports the same, and the deciding key.
        let told = said(&client.call(&["SLOTMUX", "EXPLAIN", "EVAL", "return 1", "0"]));
        assert!(
            told.contains("commands.scripts = ") && told.contains("'deny'"),
            "{told}"
        );
    }
    assert_eq!(plain.call(&["GET", &key]), Value::bulk("kept"));
    plain.call(&["DEL", &key]);
}

#[test]
fn rules_apply_to_a_cluster_client_as_well() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("listener.personality", "cluster");
        config.set("defaults.namespace.unmatched", "reject");
    });
    let mut client = proxy.client();
    assert_refused(&mut client, &KEYLESS, true);
    assert_refused(&mut client, &KEYLESS_READS, true);
}

#[test]
fn read_only_scripts_break_no_rule_about_writes() {
    for (path, value) in [
        ("defaults.namespace.flush", "reject"),
        ("defaults.namespace.unmatched", "read-only"),
    ] {
        let proxy = Proxy::start(shared_cluster(), |config| config.set(path, value));
        let mut client = proxy.client();
        assert_refused(&mut client, &KEYLESS, true);
        assert_refused(&mut client, &KEYLESS_READS, false);
        assert_eq!(
            client.call(&["EVAL_RO", "return 7", "0"]),
            Value::Integer(7)
        );
    }
}

/// A TTL policy forbids no command, and most of its users have no other rule.
#[test]
fn without_a_forbidding_rule_scripts_are_unrestricted() {
    let section = "name = \"sess\"\nmatch = [\"sess:\"]\nttl = { default = \"100s\" }";
    for with_ttl in [false, true] {
        let proxy = Proxy::start(shared_cluster(), |config| {
            if with_ttl {
                config.add_section("namespace", section.parse().expect("TOML"));
            }
        });
        let mut client = proxy.client();
        assert_refused(&mut client, &KEYLESS_READS, false);
        assert_eq!(client.call(&["EVAL", "return 7", "0"]), Value::Integer(7));
        let wrong = client.call(&["EVAL", "return 1", "-1"]);
        assert!(!wrong.error().contains("slotmux"), "{wrong:?}");
    }
}

#[test]
fn the_setting_decides() {
    let rules = |scripts: &str| {
        Proxy::start(shared_cluster(), |config| {
            add_namespaces(config);
            config.set("commands.scripts", scripts);
        })
    };
    let allow = rules("allow");
    let mut client = allow.client();
    assert_refused(&mut client, &KEYLESS, false);
    assert_eq!(client.call(&["EVAL", "return 7", "0"]), Value::Integer(7));

    // Without any rule.
    let declared = Proxy::start(shared_cluster(), |config| {
        config.set("commands.scripts", "declared");
    });
    let mut client = declared.client();
    assert_refused(&mut client, &KEYLESS, true);
    assert_refused(&mut client, &KEYLESS_READS, true);
    assert_eq!(
        client.call(&["EVAL", "return 7", "1", "k"]),
        Value::Integer(7)
    );

    let reject = Proxy::start(shared_cluster(), |config| {
        config.set("commands.scripts", "reject");
    });
    let mut client = reject.client();
    assert_refused(&mut client, &KEYLESS, true);
    let with_keys: [&[&str]; 7] = [
        &["EVAL", "return 7", "1", "k"],
        &["EVAL_RO", "return 7", "1", "k"],
        &["EVALSHA", "0", "2", "k", "{k}l"],
        &["FCALL", "f", "1", "k"],
        &["SCRIPT", "LOAD", "return 1"],
        &["FUNCTION", "LOAD", "#!lua name=l\n"],
        &["FUNCTION", "RESTORE", "x"],
    ];
    assert_refused(&mut client, &with_keys, true);
    client.call(&["MULTI"]);
    assert_refused(&mut client, &with_keys[..1], true);
    client.call(&["DISCARD"]);
    client.call(&["SCRIPT", "EXISTS", "0"]).items();
}

/// A denied command is refused without keys too, whatever the setting.
#[test]
fn a_namespace_that_refuses_eval_refuses_it_without_keys_too() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        let section = "name = \"a\"\nmatch = [\"a:\"]\ndeny = [\"eval\"]";
        config.add_section("namespace", section.parse().expect("TOML"));
        config.set("commands.scripts", "allow");
    });
    let mut client = proxy.client();
    let reply = client.call(&["EVAL", "return 1", "0"]);
    assert!(reply.error().contains("(deny)"), "{reply:?}");
    assert_eq!(
        client.call(&["EVAL_RO", "return 7", "0"]),
        Value::Integer(7)
    );
}

#[test]
fn a_script_without_keys_goes_to_the_same_node_for_the_same_arguments() {
    const NODE: &str = "return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')";
    let proxy = shared_proxy();
    let mut clients: [RawClient; 4] = std::array::from_fn(|_| proxy.client());
    let sha = clients[0].call(&["SCRIPT", "LOAD", NODE]).text();
    let mut nodes = BTreeSet::new();
    for argument in 0..30 {
        let argument = argument.to_string();
        let mut replies = BTreeSet::new();
        for client in &mut clients {
            for call in [&["EVAL", NODE][..], &["eval_ro", NODE], &["EVALSHA", &sha]] {
                let reply = client.call(&[call, &["0", &argument]].concat());
                replies.insert(reply.text());
            }
        }
        assert_eq!(replies.len(), 1, "argument {argument}");
        nodes.extend(replies);
    }
    assert_eq!(nodes.len(), 3);
}
