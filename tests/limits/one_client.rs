//! The limits of one client: each affects only the client that exceeds it, with Redis' error texts where Redis has
//! some.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::OnceLock;
use std::time::Duration;

use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_core::slot::slot_of;
use slotmux_testing::peer::Gate;
use slotmux_testing::{
    Layout, Neighbour, PATIENCE, Peer, Proxy, RawClient, Step, Value, poll_until, shared_cluster,
    shared_proxy,
};

const MAX_CLIENTS: usize = 6;
const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";

fn plain_redis() -> &'static LocalServer {
    static SERVER: OnceLock<LocalServer> = OnceLock::new();
    SERVER.get_or_init(|| LocalServer::start(&ServerOptions::default()).expect("a server"))
}

/// The reply of a server to these bytes until it hangs up.
fn output_until_close(port: u16, bytes: &[u8]) -> String {
    let mut client = RawClient::connect(port);
    // A server may hang up before it has read everything.
    let _ = client.try_send_raw(bytes);
    String::from_utf8_lossy(&client.read_to_close()).into_owned()
}

/// The value of a line of `/proc/PID/status`, in bytes.
fn memory(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .expect("a line");
    line.trim()
        .trim_end_matches(" kB")
        .parse::<u64>()
        .expect("a number")
        * 1024
}

#[test]
fn a_client_above_the_maximum_gets_the_error_of_redis() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("server.max_clients", MAX_CLIENTS as i64);
    });
    let redis = LocalServer::start(&ServerOptions {
        extra: vec![("maxclients".into(), MAX_CLIENTS.to_string())],
        ..ServerOptions::default()
    })
    .expect("a server");
    // The connections that waited for the start may need a moment to be forgotten.
    poll_until(PATIENCE, "the client count to be 0", || {
        proxy.metric("slotmux_clients") == Some(0.0)
    });
    for port in [redis.port(), proxy.port()] {
        let mut clients: Vec<RawClient> = Vec::new();
        poll_until(PATIENCE, "all places to be taken", || {
            let mut client = RawClient::connect(port);
            if client.call(&["PING"]) == Value::Simple("PONG".into()) {
                clients.push(client);
            }
            clients.len() == MAX_CLIENTS
        });
        for _ in 0..3 {
            assert_eq!(RawClient::connect(port).read_to_close(), TOO_MANY);
        }
        for client in &mut clients {
            assert_eq!(client.call(&["PING"]), Value::Simple("PONG".into()));
        }
        clients.pop();
        poll_until(PATIENCE, "a free place to be taken", || {
            let mut client = RawClient::connect(port);
            client.try_send_raw(b"PING\r\n").is_ok()
                && client.try_read().ok() == Some(Value::Simple("PONG".into()))
        });
    }
    assert!(
        proxy
            .metric("slotmux_rejected_total")
            .is_some_and(|n| n >= 3.0)
    );
}

#[test]
fn bytes_that_are_not_a_request_are_refused_as_by_redis() {
    let redis = plain_redis();
    let (port, neighbour) = (
        shared_proxy().port(),
        Neighbour::start(shared_proxy().port(), "beside-malformed"),
    );
    let long = "9".repeat(70_000);
    let inputs: Vec<Vec<u8>> = vec![
        b"*2147483648\r\n".to_vec(),
        b"*abc\r\n".to_vec(),
        b"*99999999999999999999\r\n".to_vec(),
        b"*1\r\n$536870913\r\n".to_vec(),
        b"*1\r\n$-1\r\n".to_vec(),
        b"*1\r\n$abc\r\n".to_vec(),
        b"*1\r\n$\r\n".to_vec(),
        b"*2\r\n$4\r\nECHO\r\n:5\r\n".to_vec(),
        b"SET a \"b\r\n".to_vec(),
        b"SET a 'b'c\r\n".to_vec(),
        "x".repeat(70_000).into_bytes(),
        format!("*{long}").into_bytes(),
        format!("*1\r\n${long}").into_bytes(),
        // Earlier requests are answered first.
        b"PING\r\nECHO one\r\n*1\r\n!\r\n".to_vec(),
        // Nesting, which is invalid in requests.
        b"*1\r\n".repeat(10_000),
        [b"PING\r\n".to_vec(), b"*1000000\r\n*1\r\n".repeat(1000)].concat(),
    ];
    for input in inputs {
        let shown = String::from_utf8_lossy(&input[..input.len().min(40)]).into_owned();
        let answer = output_until_close(port, &input);
        assert!(answer.contains("-ERR Protocol error: "), "{shown:?}");
        assert_eq!(
            answer,
            output_until_close(redis.port(), &input),
            "{shown:?}"
        );
    }
    neighbour.goes_on();
    neighbour.finish();
}

