//! WATCH in front of real nodes: which changes it detects, and how it ends.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_core::slot::slot_of;

use super::{transaction, with_namespaces};
use slotmux_testing::{Proxy, RawClient, SetAtEnd, Value, calm_cluster, shared_cluster};

const CLIENTS: usize = 8;
const INCREMENTS: usize = 25;

/// The proxy of most tests: one worker with few dedicated connections.
pub fn few(dedicated: i64) -> Proxy {
    Proxy::start(shared_cluster(), |config| {
        config.set("log.level", "warn");
        config.set("server.workers", 1);
        config.set("cluster.connections.dedicated_max", dedicated);
        config.set("cluster.timeouts.command", "500ms");
    })
}

/// A write that bypasses slotmux.
pub fn write_past(key: &str, value: &str) {
    let cluster = shared_cluster();
    let node = cluster
        .primary_of_slot(slot_of(key.as_bytes()).0)
        .expect("an owner");
    let _: String = cluster.query(node, &["SET", key, value]).expect("written");
}

/// Reads a counter and writes it back one higher, unless another write intervenes. Returns the number of tries.
fn increment(client: &mut RawClient, key: &str) -> usize {
    for tries in 1.. {
        assert_eq!(client.call(&["WATCH", key]), Value::ok());
        let next = match client.call(&["GET", key]) {
            Value::Null => 1,
            value => value.text().parse::<i64>().expect("a number") + 1,
        };
        match transaction(client, &[&format!("SET {key} {next}")]) {
            Value::Null => {}
            reply => {
                assert_eq!(reply.items(), [Value::ok()]);
                return tries;
            }
        }
    }
    unreachable!("one of the tries succeeds")
}

/// All clients count together. Returns the number of failed tries.
fn count_together(proxy: &Proxy, key: &str) -> usize {
    let in_vain = AtomicUsize::new(0);
    thread::scope(|scope| {
        for id in 0..CLIENTS {
            let in_vain = &in_vain;
            scope.spawn(move || {
                let mut client = if id % 2 == 0 {
                    proxy.client()
                } else {
                    proxy.client_resp3()
                };
                for _ in 0..INCREMENTS {
                    let tries = increment(&mut client, key);
                    in_vain.fetch_add(tries - 1, Ordering::Relaxed);
                }
            });
        }
    });
    in_vain.into_inner()
}

#[test]
fn eight_clients_lose_no_increment() {
    for (workers, key) in [(1, "{watch}one"), (2, "{watch}two")] {
        let proxy = Proxy::start(shared_cluster(), |config| {
            config.set("log.level", "warn");
            config.set("server.workers", workers);
        });
        let in_vain = count_together(&proxy, key);
        assert!(in_vain > 0, "no write ever intervened");
        assert_eq!(
            proxy.client().call(&["GET", key]),
            Value::bulk((CLIENTS * INCREMENTS).to_string())
        );
    }
}

#[test]
fn eight_clients_lose_no_increment_while_the_slot_moves() {
    let cluster = calm_cluster(0);
    for (workers, key) in [(1, "{t}one"), (2, "{t}two")] {
        let proxy = Proxy::start(&cluster, |config| {
            config.set("log.level", "warn");
            config.set("server.workers", workers);
        });
        let slot = slot_of(b"t").0;
        let home = cluster.primary_of_slot(slot).expect("an owner");
        let away = (home + 1) % 3;
        let is_over = AtomicBool::new(false);
        let moves = thread::scope(|scope| {
            let mover = scope.spawn(|| {
                let mut moves = 0;
                while !is_over.load(Ordering::Relaxed) || moves % 2 == 1 {
                    let (from, to) = if moves % 2 == 0 {
                        (home, away)
                    } else {
                        (away, home)
                    };
                    cluster
                        .migrate_slot(slot, from, to)
                        .expect("the slot moves");
                    cluster.wait_owner(slot, to).expect("all nodes know it");
                    moves += 1;
                }
                moves
            });
            let _over = SetAtEnd(&is_over);
            count_together(&proxy, key);
            is_over.store(true, Ordering::Relaxed);
            mover.join().expect("the mover")
        });
        assert!(moves > 1, "the slot moved {moves} times");
        assert!(proxy.metric("slotmux_moved_total") > Some(0.0));
        assert_eq!(
            proxy.client().call(&["GET", key]),
            Value::bulk((CLIENTS * INCREMENTS).to_string())
        );
    }
}

