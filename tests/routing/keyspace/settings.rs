//! The settings about commands for all keys and all nodes: `commands.keys`, `commands.admin`, `flush`.

use slotmux::tools::demo::cluster::{LocalCluster, Options};

use crate::keyspace::shared_cluster;
use slotmux_testing::{CALM, Proxy, RawClient, Value};

use crate::keyspace::key_on;

/// One setting of a node.
fn setting(cluster: &LocalCluster, node: usize, name: &str) -> String {
    let pair: Vec<String> = cluster
        .query(node, &["CONFIG", "GET", name])
        .expect("a setting");
    pair[1].clone()
}

#[test]
fn keys_may_be_refused() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("commands.keys", "reject");
    });
    let mut client = proxy.client();
    let text =
        "ERR slotmux: 'keys' is refused: commands.keys = \"reject\"; SCAN does the same in steps";
    assert_eq!(client.call(&["KEYS", "*"]), Value::Error(text.into()));
    assert_eq!(client.call(&["SCAN", "0"]).items().len(), 2);
    client.call(&["MULTI"]);
    assert_eq!(client.call(&["KEYS", "*"]).error(), text);
    assert!(client.call(&["EXEC"]).error().starts_with("EXECABORT"));
}

#[test]
fn flushes_may_be_refused() {
    let cluster = shared_cluster();
    let proxy = Proxy::start(cluster, |config| {
        config.set("defaults.namespace.flush", "reject");
    });
    let mut client = proxy.client();
    client.call(&["SET", "flush:k", "1"]);
    for command in ["FLUSHALL", "FLUSHDB"] {
        let reply = client.call(&[command, "ASYNC"]);
        let name = command.to_lowercase();
        let text =
            format!("ERR slotmux: '{name}' is refused: flush = \"reject\" of [defaults.namespace]");
        assert_eq!(reply.error(), text);
    }
    assert_eq!(client.call(&["DEL", "flush:k"]), Value::Integer(1));
}

#[test]
fn administration_of_nodes_must_be_allowed() {
    let cluster = LocalCluster::start(Options {
        node_timeout: CALM,
        extra: vec![("enable-debug-command".to_owned(), "yes".to_owned())],
        ..Options::default()
    })
    .expect("a cluster");
    let closed = Proxy::start(&cluster, |_| {});
    let mut client = closed.client();
    for words in [
        &["CONFIG", "SET", "maxmemory", "1gb"][..],
        &["CONFIG", "RESETSTAT"],
        &["CONFIG", "REWRITE"],
        &["DEBUG", "OBJECT", "k"],
        &["DEBUG", "SLEEP", "0"],
    ] {
        let reply = client.call(words);
        assert!(
            reply.error().contains("commands.admin = \"reject\""),
            "{reply:?}"
        );
    }
    let proxy = Proxy::start(&cluster, |config| config.set("commands.admin", "fanout"));
    for (mut client, value) in [(proxy.client(), "101"), (proxy.client_resp3(), "102")] {
        assert_eq!(
            client.call(&["CONFIG", "SET", "slowlog-max-len", value]),
            Value::ok()
        );
        for node in 0..6 {
            assert_eq!(
                setting(&cluster, node, "slowlog-max-len"),
                value,
                "node {node}"
            );
        }
        // CONFIG GET returns what CONFIG SET has set, except passwords; parameters of connections are those of slotmux.
        let got = client.call(&["CONFIG", "GET", "slowlog-max-len"]);
        assert!(
            format!("{got:?}").contains(&format!("{:?}", Value::bulk(value))),
            "{got:?}"
        );
        let all = format!("{:?}", client.call(&["CONFIG", "GET", "*"]));
        assert!(!all.contains(&format!("{:?}", Value::bulk("requirepass"))));
        let port = format!("{:?}", client.call(&["CONFIG", "GET", "port"]));
        assert!(
            port.contains(&format!("{:?}", Value::bulk(proxy.port().to_string()))),
            "{port}"
        );
        let reply = client.call(&["CONFIG", "SET", "nosuch", "1"]);
        assert!(reply.error().starts_with("ERR Unknown option"), "{reply:?}");
        assert_eq!(client.call(&["CONFIG", "RESETSTAT"]), Value::ok());
        // Commands that end or freeze nodes are always refused.
        let reply = client.call(&["DEBUG", "SEGFAULT"]);
        assert!(reply.error().contains("single server"), "{reply:?}");
        assert!(!client.call(&["DEBUG", "HELP"]).items().is_empty());
        client.call(&["MULTI"]);
        assert!(
            client
                .call(&["CONFIG", "RESETSTAT"])
                .error()
                .contains("MULTI")
        );
        client.call(&["DISCARD"]);
    }
    let mut client = proxy.client();
    assert_eq!(client.call(&["DEBUG", "SLEEP", "0"]), Value::ok());
    for node in 0..3 {
        let key = key_on(&cluster, node, 0);
        client.call(&["SET", &key, "1"]);
        let told = client.call(&["DEBUG", "OBJECT", &key]).text();
        assert!(told.contains("encoding:int"), "{told}");
    }
    let lost = client.call(&["DEBUG", "OBJECT", "nosuch"]);
    assert_eq!(lost.error(), "ERR no such key");
}

fn total(client: &mut RawClient, name: &str) -> u64 {
    let info = client.call(&["INFO", "stats"]).text();
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.expect("a line").parse().expect("a number")
}

#[test]
fn resetstat_resets_the_totals_of_slotmux_too() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("commands.admin", "fanout");
    });
    let mut client = proxy.client();
    for _ in 0..20 {
        client.call(&["NOSUCH"]);
    }
    assert!(total(&mut client, "total_error_replies") >= 20);
    assert!(total(&mut client, "total_connections_received") >= 1);
    assert_eq!(client.call(&["CONFIG", "RESETSTAT"]), Value::ok());
    assert_eq!(total(&mut client, "total_error_replies"), 0);
    client.call(&["NOSUCH"]);
    assert_eq!(total(&mut client, "total_error_replies"), 1);
    assert_eq!(total(&mut client, "total_connections_received"), 0);
    assert!(total(&mut client, "total_commands_processed") < 10);
    // The metrics of the admin page keep their counts.
    let scraped = proxy.metric("slotmux_errors_total");
    assert!(scraped.is_some_and(|errors| errors >= 21.0), "{scraped:?}");
}

/// CONFIG GET shows those of slotmux: a node must not get them, least of all its port.
#[test]
fn parameters_of_slotmux_are_not_set_at_the_nodes() {
    let cluster = shared_cluster();
    let proxy = Proxy::start(cluster, |config| config.set("commands.admin", "fanout"));
    let mut client = proxy.client();
    let before = setting(cluster, 0, "port");
    let port = proxy.port().to_string();
    for words in [
        &["CONFIG", "SET", "port", &port][..],
        &["config", "set", "Port", "0"],
        &["config", "set", "port\0x", "0"],
        &["CONFIG", "SET", "slowlog-max-len", "77", "port", &port],
    ] {
        let reply = client.call(words);
        assert_eq!(
            reply.error(),
            "ERR CONFIG SET failed (possibly related to argument 'port') - slotmux has its own, in its configuration file"
        );
    }
    assert_eq!(setting(cluster, 0, "port"), before);
    assert_ne!(setting(cluster, 0, "slowlog-max-len"), "77");
    // A value with the name of a parameter is not a parameter.
    let reply = client.call(&["CONFIG", "SET", "slowlog-max-len", "port"]);
    assert!(!reply.error().contains("slotmux"), "{reply:?}");
}
