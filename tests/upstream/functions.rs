//! Functions on primaries that joined, or have lost them: FCALL finds them as on one Redis, and deletions last.

use slotmux::tools::demo::cluster::LocalCluster;
use slotmux_core::slot::slot_of;
use slotmux_testing::{PATIENCE, Proxy, RawClient, Value, calm_cluster, poll_until};

const NOT_FOUND: &str = "ERR Function not found";

fn key_on(cluster: &LocalCluster, node: usize, prefix: &str) -> String {
    let is_there =
        |key: &String| cluster.primary_of_slot(slot_of(key.as_bytes()).0).ok() == Some(node);
    let mut keys = (0..).map(|i| format!("{prefix}:{i}"));
    keys.find(is_there).expect("a key")
}

/// A library whose functions count in their key, or return a version.
fn code(name: &str, version: &str) -> String {
    format!(
        "#!lua name={name}\nredis.register_function('{name}_count', function(keys, args) return redis.call('INCR', keys[1]) end)\n\
         redis.register_function{{function_name='{name}_version', callback=function() return '{version}' end, \
         flags={{'no-writes'}}}}"
    )
}

fn load(client: &mut RawClient, name: &str) {
    let loaded = client.call(&["FUNCTION", "LOAD", &code(name, "1")]);
    assert_eq!(loaded, Value::bulk(name));
}

fn flush(cluster: &LocalCluster, node: usize) {
    let _: () = cluster
        .query(node, &["FUNCTION", "FLUSH"])
        .expect("flushed");
}

/// Names of the libraries of a node.
fn libraries(cluster: &LocalCluster, node: usize) -> Vec<String> {
    let listed: Vec<redis::Value> = cluster.query(node, &["FUNCTION", "LIST"]).expect("a list");
    let mut names: Vec<String> = listed
        .iter()
        .map(|library| match library {
            redis::Value::Array(fields) => match &fields[1] {
                redis::Value::BulkString(name) => String::from_utf8_lossy(name).into_owned(),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        })
        .collect();
    names.sort_unstable();
    names
}

#[track_caller]
fn assert_not_found(client: &mut RawClient, call: &[&str]) {
    assert_eq!(client.call(call).error(), NOT_FOUND, "{call:?}");
}

#[test]
fn a_node_that_joins_has_the_functions_before_they_are_called() {
    let mut cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let mut client = proxy.client();
    load(&mut client, "lib");
    load(&mut client, "more");
    let keys = [0, 1].map(|node| key_on(&cluster, node, "joins"));
    let joined = cluster.add_node().expect("a node");
    for (key, from) in keys.iter().zip([0, 1]) {
        let slot = slot_of(key.as_bytes()).0;
        cluster.migrate_slot(slot, from, joined).expect("it moves");
        let counted = client.call(&["FCALL", "lib_count", "1", key]);
        assert_eq!(counted, Value::Integer(1));
    }
    poll_until(PATIENCE, "all libraries to be there", || {
        libraries(&cluster, joined) == ["lib", "more"]
    });
    let replies = client.pipeline(&[
        vec!["MULTI"],
        vec!["FCALL", "more_count", "1", &keys[0]],
        vec!["EXEC"],
    ]);
    assert_eq!(replies[2].items(), [Value::Integer(2)]);
}

/// Every form of a call that can be sent again, at a node that lost its functions while slotmux was connected to it.
#[test]
fn a_flushed_node_gets_the_library_of_a_call() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("cluster.connections.bulk_threshold", "64KiB");
        for strength in ["pipelined", "atomic"] {
            let section = format!(
                "name = \"{strength}\"\nmatch = [\"{strength}:\"]\n\
                 ttl = {{ default = \"100s\", strength = \"{strength}\" }}"
            );
            config.add_section("namespace", section.parse().expect("TOML"));
        }
    });
    let mut client = proxy.client();
    load(&mut client, "lib");
    for (round, mut client) in [proxy.client(), proxy.client_resp3()]
        .into_iter()
        .enumerate()
    {
        for prefix in ["plain", "pipelined", "atomic"] {
            let key = key_on(&cluster, 1, &format!("{prefix}:{round}"));
            for number in 1..4 {
                flush(&cluster, 1);
                let counted = client.call(&["FCALL", "lib_count", "1", &key]);
                assert_eq!(counted, Value::Integer(number), "{key}");
                assert_eq!(client.call(&["GET", &key]), Value::bulk(number.to_string()));
            }
            if prefix != "plain" {
                assert!(client.call(&["TTL", &key]).integer() > 0);
            }
            flush(&cluster, 1);
            let version = client.call(&["fcall_ro", "lib_version", "1", &key]);
            assert_eq!(version, Value::bulk("1"));
        }
        let (key, long) = (key_on(&cluster, 1, "long"), "x".repeat(100_000));
        flush(&cluster, 1);
        let counted = client.call(&["FCALL", "lib_count", "1", &key, &long]);
        assert_eq!(
            counted,
            Value::Integer(round as i64 + 1),
            "over a dedicated lane"
        );
        for node in 0..3 {
            flush(&cluster, node);
            let version = client.call(&["FCALL", "lib_version", "0"]);
            assert_eq!(
                version,
                Value::bulk("1"),
                "without a key, {node} was flushed"
            );
            // Whichever node ran it: the next one is not the second to lack it.
            let key = key_on(&cluster, node, "next");
            assert_eq!(
                client.call(&["FCALL", "lib_version", "1", &key]),
                Value::bulk("1")
            );
        }
    }
    assert_eq!(libraries(&cluster, 1), ["lib"]);
}

