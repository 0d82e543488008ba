//! Peers that are not Redis, or that refuse before any request: discovery and lanes report their first bytes.

use std::collections::HashSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use slotmux::tools::demo::guard::Guard;
use slotmux::tools::demo::ports::PortLease;
use slotmux::tools::demo::server::{LocalServer, ServerOptions, server_program};
use slotmux_core::slot::slot_of;
use slotmux_testing::{Forward, Layout, PATIENCE, Peer, Proxy, Step, Value, poll_until};
use socket2::{Domain, Socket, Type};

/// When a peer sends its text.
#[derive(Clone, Copy, PartialEq)]
enum When {
    /// On connection; then it hangs up.
    AtOnce,
    /// The same, but it hangs up without reading the request, which meets a closed port.
    AndIsGone,
    /// After the first request.
    Asked,
    /// On connection, and keeps it open.
    AndWaits,
}

/// A server of another kind that sends this text on every connection; returns its port.
fn foreign_server(words: &'static [u8], when: When) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut request = [0; 4096];
                if when == When::Asked {
                    let _ = stream.read(&mut request);
                }
                let _ = stream.write_all(words);
                if when != When::AndIsGone {
                    // Waits until the other end has closed: a reset would be a different test.
                    if when != When::AndWaits {
                        let _ = stream.shutdown(std::net::Shutdown::Write);
                    }
                    let _ = std::io::copy(&mut stream, &mut std::io::sink());
                }
            });
        }
    });
    port
}

