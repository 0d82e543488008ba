//! Problems of namespaces, and the lines about them.

use slotmux_core::config::load_with_origins;

use crate::problems::{bad, pairs, refused};
use crate::{CLUSTER, lines, sources};

/// Behind the first three lines of a namespace "a", which matches "a:".
const NAMESPACES: &str = r#"
ttl.max = "5"
-> 4:11: namespace.ttl.max: expected a duration such as "250ms", "5s" or "12h", got "5"
ttl.default = 5
-> 4:15: namespace.ttl.default: expected a duration such as "250ms", "5s" or "12h", got an integer
ttl.default = "-5s"
-> 4:15: namespace.ttl.default: expected a duration such as "250ms", "5s" or "12h", got "-5s"
ttl.min = "40000d"
-> 4:11: namespace.ttl.min: 40000d is out of range: 1ms to 36500d
ttl.jitter = 1.01
-> 4:14: namespace.ttl.jitter: 1.01 is out of range: 0 to 1
ttl.jitter = -0.1
-> 4:14: namespace.ttl.jitter: -0.1 is out of range: 0 to 1
ttl.jitter = nan
-> 4:14: namespace.ttl.jitter: NaN is out of range: 0 to 1
ttl.jitter = "0.1"
-> 4:14: namespace.ttl.jitter: expected a number from 0 to 1, got a string
ttl.mode = "enforced"
-> 4:12: namespace.ttl.mode: expected one of "off", "observe", "enforce", got "enforced"; did you mean "enforce"?
ttl = "12h"
-> 4:7: namespace.ttl: expected a section, got a string
ttl.defualt = "1h"
-> 4:5: namespace.ttl.defualt: unknown key; did you mean `default`?
default = "1h"
-> 4:1: namespace.default: unknown key here; it belongs to section `namespace.ttl`
shards = "split"
-> 4:1: namespace.shards: unknown key; known here: name, match, ttl_env, read_only, max_key, max_value, deny, multi, cross_slot, retry_writes, ttl
ttl.sliding = "off"
-> 4:5: namespace.ttl.sliding: unknown key; known here: mode, default, max, min, jitter, jitter_by, over_max, persist, keepttl, strength, scripts
multi = "splitt"
-> 4:9: namespace.multi: expected one of "reject", "split-readonly", "split", got "splitt"; did you mean "split"?
read_only = "yes"
-> 4:13: namespace.read_only: expected true or false, got a string
max_key = "1k"
-> 4:11: namespace.max_key: expected a size such as "64KiB" or "8MiB", got "1k"
max_value = "3GiB"
-> 4:13: namespace.max_value: 3GiB is out of range: 1B to 2GiB
deny = ["get", "flushal"]
-> 4:16: namespace.deny: there is no command "flushal"; did you mean "flushall"?
deny = "object|frq"
-> 4:8: namespace.deny: there is no command "object|frq"; did you mean "object|freq"?
ttl_env = "A-B"
-> 4:11: namespace.ttl_env: "A-B" names no environment variable
ttl_env = ["X", "REDIS_URL"]
-> 4:17: namespace.ttl_env: REDIS_URL has a meaning of its own
ttl_env = ["X", "X"]
-> 4:17: namespace.ttl_env: X stands twice
ttl = { default = "2h", max = "1h" }
-> 4:19: namespace.ttl.default: 2h is above max, 1h (f.toml:4:31) of namespace "a"
ttl = { default = "1h", min = "2h" }
-> 4:19: namespace.ttl.default: 1h is below min, 2h (f.toml:4:31) of namespace "a"
ttl = { max = "1h", min = "2h" }
-> 4:15: namespace.ttl.max: 1h is below min, 2h (f.toml:4:27) of namespace "a"
[[namespace]]
name = "b"
match = ["b:", "a:"]
-> 6:16: namespace.match: "a:" is a prefix of namespace "a" already
[[namespace]]
name = "b"
match = ["b:", "b:"]
-> 6:16: namespace.match: "b:" stands twice
[[namespace]]
name = "a"
match = "b:"
-> 5:8: namespace.name: there is another namespace named "a"
[[namespace]]
name = "b"
match = ["b:", ""]
-> 6:16: namespace.match: an empty prefix would match every key; what is allowed on keys of no namespace is defaults.namespace.unmatched
[[namespace]]
name = "b"
match = []
-> 6:9: namespace.match: an empty list: no key would be of this namespace
[[namespace]]
name = "b"
ttl.default = "1h"
-> 4:1: namespace.match: missing; a [[namespace]] has a name and prefixes to match
[[namespace]]
match = "b:"
-> 4:1: namespace.name: missing; a [[namespace]] has a name and prefixes to match
[[namespace]]
name = "A"
match = "b:"
-> 5:8: namespace.name: "a" and "A" would both be set by REDIS_TTL_A
[[namespace]]
name = "b"
match = "b:"
ttl_env = "REDIS_TTL_A"
-> 7:11: namespace.ttl_env: REDIS_TTL_A is a variable of namespace "a" already
ttl_env = "X"
[[namespace]]
name = "b"
match = "b:"
ttl_env = ["Y", "X"]
-> 8:17: namespace.ttl_env: X is a variable of namespace "a" already
[defaults.namespace]
unmatched = "readonly"
-> 5:13: defaults.namespace.unmatched: expected one of "allow", "read-only", "reject", got "readonly"; did you mean "read-only"?
[defaults.namespace]
name = "b"
-> 5:1: defaults.namespace.name: unknown key here; it belongs to section `namespace`
[defaults.namespace]
ttl = { default = "2h", max = "1h" }
-> 5:19: defaults.namespace.ttl.default: 2h is above max, 1h (f.toml:5:31)
ttl.default = "2h"
[defaults.namespace]
ttl.max = "1h"
-> 4:15: namespace.ttl.default: 2h is above max, 1h (f.toml:6:11) of namespace "a"
ttl.max = "1h"
[defaults.namespace]
ttl.default = "2h"
-> 6:15: namespace.ttl.default: 2h is above max, 1h (f.toml:4:11) of namespace "a"
[defaults.cluster]
-> 4:11: defaults.cluster: unknown section; known here: namespace
"#;

