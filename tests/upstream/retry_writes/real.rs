//! Real nodes whose connections are cut behind a request, or that are killed or frozen with requests in their sockets.

use std::time::Duration;

use slotmux::tools::demo::cluster::{LocalCluster, Options};
use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use toml::Table;

use crate::retry_writes::{UNKNOWN, namespaces, tag};
use slotmux_testing::fault::Way;
use slotmux_testing::{FaultProxy, PATIENCE, Proxy, RawClient, Value, calm_cluster, poll_until};

/// A cluster whose first node slotmux reaches through a network that fails.
struct Faulty {
    cluster: LocalCluster,
    network: FaultProxy,
    proxy: Proxy,
}

impl Faulty {
    fn start(default: &str) -> Faulty {
        let cluster = calm_cluster(0);
        let network = FaultProxy::start(cluster.node(0).port);
        let proxy = Proxy::start(&cluster, |config| {
            let mut map = Table::new();
            let announced = format!("127.0.0.1:{}", cluster.node(0).port);
            map.insert(announced, format!("127.0.0.1:{}", network.port()).into());
            config.set("cluster.address_map", map);
            config.set("defaults.namespace.retry_writes", default);
            namespaces(config);
        });
        Faulty {
            cluster,
            network,
            proxy,
        }
    }

    fn counted(&self, metric: &str) -> f64 {
        self.proxy.metric(metric).expect("a count")
    }

    /// The reply to a command that the node has run, and whose connection was cut before the reply arrived; and the
    /// number of its executions.
    fn behind<A: AsRef<[u8]>>(&self, client: &mut RawClient, words: &[A]) -> (Value, u64) {
        let warm = format!("warm:{}", tag());
        let name = String::from_utf8_lossy(words[0].as_ref()).to_lowercase();
        for _ in 0..100 {
            // So that a connection exists.
            client.call(&["GET", &warm]);
            let before = self.counted("slotmux_upstream_lost_total");
            let calls = self.calls(&name);
            self.network.cut(Way::Down);
            let reply = client.call(words);
            if self.counted("slotmux_upstream_lost_total") > before {
                return (reply, self.calls(&name) - calls);
            }
            // The cut hit a connection of the topology refresh.
        }
        panic!("no cut hit the command");
    }

    /// The number of executions of a command at the first node.
    fn calls(&self, name: &str) -> u64 {
        let info: String = self
            .cluster
            .query(0, &["INFO", "commandstats"])
            .expect("INFO");
        let start = format!("cmdstat_{name}:calls=");
        info.lines()
            .find_map(|line| line.strip_prefix(&start)?.split(',').next()?.parse().ok())
            .unwrap_or(0)
    }
}

#[test]
fn a_repeatable_write_runs_twice_where_its_namespace_allows_it() {
    let faulty = Faulty::start("never");
    let mut client = faulty.proxy.client();
    let tag = tag();
    let key = |namespace: &str| format!("{namespace}:{tag}");
    let (own, brief) = (key("in"), key("brief"));
    let other = format!("{own}:2");
    let dump = {
        client.call(&["SET", "dumped", "v"]);
        client.call_bytes(&["DUMP", "dumped"])
    };
    let head = dump
        .iter()
        .position(|&byte| byte == b'\n')
        .expect("a bulk string")
        + 1;
    let dump = &dump[head..dump.len() - 2];
    let repeated: &[&[&str]] = &[
        &["SET", &own, "1"],
        &["SET", &own, "2", "EX", "100"],
        &["SETEX", &own, "100", "3"],
        &["PSETEX", &own, "100000", "4"],
        &["MSET", &own, "5", &other, "6"],
        &["SET", &brief, "7"],
    ];
    for words in repeated {
        let (reply, runs) = faulty.behind(&mut client, words);
        assert_eq!((reply, runs), (Value::ok(), 2), "{words:?}");
    }
    assert_eq!(
        client.call(&["MGET", &own, &other, &brief]).items(),
        ["5", "6", "7"].map(Value::bulk)
    );
    // A hash, so that the expiry of its namespace is a separate command.
    for namespace in ["brief", "loose"] {
        let hash = format!("{namespace}:{tag}:hash");
        let (reply, runs) = faulty.behind(&mut client, &["HMSET", &hash, "f", "v"]);
        assert_eq!((reply, runs), (Value::ok(), 2), "{namespace}");
        assert!(client.call(&["TTL", &hash]).integer() > 3000, "{namespace}");
    }
    // Over a dedicated connection.
    let big = "b".repeat(100_000);
    let (reply, runs) = faulty.behind(&mut client, &["SET", &own, &big]);
    assert_eq!((reply, runs), (Value::ok(), 2));
    assert_eq!(client.call(&["STRLEN", &own]).integer(), 100_000);
    let before = faulty.counted("slotmux_writes_repeated_total");
    // Over several slots each part is decided separately.
    for namespace in ["in", "brief"] {
        let first = key(namespace);
        let far: Vec<String> = (0..20).map(|i| format!("{namespace}:far{i}")).collect();
        let mut split = vec!["MSET", &first, "8"];
        split.extend(far.iter().flat_map(|key| [&**key, "9"]));
        let reply = faulty.behind(&mut client, &split).0;
        assert_eq!(reply, Value::ok(), "{namespace}");
    }
    assert!(faulty.counted("slotmux_writes_repeated_total") > before);
    assert_eq!(client.call(&["GET", &own]), Value::bulk("8"));
    let restore = [b"RESTORE", own.as_bytes(), b"0", dump, b"REPLACE"];
    assert_eq!(faulty.behind(&mut client, &restore), (Value::ok(), 2));
    assert_eq!(client.call(&["GET", &own]), Value::bulk("v"));
}