const STRANGERS: &[(&[u8], &str)] = &[
    (
        b"-DENIED Redis is running in protected mode because no password is set. In this mode connections are only\r\n",
        "DENIED Redis is running in protected mode because no password is set",
    ),
    (b"-ERR max number of clients reached\r\n", "ERR max number of clients reached"),
    (b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n", "an HTTP server answers: HTTP/1.1 400 Bad Request"),
    (b"\x15\x03\x01\x00\x02\x02\x46", "is this a TLS port?"),
    (b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n", "it says: SSH-2.0-OpenSSH_9.2p1 Debian"),
    (b"J\0\0\0\x0a8.0.36\0\x1b[2Jevil", "it says: J\\u{0}\\u{0}\\u{0}"),
    (b"", "is this a TLS port?"),
];

/// Asserts that slotmux reports this of a seed at its start: in the log, and on the readiness page.
fn assert_seed_reported(port: u16, password: Option<&str>, said: &str) {
    let proxy = Proxy::launch(&[format!("redis://127.0.0.1:{port}")], password, |config| {
        config.set("server.workers", 1);
        config.set("cluster.timeouts.response", "5s");
    });
    let is_told = |text: &str| text.contains(&format!("127.0.0.1:{port}: ")) && text.contains(said);
    poll_until(PATIENCE, said, || {
        let page = proxy.admin_get("/readyz");
        page.is_some_and(|(status, text)| status == 503 && is_told(&text))
    });
    let log = proxy.log();
    assert!(is_told(&log), "{said}: {log}");
    assert!(
        !log.contains('\u{1b}') && !log.contains("roken pipe"),
        "{log}"
    );
}

#[test]
fn the_discovery_shows_the_text_of_a_foreign_server() {
    for &(words, said) in STRANGERS {
        for when in [When::AtOnce, When::AndIsGone, When::Asked] {
            assert_seed_reported(foreign_server(words, when), None, said);
        }
    }
    // The same with a password configured.
    for &(words, said) in STRANGERS {
        assert_seed_reported(foreign_server(words, When::AtOnce), Some("secret"), said);
    }
    // A peer that ends no line and never hangs up: its text is reported, not the timeout.
    assert_seed_reported(
        foreign_server(b"SSH-2.0-x\r\n", When::AndWaits),
        None,
        "SSH-2.0-x",
    );
}

#[test]
fn a_lane_shows_the_text_of_a_foreign_server() {
    for &(words, said) in STRANGERS.iter().filter(|(words, _)| !words.is_empty()) {
        for when in [When::AtOnce, When::AndIsGone, When::Asked] {
            let (port, layout) = (foreign_server(words, when), Layout::default());
            let sound = Peer::start_in(&layout, |_| None);
            layout.set(&[(0, 8191, port), (8192, 16383, sound.port())]);
            let proxy = Proxy::start_at(&sound.seeds(), None, |config| {
                config.set("server.workers", 1);
                config.set("cluster.timeouts.command", "300ms");
            });
            let key = (0..).map(|i| format!("k{i}"));
            let key = { key }
                .find(|key| slot_of(key.as_bytes()).0 < 8192)
                .expect("a key");
            for mut client in [proxy.client(), proxy.client_resp3()] {
                let reply = client.call(&["GET", &key]);
                assert!(reply.error().contains(said), "{reply:?} lacks {said}");
            }
            let (status, text) = proxy.admin_get("/readyz").expect("the admin page");
            assert!(
                status == 200 && text.contains(&format!("127.0.0.1:{port} cannot be used: ")),
                "{text}"
            );
            assert!(text.contains(said), "{text} lacks {said}");
        }
    }
}

/// A `redis-server` with exactly this configuration, which may refuse the test's own connections.
struct Bare {
    process: Child,
    port: PortLease,
    _guard: Guard,
}

impl Bare {
    fn start(configure: impl FnOnce(u16, &Guard) -> String) -> Bare {
        let guard = Guard::new().expect("a folder");
        let port = PortLease::any().expect("a port");
        let file = guard.folder().join("redis.conf");
        fs::write(&file, configure(port.port(), &guard)).expect("written");
        let process = Command::new(server_program().expect("a server"))
            .arg(&file)
            .current_dir(guard.folder())
            .stdout(Stdio::null())
            .spawn()
            .expect("a server");
        poll_until(PATIENCE, "the server to listen", || {
            TcpStream::connect(("127.0.0.1", port.port())).is_ok()
        });
        Bare {
            process,
            port,
            _guard: guard,
        }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_real_tls_port_is_suspected_to_be_one() {
    let server = Bare::start(|port, guard| {
        let made = Command::new("openssl")
            .args("req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=x".split(' '))
            .args(["-keyout", "key.pem", "-out", "cert.pem"])
            .current_dir(guard.folder())
            .stderr(Stdio::null())
            .status();
        assert!(made.expect("openssl").success());
        format!(
            "bind 127.0.0.1\nport 0\ntls-port {port}\ntls-cert-file cert.pem\ntls-key-file key.pem\n\
             tls-ca-cert-file cert.pem\nsave \"\"\n"
        )
    });
    assert_seed_reported(server.port.port(), None, "is this a TLS port?");
    assert_seed_reported(server.port.port(), Some("secret"), "is this a TLS port?");
}

/// Forwards to a port from a different source address; returns the port to connect to.
fn from_elsewhere(target: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    thread::spawn(move || {
        for mut here in listener.incoming().flatten() {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            let elsewhere = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0));
            socket.bind(&elsewhere.into()).expect("its address");
            let target = SocketAddr::from((Ipv4Addr::LOCALHOST, target));
            if socket.connect(&target.into()).is_err() {
                continue;
            }
            let mut there = TcpStream::from(socket);
            let (mut back, mut forth) = (
                there.try_clone().expect("a second handle"),
                here.try_clone().expect("a second handle"),
            );
            thread::spawn(move || {
                let _ = std::io::copy(&mut back, &mut forth);
                let _ = forth.shutdown(std::net::Shutdown::Write);
            });
            thread::spawn(move || std::io::copy(&mut here, &mut there));
        }
    });
    port
}

#[test]
fn a_real_server_in_protected_mode_is_quoted() {
    let server = Bare::start(|port, _| format!("port {port}\nprotected-mode yes\nsave \"\"\n"));
    let said = "DENIED Redis is running in protected mode because protected mode is enabled and no password is set for \
        the default user";
    assert_seed_reported(from_elsewhere(server.port.port()), None, said);
}

#[test]
fn a_real_server_with_too_many_clients_is_quoted_and_used_once_there_is_room() {
    let server =
        Bare::start(|port, _| format!("bind 127.0.0.1\nport {port}\nmaxclients 1\nsave \"\"\n"));
    let port = server.port.port();
    // Retries until the connection is accepted: one that was just closed may still count.
    let mut ours = None;
    poll_until(PATIENCE, "the only place to be taken", || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        let mut reply = [0; 7];
        let is_in = stream.write_all(b"PING\r\n").is_ok()
            && stream.read_exact(&mut reply).is_ok()
            && &reply == b"+PONG\r\n";
        ours = is_in.then_some(stream);
        is_in
    });
    assert_seed_reported(port, None, "ERR max number of clients reached");
    drop(ours);

    // The discovery found the server earlier, so now the lane gets the error.
    let full = LocalServer::start(&ServerOptions::default()).expect("a server");
    let forward = Arc::new(AtomicU16::new(full.port()));
    let gate = Forward::start(forward.load(Ordering::SeqCst));
    let seeds = vec![format!("redis://127.0.0.1:{}", gate.port())];
    let proxy = Proxy::start_at(&seeds, None, |config| {
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "300ms");
    });
    gate.lead_to(foreign_server(
        b"-ERR max number of clients reached\r\n",
        When::AndIsGone,
    ));
    let reply = proxy.client().call(&["GET", "key"]);
    assert!(
        reply.error().contains("ERR max number of clients reached"),
        "{reply:?}"
    );
    poll_until(PATIENCE, "slotmux not to be ready", || {
        proxy.admin_get("/readyz").is_some_and(|(status, text)| {
            status == 503 && text.contains("max number of clients reached")
        })
    });
    gate.lead_to(full.port());
    poll_until(PATIENCE, "slotmux to be ready again", || {
        proxy.admin_get("/readyz") == Some((200, "ready\n".to_owned()))
    });
}

