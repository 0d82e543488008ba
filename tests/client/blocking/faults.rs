//! Nodes that misbehave towards a blocked client.

use std::sync::atomic::{AtomicUsize, Ordering};

use slotmux_core::slot::slot_of;

use super::{bulks, call, key_on, send};
use slotmux_testing::peer::Gate;
use slotmux_testing::{
    Layout, PATIENCE, Peer, Proxy, RawClient, Step, Value, calm_cluster, poll_until,
};

fn before(peer: &Peer) -> Proxy {
    Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("log.level", "warn");
    })
}

#[test]
fn a_lost_connection_fails_a_pop_and_repeats_a_read() {
    let reads = AtomicUsize::new(0);
    let peer = Peer::start(move |request| match request.name().as_str() {
        "BLPOP" => Some(vec![Step::Close]),
        "XREAD" if reads.fetch_add(1, Ordering::SeqCst) == 0 => Some(vec![Step::Close]),
        "XREAD" => Some(Step::reply("+entries\r\n")),
        _ => None,
    });
    let proxy = before(&peer);
    let mut client = RawClient::connect(proxy.port());
    let reply = call(&mut client, "BLPOP k 0");
    assert!(
        reply.error().contains("may have been executed"),
        "{reply:?}"
    );
    assert_eq!(peer.requests_named("BLPOP").len(), 1);
    assert_eq!(
        call(&mut client, "XREAD BLOCK 0 STREAMS k 0"),
        Value::Simple("entries".into())
    );
    assert_eq!(peer.requests_named("XREAD").len(), 2);
}

#[test]
fn a_retry_asks_for_the_remaining_time() {
    let tries = AtomicUsize::new(0);
    let peer = Peer::start(move |request| match request.name().as_str() {
        "BLPOP" | "XREAD" => Some(if tries.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
            Step::reply(
                "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n",
            )
        } else {
            Step::reply("*2\r\n$1\r\nk\r\n$1\r\nx\r\n")
        }),
        _ => None,
    });
    let proxy = before(&peer);
    let mut client = RawClient::connect(proxy.port());
    assert_eq!(call(&mut client, "BLPOP k 30"), bulks(&["k", "x"]));
    assert_eq!(
        call(&mut client, "XREAD BLOCK 30000 STREAMS k 0"),
        bulks(&["k", "x"])
    );
    assert_eq!(call(&mut client, "BLPOP k 0"), bulks(&["k", "x"]));
    let pops = peer.requests_named("BLPOP");
    let asked: Vec<f64> = pops
        .iter()
        .map(|request| request.word(2).parse().expect("a number"))
        .collect();
    assert_eq!(asked[0], 30.0);
    assert!(asked[1] < 30.0 && asked[1] > 0.0, "{asked:?}");
    assert_eq!(asked[2..], [0.0, 0.0], "an endless wait stays endless");
    let reads = peer.requests_named("XREAD");
    let asked: Vec<u64> = reads
        .iter()
        .map(|request| request.word(2).parse().expect("a number"))
        .collect();
    assert_eq!(asked[0], 30_000);
    assert!(asked[1] < 30_000 && asked[1] > 0, "{asked:?}");
    // slotmux asked once for the id of each connection; released connections are not used again.
    let ids = peer.requests_named("CLIENT");
    let ids = ids.iter().filter(|request| request.word(1) == "ID").count();
    assert_eq!(ids, 4);
}

#[test]
fn a_command_without_remaining_time_is_answered() {
    let peer = Peer::start(move |request| {
        (request.name() == "BLPOP").then(|| {
            Step::reply(
                "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n",
            )
        })
    });
    let proxy = before(&peer);
    assert_eq!(
        RawClient::connect(proxy.port()).call_bytes(&["BLPOP", "k", "0.3"]),
        b"*-1\r\n"
    );
}