#[test]
fn clients_without_login_may_send_little_as_with_redis() {
    let redis = LocalServer::start(&ServerOptions {
        password: Some("open-sesame".into()),
        ..ServerOptions::default()
    })
    .expect("a server");
    let proxy = Proxy::start_before(&redis, |config| config.add_user("default", "open-sesame"));
    let words = "word ".repeat(12);
    for input in [
        b"*11\r\n".to_vec(),
        b"*2\r\n$4\r\nECHO\r\n$16385\r\n".to_vec(),
        b"*2\r\n$4\r\nECHO\r\n$536870913\r\n".to_vec(),
        // The limit of clients without login does not apply to inline requests; but a password is required, so it ends.
        format!("DEL {words}\r\n*11\r\n").into_bytes(),
        b"*10\r\n"
            .iter()
            .copied()
            .chain(b"$1\r\na\r\n".repeat(10))
            .chain(*b"*11\r\n")
            .collect(),
    ] {
        let shown = String::from_utf8_lossy(&input).into_owned();
        let answer = output_until_close(proxy.port(), &input);
        assert_eq!(
            answer,
            output_until_close(redis.port(), &input),
            "{shown:?}"
        );
        assert!(answer.contains("-ERR Protocol error: "), "{shown:?}");
    }
    // After the login larger requests are accepted.
    let mut client = proxy.client();
    assert_eq!(client.call(&["AUTH", "open-sesame"]), Value::ok());
    let value = "v".repeat(20_000);
    assert_eq!(client.call(&["ECHO", &value]), Value::bulk(&value));
}

#[test]
fn configured_limits_of_a_request_hold() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("listener.limits.max_request", "100KiB");
        config.set("listener.limits.max_args", 100);
        config.set("listener.limits.max_inline", "1KiB");
    });
    let neighbour = Neighbour::start(proxy.port(), "beside-limits");
    let piece = format!("$60000\r\n{}\r\n", "p".repeat(60_000));
    let table = [
        (
            "*101\r\n".to_owned(),
            "-ERR Protocol error: invalid multibulk length\r\n",
        ),
        (
            "*2\r\n$4\r\nECHO\r\n$102401\r\n".to_owned(),
            "-ERR Protocol error: invalid bulk length\r\n",
        ),
        (
            "i".repeat(2000),
            "-ERR Protocol error: too big inline request\r\n",
        ),
        (
            format!("*3\r\n$4\r\nMGET\r\n{piece}{piece}"),
            "-ERR slotmux: the request is larger than listener.limits.max_request (102400 bytes)\r\n",
        ),
    ];
    for (input, expected) in table {
        assert_eq!(output_until_close(proxy.port(), input.as_bytes()), expected);
    }
    // Just within.
    let mut client = proxy.client();
    let words = |n: usize| -> Vec<String> {
        std::iter::once("EXISTS".to_owned())
            .chain((1..n).map(|i| format!("limit:{i}")))
            .collect()
    };
    assert_eq!(client.call(&words(100)), Value::Integer(0));
    let value = "v".repeat(100_000);
    assert_eq!(client.call(&["ECHO", &value]), Value::bulk(&value));
    let line = "w".repeat(900);
    client.send_raw(format!("ECHO {line}\r\n").as_bytes());
    assert_eq!(client.read(), Value::bulk(&line));
    neighbour.goes_on();
    neighbour.finish();
}

