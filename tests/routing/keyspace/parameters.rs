//! CONFIG GET and SET: the parameters of the data are those of the nodes, read from a primary and set everywhere; those
//! of connections and credentials cannot be set by clients.

use std::collections::BTreeMap;

use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_core::parameters::{ParameterClass, class_of, set_refusal};

use crate::keyspace::shared_cluster;
use slotmux_testing::{PATIENCE, Proxy, RawClient, Value, calm_cluster, poll_for};

/// The reply of CONFIG GET, by name.
fn settings(reply: &Value) -> BTreeMap<String, String> {
    match reply {
        Value::Map(pairs) => pairs
            .iter()
            .map(|(name, value)| (name.text(), value.text()))
            .collect(),
        list => list
            .items()
            .chunks(2)
            .map(|pair| (pair[0].text(), pair[1].text()))
            .collect(),
    }
}

fn get(client: &mut RawClient, arguments: &[&str]) -> BTreeMap<String, String> {
    settings(&client.call(&[&["CONFIG", "GET"], arguments].concat()))
}

/// Data parameters with values that differ from those of a fresh Redis.
const SET: [(&str, &str); 5] = [
    ("notify-keyspace-events", "AKE"),
    ("maxmemory", "987654321"),
    ("maxmemory-policy", "allkeys-lru"),
    ("save", "3600 7"),
    ("appendonly", "yes"),
];

fn as_they_are(client: &mut RawClient, tells_private: bool) {
    for (name, value) in SET {
        let expected = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        assert_eq!(get(client, &[name]), expected);
        // A plain name is returned in the request's spelling.
        let spelt = name.to_uppercase();
        assert_eq!(get(client, &[&spelt])[&spelt], value);
    }
    let some = get(
        client,
        &["maxmemory-pol*", "TIMEOUT", "notify-*", "timeou?"],
    );
    assert_eq!(some.len(), 3, "{some:?}");
    assert_eq!(some["maxmemory-policy"], "allkeys-lru");
    assert_eq!(some["TIMEOUT"], "0");
    let all = get(client, &["*"]);
    for (name, value) in SET {
        assert_eq!(all[name], value);
    }
    for (name, is_told) in [
        ("databases", true),
        ("cluster-node-timeout", true),
        ("requirepass", false),
        ("masterauth", false),
        ("tls-port", false),
        ("dir", tells_private),
        ("cluster-announce-ip", tells_private),
    ] {
        assert_eq!(all.contains_key(name), is_told, "{name}");
        assert_eq!(get(client, &[name]).len(), usize::from(is_told), "{name}");
    }
    // The same inside a transaction, among any other commands.
    client.call(&["MULTI"]);
    for words in [
        &["CONFIG", "GET", "maxmemory", "timeout"][..],
        &["SET", "k", "1"],
    ] {
        assert_eq!(client.call(words), Value::Simple("QUEUED".into()));
    }
    let replies = client.call(&["EXEC"]);
    let inside = settings(&replies.items()[0]);
    assert_eq!(inside["maxmemory"], "987654321");
    assert_eq!(inside["timeout"], "0");
    assert_eq!(replies.items()[1], Value::ok());
    client.call(&["MULTI"]);
    client.call(&["CONFIG", "GET", "requirepass", "save"]);
    let alone = settings(&client.call(&["EXEC"]).items()[0]);
    assert_eq!(
        alone,
        BTreeMap::from([("save".to_owned(), "3600 7".to_owned())])
    );
}

#[test]
fn parameters_of_the_data_are_those_of_the_nodes() {
    let cluster = calm_cluster(0);
    for node in 0..3 {
        for (name, value) in SET {
            let set: Result<String, _> = cluster.query(node, &["CONFIG", "SET", name, value]);
            set.expect("it is set");
        }
    }
    for (admin, personality) in [
        ("reject", "standalone"),
        ("reject", "cluster"),
        ("fanout", "standalone"),
    ] {
        let proxy = Proxy::start(&cluster, |config| {
            config.set("commands.admin", admin);
            config.set("listener.personality", personality);
        });
        for mut client in [proxy.client(), proxy.client_resp3()] {
            as_they_are(&mut client, admin == "fanout");
        }
    }
    // One reachable node is enough.
    let proxy = Proxy::start(&cluster, |config| {
        config.set("cluster.timeouts.command", "700ms");
    });
    cluster.kill(0);
    let mut client = proxy.client();
    poll_for(PATIENCE, "another node to answer", || {
        let reply = client.call(&["CONFIG", "GET", "maxmemory"]);
        (!matches!(reply, Value::Error(_)))
            .then(|| assert_eq!(settings(&reply)["maxmemory"], "987654321"))
    });
}

