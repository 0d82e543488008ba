//! The connections of watching clients: their number, and how they are taken and returned.

use slotmux_core::slot::slot_of;

use super::transaction;
use super::watch::{few, write_past};
use slotmux_testing::peer::Gate;
use slotmux_testing::{PATIENCE, Peer, Proxy, RawClient, Step, Value, poll_until, shared_cluster};

#[test]
fn an_exhausted_pool_answers_an_error_and_recovers() {
    let proxy = few(1);
    let (mut holder, mut other) = (proxy.client(), proxy.client());
    assert_eq!(holder.call(&["WATCH", "{w}x"]), Value::ok());
    let refused = other.call(&["WATCH", "{w}y"]);
    assert!(refused.error().contains("kept_max"), "{refused:?}");
    // The watch has not begun, and everything else works.
    assert_eq!(
        transaction(&mut other, &["SET {w}y 1"]).items(),
        [Value::ok()]
    );
    // A client with a pinned connection needs no second one for big values, and in other slots takes one that is not
    // pinned.
    let value = "v".repeat(300_000);
    assert_eq!(holder.call(&["SET", "{w}big", &value]), Value::ok());
    assert_eq!(holder.call(&["GET", "{w}big"]), Value::bulk(&value));
    let node = slot_of(b"w").0 / 5462;
    let near = (0..)
        .map(|i| format!("near{i}"))
        .find(|key| slot_of(key.as_bytes()).0 / 5462 == node)
        .expect("some key");
    assert_eq!(holder.call(&["SET", &near, &value]), Value::ok());
    let refused = holder.call(&["BLPOP", &format!("{{{near}}}none"), "1"]);
    assert!(refused.error().contains("kept_max"), "{refused:?}");
    // A waiting client gets the connection as soon as it is free.
    other.send(&["WATCH", "{w}y"]);
    assert_eq!(
        transaction(&mut holder, &["SET {w}x 1"]).items(),
        [Value::ok()]
    );
    assert_eq!(other.read(), Value::ok());
    assert_eq!(transaction(&mut other, &["INCR {w}y"]).items().len(), 1);
}

/// With default settings the maximum number of clients may pin idle connections: other clients that need one for a
/// moment do not wait for them.
#[test]
fn pinned_connections_leave_some_for_big_values() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("log.level", "warn");
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "2s");
    });
    let value = "v".repeat(200_000);
    let mut holders: Vec<RawClient> = (0..256).map(|_| proxy.client()).collect();
    for (number, holder) in holders.iter_mut().enumerate() {
        // Blocked and watching clients share one limit.
        match number % 2 {
            0 => assert_eq!(holder.call(&["WATCH", "{w}kept"]), Value::ok()),
            _ => holder.send(&["BLPOP", "{w}never", "0"]),
        }
    }
    poll_until(PATIENCE, "half of them to be blocked", || {
        proxy.metric("slotmux_blocked_clients") == Some(128.0)
    });
    let mut other = proxy.client();
    let refused = other.call(&["WATCH", "{w}one more"]);
    assert!(refused.error().contains("kept_max"), "{refused:?}");
    for mut client in [other, proxy.client(), proxy.client_resp3()] {
        assert_eq!(client.call(&["SET", "{w}large", &value]), Value::ok());
        for _ in 0..3 {
            assert_eq!(client.call(&["GET", "{w}large"]), Value::bulk(&value));
        }
    }
}

/// The reverse: slow big values leave connections for clients that pin one.
#[test]
fn big_values_leave_connections_to_pin() {
    let gate = Gate::default();
    let held = gate.clone();
    let peer = Peer::start(move |request| {
        (request.name() == "SET").then(|| {
            let ok = Step::Bytes(b"+OK\r\n".to_vec());
            vec![Step::Gate(held.clone()), ok]
        })
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("log.level", "warn");
        config.set("server.workers", 1);
        config.set("cluster.connections.dedicated_max", 2);
    });
    let value = "v".repeat(200_000);
    let mut senders: Vec<RawClient> = (0..4).map(|_| proxy.client()).collect();
    for sender in &mut senders {
        sender.send(&["SET", "k", &value]);
    }
    poll_until(PATIENCE, "as many in flight as permitted", || {
        peer.requests_named("SET").len() == 2
    });
    assert_eq!(proxy.client().call(&["WATCH", "k"]), Value::ok());
    assert_eq!(proxy.client().call(&["BLPOP", "k", "1"]), Value::ok());
    gate.open();
    for sender in &mut senders {
        assert_eq!(sender.read(), Value::ok());
    }
}

/// The check of idle connections skips those with a watching client.
#[test]
fn a_pinned_connection_is_kept() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("log.level", "warn");
        config.set("server.workers", 1);
        config.set("cluster.connections.dedicated_idle", "1ms");
        config.set("cluster.connections.health_interval", "50ms");
    });
    let (mut holder, mut other) = (proxy.client(), proxy.client());
    assert_eq!(holder.call(&["WATCH", "{w}kept"]), Value::ok());
    let before = proxy.upstream_connections(shared_cluster());
    assert_eq!(other.call(&["WATCH", "{w}other"]), Value::ok());
    assert_eq!(other.call(&["UNWATCH"]), Value::ok());
    poll_until(PATIENCE, "the other connection to be given up", || {
        proxy.upstream_connections(shared_cluster()) == before
    });
    assert_eq!(
        transaction(&mut holder, &["SET {w}kept 1"]).items(),
        [Value::ok()]
    );
}

#[test]
fn clients_that_die_leave_no_connection_behind() {
    let proxy = few(1);
    let mut last = proxy.client();
    let lines = ["WATCH {w}d", "GET {w}d", "MULTI", "SET {w}d dead", "EXEC"];
    for round in 0..40 {
        let mut client = proxy.client();
        let sent = round % (lines.len() + 1);
        for line in &lines[..sent] {
            client.send(&line.split(' ').collect::<Vec<_>>());
        }
        if round % 2 == 0 {
            for _ in 0..sent {
                client.read();
            }
        }
        drop(client);
        // The only connection returns to the pool, without the watches of the dead client.
        assert_eq!(last.call(&["WATCH", "{w}alive"]), Value::ok());
        write_past("{w}d", "x");
        let reply = transaction(&mut last, &["SET {w}alive 1"]);
        assert_eq!(reply.items(), [Value::ok()], "round {round}");
    }
    drop(last);
    poll_until(PATIENCE, "all requests to be answered", || {
        proxy.metric("slotmux_in_flight") == Some(0.0)
    });
}
