//! The start: while the upstream is missing, late, unreachable for good, or slotmux itself.

use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_testing::{
    Forward, PATIENCE, Proxy, ProxyConfig, RawClient, Value, poll_for, poll_until,
};

/// A server that is down until it is restarted, and its address as a seed.
fn absent_server() -> (LocalServer, Vec<String>) {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    server.kill();
    let seeds = vec![format!("redis://{}", server.address())];
    (server, seeds)
}

/// The first client that is accepted.
fn first_client(proxy: &Proxy) -> RawClient {
    poll_for(PATIENCE, "slotmux to accept clients", || {
        RawClient::try_connect(proxy.port()).ok()
    })
}

fn readiness(proxy: &Proxy) -> (u16, String) {
    poll_for(PATIENCE, "the admin page", || proxy.admin_get("/readyz"))
}

#[test]
fn a_late_upstream_is_waited_for() {
    let (server, seeds) = absent_server();
    let proxy = Proxy::launch(&seeds, None, |config| {
        config.set("cluster.timeouts.command", "1h");
    });
    let mut client = first_client(&proxy);
    let (status, reason) = readiness(&proxy);
    assert!(
        status == 503 && reason.contains("no upstream has answered"),
        "{status} {reason}"
    );
    let (status, _) = proxy.admin_get("/healthz").expect("the admin page");
    assert_eq!(status, 200, "alive");

    // Answers of slotmux itself.
    assert_eq!(client.call(&["PING"]), Value::Simple("PONG".into()));
    assert!(matches!(client.call(&["HELLO", "3"]), Value::Map(_)));
    assert_eq!(client.call(&["CLIENT", "SETNAME", "early"]), Value::ok());
    assert!(
        client
            .call(&["INFO", "persistence"])
            .text()
            .contains("\nloading:1\r\n")
    );

    // Other commands wait, and those behind them too.
    client.send(&["SET", "early", "1"]);
    client.send(&["PING"]);
    // RENAME over two slots, and an unknown command: only the upstream can judge them.
    let mut others = [proxy.client(), proxy.client()];
    others[0].send(&["RENAME", "no-such-key", "other-key"]);
    others[1].send(&["NOSUCHCOMMAND"]);
    poll_until(PATIENCE, "slotmux to try again and again", || {
        proxy.metric("slotmux_topology_refresh_failures_total") >= Some(2.0)
    });
    assert_eq!(readiness(&proxy).0, 503);
    assert_eq!(
        proxy.metric("slotmux_upstream_connections"),
        Some(0.0),
        "no command was sent"
    );

    server.restart().expect("the server again");
    assert_eq!(client.read(), Value::ok());
    assert_eq!(client.read(), Value::Simple("PONG".into()));
    assert_eq!(others[0].read().error(), "ERR no such key");
    assert!(others[1].read().error().starts_with("ERR unknown command"));
    poll_until(PATIENCE, "slotmux to be ready", || {
        readiness(&proxy).0 == 200
    });
    assert!(
        client
            .call(&["INFO", "persistence"])
            .text()
            .contains("\nloading:0\r\n")
    );
    let log = proxy.log();
    let (tried, ready) = (log.find("not ready, trying again"), log.find(" ready "));
    assert!(tried.is_some() && tried < ready, "{log}");
}

