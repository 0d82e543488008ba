//! Commands of a `COMMAND` reply: which are kept, and where each of them goes.

use super::sample::{entry, keys_of, request, simple, word};
use super::*;
use crate::command::Merge;
use crate::command::split::SplitShape;

#[test]
fn only_what_the_table_lacks_is_kept_and_every_name_is_known() {
    let learned = Learned::from_reply(&Value::Array(vec![
        simple("get 2 1 1 1: readonly fast"),
        simple("json.get -2 1 1 1: readonly module"),
        entry(
            "object -2 0 0 0:",
            Vec::new(),
            vec![
                simple("object|freq 3 2 2 1: readonly"),
                simple("object|news 3 2 2 1: readonly"),
            ],
        ),
        entry(
            "client -2 0 0 0:",
            Vec::new(),
            vec![simple("client|news 2 0 0 0: readonly")],
        ),
        entry(
            "Store -2 0 0 0:",
            Vec::new(),
            vec![
                simple("store|put 4 2 2 1: write"),
                simple("take 3 2 2 1: write"),
            ],
        ),
    ]));
    assert_eq!(learned.len(), 5);
    for name in [
        "get",
        "GET",
        "json.get",
        "Object|Freq",
        "object|news",
        "client|news",
        "STORE",
        "store|take",
    ] {
        assert!(learned.knows(name.as_bytes()), "{name}");
    }
    for name in ["json.set", "", "client|setname", &"x".repeat(10_000)] {
        assert!(
            !learned.knows(name.as_bytes()) && learned.get(name.as_bytes()).is_none(),
            "{name}"
        );
    }
    assert!(learned.get(b"get").is_none());
    assert!(
        learned.subcommand(b"client", b"news").is_none(),
        "CLIENT is never forwarded"
    );
    let resolved = |line: &str| {
        let (buf, args) = request(line);
        learned
            .resolve(&buf, &args)
            .map(|command| (command.full_name.clone(), command.route))
    };
    assert_eq!(
        resolved("JSON.GET k"),
        Some(("json.get".into(), LearnedRoute::Keyed))
    );
    assert_eq!(
        resolved("object NEWS k"),
        Some(("object|news".into(), LearnedRoute::Keyed))
    );
    assert_eq!(
        resolved("store put k v"),
        Some(("store|put".into(), LearnedRoute::Keyed))
    );
    assert_eq!(
        resolved("store TAKE k"),
        Some(("store|take".into(), LearnedRoute::Keyed))
    );
    assert_eq!(
        resolved("store"),
        Some(("store".into(), LearnedRoute::Refused(KEYLESS)))
    );
    assert_eq!(resolved("store give k"), None);
    assert_eq!(resolved("object freq k"), None);
    assert_eq!(resolved("get k"), None);
    let put = learned
        .subcommand(b"store", b"put")
        .expect("it was learned");
    assert_eq!(keys_of(put, "store put k v"), Ok(vec!["k".to_owned()]));
    assert_eq!(
        put.arity_error(),
        "ERR wrong number of arguments for 'store|put' command"
    );
    assert!(put.is_write() && !put.is_readonly() && put.arity_ok(4) && !put.arity_ok(3));
}

