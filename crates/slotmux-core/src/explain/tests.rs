//! Explanations of requests under policies, as the texts that people see.

use super::*;
use crate::command::Learned;
use crate::config::{SourceFile, Sources, load_with_origins};
use crate::resp::write;

const NOW: u64 = 1_700_000_000_000;

/// One namespace of each kind.
pub(super) const FILE: &str = r#"
[[namespace]]
name = "cache"
match = ["cache:"]
ttl = { default = "12h", max = "7d", min = "10s", persist = "rewrite" }
[[namespace]]
name = "spread"
match = ["spread:"]
ttl = { default = "100s", jitter = 0.1 }
[[namespace]]
name = "bounded"
match = ["bounded:"]
ttl = { max = "60s", over_max = "reject" }
[[namespace]]
name = "watched"
match = ["watched:"]
ttl = { max = "60s", mode = "observe", persist = "reject" }
[[namespace]]
name = "plain"
match = ["plain:"]
read_only = true
[[cluster]]
seeds = ["a:1"]
"#;

struct Fixed;

impl NodeDirectory for Fixed {
    fn of_slot(&self, slot: Slot) -> Result<String, String> {
        Ok(format!("node{}:1", slot.0 / 4096))
    }

    fn any(&self) -> String {
        "node0:1".to_owned()
    }

    fn primaries(&self) -> Vec<String> {
        vec!["node0:1".to_owned(), "node1:1".to_owned()]
    }

    fn all(&self) -> Vec<String> {
        ["node0:1", "node1:1", "node0:2", "node1:2"]
            .map(str::to_owned)
            .to_vec()
    }

    fn expects_big_reply(&self, request: &Request) -> bool {
        request.arg(1) == b"big"
    }
}

pub(super) fn told_under(file: &str, line: &str, learned: Option<&Learned>) -> Explanation {
    let sources = Sources {
        file: Some(SourceFile {
            name: "f.toml".to_owned(),
            text: file.to_owned(),
        }),
        ..Sources::default()
    };
    let loaded = load_with_origins(&sources).unwrap();
    let policies = Policies::new(&loaded.config);
    let (mut bytes, mut args) = (Vec::new(), Vec::new());
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    write::request(&mut bytes, &words);
    scan_request(&bytes, &Limits::default(), &mut args).unwrap();
    let request = Request {
        bytes: &bytes,
        args: &args,
    };
    let knowledge = Knowledge {
        learned,
        is_one_node: false,
        as_cluster: false,
        policies: &policies,
        commands: &loaded.config.commands,
        now: || NOW,
    };
    let around = Surroundings {
        knowledge: &knowledge,
        config: &loaded.config,
        settings: &EffectiveSettings::new(&loaded.config, &loaded.origins),
        nodes: &Fixed,
    };
    explain(&request, around)
}

pub(super) fn told(line: &str) -> Explanation {
    told_under(FILE, line, None)
}

#[test]
fn the_whole_of_an_explanation() {
    assert_eq!(
        told("SET cache:1 v").to_string(),
        "\
command     SET cache:1 v
outcome     sent as another command
namespaces  cache
slots       9864
nodes       node2:1
lane        shared with other clients
sends       SET cache:1 v PX 43200000
ttl         'cache:1': no TTL is given; the default is 12h (43200000 ms): becomes 12h (43200000 ms)
rule        without an expiry: `PX` of the default; EX, PX: bounded in place; EXAT, PXAT: beyond the maximum bounded in place, else an expiry behind it; KEEPTTL and options that slotmux does not know: an expiry behind it
actions     defaulted
decided_by  namespace.cache.ttl.default = \"12h\" (f.toml:5:19)
"
    );
}

/// The request, what is sent, the sentence about the first key, the actions, the deciding keys.
type Row<'a> = (
    &'a str,
    &'a [&'a str],
    &'a str,
    &'a [&'a str],
    &'a [&'a str],
);

const DEFAULT: &str = "namespace.cache.ttl.default = \"12h\" (f.toml:5:19)";
const MAX: &str = "namespace.cache.ttl.max = \"7d\" (f.toml:5:32)";
const MIN: &str = "namespace.cache.ttl.min = \"10s\" (f.toml:5:44)";
const PERSIST: &str = "namespace.cache.ttl.persist = \"rewrite\" (f.toml:5:61)";

