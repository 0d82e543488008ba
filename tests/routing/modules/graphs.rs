//! Graphs: queries that hold their connection up, and the list of all graphs.

use slotmux_testing::{Proxy, Value};

use super::{modules, shared, shown, words};

/// A query that a node works on for a while.
const LONG: &str = "UNWIND range(0, 3000000) AS x RETURN sum(x)";

#[test]
fn a_query_holds_up_no_other_client() {
    let Some(cluster) = shared() else { return };
    let proxy = Proxy::start(cluster, |config| config.set("server.workers", 1));
    let mut asking = proxy.client();
    let made = asking.call(&["GRAPH.QUERY", "graph:{busy}", "CREATE (:A {n: 1})"]);
    assert!(!made.items().is_empty(), "{made:?}");
    let mut other = proxy.client();
    other.call(&["SET", "key:{busy}", "v"]);
    for query in ["GRAPH.QUERY", "GRAPH.RO_QUERY"] {
        asking.send(&[query, "graph:{busy}", LONG]);
        // The same node, the same slot, and its reply comes first.
        assert_eq!(other.call(&["GET", "key:{busy}"]), Value::bulk("v"));
        assert!(!asking.has_news_now(), "{query}");
        let reply = asking.read();
        assert!(shown(&reply).contains("4500001500000"), "{reply:?}");
    }
    assert_eq!(asking.call(&["PING"]), Value::Simple("PONG".into()));
}

#[test]
fn the_graphs_of_all_nodes_are_listed() {
    let Some(modules) = modules() else { return };
    let cluster = modules.cluster_with(modules.settings());
    let proxy = Proxy::start(&cluster, |config| {
        config.extend("[[namespace]]\nname = \"seen\"\nmatch = \"seen:\"\n");
    });
    let hiding = Proxy::start(&cluster, |config| {
        config.extend("[[namespace]]\nname = \"seen\"\nmatch = \"seen:\"\n");
        config.set("defaults.namespace.unmatched", "reject");
    });
    let names = |count| (0..count).map(|i| format!("seen:{i}"));
    let mut client = proxy.client();
    assert_eq!(client.call(&["GRAPH.LIST"]), Value::Array(Vec::new()));
    for name in names(20).chain(["hidden".to_owned()]) {
        client.call(&["GRAPH.QUERY", &name, "CREATE (:A)"]);
    }
    let listed = |client: &mut slotmux_testing::RawClient| {
        let reply = client.call(&["GRAPH.LIST"]);
        let mut listed: Vec<String> = reply.items().iter().map(Value::text).collect();
        listed.sort();
        listed
    };
    let mut seen: Vec<String> = names(20).collect();
    seen.sort();
    for mut client in [hiding.client(), hiding.client_resp3()] {
        assert_eq!(listed(&mut client), seen);
    }
    seen.insert(0, "hidden".to_owned());
    for mut client in [proxy.client(), proxy.client_resp3()] {
        assert_eq!(listed(&mut client), seen);
    }
}

#[test]
fn what_may_be_about_all_nodes_is_sent_to_one_only_if_the_configuration_says_so() {
    let Some(cluster) = shared() else { return };
    let proxy = Proxy::start(cluster, |_| {});
    let mut client = proxy.client();
    for (line, name) in [
        ("GRAPH.CONFIG GET TIMEOUT", "graph.config"),
        ("GRAPH.INFO", "graph.info"),
        ("GRAPH.UDF LIST", "graph.udf"),
        ("FT.CONFIG GET *", "ft.config"),
        ("FT.DICTADD d word", "ft.dictadd"),
    ] {
        let reply = client.call(&words(line));
        let expected = format!(
            "ERR slotmux: '{name}' is refused: it names no key, and nothing tells whether one node can answer for all; \
             commands.one_node lets it go to one node"
        );
        assert_eq!(reply.error(), expected, "{line}");
    }
    let explained = client.call(&words("SLOTMUX EXPLAIN GRAPH.CONFIG GET TIMEOUT"));
    let setting = "commands.one_node = [] (default)";
    assert!(shown(&explained).contains(setting), "{explained:?}");
    let permitting = Proxy::start(cluster, |config| {
        config.set("commands.one_node", "Graph.*,ft.config");
    });
    let mut client = permitting.client();
    for line in [
        "GRAPH.CONFIG GET TIMEOUT",
        "GRAPH.INFO",
        "GRAPH.UDF LIST",
        "FT.CONFIG GET TIMEOUT",
    ] {
        assert!(
            matches!(client.call(&words(line)), Value::Array(_)),
            "{line}"
        );
    }
    let refused = client.call(&words("FT.DICTADD d word"));
    assert!(refused.error().starts_with("ERR slotmux: "), "{refused:?}");
    // A single Redis is all of it.
    let one = modules().expect("modules").server();
    let before_one = Proxy::start_before(&one, |_| {});
    let mut client = before_one.client();
    for line in [
        "GRAPH.CONFIG GET TIMEOUT",
        "GRAPH.UDF LIST",
        "FT.CONFIG GET TIMEOUT",
    ] {
        assert!(
            matches!(client.call(&words(line)), Value::Array(_)),
            "{line}"
        );
    }
    assert_eq!(client.call(&words("FT.DICTADD d word")), Value::Integer(1));
}
