//! HELLO and INFO name the server that is behind slotmux: its kind, its version, its modules and its zone.

use slotmux::tools::demo::cluster::LocalCluster;
use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_testing::{Proxy, RawClient, Value, calm_cluster};

/// The reply to HELLO of this protocol, without the id of the client.
fn hello(client: &mut RawClient, protocol: &str) -> Value {
    let reply = client.call(&["HELLO", protocol]);
    match reply {
        Value::Map(mut pairs) => {
            for (name, value) in &mut pairs {
                if name.text() == "id" {
                    *value = Value::Null;
                }
            }
            Value::Map(pairs)
        }
        Value::Array(mut items) => {
            let at = items.iter().position(|item| *item == Value::bulk("id"));
            items[at.expect("id") + 1] = Value::Null;
            Value::Array(items)
        }
        other => panic!("{other:?}"),
    }
}

fn set_zone(cluster: &LocalCluster, node: usize, zone: &str) -> bool {
    let set = cluster.query::<String>(node, &["CONFIG", "SET", "availability-zone", zone]);
    set.is_ok()
}

#[test]
fn hello_is_that_of_one_server_of_the_same_program() {
    let cluster = calm_cluster(0);
    let redis = LocalServer::start(&ServerOptions::default()).expect("a server");
    let mut plain = RawClient::connect(redis.port());
    for zones in [["", "", ""], ["eu-1a"; 3], ["eu-1a", "eu-1b", "eu-1a"]] {
        let has_zones = (0..3).all(|node| set_zone(&cluster, node, zones[node]));
        if has_zones {
            // A zone that not all nodes are in is not said.
            let zone = if zones[0] == zones[1] { zones[0] } else { "" };
            plain.call(&["CONFIG", "SET", "availability-zone", zone]);
        }
        let proxy = Proxy::start(&cluster, |_| {});
        let mut client = proxy.client();
        for protocol in ["2", "3", "2"] {
            let theirs = hello(&mut plain, protocol);
            assert_eq!(hello(&mut client, protocol), theirs, "{zones:?}");
        }
        // The same where the protocol is not asked for.
        let (ours, theirs) = (client.call(&["HELLO"]), plain.call(&["HELLO"]));
        assert_eq!(ours.items()[..4], theirs.items()[..4]);
    }
}

/// HELLO alone tells the version where INFO is withheld.
#[test]
fn a_version_is_known_without_info() {
    let redis = LocalServer::start(&ServerOptions::default()).expect("a server");
    let mut plain = RawClient::connect(redis.port());
    for line in [
        "ACL SETUSER quiet on >secret ~* &* +@all -info",
        "ACL SETUSER default on nopass ~* &* +@all",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(plain.call(&words), Value::ok(), "{line}");
    }
    let proxy = Proxy::start_before(&redis, |config| {
        config.set("cluster.username", "quiet");
        config.set("cluster.password", "secret");
    });
    assert_eq!(hello(&mut proxy.client(), "3"), hello(&mut plain, "3"));
}
