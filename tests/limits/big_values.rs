//! Big values: whole and in order, over redirects and node failures, with bounded memory, and without delaying others.

use std::time::Duration;

use slotmux_testing::peer::Gate;
use slotmux_testing::{
    Layout, PATIENCE, Peer, Proxy, ProxyConfig, RawClient, Step, Value, poll_until, shared_cluster,
    shared_proxy,
};

const MIB: usize = 1024 * 1024;

/// Bytes that reveal a lost, doubled or misplaced piece.
fn value(len: usize, seed: u8) -> Vec<u8> {
    (0..len)
        .map(|i| (i / 251) as u8 ^ (i % 251) as u8 ^ seed)
        .collect()
}

fn set(key: &str, value: &[u8]) -> Vec<Vec<u8>> {
    vec![b"SET".to_vec(), key.into(), value.to_vec()]
}

fn get(key: &str) -> Vec<Vec<u8>> {
    vec![b"GET".to_vec(), key.into()]
}

fn one_worker(config: &mut ProxyConfig) {
    config.set("server.workers", 1);
    config.set("log.level", "info");
}

#[track_caller]
fn assert_same(reply: &Value, expected: &[u8], what: &str) {
    // Not assert_eq, which would print 64 MiB.
    assert!(
        matches!(reply, Value::Bulk(bytes) if bytes == expected),
        "{what}"
    );
}

#[test]
fn big_and_small_values_keep_their_order_in_a_pipeline() {
    let _turn = crate::turn();
    for (round, size) in [64 * 1024, 64 * 1024 + 1, MIB, 16 * MIB]
        .into_iter()
        .enumerate()
    {
        let mut client = shared_proxy().client();
        let (key, big) = (format!("size:{size}"), value(size, round as u8));
        let replies = client.pipeline(&[
            set(&key, b"small"),
            get(&key),
            set(&key, &big),
            get(&key),
            get(&key),
            set(&key, b"small again"),
            get(&key),
            set("other", b"1"),
        ]);
        assert_eq!(replies[1], Value::bulk("small"));
        assert_same(&replies[3], &big, "first GET of the big value");
        assert_same(&replies[4], &big, "second GET of the big value");
        assert_eq!(replies[6], Value::bulk("small again"), "{size}");
        assert_eq!(replies[7], Value::ok());
    }
}

#[test]
fn big_values_over_several_slots() {
    let mut client = shared_proxy().client_resp3();
    let values: Vec<Vec<u8>> = (0..6).map(|i| value(MIB + i, i as u8)).collect();
    let (mut mset, mut mget) = (vec![b"MSET".to_vec()], vec![b"MGET".to_vec()]);
    for (i, value) in values.iter().enumerate() {
        let key = format!("several:{i}").into_bytes();
        mset.extend([key.clone(), value.clone()]);
        mget.push(key);
    }
    let replies = client.pipeline(&[mset, mget, get("several:none")]);
    assert_eq!(replies[0], Value::ok());
    for (i, value) in values.iter().enumerate() {
        assert_same(&replies[1].items()[i], value, "an element");
    }
    assert_eq!(replies[2], Value::Null);
}

/// The connections that carried commands of this name.
fn connections(peer: &Peer, name: &str) -> Vec<usize> {
    let requests = peer.requests_named(name);
    requests.iter().map(|request| request.connection).collect()
}

