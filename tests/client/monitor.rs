//! MONITOR: what it shows, to whom, and that a monitoring client harms nobody.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_testing::client::command;
use slotmux_testing::{PATIENCE, Proxy, RawClient, Value, poll_until, shared_cluster};

/// A monitoring client, which reads lines.
struct Monitor(BufReader<TcpStream>);

impl Monitor {
    /// One that is shown everything from now on.
    fn of(port: u16) -> Monitor {
        let mut monitor = Monitor::connect(port);
        monitor.send(&["MONITOR"]);
        assert_eq!(monitor.line(), "+OK");
        monitor
    }

    fn connect(port: u16) -> Monitor {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
        Monitor(BufReader::new(stream))
    }

    fn send(&mut self, words: &[&str]) {
        self.0.get_mut().write_all(&command(words)).expect("sent");
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line in time");
        line.trim_end().to_owned()
    }

    /// Time, address and command of the next line.
    #[track_caller]
    fn shown(&mut self) -> (f64, String, String) {
        let line = self.line();
        let parts = line.strip_prefix('+').and_then(|line| {
            let (time, rest) = line.split_once(" [0 ")?;
            let (address, command) = rest.split_once("] ")?;
            Some((time.parse().ok()?, address.to_owned(), command.to_owned()))
        });
        parts.unwrap_or_else(|| panic!("{line:?}"))
    }

    /// What is shown up to this ECHO.
    fn until(&mut self, echo: &str) -> Vec<String> {
        let end = format!("\"echo\" \"{echo}\"");
        let mut commands = Vec::new();
        loop {
            let (_, _, command) = self.shown();
            if command == end {
                return commands;
            }
            commands.push(command);
        }
    }
}

fn proxy() -> Proxy {
    Proxy::start(shared_cluster(), |config| config.set("server.workers", 3))
}

#[test]
fn lines_are_those_of_redis() {
    let proxy = proxy();
    let redis = LocalServer::start(&ServerOptions::default()).expect("a server");
    let sha = "ffffffffffffffffffffffffffffffffffffffff";
    let binary = "a\"b\\\r\n\t\u{7}\u{8}\0\u{7f}é ";
    let session: &[&[&str]] = &[
        &["SET", "monitored:k", binary],
        &["get", "monitored:k"],
        &["AUTH", "x"],
        &["auth", "u", "p"],
        &["HELLO", "2", "auth", "u", "p", "SETNAME", "me"],
        &["HELLO", "3", "SETNAME", "me"],
        &["HELLO", "2"],
        &["CONFIG", "GET", "port"],
        &["CLIENT", "LIST"],
        &["CLIENT", "SETNAME", "me"],
        &["CLIENT", "ID"],
        &["CLIENT", "PAUSE", "0"],
        &["INFO", "server"],
        &["NOSUCH", "a"],
        &["GET"],
        &["MULTI"],
        &["SET", "monitored:a", "1"],
        &["GET", "monitored:a"],
        &["PING"],
        &["CLIENT", "SETNAME", "again"],
        &["EXEC"],
        &["MULTI"],
        &["SET", "monitored:a", "1"],
        &["DISCARD"],
        &["MULTI"],
        &["MONITOR"],
        &["EXEC"],
        &["MULTI"],
        &["NOSUCH"],
        &["EXEC"],
        &["EXEC"],
        &["EVAL", "return 1", "1", "monitored:a"],
        &["EVALSHA", sha, "0"],
        &["LPUSH", "monitored:a", "1"],
        &["PING"],
        &["SELECT", "0"],
        &["TIME"],
        &["COMMAND", "COUNT"],
        &["CLUSTER", "INFO"],
        &["SCRIPT", "LOAD", "return 1"],
        &["ECHO", ""],
        &["DBSIZE"],
        &["MGET", "monitored:a", "monitored:b", "monitored:c"],
        &["DEL", "monitored:a", "monitored:b"],
        &["SCAN", "0"],
        &["RESET"],
    ];
    let shown = [redis.port(), proxy.port()].map(|port| {
        let mut monitor = Monitor::of(port);
        let mut client = RawClient::connect(port);
        let address = client.local_addr().to_string();
        for words in session {
            client.call(words);
        }
        client.call(&["ECHO", "end"]);
        let mut lines = Vec::new();
        let mut latest = 0.0;
        loop {
            let (time, shown_address, command) = monitor.shown();
            assert_eq!(shown_address, address);
            assert!(time >= latest, "{time} after {latest}");
            latest = time;
            if command == "\"ECHO\" \"end\"" {
                break lines;
            }
            lines.push(command);
        }
    });
    assert_eq!(shown[0], shown[1]);
    assert!(shown[0].len() > 30);
    // QUIT is shown too, after which the connection is gone.
    let mut monitor = Monitor::of(proxy.port());
    proxy.client().call(&["QUIT"]);
    assert_eq!(monitor.shown().2, "\"QUIT\"");
}