/// A call that can't be sent again gets the error; its library is there soon after.
#[test]
fn calls_with_others_behind_them_find_the_library_later() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let mut client = proxy.client();
    load(&mut client, "lib");
    let key = key_on(&cluster, 2, "later");
    let call = vec!["FCALL", "lib_count", "1", &key];
    let forms = [
        vec![call.clone(), call.clone()],
        vec![vec!["MULTI"], call.clone(), vec!["EXEC"]],
        vec![vec!["WATCH", &key], call.clone(), vec!["UNWATCH"]],
    ];
    for form in forms {
        flush(&cluster, 2);
        poll_until(PATIENCE, "the function to be there", || {
            let replies = client.pipeline(&form);
            replies.iter().all(|reply| match reply {
                Value::Array(items) => matches!(items[..], [Value::Integer(_)]),
                Value::Error(error) => {
                    assert_eq!(error, NOT_FOUND);
                    false
                }
                _ => true,
            })
        });
    }
}

#[test]
fn a_node_that_restarts_empty_gets_the_library() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let mut client = proxy.client();
    load(&mut client, "lib");
    let key = key_on(&cluster, 1, "restarts");
    assert_eq!(
        client.call(&["FCALL", "lib_count", "1", &key]),
        Value::Integer(1)
    );
    cluster.restart(1).expect("it restarts");
    cluster.wait_ok().expect("a cluster");
    assert!(libraries(&cluster, 1).is_empty(), "it keeps nothing");
    assert_eq!(
        client.call(&["FCALL", "lib_count", "1", &key]),
        Value::Integer(1)
    );
}

#[test]
fn what_was_deleted_stays_deleted() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let mut client = proxy.client();
    let keys = [0, 1, 2].map(|node| key_on(&cluster, node, "deleted"));
    // By a client, in both ways.
    for delete in [&["FUNCTION", "DELETE", "lib"][..], &["FUNCTION", "FLUSH"]] {
        load(&mut client, "lib");
        assert_eq!(client.call(delete), Value::ok());
        for key in &keys {
            assert_not_found(&mut client, &["FCALL", "lib_count", "1", key]);
        }
    }
    // Past slotmux, at all nodes but one.
    load(&mut client, "gone");
    for node in [0, 1] {
        let delete = ["FUNCTION", "DELETE", "gone"];
        let _: () = cluster.query(node, &delete).expect("deleted");
    }
    for key in &keys[..2] {
        assert_not_found(&mut client, &["FCALL", "gone_count", "1", key]);
    }
    assert_eq!(
        client.call(&["FCALL", "gone_count", "1", &keys[2]]),
        Value::Integer(1)
    );
    assert!(libraries(&cluster, 0).is_empty());
}

/// Two nodes of three refuse the deletion: most of the nodes have the library, and still it is not to come back.
#[test]
fn an_unfinished_deletion_is_respected_until_the_library_is_loaded_again() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let mut client = proxy.client();
    let key = key_on(&cluster, 0, "unfinished");
    let call = ["FCALL", "lib_count", "1", &key];
    for (right, delete) in [
        ("function|delete", &["FUNCTION", "DELETE", "lib"][..]),
        ("function|flush", &["FUNCTION", "FLUSH"]),
    ] {
        let replaced = client.call(&["FUNCTION", "LOAD", "REPLACE", &code("lib", "1")]);
        assert_eq!(replaced, Value::bulk("lib"));
        let on_two = |sign: &str| {
            for node in [1, 2] {
                let rule = format!("{sign}{right}");
                let set = ["ACL", "SETUSER", "default", &rule];
                let _: () = cluster.query(node, &set).expect("a rule");
            }
        };
        on_two("-");
        assert!(client.call(delete).error().contains("NOPERM"));
        assert!(libraries(&cluster, 0).is_empty());
        assert_not_found(&mut client, &call);
        on_two("+");
        if right == "function|flush" {
            assert_eq!(client.call(delete), Value::ok());
        }
        let replaced = client.call(&["FUNCTION", "LOAD", "REPLACE", &code("lib", "2")]);
        assert_eq!(replaced, Value::bulk("lib"));
        flush(&cluster, 0);
        poll_until(PATIENCE, "it to be given again", || {
            matches!(client.call(&call), Value::Integer(_))
        });
    }
}

/// Of two versions none is more common among the two other nodes.
#[test]
fn versions_that_differ_are_left_to_the_operator() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let mut client = proxy.client();
    load(&mut client, "lib");
    let replace = code("lib", "2");
    let replace = ["FUNCTION", "LOAD", "REPLACE", &replace];
    let _: String = cluster.query(1, &replace).expect("replaced");
    flush(&cluster, 0);
    let [key, other] = [0, 1].map(|node| key_on(&cluster, node, "versions"));
    assert_not_found(&mut client, &["FCALL_RO", "lib_version", "1", &key]);
    assert_eq!(
        client.call(&["FCALL", "lib_version", "1", &other]),
        Value::bulk("2")
    );
    assert!(libraries(&cluster, 0).is_empty());
}
