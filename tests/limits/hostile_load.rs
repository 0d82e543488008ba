//! Hostile loads: thousands of clients that never finish a request, that come and go, that arrive all at once, or that
//! listen and wait; and no free descriptor. Memory stays bounded and is freed, and well-behaved clients are served.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::thread;

use slotmux_testing::{
    Neighbour, PATIENCE, Peer, Proxy, RawClient, Value, poll_until, shared_cluster, times,
};
use socket2::{Domain, Socket, Type};

const MANY: usize = 10_000;
/// Descriptors of this process besides its clients.
const SPARE: u64 = 500;
/// Source addresses of clients on the loopback net, because the ports of one might not suffice.
const SOURCES: usize = 8;
/// Memory that may remain after a load: pools, and memory that the allocator has not returned yet.
const LEFT: u64 = 32 << 20;

fn connect(port: u16, i: usize) -> TcpStream {
    let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2 + (i % SOURCES) as u8));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("set");
    socket
        .bind(&SocketAddr::new(source, 0).into())
        .expect("a port");
    socket
        .connect(&SocketAddr::from(([127, 0, 0, 1], port)).into())
        .expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    socket.into()
}

/// Raises the descriptor limit of this program.
fn raise_limit() {
    let limit = rlimit::increase_nofile_limit(u64::MAX).expect("a limit");
    assert!(
        limit >= MANY as u64 + SPARE,
        "this test needs {MANY} descriptors and may have {limit}: raise `ulimit -n`"
    );
}

/// Waits until only this many clients remain, and the memory of the others is freed.
fn all_is_given_back(proxy: &Proxy, clients: f64, before: u64) {
    poll_until(PATIENCE, "the clients to be forgotten", || {
        proxy.metric("slotmux_clients") == Some(clients)
            && proxy.metric("slotmux_client_buffer_bytes") == Some(0.0)
    });
    poll_until(PATIENCE, "the memory to be freed", || {
        proxy.rss() < before + LEFT
    });
    assert_eq!(proxy.metric("slotmux_panics_total"), Some(0.0));
}

#[test]
fn ten_thousand_unfinished_requests_cost_little_and_delay_no_other() {
    let _turn = crate::turn();
    raise_limit();
    let proxy = Proxy::start(shared_cluster(), |config| config.set("log.level", "warn"));
    let neighbour = Neighbour::start(proxy.port(), "beside-loris");
    neighbour.goes_on();
    let before = proxy.rss();
    let half = format!(
        "*3\r\n$3\r\nSET\r\n$5\r\nloris\r\n$1000\r\n{}",
        "l".repeat(300)
    );
    let mut crowd: Vec<TcpStream> = (0..MANY).map(|i| connect(proxy.port(), i)).collect();
    for (i, client) in crowd.iter_mut().enumerate() {
        client.write_all(half.as_bytes()).expect("sent");
        if i % 1000 == 0 {
            neighbour.goes_on();
        }
    }
    // A byte at a time, as long as it takes.
    for client in &mut crowd {
        client.write_all(b"l").expect("sent");
    }
    poll_until(PATIENCE, "all clients to be connected", || {
        proxy.metric("slotmux_clients") == Some(MANY as f64 + 1.0)
    });
    neighbour.goes_on();
    let grown = proxy.rss().saturating_sub(before);
    assert!(
        grown < MANY as u64 * 4096,
        "{grown} bytes for half requests"
    );
    drop(crowd);
    all_is_given_back(&proxy, 1.0, before);
    neighbour.finish();
}

