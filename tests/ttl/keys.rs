//! Single keys of a policy, as far as the other files of this folder do not cover them.

use super::{add_namespace, with_policy};
use slotmux_testing::{Proxy, RawClient, Value, shared_cluster};

fn pttl(client: &mut RawClient, key: &str) -> i64 {
    client.call(&["PTTL", key]).integer()
}

#[test]
fn min_raises_the_ttl_of_a_write() {
    let proxy = with_policy(shared_cluster(), "min = \"100s\"");
    let mut client = proxy.client();
    client.call(&["SET", "ns:min", "v", "EX", "5"]);
    assert!(pttl(&mut client, "ns:min") > 90_000);
    assert_eq!(client.call(&["PEXPIRE", "ns:min", "7"]), Value::Integer(1));
    assert!(pttl(&mut client, "ns:min") > 90_000);
    client.call(&["SET", "ns:min", "v"]);
    assert_eq!(
        pttl(&mut client, "ns:min"),
        -1,
        "a minimum is not a default"
    );
    client.call(&["EXPIRE", "ns:min", "-1"]);
    assert_eq!(pttl(&mut client, "ns:min"), -2, "a deleting TTL passes");
}

#[test]
fn jitter_spreads_keys_and_repeats_itself() {
    let by_key = "default = \"1000s\", jitter = 0.5";
    let (one, other) = (
        with_policy(shared_cluster(), by_key),
        with_policy(shared_cluster(), by_key),
    );
    let ttl = |proxy: &Proxy, key: &str| {
        let mut client = proxy.client();
        client.call(&["SET", key, "v"]);
        pttl(&mut client, key)
    };
    let keys: Vec<String> = (0..20).map(|i| format!("ns:jitter:{i}")).collect();
    let first: Vec<i64> = keys.iter().map(|key| ttl(&one, key)).collect();
    let again: Vec<i64> = keys.iter().map(|key| ttl(&other, key)).collect();
    assert!(
        first.iter().all(|ttl| (480_000..=1_500_000).contains(ttl)),
        "{first:?}"
    );
    let (least, most) = (first.iter().min().unwrap(), first.iter().max().unwrap());
    assert!(most - least > 300_000, "{first:?}");
    // The same on another proxy, apart from the time between the write and the check.
    let apart = first.iter().zip(&again).map(|(a, b)| (a - b).abs()).max();
    assert!(apart < Some(20_000), "{first:?} {again:?}");

    let random = with_policy(
        shared_cluster(),
        "default = \"1000s\", jitter = 0.5, jitter_by = \"random\"",
    );
    let ttls: Vec<i64> = (0..20).map(|_| ttl(&random, "ns:jitter:random")).collect();
    let (least, most) = (ttls.iter().min().unwrap(), ttls.iter().max().unwrap());
    assert!(most - least > 300_000, "{ttls:?}");
}

#[test]
fn keepttl_may_be_honoured() {
    let proxy = with_policy(shared_cluster(), "default = \"100s\", keepttl = \"honour\"");
    let mut client = proxy.client();
    client.call(&["SET", "ns:keep", "v", "KEEPTTL"]);
    assert_eq!(pttl(&mut client, "ns:keep"), -1);
}

#[test]
fn scripts_may_be_exempt() {
    let proxy = with_policy(shared_cluster(), "default = \"100s\", scripts = \"allow\"");
    let mut client = proxy.client();
    client.call(&[
        "EVAL",
        "return redis.call('SET', KEYS[1], 'v')",
        "1",
        "ns:script",
    ]);
    assert_eq!(pttl(&mut client, "ns:script"), -1);
}

#[test]
fn persist_may_be_allowed() {
    let proxy = with_policy(shared_cluster(), "default = \"100s\", persist = \"allow\"");
    let mut client = proxy.client();
    client.call(&["SET", "ns:persist", "v"]);
    assert_eq!(client.call(&["PERSIST", "ns:persist"]), Value::Integer(1));
    assert_eq!(pttl(&mut client, "ns:persist"), -1);
}

#[test]
fn off_disables_the_policy() {
    let proxy = with_policy(shared_cluster(), "default = \"100s\", mode = \"off\"");
    let mut client = proxy.client();
    client.call(&["SET", "ns:off", "v"]);
    assert_eq!(pttl(&mut client, "ns:off"), -1);
}

#[test]
fn the_environment_sets_a_policy() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        add_namespace(config, "env", "default = \"100s\"");
        config.set("namespace.ttl_env", vec!["REDIS_TTL_ALIAS".to_owned()]);
        config.env("REDIS_TTL_ALIAS", "5000");
        add_namespace(config, "inherits", "min = \"none\"");
        config.set("defaults.namespace.ttl.default", "3000s");
        add_namespace(config, "zero", "default = \"100s\"");
        config.env("REDIS_TTL_ZERO", "0");
    });
    let mut client = proxy.client();
    for (key, ttl) in [("env:k", 5_000_000), ("inherits:k", 3_000_000)] {
        client.call(&["LPUSH", key, "v"]);
        let found = pttl(&mut client, key);
        assert!((ttl - 60_000..=ttl).contains(&found), "{key}: {found}");
    }
    client.call(&["LPUSH", "zero:k", "v"]);
    assert_eq!(pttl(&mut client, "zero:k"), -1);
}