#[test]
fn every_other_write_gets_its_error_and_runs_once() {
    let faulty = Faulty::start("never");
    let mut client = faulty.proxy.client();
    let tag = tag();
    let key = |namespace: &str| format!("{namespace}:{tag}");
    let (own, out) = (key("in"), key("out"));
    let [counter, hash, fresh] = ["counter", "hash", "fresh"].map(|name| format!("{own}:{name}"));
    let once: &[&[&str]] = &[
        // Not repeated because of their namespaces.
        &["SET", &out, "1"],
        &["SET", &key("plain"), "1"],
        &["SET", &key("of-none"), "1"],
        &["MSET", &own, "1", &out, "2"],
        // Not repeated because of the command.
        &["INCR", &counter],
        &["HSET", &hash, "f", "v"],
        &["SET", &fresh, "v", "NX"],
        &["SET", &own, "v", "XX"],
        &["SET", &own, "v", "GET"],
        &["SET", &own, "v", "KEEPTTL"],
        &["APPEND", &own, "x"],
        &["EXPIRE", &own, "100"],
        &["DEL", &own],
        &["EVAL", "return redis.call('SET', KEYS[1], 'v')", "1", &own],
    ];
    for words in once {
        let (reply, runs) = faulty.behind(&mut client, words);
        assert_eq!((reply.error(), runs), (UNKNOWN, 1), "{words:?}");
    }
    assert_eq!(client.call(&["GET", &counter]), Value::bulk("1"));
    // Commands in a transaction are not sent again either.
    let mut cut_behind_exec = || {
        client.pipeline(&[vec!["GET", &own], vec!["MULTI"], vec!["SET", &own, "v"]]);
        let before = faulty.counted("slotmux_upstream_lost_total");
        faulty.network.cut(Way::Down);
        let reply = client.call(&["EXEC"]);
        (faulty.counted("slotmux_upstream_lost_total") > before).then_some(reply)
    };
    let reply = (0..100).find_map(|_| cut_behind_exec());
    assert_eq!(reply.expect("a cut").error(), UNKNOWN);
    assert_eq!(faulty.counted("slotmux_writes_repeated_total"), 0.0);
}

#[test]
fn the_default_holds_for_unmatched_keys_too() {
    let faulty = Faulty::start("idempotent");
    let mut client = faulty.proxy.client();
    let tag = tag();
    for (namespace, expected) in [("of-none", true), ("plain", true), ("out", false)] {
        let key = format!("{namespace}:{tag}");
        let (reply, runs) = faulty.behind(&mut client, &["SET", &key, "v"]);
        if expected {
            assert_eq!((reply, runs), (Value::ok(), 2), "{namespace}");
        } else {
            assert_eq!((reply.error(), runs), (UNKNOWN, 1), "{namespace}");
        }
    }
}

/// A cluster that replaces silent primaries, with fully synchronized replicas.
fn replaceable() -> LocalCluster {
    LocalCluster::start(Options {
        node_timeout: Duration::from_secs(2),
        extra: vec![("cluster-require-full-coverage".into(), "no".into())],
        ..Options::default()
    })
    .expect("a cluster")
}

