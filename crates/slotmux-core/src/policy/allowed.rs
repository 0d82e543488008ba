//! The limits of a namespace apart from its TTL: denied commands, read-only, longest key, largest value.

use super::arguments::ArgumentFacts;
use super::govern::PolicyCase;
use super::{NamespaceId, Policies, Policy, Refusal, RefusalRule, patterns};
use crate::command::{CommandRef, Flags};
use crate::config::UnmatchedKeys;
use crate::resp::request::Request;

/// Longest quotation of a key in an error.
const QUOTED: usize = 64;

/// The namespace of the first key, and why the request is refused, if it is: the first reason that is found.
pub(super) fn check(case: &PolicyCase) -> (NamespaceId, Option<Refusal>) {
    if !case.policies.restricts() {
        return (namespace_of_first(case), None);
    }
    let arguments = ArgumentFacts::new(case);
    let mut first = None;
    let mut refusal = None;
    // If no key can be found, the server reports the error.
    let _ = case.each_key(|at| {
        let namespace = case.policies.find(case.request.arg(at));
        first.get_or_insert(namespace);
        if refusal.is_none() {
            refusal = refused(&arguments, at, namespace);
        }
    });
    if refusal.is_none() && matches!(case.command.full_name(), "sort" | "sort_ro") {
        refusal = patterns::refused(case);
    }
    (first.unwrap_or_default(), refusal)
}

fn namespace_of_first(case: &PolicyCase) -> NamespaceId {
    let mut first = None;
    // If no key can be found, the server reports the error.
    let _ = case.each_key(|at| {
        first.get_or_insert(at);
    });
    first.map_or(NamespaceId::UNMATCHED, |at| {
        case.policies.find(case.request.arg(at))
    })
}

/// The namespace of a request's first key, if all of its keys permit it.
pub fn permitted(
    request: &Request,
    command: CommandRef<'_>,
    policies: &Policies,
) -> Result<NamespaceId, Refusal> {
    if !policies.is_active() {
        return Ok(NamespaceId::UNMATCHED);
    }
    let case = PolicyCase {
        request,
        command,
        policies,
        now: || 0,
    };
    match check(&case) {
        (namespace, None) => Ok(namespace),
        (_, Some(refusal)) => Err(refusal),
    }
}

/// Why a request is refused for its key in argument `at`.
fn refused(arguments: &ArgumentFacts, at: usize, namespace: NamespaceId) -> Option<Refusal> {
    let case = arguments.case;
    let key = case.request.arg(at);
    let Some(policy) = case.policies.get(namespace) else {
        // A channel is not a key, though SPUBLISH declares it as one.
        if case.command.flags().contains(Flags::PUBSUB) {
            return None;
        }
        let text = match case.policies.unmatched() {
            UnmatchedKeys::Reject => format!(
                "ERR slotmux: no namespace has the key '{}' (unmatched = \"reject\")",
                quoted(key)
            ),
            UnmatchedKeys::ReadOnly if arguments.changes(at) => format!(
                "ERR slotmux: no namespace has the key '{}', and such keys are read-only (unmatched = \"read-only\")",
                quoted(key)
            ),
            UnmatchedKeys::ReadOnly | UnmatchedKeys::Allow => return None,
        };
        return Some(RefusalRule::Unmatched.of_none().with(text));
    };
    let name = &policy.name;
    let refused = |rule: RefusalRule, text| Some(rule.of(namespace).with(text));
    if policy.read_only && arguments.changes(at) {
        let text = format!("ERR slotmux: namespace '{name}' is read-only (read_only)");
        return refused(RefusalRule::ReadOnly, text);
    }
    if let Some(denied) = denied(policy, case.command.full_name()) {
        let text = format!("ERR slotmux: namespace '{name}' refuses the command '{denied}' (deny)");
        return refused(RefusalRule::Deny, text);
    }
    if let Some(max) = policy.max_key.filter(|&max| key.len() > max) {
        let text = format!(
            "ERR slotmux: a key of {} bytes is above the {max} that namespace '{name}' allows (max_key)",
            key.len()
        );
        return refused(RefusalRule::MaxKey, text);
    }
    if let Some((max, len)) = policy
        .max_value
        .and_then(|max| Some((max, arguments.too_large(at, max)?)))
    {
        let text = format!(
            "ERR slotmux: an argument of {len} bytes is above the {max} that namespace '{name}' allows (max_value)"
        );
        return refused(RefusalRule::MaxValue, text);
    }
    None
}

