//! Random policies for the properties of TTLs.

use std::time::Duration;

use slotmux_core::config::{
    JitterBy, KeepTtl, Multi, Namespace, OverMax, Persist, RetryWrites, ScriptKeys, Strength, Ttl,
    TtlMode,
};

use super::choices::Choices;

pub(super) fn namespace(name: &str, prefix: &str, ttl: Ttl) -> Namespace {
    Namespace {
        name: name.to_owned(),
        prefixes: vec![prefix.to_owned()],
        ttl,
        ttl_env: Vec::new(),
        read_only: false,
        max_key: None,
        max_value: None,
        deny: Vec::new(),
        multi: Multi::default(),
        retry_writes: RetryWrites::default(),
    }
}

/// A policy that `slotmux check` accepts.
pub(super) fn ttl(choices: &mut Choices<'_>) -> Ttl {
    let duration =
        |choices: &mut Choices, all: &[Option<u64>]| choices.one_of(all).map(Duration::from_millis);
    let max = duration(
        choices,
        &[Some(10_000), None, Some(1), Some(2500), Some(u64::MAX)],
    );
    let at_most = |value: Option<Duration>| value.map(|value| value.min(max.unwrap_or(value)));
    Ttl {
        default: at_most(duration(
            choices,
            &[None, Some(7000), Some(10_000), Some(1)],
        )),
        min: at_most(duration(choices, &[None, Some(1), Some(1500), Some(2000)])),
        max,
        mode: choices.one_of(&[
            TtlMode::Enforce,
            TtlMode::Enforce,
            TtlMode::Observe,
            TtlMode::Off,
        ]),
        jitter: choices.one_of(&[0.0, 0.3, 1.0]),
        jitter_by: JitterBy::Key,
        over_max: choices.one_of(&[OverMax::Clamp, OverMax::Clamp, OverMax::Reject]),
        persist: choices.one_of(&[Persist::Rewrite, Persist::Allow, Persist::Reject]),
        keepttl: choices.one_of(&[KeepTtl::Heal, KeepTtl::Honour]),
        strength: choices.one_of(&[Strength::Atomic, Strength::Pipelined, Strength::InlineOnly]),
        scripts: choices.one_of(&[ScriptKeys::Append, ScriptKeys::Allow, ScriptKeys::Reject]),
    }
}
