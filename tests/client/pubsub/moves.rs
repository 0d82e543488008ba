//! Subscriptions outlive their nodes: failovers, lost connections, slots that move.

use std::collections::HashSet;
use std::time::Duration;

use slotmux::tools::demo::cluster::{LocalCluster, Options};
use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_core::slot::slot_of;

use super::{expect_message, home, next_message, subscribe, subscribers_at};
use slotmux_testing::{PATIENCE, Proxy, RawClient, Value, calm_cluster, poll_for, poll_until};

/// Publishes numbers until the client gets one. Returns the received numbers, which must be distinct.
fn until_heard(
    publisher: &mut RawClient,
    client: &mut RawClient,
    command: &str,
    channel: &str,
    next: &mut u64,
) -> u64 {
    let mut seen = HashSet::new();
    let last = poll_for(PATIENCE, "a message", || {
        let number = *next;
        *next += 1;
        // It may fail while the slot has no node.
        publisher.call(&[command, channel, &number.to_string()]);
        let mut came = None;
        while client.has_news(Duration::from_millis(20)) {
            let (_, text) = next_message(client);
            let text: u64 = text.parse().expect("a number");
            assert!(seen.insert(text), "{text} came twice");
            came = Some(text);
        }
        came
    });
    // From then on all of them.
    for number in *next..*next + 50 {
        publisher.call(&[command, channel, &number.to_string()]);
        expect_message(client, channel, &number.to_string());
    }
    *next += 50;
    last
}

#[test]
fn messages_continue_after_the_death_of_the_home() {
    let cluster = LocalCluster::start(Options::default()).expect("a cluster");
    let proxy = Proxy::start(&cluster, |_| {});
    let mut publisher = proxy.client();
    let mut next = 0;
    let names = ["died:a", "died:b", "died:c", "died:d"];
    let mut clients: Vec<RawClient> = names
        .iter()
        .map(|name| {
            let mut client = proxy.client();
            subscribe(&mut client, &["SUBSCRIBE", name]);
            client
        })
        .collect();
    let mut shard = proxy.client();
    subscribe(&mut shard, &["SSUBSCRIBE", "died:a"]);
    let mut pattern = proxy.client_resp3();
    subscribe(&mut pattern, &["PSUBSCRIBE", "other:*"]);
    cluster.kill(home(&cluster, "died:a"));
    for (name, client) in names.iter().zip(&mut clients) {
        until_heard(&mut publisher, client, "PUBLISH", name, &mut next);
    }
    until_heard(&mut publisher, &mut shard, "SPUBLISH", "died:a", &mut next);
    until_heard(
        &mut publisher,
        &mut pattern,
        "PUBLISH",
        "other:x",
        &mut next,
    );
}

#[test]
fn a_planned_failover_loses_no_subscription() {
    let cluster = calm_cluster(1);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("cluster.topology.refresh", "1s");
    });
    for node in 0..cluster.nodes().len() {
        let words = ["CONFIG", "SET", "notify-keyspace-events", "KEA"];
        cluster.query::<()>(node, &words).expect("set");
    }
    let old = home(&cluster, "plan");
    let mut publisher = proxy.client();
    let mut client = proxy.client();
    subscribe(&mut client, &["SUBSCRIBE", "plan"]);
    let mut shard = proxy.client();
    subscribe(&mut shard, &["SSUBSCRIBE", "plan"]);
    let mut events = proxy.client();
    subscribe(&mut events, &["PSUBSCRIBE", "__keyspace@0__:plan"]);
    publisher.call(&["PUBLISH", "plan", "before"]);
    expect_message(&mut client, "plan", "before");
    let replica = cluster.replicas_of(old).expect("its replicas")[0];
    cluster.failover(replica).expect("a failover");
    let mut next = 0;
    until_heard(&mut publisher, &mut client, "PUBLISH", "plan", &mut next);
    // Its home moves: until then it may hear the old primary, and loses what comes during the change.
    poll_until(PATIENCE, "the shard channel at the new primary", || {
        subscribers_at(&cluster, replica, "SHARDNUMSUB", "plan") > 0
    });
    until_heard(&mut publisher, &mut shard, "SPUBLISH", "plan", &mut next);
    // The old primary, now a replica, sends notifications too, which count until slotmux knows the new one.
    poll_until(
        PATIENCE,
        "the subscription of the pattern at the new primary",
        || {
            let patterns = cluster.query::<i64>(replica, &["PUBSUB", "NUMPAT"]);
            patterns.is_ok_and(|count| count == 1)
        },
    );
    // Notifications come from the new primary, once, although the old one, now a replica, sends them too.
    poll_until(PATIENCE, "notifications to come again", || {
        publisher.call(&["SET", "plan", "1"]);
        events.has_news(Duration::from_millis(20))
    });
    // Earlier notifications precede this one.
    publisher.call(&["DEL", "plan"]);
    poll_until(PATIENCE, "the last of them", || {
        events.read().items().last().map(Value::text).as_deref() == Some("del")
    });
    publisher.call(&["SET", "plan", "1"]);
    expect_message(&mut events, "__keyspace@0__:plan", "set");
    for text in ["lpush", "lpush", "del"] {
        if text == "lpush" {
            publisher.call(&["DEL", "plan"]);
            expect_message(&mut events, "__keyspace@0__:plan", "del");
            publisher.call(&["LPUSH", "plan", "1"]);
        } else {
            publisher.call(&["DEL", "plan"]);
        }
        expect_message(&mut events, "__keyspace@0__:plan", text);
    }
}

