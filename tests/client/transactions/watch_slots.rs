//! WATCH with keys, or a body, in several slots: a change of any watched key keeps all commands from running.

use std::thread;

use slotmux::tools::demo::cluster::LocalCluster;
use slotmux_core::slot::slot_of;
use toml::Table;

use super::watch::{few, write_past};
use super::{count, transaction, with_namespaces};
use slotmux_testing::{
    PATIENCE, Proxy, ProxyConfig, RawClient, Value, calm_cluster, poll_until, shared_cluster,
};

fn splitting() -> Proxy {
    with_namespaces(&[("split", "multi = \"split\"")])
}

fn set_all(client: &mut RawClient, keys: &[&str], value: &str) {
    for key in keys {
        assert_eq!(client.call(&["SET", key, value]), Value::ok());
    }
}

fn values(client: &mut RawClient, keys: &[&str]) -> Vec<String> {
    let reply = client.call(&[&["MGET"], keys].concat());
    reply.items().iter().map(Value::text).collect()
}

#[test]
fn a_body_elsewhere_runs_only_if_the_watched_key_is_unchanged() {
    const KEYS: [&str; 3] = ["split:xa", "split:xb", "split:xc"];
    let proxy = splitting();
    for mut client in [proxy.client(), proxy.client_resp3()] {
        for body in [
            &["SET split:xb new", "SET split:xc new"][..],
            &[
                "SET split:xb new",
                "PING",
                "SET split:xa new",
                "SET split:xc new",
            ],
            &["MSET split:xc new split:xb new split:xa new"],
            &["SET split:xb new"],
        ] {
            set_all(&mut client, &KEYS, "old");
            client.call(&["WATCH", "split:xa"]);
            let reply = transaction(&mut client, body);
            assert_eq!(reply.items().len(), body.len(), "{body:?}");
            let pong = Value::Simple("PONG".to_owned());
            let mut items = reply.items().iter();
            assert!(items.all(|item| [Value::ok(), pong.clone()].contains(item)));
            assert!(values(&mut client, &KEYS).contains(&"new".to_owned()));

            set_all(&mut client, &KEYS, "old");
            client.call(&["WATCH", "split:xa"]);
            write_past("split:xa", "other");
            assert_eq!(transaction(&mut client, body), Value::Null, "{body:?}");
            assert_eq!(
                values(&mut client, &KEYS),
                ["other", "old", "old"],
                "{body:?}"
            );
        }
    }
}

#[test]
fn a_change_in_any_watched_slot_makes_exec_nil() {
    const KEYS: [&str; 3] = ["split:ya", "split:yb", "split:yc"];
    let proxy = splitting();
    for mut client in [proxy.client(), proxy.client_resp3()] {
        for body in [
            &["SET split:ya new"][..],
            &["SET split:yc new", "SET split:yb new", "SET split:ya new"],
            &["SET split:yd new"],
            &["PING"],
        ] {
            for changed in KEYS {
                client.call(&["DEL", "split:yd"]);
                set_all(&mut client, &KEYS, "old");
                let watch = ["WATCH", "split:yc", "split:ya", "split:missing"];
                assert_eq!(client.call(&watch), Value::ok());
                assert_eq!(client.call(&["WATCH", "split:yb"]), Value::ok());
                // Reads go on, on the connections on which the keys are watched.
                assert_eq!(values(&mut client, &KEYS), ["old"; 3]);
                assert_eq!(client.call(&["GET", "split:yb"]), Value::bulk("old"));
                write_past(changed, "other");
                // Only the last one to run may have seen the change too late.
                let reply = transaction(&mut client, body);
                let is_first = body.len() == 1 || changed == first_of(body);
                if is_first {
                    assert_eq!(reply, Value::Null, "{changed} before {body:?}");
                    let left = KEYS.map(|key| if key == changed { "other" } else { "old" });
                    assert_eq!(
                        values(&mut client, &KEYS),
                        left,
                        "{changed} before {body:?}"
                    );
                    assert_eq!(client.call(&["EXISTS", "split:yd"]), Value::Integer(0));
                } else {
                    says_what_ran(&reply, changed);
                }
            }
            set_all(&mut client, &KEYS, "old");
            assert_eq!(client.call(&[&["WATCH"], &KEYS[..]].concat()), Value::ok());
            let reply = transaction(&mut client, body);
            assert_eq!(reply.items().len(), body.len(), "{body:?}");
        }
    }
}

/// The key of a body's first command.
fn first_of<'a>(body: &[&'a str]) -> &'a str {
    body[0].split(' ').nth(1).unwrap_or_default()
}

/// Commands of the slots before the changed one have run; the element of the changed one is an error.
fn says_what_ran(reply: &Value, changed: &str) {
    let items = reply.items();
    let errors = items.iter().filter(|item| matches!(item, Value::Error(_)));
    let texts: Vec<&str> = errors.map(Value::error).collect();
    assert!(
        !texts.is_empty() && items[0] == Value::ok(),
        "{changed}: {reply:?}"
    );
    assert!(
        texts
            .iter()
            .all(|text| text.starts_with("EXECABORT slotmux: not executed")),
        "{changed}: {reply:?}"
    );
}

