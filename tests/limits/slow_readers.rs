//! Clients that do not read their replies: slotmux stops reading them, bounds their memory, notices when they leave,
//! and does not delay others.

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use slotmux_core::slot::slot_of;
use slotmux_testing::peer::Gate;
use slotmux_testing::{
    Layout, Neighbour, PATIENCE, Peer, Proxy, RawClient, SetAtEnd, Step, Value, calm_cluster,
    poll_until, shared_cluster,
};
use socket2::{Domain, Socket, Type};

/// Clients that do not read.
const HOARDERS: usize = 40;
/// Bytes that each wants to send: far more than all buffers on the way hold.
const WANTED: usize = 40 << 20;
/// Allowed memory for each: 256 KiB of replies, a read's worth of requests, and slack.
const PER_HOARDER: u64 = 1 << 20;

/// A connection with small buffers of its own, so that little fits between the two processes.
fn narrow(port: u16) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(8 * 1024).expect("set");
    socket.set_send_buffer_size(8 * 1024).expect("set");
    socket
        .connect(&SocketAddr::from(([127, 0, 0, 1], port)).into())
        .expect("a connection");
    socket.into()
}

/// As [`narrow`], with segments so small that the other side's buffers stay small as well: that side notices even a
/// small read.
fn very_narrow(port: u16) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(2 * 1024).expect("set");
    socket.set_tcp_mss(536).expect("set");
    socket
        .connect(&SocketAddr::from(([127, 0, 0, 1], port)).into())
        .expect("a connection");
    socket.into()
}

/// The lines of CLIENT LIST by address.
fn listed(client: &mut RawClient) -> Vec<String> {
    let list = client.call(&["CLIENT", "LIST"]).text();
    list.lines().map(str::to_owned).collect()
}

/// Whether a client at this address is listed, and with which `events`.
fn events_of(client: &mut RawClient, address: SocketAddr) -> Option<String> {
    let wanted = format!(" addr={address} ");
    let line = listed(client)
        .into_iter()
        .find(|line| line.contains(&wanted))?;
    let events = line
        .split(' ')
        .find_map(|field| field.strip_prefix("events="))?;
    Some(events.to_owned())
}

fn is_listed(client: &mut RawClient, address: SocketAddr) -> bool {
    events_of(client, address).is_some()
}

#[test]
fn a_client_that_does_not_read_is_not_read() {
    let cluster = shared_cluster();
    let proxy = Proxy::start(cluster, |_| {});
    let mut watcher = proxy.client();
    let value = "v".repeat(1000);
    assert_eq!(watcher.call(&["SET", "slow:value", &value]), Value::ok());
    let neighbour = Neighbour::start(proxy.port(), "beside-hoarders");
    neighbour.goes_on();
    let before = proxy.rss();
    let give_up = AtomicBool::new(false);
    // One half sends requests about slotmux, the other half to the cluster.
    let requests = [
        slotmux_testing::client::command(&["ECHO", &value]),
        slotmux_testing::client::command(&["GET", "slow:value"]),
    ];
    let reply = format!("$1000\r\n{value}\r\n");
    thread::scope(|scope| {
        let _give_up = SetAtEnd(&give_up);
        let senders: Vec<_> = (0..HOARDERS)
            .map(|i| {
                let stream = narrow(proxy.port());
                let bytes = requests[i % 2].repeat(64);
                let (give_up, mut sending) = (&give_up, stream.try_clone().expect("a handle"));
                sending
                    .set_write_timeout(Some(Duration::from_millis(100)))
                    .expect("a deadline");
                let sender = scope.spawn(move || {
                    let (mut sent, mut at) = (0, 0);
                    while sent < WANTED && !give_up.load(Ordering::Relaxed) {
                        match sending.write(&bytes[at..]) {
                            Ok(n) => (sent, at) = (sent + n, (at + n) % bytes.len()),
                            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                            Err(error) => panic!("slow reader {i}: {error}"),
                        }
                    }
                    sent
                });
                (stream, sender)
            })
            .collect();
        let addresses: HashSet<String> = senders
            .iter()
            .map(|(stream, _)| format!("addr={}", stream.local_addr().expect("an address")))
            .collect();
        poll_until(PATIENCE, "all slow readers to be paused", || {
            let lines = listed(&mut watcher);
            let unread = lines.iter().filter(|line| {
                line.split(' ').any(|field| addresses.contains(field))
                    && !line.contains(" events=r")
            });
            unread.count() == HOARDERS
        });
        neighbour.goes_on();
        // Freed memory returns to the system within a second or two; held memory stays.
        poll_until(
            PATIENCE,
            "little memory for clients that don't read",
            || proxy.rss().saturating_sub(before) < HOARDERS as u64 * PER_HOARDER,
        );
        give_up.store(true, Ordering::Relaxed);
        for (i, (mut stream, sender)) in senders.into_iter().enumerate() {
            let sent = sender.join().expect("a sender");
            assert!(sent < WANTED, "slow reader {i} wrote all of its requests");
            if i >= 4 {
                continue;
            }
            // It was only slowed down: once it reads, it gets all of its replies.
            stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
            let whole = sent / requests[i % 2].len();
            let mut got = vec![0; reply.len()];
            for n in 0..whole {
                stream.read_exact(&mut got).expect("a reply in time");
                assert!(got == reply.as_bytes(), "slow reader {i}, reply {n}");
            }
        }
    });
    neighbour.finish();
    poll_until(PATIENCE, "the slow readers to be forgotten", || {
        proxy.metric("slotmux_clients") == Some(1.0)
    });
}

