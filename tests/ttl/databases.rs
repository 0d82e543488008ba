//! A single Redis has more databases than the one of slotmux: no key of a client gets there.

use super::add_namespace;
use slotmux::tools::demo::server::LocalServer;
use slotmux_testing::{Proxy, RawClient, Value};

#[test]
fn no_key_is_moved_to_another_database() {
    let server = LocalServer::start(&Default::default()).expect("a server");
    let proxy = Proxy::start_before(&server, |config| {
        add_namespace(config, "ns", "default = \"100s\", max = \"200s\"");
    });
    let mut client = proxy.client();
    assert_eq!(client.call(&["SET", "plain", "v"]), Value::ok());
    let refused: &[&[&str]] = &[
        &["COPY", "plain", "ns:y", "DB", "1"],
        &["COPY", "plain", "plain", "DB", "1"],
        &["COPY", "plain", "ns:y", "REPLACE", "db", "1"],
        &["COPY", "plain", "ns:y", "DB\0x", "1"],
        &["COPY", "plain", "ns:y", "DB", "0", "DB", "1"],
        &["MOVE", "plain", "1"],
        &["SWAPDB", "0", "1"],
    ];
    for words in refused {
        for in_multi in [false, true] {
            if in_multi {
                client.call(&["MULTI"]);
            }
            let reply = client.call(words);
            assert!(reply.error().contains("slotmux"), "{words:?}: {reply:?}");
            if in_multi {
                assert!(client.call(&["EXEC"]).error().starts_with("EXECABORT"));
            }
        }
    }
    let mut direct = RawClient::connect(server.port());
    let info = direct.call(&["INFO", "keyspace"]).text();
    assert!(!info.contains("db1"), "{info}");
    // A copy within the database is made, and the policy holds.
    for last in [&["DB", "0"][..], &["DB", "1", "DB", "0"], &["REPLACE"]] {
        let words = [&["COPY", "plain", "ns:y", "REPLACE"], last].concat();
        assert_eq!(client.call(&words), Value::Integer(1), "{words:?}");
        assert!(client.call(&["PTTL", "ns:y"]).integer() > 0, "{words:?}");
    }
}
