//! Slots move and a primary is killed under a mixed load of writes: afterwards every key of the namespace has its TTL,
//! and no write ran twice.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use slotmux::tools::demo::cluster::{LocalCluster, Options};
use slotmux_core::slot::slot_of;

use super::{add_namespace, all_ttls};
use slotmux_testing::{PATIENCE, Proxy, RawClient, SetAtEnd, Value, poll_until};

const CLIENTS: usize = 12;
const TAGS: usize = 6;
/// Writes to one key before the next one is begun.
const WRITES_PER_KEY: usize = 8;
/// Times that the slots of the tags move on before the kill.
const MOVES: usize = 4;
const MAX_MS: i64 = 600_000;

/// A client's record of its own writes.
#[derive(Default)]
struct Ledger {
    /// Per key and value: the maximum number of occurrences.
    most: HashMap<(String, String), u64>,
    acknowledged: usize,
    unknown: usize,
}

/// Tags whose slots belong to the first shard.
fn tags() -> Vec<String> {
    (0..)
        .map(|i| format!("t{i}"))
        .filter(|tag| slot_of(tag.as_bytes()).0 < 5000)
        .take(TAGS)
        .collect()
}

/// Writes until stopped. Every value is unique, so a value that occurs twice was written twice.
fn write(port: u16, id: usize, tags: &[String], stop: &AtomicBool) -> Ledger {
    let mut client = RawClient::connect(port);
    let mut ledger = Ledger::default();
    for round in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let tag = &tags[(id + round) % tags.len()];
        let born = round / WRITES_PER_KEY;
        let unique = format!("<{id}.{round}>");
        let key = |kind: &str| format!("ns:{kind}:{{{tag}}}:{id}:{born}");
        let commands = [
            vec!["INCR".to_owned(), key("incr")],
            vec!["LPUSH".to_owned(), key("list"), unique.clone()],
            vec!["APPEND".to_owned(), key("text"), unique.clone()],
            vec![
                "HSET".to_owned(),
                key("hash"),
                unique.clone(),
                unique.clone(),
            ],
            vec![
                "SET".to_owned(),
                key("set"),
                unique.clone(),
                "KEEPTTL".to_owned(),
            ],
            vec!["SETNX".to_owned(), key("setnx"), unique.clone()],
        ];
        let replies = client.pipeline(&commands);
        for (command, reply) in commands.iter().zip(replies) {
            let may_be_there = match &reply {
                Value::Error(text) if text.contains("may have been executed") => {
                    ledger.unknown += 1;
                    1
                }
                Value::Error(text) => {
                    assert!(
                        !text.starts_with("MOVED") && !text.starts_with("ASK"),
                        "{text}"
                    );
                    assert!(!text.starts_with("EXECABORT"), "{text}");
                    0
                }
                _ => {
                    ledger.acknowledged += 1;
                    1
                }
            };
            let value = command.get(2).cloned().unwrap_or_default();
            *ledger.most.entry((command[1].clone(), value)).or_default() += may_be_there;
        }
    }
    ledger
}

/// The number of occurrences of `value` in `key`.
fn count(reader: &mut RawClient, key: &str, value: &str) -> u64 {
    match key.split(':').nth(1) {
        Some("incr") => match reader.call(&["GET", key]) {
            Value::Bulk(number) => String::from_utf8_lossy(&number).parse().expect("a number"),
            _ => 0,
        },
        Some("list") => {
            let items = reader.call(&["LRANGE", key, "0", "-1"]);
            items
                .items()
                .iter()
                .filter(|item| item.text() == value)
                .count() as u64
        }
        Some("text") => match reader.call(&["GET", key]) {
            Value::Bulk(text) => String::from_utf8_lossy(&text).matches(value).count() as u64,
            _ => 0,
        },
        _ => 0,
    }
}

#[test]
fn faults_leave_no_key_without_ttl_and_repeat_no_write() {
    let cluster = LocalCluster::start(Options {
        replicas_per_primary: 1,
        node_timeout: Duration::from_millis(1500),
        ..Options::default()
    })
    .expect("a cluster");
    let proxy = Proxy::start(&cluster, |config| {
        add_namespace(
            config,
            "ns",
            "default = \"5m\", max = \"10m\", jitter = 0.2",
        );
        config.set("log.level", "warn");
        config.set("cluster.timeouts.command", "15s");
    });
    let (port, tags) = (proxy.port(), tags());
    let stop = AtomicBool::new(false);
    let ledgers: Vec<Ledger> = thread::scope(|scope| {
        let writers: Vec<_> = (0..CLIENTS)
            .map(|id| {
                let (tags, stop) = (&tags, &stop);
                scope.spawn(move || write(port, id, tags, stop))
            })
            .collect();
        {
            let _stop = SetAtEnd(&stop);
            for round in 0..MOVES {
                let (from, to) = (round % 3, (round + 1) % 3);
                for tag in &tags {
                    let slot = slot_of(tag.as_bytes()).0;
                    cluster
                        .migrate_slot(slot, from, to)
                        .expect("the slot moves");
                    cluster.wait_owner(slot, to).expect("all nodes know it");
                }
            }
            let slot = slot_of(tags[0].as_bytes()).0;
            let owner = cluster.primary_of_slot(slot).expect("an owner");
            cluster.kill(owner);
            poll_until(PATIENCE, "a replica to take over", || {
                cluster.primary_of_slot(slot).is_ok_and(|now| now != owner)
            });
            let before = proxy.metric("slotmux_replies_total");
            poll_until(PATIENCE, "the load to continue", || {
                proxy.metric("slotmux_replies_total") > before.map(|count| count + 5000.0)
            });
        }
        writers
            .into_iter()
            .map(|writer| writer.join().expect("a writer"))
            .collect()
    });

    let primaries: Vec<usize> = (0..cluster.nodes().len())
        .filter(|&node| {
            cluster
                .query::<String>(node, &["INFO", "replication"])
                .is_ok_and(|info| info.contains("role:master"))
        })
        .collect();
    assert_eq!(primaries.len(), 3);
    let ttls = all_ttls(&cluster, &primaries);
    assert!(ttls.len() > 500, "only {} keys", ttls.len());
    let wrong: Vec<_> = ttls
        .iter()
        .filter(|(_, ttl)| !(0..=MAX_MS).contains(ttl) && *ttl != -2)
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {}: {wrong:?}",
        wrong.len(),
        ttls.len()
    );

    let mut reader = proxy.client();
    let (mut acknowledged, mut unknown) = (0, 0);
    for ledger in &ledgers {
        acknowledged += ledger.acknowledged;
        unknown += ledger.unknown;
        for ((key, value), most) in &ledger.most {
            let found = count(&mut reader, key, value);
            assert!(
                found <= *most,
                "{key}: {value:?} {found} times, written {most} times"
            );
        }
    }
    println!(
        "{} keys, {acknowledged} writes, {unknown} of unknown fate",
        ttls.len()
    );
    let redirects = proxy.metric("slotmux_moved_total").unwrap_or(0.0)
        + proxy.metric("slotmux_ask_total").unwrap_or(0.0);
    assert!(redirects > 0.0, "no command was redirected");
}
