//! The admin port with unfriendly clients: silent connections, requests that never end, responses that are never read,
//! many requests at once, and foreign host names. None of them costs a client or the next reader of the page anything.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use slotmux_testing::{PATIENCE, Proxy, RawClient, Value, poll_until, shared_cluster};
use socket2::{Domain, Socket, Type};
use toml::Table;

/// Connections of a crowd: several times the descriptors of slotmux in these tests.
const CROWD: usize = 2_000;
/// Descriptors of a slotmux with few of them.
const FEW: usize = 512;
/// Connections to the admin port with more descriptors: more than are reserved for upstream connections and the like.
const READERS: usize = 250;
/// A receive buffer that holds only a few bytes of a page.
const NARROW: usize = 4 * 1024;
/// Namespaces that make a page of megabytes.
const NAMESPACES: usize = 1000;

fn address(proxy: &Proxy) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, proxy.admin_port()))
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address(proxy), PATIENCE).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    stream
}

/// A connection whose kernel buffer takes little while it does not read.
fn connect_narrow(proxy: &Proxy) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(NARROW).expect("set");
    socket
        .connect(&address(proxy).into())
        .expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    socket.into()
}

/// Status of the next response, after its whole body was read.
fn answer(stream: &mut TcpStream) -> Option<u16> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("text").to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().expect("a number"));
    stream.read_exact(&mut vec![0; length]).ok()?;
    head.split(' ').nth(1)?.parse().ok()
}

/// Status of the response to a request of these bytes.
fn status(proxy: &Proxy, request: &str) -> Option<u16> {
    let mut stream = connect(proxy);
    stream.write_all(request.as_bytes()).expect("sent");
    answer(&mut stream)
}

fn is_closed(stream: &mut TcpStream) -> bool {
    !matches!(stream.read(&mut [0]), Ok(1..))
}

fn ask(stream: &mut TcpStream, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
}

fn many_namespaces(config: &mut slotmux_testing::ProxyConfig) {
    for i in 0..NAMESPACES {
        let mut section = Table::new();
        section.insert("name".into(), format!("namespace-{i}").into());
        section.insert("match".into(), format!("prefix-{i}:").into());
        config.add_section("namespace", section);
    }
}

#[test]
fn a_silent_crowd_at_the_admin_port_blocks_no_reader() {
    rlimit::increase_nofile_limit(u64::MAX).expect("a limit");
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.descriptors = Some(FEW);
        // Otherwise the crowd would be closed by its deadline.
        config.set("admin.header_timeout", "1h");
        config.set("cluster.connections.dedicated_max", 8);
    });
    let crowd: Vec<TcpStream> = (0..CROWD).map(|_| connect(&proxy)).collect();
    let mut client = proxy.client();
    assert_eq!(client.call(&["PING"]), Value::Simple("PONG".into()));
    assert_eq!(client.call(&["SET", "crowd", "1"]), Value::ok());
    assert!(proxy.descriptors() < FEW / 2, "{}", proxy.descriptors());
    let (status, _) = proxy.admin_get("/readyz").expect("an answer");
    assert_eq!(status, 200);
    assert!(!proxy.log().contains("accept failed"));
    drop(crowd);
}

#[test]
fn a_crowd_of_clients_leaves_the_admin_port_open() {
    rlimit::increase_nofile_limit(u64::MAX).expect("a limit");
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.descriptors = Some(4 * FEW);
        config.set("cluster.connections.dedicated_max", 8);
        config.set("server.max_clients", 100_000);
        config.set("admin.max_connections", READERS as i64);
    });
    let mut crowd: Vec<RawClient> = (0..CROWD).map(|_| proxy.client()).collect();
    poll_until(PATIENCE, "the remaining clients to be refused", || {
        proxy.metric("slotmux_rejected_total") > Some(0.0)
    });
    assert_eq!(crowd[0].call(&["PING"]), Value::Simple("PONG".into()));
    // The maximum number of readers, besides the maximum number of clients.
    let mut readers: Vec<TcpStream> = (0..READERS).map(|_| connect(&proxy)).collect();
    for reader in &mut readers {
        ask(reader, "/healthz");
        assert_eq!(answer(reader), Some(200));
    }
    assert!(!proxy.log().contains("accept failed"));
}

#[test]
fn the_quietest_connection_is_closed_for_one_too_many() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("admin.max_connections", 3);
        config.set("admin.idle_timeout", "1h");
    });
    let mut held: Vec<TcpStream> = (0..3).map(|_| connect(&proxy)).collect();
    for at in [1, 2, 0] {
        ask(&mut held[at], "/healthz");
        assert_eq!(answer(&mut held[at]), Some(200));
    }
    let mut one_more = connect(&proxy);
    ask(&mut one_more, "/healthz");
    assert_eq!(answer(&mut one_more), Some(200));
    assert!(is_closed(&mut held[1]), "the quietest");
    for at in [2, 0] {
        ask(&mut held[at], "/healthz");
        assert_eq!(answer(&mut held[at]), Some(200), "{at}");
    }
}

#[test]
fn every_wait_that_is_too_long_ends_the_connection() {
    // The behaviour of a connection, and the only deadline that can end it.
    type Doing = fn(&Proxy) -> TcpStream;
    let silent: Doing = connect;
    let slow: Doing = |proxy| {
        let mut stream = connect(proxy);
        stream.write_all(b"GET /metrics HT").expect("sent");
        stream
    };
    let idle: Doing = |proxy| {
        let mut stream = connect(proxy);
        ask(&mut stream, "/healthz");
        assert_eq!(answer(&mut stream), Some(200));
        stream
    };
    let late: Doing = |proxy| {
        let mut stream = connect(proxy);
        ask(&mut stream, "/healthz");
        assert_eq!(answer(&mut stream), Some(200));
        stream.write_all(b"GET /metr").expect("sent");
        stream
    };
    for (key, doings) in [
        ("admin.header_timeout", &[silent, slow, late][..]),
        ("admin.idle_timeout", &[idle]),
    ] {
        let proxy = Proxy::start(shared_cluster(), |config| {
            for key in ["header_timeout", "idle_timeout", "write_timeout"] {
                config.set(&format!("admin.{key}"), "1h");
            }
            config.set(key, "200ms");
        });
        for doing in doings {
            assert!(is_closed(&mut doing(&proxy)), "{key}");
        }
    }
}

