//! The arithmetic of lifetimes in words with numbers, and the keys of the configuration that decided.

use super::terms::{Gets, Term};
use super::words::{quoted, time};
use crate::command::Lifetime;
use crate::config::{JitterBy, KeepTtl, Mode, Persist, Scripts, Strength};
use crate::policy::said::Said;
use crate::policy::{Policies, TtlPolicy};

/// What one key is given, what the policy makes of it, and why.
pub fn sentence(term: &Term, lifetime: Lifetime, policies: &Policies) -> String {
    let key = quoted(&term.key);
    let given = match &term.given {
        Said::Nothing => "no TTL is given".to_owned(),
        Said::Ttl {
            milliseconds,
            spelled,
        } => match u64::try_from(*milliseconds) {
            Ok(ttl) if ttl > 0 => format!("{spelled} gives {}", time(ttl)),
            _ => format!("{spelled} ends it at once"),
        },
        Said::Keeps => "the TTL that it has is kept".to_owned(),
        Said::Removes => "its TTL is to be removed".to_owned(),
        Said::Refused => "the server refuses such a TTL".to_owned(),
        Said::Unknown => "an option that slotmux does not know may give any TTL".to_owned(),
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

fn outcome(term: &Term, lifetime: Lifetime, ttl: &TtlPolicy) -> String {
    let observes = ttl.mode == Mode::Observe;
    let becomes = if observes { "would become" } else { "becomes" };
    match (term.gets, &term.given) {
        (Gets::Refused, _) if observes => "the request would be refused".to_owned(),
        (Gets::Refused, _) => "the request is refused".to_owned(),
        (Gets::AsGiven, _) => left(term, lifetime, ttl),
        (Gets::InPlace(got), Said::Ttl { .. }) if ![ttl.max, ttl.min].contains(&Some(got)) => {
            format!(
                "within the bounds: sent as the distance of {}, which holds by any clock",
                time(got)
            )
        }
        (Gets::InPlace(got), Said::Ttl { milliseconds, .. }) => {
            let above = i64::try_from(got).is_ok_and(|got| got < *milliseconds);
            let bound = if above {
                "above the maximum"
            } else {
                "below the minimum"
            };
            format!("that is {bound}: {becomes} {}", time(got))
        }
        (Gets::InPlace(got), _) => format!("{}: {becomes} {}", default(ttl, got), time(got)),
        (Gets::Behind { default: None, max }, _) => {
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
            Gets::Behind {
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
fn left(term: &Term, lifetime: Lifetime, ttl: &TtlPolicy) -> String {
    if lifetime == Lifetime::Script && ttl.scripts == Scripts::Allow {
        return "scripts are let alone (ttl.scripts)".to_owned();
    }
    match term.given {
        Said::Ttl { milliseconds, .. } if milliseconds > 0 => {
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
        Said::Ttl { .. } => "no policy prolongs that".to_owned(),
        Said::Refused => "it is left to the server, whose error the client gets".to_owned(),
        Said::Keeps if lifetime == Lifetime::GetEx => "nothing is changed".to_owned(),
        Said::Keeps if ttl.keepttl == KeepTtl::Honour => {
            "that is honoured (ttl.keepttl)".to_owned()
        }
        Said::Removes if ttl.persist == Persist::Allow => "that is allowed (ttl.persist)".to_owned(),
        _ if ttl.default.is_none() => "there is no default and no maximum: it stays".to_owned(),
        _ if ttl.strength == Strength::InlineOnly => {
            "it would need an expiry behind the command, which strength \"inline-only\" does not attach".to_owned()
        }
        _ => "it stays".to_owned(),
    }
}

/// Where a default comes from and where the spread has put it.
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
pub fn deciding(term: &Term, lifetime: Lifetime, policies: &Policies) -> Vec<&'static str> {
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
        (Gets::Refused, _) => Vec::new(),
        (Gets::AsGiven, given) => {
            let key = match given {
                _ if lifetime == Lifetime::Script && ttl.scripts == Scripts::Allow => "ttl.scripts",
                Said::Ttl {
                    milliseconds: 1.., ..
                } if ttl.max.is_some() => "ttl.max",
                Said::Ttl {
                    milliseconds: 1.., ..
                } => "ttl.min",
                Said::Ttl { .. } | Said::Refused => return Vec::new(),
                Said::Keeps if lifetime == Lifetime::GetEx => return Vec::new(),
                Said::Keeps if ttl.keepttl == KeepTtl::Honour => "ttl.keepttl",
                Said::Removes if ttl.persist == Persist::Allow => "ttl.persist",
                _ if ttl.default.is_none() => "ttl.default",
                _ => "ttl.strength",
            };
            vec![key]
        }
        (Gets::InPlace(got), Said::Ttl { .. }) if ![ttl.max, ttl.min].contains(&Some(got)) => {
            vec!["ttl.strength"]
        }
        (Gets::InPlace(got), Said::Ttl { milliseconds, .. }) => {
            let above = i64::try_from(got).is_ok_and(|got| got < *milliseconds);
            vec![if above { "ttl.max" } else { "ttl.min" }]
        }
        (Gets::InPlace(_), given) => {
            let mut keys = default();
            if *given == Said::Removes {
                keys.insert(0, "ttl.persist");
            }
            keys
        }
        (Gets::Behind { default: None, .. }, _) => vec!["ttl.max"],
        (Gets::Behind { max, .. }, _) => {
            let mut keys = default();
            if max.is_some() && !keys.contains(&"ttl.max") {
                keys.push("ttl.max");
            }
            keys
        }
    };
    if ttl.mode == Mode::Observe {
        keys.push("ttl.mode");
    }
    keys
}

/// What a key is given and what it gets, in as few words as possible.
pub fn briefly(term: &Term) -> (String, String) {
    let given = match &term.given {
        Said::Nothing => "no TTL".to_owned(),
        Said::Ttl { milliseconds, .. } => time(u64::try_from(*milliseconds).unwrap_or(0)),
        Said::Keeps => "kept".to_owned(),
        Said::Removes => "removed".to_owned(),
        Said::Refused | Said::Unknown => "not known".to_owned(),
    };
    let gets = match term.gets {
        Gets::AsGiven => given.clone(),
        Gets::InPlace(got) => time(got),
        Gets::Behind {
            default: Some(got),
            max: Some(max),
        } => format!("{} if it has none, at most {}", time(got), time(max)),
        Gets::Behind {
            default: Some(got), ..
        } => format!("{} if it has none", time(got)),
        Gets::Behind { max, .. } => format!("at most {}", time(max.unwrap_or_default())),
        Gets::Refused => "refused".to_owned(),
    };
    (given, gets)
}
