//! Explanations of commands that are for all nodes, or that a setting refuses as such.

use super::{FILE, told, told_under};

#[test]
fn what_is_for_all_nodes() {
    let fanout = format!("{FILE}[commands]\nadmin = \"fanout\"\n");
    let set = told_under(&fanout, "CONFIG SET maxmemory 1gb", None);
    assert!(
        set.outcome
            .starts_with("sent as it is to every primary and every replica")
    );
    assert_eq!(set.nodes, ["node0:1", "node1:1", "node0:2", "node1:2"]);
    assert_eq!(set.lane, Some("connections of its own, one to each node"));
    assert_eq!(set.rule, None);
    let secret = told_under(&fanout, "CONFIG SET requirepass x", None);
    let reply = secret.reply.as_deref().unwrap();
    assert!(
        reply.starts_with("ERR CONFIG SET failed (possibly related to argument 'requirepass')")
    );
    assert_eq!(
        secret.decided_by,
        ["commands.admin = \"fanout\" (f.toml:25:9)"]
    );
    assert_eq!((secret.rule, secret.nodes), (None, Vec::new()));
    for line in ["SCRIPT KILL", "FLUSHDB", "FUNCTION FLUSH", "PING", "SAVE"] {
        assert_eq!(told(line).rule, None, "{line}");
    }
    assert!(told("EVAL s 1 k").rule.is_some() && told("DEL k").rule.is_some());
    let keys = told_under(
        &format!("{FILE}[commands]\nkeys = \"reject\"\n"),
        "KEYS commands.admin",
        None,
    );
    assert_eq!(
        keys.decided_by,
        ["commands.keys = \"reject\" (f.toml:25:8)"]
    );
    let flush = told_under(
        "[defaults.namespace]\nflush = \"reject\"\n[[cluster]]\nseeds = [\"a:1\"]\n",
        "FLUSHALL",
        None,
    );
    assert_eq!(
        flush.decided_by,
        ["defaults.namespace.flush = \"reject\" (f.toml:2:9)"]
    );
}
