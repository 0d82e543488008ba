//! The keys of `[[namespace]]`, and of `[defaults.namespace]`, from which every namespace inherits key by key.

use super::{GIB, MS, YEAR};
use crate::config::draft::Draft;
use crate::config::read::boolean;
use crate::config::read_namespace::{commands, fraction, prefixes, variables};
use crate::config::section::{SectionKey, inherited, key, list, put, section, set_section};
use crate::config::show::{choice, or_word, show_section, text, texts};
use crate::config::{
    CrossSlot, FlushCommands, JitterBy, KeepTtl, Multi, Namespace, OverMax, Persist, RetryWrites,
    ScriptKeys, Strength, Ttl, TtlMode, UnmatchedKeys,
};
use crate::units::{show_duration, show_size};

use std::ops::RangeInclusive;
use std::time::Duration;

/// Longest TTL, a century: a longer one is a typing error.
const TTLS: RangeInclusive<Duration> = MS..=YEAR.saturating_mul(100);
/// Largest limit: no request is longer.
const SIZES: RangeInclusive<u64> = 1..=2 * GIB;

pub(in crate::config) const NAMESPACE: &[SectionKey<Namespace>] = &[
    key(
        "name",
        |n, v, r| put(&mut n.name, v.name(r)),
        |n| text(&n.name),
    ),
    key(
        "match",
        |n, v, r| put(&mut n.prefixes, prefixes(v, r)),
        |n| texts(&n.prefixes),
    ),
    key(
        "ttl_env",
        |n, v, r| put(&mut n.ttl_env, variables(v, r)),
        |n| texts(&n.ttl_env),
    ),
    READ_ONLY,
    MAX_KEY,
    MAX_VALUE,
    DENY,
    MULTI,
    CROSS_SLOT,
    RETRY_WRITES,
    TTL,
];

/// The keys that a variable may set for a namespace of the file.
pub(in crate::config) const OVERRIDABLE: &[SectionKey<Namespace>] = &[
    READ_ONLY,
    MAX_KEY,
    MAX_VALUE,
    DENY,
    MULTI,
    CROSS_SLOT,
    RETRY_WRITES,
    TTL,
];

const READ_ONLY: SectionKey<Namespace> = key(
    "read_only",
    |n, v, r| put(&mut n.read_only, boolean(v, r)),
    |n| n.read_only.to_string(),
);
const MAX_KEY: SectionKey<Namespace> = key(
    "max_key",
    |n, v, r| put(&mut n.max_key, v.bytes_or_none(SIZES, r)),
    |n| or_word(n.max_key, "none", |size| text(&show_size(size as u64))),
);
const MAX_VALUE: SectionKey<Namespace> = key(
    "max_value",
    |n, v, r| put(&mut n.max_value, v.bytes_or_none(SIZES, r)),
    |n| or_word(n.max_value, "none", |size| text(&show_size(size as u64))),
);
const DENY: SectionKey<Namespace> = key(
    "deny",
    |n, v, r| put(&mut n.deny, commands(v, r)),
    |n| texts(&n.deny),
);
const MULTI: SectionKey<Namespace> = key(
    "multi",
    |n, v, r| put(&mut n.multi, v.choice(MULTIS, r)),
    |n| choice(MULTIS, &n.multi),
);
const CROSS_SLOT: SectionKey<Namespace> = key(
    "cross_slot",
    |n, v, r| put(&mut n.cross_slot, v.choice(CROSS_SLOTS, r)),
    |n| choice(CROSS_SLOTS, &n.cross_slot),
);
const RETRY_WRITES: SectionKey<Namespace> = key(
    "retry_writes",
    |n, v, r| put(&mut n.retry_writes, v.choice(RETRIES, r)),
    |n| choice(RETRIES, &n.retry_writes),
);
const TTL: SectionKey<Namespace> = section(
    "ttl",
    |n, v, r| set_section(&mut n.ttl, TTL_KEYS, v, r),
    |at, out| list(TTL_KEYS, at, out),
    |n, at, out| show_section(&n.ttl, TTL_KEYS, at, out),
);

const TTL_KEYS: &[SectionKey<Ttl>] = &[
    key(
        "mode",
        |t, v, r| put(&mut t.mode, v.choice(MODES, r)),
        |t| choice(MODES, &t.mode),
    ),
    key(
        "default",
        |t, v, r| put(&mut t.default, v.duration_or_none(TTLS, r)),
        |t| shown_ttl(t.default),
    ),
    key(
        "max",
        |t, v, r| put(&mut t.max, v.duration_or_none(TTLS, r)),
        |t| shown_ttl(t.max),
    ),
    key(
        "min",
        |t, v, r| put(&mut t.min, v.duration_or_none(TTLS, r)),
        |t| shown_ttl(t.min),
    ),
    key(
        "jitter",
        |t, v, r| put(&mut t.jitter, fraction(v, r)),
        |t| format!("{:?}", t.jitter),
    ),
    key(
        "jitter_by",
        |t, v, r| put(&mut t.jitter_by, v.choice(JITTERS, r)),
        |t| choice(JITTERS, &t.jitter_by),
    ),
    key(
        "over_max",
        |t, v, r| put(&mut t.over_max, v.choice(OVERS, r)),
        |t| choice(OVERS, &t.over_max),
    ),
    key(
        "persist",
        |t, v, r| put(&mut t.persist, v.choice(PERSISTS, r)),
        |t| choice(PERSISTS, &t.persist),
    ),
    key(
        "keepttl",
        |t, v, r| put(&mut t.keepttl, v.choice(KEEPS, r)),
        |t| choice(KEEPS, &t.keepttl),
    ),
    key(
        "strength",
        |t, v, r| put(&mut t.strength, v.choice(STRENGTHS, r)),
        |t| choice(STRENGTHS, &t.strength),
    ),
    key(
        "scripts",
        |t, v, r| put(&mut t.scripts, v.choice(SCRIPTS, r)),
        |t| choice(SCRIPTS, &t.scripts),
    ),
];