#[test]
fn a_retried_wait_can_be_released_at_its_new_node() {
    let waits = AtomicUsize::new(0);
    let gate = Gate::default();
    let end = gate.clone();
    let peer = Peer::start(move |request| match request.name().as_str() {
        "WAIT" if waits.fetch_add(1, Ordering::SeqCst) == 0 => Some(Step::reply(
            "-LOADING Redis is loading the dataset in memory\r\n",
        )),
        "WAIT" => Some(vec![
            Step::Gate(gate.clone()),
            Step::Bytes(b":3\r\n".to_vec()),
        ]),
        "CLIENT" if request.word(1) == "ID" => {
            Some(Step::reply(format!(":{}\r\n", 100 + request.connection)))
        }
        "CLIENT" if request.word(1) == "UNBLOCK" => Some(Step::reply(":1\r\n")),
        _ => None,
    });
    let proxy = before(&peer);
    let mut client = RawClient::connect(proxy.port());
    let mut other = RawClient::connect(proxy.port());
    let id = call(&mut client, "CLIENT ID").integer();
    send(&mut client, "WAIT 1 0");
    poll_until(PATIENCE, "a second WAIT", || {
        peer.requests_named("WAIT").len() == 2
    });
    let unblock = format!("CLIENT UNBLOCK {id}");
    assert_eq!(call(&mut other, &unblock), Value::Integer(1));
    let mut asked = peer.requests_named("CLIENT");
    asked.retain(|request| request.word(1) == "UNBLOCK");
    let connection = peer.requests_named("WAIT")[1].connection;
    assert_eq!(asked[0].word(2), (100 + connection).to_string());
    end.open();
    assert_eq!(client.read(), Value::Integer(3));
}

#[test]
fn a_client_waiting_for_several_nodes_is_released_at_all_of_them() {
    let layout = Layout::default();
    let (slow, end) = (Gate::default(), Gate::default());
    let start = |is_slow: bool| {
        let (slow, end) = (slow.clone(), end.clone());
        Peer::start_in(&layout, move |request| match request.name().as_str() {
            "WAIT" => Some(vec![
                Step::Gate(end.clone()),
                Step::Bytes(b":0\r\n".to_vec()),
            ]),
            "CLIENT" if request.word(1) == "ID" => {
                let id = Step::reply(format!(":{}\r\n", 100 + request.connection));
                let gate = is_slow.then(|| Step::Gate(slow.clone()));
                Some(gate.into_iter().chain(id).collect())
            }
            "CLIENT" if request.word(1) == "UNBLOCK" => Some(Step::reply(":1\r\n")),
            _ => None,
        })
    };
    let peers = [start(false), start(true)];
    layout.set(&[(0, 8191, peers[0].port()), (8192, 16383, peers[1].port())]);
    let proxy = Proxy::start_at(&peers[0].seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("log.level", "warn");
        config.set("cluster.timeouts.command", "60s");
    });
    let mut client = RawClient::connect(proxy.port());
    let mut other = RawClient::connect(proxy.port());
    let id = call(&mut client, "CLIENT ID").integer();
    send(&mut client, "WAIT 1 0");
    let asked = |peer: &Peer, what: &str| {
        let mut requests = peer.requests_named("CLIENT");
        requests.retain(|request| request.word(1) == what);
        requests.len()
    };
    poll_until(PATIENCE, "both nodes to get a command", || {
        peers.iter().all(|peer| asked(peer, "ID") == 1)
    });
    send(&mut other, &format!("CLIENT UNBLOCK {id}"));
    poll_until(PATIENCE, "the quick node to get a command", || {
        asked(&peers[0], "UNBLOCK") == 1
    });
    slow.open();
    poll_until(PATIENCE, "the slow node to get a command", || {
        asked(&peers[1], "UNBLOCK") == 1
    });
    assert_eq!(other.read(), Value::Integer(1));
    end.open();
    assert_eq!(client.read(), Value::Integer(0));
    assert_eq!(asked(&peers[0], "UNBLOCK"), 1);
}

#[test]
fn a_connection_that_its_node_will_close_is_retired() {
    let peer = Peer::start(move |request| {
        (request.name() == "WAIT").then(|| {
            Step::reply(
                "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n",
            )
        })
    });
    let proxy = before(&peer);
    let mut client = RawClient::connect(proxy.port());
    for _ in 0..2 {
        let reply = call(&mut client, "WAIT 1 0");
        assert!(reply.error().starts_with("UNBLOCKED force"), "{reply:?}");
    }
    let mut waits = peer.requests_named("WAIT");
    // A WAIT for no replicas precedes each.
    waits.retain(|request| request.word(1) == "1");
    assert_ne!(waits[0].connection, waits[1].connection);
}

