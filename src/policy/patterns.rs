//! The keys that SORT reads by the patterns behind BY and GET, which it does not declare: a plain Redis follows them
//! anywhere.

use super::govern::Case;
use super::{NamespaceId, Policies};

/// Commands whose refusal also keeps a pattern from reading: it reads strings and fields of hashes.
const READS: [&str; 4] = ["get", "hget", "sort", "sort_ro"];

/// Why a SORT is refused for one of its patterns, if it is.
pub(super) fn refused(case: &Case) -> Option<String> {
    if !matches!(case.command.full_name(), "sort" | "sort_ro") {
        return None;
    }
    // Wherever the word stands: servers of another version may read the options in another way.
    (2..case.request.argc())
        .filter(|&at| {
            let word = case.request.arg(at);
            word.eq_ignore_ascii_case(b"by") || word.eq_ignore_ascii_case(b"get")
        })
        .find_map(|at| {
            refused_pattern(
                case.request.args.get(at + 1)?.of(case.request.bytes),
                case.policies,
            )
        })
}

fn refused_pattern(pattern: &[u8], policies: &Policies) -> Option<String> {
    // Without a star it names no key.
    let star = pattern.iter().position(|&byte| byte == b'*')?;
    let start = &pattern[..star];
    let of_start = policies.find(start);
    if of_start == NamespaceId::UNMATCHED && policies.hides_keys() {
        return Some(
            "ERR slotmux: a pattern of SORT may read keys of no namespace (unmatched = \"reject\")"
                .into(),
        );
    }
    let longer = policies.prefixes.iter();
    let longer = longer.filter(|(prefix, _)| prefix.starts_with(start));
    let mut reached = longer.map(|(_, id)| id).chain([of_start]);
    let denies = |id: NamespaceId| {
        let policy = policies.get(id)?;
        let is_denied = policy
            .deny
            .iter()
            .any(|name| READS.contains(&name.as_str()));
        is_denied.then_some(&policy.name)
    };
    let name = reached.find_map(denies)?;
    Some(format!(
        "ERR slotmux: a pattern of SORT may read keys of namespace '{name}', which refuses that (deny)"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::rows::{check, namespace};
    use super::*;
    use crate::config::{Config, Unmatched};

    #[test]
    fn patterns_are_held_to_the_namespaces_that_they_may_reach() {
        let mut denying = namespace("deny", "deny:", |_| {});
        denying.deny = vec!["get".to_owned()];
        let mut config = Config {
            namespaces: vec![namespace("app", "app:", |_| {}), denying],
            ..Config::default()
        };
        let deny = "refused: -ERR slotmux: a pattern of SORT may read keys of namespace 'deny', which refuses that (deny)";
        check(
            &Policies::new(&config),
            &[
                ("SORT app:l BY nosort GET deny:*", deny),
                ("SORT_RO app:l by deny:*->f", deny),
                ("SORT app:l GET # GET d*", deny),
                ("SORT app:l LIMIT 0 1 GET *", deny),
                ("SORT app:l GET app:* GET other:*", "="),
                ("SORT app:l GET", "="),
                ("SORT app:l BY deny:x", "="),
            ],
        );
        config.unmatched = Unmatched::Reject;
        let hidden = "refused: -ERR slotmux: a pattern of SORT may read keys of no namespace (unmatched = \"reject\")";
        check(
            &Policies::new(&config),
            &[
                ("SORT app:l GET other:*", hidden),
                ("SORT app:l GET *", hidden),
                ("SORT app:l BY app:w* GET app:*->f GET #", "="),
            ],
        );
    }
}
