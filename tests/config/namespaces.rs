//! Every key of a namespace reaches its field, directly and by inheritance.

use std::time::Duration;

use slotmux_core::config::{
    Config, CrossSlot, FlushCommands, JitterBy, KeepTtl, Multi, Namespace, OverMax, Persist,
    RetryWrites, ScriptKeys, Strength, Ttl, TtlMode, UnmatchedKeys, keys,
};

use crate::{CLUSTER, loaded};

const HOUR: Duration = Duration::from_secs(3600);

/// Each key that can be inherited, with a value that is not its default and the resulting field of the namespace.
type Row = (&'static str, &'static str, fn(&mut Namespace));
const INHERITED: &[Row] = &[
    ("read_only", "true", |n| n.read_only = true),
    ("max_key", "\"1KiB\"", |n| n.max_key = Some(1024)),
    ("max_value", "\"4MiB\"", |n| n.max_value = Some(4 << 20)),
    ("deny", "[\"FLUSHALL\", \"object|freq, get\"]", |n| {
        n.deny = ["flushall", "object|freq", "get"]
            .map(str::to_owned)
            .to_vec();
    }),
    ("multi", "\"reject\"", |n| n.multi = Multi::Reject),
    ("multi", "\"split\"", |n| n.multi = Multi::Split),
    ("cross_slot", "\"reject\"", |n| {
        n.cross_slot = CrossSlot::Reject;
    }),
    ("cross_slot", "\"all\"", |n| n.cross_slot = CrossSlot::All),
    ("retry_writes", "\"idempotent\"", |n| {
        n.retry_writes = RetryWrites::Idempotent;
    }),
    ("ttl.mode", "\"off\"", |n| n.ttl.mode = TtlMode::Off),
    ("ttl.mode", "\"observe\"", |n| n.ttl.mode = TtlMode::Observe),
    ("ttl.default", "\"12h\"", |n| {
        n.ttl.default = Some(12 * HOUR)
    }),
    ("ttl.max", "\"7d\"", |n| n.ttl.max = Some(168 * HOUR)),
    ("ttl.min", "\"1.5s\"", |n| {
        n.ttl.min = Some(Duration::from_millis(1500));
    }),
    ("ttl.jitter", "0.1", |n| n.ttl.jitter = 0.1),
    ("ttl.jitter", "1", |n| n.ttl.jitter = 1.0),
    ("ttl.jitter_by", "\"random\"", |n| {
        n.ttl.jitter_by = JitterBy::Random;
    }),
    ("ttl.over_max", "\"reject\"", |n| {
        n.ttl.over_max = OverMax::Reject;
    }),
    ("ttl.persist", "\"rewrite\"", |n| {
        n.ttl.persist = Persist::Rewrite;
    }),
    ("ttl.persist", "\"reject\"", |n| {
        n.ttl.persist = Persist::Reject;
    }),
    ("ttl.keepttl", "\"honour\"", |n| {
        n.ttl.keepttl = KeepTtl::Honour;
    }),
    ("ttl.strength", "\"pipelined\"", |n| {
        n.ttl.strength = Strength::Pipelined;
    }),
    ("ttl.strength", "\"inline-only\"", |n| {
        n.ttl.strength = Strength::InlineOnly;
    }),
    ("ttl.scripts", "\"allow\"", |n| {
        n.ttl.scripts = ScriptKeys::Allow
    }),
    ("ttl.scripts", "\"reject\"", |n| {
        n.ttl.scripts = ScriptKeys::Reject;
    }),
];

fn namespace(name: &str, prefixes: &[&str]) -> Namespace {
    Namespace {
        name: name.into(),
        prefixes: prefixes.iter().map(|&prefix| prefix.to_owned()).collect(),
        ttl: Ttl::default(),
        ttl_env: Vec::new(),
        read_only: false,
        max_key: None,
        max_value: None,
        deny: Vec::new(),
        multi: Multi::default(),
        cross_slot: CrossSlot::default(),
        retry_writes: RetryWrites::default(),
    }
}

fn read(file: &str) -> Config {
    loaded(&format!("{file}\n{CLUSTER}"), &[])
}

#[test]
fn the_tables_below_have_every_key() {
    let mut inherited: Vec<&str> = INHERITED.iter().map(|(key, _, _)| *key).collect();
    inherited.dedup();
    let keys = keys::all();
    let below = |section: &str| -> Vec<String> {
        let below = keys.iter().filter_map(|key| key.strip_prefix(section));
        below.map(str::to_owned).collect()
    };
    assert_eq!(
        below("namespace."),
        [&["name", "match", "ttl_env"], &inherited[..]].concat()
    );
    assert_eq!(
        below("defaults.namespace."),
        [&["unmatched", "flush"], &inherited[..]].concat()
    );
}

#[test]
fn a_namespace_has_exactly_its_own_settings() {
    let file = "[[namespace]]\nname = \"a\"\nmatch = [\"a:\", \"${b}\"]\nttl_env = [\"A_TTL\", \"OTHER\"]\n";
    let mut expected = namespace("a", &["a:", "B:"]);
    expected.ttl_env = ["A_TTL", "OTHER"].map(str::to_owned).to_vec();
    let config = loaded(&format!("{file}{CLUSTER}"), &[("b", "B:")]);
    assert_eq!(config.namespaces, [expected]);
    for (key, value, change) in INHERITED {
        let file = format!("[[namespace]]\nname = \"a\"\nmatch = \"a:\"\n{key} = {value}\n");
        let mut expected = namespace("a", &["a:"]);
        change(&mut expected);
        assert_eq!(read(&file).namespaces, [expected], "{key}");
    }
}