#[test]
fn announced_lengths_take_no_memory() {
    let proxy = Proxy::start(shared_cluster(), |_| {});
    let neighbour = Neighbour::start(proxy.port(), "beside-boasters");
    neighbour.goes_on();
    let (resident, all) = (memory(proxy.pid(), "VmRSS"), memory(proxy.pid(), "VmSize"));
    let mut clients: Vec<RawClient> = (0..500).map(|_| proxy.client()).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        client.send_raw(match i % 4 {
            0 => b"*1000000\r\n$536870912\r\n",
            1 => b"*1048576\r\n$3\r\nSET\r\n$536870912\r\nx",
            2 => b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$500000000\r\n",
            _ => b"*1048576\r\n",
        });
    }
    poll_until(PATIENCE, "all requests to be read", || {
        proxy
            .metric("slotmux_client_reads_total")
            .is_some_and(|reads| reads >= 500.0)
    });
    neighbour.goes_on();
    let grown = memory(proxy.pid(), "VmRSS").saturating_sub(resident);
    assert!(grown < 16 << 20, "{grown} bytes more for 500 announcements");
    let grown = memory(proxy.pid(), "VmSize").saturating_sub(all);
    assert!(
        grown < 1 << 30,
        "{grown} bytes of address space for 500 announcements"
    );
    // They are still ordinary clients.
    assert_eq!(proxy.metric("slotmux_clients"), Some(501.0));
    neighbour.finish();
}

#[test]
fn a_deeply_nested_reply_passes() {
    let depth = 200_000;
    let nested = [b"*1\r\n".repeat(depth), b":7\r\n".to_vec()].concat();
    let (get, mget) = (
        nested.clone(),
        [b"*1\r\n".to_vec(), nested.clone()].concat(),
    );
    let peer = Peer::start(move |request| match request.name().as_str() {
        "GET" => Some(Step::reply(&get)),
        "MGET" => Some(Step::reply(&mget)),
        _ => None,
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, |_| {});
    let merged = [b"*2\r\n".to_vec(), nested.clone(), nested.clone()].concat();
    for (command, expected) in [("GET a\r\n", &nested), ("MGET a b\r\n", &merged)] {
        // The tests' own reader would recurse into these.
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
        stream.write_all(command.as_bytes()).expect("sent");
        let mut reply = vec![0; expected.len()];
        stream.read_exact(&mut reply).expect("a reply in time");
        assert!(reply == *expected, "{command:?}");
    }
}

/// A key of the first (`upper` false) or the second half of the slots.
fn key_in(upper: bool, name: &str) -> String {
    (0..)
        .map(|i| format!("{name}:{i}"))
        .find(|key| (slot_of(key.as_bytes()).0 >= 8192) == upper)
        .expect("a key")
}

/// Two peers that share the slots; the first holds back every SET until the gate opens.
fn gated_pair(gate: &Gate) -> [Peer; 2] {
    let layout = Layout::default();
    let gate = gate.clone();
    let slow = Peer::start_in(&layout, move |request| {
        (request.name() == "SET").then(|| {
            vec![
                Step::Gate(gate.clone()),
                Step::Bytes(format!("+{}\r\n", request.word(2)).into_bytes()),
            ]
        })
    });
    let quick = Peer::start_in(&layout, |request| {
        (request.name() == "ECHO" || request.name() == "GET")
            .then(|| Step::reply(format!("+{}\r\n", request.word(1))))
    });
    layout.set(&[(0, 8191, slow.port()), (8192, 16383, quick.port())]);
    [slow, quick]
}

/// A pipeline of SETs whose values are their numbers.
fn numbered(key: &str, count: usize) -> Vec<u8> {
    (0..count)
        .flat_map(|i| slotmux_testing::client::command(&["SET", key, &format!("v{i}")]))
        .collect()
}

#[test]
fn a_long_pipeline_waits_for_room_and_no_other_client_does() {
    let gate = Gate::default();
    let peers = gated_pair(&gate);
    let proxy = Proxy::start_at(&peers[0].seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("listener.limits.max_pipeline", 10);
        config.set("cluster.timeouts.command", "60s");
        config.set("cluster.timeouts.response", "60s");
    });
    let (slow_key, quick_key) = (key_in(false, "slow"), key_in(true, "quick"));
    let mut client = proxy.client();
    client.send_raw(&numbered(&slow_key, 200));
    let written = |proxy: &Proxy| proxy.metric("slotmux_in_flight");
    poll_until(PATIENCE, "ten commands in flight", || {
        written(&proxy) == Some(10.0)
    });
    // Another client with a pipeline much longer than the limit gets all of its replies.
    let mut other = proxy.client();
    let commands: Vec<Vec<&str>> = (0..2000).map(|_| vec!["GET", &*quick_key]).collect();
    for reply in other.pipeline(&commands) {
        assert_eq!(reply, Value::Simple(quick_key.clone()));
    }
    poll_until(PATIENCE, "the gauge to be updated", || {
        written(&proxy) == Some(10.0)
    });
    assert!(!client.has_news(Duration::from_millis(1)));
    gate.open();
    for i in 0..200 {
        assert_eq!(client.read(), Value::Simple(format!("v{i}")));
    }
}

