//! Bodies of one slot: one block on the shared connection, policies inside it, redirects, limits.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_core::slot::slot_of;

use super::{count, transaction, with_namespaces};
use slotmux_testing::{PATIENCE, Proxy, Value, calm_cluster, poll_until, shared_cluster};

#[test]
fn policies_add_commands_and_take_their_replies_out() {
    let proxy = with_namespaces(&[("p", "ttl = { default = \"100s\", max = \"200s\" }")]);
    for mut client in [proxy.client(), proxy.client_resp3()] {
        client.call(&["DEL", "p:{x}n", "p:{x}l", "p:{x}s", "p:{x}m1", "p:{x}m2"]);
        let reply = transaction(
            &mut client,
            &[
                "INCR p:{x}n",
                "LPUSH p:{x}l a b",
                "INCR p:{x}l",
                "SETNX p:{x}s v",
                "MSET p:{x}m1 1 p:{x}m2 2",
                "TTL p:{x}n",
                "PING",
                "GET p:{x}m2",
            ],
        );
        let items = reply.items();
        assert_eq!(items[..2], [Value::Integer(1), Value::Integer(2)]);
        assert!(items[2].error().starts_with("WRONGTYPE"), "{items:?}");
        assert_eq!(items[3..5], [Value::Integer(1), Value::ok()]);
        assert!((80..=100).contains(&items[5].integer()), "{items:?}");
        assert_eq!(items[6..], [Value::Simple("PONG".into()), Value::bulk("2")]);
        for key in ["p:{x}n", "p:{x}l", "p:{x}s", "p:{x}m1", "p:{x}m2"] {
            assert!(client.call(&["TTL", key]).integer() > 0, "{key}");
        }
    }
    assert_eq!(count(&proxy, "transactions"), 2);
    assert_eq!(count(&proxy, "transactions_split"), 0);
}

#[test]
fn a_command_that_a_namespace_refuses_aborts() {
    let proxy = with_namespaces(&[("ro", "read_only = true")]);
    let mut client = proxy.client();
    let replies = client.pipeline(&[
        vec!["MULTI"],
        vec!["GET", "ro:a"],
        vec!["SET", "ro:a", "1"],
        vec!["EXEC"],
    ]);
    assert!(replies[2].error().contains("read_only"), "{replies:?}");
    assert_eq!(
        replies[3].error(),
        "EXECABORT Transaction discarded because of previous errors."
    );
    assert!(
        client
            .call(&["EXEC"])
            .error()
            .contains("EXEC without MULTI")
    );
}

/// One server contains the whole keyspace.
#[test]
fn one_server_runs_commands_about_the_whole_keyspace_inside() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    let proxy = Proxy::start_before(&server, |config| config.set("log.level", "warn"));
    let mut client = proxy.client();
    client.call(&["SET", "before", "1"]);
    let reply = transaction(
        &mut client,
        &[
            "FLUSHALL",
            "SET k 1",
            "DBSIZE",
            "KEYS *",
            "RANDOMKEY",
            "SCAN 0",
        ],
    );
    let key = Value::bulk("k");
    assert_eq!(
        reply.items(),
        [
            Value::ok(),
            Value::ok(),
            Value::Integer(1),
            Value::Array(vec![key.clone()]),
            key.clone(),
            Value::Array(vec![Value::bulk("0"), Value::Array(vec![key])])
        ]
    );
}

#[test]
fn hello_is_answered_inside_unless_the_protocol_changes() {
    let proxy = with_namespaces(&[]);
    for (mut client, protocol) in [(proxy.client(), "2"), (proxy.client_resp3(), "3")] {
        let versioned = format!("HELLO {protocol} SETNAME inside");
        let reply = transaction(&mut client, &["HELLO", &versioned, "CLIENT GETNAME"]);
        let items = reply.items();
        assert_eq!(items[0], items[1]);
        assert!(!matches!(items[0], Value::Error(_)), "{items:?}");
        assert_eq!(items[2], Value::bulk("inside"));
    }
}

#[test]
fn commands_whose_reply_cannot_be_in_an_array_are_refused() {
    let proxy = with_namespaces(&[]);
    for command in [
        &["HELLO", "3"][..],
        &["CLIENT", "REPLY", "OFF"],
        &["CLIENT", "LIST"],
        &["SUBSCRIBE", "c"],
        &["DBSIZE"],
        &["SCAN", "0"],
    ] {
        let mut client = proxy.client();
        client.call(&["MULTI"]);
        assert!(!client.call(command).error().is_empty(), "{command:?}");
        assert!(client.call(&["EXEC"]).error().starts_with("EXECABORT"));
    }
}

/// No command of another client runs between two commands of a transaction.
#[test]
fn transactions_of_many_clients_do_not_mix() {
    let proxy = with_namespaces(&[]);
    let mut client = proxy.client();
    client.call(&["DEL", "{mix}a", "{mix}b"]);
    let rounds = 100;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = proxy.client();
                for _ in 0..rounds {
                    let reply = transaction(&mut client, &["INCR {mix}a", "PING", "INCR {mix}b"]);
                    assert_eq!(reply.items()[0], reply.items()[2]);
                }
            });
        }
    });
    assert_eq!(client.call(&["GET", "{mix}a"]), Value::bulk("800"));
}

