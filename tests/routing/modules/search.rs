//! Indexes of the search module: without its coordinator a node answers for its own keys only.

use slotmux_testing::{Proxy, Value};

use super::{modules, shared, shown, words};

const CREATE: &str = "FT.CREATE one{s} ON HASH PREFIX 1 doc{s} SCHEMA n NUMERIC";

#[test]
fn an_index_of_one_node_is_not_taken_for_one_of_all() {
    let Some(cluster) = shared() else { return };
    let proxy = Proxy::start(cluster, |_| {});
    let mut client = proxy.client();
    for line in [
        CREATE,
        "FT.SEARCH one{s} *",
        "FT.AGGREGATE one{s} *",
        "FT.CURSOR READ one{s} 1",
        "FT.INFO one{s}",
        "FT.DROPINDEX one{s}",
        "FT.ALIASADD other one{s}",
    ] {
        let reply = client.call(&words(line));
        let reason = "the search module has no coordinator here, so that an index has the keys of one node only";
        assert!(
            reply.error().starts_with("ERR slotmux: 'ft."),
            "{line}: {reply:?}"
        );
        assert!(reply.error().contains(reason), "{line}: {reply:?}");
    }
    // Suggestions are a key like others.
    let added = client.call(&words("FT.SUGADD suggestions hello 1"));
    assert_eq!(added, Value::Integer(1));
    assert_eq!(
        client.call(&words("FT.SUGGET suggestions hel")).items(),
        [Value::bulk("hello")]
    );
}

#[test]
fn with_the_permission_an_index_is_that_of_its_node() {
    let Some(modules) = modules() else { return };
    let cluster = modules.cluster_with(modules.settings());
    let proxy = Proxy::start(&cluster, |config| {
        config.set("commands.one_node", "ft.*");
    });
    for mut client in [proxy.client(), proxy.client_resp3()] {
        assert_eq!(client.call(&words(CREATE)), Value::ok());
        for i in 0..3 {
            client.call(&["HSET", &format!("doc{{s}}{i}"), "n", &i.to_string()]);
        }
        slotmux_testing::poll_until(slotmux_testing::PATIENCE, "the index", || {
            let found = shown(&client.call(&words("FT.SEARCH one{s} * NOCONTENT")));
            (0..3).all(|i| found.contains(&format!("doc{{s}}{i}")))
        });
        assert_eq!(client.call(&words("FT.DROPINDEX one{s}")), Value::ok());
    }
    // Indexes at all nodes are listed, each once.
    let mut client = proxy.client();
    let mut names: Vec<String> = (0..12).map(|i| format!("index{i}")).collect();
    for name in &names {
        let made = client.call(&words(&format!(
            "FT.CREATE {name} ON HASH SCHEMA n NUMERIC"
        )));
        assert_eq!(made, Value::ok());
    }
    names.sort();
    for mut client in [proxy.client(), proxy.client_resp3()] {
        let reply = client.call(&["FT._LIST"]);
        let mut listed: Vec<String> = reply.items().iter().map(Value::text).collect();
        listed.sort();
        assert_eq!(listed, names);
    }
}

#[test]
fn a_single_server_has_the_whole_index() {
    let Some(modules) = modules() else { return };
    let one = modules.server();
    let proxy = Proxy::start_before(&one, |config| {
        config.extend("[[namespace]]\nname = \"docs\"\nmatch = \"doc\"\nttl.default = \"1h\"\n");
    });
    let mut client = proxy.client();
    assert_eq!(client.call(&words(CREATE)), Value::ok());
    client.call(&words("HSET doc{s}1 n 1"));
    slotmux_testing::poll_until(slotmux_testing::PATIENCE, "the index", || {
        client.call(&words("FT.SEARCH one{s} * NOCONTENT"))
            == Value::Array(vec![Value::Integer(1), Value::bulk("doc{s}1")])
    });
    assert_eq!(client.call(&words("FT._LIST")).items().len(), 1);
    assert_eq!(client.call(&words("FT.DROPINDEX one{s}")), Value::ok());
}