#[test]
fn every_worker_and_protocol_is_shown() {
    let proxy = proxy();
    let mut monitors = [(); 3].map(|()| Monitor::of(proxy.port()));
    let mut clients: Vec<RawClient> = (0..12).map(|_| proxy.client()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(&["GET", &format!("monitored:{n}")]);
    }
    clients.iter_mut().for_each(|client| drop(client.read()));
    for monitor in &mut monitors {
        let mut seen: Vec<(String, String)> = (0..clients.len())
            .map(|_| monitor.shown())
            .map(|(_, address, command)| (address, command))
            .collect();
        seen.sort();
        let mut wanted: Vec<(String, String)> = clients
            .iter()
            .enumerate()
            .map(|(n, client)| {
                let command = format!("\"GET\" \"monitored:{n}\"");
                (client.local_addr().to_string(), command)
            })
            .collect();
        wanted.sort();
        assert_eq!(seen, wanted);
    }
    // Commands over several slots and inline ones are one line each.
    let mut client = proxy.client();
    client.call(&["MGET", "a", "b", "c"]);
    client.send_raw(b"get monitored\r\n");
    client.read();
    let [mut monitor, ..] = monitors;
    assert_eq!(monitor.shown().2, "\"MGET\" \"a\" \"b\" \"c\"");
    assert_eq!(monitor.shown().2, "\"get\" \"monitored\"");
}

#[test]
fn a_monitoring_client_is_a_client_still() {
    let proxy = proxy();
    let mut monitor = Monitor::of(proxy.port());
    let mut other = proxy.client();
    let lines = other.call(&["CLIENT", "LIST", "TYPE", "normal"]).text();
    let is_listed = |line: &str| line.contains(" flags=O ") && line.contains(" cmd=monitor ");
    assert!(lines.lines().any(is_listed), "{lines}");
    // A second MONITOR has no reply, in Redis as here.
    monitor.send(&["MONITOR"]);
    monitor.send(&["PING"]);
    assert_eq!(monitor.line(), "+PONG");
    assert_eq!(monitor.shown().2, "\"PING\"");
    for words in [
        &["GET", "k"][..],
        &["SET", "k", "v"],
        &["MGET", "a", "b"],
        &["DBSIZE"],
    ] {
        monitor.send(words);
        assert_eq!(
            monitor.line(),
            "-ERR Replica can't interact with the keyspace"
        );
    }
    // What was sent ahead of MONITOR is answered ahead of it.
    let mut late = Monitor::connect(proxy.port());
    for words in [&["GET", "monitored:none"][..], &["MONITOR"], &["PING"]] {
        late.send(words);
    }
    assert_eq!(late.line(), "$-1");
    assert_eq!(late.line(), "+OK");
    assert_eq!(late.line(), "+PONG");
    monitor.send(&["RESET"]);
    poll_until(PATIENCE, "the reset", || monitor.line() == "+RESET");
    for n in 0..20 {
        other.call(&["ECHO", &n.to_string()]);
    }
    monitor.send(&["SET", "monitored:reset", "1"]);
    assert_eq!(monitor.line(), "+OK");
    // It may begin again at once, and is shown everything once.
    monitor.send(&["MONITOR"]);
    assert_eq!(monitor.line(), "+OK");
    for n in 0..20 {
        other.call(&["echo", &n.to_string()]);
    }
    let wanted: Vec<String> = (0..19).map(|n| format!("\"echo\" \"{n}\"")).collect();
    assert_eq!(monitor.until("19"), wanted);
}

