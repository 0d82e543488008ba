//! BCAST: a change of a key with a prefix causes an invalidation, at every primary, whether the key was read or not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use slotmux::tools::demo::cluster::{LocalCluster, Options};
use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_core::slot::slot_of;

use super::{expect_invalidation, keys_of, text_of_reply, tracking};
use slotmux_testing::{
    Layout, PATIENCE, Peer, Proxy, RawClient, Step, Value, calm_cluster, poll_for, poll_until,
    shared_cluster, shared_proxy,
};

/// Writes a key at its node, not through slotmux.
fn write_at_node(cluster: &LocalCluster, key: &str) {
    let node = cluster
        .primary_of_slot(slot_of(key.as_bytes()).0)
        .expect("an owner");
    cluster
        .query::<()>(node, &["SET", key, "1"])
        .expect("written");
}

/// Reads until an invalidation names this key; others are dropped.
fn await_key(client: &mut RawClient, key: &str) {
    while keys_of(&client.read()).is_none_or(|keys| !keys.iter().any(|told| told == key)) {}
}

#[test]
fn every_change_of_a_prefix_is_announced() {
    let (proxy, cluster) = (shared_proxy(), shared_cluster());
    let mut client = tracking(proxy, &["BCAST", "PREFIX", "every:", "PREFIX", "each:"]);
    let mut all = tracking(proxy, &["BCAST"]);
    for number in 0..12 {
        write_at_node(cluster, &format!("none:{number}"));
        for prefix in ["every:", "each:"] {
            let key = format!("{prefix}{number}");
            write_at_node(cluster, &key);
            expect_invalidation(&mut client, &key);
            await_key(&mut all, &key);
            // A key is announced each time, though it was not read.
            proxy.client().call(&["DEL", &key]);
            expect_invalidation(&mut client, &key);
        }
    }
    // The keys of one command at one node come together.
    let msetting = [
        "MSET",
        "every:{m}1",
        "1",
        "none:{m}",
        "1",
        "every:{m}2",
        "1",
    ];
    proxy.client().call(&msetting);
    let told = keys_of(&client.read()).expect("keys");
    assert_eq!(told, ["every:{m}1", "every:{m}2"]);
    assert_eq!(client.call(&["CLIENT", "TRACKING", "OFF"]), Value::ok());
    write_at_node(cluster, "every:off");
    await_key(&mut all, "every:off");
    assert_eq!(client.call(&["PING"]), Value::Simple("PONG".into()));
}

#[test]
fn clients_with_overlapping_prefixes_get_their_own_keys() {
    let proxy = shared_proxy();
    let mut short = tracking(proxy, &["BCAST", "PREFIX", "over"]);
    let mut long = tracking(proxy, &["BCAST", "PREFIX", "overlap:x"]);
    let mut later = tracking(proxy, &["BCAST", "PREFIX", "zzz:"]);
    let mut writer = proxy.client();
    for key in ["overlap:y", "overlap:x1", "overlap:x2", "over"] {
        writer.call(&["SET", key, "1"]);
        expect_invalidation(&mut short, key);
    }
    expect_invalidation(&mut long, "overlap:x1");
    expect_invalidation(&mut long, "overlap:x2");
    let adding = ["CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "overlap:"];
    assert_eq!(later.call(&adding), Value::ok());
    writer.call(&["SET", "overlap:z", "1"]);
    expect_invalidation(&mut later, "overlap:z");
    writer.call(&["SET", "zzz:1", "1"]);
    expect_invalidation(&mut later, "zzz:1");
    let text = text_of_reply(&mut later, &["CLIENT", "TRACKINGINFO"]);
    assert!(text.contains("bcast") && text.contains("zzz:"), "{text}");
    let line = later.call(&["CLIENT", "INFO"]).text();
    assert!(line.contains(" flags=tB "), "{line}");
}

/// Requests whose replies are those of Redis; `on` and `off` are CLIENT TRACKING.
const REQUESTS: &str = "
on PREFIX a
on BCAST OPTIN
on BCAST OPTOUT
on BCAST NOSUCH
on BCAST PREFIX
on REDIRECT x
on REDIRECT 999999999
on REDIRECT 999999999 NOSUCH
on REDIRECT 0
on BCAST PREFIX FOOBAR PREFIX FOO
on BCAST PREFIX FOO PREFIX FOOBAR
on BCAST PREFIX foo
on BCAST PREFIX foobar
on BCAST PREFIX fo
on BCAST PREFIX foo
on BCAST PREFIX bar
info
on
on OPTIN
on NOLOOP
CLIENT CACHING YES
CLIENT GETREDIR
off BCAST
info
on BCAST
info
on BCAST PREFIX x
off
on
on BCAST
on OPTIN NOLOOP
info
CLIENT CACHING YES
info
on OPTOUT
off NOLOOP
info
CLIENT GETREDIR
";

#[test]
fn replies_and_errors_are_those_of_redis() {
    let redis = LocalServer::start(&ServerOptions::default()).expect("a Redis");
    let mut both = [
        RawClient::connect_resp3(redis.port()),
        shared_proxy().client_resp3(),
    ];
    for line in REQUESTS.lines().filter(|line| !line.is_empty()) {
        let line = line.replace("info", "CLIENT TRACKINGINFO");
        let mut words: Vec<&str> = line.split(' ').collect();
        if matches!(words[0], "on" | "off") {
            words = [&["CLIENT", "TRACKING"], &words[..]].concat();
        }
        let [redis, slotmux] = both.each_mut().map(|client| {
            client.send(&words);
            loop {
                match client.read() {
                    Value::Push(_) => {}
                    reply => return reply,
                }
            }
        });
        assert_eq!(slotmux, redis, "{line}");
    }
}

#[test]
fn lost_connections_make_clients_forget_everything() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let mut client = tracking(&proxy, &["BCAST", "PREFIX", "lost:"]);
    let mut own = tracking(&proxy, &["BCAST", "PREFIX", "lost:", "NOLOOP"]);
    for node in [0, 1, 2] {
        let kill = ["CLIENT", "KILL", "TYPE", "normal"];
        cluster.query::<()>(node, &kill).expect("killed");
        for client in [&mut client, &mut own] {
            // Others may be announced before.
            while keys_of(&client.read()).is_some() {}
            for key in ["lost:a", "lost:b", "lost:c", "lost:d"] {
                poll_until(PATIENCE, "the node to announce again", || {
                    write_at_node(&cluster, key);
                    let mut is_told = false;
                    while client.has_news(Duration::from_millis(100)) {
                        let keys = keys_of(&client.read()).unwrap_or_default();
                        is_told |= keys.iter().any(|told| told == key);
                    }
                    is_told
                });
            }
        }
    }
}

