//! Routing of requests whose command was learned and whose keys are not where the upstream reports.

use redis::Value;

use super::*;
use crate::config::UnmatchedKeys;
use crate::resp::{Limits, scan_request, write};

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
            learned: Some(&learned),
            server: ServerVersion::default(),
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