#[test]
fn a_full_lane_delays_only_its_own_clients() {
    for (key, value) in [
        ("max_in_flight", toml::Value::from(32)),
        ("max_in_flight_bytes", toml::Value::from("64KiB")),
    ] {
        let gate = Gate::default();
        let peers = gated_pair(&gate);
        let proxy = Proxy::start_at(&peers[0].seeds(), None, |config| {
            config.set("server.workers", 1);
            config.set(&format!("cluster.connections.{key}"), value.clone());
            config.set("cluster.timeouts.command", "60s");
            config.set("cluster.timeouts.response", "60s");
        });
        let (slow_key, quick_key) = (key_in(false, "slow"), key_in(true, "quick"));
        // About 2 KiB each: 32 of them fill the lane by either measure.
        let padding = "p".repeat(2000);
        let mut clients: Vec<RawClient> = (0..40).map(|_| proxy.client()).collect();
        for (c, client) in clients.iter_mut().enumerate() {
            for i in 0..10 {
                client.send(&["SET", &slow_key, &format!("v{c}.{i}"), &padding]);
            }
        }
        let in_flight = || proxy.metric("slotmux_in_flight").unwrap_or_default();
        poll_until(PATIENCE, "the lane to be full", || in_flight() >= 32.0);
        let mut other = proxy.client();
        for _ in 0..100 {
            let commands: Vec<Vec<&str>> = (0..50).map(|_| vec!["GET", &*quick_key]).collect();
            for reply in other.pipeline(&commands) {
                assert_eq!(reply, Value::Simple(quick_key.clone()));
            }
        }
        // The gauge may still count the other client's pipelines.
        poll_until(PATIENCE, "the lane to be full", || {
            (32.0..=33.0).contains(&in_flight())
        });
        gate.open();
        for (c, client) in clients.iter_mut().enumerate() {
            for i in 0..10 {
                assert_eq!(client.read(), Value::Simple(format!("v{c}.{i}")), "{key}");
            }
        }
    }
}

