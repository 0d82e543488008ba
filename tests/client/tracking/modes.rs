//! Receivers of invalidations in each mode.

use std::collections::HashSet;

use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_core::slot::slot_of;

use super::{expect_invalidation, expect_silence, keys_of, tracking};
use slotmux_testing::{PATIENCE, Proxy, Value, poll_until, shared_cluster, shared_proxy, times};

#[test]
fn only_readers_get_an_invalidation_and_only_once() {
    let proxy = shared_proxy();
    // Enough for both workers, and for several on one connection.
    let mut readers: Vec<_> = (0..8).map(|_| tracking(proxy, &[])).collect();
    let mut other = tracking(proxy, &[]);
    let mut untold = proxy.client_resp3();
    for client in readers.iter_mut().chain([&mut untold]) {
        assert_eq!(client.call(&["GET", "{who}k"]), Value::Null);
    }
    assert_eq!(other.call(&["GET", "{who}other"]), Value::Null);
    let mut writer = proxy.client();
    for _ in 0..3 {
        assert_eq!(writer.call(&["SET", "{who}k", "1"]), Value::ok());
    }
    for reader in &mut readers {
        expect_invalidation(reader, "{who}k");
        expect_silence(reader, "who");
    }
    expect_silence(&mut other, "who");
    expect_silence(&mut untold, "who");
}

#[test]
fn writes_directly_at_the_node_and_expiries_invalidate_too() {
    let cluster = shared_cluster();
    let mut client = tracking(shared_proxy(), &[]);
    let node = cluster
        .primary_of_slot(slot_of(b"past").0)
        .expect("an owner");
    for words in [
        &["SET", "past", "1"][..],
        &["PEXPIRE", "past", "1000000"],
        &["DEL", "past"],
    ] {
        client.call(&["GET", "past"]);
        cluster.query::<()>(node, words).expect("done");
        expect_invalidation(&mut client, "past");
    }
    // On a busy machine the key may be gone before it is read.
    poll_until(PATIENCE, "a read before the expiry", || {
        client.call(&["SET", "past", "1", "PX", "200"]);
        client.call(&["GET", "past"]) == Value::bulk("1")
    });
    expect_invalidation(&mut client, "past");
}

#[test]
fn a_thousand_keys_over_all_nodes() {
    let proxy = shared_proxy();
    let mut client = tracking(proxy, &[]);
    let names: Vec<String> = (0..times(1000, 20_000))
        .map(|i| format!("many:{i}"))
        .collect();
    for some in names.chunks(50) {
        let mget: Vec<&str> = ["MGET"]
            .into_iter()
            .chain(some.iter().map(String::as_str))
            .collect();
        assert_eq!(client.call(&mget).items().len(), some.len());
    }
    let mut writer = proxy.client();
    for name in &names {
        writer.send(&["SET", name, "1"]);
    }
    let mut left: HashSet<String> = names.iter().cloned().collect();
    while !left.is_empty() {
        for key in keys_of(&client.read()).expect("single keys") {
            assert!(left.remove(&key), "{key} came twice");
        }
    }
    for _ in &names {
        assert_eq!(writer.read(), Value::ok());
    }
    // No state of these remains: later writes cause no invalidation.
    for name in &names {
        writer.call(&["DEL", name]);
    }
    for tag in ["a", "b", "c", "d", "e", "f"] {
        expect_silence(&mut client, tag);
    }
}

#[test]
fn a_resp2_client_may_turn_tracking_on_without_getting_pushes() {
    let proxy = shared_proxy();
    let mut client = proxy.client();
    assert_eq!(client.call(&["CLIENT", "TRACKING", "ON"]), Value::ok());
    client.call(&["GET", "{two}k"]);
    let mut writer = proxy.client();
    writer.call(&["SET", "{two}k", "1"]);
    expect_silence(&mut client, "two");
    // Its earlier reads were not tracked: after the switch to RESP3 everything is invalidated.
    assert!(matches!(client.call(&["HELLO", "3"]), Value::Map(_)));
    super::expect_all_forgotten(&mut client);
    client.call(&["GET", "{two}k"]);
    assert!(matches!(client.call(&["HELLO", "2"]), Value::Array(_)));
    writer.call(&["SET", "{two}k", "2"]);
    expect_silence(&mut client, "two");
    assert!(matches!(client.call(&["HELLO", "3"]), Value::Map(_)));
    super::expect_all_forgotten(&mut client);
    assert_eq!(client.call(&["RESET"]), Value::Simple("RESET".into()));
    assert_eq!(client.call(&["CLIENT", "GETREDIR"]), Value::Integer(-1));
}

#[test]
fn tracking_shows_in_lists_and_numbers() {
    let proxy = Proxy::start(shared_cluster(), |_| {});
    let mut client = tracking(&proxy, &[]);
    let line = client.call(&["CLIENT", "INFO"]).text();
    assert!(
        line.contains(" flags=t ") && line.contains(" redir=0 "),
        "{line}"
    );
    let info = client.call(&["INFO", "clients"]).text();
    assert!(info.contains("\r\ntracking_clients:1\r\n"), "{info}");
    drop(client);
    poll_until(PATIENCE, "no tracking client", || {
        proxy.metric("slotmux_tracking_clients") == Some(0.0)
    });
}