#[test]
fn lifetimes_in_words() {
    let rows: &[Row] = &[
        (
            "SET cache:1 v EX 864000",
            &["SET cache:1 v EX 604800"],
            "EX 864000 gives 10d (864000000 ms); that is above the maximum: becomes 7d (604800000 ms)",
            &["clamped"],
            &[MAX],
        ),
        (
            "SET cache:1 v PX 5",
            &["SET cache:1 v PX 10000"],
            "PX 5 gives 5 ms; that is below the minimum: becomes 10s (10000 ms)",
            &["raised"],
            &[MIN],
        ),
        (
            "SETEX cache:1 60 v",
            &["SETEX cache:1 60 v"],
            "60 gives 1m (60000 ms); within minimum 10s (10000 ms) and maximum 7d (604800000 ms): it stays",
            &[],
            &[MAX],
        ),
        (
            "EXPIRE cache:1 -1",
            &["EXPIRE cache:1 -1"],
            "-1 ends it at once; no policy prolongs that",
            &[],
            &[],
        ),
        (
            "SET cache:1 v EX x",
            &["SET cache:1 v EX x"],
            "the server refuses such a TTL; it is left to the server, whose error the client gets",
            &[],
            &[],
        ),
        (
            "PERSIST cache:1",
            &["PEXPIRE cache:1 43200000 XX"],
            "its TTL is to be removed; the default is 12h (43200000 ms): becomes 12h (43200000 ms)",
            &["unpersisted"],
            &[PERSIST, DEFAULT],
        ),
        (
            "HSET cache:1 f v",
            &[
                "MULTI",
                "HSET cache:1 f v",
                "PEXPIRE cache:1 43200000 NX",
                "PEXPIRE cache:1 604800000 LT",
                "EXEC",
            ],
            "no TTL is given; the default is 12h (43200000 ms): behind the command PEXPIRE 43200000 NX gives 12h \
             (43200000 ms) to a key without TTL, and PEXPIRE 604800000 LT cuts a longer one to the maximum of 7d \
             (604800000 ms)",
            &["appended"],
            &[DEFAULT, MAX],
        ),
        (
            "INCR bounded:1",
            &[
                "MULTI",
                "INCR bounded:1",
                "PEXPIRE bounded:1 60000 LT",
                "EXEC",
            ],
            "no TTL is given; behind the command PEXPIRE 60000 LT cuts any longer TTL, and none, to the maximum of 1m \
             (60000 ms), which is also the default",
            &["appended"],
            &["namespace.bounded.ttl.max = \"1m\" (f.toml:13:15)"],
        ),
        (
            "SET other:1 v",
            &["SET other:1 v"],
            "no TTL is given; no namespace claims it, so that no policy holds",
            &[],
            &[],
        ),
    ];
    for (line, sends, ttl, actions, decided_by) in rows {
        let told = told(line);
        assert_eq!(told.sends, *sends, "{line}");
        let key = line.split(' ').nth(1).unwrap();
        assert_eq!(told.ttl, [format!("'{key}': {ttl}")], "{line}");
        assert_eq!(told.actions, *actions, "{line}");
        assert_eq!(told.decided_by, *decided_by, "{line}");
        assert!(
            told.would_send.is_empty() && told.reply.is_none(),
            "{told:?}"
        );
    }
}

#[test]
fn jitter_says_where_the_key_lands() {
    let told = told("SET spread:7 v");
    let sent = told.sends[0].rsplit(' ').next().unwrap();
    let sent: u64 = sent.parse().unwrap();
    assert!(
        (90_000..=110_000).contains(&sent) && sent != 100_000,
        "{sent}"
    );
    let moved = (sent as f64 / 100_000.0 - 1.0) * 100.0;
    let expected = format!(
        "'spread:7': no TTL is given; the default is 1m40s (100000 ms) \u{b1} 10 %, for this key {moved:+.2} %: \
         becomes {}",
        words::time(sent)
    );
    assert_eq!(told.ttl, [expected]);
    assert_eq!(told.decided_by.len(), 2);
    assert!(told.decided_by[1].starts_with("namespace.spread.ttl.jitter = 0.1"));
}

