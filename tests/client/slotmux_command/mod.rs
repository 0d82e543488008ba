//! `SLOTMUX` in front of a real cluster, in RESP2 and RESP3: its answers, and that asking changes nothing.

mod command_line;

use slotmux_core::slot::slot_of;
use slotmux_testing::{Proxy, ProxyConfig, RawClient, Value, calm_cluster, shared_cluster};
use toml::Table;

/// Adds a namespace `name` with the prefix `name:`.
fn add_namespace(config: &mut ProxyConfig, name: &str, ttl: &str) {
    let section: Table = format!("name = \"{name}\"\nmatch = [\"{name}:\"]\nttl = {{ {ttl} }}")
        .parse()
        .expect("TOML");
    config.add_section("namespace", section);
}

fn proxy() -> Proxy {
    Proxy::start(shared_cluster(), |config| {
        add_namespace(config, "kept", "default = \"100s\", max = \"200s\"");
        add_namespace(config, "seen", "default = \"100s\", mode = \"observe\"");
        config.set("log.level", "warn");
    })
}

fn both(proxy: &Proxy) -> [RawClient; 2] {
    [proxy.client(), proxy.client_resp3()]
}

/// A value of a map, which is a flat array in RESP2.
#[track_caller]
fn get<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Map(pairs) => pairs
            .iter()
            .find(|(name, _)| name.text() == key)
            .map(|(_, v)| v),
        Value::Array(flat) => flat
            .chunks(2)
            .find(|pair| pair[0].text() == key)
            .map(|pair| &pair[1]),
        other => panic!("not a map: {other:?}"),
    }
}

#[track_caller]
fn of<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().fold(value, |value, key| {
        get(value, key).unwrap_or_else(|| panic!("no {key} in {value:?}"))
    })
}

