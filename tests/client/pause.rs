//! CLIENT PAUSE and UNPAUSE: which clients wait, which do not, and that no command is lost or overtaken.

use std::time::Duration;

use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_core::slot::slot_of;
use slotmux_testing::{
    PATIENCE, Proxy, RawClient, Value, calm_cluster, poll_for, poll_until, shared_cluster,
};

/// Longer than any test.
const LONG: &str = "1000000";

fn proxy() -> Proxy {
    Proxy::start(shared_cluster(), |config| config.set("server.workers", 3))
}

/// A client with its id.
fn identified(port: u16) -> (RawClient, i64) {
    let mut client = RawClient::connect(port);
    let id = client.call(&["CLIENT", "ID"]).integer();
    (client, id)
}

/// Whether the next command of a client is held, as another client sees it; otherwise its reply has arrived.
fn is_held(client: &mut RawClient, id: i64, observer: &mut RawClient) -> bool {
    poll_for(PATIENCE, "the command to be held or answered", || {
        if client.has_news(Duration::from_millis(1)) {
            return Some(false);
        }
        let lines = observer.call(&["CLIENT", "LIST", "ID", &id.to_string()]);
        let lines = lines.text();
        let flags = lines.split(" flags=").nth(1)?;
        flags.split(' ').next()?.contains('b').then_some(true)
    })
}

#[test]
fn a_pause_of_everything_holds_every_client_of_every_worker() {
    let proxy = proxy();
    let mut clients: Vec<RawClient> = (0..12).map(|_| proxy.client()).collect();
    assert_eq!(proxy.client().call(&["CLIENT", "PAUSE", LONG]), Value::ok());
    clients.push(proxy.client());
    let commands = [
        &["PING"][..],
        &["GET", "k"],
        &["SET", "k", "v"],
        &["MULTI"],
        &["CLIENT", "UNPAUSE"],
        &["CLIENT", "ID"],
        &["HELLO"],
        &["RESET"],
        &["QUIT"],
        &["INFO"],
        &["DBSIZE"],
        &["MGET", "a", "b", "c"],
        &["AUTH", "default", "x"],
    ];
    for (client, words) in clients.iter_mut().zip(commands) {
        client.send(words);
    }
    // Invalid commands are refused at once, and commands about slotmux itself are answered.
    let mut other = proxy.client();
    for words in [&["NOSUCH"][..], &["GET"], &["SWAPDB", "0", "1"]] {
        assert!(!other.call(words).error().is_empty());
    }
    assert!(!other.call(&["SLOTMUX", "VERSION"]).text().is_empty());
    for (client, words) in clients.iter_mut().zip(commands) {
        assert!(!client.has_news(Duration::from_millis(10)), "{words:?}");
    }
    // A client that hangs up while it is held is detected.
    let connected = || proxy.metric("slotmux_clients");
    let before = connected().expect("a count");
    clients.truncate(6);
    poll_until(PATIENCE, "no held client", || {
        connected().is_some_and(|now| now <= before - 7.0)
    });
    // A drain does not wait for the remaining ones either.
    proxy.terminate();
    assert!(proxy.wait_exit().success());
}

#[test]
fn a_pause_ends_by_itself() {
    let proxy = proxy();
    let mut clients: Vec<RawClient> = (0..9).map(|_| proxy.client()).collect();
    for round in 0..3 {
        assert_eq!(
            proxy.client().call(&["CLIENT", "PAUSE", "150"]),
            Value::ok()
        );
        for client in &mut clients {
            client.send(&["INCR", "ends-by-itself"]);
        }
        let mut counts: Vec<i64> = clients.iter_mut().map(|it| it.read().integer()).collect();
        counts.sort_unstable();
        assert_eq!(counts, (round * 9 + 1..=round * 9 + 9).collect::<Vec<_>>());
    }
    // As in Redis, a pause of zero length ends at once.
    assert_eq!(clients[0].call(&["CLIENT", "PAUSE", "0"]), Value::ok());
    assert_eq!(clients[0].call(&["PING"]), Value::Simple("PONG".to_owned()));
}

