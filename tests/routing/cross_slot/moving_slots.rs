//! Commands over several slots while the slots of their keys move between nodes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use slotmux::tools::demo::cluster::LocalCluster;
use slotmux_core::slot::slot_of;
use slotmux_testing::{Proxy, RawClient, SetAtEnd, Value, calm_cluster, times};

use super::call;

fn proxy(cluster: &LocalCluster) -> Proxy {
    Proxy::start(cluster, |config| {
        config.set("defaults.namespace.cross_slot", "all");
        config.set("log.level", "warn");
    })
}

/// The slot of a key, its node, and another node.
fn place(cluster: &LocalCluster, key: &str) -> (u16, usize, usize) {
    let slot = slot_of(key.as_bytes()).0;
    let owner = cluster.primary_of_slot(slot).expect("an owner");
    (slot, owner, (owner + 1) % 3)
}

/// In each phase of a move: opened, the key moved, closed.
#[test]
fn reads_and_moves_run_in_every_phase_of_a_move() {
    let cluster = calm_cluster(0);
    let proxy = proxy(&cluster);
    let mut client = proxy.client();
    for key in ["{a}s", "{b}s"] {
        let (slot, from, to) = place(&cluster, key);
        call(&mut client, "DEL {a}s {b}s {c}s {a}r {b}r");
        call(&mut client, "SADD {a}s 1 2");
        call(&mut client, "SADD {b}s 2 3");
        let run = |client: &mut RawClient, phase: &str| {
            for (line, expected) in [
                ("SINTERCARD 2 {a}s {b}s", Value::Integer(1)),
                ("SINTERCARD 2 {b}s {a}s", Value::Integer(1)),
                ("SUNIONSTORE {c}s {a}s {b}s", Value::Integer(3)),
                ("RENAME {a}s {b}r", Value::ok()),
                ("RENAME {b}r {a}s", Value::ok()),
            ] {
                assert_eq!(call(client, line), expected, "{line}, {key} {phase}");
            }
        };
        run(&mut client, "in place");
        cluster.migrate_slot_begin(slot, from, to).expect("begun");
        run(&mut client, "about to move");
        cluster
            .migrate_slot_step(slot, from, to, 100)
            .expect("moved");
        run(&mut client, "moved");
        cluster
            .migrate_slot_finish(slot, from, to)
            .expect("finished");
        run(&mut client, "at its new node");
    }
}

/// Values that go round while slots move are there once, and nothing of slotmux is left.
#[test]
fn nothing_is_lost_while_slots_move() {
    const ELEMENTS: usize = 20;
    let cluster = calm_cluster(0);
    let proxy = proxy(&cluster);
    let mut client = proxy.client();
    for element in 0..ELEMENTS {
        call(&mut client, &format!("RPUSH {{a}}l {element}"));
        call(&mut client, &format!("SADD {{a}}s {element}"));
    }
    call(&mut client, "SET {a}v value");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _end = SetAtEnd(&over);
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = proxy.client();
                let mut round = 0;
                while !over.load(Ordering::Relaxed) {
                    round += 1;
                    let member = round % ELEMENTS;
                    for (from, to) in [("a", "b"), ("b", "c"), ("c", "a")] {
                        for line in [
                            format!("LMOVE {{{from}}}l {{{to}}}l LEFT RIGHT"),
                            format!("SMOVE {{{from}}}s {{{to}}}s {member}"),
                        ] {
                            let reply = call(&mut client, &line);
                            let is_refused = matches!(&reply, Value::Error(text) if text.starts_with("TRYAGAIN "));
                            assert!(!matches!(reply, Value::Error(_)) || is_refused, "{line}: {reply:?}");
                        }
                    }
                }
            });
        }
        for _ in 0..times(4, 40) {
            for key in ["{a}", "{b}", "{c}"] {
                let (slot, from, to) = place(&cluster, key);
                cluster.migrate_slot(slot, from, to).expect("moved");
                cluster.wait_owner(slot, to).expect("known to all");
                let _ = call(&mut client, "RENAME {a}v {b}v");
                let _ = call(&mut client, "RENAME {b}v {a}v");
            }
        }
    });
    let count = |client: &mut RawClient, command: &str, kind: &str| -> i64 {
        let one = |slot: &str| call(client, &format!("{command} {{{slot}}}{kind}")).integer();
        ["a", "b", "c"].map(one).into_iter().sum()
    };
    assert_eq!(count(&mut client, "LLEN", "l"), ELEMENTS as i64);
    assert_eq!(count(&mut client, "SCARD", "s"), ELEMENTS as i64);
    assert_eq!(call(&mut client, "EXISTS {a}v {b}v"), Value::Integer(1));
    for node in cluster.nodes() {
        let keys = RawClient::connect(node.port).call(&["KEYS", "slotmux:*"]);
        assert!(keys.items().is_empty(), "{keys:?}");
    }
}