#[test]
fn parameters_of_one_redis_are_shown_unchanged() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    for (name, value) in SET {
        let set: Result<String, _> = server.query(&["CONFIG", "SET", name, value]);
        set.expect("it is set");
    }
    let proxy = Proxy::start_before(&server, |_| {});
    for mut client in [proxy.client(), proxy.client_resp3()] {
        as_they_are(&mut client, false);
    }
}

/// slotmux' own parameters need no node, and those of the data are not invented.
#[test]
fn nodes_that_refuse_config() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    let user = [
        "ACL", "SETUSER", "app", "on", ">p", "~*", "&*", "+@all", "-config",
    ];
    let made: String = server.query(&user).expect("a user");
    assert_eq!(made, "OK");
    let without = Proxy::start_before(&server, |config| {
        config.set("cluster.username", "app");
        config.set("cluster.password", vec!["p".to_owned()]);
    });
    let renamed = LocalServer::start(&ServerOptions {
        extra: vec![("rename-command".to_owned(), "CONFIG \"\"".to_owned())],
        ..ServerOptions::default()
    })
    .expect("a server");
    let renamed_too = Proxy::start_before(&renamed, |_| {});
    for (proxy, said) in [(&without, "NOPERM"), (&renamed_too, "unknown command")] {
        let mut client = proxy.client();
        for arguments in [
            &["maxmemory"][..],
            &["*"],
            &["timeout", "save"],
            &["nosuch"],
        ] {
            let reply = client.call(&[&["CONFIG", "GET"], arguments].concat());
            let text = reply.error();
            assert!(
                text.starts_with("ERR slotmux: these settings are the nodes'")
                    && text.contains("+config|get")
                    && text.contains(said),
                "{arguments:?}: {text}"
            );
        }
        assert_eq!(
            get(&mut client, &["timeout", "requirepass"])["timeout"],
            "0"
        );
    }
    let nowhere = Proxy::launch(&["redis://127.0.0.1:1".to_owned()], None, |config| {
        config.set("cluster.timeouts.command", "300ms");
    });
    let mut client = poll_for(PATIENCE, "slotmux", || {
        RawClient::try_connect(nowhere.port()).ok()
    });
    let reply = client.call(&["CONFIG", "GET", "maxmemory"]);
    assert!(reply.error().starts_with("LOADING"), "{reply:?}");
    assert_eq!(get(&mut client, &["timeout"])["timeout"], "0");
}

