//! Each message once, and those of a publisher in order.

use std::collections::HashMap;
use std::thread;

use crate::pubsub::{shared_cluster, shared_proxy};
use slotmux_testing::{RawClient, Value};

use super::{expect_message, home, next_message, subscribe, subscribers_at};

/// Messages of each publisher on each channel.
const MESSAGES: usize = 200;

/// Publishes numbers on all channels in turn, in a pipeline.
fn publish_numbers(port: u16, name: &str, channels: &[&str]) {
    let mut client = RawClient::connect(port);
    let commands: Vec<Vec<String>> = (0..MESSAGES)
        .flat_map(|number| {
            channels.iter().map(move |channel| {
                vec![
                    "PUBLISH".to_owned(),
                    (*channel).to_owned(),
                    format!("{name} {number}"),
                ]
            })
        })
        .collect();
    for reply in client.pipeline(&commands) {
        assert!(matches!(reply, Value::Integer(_)), "{reply:?}");
    }
}

#[test]
fn each_message_comes_once_and_in_its_publishers_order() {
    let cluster = shared_cluster();
    let proxy = shared_proxy();
    // With homes on all three nodes.
    let channels = ["d:1", "d:2", "d:3", "d:4", "d:5", "d:6", "d:7"];
    let homes: std::collections::HashSet<_> = channels
        .iter()
        .map(|channel| home(cluster, channel))
        .collect();
    assert_eq!(homes.len(), 3);
    // Enough clients that both workers have some.
    let mut subscribers: Vec<RawClient> = (0..10)
        .map(|at| {
            let mut client = if at % 2 == 0 {
                proxy.client()
            } else {
                proxy.client_resp3()
            };
            if at < 5 {
                let words: Vec<_> = ["SUBSCRIBE"].iter().chain(&channels).copied().collect();
                subscribe(&mut client, &words);
            } else {
                subscribe(&mut client, &["PSUBSCRIBE", "d:*"]);
            }
            client
        })
        .collect();
    // Three through slotmux, and one at each node.
    let ports: Vec<u16> = [proxy.port(); 3]
        .into_iter()
        .chain((0..3).map(|node| cluster.node(node).port))
        .collect();
    thread::scope(|scope| {
        for (number, port) in ports.iter().enumerate() {
            scope.spawn(move || publish_numbers(*port, &format!("p{number}"), &channels));
        }
        for client in &mut subscribers {
            let ports = &ports;
            scope.spawn(move || {
                let mut next: HashMap<(String, String), usize> = HashMap::new();
                for _ in 0..MESSAGES * channels.len() * ports.len() {
                    let (channel, text) = next_message(client);
                    let (publisher, number) =
                        text.split_once(' ').expect("a publisher and a number");
                    let expected = next.entry((publisher.to_owned(), channel)).or_default();
                    assert_eq!(number.parse(), Ok(*expected), "of {publisher}");
                    *expected += 1;
                }
                assert!(next.values().all(|&count| count == MESSAGES));
            });
        }
    });
    // No duplicates remain.
    let mut publisher = proxy.client();
    publisher.call(&["PUBLISH", "d:3", "end"]);
    for client in &mut subscribers {
        expect_message(client, "d:3", "end");
    }
}

#[test]
fn keyspace_notifications_come_from_every_primary_once() {
    let cluster = shared_cluster();
    for node in 0..3 {
        cluster
            .query::<()>(node, &["CONFIG", "SET", "notify-keyspace-events", "KEA"])
            .expect("set");
    }
    let proxy = shared_proxy();
    let keys: Vec<String> = (0..30).map(|number| format!("ks:{number}")).collect();
    let homes: std::collections::HashSet<_> = keys.iter().map(|key| home(cluster, key)).collect();
    assert_eq!(homes.len(), 3);
    let mut by_key = proxy.client();
    subscribe(&mut by_key, &["PSUBSCRIBE", "__keyspace@0__:ks:*"]);
    let mut by_event = proxy.client_resp3();
    subscribe(&mut by_event, &["PSUBSCRIBE", "__keyevent@0__:lpush"]);
    // A shard channel, and a key whose node is not the home of its channel.
    let mut by_channel = proxy.client();
    subscribe(&mut by_channel, &["SUBSCRIBE", "__keyevent@0__:lpush"]);
    let mut everything = proxy.client();
    subscribe(&mut everything, &["PSUBSCRIBE", "[_k][_s]*"]);

    let mut writer = proxy.client();
    for key in &keys {
        writer.call(&["LPUSH", key, "v"]);
    }
    writer.call(&["PUBLISH", "ks:plain", "once"]);
    let mut seen: Vec<String> = keys.iter().map(|_| next_message(&mut by_key).0).collect();
    seen.sort();
    let mut expected: Vec<String> = keys
        .iter()
        .map(|key| format!("__keyspace@0__:{key}"))
        .collect();
    expected.sort();
    assert_eq!(seen, expected);
    for client in [&mut by_event, &mut by_channel] {
        let mut seen: Vec<String> = keys.iter().map(|_| next_message(client).1).collect();
        seen.sort();
        let mut expected = keys.clone();
        expected.sort();
        assert_eq!(seen, expected);
    }
    // Both kinds of notification of each key, and the message.
    let mut seen = HashMap::<_, usize>::new();
    while seen.len() < keys.len() * 2 + 1 {
        let message = next_message(&mut everything);
        if message.1.starts_with("ks:") || message.0.contains("ks:") {
            *seen.entry(message).or_default() += 1;
        }
    }
    assert!(seen.values().all(|&count| count == 1), "{seen:?}");
    for key in &keys {
        writer.call(&["DEL", key]);
    }
    for client in [&mut by_event, &mut by_channel] {
        writer.call(&["LPUSH", "ks:end", "v"]);
        writer.call(&["DEL", "ks:end"]);
        assert_eq!(next_message(client).1, "ks:end");
    }
}