#[test]
fn single_bytes_do_not_extend_a_deadline() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("admin.header_timeout", "1s");
    });
    let mut stream = connect(&proxy);
    ask(&mut stream, "/healthz");
    assert_eq!(answer(&mut stream), Some(200));
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nx: ")
        .expect("sent");
    poll_until(PATIENCE, "the end of a drip", || {
        stream.write_all(b"x").is_err()
    });
}

#[test]
fn a_client_that_does_not_read_is_closed() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        many_namespaces(config);
        config.set("admin.idle_timeout", "1h");
        config.set("admin.write_timeout", "300ms");
    });
    let (_, page) = proxy.admin_get("/metrics").expect("a page");
    assert!(page.len() > 2 << 20, "{}", page.len());
    let held: Vec<TcpStream> = (0..3)
        .map(|_| {
            let mut stream = connect_narrow(&proxy);
            for _ in 0..3 {
                ask(&mut stream, "/metrics");
            }
            assert_eq!(stream.peek(&mut [0]).expect("it begins"), 1);
            stream
        })
        .collect();
    // Only the deadline ends a connection here.
    let ports: Vec<u16> = held
        .iter()
        .map(|stream| stream.local_addr().expect("its address").port())
        .collect();
    poll_until(PATIENCE, "the connections to be closed", || {
        proxy.all_sockets_to(&ports) == 0
    });
    for mut stream in held {
        let mut read = Vec::new();
        let _ = stream.read_to_end(&mut read);
        assert!(read.len() < 3 * page.len(), "{}", read.len());
    }
}

#[test]
fn many_readers_of_a_big_page_hold_few_pages() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        many_namespaces(config);
        config.set("admin.write_timeout", "1h");
    });
    let (_, page) = proxy.admin_get("/metrics").expect("a page");
    let before = proxy.rss();
    let readers: Vec<TcpStream> = (0..50)
        .map(|_| {
            let mut stream = connect_narrow(&proxy);
            ask(&mut stream, "/metrics");
            stream
        })
        .collect();
    // The next connection is still served.
    let (status, again) = proxy.admin_get("/metrics").expect("a page");
    assert_eq!(status, 200);
    assert!(again.len() >= page.len() / 2, "{}", again.len());
    let grown = proxy.peak_rss().saturating_sub(before);
    let most = 16 * page.len() as u64 + (16 << 20);
    assert!(grown < most, "{grown} is more than {most}");
    drop(readers);
}

#[test]
fn requests_by_a_foreign_name_are_refused() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("admin.hosts", vec!["Metrics.Example.", "other"]);
    });
    let port = proxy.admin_port();
    let own = format!("127.0.0.1:{port}");
    for (target, hosts, expected) in [
        ("/metrics", &[own.as_str()][..], 200),
        ("/metrics", &["[::1]:9121"], 200),
        ("/metrics", &["LOCALHOST."], 200),
        ("/metrics", &["metrics.example:80"], 200),
        ("/readyz", &["other"], 200),
        ("/metrics", &["evil.example"], 421),
        ("/healthz", &["evil.example:9121"], 421),
        ("/readyz", &["slotmux"], 421),
        ("/else", &["evil.example"], 421),
        ("http://evil.example/metrics", &[own.as_str()], 421),
        ("http://localhost/metrics", &["evil.example"], 421),
        ("http://localhost/metrics", &["127.0.0.1"], 200),
        ("/metrics", &["localhost", "evil.example"], 400),
        ("/metrics", &["localhost", "localhost"], 400),
        ("/metrics", &["user@localhost"], 400),
        ("/metrics", &[""], 400),
        ("/metrics", &[], 400),
    ] {
        let hosts: String = hosts
            .iter()
            .map(|host| format!("hOsT: {host}\r\n"))
            .collect();
        let request = format!("GET {target} HTTP/1.1\r\n{hosts}\r\n");
        assert_eq!(status(&proxy, &request), Some(expected), "{request:?}");
    }
    let old = "GET /healthz HTTP/1.0\r\n\r\n";
    assert_eq!(status(&proxy, old), Some(200));
    let old = "GET /metrics HTTP/1.0\r\nHost: evil.example\r\n\r\n";
    assert_eq!(status(&proxy, old), Some(421));
}

#[test]
fn requests_that_are_too_long_are_not_read() {
    let proxy = Proxy::start(shared_cluster(), |_| {});
    let head = "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n";
    let long = format!("{head}x: {}\r\n\r\n", "y".repeat(64 << 10));
    let lines = format!("{head}{}\r\n", "x: y\r\n".repeat(1000));
    for request in [long, lines] {
        let mut stream = connect(&proxy);
        // slotmux may hang up before it has read everything.
        let _ = stream.write_all(request.as_bytes());
        assert!(matches!(answer(&mut stream), Some(431) | None));
    }
    // A body is not read: the response comes, then the end.
    let mut stream = connect(&proxy);
    let endless =
        "POST /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000000000\r\n\r\n";
    stream.write_all(endless.as_bytes()).expect("sent");
    assert_eq!(answer(&mut stream), Some(405));
    assert!(is_closed(&mut stream));
}