#[test]
fn a_redirected_big_request_stays_off_the_shared_lane() {
    let layout = Layout::default();
    let target = Peer::start_in(&layout, |_| None);
    let port = target.port();
    let source = Peer::start_in(&layout, move |request| {
        (request.name() == "SET").then(|| {
            let kind = if request.word(1) == "moved" {
                "MOVED"
            } else {
                "ASK"
            };
            let slot = slotmux_core::slot::slot_of(&request.words[1]).0;
            Step::reply(format!("-{kind} {slot} 127.0.0.1:{port}\r\n"))
        })
    });
    // "moved" and "ask" are in the upper half, which the source owns at first.
    layout.set(&[(0, 99, port), (100, 16383, source.port())]);
    let proxy = Proxy::start_at(&source.seeds(), None, one_worker);
    let mut client = proxy.client();
    let big = value(MIB, 1);
    for key in ["ask", "moved"] {
        assert_eq!(client.call(&set(key, &big)), Value::ok(), "{key}");
        let sets = target.requests_named("SET");
        assert!(sets.last().expect("a SET").words[2] == big, "{key}");
    }
    assert_eq!(client.call(&["INCR", "moved"]), Value::ok());
    let shared = connections(&target, "INCR");
    assert_eq!(shared.len(), 1);
    assert!(!connections(&target, "SET").contains(&shared[0]));
    let asking = connections(&target, "ASKING");
    assert_eq!(asking, connections(&target, "SET")[..1]);
}

#[test]
fn the_parts_of_a_big_request_stay_off_the_shared_lanes() {
    let layout = Layout::default();
    let peers = [(); 2].map(|()| Peer::start_in(&layout, |_| None));
    layout.set(&[(0, 8191, peers[0].port()), (8192, 16383, peers[1].port())]);
    let proxy = Proxy::start_at(&peers[0].seeds(), None, |config| {
        one_worker(config);
        // One each: two requests that need both must not wait for each other.
        config.set("cluster.connections.dedicated_max", 1);
    });
    let keys: Vec<Vec<u8>> = (0..8).map(|i| format!("part:{i}").into_bytes()).collect();
    let mut mset = vec![b"MSET".to_vec()];
    for key in &keys {
        mset.extend([key.clone(), value(MIB, 5)]);
    }
    let mut clients: Vec<RawClient> = (0..3).map(|_| proxy.client()).collect();
    for client in &mut clients {
        for key in &keys {
            client.send(&[b"INCR".to_vec(), key.clone()]);
        }
    }
    let bytes = slotmux_testing::client::command(&mset);
    std::thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(|| {
                client.send_raw(&bytes);
                for _ in 0..=keys.len() {
                    assert_eq!(client.read(), Value::ok());
                }
                assert_eq!(client.call(&set("part:0", b"small")), Value::ok());
            });
        }
    });
    for peer in &peers {
        let (shared, alone) = (connections(peer, "INCR"), connections(peer, "MSET"));
        assert!(!shared.is_empty() && !alone.is_empty());
        assert!(alone.iter().all(|one| !shared.contains(one)));
    }
}

#[test]
fn a_slow_reader_delays_no_other_and_is_waited_for() {
    let _turn = crate::turn();
    let cluster = shared_cluster();
    let proxy = Proxy::start(cluster, |config| {
        one_worker(config);
        // Far shorter than the reader's pause: neither clock may run while the node waits for the client.
        config.set("cluster.timeouts.command", "400ms");
        config.set("cluster.timeouts.response", "400ms");
    });
    let big = value(64 * MIB, 3);
    let mut writer = proxy.client();
    assert_eq!(writer.call(&set("{slow}:64m", &big)), Value::ok());
    assert_same(&writer.call(&get("{slow}:64m")), &big, "the first GET");
    let before = proxy.rss();
    let mut slow = proxy.client();
    slow.send(&get("{slow}:64m"));
    assert!(slow.has_news(PATIENCE));
    let mut neighbour = proxy.client();
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(1500) {
        assert_eq!(neighbour.call(&["SET", "{slow}:n", "1"]), Value::ok());
        assert_eq!(neighbour.call(&["GET", "{slow}:n"]), Value::bulk("1"));
    }
    let grown = proxy.rss().saturating_sub(before);
    assert!(grown < 16 * MIB as u64, "{grown} bytes for one slow reader");
    assert_same(&slow.read(), &big, "the reply to the slow reader");
    assert_eq!(slow.call(&["PING"]), Value::Simple("PONG".into()));
}