#[test]
fn notifications_of_subkeys_come_from_every_primary() {
    let cluster = shared_cluster();
    let proxy = shared_proxy();
    let channels = [
        "__subkeyspace@0__:sub",
        "__subkeyevent@0__:hset",
        "__subkeyspaceitem@0__:sub\nfield",
        "__subkeyspaceevent@0__:hset|sub",
    ];
    let mut by_pattern = proxy.client_resp3();
    subscribe(&mut by_pattern, &["PSUBSCRIBE", "__sub*"]);
    let mut publisher = proxy.client();
    for channel in channels {
        let mut client = proxy.client();
        subscribe(&mut client, &["SUBSCRIBE", channel]);
        for node in 0..3 {
            assert_eq!(subscribers_at(cluster, node, "NUMSUB", channel), 1);
        }
        // The subscriptions at all primaries are one client's.
        let numsub = publisher.call(&["PUBSUB", "NUMSUB", channel]);
        assert_eq!(numsub.items(), [Value::bulk(channel), Value::Integer(1)]);
        // Servers before Redis 8.8 send no such notification. A message takes the same way: each primary has it once.
        publisher.call(&["PUBLISH", channel, "text"]);
        for subscriber in [&mut client, &mut by_pattern] {
            for _ in 0..3 {
                expect_message(subscriber, channel, "text");
            }
        }
    }
    // No duplicates remain.
    publisher.call(&["PUBLISH", "__sub:end", "end"]);
    expect_message(&mut by_pattern, "__sub:end", "end");
}

#[test]
fn a_client_receives_shard_channels_of_several_slots() {
    let cluster = shared_cluster();
    let proxy = shared_proxy();
    let channels = ["sh:1", "sh:2", "sh:3", "sh:4", "sh:5"];
    let homes: std::collections::HashSet<_> = channels
        .iter()
        .map(|channel| home(cluster, channel))
        .collect();
    assert_eq!(homes.len(), 3);
    let mut client = proxy.client();
    let words: Vec<_> = ["SSUBSCRIBE"].iter().chain(&channels).copied().collect();
    subscribe(&mut client, &words);
    let mut publisher = proxy.client();
    for channel in channels {
        for text in ["1", "2", "3"] {
            let reply = publisher.call(&["SPUBLISH", channel, text]);
            assert_eq!(reply, Value::Integer(1));
            expect_message(&mut client, channel, text);
        }
        // An ordinary channel of the same name is a different channel.
        assert_eq!(
            publisher.call(&["PUBLISH", channel, "no"]),
            Value::Integer(0)
        );
    }
}

#[test]
fn names_and_messages_are_any_bytes() {
    let proxy = shared_proxy();
    let name: Vec<u8> = (0..=255).collect();
    let big = vec![b'\r'; 3 << 20];
    let mut client = proxy.client();
    client.call(&[&b"SUBSCRIBE"[..], &name]);
    client.call(&[&b"SUBSCRIBE"[..], b""]);
    let mut publisher = proxy.client();
    for (channel, text) in [(&name[..], &b""[..]), (b"", &name), (&name, &big)] {
        publisher.call(&[b"PUBLISH", channel, text]);
        let expected = [b"message", channel, text].map(Value::bulk).to_vec();
        assert_eq!(client.read(), Value::Array(expected));
    }
}

/// On one channel, to which other clients subscribe and unsubscribe all the time.
#[test]
fn confirmed_subscribers_get_messages_and_former_ones_do_not() {
    let proxy = shared_proxy();
    thread::scope(|scope| {
        for number in 0..8 {
            scope.spawn(move || {
                let mut publisher = proxy.client();
                let mut client = if number % 2 == 0 {
                    proxy.client()
                } else {
                    proxy.client_resp3()
                };
                let words = [
                    ["SUBSCRIBE", "ch:c"],
                    ["PSUBSCRIBE", "ch:*"],
                    ["SSUBSCRIBE", "ch:c"],
                ];
                for round in 0..60 {
                    let own = |text: &str| text.starts_with(&format!("{number}-{round} "));
                    let [word, name] = words[round % words.len()];
                    let publish = if word == "SSUBSCRIBE" {
                        "SPUBLISH"
                    } else {
                        "PUBLISH"
                    };
                    client.send(&[word, name]);
                    assert_eq!(client.read().items()[0].text(), word.to_lowercase());
                    let mut say = |text: &str| {
                        let text = format!("{number}-{round} {text}");
                        publisher.call(&[publish, "ch:c", &text]).integer()
                    };
                    assert!(say("1") >= 1);
                    assert!(say("2") >= 1);
                    let mut mine = Vec::new();
                    while mine.len() < 2 {
                        let (_, text) = next_message(&mut client);
                        if own(&text) {
                            mine.push(text);
                        }
                    }
                    assert!(
                        mine[0].ends_with(" 1") && mine[1].ends_with(" 2"),
                        "{mine:?}"
                    );
                    client.send(&[word.replacen("SUB", "UNSUB", 1)]);
                    loop {
                        let frame = client.read();
                        let items = frame.items();
                        if items[0].text().contains("unsubscribe") {
                            break;
                        }
                        assert!(!own(&items[items.len() - 1].text()), "twice: {items:?}");
                    }
                    say("3");
                    assert_eq!(client.call(&["ECHO", "next"]), Value::bulk("next"));
                }
            });
        }
    });
}
