//! The end of slotmux on a signal: no new clients, every due reply delivered, exit status 0 within the grace period.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use slotmux_core::slot::slot_of;
use slotmux_testing::client::command;
use slotmux_testing::peer::Gate;
use slotmux_testing::reply::read_value;
use slotmux_testing::{PATIENCE, Peer, Proxy, RawClient, Step, Value, poll_until, shared_cluster};
use socket2::{Domain, Socket, Type};

/// The argument of `std::process::exit` at the second signal: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

/// A peer that holds back the reply to each GET until the gate opens, and slotmux in front of it.
fn held_back(gate: &Gate, grace: &str) -> (Peer, Proxy) {
    let gate = gate.clone();
    let peer = Peer::start(move |request| {
        (request.name() == "GET").then(|| {
            vec![
                Step::Gate(gate.clone()),
                Step::Bytes(format!("+{}\r\n", request.word(1)).into_bytes()),
            ]
        })
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("server.drain_timeout", grace);
        config.set("cluster.timeouts.command", "60s");
        config.set("cluster.timeouts.response", "60s");
    });
    (peer, proxy)
}

/// Whether a new client gets an answer.
fn admits_anyone(proxy: &Proxy) -> bool {
    RawClient::try_connect(proxy.port()).is_ok_and(|mut client| {
        client.try_send_raw(b"PING\r\n").is_ok() && client.try_read().is_ok()
    })
}

#[test]
fn commands_in_flight_are_answered_and_new_clients_refused() {
    for signal in ["TERM", "INT"] {
        let gate = Gate::default();
        let (_peer, proxy) = held_back(&gate, "60s");
        let (mut busy, mut idle) = (proxy.client(), proxy.client());
        assert_eq!(idle.call(&["PING"]), Value::Simple("PONG".into()));
        for i in 0..20 {
            busy.send(&["GET", &format!("key{i}")]);
        }
        poll_until(PATIENCE, "all commands to be in flight", || {
            proxy.metric("slotmux_in_flight") == Some(20.0)
        });
        proxy.signal(signal);
        assert_eq!(idle.read_to_close(), b"", "{signal}");
        poll_until(PATIENCE, "new clients to be refused", || {
            !admits_anyone(&proxy)
        });
        assert_eq!(
            proxy.admin_get("/readyz").map(|(status, _)| status),
            Some(503)
        );
        assert!(proxy.is_running(), "{signal}: replies are due");
        gate.open();
        for i in 0..20 {
            assert_eq!(busy.read(), Value::Simple(format!("key{i}")), "{signal}");
        }
        assert_eq!(busy.read_to_close(), b"");
        assert_eq!(
            proxy.wait_exit().code(),
            Some(0),
            "{signal}\n{}",
            proxy.log()
        );
    }
}