#[test]
fn fifty_slow_readers_are_streamed_to() {
    let _turn = crate::turn();
    let proxy = Proxy::start(shared_cluster(), one_worker);
    let big = value(10 * MIB, 4);
    let mut client = proxy.client();
    assert_eq!(client.call(&set("crowd:10m", &big)), Value::ok());
    // Each reply needs several trips alone; four make sure that fifty readers find one.
    let mut readers: Vec<RawClient> = Vec::new();
    for _ in 0..4 {
        assert_same(&client.call(&get("crowd:10m")), &big, "to learn from");
    }
    let before = proxy.rss();
    for _ in 0..50 {
        let mut reader = proxy.client();
        reader.send(&get("crowd:10m"));
        assert!(reader.has_news(PATIENCE));
        readers.push(reader);
    }
    assert_eq!(client.call(&["SET", "crowd:n", "1"]), Value::ok());
    let grown = proxy.rss().saturating_sub(before);
    assert!(
        grown < 150 * MIB as u64,
        "{grown} bytes for 500 MiB of replies"
    );
    for mut reader in readers {
        assert_same(&reader.read(), &big, "the reply to a reader");
    }
}

#[test]
fn announced_bytes_take_no_memory_and_sent_ones_are_bounded() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        one_worker(config);
        config.set("server.memory_limit", "64MiB");
    });
    let before = proxy.rss();
    let header = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", 100 * MIB);
    let mut clients: Vec<RawClient> = (0..200).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send_raw(header.as_bytes());
    }
    assert_eq!(proxy.client().call(&["SET", "bounded", "1"]), Value::ok());
    let grown = proxy.rss().saturating_sub(before);
    assert!(grown < 16 * MIB as u64, "{grown} bytes for announcements");
    let piece = vec![0; 8 * MIB];
    for client in &mut clients[..40] {
        // Some are closed to make room for the others.
        let _ = client.try_send_raw(&piece);
    }
    assert_eq!(proxy.client().call(&["GET", "bounded"]), Value::bulk("1"));
    poll_until(PATIENCE, "clients over the budget to be closed", || {
        proxy.metric("slotmux_limit_closes_total") > Some(0.0)
    });
    // Buffers are copied as they grow, and freed memory returns to the system within a second or two.
    let grown = proxy.peak_rss().saturating_sub(before);
    assert!(grown < 256 * MIB as u64, "{grown} bytes of 320 MiB sent");
    poll_until(PATIENCE, "memory within the limit", || {
        proxy.rss().saturating_sub(before) < (64 + 16) * MIB as u64
    });
}

#[test]
fn a_reply_that_takes_longer_than_a_deadline_is_not_cut() {
    let big = value(200_000, 5);
    let reply = [format!("${}\r\n", big.len()).as_bytes(), &big, b"\r\n"].concat();
    let peer = Peer::start(move |request| {
        (request.name() == "GET").then(|| {
            let (head, tail) = reply.split_at(100_000);
            vec![
                Step::Bytes(head.to_vec()),
                Step::Pause(Duration::from_millis(700)),
                Step::Bytes(tail.to_vec()),
            ]
        })
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        one_worker(config);
        config.set("cluster.timeouts.command", "200ms");
    });
    let mut client = proxy.client();
    // The first over the shared lane, the second over a dedicated one.
    for way in ["shared", "alone"] {
        assert_same(&client.call(&get("k")), &big, way);
    }
    assert_eq!(client.call(&["INCR", "k"]), Value::ok());
    let gets = connections(&peer, "GET");
    assert!(gets.len() == 2 && gets[0] != gets[1], "{gets:?}");
}

