//! Commands that list keys, and commands that concern no key, under the rules of namespaces.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use slotmux::tools::demo::cluster::LocalCluster;
use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use toml::Table;

use crate::keyspace::shared_cluster;
use slotmux_testing::peer::Gate;
use slotmux_testing::{
    Layout, PATIENCE, Peer, Proxy, ProxyConfig, RawClient, Step, Value, calm_cluster, poll_until,
};

use crate::keyspace::said;

fn add(config: &mut ProxyConfig, text: &str) {
    let section: Table = text.parse().expect("TOML");
    config.add_section("namespace", section);
}

fn only_app(config: &mut ProxyConfig) {
    add(config, "name = \"app\"\nmatch = [\"app:\"]");
    config.set("defaults.namespace.unmatched", "reject");
}

/// All keys returned by a scan with these options.
fn scanned(client: &mut RawClient, options: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut cursor = "0".to_owned();
    loop {
        let words = [&["SCAN", &cursor], options].concat();
        let reply = client.call(&words);
        found.extend(reply.items()[1].items().iter().map(Value::text));
        cursor = reply.items()[0].text();
        if cursor == "0" {
            return found;
        }
    }
}

fn shows_only_app(proxy: &Proxy, keys: &BTreeSet<String>) {
    for mut client in [proxy.client(), proxy.client_resp3()] {
        for options in [&[][..], &["COUNT", "3"], &["MATCH", "*", "TYPE", "string"]] {
            assert_eq!(&scanned(&mut client, options), keys, "{options:?}");
        }
        assert!(scanned(&mut client, &["MATCH", "other:*"]).is_empty());
        let listed = client.call(&["KEYS", "*"]);
        let listed: BTreeSet<String> = listed.items().iter().map(Value::text).collect();
        assert_eq!(&listed, keys);
        assert!(client.call(&["KEYS", "other:*"]).items().is_empty());
        for reply in client.pipeline(&vec![vec!["RANDOMKEY"]; 100]) {
            assert!(keys.contains(&reply.text()), "{reply:?}");
        }
        // DBSIZE counts hidden keys too.
        assert_eq!(client.call(&["DBSIZE"]), Value::Integer(40));
        for command in [&["SCAN", "0"][..], &["KEYS", "*"], &["RANDOMKEY"]] {
            client.call(&["MULTI"]);
            client.call(command).error();
            client.call(&["DISCARD"]);
        }
        let told = said(&client.call(&["SLOTMUX", "EXPLAIN", "KEYS", "*"]));
        assert!(told.contains("unmatched"), "{told}");
    }
}

fn fill(mut client: RawClient) -> BTreeSet<String> {
    let mut shown = BTreeSet::new();
    for number in 0..20 {
        let key = format!("app:{number}");
        client.call(&["SET", &key, "1"]);
        shown.insert(key);
        client.call(&["SET", &format!("other:{number}"), "1"]);
    }
    shown
}

#[test]
fn hidden_keys_are_not_listed() {
    let cluster = calm_cluster(0);
    let keys = fill(Proxy::start(&cluster, |_| {}).client());
    let proxy = Proxy::start(&cluster, only_app);
    shows_only_app(&proxy, &keys);
    let as_cluster = Proxy::start(&cluster, |config| {
        only_app(config);
        config.set("listener.personality", "cluster");
    });
    let mut client = as_cluster.client();
    let reply = client.call(&["CLUSTER", "GETKEYSINSLOT", "1", "10"]);
    assert!(reply.error().contains("unmatched"), "{reply:?}");
    assert!(client.call(&["CLUSTER", "COUNTKEYSINSLOT", "1"]).integer() >= 0);
    // If every key is hidden no key is returned.
    let nothing = Proxy::start(&cluster, |config| {
        config.set("defaults.namespace.unmatched", "reject");
    });
    let mut client = nothing.client();
    assert_eq!(client.call(&["RANDOMKEY"]), Value::Null);
    assert!(client.call(&["KEYS", "*"]).items().is_empty());
    assert!(scanned(&mut client, &[]).is_empty());
    // Other settings show all keys.
    let read_only = Proxy::start(&cluster, |config| {
        config.set("defaults.namespace.unmatched", "read-only");
    });
    assert_eq!(scanned(&mut read_only.client(), &[]).len(), 40);
}

#[test]
fn hidden_keys_of_one_redis_are_not_listed() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    let keys = fill(RawClient::connect(server.port()));
    let proxy = Proxy::start_before(&server, only_app);
    shows_only_app(&proxy, &keys);
    // SORT does not read them by its patterns either, which a plain Redis follows to any key.
    let mut client = proxy.client();
    client.call(&["RPUSH", "app:list", "1"]);
    for words in [
        &["SORT", "app:list", "BY", "nosort", "GET", "other:*"][..],
        &["sort_ro", "app:list", "by", "*"],
    ] {
        let reply = client.call(words);
        assert!(reply.error().contains("unmatched"), "{words:?}: {reply:?}");
    }
    let own = client.call(&["SORT", "app:list", "BY", "nosort", "GET", "app:*"]);
    assert_eq!(own, Value::Array(vec![Value::bulk("1")]));
}