#[test]
fn a_pause_of_writes_holds_messages_and_no_subscription() {
    let proxy = proxy();
    let mut observer = proxy.client();
    let mut early = proxy.client();
    early.call(&["SUBSCRIBE", "paused:c"]);
    let mut publishers = [(); 3].map(|()| identified(proxy.port()));
    publishers[2].0.call(&["MULTI"]);
    publishers[2].0.call(&["PUBLISH", "paused:c", "c"]);
    let reply = observer.call(&["CLIENT", "PAUSE", LONG, "WRITE"]);
    assert_eq!(reply, Value::ok());
    // Subscribing, PUBSUB and receiving messages are not writes.
    let mut late = proxy.client();
    for (words, count) in [
        (&["SUBSCRIBE", "paused:c"][..], 1),
        (&["PSUBSCRIBE", "paused:*"], 2),
        (&["PUNSUBSCRIBE"], 1),
    ] {
        assert_eq!(late.call(words).items()[2], Value::Integer(count));
    }
    let numbers = observer.call(&["PUBSUB", "NUMSUB", "paused:c"]);
    assert_eq!(numbers.items()[1], Value::Integer(2));
    // Commands that are invalid in RESP2 are refused without waiting.
    let refused = late.call(&["PUBLISH", "paused:c", "no"]);
    assert!(refused.error().contains("are allowed in this context"));
    let published = [
        &["PUBLISH", "paused:c", "a"][..],
        &["SPUBLISH", "paused:c", "b"],
        &["EXEC"],
    ];
    for ((publisher, id), words) in publishers.iter_mut().zip(published) {
        publisher.send(words);
        assert!(is_held(publisher, *id, &mut observer), "{words:?}");
    }
    let node = shared_cluster().node(0);
    RawClient::connect(node.port).call(&["PUBLISH", "paused:c", "past"]);
    for client in [&mut early, &mut late] {
        assert_eq!(client.read().items()[2], Value::bulk("past"));
    }
    assert_eq!(observer.call(&["CLIENT", "UNPAUSE"]), Value::ok());
    let replies = publishers.map(|(mut publisher, _)| publisher.read());
    assert_eq!(replies[0], Value::Integer(2));
    assert_eq!(replies[1], Value::Integer(0));
    assert_eq!(replies[2].items().len(), 1);
    for client in [&mut early, &mut late] {
        let mut texts = [(); 2].map(|()| client.read().items()[2].text());
        texts.sort();
        assert_eq!(texts, ["a", "c"]);
    }
}

/// The replies to each command equal those of a plain Redis.
#[test]
fn a_pause_of_writes_holds_what_redis_holds() {
    let proxy = proxy();
    let redis = LocalServer::start(&ServerOptions::default()).expect("a server");
    let ports = [redis.port(), proxy.port()];
    let mut observers = ports.map(RawClient::connect);
    for observer in &mut observers {
        assert_eq!(
            observer.call(&["CLIENT", "PAUSE", LONG, "WRITE"]),
            Value::ok()
        );
    }
    let sha = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
    for words in [
        &["GET", "k"][..],
        &["SET", "k", "v"],
        &["MSET", "a", "1", "b", "2", "c", "3"],
        &["MGET", "a", "b", "c"],
        &["DEL", "a", "b"],
        &["TOUCH", "a", "b"],
        &["PUBLISH", "c", "m"],
        &["SPUBLISH", "c", "m"],
        &["EVAL", "return 1", "0"],
        &["EVAL", "#!lua flags=no-writes\nreturn 1", "0"],
        &["EVAL", "#!lua\nreturn 1", "0"],
        &["EVAL_RO", "return 1", "0"],
        &["EVALSHA", sha, "0"],
        &["FCALL", "x", "0"],
        &["FCALL_RO", "x", "0"],
        &["PFCOUNT", "k2"],
        &["SCRIPT", "LOAD", "return 1"],
        &["SORT", "k2"],
        &["GETEX", "k2"],
        &["EXPIRE", "k", "1"],
        &["BITFIELD", "k2", "GET", "u8", "0"],
        &["GEORADIUS", "k2", "1", "1", "1", "m"],
        &["XREAD", "STREAMS", "s", "0"],
        &["EXISTS", "k"],
        &["TYPE", "k"],
        &["SCAN", "0"],
        &["DBSIZE"],
        &["PING"],
        &["MULTI"],
        &["CLIENT", "ID"],
        &["CLIENT", "PAUSE", "0", "WRITE"],
        &["INFO"],
        &["NOSUCH"],
        &["SET"],
    ] {
        let held = [0, 1].map(|at| {
            let (mut client, id) = identified(ports[at]);
            client.send(words);
            is_held(&mut client, id, &mut observers[at])
        });
        assert_eq!(held[0], held[1], "{words:?}");
    }
}