#[test]
fn ten_thousand_beginnings_of_big_requests_stay_within_the_limit() {
    let _turn = crate::turn();
    raise_limit();
    const LIMIT: u64 = 64 << 20;
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("log.level", "error");
        config.set("server.memory_limit", "64MiB");
    });
    let neighbour = Neighbour::start(proxy.port(), "beside-little");
    neighbour.goes_on();
    let before = proxy.rss();
    // 150 MB in all.
    let half = format!(
        "*3\r\n$3\r\nSET\r\n$6\r\nlittle\r\n$1000000\r\n{}",
        "l".repeat(15_000)
    );
    let mut crowd: Vec<TcpStream> = (0..MANY).map(|i| connect(proxy.port(), i)).collect();
    for (i, client) in crowd.iter_mut().enumerate() {
        // It may be closed to make room for the others.
        let _ = client.write_all(half.as_bytes());
        if i % 1000 == 0 {
            neighbour.goes_on();
        }
    }
    poll_until(PATIENCE, "some clients to be closed", || {
        proxy.metric("slotmux_limit_closes_total") >= Some(5000.0)
    });
    // The fixed cost of each client comes on top; freed memory returns to the system within a second or two.
    let most = LIMIT + MANY as u64 * 4096;
    let grown = proxy.peak_rss().saturating_sub(before);
    assert!(grown < most + LIMIT, "{grown} bytes at a time");
    poll_until(PATIENCE, "memory within the limit", || {
        proxy.rss().saturating_sub(before) < most
    });
    neighbour.goes_on();
    drop(crowd);
    all_is_given_back(&proxy, 1.0, before);
    neighbour.finish();
}

#[test]
fn the_largest_is_closed_first() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("server.workers", 1);
        config.set("server.memory_limit", "16MiB");
    });
    let half = |bytes: usize| format!("*2\r\n$4\r\nECHO\r\n$20000000\r\n{}", "h".repeat(bytes));
    let mut modest: Vec<RawClient> = (0..20).map(|_| proxy.client()).collect();
    for client in &mut modest {
        client.send_raw(half(300_000).as_bytes());
    }
    poll_until(PATIENCE, "their bytes to be counted", || {
        proxy.metric("slotmux_client_buffer_bytes") >= Some(20.0 * 300_000.0)
    });
    let mut greedy = proxy.client();
    let _ = greedy.try_send_raw(half(15_000_000).as_bytes());
    assert_eq!(greedy.read_to_close(), b"");
    assert_eq!(proxy.metric("slotmux_limit_closes_total"), Some(1.0));
    // Its task ends in the turn after.
    poll_until(PATIENCE, "the others to be all that is left", || {
        proxy.metric("slotmux_clients") == Some(20.0)
    });
}

#[test]
fn connections_that_come_and_go_leave_no_state() {
    let _turn = crate::turn();
    let proxy = Proxy::start(shared_cluster(), |config| config.set("log.level", "warn"));
    let neighbour = Neighbour::start(proxy.port(), "beside-churn");
    neighbour.goes_on();
    let (before, descriptors) = (proxy.rss(), proxy.descriptors());
    let port = proxy.port();
    // Per source.
    let lives = times(2500, 12_500);
    thread::scope(|scope| {
        for source in 0..SOURCES {
            scope.spawn(move || {
                for life in 0..lives {
                    let mut client = connect(port, source);
                    // Some leave without sending, some in the middle of a request.
                    match life % 3 {
                        0 => {
                            client.write_all(b"GET churn\r\nPING\r\n").expect("sent");
                            let mut reply = [0; 12];
                            client.read_exact(&mut reply).expect("a reply in time");
                            assert_eq!(&reply, b"$-1\r\n+PONG\r\n");
                        }
                        1 => client
                            .write_all(b"*2\r\n$3\r\nGET\r\n$9\r\nchu")
                            .expect("sent"),
                        _ => {}
                    }
                }
            });
        }
    });
    neighbour.goes_on();
    all_is_given_back(&proxy, 1.0, before);
    let left = proxy.descriptors().saturating_sub(descriptors);
    assert!(left < 50, "{left} more descriptors than before");
    neighbour.finish();
}

