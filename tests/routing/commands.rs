//! One Redis to its clients, a real cluster behind it: routing of commands, order of replies, and refusals.

use std::net::TcpListener;

use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_core::slot::slot_of;
use slotmux_testing::{Proxy, RawClient, Value, poll_until, shared_cluster, shared_proxy};

fn text(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn keys_reach_the_node_of_their_slot() {
    let (cluster, mut client) = (shared_cluster(), shared_proxy().client());
    for i in 0..300 {
        let key = format!("routed:{i}");
        assert_eq!(client.call(&["SET", &key, &i.to_string()]), Value::ok());
        let owner = cluster
            .primary_of_slot(slot_of(key.as_bytes()).0)
            .expect("an owner");
        let found: Option<String> = cluster.query(owner, &["GET", &key]).expect("a reply");
        assert_eq!(found, Some(i.to_string()), "{key}");
    }
}

#[test]
fn a_long_pipeline_over_many_slots_is_answered_in_order() {
    for mut client in [shared_proxy().client(), shared_proxy().client_resp3()] {
        let commands: Vec<Vec<String>> = (0..20_000)
            .map(|i| match i % 4 {
                0 => text(&["SET", &format!("long:{}", i / 4), &format!("v{i}")]),
                1 => text(&["GET", &format!("long:{}", i / 4)]),
                2 => text(&["ECHO", &format!("e{i}")]),
                _ => text(&["STRLEN", &format!("long:{}", i / 4)]),
            })
            .collect();
        let replies = client.pipeline(&commands);
        for (i, reply) in replies.iter().enumerate() {
            let expected = match i % 4 {
                0 => Value::ok(),
                1 => Value::bulk(format!("v{}", i - 1)),
                2 => Value::bulk(format!("e{i}")),
                _ => Value::Integer(format!("v{}", i - 3).len() as i64),
            };
            assert_eq!(*reply, expected, "reply {i}");
        }
    }
}

#[test]
fn many_keys_are_split_by_slot_and_merged_in_the_order_of_the_keys() {
    let mut client = shared_proxy().client();
    let keys: Vec<String> = (0..100).map(|i| format!("many:{i}")).collect();
    let mut mset = text(&["MSET"]);
    for (i, key) in keys.iter().enumerate() {
        mset.extend([key.clone(), format!("value {i}")]);
    }
    assert_eq!(client.call(&mset), Value::ok());
    let mut mget = text(&["MGET", "many:none"]);
    mget.extend(keys.iter().cloned());
    mget.push("many:7".to_owned());
    let reply = client.call(&mget);
    let items = reply.items();
    assert_eq!(items.len(), 102);
    assert_eq!(items[0], Value::Null);
    for i in 0..100 {
        assert_eq!(items[i + 1], Value::bulk(format!("value {i}")));
    }
    assert_eq!(items[101], Value::bulk("value 7"));
    for (command, count) in [("EXISTS", 100), ("TOUCH", 100), ("DEL", 100), ("UNLINK", 0)] {
        let mut words = text(&[command]);
        words.extend(keys.iter().cloned());
        assert_eq!(client.call(&words), Value::Integer(count), "{command}");
    }
}

#[test]
fn commands_over_several_slots_that_have_no_program_are_refused() {
    let mut client = shared_proxy().client();
    for words in [
        &["RENAME", "a", "b"][..],
        &["SINTERSTORE", "a", "b", "c"],
        &["MSETNX", "a", "1", "b", "2"],
        &["EVAL", "return 1", "2", "a", "b"],
        &["BLMOVE", "a", "b", "LEFT", "LEFT", "0"],
    ] {
        assert!(
            client.call(words).error().starts_with("CROSSSLOT"),
            "{words:?}"
        );
    }
    assert_eq!(
        client.call(&["MSETNX", "{t}a", "1", "{t}b", "2"]),
        Value::Integer(1)
    );
    assert_eq!(client.call(&["RENAME", "{t}a", "{t}c"]), Value::ok());
    assert_eq!(
        client.call(&["DEL", "{t}a", "{t}b", "{t}c"]),
        Value::Integer(2)
    );
}

#[test]
fn commands_that_would_change_a_shared_connection_are_never_forwarded() {
    let mut client = shared_proxy().client();
    for words in [&["SELECT", "1"][..], &["READONLY"], &["NOSUCHCOMMAND", "a"]] {
        assert!(!client.call(words).error().is_empty(), "{words:?}");
    }
    assert_eq!(client.call(&["PING"]), Value::Simple("PONG".into()));
}

#[test]
fn requests_and_replies_may_be_cut_at_any_byte() {
    let mut client = shared_proxy().client();
    let bytes = [
        slotmux_testing::client::command(&["SET", "cut", "a\r\nb"]),
        b"GET cut\r\n".to_vec(),
        slotmux_testing::client::command(&["MGET", "cut", "cut:other"]),
    ]
    .concat();
    for at in 1..bytes.len() {
        client.send_raw(&bytes[..at]);
        client.send_raw(&bytes[at..]);
        assert_eq!(client.read(), Value::ok(), "cut at {at}");
        assert_eq!(client.read(), Value::bulk("a\r\nb"), "cut at {at}");
        assert_eq!(
            client.read().items(),
            [Value::bulk("a\r\nb"), Value::Null],
            "cut at {at}"
        );
    }
}

#[test]
fn a_script_exists_once_it_ran_through_slotmux_or_every_node_has_it() {
    let (script, sha) = (
        "return 'here and there'",
        "b47963441a667caf188c863546532d519c537a99",
    );
    for mut client in [shared_proxy().client(), shared_proxy().client_resp3()] {
        assert_eq!(client.call(&["SCRIPT", "FLUSH"]), Value::ok());
        let reply = client.call(&["EVAL", script, "1", "where its key is"]);
        assert_eq!(reply, Value::bulk("here and there"));
        let exists = ["SCRIPT", "EXISTS", sha, "no sum"];
        // One node has it; the others get it from slotmux on demand.
        let found = client.call(&exists);
        assert_eq!(found.items(), [Value::Integer(1), Value::Integer(0)]);
        for key in ["here", "there", "everywhere"] {
            let reply = client.call(&["EVALSHA", sha, "1", key]);
            assert_eq!(reply, Value::bulk("here and there"));
        }
        assert_eq!(client.call(&["SCRIPT", "FLUSH"]), Value::ok());
        let found = client.call(&exists);
        assert_eq!(found.items(), [Value::Integer(0), Value::Integer(0)]);
        assert_eq!(client.call(&["SCRIPT", "LOAD", script]), Value::bulk(sha));
        let found = client.call(&exists);
        assert_eq!(found.items(), [Value::Integer(1), Value::Integer(0)]);
    }
}

#[test]
fn an_error_of_a_script_is_not_a_redirect_and_it_runs_once() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    let single = Proxy::start_before(&server, |_| {});
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let elsewhere = closed.local_addr().expect("an address");
    let redirect =
        |code: &str, key: &str| format!("{code} {} {elsewhere}", slot_of(key.as_bytes()).0);
    let plain = "said:plain";
    for (mut client, key, said) in [
        (single.client(), plain, redirect("MOVED", plain)),
        (single.client(), plain, redirect("ASK", plain)),
        (
            single.client(),
            plain,
            "TRYAGAIN Multiple keys request during rehashing of slot".to_owned(),
        ),
        (
            shared_proxy().client(),
            "said:cluster",
            "TRYAGAIN the lock is taken".to_owned(),
        ),
        (
            shared_proxy().client(),
            "said:cluster",
            "READONLY user".to_owned(),
        ),
    ] {
        client.call(&["DEL", key]);
        let script = "redis.call('INCR', KEYS[1]) return redis.error_reply(ARGV[1])";
        let reply = client.call(&["EVAL", script, "1", key, &said]);
        assert_eq!(reply.error(), said);
        assert_eq!(client.call(&["GET", key]), Value::bulk("1"), "{said}");
    }
}