#[test]
fn without_an_upstream_commands_are_refused_after_their_deadline() {
    let (_server, seeds) = absent_server();
    let proxy = Proxy::launch(&seeds, None, |config| {
        config.set("cluster.timeouts.command", "300ms");
    });
    let mut client = first_client(&proxy);
    for words in [
        &["GET", "key"][..],
        &["MGET", "a", "b"],
        &["RENAME", "a", "b"],
        &["DBSIZE"],
        &["PUBLISH", "channel", "message"],
        &["SUBSCRIBE", "channel"],
        &["NOSUCHCOMMAND"],
    ] {
        let reply = client.call(words);
        assert!(
            reply.error().starts_with("LOADING "),
            "{words:?}: {reply:?}"
        );
    }
    // These are invalid without an upstream, too.
    for (words, said) in [
        (&["GET"][..], "ERR wrong number of arguments"),
        (&["CLIENT", "NOSUCH"], "ERR unknown subcommand"),
    ] {
        let reply = client.call(words);
        assert!(reply.error().starts_with(said), "{words:?}: {reply:?}");
    }
    assert_eq!(client.call(&["PING"]), Value::Simple("PONG".into()));
    assert!(proxy.is_running());
    assert_eq!(readiness(&proxy).0, 503);
}

#[test]
fn a_stop_does_not_wait_for_the_upstream() {
    let (_server, seeds) = absent_server();
    let proxy = Proxy::launch(&seeds, None, |config| {
        config.set("cluster.timeouts.command", "1h");
        config.set("server.drain_timeout", "1h");
    });
    let mut client = first_client(&proxy);
    assert_eq!(client.call(&["PING"]), Value::Simple("PONG".into()));
    client.send(&["GET", "key"]);
    proxy.terminate();
    assert!(proxy.wait_exit().success());
    assert_eq!(client.read_to_close(), b"");
}

#[test]
fn errors_that_only_another_configuration_can_fix_end_the_start() {
    let server = LocalServer::start(&ServerOptions {
        password: Some("the-right-one".into()),
        ..ServerOptions::default()
    })
    .expect("a server");
    let seeds = vec![format!("redis://{}", server.address())];
    for (password, said) in [
        (Some("a-wrong-one"), "the password was refused: WRONGPASS"),
        (None, "it asks for a password and none is configured"),
    ] {
        let proxy = Proxy::launch(&seeds, password, |_| {});
        assert_eq!(proxy.wait_exit().code(), Some(1));
        let log = proxy.log();
        assert!(log.contains(said) && !log.contains("a-wrong-one"), "{log}");
    }
}

#[test]
fn an_upstream_that_is_slotmux_itself_is_refused() {
    let open: fn(&mut ProxyConfig) = |_| {};
    let as_cluster: fn(&mut ProxyConfig) = |config| config.set("cluster.kind", "cluster");
    let closed: fn(&mut ProxyConfig) = |config| config.add_user("default", "pw");
    for (password, configure) in [(None, open), (None, as_cluster), (Some("pw"), closed)] {
        let forward = Forward::start(0);
        let seeds = vec![format!("redis://127.0.0.1:{}", forward.port())];
        let proxy = Proxy::launch(&seeds, password, configure);
        forward.lead_to(proxy.port());
        assert_eq!(proxy.wait_exit().code(), Some(1));
        let said = format!(
            "slotmux's upstream 127.0.0.1:{} is slotmux itself",
            forward.port()
        );
        assert!(proxy.log().contains(&said), "{}", proxy.log());
    }
}

#[test]
fn a_slotmux_in_front_of_another_is_ready_when_the_second_is() {
    let (server, seeds) = absent_server();
    let inner = Proxy::launch(&seeds, None, |_| {});
    let outer_seeds = vec![format!("redis://127.0.0.1:{}", inner.port())];
    let outer = Proxy::launch(&outer_seeds, None, |_| {});
    poll_until(PATIENCE, "the outer slotmux to detect the loading", || {
        outer.log().contains("it is loading its data set")
    });
    assert_eq!(readiness(&outer).0, 503);
    server.restart().expect("the server again");
    poll_until(PATIENCE, "the outer slotmux to be ready", || {
        readiness(&outer).0 == 200
    });
    assert_eq!(
        outer.client().call(&["SET", "through-both", "1"]),
        Value::ok()
    );
    let found: Option<String> = server.query(&["GET", "through-both"]).expect("a reply");
    assert_eq!(found.as_deref(), Some("1"));
}