#[test]
fn only_the_client_over_its_output_limit_is_closed() {
    for (hard, soft) in [("2MiB", "none"), ("64MiB", "256KiB/2s")] {
        let proxy = Proxy::start(shared_cluster(), |config| {
            config.set("listener.limits.output_hard", hard);
            config.set("listener.limits.output_soft", soft);
        });
        let neighbour = Neighbour::start(proxy.port(), "beside-hoarder");
        let mut writer = proxy.client();
        let value = "o".repeat(60_000);
        assert_eq!(writer.call(&["SET", "output", &value]), Value::ok());
        // Asks for 48 MB and does not read: more than the kernel's buffers and the limit hold.
        let mut hoarder = proxy.client();
        let bytes: Vec<u8> =
            std::iter::repeat_n(slotmux_testing::client::command(&["GET", "output"]), 800)
                .flatten()
                .collect();
        hoarder.send_raw(&bytes);
        poll_until(PATIENCE, "the slow reader to be closed", || {
            proxy.metric("slotmux_limit_closes_total") == Some(1.0)
        });
        neighbour.goes_on();
        // A client that reads gets all of it.
        let commands: Vec<Vec<&str>> = (0..20).map(|_| vec!["GET", "output"]).collect();
        for _ in 0..40 {
            for reply in writer.pipeline(&commands) {
                assert_eq!(reply, Value::bulk(&value));
            }
        }
        assert_eq!(proxy.metric("slotmux_limit_closes_total"), Some(1.0));
        neighbour.finish();
        assert!(
            hoarder.read_to_close().len() < 48_000_000,
            "the slow reader got everything"
        );
    }
}

#[test]
fn all_clients_together_stay_within_the_memory_limit() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("server.memory_limit", "16MiB");
    });
    let neighbour = Neighbour::start(proxy.port(), "beside-crowd");
    // Each holds half a request of 1 MB: valid alone, too much together.
    let half = format!("*2\r\n$4\r\nECHO\r\n$2000000\r\n{}", "h".repeat(1_000_000));
    let mut crowd: Vec<RawClient> = (0..40).map(|_| proxy.client()).collect();
    for client in &mut crowd {
        let _ = client.try_send_raw(half.as_bytes());
    }
    poll_until(PATIENCE, "the largest to be closed", || {
        proxy
            .metric("slotmux_limit_closes_total")
            .is_some_and(|closed| closed >= 24.0)
            && proxy
                .metric("slotmux_client_buffer_bytes")
                .is_some_and(|bytes| bytes <= f64::from(16 << 20))
    });
    neighbour.goes_on();
    neighbour.finish();
}

#[test]
fn commands_waiting_for_an_unowned_slot_count_against_the_memory_limit() {
    let layout = Layout::default();
    let peer = Peer::start_in(&layout, |_| None);
    layout.set(&[(8192, 16383, peer.port())]);
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("server.memory_limit", "64MiB");
        // With a lower threshold the whole of an MSET counts, as one for a dedicated lane.
        config.set("cluster.connections.bulk_threshold", "16MiB");
        config.set("cluster.timeouts.command", "60s");
    });
    let value = "n".repeat(8 << 20);
    let requests = [
        slotmux_testing::client::command(&["SET", &key_in(false, "nobody"), &value]),
        slotmux_testing::client::command(&[
            "MSET",
            &key_in(false, "none"),
            &value,
            &key_in(true, "one"),
            "1",
        ]),
    ];
    let mut clients: Vec<RawClient> = (0..40).map(|_| proxy.client()).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        // The proxy may close it midway.
        let _ = client.try_send_raw(&requests[i % 2]);
    }
    poll_until(PATIENCE, "clients above the limit to be closed", || {
        proxy.metric("slotmux_limit_closes_total") >= Some(32.0)
    });
    poll_until(
        PATIENCE,
        "the memory of the other clients to be freed",
        || proxy.rss() < 128 << 20,
    );
    let mut other = proxy.client();
    let key = key_in(true, "somebody");
    assert_eq!(other.call(&["SET", &key, "1"]), Value::ok());
}
