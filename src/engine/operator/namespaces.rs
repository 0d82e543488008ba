//! `SLOTMUX NAMESPACES` and `SLOTMUX NAMESPACE`: the configured namespaces, in short and in full.

use slotmux_core::config::{
    Config, CrossSlot, EffectiveSettings, JitterBy, KeepTtl, Multi, OverMax, Persist, RetryWrites,
    ScriptKeys, Strength, TtlMode,
};
use slotmux_core::explain::words::time;
use slotmux_core::policy::{NamespaceId, Policies, Policy, TtlPolicy};
use slotmux_core::resp::tree::Tree;

/// Every namespace with its prefixes and its policy in short.
pub(super) fn all(policies: &Policies, config: &Config) -> Tree {
    let namespaces = policies
        .iter()
        .map(|(id, policy)| Tree::map(head(id, policy, config)));
    Tree::List(namespaces.collect())
}

/// One namespace with everything that is configured for it.
pub(super) fn one(
    id: NamespaceId,
    policies: &Policies,
    config: &Config,
    settings: &EffectiveSettings,
) -> Tree {
    let Some(policy) = policies.get(id) else {
        return Tree::List(Vec::new());
    };
    let mut pairs = head(id, policy, config);
    let section = format!("namespace.{}", policy.name);
    let settings = settings.below(&section).map(|(key, setting)| {
        let value = Tree::map([
            ("value", Tree::text(&*setting.value)),
            ("origin", Tree::text(setting.origin.to_string())),
        ]);
        (key, value)
    });
    pairs.push(("settings", Tree::map(settings)));
    Tree::map(pairs)
}

fn head(id: NamespaceId, policy: &Policy, config: &Config) -> Vec<(&'static str, Tree)> {
    let namespace = config.namespaces.get(usize::from(id.0).saturating_sub(1));
    let prefixes = namespace.map_or(&[][..], |namespace| &namespace.prefixes);
    vec![
        ("name", Tree::text(&*policy.name)),
        ("match", Tree::texts(prefixes.iter().cloned())),
        ("policy", Tree::text(in_short(policy))),
    ]
}

/// A policy in one line: its settings that have an effect.
fn in_short(policy: &Policy) -> String {
    let mut parts = Vec::new();
    match &policy.ttl {
        None => parts.push("no TTL policy".to_owned()),
        Some(ttl) => ttl_in_short(ttl, &mut parts),
    }
    if policy.read_only {
        parts.push("read-only".to_owned());
    }
    let bytes = |name: &str, bytes: Option<usize>| bytes.map(|n| format!("{name} {n} bytes"));
    parts.extend(bytes("max_key", policy.max_key));
    parts.extend(bytes("max_value", policy.max_value));
    if !policy.deny.is_empty() {
        parts.push(format!("deny {}", policy.deny.join(" ")));
    }
    match policy.multi {
        Multi::Reject => parts.push("multi reject".to_owned()),
        Multi::SplitReadonly => {}
        Multi::Split => parts.push("multi split".to_owned()),
    }
    match policy.cross_slot {
        CrossSlot::Reject => parts.push("cross_slot reject".to_owned()),
        CrossSlot::Reads => {}
        CrossSlot::All => parts.push("cross_slot all".to_owned()),
    }
    if policy.retry_writes == RetryWrites::Idempotent {
        parts.push("retry_writes idempotent".to_owned());
    }
    parts.join(", ")
}

fn ttl_in_short(ttl: &TtlPolicy, parts: &mut Vec<String>) {
    parts.push(
        if ttl.mode == TtlMode::Observe {
            "observe"
        } else {
            "enforce"
        }
        .to_owned(),
    );
    if let Some(default) = ttl.default {
        let jitter = match (ttl.jitter, ttl.jitter_by) {
            (0.0, _) => String::new(),
            (jitter, JitterBy::Key) => format!(" \u{b1} {} %", jitter * 100.0),
            (jitter, JitterBy::Random) => format!(" \u{b1} {} % at random", jitter * 100.0),
        };
        parts.push(format!("default {}{jitter}", time(default)));
    }
    parts.extend(ttl.max.map(|max| format!("max {}", time(max))));
    parts.extend(ttl.min.map(|min| format!("min {}", time(min))));
    let words = [
        (ttl.over_max == OverMax::Reject, "above max rejected"),
        (ttl.persist == Persist::Rewrite, "PERSIST rewritten"),
        (ttl.persist == Persist::Reject, "PERSIST rejected"),
        (ttl.keepttl == KeepTtl::Honour, "KEEPTTL honoured"),
        (ttl.strength == Strength::Pipelined, "strength pipelined"),
        (ttl.strength == Strength::InlineOnly, "strength inline-only"),
        (ttl.scripts == ScriptKeys::Allow, "scripts let alone"),
        (ttl.scripts == ScriptKeys::Reject, "scripts rejected"),
    ];
    let said = words.into_iter().filter(|(holds, _)| *holds);
    parts.extend(said.map(|(_, word)| word.to_owned()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use slotmux_core::config::Ttl;

    #[test]
    fn policies_in_short() {
        let mut policy = Policy {
            name: "n".to_owned(),
            ttl: None,
            read_only: false,
            max_key: None,
            max_value: None,
            deny: Vec::new(),
            multi: Multi::default(),
            cross_slot: CrossSlot::default(),
            retry_writes: RetryWrites::default(),
        };
        assert_eq!(in_short(&policy), "no TTL policy");
        policy.ttl = TtlPolicy::new(&Ttl {
            mode: TtlMode::Observe,
            default: Some(Duration::from_secs(43_200)),
            max: Some(Duration::from_secs(604_800)),
            jitter: 0.1,
            persist: Persist::Rewrite,
            ..Ttl::default()
        });
        policy.read_only = true;
        policy.max_value = Some(4096);
        policy.deny = vec!["keys".to_owned(), "flushall".to_owned()];
        policy.multi = Multi::Split;
        policy.cross_slot = CrossSlot::All;
        policy.retry_writes = RetryWrites::Idempotent;
        assert_eq!(
            in_short(&policy),
            "observe, default 12h (43200000 ms) \u{b1} 10 %, max 7d (604800000 ms), PERSIST rewritten, read-only, \
             max_value 4096 bytes, deny keys flushall, multi split, cross_slot all, retry_writes idempotent"
        );
    }
}
