//! Functions on all nodes as if they were one Redis.

use std::time::Duration;

use slotmux::tools::demo::server::{LocalServer, ServerOptions};

use crate::keyspace::key_on;
use slotmux_testing::{PATIENCE, Proxy, RawClient, Value, calm_cluster, poll_for, poll_until};

const LIBRARY: &str = "#!lua name=lib\n\
    redis.register_function('put', function(keys, args) return redis.call('SET', keys[1], args[1]) end)\n\
    redis.register_function{function_name='look', callback=function(keys) return redis.call('GET', keys[1]) end, \
    flags={'no-writes'}}\n\
    redis.register_function{function_name='spin', callback=function() while true do end end, flags={'no-writes'}}\n";

#[test]
fn functions_are_on_all_nodes() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let redis = LocalServer::start(&ServerOptions::default()).expect("a server");
    for (mut client, mut plain) in [
        (proxy.client(), RawClient::connect(redis.port())),
        (proxy.client_resp3(), RawClient::connect_resp3(redis.port())),
    ] {
        let mut both = |words: &[&[u8]]| {
            let (ours, theirs) = (client.call(words), plain.call(words));
            assert_eq!(
                ours,
                theirs,
                "{:?}",
                words.iter().map(|word| word.escape_ascii().to_string())
            );
            ours
        };
        let code = LIBRARY.as_bytes();
        both(&[b"FUNCTION", b"FLUSH"]);
        assert_eq!(both(&[b"FUNCTION", b"LOAD", code]), Value::bulk("lib"));
        both(&[b"FUNCTION", b"LOAD", code]);
        both(&[b"FUNCTION", b"LOAD", b"REPLACE", code]);
        both(&[b"FUNCTION", b"LOAD", b"nonsense"]);
        both(&[b"FUNCTION", b"STATS"]);
        both(&[b"FUNCTION", b"KILL"]);
        both(&[b"SCRIPT", b"KILL"]);
        for node in 0..3 {
            let key = key_on(&cluster, node, 0);
            both(&[b"FCALL", b"put", b"1", key.as_bytes(), b"v"]);
            assert_eq!(
                both(&[b"FCALL_RO", b"look", b"1", key.as_bytes()]),
                Value::bulk("v")
            );
        }
        let Value::Bulk(dump) = both(&[b"FUNCTION", b"DUMP"]) else {
            panic!("no dump");
        };
        both(&[b"FUNCTION", b"RESTORE", &dump]);
        both(&[b"FUNCTION", b"RESTORE", b"x"]);
        assert_eq!(both(&[b"FUNCTION", b"DELETE", b"lib"]), Value::ok());
        both(&[b"FUNCTION", b"DELETE", b"lib"]);
        assert_eq!(both(&[b"FUNCTION", b"LIST"]), Value::Array(Vec::new()));
        assert_eq!(both(&[b"FUNCTION", b"RESTORE", &dump]), Value::ok());
        for node in 0..3 {
            let key = key_on(&cluster, node, 0);
            assert_eq!(
                both(&[b"FCALL_RO", b"look", b"1", key.as_bytes()]),
                Value::bulk("v")
            );
        }
        assert_eq!(both(&[b"FUNCTION", b"FLUSH", b"SYNC"]), Value::ok());
    }
    // The order within a library follows a hash seed, so the list is compared with one function in it.
    let small: &[u8] = b"#!lua name=small\nredis.register_function('f', function() return 1 end)";
    for (mut client, mut plain) in [
        (proxy.client(), RawClient::connect(redis.port())),
        (proxy.client_resp3(), RawClient::connect_resp3(redis.port())),
    ] {
        let load: [&[u8]; 4] = [b"FUNCTION", b"LOAD", b"REPLACE", small];
        assert_eq!(client.call(&load), plain.call(&load));
        let list: [&[u8]; 3] = [b"FUNCTION", b"LIST", b"WITHCODE"];
        assert_eq!(client.call(&list), plain.call(&list));
    }
}

/// One node that has the library already refuses it: the reply says that the others have it now.
#[test]
fn a_library_missing_on_some_nodes_is_reported() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    cluster
        .query::<String>(1, &["FUNCTION", "LOAD", LIBRARY])
        .expect("loaded");
    let reply = proxy.client().call(&["FUNCTION", "LOAD", LIBRARY]);
    assert_eq!(
        reply.error(),
        "ERR slotmux: partial failure, 2 of 3 parts applied: ERR Library 'lib' already exists"
    );
}

/// A script that does not end is killed from another connection, although the shared one to its node is blocked by it.
#[test]
fn an_endless_script_is_killed() {
    let cluster = calm_cluster(0);
    for node in 0..3 {
        cluster
            .query::<String>(node, &["CONFIG", "SET", "busy-reply-threshold", "50"])
            .expect("OK");
    }
    let proxy = Proxy::start(&cluster, |config| {
        config.set("cluster.timeouts.command", "20s");
        config.set("cluster.timeouts.response", "20s");
        // Both clients share one connection to each node.
        config.set("server.workers", 1);
    });
    let key = key_on(&cluster, 1, 0);
    let spin = "while true do end";
    for (mut runner, mut killer) in [
        (proxy.client(), proxy.client()),
        (proxy.client_resp3(), proxy.client_resp3()),
    ] {
        killer.call(&["FUNCTION", "LOAD", "REPLACE", LIBRARY]);
        for (run, kill) in [
            (["EVAL", spin, "1", &key], ["SCRIPT", "KILL"]),
            (["FCALL", "spin", "1", &key], ["FUNCTION", "KILL"]),
        ] {
            runner.send(&run);
            if run[0] == "FCALL" {
                let running = poll_for(PATIENCE, "the function to run", || {
                    let running = match killer.call(&["FUNCTION", "STATS"]) {
                        Value::Map(pairs) => pairs[0].1.clone(),
                        list => list.items()[1].clone(),
                    };
                    (running != Value::Null).then_some(running)
                });
                assert!(format!("{running:?}").contains(&format!("{:?}", Value::bulk("spin"))));
            }
            poll_until(PATIENCE, "the script to be killed", || {
                let reply = killer.call(&kill);
                let is_killed = reply == Value::ok();
                assert!(
                    is_killed || reply.error().starts_with("NOTBUSY"),
                    "{reply:?}"
                );
                is_killed
            });
            let reply = runner.read();
            assert!(reply.error().contains("killed"), "{run:?} {reply:?}");
            let reply = killer.call(&kill);
            assert!(reply.error().starts_with("NOTBUSY"), "{reply:?}");
        }
        assert!(!runner.has_news(Duration::from_millis(10)));
        assert_eq!(runner.call(&["SET", &key, "1"]), Value::ok());
    }
}
