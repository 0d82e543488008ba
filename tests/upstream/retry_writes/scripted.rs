//! A node that hangs up at a chosen place: the order of a client's commands, and how often they are sent.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::retry_writes::{UNKNOWN, namespaces};
use slotmux_testing::peer::{Gate, Request};
use slotmux_testing::{PATIENCE, Peer, Proxy, Step, Value, poll_until};

/// The replies to a pipeline whose connection breaks with all of it in flight, and the commands that the node gets
/// then. It answers each SET with `+OK`, everything else with the key.
fn broken(pipeline: &[&str]) -> (Vec<String>, Vec<String>) {
    let gate = Gate::default();
    let (held_back, is_first) = (gate.clone(), AtomicBool::new(true));
    let peer = Peer::start(move |request| {
        let is_own = request.words.len() > 1 && request.word(1).contains("{k}");
        if is_own && is_first.swap(false, Ordering::SeqCst) {
            return Some(vec![Step::Gate(held_back.clone()), Step::Close]);
        }
        is_own.then(|| match request.name().as_str() {
            "SET" => Step::reply("+OK\r\n"),
            _ => Step::reply(format!("+{}\r\n", request.word(1))),
        })
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, namespaces);
    let mut client = proxy.client();
    let words: Vec<Vec<&str>> = pipeline
        .iter()
        .map(|line| line.split(' ').collect())
        .collect();
    for words in &words {
        client.send(words);
    }
    let all = Some(words.len() as f64);
    poll_until(PATIENCE, "all commands to be in flight", || {
        proxy.metric("slotmux_in_flight") == all
    });
    gate.open();
    let replies = words.iter().map(|_| match client.read() {
        Value::Error(text) if text == UNKNOWN => "unknown".to_owned(),
        reply => reply.text(),
    });
    let replies = replies.collect();
    let line = |request: &Request| {
        let words: Vec<String> = (0..request.words.len())
            .map(|at| request.word(at))
            .collect();
        words.join(" ")
    };
    let seen: Vec<String> = peer.requests().iter().map(line).collect();
    let seen = seen.into_iter().filter(|line| line.contains("{k}"));
    // The first of them, at which it hung up.
    (replies, seen.skip(1).collect())
}

#[test]
fn a_clients_commands_keep_their_order() {
    type Row<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str]);
    let (set, other) = ("SET in:{k} 1", "SET in:{k}2 2");
    let rows: [Row; 6] = [
        (
            &[set, "SET in:{k} 2"],
            &["OK", "OK"],
            &[set, "SET in:{k} 2"],
        ),
        (
            &[set, "GET in:{k}", other],
            // The read would return a later value.
            &["OK", "unknown", "OK"],
            &[set, other],
        ),
        (
            &[set, other, "GET in:{k}"],
            &["OK", "OK", "in:{k}"],
            &[set, other, "GET in:{k}"],
        ),
        // A command behind it that may have run is not sent again, so the first must not run behind that.
        (
            &[set, other, "INCR in:{k}3"],
            &["unknown", "unknown", "unknown"],
            &[],
        ),
        (
            &["INCR in:{k}3", set, other],
            &["unknown", "OK", "OK"],
            &[set, other],
        ),
        (
            &[set, "SET out:{k} 2", other],
            &["unknown", "unknown", "OK"],
            &[other],
        ),
    ];
    for (pipeline, replies, sent) in rows {
        assert_eq!(
            broken(pipeline),
            (
                replies.iter().map(|&reply| reply.to_owned()).collect(),
                sent.iter().map(|&line| line.to_owned()).collect()
            ),
            "{pipeline:?}"
        );
    }
}

#[test]
fn a_write_is_sent_as_often_as_a_read() {
    let peer = Peer::start(|request| (request.name() == "SET").then(|| vec![Step::Close]));
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        namespaces(config);
        config.set("cluster.retry.reads", 3);
        // These are about unsent writes.
        config.set("cluster.retry.unsent_writes", 0);
    });
    let mut client = proxy.client();
    assert_eq!(client.call(&["SET", "in:k", "v"]).error(), UNKNOWN);
    assert_eq!(peer.requests_named("SET").len(), 1 + 3);
    assert_eq!(client.call(&["SET", "out:k", "v"]).error(), UNKNOWN);
    assert_eq!(peer.requests_named("SET").len(), 5);
}

#[test]
fn an_error_of_the_second_try_does_not_describe_the_first() {
    let seen = AtomicUsize::new(0);
    let peer = Peer::start(move |request| {
        (request.name() == "SET").then(|| match seen.fetch_add(1, Ordering::SeqCst) {
            0 => vec![Step::Close],
            _ => Step::reply("-OOM command not allowed when used memory > 'maxmemory'.\r\n"),
        })
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, namespaces);
    let mut client = proxy.client();
    assert_eq!(client.call(&["SET", "in:k", "v"]).error(), UNKNOWN);
    assert!(
        client
            .call(&["SET", "in:k", "v"])
            .error()
            .starts_with("OOM")
    );
    assert_eq!(peer.requests_named("SET").len(), 3);
}

#[test]
fn no_command_is_repeated_for_a_client_that_has_hung_up() {
    let gate = Gate::default();
    let held_back = gate.clone();
    let peer = Peer::start(move |request| {
        (request.name() == "SET").then(|| vec![Step::Gate(held_back.clone()), Step::Close])
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, namespaces);
    let (mut client, mut other) = (proxy.client(), proxy.client());
    client.send(&["SET", "in:k", "v"]);
    poll_until(PATIENCE, "the SET to arrive", || {
        peer.requests_named("SET").len() == 1
    });
    client.finish_sending();
    poll_until(PATIENCE, "slotmux to notice the half-close", || {
        other.call(&["CLIENT", "LIST"]).text().contains(" flags=c ")
    });
    gate.open();
    assert_eq!(client.read().error(), UNKNOWN);
    // The next request uses the next connection, behind any repeated command.
    assert_eq!(other.call(&["HSET", "in:k", "f", "v"]), Value::ok());
    assert_eq!(peer.requests_named("SET").len(), 1);
}