const MODES: &[(&str, TtlMode)] = &[
    ("off", TtlMode::Off),
    ("observe", TtlMode::Observe),
    ("enforce", TtlMode::Enforce),
];
const JITTERS: &[(&str, JitterBy)] = &[("key", JitterBy::Key), ("random", JitterBy::Random)];
const OVERS: &[(&str, OverMax)] = &[("clamp", OverMax::Clamp), ("reject", OverMax::Reject)];
const PERSISTS: &[(&str, Persist)] = &[
    ("allow", Persist::Allow),
    ("rewrite", Persist::Rewrite),
    ("reject", Persist::Reject),
];
const KEEPS: &[(&str, KeepTtl)] = &[("honour", KeepTtl::Honour), ("heal", KeepTtl::Heal)];
const STRENGTHS: &[(&str, Strength)] = &[
    ("atomic", Strength::Atomic),
    ("pipelined", Strength::Pipelined),
    ("inline-only", Strength::InlineOnly),
];
const SCRIPTS: &[(&str, ScriptKeys)] = &[
    ("append", ScriptKeys::Append),
    ("allow", ScriptKeys::Allow),
    ("reject", ScriptKeys::Reject),
];
const MULTIS: &[(&str, Multi)] = &[
    ("reject", Multi::Reject),
    ("split-readonly", Multi::SplitReadonly),
    ("split", Multi::Split),
];
const CROSS_SLOTS: &[(&str, CrossSlot)] = &[
    ("reject", CrossSlot::Reject),
    ("reads", CrossSlot::Reads),
    ("all", CrossSlot::All),
];
const RETRIES: &[(&str, RetryWrites)] = &[
    ("never", RetryWrites::Never),
    ("idempotent", RetryWrites::Idempotent),
];
const FLUSHES: &[(&str, FlushCommands)] = &[
    ("cluster", FlushCommands::Cluster),
    ("reject", FlushCommands::Reject),
];
const UNMATCHED: &[(&str, UnmatchedKeys)] = &[
    ("allow", UnmatchedKeys::Allow),
    ("read-only", UnmatchedKeys::ReadOnly),
    ("reject", UnmatchedKeys::Reject),
];

/// `[defaults]`, which has `[defaults.namespace]` only.
pub(super) const DEFAULTS: &[SectionKey<Draft>] = &[section(
    "namespace",
    |d, v, r| set_section(d, DEFAULTS_NAMESPACE, v, r),
    |at, out| list(DEFAULTS_NAMESPACE, at, out),
    |d, at, out| show_section(d, DEFAULTS_NAMESPACE, at, out),
)];

const DEFAULTS_NAMESPACE: &[SectionKey<Draft>] = &[
    key(
        "unmatched",
        |d, v, r| put(&mut d.config.unmatched, v.choice(UNMATCHED, r)),
        |d| choice(UNMATCHED, &d.config.unmatched),
    ),
    // These commands concern all namespaces at once, so that no namespace has a key for them.
    key(
        "flush",
        |d, v, r| put(&mut d.config.commands.flush, v.choice(FLUSHES, r)),
        |d| choice(FLUSHES, &d.config.commands.flush),
    ),
    inherited("read_only", |d, v, r| {
        put(&mut d.defaults.read_only, boolean(v, r))
    }),
    inherited("max_key", |d, v, r| {
        put(&mut d.defaults.max_key, v.bytes_or_none(SIZES, r))
    }),
    inherited("max_value", |d, v, r| {
        put(&mut d.defaults.max_value, v.bytes_or_none(SIZES, r))
    }),
    inherited("deny", |d, v, r| put(&mut d.defaults.deny, commands(v, r))),
    // In force for keys of no namespace too, so that it shows here as well.
    key(
        "multi",
        |d, v, r| {
            put(&mut d.defaults.multi, v.choice(MULTIS, r));
            d.config.multi = d.defaults.multi;
        },
        |d| choice(MULTIS, &d.config.multi),
    ),
    // As `multi`.
    key(
        "cross_slot",
        |d, v, r| {
            put(&mut d.defaults.cross_slot, v.choice(CROSS_SLOTS, r));
            d.config.cross_slot = d.defaults.cross_slot;
        },
        |d| choice(CROSS_SLOTS, &d.config.cross_slot),
    ),
    // As `multi`.
    key(
        "retry_writes",
        |d, v, r| {
            put(&mut d.defaults.retry_writes, v.choice(RETRIES, r));
            d.config.retry_writes = d.defaults.retry_writes;
        },
        |d| choice(RETRIES, &d.config.retry_writes),
    ),
    section(
        "ttl",
        |d, v, r| set_section(&mut d.defaults.ttl, TTL_KEYS, v, r),
        |at, out| list(TTL_KEYS, at, out),
        // Shown in the namespaces that inherit it.
        |_, _, _| {},
    ),
];

fn shown_ttl(ttl: Option<Duration>) -> String {
    or_word(ttl, "none", |ttl| text(&show_duration(ttl)))
}