/// Reply by reply as a plain Redis, for a client that monitors and subscribes as well.
#[test]
fn a_monitoring_client_may_do_what_redis_lets_it() {
    const CONTEXT: &str =
        "only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed";
    let proxy = proxy();
    let redis = LocalServer::start(&ServerOptions::default()).expect("a server");
    let replies = [redis.port(), proxy.port()].map(|port| {
        let mut client = RawClient::connect(port);
        let mut ask = |words: &[&str]| {
            client.send(words);
            loop {
                let reply = client.read();
                let is_line = matches!(&reply, Value::Simple(text) if text.contains(" [0 "));
                if !is_line {
                    return reply;
                }
            }
        };
        let id = ask(&["CLIENT", "ID"]).integer().to_string();
        let mut replies = vec![ask(&["MONITOR"])];
        for words in [
            &["PUBLISH", "monitored:c", "x"][..],
            &["SPUBLISH", "monitored:c", "x"],
            &["EVAL", "return 1", "0"],
            &["EVAL", "#!lua flags=no-writes\nreturn 1", "0"],
            &["PFCOUNT", "monitored:k"],
            &["PUBSUB", "NUMSUB", "monitored:c"],
            &["SCRIPT", "EXISTS", "00"],
            &["SUBSCRIBE", "monitored:c"],
            &["GET", "monitored:k"],
            &["MONITOR"],
            &["PUBLISH", "monitored:c", "x"],
        ] {
            replies.push(ask(words));
        }
        // It is seen as both, is shown what others send, and gets the messages.
        let mut other = RawClient::connect(port);
        let list = other.call(&["CLIENT", "LIST", "TYPE", "pubsub"]).text();
        assert!(list.contains(" flags=OP "), "{list}");
        assert!(list.starts_with(&format!("id={id} ")), "{list}");
        replies.push(other.call(&["PUBLISH", "monitored:c", "y"]));
        replies.push(ask(&["PING"]));
        replies.push(ask(&["UNSUBSCRIBE"]));
        replies.push(ask(&["UNSUBSCRIBE"]));
        replies.push(ask(&["RESET"]));
        replies.push(ask(&["GET", "monitored:k"]));
        replies
    });
    let refused = |reply: &&Value| matches!(reply, Value::Error(text) if text.contains(CONTEXT));
    assert_eq!(replies[0], replies[1]);
    assert_eq!(replies[0].iter().filter(refused).count(), 3);
}

