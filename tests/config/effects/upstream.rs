//! The Redis behind slotmux: its kind, the login, the addresses of its nodes, and its commands.

use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_core::slot::slot_of;

use slotmux_testing::{
    Forward, PATIENCE, Peer, Proxy, ProxyConfig, Step, Value, poll_until, shared_cluster,
};

fn server() -> LocalServer {
    LocalServer::start(&ServerOptions::default()).expect("a server")
}

fn topology_of(proxy: &Proxy) -> String {
    let info = proxy.client().call(&["INFO", "slotmux"]).text();
    let kind = info
        .lines()
        .find_map(|line| line.strip_prefix("slotmux_topology:"));
    kind.expect("its topology").to_owned()
}

#[test]
fn a_plain_server_is_an_upstream_for_every_command() {
    let server = server();
    for kind in ["auto", "standalone"] {
        let proxy = Proxy::start_before(&server, |config| config.set("cluster.kind", kind));
        assert_eq!(topology_of(&proxy), "standalone");
        for mut client in [proxy.client(), proxy.client_resp3()] {
            // Two slots, but one node: no command is split or refused.
            assert_eq!(client.call(&["MSET", "a", "1", "b", "2"]), Value::ok());
            assert_eq!(client.call(&["RENAME", "a", "b"]), Value::ok());
            assert_eq!(client.call(&["GET", "b"]), Value::bulk("1"));
            assert_eq!(
                client.call(&["SUNIONSTORE", "x", "y", "z"]),
                Value::Integer(0)
            );
            assert_eq!(client.call(&["DBSIZE"]), Value::Integer(1));
        }
    }
    let proxy = Proxy::launch(&[format!("redis://{}", server.address())], None, |config| {
        config.set("cluster.kind", "cluster");
    });
    assert_eq!(proxy.wait_exit().code(), Some(1));
    assert!(
        proxy.log().contains("it is not a node of a cluster"),
        "{}",
        proxy.log()
    );
}

#[test]
fn a_cluster_is_detected_unless_configured_otherwise() {
    for (kind, topology) in [
        ("auto", "cluster"),
        ("cluster", "cluster"),
        ("standalone", "standalone"),
    ] {
        let proxy = Proxy::start(shared_cluster(), |config| config.set("cluster.kind", kind));
        assert_eq!(topology_of(&proxy), topology, "{kind}");
    }
}

/// Starts slotmux in front of a server on which only the user `proxy` with the password `right` may do anything, and
/// checks at the server that both kinds of its connections belong to that user.
#[track_caller]
fn logs_in(with_credentials: bool, configure: impl FnOnce(&mut ProxyConfig)) {
    let server = LocalServer::start(&ServerOptions {
        password: Some("of-the-default-user".into()),
        ..ServerOptions::default()
    })
    .expect("a server");
    let rules = [
        "ACL", "SETUSER", "proxy", "on", ">right", "~*", "&*", "+@all",
    ];
    server.query::<()>(&rules).expect("a user");
    let credentials = if with_credentials { "proxy:right@" } else { "" };
    let seeds = [format!("redis://{credentials}{}", server.address())];
    let proxy = Proxy::start_at(&seeds, None, configure);
    for mut client in [proxy.client(), proxy.client_resp3()] {
        assert_eq!(client.call(&["SET", "key", "value"]), Value::ok());
    }
    let list: String = server.query(&["CLIENT", "LIST"]).expect("a reply");
    let ours = list
        .lines()
        .filter(|line| line.contains(" user=proxy "))
        .count();
    let strangers = list
        .lines()
        .filter(|line| line.contains(" user=default "))
        .count();
    assert!(ours >= 2 && strangers == 1, "{list}");
}

#[test]
fn slotmux_logs_in_as_configured() {
    logs_in(true, |_| {});
    logs_in(false, |config| {
        config.set("cluster.username", "proxy");
        config.set("cluster.password", "right");
    });
    // A rotation: the first password that works is used.
    logs_in(false, |config| {
        config.set("cluster.username", "proxy");
        config.set("cluster.password", vec!["outdated", "right", "next"]);
    });
    logs_in(false, |config| {
        config.set("cluster.username", "somebody");
        config.set("cluster.password", "wrong");
        config.env("REDIS_USERNAME", "proxy");
        config.env("REDIS_PASSWORD", "right");
    });
    logs_in(false, |config| {
        config.set("cluster.username", "proxy");
        config.set("cluster.password", "${UPSTREAM_SECRET}");
        config.env("UPSTREAM_SECRET", "right");
    });
}

