//! The connections on which clients watch: how many there are, and how they come and go.

use slotmux::slot::slot_of;

use super::common::{PATIENCE, Proxy, Value, poll_until, shared_cluster};
use super::transaction;
use super::watch::{few, write_past};

#[test]
fn the_pool_says_when_it_is_exhausted_and_goes_on() {
    let proxy = few(1);
    let (mut holder, mut other) = (proxy.client(), proxy.client());
    assert_eq!(holder.call(&["WATCH", "{w}x"]), Value::ok());
    let refused = other.call(&["WATCH", "{w}y"]);
    assert!(refused.error().contains("dedicated_max"), "{refused:?}");
    // It has not begun, and everything else works.
    assert_eq!(
        transaction(&mut other, &["SET {w}y 1"]).items(),
        [Value::ok()]
    );
    // One that has its own connection needs none for what is big, or is told that there is none.
    let value = "v".repeat(300_000);
    assert_eq!(holder.call(&["SET", "{w}big", &value]), Value::ok());
    assert_eq!(holder.call(&["GET", "{w}big"]), Value::bulk(&value));
    let node = slot_of(b"w").0 / 5462;
    let near = (0..)
        .map(|i| format!("near{i}"))
        .find(|key| slot_of(key.as_bytes()).0 / 5462 == node)
        .expect("some key");
    let refused = holder.call(&["SET", &near, &value]);
    assert!(refused.error().contains("dedicated_max"), "{refused:?}");
    // One that waits gets the connection as soon as it is free.
    other.send(&["WATCH", "{w}y"]);
    assert_eq!(
        transaction(&mut holder, &["SET {w}x 1"]).items(),
        [Value::ok()]
    );
    assert_eq!(other.read(), Value::ok());
    assert_eq!(transaction(&mut other, &["INCR {w}y"]).items().len(), 1);
}

/// What looks after connections that nobody uses leaves those alone that somebody watches on.
#[test]
fn a_connection_on_which_somebody_watches_is_kept() {
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
        // The only connection comes back, without what the dead has watched.
        assert_eq!(last.call(&["WATCH", "{w}alive"]), Value::ok());
        write_past("{w}d", "x");
        let reply = transaction(&mut last, &["SET {w}alive 1"]);
        assert_eq!(reply.items(), [Value::ok()], "round {round}");
    }
    drop(last);
    poll_until(PATIENCE, "everything to be answered", || {
        proxy.metric("slotmux_in_flight") == Some(0.0)
    });
}
