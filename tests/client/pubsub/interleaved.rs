//! Pushes between replies: never inside one, however large it is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::pubsub::shared_cluster;
use slotmux_testing::client::command;
use slotmux_testing::{Proxy, RawClient, SetAtEnd, Value};

use super::subscribe;

/// Large replies of the pipeline.
const ROUNDS: usize = 30;

/// Publishes numbers on `channel` until stopped, and returns their count.
fn flood(port: u16, channel: &str, stop: &AtomicBool) -> usize {
    let mut client = RawClient::connect(port);
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let batch: Vec<Vec<String>> = (number..number + 20)
            .map(|n| vec!["PUBLISH".into(), channel.to_owned(), n.to_string()])
            .collect();
        client.pipeline(&batch);
        number += 20;
    }
    number
}

fn interleave(proxy: &Proxy, prefix: &str) {
    let value = "v".repeat(1 << 20);
    let key = |number: usize| format!("{prefix}:{number}");
    let channel = format!("{prefix}:channel");
    let mut client = proxy.client_resp3();
    // On several nodes, so that early replies wait for their turn.
    for number in 0..3 {
        client.call(&["SET", &key(number), &value]);
    }
    client.call(&["SET", "small", "s"]);
    subscribe(&mut client, &["SUBSCRIBE", &channel]);
    let mut requests = Vec::new();
    for round in 0..ROUNDS {
        requests.extend(command(&["PING", &round.to_string()]));
        requests.extend(command(&["GET", &key(round % 3)]));
        requests.extend(command(&["GET", "small"]));
        if round % 10 == 0 {
            requests.extend(command(&["MULTI"]));
            requests.extend(command(&["GET", &key(0)]));
            requests.extend(command(&["EXEC"]));
        }
    }
    let (mut numbers, mut replies, mut inside) = (Vec::new(), Vec::new(), 0);
    let expected = ROUNDS * 3 + ROUNDS.div_ceil(10) * 3;
    let stop = AtomicBool::new(false);
    let published = thread::scope(|scope| {
        let _stop = SetAtEnd(&stop);
        let publisher = scope.spawn(|| flood(proxy.port(), &channel, &stop));
        client.send_raw(&requests);
        while replies.len() < expected {
            match client.read() {
                Value::Push(items) => {
                    numbers.push(items[2].text());
                    inside += 1;
                }
                reply => replies.push(reply),
            }
        }
        stop.store(true, Ordering::Relaxed);
        publisher.join().expect("the publisher")
    });
    assert!(inside > 0, "no message between the replies");
    while numbers.len() < published {
        numbers.push(client.read().items()[2].text());
    }
    let all: Vec<String> = (0..published).map(|number| number.to_string()).collect();
    assert_eq!(numbers, all);
    let mut replies = replies.into_iter();
    let mut next = || replies.next().expect("a reply");
    for round in 0..ROUNDS {
        assert_eq!(next(), Value::bulk(round.to_string()));
        assert!(next() == Value::bulk(&value), "round {round}");
        assert_eq!(next(), Value::bulk("s"));
        if round % 10 == 0 {
            assert_eq!(next(), Value::ok());
            assert_eq!(next(), Value::Simple("QUEUED".into()));
            assert!(
                next() == Value::Array(vec![Value::bulk(&value)]),
                "round {round}"
            );
        }
    }
}

#[test]
fn messages_come_between_large_replies() {
    let proxy = Proxy::start(shared_cluster(), |_| {});
    interleave(&proxy, "i:own");
}

#[test]
fn messages_come_between_large_replies_of_shared_lanes() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("cluster.connections.bulk_threshold", "4MiB");
        config.set("server.workers", 1);
    });
    interleave(&proxy, "i:shared");
}

#[test]
fn a_client_with_suppressed_replies_gets_messages() {
    let proxy = Proxy::start(shared_cluster(), |_| {});
    let mut client = proxy.client_resp3();
    subscribe(&mut client, &["SUBSCRIBE", "i:quiet"]);
    client.send(&["CLIENT", "REPLY", "OFF"]);
    client.send(&["SET", "i:quiet:key", "1"]);
    client.send(&["PUBLISH", "i:quiet", "own"]);
    super::expect_message(&mut client, "i:quiet", "own");
    assert_eq!(client.call(&["CLIENT", "REPLY", "ON"]), Value::ok());
    assert_eq!(client.call(&["GET", "i:quiet:key"]), Value::bulk("1"));
}