/// A missing key is no longer at its old node as soon as its slot begins to move: it is watched at the new one.
#[test]
fn a_key_is_watched_in_a_half_moved_slot() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| config.set("log.level", "warn"));
    let slot = slot_of(b"t").0;
    let from = cluster.primary_of_slot(slot).expect("an owner");
    let to = (from + 1) % 3;
    cluster
        .migrate_slot_begin(slot, from, to)
        .expect("it begins to move");
    let (mut client, mut other) = (proxy.client(), proxy.client());
    for _ in 0..3 {
        assert_eq!(increment(&mut client, "{t}new"), 1);
    }
    client.call(&["WATCH", "{t}new"]);
    other.call(&["SET", "{t}new", "5"]);
    assert_eq!(transaction(&mut client, &["SET {t}new 1"]), Value::Null);
    client.call(&["WATCH", "{t}new"]);
    cluster
        .migrate_slot_finish(slot, from, to)
        .expect("it moves");
    cluster.wait_owner(slot, to).expect("all nodes know it");
    assert_eq!(
        transaction(&mut client, &["GET {t}new"]).items(),
        [Value::bulk("5")]
    );
}

#[test]
fn a_change_by_any_client_makes_exec_nil() {
    let proxy = few(8);
    let mut other = proxy.client();
    for (mut client, nil) in [
        (proxy.client(), &b"*-1\r\n"[..]),
        (proxy.client_resp3(), b"_\r\n"),
    ] {
        let mut exec = |change: &mut dyn FnMut(&mut RawClient)| {
            client.call(&["SET", "{w}k", "before"]);
            client.call(&["WATCH", "{w}other", "{w}k"]);
            assert_eq!(client.call(&["GET", "{w}k"]), Value::bulk("before"));
            change(&mut client);
            client.call(&["MULTI"]);
            client.call(&["SET", "{w}k", "after"]);
            client.call_bytes(&["EXEC"])
        };
        let unchanged = exec(&mut |_| {});
        assert_eq!(unchanged, b"*1\r\n+OK\r\n");
        assert_eq!(exec(&mut |_| write_past("{w}k", "x")), nil);
        assert_eq!(
            exec(&mut |_| drop(other.call(&["APPEND", "{w}k", "x"]))),
            nil
        );
        assert_eq!(
            exec(&mut |_| drop(other.call(&["SET", "{w}other", "x"]))),
            nil
        );
        assert_eq!(exec(&mut |_| drop(other.call(&["DEL", "{w}k"]))), nil);
        // As in Redis, this includes the client itself.
        assert_eq!(
            exec(&mut |own| drop(own.call(&["APPEND", "{w}k", "x"]))),
            nil
        );
        assert_eq!(
            exec(&mut |own| drop(own.call(&["MSET", "{w}k", "1", "far", "2"]))),
            nil
        );
        // Commands elsewhere change nothing.
        let elsewhere = exec(&mut |own| {
            own.call(&["SET", "far", "x"]);
            own.call(&["MGET", "far", "{w}k", "near"]);
            own.call(&["DBSIZE"]);
        });
        assert_eq!(elsewhere, b"*1\r\n+OK\r\n");
    }
}

#[test]
fn one_write_carries_everything_from_watch_to_exec() {
    let proxy = few(8);
    let mut client = proxy.client();
    client.call(&["SET", "{w}pipe", "0"]);
    let round: Vec<Vec<&str>> = [
        "WATCH {w}pipe",
        "GET {w}pipe",
        "SET far 1",
        "GET {w}pipe",
        "MULTI",
        "INCR {w}pipe",
        "PING",
        "EXEC",
        "GET {w}pipe",
    ]
    .iter()
    .map(|line| line.split(' ').collect())
    .collect();
    let all: Vec<_> = (0..50).flat_map(|_| round.clone()).collect();
    for (i, replies) in client.pipeline(&all).chunks(9).enumerate() {
        let (before, after) = (Value::bulk(i.to_string()), Value::bulk((i + 1).to_string()));
        assert_eq!(replies[0], Value::ok());
        assert_eq!((&replies[1], &replies[3]), (&before, &before));
        assert_eq!(
            replies[7].items(),
            [Value::Integer(i as i64 + 1), Value::Simple("PONG".into())]
        );
        assert_eq!(replies[8], after);
    }
}

#[test]
fn a_watch_ends_with_the_transaction_and_on_unwatch() {
    let proxy = few(1);
    let mut client = proxy.client();
    let endings: [&[&str]; 7] = [
        &["MULTI", "GET {w}e", "EXEC"],
        &["MULTI", "NOSUCHCOMMAND", "EXEC"],
        &["MULTI", "EXEC"],
        &["MULTI", "GET {w}e", "DISCARD"],
        &["MULTI", "EXEC x"],
        &["UNWATCH"],
        &["RESET"],
    ];
    for ending in endings {
        assert_eq!(client.call(&["WATCH", "{w}e"]), Value::ok());
        for line in ending {
            client.call(&line.split(' ').collect::<Vec<_>>());
        }
        write_past("{w}e", "x");
        assert_eq!(
            transaction(&mut client, &["GET {w}e"]).items(),
            [Value::bulk("x")],
            "{ending:?}"
        );
        // The only connection is clean and free again: earlier watches do not affect its next user.
        let mut other = proxy.client();
        assert_eq!(other.call(&["WATCH", "{w}f"]), Value::ok(), "{ending:?}");
        write_past("{w}e", "y");
        assert_eq!(transaction(&mut other, &["PING"]).items().len(), 1);
    }
}

