//! Requests of very many arguments: they are worked on in slices, with other clients of the worker served in between,
//! and their memory is counted before it is allocated.

use slotmux_testing::client::command;
use slotmux_testing::{
    Neighbour, PATIENCE, Proxy, RawClient, Value, calm_cluster, poll_until, shared_cluster,
};

const MIB: u64 = 1 << 20;
/// Allowed excess over a limit, in bytes: buffers that are copied as they grow, pools, and freed memory.
const ALLOWANCE: u64 = 40 * MIB;
/// PINGs that must be answered between the slices of one request. Done in a single turn it would be one or two: those
/// that the worker reads with the last byte of the request.
const BETWEEN: usize = 5;

fn one_worker(memory_limit: &str) -> Proxy {
    Proxy::start(shared_cluster(), |config| {
        config.set("server.workers", 1);
        config.set("server.memory_limit", memory_limit);
        config.set("cluster.timeouts.command", "60s");
        config.set("defaults.namespace.multi", "split");
        config.set("log.level", "warn");
    })
}

/// A request with this many arguments behind its first ones.
fn long(words: &[&str], count: usize, argument: impl Fn(usize) -> String) -> Vec<u8> {
    let all = words.iter().map(|word| (*word).to_owned());
    command(&all.chain((0..count).map(argument)).collect::<Vec<_>>())
}

fn channels(of: &str, count: usize) -> Vec<u8> {
    long(&["SUBSCRIBE"], count, |i| format!("long:{of}:{i}"))
}

/// Sends a request and counts the PINGs of another client that are answered before its reply begins. All but the last
/// byte of the request is read before.
fn pings_meanwhile(proxy: &Proxy, client: &mut RawClient, request: &[u8]) -> usize {
    let mut other = proxy.client();
    let (most, last) = request.split_at(request.len() - 1);
    client.send_raw(most);
    let read = most.len() as f64;
    poll_until(PATIENCE, "the request to be read", || {
        most.len() < 4096 || proxy.metric("slotmux_client_buffer_bytes") >= Some(read)
    });
    client.send_raw(last);
    let mut pings = 0;
    while !client.has_news_now() {
        assert_eq!(other.call(&["PING"]), Value::Simple("PONG".into()));
        pings += 1;
    }
    pings
}

#[track_caller]
fn assert_served_between(proxy: &Proxy, client: &mut RawClient, what: &str, request: &[u8]) {
    let pings = pings_meanwhile(proxy, client, request);
    assert!(pings >= BETWEEN, "{what}: {pings} PINGs meanwhile");
}

#[test]
fn others_are_served_while_a_command_of_many_keys_is_split() {
    const KEYS: usize = 30_000;
    let proxy = one_worker("0");
    let mut client = proxy.client();
    let key = |i: usize| format!("split:{i}");
    let mset = long(&["MSET"], 2 * KEYS, |i| match i % 2 {
        0 => key(i / 2),
        _ => format!("value {}", i / 2),
    });
    assert_served_between(&proxy, &mut client, "MSET", &mset);
    assert_eq!(client.read(), Value::ok());
    assert_served_between(&proxy, &mut client, "MGET", &long(&["MGET"], KEYS, key));
    let reply = client.read();
    assert_eq!(reply.items().len(), KEYS);
    for (i, value) in reply.items().iter().enumerate() {
        assert_eq!(value, &Value::bulk(format!("value {i}")), "{i}");
    }
    for name in ["EXISTS", "TOUCH", "DEL"] {
        assert_served_between(&proxy, &mut client, name, &long(&[name], KEYS, key));
        assert_eq!(client.read(), Value::Integer(KEYS as i64), "{name}");
    }
}

#[test]
fn a_few_long_keys_are_split_in_slices_as_well() {
    const KEYS: usize = 100;
    const LENGTH: usize = 50_000;
    let proxy = one_worker("0");
    let mut client = proxy.client();
    let key = |i: usize| format!("{i:0LENGTH$}");
    let mset = long(&["MSET"], 2 * KEYS, |i| match i % 2 {
        0 => key(i / 2),
        _ => format!("{}", i / 2).repeat(LENGTH),
    });
    client.send_raw(&mset);
    assert_eq!(client.read(), Value::ok());
    client.send_raw(&long(&["MGET"], KEYS, key));
    let reply = client.read();
    assert_eq!(reply.items().len(), KEYS);
    for (i, value) in reply.items().iter().enumerate() {
        let expected = Value::bulk(format!("{i}").repeat(LENGTH));
        assert!(value == &expected, "{i}");
    }
    for name in ["EXISTS", "DEL"] {
        client.send_raw(&long(&[name], KEYS, key));
        assert_eq!(client.read(), Value::Integer(KEYS as i64), "{name}");
    }
}

