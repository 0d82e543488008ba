//! The logs: one event a line, text or JSON, no secrets, also at the most verbose level; of an outage its start and
//! end.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_testing::{PATIENCE, Proxy, RawClient, Value, poll_until};

const UPSTREAM: &str = "upstream-word-1";
const CLIENTS: &str = "clients-word-2";
const WRONG: &str = "wrong-word-3";
const KEY: &str = "private-key-4";
const VALUE: &str = "private-value-5";

/// Passes every place that handles a secret, especially the failures above.
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
    // Passwords change without slotmux' knowledge: its next connections are refused.
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
    assert!(log.lines().count() > 10, "{log}");
    every_line_is_one_object(&log);
}

/// JSON in which no object has two members of the same name: parsers differ in the member that they use.
struct Strict(serde_json::Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Strict, D::Error> {
        deserializer.deserialize_any(StrictVisitor)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict(serde_json::Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Strict, A::Error> {
        let mut all = Vec::new();
        while let Some(Strict(value)) = list.next_element()? {
            all.push(value);
        }
        Ok(Strict(all.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Strict, A::Error> {
        let mut all = serde_json::Map::new();
        while let Some((name, Strict(value))) = object.next_entry::<String, Strict>()? {
            if all.insert(name.clone(), value).is_some() {
                return Err(A::Error::custom(format!("{name:?} stands twice")));
            }
        }
        Ok(Strict(all.into()))
    }
}

#[track_caller]
fn every_line_is_one_object(log: &str) {
    for line in log.lines() {
        let Strict(event) =
            serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}"));
        for member in ["timestamp", "level", "target"] {
            assert!(event[member].is_string(), "{line}");
        }
    }
}

#[test]
fn a_repeated_member_is_found() {
    for line in [
        r#"{"a":1,"a":1}"#,
        r#"{"s":{"name":"x","name":"y"}}"#,
        r#"[{"a":1,"a":2}]"#,
    ] {
        assert!(serde_json::from_str::<Strict>(line).is_err(), "{line}");
    }
    assert!(serde_json::from_str::<Strict>(r#"{"a":{"b":1},"b":[null,true,-1,0.5]}"#).is_ok());
}

/// Start, outages, faulty nodes, panics, refusals, signals and end: each of their log lines is one object.
#[test]
fn json_lines_have_no_repeated_member() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    let sabotage = tempfile::tempdir().expect("a folder");
    let proxy = Proxy::start_before(&server, |config| {
        config.set("server.workers", 1);
        config.set("server.max_clients", 3);
        config.set("log.level", "trace");
        config.set("log.format", "json");
        config.set("cluster.name", r#"a"name"with\"#);
        config.set("cluster.connections.backoff", "1ms..5ms");
        config.set("cluster.timeouts.command", "200ms");
        config.add_user("default", CLIENTS);
        config.env("SABOTAGE", &sabotage.path().display().to_string());
        config.may_panic = true;
    });
    let mut client = proxy.client();
    assert_eq!(client.call(&["AUTH", CLIENTS]), Value::ok());
    assert_eq!(client.call(&["SET", KEY, VALUE]), Value::ok());
    // A panic and its backtrace.
    std::fs::write(sabotage.path().join("admin.metrics"), "").expect("written");
    let _ = proxy.admin_get("/metrics");
    let mut others: Vec<RawClient> = (0..4).map(|_| proxy.client()).collect();
    others[0].send_raw(b"*1\r\n$x\r\n");
    server.kill();
    poll_until(PATIENCE, "an outage to be logged", || {
        let _ = client.call(&["SET", KEY, VALUE]);
        proxy.log().contains("cannot connect to node")
    });
    server.restart().expect("it is back");
    poll_until(PATIENCE, "the return of the node", || {
        let _ = client.call(&["SET", KEY, VALUE]);
        proxy.log().contains("node takes connections again")
    });
    proxy.signal("HUP");
    poll_until(PATIENCE, "the signal to be logged", || {
        proxy.log().contains("SIGHUP is ignored")
    });
    proxy.terminate();
    assert!(proxy.wait_exit().success());
    let log = proxy.log();
    for text in ["panicked", r#""span":{"#, "draining", "stopped"] {
        assert!(log.contains(text), "{text}: {log}");
    }
    every_line_is_one_object(&log);
}

#[test]
fn an_outage_of_a_node_is_logged_at_its_start_and_end() {
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
    poll_until(PATIENCE, "the return of the node", || {
        proxy.log().contains("node takes connections again")
    });
    let log = proxy.log();
    let reports = log.matches("cannot connect to node").count();
    assert_eq!(reports, 1, "{log}");
}