#[test]
fn changes_are_announced_through_a_failover_and_a_move() {
    let cluster = LocalCluster::start(Options {
        replicas_per_primary: 1,
        ..Options::default()
    })
    .expect("a cluster");
    let proxy = Proxy::start(&cluster, |_| {});
    let mut client = tracking(&proxy, &["BCAST", "PREFIX", "f"]);
    let slot = slot_of(b"f").0;
    let old = cluster.primary_of_slot(slot).expect("an owner");
    let replica = cluster.replicas_of(old).expect("replicas")[0];
    cluster.kill(old);
    let mut writer = proxy.client();
    poll_until(PATIENCE, "the new primary to take the write", || {
        cluster.query::<()>(replica, &["SET", "f", "2"]).is_ok()
    });
    // The invalidation is a null or has the key.
    keys_of(&client.read());
    poll_until(PATIENCE, "a write through slotmux", || {
        writer.call(&["SET", "f", "3"]) == Value::ok()
    });
    let told = poll_for(PATIENCE, "the change to be announced", || {
        writer.call(&["SET", "f", "4"]);
        let mut told = None;
        while told.is_none() && client.has_news(Duration::from_millis(200)) {
            told = keys_of(&client.read());
        }
        told
    });
    assert_eq!(told, ["f"]);
    // A slot that moves: the old node announces the removal of the key, and the new one its later changes.
    let to = (0..6)
        .find(|&node| node != replica && cluster.migrate_slot(slot, replica, node).is_ok())
        .expect("a move");
    await_key(&mut client, "f");
    cluster
        .query::<()>(to, &["SET", "f", "5"])
        .expect("written");
    await_key(&mut client, "f");
}

#[test]
fn an_announcement_does_not_overtake_a_reply() {
    let has_read = std::sync::Arc::new(AtomicBool::new(false));
    let gate = slotmux_testing::peer::Gate::default();
    let layout = Layout::default();
    let held = gate.clone();
    let slow = Peer::start_in(&layout, move |request| match request.name().as_str() {
        "GET" => Some(vec![
            Step::Gate(held.clone()),
            Step::Bytes("$3\r\na's\r\n".into()),
        ]),
        _ => None,
    });
    let seen = has_read.clone();
    // The node announces that b has changed with its next words behind the read.
    let quick = Peer::start_in(&layout, move |request| match request.name().as_str() {
        "GET" if request.word(1) == "b" => {
            seen.store(true, Ordering::SeqCst);
            Some(Step::reply("$3\r\nold\r\n"))
        }
        "PING" if seen.load(Ordering::SeqCst) => Some(Step::reply(
            "+PONG\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nb\r\n",
        )),
        _ => None,
    });
    layout.set(&[(0, 8191, quick.port()), (8192, 16383, slow.port())]);
    let proxy = Proxy::start_at(&slow.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("cluster.connections.health_interval", "200ms");
    });
    let mut client = tracking(&proxy, &["BCAST"]);
    let mut other = tracking(&proxy, &["BCAST"]);
    client.send(&["GET", "a"]);
    client.send(&["GET", "b"]);
    // Another client, which has nothing in flight, has got it already.
    expect_invalidation(&mut other, "b");
    gate.open();
    assert_eq!(client.read(), Value::bulk("a's"));
    assert_eq!(client.read(), Value::bulk("old"));
    expect_invalidation(&mut client, "b");
}

#[test]
fn a_node_that_refuses_to_announce_refuses_bcast() {
    let peer = Peer::start(|request| match request.name().as_str() {
        "CLIENT" if request.word(1) == "TRACKING" => Some(Step::reply("-NOPERM not you\r\n")),
        "CLIENT" => Some(Step::reply(":7\r\n")),
        _ => None,
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("server.workers", 1);
    });
    let mut client = proxy.client_resp3();
    let refused = client.call(&["CLIENT", "TRACKING", "ON", "BCAST"]);
    let text = refused.error();
    assert!(
        text.contains("tracking is off") && text.contains("NOPERM not you"),
        "{text}"
    );
    let line = text_of_reply(&mut client, &["CLIENT", "INFO"]);
    assert!(line.contains(" flags=N "), "{line}");
}