fn texts(value: &Value) -> Vec<String> {
    value.items().iter().map(Value::text).collect()
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

/// A client that sends commands as lines.
trait Ask {
    fn ask(&mut self, line: &str) -> Value;
}

impl Ask for RawClient {
    #[track_caller]
    fn ask(&mut self, line: &str) -> Value {
        self.call(&words(line))
    }
}

#[test]
fn help_version_and_errors() {
    let proxy = proxy();
    for mut client in both(&proxy) {
        let help = client.ask("SLOTMUX HELP");
        let lines = texts(&help);
        assert!(
            lines[0].starts_with("SLOTMUX <subcommand> [<arg> [value] [opt] ...]"),
            "{lines:?}"
        );
        assert_eq!(lines.last().unwrap(), "    Prints this help.");
        let version = client.ask("SLOTMUX VERSION");
        assert_eq!(version, Value::bulk(env!("CARGO_PKG_VERSION")));
        for (line, error) in [
            (
                "SLOTMUX",
                "ERR wrong number of arguments for 'slotmux' command",
            ),
            (
                "SLOTMUX NOSUCH",
                "ERR unknown subcommand 'NOSUCH'. Try SLOTMUX HELP.",
            ),
            (
                "slotmux explain",
                "ERR wrong number of arguments for 'slotmux|explain' command",
            ),
            (
                "SLOTMUX NAMESPACES x",
                "ERR wrong number of arguments for 'slotmux|namespaces' command",
            ),
            (
                "SLOTMUX TTL",
                "ERR wrong number of arguments for 'slotmux|ttl' command",
            ),
            (
                "SLOTMUX ttl NOSUCH",
                "ERR unknown subcommand or wrong number of arguments for 'ttl'. Try SLOTMUX HELP.",
            ),
            (
                "SLOTMUX UNMATCHED 1 2",
                "ERR unknown subcommand or wrong number of arguments for 'UNMATCHED'. Try SLOTMUX HELP.",
            ),
            (
                "SLOTMUX UNMATCHED x",
                "ERR value is not an integer or out of range",
            ),
            (
                "SLOTMUX UNMATCHED -1",
                "ERR value is out of range, must be positive",
            ),
            (
                "SLOTMUX NAMESPACE nosuch",
                "ERR slotmux: no namespace has the name 'nosuch'. Try SLOTMUX NAMESPACES.",
            ),
            (
                "SLOTMUX TTL STATS nosuch",
                "ERR slotmux: no namespace has the name 'nosuch'. Try SLOTMUX NAMESPACES.",
            ),
        ] {
            assert_eq!(client.ask(line).error(), error, "{line}");
        }
        let commands = texts(&client.ask("COMMAND LIST"));
        assert!(
            !commands.contains(&"slotmux".to_owned()),
            "no server has this command"
        );
    }
}

#[test]
fn explain_answers_and_changes_nothing() {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |config| {
        add_namespace(config, "kept", "default = \"100s\", max = \"200s\"");
        add_namespace(config, "seen", "default = \"100s\", mode = \"observe\"");
        config.set("log.level", "warn");
    });
    let page = || {
        let (_, page) = proxy.admin_get("/metrics").expect("the page");
        let counts = page
            .lines()
            .filter(|line| line.starts_with("slotmux_namespace"));
        counts.map(str::to_owned).collect::<Vec<_>>()
    };
    let before = page();
    assert!(before.len() > 20, "{before:?}");
    let slot = slot_of(b"kept:1");
    let node = cluster.nodes().iter().find(|node| {
        // The node itself reports whether it serves the slot.
        let reply: Result<i64, _> = node.process.query(&["EXISTS", "kept:1"]);
        reply.is_ok()
    });
    let address = format!("127.0.0.1:{}", node.expect("its node").port);
    for (at, mut client) in both(&proxy).into_iter().enumerate() {
        let set = client.ask("SLOTMUX EXPLAIN SET kept:1 v EX 500");
        assert_eq!(matches!(set, Value::Map(_)), at == 1, "{set:?}");
        assert_eq!(of(&set, &["command"]).text(), "SET kept:1 v EX 500");
        assert_eq!(texts(of(&set, &["namespaces"])), ["kept"]);
        assert_eq!(
            of(&set, &["slots"]),
            &Value::Array(vec![Value::Integer(slot.0.into())])
        );
        assert_eq!(texts(of(&set, &["nodes"])), [&*address]);
        assert_eq!(texts(of(&set, &["sends"])), ["SET kept:1 v EX 200"]);
        assert_eq!(texts(of(&set, &["actions"])), ["clamped"]);
        let decided = texts(of(&set, &["decided_by"]));
        assert!(
            decided[0].starts_with("namespace.kept.ttl.max = \"200s\" (")
                && decided[0].contains("slotmux.toml:"),
            "{decided:?}"
        );
        let incr = client.ask("SLOTMUX EXPLAIN INCR seen:1");
        assert_eq!(texts(of(&incr, &["sends"])), ["INCR seen:1"]);
        assert_eq!(of(&incr, &["would_send"]).items().len(), 4);
        let unknown = client.ask("SLOTMUX EXPLAIN NOSUCH kept:1");
        assert!(
            of(&unknown, &["reply"])
                .text()
                .starts_with("ERR unknown command 'NOSUCH'")
        );
        let split = client.ask("SLOTMUX EXPLAIN MSET kept:1 a kept:2 b kept:3 c kept:4 d");
        assert!(of(&split, &["slots"]).items().len() > 1, "{split:?}");
        let flush = client.ask("SLOTMUX EXPLAIN FLUSHALL");
        assert_eq!(of(&flush, &["nodes"]).items().len(), 3);
        let long = "x".repeat(1000);
        let cut = client.call(&["SLOTMUX", "EXPLAIN", "SET", "kept:1", &long]);
        assert!(of(&cut, &["command"]).text().ends_with("...(1000 bytes)"));
        let quit = client.ask("SLOTMUX EXPLAIN QUIT");
        assert!(
            of(&quit, &["outcome"])
                .text()
                .starts_with("answered by slotmux")
        );
        assert_eq!(client.ask("PING"), Value::Simple("PONG".to_owned()));
        // The explained command then has the explained effect, and had none before.
        assert_eq!(
            client.ask("EXISTS seen:1 kept:1 kept:2 kept:3 kept:4"),
            Value::Integer(0)
        );
        let prefixes = client.ask("SLOTMUX UNMATCHED");
        assert_eq!(of(&prefixes, &["prefixes"]).items(), []);
    }
    let exists = |line: &String| line.contains("slotmux_namespace") && !line.contains("} 0");
    let after: Vec<String> = page()
        .into_iter()
        .filter(|line| !before.contains(line))
        .collect();
    let actions = after
        .iter()
        .filter(|line| line.contains("ttl_actions") && exists(line));
    assert_eq!(actions.count(), 0, "{after:?}");
    let operations = proxy.metric("slotmux_namespace_operations_total");
    assert_eq!(operations, Some(2.0), "the two EXISTS");
}

