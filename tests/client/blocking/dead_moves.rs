//! Clients that leave while they wait for an element to move, under a TTL policy: even if the node still executes the
//! move, no key stays without a TTL.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::{call, key_on, send, until_blocked, until_counted};
use slotmux::tools::demo::cluster::LocalCluster;
use slotmux_core::slot::slot_of;
use slotmux_testing::{
    PATIENCE, Proxy, ProxyConfig, RawClient, Value, calm_cluster, poll_for, poll_until,
};

fn with_policy(config: &mut ProxyConfig) {
    let section =
        "name = \"sess\"\nmatch = [\"sess:\"]\nttl = { default = \"100s\", max = \"200s\" }";
    config.add_section("namespace", section.parse().expect("TOML"));
    // All clients share one connection to each node.
    config.set("server.workers", 1);
}

/// A client is blocked, and leaves while its node is frozen; another one pushes an element, and the node continues. The
/// moved key then has a TTL.
#[track_caller]
fn leaves_a_frozen_node(cluster: &LocalCluster, proxy: &Proxy, round: usize, is_killed: bool) {
    let from = key_on(cluster, 1, &format!("from:{round}"));
    let to = format!("sess:{{{from}}}");
    let line = match round % 2 {
        0 => format!("BLMOVE {from} {to} LEFT LEFT 0"),
        _ => format!("BRPOPLPUSH {from} {to} 0"),
    };
    let (mut blocked, mut feeder) = (proxy.client(), proxy.client());
    call(&mut feeder, &format!("EXISTS {from}"));
    let id = call(&mut blocked, "CLIENT ID").integer();
    send(&mut blocked, &line);
    until_blocked(cluster, 1, 1);
    let mut killer = proxy.client();
    cluster.stop(1).expect("a frozen node");
    // So the node reads the shared connection, with everything sent on it meanwhile, before it sees the end of the
    // other connection.
    send(&mut feeder, &format!("EXISTS {from}"));
    let other = format!("EXISTS {}", key_on(cluster, 0, "other"));
    call(&mut killer, &other);
    if is_killed {
        call(&mut killer, &format!("CLIENT KILL ID {id}"));
    } else {
        drop(blocked);
    }
    until_counted(proxy, 0);
    send(&mut feeder, &format!("LPUSH {from} v"));
    // A request after the push is answered, so the push has left slotmux.
    call(&mut killer, &other);
    cluster.resume(1).expect("a node that goes on");
    assert_eq!(feeder.read(), Value::Integer(0));
    assert_eq!(feeder.read(), Value::Integer(1));
    until_blocked(cluster, 1, 0);
    let mut direct = RawClient::connect(cluster.node(1).port);
    poll_until(PATIENCE, "a TTL, or no key", || {
        call(&mut direct, &format!("PTTL {to}")) != Value::Integer(-1)
    });
    let stays = ["LLEN", "EXISTS"].map(|name| {
        let key = if name == "LLEN" { &from } else { &to };
        call(&mut direct, &format!("{name} {key}")).integer()
    });
    assert_eq!(stays.iter().sum::<i64>(), 1, "the element is somewhere");
}

#[test]
fn a_client_that_leaves_a_frozen_node_leaves_no_key_without_a_ttl() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, with_policy);
    for round in 0..8 {
        leaves_a_frozen_node(&cluster, &proxy, round, round % 4 > 1);
    }
}

#[test]
fn a_node_that_does_not_allow_client_kill_is_waited_for() {
    let cluster = calm_cluster(0);
    let mut direct = RawClient::connect(cluster.node(1).port);
    call(
        &mut direct,
        "ACL SETUSER default -client|kill -client|unblock -client|info",
    );
    let proxy = Proxy::start(&cluster, with_policy);
    for round in 0..6 {
        leaves_a_frozen_node(&cluster, &proxy, round, false);
    }
}

#[test]
fn a_drain_waits_until_a_node_releases_its_client() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, with_policy);
    let from = key_on(&cluster, 1, "drained");
    let to = format!("sess:{{{from}}}");
    let mut blocked = proxy.client();
    send(&mut blocked, &format!("BLMOVE {from} {to} LEFT LEFT 0"));
    until_blocked(&cluster, 1, 1);
    let mut direct = RawClient::connect(cluster.node(1).port);
    cluster.stop(1).expect("a frozen node");
    send(&mut direct, &format!("LPUSH {from} v"));
    drop(blocked);
    until_counted(&proxy, 0);
    proxy.terminate();
    poll_until(PATIENCE, "the drain", || proxy.log().contains("draining"));
    cluster.resume(1).expect("a node that goes on");
    assert_eq!(direct.read(), Value::Integer(1));
    assert!(proxy.wait_exit().success());
    assert_ne!(call(&mut direct, &format!("PTTL {to}")), Value::Integer(-1));
}

