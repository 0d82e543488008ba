//! Scripts inside MULTI that are unknown to the node of their key.

use slotmux_core::slot::slot_of;

use super::{transaction, with_namespaces};
use slotmux_testing::{Proxy, RawClient, Value, calm_cluster, shared_cluster};

/// Tags of slots of the first and of the last shard.
const HERE: &str = "{b}";
const THERE: &str = "{a}";

/// Runs a script by its text for one key, and returns its SHA1.
fn show(client: &mut RawClient, script: &str) -> String {
    let key = format!("{HERE}shown");
    assert_eq!(
        client.call(&["EVAL", script, "1", &key]),
        Value::Integer(42)
    );
    let node = shared_cluster()
        .primary_of_slot(slot_of(key.as_bytes()).0)
        .expect("an owner");
    shared_cluster()
        .query(node, &["SCRIPT", "LOAD", script])
        .expect("its SHA1")
}

#[test]
fn a_script_is_sent_before_the_block_that_names_it() {
    assert_ne!(
        slot_of(HERE.as_bytes()).0 / 5461,
        slot_of(THERE.as_bytes()).0 / 5461
    );
    let proxy: Proxy = with_namespaces(&[("s", "multi = \"split\"")]);
    for (mut client, script) in [
        (proxy.client(), "return 42 -- in MULTI, RESP2"),
        (proxy.client_resp3(), "return 42 -- in MULTI, RESP3"),
    ] {
        let sha = show(&mut client, script);
        let (incr, here, there) = (
            format!("INCR {THERE}n"),
            format!("EVALSHA {sha} 1 {HERE}k"),
            format!("EVALSHA {sha} 1 {THERE}k"),
        );
        client.call(&["DEL", &format!("{THERE}n")]);
        let reply = transaction(&mut client, &[&incr, &there, &there]);
        assert_eq!(reply.items(), [1, 42, 42].map(Value::Integer));
        // The same after a WATCH, whose connection has not carried any script yet.
        assert_eq!(client.call(&["WATCH", &format!("{THERE}n")]), Value::ok());
        let reply = transaction(&mut client, &[&incr, &there]);
        assert_eq!(reply.items(), [2, 42].map(Value::Integer));
        assert_eq!(
            transaction(&mut client, &[&here]).items(),
            [Value::Integer(42)]
        );
        let unknown = format!("EVALSHA {} 1 {THERE}k", "f".repeat(40));
        let reply = transaction(&mut client, &[&unknown]);
        assert!(
            reply.items()[0].error().starts_with("NOSCRIPT"),
            "{reply:?}"
        );
    }
}

/// A redirected block takes its scripts along, whether it comes from a client or a policy.
#[test]
fn scripts_follow_a_redirected_block() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("log.level", "warn");
        config.set("server.workers", 1);
        // Only a redirect reports a move.
        config.set("cluster.topology.refresh", "1h");
        config.set("cluster.topology.min_interval", "1h");
        let section = "name = \"p\"\nmatch = [\"p:\"]\nttl = { default = \"100s\" }";
        config.add_section("namespace", section.parse().expect("TOML"));
    });
    let script = "return 42 -- on its way";
    let mut client = proxy.client();
    let slot = slot_of(b"t").0;
    let from = cluster.primary_of_slot(slot).expect("an owner");
    assert_eq!(
        client.call(&["EVAL", script, "1", "{t}"]),
        Value::Integer(42)
    );
    let sha: String = cluster
        .query(from, &["SCRIPT", "LOAD", script])
        .expect("its SHA1");
    let moved = || proxy.metric("slotmux_moved_total").expect("the counter");
    let mut to = from;
    for is_transaction in [true, false] {
        let before = moved();
        let target = (to + 1) % 3;
        cluster
            .migrate_slot(slot, to, target)
            .expect("the slot moves");
        to = target;
        let reply = if is_transaction {
            let eval = format!("EVALSHA {sha} 1 {{t}}");
            transaction(&mut client, &[&eval]).items()[0].clone()
        } else {
            client.call(&["EVALSHA", &sha, "1", "p:{t}"])
        };
        assert_eq!(reply, Value::Integer(42), "{is_transaction}");
        assert!(moved() > before, "it was not redirected");
    }
}

#[test]
fn a_script_is_sent_before_every_group() {
    let proxy = with_namespaces(&[("s", "multi = \"split\"")]);
    let mut client = proxy.client();
    let sha = show(&mut client, "return 42 -- in every group");
    let lines: Vec<String> = (0..20).map(|i| format!("EVALSHA {sha} 1 s:{i}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let reply = transaction(&mut client, &lines);
    assert_eq!(reply.items(), vec![Value::Integer(42); 20]);
}
