//! SLOWLOG, LATENCY and MEMORY over all nodes, against one plain Redis where the replies are comparable.

use slotmux::tools::demo::cluster::Node;
use slotmux::tools::demo::server::{LocalServer, ServerOptions};

use crate::keyspace::key_on;
use slotmux_testing::{Proxy, RawClient, Value, calm_cluster};

/// The same shape: types, lengths of inner lists, and names of fields, with any values.
fn shape(value: &Value) -> String {
    match value {
        Value::Integer(_) => "number".to_owned(),
        Value::Bulk(_) => "text".to_owned(),
        Value::Double(_) => "double".to_owned(),
        Value::Verbatim(_) => "verbatim".to_owned(),
        Value::Array(items) => format!(
            "[{}]",
            items.iter().map(shape).collect::<Vec<_>>().join(" ")
        ),
        Value::Map(pairs) => {
            let pair = |(key, value): &(Value, Value)| format!("{:?}: {}", key, shape(value));
            format!(
                "{{{}}}",
                pairs.iter().map(pair).collect::<Vec<_>>().join(" ")
            )
        }
        other => format!("{other:?}"),
    }
}

/// The keys and values of a map; of an array in RESP2.
fn pairs(value: &Value) -> Vec<(String, Value)> {
    match value {
        Value::Map(pairs) => pairs
            .iter()
            .map(|(key, value)| (key.text(), value.clone()))
            .collect(),
        list => list
            .items()
            .chunks(2)
            .map(|pair| (pair[0].text(), pair[1].clone()))
            .collect(),
    }
}

fn field(value: &Value, name: &str) -> Value {
    let fields = pairs(value);
    let found = fields.iter().find(|(key, _)| key == name);
    found
        .unwrap_or_else(|| panic!("{name}: {value:?}"))
        .1
        .clone()
}

#[test]
fn slow_commands_of_all_nodes() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let redis = LocalServer::start(&ServerOptions::default()).expect("a server");
    let slow = ["CONFIG", "SET", "slowlog-log-slower-than", "0"];
    for node in 0..3 {
        cluster.query::<String>(node, &slow).expect("OK");
    }
    for (mut client, mut plain) in [
        (proxy.client(), RawClient::connect(redis.port())),
        (proxy.client_resp3(), RawClient::connect_resp3(redis.port())),
    ] {
        plain.call(&slow);
        assert_eq!(client.call(&["SLOWLOG", "RESET"]), Value::ok());
        plain.call(&["SLOWLOG", "RESET"]);
        for node in [2, 0, 1] {
            client.call(&["GET", &key_on(&cluster, node, 7000)]);
            plain.call(&["GET", &key_on(&cluster, node, 7000)]);
            std::thread::sleep(std::time::Duration::from_millis(1100));
        }
        let entries = client.call(&["SLOWLOG", "GET", "-1"]);
        // Name and key of each, the newest first.
        let gets: Vec<String> = entries
            .items()
            .iter()
            .map(|entry| entry.items()[3].items())
            .filter(|words| words[0].text() == "GET")
            .map(|words| words[1].text())
            .collect();
        assert_eq!(gets, [1, 0, 2].map(|node| key_on(&cluster, node, 7000)));
        assert!(client.call(&["SLOWLOG", "LEN"]).integer() >= 6);
        assert_eq!(client.call(&["SLOWLOG", "GET", "2"]).items().len(), 2);
        assert!(client.call(&["SLOWLOG", "GET", "0"]).items().is_empty());
        for _ in 0..6 {
            client.call(&["SLOWLOG", "LEN"]);
        }
        assert_eq!(client.call(&["SLOWLOG", "GET"]).items().len(), 10);
        let (ours, theirs) = (
            client.call(&["SLOWLOG", "GET", "1"]),
            plain.call(&["SLOWLOG", "GET", "1"]),
        );
        let fields = |entries: &Value| -> Vec<std::mem::Discriminant<Value>> {
            let entry = entries.items()[0].items();
            entry.iter().map(std::mem::discriminant).collect()
        };
        assert_eq!(fields(&ours), fields(&theirs));
        for line in [
            "SLOWLOG GET -2",
            "SLOWLOG GET x",
            "SLOWLOG GET 1 2",
            "SLOWLOG LEN x",
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(client.call(&words), plain.call(&words), "{line}");
        }
    }
}

