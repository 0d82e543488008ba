//! Blocks on the wire: one contiguous write, one reply, and only the client's own part of it.

use std::sync::atomic::{AtomicBool, Ordering};

use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_core::slot::slot_of;

use super::{add_namespace, all_ttls, with_policy};
use slotmux_testing::{
    PATIENCE, Peer, Proxy, RawClient, Step, Value, calm_cluster, poll_until, shared_cluster,
};

/// Commands of many clients surround each block, and each reply goes to its own client.
#[test]
fn replies_of_blocks_and_commands_in_one_pipeline() {
    let cluster = shared_cluster();
    let proxy = with_policy(cluster, "default = \"100s\"");
    for mut client in [proxy.client(), proxy.client_resp3()] {
        let id = client.local_addr().port();
        let mut commands = Vec::new();
        let mut expected = Vec::new();
        for i in 0..500i64 {
            let key = format!("ns:{id}:{}", i % 7);
            commands.push(vec!["INCR".to_owned(), key.clone()]);
            expected.push(Value::Integer(i / 7 + 1));
            commands.push(vec!["GET".to_owned(), key.clone()]);
            expected.push(Value::bulk((i / 7 + 1).to_string()));
            commands.push(vec!["LPUSH".to_owned(), key, "x".to_owned()]);
            expected.push(Value::Error(
                "WRONGTYPE Operation against a key holding the wrong kind of value".to_owned(),
            ));
        }
        assert_eq!(client.pipeline(&commands), expected);
    }
}

/// Parts of one pair and of several, with and without a policy.
#[test]
fn mset_over_many_slots() {
    let cluster = calm_cluster(0);
    let proxy = with_policy(&cluster, "default = \"100s\"");
    let mut client = proxy.client();
    let mut command = vec!["MSET".to_owned()];
    for i in 0..100 {
        let tag = i % 40;
        command.extend([format!("ns:{{{tag}}}:{i}"), format!("v{i}")]);
        command.extend([format!("other:{{{tag}}}:{i}"), format!("v{i}")]);
    }
    assert_eq!(client.call(&command), Value::ok());
    let ttls = all_ttls(&cluster, &[0, 1, 2]);
    assert_eq!(ttls.len(), 200);
    for (key, ttl) in ttls {
        assert_eq!(ttl > 0, key.starts_with("ns:"), "{key}: {ttl}");
    }
    assert_eq!(client.call(&["GET", "ns:{39}:79"]), Value::bulk("v79"));
}

/// A reply of many megabytes streams out of its block; the replies behind it are dropped.
#[test]
fn a_large_reply_inside_a_block() {
    let cluster = shared_cluster();
    let proxy = with_policy(cluster, "default = \"100s\"");
    let mut client = proxy.client();
    let script = "redis.call('SET',KEYS[1],'v') return string.rep('x',5000000)";
    let reply = client.call(&["EVAL", script, "1", "ns:large"]);
    assert_eq!(reply, Value::Bulk(vec![b'x'; 5_000_000]));
    assert!(client.call(&["TTL", "ns:large"]).integer() > 0);
}

/// A refused MULTI is not a transaction: the command's own reply counts all the same.
#[test]
fn an_upstream_user_without_multi_is_refused_when_connecting() {
    let cluster = calm_cluster(0);
    let permit = |rules: &[&str]| {
        for node in 0..3 {
            let words = [&["ACL", "SETUSER", "app"], rules].concat();
            let _: redis::Value = cluster.query(node, &words).expect("a user");
        }
    };
    permit(&["on", ">pw", "~*", "&*", "+@all"]);
    let proxy = Proxy::start(&cluster, |config| {
        add_namespace(config, "ns", "default = \"100s\"");
        config.set("cluster.username", "app");
        config.set("cluster.password", vec!["pw".to_owned()]);
        config.set("cluster.timeouts.command", "1s");
    });
    // The start has checked the rights, and no lane is open.
    permit(&["-multi"]);
    let reply = proxy.client().call(&["INCR", "ns:k"]);
    assert!(reply.error().contains("unreachable"), "{reply:?}");
    let log = proxy.log();
    assert!(log.contains("a TTL policy needs MULTI"), "{log}");
    for node in 0..3 {
        let keys: Vec<String> = cluster.query(node, &["KEYS", "*"]).expect("its keys");
        assert!(keys.is_empty(), "{keys:?}");
    }
}

