//! Routing of requests whose command was learned and whose keys are not where the upstream reports.

use crate::cluster::server::ServerVersion;
use redis::Value;

use super::*;
use crate::command::resolve;
use crate::config::{Commands, Config, Namespace, UnmatchedKeys};
use crate::policy::Policies;
use crate::policy::rows::namespace;
use crate::resp::{Limits, scan_request, write};
use crate::route::plan;

/// `m.count numkeys key …`, as a server describes it.
fn learned() -> Learned {
    let word = |word: &str| Value::SimpleString(word.to_owned());
    let list = Value::Array;
    let numbers = |pairs: &[(&str, i64)]| {
        let fields = pairs.iter();
        list(
            fields
                .flat_map(|(name, number)| [word(name), Value::Int(*number)])
                .collect(),
        )
    };
    let half = |kind: &str, spec| list(vec![word("type"), word(kind), word("spec"), spec]);
    let begin = half("index", numbers(&[("index", 1)]));
    let find = half(
        "keynum",
        numbers(&[("keynumidx", 0), ("firstkey", 1), ("keystep", 1)]),
    );
    let flags = list(vec![word("RW")]);
    let spec = vec![
        word("flags"),
        flags,
        word("begin_search"),
        begin,
        word("find_keys"),
        find,
    ];
    let mut entry = vec![word("m.count"), Value::Int(-2)];
    entry.push(list(vec![word("write"), word("movablekeys")]));
    entry.extend([0, 0, 0].map(Value::Int));
    entry.extend([list(vec![]), list(vec![]), list(vec![list(spec)])]);
    Learned::from_reply(&list(vec![list(entry)]))
}

#[test]
fn keys_that_are_not_found_are_no_matter_for_any_node_where_there_are_policies() {
    let learned = learned();
    let active = Policies::new(&crate::config::Config {
        unmatched: UnmatchedKeys::Reject,
        ..crate::config::Config::default()
    });
    let plan_of = |words: &[&[u8]], policies: &Policies| {
        let (mut bytes, mut args) = (Vec::new(), Vec::new());
        write::request(&mut bytes, words);
        scan_request(&bytes, &Limits::default(), &mut args).expect("a request");
        let request = Request {
            bytes: &bytes,
            args: &args,
        };
        let knowledge = Knowledge {
            server: ServerVersion::default(),
            learned: Some(&learned),
            is_one_node: false,
            as_cluster: false,
            policies,
            commands: &Commands::default(),
            now: || 0,
        };
        plan(
            &request,
            resolve(&bytes, &args),
            &knowledge,
            &mut Vec::new(),
        )
    };
    let none = Policies::default();
    let right: &[&[u8]] = &[b"m.count", b"1", b"k"];
    assert!(matches!(plan_of(right, &none), Plan::Forward { .. }));
    for wrong in [
        &[b"m.count", &b"1\0"[..], b"k"][..],
        &[b"m.count", b"2", b"k"],
    ] {
        assert!(matches!(plan_of(wrong, &none), Plan::Anywhere { .. }));
        assert!(matches!(plan_of(wrong, &active), Plan::Refuse(..)));
    }
}

/// Commands of modules, as their entries of a `COMMAND` reply describe them: `name first last step: flags`.
fn of_modules(lines: &[&str]) -> Learned {
    let word = |word: &str| Value::SimpleString(word.to_owned());
    let entries = lines.iter().map(|line| {
        let (head, flags) = line.split_once(':').expect("flags");
        let mut head = head.split(' ');
        let mut entry = vec![word(head.next().expect("a name")), Value::Int(-1)];
        let flags = flags.split_whitespace().chain(["module"]).map(word);
        entry.push(Value::Array(flags.collect()));
        entry.extend(head.map(|number| Value::Int(number.parse().expect("a number"))));
        Value::Array(entry)
    });
    Learned::from_reply(&Value::Array(entries.collect()))
}

const LINES: &[&str] = &[
    "m.list 0 0 0: readonly",
    "m.make 0 0 0: write",
    "m.wait 0 0 0: write blocking",
    "graph.list 0 0 0: readonly",
    "graph.query 1 1 1: write blocking",
    "ft.search 1 1 1: readonly",
    "ft._list 0 0 0: readonly",
    "ft.dictadd 0 0 0: readonly",
    "ft.dropindex 1 1 1: write",
    "ft.cursor 2 2 1: readonly",
];