#[test]
fn the_explained_effect_occurs() {
    let proxy = proxy();
    let mut client = proxy.client();
    for (line, key) in [
        ("SET kept:true:1 v", "kept:true:1"),
        ("SET kept:true:2 v EX 1000", "kept:true:2"),
        ("INCR kept:true:3", "kept:true:3"),
        (
            "MSET kept:true:4 a kept:true:5 b kept:true:6 c",
            "kept:true:5",
        ),
    ] {
        let told = client.ask(&format!("SLOTMUX EXPLAIN {line}"));
        let sends = texts(of(&told, &["sends"])).join(" ");
        client.ask(line);
        let ttl = client.ask(&format!("TTL {key}")).integer();
        assert!(
            (98..=100).contains(&ttl) || (198..=200).contains(&ttl),
            "{line}: {ttl}, {sends}"
        );
        let said = if ttl > 100 { "200" } else { "100000" };
        assert!(sends.contains(said), "{line}: {ttl}, {sends}");
    }
}

#[test]
fn namespaces() {
    let proxy = proxy();
    for mut client in both(&proxy) {
        let all = client.ask("SLOTMUX NAMESPACES");
        let names: Vec<String> = all
            .items()
            .iter()
            .map(|one| of(one, &["name"]).text())
            .collect();
        assert_eq!(names, ["kept", "seen"]);
        assert_eq!(texts(of(&all.items()[0], &["match"])), ["kept:"]);
        let kept = client.ask("SLOTMUX NAMESPACE kept");
        assert_eq!(
            of(&kept, &["policy"]).text(),
            "enforce, default 1m40s (100000 ms), max 3m20s (200000 ms)"
        );
        let max = of(&kept, &["settings", "ttl.max"]);
        assert_eq!(of(max, &["value"]).text(), "\"200s\"");
        assert!(
            of(max, &["origin"]).text().contains("slotmux.toml:"),
            "{max:?}"
        );
        assert_eq!(
            of(&kept, &["settings", "read_only", "origin"]).text(),
            "default"
        );
    }
    let bare = Proxy::start(shared_cluster(), |_| {});
    let mut client = bare.client();
    assert_eq!(client.ask("SLOTMUX NAMESPACES"), Value::Array(vec![]));
    assert_eq!(client.ask("SLOTMUX TTL STATS"), Value::Array(vec![]));
    client.ask("SET stray:1 v");
    let unmatched = client.ask("SLOTMUX UNMATCHED");
    assert!(
        of(&unmatched, &["counts"])
            .text()
            .starts_with("none: no namespace is configured")
    );
    assert_eq!(of(&unmatched, &["prefixes"]).items(), []);
}

#[test]
fn ttl_stats_and_their_samples() {
    let proxy = proxy();
    let mut workers = [
        proxy.client(),
        proxy.client(),
        proxy.client(),
        proxy.client(),
    ];
    for client in &mut workers {
        client.ask("SET kept:stats:1 v");
        client.ask("SET seen:stats:1 v");
        client.ask("LPUSH seen:stats:2 v");
        client.ask("DEL seen:stats:1 seen:stats:2");
    }
    for mut client in both(&proxy) {
        let all = client.ask("SLOTMUX TTL STATS");
        assert_eq!(
            of(&all, &["kept", "enforced", "defaulted"]),
            &Value::Integer(4)
        );
        assert_eq!(
            of(&all, &["seen", "observed", "defaulted"]),
            &Value::Integer(4)
        );
        assert_eq!(
            of(&all, &["seen", "observed", "appended"]),
            &Value::Integer(4)
        );
        assert_eq!(
            of(&all, &["seen", "enforced", "defaulted"]),
            &Value::Integer(0)
        );
        assert_eq!(of(&all, &["(none)", "mode"]).text(), "off");
        let seen = client.ask("SLOTMUX TTL STATS seen");
        assert_eq!(of(&seen, &["mode"]).text(), "observe");
        let samples = of(&seen, &["samples"]).items();
        assert_eq!(samples.len(), 2, "{samples:?}");
        let set = samples
            .iter()
            .find(|sample| of(sample, &["command"]).text() == "SET");
        let set = set.expect("a SET");
        assert_eq!(of(set, &["key"]).text(), "seen:stats:1");
        assert_eq!(texts(of(set, &["actions"])), ["defaulted"]);
        assert_eq!(of(set, &["given"]).text(), "no TTL");
        assert_eq!(of(set, &["would_be"]).text(), "1m40s (100000 ms)");
        assert_eq!(of(set, &["seen"]), &Value::Integer(4));
        assert!(of(set, &["seconds_ago"]).integer() < 60);
        let kept = client.ask("SLOTMUX TTL STATS kept");
        assert_eq!(of(&kept, &["samples"]).items(), []);
    }
}

