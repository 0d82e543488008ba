//! The combined rules of all namespaces: whether a command for the whole keyspace is permitted, without a loop over all
//! of them.

use std::collections::HashMap;

use super::allowed::denied;
use super::{NamespaceId, Policies, Policy, Refusal, RefusalRule};
use crate::config::UnmatchedKeys;

/// The first namespace that forbids each thing.
#[derive(Clone, Debug, Default)]
pub(super) struct ForbiddenSomewhere {
    /// Namespaces by the full names of the commands that they deny.
    denies: HashMap<String, NamespaceId>,
    /// The first that is read-only.
    read_only: Option<NamespaceId>,
}

impl ForbiddenSomewhere {
    pub(super) fn new<'a>(
        policies: impl Iterator<Item = (NamespaceId, &'a Policy)>,
    ) -> ForbiddenSomewhere {
        let mut first = ForbiddenSomewhere::default();
        for (id, policy) in policies {
            for name in &policy.deny {
                if !first.denies.contains_key(name) {
                    first.denies.insert(name.clone(), id);
                }
            }
            if policy.read_only {
                first.read_only.get_or_insert(id);
            }
        }
        first
    }

    /// The first namespace that denies a command or its container, or is read-only if the command deletes all keys.
    fn forbids(&self, full_name: &str, deletes: bool) -> Option<NamespaceId> {
        let container = full_name.split('|').next().unwrap_or(full_name);
        let denies = [full_name, container].map(|name| self.denies.get(name).copied());
        let read_only = self.read_only.filter(|_| deletes);
        let all = denies.into_iter().flatten().chain(read_only);
        all.min_by_key(|id| id.0)
    }
}

/// Whether a command for the whole keyspace is permitted: no namespace denies it. A command that deletes all keys, such
/// as a flush, also requires that no namespace is read-only, nor the keys of no namespace.
pub fn permitted_everywhere(
    full_name: &str,
    deletes: bool,
    policies: &Policies,
) -> Result<(), Refusal> {
    if !policies.is_active() {
        return Ok(());
    }
    let forbids = policies.forbidden.forbids(full_name, deletes);
    if let Some((id, policy)) = forbids.and_then(|id| Some((id, policies.get(id)?))) {
        let name = &policy.name;
        let (rule, text) = match denied(policy, full_name) {
            Some(denied) => (
                RefusalRule::Deny,
                format!("ERR slotmux: namespace '{name}' refuses the command '{denied}' (deny)"),
            ),
            None => (
                RefusalRule::ReadOnly,
                format!(
                    "ERR slotmux: '{full_name}' would delete the keys of namespace '{name}', which is read-only (read_only)"
                ),
            ),
        };
        return Err(rule.of(id).with(text));
    }
    if deletes && policies.unmatched() != UnmatchedKeys::Allow {
        let text = format!(
            "ERR slotmux: '{full_name}' would delete keys of no namespace, which are read-only (unmatched)"
        );
        return Err(RefusalRule::Unmatched.of_none().with(text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::rows::{namespace, policies};
    use super::*;

    /// The first that forbids it, by a loop over all.
    fn walk(policies: &Policies, full_name: &str, write: bool) -> Option<NamespaceId> {
        let mut all = policies.iter();
        let forbids =
            |policy: &Policy| denied(policy, full_name).is_some() || (write && policy.read_only);
        all.find_map(|(id, policy)| forbids(policy).then_some(id))
    }

    #[test]
    fn the_first_that_forbids_is_the_one_that_a_walk_finds() {
        const NAMES: [&str; 5] = ["keys", "flushall", "script", "script|flush", "script|load"];
        let mut random = fastrand::Rng::with_seed(9);
        for round in 0..300 {
            let mut one = |number: usize| {
                let mut one = namespace(&format!("n{number}"), &format!("n{number}:"), |_| {});
                one.read_only = random.u8(0..6) == 0;
                let is_denied = |_: &&&str| random.u8(0..8) == 0;
                let denied = NAMES.iter().filter(is_denied);
                one.deny = denied.map(|&name| name.to_owned()).collect();
                one
            };
            let policies = policies((0..round % 7).map(&mut one).collect());
            for name in NAMES {
                for write in [false, true] {
                    let forbids = policies.forbidden.forbids(name, write);
                    assert_eq!(forbids, walk(&policies, name, write), "{name}");
                    let permitted = permitted_everywhere(name, write, &policies);
                    assert_eq!(permitted.is_ok(), forbids.is_none());
                }
            }
        }
    }
}