#[test]
fn what_is_refused_says_why() {
    for (line, reply, decided_by) in [
        (
            "SET bounded:1 v EX 61",
            "ERR slotmux: a TTL of 61000 ms is above the 60000 ms that namespace 'bounded' allows (ttl.max)",
            "namespace.bounded.ttl.max = \"1m\" (f.toml:13:15)",
        ),
        (
            "DEL plain:1",
            "ERR slotmux: namespace 'plain' is read-only (read_only)",
            "namespace.plain.read_only = true (f.toml:21:13)",
        ),
        (
            "FLUSHALL",
            "ERR slotmux: 'flushall' would delete the keys of namespace 'plain', which is read-only (read_only)",
            "namespace.plain.read_only = true (f.toml:21:13)",
        ),
        (
            "EVAL s 0",
            "ERR slotmux: 'eval' without declared keys is refused, as it could break a rule: namespace 'plain' is \
             read-only (commands.scripts)",
            "commands.scripts = \"auto\" (default)",
        ),
        (
            "SUNION a b",
            "CROSSSLOT Keys in request don't hash to the same slot",
            "",
        ),
        (
            "CONFIG SET requirepass commands.keys",
            "ERR slotmux: 'config|set' is refused: it administers the nodes, and commands.admin = \"reject\"; \"fanout\" \
             sends it",
            "commands.admin = \"reject\" (default)",
        ),
        (
            "NOSUCH a",
            "ERR unknown command 'NOSUCH', with args beginning with: 'a' ",
            "",
        ),
        ("GET", "ERR wrong number of arguments for 'get' command", ""),
    ] {
        let told = told(line);
        assert_eq!(told.reply.as_deref(), Some(reply), "{line}");
        assert_eq!(told.outcome, "refused; nothing is sent", "{line}");
        assert!(told.sends.is_empty() && told.nodes.is_empty(), "{told:?}");
        assert_eq!(told.decided_by.join("\n"), decided_by, "{line}");
    }
}

#[test]
fn of_scripts_it_is_said_that_their_other_keys_are_not_seen() {
    for line in ["EVAL s 1 cache:1", "FCALL f 1 k"] {
        let rule = told(line).rule.expect("a rule");
        assert!(
            rule.ends_with("; keys that it does not declare are not seen"),
            "{line}: {rule}"
        );
    }
    assert!(
        !told("INCR cache:1")
            .rule
            .expect("a rule")
            .contains("declare")
    );
}

#[test]
fn what_is_observed_would_be() {
    let told_of = |line: &str| {
        let told = told(line);
        assert_eq!(told.sends, [line], "only observed");
        told
    };
    let set = told_of("SET watched:1 v EX 90");
    assert_eq!(set.would_send, ["SET watched:1 v EX 60"]);
    assert_eq!(
        set.ttl,
        [
            "'watched:1': EX 90 gives 1m30s (90000 ms); that is above the maximum: would become 1m (60000 ms)"
        ]
    );
    assert_eq!(set.actions, ["clamped"]);
    assert_eq!(
        set.decided_by,
        [
            "namespace.watched.ttl.max = \"1m\" (f.toml:17:15)",
            "namespace.watched.ttl.mode = \"observe\" (f.toml:17:29)"
        ]
    );
    let incr = told_of("INCR watched:1");
    assert_eq!(incr.would_send.len(), 4);
    assert!(incr.ttl[0].contains("would cut"), "{:?}", incr.ttl);
    let persist = told_of("PERSIST watched:1");
    let refusal = "nothing: ERR slotmux: namespace 'watched' refuses PERSIST (ttl.persist)";
    assert_eq!(persist.would_send, [refusal]);
    assert!(
        persist.ttl[0].ends_with("the request would be refused"),
        "{:?}",
        persist.ttl
    );
    assert!(persist.decided_by[0].starts_with("namespace.watched.ttl.mode"));
    assert!(persist.decided_by[1].starts_with("namespace.watched.ttl.persist"));
}

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
        (
            "EVAL_RO s 0",
            "sent as it is to any node",
            &["node0:1"],
            Some("shared"),
        ),
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
        (
            "WATCH k j",
            "refused, as its keys are in several",
            &[],
            None,
        ),
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

#[test]
fn without_namespaces_there_is_nothing_to_say_of_lifetimes() {
    let told = told_under("[[cluster]]\nseeds = [\"a:1\"]\n", "SET k v", None);
    assert_eq!(told.sends, ["SET k v"]);
    assert_eq!(told.namespaces, [UNMATCHED]);
    assert!(told.ttl.is_empty() && told.rule.is_none() && told.actions.is_empty());
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

#[test]
fn a_long_list_of_keys_is_cut_and_says_so() {
    let pairs: Vec<String> = (0..100).map(|at| format!("cache:{at} v")).collect();
    let told = told(&format!("MSET {}", pairs.join(" ")));
    assert_eq!(told.ttl.len(), MOST + 1);
    assert_eq!(told.ttl[MOST], "... and 68 more keys");
    assert!(told.sends.len() <= MOST + 1 && told.slots.len() <= MOST);
    assert!(
        told.command.ends_with(" ... and 177 more"),
        "{}",
        told.command
    );
}

#[test]
fn a_maximum_that_is_also_the_default() {
    let told = told("SET bounded:1 v");
    assert_eq!(
        told.ttl,
        [
            "'bounded:1': no TTL is given; the maximum, which is also the default, is 1m (60000 ms): becomes 1m (60000 \
             ms)"
        ]
    );
}
