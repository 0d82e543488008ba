//! Lost nodes and connections: which commands are sent again, which are not, and how long each waits.

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use slotmux_core::slot::slot_of;

use crate::faults::{Clogged, UNKNOWN, clogged, key_in, named, neighbour, pair};
use slotmux_testing::peer::Gate;
use slotmux_testing::{Layout, PATIENCE, Peer, Proxy, RawClient, Step, Value, poll_until};

#[test]
fn a_node_that_refuses_connections_costs_an_error_after_the_deadline_and_then_at_once() {
    let (_faulty, sound, layout) = pair(|_| None);
    // A port without a listener: bound, and released.
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = closed.local_addr().expect("an address").port();
    drop(closed);
    layout.set(&[(0, 8191, port), (8192, 16383, sound.port())]);
    let proxy = Proxy::start_at(&sound.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "1s");
    });
    let neighbour = neighbour(&proxy);
    let mut client = proxy.client();
    let key = key_in(false, "refused", 0);
    let expected =
        format!("ERR slotmux: node 127.0.0.1:{port} is unreachable, the command was not executed");
    let replies = client.pipeline(&vec![vec!["SET", &*key, "1"]; 100]);
    assert!(replies.iter().all(|reply| reply.error() == expected));
    let timeouts = proxy.metric("slotmux_timeouts_total");
    assert_eq!(timeouts, Some(100.0), "these waited for their deadline");
    let attempts = proxy
        .metric("slotmux_upstream_connect_failures_total")
        .expect("a count");
    assert!(
        (2.0..20.0).contains(&attempts),
        "{attempts} attempts within a deadline of a second"
    );
    // From now on no command waits, even while more keep coming.
    for _ in 0..50 {
        assert_eq!(client.call(&["INCR", &key]).error(), expected);
    }
    assert_eq!(proxy.metric("slotmux_timeouts_total"), timeouts);
    neighbour.goes_on();
    neighbour.finish();
}

#[test]
fn repeated_commands_for_a_lost_node_do_not_wait_for_ever() {
    let (_faulty, sound, layout) = pair(|_| None);
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = closed.local_addr().expect("an address").port();
    drop(closed);
    layout.set(&[(0, 8191, port), (8192, 16383, sound.port())]);
    let proxy = Proxy::start_at(&sound.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "1s");
    });
    let key = key_in(false, "asked", 0);
    // One after the other, so that the deadline of one of them is always ahead.
    let mut clients: Vec<RawClient> = (0..20)
        .map(|_| {
            let mut client = proxy.client();
            client.send(&["INCR", &key]);
            client.has_news(Duration::from_millis(100));
            client
        })
        .collect();
    for client in &mut clients {
        assert!(client.read().error().contains("is unreachable"));
    }
    let waited = proxy.metric("slotmux_timeouts_total").expect("a count");
    assert!(waited < 15.0, "{waited} of 20 waited for their deadlines");
}

#[test]
fn a_read_is_repeated_and_a_write_is_not() {
    let seen = AtomicUsize::new(0);
    let (faulty, sound, _layout) = pair(move |request| {
        let first = || seen.fetch_add(1, Ordering::SeqCst) == 0;
        match request.name().as_str() {
            "GET" if request.word(1).starts_with("once") && first() => Some(vec![Step::Close]),
            "GET" if request.word(1).starts_with("never") => Some(vec![Step::Close]),
            "SET" => Some(vec![Step::Close]),
            "GET" => Some(named(request)),
            _ => None,
        }
    });
    let proxy = Proxy::start_at(&sound.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("cluster.connections.backoff", "10ms..50ms");
        config.set("cluster.retry.reads", 3);
    });
    let neighbour = neighbour(&proxy);
    let mut client = proxy.client();
    let once = key_in(false, "once", 0);
    assert_eq!(client.call(&["GET", &once]), Value::Simple(once.clone()));
    assert_eq!(faulty.requests_named("GET").len(), 2);
    let never = key_in(false, "never", 0);
    assert_eq!(client.call(&["GET", &never]).error(), UNKNOWN);
    assert_eq!(
        faulty.requests_named("GET").len(),
        2 + 4,
        "one try, and retry.reads more"
    );
    for i in 0..20 {
        let (write, read) = (key_in(false, "write", i), key_in(false, "read", i));
        // The first write breaks the connection with all of them on it.
        let replies = client.pipeline(&[
            vec!["SET", &write, "1"],
            vec!["GET", &read],
            vec!["SET", &read, "2"],
            vec!["GET", &read],
        ]);
        assert_eq!(replies[0].error(), UNKNOWN);
        // A read that came before a write of unknown fate would return a later value.
        assert_eq!(replies[1].error(), UNKNOWN);
        assert_eq!(replies[2].error(), UNKNOWN);
        assert_eq!(replies[3], Value::Simple(read));
    }
    let mut writes = HashMap::new();
    for request in faulty.requests_named("SET") {
        *writes.entry(request.word(1)).or_insert(0) += 1;
    }
    assert_eq!(writes.len(), 20);
    assert!(writes.values().all(|&times| times == 1), "{writes:?}");
    neighbour.goes_on();
    neighbour.finish();
}

