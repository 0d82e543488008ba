//! Replies that are invalid, unsolicited, incomplete or late: no client gets the reply to another's command.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::faults::{Clogged, UNKNOWN, clogged, key_in, named, neighbour, pair};
use slotmux_testing::client::command;
use slotmux_testing::peer::Gate;
use slotmux_testing::{PATIENCE, Peer, Proxy, RawClient, Step, Value, poll_until};

#[test]
fn a_reply_is_never_taken_for_an_unsent_command() {
    let Clogged { replies, .. } = clogged(&b"+FORGED\r\n".repeat(1000), |_| {});
    let own = replies
        .iter()
        .filter(|(key, reply)| *reply == Value::Simple(key.clone()));
    assert!(own.count() > 0, "all forged replies were accepted");
}

#[test]
fn an_invalid_reply_ends_the_connection_without_a_wrong_reply() {
    let many_digits = format!(":{}\r\n", "9".repeat(100));
    let table: &[(&str, &[u8])] = &[
        ("garbage", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        ("a bulk without CRLF", b"$3\r\nfooXY"),
        ("an invalid length", b"$abc\r\n"),
        ("a length beyond numbers", b"$99999999999999999999\r\n"),
        (
            "elements beyond numbers",
            b"*9223372036854775807\r\n*9223372036854775807\r\n*2\r\n",
        ),
        ("a header without end", many_digits.as_bytes()),
        ("a NUL", b"\0\0\0\0"),
        (
            "more replies than commands",
            b"+bad\r\n+extra\r\n+extra\r\n+extra\r\n+extra\r\n",
        ),
        ("a hang-up in mid header", b"$12"),
    ];
    for &(what, bytes) in table {
        let reply = bytes.to_vec();
        let (faulty, sound, _layout) = pair(move |request| {
            match (request.name().as_str(), request.word(1).split(':').next()) {
                ("GET", Some("bad")) => Some(vec![
                    Step::Bytes(reply.clone()),
                    Step::Pause(Duration::from_millis(5)),
                    Step::Close,
                ]),
                ("GET", _) => Some(named(request)),
                _ => None,
            }
        });
        let proxy = Proxy::start_at(&sound.seeds(), None, |config| {
            config.set("server.workers", 1);
            config.set("cluster.connections.backoff", "10ms..50ms");
        });
        let neighbour = neighbour(&proxy);
        let [before, bad, after] = ["before", "bad", "after"].map(|name| key_in(false, name, 0));
        let mut clients: Vec<RawClient> = (0..5).map(|_| proxy.client()).collect();
        for client in &mut clients {
            client.send_raw(
                &[&before, &bad, &after]
                    .map(|key| command(&["GET", &**key]))
                    .concat(),
            );
        }
        for client in &mut clients {
            for key in [&before, &bad, &after] {
                let reply = client.read();
                let own = Value::Simple(key.split(':').next().unwrap_or_default().to_owned());
                let is_right = match &reply {
                    Value::Error(text) => text == UNKNOWN,
                    reply if *key == bad => *reply == own,
                    reply => *reply == Value::Simple(key.clone()),
                };
                // A surplus reply that comes before the next command's own can't be told from it.
                let is_surplus = what.starts_with("more") && reply == Value::Simple("extra".into());
                assert!(is_right || is_surplus, "{what}: {key} got {reply:?}");
            }
        }
        assert!(
            proxy
                .metric("slotmux_upstream_lost_total")
                .is_some_and(|lost| lost >= 1.0),
            "{what}"
        );
        let mut client = proxy.client();
        for i in 0..20 {
            let key = key_in(false, "later", i);
            assert_eq!(
                client.call(&["GET", &key]),
                Value::Simple(key.clone()),
                "{what}"
            );
        }
        neighbour.goes_on();
        neighbour.finish();
        drop(faulty);
    }
}

#[test]
fn an_unsolicited_reply_ends_the_connection() {
    let (_faulty, sound, _layout) = pair(|request| {
        (request.name() == "GET")
            .then(|| Step::reply(format!("+{}\r\n+surplus\r\n", request.word(1))))
    });
    let proxy = Proxy::start_at(&sound.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("cluster.connections.backoff", "10ms..50ms");
    });
    let mut client = proxy.client();
    for i in 1..=10 {
        let key = key_in(false, "surplus", i);
        assert_eq!(client.call(&["GET", &key]), Value::Simple(key.clone()));
        poll_until(PATIENCE, "the connection to be given up", || {
            proxy.metric("slotmux_upstream_lost_total") == Some(i as f64)
        });
    }
}

#[test]
fn a_push_is_not_a_reply() {
    let (_faulty, sound, _layout) = pair(|request| {
        (request.name() == "GET").then(|| {
            let push = ">2\r\n+message\r\n$5\r\nhello\r\n";
            Step::reply(format!("{push}+{}\r\n{push}", request.word(1)))
        })
    });
    let proxy = Proxy::start_at(&sound.seeds(), None, |_| {});
    for mut client in [proxy.client(), proxy.client_resp3()] {
        for i in 0..100 {
            let key = key_in(false, "push", i);
            assert_eq!(client.call(&["GET", &key]), Value::Simple(key.clone()));
        }
    }
}

