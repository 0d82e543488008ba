//! Blocks on nodes that misbehave or change state midway: one reply per request, and no lost expiry.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use slotmux_core::slot::slot_of;

use super::add_namespace;
use slotmux_testing::peer::{Gate, Request};
use slotmux_testing::{PATIENCE, Peer, Proxy, RawClient, Step, Value, poll_until};

const KEY: &str = "ns:k";
const TRYAGAIN: &str = "-TRYAGAIN Multiple keys request during rehashing of slot\r\n";

/// One worker, so that all clients share a lane to `peer`.
fn in_front_of(peer: &Peer, ttl: &str) -> Proxy {
    Proxy::start_at(&peer.seeds(), None, |config| {
        add_namespace(config, "ns", ttl);
        config.set("log.level", "warn");
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "20s");
        config.set("cluster.timeouts.response", "60s");
    })
}

/// Whether this is a request for a key of the namespace. The requests of a new lane name no more than a prefix.
fn is_of_key(request: &Request) -> bool {
    request.word(1).len() > "ns:".len()
}

/// `+KEY`: the reply of these nodes to a GET.
fn named(request: &Request) -> Vec<Step> {
    Step::reply(format!("+{}\r\n", request.word(1)))
}

/// Whether each of many GETs gets its own reply.
fn assert_replies_are_in_place(client: &mut RawClient) {
    for i in 0..20 {
        let key = format!("ns:get:{i}");
        let reply = client.call(&["GET", &key]);
        assert_eq!(reply, Value::Simple(key), "GET {i}");
    }
}

/// A node that runs blocks, and answers the expiries behind bare commands by `expire`: the n-th one, from 0.
fn node(expire: impl Fn(usize) -> String + Send + Sync + 'static) -> Peer {
    let expiries = AtomicUsize::new(0);
    Peer::start(move |request| match request.name().as_str() {
        "INCR" => Some(Step::reply(":1\r\n")),
        "GET" => Some(named(request)),
        "PEXPIRE" if is_of_key(request) => {
            let number = expiries.fetch_add(1, Ordering::SeqCst);
            Some(Step::reply(expire(number)))
        }
        _ => None,
    })
}

fn expiries(peer: &Peer) -> usize {
    peer.requests_named("PEXPIRE")
        .iter()
        .filter(|request| is_of_key(request))
        .count()
}

#[test]
fn a_block_whose_deadline_passes_is_answered_once() {
    let gate = Gate::default();
    let (held, in_block) = (gate.clone(), AtomicBool::new(false));
    let peer = Peer::start(move |request| match request.name().as_str() {
        "INCR" | "SET" | "PEXPIRE" if is_of_key(request) => {
            in_block.store(true, Ordering::SeqCst);
            Some(Step::reply("+QUEUED\r\n"))
        }
        "EXEC" if in_block.swap(false, Ordering::SeqCst) => Some(vec![
            Step::Gate(held.clone()),
            Step::Bytes(b"*2\r\n:7\r\n:1\r\n".to_vec()),
        ]),
        "GET" => Some(named(request)),
        _ => None,
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        add_namespace(config, "ns", "default = \"100s\"");
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "1s");
        config.set("cluster.timeouts.response", "60s");
    });
    let mut client = proxy.client();
    let commands: [&[&str]; 2] = [
        &["INCR", KEY],
        &[
            "MSET", "ns:{a}1", "v", "ns:{a}2", "v", "ns:{b}1", "v", "ns:{b}2", "v",
        ],
    ];
    for command in commands {
        let reply = client.call(command);
        assert!(reply.error().contains("upstream timeout"), "{reply:?}");
    }
    gate.open();
    assert_replies_are_in_place(&mut client);
}

#[test]
fn two_expiries_of_which_only_the_first_is_admitted_each_time() {
    let port = Arc::new(AtomicU16::new(0));
    let own = port.clone();
    // Neither of the first two takes effect, then the first of the next two does, then all do.
    let peer = node(move |number| match number {
        0 | 1 | 3 => format!(
            "-MOVED {} 127.0.0.1:{}\r\n",
            slot_of(KEY.as_bytes()).0,
            own.load(Ordering::SeqCst)
        ),
        _ => ":1\r\n".to_owned(),
    });
    port.store(peer.port(), Ordering::SeqCst);
    let proxy = in_front_of(
        &peer,
        "default = \"100s\", max = \"200s\", strength = \"pipelined\"",
    );
    let mut client = proxy.client();
    assert_eq!(client.call(&["INCR", KEY]), Value::Integer(1));
    poll_until(PATIENCE, "the expiries to be repaired", || {
        expiries(&peer) >= 5
    });
    assert_replies_are_in_place(&mut client);
    assert_eq!(expiries(&peer), 5);
}

/// An expiry that waits for another try is independent of clients: its client does not wait for it, nor does it end
/// with its client. It waits for every temporary error of the node.
#[test]
fn an_expiry_that_must_wait() {
    for error in [
        TRYAGAIN,
        "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n",
        "-MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.\r\n",
        "-NOREPLICAS Not enough good replicas to write.\r\n",
        "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    ] {
        an_expiry_waits_while_its_node_says(error);
    }
}

