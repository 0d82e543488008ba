//! The frames of a subscriber, byte by byte as from one plain Redis.

use slotmux::tools::demo::server::{LocalServer, ServerOptions};

use crate::pubsub::shared_proxy;
use slotmux_testing::RawClient;
use slotmux_testing::client::command;

/// Commands and the number of frames of each.
const RESP2: &[(&str, usize)] = &[
    ("SUBSCRIBE t:a t:b t:a", 3),
    ("GET t:x", 1),
    ("PING", 1),
    ("PING hi", 1),
    ("PING hi there", 1),
    ("CLIENT LIST", 1),
    ("HELLO 3", 1),
    ("NOSUCH t", 1),
    ("GET", 1),
    ("EXEC x", 1),
    ("EXEC", 1),
    ("MULTI", 1),
    ("PUBLISH t:a x", 1),
    ("UNSUBSCRIBE t:zz", 1),
    ("PSUBSCRIBE t:p* t:q*", 2),
    ("SSUBSCRIBE t:s", 1),
    ("SUBSCRIBE", 1),
    ("UNSUBSCRIBE t:b t:a", 2),
    ("UNSUBSCRIBE", 1),
    ("PUNSUBSCRIBE t:q*", 1),
    ("PUNSUBSCRIBE", 1),
    ("GET t:x", 1),
    ("SUNSUBSCRIBE t:s", 1),
    ("SUNSUBSCRIBE", 1),
    ("GET t:x", 1),
    ("PING", 1),
    ("SUBSCRIBE t:a", 1),
    ("RESET", 1),
    ("GET t:x", 1),
    ("UNSUBSCRIBE", 1),
    ("CLIENT REPLY OFF", 0),
    ("SUBSCRIBE t:a", 1),
    ("PING", 0),
    ("UNSUBSCRIBE", 1),
    ("CLIENT REPLY ON", 1),
    ("CLIENT REPLY SKIP", 0),
    ("SUBSCRIBE t:a", 1),
    ("PING", 1),
    ("QUIT", 1),
];

const RESP3: &[(&str, usize)] = &[
    ("SUBSCRIBE t3:a t3:b", 2),
    ("PSUBSCRIBE t3:a*", 1),
    ("SSUBSCRIBE t3:s t3:t t3:u", 3),
    ("GET t:x", 1),
    ("PING", 1),
    ("SET t3:x 1", 1),
    ("MULTI", 1),
    ("GET t3:x", 1),
    ("PING", 1),
    ("EXEC", 1),
    ("CLIENT REPLY OFF", 0),
    ("PUBLISH t3:a m", 2),
    ("SUBSCRIBE t3:c", 1),
    ("UNSUBSCRIBE t3:c", 1),
    ("CLIENT REPLY ON", 1),
    ("SUNSUBSCRIBE t3:t t3:s t3:u t3:none", 4),
    ("SUNSUBSCRIBE", 1),
    ("UNSUBSCRIBE t3:a t3:b", 2),
    ("UNSUBSCRIBE", 1),
    ("PUNSUBSCRIBE t3:a*", 1),
    ("PUNSUBSCRIBE", 1),
    ("SUBSCRIBE t3:a", 1),
    ("RESET", 1),
    ("PING", 1),
];

fn run(client: &mut RawClient, lines: &[(&str, usize)]) -> Vec<(String, Vec<String>)> {
    let mut transcript = Vec::new();
    for (line, frames) in lines {
        client.send(&line.split(' ').collect::<Vec<_>>());
        let frames = (0..*frames).map(|_| client.read_bytes().escape_ascii().to_string());
        let mut frames: Vec<_> = frames.collect();
        if line.starts_with("PUBLISH") {
            // A message of a channel and that of a pattern come from two nodes.
            frames.sort();
        }
        transcript.push(((*line).to_owned(), frames));
    }
    transcript
}

fn plain() -> LocalServer {
    LocalServer::start(&ServerOptions::default()).expect("a server")
}