#[test]
fn what_may_touch_its_connection_is_never_forwarded() {
    for (line, expected) in [
        (
            "m.get 2 1 1 1: readonly module fast",
            Some(LearnedRoute::Keyed),
        ),
        (
            "m.set 3 1 1 1: write denyoom module",
            Some(LearnedRoute::Keyed),
        ),
        ("m.plain 2 1 1 1:", Some(LearnedRoute::Keyed)),
        ("m.list 1 0 0 0: readonly", Some(LearnedRoute::AnyNode)),
        ("m.create -2 0 0 0: write", None),
        ("m.mode 2 0 0 0:", None),
        (
            "m.wait -2 1 1 1: write blocking",
            Some(LearnedRoute::Blocking),
        ),
        ("m.wait -2 0 0 0: readonly blocking", None),
        (
            "m.wait -2 0 0 0: readonly blocking module",
            Some(LearnedRoute::OneNode),
        ),
        (
            "m.list 1 0 0 0: readonly module",
            Some(LearnedRoute::OneNode),
        ),
        (
            "m.set 1 0 0 0: noscript module",
            Some(LearnedRoute::OneNode),
        ),
        ("m.listen -2 0 0 0: readonly pubsub", None),
        ("m.admin 2 1 1 1: admin readonly", None),
        ("m.login 2 0 0 0: readonly no_auth", None),
        ("m.watch -2 1 -1 1: noscript loading stale fast", None),
        ("m.tx 1 0 0 0: readonly no_multi", None),
        ("m.ask 2 1 1 1: readonly asking", None),
        (
            "m.read 2 1 1 1: readonly noscript",
            Some(LearnedRoute::Keyed),
        ),
        (
            "m.hidden -2 0 0 0: readonly movablekeys",
            Some(LearnedRoute::HiddenKeys),
        ),
        (
            "m.nonsense -2 1 0 1: readonly",
            Some(LearnedRoute::HiddenKeys),
        ),
        (
            "m.nonsense -2 1 1 0: readonly",
            Some(LearnedRoute::HiddenKeys),
        ),
        (
            "m.nonsense -2 -1 1 1: readonly",
            Some(LearnedRoute::HiddenKeys),
        ),
    ] {
        let learned = Learned::from_reply(&Value::Array(vec![simple(line)]));
        let name = line.split(' ').next().unwrap_or("");
        let route = learned.get(name.as_bytes()).expect(line).route;
        match expected {
            Some(expected) => assert_eq!(route, expected, "{line}"),
            None => assert!(matches!(route, LearnedRoute::Refused(_)), "{line}"),
        }
    }
}

#[test]
fn a_command_that_a_server_marks_as_one_for_all_nodes_is_for_no_single_one() {
    let Value::Array(mut fields) = simple("m.total 1 0 0 0: readonly") else {
        panic!("an entry is an array")
    };
    fields[7] = Value::Array(vec![word("request_policy:all_shards")]);
    let learned = Learned::from_reply(&Value::Array(vec![Value::Array(fields)]));
    assert_eq!(
        learned.get(b"m.total").map(|command| command.route),
        Some(LearnedRoute::Refused(KEYLESS))
    );
}

#[test]
fn what_modules_declare_is_corrected_by_their_documents() {
    use LearnedRoute::{AllPrimaries, ListsIndexes, OfIndex, OneNode, Split};
    let path = SplitShape {
        first: 1,
        step: 1,
        tail: 1,
    };
    for (line, route, request_line, keys) in [
        (
            "json.mget -1 1 1 1: readonly module",
            Split(path, Merge::Elements),
            "JSON.MGET a b c $",
            Some("a b c"),
        ),
        (
            "json.mset -1 1 -1 3: write module",
            Split(SplitShape::of_step(3), Merge::AllOk),
            "JSON.MSET a $ 1 b $ 2",
            Some("a b"),
        ),
        (
            "cms.merge -1 1 1 1: write module",
            LearnedRoute::Keyed,
            "CMS.MERGE d 2 a b WEIGHTS 1 2",
            Some("d a b"),
        ),
        (
            "tdigest.merge -1 1 1 1: write module",
            LearnedRoute::Keyed,
            "TDIGEST.MERGE d x a",
            None,
        ),
        (
            "graph.list -1 0 0 0: readonly module",
            AllPrimaries(Merge::Concat),
            "GRAPH.LIST",
            Some(""),
        ),
        (
            "graph.copy -1 1 2 1: write module",
            LearnedRoute::Blocking,
            "GRAPH.COPY a b",
            Some("a b"),
        ),
        (
            "graph.info -1 1 1 1: readonly module",
            OneNode,
            "GRAPH.INFO",
            Some(""),
        ),
        (
            "ft.create -1 1 1 1: write module",
            OfIndex { at: 1 },
            "FT.CREATE i",
            Some(""),
        ),
        (
            "ft._list -1 0 0 0: readonly module",
            ListsIndexes,
            "FT._LIST",
            Some(""),
        ),
        (
            "ft.sugadd -1 1 1 1: write module",
            LearnedRoute::Keyed,
            "FT.SUGADD k s 1",
            Some("k"),
        ),
    ] {
        let learned = Learned::from_reply(&Value::Array(vec![simple(line)]));
        let (buf, args) = request(request_line);
        let command = learned.resolve(&buf, &args).expect(line);
        assert_eq!(command.route, route, "{line}");
        let found = keys_of(command, request_line).map(|keys| keys.join(" "));
        assert_eq!(found.ok().as_deref(), keys, "{line}");
    }
    // A server's own command with such a name follows its own entry.
    let own = Learned::from_reply(&Value::Array(vec![simple("ft.search -1 1 1 1: readonly")]));
    assert_eq!(
        own.get(b"ft.search").map(|command| command.route),
        Some(LearnedRoute::Keyed)
    );
}

