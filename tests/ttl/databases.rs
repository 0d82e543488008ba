//! A server has more databases than the one of slotmux: no key of a client gets there, and no script takes a shared
//! connection there.

use slotmux::tools::demo::cluster::{LocalCluster, Options};
use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_testing::{PATIENCE, Proxy, RawClient, Value, poll_until};

use super::{add_namespace, with_policy};

const POLICY: &str = "default = \"100s\", max = \"200s\"";

/// Code that names a command for another database.
const SCRIPTS: &[&str] = &[
    "redis.call('SELECT', 3) return redis.call('SET', KEYS[1], 'v')",
    "return redis.pcall( \"move\", KEYS[1], 1)",
    "local call = redis.call return call('SWAPDB', 0, 1)",
    "return redis.call('COPY', KEYS[1], KEYS[1], 'DB', 1)",
];

/// A script that hides the name of the command.
const HIDDEN: &str = "redis.call('SEL' .. 'ECT', 3) redis.call('SET', KEYS[1], 'in 3') return redis.call('GET', KEYS[1])";
/// The same, ended by an error.
const FAILING: &str = "redis.call('SEL' .. 'ECT', 3) error('on purpose')";

/// As a library with one function of this name.
fn library(function: &str, code: &str) -> String {
    let code = code.replace("KEYS", "keys");
    format!(
        "#!lua name=l_{function}\nredis.register_function('{function}', function(keys, args) {code} end)"
    )
}

/// Each line is refused, also inside MULTI; and so is code that names such a command.
fn nothing_leaves_the_database(client: &mut RawClient) {
    assert_eq!(client.call(&["SET", "{x}plain", "v"]), Value::ok());
    let lines = [
        "COPY {x}plain ns:{x}y DB 2",
        "COPY {x}plain {x}plain DB 1",
        "COPY {x}plain ns:{x}y REPLACE db 1",
        "COPY {x}plain ns:{x}y DB\0x 1",
        "COPY {x}plain ns:{x}y DB 0 DB 1",
        "MOVE {x}plain 1",
        "MOVE ns:{x}y 1",
        "SWAPDB 0 1",
    ];
    let mut refused: Vec<Vec<String>> = Vec::new();
    refused.extend(lines.map(|line| line.split(' ').map(str::to_owned).collect()));
    for code in SCRIPTS {
        refused.push(["EVAL", code, "1", "ns:{x}y"].map(str::to_owned).into());
        refused.push(["EVAL", code, "0"].map(str::to_owned).into());
        refused.push(["SCRIPT", "LOAD", code].map(str::to_owned).into());
        let library = library("f", code);
        refused.push(["FUNCTION", "LOAD", &library].map(str::to_owned).into());
        refused.push(
            ["FUNCTION", "LOAD", "REPLACE", &library]
                .map(str::to_owned)
                .into(),
        );
    }
    for words in &refused {
        for in_multi in [false, true] {
            if in_multi {
                client.call(&["MULTI"]);
            }
            let reply = client.call(words);
            assert!(reply.error().contains("slotmux"), "{words:?}: {reply:?}");
            if in_multi {
                assert!(client.call(&["EXEC"]).error().starts_with("EXECABORT"));
            }
        }
    }
    // As on a server with one database, it is queued in MULTI and then fails alone.
    let reply = client.call(&["SELECT", "2"]);
    assert!(matches!(reply, Value::Error(_)), "{reply:?}");
    client.call(&["MULTI"]);
    client.call(&["SELECT", "2"]);
    client.call(&["SET", "{x}plain", "v"]);
    let exec = client.call(&["EXEC"]);
    assert_eq!(exec.items(), [reply, Value::ok()]);
}

#[test]
fn no_key_is_moved_to_another_database() {
    let server = LocalServer::start(&Default::default()).expect("a server");
    let proxy = Proxy::start_before(&server, |config| {
        add_namespace(config, "ns", POLICY);
    });
    let mut client = proxy.client();
    assert_eq!(client.call(&["SET", "plain", "v"]), Value::ok());
    nothing_leaves_the_database(&mut client);
    let mut direct = RawClient::connect(server.port());
    let info = direct.call(&["INFO", "keyspace"]).text();
    assert!(!info.contains("db1"), "{info}");
    // A copy within the database is made, and the policy holds.
    for last in [&["DB", "0"][..], &["DB", "1", "DB", "0"], &["REPLACE"]] {
        let words = [&["COPY", "plain", "ns:y", "REPLACE"], last].concat();
        assert_eq!(client.call(&words), Value::Integer(1), "{words:?}");
        assert!(client.call(&["PTTL", "ns:y"]).integer() > 0, "{words:?}");
    }
}

