//! Every blocking command: fed by others, timed out, and refused as Redis refuses it.

use super::{blocked_at, bulks, call, key_on, send, until_blocked};
use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_testing::{
    PATIENCE, Proxy, RawClient, Value, calm_cluster, poll_until, shared_cluster,
};

/// The blocking command, the command that feeds it, and one that deletes or creates its keys beforehand. `%` is the
/// key.
const COMMANDS: [(&str, &str, &str); 11] = [
    ("BLPOP % {%}2 0", "RPUSH % a b", ""),
    ("BRPOP {%}2 % 0", "RPUSH % a b", ""),
    ("BLMOVE % {%}to LEFT RIGHT 0", "RPUSH % a b", ""),
    ("BRPOPLPUSH % {%}to 0", "RPUSH % a b", ""),
    ("BLMPOP 0 2 % {%}2 RIGHT COUNT 2", "RPUSH % a b", ""),
    ("BZPOPMIN % 0", "ZADD % 1 a 2 b", ""),
    ("BZPOPMAX {%}2 % 0", "ZADD % 1 a 2 b", ""),
    ("BZMPOP 0 1 % MAX", "ZADD % 1 a 2 b", ""),
    ("XREAD COUNT 9 BLOCK 0 STREAMS % $", "XADD % 5-1 f v", ""),
    ("XREAD BLOCK 0 STREAMS % {%}2 0 0", "XADD % 5-1 f v", ""),
    (
        "XREADGROUP GROUP g c BLOCK 0 STREAMS % >",
        "XADD % 5-1 f v",
        "XGROUP CREATE % g $ MKSTREAM",
    ),
];

fn with_key(line: &str, key: &str) -> String {
    line.replace('%', key)
}

/// The reply of one plain Redis.
fn expected(redis: &LocalServer, is_resp3: bool, block: &str, feed: &str, before: &str) -> Vec<u8> {
    let connect = || {
        if is_resp3 {
            RawClient::connect_resp3(redis.port())
        } else {
            RawClient::connect(redis.port())
        }
    };
    let (mut blocked, mut feeder) = (connect(), connect());
    feeder.call(&["FLUSHALL"]);
    if !before.is_empty() {
        call(&mut feeder, before);
    }
    send(&mut blocked, block);
    poll_until(PATIENCE, "a blocked client", || {
        let info = feeder.call(&["INFO", "clients"]).text();
        info.contains("blocked_clients:1")
    });
    call(&mut feeder, feed);
    blocked.read_bytes()
}

#[test]
fn each_is_fed_through_slotmux_and_directly() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let redis = LocalServer::start(&ServerOptions::default()).expect("a server");
    for is_resp3 in [false, true] {
        let mut blocked = if is_resp3 {
            proxy.client_resp3()
        } else {
            proxy.client()
        };
        for (number, (block, feed, before)) in COMMANDS.into_iter().enumerate() {
            for is_past in [false, true] {
                let key = format!("k{number}{is_resp3}{is_past}");
                let [block, feed, before] = [block, feed, before].map(|line| with_key(line, &key));
                let node = cluster
                    .primary_of_slot(slotmux_core::slot::slot_of(key.as_bytes()).0)
                    .expect("an owner");
                let mut feeder = if is_past {
                    RawClient::connect(cluster.node(node).port)
                } else {
                    proxy.client()
                };
                if !before.is_empty() {
                    assert_eq!(call(&mut feeder, &before), Value::ok());
                }
                send(&mut blocked, &block);
                until_blocked(&cluster, node, 1);
                call(&mut feeder, &feed);
                assert_eq!(
                    String::from_utf8_lossy(&blocked.read_bytes()),
                    String::from_utf8_lossy(&expected(&redis, is_resp3, &block, &feed, &before)),
                    "{block}"
                );
            }
        }
        // Existing elements are returned at once, also by a command that would block for ever.
        assert_eq!(call(&mut blocked, "RPUSH there x"), Value::Integer(1));
        assert_eq!(call(&mut blocked, "BLPOP there 0"), bulks(&["there", "x"]));
    }
    assert_eq!(
        (0..3).map(|node| blocked_at(&cluster, node)).sum::<usize>(),
        0
    );
}

