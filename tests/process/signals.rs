//! Signals to a running slotmux: those that request an end, those without a meaning, and the loss of its terminal.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use slotmux::tools::demo::ports::PortLease;
use slotmux::tools::demo::server::send_signal;
use slotmux_testing::{PATIENCE, Proxy, RawClient, Value, poll_until, shared_cluster};

/// Signals whose default is to end the process. `SIGRTMIN` is written as the number that it has on Linux.
const STRAY: &[(&str, &str)] = &[
    ("HUP", "SIGHUP is ignored"),
    ("USR1", "SIGUSR1 is ignored"),
    ("USR2", "SIGUSR2 is ignored"),
    ("ALRM", "SIGALRM is ignored"),
    ("VTALRM", "SIGVTALRM is ignored"),
    ("PROF", "SIGPROF is ignored"),
    ("IO", "SIGIO is ignored"),
    ("PWR", "SIGPWR is ignored"),
    ("34", "SIGRTMIN+0 is ignored"),
    ("64", "SIGRTMIN+30 is ignored"),
];

#[test]
fn stray_signals_are_logged_and_end_nothing() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("log.level", "warn");
    });
    let mut client = proxy.client();
    for (signal, told) in STRAY {
        for times in 1..=2 {
            proxy.signal(signal);
            poll_until(PATIENCE, "a line of the log", || {
                assert!(proxy.is_running(), "SIG{signal} has ended it");
                proxy.log().matches(told).count() == times
            });
        }
        assert_eq!(client.call(&["PING"]), Value::Simple("PONG".into()));
    }
    // This signal is ignored without a log line.
    proxy.signal("PIPE");
    assert_eq!(client.call(&["SET", "signals", "1"]), Value::ok());
    // The signals above do not count: this is the first that requests an end.
    proxy.terminate();
    assert!(proxy.wait_exit().success());
}

#[test]
fn termination_signals_end_the_process() {
    for signal in ["TERM", "INT"] {
        let proxy = Proxy::start(shared_cluster(), |_| {});
        proxy.signal(signal);
        assert!(proxy.wait_exit().success(), "SIG{signal}");
    }
}

/// A slotmux that logs to a pipe.
struct Piped {
    child: Child,
    port: PortLease,
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_log_without_reader_ends_nothing() {
    let port = PortLease::any().expect("a port");
    let mut command = Command::new(env!("CARGO_BIN_EXE_slotmux"));
    command
        .args(["run", "--admin", "none", "--workers", "2"])
        .args(["--listen", &format!("127.0.0.1:{}", port.port())])
        .args(["--upstream", &shared_cluster().seeds()[0]])
        .env("SLOTMUX_LOG", "trace")
        .env_remove("SLOTMUX_CONFIG")
        .env_remove("REDIS_URL")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut slotmux = Piped {
        child: command.spawn().expect("slotmux"),
        port,
    };
    let mut log = BufReader::new(slotmux.child.stderr.take().expect("its log")).lines();
    let is_ready = |line: std::io::Result<String>| line.expect("a line").contains("ready");
    assert!(log.any(is_ready));
    // Like a closed terminal: the reader is gone, then SIGHUP comes.
    drop(log);
    for _ in 0..3 {
        send_signal(slotmux.child.id(), "HUP").expect("sent");
        let mut client = RawClient::connect(slotmux.port.port());
        assert_eq!(client.call(&["SET", "signals", "1"]), Value::ok());
        assert!(client.call(&["NOSUCHCOMMAND"]).error().starts_with("ERR"));
        let mut refused = RawClient::connect(slotmux.port.port());
        refused.send_raw(b"*1\r\n$x\r\n");
        refused.read_to_close();
    }
    send_signal(slotmux.child.id(), "TERM").expect("sent");
    poll_until(PATIENCE, "an orderly end", || {
        let ended = slotmux.child.try_wait().expect("its state");
        assert!(ended.is_none_or(|status| status.success()), "{ended:?}");
        ended.is_some()
    });
}
