//! INFO as monitoring tools read it.

use std::collections::BTreeMap;

use slotmux::tools::demo::cluster::LocalCluster;
use slotmux::tools::demo::server::{LocalServer, ServerOptions};

use crate::keyspace::shared_cluster;
use slotmux_testing::{Proxy, RawClient, Value, calm_cluster};

use crate::keyspace::key_on;

/// The fields of an INFO, by section.
type Sections = BTreeMap<String, BTreeMap<String, String>>;

fn parse(text: &str) -> Sections {
    let mut sections = Sections::new();
    let mut title = String::new();
    assert!(text.ends_with("\r\n"), "{text:?}");
    for line in text.split("\r\n").filter(|line| !line.is_empty()) {
        if let Some(name) = line.strip_prefix("# ") {
            title = name.to_owned();
            sections.insert(title.clone(), BTreeMap::new());
        } else {
            let (field, value) = line.split_once(':').unwrap_or_else(|| panic!("{line:?}"));
            let section = sections
                .get_mut(&title)
                .unwrap_or_else(|| panic!("{line:?}"));
            let twice = section.insert(field.to_owned(), value.to_owned());
            assert!(
                twice.is_none() || field == "module",
                "{field} in {title} twice"
            );
        }
    }
    sections
}

fn info(client: &mut RawClient, sections: &[&str]) -> Sections {
    let words: Vec<&str> = ["INFO"].iter().chain(sections).copied().collect();
    parse(&client.call(&words).text())
}

fn of_node(cluster: &LocalCluster, node: usize, section: &str) -> Sections {
    parse(
        &cluster
            .query::<String>(node, &["INFO", section])
            .expect("INFO"),
    )
}

fn number(sections: &Sections, section: &str, field: &str) -> f64 {
    let value = sections.get(section).and_then(|section| section.get(field));
    let value = value.unwrap_or_else(|| panic!("{field} in {section}: {sections:?}"));
    value.parse().unwrap_or_else(|_| panic!("{field}: {value}"))
}

/// A figure in `db0:keys=1,expires=0,avg_ttl=0`, or in a line like it.
fn within(line: &str, name: &str) -> i64 {
    let mut pairs = line.split(',').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(other, _)| *other == name).expect(name);
    value.parse().expect("a number")
}

/// Every section of a node is there, in its order, with every field, except those about links to other nodes.
fn has_all_of(ours: &Sections, node: &Sections) {
    for (title, fields) in node {
        let ours = ours.get(title).unwrap_or_else(|| panic!("{title}"));
        let is_hidden = |field: &str| {
            title == "Cluster Info"
                || title == "Replication" && (field.starts_with("slave") || field == "master_host")
                // Later calls and errors change these fields.
                || ["Commandstats", "Errorstats", "Latencystats"].contains(&&**title)
        };
        for (field, value) in fields.iter().filter(|(field, _)| !is_hidden(field)) {
            let ours = ours
                .get(field)
                .unwrap_or_else(|| panic!("{field} of {title}"));
            let is_number = |value: &str| value.trim_end_matches('%').parse::<f64>().is_ok();
            assert_eq!(is_number(ours), is_number(value), "{field}: {ours} {value}");
        }
    }
}