#[test]
fn a_held_client_keeps_its_order_and_continues() {
    let proxy = proxy();
    let mut observer = proxy.client();
    let (mut client, id) = identified(proxy.port());
    assert_eq!(
        observer.call(&["CLIENT", "PAUSE", LONG, "WRITE"]),
        Value::ok()
    );
    // A milder, shorter pause changes nothing.
    assert_eq!(
        observer.call(&["CLIENT", "PAUSE", "0", "WRITE"]),
        Value::ok()
    );
    for words in [
        &["GET", "held-order"][..],
        &["SET", "held-order", "1"],
        &["INCR", "held-order"],
        &["GET", "held-order"],
        &["DEL", "held-order"],
    ] {
        client.send(words);
    }
    // Commands before the held one are answered.
    assert_eq!(client.read(), Value::Null);
    assert!(is_held(&mut client, id, &mut observer));
    assert_eq!(observer.call(&["GET", "held-order"]), Value::Null);
    assert_eq!(observer.call(&["CLIENT", "UNPAUSE"]), Value::ok());
    assert_eq!(client.read(), Value::ok());
    assert_eq!(client.read(), Value::Integer(2));
    assert_eq!(client.read(), Value::bulk("2"));
    assert_eq!(client.read(), Value::Integer(1));
    // Without a pause UNPAUSE does nothing, and is not an error.
    assert_eq!(observer.call(&["CLIENT", "UNPAUSE"]), Value::ok());
}

#[test]
fn transactions_are_held_for_their_commands() {
    let proxy = proxy();
    let mut observer = proxy.client();
    let (mut writer, writer_id) = identified(proxy.port());
    let (mut reader, reader_id) = identified(proxy.port());
    for (client, body) in [
        (&mut writer, &["SET", "held-exec", "v"][..]),
        (&mut reader, &["GET", "held-exec"]),
    ] {
        assert_eq!(client.call(&["MULTI"]), Value::ok());
        assert_eq!(client.call(body), Value::Simple("QUEUED".to_owned()));
    }
    observer.call(&["CLIENT", "PAUSE", LONG, "WRITE"]);
    for client in [&mut writer, &mut reader] {
        client.send(&["EXEC"]);
    }
    assert!(!is_held(&mut reader, reader_id, &mut observer));
    assert_eq!(reader.read(), Value::Array(vec![Value::Null]));
    assert!(is_held(&mut writer, writer_id, &mut observer));

    // As in Redis, a write is held when it is queued already.
    assert_eq!(reader.call(&["MULTI"]), Value::ok());
    reader.send(&["SET", "held-exec", "w"]);
    assert!(is_held(&mut reader, reader_id, &mut observer));
    assert_eq!(observer.call(&["CLIENT", "UNPAUSE"]), Value::ok());
    assert_eq!(writer.read(), Value::Array(vec![Value::ok()]));
    assert_eq!(reader.read(), Value::Simple("QUEUED".to_owned()));
    assert_eq!(reader.call(&["EXEC"]), Value::Array(vec![Value::ok()]));
    let refused = {
        reader.call(&["MULTI"]);
        reader.call(&["CLIENT", "PAUSE", "1"])
    };
    assert!(refused.error().contains("inside MULTI"), "{refused:?}");
}