#[test]
fn timeouts_and_errors_are_those_of_redis() {
    let proxy = Proxy::start(shared_cluster(), |_| {});
    let redis = LocalServer::start(&ServerOptions::default()).expect("a server");
    let lines = [
        "BLPOP over 0.01",
        "BRPOP over 0.01",
        "BLPOP over 1e-2",
        "BLMOVE {over}a {over}b LEFT LEFT 0.01",
        "BRPOPLPUSH {over}a {over}b 0.01",
        "BLMPOP 0.01 1 over LEFT",
        "BZPOPMIN over 0.01",
        "BZPOPMAX over 0.01",
        "BZMPOP 0.01 1 over MIN",
        "XREAD BLOCK 10 STREAMS over $",
        "SET wrong 1",
        "XGROUP CREATE over g $ MKSTREAM",
        "XREADGROUP GROUP g c BLOCK 10 STREAMS over >",
        // Invalid in different ways.
        "BLPOP wrong 0",
        "BLMOVE wrong {wrong}b LEFT LEFT 0",
        "BZPOPMIN wrong 0",
        "XREAD BLOCK 0 STREAMS wrong $",
        "BLPOP k -1",
        "BLPOP k x",
        "BLPOP k 99999999999999999999",
        "BLMOVE {k}a {k}b LEFT UP 0",
        "BLMPOP 0 0 k LEFT",
        "BLMPOP 0 x k LEFT",
        "BLMPOP 0 1 k UP",
        "BLMPOP -1 1 k LEFT",
        "XREAD BLOCK x STREAMS k $",
        "XREAD BLOCK -1 STREAMS k $",
        "XREAD BLOCK 0 STREAMS a",
        "XREAD BLOCK 0 STREAMS",
        "XREADGROUP GROUP g c BLOCK 0 STREAMS nosuch >",
    ];
    for is_resp3 in [false, true] {
        let [mut ours, mut theirs] = [proxy.port(), redis.port()].map(|port| {
            if is_resp3 {
                RawClient::connect_resp3(port)
            } else {
                RawClient::connect(port)
            }
        });
        ours.call(&["DEL", "over"]);
        theirs.call(&["DEL", "over"]);
        for line in lines {
            send(&mut ours, line);
            send(&mut theirs, line);
            assert_eq!(
                String::from_utf8_lossy(&ours.read_bytes()),
                String::from_utf8_lossy(&theirs.read_bytes()),
                "{line}"
            );
        }
        let crossed = call(&mut ours, "BLPOP a b 0");
        assert!(crossed.error().starts_with("CROSSSLOT "), "{crossed:?}");
    }
}

#[test]
fn pipelined_commands_wait_and_keep_their_order() {
    let cluster = shared_cluster();
    let proxy = Proxy::start(cluster, |_| {});
    let (mut blocked, mut feeder) = (proxy.client(), proxy.client());
    let key = key_on(cluster, 0, "behind");
    let other = key_on(cluster, 1, "behind");
    for line in [
        format!("SET {other} before"),
        format!("BLPOP {key} 0"),
        format!("GET {other}"),
        format!("BLPOP {key} 0"),
        format!("SET {other} after"),
        format!("GET {other}"),
        "PING".to_owned(),
    ] {
        send(&mut blocked, &line);
    }
    assert_eq!(blocked.read(), Value::ok());
    until_blocked(cluster, 0, 1);
    assert_eq!(
        call(&mut feeder, &format!("GET {other}")),
        Value::bulk("before")
    );
    call(&mut feeder, &format!("RPUSH {key} one"));
    assert_eq!(blocked.read(), bulks(&[&key, "one"]));
    assert_eq!(blocked.read(), Value::bulk("before"));
    until_blocked(cluster, 0, 1);
    assert_eq!(
        call(&mut feeder, &format!("GET {other}")),
        Value::bulk("before")
    );
    call(&mut feeder, &format!("RPUSH {key} two"));
    assert_eq!(blocked.read(), bulks(&[&key, "two"]));
    assert_eq!(blocked.read(), Value::ok());
    assert_eq!(blocked.read(), Value::bulk("after"));
    assert_eq!(blocked.read(), Value::Simple("PONG".into()));
}