fn an_expiry_waits_while_its_node_says(error: &'static str) {
    let healed = Arc::new(AtomicBool::new(false));
    let taken = Arc::new(AtomicBool::new(false));
    let (is_healed, was_taken) = (healed.clone(), taken.clone());
    let peer = node(move |_| {
        if is_healed.load(Ordering::SeqCst) {
            was_taken.store(true, Ordering::SeqCst);
            return ":1\r\n".to_owned();
        }
        error.to_owned()
    });
    let proxy = in_front_of(&peer, "default = \"100s\", strength = \"pipelined\"");
    let mut client = proxy.client();
    assert_eq!(client.call(&["INCR", KEY]), Value::Integer(1));
    poll_until(PATIENCE, "some tries", || expiries(&peer) >= 4);
    assert_replies_are_in_place(&mut client);
    client.send(&["GET", KEY]);
    assert_eq!(client.read(), Value::Simple(KEY.to_owned()));
    drop(client);
    let tries = expiries(&peer);
    poll_until(PATIENCE, "retries after the client has left", || {
        expiries(&peer) >= tries + 4
    });
    healed.store(true, Ordering::SeqCst);
    poll_until(PATIENCE, "the expiry to take effect", || {
        taken.load(Ordering::SeqCst)
    });
}

/// A connection that breaks again and again behind the command.
#[test]
fn an_expiry_whose_connection_breaks() {
    let breaks = AtomicUsize::new(4);
    let peer = Peer::start(move |request| match request.name().as_str() {
        "INCR" => Some(Step::reply(":1\r\n")),
        "GET" => Some(named(request)),
        "PEXPIRE" if is_of_key(request) => {
            let left = breaks.load(Ordering::SeqCst);
            breaks.store(left.saturating_sub(1), Ordering::SeqCst);
            Some(match left {
                0 => Step::reply(":1\r\n"),
                _ => vec![Step::Close],
            })
        }
        _ => None,
    });
    let proxy = in_front_of(
        &peer,
        "default = \"100s\", max = \"200s\", strength = \"pipelined\"",
    );
    let mut client = proxy.client();
    assert_eq!(client.call(&["INCR", KEY]), Value::Integer(1));
    poll_until(PATIENCE, "both expiries", || expiries(&peer) >= 6);
    assert_replies_are_in_place(&mut client);
    assert_eq!(peer.requests_named("INCR").len(), 1);
}

/// The front of a large reply has gone to the client; the connection breaks; the written key gets its expiry.
#[test]
fn an_expiry_behind_half_a_reply() {
    let broken = AtomicBool::new(false);
    let peer = Peer::start(move |request| match request.name().as_str() {
        "EVAL" if !broken.swap(true, Ordering::SeqCst) => {
            let mut half = b"$1000000\r\n".to_vec();
            half.resize(500_000, b'x');
            Some(vec![
                Step::Bytes(half),
                Step::Pause(Duration::from_millis(100)),
                Step::Close,
            ])
        }
        "PEXPIRE" if is_of_key(request) => Some(Step::reply(":1\r\n")),
        "GET" => Some(named(request)),
        _ => None,
    });
    let proxy = in_front_of(&peer, "default = \"100s\", strength = \"pipelined\"");
    let mut client = proxy.client();
    client.send(&["EVAL", "s", "1", KEY]);
    client.read_to_close();
    poll_until(PATIENCE, "the expiry", || expiries(&peer) >= 1);
    assert_eq!(peer.requests_named("EVAL").len(), 1);
    assert_replies_are_in_place(&mut proxy.client());
}

/// The slot comes back between two commands: the second has run though its expiry has not, so the first must not run.
#[test]
fn a_command_whose_expiry_did_not_take_effect_has_run() {
    let port = Arc::new(AtomicU16::new(0));
    let own = port.clone();
    let peer = Peer::start(move |request| {
        let moved = || {
            let slot = slot_of(KEY.as_bytes()).0;
            Step::reply(format!(
                "-MOVED {slot} 127.0.0.1:{}\r\n",
                own.load(Ordering::SeqCst)
            ))
        };
        match request.name().as_str() {
            "APPEND" if request.word(2) == "first" => Some(moved()),
            "APPEND" => Some(Step::reply(":1\r\n")),
            "PEXPIRE" if is_of_key(request) => Some(moved()),
            _ => None,
        }
    });
    port.store(peer.port(), Ordering::SeqCst);
    let proxy = in_front_of(&peer, "default = \"100s\", strength = \"pipelined\"");
    let replies = proxy
        .client()
        .pipeline(&[vec!["APPEND", KEY, "first"], vec!["APPEND", KEY, "second"]]);
    assert_eq!(replies[1], Value::Integer(1));
    assert!(
        replies[0]
            .error()
            .contains("not executed, since a later command"),
        "{replies:?}"
    );
}

/// An error that makes a node refuse EXEC is an error of the command in it, and is handled like that error.
#[test]
fn exec_that_is_refused_for_a_reason() {
    const ABORTED: &str = "-EXECABORT Transaction discarded because of: ";
    let refusals = AtomicUsize::new(0);
    let in_block = AtomicBool::new(false);
    let peer = Peer::start(move |request| match request.name().as_str() {
        "INCR" => {
            in_block.store(true, Ordering::SeqCst);
            Some(Step::reply("+QUEUED\r\n"))
        }
        "PEXPIRE" if is_of_key(request) => Some(Step::reply("+QUEUED\r\n")),
        "EXEC" if in_block.swap(false, Ordering::SeqCst) => {
            Some(match refusals.fetch_add(1, Ordering::SeqCst) {
                0 => Step::reply(format!(
                    "{ABORTED}NOREPLICAS Not enough good replicas to write.\r\n"
                )),
                1 => Step::reply(format!(
                    "{ABORTED}READONLY You can't write against a read only replica.\r\n"
                )),
                _ => Step::reply("*2\r\n:1\r\n:1\r\n"),
            })
        }
        _ => None,
    });
    let proxy = in_front_of(&peer, "default = \"100s\"");
    let mut client = proxy.client();
    assert_eq!(
        client.call(&["INCR", KEY]).error(),
        "NOREPLICAS Not enough good replicas to write."
    );
    // It became a replica: the command is sent again.
    assert_eq!(client.call(&["INCR", KEY]), Value::Integer(1));
}