#[test]
fn a_node_that_hangs_beyond_the_timeout_does_not_hold_its_client() {
    // It sends no reply at all, or stops in the middle of one.
    for (timeout, said) in [("0.1", &b""[..]), ("0", b"*2\r\n$1\r\na")] {
        let never = Gate::default();
        let peer = Peer::start(move |request| {
            (request.name() == "BLPOP").then(|| {
                let begun = Step::Bytes(said.to_vec());
                vec![begun, Step::Gate(never.clone())]
            })
        });
        let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
            config.set("cluster.timeouts.command", "300ms");
            config.set("cluster.timeouts.response", "500ms");
        });
        let mut client = proxy.client();
        let reply = client.call(&["BLPOP", "hangs", timeout]);
        assert!(
            reply.error().contains("may have been executed"),
            "{reply:?}"
        );
        assert_eq!(client.call(&["SET", "hangs", "1"]), Value::ok());
        assert_eq!(proxy.metric("slotmux_blocked_clients"), Some(0.0));
    }
}

/// Nil means an empty list. Without a reply of the node that is unknown, so the client gets an error.
#[test]
fn a_frozen_node_is_not_an_empty_list() {
    for is_connected in [true, false] {
        let cluster = calm_cluster(0);
        let proxy = Proxy::start(&cluster, |config| {
            config.set("server.workers", 1);
            config.set("cluster.timeouts.command", "1s");
            config.set("cluster.timeouts.response", "1s");
            config.set("cluster.connections.connect_timeout", "300ms");
        });
        let key = key_on(&cluster, 0, "frozen");
        let mut client = proxy.client();
        let direct: i64 = cluster.query(0, &["RPUSH", &key, "x"]).expect("pushed");
        assert_eq!(direct, 1);
        let stream: String = cluster
            .query(0, &["XADD", &format!("{{{key}}}s"), "1-1", "f", "v"])
            .expect("added");
        assert_eq!(stream, "1-1");
        if is_connected {
            // A dedicated connection exists already.
            call(&mut client, &format!("BLPOP {{{key}}}none 0.01"));
        }
        cluster.stop(0).expect("stopped");
        for line in [
            format!("BLPOP {key} 1"),
            format!("BLMOVE {key} {{{key}}}to LEFT LEFT 0.2"),
            format!("BLMPOP 0.2 1 {key} LEFT"),
            format!("XREAD BLOCK 200 STREAMS {{{key}}}s 0"),
            format!("XREADGROUP GROUP g c BLOCK 200 STREAMS {{{key}}}s >"),
            format!("BZPOPMIN {{{key}}}z 0.2"),
            format!("BZMPOP 0.2 1 {{{key}}}z MIN"),
        ] {
            let reply = call(&mut client, &line);
            assert!(reply.error().contains("slotmux:"), "{line}: {reply:?}");
        }
        cluster.resume(0).expect("resumed");
    }
}

/// The timeout of WAIT is known as well: a node that exceeds it is given up.
#[test]
fn a_wait_at_a_frozen_node_ends() {
    let never = Gate::default();
    let peer = Peer::start(move |request| {
        request
            .name()
            .starts_with("WAIT")
            .then(|| vec![Step::Gate(never.clone())])
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("cluster.timeouts.command", "300ms");
        config.set("cluster.timeouts.response", "500ms");
    });
    let mut client = proxy.client();
    for line in ["WAIT 1 100", "WAITAOF 0 1 100"] {
        let reply = call(&mut client, line);
        assert!(
            reply.error().contains("may have been executed"),
            "{line}: {reply:?}"
        );
    }
    // After its own timeout, not because the node hung up.
    let log = proxy.log();
    let ends = log
        .matches("does not end a wait whose time is over")
        .count();
    assert_eq!(ends, 2, "{log}");
}

/// A slot without an owner, and an unreachable node, are not empty lists either.
#[test]
fn a_missing_node_does_not_answer_nil() {
    let layout = Layout::default();
    let peer = Peer::start_in(&layout, |_| None);
    let slot = slot_of(b"k").0;
    layout.set(&[(0, slot - 1, peer.port()), (slot + 1, 16383, peer.port())]);
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("cluster.timeouts.command", "1s");
        config.set("log.level", "warn");
    });
    let mut client = proxy.client();
    let reply = call(&mut client, "BLPOP k 0.1");
    assert!(reply.error().starts_with("CLUSTERDOWN"), "{reply:?}");
    // The slot gets an owner after the time of the command and before the deadline of slotmux: the command is sent
    // to the node.
    layout.set(&[(0, 16383, peer.port())]);
    assert_eq!(call(&mut client, "BLPOP k 0.1"), Value::ok());
}