#[test]
fn undeclared_prefixes() {
    let proxy = proxy();
    let mut workers = [
        proxy.client(),
        proxy.client(),
        proxy.client(),
        proxy.client(),
    ];
    for client in &mut workers {
        for at in 0..10 {
            client.ask(&format!("SET stray:user:{at} v"));
        }
        client.ask("GET loner");
        client.ask("GET kept:unmatched");
        client.ask("PING");
        client.ask("DBSIZE");
    }
    for mut client in both(&proxy) {
        let all = client.ask("SLOTMUX UNMATCHED");
        assert_eq!(of(&all, &["counts"]).text(), "estimates");
        let prefixes = of(&all, &["prefixes"]).items();
        let shown: Vec<(String, i64, i64)> = prefixes
            .iter()
            .map(|one| {
                let count = |key| of(one, &[key]).integer();
                (
                    of(one, &["prefix"]).text(),
                    count("count"),
                    count("at_least"),
                )
            })
            .collect();
        assert_eq!(
            shown,
            [("stray:user:".into(), 40, 40), ("loner".into(), 4, 4)]
        );
        let one = client.ask("SLOTMUX UNMATCHED 1");
        assert_eq!(of(&one, &["prefixes"]).items().len(), 1);
        let none = client.ask("SLOTMUX UNMATCHED 0");
        assert_eq!(of(&none, &["prefixes"]).items(), []);
    }
}

#[test]
fn requests_refused_for_their_prefix_are_seen_too() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        add_namespace(config, "kept", "default = \"100s\"");
        config.set("defaults.namespace.unmatched", "reject");
    });
    let mut client = proxy.client();
    assert!(client.ask("SET stray:1 v").error().contains("unmatched"));
    let all = client.ask("SLOTMUX UNMATCHED");
    let first = &of(&all, &["prefixes"]).items()[0];
    assert_eq!(of(first, &["prefix"]).text(), "stray:");
    let told = client.ask("SLOTMUX EXPLAIN SET stray:1 v");
    let decided = texts(of(&told, &["decided_by"]));
    assert!(
        decided[0].starts_with("defaults.namespace.unmatched = \"reject\" ("),
        "{decided:?}"
    );
}

#[test]
fn answers_keep_their_place_in_a_pipeline() {
    let proxy = proxy();
    let mut client = proxy.client();
    let lines = [
        "SET kept:order 1",
        "SLOTMUX UNMATCHED",
        "INCR kept:order",
        "SLOTMUX TTL STATS seen",
        "SLOTMUX EXPLAIN GET kept:order",
        "INCR kept:order",
    ];
    let commands: Vec<Vec<&str>> = lines.iter().map(|line| words(line)).collect();
    let replies = client.pipeline(&commands);
    assert_eq!(replies[0], Value::ok());
    assert_eq!(
        (&replies[2], &replies[5]),
        (&Value::Integer(2), &Value::Integer(3))
    );
    assert_eq!(of(&replies[3], &["mode"]).text(), "observe");
    assert_eq!(of(&replies[4], &["command"]).text(), "GET kept:order");
}

#[test]
fn a_client_without_login_gets_no_answers() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config
            .environment
            .push(("SLOTMUX_PASSWORD".into(), "secret".into()));
    });
    let mut client = proxy.client();
    for line in [
        "SLOTMUX HELP",
        "SLOTMUX VERSION",
        "SLOTMUX EXPLAIN GET k",
        "SLOTMUX NAMESPACES",
        "SLOTMUX NAMESPACE x",
        "SLOTMUX TTL STATS",
        "SLOTMUX TTL STATS x",
        "SLOTMUX UNMATCHED",
    ] {
        assert_eq!(
            client.ask(line).error(),
            "NOAUTH Authentication required.",
            "{line}"
        );
    }
    client.ask("AUTH secret");
    assert_eq!(client.ask("SLOTMUX NAMESPACES"), Value::Array(vec![]));
}
