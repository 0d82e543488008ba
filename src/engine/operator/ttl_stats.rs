//! `SLOTMUX TTL STATS`: the actions that policies took, or would have taken, summed over the workers.

use crate::engine::shared::Shared;
use crate::engine::stats::namespaces::sum;
use crate::engine::stats::observed::Example;
use slotmux_core::config::TtlMode;
use slotmux_core::explain::UNMATCHED;
use slotmux_core::policy::{Actions, NamespaceId};
use slotmux_core::resp::tree::Tree;

/// The numbers of every namespace, and of keys in no namespace.
pub(super) fn all(shared: &Shared) -> Tree {
    let policies = &shared.policies;
    let mut pairs: Vec<(String, Tree)> = Vec::new();
    for (id, policy) in policies.iter() {
        pairs.push((policy.name.clone(), Tree::map(numbers(shared, id))));
    }
    if policies.is_active() {
        let id = NamespaceId::UNMATCHED;
        pairs.push((UNMATCHED.to_owned(), Tree::map(numbers(shared, id))));
    }
    Tree::Map(pairs)
}

/// The numbers of one namespace with examples of what enforcement would have changed; `now` in unix milliseconds.
pub(super) fn one(shared: &Shared, id: NamespaceId, examples: &[Example], now: u64) -> Tree {
    let mut pairs = numbers(shared, id);
    let example = |example: &Example| {
        Tree::map([
            ("command", Tree::text(&*example.command)),
            ("key", Tree::text(&*example.key)),
            ("actions", Tree::texts(example.actions.clone())),
            ("given", Tree::text(&*example.given)),
            ("would_be", Tree::text(&*example.would_be)),
            ("seen", Tree::number(example.seen)),
            (
                "seconds_ago",
                Tree::number(now.saturating_sub(example.last) / 1000),
            ),
        ])
    };
    pairs.push((
        "samples",
        Tree::List(examples.iter().map(example).collect()),
    ));
    Tree::map(pairs)
}

fn numbers(shared: &Shared, id: NamespaceId) -> Vec<(&'static str, Tree)> {
    let at = usize::from(id.0);
    let ttl = shared
        .policies
        .get(id)
        .and_then(|policy| policy.ttl.as_ref());
    let mode = match ttl.map(|ttl| ttl.mode) {
        None | Some(TtlMode::Off) => "off",
        Some(TtlMode::Observe) => "observe",
        Some(TtlMode::Enforce) => "enforce",
    };
    let actions = |count: &dyn Fn(usize) -> u64| {
        let names = Actions::ALL.iter().enumerate();
        Tree::map(names.map(|(action, (_, name))| (*name, Tree::number(count(action)))))
    };
    let done = |action: usize| sum(shared, at, |stats| &stats.actions[action]);
    let observed = |action: usize| sum(shared, at, |stats| &stats.observed[action]);
    vec![
        ("mode", Tree::text(mode)),
        ("enforced", actions(&done)),
        ("observed", actions(&observed)),
        (
            "probed",
            Tree::map([
                ("keys", Tree::number(sum(shared, at, |stats| &stats.probed))),
                (
                    "without_ttl",
                    Tree::number(sum(shared, at, |stats| &stats.probed_bare)),
                ),
            ]),
        ),
    ]
}