/// The connection uses the protocol in which the keys were watched.
#[test]
fn another_protocol_breaks_the_watch() {
    let proxy = few(1);
    let mut client = proxy.client();
    client.call(&["SET", "{w}h", "1"]);
    assert_eq!(client.call(&["WATCH", "{w}h"]), Value::ok());
    assert!(matches!(client.call(&["HELLO", "3"]), Value::Map(_)));
    assert_eq!(client.call(&["GET", "{w}h"]), Value::bulk("1"));
    client.call(&["MULTI"]);
    client.call(&["GET", "{w}h"]);
    assert_eq!(client.call_bytes(&["EXEC"]), b"_\r\n");
    assert_eq!(client.call(&["WATCH", "{w}h"]), Value::ok());
    assert_eq!(
        transaction(&mut client, &["GET {w}h"]).items(),
        [Value::bulk("1")]
    );
}

#[test]
fn own_answers_wait_for_the_reply_of_the_node() {
    let proxy = few(2);
    let mut client = proxy.client();
    let mut exec = |is_changed: bool, lines: &[&str]| {
        client.call(&["WATCH", "{w}l"]);
        if is_changed {
            write_past("{w}l", "x");
        }
        let reply = transaction(&mut client, lines);
        (reply, client.call(&["CLIENT", "GETNAME"]))
    };
    assert_eq!(exec(true, &[]), (Value::Null, Value::Null));
    assert_eq!(
        exec(true, &["CLIENT SETNAME n"]),
        (Value::Null, Value::Null)
    );
    assert_eq!(exec(false, &[]).0, Value::Array(vec![]));
    assert_eq!(
        exec(false, &["CLIENT SETNAME n", "UNWATCH"]),
        (
            Value::Array(vec![Value::ok(), Value::ok()]),
            Value::bulk("n")
        )
    );
}

#[test]
fn policies_add_their_commands_to_a_watched_body() {
    let proxy = with_namespaces(&[("p", "ttl = { default = \"100s\", max = \"200s\" }")]);
    for mut client in [proxy.client(), proxy.client_resp3()] {
        client.call(&["DEL", "p:{x}w", "p:{x}v"]);
        let body = ["INCR p:{x}w", "SETNX p:{x}v 1", "TTL p:{x}w"];
        client.call(&["WATCH", "p:{x}w"]);
        // A separate block, over the watched connection.
        assert_eq!(client.call(&["INCR", "p:{x}v"]), Value::Integer(1));
        let reply = transaction(&mut client, &body);
        assert_eq!(reply.items()[..2], [Value::Integer(1), Value::Integer(0)]);
        assert!(
            (80..=100).contains(&reply.items()[2].integer()),
            "{reply:?}"
        );
        client.call(&["WATCH", "p:{x}w"]);
        write_past("p:{x}w", "5");
        assert_eq!(transaction(&mut client, &body), Value::Null);
    }
}

#[test]
fn clients_with_suppressed_replies_watch_too() {
    let proxy = few(2);
    let mut client = proxy.client();
    client.call(&["SET", "{w}s", "1"]);
    client.send(&["CLIENT", "REPLY", "OFF"]);
    for (change, incr) in [(false, "INCR"), (true, "DECR")] {
        client.send(&["WATCH", "{w}s"]);
        if change {
            client.send(&["SET", "{w}s", "10"]);
        }
        client.send(&["MULTI"]);
        client.send(&[incr, "{w}s"]);
        client.send(&["EXEC"]);
    }
    client.send(&["CLIENT", "REPLY", "ON"]);
    assert_eq!(client.read(), Value::ok());
    assert_eq!(client.call(&["GET", "{w}s"]), Value::bulk("10"));
}

#[test]
fn one_server_watches_all_keys_together() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    let proxy = Proxy::start_before(&server, |config| config.set("log.level", "warn"));
    let (mut client, mut other) = (proxy.client(), proxy.client());
    for changed in ["a", "b", "none"] {
        assert_eq!(client.call(&["WATCH", "a"]), Value::ok());
        assert_eq!(client.call(&["WATCH", "b", "c"]), Value::ok());
        other.call(&["SET", changed, "x"]);
        let reply = transaction(&mut client, &["SET a 1", "SET b 1"]);
        assert_eq!(reply == Value::Null, changed != "none", "{changed}");
    }
}
