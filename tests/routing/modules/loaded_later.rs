//! Modules that are loaded while slotmux runs, on all nodes or on some.

use slotmux::tools::demo::cluster::LocalCluster;
use slotmux_core::slot::slot_of;
use slotmux_testing::{PATIENCE, Proxy, Value, poll_until};

use super::{modules, words};

fn load(cluster: &LocalCluster, node: usize, module: &str) {
    let done: String = cluster
        .query(node, &["MODULE", "LOAD", module])
        .expect("a module");
    assert_eq!(done, "OK");
}

#[test]
fn the_commands_of_a_module_are_known_after_the_next_refresh() {
    let Some(modules) = modules() else { return };
    let permit = vec![("enable-module-command".to_owned(), "yes".to_owned())];
    let cluster = modules.cluster_with(permit);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("cluster.topology.refresh", "1s");
    });
    let mut client = proxy.client();
    let set = words("JSON.SET later $ 1");
    assert!(
        client
            .call(&set)
            .error()
            .starts_with("ERR unknown command 'JSON.SET'"),
        "before it is loaded"
    );
    for node in 0..3 {
        load(&cluster, node, &modules.json);
    }
    poll_until(PATIENCE, "the command", || client.call(&set) == Value::ok());
    // The client that was there before has them too, for keys of every node.
    for i in 0..30 {
        assert_eq!(
            client.call(&words(&format!("JSON.SET later:{i} $ {i}"))),
            Value::ok()
        );
    }
}

#[test]
fn a_module_of_some_nodes_works_for_the_keys_of_these_nodes() {
    let Some(modules) = modules() else { return };
    let permit = vec![("enable-module-command".to_owned(), "yes".to_owned())];
    let cluster = modules.cluster_with(permit);
    let proxy = Proxy::start(&cluster, |config| {
        config.set("cluster.topology.refresh", "1s");
    });
    load(&cluster, 1, &modules.filters);
    let owner = |key: &str| {
        let slot = slot_of(key.as_bytes()).0;
        cluster.primary_of_slot(slot).expect("an owner")
    };
    let key_of = |node: usize| {
        let mut keys = (0..).map(|i| format!("filter:{i}"));
        keys.find(|key| owner(key) == node).expect("a key")
    };
    let mut client = proxy.client();
    let here = key_of(1);
    poll_until(PATIENCE, "the command", || {
        client.call(&["BF.ADD", &here, "item"]) == Value::Integer(1)
    });
    for node in [0, 2] {
        let reply = client.call(&["BF.ADD", &key_of(node), "item"]);
        assert!(
            reply.error().starts_with("ERR unknown command"),
            "{reply:?}"
        );
    }
    // It stays known, whichever nodes the refreshes ask.
    let refreshes = || {
        proxy
            .metric("slotmux_topology_refreshes_total")
            .unwrap_or(0.0)
    };
    let before = refreshes();
    poll_until(PATIENCE, "refreshes", || refreshes() >= before + 3.0);
    assert_eq!(
        client.call(&["BF.EXISTS", &here, "item"]),
        Value::Integer(1)
    );
    let log = proxy.log();
    assert!(log.contains("lacks the module bf"), "{log}");
}