#[test]
fn others_are_served_while_a_long_transaction_is_planned() {
    const COMMANDS: usize = 20_000;
    let proxy = one_worker("0");
    for (what, request) in [
        ("one slot", vec!["INCR", "{exec}:long"]),
        ("own answers", vec!["PING"]),
        ("many slots", vec!["EXISTS", "exec:1", "exec:2"]),
    ] {
        let mut client = proxy.client();
        let body = command(&request).repeat(COMMANDS);
        let queued = client.pipeline_raw(&[b"MULTI\r\n", &body[..]].concat(), COMMANDS + 1);
        assert_eq!(queued[COMMANDS], Value::Simple("QUEUED".into()));
        assert_served_between(&proxy, &mut client, what, b"EXEC\r\n");
        assert_eq!(client.read().items().len(), COMMANDS, "{what}");
        client.call(&["DEL", "{exec}:long"]);
    }
}

#[test]
fn others_are_served_while_one_subscribes_to_many_channels_and_leaves_them() {
    let _turn = crate::turn();
    const NAMES: usize = 20_000;
    let proxy = one_worker("0");
    let mut first = proxy.client();
    first.send_raw(&channels("busy", NAMES));
    for i in 0..NAMES {
        assert_eq!(first.read().items()[2], Value::Integer(i as i64 + 1));
    }
    // Only slotmux has work here; the nodes are idle for the second client.
    let mut second = proxy.client();
    let request = channels("busy", NAMES);
    assert_served_between(&proxy, &mut second, "SUBSCRIBE", &request);
    for i in 0..NAMES {
        let confirmation = second.read();
        assert_eq!(
            confirmation.items()[1],
            Value::bulk(format!("long:busy:{i}"))
        );
        assert_eq!(confirmation.items()[2], Value::Integer(i as i64 + 1));
    }
    assert_served_between(&proxy, &mut second, "RESET", b"RESET\r\n");
    assert_eq!(second.read(), Value::Simple("RESET".into()));
    assert_eq!(
        proxy.metric("slotmux_subscriptions"),
        Some(NAMES as f64),
        "the first is still subscribed"
    );
    // One name more than was subscribed, and one twice.
    first.send_raw(&long(&["UNSUBSCRIBE"], NAMES + 1, |i| {
        format!("long:busy:{}", i / 2)
    }));
    for i in 0..=NAMES {
        let left = NAMES - i / 2 - 1;
        assert_eq!(first.read().items()[2], Value::Integer(left as i64), "{i}");
    }
    first.send_raw(b"UNSUBSCRIBE\r\n");
    for left in (0..NAMES / 2 - 1).rev() {
        assert_eq!(first.read().items()[2], Value::Integer(left as i64));
    }
    assert_eq!(proxy.metric("slotmux_subscriptions"), Some(0.0));
}

#[test]
fn long_names_are_confirmed_and_unsubscribed_a_few_at_a_time() {
    const NAMES: usize = 400;
    const LENGTH: usize = 50_000;
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "60s");
        config.set("listener.limits.output_soft", "none");
        // A fifth of the confirmations: a client that got all of them in one turn would be closed.
        config.set("listener.limits.output_hard", "4MiB");
        config.set("log.level", "warn");
    });
    let name = |i: usize| format!("{i:0LENGTH$}");
    let mut client = proxy.client();
    let all_names = |client: &mut RawClient, left: &dyn Fn(usize) -> usize| {
        for i in 0..NAMES {
            let confirmation = client.read();
            let told = Value::Integer(left(i) as i64);
            assert_eq!(confirmation.items()[1], Value::bulk(name(i)));
            assert_eq!(confirmation.items()[2], told, "{i}");
        }
    };
    let subscribe = long(&["SUBSCRIBE"], NAMES, name);
    for unsubscribe in [
        long(&["UNSUBSCRIBE"], NAMES, name),
        b"UNSUBSCRIBE\r\n".to_vec(),
    ] {
        client.send_raw(&subscribe);
        all_names(&mut client, &|i| i + 1);
        client.send_raw(&unsubscribe);
        all_names(&mut client, &|i| NAMES - i - 1);
    }
    client.send_raw(&subscribe);
    all_names(&mut client, &|i| i + 1);
    assert_served_between(&proxy, &mut client, "RESET", b"RESET\r\n");
    assert_eq!(client.read(), Value::Simple("RESET".into()));
    assert_eq!(proxy.metric("slotmux_limit_closes_total"), Some(0.0));
}