#[test]
fn half_a_large_reply_is_never_completed_by_other_bytes() {
    let half = [b"$200000\r\n".to_vec(), vec![b'h'; 100_000]].concat();
    let gate = Gate::default();
    let held_back = gate.clone();
    let (_faulty, sound, _layout) =
        pair(
            move |request| match (request.name().as_str(), request.word(1).split(':').next()) {
                ("GET", Some("half")) => Some(vec![
                    Step::Bytes(half.clone()),
                    Step::Gate(held_back.clone()),
                    Step::Close,
                ]),
                ("GET", _) => Some(named(request)),
                _ => None,
            },
        );
    let proxy = Proxy::start_at(&sound.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("cluster.connections.backoff", "10ms..50ms");
    });
    let (mut unlucky, mut other) = (proxy.client(), proxy.client());
    unlucky.send(&["GET", &key_in(false, "half", 0)]);
    assert!(unlucky.has_news(PATIENCE), "the half is forwarded at once");
    // Behind it on the same lane.
    let key = key_in(false, "whole", 0);
    for _ in 0..10 {
        other.send(&["GET", &key]);
    }
    poll_until(PATIENCE, "all commands to be in flight", || {
        proxy.metric("slotmux_in_flight") == Some(11.0)
    });
    gate.open();
    for _ in 0..10 {
        assert_eq!(other.read(), Value::Simple(key.clone()));
    }
    let got = unlucky.read_to_close();
    assert!(got.starts_with(b"$200000\r\n") && got.len() < 150_000);
    assert!(
        got[9..].iter().all(|&byte| byte == b'h'),
        "other bytes came in between"
    );
}

#[test]
fn a_large_reply_that_stalls_is_not_cut_by_its_deadline() {
    let gate = Gate::default();
    let held_back = gate.clone();
    let (_faulty, sound, _layout) =
        pair(
            move |request| match (request.name().as_str(), request.word(1).split(':').next()) {
                ("GET", Some("slow")) => Some(vec![
                    Step::Bytes([b"$200000\r\n".to_vec(), vec![b's'; 100_000]].concat()),
                    Step::Gate(held_back.clone()),
                    Step::Bytes([vec![b's'; 100_000], b"\r\n".to_vec()].concat()),
                ]),
                ("GET", _) => Some(named(request)),
                _ => None,
            },
        );
    let proxy = Proxy::start_at(&sound.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "300ms");
        config.set("cluster.timeouts.response", "60s");
    });
    let mut client = proxy.client();
    client.send(&["GET", &key_in(false, "slow", 0)]);
    client.send(&["GET", &key_in(false, "behind", 0)]);
    poll_until(PATIENCE, "the deadline of the second", || {
        proxy.metric("slotmux_timeouts_total") >= Some(1.0)
    });
    gate.open();
    assert_eq!(client.read(), Value::Bulk(vec![b's'; 200_000]));
    assert_eq!(client.read().error(), "ERR slotmux: upstream timeout");
    let key = key_in(false, "next", 0);
    assert_eq!(client.call(&["GET", &key]), Value::Simple(key.clone()));
}

#[test]
fn an_answer_to_half_a_command_ends_the_connection() {
    let gate = Gate::default();
    let held_back = gate.clone();
    let is_first = AtomicBool::new(true);
    // Answers its first connection's command before it has read a byte of it, and continues normally.
    let peer = Peer::start(move |request| {
        (request.name() == "PING" && is_first.swap(false, Ordering::SeqCst)).then(|| {
            vec![
                Step::Bytes(b"+PONG\r\n".to_vec()),
                Step::Gate(held_back.clone()),
                Step::Bytes(b"-ERR too early\r\n".to_vec()),
            ]
        })
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("server.workers", 1);
    });
    let mut client = proxy.client();
    client.send(&["SET", "half", &"h".repeat(32 << 20)]);
    poll_until(PATIENCE, "the command to be in flight", || {
        proxy.metric("slotmux_in_flight") == Some(1.0)
    });
    assert!(!client.has_news(Duration::from_millis(200)));
    gate.open();
    assert_eq!(client.read().error(), "ERR too early");
    // The next bytes would be taken for the rest of the first value.
    let next = "n".repeat(1 << 20);
    for _ in 0..40 {
        assert_eq!(client.call(&["SET", "next", &next]), Value::ok());
    }
    let keys: Vec<_> = peer.requests_named("SET");
    assert!(keys.iter().all(|request| request.word(1) == "next"));
    assert_eq!(keys.len(), 40);
}

#[test]
fn an_incomplete_part_is_requested_again() {
    let half = [b"*1\r\n$200000\r\n".to_vec(), vec![b'h'; 100_000]].concat();
    let breaks = AtomicUsize::new(1);
    let (_faulty, sound, _layout) = pair(move |request| {
        let fewer = |left: usize| left.checked_sub(1);
        match request.name().as_str() {
            "MGET" if request.word(1).starts_with("never") => {
                Some(vec![Step::Bytes(half.clone()), Step::Close])
            }
            "MGET"
                if breaks
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer)
                    .is_ok() =>
            {
                Some(vec![Step::Bytes(half.clone()), Step::Close])
            }
            "MGET" => Some(Step::reply(format!("*1\r\n+{}\r\n", request.word(1)))),
            _ => None,
        }
    });
    let proxy = Proxy::start_at(&sound.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("cluster.connections.backoff", "10ms..50ms");
    });
    let mut client = proxy.client();
    let keys = [key_in(false, "one", 0), key_in(false, "two", 1)];
    let whole = Value::Array(keys.iter().cloned().map(Value::Simple).collect());
    assert_eq!(client.call(&["MGET", &keys[0], &keys[1]]), whole);
    // If it breaks off every time, the client gets an error.
    let never = key_in(false, "never", 0);
    assert_eq!(client.call(&["MGET", &never, &keys[0]]).error(), UNKNOWN);
    assert_eq!(client.call(&["MGET", &keys[0], &keys[1]]), whole);
}
