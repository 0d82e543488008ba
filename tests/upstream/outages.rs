//! Real servers that crash, freeze, or hang up on slotmux while clients work: acknowledged writes exist, no write runs
//! twice, errors name the known fate, and every client works again without reconnecting.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use slotmux::tools::demo::cluster::{LocalCluster, Options};
use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_core::slot::slot_of;
use slotmux_testing::{
    Neighbour, PATIENCE, Proxy, RawClient, SetAtEnd, Value, calm_cluster, poll_for, poll_until,
    times,
};

const UNKNOWN: &str =
    "ERR slotmux: connection to the node was lost, the command may have been executed";

/// The fates of the INCRs of all clients on one counter each.
#[derive(Default)]
struct Ledger {
    acknowledged: AtomicUsize,
    unknown: AtomicUsize,
    refused: AtomicUsize,
}

/// Increments counter `name` in pipelines until `stop`, and checks that the returned counter only rises.
fn count(port: u16, name: &str, ledger: &Ledger, stop: &AtomicBool) {
    let mut client = RawClient::connect(port);
    let (mut last, mut unknown) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        for reply in client.pipeline(&vec![vec!["INCR", name]; 20]) {
            match reply {
                Value::Integer(value) => {
                    assert!(
                        value > last && value <= last + 1 + unknown,
                        "{name}: {value} after {last} and {unknown} of unknown fate"
                    );
                    (last, unknown) = (value, 0);
                    ledger.acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                Value::Error(text) if text.contains("may have been executed") => {
                    unknown += 1;
                    ledger.unknown.fetch_add(1, Ordering::Relaxed);
                }
                Value::Error(text) => {
                    assert!(
                        text.contains("was not executed") || text.starts_with("LOADING"),
                        "{name}: {text}"
                    );
                    ledger.refused.fetch_add(1, Ordering::Relaxed);
                }
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}

/// Lets `clients` count on `server` through slotmux while `trouble` happens; then compares the ledger with the server.
fn keep_the_books(server: &LocalServer, clients: usize, trouble: impl FnOnce(&Ledger)) {
    let proxy = Proxy::start_before(server, |config| {
        config.set("cluster.connections.backoff", "10ms..100ms");
        config.set("log.level", "warn");
    });
    let (ledger, stop) = (Ledger::default(), AtomicBool::new(false));
    let names: Vec<String> = (0..clients).map(|i| format!("counter:{i}")).collect();
    thread::scope(|scope| {
        for name in &names {
            let (ledger, stop, port) = (&ledger, &stop, proxy.port());
            scope.spawn(move || count(port, name, ledger, stop));
        }
        let _stop = SetAtEnd(&stop);
        trouble(&ledger);
    });
    let mut client = proxy.client();
    let total: i64 = names
        .iter()
        .map(|name| {
            poll_for(PATIENCE, "the server to be up", || {
                match client.call(&["INCRBY", name, "0"]) {
                    Value::Integer(value) => Some(value),
                    _ => None,
                }
            })
        })
        .sum();
    let [acknowledged, unknown] =
        [&ledger.acknowledged, &ledger.unknown].map(|n| n.load(Ordering::Relaxed) as i64);
    assert!(
        total >= acknowledged,
        "{acknowledged} acknowledged, {total} counted: some were lost"
    );
    assert!(
        total <= acknowledged + unknown,
        "{acknowledged} acknowledged and {unknown} unknown, {total} counted: some ran twice"
    );
    assert!(unknown > 0, "the fault hit no command in flight");
}

/// Waits until a few hundred more increments are acknowledged.
fn progress(ledger: &Ledger) {
    let before = ledger.acknowledged.load(Ordering::Relaxed);
    poll_until(PATIENCE, "the counters to continue", || {
        ledger.acknowledged.load(Ordering::Relaxed) > before + 200
    });
}

#[test]
fn no_increment_runs_twice_when_connections_are_cut() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    keep_the_books(&server, 8, |ledger| {
        for _ in 0..times(40, 400) {
            progress(ledger);
            let _: i64 = server
                .query(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"])
                .expect("killed");
        }
    });
}

#[test]
fn no_increment_is_lost_or_runs_twice_when_the_server_crashes() {
    let server = LocalServer::start(&ServerOptions {
        extra: [("appendonly", "yes"), ("appendfsync", "always")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        ..ServerOptions::default()
    })
    .expect("a server");
    keep_the_books(&server, 8, |ledger| {
        for _ in 0..times(4, 20) {
            progress(ledger);
            server.kill();
            server.restart().expect("back");
        }
        progress(ledger);
    });
}

/// A key in the slots of a shard of three, made of a name and a number.
fn key_of(shard: u16, name: &str, number: usize) -> String {
    (0..)
        .map(|i| format!("{name}:{number}:{i}"))
        .find(|key| slot_of(key.as_bytes()).0 / 5462 == shard)
        .expect("a key")
}

#[test]
fn a_frozen_node_costs_errors_and_its_late_replies_are_dropped() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "500ms");
        config.set("cluster.timeouts.response", "60s");
    });
    let neighbour = Neighbour::start_on(proxy.port(), |name, i| key_of(1, name, i), "awake");
    let mut client = proxy.client();
    let key = key_of(0, "frozen", 0);
    assert_eq!(client.call(&["INCR", &key]), Value::Integer(1));
    cluster.stop(0).expect("frozen");
    for round in 0..3 {
        let mut commands = vec![vec!["INCR", &*key]; 50];
        commands.push(vec!["GET", &key]);
        let replies = client.pipeline(&commands);
        for reply in &replies[..50] {
            assert_eq!(
                reply.error(),
                "ERR slotmux: upstream timeout, the command may have been executed"
            );
        }
        assert_eq!(replies[50].error(), "ERR slotmux: upstream timeout");
        if round < 2 {
            // One client leaves before its late replies come; the last one stays.
            drop(std::mem::replace(&mut client, proxy.client()));
        }
    }
    neighbour.goes_on();
    cluster.resume(0).expect("awake");
    // The late replies to all of these come now, and must not be taken for replies to the next commands.
    poll_until(PATIENCE, "the node to answer again", || {
        match client.call(&["INCRBY", &key, "0"]) {
            Value::Integer(value) => {
                assert_eq!(value, 151);
                true
            }
            other => other.error().is_empty(),
        }
    });
    for round in 0..20 {
        let keys: Vec<String> = (0..50)
            .map(|i| key_of(0, "later", round * 50 + i))
            .collect();
        let commands: Vec<Vec<&str>> = keys
            .iter()
            .flat_map(|key| [vec!["SET", key, key], vec!["GET", key]])
            .collect();
        for (i, pair) in client.pipeline(&commands).chunks(2).enumerate() {
            assert_eq!(pair, [Value::ok(), Value::bulk(&keys[i])]);
        }
    }
    poll_until(PATIENCE, "no command to be in flight", || {
        neighbour.rounds() > 0 && proxy.metric("slotmux_replies_dropped_total") >= Some(153.0)
    });
    neighbour.goes_on();
    neighbour.finish();
}

