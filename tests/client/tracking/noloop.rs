//! NOLOOP: a client gets no invalidation of its own writes, and one of every write by another client.

use slotmux::tools::demo::server::{LocalServer, ServerOptions};

use slotmux_testing::{
    PATIENCE, Proxy, RawClient, Value, calm_cluster, poll_until, shared_cluster, shared_proxy,
    times,
};

use super::{expect_invalidation, text_of_reply, tracking};

/// Writes of each kind: simple, conditional, in a transaction. Redis 7.0 announces those of scripts.
fn write_in_each_way(client: &mut RawClient, key: &str) {
    for words in [
        &["SET", key, "1"][..],
        &["SET", key, "2", "XX"],
        &["SET", key, "3", "NX"],
        &["INCR", key],
        &["MULTI"],
        &["APPEND", key, "6"],
        &["EXEC"],
        &["PEXPIRE", key, "100000"],
        &["DEL", key],
        &["DEL", key],
    ] {
        let reply = client.call(words);
        assert!(
            !matches!(reply, Value::Push(_) | Value::Error(_)),
            "{words:?}: {reply:?}"
        );
    }
}

#[test]
fn own_writes_are_silent_and_those_of_others_are_not() {
    // BCAST without prefixes would bring the keys of other tests.
    let cluster = calm_cluster(0);
    let proxy = &Proxy::start(&cluster, |_| {});
    let mut writer = proxy.client_resp3();
    for options in [
        &["NOLOOP"][..],
        &["NOLOOP", "OPTOUT"],
        &["NOLOOP", "BCAST"],
        &["NOLOOP", "BCAST", "PREFIX", "own:"],
    ] {
        let mut client = tracking(proxy, options);
        let mut same = tracking(proxy, options);
        for key in ["own:a", "own:b", "own:c"] {
            client.call(&["GET", key]);
            write_in_each_way(&mut client, key);
            client.call(&["GET", key]);
            writer.call(&["SET", key, "x"]);
            expect_invalidation(&mut client, key);
            // One with the same options is another client.
            client.call(&["GET", key]);
            while same.has_news_now() {
                same.read();
            }
            same.call(&["SET", key, "y"]);
            expect_invalidation(&mut client, key);
        }
        let info = text_of_reply(&mut client, &["CLIENT", "TRACKINGINFO"]);
        assert!(info.contains("noloop"), "{info}");
        for client in [&mut client, &mut same] {
            client.send(&["CLIENT", "TRACKING", "OFF"]);
            while client.read() != Value::ok() {}
        }
    }
}

#[test]
fn a_write_of_another_right_behind_its_own_is_announced() {
    let (proxy, cluster) = (shared_proxy(), shared_cluster());
    let node = cluster
        .primary_of_slot(slotmux_core::slot::slot_of(b"{right}k").0)
        .expect("an owner");
    for options in [&["NOLOOP"][..], &["NOLOOP", "BCAST", "PREFIX", "{right}"]] {
        let mut client = tracking(proxy, options);
        let mut writer = RawClient::connect(cluster.node(node).port);
        for _ in 0..times(300, 3000) {
            client.call(&["GET", "{right}k"]);
            // At the same time.
            client.send(&["SET", "{right}k", "own"]);
            client.send(&["GET", "{right}k"]);
            writer.send(&["SET", "{right}k", "other"]);
            assert_eq!(writer.read(), Value::ok());
            let (mut value, mut replies) = (None, 0);
            while replies < 2 {
                match client.read() {
                    Value::Push(_) => value = None,
                    reply => {
                        replies += 1;
                        value = Some(reply);
                    }
                }
            }
            // Cached as its own: then the other's write came later, and is announced.
            if value == Some(Value::bulk("own")) {
                let final_value = writer.call(&["GET", "{right}k"]);
                if final_value == Value::bulk("other") {
                    expect_invalidation(&mut client, "{right}k");
                }
            }
            while client.has_news_now() {
                client.read();
            }
        }
        client.call(&["CLIENT", "TRACKING", "OFF"]);
    }
}

#[test]
fn clients_of_noloop_have_connections_of_their_own_and_give_them_back() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a Redis");
    let proxy = Proxy::start_before(&server, |config| {
        config.set("server.workers", 1);
        config.set("cluster.connections.kept_max", 2);
    });
    let mut clients = [tracking(&proxy, &["NOLOOP"]), tracking(&proxy, &["NOLOOP"])];
    for client in &mut clients {
        client.call(&["GET", "k"]);
    }
    let mut third = proxy.client_resp3();
    let refused = third.call(&["CLIENT", "TRACKING", "ON", "NOLOOP"]);
    assert!(refused.error().contains("kept_max"), "{refused:?}");
    assert_eq!(third.call(&["CLIENT", "GETREDIR"]), Value::Integer(-1));
    let many = proxy.connections_to(&[server.port()]);
    drop(clients);
    poll_until(PATIENCE, "the connections to be given back", || {
        proxy.connections_to(&[server.port()]) + 2 <= many
    });
    assert_eq!(
        third.call(&["CLIENT", "TRACKING", "ON", "NOLOOP"]),
        Value::ok()
    );
    third.call(&["GET", "k"]);
    proxy.client().call(&["SET", "k", "1"]);
    expect_invalidation(&mut third, "k");
}
