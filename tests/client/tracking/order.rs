//! An invalidation never overtakes a reply with the affected value, and the failure of a node to track is reported.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{expect_all_forgotten, expect_invalidation, tracking};
use slotmux_testing::peer::{Gate, Request};
use slotmux_testing::{Layout, Peer, Proxy, RawClient, Step, Value};

const INVALIDATE_B: &str = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nb\r\n";

/// Two nodes: one with the slot of `a`, which answers once the gate is open, and one with that of `b`, whose value
/// changes right after the read.
fn two_nodes() -> (Gate, [Peer; 2], Proxy) {
    let gate = Gate::default();
    let layout = Layout::default();
    let held = gate.clone();
    let slow = Peer::start_in(&layout, move |request| {
        let reply = match request.name().as_str() {
            "GET" => "$3\r\na's\r\n",
            "MGET" => "*1\r\n$3\r\na's\r\n",
            _ => return None,
        };
        Some(vec![Step::Gate(held.clone()), Step::Bytes(reply.into())])
    });
    let quick = Peer::start_in(&layout, |request| {
        let reply = match (request.name().as_str(), request.word(1).as_str()) {
            ("GET", "b") => "$3\r\nold\r\n",
            ("MGET", _) => "*1\r\n$3\r\nold\r\n",
            ("GET", _) => return Some(Step::reply("$-1\r\n")),
            _ => return None,
        };
        Some(Step::reply(format!("{reply}{INVALIDATE_B}")))
    });
    // a is in slot 15495, b in 3300.
    layout.set(&[(0, 8191, quick.port()), (8192, 16383, slow.port())]);
    let proxy = Proxy::start_at(&slow.seeds(), None, |config| {
        config.set("server.workers", 1);
    });
    (gate, [slow, quick], proxy)
}

/// Sends both requests, and opens the gate once everything of the quick node has arrived.
fn both(gate: &Gate, proxy: &Proxy, client: &mut RawClient, commands: &[&[&str]]) {
    for words in commands {
        client.send(words);
    }
    // Over the same connection.
    let mut other = proxy.client_resp3();
    assert_eq!(other.call(&["GET", "{b}behind"]), Value::Null);
    gate.open();
}

#[test]
fn a_reply_that_waits_for_its_turn_is_not_overtaken() {
    let (gate, _peers, proxy) = two_nodes();
    let mut client = tracking(&proxy, &[]);
    both(&gate, &proxy, &mut client, &[&["GET", "a"], &["GET", "b"]]);
    assert_eq!(client.read(), Value::bulk("a's"));
    assert_eq!(client.read(), Value::bulk("old"));
    expect_invalidation(&mut client, "b");
}

#[test]
fn a_part_that_waits_for_the_others_is_not_overtaken() {
    let (gate, _peers, proxy) = two_nodes();
    let mut client = tracking(&proxy, &[]);
    both(&gate, &proxy, &mut client, &[&["MGET", "a", "b"]]);
    assert_eq!(
        client.read().items(),
        [Value::bulk("a's"), Value::bulk("old")]
    );
    expect_invalidation(&mut client, "b");
}

#[test]
fn the_groups_of_a_transaction_are_not_overtaken() {
    let (gate, _peers, proxy) = two_nodes();
    let mut client = tracking(&proxy, &[]);
    both(
        &gate,
        &proxy,
        &mut client,
        &[&["MULTI"], &["GET", "a"], &["GET", "b"], &["EXEC"]],
    );
    assert_eq!(client.read(), Value::ok());
    for _ in 0..2 {
        assert_eq!(client.read(), Value::Simple("QUEUED".into()));
    }
    assert_eq!(
        client.read().items(),
        [Value::bulk("a's"), Value::bulk("old")]
    );
    expect_invalidation(&mut client, "b");
}

/// The requests to a node, as text.
fn asked(peer: &Peer, name: &str) -> usize {
    let is_such = |request: &&Request| request.word(1) == name;
    peer.requests_named("CLIENT").iter().filter(is_such).count()
}

#[test]
fn a_node_that_refuses_to_track_costs_only_the_cache() {
    let peer = Peer::start(|request| match request.name().as_str() {
        "CLIENT" => Some(Step::reply("-NOPERM no such permission\r\n")),
        "GET" => Some(Step::reply("$1\r\nx\r\n")),
        _ => None,
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("server.workers", 1);
    });
    let mut client = tracking(&proxy, &[]);
    for _ in 0..3 {
        assert_eq!(client.call(&["GET", "k"]), Value::bulk("x"));
        expect_all_forgotten(&mut client);
    }
    assert_eq!((asked(&peer, "TRACKING"), asked(&peer, "CACHING")), (1, 3));
    assert!(proxy.log().contains("refuses CLIENT TRACKING"));
}

#[test]
fn a_busy_node_gets_the_request_again() {
    let peer = Peer::start(|request| match request.name().as_str() {
        "CLIENT" if request.word(1) == "TRACKING" => Some(Step::reply("-BUSY Redis is busy\r\n")),
        "CLIENT" => Some(Step::reply("-ERR not in tracking mode\r\n")),
        "GET" => Some(Step::reply("$1\r\nx\r\n")),
        _ => None,
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("server.workers", 1);
    });
    let mut client = tracking(&proxy, &[]);
    for _ in 0..3 {
        assert_eq!(client.call(&["GET", "k"]), Value::bulk("x"));
        expect_all_forgotten(&mut client);
    }
    assert_eq!(asked(&peer, "TRACKING"), 3);
}

#[test]
fn an_invalidation_before_a_reply_leaves_its_reader_registered() {
    let told = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n";
    let reads = AtomicUsize::new(0);
    let peer = Peer::start(move |request| {
        if request.name() != "GET" {
            return None;
        }
        // The key changes between the CLIENT CACHING and the GET of the second client, and once more behind it.
        Some(Step::reply(match reads.fetch_add(1, Ordering::SeqCst) {
            0 => "$3\r\nold\r\n".to_owned(),
            1 => format!("{told}$3\r\nnew\r\n{told}"),
            _ => "$-1\r\n".to_owned(),
        }))
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("server.workers", 1);
    });
    let mut first = tracking(&proxy, &[]);
    let mut second = tracking(&proxy, &[]);
    assert_eq!(first.call(&["GET", "k"]), Value::bulk("old"));
    assert_eq!(second.call(&["GET", "k"]), Value::bulk("new"));
    expect_invalidation(&mut second, "k");
    expect_invalidation(&mut first, "k");
    // No other frame follows.
    for client in [&mut first, &mut second] {
        assert_eq!(client.call(&["GET", "other"]), Value::Null);
    }
}
