//! Keys that SORT reads by pattern: BY and GET derive them from the elements of a list, so that they are unknown before
//! it runs. In a single Redis they may be any keys, in a cluster any keys of the slot.

use std::collections::HashMap;

use super::govern::PolicyCase;
use super::prefixes::Prefixes;
use super::{NamespaceId, Policies, Policy, Refusal, RefusalRule};
use crate::c_string;
use crate::command::alike::PATTERN_READS;
use crate::config::UnmatchedKeys;

/// The namespaces that no pattern may reach.
#[derive(Clone, Debug, Default)]
pub(super) struct UnreadableNamespaces {
    /// With the command that each of them denies.
    denied: HashMap<NamespaceId, &'static str>,
    /// Their prefixes in order, so that those with a common start are neighbours.
    prefixes: Vec<(Box<[u8]>, NamespaceId)>,
}

impl UnreadableNamespaces {
    pub(super) fn new(policies: &[Policy], prefixes: &Prefixes) -> UnreadableNamespaces {
        let denied_read = |policy: &Policy| {
            let is_denied = |read: &&str| policy.deny.iter().any(|denied| denied == read);
            PATTERN_READS.into_iter().find(is_denied)
        };
        let numbered = NamespaceId::all().zip(policies);
        let denied: HashMap<_, _> = numbered
            .filter_map(|(id, policy)| Some((id, denied_read(policy)?)))
            .collect();
        let mut own: Vec<(Box<[u8]>, NamespaceId)> = prefixes
            .iter()
            .filter(|(prefix, id)| denied.contains_key(id) && prefixes.find(prefix) == *id)
            .map(|(prefix, id)| (prefix.into(), id))
            .collect();
        own.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        UnreadableNamespaces {
            denied,
            prefixes: own,
        }
    }

    /// The first of them, in the order of the prefixes, whose prefix is `start` and more.
    fn below(&self, start: &[u8]) -> Option<NamespaceId> {
        let at = self
            .prefixes
            .partition_point(|(prefix, _)| **prefix <= *start);
        let (prefix, namespace) = self.prefixes.get(at)?;
        prefix.starts_with(start).then_some(*namespace)
    }
}

/// Why a SORT or SORT_RO is refused because of the keys that its patterns can name: the first reason found.
///
/// Any argument that may be a pattern counts as one, even if it is the argument of another option: the server then
/// refuses the request, or reads no key by it.
pub(super) fn refused(case: &PolicyCase) -> Option<Refusal> {
    let request = case.request;
    let of_word = |at: usize| {
        let word = request.arg(at);
        let is_one = c_string::is(word, b"by") || c_string::is(word, b"get");
        is_one.then(|| request.arg(at + 1))
    };
    let mut patterns = (2..request.argc().saturating_sub(1)).filter_map(of_word);
    patterns.find_map(|pattern| refused_for(case.policies, pattern))
}

fn refused_for(policies: &Policies, pattern: &[u8]) -> Option<Refusal> {
    // Without a star no element is inserted: no key is read, and `#` is the element itself.
    let star = c_string::of(pattern)
        .iter()
        .position(|&byte| byte == b'*')?;
    let start = &pattern[..star];
    let own = policies.find(start);
    if own == NamespaceId::UNMATCHED && policies.unmatched() == UnmatchedKeys::Reject {
        let text = format!(
            "ERR slotmux: the pattern '{}' can name keys of no namespace (unmatched = \"reject\")",
            pattern.escape_ascii()
        );
        return Some(RefusalRule::Unmatched.of_none().with(text));
    }
    let unread = &policies.unread;
    let is_unread = |id: &NamespaceId| unread.denied.contains_key(id);
    let reached = Some(own)
        .filter(is_unread)
        .or_else(|| unread.below(start))?;
    let (policy, read) = (policies.get(reached)?, unread.denied.get(&reached)?);
    let text = format!(
        "ERR slotmux: the pattern '{}' can name keys of namespace '{}', which refuses the command '{read}' (deny)",
        pattern.escape_ascii(),
        policy.name
    );
    Some(RefusalRule::Deny.of(reached).with(text))
}

#[cfg(test)]
mod tests {
    use super::super::Policies;
    use super::super::rows::{check, namespace};
    use crate::config::{Config, UnmatchedKeys};

    fn with(unmatched: UnmatchedKeys, denied: &[&str]) -> Policies {
        let mut secret = namespace("secret", "deny:", |_| {});
        secret.deny = denied.iter().map(|&name| name.to_owned()).collect();
        Policies::new(&Config {
            namespaces: vec![
                secret,
                namespace("inner", "deny:free:", |_| {}),
                namespace("lists", "l", |_| {}),
                namespace("open", "open:", |_| {}),
            ],
            unmatched,
            ..Config::default()
        })
    }

    fn refused(pattern: &str, name: &str) -> String {
        format!(
            "refused: -ERR slotmux: the pattern '{pattern}' can name keys of namespace 'secret', which refuses the command '{name}' (deny)"
        )
    }

