//! Requests with more arguments than any fixed limit, within the configured one.

use super::add_namespace;
use slotmux_testing::client::command;
use slotmux_testing::{Proxy, RawClient, Value, calm_cluster};

/// More pairs than 2^20 arguments hold.
const PAIRS: usize = 524_300;

/// An MSET of this many pairs in the slot of `{a}`, and one in that of `{b}` if it is to be split.
fn mset(prefix: &str, is_split: bool) -> Vec<u8> {
    let mut words = vec!["MSET".to_owned()];
    if is_split {
        words.extend([format!("ns:{prefix}{{b}}"), "v".to_owned()]);
    }
    for i in 0..PAIRS {
        words.extend([format!("ns:{prefix}{{a}}{i}"), "v".to_owned()]);
    }
    command(&words)
}

#[track_caller]
fn all_have_a_ttl(client: &mut RawClient, prefix: &str) {
    for i in [0, 1, PAIRS / 2, PAIRS - 1] {
        let ttl = client.call(&["PTTL", &format!("ns:{prefix}{{a}}{i}")]);
        assert!(ttl.integer() > 0, "{prefix} {i}: {ttl:?}");
    }
}

#[test]
fn no_request_is_too_long_for_its_policy() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| {
        add_namespace(config, "ns", "default = \"1000s\", max = \"2000s\"");
        config.set("namespace.multi", "split");
        config.set("listener.limits.max_args", 4_194_304);
        // On a busy machine a node takes long for this many pairs.
        config.set("cluster.timeouts.command", "60s");
        config.set("cluster.timeouts.response", "60s");
    });
    let mut client = proxy.client();
    for (prefix, is_split) in [("split", true), ("whole", false)] {
        client.send_raw(&mset(prefix, is_split));
        assert_eq!(client.read(), Value::ok(), "{prefix}");
        all_have_a_ttl(&mut client, prefix);
    }
    let ttl = client.call(&["PTTL", "ns:split{b}"]).integer();
    assert!(ttl > 0, "{ttl}");
    client.call(&["MULTI"]);
    client.send_raw(&mset("multi", true));
    let reply = client.read();
    assert!(
        reply.error().contains("at most 16384 arguments"),
        "{reply:?}"
    );
    client.call(&["DISCARD"]);
    client.call(&["MULTI"]);
    client.send_raw(&mset("multi", false));
    assert_eq!(client.read(), Value::Simple("QUEUED".to_owned()));
    assert_eq!(client.call(&["EXEC"]), Value::Array(vec![Value::ok()]));
    all_have_a_ttl(&mut client, "multi");
}