#[test]
fn subscribers_blocked_and_idle_clients_at_once_free_everything() {
    let _turn = crate::turn();
    raise_limit();
    const SOME: usize = MANY / 10;
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("log.level", "warn");
        config.set("cluster.connections.dedicated_max", 600);
        // An unused lane is closed soon.
        config.set("cluster.connections.dedicated_idle", "1s");
    });
    let mut speaker = proxy.client();
    speaker.call(&["PUBLISH", "mixed:0", "nobody"]);
    let (before, descriptors) = (proxy.rss(), proxy.descriptors());
    let mut crowd: Vec<TcpStream> = (0..MANY).map(|i| connect(proxy.port(), i)).collect();
    for (i, client) in crowd.iter_mut().enumerate() {
        let request = match i / SOME {
            0 => format!("SUBSCRIBE mixed:{}\r\n", i % 50),
            1 => format!("BLPOP mixed:{i} 0\r\n"),
            _ => "PING\r\n".to_owned(),
        };
        client.write_all(request.as_bytes()).expect("sent");
    }
    poll_until(PATIENCE, "all clients to be busy", || {
        proxy.metric("slotmux_subscriptions") == Some(SOME as f64)
            && proxy.metric("slotmux_blocked_clients") == Some(SOME as f64)
            && proxy.metric("slotmux_clients") == Some(MANY as f64 + 1.0)
    });
    let grown = proxy.rss().saturating_sub(before);
    assert!(grown < 96 << 20, "{grown} bytes for {MANY} clients");
    // Subscribers get messages, and blocked clients get elements.
    let heard = speaker.call(&["PUBLISH", "mixed:0", "all of you"]);
    assert_eq!(heard, Value::Integer(SOME as i64 / 50));
    let key = format!("mixed:{SOME}");
    assert_eq!(speaker.call(&["RPUSH", &key, "you"]), Value::Integer(1));
    let expected = format!("*2\r\n${}\r\n{key}\r\n$3\r\nyou\r\n", key.len());
    let mut reply = vec![0; expected.len()];
    crowd[SOME].read_exact(&mut reply).expect("a reply in time");
    assert_eq!(String::from_utf8_lossy(&reply), expected);
    drop(crowd);
    all_is_given_back(&proxy, 1.0, before);
    poll_until(PATIENCE, "their connections to the nodes to end", || {
        proxy.metric("slotmux_blocked_clients") == Some(0.0)
            && proxy.descriptors() < descriptors + 50
    });
}

#[test]
fn clients_that_arrive_at_once_share_few_upstream_connections() {
    const WORKERS: u32 = 2;
    let _turn = crate::turn();
    raise_limit();
    let peer = Peer::start(|_| None);
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("log.level", "warn");
        config.set("server.workers", WORKERS);
        config.set("cluster.topology.refresh", "1h");
    });
    let mut clients: Vec<TcpStream> = (0..times(2000, MANY))
        .map(|i| connect(proxy.port(), i))
        .collect();
    // No request was sent yet, so there is no connection to the node. The second time all connections are lost.
    for round in 1..=2 {
        for client in &mut clients {
            client.write_all(b"SET a 1\r\n").expect("sent");
        }
        for client in &mut clients {
            let mut reply = [0; 5];
            client.read_exact(&mut reply).expect("a reply in time");
            assert_eq!(&reply, b"+OK\r\n");
        }
        let opened = proxy.metric("slotmux_upstream_connects_total");
        assert!(opened <= Some(f64::from(WORKERS * round)), "{opened:?}");
        peer.hang_up();
        poll_until(PATIENCE, "slotmux to notice the loss", || {
            proxy.metric("slotmux_upstream_lost_total") == opened
        });
    }
}

/// Sets the descriptor limit of a running process.
fn limit_descriptors(pid: u32, most: usize) {
    let status = Command::new("prlimit")
        .arg(format!("--pid={pid}"))
        .arg(format!("--nofile={most}:"))
        .status()
        .expect("prlimit");
    assert!(status.success());
}

#[test]
fn without_descriptors_new_clients_wait_and_the_others_are_served() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("log.level", "warn");
        config.set("cluster.topology.refresh", "1h");
    });
    let neighbour = Neighbour::start(proxy.port(), "beside-exhaustion");
    neighbour.goes_on();
    let plenty = rlimit::increase_nofile_limit(u64::MAX).expect("a limit");
    limit_descriptors(proxy.pid(), proxy.descriptors() + 4);
    // The kernel accepts them on behalf of slotmux.
    let mut crowd: Vec<RawClient> = (0..50).map(|_| proxy.client()).collect();
    let told = || proxy.log().matches("accept failed").count();
    poll_until(PATIENCE, "an accept to fail", || told() > 0);
    for _ in 0..20 {
        neighbour.goes_on();
    }
    assert_eq!(told(), 1, "{}", proxy.log());
    limit_descriptors(proxy.pid(), plenty as usize);
    for client in &mut crowd {
        assert_eq!(client.call(&["PING"]), Value::Simple("PONG".to_owned()));
    }
    neighbour.finish();
}