/// The entry of `deny` that refuses a command: its own, or that of its container.
pub(super) fn denied<'a>(policy: &Policy, full_name: &'a str) -> Option<&'a str> {
    if policy.deny.is_empty() {
        return None;
    }
    let container = full_name.split('|').next().unwrap_or(full_name);
    let is_denied = |name: &&str| policy.deny.iter().any(|denied| denied == name);
    [full_name, container].into_iter().find(is_denied)
}

/// The start of a key as it may stand in an error.
fn quoted(key: &[u8]) -> String {
    match key.get(..QUOTED) {
        Some(start) if key.len() > QUOTED => format!("{}…", start.escape_ascii()),
        _ => key.escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Policies;
    use super::super::rows::{check, namespace, seconds};
    use crate::config::{Config, Namespace, TtlMode, UnmatchedKeys};

    fn with(unmatched: UnmatchedKeys, change: impl FnOnce(&mut Namespace)) -> Policies {
        let mut first = namespace("keys", "k", |ttl| {
            ttl.mode = TtlMode::Observe;
            ttl.default = seconds(10);
        });
        change(&mut first);
        Policies::new(&Config {
            namespaces: vec![first, namespace("free", "f", |_| {})],
            unmatched,
            ..Config::default()
        })
    }

    #[test]
    fn keys_of_no_namespace() {
        let none = "refused: -ERR slotmux: no namespace has the key 'x' (unmatched = \"reject\")";
        check(
            &with(UnmatchedKeys::Reject, |_| {}),
            &[
                ("GET x", none),
                ("SET x v", none),
                ("MGET f x", none),
                ("SET f v", "="),
                ("SET k v", "defaulted: ="),
                ("SPUBLISH x m", "="),
                ("WATCH x", none),
            ],
        );
        let read_only = "refused: -ERR slotmux: no namespace has the key 'x', and such keys are read-only (unmatched = \"read-only\")";
        check(
            &with(UnmatchedKeys::ReadOnly, |_| {}),
            &[
                ("GET x", "="),
                ("WATCH x", "="),
                ("SET x v", read_only),
                ("DEL f x", read_only),
                ("RENAME x f", read_only),
                ("COPY x f", "="),
                ("SORT x STORE f", "="),
                ("SORT f STORE x", read_only),
                ("SORT f STORE by STORE x", read_only),
                ("SORT f BY\0 STORE STORE\0 x", read_only),
                ("SORT f STORE x STORE f", "="),
                ("SORT f NOVEL by STORE x", read_only),
                ("GEORADIUS f 1 2 3 m STORE f STORE x", read_only),
                ("GEORADIUS f 1 2 3 m STORE f STOREDIST\0x x", read_only),
                ("MIGRATE h 1 '' 0 9 KEYS\0 x", read_only),
                ("MIGRATE h 1 '' 0 9 AUTH\0 KEYS KEYS x", read_only),
                ("XREADGROUP GROUP g STREAMS STREAMS x >", read_only),
                ("XREADGROUP GROUP g c STREAMS\0x x >", read_only),
                ("EVAL s 1 x", read_only),
                ("EVAL_RO s 1 x", "="),
            ],
        );
    }

    #[test]
    fn read_only() {
        let refused = "refused: -ERR slotmux: namespace 'keys' is read-only (read_only)";
        check(
            &with(UnmatchedKeys::Allow, |keys| keys.read_only = true),
            &[
                ("GET k", "="),
                ("EXISTS k", "="),
                ("SUNIONSTORE f k", "="),
                ("SET k v", refused),
                ("EXPIRE k 5", refused),
                ("MSET f 1 k 2", refused),
                ("SUNIONSTORE k f", refused),
                ("RPOPLPUSH k f", refused),
                ("SET x v", "="),
            ],
        );
    }

    #[test]
    fn deny() {
        let policies = with(UnmatchedKeys::Allow, |keys| {
            keys.deny = ["hgetall", "object", "xgroup|create"]
                .map(str::to_owned)
                .to_vec();
        });
        let refused = |name| {
            format!("refused: -ERR slotmux: namespace 'keys' refuses the command '{name}' (deny)")
        };
        check(
            &policies,
            &[
                ("hGetAll k", &refused("hgetall")),
                ("OBJECT FREQ k", &refused("object")),
                ("XGROUP CREATE k g $", &refused("xgroup|create")),
                ("XGROUP SETID k g $", "="),
                ("HGETALL f", "="),
                ("HGET k f", "="),
            ],
        );
    }

    #[test]
    fn the_whole_keyspace() {
        let everywhere = |policies: &Policies, name: &str, write: bool| {
            crate::policy::permitted_everywhere(name, write, policies).is_ok()
        };
        let open = with(UnmatchedKeys::Allow, |_| {});
        assert!(everywhere(&open, "flushall", true));
        let read_only = with(UnmatchedKeys::Allow, |keys| keys.read_only = true);
        assert!(!everywhere(&read_only, "flushall", true));
        assert!(everywhere(&read_only, "dbsize", false));
        let denied = with(UnmatchedKeys::Allow, |keys| {
            keys.deny = vec!["keys".to_owned()]
        });
        assert!(!everywhere(&denied, "keys", false));
        assert!(!everywhere(
            &with(UnmatchedKeys::ReadOnly, |_| {}),
            "flushdb",
            true
        ));
    }

    #[test]
    fn sizes() {
        let policies = with(UnmatchedKeys::Allow, |keys| {
            keys.max_key = Some(5);
            keys.max_value = Some(10);
        });
        let long_key = "refused: -ERR slotmux: a key of 6 bytes is above the 5 that namespace 'keys' allows (max_key)";
        let large = "refused: -ERR slotmux: an argument of 11 bytes is above the 10 that namespace 'keys' allows (max_value)";
        check(
            &policies,
            &[
                ("GET k2345", "="),
                ("GET k23456", long_key),
                ("SET k2345 1234567890", "defaulted: ="),
                ("SET k 12345678901", large),
                ("HSET k f 1 g 12345678901", large),
                ("HSET k 12345678901 1", large),
                ("HGET k 12345678901", "="),
                ("SUNIONSTORE k f1234567890", "appended: ="),
                ("MSET k 1 f 12345678901", "defaulted: ="),
                ("MSET f 1 k 12345678901", large),
                ("MSETEX 1 k 12345678901", large),
                ("SET f 12345678901", "="),
            ],
        );
    }

    #[test]
    fn the_text_of_a_script_is_no_value() {
        let large = "refused: -ERR slotmux: an argument of 11 bytes is above the 10 that namespace 'keys' allows (max_value)";
        check(
            &with(UnmatchedKeys::Allow, |keys| keys.max_value = Some(10)),
            &[
                ("EVAL return'12345678901 1 k v", "appended: ="),
                ("EVALSHA 12345678901 1 k v", "appended: ="),
                ("FCALL f12345678901 1 k v", "appended: ="),
                ("EVAL s 1 k 12345678901", large),
                ("EVAL s 2 k f 1 12345678901", large),
                ("FCALL f 1 k 12345678901", large),
            ],
        );
    }

    /// Keys are no values, wherever they stand and in whichever order they are found.
    #[test]
    fn keys_among_the_values() {
        let large = "refused: -ERR slotmux: an argument of 11 bytes is above the 10 that namespace 'keys' allows (max_value)";
        check(
            &with(UnmatchedKeys::Allow, |keys| keys.max_value = Some(10)),
            &[
                ("DEL k1234567890 f1234567890 k", "="),
                ("ZUNIONSTORE k 2 f1234567890 f2345678901", "appended: ="),
                ("ZUNIONSTORE k1234567890 1 f 12345678901", large),
                ("SORT k LIMIT 0 1 STORE k1234567890", "appended: ="),
                ("SORT f GET 12345678901 STORE k", large),
                ("BITOP AND k f1234567890", "appended: ="),
            ],
        );
    }

    /// A walk over all arguments for each key would not end in the life of this test.
    #[test]
    fn many_keys_above_the_largest_value() {
        let policies = with(UnmatchedKeys::Allow, |keys| {
            keys.max_value = Some(1);
            keys.read_only = false;
        });
        let line = format!("DEL{}", " k1".repeat(500_000));
        check(&policies, &[(&line, "=")]);
        let read_only = with(UnmatchedKeys::ReadOnly, |_| {});
        // Behind an unknown option every STORE counts.
        let line = format!("SORT f x{}", " STORE f1".repeat(200_000));
        check(&read_only, &[(&line, "=")]);
    }
}
