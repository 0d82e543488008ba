//! `slotmux-bench` against a real Redis, and against a relay in front of it that corrupts one reply: the tool must
//! report exactly that fault, also by its exit status.

use serde_json::Value;
use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_testing::built::load_tool;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of the reply to a GET of a 64-byte value: `$64`, the value, two line ends.
const REPLY: usize = 5 + 64 + 2;

/// A plain Redis on a leased port.
fn redis(password: Option<&str>) -> LocalServer {
    let password = password.map(str::to_owned);
    LocalServer::start(&ServerOptions {
        password,
        ..ServerOptions::default()
    })
    .expect("a redis-server")
}

fn bench(port: u16, args: &[&str]) -> Command {
    let mut command = Command::new(load_tool("slotmux-bench"));
    command
        .args([
            "--target",
            &format!("127.0.0.1:{port}"),
            "--json",
            "--no-progress",
            "--keys",
            "500",
        ])
        .args(args);
    command
}

fn run(port: u16, args: &[&str]) -> (i32, Value) {
    let Output {
        status,
        stdout,
        stderr,
    } = bench(port, args).output().unwrap();
    let result = serde_json::from_slice(&stdout)
        .unwrap_or_else(|e| panic!("{e} in {stdout:?}; {}", String::from_utf8_lossy(&stderr)));
    (status.code().unwrap(), result)
}

fn count(result: &Value, name: &str) -> u64 {
    result[name]
        .as_u64()
        .unwrap_or_else(|| panic!("no {name} in {result}"))
}

#[test]
fn every_command_is_checked_against_a_real_redis() {
    let redis = redis(None);
    let runs: [&[&str]; 9] = [
        &["--command", "get"],
        &["--command", "set", "--depth", "32"],
        &["--command", "mget:10", "--resp", "3"],
        &[
            "--mix",
            "get=5,mset:3=1,incr=2,ping=1",
            "--depth",
            "7",
            "--threads",
            "2",
        ],
        &["--value-size", "16KiB", "--depth", "4"],
        &["--value-size", "0..300"],
        &["--introduction", "library", "--resp", "3"],
        &["--rate", "20000", "--depth", "8"],
        &[
            "--value-size",
            "1MiB",
            "--keys",
            "8",
            "--depth",
            "3",
            "--clients",
            "3",
        ],
    ];
    for args in runs {
        // The last of two equal options counts.
        let (status, result) = run(redis.port(), &[args, &["--requests", "3000"][..]].concat());
        assert_eq!(status, 0, "{args:?}: {result}");
        assert_eq!(
            (count(&result, "requests"), count(&result, "replies")),
            (3000, 3000),
            "{args:?}"
        );
        assert!(
            result["latency_us"]["p50"].as_f64().unwrap() > 0.0,
            "{args:?}: {result}"
        );
    }
}

#[test]
fn a_missing_key_is_a_fault_unless_allowed() {
    let redis = redis(None);
    let args = ["--no-load", "--command", "get", "--requests", "200"];
    let (status, result) = run(redis.port(), &args);
    assert_eq!(
        (status, count(&result, "wrong"), count(&result, "missing")),
        (1, 200, 200)
    );
    let (status, result) = run(redis.port(), &[&args[..], &["--allow-missing"]].concat());
    assert_eq!((status, count(&result, "wrong")), (0, 0));
}

#[test]
fn a_password_is_sent() {
    let redis = redis(Some("sesame"));
    for resp in ["2", "3"] {
        let args = ["--resp", resp, "--requests", "100", "--password"];
        assert_eq!(run(redis.port(), &[&args[..], &["sesame"]].concat()).0, 0);
        let refused = bench(redis.port(), &[&args[..], &["guess"]].concat())
            .output()
            .unwrap();
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    }
    let (status, result) = run(redis.port(), &["--command", "set", "--requests", "100"]);
    assert_eq!((status, count(&result, "errors")), (1, 100), "{result}");
    assert!(
        result["samples"][0].as_str().unwrap().contains("NOAUTH"),
        "{result}"
    );
}