/// Fields about the server's program have the values of the server, and the histograms of Redis 8 are added up.
#[test]
fn sections_and_fields_are_those_of_the_nodes() {
    let cluster = calm_cluster(0);
    let node = of_node(&cluster, 0, "everything");
    for personality in ["standalone", "cluster"] {
        let proxy = Proxy::start(&cluster, |config| {
            config.set("listener.personality", personality);
        });
        let mut client = proxy.client();
        client.call(&["FLUSHALL"]);
        for node in 0..3 {
            client.call(&["SET", &key_on(&cluster, node, 0), "12345678"]);
        }
        let all = info(&mut client, &["everything"]);
        let mode = if personality == "cluster" {
            "cluster"
        } else {
            "standalone"
        };
        for (field, value) in &node["Server"] {
            let ours = all["Server"]
                .get(field)
                .unwrap_or_else(|| panic!("{field}"));
            let is_of_process = [
                "process_id",
                "run_id",
                "tcp_port",
                "server_time_usec",
                "uptime_in_seconds",
                "lru_clock",
                "executable",
                "config_file",
                "listener0",
                "os",
                "monotonic_clock",
            ];
            if field.ends_with("_mode") {
                assert_eq!(ours, mode, "{field}");
            } else if !is_of_process.contains(&&**field) {
                assert_eq!(ours, value, "{field}");
            }
        }
        // Kinds of messages that nodes have exchanged by then are not counted.
        let is_count = |name: &&String| name.starts_with("cluster_stats_messages_");
        let fields = |sections: &Sections| -> Option<Vec<String>> {
            let names = sections.get("Cluster Info")?.keys();
            Some(names.filter(|name| !is_count(name)).cloned().collect())
        };
        match (fields(&all), fields(&node)) {
            // As on a server outside of any cluster.
            (Some(ours), Some(_)) if mode == "standalone" => assert!(ours.is_empty(), "{ours:?}"),
            (ours, theirs) => assert_eq!(ours, theirs),
        }
        if let Some(sizes) = all.get("Keysizes") {
            assert_eq!(sizes["db0_distrib_strings_sizes"], "8=3");
        }
        if let Some(reason) = all["Clients"].get("paused_reason") {
            assert_eq!(reason, "none");
            client.call(&["CLIENT", "PAUSE", "100000", "WRITE"]);
            let paused = info(&mut client, &["clients"]);
            assert_eq!(paused["Clients"]["paused_reason"], "client_pause");
            assert_eq!(paused["Clients"]["paused_actions"], "write");
            client.call(&["CLIENT", "UNPAUSE"]);
        }
        if let Some(count) = all["Clients"].get("pubsub_clients") {
            assert_eq!(count, "0");
            let mut listener = proxy.client();
            listener.call(&["SUBSCRIBE", "a"]);
            let with = info(&mut client, &["clients"]);
            assert_eq!(with["Clients"]["pubsub_clients"], "1");
        }
    }
}

#[test]
fn the_figures_are_those_of_all_nodes() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    for mut client in [proxy.client(), proxy.client_resp3()] {
        client.call(&["FLUSHALL"]);
        assert!(info(&mut client, &["keyspace"])["Keyspace"].is_empty());
        for node in 0..3 {
            for from in 0..=node {
                let key = key_on(&cluster, node, 1000 * from);
                client.call(&["SET", &key, "v", "EX", "1000"]);
                client.call(&["GET", &key]);
                client.call(&["GET", &format!("no:{key}")]);
            }
        }
        client.call(&["PERSIST", &key_on(&cluster, 2, 0)]);
        let keyspace = info(&mut client, &["keyspace"]);
        let line = &keyspace["Keyspace"]["db0"];
        assert_eq!(keyspace.len(), 1, "{keyspace:?}");
        assert_eq!(
            client.call(&["DBSIZE"]),
            Value::Integer(within(line, "keys"))
        );
        assert_eq!((within(line, "keys"), within(line, "expires")), (6, 5));
        // A node reports 0 until it has sampled some of its keys.
        assert!((0..=1_000_000).contains(&within(line, "avg_ttl")), "{line}");

        let all = info(&mut client, &["everything"]);
        let nodes: Vec<Sections> = (0..3)
            .map(|node| of_node(&cluster, node, "everything"))
            .collect();
        let sum = |section, field| {
            nodes
                .iter()
                .map(|node| number(node, section, field))
                .sum::<f64>()
        };
        for (section, field) in [
            ("Stats", "keyspace_hits"),
            ("Stats", "keyspace_misses"),
            ("Stats", "expired_keys"),
            ("Stats", "evicted_keys"),
            ("Persistence", "rdb_changes_since_last_save"),
            ("Memory", "maxmemory"),
            ("Memory", "total_system_memory"),
            ("Replication", "connected_slaves"),
        ] {
            assert_eq!(number(&all, section, field), sum(section, field), "{field}");
        }
        // Values that the query itself changes: between the values before and after it, with room for both.
        for (section, field) in [("Memory", "used_memory"), ("CPU", "used_cpu_user")] {
            let (ours, theirs) = (number(&all, section, field), sum(section, field));
            assert!(
                ours > theirs / 2.0 && ours < theirs * 2.0,
                "{field}: {ours} {theirs}"
            );
        }
        let calls = |sections: &Sections| within(&sections["Commandstats"]["cmdstat_set"], "calls");
        assert_eq!(calls(&all), nodes.iter().map(calls).sum::<i64>());
        has_all_of(&all, &nodes[0]);
        for field in ["redis_mode", "server_mode"] {
            let told = all["Server"].get(field).map(String::as_str);
            assert_ne!(told, Some("cluster"), "{field}");
            let of_node = nodes[0]["Server"].contains_key(field);
            assert_eq!(told.is_some(), of_node, "{field}");
        }
        assert_eq!(all["Cluster"]["cluster_enabled"], "0");
        assert_eq!(all["Replication"]["role"], "master");
        assert_eq!(all["Slotmux"]["slotmux_nodes_asked"], "3");
        assert_eq!(all["Slotmux"]["slotmux_nodes_answered"], "3");
        // A default INFO has the sections of Redis, and several requested sections are exactly these.
        let plain = info(&mut client, &[]);
        has_all_of(&plain, &of_node(&cluster, 0, "default"));
        let two = info(&mut client, &["cpu", "Keyspace"]);
        assert_eq!(two.keys().collect::<Vec<_>>(), ["CPU", "Keyspace"]);
        assert_eq!(client.call(&["INFO", "nosuch"]).text(), "");
    }
}