#[test]
fn expiries_follow_the_keys_of_a_moving_slot() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, with_policy);
    let from = key_on(&cluster, 0, "moves");
    let mut blocked = proxy.client();
    send(
        &mut blocked,
        &format!("BLMOVE {from} sess:{{{from}}} LEFT LEFT 0"),
    );
    until_blocked(&cluster, 0, 1);
    let slot = slot_of(from.as_bytes()).0;
    cluster.migrate_slot_begin(slot, 0, 1).expect("it begins");
    drop(blocked);
    until_blocked(&cluster, 0, 0);
    // Both are redirected to the node that does not have the key yet.
    let mut importing = RawClient::connect(cluster.node(1).port);
    poll_until(PATIENCE, "two expiries", || {
        let info = call(&mut importing, "INFO commandstats").text();
        info.contains("cmdstat_pexpire:calls=2,")
    });
}

/// A path to a node on which slotmux can be disconnected while the node's side stays open.
struct Stranding {
    port: u16,
    /// The proxy's ends of the connections that have carried a BLMOVE.
    blocking: Arc<Mutex<Vec<TcpStream>>>,
}

impl Stranding {
    fn before(target: u16) -> Stranding {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let blocking = Arc::<Mutex<Vec<TcpStream>>>::default();
        let found = blocking.clone();
        thread::spawn(move || {
            for here in listener.incoming().flatten() {
                let there = TcpStream::connect(("127.0.0.1", target)).expect("the node");
                let (mut down, mut from) = (handle(&here), handle(&there));
                thread::spawn(move || std::io::copy(&mut from, &mut down));
                let found = found.clone();
                thread::spawn(move || pass_up(here, there, &found));
            }
        });
        Stranding { port, blocking }
    }

    /// Closes the proxy's side of connections that have carried a BLMOVE; the node keeps its connections.
    fn strand(&self) {
        for end in self.blocking.lock().expect("a lock").drain(..) {
            end.shutdown(Shutdown::Both).expect("a connection");
        }
    }
}

fn handle(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a second handle")
}

fn pass_up(mut here: TcpStream, mut there: TcpStream, found: &Mutex<Vec<TcpStream>>) {
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = here.read(&mut piece) {
        if piece[..length].windows(6).any(|word| word == b"BLMOVE") {
            found.lock().expect("a lock").push(handle(&here));
        }
        if there.write_all(&piece[..length]).is_err() {
            return;
        }
    }
    // The node notices nothing: its end stays open as long as this thread lives.
    thread::park();
}

#[test]
fn a_node_that_did_not_notice_a_lost_connection_gets_client_kill() {
    let server =
        slotmux::tools::demo::server::LocalServer::start(&Default::default()).expect("a server");
    let way = Stranding::before(server.port());
    let proxy = Proxy::start_at(&[format!("127.0.0.1:{}", way.port)], None, with_policy);
    let mut direct = RawClient::connect(server.port());
    let mut blocked_there = || {
        let info = call(&mut direct, "INFO clients").text();
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix("blocked_clients:"));
        line.and_then(|count| count.parse::<usize>().ok())
    };
    let (mut blocked, mut other) = (proxy.client(), proxy.client());
    assert_eq!(call(&mut other, "EXISTS from"), Value::Integer(0));
    send(&mut blocked, "BLMOVE from sess:to LEFT LEFT 0");
    poll_until(PATIENCE, "a blocked client", || blocked_there() == Some(1));
    way.strand();
    let reply = blocked.read();
    let error = reply.error();
    assert!(error.contains("may have been executed"), "{error}");
    poll_until(PATIENCE, "the node to release the client", || {
        blocked_there() == Some(0)
    });
    assert_eq!(call(&mut other, "LPUSH from v"), Value::Integer(1));
    assert_eq!(call(&mut other, "LLEN from"), Value::Integer(1));
    let repaired = poll_for(PATIENCE, "a repair", || {
        proxy.metric("slotmux_expiries_repaired_total")
    });
    assert_eq!(repaired, 1.0);
}
