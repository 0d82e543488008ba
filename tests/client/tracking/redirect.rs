//! REDIRECT: the invalidations of a client go to another client, of any worker and either protocol, until that has left.

use slotmux_testing::{PATIENCE, Proxy, RawClient, Value, calm_cluster, poll_until, shared_proxy};

use super::{expect_invalidation, keys_of, text_of_reply};

/// A client of RESP2 that listens to the channel of invalidations, and its id.
fn inbox(proxy: &Proxy) -> (RawClient, String) {
    let mut inbox = proxy.client();
    let id = inbox.call(&["CLIENT", "ID"]).integer().to_string();
    inbox.call(&["SUBSCRIBE", "__redis__:invalidate"]);
    (inbox, id)
}

/// Makes `client` redirect to `id`, with more options.
#[track_caller]
fn redirect(client: &mut RawClient, id: &str, options: &[&str]) {
    let words = [&["CLIENT", "TRACKING", "ON", "REDIRECT", id], options].concat();
    assert_eq!(client.call(&words), Value::ok());
}

/// Asserts that the next frame is a message of RESP2 about this key, or about all keys.
#[track_caller]
fn expect_message(inbox: &mut RawClient, key: Option<&str>) {
    let message = inbox.read();
    let items = message.items();
    assert!(matches!(message, Value::Array(_)), "{message:?}");
    assert_eq!(items[0].text(), "message");
    assert_eq!(items[1].text(), "__redis__:invalidate");
    match key {
        Some(key) => assert_eq!(items[2], Value::Array(vec![Value::bulk(key)])),
        None => assert_eq!(items[2], Value::Null),
    }
}

#[test]
fn clients_of_resp2_get_messages_whatever_their_worker() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let mut writer = proxy.client();
    let mut pairs: Vec<(RawClient, RawClient)> = (0..6)
        .map(|_| {
            let (inbox, id) = inbox(&proxy);
            let mut client = proxy.client();
            redirect(&mut client, &id, &[]);
            (client, inbox)
        })
        .collect();
    for key in ["a", "b", "c", "d"] {
        for (client, _) in &mut pairs {
            assert_eq!(client.call(&["GET", key]), Value::Null);
        }
        writer.call(&["SET", key, "1"]);
        writer.call(&["DEL", key]);
        for (_, inbox) in &mut pairs {
            expect_message(inbox, Some(key));
        }
    }
    for (client, _) in &mut pairs {
        client.call(&["GET", "a"]);
    }
    writer.call(&["FLUSHALL"]);
    for (_, inbox) in &mut pairs {
        expect_message(inbox, None);
    }
}

#[test]
fn either_protocol_redirects_to_either() {
    let proxy = shared_proxy();
    let mut writer = proxy.client();
    for (number, (reads3, gets3)) in [(true, true), (true, false), (false, true), (false, false)]
        .into_iter()
        .enumerate()
    {
        let connect = |is_resp3| match is_resp3 {
            true => proxy.client_resp3(),
            false => proxy.client(),
        };
        let (mut client, mut other) = (connect(reads3), connect(gets3));
        let id = other.call(&["CLIENT", "ID"]).integer().to_string();
        redirect(&mut client, &id, &[]);
        let key = format!("either:{number}");
        client.call(&["GET", &key]);
        writer.call(&["SET", &key, "1"]);
        if gets3 {
            expect_invalidation(&mut other, &key);
        } else {
            // One that listens to no channel gets nothing, as in Redis.
            assert_eq!(other.call(&["PING"]), Value::Simple("PONG".into()));
            other.call(&["SUBSCRIBE", "any"]);
            client.call(&["GET", &key]);
            writer.call(&["SET", &key, "2"]);
            expect_message(&mut other, Some(&key));
        }
        assert_eq!(
            client.call(&["CLIENT", "GETREDIR"]).integer().to_string(),
            id
        );
        let line = client.call(&["CLIENT", "INFO"]).text();
        assert!(line.contains(&format!(" redir={id} ")), "{line}");
    }
}

