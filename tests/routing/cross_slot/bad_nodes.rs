//! A node whose reply to EXEC does not fit the block: the client gets an error, and no program ends in a panic.

use slotmux_testing::{Peer, Proxy, Step, Value};

/// Every lane of a program goes to this node. It answers EXEC with these bytes, but for the empty block of a check.
fn node(exec: &'static str) -> Peer {
    Peer::start(move |request| {
        Some(Step::reply(match request.name().as_str() {
            "WATCH" | "MULTI" => "+OK\r\n",
            "PTTL" => ":-1\r\n",
            "DUMP" => "$12\r\n\0aaaaaaaaaaa\r\n",
            "TYPE" => "+none\r\n",
            "LLEN" | "EXISTS" => ":1\r\n",
            "LMOVE" => "$1\r\na\r\n",
            "RESTORE" | "SINTER" | "SINTERSTORE" | "DEL" | "RPUSH" | "PEXPIRE" => "+QUEUED\r\n",
            "EXEC" => exec,
            _ => return None,
        }))
    })
}

#[test]
fn an_exec_that_does_not_fit_is_an_error() {
    for exec in [
        "*0\r\n",
        "*9\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n",
        "+OK\r\n",
        ":1\r\n",
    ] {
        let peer = node(exec);
        let proxy = Proxy::start_at(&peer.seeds(), None, |config| {
            config.set("cluster.timeouts.command", "500ms");
            config.set("defaults.namespace.cross_slot", "all");
        });
        let mut client = proxy.client();
        for command in [
            &["SINTER", "a", "b"][..],
            &["SINTERSTORE", "a", "b", "c"],
            &["RENAME", "a", "b"],
        ] {
            let reply = client.call(command);
            assert!(
                matches!(reply, Value::Error(_)),
                "{exec:?} {command:?}: {reply:?}"
            );
        }
        assert_eq!(proxy.metric("slotmux_panics_total"), Some(0.0), "{exec:?}");
        assert_eq!(client.call(&["PING"]), Value::Simple("PONG".to_owned()));
    }
}
