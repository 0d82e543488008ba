//! The arithmetic of lifetimes in words with numbers, and the keys of the configuration that decided.

use super::terms::{KeyGets, KeyTerm};
use super::words::{quoted, time};
use crate::command::Lifetime;
use crate::config::{JitterBy, KeepTtl, Persist, ScriptKeys, Strength, TtlMode};
use crate::policy::stated_ttl::StatedTtl;
use crate::policy::{Policies, TtlPolicy};

/// The TTL that one key is given, the policy's decision about it, and the reason.
pub fn sentence(term: &KeyTerm, lifetime: Lifetime, policies: &Policies) -> String {
    let key = quoted(&term.key);
    let given = match &term.given {
        StatedTtl::Nothing => "no TTL is given".to_owned(),
        StatedTtl::Ttl {
            milliseconds,
            spelled,
        } => match u64::try_from(*milliseconds) {
            Ok(ttl) if ttl > 0 => format!("{spelled} gives {}", time(ttl)),
            _ => format!("{spelled} ends it at once"),
        },
        StatedTtl::Keeps => "the TTL that it has is kept".to_owned(),
        StatedTtl::Removes => "its TTL is to be removed".to_owned(),
        StatedTtl::Refused => "the server refuses such a TTL".to_owned(),
        StatedTtl::Unknown => "an option that slotmux does not know may give any TTL".to_owned(),
    };
    let rest = match policies.get(term.namespace) {
        None => "no namespace claims it, so that no policy holds".to_owned(),
        Some(policy) => match &policy.ttl {
            None => format!("namespace '{}' has no TTL policy", policy.name),
            Some(ttl) => outcome(term, lifetime, ttl),
        },
    };
    format!("{key}: {given}; {rest}")
}

fn outcome(term: &KeyTerm, lifetime: Lifetime, ttl: &TtlPolicy) -> String {
    let observes = ttl.mode == TtlMode::Observe;
    let becomes = if observes { "would become" } else { "becomes" };
    match (term.gets, &term.given) {
        (KeyGets::Refused, _) if observes => "the request would be refused".to_owned(),
        (KeyGets::Refused, _) => "the request is refused".to_owned(),
        (KeyGets::AsGiven, _) => left(term, lifetime, ttl),
        (KeyGets::InPlace(got), StatedTtl::Ttl { .. })
            if ![ttl.max, ttl.min].contains(&Some(got)) =>
        {
            format!(
                "within the bounds: sent as the distance of {}, which holds by any clock",
                time(got)
            )
        }
        (KeyGets::InPlace(got), StatedTtl::Ttl { milliseconds, .. }) => {
            let above = i64::try_from(got).is_ok_and(|got| got < *milliseconds);
            let bound = if above {
                "above the maximum"
            } else {
                "below the minimum"
            };
            format!("that is {bound}: {becomes} {}", time(got))
        }
        (KeyGets::InPlace(got), _) => format!("{}: {becomes} {}", default(ttl, got), time(got)),
        (KeyGets::Behind { default: None, max }, _) => {
            let max = max.unwrap_or_default();
            let also = if ttl.default == ttl.max && ttl.jitter == 0.0 {
                ", which is also the default"
            } else {
                ""
            };
            let verb = if observes { "would cut" } else { "cuts" };
            format!(
                "behind the command PEXPIRE {max} LT {verb} any longer TTL, and none, to the maximum of {}{also}",
                time(max)
            )
        }
        (
            KeyGets::Behind {
                default: Some(got),
                max,
            },
            _,
        ) => {
            let (gives, cuts) = if observes {
                ("would give", "would cut")
            } else {
                ("gives", "cuts")
            };
            let mut text = format!(
                "{}: behind the command PEXPIRE {got} NX {gives} {} to a key without TTL",
                default(ttl, got),
                time(got)
            );
            if let Some(max) = max {
                text.push_str(&format!(
                    ", and PEXPIRE {max} LT {cuts} a longer one to the maximum of {}",
                    time(max)
                ));
            }
            text
        }
    }
}

/// Why a key is left with what the request gives it.
fn left(term: &KeyTerm, lifetime: Lifetime, ttl: &TtlPolicy) -> String {
    if lifetime == Lifetime::Script && ttl.scripts == ScriptKeys::Allow {
        return "scripts are let alone (ttl.scripts)".to_owned();
    }
    match term.given {
        StatedTtl::Ttl { milliseconds, .. } if milliseconds > 0 => {
            let bound = |name: &str, bound: Option<u64>| match bound {
                Some(bound) => format!("{name} {}", time(bound)),
                None => format!("no {name}"),
            };
            format!(
                "within {} and {}: it stays",
                bound("minimum", ttl.min),
                bound("maximum", ttl.max)
            )
        }
        StatedTtl::Ttl { .. } => "no policy prolongs that".to_owned(),
        StatedTtl::Refused => "it is left to the server, whose error the client gets".to_owned(),
        StatedTtl::Keeps if lifetime == Lifetime::GetEx => "nothing is changed".to_owned(),
        StatedTtl::Keeps if ttl.keepttl == KeepTtl::Honour => {
            "that is honoured (ttl.keepttl)".to_owned()
        }
        StatedTtl::Removes if ttl.persist == Persist::Allow => "that is allowed (ttl.persist)".to_owned(),
        _ if ttl.default.is_none() => "there is no default and no maximum: it stays".to_owned(),
        _ if ttl.strength == Strength::InlineOnly => {
            "it would need an expiry behind the command, which strength \"inline-only\" does not attach".to_owned()
        }
        _ => "it stays".to_owned(),
    }
}