/// A cluster of Valkey 9 may have several databases.
#[test]
fn no_key_of_a_cluster_is_moved_to_another_database() {
    let probe = LocalServer::start(&ServerOptions::default()).expect("a server");
    let known = RawClient::connect(probe.port()).call(&["CONFIG", "GET", "cluster-databases"]);
    let mut options = Options::default();
    let has_databases = !known.items().is_empty();
    if has_databases {
        options
            .extra
            .push(("cluster-databases".into(), "16".into()));
    }
    let cluster = LocalCluster::start(options).expect("a cluster");
    let proxy = with_policy(&cluster, POLICY);
    nothing_leaves_the_database(&mut proxy.client());
    for node in 0..3 {
        let info: String = cluster.query(node, &["INFO", "keyspace"]).expect("a reply");
        assert!(!info.contains("db1") && !info.contains("db2"), "{info}");
        let mut direct = RawClient::connect(cluster.nodes()[node].port);
        let reply = direct.call(&["SELECT", "2"]);
        assert_eq!(
            matches!(reply, Value::Error(_)),
            !has_databases,
            "{reply:?}"
        );
    }
}

/// Servers end a script in the database in which it began; if one did not, the next command of another client on the same
/// connection would run in the wrong database.
#[test]
fn no_script_leaves_a_connection_in_another_database() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    let proxy = Proxy::start_before(&server, |config| {
        add_namespace(config, "ns", POLICY);
        config.set("server.workers", 1);
    });
    const NOTE: &str = "several databases and the upstream user may use them";
    poll_until(PATIENCE, "the note", || proxy.log().contains(NOTE));
    let (mut client, mut other) = (proxy.client(), proxy.client());
    let mut direct = RawClient::connect(server.port());
    for (name, code) in [("hidden", HIDDEN), ("failing", FAILING)] {
        let loaded = direct.call(&["FUNCTION", "LOAD", &library(name, code)]);
        assert_eq!(loaded, Value::bulk(format!("l_{name}")));
    }
    let calls: &[&[&str]] = &[
        &["EVAL", HIDDEN, "1", "key"],
        &["EVAL", FAILING, "1", "key"],
        // In a block, with an expiry behind it.
        &["EVAL", HIDDEN, "1", "ns:key"],
        &["EVAL", FAILING, "1", "ns:key"],
        &["FCALL", "hidden", "1", "key"],
        &["FCALL", "failing", "1", "key"],
        &["FCALL", "hidden", "1", "ns:key"],
    ];
    for words in calls {
        for around in [&[][..], &["MULTI"], &["WATCH", "MULTI"]] {
            for word in around {
                let line: &[&str] = if *word == "WATCH" {
                    &["WATCH", "key"]
                } else {
                    &[word]
                };
                assert_eq!(client.call(line), Value::ok());
            }
            let reply = client.call(words);
            let reply = match around.is_empty() {
                true => reply,
                false => client.call(&["EXEC"]).items()[0].clone(),
            };
            let is_failing = words
                .iter()
                .any(|word| word.to_lowercase().contains("failing") || *word == FAILING);
            match is_failing {
                true => assert!(reply.error().contains("on purpose"), "{words:?}: {reply:?}"),
                false => assert_eq!(reply, Value::bulk("in 3"), "{words:?}"),
            }
            for client in [&mut client, &mut other] {
                assert_eq!(client.call(&["SET", "mine", "in 0"]), Value::ok());
                assert_eq!(client.call(&["GET", "key"]), Value::Null, "{words:?}");
                assert_eq!(
                    direct.call(&["GET", "mine"]),
                    Value::bulk("in 0"),
                    "{words:?}"
                );
                assert_eq!(client.call(&["DEL", "mine"]), Value::Integer(1));
            }
        }
    }
}

/// The rights of the upstream user keep scripts from other databases, whatever they do.
#[test]
fn scripts_without_the_right_to_select_stay_in_the_database() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    let mut direct = RawClient::connect(server.port());
    let rules = "ACL SETUSER slotmux on >pw ~* &* +@all -select -move -swapdb";
    assert_eq!(
        direct.call(&rules.split(' ').collect::<Vec<_>>()),
        Value::ok()
    );
    let loaded = direct.call(&["FUNCTION", "LOAD", &library("hidden", HIDDEN)]);
    assert_eq!(loaded, Value::bulk("l_hidden"));
    let proxy = Proxy::start_before(&server, |config| {
        add_namespace(config, "ns", POLICY);
        config.set("cluster.username", "slotmux");
        config.set("cluster.password", "pw");
    });
    let mut client = proxy.client();
    for words in [
        &["EVAL", HIDDEN, "1", "ns:key"][..],
        &["FCALL", "hidden", "1", "ns:key"],
        &[
            "EVAL",
            "return redis.call('SWAP' .. 'DB', 0, 3)",
            "1",
            "ns:key",
        ],
        &[
            "EVAL",
            "return redis.call('MO' .. 'VE', KEYS[1], 3)",
            "1",
            "ns:key",
        ],
    ] {
        let reply = client.call(words);
        assert!(matches!(reply, Value::Error(_)), "{words:?}: {reply:?}");
    }
    let info = direct.call(&["INFO", "keyspace"]).text();
    assert!(!info.contains("db3"), "{info}");
}