#[test]
fn a_shard_channel_follows_its_slot_unnoticed() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let slot = slot_of(b"moving").0;
    let (from, mut to) = (home(&cluster, "moving"), 0);
    if from == to {
        to = 1;
    }
    let mut publisher = proxy.client();
    let mut clients = [proxy.client(), proxy.client_resp3()];
    for client in &mut clients {
        subscribe(client, &["SSUBSCRIBE", "moving", "{moving}2"]);
        subscribe(client, &["SUBSCRIBE", "moving"]);
    }
    for (from, to) in [(from, to), (to, from)] {
        cluster.migrate_slot_begin(slot, from, to).expect("begun");
        assert_eq!(
            publisher.call(&["SPUBLISH", "moving", "meanwhile"]),
            Value::Integer(2)
        );
        for client in &mut clients {
            expect_message(client, "moving", "meanwhile");
        }
        cluster.migrate_slot_finish(slot, from, to).expect("moved");
        cluster.wait_owner(slot, to).expect("known");
        let has = |channel| subscribers_at(&cluster, to, "SHARDNUMSUB", channel) > 0;
        poll_until(PATIENCE, "the new owner to have the subscribers", || {
            has("moving") && has("{moving}2")
        });
        poll_until(PATIENCE, "the message to reach both", || {
            publisher.call(&["SPUBLISH", "moving", "probe"]) == Value::Integer(2)
                && clients
                    .iter_mut()
                    .all(|client| client.has_news(Duration::from_millis(200)))
        });
        publisher.call(&["SPUBLISH", "{moving}2", "end"]);
        publisher.call(&["PUBLISH", "moving", "plain"]);
        for client in &mut clients {
            // Remaining messages of the probes, then the two, and no frame about the move. The ordinary channel has
            // another home, so its message may overtake.
            let mut left = vec![("{moving}2", "end"), ("moving", "plain")];
            while !left.is_empty() {
                let (channel, text) = next_message(client);
                if text != "probe" {
                    let place = left.iter().position(|want| *want == (&channel, &text));
                    left.remove(place.expect("one of the two, once"));
                }
            }
        }
    }
}

#[test]
fn a_lost_connection_is_replaced() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let mut publisher = proxy.client();
    let mut client = proxy.client();
    subscribe(&mut client, &["SUBSCRIBE", "lost"]);
    subscribe(&mut client, &["PSUBSCRIBE", "lost:*"]);
    subscribe(&mut client, &["SSUBSCRIBE", "lost:shard"]);
    let mut next = 0;
    for _ in 0..3 {
        for node in 0..3 {
            let words = ["CLIENT", "KILL", "TYPE", "pubsub"];
            cluster.query::<i64>(node, &words).expect("killed");
        }
        until_heard(&mut publisher, &mut client, "PUBLISH", "lost", &mut next);
        until_heard(&mut publisher, &mut client, "PUBLISH", "lost:x", &mut next);
        until_heard(
            &mut publisher,
            &mut client,
            "SPUBLISH",
            "lost:shard",
            &mut next,
        );
    }
    let lost = subscribers_at(&cluster, home(&cluster, "lost"), "NUMSUB", "lost");
    assert_eq!(lost, 1);
}

#[test]
fn a_restarted_single_redis_is_subscribed_to_again() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    let proxy = Proxy::start_before(&server, |_| {});
    let mut publisher = proxy.client();
    let mut client = proxy.client();
    subscribe(&mut client, &["SUBSCRIBE", "one"]);
    subscribe(&mut client, &["PSUBSCRIBE", "on?:*"]);
    subscribe(&mut client, &["SSUBSCRIBE", "one"]);
    for (command, channel) in [
        ("PUBLISH", "one"),
        ("PUBLISH", "one:x"),
        ("SPUBLISH", "one"),
    ] {
        assert_eq!(publisher.call(&[command, channel, "1"]), Value::Integer(1));
        expect_message(&mut client, channel, "1");
    }
    assert_eq!(publisher.call(&["PUBSUB", "NUMPAT"]), Value::Integer(1));
    server.kill();
    server.restart().expect("started again");
    let mut next = 0;
    for (command, channel) in [
        ("PUBLISH", "one"),
        ("PUBLISH", "one:x"),
        ("SPUBLISH", "one"),
    ] {
        until_heard(&mut publisher, &mut client, command, channel, &mut next);
    }
}
