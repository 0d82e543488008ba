//! A node that misbehaves, byte by byte: refused and broken connections, replies that are none, too many of them, or
//! only half there. Each client gets its own reply or a clear error, and no write is ever sent twice.

mod common;

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::client::command;
use common::peer::{Gate, Request};
use common::{Layout, Neighbour, PATIENCE, Peer, Proxy, RawClient, Step, Value, poll_until};
use slotmux::slot::slot_of;

const UNKNOWN: &str =
    "ERR slotmux: connection to the node was lost, the command may have been executed";

/// A key in the lower or the upper half of the slots.
fn key_in(upper: bool, name: &str, number: usize) -> String {
    (0..)
        .map(|i| format!("{name}:{number}:{i}"))
        .find(|key| (slot_of(key.as_bytes()).0 >= 8192) == upper)
        .expect("a key")
}

/// Half of the slots each: the first is the faulty one, the second remembers what it is told, as a Redis would.
fn pair(
    faulty: impl Fn(&Request) -> Option<Vec<Step>> + Send + Sync + 'static,
) -> (Peer, Peer, Layout) {
    let layout = Layout::default();
    let values = std::sync::Mutex::new(HashMap::new());
    let sound = Peer::start_in(&layout, move |request| {
        let mut values = values.lock().expect("nobody panics here");
        match request.name().as_str() {
            "SET" => {
                values.insert(request.word(1), request.word(2));
                None
            }
            "GET" => {
                let value = values.get(&request.word(1)).cloned().unwrap_or_default();
                Some(Step::reply(format!("${}\r\n{value}\r\n", value.len())))
            }
            _ => None,
        }
    });
    let faulty = Peer::start_in(&layout, faulty);
    layout.set(&[(0, 8191, faulty.port()), (8192, 16383, sound.port())]);
    (faulty, sound, layout)
}

/// A neighbour on the sound half.
fn neighbour(proxy: &Proxy) -> Neighbour {
    Neighbour::start_on(proxy.port(), |name, i| key_in(true, name, i), "sound")
}

/// `+KEY`: what a node that works says to a GET in these tests.
fn named(request: &Request) -> Vec<Step> {
    Step::reply(format!("+{}\r\n", request.word(1)))
}

#[test]
fn a_node_that_refuses_connections_costs_an_error_after_the_deadline_and_then_at_once() {
    let (_faulty, sound, layout) = pair(|_| None);
    // A port that nobody listens on: bound, and let go.
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = nobody.local_addr().expect("an address").port();
    drop(nobody);
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
    // From now on nobody waits, also while others keep asking.
    for _ in 0..50 {
        assert_eq!(client.call(&["INCR", &key]).error(), expected);
    }
    assert_eq!(proxy.metric("slotmux_timeouts_total"), timeouts);
    neighbour.goes_on();
    neighbour.finish();
}

#[test]
fn who_keeps_asking_a_lost_node_does_not_wait_for_ever() {
    let (_faulty, sound, layout) = pair(|_| None);
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = nobody.local_addr().expect("an address").port();
    drop(nobody);
    layout.set(&[(0, 8191, port), (8192, 16383, sound.port())]);
    let proxy = Proxy::start_at(&sound.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "1s");
    });
    let key = key_in(false, "asked", 0);
    // One after the other, so that there is always one whose deadline has not come.
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
        "one try and retry.reads more"
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
        // A read that came before a write of unknown fate would see the future.
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
        move |config: &mut common::ProxyConfig| {
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
        // What is no silence is repeated whatever the key says, and a write never is.
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

/// Sends 16 MB of SETs to a node that reads none of them: the tail of it can't leave slotmux. The node says
/// `first_words` and hangs up; a new connection is answered with each SET's value. Returns the replies and the peer.
fn clogged(first_words: &[u8], configure: impl FnOnce(&mut common::ProxyConfig)) -> Clogged {
    let gate = Gate::default();
    let (held_back, words) = (gate.clone(), first_words.to_vec());
    let first = AtomicUsize::new(0);
    let (faulty, _sound, _layout) = pair(move |request| {
        (request.name() == "SET").then(|| match first.fetch_add(1, Ordering::SeqCst) {
            0 => vec![
                Step::Gate(held_back.clone()),
                Step::Bytes(words.clone()),
                // A reset could overtake the words.
                Step::Pause(Duration::from_millis(300)),
                Step::Close,
            ],
            _ => Step::reply(format!("+{}\r\n", request.word(1))),
        })
    });
    let proxy = Proxy::start_at(&faulty.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "60s");
        config.set("cluster.timeouts.response", "60s");
        configure(config);
    });
    let value = "v".repeat(15_000);
    let mut clients = [proxy.client(), proxy.client()];
    let mut keys = [Vec::new(), Vec::new()];
    for (client, keys) in clients.iter_mut().zip(&mut keys) {
        let bytes: Vec<u8> = (0..500)
            .flat_map(|i| {
                keys.push(key_in(
                    false,
                    &format!("clog{}", client.local_addr().port()),
                    i,
                ));
                command(&["SET", &keys[i], &value])
            })
            .collect();
        client.send_raw(&bytes);
    }
    poll_until(PATIENCE, "all to be in flight", || {
        proxy.metric("slotmux_in_flight") == Some(1000.0)
    });
    gate.open();
    let mut replies = Vec::new();
    for (client, keys) in clients.iter_mut().zip(keys) {
        replies.extend(keys.into_iter().map(|key| (key, client.read())));
    }
    let mut seen = HashMap::new();
    for request in faulty.requests_named("SET") {
        *seen.entry(request.word(1)).or_insert(0) += 1;
    }
    Clogged { replies, seen }
}

