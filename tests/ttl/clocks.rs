//! A node whose clock differs from that of slotmux: bounds hold by the node's clock, by which keys expire.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use slotmux::tools::demo::guard::Guard;
use slotmux::tools::demo::ports::PortLease;
use slotmux::tools::demo::server::server_program;

use super::add_namespace;
use slotmux_testing::{PATIENCE, Proxy, RawClient, Value, poll_for};

const MAX: i64 = 200_000;

/// The function by which a server reads the time, in C: the kernel's time, shifted by a number of seconds.
const CLOCK: &str = "
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>
int gettimeofday(struct timeval *restrict time, void *restrict zone) {
  int failed = syscall(SYS_gettimeofday, time, zone);
  time->tv_sec += OFF;
  return failed;
}
";

/// A Redis with a shifted clock; ended when this value is dropped.
struct OffServer {
    child: Child,
    lease: PortLease,
    _guard: Guard,
}

impl OffServer {
    /// `off` in seconds.
    fn start(off: i64) -> OffServer {
        let guard = Guard::new().expect("a folder");
        let clock = guard.folder().join("clock.so");
        // Rust links with the same program.
        let mut compiler = Command::new("cc")
            .args(["-shared", "-fPIC", "-x", "c", &format!("-DOFF={off}"), "-o"])
            .arg(&clock)
            .arg("-")
            .stdin(Stdio::piped())
            .spawn()
            .expect("a compiler");
        let mut source = compiler.stdin.take().expect("its input");
        source.write_all(CLOCK.as_bytes()).expect("written");
        drop(source);
        assert!(compiler.wait().expect("its end").success());
        let lease = PortLease::any().expect("a port");
        let port = lease.port().to_string();
        let child = Command::new(server_program().expect("a server"))
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", ""])
            .env("LD_PRELOAD", &clock)
            .current_dir(guard.folder())
            .stdout(Stdio::null())
            .spawn()
            .expect("a server");
        // The file in which the guard expects it, if the test ends without its drops.
        let noted = guard.folder().join("server");
        std::fs::create_dir(&noted).expect("a folder");
        std::fs::write(noted.join("pid"), child.id().to_string()).expect("noted");
        OffServer {
            child,
            lease,
            _guard: guard,
        }
    }

    fn client(&self) -> RawClient {
        poll_for(PATIENCE, "the server", || {
            RawClient::try_connect(self.lease.port()).ok()
        })
    }
}

impl Drop for OffServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.expect("a clock").as_millis()).expect("a number")
}

#[test]
fn bounds_hold_for_any_clock_of_the_node() {
    for off in [-5, 5, -400 * 24 * 3600] {
        let server = OffServer::start(off);
        let mut direct = server.client();
        let shown = direct.call(&["TIME"]).items()[0].text();
        let shown: i64 = shown.parse().expect("a number");
        assert!((shown - now() / 1000 - off).abs() < off.abs(), "{shown}");
        let seed = format!("redis://127.0.0.1:{}", server.lease.port());
        let proxy = Proxy::start_at(&[seed], None, |config| {
            add_namespace(config, "ns", "default = \"100s\", max = \"200s\"");
        });
        let mut client = proxy.client();
        direct.call(&["SET", "from", "v"]);
        let Value::Bulk(dump) = direct.call(&["DUMP", "from"]) else {
            panic!("no dump");
        };
        // Almost the maximum, a little more, and a moment in the past by slotmux' clock.
        for from_now in [MAX - 100, MAX + 900, 50_000, -1000] {
            let point = (now() + from_now).to_string();
            let seconds = ((now() + from_now) / 1000).to_string();
            for words in [
                &["SET", "ns:k", "v", "PXAT", &point][..],
                &["SET", "ns:k", "v", "EXAT", &seconds],
                &["GETEX", "ns:k", "PXAT", &point],
                &["EXPIREAT", "ns:k", &seconds],
                &["PEXPIREAT", "ns:k", &point],
            ] {
                let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
                is_bounded(&mut client, &mut direct, &words, off);
            }
            let words: [&[u8]; 6] = [
                b"RESTORE",
                b"ns:k",
                point.as_bytes(),
                &dump,
                b"ABSTTL",
                b"REPLACE",
            ];
            is_bounded(&mut client, &mut direct, &words, off);
        }
        // The value overflows by the clock of only one of the two.
        for beyond in [-2000, 2000, 400 * 24 * 3600 * 1000 - 2000] {
            let number = (i64::MAX - now() + beyond).to_string();
            for words in [
                &["SET", "ns:k", "v", "PX", &number][..],
                &["PSETEX", "ns:k", &number, "v"],
                &["GETEX", "ns:k", "PX", &number],
                &["PEXPIRE", "ns:k", &number],
            ] {
                let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
                is_bounded(&mut client, &mut direct, &words, off);
            }
            let words: [&[u8]; 5] = [b"RESTORE", b"ns:k", number.as_bytes(), &dump, b"REPLACE"];
            is_bounded(&mut client, &mut direct, &words, off);
        }
    }
}

/// For any reply, the key has a TTL within the bounds, or is gone.
#[track_caller]
fn is_bounded(client: &mut RawClient, direct: &mut RawClient, words: &[&[u8]], off: i64) {
    direct.call(&["SET", "ns:k", "v", "PX", "150000"]);
    let reply = client.call(words);
    let ttl = direct.call(&["PTTL", "ns:k"]).integer();
    let words = words.join(&b' ').escape_ascii().to_string();
    assert!(
        ttl == -2 || (1..=MAX).contains(&ttl),
        "{off}: {words}: {reply:?}: {ttl}"
    );
}
