//! Listeners: addresses, Unix sockets, protected mode, idle clients, keepalive.

use std::fs;
use std::io::{BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use slotmux::tools::demo::ports::PortLease;

use slotmux_testing::client::command;
use slotmux_testing::reply::read_value;
use slotmux_testing::{PATIENCE, Proxy, RawClient, Value, poll_for, poll_until, shared_cluster};

fn pong() -> Value {
    Value::Simple("PONG".into())
}

#[test]
fn a_unix_socket_is_bound_and_a_stale_one_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    // The socket file that a killed process leaves behind.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.add_listener("near", &format!("unix:{}", path.display()));
    });
    let stream = UnixStream::connect(&path).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    let mut input = BufReader::new(stream.try_clone().expect("a handle"));
    let mut call = |words: &[&str]| {
        (&stream).write_all(&command(words)).expect("sent");
        read_value(&mut input, &mut Vec::new()).expect("a reply")
    };
    assert_eq!(call(&["SET", "unix", "1"]), Value::ok());
    assert_eq!(call(&["GET", "unix"]), Value::bulk("1"));
    let info = call(&["CLIENT", "INFO"]).text();
    assert!(
        info.contains(&format!("laddr={}:0 ", path.display())),
        "{info}"
    );
    assert_eq!(proxy.client().call(&["GET", "unix"]), Value::bulk("1"));

    // A socket in use stays with its owner.
    let second = Proxy::launch(&shared_cluster().seeds(), None, |config| {
        config.add_listener("near", &format!("unix:{}", path.display()));
    });
    assert_eq!(second.wait_exit().code(), Some(1));
    assert!(
        second.log().contains("cannot listen on"),
        "{}",
        second.log()
    );
    assert_eq!(call(&["PING"]), pong());
}

#[test]
fn every_listener_has_its_own_settings() {
    let [lease, other] = [(); 2].map(|()| PortLease::any().expect("a port"));
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("listener.limits.max_args", 16);
        config.add_listener("second", "");
        let both = [&lease, &other].map(|lease| format!("127.0.0.1:{}", lease.port()));
        config.set("listener.bind", both.to_vec());
        config.set("listener.limits.max_args", 1000);
    });
    let mut mget = vec!["MGET"; 20];
    mget[19] = "key";
    let reply = proxy.client().call(&mget);
    assert!(
        reply.error().contains("invalid multibulk length"),
        "{reply:?}"
    );
    for port in [lease.port(), other.port()] {
        assert_eq!(RawClient::connect(port).call(&mget).items().len(), 19);
    }
}

#[test]
fn an_address_that_is_taken_ends_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    for key in ["listener.bind", "admin.bind"] {
        let proxy = Proxy::launch(&shared_cluster().seeds(), None, |config| {
            config.set(key, address.as_str());
        });
        assert_eq!(proxy.wait_exit().code(), Some(1), "{key}");
        let said = format!("cannot listen on {address}: ");
        assert!(proxy.log().contains(&said), "{key}: {}", proxy.log());
    }
}

/// An address of this machine that is not loopback. Nothing is sent: a UDP socket only looks for a route.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

#[test]
fn an_open_slotmux_serves_only_loopback() {
    let Some(ip) = own_address() else {
        println!("this machine has no address but loopback: skipped");
        return;
    };
    for has_password in [false, true] {
        let lease = PortLease::any().expect("a port");
        let proxy = Proxy::start(shared_cluster(), |config| {
            config.add_listener("wide", &format!("0.0.0.0:{}", lease.port()));
            if has_password {
                config.add_user("default", "pw");
            }
        });
        let local = RawClient::connect(lease.port()).call(&["PING"]);
        let address = SocketAddr::from((ip, lease.port()));
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
        // A refused client may be closed before this arrives.
        let _ = stream.write_all(b"PING\r\n");
        let mut input = BufReader::new(stream);
        let remote = read_value(&mut input, &mut Vec::new()).expect("a reply");
        if has_password {
            assert!(local.error().starts_with("NOAUTH "), "{local:?}");
            assert!(remote.error().starts_with("NOAUTH "), "{remote:?}");
        } else {
            assert_eq!(local, pong());
            assert!(remote.error().starts_with("DENIED "), "{remote:?}");
            assert!(
                proxy.log().contains("no user has a password"),
                "{}",
                proxy.log()
            );
        }
    }
}

