//! Ways in which a few clients could take more memory than the limits allow, without a single reply or request that is
//! too large. The tests check the peak of slotmux' memory, not the rest afterwards.

use slotmux_core::slot::slot_of;
use slotmux_testing::client::command;
use slotmux_testing::peer::{Gate, Peer, Step};
use slotmux_testing::{
    Neighbour, PATIENCE, Proxy, RawClient, Value, calm_cluster, poll_until, shared_cluster,
};

const MIB: usize = 1024 * 1024;
/// The memory limit of tests that set one.
const LIMIT: u64 = 64 << 20;
/// Allowed excess over a limit: buffers that are copied as they grow, pools, memory freed a moment ago.
const ALLOWANCE: u64 = 48 << 20;

fn limited() -> Proxy {
    Proxy::start(shared_cluster(), |config| {
        config.set("server.workers", 1);
        config.set("server.memory_limit", "64MiB");
        config.set("log.level", "warn");
    })
}

/// Asserts that slotmux never held more than this many bytes above `before`.
#[track_caller]
fn assert_peak(proxy: &Proxy, before: u64, most: u64) {
    let grown = proxy.peak_rss().saturating_sub(before);
    assert!(grown < most, "{grown} bytes, not below {most}");
}

#[test]
fn the_answers_of_one_exec_are_bounded_while_they_are_built() {
    let _turn = crate::turn();
    const COMMANDS: usize = 60_000;
    // Behind a WATCH slotmux answers once the node has confirmed that the transaction runs.
    for is_watched in [false, true] {
        let proxy = Proxy::start(shared_cluster(), |config| {
            config.set("server.workers", 1);
            config.set("listener.limits.output_hard", "8MiB");
            config.set("log.level", "warn");
        });
        let neighbour = Neighbour::start(proxy.port(), "beside-exec");
        neighbour.goes_on();
        let before = proxy.rss();
        let mut greedy = proxy.client();
        if is_watched {
            assert_eq!(greedy.call(&["WATCH", "exec"]), Value::ok());
        }
        let body = command(&["INFO"]).repeat(COMMANDS);
        let bytes = [b"MULTI\r\n", &body[..], b"EXEC\r\n"].concat();
        // It is closed before it has everything.
        let _ = greedy.try_send_raw(&bytes);
        let replies = greedy.read_to_close();
        assert!(
            !replies.windows(5).any(|bytes| bytes == b"*6000"),
            "EXEC was answered"
        );
        assert_eq!(proxy.metric("slotmux_limit_closes_total"), Some(1.0));
        assert_peak(&proxy, before, 8 * MIB as u64 + ALLOWANCE);
        neighbour.goes_on();
        neighbour.finish();
        // A client that asks for less gets it.
        let mut modest = proxy.client();
        if is_watched {
            assert_eq!(modest.call(&["WATCH", "exec"]), Value::ok());
        }
        modest.send_raw(b"MULTI\r\nINFO\r\nINFO\r\nEXEC\r\n");
        let replies: Vec<Value> = (0..4).map(|_| modest.read()).collect();
        assert_eq!(replies[3].items().len(), 2, "{:?}", replies[3]);
    }
}

#[test]
fn a_transaction_of_many_commands_counts_with_the_memory_of_its_execution() {
    const COMMANDS: usize = 600_000;
    let proxy = limited();
    let before = proxy.rss();
    let mut greedy = proxy.client();
    let body = command(&["PING"]).repeat(COMMANDS);
    let bytes = [b"MULTI\r\n", &body[..], b"EXEC\r\n"].concat();
    // It is closed before it has everything.
    let _ = greedy.try_send_raw(&bytes);
    greedy.read_to_close();
    assert_eq!(proxy.metric("slotmux_limit_closes_total"), Some(1.0));
    assert_peak(&proxy, before, LIMIT + ALLOWANCE);
    // A tenth of it runs.
    let mut modest = proxy.client();
    let some = &body[..body.len() / 10];
    let replies = modest.pipeline_raw(
        &[b"MULTI\r\n", some, b"EXEC\r\n"].concat(),
        COMMANDS / 10 + 2,
    );
    assert_eq!(replies[COMMANDS / 10 + 1].items().len(), COMMANDS / 10);
}