/// A key on its way between two nodes: the block is sent on whole behind one ASKING.
#[test]
fn a_block_follows_an_ask() {
    let cluster = calm_cluster(0);
    let proxy = with_policy(&cluster, "default = \"100s\"");
    let mut client = proxy.client();
    let slot = slot_of(b"moving").0;
    let from = cluster.primary_of_slot(slot).expect("an owner");
    let to = (from + 1) % 3;
    client.call(&["SET", "ns:{moving}:old", "v"]);
    cluster
        .migrate_slot_begin(slot, from, to)
        .expect("it begins to move");
    assert_eq!(client.call(&["INCR", "ns:{moving}:new"]), Value::Integer(1));
    assert_eq!(client.call(&["INCR", "ns:{moving}:new"]), Value::Integer(2));
    assert!(client.call(&["TTL", "ns:{moving}:new"]).integer() > 0);
    assert!(
        proxy
            .metric("slotmux_ask_total")
            .is_some_and(|count| count >= 2.0)
    );
    // A plain command right after it is not covered by that ASKING.
    assert_eq!(client.call(&["GET", "ns:{moving}:old"]), Value::bulk("v"));
}

/// `strength = "pipelined"`: the expiry follows without MULTI, and is sent again if it had no effect.
#[test]
fn pipelined_expiries() {
    let cluster = calm_cluster(0);
    let proxy = with_policy(&cluster, "default = \"100s\", strength = \"pipelined\"");
    let mut client = proxy.client();
    assert_eq!(client.call(&["INCR", "ns:k"]), Value::Integer(1));
    assert_eq!(
        client
            .call(&["LPUSH", "ns:k", "x"])
            .error()
            .split(' ')
            .next(),
        Some("WRONGTYPE")
    );
    assert!(client.call(&["TTL", "ns:k"]).integer() > 0);
    // Behind an ASK only the first command is admitted: the expiry follows separately.
    let slot = slot_of(b"moving").0;
    let from = cluster.primary_of_slot(slot).expect("an owner");
    let to = (from + 1) % 3;
    cluster
        .migrate_slot_begin(slot, from, to)
        .expect("it begins to move");
    assert_eq!(client.call(&["INCR", "ns:{moving}:new"]), Value::Integer(1));
    poll_until(PATIENCE, "the expiry to be repaired", || {
        proxy.client().call(&["TTL", "ns:{moving}:new"]).integer() > 0
    });
    assert!(
        proxy
            .metric("slotmux_expiries_repaired_total")
            .is_some_and(|count| count > 0.0)
    );
}

/// `strength = "inline-only"`: commands that cannot carry an expiry are sent unchanged.
#[test]
fn inline_only() {
    let proxy = with_policy(
        shared_cluster(),
        "default = \"100s\", strength = \"inline-only\"",
    );
    let mut client = proxy.client();
    client.call(&["SET", "ns:inline:set", "v"]);
    client.call(&["INCR", "ns:inline:incr"]);
    assert!(client.call(&["TTL", "ns:inline:set"]).integer() > 0);
    assert_eq!(client.call(&["TTL", "ns:inline:incr"]), Value::Integer(-1));
}

/// An invalid answer to a block is rejected.
#[test]
fn a_node_with_an_invalid_answer_to_a_block() {
    for nonsense in [
        "*7\r\n",
        "*-1\r\n",
        "*0\r\n",
        "*99999999999999999999999999999999999\r\n",
        "$3\r\nabc\r\n",
    ] {
        let in_block = AtomicBool::new(false);
        let peer = Peer::start(move |request| match request.name().as_str() {
            "INCR" => {
                in_block.store(true, Ordering::SeqCst);
                Some(Step::reply("+QUEUED\r\n"))
            }
            "EXEC" if in_block.load(Ordering::SeqCst) => Some(Step::reply(nonsense)),
            _ => None,
        });
        let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
            add_namespace(config, "ns", "default = \"100s\", max = \"100s\"");
            config.set("log.level", "warn");
        });
        let reply = RawClient::connect(proxy.port()).call(&["INCR", "ns:k"]);
        let error = reply.error();
        assert!(
            error.contains("may have been executed"),
            "{nonsense:?}: {error}"
        );
        assert_eq!(peer.requests_named("INCR").len(), 1, "{nonsense:?}");
    }
}

fn runs_script(command: &str) -> bool {
    command.starts_with("EVAL") || command == "FCALL"
}