/// A node that answers everything with a temporary error has accepted neither the password nor RESP3: its connection is
/// unusable even after the node has recovered.
#[test]
fn a_connection_whose_login_met_a_temporary_error_is_not_used() {
    for error in [
        "-LOADING Redis is loading the dataset in memory\r\n",
        "-MASTERDOWN Link with MASTER is down\r\n",
        "-BUSY Redis is busy running a script\r\n",
    ] {
        for (is_resp3, password) in [(false, true), (true, false), (true, true)] {
            let is_away = Arc::new(AtomicBool::new(false));
            let logged_in = Mutex::new(HashSet::new());
            let away = is_away.clone();
            let peer = Peer::start(move |request| {
                if away.load(Ordering::SeqCst) {
                    return Some(Step::reply(error));
                }
                let mut logged_in = logged_in.lock().expect("a sound lock");
                let has_hello = request.name() == "HELLO" && request.word(1) == "3";
                if has_hello || (request.name() == "AUTH" && !is_resp3) {
                    logged_in.insert(request.connection);
                }
                (request.name() == "GET").then(|| {
                    let is_in = logged_in.contains(&request.connection);
                    Step::reply(if is_in { "+in\r\n" } else { "-NOAUTH\r\n" })
                })
            });
            let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
                config.set("server.workers", 1);
                config.set("cluster.timeouts.command", "10s");
                config.set("cluster.connections.backoff", "10ms..50ms");
                if password {
                    config.set("cluster.password", vec!["secret".to_owned()]);
                }
            });
            let mut client = if is_resp3 {
                proxy.client_resp3()
            } else {
                proxy.client()
            };
            let said = format!("{error} {is_resp3} {password}");
            assert_eq!(
                client.call(&["GET", "k"]),
                Value::Simple("in".into()),
                "{said}"
            );
            is_away.store(true, Ordering::SeqCst);
            peer.hang_up();
            client.send(&["GET", "k"]);
            poll_until(PATIENCE, "the failed login", || {
                proxy.metric("slotmux_upstream_connect_failures_total") >= Some(1.0)
            });
            is_away.store(false, Ordering::SeqCst);
            assert_eq!(client.read(), Value::Simple("in".into()), "{said}");
        }
    }
}