/// A hundred SETs of a client for the first node, which does not read them.
fn into_its_socket(cluster: &LocalCluster, proxy: &Proxy) -> RawClient {
    let mut client = proxy.client();
    client.call(&["GET", &tag()]);
    cluster.stop(0).expect("stopped");
    for i in 0..100 {
        client.send(&["SET", &format!("in:{}:{i}", tag()), &i.to_string()]);
    }
    poll_until(PATIENCE, "all commands to be in flight", || {
        proxy.metric("slotmux_in_flight") == Some(100.0)
    });
    client
}

fn before(cluster: &LocalCluster) -> Proxy {
    Proxy::start(cluster, |config| {
        namespaces(config);
        config.set("cluster.timeouts.command", "25s");
        config.set("cluster.timeouts.response", "25s");
    })
}

fn assert_all_are_there(proxy: &Proxy, values: &str) {
    let mut client = proxy.client();
    for i in 0..100 {
        let value = client.call(&["GET", &format!("in:{}:{i}", tag())]);
        assert_eq!(value, Value::bulk(format!("{values}{i}")));
    }
}

#[test]
fn a_primary_killed_under_sets_causes_no_error() {
    let cluster = replaceable();
    let proxy = before(&cluster);
    let mut client = into_its_socket(&cluster, &proxy);
    cluster.kill(0);
    for _ in 0..100 {
        assert_eq!(client.read(), Value::ok());
    }
    assert_eq!(proxy.metric("slotmux_writes_repeated_total"), Some(100.0));
    assert_all_are_there(&proxy, "");
}

#[test]
fn a_frozen_primary_replaced_under_sets_causes_no_error() {
    let cluster = replaceable();
    let proxy = before(&cluster);
    let mut client = into_its_socket(&cluster, &proxy);
    for _ in 0..100 {
        assert_eq!(client.read(), Value::ok());
    }
    assert_eq!(proxy.metric("slotmux_writes_repeated_total"), Some(100.0));
    for i in 0..100 {
        let key = format!("in:{}:{i}", tag());
        let later = format!("later {i}");
        assert_eq!(client.call(&["SET", &key, &later]), Value::ok());
    }
    // Requests in its socket when it wakes up do not affect the data of the cluster.
    cluster.resume(0).expect("resumed");
    let id = &cluster.node(0).id;
    poll_until(PATIENCE, "the node to be a replica", || {
        let view = cluster.view(0).expect("a view");
        view.iter().any(|line| line.id == *id && !line.owns(0))
    });
    assert_all_are_there(&proxy, "later ");
}

#[test]
fn a_write_that_may_still_run_at_its_node_is_not_sent_again() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    let proxy = Proxy::start_before(&server, |config| {
        namespaces(config);
        config.set("cluster.timeouts.command", "20s");
        config.set("cluster.timeouts.response", "300ms");
    });
    let mut client = proxy.client();
    client.call(&["SET", "in:frozen", "before"]);
    server.stop().expect("stopped");
    assert_eq!(client.call(&["SET", "in:frozen", "late"]).error(), UNKNOWN);
    server.resume().expect("resumed");
    poll_until(PATIENCE, "the late write to run", || {
        client.call(&["GET", "in:frozen"]) == Value::bulk("late")
    });
    assert_eq!(proxy.metric("slotmux_writes_repeated_total"), Some(0.0));
}

#[test]
fn a_write_that_is_never_answered_is_not_reported_as_unexecuted() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    let proxy = Proxy::start_before(&server, |config| {
        namespaces(config);
        config.set("cluster.timeouts.command", "2s");
        config.set("cluster.timeouts.response", "20s");
    });
    let mut client = proxy.client();
    client.call(&["GET", "in:gone"]);
    server.stop().expect("stopped");
    client.send(&["SET", "in:gone", "v"]);
    poll_until(PATIENCE, "the command to be in flight", || {
        proxy.metric("slotmux_in_flight") == Some(1.0)
    });
    server.kill();
    assert_eq!(client.read().error(), UNKNOWN);
    assert_eq!(proxy.metric("slotmux_writes_repeated_total"), Some(1.0));
    assert!(
        client
            .call(&["SET", "in:gone", "v"])
            .error()
            .contains("was not executed")
    );
}
