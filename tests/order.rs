//! The barrier: a client's commands on a key keep their order while the key's slot moves. Fails when the barrier is
//! switched off (`cargo test --features sabotage-barrier --test order`).

mod common;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{Proxy, Value, calm_cluster};
use slotmux::slot::slot_of;

const CLIENTS: usize = 50;
const DEPTH: usize = 32;
const MOVES: usize = 12;

/// Keys of `count` different slots of the first shard.
fn moving_tags(count: usize) -> Vec<String> {
    let mut slots = HashSet::new();
    (0..)
        .map(|i| format!("tag{i}"))
        .filter(|tag| slot_of(tag.as_bytes()).0 < 5461 && slots.insert(slot_of(tag.as_bytes()).0))
        .take(count)
        .collect()
}

#[test]
fn a_monotone_counter_stays_monotone_while_its_slot_moves() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| config.set("log.level", "warn"));
    let tags = moving_tags(4);
    let stop = AtomicBool::new(false);
    let port = proxy.port();
    thread::scope(|scope| {
        for id in 0..CLIENTS {
            let (tags, stop) = (&tags, &stop);
            scope.spawn(move || {
                let mut client = common::RawClient::connect(port);
                let key = format!("{{{}}}:counter:{id}", tags[id % tags.len()]);
                let mut last = 0i64;
                while !stop.load(Ordering::Relaxed) {
                    // GETSET tells what was there before: exactly the value of the command before it.
                    let commands: Vec<Vec<String>> = (1..=DEPTH as i64)
                        .map(|i| vec!["GETSET".to_owned(), key.clone(), (last + i).to_string()])
                        .collect();
                    for (i, reply) in client.pipeline(&commands).into_iter().enumerate() {
                        let before = last + i as i64;
                        let expected = if before == 0 {
                            Value::Null
                        } else {
                            Value::bulk(before.to_string())
                        };
                        assert_eq!(reply, expected, "client {id}, command {i} of a pipeline");
                    }
                    last += DEPTH as i64;
                }
            });
        }
        for round in 0..MOVES {
            let (from, to) = (round % 3, (round + 1) % 3);
            for tag in &tags {
                cluster
                    .migrate_slot(slot_of(tag.as_bytes()).0, from, to)
                    .expect("the slot moves");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(
        proxy
            .metric("slotmux_moved_total")
            .is_some_and(|moved| moved > 0.0),
        "nothing was redirected"
    );
}
