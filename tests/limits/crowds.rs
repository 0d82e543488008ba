//! Thousands of commands that wait or are redirected at once: the cost of each does not grow with their number, so
//! other clients are served meanwhile.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use slotmux::engine::upstream::retry::overtaken;
use slotmux::tools::demo::cluster::{LocalCluster, Options};
use slotmux_core::slot::slot_of;
use slotmux_testing::{Proxy, RawClient, SetAtEnd, Value, calm_cluster, poll_until, times};

/// Clients that wait at the same time.
const CLIENTS: usize = 20;
/// Keys that each of them asks for, nearly all in different slots.
const KEYS: usize = 5000;
/// PINGs that must be answered meanwhile. A worker that loops over all waiting commands answers a handful in four times
/// as long; this one answers more than a thousand on a core of its own.
const LEAST_ANSWERED: usize = 30;

/// Keys of the first third of all slots.
fn keys_of_first(count: usize) -> Vec<String> {
    (0..)
        .map(|i| format!("crowd:{i}"))
        .filter(|key| slot_of(key.as_bytes()).0 < 5000)
        .take(count)
        .collect()
}

/// Runs `f` while another client sends one PING after the other; returns the number answered before `f` returned.
fn pings_during(proxy: &Proxy, f: impl FnOnce()) -> usize {
    // A failed test leaves no state that could disturb another one, so a poisoned lock is fine.
    let _turn = crate::turn();
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let _stop = SetAtEnd(&stop);
        let (stop, answered) = (&stop, &answered);
        let port = proxy.port();
        scope.spawn(move || {
            let mut client = RawClient::connect(port);
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(client.call(&["PING"]), Value::Simple("PONG".to_owned()));
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
        f();
        answered.load(Ordering::Relaxed)
    })
}

/// Many clients send commands for slots without an owner, and each gets its error; another client is served meanwhile.
fn all_are_refused(proxy: &Proxy, command: &[&str]) {
    let keys = keys_of_first(KEYS);
    let words: Vec<&str> = command
        .iter()
        .copied()
        .chain(keys.iter().map(String::as_str))
        .collect();
    let answered = pings_during(proxy, || {
        let mut clients: Vec<RawClient> = (0..CLIENTS).map(|_| proxy.client()).collect();
        for client in &mut clients {
            client.send(&words);
        }
        for client in &mut clients {
            let reply = client.read();
            assert!(reply.error().starts_with("CLUSTERDOWN"), "{reply:?}");
        }
    });
    assert!(answered >= LEAST_ANSWERED, "{answered} PINGs answered");
}

/// A cluster in which the slots of the first node have no owner.
fn partly_covered() -> LocalCluster {
    let cluster = LocalCluster::start(Options {
        node_timeout: slotmux_testing::CALM,
        extra: vec![("cluster-require-full-coverage".into(), "no".into())],
        ..Options::default()
    })
    .expect("a cluster");
    delete_slots(&cluster);
    cluster
}

fn delete_slots(cluster: &LocalCluster) {
    for node in 0..3 {
        let _: String = cluster
            .query(node, &["CLUSTER", "DELSLOTSRANGE", "0", "5460"])
            .expect("slots that are deleted");
    }
}

#[test]
fn clients_waiting_for_unowned_slots_delay_no_other() {
    let cluster = partly_covered();
    let proxy = Proxy::start(&cluster, |config| {
        config.set("server.workers", 1);
        config.set("log.level", "warn");
    });
    all_are_refused(&proxy, &["MGET"]);
    all_are_refused(&proxy, &["DEL"]);
    // A command that is refused at its deadline may have an attempt in flight.
    poll_until(slotmux_testing::PATIENCE, "no command in flight", || {
        proxy.metric("slotmux_in_flight") == Some(0.0)
    });
}

#[test]
fn a_slot_that_gets_an_owner_ends_the_wait() {
    let cluster = partly_covered();
    let proxy = Proxy::start(&cluster, |config| {
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "60s");
        config.set("log.level", "warn");
    });
    let keys = keys_of_first(500);
    let mut client = proxy.client();
    let mut words = vec!["MSET"];
    words.extend(keys.iter().flat_map(|key| [&**key, &**key]));
    client.send(&words);
    let mut others: Vec<RawClient> = (0..10).map(|_| proxy.client()).collect();
    for (other, key) in others.iter_mut().zip(&keys) {
        // A pipeline on one slot: the first command waits, and the others behind it.
        for i in 0..50 {
            other.send(&["APPEND", &format!("{{{key}}}:log"), &format!("{i},")]);
        }
    }
    // A client that leaves waits no longer.
    let mut leaver = proxy.client();
    leaver.send(&["MGET", &keys[0], &keys[1]]);
    drop(leaver);
    let _: String = cluster
        .query(0, &["CLUSTER", "ADDSLOTSRANGE", "0", "5460"])
        .expect("given back");
    cluster.wait_ok().expect("all slots are served");
    assert_eq!(client.read(), Value::ok());
    for (other, key) in others.iter_mut().zip(&keys) {
        let mut length = 0;
        for i in 0..50 {
            length += format!("{i},").len() as i64;
            assert_eq!(other.read(), Value::Integer(length));
        }
        let log: String = (0..50).map(|i| format!("{i},")).collect();
        assert_eq!(
            other.call(&["GET", &format!("{{{key}}}:log")]),
            Value::bulk(log)
        );
    }
    poll_until(slotmux_testing::PATIENCE, "no command to wait", || {
        proxy.metric("slotmux_in_flight") == Some(0.0)
    });
}

#[test]
fn clients_behind_a_cluster_that_is_down_delay_no_other() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("server.workers", 1);
        config.set("log.level", "warn");
    });
    let mut client = proxy.client();
    let key = &keys_of_first(1)[0];
    assert_eq!(client.call(&["SET", key, "1"]), Value::ok());
    // The slots have owners in slotmux' map; the nodes report that the cluster is down.
    delete_slots(&cluster);
    all_are_refused(&proxy, &["MGET"]);
}

/// Long pipelines on one slot, which moves between nodes: each reply shows the effect of the previous command.
#[test]
fn thousands_of_redirected_commands_keep_their_order_and_delay_no_other() {
    const CROWD: usize = 60;
    const DEPTH: usize = 1000;
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "60s");
        config.set("cluster.timeouts.response", "60s");
        config.set("log.level", "warn");
    });
    let slot = slot_of(b"moves").0;
    let start = cluster.primary_of_slot(slot).expect("an owner");
    let mut clients: Vec<RawClient> = (0..CROWD).map(|_| proxy.client()).collect();
    let mut last = [0; CROWD];
    for round in 0..times(3, 12) {
        let (from, to) = ((start + round) % 3, (start + round + 1) % 3);
        let answered = pings_during(&proxy, || {
            for (id, client) in clients.iter_mut().enumerate() {
                let key = format!("{{moves}}:{id}");
                let pipeline: Vec<u8> = (0..DEPTH)
                    .flat_map(|_| slotmux_testing::client::command(&["INCR", &key]))
                    .collect();
                client.send_raw(&pipeline);
            }
            cluster
                .migrate_slot(slot, from, to)
                .expect("the slot moves");
            for (client, last) in clients.iter_mut().zip(&mut last) {
                for _ in 0..DEPTH {
                    match client.read() {
                        Value::Integer(number) => {
                            assert_eq!(number, *last + 1);
                            *last = number;
                        }
                        refused => assert_eq!(refused.error(), overtaken::ERROR),
                    }
                }
            }
        });
        assert!(answered >= 20, "{answered} PINGs answered");
    }
}