#[test]
fn the_modes_work_with_a_redirection() {
    let proxy = shared_proxy();
    let mut writer = proxy.client();
    let (mut inbox, id) = inbox(proxy);
    let mut client = proxy.client();
    redirect(&mut client, &id, &["OPTIN"]);
    client.call(&["GET", "{re}a"]);
    client.call(&["CLIENT", "CACHING", "YES"]);
    client.call(&["GET", "{re}b"]);
    for key in ["{re}a", "{re}b"] {
        writer.call(&["SET", key, "1"]);
    }
    expect_message(&mut inbox, Some("{re}b"));
    client.call(&["CLIENT", "TRACKING", "OFF"]);
    redirect(&mut client, &id, &["BCAST", "PREFIX", "re:"]);
    for key in ["re:a", "other", "re:b"] {
        writer.call(&["SET", key, "1"]);
        if key != "other" {
            expect_message(&mut inbox, Some(key));
        }
    }
    // Transactions and scripts read as well.
    client.call(&["CLIENT", "TRACKING", "OFF"]);
    redirect(&mut client, &id, &[]);
    client.call(&["MULTI"]);
    client.call(&["GET", "{re}c"]);
    client.call(&["EXEC"]);
    client.call(&["EVAL", "return redis.call('get', KEYS[1])", "1", "{re}d"]);
    for key in ["{re}c", "{re}d"] {
        writer.call(&["SET", key, "1"]);
        expect_message(&mut inbox, Some(key));
    }
    client.call(&["MULTI"]);
    client.call(&["CLIENT", "TRACKING", "ON", "NOLOOP"]);
    let exec = text_of_reply(&mut client, &["EXEC"]);
    assert!(exec.contains("can't be used inside MULTI"), "{exec}");
}

#[test]
fn one_that_has_left_is_reported() {
    let proxy = shared_proxy();
    let mut writer = proxy.client();
    // Of both workers.
    for number in 0..4 {
        let (mut inbox, id) = inbox(proxy);
        let mut client = proxy.client_resp3();
        redirect(&mut client, &id, &[]);
        let key = format!("left:{number}");
        client.call(&["GET", &key]);
        inbox.call(&["QUIT"]);
        drop(inbox);
        let mut frame = Value::Null;
        poll_until(PATIENCE, "the loss to be noticed", || {
            writer.call(&["SET", &key, "1"]);
            client.send(&["GET", &key]);
            frame = client.read();
            let is_push = matches!(frame, Value::Push(_));
            while is_push && matches!(client.read(), Value::Push(_)) {}
            is_push
        });
        assert_eq!(frame.items()[0].text(), "tracking-redir-broken");
        assert_eq!(frame.items()[1].integer().to_string(), id);
        let line = text_of_reply(&mut client, &["CLIENT", "INFO"]);
        assert!(line.contains(" flags=tR "), "{line}");
        let info = text_of_reply(&mut client, &["CLIENT", "TRACKINGINFO"]);
        assert!(info.contains("broken_redirect"), "{info}");
        let again = text_of_reply(&mut client, &["CLIENT", "TRACKING", "ON", "REDIRECT", &id]);
        assert!(again.contains("does not exist"), "{again}");
    }
}

#[test]
fn lost_connections_of_resp2_make_clients_forget_everything() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let (mut inbox, id) = inbox(&proxy);
    let mut client = proxy.client();
    redirect(&mut client, &id, &[]);
    let mut writer = proxy.client();
    for round in 0..3 {
        client.call(&["GET", "k"]);
        for node in [0, 1, 2] {
            let kill = ["CLIENT", "KILL", "TYPE", "normal"];
            cluster.query::<()>(node, &kill).expect("killed");
        }
        expect_message(&mut inbox, None);
        // Reads are invalidated at once until the node announces again, and later with the change.
        poll_until(PATIENCE, "the tracking to go on", || {
            client.call(&["GET", "k"]);
            let is_tracked = !inbox.has_news(std::time::Duration::from_millis(100));
            while inbox.has_news_now() {
                inbox.read();
            }
            is_tracked
        });
        assert_eq!(writer.call(&["SET", "k", &round.to_string()]), Value::ok());
        expect_message(&mut inbox, Some("k"));
    }
}

#[test]
fn pushes_of_a_redirecting_client_go_to_the_other_only() {
    let proxy = shared_proxy();
    let mut other = proxy.client_resp3();
    let id = other.call(&["CLIENT", "ID"]).integer().to_string();
    let mut client = proxy.client_resp3();
    redirect(&mut client, &id, &["BCAST", "PREFIX", "only:"]);
    proxy.client().call(&["SET", "only:k", "1"]);
    assert_eq!(keys_of(&other.read()), Some(vec!["only:k".to_owned()]));
    assert_eq!(client.call(&["PING"]), Value::Simple("PONG".into()));
}
