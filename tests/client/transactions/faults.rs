//! Answers to EXEC when a node fails: a command that may have run is not sent twice, and no reply is invented.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{count, transaction};
use slotmux_testing::peer::Request;
use slotmux_testing::{Peer, Proxy, RawClient, Step, Value};

fn before(peer: &Peer, configure: impl FnOnce(&mut slotmux_testing::ProxyConfig)) -> Proxy {
    Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("log.level", "warn");
        config.set("defaults.namespace.multi", "split");
        configure(config);
    })
}

/// A node that queues everything, and answers EXEC with these steps.
fn queueing(
    exec: impl Fn() -> Vec<Step> + Send + Sync + 'static,
) -> impl Fn(&Request) -> Option<Vec<Step>> {
    // On a new connection slotmux checks whether it may run blocks; the peer answers that check.
    let begun = AtomicBool::new(false);
    move |request| match request.name().as_str() {
        "EXEC" if begun.load(Ordering::SeqCst) => Some(exec()),
        "INCR" | "GET" | "EXISTS" => {
            begun.store(true, Ordering::SeqCst);
            Some(Step::reply("+QUEUED\r\n"))
        }
        "PEXPIRE" if begun.load(Ordering::SeqCst) => Some(Step::reply("+QUEUED\r\n")),
        _ => None,
    }
}

#[test]
fn a_connection_lost_at_exec_leaves_the_fate_unknown() {
    let peer = Peer::start(queueing(|| vec![Step::Close]));
    let proxy = before(&peer, |_| {});
    let reply = transaction(&mut RawClient::connect(proxy.port()), &["INCR k", "GET k"]);
    let error = reply.error();
    assert!(error.contains("may have been executed"), "{error}");
    assert_eq!(peer.requests_named("EXEC").len(), 1);
    assert_eq!(count(&proxy, "transactions_failed"), 1);
}

#[test]
fn a_node_that_does_not_answer_a_block_costs_only_its_timeout() {
    // One block of a transaction, and one made by a policy.
    for is_transaction in [true, false] {
        let peer = Peer::start(queueing(Vec::new));
        let proxy = before(&peer, |config| {
            config.set("cluster.timeouts.command", "300ms");
            let section = "name = \"ns\"\nmatch = [\"ns:\"]\nttl = { default = \"10s\" }";
            config.add_section("namespace", section.parse().expect("TOML"));
        });
        let mut client = RawClient::connect(proxy.port());
        let reply = if is_transaction {
            transaction(&mut client, &["INCR k", "GET k"])
        } else {
            client.call(&["INCR", "ns:k"])
        };
        assert!(reply.error().contains("upstream timeout"), "{reply:?}");
    }
}

#[test]
fn half_a_reply_is_dropped_when_reads_are_sent_again() {
    let value = "v".repeat(200_000);
    let whole = format!("*3\r\n:1\r\n$200000\r\n{value}\r\n$1\r\nx\r\n");
    let tries = AtomicUsize::new(0);
    let peer = Peer::start(queueing(move || {
        if tries.fetch_add(1, Ordering::SeqCst) == 0 {
            vec![
                Step::Bytes(whole.as_bytes()[..100_000].to_vec()),
                Step::Close,
            ]
        } else {
            Step::reply(&whole)
        }
    }));
    let proxy = before(&peer, |_| {});
    let mut client = RawClient::connect(proxy.port());
    let reply = transaction(&mut client, &["EXISTS k", "GET k", "GET k"]);
    assert_eq!(
        reply.items(),
        [
            Value::Integer(1),
            Value::bulk("v".repeat(200_000)),
            Value::bulk("x")
        ]
    );
}

#[test]
fn a_failed_part_is_an_error_element() {
    let peer = Peer::start(|request| match request.name().as_str() {
        "SET" if request.word(1) == "b" => Some(vec![Step::Close]),
        "SET" => Some(Step::reply("+OK\r\n")),
        _ => None,
    });
    let proxy = before(&peer, |config| config.set("cluster.kind", "cluster"));
    let mut client = RawClient::connect(proxy.port());
    let reply = transaction(&mut client, &["SET a 1", "PING", "SET b 1"]);
    let items = reply.items();
    assert_eq!(items[..2], [Value::ok(), Value::Simple("PONG".into())]);
    assert!(
        items[2].error().contains("may have been executed"),
        "{items:?}"
    );
    assert_eq!(count(&proxy, "transactions_split_failed"), 1);
    assert_eq!(peer.requests_named("SET").len(), 2);
    assert_eq!(peer.requests_named("MULTI").len(), 0);
}
