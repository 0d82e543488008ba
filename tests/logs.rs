//! What slotmux logs: at its most talkative one event a line, text or JSON, and no secret of anybody; of an outage its ends.

mod common;

use common::{PATIENCE, Proxy, RawClient, Value, poll_until};
use slotmux::demo::server::{LocalServer, ServerOptions};

const UPSTREAM: &str = "upstream-word-1";
const CLIENTS: &str = "clients-word-2";
const WRONG: &str = "wrong-word-3";
const KEY: &str = "private-key-4";
const VALUE: &str = "private-value-5";

/// Meets every place where a secret passes by, the failures above all.
fn use_secrets(proxy: &Proxy, server: &LocalServer) {
    let mut client = proxy.client();
    let refused = client.call(&["AUTH", WRONG]);
    assert!(refused.error().starts_with("WRONGPASS"), "{refused:?}");
    assert!(
        client
            .call(&["AUTH", "app", WRONG])
            .error()
            .starts_with("WRONGPASS")
    );
    assert!(
        client
            .call(&["HELLO", "3", "AUTH", "app", WRONG])
            .error()
            .starts_with("WRONGPASS")
    );
    client.send_raw(format!("AUTH app {WRONG} \"\r\n").as_bytes());
    client.read_to_close();
    let mut client = proxy.client();
    let hello = client.call(&["HELLO", "2", "AUTH", "app", CLIENTS, "SETNAME", "me"]);
    assert_eq!(hello.items().len(), 14);
    assert_eq!(client.call(&["SET", KEY, VALUE]), Value::ok());
    assert!(
        client
            .call(&["LPUSH", KEY, VALUE])
            .error()
            .starts_with("WRONGTYPE")
    );
    // Passwords change behind slotmux' back: its next connections are refused.
    let _: String = server
        .query(&["CONFIG", "SET", "requirepass", "other-word-6"])
        .expect("set");
    let mut kill = server.connect().ok();
    assert!(
        kill.take().is_none(),
        "the server's own tool knows the old one only"
    );
    let mut direct = RawClient::connect(server.port());
    assert_eq!(direct.call(&["AUTH", "other-word-6"]), Value::ok());
    direct.call(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    poll_until(PATIENCE, "the refusal to be logged", || {
        let _ = client.call(&["SET", KEY, VALUE]);
        proxy.log().contains("refused")
    });
}

fn talkative(format: &str) -> String {
    let server = LocalServer::start(&ServerOptions {
        password: Some(UPSTREAM.to_owned()),
        ..ServerOptions::default()
    })
    .expect("a server");
    let proxy = Proxy::start_before(&server, |config| {
        config.set("log.level", "trace");
        config.set("log.format", format);
        config.set("cluster.timeouts.command", "300ms");
        config.add_user("app", CLIENTS);
    });
    use_secrets(&proxy, &server);
    proxy.terminate();
    assert!(proxy.wait_exit().success());
    let log = proxy.log();
    for secret in [UPSTREAM, CLIENTS, WRONG, KEY, VALUE, "other-word-6"] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is in the log");
    }
    log
}

#[test]
fn no_secret_is_logged_as_text() {
    let log = talkative("text");
    for line in log.lines() {
        let level = line.split_whitespace().nth(1).unwrap_or_default();
        assert!(
            ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"].contains(&level),
            "{line}"
        );
    }
}

#[test]
fn no_secret_is_logged_as_json() {
    let log = talkative("json");
    for line in log.lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("an object a line");
        assert!(
            event["level"].is_string() && event["timestamp"].is_string(),
            "{line}"
        );
    }
}

#[test]
fn a_node_that_is_away_is_told_of_once_and_when_it_is_back() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    let proxy = Proxy::start_before(&server, |config| {
        config.set("server.workers", 1);
        config.set("log.level", "info");
        config.set("cluster.connections.backoff", "1ms..5ms");
    });
    let mut client = proxy.client();
    assert_eq!(client.call(&["SET", KEY, VALUE]), Value::ok());
    server.kill();
    poll_until(PATIENCE, "many tries", || {
        proxy.metric("slotmux_upstream_connect_failures_total") >= Some(10.0)
    });
    server.restart().expect("it is back");
    poll_until(PATIENCE, "its return", || {
        proxy.log().contains("node takes connections again")
    });
    let log = proxy.log();
    let told = log.matches("node takes no connection").count();
    assert_eq!(told, 1, "{log}");
}