/// The COMMANDLOG of Valkey 8.1, whose three logs are each like SLOWLOG.
#[test]
fn logged_commands_of_all_nodes() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let redis = LocalServer::start(&ServerOptions::default()).expect("a server");
    let mut plain = RawClient::connect(redis.port());
    let mut client = proxy.client();
    let limits = [
        "commandlog-execution-slower-than",
        "commandlog-request-larger-than",
        "commandlog-reply-larger-than",
    ];
    let is_there = plain.call(&["CONFIG", "SET", limits[1], "1000"]) == Value::ok();
    for node in (0..3).filter(|_| is_there) {
        for (limit, value) in limits.iter().zip(["0", "1000", "1000"]) {
            let set = cluster.query::<String>(node, &["CONFIG", "SET", limit, value]);
            set.expect("OK");
        }
        let key = key_on(&cluster, node, 0);
        client.call(&["SET", &key, &"v".repeat(2000)]);
        client.call(&["GET", &key]);
        plain.call(&["SET", &key, &"v".repeat(2000)]);
    }
    for (kind, count) in [("large-request", 3), ("large-reply", 3), ("slow", 6)] {
        let entries = client.call(&["COMMANDLOG", "GET", "-1", kind]);
        let len = client.call(&["COMMANDLOG", "LEN", kind]);
        if is_there {
            assert!(
                entries.items().len() >= count && len.integer() >= count as i64,
                "{kind}"
            );
            assert_eq!(
                client.call(&["COMMANDLOG", "GET", "2", kind]).items().len(),
                2
            );
        }
        assert_eq!(
            client.call(&["COMMANDLOG", "RESET", kind]),
            plain.call(&["COMMANDLOG", "RESET", kind])
        );
    }
    for line in [
        "COMMANDLOG GET x slow",
        "COMMANDLOG GET -2 slow",
        "COMMANDLOG GET 1 x",
        "COMMANDLOG LEN x",
        "COMMANDLOG RESET x",
        "COMMANDLOG HELP",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(client.call(&words), plain.call(&words), "{line}");
    }
}