/// The slot moves to another node under transactions that run all the time: each runs once.
#[test]
fn a_slot_moves_under_transactions() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| config.set("log.level", "warn"));
    let slot = slot_of(b"t").0;
    let from = cluster.primary_of_slot(slot).expect("an owner");
    let to = (from + 1) % 3;
    let mut client = proxy.client();
    let mut runs = 0;
    let mut run = |client: &mut slotmux_testing::RawClient| {
        let reply = transaction(client, &["INCR {t}a", "INCR {t}a"]);
        runs += 2;
        assert_eq!(
            reply.items(),
            [Value::Integer(runs - 1), Value::Integer(runs)]
        );
    };
    run(&mut client);
    cluster
        .migrate_slot_begin(slot, from, to)
        .expect("it begins to move");
    run(&mut client);
    while cluster
        .migrate_slot_step(slot, from, to, 1)
        .expect("a step")
        > 0
    {
        run(&mut client);
    }
    run(&mut client);
    cluster
        .migrate_slot_finish(slot, from, to)
        .expect("it moves");
    run(&mut client);
    assert!(count(&proxy, "retries") > 0);
}

/// Many clients with several transactions in flight each, and a slot that moves to and fro: a transaction answered with
/// an array has run once and whole, one answered with an error has not run.
#[test]
fn transactions_run_once_and_whole_while_slots_move() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("log.level", "warn");
        config.set("defaults.namespace.multi", "split");
    });
    let slot = slot_of(b"t").0;
    let home = cluster.primary_of_slot(slot).expect("an owner");
    let away = (home + 1) % 3;
    let is_over = AtomicBool::new(false);
    let (runs, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                let mut client = proxy.client();
                let one = [
                    vec!["MULTI"],
                    vec!["INCR", "{t}a"],
                    vec!["INCR", "elsewhere"],
                    vec!["INCR", "{t}b"],
                    vec!["EXEC"],
                ];
                let batch: Vec<Vec<&str>> = (0..8).flat_map(|_| one.clone()).collect();
                while !is_over.load(Ordering::SeqCst) {
                    for reply in client.pipeline(&batch).chunks(5).map(|replies| &replies[4]) {
                        let items = reply.items();
                        let (a, b) = (&items[0], &items[2]);
                        match (a, b) {
                            (Value::Integer(a), Value::Integer(b)) => {
                                assert_eq!(a, b, "one without the other");
                                runs.fetch_add(1, Ordering::SeqCst);
                            }
                            _ => {
                                assert!(a.error().starts_with("TRYAGAIN"), "{a:?}");
                                assert_eq!(a, b);
                                refused.fetch_add(1, Ordering::SeqCst);
                            }
                        }
                        assert!(items[1].integer() > 0);
                    }
                }
            });
        }
        for round in 0..6 {
            let (from, to) = if round % 2 == 0 {
                (home, away)
            } else {
                (away, home)
            };
            cluster.migrate_slot(slot, from, to).expect("it moves");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        is_over.store(true, Ordering::SeqCst);
    });
    let runs = runs.into_inner();
    println!("{runs} ran, {} were refused", refused.into_inner());
    assert!(runs > 100, "{runs}");
    let mut client = proxy.client();
    for key in ["{t}a", "{t}b"] {
        assert_eq!(client.call(&["GET", key]), Value::bulk(runs.to_string()));
    }
}

/// Requests queued for EXEC count as the client's memory, until it is gone.
#[test]
fn queued_requests_count_as_memory() {
    let proxy = with_namespaces(&[]);
    let mut client = proxy.client();
    let held = || proxy.metric("slotmux_client_buffer_bytes").expect("it");
    let value = "x".repeat(1_000_000);
    client.call(&["MULTI"]);
    client.call(&["SET", "{mem}a", &value]);
    poll_until(PATIENCE, "the queue to be counted", || held() > 1e6);
    client.call(&["DISCARD"]);
    poll_until(PATIENCE, "the queue to be gone", || held() < 1e5);
    client.call(&["MULTI"]);
    client.call(&["SET", "{mem}a", &value]);
    drop(client);
    poll_until(PATIENCE, "the client to be gone", || held() < 1e5);
}

#[test]
fn elements_of_many_megabytes() {
    let proxy = with_namespaces(&[("big", "multi = \"split\"")]);
    let mut client = proxy.client();
    let value = "0123456789abcdef".repeat(128 * 1024);
    let set = format!("SET big:a {value}");
    let reply = transaction(
        &mut client,
        &[&set, "GET big:a", "SET big:b 1", "GET big:b"],
    );
    assert_eq!(
        reply.items(),
        [
            Value::ok(),
            Value::bulk(&value),
            Value::ok(),
            Value::bulk("1")
        ]
    );
    let reply = transaction(&mut client, &["GET big:a", "STRLEN big:a", "GET big:a"]);
    assert_eq!(reply.items()[0], Value::bulk(&value));
    assert_eq!(reply.items()[2], Value::bulk(&value));
}

#[test]
fn a_transaction_is_bounded_like_one_request() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("listener.limits.max_request", "64KiB");
        config.set("listener.limits.max_args", 100);
    });
    let value = "x".repeat(40_000);
    for commands in [
        vec![vec!["SET", "{lim}a", &value]; 2],
        vec![vec!["GET", "{lim}a"]; 101],
    ] {
        let mut client = proxy.client();
        client.call(&["MULTI"]);
        let last = client.pipeline(&commands).pop().expect("replies");
        assert!(last.error().contains("max_request or max_args"), "{last:?}");
        assert!(client.call(&["EXEC"]).error().starts_with("EXECABORT"));
        assert_eq!(client.call(&["PING"]), Value::Simple("PONG".into()));
    }
}