const A: &str = "[[namespace]]\nname = \"a\"\nmatch = \"a:\"\n";

#[test]
fn invalid_namespaces_are_reported() {
    for (file, said) in pairs(NAMESPACES) {
        bad(&format!("{A}{file}"), &[&format!("f.toml:{said}")]);
    }
    bad(
        "[namespace]\nname = \"a\"",
        &["f.toml:1:1: namespace: this section is written with two brackets: [[namespace]]"],
    );
}

#[test]
fn every_problem_of_a_namespace_at_once() {
    bad(
        "[[namespace]]\nmatch = [\"\", 1]\ndeny = [\"gett\", \"sett\"]\nttl = { default = \"3h\", max = \"1h\", min = \"2h\" }",
        &[
            "f.toml:1:1: namespace.name: missing; a [[namespace]] has a name and prefixes to match",
            "f.toml:2:10: namespace.match: an empty prefix would match every key; what is allowed on keys of no \
             namespace is defaults.namespace.unmatched",
            "f.toml:2:14: namespace.match: expected a key prefix in quotes, got an integer",
            "f.toml:3:9: namespace.deny: there is no command \"gett\"; did you mean \"get\"?",
            "f.toml:3:17: namespace.deny: there is no command \"sett\"; did you mean \"set\"?",
            "f.toml:4:19: namespace.ttl.default: 3h is above max, 1h (f.toml:4:31)",
            "f.toml:4:31: namespace.ttl.max: 1h is below min, 2h (f.toml:4:43)",
        ],
    );
}

#[test]
fn invalid_variables_of_namespaces_are_reported() {
    let file = format!("{A}{CLUSTER}");
    for (variable, text, said) in [
        (
            "SLOTMUX__NAMESPACE__B__TTL__MAX",
            "1h",
            "namespace.b.ttl.max: the file declares no namespace \"b\"",
        ),
        (
            "SLOTMUX__NAMESPACE__A__TTL__MAXI",
            "1h",
            "namespace.ttl.maxi: unknown key; did you mean `max`?",
        ),
        (
            "SLOTMUX__NAMESPACE__A__READ_ONLY",
            "yes",
            "namespace.read_only: expected true or false, got \"yes\"",
        ),
        (
            "SLOTMUX__DEFAULTS__NAMESPACE__TTL__JITTER",
            "2",
            "namespace.ttl.jitter: 2 is out of range: 0 to 1",
        ),
    ] {
        let said = match variable.contains("DEFAULTS") {
            true => format!("{variable}: defaults.{said}"),
            false => format!("{variable}: {said}"),
        };
        refused(&sources(&file, &[(variable, text)]), &[&said]);
    }
}

/// A whole file before its [[cluster]], and the warnings about it although it is valid.
const WARNINGS: &str = r#"
[[namespace]]
name = "a"
match = "a:"
ttl = { max = "1h" }
-> 4:15: namespace.ttl.persist: "allow" lets PERSIST keep keys of namespace "a" beyond max; "rewrite" or "reject" does not
[[namespace]]
name = "a"
match = "a:"
ttl = { persist = "allow", max = "1h" }
-> 4:19: namespace.ttl.persist: "allow" lets PERSIST keep keys of namespace "a" beyond max; "rewrite" or "reject" does not
[[namespace]]
name = "a"
match = "a*"
-> 3:9: namespace.match: prefixes are literal, and "a*" is not "a" with anything behind it
[defaults.namespace]
unmatched = "reject"
ttl.jitter = 0.1
ttl.max = "1h"
-> 3:14: defaults.namespace: there is no [[namespace]] that inherits it
"#;

#[test]
fn questionable_namespaces_cause_warnings() {
    for (file, said) in pairs(WARNINGS) {
        let loaded = load_with_origins(&sources(&format!("{file}\n{CLUSTER}"), &[])).unwrap();
        assert_eq!(lines(&loaded.warnings), [format!("f.toml:{said}")]);
    }
    for quiet in [
        "ttl = { default = \"1h\" }",
        "ttl = { max = \"1h\", persist = \"rewrite\" }",
        "ttl = { max = \"1h\", persist = \"reject\" }",
        "ttl = { max = \"1h\", mode = \"off\" }",
    ] {
        let loaded = load_with_origins(&sources(&format!("{A}{quiet}\n{CLUSTER}"), &[])).unwrap();
        assert_eq!(lines(&loaded.warnings), [""; 0], "{quiet}");
    }
}
