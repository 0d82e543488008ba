//! Nodes that misbehave towards a blocked client.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::common::peer::Gate;
use super::common::{Peer, Proxy, RawClient, Step, Value};
use super::{bulks, call};

fn before(peer: &Peer) -> Proxy {
    Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("log.level", "warn");
    })
}

#[test]
fn a_connection_that_breaks_leaves_a_pop_in_doubt_and_repeats_a_read() {
    let reads = AtomicUsize::new(0);
    let peer = Peer::start(move |request| match request.name().as_str() {
        "BLPOP" => Some(vec![Step::Close]),
        "XREAD" if reads.fetch_add(1, Ordering::SeqCst) == 0 => Some(vec![Step::Close]),
        "XREAD" => Some(Step::reply("+entries\r\n")),
        _ => None,
    });
    let proxy = before(&peer);
    let mut client = RawClient::connect(proxy.port());
    let reply = call(&mut client, "BLPOP k 0");
    assert!(
        reply.error().contains("may have been executed"),
        "{reply:?}"
    );
    assert_eq!(peer.requests_named("BLPOP").len(), 1);
    assert_eq!(
        call(&mut client, "XREAD BLOCK 0 STREAMS k 0"),
        Value::Simple("entries".into())
    );
    assert_eq!(peer.requests_named("XREAD").len(), 2);
}

#[test]
fn what_is_sent_again_asks_for_less_time() {
    let tries = AtomicUsize::new(0);
    let peer = Peer::start(move |request| match request.name().as_str() {
        "BLPOP" | "XREAD" => Some(if tries.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
            Step::reply(
                "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n",
            )
        } else {
            Step::reply("*2\r\n$1\r\nk\r\n$1\r\nx\r\n")
        }),
        _ => None,
    });
    let proxy = before(&peer);
    let mut client = RawClient::connect(proxy.port());
    assert_eq!(call(&mut client, "BLPOP k 30"), bulks(&["k", "x"]));
    assert_eq!(
        call(&mut client, "XREAD BLOCK 30000 STREAMS k 0"),
        bulks(&["k", "x"])
    );
    assert_eq!(call(&mut client, "BLPOP k 0"), bulks(&["k", "x"]));
    let pops = peer.requests_named("BLPOP");
    let asked: Vec<f64> = pops
        .iter()
        .map(|request| request.word(2).parse().expect("a number"))
        .collect();
    assert_eq!(asked[0], 30.0);
    assert!(asked[1] < 30.0 && asked[1] > 0.0, "{asked:?}");
    assert_eq!(asked[2..], [0.0, 0.0], "for ever stays for ever");
    let reads = peer.requests_named("XREAD");
    let asked: Vec<u64> = reads
        .iter()
        .map(|request| request.word(2).parse().expect("a number"))
        .collect();
    assert_eq!(asked[0], 30_000);
    assert!(asked[1] < 30_000 && asked[1] > 0, "{asked:?}");
    // Which connection it is was asked once of each: those that let go are not used again.
    let ids = peer.requests_named("CLIENT");
    let ids = ids.iter().filter(|request| request.word(1) == "ID").count();
    assert_eq!(ids, 4);
}

#[test]
fn when_no_time_is_left_it_is_over() {
    let peer = Peer::start(move |request| {
        (request.name() == "BLPOP").then(|| {
            Step::reply(
                "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n",
            )
        })
    });
    let proxy = before(&peer);
    assert_eq!(
        RawClient::connect(proxy.port()).call_bytes(&["BLPOP", "k", "0.3"]),
        b"*-1\r\n"
    );
}

#[test]
fn a_node_that_hangs_beyond_the_time_of_a_command_holds_its_client_no_longer() {
    // It says nothing at all, or stops in the middle of its reply.
    for (timeout, said) in [("0.1", &b""[..]), ("0", b"*2\r\n$1\r\na")] {
        let never = Gate::default();
        let peer = Peer::start(move |request| {
            (request.name() == "BLPOP").then(|| {
                let begun = Step::Bytes(said.to_vec());
                vec![begun, Step::Gate(never.clone())]
            })
        });
        let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
            config.set("cluster.timeouts.command", "300ms");
            config.set("cluster.timeouts.response", "500ms");
        });
        let mut client = proxy.client();
        let reply = client.call(&["BLPOP", "hangs", timeout]);
        assert!(
            reply.error().contains("may have been executed"),
            "{reply:?}"
        );
        assert_eq!(client.call(&["SET", "hangs", "1"]), Value::ok());
        assert_eq!(proxy.metric("slotmux_blocked_clients"), Some(0.0));
    }
}
