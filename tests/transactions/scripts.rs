//! Scripts inside MULTI that the node of their key has not seen.

use slotmux::slot::slot_of;

use super::common::{Proxy, RawClient, Value, shared_cluster};
use super::{transaction, with_namespaces};

/// Tags of slots of the first and of the last shard.
const HERE: &str = "{b}";
const THERE: &str = "{a}";

/// Runs a script by its text for one key, and gives back its SHA1.
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
fn a_script_goes_ahead_of_the_block_that_names_it() {
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
        // The same behind a WATCH, which has a connection that has carried nothing yet.
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

#[test]
fn a_script_goes_ahead_in_every_group() {
    let proxy = with_namespaces(&[("s", "multi = \"split\"")]);
    let mut client = proxy.client();
    let sha = show(&mut client, "return 42 -- in every group");
    let lines: Vec<String> = (0..20).map(|i| format!("EVALSHA {sha} 1 s:{i}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let reply = transaction(&mut client, &lines);
    assert_eq!(reply.items(), vec![Value::Integer(42); 20]);
}