#[test]
fn the_error_of_a_group_is_stored_once_for_all_its_commands() {
    let _turn = crate::turn();
    const COMMANDS: usize = 200_000;
    let gate = Gate::default();
    let held_back = gate.clone();
    let peer = Peer::start(move |request| match request.name().as_str() {
        "SET" if request.word(1) == "failed" => Some(Step::reply("+QUEUED\r\n")),
        "EXEC" => Some(vec![Step::Gate(held_back.clone()), Step::Close]),
        _ => None,
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "60s");
        config.set("cluster.timeouts.response", "60s");
        config.set("defaults.namespace.multi", "split");
        config.set("listener.limits.output_hard", "8MiB");
        config.set("log.level", "warn");
    });
    let exec = |commands: usize| {
        let other = command(&["SET", "other", "1"]);
        let body = [other, command(&["SET", "failed", "1"]).repeat(commands)].concat();
        let mut client = proxy.client();
        let queued = client.pipeline_raw(&[b"MULTI\r\n", &body[..]].concat(), commands + 2);
        assert_eq!(queued[commands + 1], Value::Simple("QUEUED".into()));
        client.send_raw(b"EXEC\r\n");
        client
    };
    let mut greedy = exec(COMMANDS);
    poll_until(PATIENCE, "EXEC to arrive", || {
        peer.requests_named("EXEC").len() == 1
    });
    let before = proxy.peak_rss();
    gate.open();
    // Its reply would have 20 MB of errors.
    let replies = greedy.read_to_close();
    assert!(replies.is_empty(), "{} bytes", replies.len());
    assert_peak(&proxy, before, 24 << 20);
    assert_eq!(proxy.metric("slotmux_limit_closes_total"), Some(1.0));
    let reply = exec(100).read();
    assert_eq!(reply.items()[0], Value::ok());
    assert_eq!(reply.items().len(), 101);
    for element in &reply.items()[1..] {
        let error = element.error();
        assert!(error.contains("connection to the node was lost"), "{error}");
    }
}

#[test]
fn a_transaction_closed_for_its_size_returns_its_connections() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("server.workers", 1);
        config.set("listener.limits.output_hard", "64KiB");
        config.set("cluster.connections.dedicated_max", 1);
        config.set("log.level", "warn");
    });
    let value = "v".repeat(100_000);
    for round in 1..=3 {
        let mut greedy = proxy.client();
        // Big enough for a dedicated connection.
        greedy.send_raw(b"MULTI\r\n");
        greedy.send(&["SET", "{exec}:big", &value]);
        greedy.send_raw(&[&command(&["INFO"]).repeat(200)[..], b"EXEC\r\n"].concat());
        greedy.read_to_close();
        assert_eq!(
            proxy.metric("slotmux_limit_closes_total"),
            Some(f64::from(round))
        );
    }
    // No command of it ran, and the one connection is free.
    let mut other = proxy.client();
    assert_eq!(other.call(&["EXISTS", "{exec}:big"]), Value::Integer(0));
    assert_eq!(other.call(&["SET", "{exec}:next", &value]), Value::ok());
}

#[test]
fn one_message_to_many_slow_subscribers_stays_within_the_limit() {
    const LISTENERS: usize = 150;
    let proxy = limited();
    let mut listeners: Vec<RawClient> = (0..LISTENERS).map(|_| proxy.client()).collect();
    for listener in &mut listeners {
        listener.send(&["SUBSCRIBE", "loud"]);
        assert_eq!(listener.read().items()[2], Value::Integer(1));
    }
    let neighbour = Neighbour::start(proxy.port(), "beside-loud");
    neighbour.goes_on();
    let before = proxy.rss();
    let mut speaker = proxy.client();
    let message = "m".repeat(4 * MIB);
    assert_eq!(
        speaker.call(&["PUBLISH", "loud", &message]),
        Value::Integer(LISTENERS as i64)
    );
    poll_until(PATIENCE, "some subscribers to be closed", || {
        proxy.metric("slotmux_limit_closes_total") > Some(0.0)
    });
    assert_peak(&proxy, before, LIMIT + ALLOWANCE);
    neighbour.goes_on();
    neighbour.finish();
    // The closed clients are no subscribers any more, and a small message still reaches the others.
    let left = proxy.metric("slotmux_subscriptions").expect("a number");
    assert!(left > 0.0 && left < LISTENERS as f64, "{left}");
    assert_eq!(
        speaker.call(&["PUBLISH", "loud", "psst"]),
        Value::Integer(left as i64)
    );
}

