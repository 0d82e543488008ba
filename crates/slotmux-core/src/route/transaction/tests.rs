//! Transactions: their groups by slot, and the sources of the elements of the reply to EXEC.

use super::*;
use crate::cluster::server::ServerVersion;
use crate::config::{Config, CrossSlot, Namespace, RetryWrites, Ttl};
use crate::policy::Policies;
use crate::resp::{Limits, scan_request};
use crate::slot::slot_of;

/// Namespaces with their settings and default TTLs in seconds.
fn policies(namespaces: &[(&str, Multi, Option<u64>)]) -> Policies {
    let namespaces = namespaces.iter().map(|(name, multi, ttl)| Namespace {
        name: (*name).to_owned(),
        prefixes: vec![format!("{name}:")],
        ttl: Ttl {
            default: ttl.map(std::time::Duration::from_secs),
            ..Ttl::default()
        },
        ttl_env: Vec::new(),
        read_only: false,
        max_key: None,
        max_value: None,
        deny: Vec::new(),
        multi: *multi,
        cross_slot: CrossSlot::default(),
        retry_writes: RetryWrites::Never,
    });
    Policies::new(&Config {
        namespaces: namespaces.collect(),
        ..Config::default()
    })
}

fn bytes_of(line: &str) -> Vec<u8> {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    let mut bytes = Vec::new();
    crate::resp::write::request(&mut bytes, &words);
    bytes
}

fn body_of(lines: &str, policies: &Policies, is_one_node: bool) -> Result<TransactionBody, String> {
    let lines: Vec<Vec<u8>> = lines.split(" | ").map(bytes_of).collect();
    let spans: Vec<_> = lines
        .iter()
        .map(|bytes| {
            let mut args = Vec::new();
            scan_request(bytes, &Limits::default(), &mut args).expect("a request");
            args
        })
        .collect();
    let requests: Vec<Request> = lines
        .iter()
        .zip(&spans)
        .map(|(bytes, args)| Request { bytes, args })
        .collect();
    let knowledge = Knowledge {
        learned: None,
        server: ServerVersion::default(),
        is_one_node,
        as_cluster: false,
        policies,
        commands: &crate::config::Commands::default(),
        now: || 0,
    };
    body(&requests, None, &knowledge)
}

/// The groups in words: key or `-`, the commands, and the cells of their replies.
fn groups(body: &TransactionBody) -> Vec<String> {
    let words = |commands: &[u8]| {
        let mut rest = commands;
        let mut lines = Vec::new();
        while !rest.is_empty() {
            let mut args = Vec::new();
            scan_request(rest, &Limits::default(), &mut args).expect("a request");
            let words = args.iter().map(|arg| String::from_utf8_lossy(arg.of(rest)));
            lines.push(words.collect::<Vec<_>>().join(" "));
            let end = args.last().map_or(rest.len(), |last| {
                let last = last.of(rest);
                last.as_ptr() as usize - rest.as_ptr() as usize + last.len() + 2
            });
            rest = &rest[end..];
        }
        lines.join(" | ")
    };
    let cells = |targets: &[Option<u32>]| {
        let cell = |target: &Option<u32>| target.map_or("-".to_owned(), |cell| cell.to_string());
        targets.iter().map(cell).collect::<Vec<_>>().join(" ")
    };
    let groups = body.groups.iter();
    groups
        .map(|group| format!("{} > {}", words(&group.commands), cells(&group.targets)))
        .collect()
}

#[test]
fn what_goes_where() {
    let policies = policies(&[
        ("s", Multi::Split, None),
        ("t", Multi::Split, Some(10)),
        ("o", Multi::SplitReadonly, None),
    ]);
    let table: &[(&str, &[&str])] = &[
        ("PING | ECHO x | UNWATCH", &[]),
        ("GET s:{a} | INCR s:{a}", &["GET s:{a} | INCR s:{a} > 0 1"]),
        // A command without keys joins the others, in its place; alone, it goes anywhere.
        (
            "GET s:{a} | PUBLISH c m | GET s:{a}",
            &["GET s:{a} | PUBLISH c m | GET s:{a} > 0 1 2"],
        ),
        ("PUBLISH c m", &["PUBLISH c m > 0"]),
        // A blocking command does not block here.
        ("BLPOP s:{a} 0", &["BLPOP s:{a} 0 > 0"]),
        (
            "INCR t:{a} | SET t:{a} v | MSET t:{a}1 1 t:{a}2 2",
            &[
                "INCR t:{a} | PEXPIRE t:{a} 10000 NX | SET t:{a} v PX 10000 | SET t:{a}1 1 PX 10000 | \
                 SET t:{a}2 2 PX 10000 > 0 - 1 2 2",
            ],
        ),
        (
            "SET s:{a} 1 | SET s:{b} 2 | GET s:{a}",
            &["SET s:{a} 1 | GET s:{a} > 0 2", "SET s:{b} 2 > 1"],
        ),
        // The parts of one command stand in the groups of their slots.
        (
            "SET s:{a} 1 | DEL s:{a} s:{b}",
            &["SET s:{a} 1 | DEL s:{a} > 0 2", "DEL s:{b} > 1"],
        ),
        (
            "GET o:{a} | EXISTS o:{b}",
            &["GET o:{a} > 0", "EXISTS o:{b} > 1"],
        ),
    ];
    for (lines, expected) in table {
        let body = body_of(lines, &policies, false).expect(lines);
        assert_eq!(groups(&body), *expected, "{lines}");
        assert_eq!(body.elements.len(), lines.split(" | ").count(), "{lines}");
    }
}

#[test]
fn one_node_gets_everything_at_once() {
    let body = body_of("SET a 1 | SET b 2 | DEL a b", &policies(&[]), true).expect("a body");
    assert_eq!(groups(&body), ["SET a 1 | SET b 2 | DEL a b > 0 1 2"]);
    assert_eq!(body.groups[0].slot, Some(slot_of(b"a")));
}

#[test]
fn the_strictest_setting_decides() {
    let policies = policies(&[
        ("s", Multi::Split, None),
        ("o", Multi::SplitReadonly, None),
        ("r", Multi::Reject, None),
    ]);
    let table: &[(&str, &str)] = &[
        (
            "SET s:a 1 | SET o:b 1",
            "multi = \"split-readonly\" of namespace 'o'",
        ),
        (
            "GET s:a | GET o:b | GET r:c",
            "multi = \"reject\" of namespace 'r'",
        ),
        (
            "GET a | SET b 1",
            "multi = \"split-readonly\" of [defaults.namespace]",
        ),
        // Where the keys of a command share a slot, all their namespaces count.
        (
            "RENAME s:{a} r:{a} | GET s:{b}",
            "multi = \"reject\" of namespace 'r'",
        ),
        ("MGET s:a s:b r:c", "multi = \"reject\" of namespace 'r'"),
    ];
    for (lines, why) in table {
        let text = body_of(lines, &policies, false).expect_err(lines);
        assert!(
            text.starts_with("CROSSSLOT slotmux: transaction not executed"),
            "{text}"
        );
        assert!(text.contains(why), "{lines}: {text}");
    }
}
