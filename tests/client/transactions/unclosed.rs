//! Nodes and users without the commands that a transaction needs: one client gets an error, and no client's command
//! becomes part of a transaction that is never closed.

use std::sync::atomic::{AtomicBool, Ordering};

use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use toml::Table;

use super::{count, transaction};
use slotmux_testing::{PATIENCE, Peer, Proxy, ProxyConfig, RawClient, Step, Value, poll_until};

fn server_without(command: &str) -> LocalServer {
    LocalServer::start(&ServerOptions {
        extra: vec![("rename-command".to_owned(), format!("{command} \"\""))],
        ..ServerOptions::default()
    })
    .expect("Redis")
}

/// One worker, so that all clients share a lane.
fn one_worker(config: &mut ProxyConfig) {
    config.set("server.workers", 1);
    config.set("log.level", "info");
}

fn with_policy(config: &mut ProxyConfig) {
    let section: Table = "name = \"ns\"\nmatch = [\"ns:\"]\nttl = { default = \"100s\" }"
        .parse()
        .expect("TOML");
    config.add_section("namespace", section);
}

/// Asserts that other clients write and read undisturbed.
#[track_caller]
fn assert_others_flow(proxy: &Proxy) {
    for mut client in [proxy.client(), proxy.client()] {
        for number in 0..20 {
            let value = number.to_string();
            assert_eq!(client.call(&["SET", "other", &value]), Value::ok());
            assert_eq!(client.call(&["GET", "other"]), Value::bulk(value));
        }
    }
}

#[test]
fn a_renamed_command_is_named_and_other_commands_run() {
    for command in ["EXEC", "MULTI"] {
        let server = server_without(command);
        let proxy = Proxy::start_before(&server, one_worker);
        let mut client = proxy.client();
        let reply = transaction(&mut client, &["SET k 1", "SET l 1"]);
        let error = reply.error().to_owned();
        assert!(
            error.contains(&server.address().to_string()) && error.contains(command),
            "{error}"
        );
        assert_eq!(
            error.contains("were not executed"),
            command == "EXEC",
            "{error}"
        );
        assert_others_flow(&proxy);
        if command == "EXEC" {
            assert_eq!(client.call(&["EXISTS", "k", "l"]), Value::Integer(0));
        }
        // From then on slotmux refuses it itself, and no client loses a connection.
        let lost = count(&proxy, "upstream_lost");
        for _ in 0..3 {
            let reply = transaction(&mut client, &["SET m 1"]);
            let error = reply.error();
            assert!(
                error.contains(&server.address().to_string()) && error.contains("not executed"),
                "{error}"
            );
        }
        assert_eq!(count(&proxy, "upstream_lost"), lost);
        assert_eq!(client.call(&["EXISTS", "m"]), Value::Integer(0));
        let log = proxy.log();
        assert!(log.contains("runs no transactions"), "{log}");
    }
}

/// The same on a connection with a WATCH, and where UNWATCH or WATCH is missing.
#[test]
fn a_watched_transaction_on_such_a_node_fails() {
    for command in ["EXEC", "MULTI", "UNWATCH", "WATCH"] {
        let server = server_without(command);
        let proxy = Proxy::start_before(&server, one_worker);
        let mut client = proxy.client();
        for round in 0..3 {
            let watched = client.call(&["WATCH", "k"]);
            let reply = transaction(&mut client, &["SET k 1"]);
            match command {
                "UNWATCH" => assert_eq!(reply.items(), [Value::ok()], "{round}"),
                "WATCH" => {
                    assert!(watched.error().contains("unknown command"), "{watched:?}");
                    assert_eq!(reply.items(), [Value::ok()], "{round}");
                }
                _ => assert!(reply.error().contains(command), "{command}: {reply:?}"),
            }
            assert_others_flow(&proxy);
        }
    }
}