#[test]
fn many_messages_of_one_turn_stay_within_the_limit() {
    let _turn = crate::turn();
    let proxy = limited();
    let mut listeners: Vec<RawClient> = (0..300).map(|_| proxy.client()).collect();
    for listener in &mut listeners {
        listener.send(&["SUBSCRIBE", "chatty"]);
        assert_eq!(listener.read().items()[2], Value::Integer(1));
    }
    let before = proxy.rss();
    let mut speaker = proxy.client();
    let message = command(&["PUBLISH", "chatty", &"m".repeat(5000)]);
    speaker.pipeline_raw(&message.repeat(500), 500);
    assert_peak(&proxy, before, LIMIT + ALLOWANCE);
}

#[test]
fn one_invalidation_to_many_stays_within_the_limit() {
    let _turn = crate::turn();
    const READERS: usize = 2000;
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("server.workers", 1);
        config.set("server.memory_limit", "16MiB");
        config.set("log.level", "warn");
    });
    let key = "i".repeat(60_000);
    let mut readers: Vec<RawClient> = (0..READERS).map(|_| proxy.client_resp3()).collect();
    for reader in &mut readers {
        assert_eq!(reader.call(&["CLIENT", "TRACKING", "ON"]), Value::ok());
        assert_eq!(reader.call(&["GET", &key]), Value::Null);
    }
    let before = proxy.rss();
    assert_eq!(proxy.client().call(&["SET", &key, "1"]), Value::ok());
    // Each client gets an invalidation, though without the key.
    for reader in &mut readers {
        assert!(reader.has_news(PATIENCE));
    }
    // 120 MB if each got the name.
    assert_peak(&proxy, before, (16 << 20) + ALLOWANCE);
    assert_eq!(proxy.metric("slotmux_limit_closes_total"), Some(0.0));
    proxy.client().call(&["DEL", &key]);
}

#[test]
fn names_count_against_the_memory_limit() {
    let _turn = crate::turn();
    const NAMED: usize = 21;
    let proxy = limited();
    let before = proxy.rss();
    let name = "n".repeat(8 * MIB);
    let mut clients: Vec<RawClient> = (0..NAMED).map(|_| proxy.client()).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        let bytes = match i % 3 {
            0 => command(&["CLIENT", "SETNAME", &name]),
            1 => command(&["CLIENT", "SETINFO", "LIB-NAME", &name]),
            _ => command(&["HELLO", "3", "SETNAME", &name]),
        };
        // It may be closed to make room for the others.
        let _ = client.try_send_raw(&bytes);
        let _ = client.try_read();
    }
    poll_until(PATIENCE, "clients above the limit to be closed", || {
        proxy.metric("slotmux_limit_closes_total") >= Some(NAMED as f64 - 8.0)
    });
    assert_peak(&proxy, before, LIMIT + ALLOWANCE);
    // A client without a name does not count any more.
    drop(clients);
    let mut client = proxy.client();
    assert_eq!(client.call(&["CLIENT", "SETNAME", &name]), Value::ok());
    poll_until(PATIENCE, "the name to count as memory", || {
        proxy.metric("slotmux_client_buffer_bytes") >= Some(8.0 * MIB as f64)
    });
    client.call(&["RESET"]);
    poll_until(PATIENCE, "the memory of the name to be freed", || {
        proxy.metric("slotmux_client_buffer_bytes") == Some(0.0)
    });
}

/// slotmux keeps a key of each watched slot until EXEC.
#[test]
fn watched_keys_count_against_the_memory_limit() {
    let _turn = crate::turn();
    let proxy = limited();
    let mut client = proxy.client();
    let key = |slot: usize| format!("{{{slot}}}{}", "w".repeat(MIB));
    for _ in 0..2 {
        for slot in 0..4 {
            assert_eq!(client.call(&["WATCH", &key(slot)]), Value::ok());
        }
        poll_until(PATIENCE, "the keys to count as memory", || {
            proxy.metric("slotmux_client_buffer_bytes") >= Some(4.0 * MIB as f64)
        });
        assert_eq!(client.call(&["UNWATCH"]), Value::ok());
        poll_until(PATIENCE, "the memory of the keys to be freed", || {
            proxy.metric("slotmux_client_buffer_bytes") == Some(0.0)
        });
    }
}

