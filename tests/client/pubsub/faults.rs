//! Nodes that do not confirm, refuse, or break off.

use std::sync::atomic::{AtomicUsize, Ordering};

use slotmux_testing::{PATIENCE, Peer, Proxy, Step, Value, poll_until};

fn confirmation(word: &str, name: &str) -> String {
    format!(
        ">3\r\n${}\r\n{word}\r\n${}\r\n{name}\r\n:1\r\n",
        word.len(),
        name.len()
    )
}

fn message(channel: &str, text: &str) -> String {
    format!(
        ">3\r\n$7\r\nmessage\r\n${}\r\n{channel}\r\n${}\r\n{text}\r\n",
        channel.len(),
        text.len()
    )
}

#[test]
fn a_node_that_does_not_confirm_costs_an_error_in_time() {
    let peer = Peer::start(|request| (request.name() == "SUBSCRIBE").then(Vec::new));
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("cluster.timeouts.command", "300ms");
    });
    let mut client = proxy.client();
    client.send(&["SUBSCRIBE", "a", "b"]);
    client.send(&["PING"]);
    let error = client.read();
    assert!(error.error().contains("did not confirm"), "{error:?}");
    // The client is not subscribed, and the commands behind it are answered.
    assert_eq!(client.read(), Value::Simple("PONG".into()));
    assert_eq!(client.call(&["ECHO", "x"]), Value::bulk("x"));
}

#[test]
fn a_refusal_is_passed_to_the_client() {
    let peer = Peer::start(
        |request| match (request.name().as_str(), request.word(1).as_str()) {
            ("SUBSCRIBE", "no") => Some(Step::reply("-NOPERM no access to the channel\r\n")),
            ("SUBSCRIBE", name) => Some(Step::reply(confirmation("subscribe", name))),
            ("UNSUBSCRIBE", name) => Some(Step::reply(confirmation("unsubscribe", name))),
            _ => None,
        },
    );
    let proxy = Proxy::start_at(&peer.seeds(), None, |_| {});
    let mut client = proxy.client();
    for words in [&["SUBSCRIBE", "no"][..], &["SUBSCRIBE", "yes", "no"]] {
        assert_eq!(
            client.call(words).error(),
            "NOPERM no access to the channel"
        );
    }
    assert_eq!(client.call(&["ECHO", "x"]), Value::bulk("x"));
    let confirmed = client.call(&["SUBSCRIBE", "yes"]);
    assert_eq!(confirmed.items()[2], Value::Integer(1));
}

#[test]
fn messages_before_a_confirmation_are_dropped_and_cut_frames_are_joined() {
    let peer = Peer::start(|request| {
        (request.name() == "SUBSCRIBE").then(|| {
            let bytes = [
                message("a", "early"),
                confirmation("subscribe", "a"),
                message("a", "one"),
                message("other", "not ours"),
                message("a", &"x".repeat(100_000)),
            ]
            .concat();
            // Cut in the middle of frames.
            bytes
                .as_bytes()
                .chunks(997)
                .map(|piece| Step::Bytes(piece.to_vec()))
                .collect()
        })
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, |_| {});
    let mut client = proxy.client();
    assert_eq!(
        client.call(&["SUBSCRIBE", "a"]).items()[0],
        Value::bulk("subscribe")
    );
    super::expect_message(&mut client, "a", "one");
    super::expect_message(&mut client, "a", &"x".repeat(100_000));
}

#[test]
fn a_connection_lost_before_the_confirmation_is_replaced() {
    let tries = AtomicUsize::new(0);
    let peer = Peer::start(move |request| {
        (request.name() == "SUBSCRIBE").then(|| match tries.fetch_add(1, Ordering::SeqCst) {
            0 => vec![Step::Close],
            1 => vec![
                Step::Bytes(confirmation("subscribe", "a").as_bytes()[..20].to_vec()),
                Step::Close,
            ],
            _ => {
                let bytes = confirmation("subscribe", "a") + &message("a", "hello");
                Step::reply(bytes)
            }
        })
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, |_| {});
    let mut client = proxy.client();
    assert_eq!(
        client.call(&["SUBSCRIBE", "a"]).items()[2],
        Value::Integer(1)
    );
    super::expect_message(&mut client, "a", "hello");
    assert_eq!(peer.requests_named("SUBSCRIBE").len(), 3);
}

#[test]
fn a_silent_subscription_connection_is_replaced() {
    let peer = Peer::start(|request| match request.name().as_str() {
        "SUBSCRIBE" => Some(Step::reply(confirmation("subscribe", "a"))),
        // The health check of the subscription connection.
        "PING" => Some(Vec::new()),
        _ => None,
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("cluster.connections.health_interval", "1s");
        config.set("cluster.timeouts.response", "300ms");
    });
    let mut client = proxy.client();
    client.call(&["SUBSCRIBE", "a"]);
    poll_until(PATIENCE, "the new subscription", || {
        peer.requests_named("SUBSCRIBE").len() >= 2
    });
}