/// A command whose reply was large uses a dedicated connection the next time, also as a block.
#[test]
fn a_large_reply_of_a_block_is_remembered() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        add_namespace(config, "ns", "default = \"100s\"");
        config.set("server.workers", 1);
    });
    let mut client = proxy.client();
    let script = "redis.call('SET',KEYS[1],'v') return string.rep('x',200000)";
    for _ in 0..3 {
        let reply = client.call(&["EVAL", script, "1", "ns:remembered"]);
        assert_eq!(reply, Value::Bulk(vec![b'x'; 200_000]));
    }
    assert_eq!(proxy.metric("slotmux_dedicated_requests_total"), Some(2.0));
}

/// The reply to a command in a block with its expiry, as a server gives it: the first error of the block, or its own.
fn in_block(direct: &mut RawClient, words: &[&str]) -> Value {
    direct.call(&["MULTI"]);
    let expiry = ["PEXPIRE", "ns:n", "100000", "NX"];
    let queued = [direct.call(words), direct.call(&expiry)];
    let exec = direct.call(&["EXEC"]);
    let mut refused = queued
        .into_iter()
        .filter(|reply| matches!(reply, Value::Error(_)));
    refused.next().unwrap_or_else(|| exec.items()[0].clone())
}

/// An error inside a block has the same text as outside.
#[test]
fn errors_inside_blocks() {
    let servers = [(); 2].map(|()| LocalServer::start(&ServerOptions::default()).expect("Redis"));
    let [governed, plain] = &servers;
    let proxy = Proxy::start_before(governed, |config| {
        add_namespace(config, "ns", "default = \"100s\", max = \"200s\"");
        config.set("log.level", "warn");
    });
    let (mut through, mut direct) = (proxy.client(), RawClient::connect(plain.port()));
    let mut both = |words: &[&str]| {
        let (got, expected) = (through.call_bytes(words), direct.call_bytes(words));
        assert_eq!(
            got.escape_ascii().to_string(),
            expected.escape_ascii().to_string(),
            "{words:?}"
        );
    };
    let set_up = |setting: &str, value: &str| {
        for server in &servers {
            let _: redis::Value = server
                .query(&["CONFIG", "SET", setting, value])
                .expect("set");
        }
    };
    let commands: &[&[&str]] = &[
        &["INCR", "ns:n"],
        &["HSET", "ns:h", "f", "v"],
        &["SADD", "ns:s", "a"],
        &["MSET", "ns:a", "1", "ns:b", "2"],
        &["MSETNX", "ns:a", "1", "ns:b", "2"],
        &["SET", "ns:k", "v", "KEEPTTL"],
        &["SETNX", "ns:k", "v"],
        &["GETSET", "ns:k", "v"],
        &["EVAL", "return redis.call('SET',KEYS[1],'v')", "1", "ns:e"],
        &["EVAL", "return redis.call('nonsense')", "1", "ns:e"],
        &["EVAL", "no Lua", "1", "ns:e"],
        &["EVAL", "error('boom')", "1", "ns:e"],
        &["EVAL", "return redis.error_reply('MY own')", "1", "ns:e"],
        &["EVALSHA", "f", "1", "ns:e"],
        &["FCALL", "nothing", "1", "ns:e"],
        &["SORT", "ns:l", "STORE", "ns:sorted"],
        &["COPY", "ns:n", "ns:copy"],
        &["XADD", "ns:x", "1-1", "f", "v"],
    ];
    for words in commands {
        both(words);
    }
    // A node that takes no writes, or has no memory, may refuse between MULTI and EXEC more than outside: a script
    // whatever it would do (before 7.2), and commands that need no memory.
    for (setting, value) in [("min-replicas-to-write", "0"), ("maxmemory", "0")] {
        set_up(setting, "1");
        for words in commands.iter().filter(|words| !runs_script(words[0])) {
            both(words);
        }
        for words in [
            &["EVAL", "return redis.call('GET',KEYS[1])", "1", "ns:n"][..],
            &["EVAL", "return redis.call('SET',KEYS[1],'v')", "1", "ns:n"],
            &["RENAME", "ns:n", "ns:m"],
            &["RENAME", "ns:m", "ns:n"],
        ] {
            let expected = in_block(&mut RawClient::connect(plain.port()), words);
            assert_eq!(proxy.client().call(words), expected, "{setting}: {words:?}");
        }
        set_up(setting, value);
    }
}
