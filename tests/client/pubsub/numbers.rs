//! The number of receivers: PUBLISH's reply, PUBSUB, CLIENT LIST, metrics.

use crate::pubsub::shared_proxy;
use slotmux_testing::{PATIENCE, Proxy, RawClient, Value, calm_cluster, poll_until};

use super::{expect_message, home, subscribe};

#[test]
fn publish_returns_the_number_of_receivers() {
    // A cluster for this test, because the number of patterns is that of the whole cluster.
    let cluster = &calm_cluster(0);
    let proxy = Proxy::start(cluster, |_| {});
    let mut publisher = proxy.client();
    assert_eq!(publisher.call(&["PUBLISH", "n:a", "0"]), Value::Integer(0));
    let mut clients: Vec<RawClient> = (0..7).map(|_| proxy.client()).collect();
    for client in &mut clients[..4] {
        subscribe(client, &["SUBSCRIBE", "n:a"]);
    }
    for client in &mut clients[3..] {
        subscribe(client, &["PSUBSCRIBE", "n:*", "n:[a]"]);
    }
    let expected = 4 + 2 * 4;
    assert_eq!(
        publisher.call(&["PUBLISH", "n:a", "1"]),
        Value::Integer(expected)
    );
    // A subscriber directly at the node counts as one more.
    let mut direct = RawClient::connect(cluster.node(home(cluster, "n:a")).port);
    subscribe(&mut direct, &["SUBSCRIBE", "n:a"]);
    assert_eq!(
        publisher.call(&["PUBLISH", "n:a", "2"]),
        Value::Integer(expected + 1)
    );
    let numsub = publisher.call(&["PUBSUB", "NUMSUB", "n:a", "n:none"]);
    assert_eq!(
        numsub.items(),
        [
            Value::bulk("n:a"),
            Value::Integer(5),
            Value::bulk("n:none"),
            Value::Integer(0)
        ]
    );
    assert_eq!(
        publisher.call(&["PUBSUB", "CHANNELS", "n:*"]).items(),
        [Value::bulk("n:a")]
    );
    assert_eq!(publisher.call(&["PUBSUB", "NUMPAT"]), Value::Integer(2));
    // INFO shows the state of clients at slotmux, with and without the nodes' part.
    for info in [&["INFO"][..], &["INFO", "stats"]] {
        let text = publisher.call(info).text();
        for field in ["pubsub_channels:1", "pubsub_patterns:2"] {
            let lines = text.lines().filter(|line| *line == field);
            assert_eq!(lines.count(), 1, "{field} in {text}");
        }
    }

    for text in ["1", "2"] {
        expect_message(&mut clients[0], "n:a", text);
    }
    subscribe(&mut clients[0], &["SSUBSCRIBE", "n:s"]);
    assert_eq!(publisher.call(&["SPUBLISH", "n:s", "1"]), Value::Integer(1));
    assert_eq!(publisher.call(&["SPUBLISH", "n:t", "1"]), Value::Integer(0));
    let numsub = publisher.call(&["PUBSUB", "SHARDNUMSUB", "n:s"]);
    assert_eq!(numsub.items(), [Value::bulk("n:s"), Value::Integer(1)]);
    let channels = publisher.call(&["PUBSUB", "SHARDCHANNELS", "n:*"]);
    assert_eq!(channels.items(), [Value::bulk("n:s")]);

    let list = publisher.call(&["CLIENT", "LIST", "TYPE", "pubsub"]).text();
    assert_eq!(list.lines().count(), 7);
    assert_eq!(list.matches(" sub=1 psub=0 ssub=1 ").count(), 1, "{list}");
    assert_eq!(list.matches(" sub=1 psub=2 ssub=0 ").count(), 1, "{list}");
    assert_eq!(list.matches(" flags=P ").count(), 7, "{list}");
    assert_eq!(
        proxy.metric("slotmux_subscriptions"),
        Some((4 + 2 * 4 + 1).into())
    );
    poll_until(PATIENCE, "the messages to be counted", || {
        proxy.metric("slotmux_pubsub_messages_total") == Some((2 * expected + 1) as f64)
    });

    // All leave, each in another way; the counts return to zero.
    clients[0].call(&["UNSUBSCRIBE"]);
    clients[0].call(&["SUNSUBSCRIBE"]);
    clients[1].call(&["RESET"]);
    clients[2].call(&["QUIT"]);
    clients.truncate(2);
    drop(direct);
    poll_until(PATIENCE, "the clients to be gone", || {
        proxy.metric("slotmux_subscriptions") == Some(0.0)
    });
    assert_eq!(publisher.call(&["PUBLISH", "n:a", "3"]), Value::Integer(0));
    for (question, channel) in [("CHANNELS", "n:*"), ("SHARDCHANNELS", "n:*")] {
        let reply = publisher.call(&["PUBSUB", question, channel]);
        assert_eq!(reply.items(), [], "{question}");
    }
}

#[test]
fn pubsub_refuses_the_same_requests_as_redis() {
    let proxy = shared_proxy();
    let mut client = proxy.client();
    for (words, expected) in [
        (
            &["PUBSUB"][..],
            "ERR wrong number of arguments for 'pubsub' command",
        ),
        (
            &["PUBSUB", "CHANNELS", "a", "b"],
            "ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. Try PUBSUB HELP.",
        ),
        (
            &["PUBSUB", "NUMPAT", "a"],
            "ERR wrong number of arguments for 'pubsub|numpat' command",
        ),
        (
            &["PUBLISH", "a"],
            "ERR wrong number of arguments for 'publish' command",
        ),
    ] {
        assert_eq!(client.call(words).error(), expected);
    }
    assert_eq!(client.call(&["PUBSUB", "NUMSUB"]).items(), []);
    assert!(client.call(&["PUBSUB", "HELP"]).items().len() > 5);
}

#[test]
fn another_slotmux_counts_by_its_workers() {
    let cluster = &calm_cluster(0);
    let [one, other] = [0; 2].map(|_| Proxy::start(cluster, |_| {}));
    let mut clients: Vec<RawClient> = (0..10).map(|_| other.client()).collect();
    for client in &mut clients {
        subscribe(client, &["SUBSCRIBE", "n:two"]);
    }
    let mut own = one.client();
    subscribe(&mut own, &["SUBSCRIBE", "n:two"]);
    let number = |proxy: &Proxy| {
        let numsub = proxy.client().call(&["PUBSUB", "NUMSUB", "n:two"]);
        match numsub.items()[1] {
            Value::Integer(number) => number,
            _ => panic!("{numsub:?}"),
        }
    };
    // As docs/libraries.md explains: `one` counts its own client and those workers of `other` that have any of the ten;
    // `other` counts its ten clients and the one worker of `one`.
    assert!((2..=3).contains(&number(&one)), "{}", number(&one));
    assert_eq!(number(&other), 11);
}