struct Clogged {
    /// By key.
    replies: Vec<(String, Value)>,
    /// How often the node saw each key.
    seen: HashMap<String, usize>,
}

#[test]
fn a_write_that_never_left_is_sent_again_and_one_that_left_is_not() {
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
fn a_reply_is_never_taken_for_a_command_that_has_not_left() {
    let Clogged { replies, .. } = clogged(&b"+FORGED\r\n".repeat(1000), |_| {});
    let own = replies
        .iter()
        .filter(|(key, reply)| *reply == Value::Simple(key.clone()));
    assert!(
        own.count() > 0,
        "the forged replies were believed to the end"
    );
}

#[test]
fn what_is_no_reply_ends_the_connection_and_nobody_gets_a_wrong_one() {
    let many_digits = format!(":{}\r\n", "9".repeat(100));
    let table: &[(&str, &[u8])] = &[
        ("garbage", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        ("a bulk without CRLF", b"$3\r\nfooXY"),
        ("a length that is none", b"$abc\r\n"),
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
fn a_reply_that_nobody_asked_for_ends_the_connection() {
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
fn a_push_is_nobodys_reply() {
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
fn half_a_large_reply_is_never_completed_by_something_else() {
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
    assert!(
        unlucky.has_news(PATIENCE),
        "the half is passed on as it comes"
    );
    // Behind it on the same lane.
    let key = key_in(false, "whole", 0);
    for _ in 0..10 {
        other.send(&["GET", &key]);
    }
    poll_until(PATIENCE, "all to be in flight", || {
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
        "something else came in between"
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
    poll_until(PATIENCE, "the second to pass its deadline", || {
        proxy.metric("slotmux_timeouts_total") >= Some(1.0)
    });
    gate.open();
    assert_eq!(client.read(), Value::Bulk(vec![b's'; 200_000]));
    assert_eq!(client.read().error(), "ERR slotmux: upstream timeout");
    let key = key_in(false, "next", 0);
    assert_eq!(client.call(&["GET", &key]), Value::Simple(key.clone()));
}

#[test]
fn commands_for_several_nodes_do_not_wait_for_one_that_is_lost_either() {
    let (_faulty, sound, layout) = pair(|_| None);
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = nobody.local_addr().expect("an address").port();
    drop(nobody);
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
    // "not executed" is said of the whole command.
    assert_eq!(sound.requests_named("DEL").len(), 0);
}

#[test]
fn a_command_that_was_sent_on_keeps_its_deadline_behind_newer_ones() {
    for is_up in [true, false] {
        let (redirects, silence) = (Gate::default(), Gate::default());
        let layout = Layout::default();
        let held_back = silence.clone();
        let silent = Peer::start_in(&layout, move |request| {
            (request.name() == "SET").then(|| vec![Step::Gate(held_back.clone()), Step::Close])
        });
        let nobody = TcpListener::bind("127.0.0.1:0").expect("a port");
        let unused = nobody.local_addr().expect("an address").port();
        drop(nobody);
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
            "the older one waited for the newer one's deadline (is_up: {is_up})"
        );
        assert!(newer.read().error().starts_with("ERR slotmux: "));
        silence.open();
    }
}

#[test]
fn a_lane_of_ones_own_that_outlived_its_command_is_used_again() {
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
    poll_until(PATIENCE, "it to have found nobody", || {
        proxy.metric("slotmux_upstream_connect_failures_total") == Some(1.0)
    });
    second.send(&["SET", &key, &big]);
    poll_until(PATIENCE, "the other to wait", || {
        proxy.metric("slotmux_parks_total") == Some(1.0)
    });
    refuses.store(false, Ordering::SeqCst);
    assert!(first.read().error().contains("is unreachable"));
    // It waits no longer than a command may take.
    let error = second.read();
    assert!(error.error().contains("dedicated_max"), "{error:?}");
    poll_until(PATIENCE, "the lane to be used again", || {
        second.call(&["SET", &key, &big]) == Value::ok()
    });
    assert_eq!(faulty.requests_named("SET").len(), 1);
}

#[test]
fn what_a_node_keeps_saying_is_told_in_its_own_words() {
    let key = key_in(false, "refused", 0);
    for words in [
        "LOADING Redis is loading the dataset in memory",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    ] {
        let (_faulty, sound, _layout) = pair(move |request| {
            (request.name() == "GET").then(|| Step::reply(format!("-{words}\r\n")))
        });
        let proxy = Proxy::start_at(&sound.seeds(), None, |config| {
            // Between two tries.
            config.set("cluster.timeouts.command", "400ms");
        });
        let mut client = proxy.client();
        assert_eq!(client.call(&["GET", &key]).error(), words);
    }
}

#[test]
fn an_answer_to_half_a_command_ends_the_connection() {
    let gate = Gate::default();
    let held_back = gate.clone();
    let is_first = AtomicBool::new(true);
    // Answers its first connection's command before it has read a byte of it, and goes on as if nothing was.
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
    poll_until(PATIENCE, "it to be in flight", || {
        proxy.metric("slotmux_in_flight") == Some(1.0)
    });
    assert!(!client.has_news(Duration::from_millis(200)));
    gate.open();
    assert_eq!(client.read().error(), "ERR too early");
    // What comes next would be taken for the rest of the first value.
    let next = "n".repeat(1 << 20);
    for _ in 0..40 {
        assert_eq!(client.call(&["SET", "next", &next]), Value::ok());
    }
    let keys: Vec<_> = peer.requests_named("SET");
    assert!(keys.iter().all(|request| request.word(1) == "next"));
    assert_eq!(keys.len(), 40);
}

#[test]
fn a_part_that_breaks_off_is_asked_for_again() {
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
    // Where it breaks off each time, that is an error like any other.
    let never = key_in(false, "never", 0);
    assert_eq!(client.call(&["MGET", &never, &keys[0]]).error(), UNKNOWN);
    assert_eq!(client.call(&["MGET", &keys[0], &keys[1]]), whole);
}

#[test]
fn what_passes_is_hidden_unless_that_would_break_the_order() {
    const TRIES: usize = 3;
    for words in [
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "CLUSTERDOWN Hash slot not served",
        "LOADING Redis is loading the dataset in memory",
        "READONLY You can't write against a read only replica.",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    ] {
        let refused = AtomicUsize::new(TRIES + 1);
        let (faulty, sound, _layout) = pair(move |request| {
            let fewer = |left: usize| left.checked_sub(1);
            (request.name() == "INCR").then(|| {
                match refused.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer) {
                    Ok(_) => Step::reply(format!("-{words}\r\n")),
                    Err(_) => Step::reply(format!("+{}\r\n", request.word(1))),
                }
            })
        });
        let proxy = Proxy::start_at(&sound.seeds(), None, |config| {
            config.set("server.workers", 1);
            config.set("cluster.timeouts.command", "20s");
        });
        let (key, other) = (key_in(false, "a{passing}", 0), key_in(false, "b", 0));
        let mut client = proxy.client();
        // Followed by one on its slot, it must not come behind that: as nobody says no to the GET, it does not run.
        let replies = client.pipeline(&[vec!["INCR", &key], vec!["GET", &key]]);
        let all_of_it = words.starts_with("CLUSTERDOWN") || words.starts_with("LOADING");
        match replies[0].error() {
            error if all_of_it => assert!(
                error.starts_with("TRYAGAIN slotmux: not executed"),
                "{error}"
            ),
            error => assert_eq!(error, words),
        }
        // Alone on its slot it is tried again, ahead of what comes later.
        client.send(&["INCR", &other]);
        client.send(&["INCR", &key]);
        assert_eq!(client.read(), Value::Simple(other.clone()), "{words}");
        assert_eq!(client.read(), Value::Simple(key.clone()), "{words}");
        let asked = faulty.requests_named("INCR");
        assert_eq!(asked.len(), 1 + TRIES + 2, "{words}");
    }
}

#[test]
fn a_pipeline_waits_for_a_node_that_is_down_and_nothing_in_it_overtakes() {
    for refusals in 0..13 {
        let left = AtomicUsize::new(refusals);
        let ran = Arc::new(std::sync::Mutex::new(Vec::new()));
        let values = ran.clone();
        let (_faulty, sound, _layout) = pair(move |request| {
            let fewer = |left: usize| left.checked_sub(1);
            (request.name() == "SET").then(|| {
                match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer) {
                    Ok(_) => Step::reply("-CLUSTERDOWN The cluster is down\r\n"),
                    Err(_) => {
                        values
                            .lock()
                            .expect("nobody panics here")
                            .push(request.word(2));
                        Step::reply(format!("+{}\r\n", request.word(2)))
                    }
                }
            })
        });
        let proxy = Proxy::start_at(&sound.seeds(), None, |config| {
            config.set("server.workers", 1);
            config.set("cluster.timeouts.command", "20s");
        });
        let key = key_in(false, "down", 0);
        let pipeline: Vec<_> = ["0", "1", "2", "3"]
            .map(|value| vec!["SET", &*key, value])
            .to_vec();
        let replies = proxy.client().pipeline(&pipeline);
        let ran = ran.lock().expect("nobody panics here").clone();
        assert!(ran.is_sorted(), "{refusals}: {ran:?}");
        assert_eq!(
            ran.last().map(String::as_str),
            Some("3"),
            "{refusals}: {replies:?}"
        );
        for (i, reply) in replies.iter().enumerate() {
            let value = i.to_string();
            if ran.contains(&value) {
                assert_eq!(*reply, Value::Simple(value), "{refusals}");
            } else {
                let error = reply.error();
                assert!(
                    error.starts_with("TRYAGAIN slotmux: not executed"),
                    "{refusals}: {error}"
                );
            }
        }
    }
}

#[test]
fn what_is_for_the_whole_keyspace_keeps_its_place() {
    let refused = AtomicBool::new(true);
    let (faulty, sound, _layout) = pair(move |request| {
        (request.name() == "SET" && refused.swap(false, Ordering::SeqCst))
            .then(|| Step::reply("-LOADING Redis is loading the dataset in memory\r\n"))
    });
    let proxy = Proxy::start_at(&sound.seeds(), None, |config| {
        config.set("server.workers", 1);
    });
    let mut client = proxy.client();
    let key = key_in(false, "flushed", 0);
    let replies = client.pipeline(&[
        vec!["SET", &key, "1"],
        vec!["FLUSHALL"],
        vec!["SET", &key, "2"],
    ]);
    assert!(replies.iter().all(|reply| *reply == Value::ok()));
    let names = faulty.requests().into_iter().map(|one| one.name());
    let names: Vec<_> = names
        .filter(|name| name == "SET" || name == "FLUSHALL")
        .collect();
    assert_eq!(names, ["SET", "SET", "FLUSHALL", "SET"]);
}

#[test]
fn what_passes_is_hidden_without_a_key_too() {
    let refusals = AtomicUsize::new(5);
    let peer = Peer::start(move |request| {
        let fewer = |left: usize| left.checked_sub(1);
        matches!(request.name().as_str(), "DBSIZE" | "PUBLISH").then(|| {
            match refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer) {
                Ok(_) => Step::reply("-LOADING Redis is loading the dataset in memory\r\n"),
                Err(_) => Step::reply(":7\r\n"),
            }
        })
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "20s");
    });
    let mut client = proxy.client();
    assert_eq!(client.call(&["GET", "k"]), Value::ok());
    let replies = client.pipeline(&[vec!["DBSIZE"], vec!["GET", "k"]]);
    assert!(
        replies[0].error().starts_with("LOADING "),
        "order beats hiding"
    );
    client.send(&["DBSIZE"]);
    assert_eq!(client.read(), Value::Integer(7));
    assert_eq!(peer.requests_named("DBSIZE").len(), 6);
    assert_eq!(client.call(&["PUBLISH", "c", "m"]), Value::Integer(7));
}
