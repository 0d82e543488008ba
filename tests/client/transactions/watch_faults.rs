//! WATCH and faults of its connection: EXEC answers nil if nothing ran, and an error if it may have run.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use slotmux::tools::demo::cluster::{LocalCluster, Options};
use slotmux_core::slot::slot_of;

use super::transaction;
use slotmux_testing::peer::Gate;
use slotmux_testing::{
    Layout, PATIENCE, Peer, Proxy, RawClient, Step, Value, calm_cluster, poll_until,
};

/// Ends every connection of clients to the node of this key.
fn cut_connections(cluster: &LocalCluster, key: &str) {
    let node = cluster
        .primary_of_slot(slot_of(key.as_bytes()).0)
        .expect("an owner");
    let _: i64 = cluster
        .query(node, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"])
        .expect("killed");
}

#[test]
fn a_connection_that_is_lost_before_exec_makes_it_nil() {
    // A cluster for this test: the connections of other tests must not be cut.
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("log.level", "warn");
        config.set("server.workers", 1);
        config.set("cluster.connections.dedicated_max", 1);
    });
    let lines = ["WATCH {cut}k", "GET {cut}k", "MULTI", "SET {cut}k 1"];
    for cut in 0..lines.len() {
        let mut client = proxy.client();
        client.call(&["SET", "{cut}k", "0"]);
        for (at, line) in lines.iter().enumerate() {
            let reply = client.call(&line.split(' ').collect::<Vec<_>>());
            assert!(!matches!(reply, Value::Error(_)), "{line}: {reply:?}");
            if at == cut {
                let lost = || proxy.metric("slotmux_upstream_lost_total");
                let before = lost();
                cut_connections(&cluster, "{cut}k");
                poll_until(PATIENCE, "the connection to be lost", || lost() > before);
                if at < 2 {
                    // Keys are not watched again unasked.
                    assert_eq!(client.call(&["WATCH", "{cut}k"]), Value::ok());
                    assert_eq!(client.call(&["GET", "{cut}k"]), Value::bulk("0"));
                }
            }
        }
        assert_eq!(client.call(&["EXEC"]), Value::Null, "{cut}");
        assert_eq!(client.call(&["WATCH", "{cut}k"]), Value::ok());
        assert_eq!(
            transaction(&mut client, &["GET {cut}k"]).items(),
            [Value::bulk("0")]
        );
    }
}

/// Tries to count up once. `Some(true)`: done. `Some(false)`: not done. `None`: unknown.
fn try_to_increment(client: &mut RawClient, key: &str) -> Option<bool> {
    let replies = client.pipeline(&[vec!["WATCH", key], vec!["GET", key]]);
    let next = match &replies[1] {
        Value::Error(_) => None,
        Value::Null => Some(1),
        value => Some(value.text().parse::<i64>().expect("a number") + 1),
    };
    let Some(next) = next.filter(|_| replies[0] == Value::ok()) else {
        assert_eq!(client.call(&["UNWATCH"]), Value::ok());
        return Some(false);
    };
    match transaction(client, &[&format!("SET {key} {next}")]) {
        Value::Null => Some(false),
        Value::Error(text) => {
            assert!(text.contains("may have been executed"), "{text}");
            None
        }
        reply => {
            assert_eq!(reply.items(), [Value::ok()]);
            Some(true)
        }
    }
}

/// Connections break all the time at every point: a transaction answered with nil has not run, a successful one has run
/// once.
#[test]
fn nil_means_not_run_while_connections_break() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| config.set("log.level", "error"));
    let (done, unknown) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = proxy.client();
                    for _ in 0..100 {
                        let counter = match try_to_increment(&mut client, "{cut}n") {
                            Some(true) => &done,
                            Some(false) => continue,
                            None => &unknown,
                        };
                        counter.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        while clients.iter().any(|client| !client.is_finished()) {
            cut_connections(&cluster, "{cut}n");
            thread::sleep(Duration::from_millis(20));
        }
    });
    let (done, unknown) = (done.into_inner(), unknown.into_inner());
    let count = proxy.client().call(&["GET", "{cut}n"]).text();
    let count: usize = count.parse().expect("a number");
    println!("{done} done, {unknown} of unknown fate, {count} counted");
    assert!(done > 10, "{done}");
    assert!(
        (done..=done + unknown).contains(&count),
        "{done} + {unknown}, {count}"
    );
}