#[test]
fn commands_behind_a_long_request_are_answered_behind_it() {
    const MANY: usize = 3000;
    let proxy = one_worker("0");
    let key = |i: usize| format!("order:{i}");
    let mset = |value: &str| {
        long(&["MSET"], 2 * MANY, |i| match i % 2 {
            0 => key(i / 2),
            _ => value.to_owned(),
        })
    };
    let get = command(&["GET", &key(MANY - 1)]);
    let in_multi = command(&["GET", &key(0)]).repeat(MANY);
    let pipeline = [
        &mset("a")[..],
        &get,
        &mset("b"),
        &get,
        &long(&["MGET"], MANY, key),
        b"CLIENT SETNAME before\r\nMULTI\r\n",
        &in_multi,
        b"CLIENT GETNAME\r\nCLIENT SETNAME inside\r\nEXEC\r\nCLIENT GETNAME\r\n",
        &long(&["DEL"], MANY, key),
        &get,
        &channels("order", MANY),
        b"PING\r\nRESET\r\nPING\r\n",
    ];
    let mut client = proxy.client();
    client.send_raw(&pipeline.concat());
    assert_eq!(client.read(), Value::ok());
    assert_eq!(client.read(), Value::bulk("a"));
    assert_eq!(client.read(), Value::ok());
    assert_eq!(client.read(), Value::bulk("b"));
    let all = client.read();
    assert!(all.items().iter().all(|value| *value == Value::bulk("b")));
    assert_eq!(client.read(), Value::ok());
    assert_eq!(client.read(), Value::ok());
    for _ in 0..MANY + 2 {
        assert_eq!(client.read(), Value::Simple("QUEUED".into()));
    }
    let exec = client.read();
    let (read, own) = exec.items().split_at(MANY);
    assert!(read.iter().all(|value| *value == Value::bulk("b")));
    assert_eq!(own, [Value::bulk("before"), Value::ok()]);
    assert_eq!(client.read(), Value::bulk("inside"));
    assert_eq!(client.read(), Value::Integer(MANY as i64));
    assert_eq!(client.read(), Value::Null);
    for i in 0..MANY {
        assert_eq!(client.read().items()[2], Value::Integer(i as i64 + 1));
    }
    assert_eq!(client.read().items()[0], Value::bulk("pong"));
    assert_eq!(client.read(), Value::Simple("RESET".into()));
    assert_eq!(client.read(), Value::Simple("PONG".into()));
}

#[test]
fn names_beyond_the_memory_limit_are_refused_before_they_take_any() {
    const NAMES: usize = 300_000;
    let proxy = one_worker("64MiB");
    let neighbour = Neighbour::start(proxy.port(), "beside-names");
    neighbour.goes_on();
    let before = proxy.rss();
    for name in ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"] {
        let mut greedy = proxy.client();
        greedy.send_raw(&long(&[name], NAMES, |i| format!("greedy:{i}")));
        let reply = format!("{:?}", greedy.read());
        assert!(reply.contains("server.memory_limit"), "{name}: {reply}");
        // The client may continue, with smaller requests.
        greedy.send(&[name, "modest"]);
        assert_eq!(greedy.read().items()[2], Value::Integer(1));
    }
    let grown = proxy.peak_rss().saturating_sub(before);
    // A copy of every name anywhere would take 190 MB.
    assert!(grown < ALLOWANCE, "{grown} bytes");
    assert_eq!(proxy.metric("slotmux_limit_closes_total"), Some(0.0));
    neighbour.goes_on();
    neighbour.finish();
}