#[test]
fn a_silent_node_is_given_up_and_used_again_when_it_wakes() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "500ms");
        config.set("cluster.timeouts.response", "700ms");
        config.set("cluster.connections.connect_timeout", "500ms");
        config.set("cluster.connections.backoff", "10ms..100ms");
    });
    let neighbour = Neighbour::start_on(proxy.port(), |name, i| key_of(2, name, i), "awake");
    let mut client = proxy.client();
    let key = key_of(0, "silent", 0);
    assert_eq!(client.call(&["SET", &key, "1"]), Value::ok());
    cluster.stop(0).expect("frozen");
    poll_until(PATIENCE, "the connection to be given up", || {
        assert!(
            client
                .call(&["GET", &key])
                .error()
                .starts_with("ERR slotmux: ")
        );
        proxy.metric("slotmux_upstream_lost_total") >= Some(1.0)
            && proxy.metric("slotmux_upstream_connect_failures_total") >= Some(1.0)
    });
    neighbour.goes_on();
    cluster.resume(0).expect("awake");
    poll_until(PATIENCE, "the node to be used again", || {
        client.call(&["GET", &key]) == Value::bulk("1")
    });
    neighbour.goes_on();
    neighbour.finish();
}

#[test]
fn commands_for_a_missing_node_fail_at_once() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "4s");
        config.set("cluster.connections.backoff", "10ms..100ms");
    });
    let neighbour = Neighbour::start_on(proxy.port(), |name, i| key_of(2, name, i), "near");
    let mut client = proxy.client();
    let (away, near) = (key_of(0, "away", 0), key_of(2, "near-too", 0));
    assert_eq!(client.call(&["SET", &away, "1"]), Value::ok());
    assert_eq!(client.call(&["SET", &near, "2"]), Value::ok());
    cluster.kill(0);
    let is_refused = |reply: &Value| {
        let text = reply.error();
        text.contains("is unreachable") && text.ends_with("was not executed")
    };
    poll_until(PATIENCE, "the node to be given up", || {
        let reply = client.call(&["GET", &away]);
        is_refused(&reply) && proxy.metric("slotmux_upstream_connect_failures_total") > Some(3.0)
    });
    // By any connection. If each of them waited for its deadline, the last would be too late.
    let large = "l".repeat(100_000);
    let one_of_each = [
        vec!["SET", &away, "3"],
        vec!["SET", &away, &large],
        vec!["BLPOP", &away, "0"],
        vec!["MGET", &near, &away],
    ];
    let commands = vec![one_of_each; 5].concat();
    for mut client in [proxy.client(), proxy.client_resp3()] {
        for (i, reply) in client.pipeline(&commands).iter().enumerate() {
            assert!(is_refused(reply), "{}: {reply:?}", commands[i][0]);
        }
        // An element whose node is missing is never nil, and the others are served normally.
        assert_eq!(client.call(&["GET", &near]), Value::bulk("2"));
    }
    neighbour.goes_on();
    cluster.restart(0).expect("back");
    poll_until(PATIENCE, "the node to be used again", || {
        client.call(&["SET", &away, &large]) == Value::ok()
    });
    neighbour.goes_on();
    neighbour.finish();
}