/// slotmux' own section causes no query.
#[test]
fn nodes_are_queried_only_for_their_sections() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let mut client = proxy.client();
    let asked = || -> i64 {
        let calls = |node| {
            let stats = of_node(&cluster, node, "commandstats");
            let line = stats["Commandstats"].get("cmdstat_info").cloned();
            line.map_or(0, |line| within(&line, "calls"))
        };
        (0..3).map(calls).sum()
    };
    // Each read of the counts is one more.
    let looks = |before: i64, after: i64| after - before - 3;
    let before = asked();
    const TIMES: i64 = 20;
    for _ in 0..TIMES {
        info(&mut client, &["slotmux"]);
    }
    let after = asked();
    // A refresh of the topology may ask each node once.
    assert!(looks(before, after) < TIMES);
    for _ in 0..TIMES {
        info(&mut client, &["memory"]);
    }
    let asked = looks(after, asked());
    assert!((3 * TIMES..4 * TIMES).contains(&asked), "{asked}");
}

/// INFO has the same fields inside a transaction as outside, on whichever node the transaction runs.
#[test]
fn inside_a_transaction_the_nodes_are_asked_too() {
    let cluster = calm_cluster(0);
    let single = LocalServer::start(&ServerOptions::default()).expect("a server");
    for proxy in [
        Proxy::start(&cluster, |_| {}),
        Proxy::start_before(&single, |_| {}),
    ] {
        for mut client in [proxy.client(), proxy.client_resp3()] {
            client.call(&["SET", "{info}a", "v"]);
            for with_key in [false, true] {
                for sections in [
                    &[][..],
                    &["everything"],
                    &["keyspace"],
                    &["Keyspace", "cpu", "slotmux"],
                    &["default", "commandstats"],
                    &["keysizes"],
                    &["cluster_info"],
                    &["server"],
                    &["slotmux"],
                    &["nosuch"],
                ] {
                    client.call(&["WATCH", "{info}b"]);
                    client.call(&["MULTI"]);
                    if with_key {
                        client.call(&["GET", "{info}a"]);
                    }
                    let words: Vec<&str> = ["INFO"].iter().chain(sections).copied().collect();
                    assert_eq!(client.call(&words), Value::Simple("QUEUED".into()));
                    let replies = client.call(&["EXEC"]);
                    let inside = replies.items().last().expect("INFO").text();
                    let outside = client.call(&words).text();
                    if inside.is_empty() || outside.is_empty() {
                        // No server has it, or not this one.
                        assert_eq!(inside, outside, "{sections:?}");
                        assert!(["nosuch", "keysizes", "cluster_info"].contains(&sections[0]));
                        continue;
                    }
                    let (inside, outside) = (parse(&inside), parse(&outside));
                    let names = |sections: &Sections| -> Vec<(String, Vec<String>)> {
                        let fields = sections
                            .iter()
                            .filter(|(title, _)| !title.ends_with("stats"));
                        let names = |(title, fields): (&String, &BTreeMap<String, String>)| {
                            (title.clone(), fields.keys().cloned().collect())
                        };
                        fields.map(names).collect()
                    };
                    assert_eq!(names(&inside), names(&outside), "{sections:?}");
                    assert_eq!(
                        inside.get("Keyspace"),
                        outside.get("Keyspace"),
                        "{sections:?}"
                    );
                }
            }
        }
    }
    // The figures include earlier writes, and lack those of a node that is away.
    let proxy = Proxy::start(&cluster, |config| {
        config.set("cluster.timeouts.command", "700ms")
    });
    let mut client = proxy.client();
    cluster.kill(2);
    let key = key_on(&cluster, 0, 0);
    for words in [&["MULTI"][..], &["SET", &key, "v"], &["INFO", "keyspace"]] {
        client.call(words);
    }
    let replies = client.call(&["EXEC"]);
    assert_eq!(replies.items()[0], Value::ok());
    let inside = parse(&replies.items()[1].text());
    assert_eq!(inside["Slotmux"]["slotmux_nodes_asked"], "3");
    assert_eq!(inside["Slotmux"]["slotmux_nodes_answered"], "2");
}

