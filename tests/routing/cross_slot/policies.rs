//! TTL policies and permissions hold for the keys that a command over several slots writes.

use slotmux_testing::{Proxy, RawClient, Value, shared_cluster};
use toml::Table;

use super::call;

fn proxy() -> Proxy {
    Proxy::start(shared_cluster(), |config| {
        for section in [
            "name = \"brief\"\nmatch = [\"brief:\"]\nttl = { default = \"1h\", max = \"2h\" }",
            "name = \"still\"\nmatch = [\"still:\"]\nread_only = true",
            "name = \"denied\"\nmatch = [\"denied:\"]\ndeny = [\"sunionstore\", \"lmove\"]",
        ] {
            let section: Table = section.parse().expect("TOML");
            config.add_section("namespace", section);
        }
        config.set("defaults.namespace.cross_slot", "all");
        config.set("log.level", "warn");
    })
}

const HOUR: i64 = 3_600_000;

#[track_caller]
fn ttl(client: &mut RawClient, key: &str) -> i64 {
    match client.call(&["PTTL", key]) {
        Value::Integer(left) => left,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_written_key_gets_the_ttl_of_its_policy() {
    let proxy = proxy();
    let mut client = proxy.client();
    for (setup, line, key) in [
        (
            "SADD p:{s} a",
            "SUNIONSTORE brief:{1} p:{s} p:{t}",
            "brief:{1}",
        ),
        (
            "ZADD p:{z} 1 a",
            "ZRANGESTORE brief:{2} p:{z} 0 -1",
            "brief:{2}",
        ),
        ("SET p:{c} v", "COPY p:{c} brief:{3} REPLACE", "brief:{3}"),
        ("SET p:{r} v", "RENAME p:{r} brief:{4}", "brief:{4}"),
        ("SET p:{n} v", "RENAMENX p:{n} brief:{5}", "brief:{5}"),
        ("SADD p:{m} a", "SMOVE p:{m} brief:{6} a", "brief:{6}"),
        (
            "RPUSH p:{l} a",
            "LMOVE p:{l} brief:{7} LEFT LEFT",
            "brief:{7}",
        ),
        ("SET p:{x} v", "MSETNX brief:{8} v p:{y} v", "brief:{8}"),
        ("RPUSH p:{o} 2 1", "SORT p:{o} STORE brief:{9}", "brief:{9}"),
    ] {
        client.call(&["DEL", key, "p:{y}"]);
        call(&mut client, setup);
        let reply = call(&mut client, line);
        assert!(!matches!(reply, Value::Error(_)), "{line}: {reply:?}");
        let left = ttl(&mut client, key);
        assert!((1..=HOUR).contains(&left), "{line}: {left}");
    }
    // A TTL that came with the value is kept within the maximum.
    call(&mut client, "SET p:{long} v PX 999999999");
    call(&mut client, "RENAME p:{long} brief:{10}");
    let left = ttl(&mut client, "brief:{10}");
    assert!((HOUR + 1..=2 * HOUR).contains(&left), "{left}");
    call(&mut client, "SET p:{short} v PX 60000");
    call(&mut client, "COPY p:{short} brief:{11} REPLACE");
    let left = ttl(&mut client, "brief:{11}");
    assert!((1..=60_000).contains(&left), "{left}");
}

#[test]
fn what_a_namespace_forbids_is_not_done() {
    let proxy = proxy();
    let mut client = proxy.client();
    call(&mut client, "SADD q:{s} a");
    call(&mut client, "RPUSH q:{l} a");
    for line in [
        "SUNIONSTORE still:{1} q:{s} q:{t}",
        "SMOVE q:{s} still:{1} a",
        "RENAME q:{s} still:{1}",
        "SUNIONSTORE denied:{1} q:{s} q:{t}",
        "LMOVE q:{l} denied:{1} LEFT LEFT",
        "MSETNX q:{n} 1 still:{1} 2",
    ] {
        let error = call(&mut client, line).error().to_owned();
        assert!(error.contains("slotmux"), "{line}: {error}");
    }
    assert_eq!(call(&mut client, "SCARD q:{s}"), Value::Integer(1));
    assert_eq!(call(&mut client, "LLEN q:{l}"), Value::Integer(1));
    assert_eq!(
        call(&mut client, "EXISTS q:{n} still:{1} denied:{1}"),
        Value::Integer(0)
    );
}