#[test]
fn the_setting_multi_decides_about_a_body_outside_the_watched_slot() {
    const KEYS: [&str; 3] = ["split:za", "split:zb", "split:zc"];
    let proxy = with_namespaces(&[("split", "")]);
    let mut client = proxy.client();
    set_all(&mut client, &KEYS, "old");
    for body in [
        &["SET split:zb new"][..],
        &["SET split:za new", "GET split:zb"],
    ] {
        client.call(&["WATCH", "split:za"]);
        let reply = transaction(&mut client, body);
        assert!(reply.error().starts_with("CROSSSLOT"), "{reply:?}");
        assert!(reply.error().contains("split-readonly"), "{reply:?}");
        // The watch has ended, and no command has run.
        write_past("split:za", "old");
        let reply = transaction(&mut client, &["GET split:za", "GET split:zb"]);
        assert_eq!(reply.items(), [Value::bulk("old"), Value::bulk("old")]);
    }
    // Reads may be in several slots.
    client.call(&["WATCH", "split:za"]);
    let reply = transaction(&mut client, &["GET split:zb", "GET split:za"]);
    assert_eq!(reply.items(), [Value::bulk("old"), Value::bulk("old")]);
}

/// Each success raises both counters by one, and no other command does.
#[test]
fn eight_clients_raise_two_counters_alike() {
    const ROUNDS: i64 = 25;
    let proxy = splitting();
    let mut client = proxy.client();
    client.call(&["DEL", "split:one", "split:two"]);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = proxy.client();
                let mut done = 0;
                while done < ROUNDS {
                    client.call(&["WATCH", "split:one"]);
                    let before = match client.call(&["GET", "split:one"]) {
                        Value::Null => 0,
                        value => value.text().parse::<i64>().expect("a number"),
                    };
                    let set = format!("SET split:one {}", before + 1);
                    let reply = transaction(&mut client, &["INCR split:two", &set]);
                    if reply != Value::Null {
                        assert!(matches!(reply.items(), [Value::Integer(_), _]), "{reply:?}");
                        done += 1;
                    }
                }
            });
        }
    });
    for key in ["split:one", "split:two"] {
        assert_eq!(
            client.call(&["GET", key]),
            Value::bulk((8 * ROUNDS).to_string())
        );
    }
}

#[test]
fn connections_of_all_watched_slots_are_released() {
    let proxy = few(1);
    let mut client = proxy.client();
    for ending in ["EXEC", "UNWATCH", "RESET", "broken"] {
        assert_eq!(
            client.call(&["WATCH", "a", "b", "c"]),
            Value::ok(),
            "{ending}"
        );
        match ending {
            "EXEC" => assert_eq!(transaction(&mut client, &["GET b"]).items().len(), 1),
            "broken" => {
                write_past("b", "x");
                assert_eq!(transaction(&mut client, &["GET a", "GET b"]), Value::Null);
            }
            ending => drop(client.call(&[ending])),
        }
        let mut other = proxy.client();
        for key in ["a", "b", "c"] {
            assert_eq!(other.call(&["WATCH", key]), Value::ok(), "{ending}");
        }
        drop(other);
    }
    // Two slots of one node, which has one such connection.
    let near = ["{a}1", "{a}2"];
    assert_eq!(client.call(&["WATCH", near[0], near[1]]), Value::ok());
    let other = ["a", "d", "e", "f", "g"];
    let refused = client.call(&[&["WATCH"], &other[..]].concat());
    assert!(refused.error().contains("kept_max"), "{refused:?}");
    client.call(&["UNWATCH"]);
    assert_eq!(client.call(&["WATCH", "a"]), Value::ok());
}