#[test]
fn a_user_loses_and_regains_its_transactions() {
    for right in ["multi", "exec", "@transaction"] {
        let server = LocalServer::start(&ServerOptions::default()).expect("Redis");
        let acl = |rule: &str| {
            let words = [
                "ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all", rule,
            ];
            let _: redis::Value = server.query(&words).expect("a user");
        };
        acl("+@all");
        let proxy = Proxy::start_before(&server, |config| {
            one_worker(config);
            config.set("cluster.username", "app");
            config.set("cluster.password", vec!["pw".to_owned()]);
        });
        let mut client = proxy.client();
        assert_eq!(
            transaction(&mut client, &["SET k 1"]).items(),
            [Value::ok()]
        );
        acl(&format!("-{right}"));
        let reply = transaction(&mut client, &["SET k 2"]);
        assert!(!reply.error().is_empty(), "{reply:?}");
        assert_others_flow(&proxy);
        acl("+@all");
        poll_until(
            PATIENCE,
            "transactions to run again",
            || matches!(transaction(&mut client, &["SET k 3"]), Value::Array(items) if items == [Value::ok()]),
        );
        assert_eq!(client.call(&["GET", "k"]), Value::bulk("3"));
    }
}

/// If a policy needs transactions, a node without them is not used at all; and the check changes nothing.
#[test]
fn a_policy_does_not_use_a_node_without_transactions() {
    for command in ["EXEC", "MULTI", "DISCARD", "PEXPIRE"] {
        let server = server_without(command);
        let _: redis::Value = server.query(&["SET", "ns:", "v"]).expect("set");
        let seed = server.address().to_string();
        let proxy = Proxy::launch(std::slice::from_ref(&seed), None, |config| {
            one_worker(config);
            with_policy(config);
            config.set("cluster.timeouts.command", "1s");
        });
        let mut told = String::new();
        poll_until(PATIENCE, "the reason on the readiness page", || {
            let answer = proxy.admin_get("/readyz");
            told = answer.map_or(String::new(), |(status, text)| format!("{status} {text}"));
            told.contains(" refuses ") && told.contains(&format!("{command} ("))
        });
        assert!(told.starts_with("503 ") && told.contains(&seed), "{told}");
        let reply = proxy.client().call(&["INCR", "ns:k"]);
        assert!(reply.error().contains("slotmux"), "{reply:?}");
        let exists: i64 = server.query(&["EXISTS", "ns:k"]).expect("a number");
        let ttl: i64 = server.query(&["PTTL", "ns:"]).expect("its TTL");
        assert_eq!((exists, ttl), (0, -1), "{command}");
    }
}

/// A node with an invalid reply to one step of a transaction.
fn breaking(step: &'static str, reply: Vec<u8>) -> Peer {
    let begun = AtomicBool::new(false);
    let is_broken = AtomicBool::new(false);
    Peer::start(move |request| {
        let name = request.name();
        if name == "GET" && request.word(1).starts_with("own") {
            return Some(Step::reply(format!("+{}\r\n", request.word(1))));
        }
        if name == "INCR" {
            begun.store(true, Ordering::SeqCst);
        }
        let is_time = step != "EXEC" || begun.load(Ordering::SeqCst);
        if name == step && is_time && !is_broken.swap(true, Ordering::SeqCst) {
            return Some(Step::reply(&reply));
        }
        match name.as_str() {
            "INCR" | "GET" => Some(Step::reply("+QUEUED\r\n")),
            _ => None,
        }
    })
}