#[test]
fn requests_of_clients_that_have_left_are_dropped() {
    let _turn = crate::turn();
    let cluster = calm_cluster(0);
    let key = "left:1";
    let node = cluster
        .primary_of_slot(slot_of(key.as_bytes()).0)
        .expect("an owner");
    let proxy = Proxy::start(&cluster, |config| {
        config.set("server.workers", 1);
        config.set("server.memory_limit", "64MiB");
        config.set("log.level", "warn");
        config.set("cluster.timeouts.command", "120s");
        config.set("cluster.timeouts.response", "120s");
    });
    // A connection exists already: the kernel accepts a part of the first request to a stopped node.
    let mut client = proxy.client();
    let first = "f".repeat(MIB);
    assert_eq!(client.call(&["SET", key, &first]), Value::ok());
    cluster.stop(node).expect("stopped");
    let before = proxy.rss();
    let mut killer = proxy.client();
    let request = command(&["SET", key, &"r".repeat(24 * MIB)]);
    let small = command(&["SET", "left:2{left:1}", &"s".repeat(MIB)]);
    for round in 1..=8 {
        // One that the node can't have whole, and some that the kernel accepts whole.
        for (request, count) in [(&request, 1), (&small, 4)] {
            let mut leaving: Vec<RawClient> = (0..count).map(|_| proxy.client()).collect();
            for client in &mut leaving {
                client.send_raw(request);
            }
            poll_until(PATIENCE, "the commands to be in flight", || {
                proxy.metric("slotmux_in_flight") == Some(f64::from(count))
            });
            for client in &leaving {
                let address = client.local_addr().to_string();
                assert_eq!(killer.call(&["CLIENT", "KILL", &address]), Value::ok());
            }
            poll_until(PATIENCE, "the commands to be given up", || {
                proxy.metric("slotmux_in_flight") == Some(0.0)
            });
        }
        assert_peak(&proxy, before, LIMIT + ALLOWANCE);
        assert_eq!(
            proxy.metric("slotmux_limit_closes_total"),
            Some(0.0),
            "{round}"
        );
    }
    cluster.resume(node).expect("resumed");
    // An incomplete request does not run.
    assert_eq!(client.call(&["STRLEN", key]), Value::Integer(MIB as i64));
    assert_eq!(client.call(&["SET", key, &first]), Value::ok());
}

#[test]
fn requests_past_their_deadline_are_dropped() {
    let gate = Gate::default();
    let held = gate.clone();
    let peer = Peer::start(move |request| {
        (request.name() == "SET").then(|| vec![Step::Gate(held.clone()), Step::Close])
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("log.level", "warn");
        config.set("cluster.timeouts.command", "300ms");
        config.set("cluster.timeouts.response", "120s");
    });
    let before = proxy.rss();
    let mut client = proxy.client();
    let request = command(&["SET", "late", &"l".repeat(8 * MIB)]);
    for _ in 0..12 {
        client.send_raw(&request);
        let reply = format!("{:?}", client.read());
        assert!(reply.contains("upstream timeout"), "{reply}");
    }
    // 96 MiB if they were kept.
    assert_peak(&proxy, before, 64 << 20);
    gate.open();
    assert_eq!(client.call(&["INCR", "late"]), Value::ok());
}

#[test]
fn the_memory_of_a_big_request_is_freed_when_the_next_has_begun() {
    const CLIENTS: usize = 800;
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("server.workers", 1);
        config.set("log.level", "warn");
    });
    let before = proxy.rss();
    let request = command(&["ECHO", &"e".repeat(120_000)]);
    let (head, tail) = request.split_at(60_000);
    let tail = [tail, b"*2\r\n"].concat();
    let mut clients: Vec<RawClient> = (0..CLIENTS).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send_raw(head);
        client.send_raw(&tail);
        assert_eq!(client.read().text().len(), 120_000);
    }
    // 96 MB if each kept it.
    let grown = proxy.rss().saturating_sub(before);
    assert!(grown < 48 << 20, "{grown} bytes for {CLIENTS} clients");
}