/// After the reply to a pause of writes, no write runs any more.
#[test]
fn a_pause_is_confirmed_after_writes_in_flight() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("server.workers", 3);
        config.set("cluster.timeouts.command", "30s");
        config.set("cluster.timeouts.response", "30s");
    });
    let key = "on-its-way";
    let owner = cluster
        .primary_of_slot(slot_of(key.as_bytes()).0)
        .expect("an owner");
    let mut writers: Vec<RawClient> = (0..9).map(|_| proxy.client()).collect();
    let mut reader = proxy.client();
    let elsewhere = (0..).map(|n| format!("elsewhere:{n}")).find(|name| {
        let slot = slot_of(name.as_bytes()).0;
        cluster.primary_of_slot(slot).expect("an owner") != owner
    });
    let elsewhere = elsewhere.expect("a key");
    cluster.stop(owner).expect("stopped");
    for writer in &mut writers {
        writer.send(&["INCR", key]);
    }
    let requests = || proxy.metric("slotmux_in_flight");
    poll_until(PATIENCE, "the writes to be in flight", || {
        requests().is_some_and(|count| count >= 9.0)
    });
    let mut pauser = proxy.client();
    pauser.send(&["CLIENT", "PAUSE", LONG, "WRITE"]);
    // Held already, though not confirmed. The other key's node is running. Repeated, so that it has reached every
    // worker.
    for _ in 0..12 {
        poll_until(PATIENCE, "the pause", || {
            let (mut probe, id) = identified(proxy.port());
            probe.send(&["INCR", &elsewhere]);
            is_held(&mut probe, id, &mut proxy.client())
        });
    }
    let (mut late, id) = identified(proxy.port());
    late.send(&["INCR", key]);
    assert!(is_held(&mut late, id, &mut proxy.client()));
    assert!(!pauser.has_news(Duration::from_millis(50)));
    cluster.resume(owner).expect("resumed");
    assert_eq!(pauser.read(), Value::ok());
    assert_eq!(reader.call(&["GET", key]), Value::bulk("9"));
    assert_eq!(pauser.call(&["CLIENT", "UNPAUSE"]), Value::ok());
    assert_eq!(late.read(), Value::Integer(10));
}

#[test]
fn a_pause_with_suppressed_reply_takes_effect() {
    let proxy = proxy();
    let (mut client, id) = identified(proxy.port());
    let mut observer = proxy.client();
    client.send(&["CLIENT", "REPLY", "OFF"]);
    client.send(&["CLIENT", "PAUSE", LONG, "WRITE"]);
    client.send(&["SET", "silent", "1"]);
    assert!(is_held(&mut client, id, &mut observer));
    assert_eq!(observer.call(&["CLIENT", "UNPAUSE"]), Value::ok());
    client.send(&["CLIENT", "REPLY", "ON"]);
    assert_eq!(client.read(), Value::ok());
    assert_eq!(client.call(&["GETDEL", "silent"]), Value::bulk("1"));
}

/// As in Redis, INFO counts held clients as blocked.
#[test]
fn held_clients_count_as_blocked_until_the_pause_or_the_connection_ends() {
    let proxy = proxy();
    let mut observer = proxy.client();
    let mut blocked = |count: usize| {
        let line = format!("\r\nblocked_clients:{count}\r\n");
        poll_until(PATIENCE, &line, || {
            observer.call(&["INFO", "clients"]).text().contains(&line)
        });
    };
    for leaves in [false, true, true, false] {
        assert_eq!(
            proxy.client().call(&["CLIENT", "PAUSE", LONG, "WRITE"]),
            Value::ok()
        );
        let mut held: Vec<RawClient> = (0..6).map(|_| proxy.client()).collect();
        for client in &mut held {
            client.send(&["SET", "held", "1"]);
        }
        blocked(6);
        if leaves {
            held.truncate(2);
            blocked(2);
        }
        assert_eq!(proxy.client().call(&["CLIENT", "UNPAUSE"]), Value::ok());
        for client in &mut held {
            assert_eq!(client.read(), Value::ok());
        }
        blocked(0);
    }
}