#[test]
fn announced_addresses_are_mapped() {
    let cluster = shared_cluster();
    let hidden = cluster
        .primary_of_slot(slot_of(b"mapped").0)
        .expect("an owner");
    let port = cluster.node(hidden).port;
    let forward = Forward::start(port);
    let seed = cluster.node((hidden + 1) % 3).port;
    let proxy = Proxy::start_at(&[format!("redis://127.0.0.1:{seed}")], None, |config| {
        config.set("server.workers", 1);
        let mut map = toml::Table::new();
        let to = format!("127.0.0.1:{}", forward.port());
        map.insert(format!("127.0.0.1:{port}"), to.into());
        config.set("cluster.address_map", map);
    });
    let before = forward.passed();
    assert_eq!(proxy.client().call(&["SET", "mapped", "1"]), Value::ok());
    assert!(forward.passed() > before);
    assert_eq!(
        proxy.connections_to(&[port]),
        0,
        "never by the announced address"
    );
}

#[test]
fn the_next_seed_is_queried_when_one_is_dead() {
    let gone = server();
    gone.kill();
    let seeds = [
        format!("redis://{}", gone.address()),
        shared_cluster().seeds()[2].clone(),
    ];
    let proxy = Proxy::start_at(&seeds, None, |_| {});
    assert_eq!(
        proxy.client().call(&["SET", "second-seed", "1"]),
        Value::ok()
    );
}

#[test]
fn unknown_commands_are_learned_or_not() {
    // A real server without modules has no unknown commands: its renamed commands keep their names in COMMAND.
    let peer = Peer::start(|request| match request.name().as_str() {
        "COMMAND" => Some(Step::reply(
            "*2\r\n*6\r\n$10\r\ncustom.add\r\n:3\r\n*1\r\n+write\r\n:1\r\n:1\r\n:1\r\n\
             *6\r\n$11\r\ncustom.mode\r\n:2\r\n*2\r\n+noscript\r\n+fast\r\n:0\r\n:0\r\n:0\r\n",
        )),
        "CUSTOM.ADD" => Some(Step::reply(":42\r\n")),
        _ => None,
    });
    for unknown in ["learn", "reject"] {
        let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
            config.set("commands.unknown", unknown);
        });
        let mut client = proxy.client();
        let reply = client.call(&["CUSTOM.ADD", "sum", "2"]);
        if unknown == "learn" {
            assert_eq!(reply, Value::Integer(42));
        } else {
            let said = "ERR unknown command 'CUSTOM.ADD'";
            assert!(reply.error().starts_with(said), "{reply:?}");
        }
        // By its flags it may change the state of the shared connection.
        let mode = client.call(&["CUSTOM.MODE", "on"]);
        let said = match unknown {
            "learn" => {
                "ERR slotmux: 'custom.mode' is refused: it changes the state of a connection"
            }
            _ => "ERR unknown command 'CUSTOM.MODE'",
        };
        assert!(mode.error().starts_with(said), "{mode:?}");
        let refused = client.call(&["NOBODYS", "sum"]);
        let said = "ERR unknown command 'NOBODYS'";
        assert!(refused.error().starts_with(said), "{refused:?}");
        assert_eq!(
            peer.requests_named("CUSTOM.ADD").len(),
            1,
            "only when learned"
        );
        assert_eq!(peer.requests_named("CUSTOM.MODE"), []);
    }
}

#[test]
fn the_password_that_works_is_tried_first() {
    let server = LocalServer::start(&ServerOptions {
        password: Some("new".to_owned()),
        ..ServerOptions::default()
    })
    .expect("a server");
    let proxy = Proxy::start_before(&server, |config| {
        config.set("server.workers", 1);
        config.set("cluster.password", vec!["old".to_owned(), "new".to_owned()]);
        config.set("cluster.topology.refresh", "1h");
    });
    let mut client = proxy.client();
    assert_eq!(client.call(&["SET", "k", "1"]), Value::ok());
    let wrong = || {
        let log: Vec<redis::Value> = server.query(&["ACL", "LOG"]).expect("a log");
        log.len()
    };
    assert_eq!(wrong(), 1, "the first connection tries the first one");
    let _: String = server.query(&["ACL", "LOG", "RESET"]).expect("empty");
    let lost = proxy.metric("slotmux_upstream_lost_total");
    let _: i64 = server
        .query(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"])
        .expect("killed");
    poll_until(PATIENCE, "the connection to be lost", || {
        proxy.metric("slotmux_upstream_lost_total") > lost
    });
    poll_until(PATIENCE, "another one", || {
        client.call(&["SET", "k", "2"]) == Value::ok()
    });
    assert_eq!(wrong(), 0);
}