#[test]
fn every_invalid_reply_ends_the_connection() {
    let large = format!("$40000\r\n{}\r\n", "+".repeat(40_000));
    let table: &[(&str, &[&str])] = &[
        (
            "MULTI",
            &[
                "-NOPERM no\r\n",
                "-ERR unknown command\r\n",
                ":1\r\n",
                "+QUEUED\r\n",
                "$-1\r\n",
                "*0\r\n",
                "+OKAY\r\n",
                &large,
            ],
        ),
        (
            "INCR",
            &[
                ":1\r\n",
                "+OK\r\n",
                "$6\r\nQUEUED\r\n",
                "*0\r\n",
                "$-1\r\n",
                &large,
            ],
        ),
        (
            "EXEC",
            &[
                "-ERR unknown command 'EXEC'\r\n",
                "-NOPERM no\r\n",
                "-ERR EXEC without MULTI\r\n",
                "+OK\r\n",
                "+QUEUED\r\n",
                ":1\r\n",
                "*-1\r\n",
                "*0\r\n",
                "*2\r\n:1\r\n:1\r\n",
                "*7\r\n",
                "$-1\r\n",
                &large,
            ],
        ),
    ];
    for &(step, replies) in table {
        for reply in replies {
            let what = &reply[..reply.len().min(40)];
            let peer = breaking(step, reply.as_bytes().to_vec());
            let proxy = Proxy::start_at(&peer.seeds(), None, one_worker);
            let mut client = RawClient::connect(proxy.port());
            let got = transaction(&mut client, &["INCR k"]);
            let error = got.error();
            let port = peer.port().to_string();
            assert!(
                error.contains("slotmux:") && error.contains(&port) && error.contains("executed"),
                "{step} {what:?}: {error}"
            );
            // Never sent again. The peer may lose it unread with the connection, which ends at the reply to MULTI.
            let sent = peer.requests_named("INCR").len();
            assert!(
                sent == 1 || (sent == 0 && step == "MULTI"),
                "{step} {what:?}: {sent}"
            );
            let mut other = proxy.client();
            for number in 0..10 {
                let key = format!("own{number}");
                assert_eq!(
                    other.call(&["GET", &key]),
                    Value::Simple(key),
                    "{step} {what:?}"
                );
            }
            let broken = peer.requests_named("INCR")[0].connection;
            let gets = peer.requests_named("GET");
            assert!(
                gets.iter().all(|get| get.connection != broken),
                "{step} {what:?}: the connection is still used"
            );
        }
    }
}

/// A read-only transaction is not retried either: the next connection would end as well.
#[test]
fn a_read_with_an_invalid_reply_costs_one_connection() {
    let peer = Peer::start(|request| match request.name().as_str() {
        "GET" => Some(Step::reply("+QUEUED\r\n")),
        "EXEC" => Some(Step::reply("*7\r\n")),
        _ => None,
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, one_worker);
    let reply = transaction(&mut RawClient::connect(proxy.port()), &["GET k"]);
    assert!(reply.error().contains("slotmux:"), "{reply:?}");
    assert_eq!(peer.requests_named("GET").len(), 1);
}

/// A node with an open transaction that slotmux has not begun.
#[test]
fn queued_without_a_transaction_ends_the_connection() {
    let is_first = AtomicBool::new(true);
    let peer = Peer::start(move |request| match request.name().as_str() {
        "GET" if is_first.swap(false, Ordering::SeqCst) => Some(Step::reply("+QUEUED\r\n")),
        "GET" => Some(Step::reply("$1\r\nv\r\n")),
        "SET" => Some(Step::reply("+QUEUED\r\n")),
        "EVAL" => Some(Step::reply("+QUEUED\r\n")),
        _ => None,
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, one_worker);
    let mut client = RawClient::connect(proxy.port());
    assert_eq!(client.call(&["GET", "k"]), Value::bulk("v"));
    let reply = client.call(&["SET", "k", "v"]);
    assert!(
        reply.error().contains("may have been executed"),
        "{reply:?}"
    );
    let lost = count(&proxy, "upstream_lost");
    // A script may return this text.
    assert_eq!(
        client.call(&["EVAL", "return redis.status_reply('QUEUED')", "1", "k"]),
        Value::Simple("QUEUED".into())
    );
    assert_eq!(count(&proxy, "upstream_lost"), lost);
}

/// An UNWATCH that became part of a transaction has not removed the watch.
#[test]
fn an_unwatch_that_is_queued_ends_the_connection() {
    let peer =
        Peer::start(|request| (request.name() == "UNWATCH").then(|| Step::reply("+QUEUED\r\n")));
    let proxy = Proxy::start_at(&peer.seeds(), None, one_worker);
    let mut client = RawClient::connect(proxy.port());
    for round in 1..4 {
        assert_eq!(client.call(&["WATCH", "k"]), Value::ok());
        assert_eq!(client.call(&["UNWATCH"]), Value::ok());
        poll_until(PATIENCE, "the connection to end", || {
            count(&proxy, "upstream_lost") == round
        });
    }
    let mut connections: Vec<_> = peer
        .requests_named("WATCH")
        .iter()
        .map(|request| request.connection)
        .collect();
    connections.dedup();
    assert_eq!(connections.len(), 3);
}
