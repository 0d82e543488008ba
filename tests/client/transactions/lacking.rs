//! Commands that the nodes lack: refused when they are queued, so that EXEC runs nothing in any slot.

use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_testing::{RawClient, Value};

use super::with_namespaces;

/// Commands of some servers and not of others.
const NEWER: &[&str] = &[
    "DELEX tx:{b}n",
    "DELIFEQ tx:{b}n v",
    "INCREX tx:{b}n EX 5",
    "MSETEX 1 tx:{b}n v",
    "MSETEX 1",
    "HGETEX tx:{b}n FIELDS 1 f",
    "VADD tx:{b}n VALUES 1 0.5 m",
    "BLESS SET tx:{b}n",
    "XACKDEL tx:{b}n g IDS 1 1-1",
    "ARSET tx:{b}n 0 v",
    "XGROUP NEVER tx:{b}n",
    "OBJECT NEVER tx:{b}n",
    "NEVER tx:{b}n",
];

#[test]
fn a_command_that_the_nodes_lack_aborts_the_whole_transaction() {
    let plain = LocalServer::start(&ServerOptions::default()).expect("a server");
    let proxy = with_namespaces(&[("tx", "multi = \"split\"\nttl = { default = \"100s\" }")]);
    let (mut client, mut direct) = (proxy.client(), RawClient::connect(plain.port()));
    let mut refused = 0;
    for line in NEWER {
        let words: Vec<&str> = line.split(' ').collect();
        // Outside of a transaction the error is the same, whatever a policy would add.
        let expected = direct.call_bytes(&words);
        let text = String::from_utf8_lossy(&expected).into_owned();
        if !text.starts_with("-ERR unknown ") {
            continue;
        }
        refused += 1;
        let got = client.call_bytes(&words);
        assert_eq!(String::from_utf8_lossy(&got), text, "{line}");
        for client in [&mut client, &mut direct] {
            client.call(&["DEL", "tx:{a}n", "tx:{c}n"]);
            client.call(&["MULTI"]);
            let queued = Value::Simple("QUEUED".into());
            assert_eq!(client.call(&["INCR", "tx:{a}n"]), queued);
            assert_eq!(
                String::from_utf8_lossy(&client.call_bytes(&words)),
                text,
                "{line}"
            );
            assert_eq!(client.call(&["INCR", "tx:{c}n"]), queued);
            let exec = client.call(&["EXEC"]);
            assert!(exec.error().starts_with("EXECABORT "), "{line}: {exec:?}");
            assert_eq!(
                client.call(&["EXISTS", "tx:{a}n"]),
                Value::Integer(0),
                "{line}"
            );
            assert_eq!(
                client.call(&["EXISTS", "tx:{c}n"]),
                Value::Integer(0),
                "{line}"
            );
        }
    }
    assert!(refused >= 2, "{refused}");
}
