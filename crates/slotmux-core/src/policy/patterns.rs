//! Keys that SORT reads by pattern: BY and GET derive them from the elements of a list, so that they are unknown before
//! it runs. In a single Redis they may be any keys, in a cluster any keys of the slot.

use super::allowed::denied;
use super::govern::Case;
use super::{NamespaceId, Policies};
use crate::c_string;
use crate::config::Unmatched;

/// Why a SORT or SORT_RO is refused because of the keys that its patterns can name: the first reason found.
///
/// Any argument that may be a pattern counts as one, even if it is the argument of another option: the server then
/// refuses the request, or reads no key by it.
pub(super) fn refused(case: &Case) -> Option<String> {
    let request = case.request;
    let of_word = |at: usize| {
        let word = request.arg(at);
        let is_one = c_string::is(word, b"by") || c_string::is(word, b"get");
        is_one.then(|| request.arg(at + 1))
    };
    let mut patterns = (2..request.argc().saturating_sub(1)).filter_map(of_word);
    patterns.find_map(|pattern| refused_for(case, pattern))
}

fn refused_for(case: &Case, pattern: &[u8]) -> Option<String> {
    // Without a star no element is inserted: no key is read, and `#` is the element itself.
    let star = c_string::of(pattern)
        .iter()
        .position(|&byte| byte == b'*')?;
    let reads = if has_field(pattern, star) {
        "hget"
    } else {
        "get"
    };
    let shown = pattern.escape_ascii();
    for namespace in case.policies.reached_from(&pattern[..star]) {
        let Some(policy) = case.policies.get(namespace) else {
            if case.policies.unmatched() == Unmatched::Reject {
                return Some(format!(
                    "ERR slotmux: the pattern '{shown}' can name keys of no namespace (unmatched = \"reject\")"
                ));
            }
            continue;
        };
        let names = [case.command.full_name(), reads];
        if let Some(name) = names.into_iter().find_map(|name| denied(policy, name)) {
            return Some(format!(
                "ERR slotmux: the pattern '{shown}' can name keys of namespace '{}', which refuses the command '{name}' (deny)",
                policy.name
            ));
        }
    }
    None
}

/// Whether a pattern reads a field of a hash: `->` and at least one byte follow the star.
fn has_field(pattern: &[u8], star: usize) -> bool {
    let behind = &pattern[star + 1..];
    let arrow = behind.windows(2).position(|two| two == b"->");
    arrow.is_some_and(|at| at + 2 < behind.len())
}

impl Policies {
    /// The namespaces of all keys with this prefix, with [`NamespaceId::UNMATCHED`] if some may belong to no namespace.
    fn reached_from<'a>(&'a self, start: &'a [u8]) -> impl Iterator<Item = NamespaceId> + 'a {
        let longer = self
            .prefixes
            .iter()
            .filter(move |(prefix, _)| prefix.len() > start.len() && prefix.starts_with(start));
        std::iter::once(self.find(start)).chain(longer.map(|(_, namespace)| namespace))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Policies;
    use super::super::rows::{check, namespace};
    use crate::config::{Config, Unmatched};

    fn with(unmatched: Unmatched, denied: &[&str]) -> Policies {
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
            let policies = with(Unmatched::Allow, &[name]);
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

    #[test]
    fn a_field_is_read_as_by_hget_and_sort_ro_has_its_own_name() {
        let fields = with(Unmatched::Allow, &["hget"]);
        check(
            &fields,
            &[
                ("SORT l GET deny:*->f", &refused("deny:*->f", "hget")),
                ("SORT_RO l BY deny:*->f", &refused("deny:*->f", "hget")),
                ("SORT l GET deny:*", "="),
            ],
        );
        let read_only = with(Unmatched::Allow, &["sort_ro"]);
        check(
            &read_only,
            &[
                ("SORT_RO l GET deny:*", &refused("deny:*", "sort_ro")),
                ("SORT l GET deny:*", "="),
            ],
        );
    }

    #[test]
    fn keys_of_no_namespace() {
        let none = |pattern: &str| {
            format!(
                "refused: -ERR slotmux: the pattern '{pattern}' can name keys of no namespace (unmatched = \"reject\")"
            )
        };
        let policies = with(Unmatched::Reject, &[]);
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
            &with(Unmatched::ReadOnly, &[]),
            &[("SORT l GET x*", "="), ("SORT_RO l GET *", "=")],
        );
    }
}