#[test]
fn a_script_cannot_redirect_out_of_the_cluster() {
    let outside = TcpListener::bind("127.0.0.1:0").expect("a port");
    outside.set_nonblocking(true).expect("it does not wait");
    let elsewhere = outside.local_addr().expect("an address");
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("cluster.timeouts.command", "1s");
    });
    let (mut caller, mut other) = (proxy.client(), proxy.client());
    for code in ["MOVED", "ASK"] {
        let key = "led:away";
        let said = format!("{code} {} {elsewhere}", slot_of(key.as_bytes()).0);
        let script = "return redis.error_reply(ARGV[1])";
        let reply = caller.call(&["EVAL", script, "1", key, &said]);
        assert!(!reply.error().is_empty());
        assert_eq!(other.call(&["SET", key, "1"]), Value::ok());
    }
    assert!(
        outside.accept().is_err(),
        "slotmux followed a redirect out of the cluster"
    );
}

#[test]
fn large_values_come_back_whole_and_in_order() {
    let mut client = shared_proxy().client();
    for size in [64 * 1024, 1 << 20, 8 << 20] {
        let value = "x".repeat(size);
        let replies = client.pipeline(&[
            text(&["SET", "large", &value]),
            text(&["STRLEN", "large"]),
            text(&["GET", "large"]),
            text(&["ECHO", "behind"]),
        ]);
        assert_eq!(replies[0], Value::ok());
        assert_eq!(replies[1], Value::Integer(size as i64));
        assert_eq!(replies[2], Value::bulk(&value));
        assert_eq!(replies[3], Value::bulk("behind"));
    }
}

#[test]
fn upstream_connections_do_not_depend_on_the_number_of_clients() {
    let cluster = shared_cluster();
    let proxy = Proxy::start(cluster, |config| config.set("server.workers", 1));
    let mut clients: Vec<RawClient> = Vec::new();
    let mut counts = Vec::new();
    for wanted in [10, 500] {
        while clients.len() < wanted {
            clients.push(proxy.client());
        }
        for (i, client) in clients.iter_mut().enumerate() {
            assert_eq!(
                client.call(&["SET", &format!("many-clients:{i}"), "1"]),
                Value::ok()
            );
        }
        counts.push(proxy.metric("slotmux_upstream_connections"));
    }
    assert_eq!(counts[0], counts[1]);
    assert_eq!(
        counts[1],
        Some(3.0),
        "one worker, three primaries, one protocol"
    );
    drop(clients);
    poll_until(
        slotmux_testing::PATIENCE,
        "the clients to be forgotten",
        || proxy.metric("slotmux_clients") == Some(0.0),
    );
}

#[test]
fn a_drain_delivers_due_replies_and_exits_cleanly() {
    let proxy = Proxy::start(shared_cluster(), |_| {});
    let mut client = proxy.client();
    let commands: Vec<Vec<String>> = (0..500)
        .map(|i| text(&["SET", &format!("drain:{i}"), "1"]))
        .collect();
    assert!(
        client
            .pipeline(&commands)
            .iter()
            .all(|reply| *reply == Value::ok())
    );
    proxy.terminate();
    assert!(proxy.wait_exit().success());
    assert_eq!(client.read_to_close(), b"");
}