/// The plan of a line in a few words.
fn planned(line: &str, learned: &Learned, is_one_node: bool, config: &Config) -> String {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    let (mut bytes, mut args) = (Vec::new(), Vec::new());
    write::request(&mut bytes, &words);
    scan_request(&bytes, &Limits::default(), &mut args).expect("a request");
    let request = Request {
        bytes: &bytes,
        args: &args,
    };
    let policies = Policies::new(config);
    let knowledge = Knowledge {
        server: ServerVersion::default(),
        learned: Some(learned),
        is_one_node,
        as_cluster: false,
        policies: &policies,
        commands: &config.commands,
        now: || 0,
    };
    let command = resolve(&bytes, &args);
    match plan(&request, command, &knowledge, &mut Vec::new()) {
        Plan::Forward { slot, wait, .. } => {
            let by = (slot == slot_of(request.arg(request.argc() - 1))).then_some("last argument");
            let own = if wait.is_some() { ", own lane" } else { "" };
            format!("by {}{own}", by.unwrap_or("another"))
        }
        Plan::Anywhere { .. } => "any node".to_owned(),
        Plan::Everywhere { merge, .. } => format!("all primaries, {merge:?}"),
        Plan::Refuse(_, reason) => format!("refused by {:?}", reason.rule),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_node_is_asked_only_if_it_is_enough() {
    let plain = of_modules(LINES);
    let coordinated = of_modules(&[LINES, &["search.clusterinfo 0 0 0: readonly"]].concat());
    let config = Config::default();
    let mut permitting = Config::default();
    permitting.commands.one_node = vec!["m.*".to_owned(), "ft.search".to_owned()];
    for (line, plainly, on_one_node, with_coordinator, with_permission) in [
        (
            "m.list x",
            "refused by OneNode",
            "any node",
            "refused by OneNode",
            "any node",
        ),
        (
            "m.make x",
            "refused by OneNode",
            "any node",
            "refused by OneNode",
            "any node",
        ),
        (
            "m.wait x",
            "refused by OneNode",
            "by another, own lane",
            "refused by OneNode",
            "by another, own lane",
        ),
        (
            "graph.list",
            "all primaries, Concat",
            "all primaries, Concat",
            "all primaries, Concat",
            "all primaries, Concat",
        ),
        (
            "graph.query g",
            "by last argument, own lane",
            "by last argument, own lane",
            "by last argument, own lane",
            "by last argument, own lane",
        ),
        (
            "ft.search i",
            "refused by OneNode",
            "by last argument",
            "by last argument, own lane",
            "by last argument",
        ),
        (
            "ft.cursor READ i",
            "refused by OneNode",
            "by last argument",
            "by last argument, own lane",
            "refused by OneNode",
        ),
        (
            "ft._list",
            "all primaries, Union",
            "all primaries, Union",
            "any node",
            "all primaries, Union",
        ),
        (
            "ft.dictadd d w",
            "refused by OneNode",
            "any node",
            "any node",
            "refused by OneNode",
        ),
    ] {
        for (learned, is_one_node, config, expected) in [
            (&plain, false, &config, plainly),
            (&plain, true, &config, on_one_node),
            (&coordinated, false, &config, with_coordinator),
            (&plain, false, &permitting, with_permission),
        ] {
            let plan = planned(line, learned, is_one_node, config);
            assert_eq!(plan, expected, "{line}");
        }
    }
}

#[test]
fn what_no_rule_can_see_is_refused_where_there_are_rules() {
    let learned = of_modules(LINES);
    let ruled = |change: fn(&mut Config, &mut Namespace)| {
        let mut config = Config::default();
        let mut of_keys = namespace("keys", "k", |_| {});
        change(&mut config, &mut of_keys);
        config.namespaces = vec![of_keys];
        config
    };
    let open = ruled(|_, _| {});
    let permitting = ruled(|config, _| config.commands.one_node = vec!["m.make".to_owned()]);
    let read_only = ruled(|_, keys| keys.read_only = true);
    let hiding = ruled(|config, _| config.unmatched = UnmatchedKeys::Reject);
    for (line, config, expected) in [
        ("m.list x", &open, "any node"),
        ("m.make x", &open, "refused by UncertainKeys"),
        ("m.make x", &permitting, "any node"),
        ("ft.search i", &open, "by last argument"),
        ("ft.dropindex i", &open, "by last argument"),
        ("ft.dropindex i", &read_only, "refused by ReadOnly"),
        ("ft.search i", &read_only, "by last argument"),
        ("m.list x", &hiding, "refused by Unmatched"),
        ("ft.search i", &hiding, "refused by Unmatched"),
        ("graph.list", &hiding, "all primaries, Concat"),
    ] {
        assert_eq!(planned(line, &learned, true, config), expected, "{line}");
    }
}
