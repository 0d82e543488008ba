//! INFO as monitoring tools read it.

use std::collections::BTreeMap;

use slotmux::tools::demo::cluster::LocalCluster;

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
        for section in nodes.iter().flat_map(Sections::keys) {
            assert!(all.contains_key(section), "{section}");
        }
        assert_eq!(all["Server"]["redis_mode"], "standalone");
        assert_eq!(all["Cluster"]["cluster_enabled"], "0");
        assert_eq!(all["Replication"]["role"], "master");
        assert_eq!(all["Slotmux"]["slotmux_nodes_asked"], "3");
        assert_eq!(all["Slotmux"]["slotmux_nodes_answered"], "3");
        // A default INFO has the sections of Redis, and several requested sections are exactly these.
        let plain = info(&mut client, &[]);
        for section in of_node(&cluster, 0, "default").keys() {
            assert!(plain.contains_key(section), "{section}");
        }
        let two = info(&mut client, &["cpu", "Keyspace"]);
        assert_eq!(two.keys().collect::<Vec<_>>(), ["CPU", "Keyspace"]);
        assert_eq!(client.call(&["INFO", "nosuch"]).text(), "");
    }
}

/// Sections that need no node cause no query, and inside MULTI slotmux answers for itself.
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
    info(&mut client, &["server", "clients", "cluster", "slotmux"]);
    let after = asked();
    assert_eq!(looks(before, after), 0);
    info(&mut client, &["memory"]);
    assert_eq!(looks(after, asked()), 3);

    for words in [&["MULTI"][..], &["INFO", "keyspace"], &["INFO"]] {
        client.call(words);
    }
    let replies = client.call(&["EXEC"]);
    assert_eq!(replies.items()[0].text(), "# Keyspace\r\n");
    assert!(replies.items()[1].text().contains("# Slotmux\r\n"));
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