/// Every command is either shown or told to have been missed.
#[test]
fn a_monitor_that_does_not_read_harms_nobody() {
    const COMMANDS: usize = 20_000;
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("server.workers", 3);
        config.set("listener.limits.output_hard", "64KiB");
        config.set("listener.limits.output_soft", "none");
    });
    let mut monitor = Monitor::of(proxy.port());
    let value = "v".repeat(3000);
    let mut client = proxy.client();
    let before = proxy.rss();
    for _ in 0..COMMANDS / 10 {
        let batch: Vec<Vec<&str>> = vec![vec!["ECHO", &value]; 10];
        let replies = client.pipeline(&batch);
        assert!(replies.iter().all(|reply| *reply == Value::bulk(&value)));
    }
    // The lines would be 60 MB.
    let grown = proxy.rss().saturating_sub(before);
    assert!(grown < 30 << 20, "{grown}");
    let mut told = 0;
    let mut missed = 0;
    while told + missed < COMMANDS {
        let (_, address, command) = monitor.shown();
        match command.strip_prefix("\"(missed)\" \"") {
            Some(count) => {
                assert_eq!(address, "slotmux:0");
                let count = count.trim_end_matches('"').parse::<usize>();
                missed += count.expect("a count");
            }
            None => {
                assert!(command.starts_with("\"ECHO\" \"vvv"), "{command}");
                told += 1;
            }
        }
    }
    assert_eq!(told + missed, COMMANDS);
    assert!(told > 0 && missed > 0, "{told} and {missed}");
    let counted = proxy.metric("slotmux_monitor_lines_dropped_total");
    assert_eq!(counted, Some(missed as f64));
    // And it goes on.
    client.call(&["echo", "end"]);
    assert_eq!(monitor.until("end"), Vec::<String>::new());
}

#[test]
fn no_more_is_shown_than_the_rate() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("server.workers", 1);
        config.set("commands.monitor_rate", 5);
    });
    let mut monitor = Monitor::of(proxy.port());
    let mut client = proxy.client();
    let replies = client.pipeline(&vec![vec!["PING"]; 300]);
    assert_eq!(replies.len(), 300);
    let mut told = 0;
    let mut missed = 0;
    while told + missed < 300 {
        let (_, _, command) = monitor.shown();
        match command.strip_prefix("\"(missed)\" \"") {
            Some(count) => missed += count.trim_end_matches('"').parse::<usize>().expect("one"),
            None => told += 1,
        }
    }
    assert_eq!(told + missed, 300);
    assert!(told >= 5 && missed > 0, "{told} and {missed}");
}

#[test]
fn there_are_places_for_so_many() {
    let proxy = proxy();
    let mut monitors: Vec<Monitor> = (0..16).map(|_| Monitor::of(proxy.port())).collect();
    let mut client = proxy.client();
    let refused = client.call(&["MONITOR"]);
    assert!(refused.error().starts_with("ERR slotmux: "), "{refused:?}");
    assert_eq!(client.call(&["SET", "monitored:x", "1"]), Value::ok());
    // One that dies gives its place back.
    monitors.pop();
    poll_until(PATIENCE, "a place", || {
        client.call(&["MONITOR"]) == Value::ok()
    });
    drop(client);
    drop(monitors);
    let mut again: Vec<Monitor> = Vec::new();
    poll_until(PATIENCE, "all places", || {
        let mut monitor = Monitor::connect(proxy.port());
        monitor.send(&["MONITOR"]);
        if monitor.line() == "+OK" {
            again.push(monitor);
        }
        again.len() == 16
    });
    proxy.client().call(&["echo", "end"]);
    again.iter_mut().for_each(|monitor| {
        monitor.until("end");
    });
}

#[test]
fn it_can_be_switched_off() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("commands.monitor", "off");
    });
    let mut client = proxy.client();
    for client in [&mut client, &mut proxy.client_resp3()] {
        let refused = client.call(&["MONITOR"]);
        assert_eq!(
            refused.error(),
            "ERR slotmux: 'monitor' is refused: commands.monitor is \"off\""
        );
    }
    assert_eq!(client.call(&["SET", "monitored:off", "1"]), Value::ok());
}