#[test]
fn a_read_only_namespace_refuses_only_commands_that_delete_its_keys() {
    let cluster: &LocalCluster = shared_cluster();
    for rule in ["read_only", "unmatched"] {
        let proxy = Proxy::start(cluster, |config| match rule {
            "read_only" => add(config, "name = \"ro\"\nmatch = [\"ro:\"]\nread_only = true"),
            _ => config.set("defaults.namespace.unmatched", "read-only"),
        });
        let mut client = proxy.client();
        for command in ["FLUSHALL", "FLUSHDB"] {
            let reply = client.call(&[command]);
            let text = reply.error();
            assert!(
                text.contains("would delete") && text.ends_with(&format!("({rule})")),
                "{text}"
            );
        }
        let library =
            "#!lua name=hidden\nredis.register_function('hidden_f', function() return 7 end)";
        assert_eq!(
            client.call(&["FUNCTION", "LOAD", "REPLACE", library]),
            Value::bulk("hidden")
        );
        let dump = client.call(&["FUNCTION", "DUMP"]);
        assert!(matches!(dump, Value::Bulk(_)), "{dump:?}");
        assert_eq!(client.call(&["FUNCTION", "DELETE", "hidden"]), Value::ok());
        assert_eq!(client.call(&["FUNCTION", "FLUSH"]), Value::ok());
    }
}

/// A namespace that denies one of these denies it for all keys, because the command affects every key.
#[test]
fn a_namespace_that_refuses_keys_refuses_the_listing() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        add(
            config,
            "name = \"deny\"\nmatch = [\"deny:\"]\ndeny = [\"keys\", \"scan\", \"function\"]",
        );
    });
    let mut client = proxy.client();
    for command in [&["KEYS", "x"][..], &["SCAN", "0"], &["FUNCTION", "LIST"]] {
        let reply = client.call(command);
        assert!(reply.error().contains("(deny)"), "{command:?} {reply:?}");
    }
    assert!(!matches!(client.call(&["RANDOMKEY"]), Value::Error(_)));
}

/// One of two nodes: its GETs wait for the gate, and so do its keys and their number if `holds_keys`. The first key is
/// hidden.
fn drawn_from(layout: &Layout, gate: &Gate, holds_keys: bool, number: &'static str) -> Peer {
    let (held, drawn) = (gate.clone(), AtomicBool::new(false));
    Peer::start_in(layout, move |request| {
        let (holds, reply) = match request.name().as_str() {
            "GET" => (true, "$1\r\nv\r\n"),
            "RANDOMKEY" if !drawn.swap(true, Ordering::SeqCst) => (holds_keys, "$5\r\nother\r\n"),
            "RANDOMKEY" => (false, "$5\r\napp:1\r\n"),
            "DBSIZE" => (holds_keys, number),
            _ => return None,
        };
        let waits = holds.then(|| Step::Gate(held.clone()));
        let reply = Step::Bytes(reply.into());
        Some(waits.into_iter().chain([reply]).collect())
    })
}

/// A second draw respects the limits of a connection: it waits for room, as the first did.
#[test]
fn another_draw_waits_for_room_on_every_connection() {
    let (layout, slow_keys, slow_values) = (Layout::default(), Gate::default(), Gate::default());
    let first = drawn_from(&layout, &slow_keys, true, ":0\r\n");
    let second = drawn_from(&layout, &slow_values, false, ":1\r\n");
    // a is in slot 15495, b in 3300.
    layout.set(&[(0, 8191, first.port()), (8192, 16383, second.port())]);
    let proxy = Proxy::start_at(&first.seeds(), None, |config| {
        only_app(config);
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "60s");
        config.set("cluster.timeouts.response", "60s");
        config.set("cluster.connections.max_in_flight", 4);
    });
    let draws = |peer: &Peer| peer.requests_named("RANDOMKEY").len();
    let mut drawing = proxy.client();
    drawing.send(&["RANDOMKEY"]);
    poll_until(PATIENCE, "the first draw", || {
        draws(&first) + draws(&second) == 2
    });
    // As many as fit on the connection to the second node, and one more.
    let mut filling = proxy.client();
    let parks = proxy.metric("slotmux_client_pauses_total");
    for _ in 0..5 {
        filling.send(&["GET", "app:{a}"]);
    }
    poll_until(PATIENCE, "the connection to be full", || {
        proxy.metric("slotmux_client_pauses_total") > parks
    });
    // The first node's part of the draw arrives, followed by a reply that proves its arrival.
    let mut probe = proxy.client();
    probe.send(&["GET", "app:{b}"]);
    slow_keys.open();
    assert_eq!(probe.read(), Value::bulk("v"));
    assert_eq!(probe.call(&["GET", "app:{b}"]), Value::bulk("v"));
    assert_eq!((draws(&first), draws(&second)), (1, 1));
    slow_values.open();
    assert_eq!(drawing.read(), Value::bulk("app:1"));
    assert_eq!((draws(&first), draws(&second)), (2, 2));
    for _ in 0..5 {
        assert_eq!(filling.read(), Value::bulk("v"));
    }
}
