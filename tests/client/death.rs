//! Clients that die at any moment, thousands of times: the others get their own replies, and no state of the dead
//! remains.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use slotmux_testing::client::command;
use slotmux_testing::peer::Gate;
use slotmux_testing::{
    Neighbour, PATIENCE, Peer, Proxy, RawClient, Step, Value, poll_until, shared_cluster, times,
};
use socket2::Socket;

/// Threads that let clients die.
const KILLERS: usize = 6;
/// Commands in flight when a client dies.
const OUTSTANDING: usize = 300;

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    stream.set_nodelay(true).expect("set");
    stream
        .set_write_timeout(Some(PATIENCE))
        .expect("a deadline");
    stream
}

/// Ends a connection with a reset rather than a FIN.
fn reset(stream: TcpStream) {
    let socket = Socket::from(stream);
    socket.set_linger(Some(Duration::ZERO)).expect("set");
    drop(socket);
}

/// One short life; each dies in a different state.
fn live_and_die(port: u16, id: usize) {
    let mut stream = connect(port);
    let small: Vec<u8> = (0..OUTSTANDING)
        .flat_map(|i| match i % 3 {
            0 => command(&["SET", &format!("dead:{id}:{i}"), "from a dead client"]),
            1 => command(&["GET", &format!("dead:{id}:{}", i - 1)]),
            _ => command(&["INCR", "dead:count"]),
        })
        .collect();
    let keys: Vec<String> = (0..30).map(|i| format!("dead:{i}")).collect();
    let mut mset = vec!["MSET".to_owned()];
    mset.extend(keys.iter().flat_map(|key| [key.clone(), "dead".to_owned()]));
    let mut mget = vec!["MGET".to_owned()];
    mget.extend(keys);
    let split = [command(&mset), command(&mget)].concat().repeat(10);
    let large = command(&["GET", "dead:large"]).repeat(5);
    let bulk = command(&["SET", "dead:bulk", &"d".repeat(100_000)]);
    let requests: &[u8] = match id / 3 % 6 {
        0 => &small,
        1 => &split,
        2 => b"*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$1000\r\nno more than this",
        3 => &large,
        4 => &bulk[..60_000],
        _ => &bulk,
    };
    // The other side may reply faster than we write, but it never hangs up.
    stream.write_all(requests).expect("sent");
    match id % 3 {
        0 => drop(stream),
        1 => reset(stream),
        _ => {
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read(&mut [0; 10]);
        }
    }
}

#[test]
fn survivors_get_their_own_replies_and_no_state_of_the_dead_remains() {
    let proxy = Proxy::start(shared_cluster(), |config| config.set("log.level", "warn"));
    let port = proxy.port();
    let mut witness = proxy.client();
    let large = "L".repeat(500_000);
    assert_eq!(witness.call(&["SET", "dead:large", &large]), Value::ok());
    let neighbours: Vec<Neighbour> = (0..4)
        .map(|i| Neighbour::start(port, &format!("living{i}")))
        .collect();
    for neighbour in &neighbours {
        neighbour.goes_on();
    }
    let descriptors = proxy.descriptors();
    // One per thread.
    let deaths = times(500, 5000);
    thread::scope(|scope| {
        for killer in 0..KILLERS {
            scope.spawn(move || {
                for i in 0..deaths {
                    live_and_die(port, killer * deaths + i);
                }
            });
        }
    });
    for neighbour in neighbours {
        neighbour.goes_on();
        neighbour.finish();
    }
    poll_until(PATIENCE, "the dead clients to be forgotten", || {
        proxy.metric("slotmux_clients") == Some(1.0)
            && proxy.metric("slotmux_in_flight") == Some(0.0)
            && proxy.metric("slotmux_client_buffer_bytes") == Some(0.0)
    });
    let info = witness.call(&["INFO", "clients"]).text();
    assert!(info.contains("connected_clients:1\r\n"), "{info}");
    let list = witness.call(&["CLIENT", "LIST"]).text();
    assert_eq!(list.lines().count(), 1, "{list}");
    // A few dedicated lanes for large requests may exist.
    let left = proxy.descriptors().saturating_sub(descriptors);
    assert!(left < 100, "{left} more descriptors than before");
    assert_eq!(proxy.metric("slotmux_panics_total"), Some(0.0));
    assert_eq!(proxy.metric("slotmux_upstream_lost_total"), Some(0.0));
    assert!(proxy.metric("slotmux_replies_dropped_total") > Some(0.0));
}