#[test]
fn long_pipelines_wait_as_well() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let (mut blocked, mut feeder) = (proxy.client(), proxy.client());
    let key = key_on(&cluster, 2, "plenty");
    send(&mut blocked, &format!("BLPOP {key} 0"));
    until_blocked(&cluster, 2, 1);
    // More bytes than slotmux reads ahead, cut in the middle of a command.
    let value = "v".repeat(1000);
    for number in 0..300 {
        blocked.send(&["SET", &format!("plenty:{number}"), &value]);
    }
    let last = slotmux_testing::client::command(&["GET", "plenty:299"]);
    blocked.send_raw(&last[..10]);
    call(&mut feeder, &format!("RPUSH {key} x"));
    blocked.send_raw(&last[10..]);
    assert_eq!(blocked.read(), bulks(&[&key, "x"]));
    for _ in 0..300 {
        assert_eq!(blocked.read(), Value::ok());
    }
    assert_eq!(blocked.read(), Value::bulk(value));
}

#[test]
fn suppressed_replies_stay_suppressed_when_a_command_blocks() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let (mut blocked, mut feeder) = (proxy.client(), proxy.client());
    let key = key_on(&cluster, 0, "mute");
    for (mode, end) in [("SKIP", ""), ("OFF", "CLIENT REPLY ON")] {
        send(&mut blocked, &format!("CLIENT REPLY {mode}"));
        send(&mut blocked, &format!("BLPOP {key} 0"));
        if !end.is_empty() {
            send(&mut blocked, end);
        }
        send(&mut blocked, "ECHO seen");
        until_blocked(&cluster, 0, 1);
        call(&mut feeder, &format!("RPUSH {key} x"));
        if !end.is_empty() {
            assert_eq!(blocked.read(), Value::ok());
        }
        assert_eq!(blocked.read(), Value::bulk("seen"));
        assert_eq!(call(&mut feeder, &format!("LLEN {key}")), Value::Integer(0));
    }
}

#[test]
fn blocking_commands_do_not_block_in_a_transaction() {
    let proxy = Proxy::start(shared_cluster(), |_| {});
    let mut client = proxy.client();
    assert_eq!(call(&mut client, "MULTI"), Value::ok());
    for line in ["BLPOP tx 0", "XREAD BLOCK 0 STREAMS {tx}s $"] {
        assert_eq!(call(&mut client, line), Value::Simple("QUEUED".into()));
    }
    assert_eq!(
        call(&mut client, "EXEC").items(),
        [Value::Null, Value::Null]
    );
}

#[test]
fn a_policy_applies_to_the_key_that_a_move_creates() {
    let cluster = calm_cluster(0);
    for strength in ["atomic", "pipelined"] {
        let proxy = Proxy::start(&cluster, |config| {
            let section = format!(
                "name = \"ttl\"\nmatch = [\"ttl:\"]\nttl = {{ default = \"100s\", strength = \"{strength}\" }}"
            );
            config.add_section("namespace", section.parse().expect("TOML"));
        });
        let key = key_on(&cluster, 1, &format!("ttl:{strength}"));
        for (block, to) in [
            (format!("BLMOVE {key} ttl:{{{key}}}a LEFT LEFT 0"), "a"),
            (format!("BRPOPLPUSH {key} ttl:{{{key}}}b 0"), "b"),
        ] {
            let to = format!("ttl:{{{key}}}{to}");
            let (mut blocked, mut feeder) = (proxy.client(), proxy.client());
            send(&mut blocked, &block);
            until_blocked(&cluster, 1, 1);
            call(&mut feeder, &format!("RPUSH {key} x"));
            assert_eq!(blocked.read(), Value::bulk("x"));
            poll_until(PATIENCE, "a TTL", || {
                call(&mut feeder, &format!("TTL {to}")).integer() > 0
            });
        }
    }
}