#[test]
fn a_missing_node_costs_only_its_values() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("cluster.timeouts.command", "700ms");
    });
    let mut client = proxy.client();
    for node in 0..3 {
        client.call(&["SET", &key_on(&cluster, node, 0), "v"]);
    }
    cluster.kill(2);
    for _ in 0..3 {
        let keyspace = info(&mut client, &["keyspace"]);
        assert_eq!(within(&keyspace["Keyspace"]["db0"], "keys"), 2);
        assert_eq!(keyspace["Slotmux"]["slotmux_nodes_asked"], "3");
        assert_eq!(keyspace["Slotmux"]["slotmux_nodes_answered"], "2");
    }
    cluster.kill(0);
    cluster.kill(1);
    let memory = info(&mut client, &["memory"]);
    assert_eq!(memory["Slotmux"]["slotmux_nodes_answered"], "0");
    assert!(number(&memory, "Memory", "used_memory") > 0.0);
}

#[test]
fn without_an_upstream_slotmux_answers_for_itself() {
    let nowhere = Proxy::launch(&["redis://127.0.0.1:1".to_owned()], None, |_| {});
    let mut client = slotmux_testing::poll_for(slotmux_testing::PATIENCE, "slotmux", || {
        RawClient::try_connect(nowhere.port()).ok()
    });
    let all = info(&mut client, &["everything"]);
    assert_eq!(all["Persistence"]["loading"], "1");
    assert!(all["Keyspace"].is_empty());
}

#[test]
fn a_suppressed_reply_is_skipped() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("commands.admin", "fanout");
    });
    let big = "b".repeat(300_000);
    let lines = [
        &["INFO"][..],
        &["CONFIG", "GET", "maxmemory"],
        &["DBSIZE"],
        &["RESET"],
    ];
    for words in lines {
        for mut client in [proxy.client(), proxy.client_resp3()] {
            client.send(&["SET", "skip:big", &big]);
            client.send(&["CLIENT", "REPLY", "SKIP"]);
            client.send(words);
            client.send(&["PING"]);
            assert_eq!(client.read(), Value::ok());
            assert_eq!(client.read(), Value::Simple("PONG".into()), "{words:?}");
            client.send(&["CLIENT", "REPLY", "SKIP"]);
            client.send(words);
            client.send(&["PING"]);
            assert_eq!(client.read(), Value::Simple("PONG".into()), "{words:?}");
        }
    }
}