#[test]
fn the_memory_of_many_names_counts_from_the_beginning_and_is_freed() {
    let _turn = crate::turn();
    const NAMES: usize = 50_000;
    const CLIENTS: usize = 8;
    let proxy = one_worker("64MiB");
    let before = proxy.rss();
    let mut clients: Vec<RawClient> = (0..CLIENTS).map(|_| proxy.client()).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        client.send_raw(&channels(&i.to_string(), NAMES));
    }
    let mut served = 0;
    for client in &mut clients {
        match client.read() {
            Value::Error(text) => assert!(text.contains("server.memory_limit"), "{text}"),
            _ => served += 1,
        }
    }
    // Each counts for 27 MB.
    assert!((1..=2).contains(&served), "{served} were served");
    let grown = proxy.peak_rss().saturating_sub(before);
    assert!(grown < 64 * MIB + ALLOWANCE, "{grown} bytes");
    drop(clients);
    poll_until(PATIENCE, "the memory to be freed", || {
        proxy.metric("slotmux_client_buffer_bytes") == Some(0.0)
            && proxy.metric("slotmux_subscriptions") == Some(0.0)
    });
    // The memory is free again.
    let mut client = proxy.client();
    poll_until(PATIENCE, "room for as many names", || {
        client.send_raw(&channels("again", NAMES));
        matches!(client.read(), Value::Array(_))
    });
}

#[test]
fn keys_beyond_the_memory_limit_are_refused() {
    let proxy = one_worker("16MiB");
    let mut client = proxy.client();
    let before = proxy.rss();
    for name in ["MGET", "DEL", "EXISTS"] {
        client.send_raw(&long(&[name], 200_000, |i| format!("refused:{i}")));
        let reply = format!("{:?}", client.read());
        assert!(reply.contains("server.memory_limit"), "{name}: {reply}");
    }
    let grown = proxy.peak_rss().saturating_sub(before);
    assert!(grown < ALLOWANCE, "{grown} bytes");
    assert_eq!(client.call(&["PING"]), Value::Simple("PONG".into()));
}

#[test]
fn a_frozen_node_costs_the_deadline_and_blocks_nothing() {
    const NAMES: usize = 20_000;
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "300ms");
        config.set("cluster.timeouts.response", "120s");
        config.set("log.level", "warn");
    });
    let mut client = proxy.client();
    client.send(&["SUBSCRIBE", "frozen"]);
    assert_eq!(client.read().items()[2], Value::Integer(1));
    for node in 0..3 {
        cluster.stop(node).expect("stopped");
    }
    let mut late = proxy.client();
    late.send_raw(&channels("late", NAMES));
    let reply = format!("{:?}", late.read());
    assert!(reply.contains("did not confirm"), "{reply}");
    // No part of it remains: later requests are answered.
    assert_eq!(late.call(&["PING"]), Value::Simple("PONG".into()));
    drop(late);
    for node in 0..3 {
        cluster.resume(node).expect("resumed");
    }
    let mut next = proxy.client();
    poll_until(PATIENCE, "the nodes to confirm", || {
        next.send(&["SUBSCRIBE", "late:1"]);
        matches!(next.read(), Value::Array(_))
    });
    drop((client, next));
    poll_until(PATIENCE, "the memory to be freed", || {
        proxy.metric("slotmux_client_buffer_bytes") == Some(0.0)
    });
}

#[test]
fn the_answers_of_one_turn_are_bounded() {
    const MOST: usize = 16 * 1024;
    let proxy = one_worker("0");
    let mut client = proxy.client();
    let table: &[(&[&str], &str)] = &[
        (&["CLIENT", "KILL"], "ID"),
        (&["CLIENT", "LIST", "ID"], "7"),
        (&["CONFIG", "GET"], ""),
        (&["HELLO", "2"], "SETNAME"),
        (&["INFO"], "x"),
        (&["PUBSUB", "NUMSUB"], "x"),
        (&["SCRIPT", "EXISTS"], "x"),
        (&["SLOTMUX", "EXPLAIN", "MGET"], "x"),
    ];
    for (words, argument) in table {
        let more = long(words, MOST + 1 - words.len(), |_| (*argument).to_owned());
        client.send_raw(&more);
        let reply = format!("{:?}", client.read());
        assert!(
            reply.contains("at most 16384 arguments"),
            "{words:?}: {reply}"
        );
        let most = long(words, MOST - words.len(), |_| (*argument).to_owned());
        client.send_raw(&most);
        let reply = format!("{:?}", client.read());
        assert!(!reply.contains("at most"), "{words:?}: {reply}");
    }
    // The bound also applies to a command over several slots inside MULTI, which EXEC splits in one step.
    let split = long(&["DEL"], MOST, |i| i.to_string());
    client.send_raw(&[b"MULTI\r\n", &split[..]].concat());
    assert_eq!(client.read(), Value::ok());
    let reply = format!("{:?}", client.read());
    assert!(reply.contains("at most 16384 arguments"), "{reply}");
    client.call(&["DISCARD"]);
}