#[test]
fn confirmations_and_errors_are_those_of_redis() {
    let server = plain();
    let proxy = shared_proxy();
    let connects: [fn(u16) -> RawClient; 2] = [RawClient::connect, RawClient::connect_resp3];
    for (lines, connect) in [RESP2, RESP3].into_iter().zip(connects) {
        let expected = run(&mut connect(server.port()), lines);
        let ours = run(&mut connect(proxy.port()), lines);
        for (ours, expected) in ours.iter().zip(&expected) {
            assert_eq!(ours, expected);
        }
    }
}

#[test]
fn the_protocol_changes_while_subscribed() {
    let server = plain();
    let lines = [("SUBSCRIBE h:a", 1), ("HELLO 2", 0)];
    let after = [("GET h:x", 1), ("PING", 1), ("UNSUBSCRIBE", 1), ("PING", 1)];
    let transcripts = [server.port(), shared_proxy().port()].map(|port| {
        let mut client = RawClient::connect_resp3(port);
        let mut transcript = run(&mut client, &lines);
        // The replies to HELLO differ by an id.
        client.read();
        transcript.extend(run(&mut client, &after));
        transcript
    });
    assert_eq!(transcripts[0], transcripts[1]);
}

#[test]
fn unsubscribing_without_names_ends_each_subscription() {
    let server = plain();
    let transcripts = [server.port(), shared_proxy().port()].map(|port| {
        let mut client = RawClient::connect(port);
        run(
            &mut client,
            &[("SUBSCRIBE u:a u:b u:c", 3), ("PSUBSCRIBE u:*", 1)],
        );
        client.send(&["UNSUBSCRIBE"]);
        let frames: Vec<_> = (0..3).map(|_| client.read()).collect();
        let mut names: Vec<_> = frames.iter().map(|frame| frame.items()[1].text()).collect();
        names.sort();
        let counts: Vec<_> = frames
            .iter()
            .map(|frame| frame.items()[2].integer())
            .collect();
        (names, counts)
    });
    assert_eq!(transcripts[0], transcripts[1]);
    assert_eq!(transcripts[1].1, [3, 2, 1]);
}

/// A subscription inside MULTI would need a whole connection, so slotmux refuses it.
#[test]
fn a_transaction_with_a_subscription_is_refused() {
    let mut client = shared_proxy().client_resp3();
    client.call(&["MULTI"]);
    for words in [
        &["SUBSCRIBE", "m:a"][..],
        &["UNSUBSCRIBE"],
        &["PUBSUB", "NUMPAT"],
    ] {
        let reply = client.call(words);
        assert!(
            reply.error().contains("can't be used inside MULTI"),
            "{reply:?}"
        );
    }
    let reply = client.call(&["EXEC"]);
    assert!(reply.error().starts_with("EXECABORT"), "{reply:?}");
    assert_eq!(
        client
            .call(&["CLIENT", "INFO"])
            .text()
            .matches(" sub=0 ")
            .count(),
        1
    );
}

#[test]
fn pipelined_commands_keep_their_order_around_subscriptions() {
    let server = plain();
    let words: Vec<Vec<&str>> = [
        "SET p:k 1",
        "INCR p:k",
        "SUBSCRIBE p:a p:b",
        "PSUBSCRIBE p:*",
        "PING",
        "UNSUBSCRIBE p:a p:b",
        "PUNSUBSCRIBE p:*",
        "GET p:k",
    ]
    .iter()
    .map(|line| line.split(' ').collect())
    .collect();
    let bytes: Vec<u8> = words.iter().flat_map(|words| command(words)).collect();
    for connect in [RawClient::connect, RawClient::connect_resp3] {
        let [expected, ours] = [server.port(), shared_proxy().port()]
            .map(|port| connect(port).pipeline_raw(&bytes, 10));
        assert_eq!(ours, expected);
    }
}
