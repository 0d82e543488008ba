//! Where requests would go, and over which connections.

use super::*;

#[test]
fn several_slots() {
    let told = told("MSET cache:1 a cache:{1} b spread:1 c cache:1 d");
    let sends: Vec<&str> = told.sends.iter().map(String::as_str).collect();
    assert_eq!(told.slots.len(), 3);
    assert!(
        told.outcome
            .starts_with("sent in 3 parts, one for each slot"),
        "{}",
        told.outcome
    );
    let of_one = "slot 9864 at node2:1: ";
    let of_one: Vec<_> = sends
        .iter()
        .filter_map(|line| line.strip_prefix(of_one))
        .collect();
    // Two values of one key: both are set, in the client's order.
    assert_eq!(
        of_one,
        [
            "MULTI",
            "SET cache:1 a PX 43200000",
            "SET cache:1 d PX 43200000",
            "EXEC"
        ]
    );
    assert_eq!(told.namespaces, ["cache", "spread"]);
    assert_eq!(told.ttl.len(), 4);
    assert_eq!(told.actions, ["defaulted"]);
}

#[test]
fn routes() {
    let big = format!("SET cache:1 {}", "x".repeat(70_000));
    for (line, outcome, nodes, lane) in [
        (
            "GET cache:1",
            "sent as it is",
            &["node2:1"][..],
            Some("shared"),
        ),
        (
            "GET big",
            "sent as it is",
            &["node1:1"],
            Some("a connection of its own, as replies"),
        ),
        (
            &*big,
            "sent as another",
            &["node2:1"],
            Some("a connection of its own, as the request"),
        ),
        ("EVAL_RO s 0", "sent as it is", &["node0:1"], Some("shared")),
        (
            "DBSIZE",
            "sent as it is to every primary",
            &["node0:1", "node1:1"],
            Some("shared"),
        ),
        (
            "CONFIG GET save",
            "asked of the first primary",
            &["node0:1"],
            Some("shared"),
        ),
        (
            "SCRIPT KILL",
            "sent as it is to every primary",
            &["node0:1", "node1:1"],
            Some("connections of its own, past"),
        ),
        ("CONFIG GET port", "answered by slotmux itself", &[], None),
        ("PING", "answered by slotmux itself", &[], None),
        (
            "SLOTMUX EXPLAIN GET k",
            "answered by slotmux itself",
            &[],
            None,
        ),
        ("MULTI", "belongs to a transaction", &[], None),
        (
            "WATCH k",
            "sent as it is, over a connection of the client's own",
            &[],
            None,
        ),
        ("WATCH k j", "sent in a part for each slot", &[], None),
        (
            "BLPOP k 0",
            "sent as it is",
            &["node1:1"],
            Some("a connection of its own, as it may be held up"),
        ),
        (
            "SETNX cache:1 v",
            "sent as another command, whose +OK",
            &["node2:1"],
            Some("shared"),
        ),
    ] {
        let told = told(line);
        let line = &line[..line.len().min(40)];
        assert!(
            told.outcome.starts_with(outcome),
            "{line}: {}",
            told.outcome
        );
        assert_eq!(told.nodes, nodes, "{line}");
        let starts = lane.is_none_or(|lane| told.lane.is_some_and(|told| told.starts_with(lane)));
        assert!(
            starts && told.lane.is_some() == lane.is_some(),
            "{line}: {:?}",
            told.lane
        );
        assert!(told.sends.iter().all(|line| line.len() < 200), "{line}");
    }
}

/// A command of a module, as the upstream describes it: `X.PUT key value`, and a subcommand-free read.
#[test]
fn commands_that_only_the_upstream_knows() {
    use redis::Value;
    let word = |word: &str| Value::SimpleString(word.to_owned());
    let entry = |name: &str, flags: &[&str]| {
        let flags = flags.iter().map(|flag| word(flag)).collect();
        let numbers = [1, 1, 1].map(Value::Int);
        let head = [
            Value::BulkString(name.into()),
            Value::Int(-2),
            Value::Array(flags),
        ];
        Value::Array(head.into_iter().chain(numbers).collect())
    };
    let reply = Value::Array(vec![
        entry("x.put", &["write", "module"]),
        entry("x.get", &["readonly", "module"]),
    ]);
    let learned = Learned::from_reply(&reply);
    let put = told_under(FILE, "X.PUT cache:1 v", Some(&learned));
    assert_eq!(put.sends.len(), 5, "{put:?}");
    assert_eq!(put.sends[1], "X.PUT cache:1 v");
    assert_eq!(put.actions, ["appended"]);
    assert!(
        put.ttl[0].contains("PEXPIRE 43200000 NX gives 12h"),
        "{:?}",
        put.ttl
    );
    assert_eq!(
        put.rule.as_deref(),
        Some("an expiry for each of its keys behind it")
    );
    let get = told_under(FILE, "X.GET cache:1", Some(&learned));
    assert_eq!(get.sends, ["X.GET cache:1"]);
    assert!(get.ttl.is_empty() && get.rule.is_none(), "{get:?}");
    assert_eq!(told("X.PUT cache:1 v").outcome, "refused; nothing is sent");
}
