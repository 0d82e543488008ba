//! Times beyond 31 and 32 bits of milliseconds: ages and outages stay correct. Only the clock of a debug build can be
//! set ahead.
#![cfg(debug_assertions)]

use std::fs;

use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_testing::{PATIENCE, Proxy, ProxyConfig, RawClient, Value, poll_until};
use tempfile::TempDir;

const DAY: u64 = 86_400;
/// Days by which the clock is advanced in sequence: past 2^31 ms, past 2^32 ms, past both again, a century.
const JUMPS: [u64; 4] = [25, 26, 30, 36_525];

/// One worker whose clock can be set ahead.
struct Ahead {
    folder: TempDir,
    proxy: Proxy,
}

impl Ahead {
    fn start(server: &LocalServer, configure: impl FnOnce(&mut ProxyConfig)) -> Ahead {
        let folder = TempDir::new().expect("a folder");
        let proxy = Proxy::start_before(server, |config| {
            config.set("server.workers", 1);
            config.set("cluster.timeouts.command", "1s");
            config.env("SABOTAGE", &folder.path().display().to_string());
            configure(config);
        });
        Ahead { folder, proxy }
    }

    fn pass(&self, days: u64) {
        let file = self.folder.path().join("clock");
        let half = self.folder.path().join("clock.half");
        fs::write(&half, (days * DAY).to_string()).expect("a file");
        fs::rename(&half, &file).expect("a file");
        poll_until(PATIENCE, "the clock to be set", || !file.exists());
    }
}

/// A number from the client's own line in `CLIENT LIST`.
fn own(client: &mut RawClient, field: &str) -> u64 {
    let line = client.call(&["CLIENT", "INFO"]).text();
    let words = line.split_whitespace();
    let mut values = words.filter_map(|word| word.strip_prefix(field)?.strip_prefix('='));
    values.next().expect("the field").parse().expect("a number")
}

#[test]
fn a_connection_grows_old_and_keeps_working() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    let ahead = Ahead::start(&server, |_| {});
    let mut client = ahead.proxy.client();
    let mut age = 0;
    for days in JUMPS {
        ahead.pass(days);
        age += days * DAY;
        // The last command is the query itself.
        let shown = own(&mut client, "age");
        assert!((age..age + DAY).contains(&shown), "{shown} after {age}");
        assert_eq!(own(&mut client, "idle"), 0);
        for i in 0..100 {
            let key = format!("{days}:{i}");
            assert_eq!(client.call(&["SET", &key, &key]), Value::ok());
            assert_eq!(client.call(&["GET", &key]), Value::bulk(&key));
        }
    }
}

#[test]
fn a_missing_node_stays_missing() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    let ahead = Ahead::start(&server, |_| {});
    let mut client = ahead.proxy.client();
    assert_eq!(client.call(&["SET", "k", "1"]), Value::ok());
    server.kill();
    let timeouts = || ahead.proxy.metric("slotmux_timeouts_total");
    // The first commands wait until the deadline; then the node is known to be down.
    poll_until(PATIENCE, "the node to be given up", || {
        let before = timeouts();
        let reply = client.call(&["SET", "k", "2"]);
        reply.error().ends_with("was not executed") && timeouts() == before
    });
    for days in JUMPS {
        ahead.pass(days);
        let before = timeouts();
        for _ in 0..3 {
            let reply = client.call(&["SET", "k", "3"]);
            assert!(
                reply.error().contains("is unreachable"),
                "{days}: {reply:?}"
            );
        }
        assert_eq!(timeouts(), before, "refused at once after {days} days more");
    }
    server.restart().expect("back");
    poll_until(PATIENCE, "the node to be up", || {
        client.call(&["SET", "k", "4"]) == Value::ok()
    });
}

#[test]
fn an_idle_timeout_of_weeks_lasts_weeks() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    let ahead = Ahead::start(&server, |config| {
        config.set("listener.idle_timeout", "720h");
    });
    let mut idle = ahead.proxy.client();
    assert_eq!(idle.call(&["SET", "k", "1"]), Value::ok());
    // Each further sweep of the clients would find it idle.
    ahead.pass(26);
    let mut other = ahead.proxy.client();
    assert_eq!(other.call(&["SET", "k", "2"]), Value::ok());
    ahead.pass(3);
    assert_eq!(other.call(&["GET", "k"]), Value::bulk("2"));
    assert_eq!(idle.call(&["GET", "k"]), Value::bulk("2"));
    ahead.pass(31);
    assert_eq!(idle.read_to_close(), b"");
    assert_eq!(other.read_to_close(), b"");
}
