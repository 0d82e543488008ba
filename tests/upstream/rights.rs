//! The rights of the upstream user: those in the documentation are enough for everything, and a missing one is reported
//! by name at the start.

use slotmux::tools::demo::cluster::LocalCluster;
use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_core::slot::slot_of;
use slotmux_testing::{PATIENCE, Proxy, ProxyConfig, RawClient, Value, calm_cluster, poll_until};

const PAGE: &str = include_str!("../../docs/configuration.md");

/// The rules of the `ACL SETUSER` in the documentation.
fn documented() -> Vec<&'static str> {
    let start = PAGE.find("ACL SETUSER slotmux").expect("the line");
    let end = PAGE[start..].find("\n```").expect("its end");
    PAGE[start..start + end]
        .split_whitespace()
        .filter(|word| *word != "\\")
        .collect()
}

fn as_documented(config: &mut ProxyConfig) {
    config.set("cluster.username", "slotmux");
    config.set("cluster.password", "PASSWORD");
    config.set("server.workers", 1);
}

/// A namespace whose policy is enforced, and one whose policy observes.
fn with_policies(config: &mut ProxyConfig) {
    let text = "[[namespace]]\nname = \"ns\"\nmatch = [\"ns:\"]\nttl = { default = \"1h\", max = \"2h\" }\n\
        [[namespace]]\nname = \"seen\"\nmatch = [\"seen:\"]\nttl = { default = \"1h\", mode = \"observe\" }";
    let table: toml::Table = text.parse().expect("TOML");
    for namespace in table["namespace"].as_array().expect("a list") {
        config.add_section("namespace", namespace.as_table().expect("a table").clone());
    }
}

fn on_all(cluster: &LocalCluster, words: &[&str]) {
    for node in 0..cluster.nodes().len() {
        cluster.query::<redis::Value>(node, words).expect("done");
    }
}

fn launch(seeds: &[String], configure: impl FnOnce(&mut ProxyConfig)) -> Proxy {
    Proxy::launch(seeds, None, |config| {
        as_documented(config);
        configure(config);
    })
}

fn readiness(proxy: &Proxy) -> Option<(u16, String)> {
    proxy.admin_get("/readyz")
}

fn until_ready(proxy: &Proxy) {
    poll_until(PATIENCE, "slotmux to be ready", || {
        readiness(proxy).is_some_and(|(status, _)| status == 200)
    });
}

#[track_caller]
fn call(client: &mut RawClient, line: &str) -> Value {
    let reply = client.call(&line.split(' ').collect::<Vec<_>>());
    assert!(!matches!(reply, Value::Error(_)), "{line}: {reply:?}");
    reply
}

#[test]
fn the_documented_user_is_enough_for_everything() {
    let cluster = calm_cluster(1);
    on_all(&cluster, &documented());
    on_all(&cluster, &["ACL", "LOG", "RESET"]);
    let proxy = launch(&cluster.seeds(), |config| {
        with_policies(config);
        config.set("cluster.connections.health_interval", "100ms");
    });
    until_ready(&proxy);
    let mut clients = [proxy.client(), proxy.client_resp3()];
    for client in &mut clients {
        for line in [
            "SET ns:a 1",
            "INCR ns:n",
            "APPEND ns:b x",
            "MSET a 1 b 2 c 3",
            "SET seen:a 1",
            "MGET a b c",
            "EVAL return(redis.call('GET',KEYS[1])) 1 a",
            "SCRIPT LOAD return",
            "WAIT 0 10",
            "RANDOMKEY",
            "DBSIZE",
            "SCAN 0",
            "INFO everything",
            "KEYS *",
            "WATCH ns:a",
            "MULTI",
            "SET ns:a 2",
            "INCR ns:a",
            "EXEC",
            "WATCH ns:a",
            "UNWATCH",
            "PUBLISH channel message",
            "BLPOP nothing 0.05",
            "UNLINK a b c ns:n",
        ] {
            call(client, line);
        }
        let sha = call(client, "SCRIPT LOAD return(1)").text();
        assert_eq!(call(client, &format!("EVALSHA {sha} 0")), Value::Integer(1));
        let ttl = call(client, "TTL ns:a").integer();
        assert!((1..=3600).contains(&ttl), "{ttl}");
    }
    let [mut plain, mut modern] = clients;
    call(&mut modern, "CLIENT TRACKING ON");
    call(&mut modern, "GET tracked");
    call(&mut plain, "SET tracked 1");
    assert!(matches!(modern.read(), Value::Push(_)), "an invalidation");
    let id = call(&mut modern, "CLIENT ID").integer();
    modern.send(&["BLPOP", "nothing", "0"]);
    poll_until(PATIENCE, "the client to be unblocked", || {
        call(&mut plain, &format!("CLIENT UNBLOCK {id}")) == Value::Integer(1)
    });
    assert_eq!(modern.read(), Value::Null);
    for kind in ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"] {
        let mut listener = proxy.client();
        call(&mut listener, &format!("{kind} channel"));
        call(
            &mut listener,
            &format!("{}UN{}", kind.trim_end_matches("SUBSCRIBE"), "SUBSCRIBE"),
        );
    }
    // A moving slot causes ASK and MOVED.
    let (slot, key) = (slot_of(b"moving").0, "moving");
    call(&mut plain, &format!("SET {key} 1"));
    let from = cluster.primary_of_slot(slot).expect("an owner");
    let to = (from + 1) % 3;
    cluster
        .migrate_slot_begin(slot, from, to)
        .expect("it begins");
    call(&mut plain, &format!("SET {{{key}}}new 1"));
    poll_until(PATIENCE, "all keys to have moved", || {
        let moved = cluster.migrate_slot_step(slot, from, to, 100);
        moved.expect("a step") == 0
    });
    assert_eq!(call(&mut plain, &format!("GET {key}")), Value::bulk("1"));
    cluster
        .migrate_slot_finish(slot, from, to)
        .expect("it ends");
    assert_eq!(call(&mut plain, &format!("GET {key}")), Value::bulk("1"));

    let log = proxy.log();
    assert!(!log.contains("lacks") && !log.contains("NOPERM"), "{log}");
    for node in 0..cluster.nodes().len() {
        let entries: redis::Value = cluster.query(node, &["ACL", "LOG"]).expect("a list");
        assert_eq!(entries, redis::Value::Array(vec![]), "node {node}");
    }
}