#[test]
fn idle_clients_are_closed_where_configured() {
    let lease = PortLease::any().expect("a port");
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("listener.idle_timeout", "50ms");
        config.add_listener("patient", &format!("127.0.0.1:{}", lease.port()));
    });
    let mut patient = RawClient::connect(lease.port());
    assert_eq!(patient.call(&["PING"]), pong());
    let mut idle = proxy.client();
    assert_eq!(idle.read_to_close(), b"");
    assert_eq!(
        patient.call(&["PING"]),
        pong(),
        "idle for longer, and still connected"
    );
}

/// The timer of the established connection whose near end is `local`: its kind, and the remaining time.
fn timer(local: u16, remote: u16) -> Option<(u8, Duration)> {
    let table = fs::read_to_string("/proc/net/tcp").expect("the connections of this machine");
    let ends = format!("0100007F:{local:04X} 0100007F:{remote:04X} 01 ");
    let line = table.lines().find(|line| line.contains(&ends))?;
    let (kind, left) = line.split_whitespace().nth(5)?.split_once(':')?;
    // In hundredths of a second, whatever the kernel's own tick is.
    let left = Duration::from_millis(10) * u32::from_str_radix(left, 16).ok()?;
    Some((u8::from_str_radix(kind, 16).ok()?, left))
}

#[test]
fn connections_are_probed_after_the_configured_time() {
    /// The kernel's number for a keepalive timer.
    const KEEPALIVE: u8 = 2;
    let lease = PortLease::any().expect("a port");
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("listener.tcp_keepalive", "5000s");
        config.add_listener("unprobed", &format!("127.0.0.1:{}", lease.port()));
        config.set("listener.tcp_keepalive", "none");
    });
    for (port, expected) in [(proxy.port(), Some(5000)), (lease.port(), None)] {
        let mut client = RawClient::connect(port);
        assert_eq!(client.call(&["PING"]), pong());
        let peer = client.local_addr().port();
        // While the reply is not acknowledged, another timer runs.
        poll_until(PATIENCE, "the expected timer", || {
            match (timer(port, peer), expected) {
                (Some((KEEPALIVE, left)), Some(seconds)) => {
                    let most = Duration::from_secs(seconds);
                    left <= most && left > most / 2
                }
                (Some((0, _)), None) => true,
                _ => false,
            }
        });
    }
}

#[test]
fn a_client_that_waits_for_slotmux_is_not_idle() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = closed.local_addr().expect("an address").port();
    drop(closed);
    let proxy = Proxy::launch(&[format!("redis://127.0.0.1:{port}")], None, |config| {
        config.set("listener.idle_timeout", "50ms");
        config.set("cluster.timeouts.command", "4s");
    });
    let mut client = poll_for(PATIENCE, "a connection", || {
        RawClient::try_connect(proxy.port()).ok()
    });
    // It waits for an upstream, longer than the interval of the search for idle clients.
    let reply = client.call(&["GET", "k"]);
    assert!(reply.error().starts_with("LOADING"), "{reply:?}");
}

#[test]
fn a_file_that_is_not_a_socket_is_not_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notes");
    fs::write(&path, "precious").expect("written");
    let proxy = Proxy::launch(&shared_cluster().seeds(), None, |config| {
        config.add_listener("near", &format!("unix:{}", path.display()));
    });
    assert!(!proxy.wait_exit().success());
    assert!(proxy.log().contains("cannot listen on"), "{}", proxy.log());
    assert_eq!(fs::read_to_string(&path).expect("still there"), "precious");
}