/// Ends a connection with a reset.
fn reset(stream: TcpStream) {
    let socket = Socket::from(stream);
    socket.set_linger(Some(Duration::ZERO)).expect("set");
    drop(socket);
}

#[test]
fn the_end_of_a_paused_client_is_noticed() {
    let gate = Gate::default();
    let held_back = gate.clone();
    let big = format!("${}\r\n{}\r\n", 10_000, "b".repeat(10_000));
    let peer = Peer::start(move |request| match request.name().as_str() {
        "SET" => Some(vec![
            Step::Gate(held_back.clone()),
            Step::Bytes(b"+OK\r\n".to_vec()),
        ]),
        "GET" => Some(Step::reply(&big)),
        _ => None,
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("listener.limits.max_pipeline", 2000);
        config.set("cluster.connections.max_in_flight", 50);
        config.set("cluster.timeouts.command", "60s");
        config.set("cluster.timeouts.response", "60s");
    });
    let mut watcher = proxy.client();
    // Waits for its own output to be read.
    let mut hoarder = narrow(proxy.port());
    hoarder.write_all(&b"GET a\r\n".repeat(1500)).expect("sent");
    // Its replies are never read, and the lane fills up, so it waits for both: output and lane.
    let hoarders_address = hoarder.local_addr().expect("an address");
    poll_until(PATIENCE, "the slow reader to be paused", || {
        events_of(&mut watcher, hoarders_address).is_some_and(|events| events == "w")
    });
    // Waits for the lane, whose node holds a command back.
    let mut first = proxy.client();
    first.send(&["SET", "a", "1"]);
    let mut waiting = narrow(proxy.port());
    waiting
        .write_all(&b"SET a 2\r\n".repeat(500))
        .expect("sent");
    let waiting_address = waiting.local_addr().expect("an address");
    poll_until(PATIENCE, "the lane to be full", || {
        events_of(&mut watcher, waiting_address).is_some_and(|events| !events.contains('r'))
    });
    for (stream, address) in [(hoarder, hoarders_address), (waiting, waiting_address)] {
        reset(stream);
        poll_until(PATIENCE, "slotmux to notice the hang-up", || {
            !is_listed(&mut watcher, address)
        });
    }
    poll_until(PATIENCE, "two remaining clients", || {
        proxy.metric("slotmux_clients") == Some(2.0)
    });
    // A client that only half-closes still gets the replies.
    let mut half = proxy.client();
    half.send_raw(&b"SET a 3\r\n".repeat(200));
    half.finish_sending();
    gate.open();
    assert_eq!(first.read(), Value::ok());
    for _ in 0..200 {
        assert_eq!(half.read(), Value::ok());
    }
    assert_eq!(half.read_to_close(), b"");
}

/// A key of a node's slots.
fn key_of(first: u16, last: u16, name: &str) -> String {
    (0..)
        .map(|i| format!("{name}:{i}"))
        .find(|key| (first..=last).contains(&slot_of(key.as_bytes()).0))
        .expect("a key")
}

#[test]
fn parts_that_wait_for_a_slow_node_count_as_output() {
    let gate = Gate::default();
    let held_back = gate.clone();
    let layout = Layout::default();
    let slow = Peer::start_in(&layout, move |request| {
        (request.name() == "MGET").then(|| {
            vec![
                Step::Gate(held_back.clone()),
                Step::Bytes(b"*1\r\n$-1\r\n".to_vec()),
            ]
        })
    });
    let big = format!("*1\r\n${}\r\n{}\r\n", 200_000, "b".repeat(200_000));
    let quick = Peer::start_in(&layout, move |request| {
        (request.name() == "MGET").then(|| Step::reply(&big))
    });
    layout.set(&[(0, 8191, slow.port()), (8192, 16383, quick.port())]);
    let proxy = Proxy::start_at(&slow.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("listener.limits.output_hard", "8MiB");
        config.set("cluster.timeouts.command", "60s");
        config.set("cluster.timeouts.response", "60s");
    });
    let keys = [key_of(0, 8191, "slow"), key_of(8192, 16383, "quick")];
    let before = proxy.rss();
    let mut greedy = proxy.client();
    // 200 MB of parts, not enough for a single reply.
    let request = slotmux_testing::client::command(&["MGET", &*keys[0], &*keys[1]]);
    greedy.send_raw(&request.repeat(1000));
    poll_until(PATIENCE, "the greedy client to be closed", || {
        proxy.metric("slotmux_limit_closes_total") == Some(1.0)
    });
    let grown = proxy.rss().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes");
    // A small request waits and gets its reply.
    let mut modest = proxy.client();
    modest.send(&["MGET", &*keys[0], &*keys[1]]);
    gate.open();
    assert_eq!(modest.read().items().len(), 2);
}