#[test]
fn a_read_may_be_left_unrepeated_after_a_silence() {
    const TIMEOUT: &str = "ERR slotmux: upstream timeout";
    let set = |value: bool, variable: &'static str| {
        move |config: &mut slotmux_testing::ProxyConfig| {
            config.set("cluster.retry.on_timeout", value);
            config.env("REDIS_RETRY_ON_TIMEOUT", variable);
        }
    };
    for (configure, is_repeated) in [
        (set(true, ""), true),
        (set(false, ""), false),
        (set(true, "0"), false),
        (set(false, "yes"), true),
    ] {
        // The first of each kind is never answered, or breaks the connection.
        let seen = [(); 3].map(|()| AtomicUsize::new(0));
        let peer = Peer::start(move |request| {
            let (kind, steps) = match request.name().as_str() {
                "GET" if request.word(1) == "broken" => (0, vec![Step::Close]),
                "GET" => (1, Vec::new()),
                "SET" => (2, Vec::new()),
                _ => return None,
            };
            let is_first = seen[kind].fetch_add(1, Ordering::SeqCst) == 0;
            Some(if is_first { steps } else { named(request) })
        });
        let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
            config.set("server.workers", 1);
            config.set("cluster.connections.backoff", "10ms..50ms");
            config.set("cluster.timeouts.command", "60s");
            config.set("cluster.timeouts.response", "200ms");
            configure(config);
        });
        let mut client = proxy.client();
        let own = |key: &str| Value::Simple(key.to_owned());
        // After a broken connection a read is always repeated, and a write never.
        assert_eq!(client.call(&["GET", "broken"]), own("broken"));
        let expected = if is_repeated {
            own("silent")
        } else {
            Value::Error(TIMEOUT.to_owned())
        };
        assert_eq!(client.call(&["GET", "silent"]), expected);
        assert_eq!(client.call(&["SET", "silent", "1"]).error(), UNKNOWN);
        assert_eq!(client.call(&["GET", "silent"]), own("silent"));
        let asked = ["GET", "SET"].map(|name| peer.requests_named(name).len());
        assert_eq!(asked, [4 + usize::from(is_repeated), 1]);
        assert!(proxy.metric("slotmux_upstream_lost_total") >= Some(3.0));
    }
}

#[test]
fn an_unsent_write_is_sent_again_and_a_sent_one_is_not() {
    let Clogged { replies, seen } = clogged(b"", |_| {});
    let unknown = Value::Error(UNKNOWN.to_owned());
    let (mut lost, mut done) = (0, 0);
    for (i, (key, reply)) in replies.iter().enumerate() {
        let times = seen.get(key).copied().unwrap_or(0);
        if *reply == unknown {
            lost += 1;
            assert!(times == usize::from(i == 0), "{key} was seen {times} times");
        } else {
            done += 1;
            assert_eq!(*reply, Value::Simple(key.clone()));
            assert_eq!(times, 1, "{key}");
        }
    }
    assert!(lost > 0 && done > 0, "{lost} lost, {done} done");
}

#[test]
fn unsent_writes_may_be_left_unrepeated() {
    let Clogged { replies, seen } = clogged(b"", |config| {
        config.set("cluster.retry.unsent_writes", 0);
    });
    let refused = replies
        .iter()
        .filter(|(_, reply)| reply.error().ends_with("the command was not executed"));
    assert!(refused.count() > 0);
    assert_eq!(seen.len(), 1, "only the first was ever read");
}