#[test]
fn too_many_slots_are_refused() {
    let proxy = Proxy::start(shared_cluster(), |_| {});
    let mut client = proxy.client();
    let keys: Vec<String> = (0..17).map(|number| format!("k{number}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    assert_eq!(
        client.call(&[&["WATCH"], &keys[..16]].concat()),
        Value::ok()
    );
    assert_eq!(client.call(&["WATCH", keys[3]]), Value::ok());
    for watch in [&keys[16..], &keys[..]] {
        let refused = client.call(&[&["WATCH"], watch].concat());
        assert!(
            refused
                .error()
                .starts_with("CROSSSLOT slotmux: keys of more than 16")
        );
    }
    assert_eq!(transaction(&mut client, &["GET k1"]).items(), [Value::Null]);
    let many = [&["WATCH", "a"][..], &["b"; 16_384]].concat();
    let refused = client.call(&many);
    assert!(refused.error().contains("16,384 keys"), "{refused:?}");
}

/// Two keys of a namespace that splits its transactions, on two nodes, which come first.
fn on_two_nodes(cluster: &LocalCluster) -> [(usize, String); 2] {
    let node_of = |key: &String| {
        let owner = cluster.primary_of_slot(slot_of(key.as_bytes()).0);
        owner.expect("an owner")
    };
    let keys = (0..).map(|number| format!("split:{{{number}}}"));
    let mut keys = keys.map(|key| (node_of(&key), key));
    let first = keys.next().expect("a key");
    let second = keys.find(|(node, _)| *node != first.0);
    [first, second.expect("a key")]
}

fn splits(config: &mut ProxyConfig) {
    let section: Table = "name = \"split\"\nmatch = [\"split:\"]\nmulti = \"split\""
        .parse()
        .expect("TOML");
    config.add_section("namespace", section);
    config.set("log.level", "warn");
    config.set("server.workers", 1);
}

/// A node that runs nothing for a while, so that EXEC waits there.
fn hold_up(cluster: &LocalCluster, node: usize) {
    let _: String = cluster
        .query(node, &["CLIENT", "PAUSE", "1500"])
        .expect("paused");
}

/// Its groups behind the changed key must not run, though no client waits for them.
#[test]
fn a_change_ends_the_transaction_of_a_client_that_has_left() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, splits);
    let [(node, watched), (other_node, other)] = on_two_nodes(&cluster);
    let (mut client, mut killer) = (proxy.client(), proxy.client());
    let id = client.call(&["CLIENT", "ID"]).integer().to_string();
    assert_eq!(client.call(&["WATCH", &watched, &other]), Value::ok());
    for line in [
        &["MULTI"][..],
        &["SET", &watched, "new"],
        &["SET", &other, "new"],
    ] {
        client.call(line);
    }
    let _: String = cluster
        .query(node, &["SET", &watched, "changed"])
        .expect("written");
    hold_up(&cluster, node);
    client.send(&["EXEC"]);
    poll_until(PATIENCE, "EXEC to be in flight", || {
        proxy.metric("slotmux_in_flight") > Some(0.0)
    });
    let dropped = count(&proxy, "replies_dropped");
    assert_eq!(
        killer.call(&["CLIENT", "KILL", "ID", &id]),
        Value::Integer(1)
    );
    poll_until(PATIENCE, "EXEC to end", || {
        count(&proxy, "replies_dropped") > dropped
    });
    let left: String = cluster.query(node, &["GET", &watched]).expect("a value");
    assert_eq!(left, "changed");
    let written: i64 = cluster
        .query(other_node, &["EXISTS", &other])
        .expect("a number");
    assert_eq!(written, 0);
}

/// The part of a transaction that its node refuses at once is answered while the part before it is settled.
#[test]
fn a_node_that_runs_no_transactions_is_found_while_exec_goes_on() {
    let cluster = calm_cluster(0);
    let permit = |node: usize, rule: &str| {
        let words = [
            "ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all", rule,
        ];
        let _: String = cluster.query(node, &words).expect("a user");
    };
    (0..3).for_each(|node| permit(node, "+@all"));
    let proxy = Proxy::start(&cluster, |config| {
        splits(config);
        config.set("cluster.username", "app");
        config.set("cluster.password", vec!["pw".to_owned()]);
    });
    let [(node, watched), (other_node, other)] = on_two_nodes(&cluster);
    let (mut client, mut second) = (proxy.client(), proxy.client());
    let set = |key: &str, number: u32| format!("SET {key}:{number} v");
    let body = [set(&watched, 1), set(&other, 1), set(&other, 2)];
    let body: Vec<&str> = body.iter().map(String::as_str).collect();
    assert_eq!(client.call(&["WATCH", &watched]), Value::ok());
    client.call(&["MULTI"]);
    for line in &body {
        client.call(&line.split(' ').collect::<Vec<_>>());
    }
    hold_up(&cluster, node);
    client.send(&["EXEC"]);
    permit(other_node, "-multi");
    let refused = transaction(&mut second, &body[1..]);
    assert!(!refused.error().is_empty(), "{refused:?}");
    let reply = client.read();
    assert_eq!(reply.items()[0], Value::ok(), "{reply:?}");
    for item in &reply.items()[1..] {
        assert!(item.error().contains("runs no transactions"), "{reply:?}");
    }
    assert_eq!(client.call(&["PING"]), Value::Simple("PONG".to_owned()));
    assert_eq!(count(&proxy, "panics"), 0);
    // Once it is known, nothing runs.
    assert_eq!(client.call(&["WATCH", &watched]), Value::ok());
    client.call(&["DEL", &format!("{watched}:1")]);
    let reply = transaction(&mut client, &body);
    assert!(reply.error().contains("runs no transactions"), "{reply:?}");
    let exists = client.call(&["EXISTS", &format!("{watched}:1")]);
    assert_eq!(exists, Value::Integer(0));
}