#[test]
fn without_a_required_right_slotmux_is_not_ready_until_it_is_granted() {
    let cluster = calm_cluster(1);
    let replica = cluster.replicas_of(1).expect("replicas")[0];
    for (right, command) in [
        ("asking", "ASKING"),
        ("cluster|slots", "CLUSTER|SLOTS"),
        ("cluster|nodes", "CLUSTER|NODES"),
        ("pexpire", "PEXPIRE"),
        ("multi", "MULTI"),
        ("exec", "EXEC"),
        ("discard", "DISCARD"),
    ] {
        on_all(&cluster, &documented());
        // At one node of three: the others grant it.
        let forbid = format!("-{right}");
        let forbid = ["ACL", "SETUSER", "slotmux", &forbid];
        cluster.query::<()>(1, &forbid).expect("taken away");
        let proxy = launch(&cluster.seeds()[..1], with_policies);
        let node = format!("127.0.0.1:{}", cluster.node(1).port);
        poll_until(PATIENCE, &format!("slotmux to miss {command}"), || {
            readiness(&proxy).is_some_and(|(status, text)| {
                status == 503
                    && [command, "slotmux lacks", &node, "NOPERM"]
                        .iter()
                        .all(|said| text.contains(said))
            })
        });
        assert!(proxy.log().contains(command), "{}", proxy.log());
        on_all(&cluster, &documented());
        until_ready(&proxy);
        assert_eq!(call(&mut proxy.client(), "SET ns:k 1"), Value::ok());
    }
    // A replica without it is harmless until it becomes a primary.
    cluster
        .query::<()>(replica, &["ACL", "SETUSER", "slotmux", "-asking"])
        .expect("taken away");
    let proxy = launch(&cluster.seeds()[..1], with_policies);
    until_ready(&proxy);
    let log = proxy.log();
    assert!(
        log.contains("a replica needs") && log.contains("ASKING"),
        "{log}"
    );
}

#[test]
fn a_missing_right_of_a_feature_causes_a_warning_that_names_both() {
    let cluster = calm_cluster(0);
    on_all(&cluster, &documented());
    let taken = [
        ("-client|tracking", "clients that track"),
        ("-client|unblock", "CLIENT UNBLOCK"),
        ("-script|load", "NOSCRIPT"),
        ("-function|load", "FCALL"),
        ("-watch", "transactions"),
        ("-info", "INFO"),
        ("-dbsize", "RANDOMKEY"),
        ("-command", "does not know"),
        ("-psubscribe", "subscriptions"),
        ("-config|get", "settings"),
    ];
    for (right, _) in taken {
        on_all(&cluster, &["ACL", "SETUSER", "slotmux", right]);
    }
    // Keys and channels that slotmux itself never needs.
    on_all(
        &cluster,
        &[
            "ACL",
            "SETUSER",
            "slotmux",
            "resetkeys",
            "~app:*",
            "resetchannels",
            "&app:*",
        ],
    );
    let proxy = launch(&cluster.seeds(), |_| {});
    until_ready(&proxy);
    let log = proxy.log();
    for (right, feature) in taken {
        let right = right.replace('-', "+");
        let line = log
            .lines()
            .find(|line| line.contains(&format!("lacks {right} at")));
        let line = line.unwrap_or_else(|| panic!("{right}: {log}"));
        assert!(
            line.contains("WARN") && line.contains(feature) && line.contains("user slotmux"),
            "{line}"
        );
    }
    assert_eq!(log.matches(" lacks +").count(), taken.len(), "{log}");
    assert_eq!(call(&mut proxy.client(), "SET app:k 1"), Value::ok());
}