#[test]
fn replies_of_a_dead_client_are_dropped() {
    let gate = Gate::default();
    let held_back = gate.clone();
    let peer = Peer::start(move |request| {
        (request.name() == "GET").then(|| {
            vec![
                Step::Gate(held_back.clone()),
                Step::Bytes(format!("+{}\r\n", request.word(1)).into_bytes()),
            ]
        })
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "60s");
        config.set("cluster.timeouts.response", "60s");
    });
    // All on one lane, in turn; every second one dies, by a reset or by a FIN.
    let mut clients: Vec<RawClient> = (0..20).map(|_| proxy.client()).collect();
    let mut doomed: Vec<TcpStream> = (0..20).map(|_| connect(proxy.port())).collect();
    for round in 0..5 {
        for (c, client) in clients.iter_mut().enumerate() {
            // As long as that of the surviving client, so that only the order tells them apart.
            let request = command(&["GET", &format!("by{c}.{round}")]);
            doomed[c].write_all(&request).expect("sent");
            client.send(&["GET", &format!("of{c}.{round}")]);
        }
        poll_until(PATIENCE, "all commands to be in flight", || {
            proxy.metric("slotmux_in_flight") == Some(40.0 * f64::from(round + 1))
        });
    }
    for (c, stream) in doomed.into_iter().enumerate() {
        match c % 2 {
            0 => reset(stream),
            _ => drop(stream),
        }
    }
    // A client that sent a FIN may still read, as far as slotmux knows.
    poll_until(PATIENCE, "slotmux to notice the resets", || {
        proxy.metric("slotmux_clients") == Some(30.0)
    });
    gate.open();
    let mut own = HashSet::new();
    for (c, mut client) in clients.into_iter().enumerate() {
        for round in 0..5 {
            let reply = client.read();
            assert_eq!(reply, Value::Simple(format!("of{c}.{round}")));
            own.insert(format!("{reply:?}"));
        }
        assert!(
            !client.has_news(Duration::from_millis(1)),
            "a surplus reply"
        );
    }
    assert_eq!(own.len(), 20 * 5);
    assert_eq!(
        peer.requests_named("GET").len(),
        200,
        "commands in flight still run"
    );
}

#[test]
fn a_client_that_dies_waiting_for_a_dedicated_lane_does_not_take_the_next_turn() {
    let gate = Gate::default();
    let held_back = gate.clone();
    let peer = Peer::start(move |request| {
        (request.name() == "SET").then(|| {
            vec![
                Step::Gate(held_back.clone()),
                Step::Bytes(b"+OK\r\n".to_vec()),
            ]
        })
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("cluster.connections.dedicated_max", 1);
        // Giving up an unused lane would let the next one continue as well.
        config.set("cluster.connections.dedicated_idle", "1h");
        config.set("cluster.timeouts.command", "60s");
        config.set("cluster.timeouts.response", "60s");
    });
    let large = command(&["SET", "large", &"l".repeat(100_000)]);
    let parked = || proxy.metric("slotmux_client_pauses_total");
    let mut first = proxy.client();
    first.send_raw(&large);
    poll_until(PATIENCE, "the only lane to be in use", || {
        proxy.metric("slotmux_in_flight") == Some(1.0)
    });
    let mut doomed = connect(proxy.port());
    doomed.write_all(&large).expect("sent");
    poll_until(PATIENCE, "a waiting client", || parked() == Some(1.0));
    let mut next = proxy.client();
    next.send_raw(&large);
    poll_until(PATIENCE, "another waiting client", || parked() == Some(2.0));
    reset(doomed);
    poll_until(PATIENCE, "the client to be forgotten", || {
        proxy.metric("slotmux_clients") == Some(2.0)
    });
    gate.open();
    assert_eq!(first.read(), Value::ok());
    assert_eq!(next.read(), Value::ok());
}