#[test]
fn idle_clients_are_held_and_counted() {
    let redis = redis(None);
    assert_eq!(run(redis.port(), &["--requests", "100"]).0, 0);
    let args = [
        "--idle",
        "--clients",
        "20",
        "--depth",
        "4",
        "--no-load",
        "--step",
    ];
    let mut child = bench(redis.port(), &args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (
        child.stdin.take().unwrap(),
        BufReader::new(child.stdout.take().unwrap()),
    );
    let mut line = || {
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        line
    };
    assert_eq!(line(), "ready\n");
    stdin.write_all(b"go\n").unwrap();
    assert_eq!(line(), "idle\n");
    // All but the querying one belong to the tool.
    let mut redis_client = TcpStream::connect((Ipv4Addr::LOCALHOST, redis.port())).unwrap();
    redis_client
        .write_all(b"CLIENT LIST TYPE normal\r\nQUIT\r\n")
        .unwrap();
    let mut list = String::new();
    redis_client.read_to_string(&mut list).unwrap();
    assert_eq!(list.matches("id=").count(), 21, "{list}");
    drop(redis);
    stdin.write_all(b"go\n").unwrap();
    let result: Value = serde_json::from_str(&line()).unwrap();
    assert_eq!(
        (
            count(&result, "replies"),
            count(&result, "closed_while_idle")
        ),
        (80, 20),
        "{result}"
    );
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn an_unreachable_target_is_status_2() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let output = bench(free, &["--requests", "1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("connect to 127.0.0.1"),
        "{output:?}"
    );
}

/// The relay's fault in one pipeline's replies.
type Spoil = fn(&mut Vec<u8>) -> AndThen;

#[derive(PartialEq)]
enum AndThen {
    GoOn,
    HangUp,
}

/// A byte relay to `redis` that corrupts only the 50th pipeline of `depth` replies. Returns its port.
fn relay(redis: u16, depth: usize, spoil: Spoil) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(AtomicUsize::new(0));
    // The threads end with their connections; the listener's ends with the test process.
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect((Ipv4Addr::LOCALHOST, redis)).unwrap();
            let (mut from_client, mut to_server) =
                (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from_client, &mut to_server);
                let _ = to_server.shutdown(Shutdown::Both);
            });
            let seen = seen.clone();
            std::thread::spawn(move || {
                let (mut client, mut server) = (client, server);
                let mut replies = vec![0; depth * REPLY];
                while server.read_exact(&mut replies).is_ok() {
                    let mut sent = replies.clone();
                    let then = match seen.fetch_add(1, Ordering::Relaxed) {
                        49 => spoil(&mut sent),
                        _ => AndThen::GoOn,
                    };
                    if client.write_all(&sent).is_err() || then == AndThen::HangUp {
                        break;
                    }
                }
                let _ = client.shutdown(Shutdown::Both);
            });
        }
    });
    port
}

#[test]
fn one_corrupted_reply_is_reported() {
    let redis = redis(None);
    assert_eq!(
        run(redis.port(), &["--requests", "100"]).0,
        0,
        "all keys exist"
    );
    // Name, depth, fault, then: errors, wrong, lost.
    let cases: [(&str, usize, Spoil, [u64; 3]); 8] = [
        ("nothing", 1, |_| AndThen::GoOn, [0, 0, 0]),
        (
            "one bit",
            1,
            |replies| spoil(replies, |r| r[20] ^= 1),
            [0, 1, 0],
        ),
        (
            "two replies change places",
            2,
            |replies| spoil(replies, |r| r.rotate_left(REPLY)),
            [0, 2, 0],
        ),
        (
            "an error",
            1,
            |replies| spoil(replies, |r| *r = b"-ERR spoiled\r\n".to_vec()),
            [1, 0, 0],
        ),
        (
            "a nil",
            1,
            |replies| spoil(replies, |r| *r = b"$-1\r\n".to_vec()),
            [0, 1, 0],
        ),
        (
            "a reply is lost",
            1,
            |replies| spoil(replies, Vec::clear),
            [0, 0, 1],
        ),
        (
            "half a reply, then hanging up",
            1,
            hang_up_half_way,
            [0, 0, 1],
        ),
        (
            "no protocol at all",
            1,
            |replies| spoil(replies, |r| *r = b"HTTP/1.1 400\r\n".to_vec()),
            [0, 1, 1],
        ),
    ];
    for (name, depth, spoil, [errors, wrong, lost]) in cases {
        let port = relay(redis.port(), depth, spoil);
        let depth = depth.to_string();
        let args = [
            "--clients",
            "1",
            "--command",
            "get",
            "--no-load",
            "--requests",
            "200",
            "--timeout",
            "500ms",
        ];
        let (status, result) = run(port, &[&args[..], &["--depth", &depth]].concat());
        let seen = (
            count(&result, "errors"),
            count(&result, "wrong"),
            count(&result, "lost"),
        );
        assert_eq!(seen, (errors, wrong, lost), "{name}: {result}");
        assert_eq!(
            status,
            i32::from(errors + wrong + lost > 0),
            "{name}: {result}"
        );
        assert_eq!(
            count(&result, "requests"),
            200,
            "{name}: goes on after the fault: {result}"
        );
    }
}

fn spoil(replies: &mut Vec<u8>, change: impl Fn(&mut Vec<u8>)) -> AndThen {
    change(replies);
    AndThen::GoOn
}

fn hang_up_half_way(replies: &mut Vec<u8>) -> AndThen {
    replies.truncate(REPLY / 2);
    AndThen::HangUp
}
