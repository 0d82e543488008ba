//! The setting that decides, for each rule that refuses.

use super::told_under;

const SECRET: &str = "[[namespace]]\nname = \"open\"\nmatch = [\"open:\"]\n[[namespace]]\nname = \"secret\"\nmatch = [\"secret:\"]\n";

/// The last setting that decides about a request: that of the refusal, behind those of a TTL. `secret` is a line of the
/// second namespace, `rest` of the file.
fn decided(secret: &str, rest: &str, line: &str) -> String {
    let file = format!("{SECRET}{secret}\n{rest}\n[[cluster]]\nseeds = [\"a:1\"]\n");
    let mut told = told_under(&file, line, None);
    let is_refused = told.reply.is_some() || told.would_send[0].starts_with("nothing: ");
    assert!(is_refused, "{line}: {told:?}");
    told.decided_by.pop().unwrap_or_default()
}

#[test]
fn rules_of_a_namespace() {
    let ttl = "ttl = { max = \"60s\", over_max = \"reject\", persist = \"reject\", scripts = \"reject\" }";
    let big = "x".repeat(20);
    for (secret, line, expected) in [
        (
            "read_only = true",
            "DEL secret:1",
            "namespace.secret.read_only = true (f.toml:7:13)",
        ),
        // The key that is refused is not the first.
        (
            "read_only = true",
            "DEL open:1 secret:1",
            "namespace.secret.read_only = true (f.toml:7:13)",
        ),
        (
            "read_only = true",
            "FLUSHDB",
            "namespace.secret.read_only = true (f.toml:7:13)",
        ),
        (
            "deny = [\"get\"]",
            "GET secret:1",
            "namespace.secret.deny = [\"get\"] (f.toml:7:8)",
        ),
        (
            "deny = [\"get\"]",
            "SORT open:1 GET secret:*",
            "namespace.secret.deny = [\"get\"] (f.toml:7:8)",
        ),
        (
            "deny = [\"dbsize\"]",
            "DBSIZE",
            "namespace.secret.deny = [\"dbsize\"] (f.toml:7:8)",
        ),
        (
            "deny = [\"scan\"]",
            "SCAN 0",
            "namespace.secret.deny = [\"scan\"] (f.toml:7:8)",
        ),
        (
            "deny = [\"watch\"]",
            "WATCH secret:1",
            "namespace.secret.deny = [\"watch\"] (f.toml:7:8)",
        ),
        (
            "max_key = \"9B\"",
            "GET secret:123",
            "namespace.secret.max_key = \"9B\" (f.toml:7:11)",
        ),
        (
            "max_value = \"9B\"",
            &format!("SET secret:1 {big}"),
            "namespace.secret.max_value = \"9B\" (f.toml:7:13)",
        ),
        (
            ttl,
            "SETEX secret:1 61 v",
            "namespace.secret.ttl.max = \"1m\" (f.toml:7:15)",
        ),
        (
            ttl,
            "MSETEX 2 open:{1} v secret:{1} v EX 61",
            "namespace.secret.ttl.max = \"1m\" (f.toml:7:15)",
        ),
        // Only observed: the request would be refused.
        (
            "ttl = { max = \"60s\", over_max = \"reject\", mode = \"observe\" }",
            "SETEX secret:1 61 v",
            "namespace.secret.ttl.max = \"1m\" (f.toml:7:15)",
        ),
        (
            ttl,
            "PERSIST secret:1",
            "namespace.secret.ttl.persist = \"reject\" (f.toml:7:53)",
        ),
        (
            ttl,
            "GETEX secret:1 PERSIST",
            "namespace.secret.ttl.persist = \"reject\" (f.toml:7:53)",
        ),
        (
            ttl,
            "EVAL s 1 secret:1",
            "namespace.secret.ttl.scripts = \"reject\" (f.toml:7:73)",
        ),
    ] {
        let found = decided(secret, "", line);
        assert_eq!(found, expected, "{line}");
    }
}

#[test]
fn rules_of_no_namespace() {
    for (rest, line, expected) in [
        (
            "[defaults.namespace]\nunmatched = \"reject\"",
            "GET k",
            "defaults.namespace.unmatched = \"reject\" (f.toml:9:13)",
        ),
        (
            "[defaults.namespace]\nunmatched = \"reject\"",
            "SORT open:1 GET *",
            "defaults.namespace.unmatched = \"reject\" (f.toml:9:13)",
        ),
        (
            "[defaults.namespace]\nunmatched = \"read-only\"",
            "DEL open:1 k",
            "defaults.namespace.unmatched = \"read-only\" (f.toml:9:13)",
        ),
        (
            "[defaults.namespace]\nunmatched = \"read-only\"",
            "FLUSHALL",
            "defaults.namespace.unmatched = \"read-only\" (f.toml:9:13)",
        ),
        // A namespace has the default as its own rule.
        (
            "[defaults.namespace]\nmax_key = \"5B\"",
            "GET open:1",
            "namespace.open.max_key = \"5B\" (f.toml:9:11)",
        ),
        (
            "[defaults.namespace]\nflush = \"reject\"",
            "FLUSHDB",
            "defaults.namespace.flush = \"reject\" (f.toml:9:9)",
        ),
        (
            "[commands]\nscripts = \"reject\"",
            "SCRIPT LOAD s",
            "commands.scripts = \"reject\" (f.toml:9:11)",
        ),
        (
            "[commands]\nscripts = \"declared\"",
            "FCALL f 0",
            "commands.scripts = \"declared\" (f.toml:9:11)",
        ),
        (
            "[commands]\nkeys = \"reject\"",
            "KEYS *",
            "commands.keys = \"reject\" (f.toml:9:8)",
        ),
        (
            "",
            "DEBUG OBJECT k",
            "commands.admin = \"reject\" (default)",
        ),
        (
            "[commands]\nadmin = \"fanout\"",
            "CONFIG SET nonsense 1",
            "commands.admin = \"fanout\" (f.toml:9:9)",
        ),
        (
            "[commands]\nunknown = \"reject\"",
            "NOSUCH a",
            "commands.unknown = \"reject\" (f.toml:9:11)",
        ),
    ] {
        assert_eq!(decided("", rest, line), expected, "{line}");
    }
}

#[test]
fn no_setting_decides_about_what_is_never_sent() {
    let fanout = "[commands]\nadmin = \"fanout\"";
    for line in [
        "SHUTDOWN",
        "MOVE open:1 2",
        "COPY open:1 open:2 DB 3",
        "EVAL s 2 open:1 open:2",
        "SCAN commands.keys",
        "DEBUG SEGFAULT",
        "DEBUG SLEEP 61",
    ] {
        assert_eq!(decided("", fanout, line), "", "{line}");
    }
}