#[test]
fn commands_of_several_nodes_are_joined() {
    let of = |line: &str| Learned::from_reply(&Value::Array(vec![simple(line)]));
    let one = of("m.get 2 1 1 1: readonly module");
    let other = of("search.clusterinfo -1 0 0 0: readonly module");
    let again = of("m.get 3 2 2 1: readonly module");
    assert!(other.has_search_coordinator() && !one.has_search_coordinator());
    let joined = Learned::joined([&one, &other, &again]);
    assert!(joined.has_search_coordinator() && joined.knows(b"M.GET"));
    assert_eq!(joined.get(b"m.get").map(|command| command.arity), Some(2));
    assert_eq!(joined.len(), 2);
}

#[test]
fn a_reply_that_is_none_teaches_nothing() {
    for reply in [
        Value::Nil,
        Value::Okay,
        Value::Int(3),
        Value::Array(vec![
            Value::Nil,
            Value::Array(Vec::new()),
            Value::Array(vec![Value::Int(1)]),
        ]),
        Value::Array(vec![Value::Array(vec![Value::BulkString(vec![0xff])])]),
        Value::Array(vec![Value::Array(vec![Value::BulkString(Vec::new())])]),
    ] {
        assert!(Learned::from_reply(&reply).is_empty(), "{reply:?}");
    }
    let bare = Learned::from_reply(&Value::Array(vec![Value::Array(vec![word("m.bare")])]));
    assert_eq!(
        bare.get(b"m.bare")
            .map(|command| (command.arity, command.route)),
        Some((-1, LearnedRoute::Refused(KEYLESS)))
    );
}

#[test]
fn commands_of_the_table_that_the_upstream_lacks() {
    let command = |name: &str, sub: &[u8]| {
        let container = lookup(name.as_bytes()).expect(name);
        container.subcommand(sub).unwrap_or(container)
    };
    let container = |subcommands| entry("xgroup -2 0 0 0:", Vec::new(), subcommands);
    let create = || simple("xgroup|create -5 2 2 1: write");
    let newer = Learned::from_reply(&Value::Array(vec![
        simple("set -3 1 1 1: write"),
        container(vec![create()]),
    ]));
    let older = Learned::from_reply(&Value::Array(vec![
        simple("msetex -4 1 1 1: write"),
        container(Vec::new()),
    ]));
    let untold = Learned::default();
    for (name, sub, expected) in [
        ("set", "", [false, true, false]),
        ("msetex", "", [true, false, false]),
        ("xgroup", "create", [false, false, false]),
        ("xgroup", "destroy", [true, false, false]),
    ] {
        let command = command(name, sub.as_bytes());
        let found = [&newer, &older, &untold].map(|learned| learned.lacks(command));
        assert_eq!(found, expected, "{name} {sub}");
    }
    let rewritten = |learned: &Learned| {
        ["set", "msetex", "append"].map(|name| learned.lacks_rewritten(command(name, b"")))
    };
    assert_eq!(rewritten(&newer), [false, true, false]);
    assert_eq!(rewritten(&older), [true, false, false]);
    assert_eq!(rewritten(&untold), [false; 3]);
}