#[test]
fn it_needs_a_login_and_shows_no_password() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.add_user("default", "the-secret");
        config.set("listener.idle_timeout", "300ms");
    });
    let mut stranger = proxy.client();
    assert!(stranger.call(&["MONITOR"]).error().starts_with("NOAUTH"));
    let mut monitor = Monitor::connect(proxy.port());
    monitor.send(&["AUTH", "the-secret"]);
    assert_eq!(monitor.line(), "+OK");
    monitor.send(&["MONITOR"]);
    assert_eq!(monitor.line(), "+OK");
    assert!(stranger.call(&["GET", "k"]).error().starts_with("NOAUTH"));
    assert_eq!(stranger.call(&["AUTH", "the-secret"]), Value::ok());
    stranger.call(&["HELLO", "3", "AUTH", "default", "the-secret"]);
    stranger.call(&["ECHO", "x"]);
    assert_eq!(monitor.shown().2, "\"AUTH\" \"(redacted)\"");
    assert_eq!(
        monitor.shown().2,
        "\"HELLO\" \"3\" \"AUTH\" \"(redacted)\" \"(redacted)\""
    );
    assert_eq!(monitor.shown().2, "\"ECHO\" \"x\"");
    // Idle clients are closed, except for monitors.
    assert_eq!(stranger.read_to_close(), b"");
    let mut other = proxy.client();
    other.call(&["AUTH", "the-secret"]);
    assert_eq!(monitor.shown().2, "\"AUTH\" \"(redacted)\"");
}

#[test]
fn a_silenced_monitor_is_shown_nothing() {
    // With one worker, whoever began to monitor first is shown a line first.
    let proxy = Proxy::start(shared_cluster(), |config| config.set("server.workers", 1));
    let mut silenced = Monitor::of(proxy.port());
    silenced.send(&["CLIENT", "REPLY", "OFF"]);
    let mut monitor = Monitor::of(proxy.port());
    let mut other = proxy.client();
    for n in 0..50 {
        other.call(&["echo", &n.to_string()]);
    }
    monitor.until("49");
    silenced.send(&["CLIENT", "REPLY", "ON"]);
    assert_eq!(silenced.line(), "+OK");
    assert_eq!(silenced.shown().2, "\"CLIENT\" \"REPLY\" \"ON\"");
}

#[test]
fn no_disguise_shows_a_password() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.add_user("default", "the-secret");
    });
    let mut monitor = Monitor::connect(proxy.port());
    monitor.send(&["AUTH", "the-secret"]);
    assert_eq!(monitor.line(), "+OK");
    monitor.send(&["MONITOR"]);
    assert_eq!(monitor.line(), "+OK");
    let mut other = proxy.client();
    for words in [
        &["HELLO", "3", "AUTH\0x", "default", "the-secret"][..],
        &[
            "HELLO",
            "3",
            "SETNAME",
            "auth",
            "AUTH",
            "default",
            "the-secret",
        ],
        &[
            "HELLO",
            "3",
            "SETNAME\0",
            "auth",
            "Auth\0",
            "default",
            "the-secret",
        ],
    ] {
        let hello = other.call(words);
        assert!(matches!(hello, Value::Map(_)), "{hello:?}");
        let shown = monitor.shown().2;
        assert!(shown.starts_with("\"HELLO\" \"3\" "), "{shown}");
        assert!(shown.ends_with(" \"(redacted)\" \"(redacted)\""), "{shown}");
        assert!(!shown.contains("the-secret"), "{shown}");
    }
    for words in [
        &[
            "HELLO",
            "3",
            "AUTH",
            "default",
            "wrong",
            "AUTH",
            "default",
            "the-secret",
        ][..],
        &[
            "MIGRATE",
            "h",
            "1",
            "monitored:k",
            "0",
            "1",
            "AUTH",
            "keys",
            "AUTH2",
            "default",
            "the-secret",
        ],
    ] {
        other.call(words);
        let shown = monitor.shown().2;
        assert!(
            shown.contains("redacted") && !shown.contains("the-secret"),
            "{shown}"
        );
    }
    // It is shown neither by itself nor with its transaction.
    let explain = &["SLOTMUX", "EXPLAIN", "AUTH", "default", "the-secret"][..];
    for words in [explain, &["MULTI"], explain, &["EXEC"], &["ECHO", "end"]] {
        other.call(words);
    }
    for wanted in ["\"MULTI\"", "\"EXEC\"", "\"ECHO\" \"end\""] {
        assert_eq!(monitor.shown().2, wanted);
    }
}