/// Counts in pipelines until slotmux ends; returns the number of replies.
fn count_to_the_end(port: u16, key: &str, progress: &AtomicUsize) -> i64 {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    let mut sending = stream.try_clone().expect("a handle");
    let mut input = std::io::BufReader::new(stream);
    let pipeline = command(&["INCR", key]).repeat(500);
    let mut last = 0;
    loop {
        // The end may come at any time.
        let is_sent = sending.write_all(&pipeline).is_ok();
        for _ in 0..500 {
            let mut record = Vec::new();
            match read_value(&mut input, &mut record) {
                Ok(reply) => assert_eq!(reply, Value::Integer(last + 1)),
                Err(_) => {
                    assert!(record.is_empty(), "half a reply: {record:?}");
                    return last;
                }
            }
            last += 1;
        }
        assert!(is_sent, "replies to unsent requests");
        progress.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn commands_that_have_run_are_answered_before_the_end() {
    let cluster = shared_cluster();
    for round in 0..3 {
        let proxy = Proxy::start(cluster, |_| {});
        let (port, progress) = (proxy.port(), AtomicUsize::new(0));
        let keys: Vec<String> = (0..8).map(|id| format!("drain:{round}:{id}")).collect();
        let told: Vec<i64> = thread::scope(|scope| {
            let counting: Vec<_> = keys
                .iter()
                .map(|key| scope.spawn(|| count_to_the_end(port, key, &progress)))
                .collect();
            poll_until(PATIENCE, "all clients to be busy", || {
                progress.load(Ordering::Relaxed) > 50
            });
            proxy.terminate();
            assert_eq!(proxy.wait_exit().code(), Some(0));
            counting
                .into_iter()
                .map(|one| one.join().expect("right replies"))
                .collect()
        });
        for (key, told) in keys.iter().zip(told) {
            let owner = cluster
                .primary_of_slot(slot_of(key.as_bytes()).0)
                .expect("an owner");
            let there: i64 = cluster.query(owner, &["GET", key]).expect("a number");
            assert_eq!(there, told, "{key}: executed, and answered");
        }
    }
}

#[test]
fn a_slow_reader_gets_all_due_replies() {
    let proxy = Proxy::start(shared_cluster(), |config| config.set("server.workers", 1));
    let value = "d".repeat(50_000);
    let mut writer = proxy.client();
    assert_eq!(writer.call(&["SET", "drain:value", &value]), Value::ok());
    // Its own buffer is small, so that much is still in flight when slotmux has written the last of it.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(8 * 1024).expect("set");
    socket
        .connect(&SocketAddr::from(([127, 0, 0, 1], proxy.port())).into())
        .expect("a connection");
    let mut slow = TcpStream::from(socket);
    slow.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    slow.write_all(&command(&["GET", "drain:value"]).repeat(30))
        .expect("sent");
    poll_until(PATIENCE, "all to be answered", || {
        proxy.metric("slotmux_replies_total") >= Some(31.0)
    });
    proxy.terminate();
    // The only worker closes its idle client: it reads no requests any more.
    assert_eq!(writer.read_to_close(), b"");
    // slotmux no longer reads this. A close with unread input would be a reset, which discards replies in flight.
    slow.write_all(&b"PING\r\n".repeat(100)).expect("sent");
    let mut got = Vec::new();
    slow.read_to_end(&mut got).expect("an orderly end");
    let expected = format!("$50000\r\n{value}\r\n").repeat(30);
    assert!(
        got == expected.as_bytes(),
        "{} of {} bytes",
        got.len(),
        expected.len()
    );
    drop(slow);
    assert_eq!(proxy.wait_exit().code(), Some(0));
}

#[test]
fn a_client_that_never_reads_and_a_silent_node_end_with_the_grace_period() {
    let gate = Gate::default();
    let (_peer, proxy) = held_back(&gate, "1s");
    let mut stuck = proxy.client();
    stuck.send(&["GET", "never"]);
    let mut hoarder = TcpStream::connect(("127.0.0.1", proxy.port())).expect("a connection");
    hoarder
        .set_write_timeout(Some(PATIENCE))
        .expect("a deadline");
    let echo = command(&["ECHO", &"e".repeat(30_000)]);
    poll_until(
        PATIENCE,
        "the replies of the slow reader to pile up",
        || {
            hoarder.write_all(&echo.repeat(10)).expect("sent");
            proxy.metric("slotmux_client_pauses_total") > Some(0.0)
        },
    );
    proxy.terminate();
    assert_eq!(proxy.wait_exit().code(), Some(0));
    assert!(
        proxy.log().contains("the drain timeout is over"),
        "{}",
        proxy.log()
    );
    let _ = hoarder.read_to_end(&mut Vec::new());
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let gate = Gate::default();
    let (_peer, proxy) = held_back(&gate, "60s");
    let mut stuck = proxy.client();
    stuck.send(&["GET", "never"]);
    poll_until(PATIENCE, "the command to be in flight", || {
        proxy.metric("slotmux_in_flight") == Some(1.0)
    });
    proxy.signal("TERM");
    poll_until(PATIENCE, "the drain to begin", || {
        proxy.log().contains("draining")
    });
    assert!(proxy.is_running());
    proxy.signal("INT");
    assert_eq!(proxy.wait_exit().code(), Some(INTERRUPTED));
}