#[test]
fn a_primary_that_dies_before_exec_makes_it_nil() {
    let cluster = LocalCluster::start(Options {
        replicas_per_primary: 1,
        node_timeout: Duration::from_millis(1500),
        ..Options::default()
    })
    .expect("a cluster");
    let proxy = Proxy::start(&cluster, |config| {
        config.set("log.level", "warn");
        config.set("cluster.timeouts.command", "15s");
    });
    let (mut client, mut late) = (proxy.client(), proxy.client());
    let slot = slot_of(b"k").0;
    client.call(&["SET", "k", "0"]);

    for client in [&mut client, &mut late] {
        assert_eq!(client.call(&["WATCH", "k"]), Value::ok());
    }
    let owner = cluster.primary_of_slot(slot).expect("an owner");
    cluster.kill(owner);
    // At once, before a replica has taken over.
    assert_eq!(transaction(&mut client, &["SET k 1"]), Value::Null);
    poll_until(PATIENCE, "a replica to take over", || {
        cluster.primary_of_slot(slot).is_ok_and(|now| now != owner)
    });
    // Reads in between are answered by the new one.
    assert!(!matches!(late.call(&["GET", "k"]), Value::Error(_)));
    assert_eq!(transaction(&mut late, &["SET k 1"]), Value::Null);
    assert_eq!(late.call(&["WATCH", "k"]), Value::ok());
    assert_eq!(transaction(&mut late, &["SET k 2"]).items(), [Value::ok()]);
}

fn before(peer: &Peer) -> Proxy {
    Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("log.level", "warn");
        config.set("cluster.kind", "cluster");
    })
}

/// A node that does this at EXEC and queues everything before it.
fn at_exec(steps: impl Fn() -> Vec<Step> + Send + Sync + 'static) -> Peer {
    Peer::start(move |request| match request.name().as_str() {
        "EXEC" => Some(steps()),
        "INCR" | "GET" => Some(Step::reply("+QUEUED\r\n")),
        _ => None,
    })
}

#[test]
fn a_transaction_that_may_have_run_is_not_answered_with_nil() {
    let peer = at_exec(|| vec![Step::Close]);
    let proxy = before(&peer);
    let mut client = RawClient::connect(proxy.port());
    client.call(&["WATCH", "k"]);
    let reply = transaction(&mut client, &["INCR k"]);
    assert!(
        reply.error().contains("may have been executed"),
        "{reply:?}"
    );
    // A read-only transaction has no effect in any case.
    client.call(&["WATCH", "k"]);
    assert_eq!(transaction(&mut client, &["GET k"]), Value::Null);
    assert_eq!(peer.requests_named("EXEC").len(), 2);
}

/// An EXEC whose last byte is still in slotmux can't have run.
#[test]
fn a_partly_sent_exec_is_nil() {
    let gate = Gate::default();
    let held = gate.clone();
    let peer = Peer::start(move |request| {
        let steps = || {
            let ok = Step::Bytes(b"+OK\r\n".to_vec());
            vec![ok, Step::Gate(held.clone()), Step::Close]
        };
        (request.name() == "WATCH").then(steps)
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("log.level", "warn");
        config.set("listener.limits.max_request", "64MiB");
    });
    let mut client = proxy.client();
    assert_eq!(client.call(&["WATCH", "k"]), Value::ok());
    client.call(&["MULTI"]);
    // More than the buffers of both ends hold.
    let value = "v".repeat(40_000_000);
    assert_eq!(
        client.call(&["SET", "k", &value]),
        Value::Simple("QUEUED".into())
    );
    client.send(&["EXEC"]);
    poll_until(PATIENCE, "EXEC to be in flight", || {
        proxy.metric("slotmux_in_flight") > Some(0.0)
    });
    gate.open();
    assert_eq!(client.read(), Value::Null);
    assert_eq!(peer.requests_named("EXEC").len(), 0);
}

#[test]
fn a_watched_exec_is_never_sent_twice() {
    for refusal in [
        "-MOVED 12706 127.0.0.1:1\r\n",
        "-ASK 12706 127.0.0.1:1\r\n",
        "-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
        "-CLUSTERDOWN The cluster is down\r\n",
        "-EXECABORT Transaction discarded because of: READONLY You can't write against a read only replica.\r\n",
        "-LOADING Redis is loading the dataset in memory\r\n",
        "-MASTERDOWN Link with MASTER is down\r\n",
    ] {
        let text = refusal.replace("12706", &slot_of(b"k").0.to_string());
        let peer = at_exec(move || Step::reply(&text));
        let proxy = before(&peer);
        for mut client in [proxy.client(), proxy.client_resp3()] {
            client.call(&["WATCH", "k"]);
            client.call(&["MULTI"]);
            client.call(&["INCR", "k"]);
            let reply = client.call_bytes(&["EXEC"]);
            assert!(
                reply == b"*-1\r\n" || reply == b"_\r\n",
                "{refusal}: {reply:?}"
            );
        }
        assert_eq!(peer.requests_named("EXEC").len(), 2, "{refusal}");
    }
}