/// An unclassified parameter could lock slotmux out.
#[test]
fn every_parameter_of_the_server_has_a_class() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    let all: Vec<String> = server.query(&["CONFIG", "GET", "*"]).expect("all");
    let names: Vec<&String> = all.iter().step_by(2).collect();
    assert!(names.len() > 150, "{names:?}");
    let is_known = |name: &str| class_of(name.as_bytes()) != ParameterClass::Unknown;
    let missing: Vec<_> = names.iter().filter(|name| !is_known(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // slotmux' own parameters exist in Redis too.
    let proxy = Proxy::start_before(&server, |_| {});
    let own = get(&mut proxy.client(), &["*"]);
    for name in own.keys() {
        assert!(names.contains(&name), "{name}");
    }
}

/// Every parameter of the server except those of the data, with its present value, so that a node that got it would
/// reply OK.
#[test]
fn parameters_outside_of_the_data_are_set_at_no_node() {
    let cluster = shared_cluster();
    let proxy = Proxy::start(cluster, |config| config.set("commands.admin", "fanout"));
    let mut client = proxy.client();
    let all: Vec<String> = cluster.query(0, &["CONFIG", "GET", "*"]).expect("all");
    for pair in all.chunks(2) {
        let reply = client.call(&["CONFIG", "SET", &pair[0], &pair[1]]);
        match set_refusal(pair[0].as_bytes()) {
            Some(text) => assert_eq!(reply.error(), text, "{}", pair[0]),
            None => {
                assert_eq!(class_of(pair[0].as_bytes()), ParameterClass::Data);
                let is_refused = matches!(&reply, Value::Error(text) if text.contains("slotmux"));
                assert!(!is_refused, "{}: {reply:?}", pair[0]);
            }
        }
    }
    for (name, value) in [
        ("requirepass", "locked"),
        ("MasterAuth", "locked"),
        ("masteruser", "locked"),
        ("tls-port", "1"),
        ("cluster-announce-port", "1"),
        ("cluster-node-timeout", "1"),
        ("maxmemory-clients", "1"),
        ("client-output-buffer-limit", "normal 1 1 1"),
        ("rename-command", "GET x"),
        ("cluster-of-tomorrow", "1"),
        ("tls-of-tomorrow", "1"),
        ("repl-of-tomorrow", "1"),
        ("of-tomorrow", "1"),
    ] {
        // Alone, and at every place among others: all or nothing.
        for words in [
            &["CONFIG", "SET", name, value][..],
            &["CONFIG", "SET", name, value, "slowlog-max-len", "4711"],
            &["CONFIG", "SET", "slowlog-max-len", "4711", name, value],
        ] {
            let reply = client.call(words);
            let text = reply.error();
            let starts = ["ERR CONFIG SET failed (possibly", "ERR Unknown option"];
            assert!(
                starts.iter().any(|start| text.starts_with(start))
                    && text.contains(&name.to_lowercase()),
                "{words:?}: {text}"
            );
        }
    }
    for node in 0..3 {
        let pair: Vec<String> = cluster
            .query(node, &["CONFIG", "GET", "slowlog-max-len"])
            .expect("a setting");
        assert_ne!(pair[1], "4711");
        let pair: Vec<String> = cluster
            .query(node, &["CONFIG", "GET", "requirepass"])
            .expect("a setting");
        assert_eq!(pair[1], "");
    }
}

/// No command that a client may send with `admin = "fanout"` cuts slotmux off from its nodes.
#[test]
fn commands_that_would_lock_slotmux_out_are_refused() {
    let cluster = shared_cluster();
    let proxy = Proxy::start(cluster, |config| config.set("commands.admin", "fanout"));
    let mut client = proxy.client();
    for line in [
        "ACL SETUSER default off",
        "ACL SETUSER default >x",
        "ACL DELUSER default",
        "ACL LOAD",
        "ACL SAVE",
        "CLUSTER RESET",
        "CLUSTER FORGET x",
        "CLUSTER MEET 127.0.0.1 1",
        "CLUSTER SETSLOT 1 STABLE",
        "CLUSTER DELSLOTS 1",
        "CLUSTER FAILOVER",
        "CLUSTER REPLICATE x",
        "CLUSTER FLUSHSLOTS",
        "REPLICAOF NO ONE",
        "SLAVEOF NO ONE",
        "FAILOVER",
        "SHUTDOWN NOSAVE",
        "MODULE LOAD x",
        "DEBUG RESTART",
        "DEBUG SEGFAULT",
        "DEBUG SLEEP 1e9",
        "DEBUG SLEEP 61",
        "DEBUG SLEEP inf",
        "DEBUG SLEEP nan",
        "DEBUG SLEEP -1",
        "DEBUG SLEEP 0x1000",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let reply = client.call(&words);
        let text = reply.error();
        // A standalone listener offers no cluster commands.
        let expected = match words[0] {
            "CLUSTER" => "cluster support disabled",
            "DEBUG" if words[1] == "SLEEP" => "0 to 60 seconds",
            _ => "it concerns a single server",
        };
        assert!(text.contains(expected), "{line}: {text}");
    }
    // CLIENT KILL concerns the clients of slotmux: the nodes keep theirs.
    let before: String = cluster
        .query(0, &["CLIENT", "LIST", "TYPE", "normal"])
        .expect("a list");
    assert!(before.contains("addr="));
    client.call(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    assert_eq!(client.call(&["SET", "still:1", "here"]), Value::ok());
}
