//! The lines of MONITOR, and the other commands of a monitoring client.

use crate::monitor::{Monitor, proxy};
use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_testing::{PATIENCE, RawClient, Value, poll_until};

#[test]
fn lines_are_those_of_redis() {
    let proxy = proxy();
    let redis = LocalServer::start(&ServerOptions::default()).expect("a server");
    let sha = "ffffffffffffffffffffffffffffffffffffffff";
    // Valkey 8.1.1 shows quotation marks and backslashes as they are.
    let binary = "ab\r\n\t\u{7}\u{8}\0\u{7f}é ";
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
    let mut monitor = Monitor::of(proxy.port());
    proxy.client().call(&["SET", "monitored:k", "a\"b\\c"]);
    assert_eq!(monitor.shown().2, r#""SET" "monitored:k" "a\"b\\c""#);
    // QUIT is shown too, although its connection is closed.
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
fn a_monitoring_client_stays_an_ordinary_client() {
    let proxy = proxy();
    let mut monitor = Monitor::of(proxy.port());
    let mut other = proxy.client();
    let lines = other.call(&["CLIENT", "LIST", "TYPE", "normal"]).text();
    let is_listed = |line: &str| line.contains(" flags=O ") && line.contains(" cmd=monitor ");
    assert!(lines.lines().any(is_listed), "{lines}");
    // A second MONITOR has no reply, as in Redis.
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
    // Earlier requests are answered before MONITOR.
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
    // It may begin again at once, and sees each command once.
    monitor.send(&["MONITOR"]);
    assert_eq!(monitor.line(), "+OK");
    for n in 0..20 {
        other.call(&["echo", &n.to_string()]);
    }
    let wanted: Vec<String> = (0..19).map(|n| format!("\"echo\" \"{n}\"")).collect();
    assert_eq!(monitor.until("19"), wanted);
}

/// The replies equal those of a plain Redis, for a client that monitors and subscribes as well.
#[test]
fn a_monitoring_client_may_run_the_same_commands_as_in_redis() {
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
        // CLIENT LIST shows it as both, and it gets the commands of others and the messages.
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