#[test]
fn commands_for_several_nodes_do_not_wait_for_a_lost_one_either() {
    let (_faulty, sound, layout) = pair(|_| None);
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = closed.local_addr().expect("an address").port();
    drop(closed);
    layout.set(&[(0, 8191, port), (8192, 16383, sound.port())]);
    let proxy = Proxy::start_at(&sound.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "1s");
    });
    let (lost, found) = (key_in(false, "lost", 0), key_in(true, "found", 0));
    let mut client = proxy.client();
    let expected =
        format!("ERR slotmux: node 127.0.0.1:{port} is unreachable, the command was not executed");
    assert_eq!(client.call(&["GET", &lost]).error(), expected);
    let timeouts = proxy.metric("slotmux_timeouts_total");
    for _ in 0..5 {
        assert_eq!(client.call(&["MGET", &found, &lost]).error(), expected);
        assert_eq!(client.call(&["DEL", &found, &lost]).error(), expected);
        assert_eq!(client.call(&["DBSIZE"]).error(), expected);
    }
    assert_eq!(proxy.metric("slotmux_timeouts_total"), timeouts);
    // "not executed" refers to the whole command.
    assert_eq!(sound.requests_named("DEL").len(), 0);
}

#[test]
fn a_redirected_command_keeps_its_deadline_behind_newer_ones() {
    for is_up in [true, false] {
        let (redirects, silence) = (Gate::default(), Gate::default());
        let layout = Layout::default();
        let held_back = silence.clone();
        let silent = Peer::start_in(&layout, move |request| {
            (request.name() == "SET").then(|| vec![Step::Gate(held_back.clone()), Step::Close])
        });
        let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
        let unused = closed.local_addr().expect("an address").port();
        drop(closed);
        let to = if is_up { silent.port() } else { unused };
        let key = key_in(true, "moved", 0);
        let moved = format!("-MOVED {} 127.0.0.1:{to}\r\n", slot_of(key.as_bytes()).0);
        let held_back = redirects.clone();
        let source = Peer::start_in(&layout, move |request| {
            (request.name() == "SET").then(|| {
                vec![
                    Step::Gate(held_back.clone()),
                    Step::Bytes(moved.clone().into_bytes()),
                ]
            })
        });
        layout.set(&[(0, 8191, to), (8192, 16383, source.port())]);
        let proxy = Proxy::start_at(&source.seeds(), None, |config| {
            config.set("server.workers", 1);
            config.set("cluster.timeouts.command", "4s");
            config.set("cluster.timeouts.response", "60s");
            config.set("cluster.topology.refresh", "60s");
        });
        let (mut older, mut newer) = (proxy.client(), proxy.client());
        older.send(&["SET", &key, "1"]);
        assert!(!older.has_news(Duration::from_secs(2)));
        newer.send(&["SET", &key_in(false, "newer", 0), "1"]);
        poll_until(PATIENCE, "both to be in flight", || {
            proxy.metric("slotmux_in_flight") == Some(2.0)
        });
        redirects.open();
        assert!(older.read().error().starts_with("ERR slotmux: "));
        assert!(
            !newer.has_news(Duration::from_millis(1)),
            "the older command waited for the newer one's deadline (is_up: {is_up})"
        );
        assert!(newer.read().error().starts_with("ERR slotmux: "));
        silence.open();
    }
}

#[test]
fn a_dedicated_lane_that_outlived_its_command_is_used_again() {
    let refuses = Arc::new(AtomicBool::new(true));
    let refused = refuses.clone();
    let (faulty, sound, _layout) = pair(move |request| {
        let closes = request.name() == "PING" && refused.load(Ordering::SeqCst);
        closes.then(|| vec![Step::Close])
    });
    let proxy = Proxy::start_at(&sound.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "500ms");
        config.set("cluster.connections.dedicated_max", 1);
        config.set("cluster.connections.dedicated_idle", "5m");
        config.set("cluster.connections.backoff", "3s..3s");
    });
    let (key, big) = (key_in(false, "big", 0), "b".repeat(1 << 20));
    let (mut first, mut second) = (proxy.client(), proxy.client());
    first.send(&["SET", &key, &big]);
    poll_until(PATIENCE, "the connection to fail", || {
        proxy.metric("slotmux_upstream_connect_failures_total") == Some(1.0)
    });
    second.send(&["SET", &key, &big]);
    poll_until(PATIENCE, "the other client to wait", || {
        proxy.metric("slotmux_client_pauses_total") == Some(1.0)
    });
    refuses.store(false, Ordering::SeqCst);
    assert!(first.read().error().contains("is unreachable"));
    // It waits no longer than the deadline of a command.
    let error = second.read();
    assert!(error.error().contains("dedicated_max"), "{error:?}");
    poll_until(PATIENCE, "the lane to be used again", || {
        second.call(&["SET", &key, &big]) == Value::ok()
    });
    assert_eq!(faulty.requests_named("SET").len(), 1);
}