#[test]
fn latencies_of_all_nodes() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let redis = LocalServer::start(&ServerOptions::default()).expect("a server");
    for (mut client, mut plain) in [
        (proxy.client(), RawClient::connect(redis.port())),
        (proxy.client_resp3(), RawClient::connect_resp3(redis.port())),
    ] {
        for line in [
            "LATENCY LATEST",
            "LATENCY HISTORY command",
            "LATENCY RESET",
            "LATENCY DOCTOR",
            "LATENCY GRAPH nosuch",
            "LATENCY HISTOGRAM nosuch",
            "LATENCY HISTOGRAM append",
            "LATENCY LATEST x",
            "MEMORY PURGE",
            "MEMORY DOCTOR",
            "MODULE LIST",
            "FUNCTION STATS",
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(client.call(&words), plain.call(&words), "{line}");
        }
        for node in 0..3 {
            let threshold = ["CONFIG", "SET", "latency-monitor-threshold", "1"];
            cluster.query::<String>(node, &threshold).expect("OK");
            let slow = "local n = 0 for i = 1, 3000000 do n = n + i end return n";
            client.call(&["EVAL", slow, "1", &key_on(&cluster, node, 0)]);
        }
        plain.call(&["CONFIG", "SET", "latency-monitor-threshold", "1"]);
        plain.call(&[
            "EVAL",
            "local n = 0 for i = 1, 3000000 do n = n + i end return n",
            "0",
        ]);
        let latest = client.call(&["LATENCY", "LATEST"]);
        let theirs = plain.call(&["LATENCY", "LATEST"]);
        let command = latest
            .items()
            .iter()
            .find(|event| event.items()[0].text() == "command");
        let command = command.expect("slow scripts").items();
        assert_eq!(command.len(), theirs.items()[0].items().len(), "{latest:?}");
        if let [_, _, _, most, sum, count] = command {
            // One slow script at each node, and the worst of them is one of the sum.
            assert!(
                count.integer() >= 3 && sum.integer() > most.integer(),
                "{latest:?}"
            );
        }
        plain.call(&["CONFIG", "SET", "latency-monitor-threshold", "0"]);
        plain.call(&["LATENCY", "RESET"]);
        assert!(
            !client
                .call(&["LATENCY", "HISTORY", "command"])
                .items()
                .is_empty()
        );
        for words in [&["LATENCY", "DOCTOR"][..], &["LATENCY", "GRAPH", "command"]] {
            let text = client.call(words).text();
            let is_named = |node: &&Node| text.contains(&format!("# 127.0.0.1:{}\n", node.port));
            let named = cluster.nodes().iter().filter(is_named).count();
            // Nodes with equal texts are listed once.
            assert!([0, 3].contains(&named), "{text}");
            assert!(text.contains("command"), "{text}");
        }
        assert!(client.call(&["LATENCY", "RESET", "command"]).integer() >= 3);
        assert!(
            client
                .call(&["LATENCY", "HISTORY", "command"])
                .items()
                .is_empty()
        );

        for node in 0..3 {
            let threshold = ["CONFIG", "SET", "latency-monitor-threshold", "0"];
            cluster.query::<String>(node, &threshold).expect("OK");
        }
        assert!(client.call(&["LATENCY", "RESET"]).integer() >= 0);
        for node in 0..3 {
            for _ in 0..=node {
                client.call(&["SETRANGE", &key_on(&cluster, node, 0), "0", "x"]);
            }
        }
        plain.call(&["SETRANGE", "k", "0", "x"]);
        let histogram = ["LATENCY", "HISTOGRAM", "setrange"];
        let ours = client.call(&histogram);
        let calls = field(&field(&ours, "setrange"), "calls").integer();
        assert_eq!(calls % 6, 0, "{ours:?}");
        let times = field(&field(&ours, "setrange"), "histogram_usec");
        let all = match &times {
            Value::Map(pairs) => pairs.last().expect("a time").1.integer(),
            list => list.items().last().expect("a time").integer(),
        };
        assert_eq!(all, calls, "{ours:?}");
        let theirs = plain.call(&histogram);
        let inner = |reply: &Value| {
            pairs(&field(reply, "setrange"))
                .into_iter()
                .map(|(name, _)| name)
                .collect::<Vec<_>>()
        };
        assert_eq!(inner(&ours), inner(&theirs));
        assert_eq!(
            std::mem::discriminant(&ours),
            std::mem::discriminant(&theirs)
        );
    }
}

#[test]
fn memory_of_all_nodes() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let redis = LocalServer::start(&ServerOptions::default()).expect("a server");
    for (mut client, mut plain) in [
        (proxy.client(), RawClient::connect(redis.port())),
        (proxy.client_resp3(), RawClient::connect_resp3(redis.port())),
    ] {
        for node in 0..2 {
            client.call(&["SET", &key_on(&cluster, node, 0), "v"]);
        }
        plain.call(&["SET", "k", "v"]);
        let (ours, theirs) = (
            client.call(&["MEMORY", "STATS"]),
            plain.call(&["MEMORY", "STATS"]),
        );
        assert_eq!(field(&ours, "keys.count"), Value::Integer(2));
        let count = |node| -> i64 {
            let stats: std::collections::HashMap<String, redis::Value> =
                cluster.query(node, &["MEMORY", "STATS"]).expect("stats");
            match stats["startup.allocated"] {
                redis::Value::Int(number) => number,
                ref other => panic!("{other:?}"),
            }
        };
        assert_eq!(
            field(&ours, "startup.allocated").integer(),
            (0..3).map(count).sum::<i64>()
        );
        // A cluster's node has the same fields and the same types as one Redis.
        for (name, value) in pairs(&theirs) {
            let ours = field(&ours, &name);
            assert_eq!(shape(&ours), shape(&value), "{name}");
        }
        let text = client.call(&["MEMORY", "MALLOC-STATS"]).text();
        assert!(!text.is_empty());
        for node in 0..2 {
            let key = key_on(&cluster, node, 0);
            assert!(client.call(&["MEMORY", "USAGE", &key]).integer() > 0);
            assert_eq!(
                client.call(&["OBJECT", "ENCODING", &key]),
                Value::bulk("embstr")
            );
        }
    }
}