#[test]
fn a_broken_reply_closes_only_its_client() {
    let peer = Peer::start(|request| {
        (request.name() == "GET").then(|| {
            vec![
                Step::Bytes([b"$1000000\r\n".as_slice(), &[b'x'; 300_000]].concat()),
                Step::Close,
            ]
        })
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, one_worker);
    let mut neighbour = proxy.client();
    for _ in 0..2 {
        let mut client = proxy.client();
        client.send(&get("k"));
        let got = client.read_to_close();
        assert!(got.starts_with(b"$1000000\r\n") && !got.ends_with(b"\n"));
        assert_eq!(neighbour.call(&["INCR", "n"]), Value::ok());
    }
}

#[test]
fn clients_without_a_dedicated_connection_wait_for_one() {
    let gate = Gate::default();
    let held = gate.clone();
    let peer = Peer::start(move |request| {
        (request.name() == "SET")
            .then(|| vec![Step::Gate(held.clone()), Step::Bytes(b"+OK\r\n".to_vec())])
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        one_worker(config);
        config.set("cluster.connections.dedicated_max", 1);
        config.set("cluster.timeouts.command", "20s");
        config.set("cluster.timeouts.response", "20s");
    });
    let big = value(MIB, 6);
    let mut clients: Vec<RawClient> = (0..4).map(|_| proxy.client()).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        client.send(&set("k", &big));
        poll_until(PATIENCE, "the command to be sent or to wait", || {
            peer.requests_named("SET").len() == 1
                && proxy.metric("slotmux_client_pauses_total") == Some(i as f64)
        });
    }
    assert_eq!(proxy.client().call(&["INCR", "n"]), Value::ok());
    // The first waiting client leaves: the next one must not wait for it.
    let leaving = clients.remove(1).local_addr().to_string();
    let killed = proxy.client().call(&["CLIENT", "KILL", &leaving]);
    assert_eq!(killed, Value::ok());
    poll_until(PATIENCE, "the client to be gone", || {
        proxy.metric("slotmux_clients") == Some(3.0)
    });
    gate.open();
    for client in &mut clients {
        assert_eq!(client.read(), Value::ok());
    }
    let mut used = connections(&peer, "SET");
    assert_eq!(used.len(), 3);
    used.dedup();
    assert_eq!(used.len(), 1, "one connection, used again and again");
}

#[test]
fn a_client_that_leaves_midway_returns_its_connection() {
    let _turn = crate::turn();
    let proxy = Proxy::start(shared_cluster(), |config| {
        one_worker(config);
        config.set("cluster.connections.dedicated_max", 1);
    });
    let big = value(16 * MIB, 7);
    let mut client = proxy.client();
    assert_eq!(client.call(&set("leave:16m", &big)), Value::ok());
    assert_same(&client.call(&get("leave:16m")), &big, "to learn from");
    for _ in 0..2 {
        let mut leaving = proxy.client();
        leaving.send(&get("leave:16m"));
        assert!(leaving.has_news(PATIENCE));
        drop(leaving);
        let mut leaving = proxy.client();
        leaving.send_raw(b"*3\r\n$3\r\nSET\r\n$9\r\nleave:16m\r\n$1000000\r\n12345");
        drop(leaving);
        assert_same(&client.call(&get("leave:16m")), &big, "still whole");
    }
}

/// A command without a slot whose node was loading, and whose lane was taken meanwhile: the error names the lane.
#[test]
fn a_command_without_a_slot_that_finds_no_lane_gets_that_error() {
    let gate = Gate::default();
    let held_back = gate.clone();
    let peer = Peer::start(move |request| match request.name().as_str() {
        "LOLWUT" => Some(Step::reply(
            "-LOADING Redis is loading the dataset in memory\r\n",
        )),
        "SET" => Some(vec![Step::Gate(held_back.clone())]),
        _ => None,
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        one_worker(config);
        config.set("cluster.connections.dedicated_max", 1);
        config.set("cluster.timeouts.command", "2s");
    });
    let (mut first, mut second) = (proxy.client(), proxy.client());
    let big = "x".repeat(MIB);
    first.send(&["LOLWUT", "VERSION", &big]);
    poll_until(PATIENCE, "the first try", || {
        !peer.requests_named("LOLWUT").is_empty()
    });
    // It gets the lane between two tries, and keeps it.
    second.send(&["SET", "k", &big]);
    poll_until(PATIENCE, "the lane to be taken", || {
        !peer.requests_named("SET").is_empty()
    });
    let error = first.read();
    let error = error.error();
    assert!(
        error.contains("cluster.connections.dedicated_max"),
        "{error}"
    );
    gate.open();
}