#[test]
fn a_plain_server_needs_no_right_to_cluster_commands() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    server.query::<()>(&documented()).expect("a user");
    server
        .query::<()>(&["ACL", "SETUSER", "slotmux", "-cluster", "-asking"])
        .expect("taken away");
    let seeds = [format!("redis://{}", server.address())];
    for kind in ["auto", "standalone"] {
        let proxy = launch(&seeds, |config| {
            with_policies(config);
            config.set("cluster.kind", kind);
        });
        until_ready(&proxy);
        let mut client = proxy.client();
        assert_eq!(call(&mut client, "SET ns:k 1"), Value::ok());
        assert_eq!(call(&mut client, "RENAME ns:k ns:l"), Value::ok());
        let info = call(&mut client, "INFO slotmux").text();
        assert!(info.contains("slotmux_topology:standalone"), "{info}");
        assert!(!proxy.log().contains("lacks"), "{}", proxy.log());
    }
}

#[test]
fn a_cluster_whose_commands_are_renamed_is_not_a_plain_server() {
    let server = LocalServer::start(&ServerOptions {
        extra: vec![
            ("cluster-enabled".to_owned(), "yes".to_owned()),
            ("rename-command".to_owned(), "CLUSTER \"\"".to_owned()),
        ],
        ..ServerOptions::default()
    })
    .expect("a server");
    let seeds = [format!("redis://{}", server.address())];
    let proxy = Proxy::launch(&seeds, None, |config| {
        config.set("cluster.timeouts.command", "300ms");
    });
    poll_until(PATIENCE, "the reason on the readiness page", || {
        readiness(&proxy).is_some_and(|(status, text)| {
            status == 503
                && text.contains("it refuses CLUSTER SLOTS: ERR unknown command 'CLUSTER'")
        })
    });
    let reply = proxy.client().call(&["GET", "key"]);
    assert!(reply.error().starts_with("LOADING "), "{reply:?}");
}

#[test]
fn checking_a_right_changes_nothing_at_the_node() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    server.query::<()>(&documented()).expect("a user");
    // Without MULTI all checked commands run; this key has the name of the policy's prefix.
    for right in ["-multi", "-discard"] {
        server.query::<()>(&["SET", "ns:", "kept"]).expect("set");
        server
            .query::<()>(&["ACL", "SETUSER", "slotmux", "+multi", "+discard", right])
            .expect("taken away");
        let seeds = [format!("redis://{}", server.address())];
        let proxy = launch(&seeds, with_policies);
        poll_until(PATIENCE, "slotmux to have tried twice", || {
            proxy.metric("slotmux_topology_refresh_failures_total") >= Some(2.0)
        });
        assert_eq!(readiness(&proxy).map(|page| page.0), Some(503));
        let lifetime: i64 = server.query(&["PTTL", "ns:"]).expect("a reply");
        assert_eq!(lifetime, -1, "{right}");
        let scripts: String = server.query(&["INFO", "memory"]).expect("a reply");
        assert!(
            scripts.contains("number_of_cached_scripts:0"),
            "{right}: {scripts}"
        );
    }
}

#[test]
fn a_lane_to_a_node_that_revokes_rights_names_the_missing_one() {
    let cluster = calm_cluster(0);
    on_all(&cluster, &documented());
    let proxy = launch(&cluster.seeds(), |config| {
        with_policies(config);
        config.set("cluster.timeouts.command", "300ms");
    });
    until_ready(&proxy);
    for right in ["multi", "exec", "discard", "pexpire"] {
        on_all(&cluster, &documented());
        on_all(
            &cluster,
            &["ACL", "SETUSER", "slotmux", &format!("-{right}")],
        );
        on_all(&cluster, &["CLIENT", "KILL", "USER", "slotmux"]);
        // Between the two Redis 7.0 says "this user", later servers name the user.
        let said = format!("has no permissions to run the '{right}' command");
        poll_until(PATIENCE, "the lanes to be refused", || {
            let reply = proxy.client().call(&["SET", "ns:k", "1"]);
            matches!(&reply, Value::Error(error) if error.contains("NOPERM") && error.contains(&said))
        });
        poll_until(PATIENCE, "slotmux to name the node", || {
            readiness(&proxy).is_some_and(|(_, text)| text.contains(&said))
        });
        on_all(&cluster, &documented());
        poll_until(PATIENCE, "slotmux to be accepted again", || {
            proxy.client().call(&["SET", "ns:k", "1"]) == Value::ok()
        });
    }
}