    #[test]
    fn no_pattern_reaches_what_is_denied() {
        for name in ["sort", "get"] {
            let policies = with(UnmatchedKeys::Allow, &[name]);
            for (line, pattern) in [
                ("SORT l BY nosort GET deny:*", "deny:*"),
                ("SORT l GET # GET deny:*", "deny:*"),
                ("sort l gEt deny:*", "deny:*"),
                ("SORT l GET\0x deny:*", "deny:*"),
                ("SORT l BY deny:*", "deny:*"),
                ("SORT l BY deny:* BY nosort", "deny:*"),
                ("SORT l LIMIT 0 1 GET deny:x*y STORE l2", "deny:x*y"),
                // Patterns that can name a key of the namespace.
                ("SORT l GET *", "*"),
                ("SORT l GET de*", "de*"),
                ("SORT l GET deny*", "deny*"),
                ("SORT l GET deny:fr*", "deny:fr*"),
                ("SORT l GET deny:*->", "deny:*->"),
            ] {
                check(&policies, &[(line, &refused(pattern, name))]);
            }
            for line in [
                "SORT l",
                "SORT l BY nosort GET #",
                "SORT l BY nosort DESC LIMIT 0 10",
                "SORT l GET deny:1",
                "SORT l BY deny:1",
                "SORT l GET deny:\0*",
                "SORT l GET open:*",
                "SORT l GET open:*->deny:*",
                "SORT l GET deny:free:*",
                "SORT l GET x*",
                "SORT l GET",
                "SORT l STORE l2",
            ] {
                check(&policies, &[(line, "=")]);
            }
        }
    }

    /// A namespace that denies any of the reads is reached by no pattern, of a string or of a field, with or without a NUL.
    #[test]
    fn each_of_the_reads_closes_a_namespace_to_both_commands() {
        for name in ["sort", "sort_ro", "get", "hget"] {
            let policies = with(UnmatchedKeys::Allow, &[name]);
            for command in ["SORT", "SORT_RO"] {
                for (pattern, shown) in [
                    ("deny:*", "deny:*"),
                    ("deny:*->f", "deny:*->f"),
                    ("deny:*->", "deny:*->"),
                    ("deny:*\0->f", "deny:*\\x00->f"),
                    ("deny:*->\0f", "deny:*->\\x00f"),
                ] {
                    for option in ["GET", "BY"] {
                        let line = format!("{command} l {option} {pattern}");
                        check(&policies, &[(&line, &refused(shown, name))]);
                    }
                }
            }
        }
        let other = with(UnmatchedKeys::Allow, &["hgetall", "sort_roo"]);
        check(&other, &[("SORT l GET deny:*->f", "=")]);
    }

    /// The prefixes that may be reached are found as a walk over all of them finds them.
    #[test]
    fn what_a_walk_over_all_prefixes_reaches() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut word = |least: usize| -> String {
            let letters = std::iter::repeat_with(|| random.char('a'..'c'));
            letters.take(least + 3).collect::<String>()[..least + 2].to_owned()
        };
        for round in 0..200 {
            let mut names: Vec<String> = (0..round % 9).map(|at| word(at % 4)).collect();
            names.sort_unstable();
            names.dedup();
            let closed = |at: usize| (at + round).is_multiple_of(3);
            let one = |(at, prefix): (usize, &String)| {
                let mut one = namespace(&format!("n{at}"), prefix, |_| {});
                if closed(at) {
                    one.deny = vec!["get".to_owned()];
                }
                one
            };
            let policies = Policies::new(&Config {
                namespaces: names.iter().enumerate().map(one).collect(),
                ..Config::default()
            });
            for len in 0..5 {
                let start = &word(4)[..len];
                let longest = names
                    .iter()
                    .enumerate()
                    .filter(|(_, prefix)| start.starts_with(*prefix))
                    .max_by_key(|(_, prefix)| prefix.len());
                let own = longest.is_some_and(|(at, _)| closed(at));
                let below = |(at, prefix): (usize, &String)| {
                    closed(at) && prefix.len() > len && prefix.starts_with(start)
                };
                let expected = own || names.iter().enumerate().any(below);
                let pattern = format!("{start}*");
                let found = super::refused_for(&policies, pattern.as_bytes());
                assert_eq!(found.is_some(), expected, "{pattern} of {names:?}");
            }
        }
    }

    /// A walk over all prefixes for each pattern would not end in the life of this test.
    #[test]
    fn many_patterns_of_many_namespaces() {
        let one = |number: usize| {
            let mut one = namespace(&format!("n{number}"), &format!("deny:{number}:"), |_| {});
            one.deny = vec!["get".to_owned()];
            one
        };
        let policies = Policies::new(&Config {
            namespaces: (1..=usize::from(u16::MAX)).map(one).collect(),
            ..Config::default()
        });
        let line = format!("SORT l{}", " GET open:*".repeat(400_000));
        check(&policies, &[(&line, "=")]);
    }

    #[test]
    fn keys_of_no_namespace() {
        let none = |pattern: &str| {
            format!(
                "refused: -ERR slotmux: the pattern '{pattern}' can name keys of no namespace (unmatched = \"reject\")"
            )
        };
        let policies = with(UnmatchedKeys::Reject, &[]);
        check(
            &policies,
            &[
                ("SORT l GET x*", &none("x*")),
                ("SORT l GET *", &none("*")),
                ("SORT_RO l BY open*", &none("open*")),
                ("SORT l GET open:*", "="),
                ("SORT l BY nosort GET #", "="),
            ],
        );
        check(
            &with(UnmatchedKeys::ReadOnly, &[]),
            &[("SORT l GET x*", "="), ("SORT_RO l GET *", "=")],
        );
    }
}