/// The source of a default, and the value that its spread gave.
fn default(ttl: &TtlPolicy, got: u64) -> String {
    let configured = ttl.default.unwrap_or(got);
    let named = if ttl.is_max_the_default {
        "the maximum, which is also the default, is"
    } else {
        "the default is"
    };
    if ttl.jitter == 0.0 {
        return format!("{named} {}", time(configured));
    }
    let percent = ttl.jitter * 100.0;
    let by = match ttl.jitter_by {
        JitterBy::Key => "for this key",
        JitterBy::Random => "this time, at random,",
    };
    let moved = (got as f64 / configured as f64 - 1.0) * 100.0;
    format!(
        "{named} {} \u{b1} {percent} %, {by} {moved:+.2} %",
        time(configured)
    )
}

/// The keys below `namespace.NAME` that decided about a key, the most important one first.
pub fn deciding(term: &KeyTerm, lifetime: Lifetime, policies: &Policies) -> Vec<&'static str> {
    let Some(policy) = policies.get(term.namespace) else {
        return Vec::new();
    };
    let Some(ttl) = &policy.ttl else {
        return vec!["ttl.default", "ttl.max", "ttl.mode"];
    };
    let default = || {
        let mut keys = vec![if ttl.is_max_the_default {
            "ttl.max"
        } else {
            "ttl.default"
        }];
        if ttl.jitter != 0.0 {
            keys.push("ttl.jitter");
        }
        keys
    };
    let mut keys = match (term.gets, &term.given) {
        // The error names its key.
        (KeyGets::Refused, _) => Vec::new(),
        (KeyGets::AsGiven, given) => {
            let key = match given {
                _ if lifetime == Lifetime::Script && ttl.scripts == ScriptKeys::Allow => {
                    "ttl.scripts"
                }
                StatedTtl::Ttl {
                    milliseconds: 1.., ..
                } if ttl.max.is_some() => "ttl.max",
                StatedTtl::Ttl {
                    milliseconds: 1.., ..
                } => "ttl.min",
                StatedTtl::Ttl { .. } | StatedTtl::Refused => return Vec::new(),
                StatedTtl::Keeps if lifetime == Lifetime::GetEx => return Vec::new(),
                StatedTtl::Keeps if ttl.keepttl == KeepTtl::Honour => "ttl.keepttl",
                StatedTtl::Removes if ttl.persist == Persist::Allow => "ttl.persist",
                _ if ttl.default.is_none() => "ttl.default",
                _ => "ttl.strength",
            };
            vec![key]
        }
        (KeyGets::InPlace(got), StatedTtl::Ttl { .. })
            if ![ttl.max, ttl.min].contains(&Some(got)) =>
        {
            vec!["ttl.strength"]
        }
        (KeyGets::InPlace(got), StatedTtl::Ttl { milliseconds, .. }) => {
            let above = i64::try_from(got).is_ok_and(|got| got < *milliseconds);
            vec![if above { "ttl.max" } else { "ttl.min" }]
        }
        (KeyGets::InPlace(_), given) => {
            let mut keys = default();
            if *given == StatedTtl::Removes {
                keys.insert(0, "ttl.persist");
            }
            keys
        }
        (KeyGets::Behind { default: None, .. }, _) => vec!["ttl.max"],
        (KeyGets::Behind { max, .. }, _) => {
            let mut keys = default();
            if max.is_some() && !keys.contains(&"ttl.max") {
                keys.push("ttl.max");
            }
            keys
        }
    };
    if ttl.mode == TtlMode::Observe {
        keys.push("ttl.mode");
    }
    keys
}

/// The TTL that a key is given and the one that it gets, as short as possible.
pub fn briefly(term: &KeyTerm) -> (String, String) {
    let given = match &term.given {
        StatedTtl::Nothing => "no TTL".to_owned(),
        StatedTtl::Ttl { milliseconds, .. } => time(u64::try_from(*milliseconds).unwrap_or(0)),
        StatedTtl::Keeps => "kept".to_owned(),
        StatedTtl::Removes => "removed".to_owned(),
        StatedTtl::Refused | StatedTtl::Unknown => "not known".to_owned(),
    };
    let gets = match term.gets {
        KeyGets::AsGiven => given.clone(),
        KeyGets::InPlace(got) => time(got),
        KeyGets::Behind {
            default: Some(got),
            max: Some(max),
        } => format!("{} if it has none, at most {}", time(got), time(max)),
        KeyGets::Behind {
            default: Some(got), ..
        } => format!("{} if it has none", time(got)),
        KeyGets::Behind { max, .. } => format!("at most {}", time(max.unwrap_or_default())),
        KeyGets::Refused => "refused".to_owned(),
    };
    (given, gets)
}