#[test]
fn inheritance_works_key_by_key() {
    for (key, value, change) in INHERITED {
        // The order of the file does not matter.
        let file = format!(
            "[[namespace]]\nname = \"a\"\nmatch = \"a:\"\n[defaults.namespace]\n{key} = {value}\n"
        );
        let mut expected = namespace("a", &["a:"]);
        change(&mut expected);
        assert_eq!(read(&file).namespaces, [expected], "{key}");
    }
    let config = read(
        "[defaults.namespace]\ndeny = \"keys\"\nttl = { default = \"1h\", max = \"2h\", jitter = 0.5 }\n\
         [[namespace]]\nname = \"a\"\nmatch = \"a:\"\nttl.default = \"2h\"\n\
         [[namespace]]\nname = \"b\"\nmatch = \"b:\"\ndeny = []\n[namespace.ttl]\nmax = 0\njitter = 0\n",
    );
    let [a, b] = &config.namespaces[..] else {
        panic!("two namespaces");
    };
    assert_eq!(
        (a.ttl.default, a.ttl.max, a.ttl.jitter, a.deny.len()),
        (Some(2 * HOUR), Some(2 * HOUR), 0.5, 1)
    );
    assert_eq!(
        (b.ttl.default, b.ttl.max, b.ttl.jitter, b.deny.len()),
        (Some(HOUR), None, 0.0, 0)
    );
}

#[test]
fn a_policy_is_written_in_braces_or_as_a_section() {
    let head = "[[namespace]]\nname = \"a\"\nmatch = \"a:\"\n";
    let braces = read(&format!(
        "{head}ttl = {{ default = \"1h\", mode = \"observe\" }}"
    ));
    let section = read(&format!(
        "{head}[namespace.ttl]\ndefault = \"1h\"\nmode = \"observe\""
    ));
    assert_eq!(braces, section);
    assert_eq!(braces.namespaces[0].ttl.default, Some(HOUR));
}

#[test]
fn zero_and_none_remove_an_inherited_ttl() {
    for none in ["0", "\"0s\"", "\"0\"", "\"none\""] {
        for key in ["default", "max", "min"] {
            let config = read(&format!(
                "[defaults.namespace.ttl]\n{key} = \"1h\"\n[[namespace]]\nname = \"a\"\nmatch = \"a:\"\nttl.{key} = {none}"
            ));
            assert_eq!(config.namespaces[0].ttl, Ttl::default(), "{key} = {none}");
        }
    }
}

#[test]
fn rules_for_unmatched_keys() {
    for (word, unmatched) in [
        ("allow", UnmatchedKeys::Allow),
        ("read-only", UnmatchedKeys::ReadOnly),
        ("reject", UnmatchedKeys::Reject),
    ] {
        let config = read(&format!("defaults.namespace.unmatched = \"{word}\""));
        assert_eq!(config.unmatched, unmatched);
    }
    for (word, flush) in [
        ("cluster", FlushCommands::Cluster),
        ("reject", FlushCommands::Reject),
    ] {
        let config = read(&format!("defaults.namespace.flush = \"{word}\""));
        assert_eq!(config.commands.flush, flush);
    }
}

#[test]
fn variables_reach_namespaces_and_inherited_settings() {
    let file = format!(
        "[[namespace]]\nname = \"a-b\"\nmatch = \"a:\"\nttl.max = \"2h\"\n\
         [[namespace]]\nname = \"c\"\nmatch = \"c:\"\n{CLUSTER}"
    );
    let config = loaded(
        &file,
        &[
            ("SLOTMUX__DEFAULTS__NAMESPACE__TTL__MAX", "3h"),
            ("SLOTMUX__DEFAULTS__NAMESPACE__TTL__JITTER", "0.5"),
            ("SLOTMUX__DEFAULTS__NAMESPACE__UNMATCHED", "reject"),
            ("SLOTMUX__NAMESPACE__A_B__TTL__MIN", "1s"),
            ("SLOTMUX__NAMESPACE__A_B__READ_ONLY", "true"),
            ("SLOTMUX__NAMESPACE__C__TTL__MAX", "4h"),
            ("SLOTMUX__NAMESPACE__C__DENY", "get,set"),
        ],
    );
    let [a, c] = &config.namespaces[..] else {
        panic!("two namespaces");
    };
    // A key of one namespace in the file overrides a variable for all namespaces.
    assert_eq!(
        (a.ttl.max, a.ttl.min, a.ttl.jitter, a.read_only),
        (Some(2 * HOUR), Some(Duration::from_secs(1)), 0.5, true)
    );
    assert_eq!(
        (c.ttl.max, c.ttl.min, c.deny.len()),
        (Some(4 * HOUR), None, 2)
    );
    assert_eq!(config.unmatched, UnmatchedKeys::Reject);
}