/// A node that redirects one command may have let others change the keys meanwhile, even if it has the slot again.
#[test]
fn a_redirect_of_any_command_breaks_the_watch() {
    let layout = Layout::default();
    let there = Peer::start_in(&layout, |request| {
        (request.name() == "GET").then(|| Step::reply("$5\r\nthere\r\n"))
    });
    let (port, slot) = (there.port(), slot_of(b"k").0);
    let here = Peer::start_in(&layout, move |request| match request.name().as_str() {
        "GET" => Some(Step::reply(format!("-ASK {slot} 127.0.0.1:{port}\r\n"))),
        "EXEC" => Some(Step::reply("*1\r\n+OK\r\n")),
        "SET" => Some(Step::reply("+QUEUED\r\n")),
        _ => None,
    });
    let rest = slot + 1;
    layout.set(&[(0, slot, here.port()), (rest, 16383, port)]);
    let proxy = before(&here);
    let mut client = proxy.client();
    assert_eq!(client.call(&["WATCH", "k"]), Value::ok());
    assert_eq!(client.call(&["GET", "k"]), Value::bulk("there"));
    assert_eq!(transaction(&mut client, &["SET k 1"]), Value::Null);
    assert_eq!(here.requests_named("EXEC").len(), 0);
    assert_eq!(here.requests_named("UNWATCH").len(), 1);
    // EXEC also waits for commands in flight, which may still be redirected.
    let replies = client.pipeline(&[
        vec!["WATCH", "k"],
        vec!["GET", "k"],
        vec!["MULTI"],
        vec!["SET", "k", "1"],
        vec!["EXEC"],
    ]);
    assert_eq!(replies[4], Value::Null);
    assert_eq!(here.requests_named("EXEC").len(), 0);
    // Without such a command the watch holds.
    assert_eq!(client.call(&["WATCH", "k"]), Value::ok());
    assert_eq!(
        transaction(&mut client, &["SET k 1"]).items(),
        [Value::ok()]
    );
}

#[test]
fn an_error_of_the_transaction_itself_is_not_nil() {
    let peer =
        at_exec(|| Step::reply("-EXECABORT Transaction discarded because of previous errors.\r\n"));
    let proxy = before(&peer);
    let mut client = proxy.client();
    client.call(&["WATCH", "k"]);
    let reply = transaction(&mut client, &["INCR k"]);
    assert!(reply.error().starts_with("EXECABORT"), "{reply:?}");
}

/// A nil without a WATCH is the answer to another command.
#[test]
fn a_nil_without_watch_ends_the_connection() {
    let peer = at_exec(|| Step::reply("*-1\r\n"));
    let proxy = before(&peer);
    let mut client = proxy.client();
    let reply = transaction(&mut client, &["INCR k"]);
    assert!(
        reply.error().contains("may have been executed"),
        "{reply:?}"
    );
    client.call(&["WATCH", "k"]);
    assert_eq!(transaction(&mut client, &["INCR k"]), Value::Null);
}

#[test]
fn an_unconfirmed_watch_is_sent_again() {
    let tries = AtomicUsize::new(0);
    let peer = Peer::start(move |request| match request.name().as_str() {
        "WATCH" if tries.fetch_add(1, Ordering::SeqCst) == 0 => Some(vec![Step::Close]),
        "INCR" => Some(Step::reply("+QUEUED\r\n")),
        "EXEC" => Some(Step::reply("*1\r\n:1\r\n")),
        _ => None,
    });
    let proxy = before(&peer);
    let mut client = proxy.client();
    assert_eq!(client.call(&["WATCH", "k"]), Value::ok());
    assert_eq!(
        transaction(&mut client, &["INCR k"]).items(),
        [Value::Integer(1)]
    );
    assert_eq!(peer.requests_named("WATCH").len(), 2);
}

/// A connection that can't be cleaned is not used for another client.
#[test]
fn a_connection_on_which_unwatch_fails_is_not_used_again() {
    let peer = Peer::start(|request| match request.name().as_str() {
        "UNWATCH" => Some(Step::reply("-NOPERM this user has no permissions\r\n")),
        _ => None,
    });
    let proxy = before(&peer);
    let mut client = proxy.client();
    for _ in 0..3 {
        assert_eq!(client.call(&["WATCH", "k"]), Value::ok());
        assert_eq!(client.call(&["UNWATCH"]), Value::ok());
        assert_eq!(client.call(&["GET", "k"]), Value::ok());
    }
    let watches = peer.requests_named("WATCH");
    let mut connections: Vec<_> = watches.iter().map(|request| request.connection).collect();
    connections.dedup();
    assert_eq!(connections.len(), 3, "{watches:?}");
}

/// A WATCH that succeeds after its client got a timeout error is undone.
#[test]
fn a_late_watch_is_undone() {
    let peer = Peer::start(|request| match request.name().as_str() {
        "WATCH" if request.word(1) == "slow" => Some(vec![
            Step::Pause(Duration::from_secs(3)),
            Step::Bytes(b"+OK\r\n".to_vec()),
        ]),
        _ => None,
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("log.level", "warn");
        config.set("cluster.timeouts.command", "1s");
    });
    let mut client = proxy.client();
    let reply = client.call(&["WATCH", "slow"]);
    assert!(reply.error().contains("timeout"), "{reply:?}");
    poll_until(PATIENCE, "the watch to be undone", || {
        peer.requests_named("UNWATCH").len() == 1
    });
    assert_eq!(client.call(&["PING"]), Value::Simple("PONG".into()));
}
