//! Explanations of requests under policies, as the texts that people see.

use super::*;
use crate::cluster::server::ServerVersion;
use crate::command::Learned;
use crate::config::{SourceFile, Sources, load_with_origins};
use crate::resp::write;

mod all_nodes;
mod lifetimes;
mod refusals;
mod routes;

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
        server: ServerVersion::default(),
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
rule        without an expiry: `PX` of the default; EX, PX: bounded in place; EXAT, PXAT: beyond the maximum bounded in place, else an expiry behind it; KEEPTTL: an expiry behind it; options that slotmux does not know: an expiry behind it, or an error
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
            "EVAL s 2 a b",
            "CROSSSLOT Keys in request don't hash to the same slot",
            "",
        ),
        (
            "SUNIONSTORE a b c",
            "CROSSSLOT Keys in request don't hash to the same slot, and cross_slot = \"reads\" of [defaults.namespace]; \
             \"all\" would run it, which is not atomic",
            "defaults.namespace.cross_slot = \"reads\" (default)",
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
fn without_namespaces_there_is_nothing_to_say_of_lifetimes() {
    let told = told_under("[[cluster]]\nseeds = [\"a:1\"]\n", "SET k v", None);
    assert_eq!(told.sends, ["SET k v"]);
    assert_eq!(told.namespaces, [UNMATCHED]);
    assert!(told.ttl.is_empty() && told.rule.is_none() && told.actions.is_empty());
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
