//! The end of slotmux on a signal: nobody new, everything that is due delivered, exit status 0 within the grace period.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::thread;

use common::client::command;
use common::peer::Gate;
use common::reply::read_value;
use common::{PATIENCE, Peer, Proxy, RawClient, Step, Value, poll_until, shared_cluster};

/// What `std::process::exit` gets at the second signal: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

/// A peer that holds back the reply to each GET until the gate opens, and slotmux before it.
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
fn what_is_in_flight_is_answered_and_nobody_new_gets_in() {
    for signal in ["TERM", "INT"] {
        let gate = Gate::default();
        let (_peer, proxy) = held_back(&gate, "60s");
        let (mut busy, mut idle) = (proxy.client(), proxy.client());
        assert_eq!(idle.call(&["PING"]), Value::Simple("PONG".into()));
        for i in 0..20 {
            busy.send(&["GET", &format!("key{i}")]);
        }
        poll_until(PATIENCE, "all to be in flight", || {
            proxy.metric("slotmux_in_flight") == Some(20.0)
        });
        proxy.signal(signal);
        assert_eq!(idle.read_to_close(), b"", "{signal}");
        poll_until(PATIENCE, "the door to be closed", || !admits_anyone(&proxy));
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

#[test]
fn clients_at_work_get_whole_replies_up_to_the_end() {
    let proxy = Proxy::start(shared_cluster(), |_| {});
    let (port, answered) = (proxy.port(), Mutex::new(0));
    thread::scope(|scope| {
        for id in 0..8 {
            let answered = &answered;
            scope.spawn(move || {
                let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
                stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
                let mut sending = stream.try_clone().expect("a handle");
                let mut input = std::io::BufReader::new(stream);
                let mut next = 0;
                loop {
                    let bytes: Vec<u8> = (next..next + 100)
                        .flat_map(|i| command(&["ECHO", &format!("{id}.{i}")]))
                        .chain(command(&["SET", &format!("drain:{id}"), &next.to_string()]))
                        .collect();
                    // The end may come at any time.
                    if sending.write_all(&bytes).is_err() {
                        return;
                    }
                    for i in next..next + 100 {
                        let mut record = Vec::new();
                        match read_value(&mut input, &mut record) {
                            Ok(reply) => assert_eq!(reply, Value::bulk(format!("{id}.{i}"))),
                            Err(_) => {
                                return assert!(record.is_empty(), "half a reply: {record:?}");
                            }
                        }
                    }
                    match read_value(&mut input, &mut Vec::new()) {
                        Ok(reply) => assert_eq!(reply, Value::ok()),
                        Err(_) => return,
                    }
                    next += 100;
                    *answered.lock().expect("a number") += 1;
                }
            });
        }
        poll_until(PATIENCE, "everybody to be at work", || {
            *answered.lock().expect("a number") > 100
        });
        proxy.terminate();
        assert_eq!(proxy.wait_exit().code(), Some(0));
    });
}

#[test]
fn one_who_never_reads_and_a_node_that_never_answers_end_with_the_grace_period() {
    let gate = Gate::default();
    let (_peer, proxy) = held_back(&gate, "1s");
    let mut stuck = proxy.client();
    stuck.send(&["GET", "never"]);
    let mut hoarder = TcpStream::connect(("127.0.0.1", proxy.port())).expect("a connection");
    hoarder
        .set_write_timeout(Some(PATIENCE))
        .expect("a deadline");
    let echo = command(&["ECHO", &"e".repeat(30_000)]);
    poll_until(PATIENCE, "the hoarder's replies to pile up", || {
        hoarder.write_all(&echo.repeat(10)).expect("sent");
        proxy.metric("slotmux_parks_total") > Some(0.0)
    });
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
fn a_second_signal_ends_it_at_once() {
    let gate = Gate::default();
    let (_peer, proxy) = held_back(&gate, "60s");
    let mut stuck = proxy.client();
    stuck.send(&["GET", "never"]);
    poll_until(PATIENCE, "it to be in flight", || {
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
