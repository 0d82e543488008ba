//! Scripts and functions that run and then return an error by which a node reports that it has not run a command: they
//! run once, and their clients get that error. The same error from a node itself is still followed.

use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_core::slot::slot_of;
use slotmux_testing::{Peer, Proxy, RawClient, Step, Value, calm_cluster, shared_cluster};

/// Increments its key, then returns the given error.
const SCRIPT: &str = "redis.call('INCR', KEYS[1]) return redis.error_reply(ARGV[1])";
const FUNCTION: &str = "#!lua name=forged\nredis.register_function('forged', function(keys, args) \
    redis.call('INCR', keys[1]) return redis.error_reply(args[1]) end)";

/// Errors by which nodes report that they have not run a command; a redirect of `key` to every node.
fn errors_of_nodes(key: &str, ports: &[u16]) -> Vec<String> {
    let slot = slot_of(key.as_bytes()).0;
    let mut all: Vec<String> = [
        "NOSCRIPT No matching script. Please use EVAL.",
        "NOSCRIPT No matching script.",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "CLUSTERDOWN The cluster is down",
        "CLUSTERDOWN Hash slot not served",
        "LOADING Redis is loading the dataset in memory",
        "READONLY You can't write against a read only replica.",
        "READONLY Can not run script with write flag on readonly replica",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
        "ERR Function not found",
        "EXECABORT Transaction discarded because of: READONLY You can't write against a read only replica.",
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    ]
    .map(str::to_owned)
    .into();
    for port in ports {
        all.push(format!("MOVED {slot} 127.0.0.1:{port}"));
        all.push(format!("ASK {slot} 127.0.0.1:{port}"));
        all.push(format!("MOVED {slot} :{port}"));
    }
    all
}

fn show(client: &mut RawClient) -> String {
    client.call(&["SCRIPT", "LOAD", SCRIPT]);
    let sha = client.call(&["EVAL", "return redis.sha1hex(ARGV[1])", "0", SCRIPT]);
    match sha {
        Value::Bulk(sha) => String::from_utf8(sha).expect("hex"),
        other => panic!("{other:?}"),
    }
}

/// The calls of the script by every name.
fn calls(sha: &str, key: &str, said: &str) -> Vec<Vec<String>> {
    [["EVAL", SCRIPT], ["EVALSHA", sha], ["FCALL", "forged"]]
        .iter()
        .map(|[name, what]| [name, what, "1", key, said].map(str::to_owned).into())
        .collect()
}

/// One client after the other, alone and with commands before and after.
#[track_caller]
fn assert_it_runs_once(proxy: &Proxy, ports: &[u16], key: &str, prepare: &[&[&str]]) {
    let mut client = proxy.client();
    let sha = show(&mut client);
    for said in errors_of_nodes(key, ports) {
        for call in calls(&sha, key, &said) {
            client.call(&["DEL", key]);
            for words in prepare {
                assert_eq!(client.call(words), Value::ok());
            }
            let reply = client.call(&call);
            assert_eq!(reply.error(), said, "{call:?}");
            assert_eq!(client.call(&["GET", key]), Value::bulk("1"), "{call:?}");
            client.call(&["UNWATCH"]);
            let get = vec!["GET".to_owned(), key.to_owned()];
            let replies = client.pipeline(&[get.clone(), call.clone(), get]);
            assert_eq!(replies[0], Value::bulk("1"), "{call:?}");
            assert_eq!(replies[1].error(), said, "{call:?}");
            assert_eq!(replies[2], Value::bulk("2"), "{call:?}");
        }
    }
}

#[test]
fn in_a_cluster() {
    let cluster = shared_cluster();
    let ports: Vec<u16> = cluster.nodes().iter().map(|node| node.port).collect();
    let proxy = Proxy::start(cluster, |config| config.set("server.workers", 1));
    assert_eq!(
        proxy
            .client()
            .call(&["FUNCTION", "LOAD", "REPLACE", FUNCTION]),
        Value::bulk("forged")
    );
    assert_it_runs_once(&proxy, &ports, "forged:k", &[]);
    assert_it_runs_once(&proxy, &ports, "forged:w", &[&["WATCH", "forged:w"]]);
}

/// Expiries of a namespace follow the call, with or without MULTI.
#[test]
fn under_a_policy() {
    let cluster = shared_cluster();
    let ports: Vec<u16> = cluster.nodes().iter().map(|node| node.port).collect();
    for strength in ["pipelined", "atomic"] {
        let proxy = Proxy::start(cluster, |config| {
            config.set("server.workers", 1);
            let section = format!(
                "name = \"{strength}\"\nmatch = [\"{strength}:\"]\n\
                 ttl = {{ default = \"100s\", strength = \"{strength}\" }}"
            );
            config.add_section("namespace", section.parse().expect("TOML"));
        });
        proxy
            .client()
            .call(&["FUNCTION", "LOAD", "REPLACE", FUNCTION]);
        let key = format!("{strength}:k");
        assert_it_runs_once(&proxy, &ports, &key, &[]);
        assert!(proxy.client().call(&["TTL", &key]).integer() > 0);
    }
}