#[test]
fn a_reader_is_not_delayed_by_slow_readers_on_the_same_lane() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("server.workers", 1);
        config.set("listener.limits.output_hard", "4MiB");
    });
    let key = key_of(0, 5460, "lane");
    let mut reader = proxy.client();
    let value = "l".repeat(50_000);
    assert_eq!(reader.call(&["SET", &key, &value]), Value::ok());
    let request = slotmux_testing::client::command(&["GET", &*key]);
    let mut stuck: Vec<TcpStream> = (0..20).map(|_| narrow(proxy.port())).collect();
    for stream in &mut stuck {
        stream.write_all(&request.repeat(200)).expect("sent");
    }
    for _ in 0..100 {
        assert_eq!(reader.call(&["GET", &key]), Value::bulk(&value));
    }
}

#[test]
fn replies_that_waited_for_their_turn_do_not_count_for_ever() {
    // A client that always has commands in flight on two nodes: the quick one is ahead of the slow one all the time, so
    // at every moment some reply waits for its turn.
    const AHEAD: usize = 8;
    const ROUNDS: usize = 400;
    let layout = Layout::default();
    let quick_has_answered = Arc::new(AtomicUsize::new(0));
    let counted = quick_has_answered.clone();
    let slow_has_answered = AtomicUsize::new(0);
    let slow = Peer::start_in(&layout, move |request| {
        (request.name() == "GET").then(|| {
            let round = slow_has_answered.fetch_add(1, Ordering::SeqCst);
            poll_until(PATIENCE, "the quick node to be ahead", || {
                counted.load(Ordering::SeqCst) > round + 2
            });
            Step::reply("+slow\r\n")
        })
    });
    let value = "q".repeat(10_000);
    let reply = format!("${}\r\n{value}\r\n", value.len());
    let quick = Peer::start_in(&layout, move |request| {
        (request.name() == "GET").then(|| {
            quick_has_answered.fetch_add(1, Ordering::SeqCst);
            Step::reply(&reply)
        })
    });
    layout.set(&[(0, 8191, slow.port()), (8192, 16383, quick.port())]);
    let proxy = Proxy::start_at(&slow.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("listener.limits.output_hard", "1MiB");
    });
    let pair = [
        slotmux_testing::client::command(&["GET", &*key_of(0, 8191, "slow")]),
        slotmux_testing::client::command(&["GET", &*key_of(8192, 16383, "quick")]),
    ]
    .concat();
    let mut client = proxy.client();
    client.send_raw(&pair.repeat(AHEAD));
    for _ in 0..ROUNDS {
        assert_eq!(client.read(), Value::Simple("slow".to_owned()));
        assert_eq!(client.read(), Value::bulk(&value));
        client.send_raw(&pair);
    }
    assert_eq!(proxy.metric("slotmux_limit_closes_total"), Some(0.0));
}

#[test]
fn a_client_that_trickles_does_not_keep_a_dedicated_connection() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("server.workers", 1);
        config.set("cluster.connections.dedicated_max", 1);
        config.set("cluster.timeouts.command", "60s");
        config.set("listener.limits.output_soft", "32MiB/7s");
    });
    let mut other = proxy.client();
    let value = "t".repeat(12 << 20);
    assert_eq!(other.call(&["SET", "trickle", &value]), Value::ok());
    // From now on it is known to be big.
    assert_eq!(other.call(&["GET", "trickle"]), Value::bulk(&value));
    let mut trickling = very_narrow(proxy.port());
    trickling.write_all(b"GET trickle\r\n").expect("sent");
    trickling
        .set_read_timeout(Some(PATIENCE))
        .expect("a deadline");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let _done = SetAtEnd(&done);
        let taken = scope.spawn(|| {
            let (mut taken, mut piece) = (0, [0; 2048]);
            while !done.load(Ordering::Relaxed) {
                match trickling.read(&mut piece) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => taken += read,
                }
                // First more often than required, then less.
                thread::sleep(Duration::from_millis(200));
            }
            taken
        });
        poll_until(PATIENCE, "the trickling client to be closed", || {
            proxy.metric("slotmux_limit_closes_total") == Some(1.0)
        });
        done.store(true, Ordering::Relaxed);
        assert!(taken.join().expect("a reader") > 0);
    });
    assert!(proxy.log().contains("it does not read its replies"));
    assert_eq!(other.call(&["GET", "trickle"]), Value::bulk(&value));
}