/// Whether clients may get this error while a primary is replaced.
fn is_clear(text: &str) -> bool {
    text == UNKNOWN
        || text.starts_with("CLUSTERDOWN ")
        || text.starts_with("ERR slotmux: upstream timeout")
        || (text.starts_with("ERR slotmux: node ") && text.ends_with("was not executed"))
}

#[test]
fn clients_survive_a_failover() {
    let cluster = LocalCluster::start(Options {
        replicas_per_primary: 1,
        node_timeout: Duration::from_secs(1),
        ..Options::default()
    })
    .expect("a cluster");
    let proxy = Proxy::start(&cluster, |config| config.set("log.level", "warn"));
    let (stop, errors) = (AtomicBool::new(false), AtomicUsize::new(0));
    let rounds: Vec<AtomicUsize> = (0..6).map(|_| AtomicUsize::new(0)).collect();
    thread::scope(|scope| {
        for (id, clean_rounds) in rounds.iter().enumerate() {
            let (stop, errors, port) = (&stop, &errors, proxy.port());
            scope.spawn(move || {
                let mut client = RawClient::connect(port);
                let keys: Vec<String> = (0..30)
                    .map(|i| key_of(i % 3, &format!("over{id}"), i.into()))
                    .collect();
                for round in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let values: Vec<String> =
                        keys.iter().map(|key| format!("{key}={round}")).collect();
                    let commands: Vec<Vec<&str>> = keys
                        .iter()
                        .zip(&values)
                        .flat_map(|(key, value)| [vec!["SET", key, value], vec!["GET", key]])
                        .collect();
                    let mut is_clean = true;
                    for (i, reply) in client.pipeline(&commands).into_iter().enumerate() {
                        match reply {
                            Value::Error(text) => {
                                assert!(is_clear(&text), "{text}");
                                errors.fetch_add(1, Ordering::Relaxed);
                                is_clean = false;
                            }
                            Value::Simple(text) if i % 2 == 0 => assert_eq!(text, "OK"),
                            // A replica may lack the last acknowledged writes of its primary.
                            Value::Null if i % 2 == 1 => is_clean = false,
                            Value::Bulk(value) if i % 2 == 1 => {
                                let value = String::from_utf8_lossy(&value).into_owned();
                                let (key, told) = value.split_once('=').expect("our form");
                                assert_eq!(key, keys[i / 2]);
                                assert!(told.parse::<usize>().expect("a number") <= round);
                            }
                            other => panic!("reply {i}: {other:?}"),
                        }
                    }
                    if is_clean {
                        clean_rounds.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let _stop = SetAtEnd(&stop);
        let all_go_on = |what: &str| {
            let before: Vec<usize> = rounds.iter().map(|n| n.load(Ordering::Relaxed)).collect();
            poll_until(PATIENCE, what, || {
                rounds
                    .iter()
                    .zip(&before)
                    .all(|(now, before)| now.load(Ordering::Relaxed) > before + 5)
            });
        };
        all_go_on("all clients to work");
        cluster.kill(0);
        poll_until(PATIENCE, "the failover to the replica", || {
            cluster.primary_of_slot(0).is_ok_and(|owner| owner != 0)
        });
        all_go_on("all clients to work again");
    });
    assert_eq!(proxy.metric("slotmux_panics_total"), Some(0.0));
}