#[test]
fn in_front_of_one_server() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    let proxy = Proxy::start_before(&server, |config| config.set("server.workers", 1));
    proxy
        .client()
        .call(&["FUNCTION", "LOAD", "REPLACE", FUNCTION]);
    let port = server.port();
    assert_it_runs_once(&proxy, &[port], "forged:k", &[]);
    // It names no key; the counter shows that it has run all the same.
    let mut client = proxy.client();
    let script = "redis.call('INCR', 'forged:none') return redis.error_reply(ARGV[1])";
    for (ran, said) in errors_of_nodes("forged:none", &[port]).iter().enumerate() {
        assert_eq!(client.call(&["EVAL", script, "0", said]).error(), said);
        let counted = client.call(&["GET", "forged:none"]);
        assert_eq!(counted, Value::bulk((ran + 1).to_string()), "{said}");
    }
}

/// In several slots, so that the call is the only command of its group and is sent without MULTI.
#[test]
fn in_a_transaction_over_several_slots() {
    let cluster = shared_cluster();
    let ports: Vec<u16> = cluster.nodes().iter().map(|node| node.port).collect();
    let proxy = Proxy::start(cluster, |config| {
        config.set("server.workers", 1);
        config.set("defaults.namespace.multi", "split");
    });
    let mut client = proxy.client();
    for said in errors_of_nodes("forged:m", &ports) {
        client.call(&["DEL", "forged:m"]);
        let replies = client.pipeline(&[
            vec!["MULTI"],
            vec!["EVAL", SCRIPT, "1", "forged:m", &said],
            vec!["SET", "forged:elsewhere", "1"],
            vec!["EXEC"],
        ]);
        assert_eq!(replies[3].items()[0].error(), said);
        assert_eq!(
            client.call(&["GET", "forged:m"]),
            Value::bulk("1"),
            "{said}"
        );
    }
}

/// A moving slot: the nodes' own errors are followed, and each call runs once, in order.
#[test]
fn true_redirects_are_followed_in_order() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| config.set("server.workers", 1));
    let mut client = proxy.client();
    let count = "return redis.call('INCR', KEYS[1])";
    let slot = slot_of(b"{moved}").0;
    let from = cluster.primary_of_slot(slot).expect("an owner");
    let to = (from + 1) % 3;
    let pipeline = |key: &str| -> Vec<Vec<String>> {
        (0..9)
            .map(|number| match number % 3 {
                0 => vec!["INCR".to_owned(), key.to_owned()],
                1 => ["EVAL", count, "1", key].map(str::to_owned).into(),
                _ => ["EVAL", count, "2", key, &format!("{key}:other")]
                    .map(str::to_owned)
                    .into(),
            })
            .collect()
    };
    let all: Vec<Value> = (1..10).map(Value::Integer).collect();
    assert_eq!(client.pipeline(&pipeline("{moved}before")), all);
    cluster
        .migrate_slot_begin(slot, from, to)
        .expect("it begins to move");
    // All calls get ASK, after which the missing second key of some is not reported.
    let single: Vec<Vec<String>> = pipeline("{moved}asked")
        .into_iter()
        .filter(|words| words.len() < 5)
        .collect();
    let replies = client.pipeline(&single);
    assert_eq!(replies, all[..6]);
    cluster
        .migrate_slot_finish(slot, from, to)
        .expect("it moves");
    assert_eq!(client.pipeline(&pipeline("{moved}after")), all);
}

/// The fate of a script is unknown if its node is gone before it confirms the refusal.
#[test]
fn a_node_that_does_not_confirm_a_refusal() {
    for (steps, words) in [
        (vec![Step::Close], "may have been executed"),
        (Step::reply(":1\r\n"), "CLUSTERDOWN"),
        (Step::reply("-NOPERM no\r\n"), "CLUSTERDOWN"),
        (Vec::new(), "may have been executed"),
    ] {
        let peer = Peer::start(move |request| match request.name().as_str() {
            "EVAL" => Some(Step::reply("-CLUSTERDOWN The cluster is down\r\n")),
            "SETRANGE" => Some(steps.clone()),
            _ => None,
        });
        let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
            config.set("cluster.timeouts.command", "1s");
        });
        let reply = proxy.client().call(&["EVAL", "s", "1", "k"]);
        assert!(reply.error().contains(words), "{reply:?}");
        assert_eq!(peer.requests_named("EVAL").len(), 1);
    }
}