#[test]
fn reads_over_dedicated_lanes_are_invalidated_at_once() {
    let proxy = shared_proxy();
    let mut client = tracking(proxy, &[]);
    let big = "x".repeat(200_000);
    // The first read uses the shared lane; by it slotmux learns that these values are big.
    client.call(&["SET", "alone:{b}", &big]);
    let mut told = 0;
    for _ in 0..6 {
        assert_eq!(client.call(&["GET", "alone:{b}"]), Value::bulk(&big));
        while client.has_news(std::time::Duration::from_millis(20)) {
            expect_invalidation(&mut client, "alone:{b}");
            told += 1;
        }
    }
    assert!(told >= 4, "{told}");
    // The same holds for reads over the connection of a WATCH.
    assert_eq!(client.call(&["WATCH", "{b}w"]), Value::ok());
    assert_eq!(client.call(&["GET", "{b}w"]), Value::Null);
    expect_invalidation(&mut client, "{b}w");
    client.call(&["MULTI"]);
    client.call(&["GET", "{b}v"]);
    assert_eq!(client.call(&["EXEC"]).items(), [Value::Null]);
    expect_invalidation(&mut client, "{b}v");
}

#[test]
fn a_transaction_over_several_slots_is_tracked_in_each() {
    let proxy = shared_proxy();
    let mut client = tracking(proxy, &["OPTIN"]);
    client.call(&["CLIENT", "CACHING", "YES"]);
    client.call(&["MULTI"]);
    for key in ["slots:a", "slots:b", "slots:c"] {
        client.call(&["GET", key]);
    }
    assert_eq!(client.call(&["EXEC"]).items().len(), 3);
    let mut writer = proxy.client();
    for key in ["slots:a", "slots:b", "slots:c"] {
        writer.call(&["SET", key, "1"]);
        expect_invalidation(&mut client, key);
    }
}

#[test]
fn one_plain_server_behaves_the_same() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a Redis");
    let proxy = Proxy::start_before(&server, |_| {});
    let mut client = tracking(&proxy, &[]);
    let mut writer = proxy.client();
    assert_eq!(client.call(&["MGET", "a", "b"]).items().len(), 2);
    for key in ["a", "b"] {
        writer.call(&["SET", key, "1"]);
        expect_invalidation(&mut client, key);
    }
}

#[test]
fn scripts_are_tracked_and_those_under_a_policy_invalidated_at_once() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.extend(
            "[[namespace]]\nname = \"ruled\"\nmatch = [\"ruled:\"]\nttl = { default = \"1h\" }\n",
        );
    });
    let mut client = tracking(&proxy, &[]);
    let script = "return redis.call('get', KEYS[1])";
    client.call(&["EVAL", script, "1", "free:{s}"]);
    expect_silence(&mut client, "s");
    proxy.client().call(&["SET", "free:{s}", "1"]);
    expect_invalidation(&mut client, "free:{s}");
    client.call(&["EVAL", script, "1", "ruled:{s}"]);
    expect_invalidation(&mut client, "ruled:{s}");
    // A transaction is tracked together with the commands of its policy.
    client.call(&["MULTI"]);
    client.call(&["SET", "ruled:{s}", "1"]);
    client.call(&["GET", "ruled:{s}"]);
    client.call(&["EXEC"]);
    expect_silence(&mut client, "s");
    proxy.client().call(&["SET", "ruled:{s}", "2"]);
    expect_invalidation(&mut client, "ruled:{s}");
}

/// The keys of a split request are tracked in each slot, with or without a policy for them; commands that a policy adds
/// to a write do not count as reads.
#[test]
fn a_split_request_is_tracked_in_each_slot_with_a_policy_too() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.extend(
            "[[namespace]]\nname = \"split\"\nmatch = [\"split:\"]\nttl = { default = \"1h\" }\n",
        );
    });
    let mut client = tracking(&proxy, &[]);
    let mut writer = proxy.client();
    let keys = ["split:a", "split:b", "unruled:c", "split:d"];
    for read in ["MGET", "EXISTS", "TOUCH"] {
        client.call(&[&[read][..], &keys].concat());
        // Each key is named once.
        let pairs: Vec<&str> = keys.iter().flat_map(|key| [*key, "1"]).collect();
        writer.call(&[&["MSET"][..], &pairs].concat());
        let mut told: Vec<String> = keys
            .iter()
            .flat_map(|_| keys_of(&client.read()).expect("keys"))
            .collect();
        told.sort_unstable();
        let mut expected = keys.map(str::to_owned).to_vec();
        expected.sort_unstable();
        assert_eq!(told, expected, "{read}");
        assert_eq!(client.call(&[&["MSET"][..], &pairs].concat()), Value::ok());
        writer.call(&[&["MSET"][..], &pairs].concat());
        for tag in ["split:a", "split:b", "unruled:c", "split:d"] {
            assert_eq!(
                client.call(&["EXISTS", &format!("{{{tag}}}nothing")]),
                Value::Integer(0)
            );
        }
    }
}
