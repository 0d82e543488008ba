//! Contradictions of namespaces: within a policy, and between one namespace and another.

use std::collections::HashMap;
use std::time::Duration;

use crate::config::problem::{Origin, Reading};
use crate::config::{Config, Namespace, Persist, Ttl, TtlMode, element_key, ttl_env};
use crate::units::show_duration;

/// Largest number of namespaces: ids have 16 bits, and 0 stands for keys of no namespace.
const MOST: usize = u16::MAX as usize;

/// Notes every contradiction. `defaults` is the inherited policy.
pub(super) fn check(config: &Config, defaults: &Ttl, reading: &mut Reading) {
    let namespaces = &config.namespaces;
    if namespaces.len() > MOST {
        let text = format!(
            "namespace: {} are too many; there may be {MOST}",
            namespaces.len()
        );
        reading.problem_at(&format!("namespace[{MOST}]"), text);
    }
    let above = bounds(defaults, "defaults.namespace");
    for bound in &above {
        bound.report(None, reading);
    }
    for (number, namespace) in namespaces.iter().enumerate() {
        let section = format!("namespace[{number}]");
        missing(&section, reading);
        for bound in bounds(&namespace.ttl, &section) {
            if !bound.is_inherited(reading) {
                bound.report(Some(&namespace.name), reading);
            }
        }
    }
    names(namespaces, reading);
    prefixes(namespaces, reading);
    ttl_env::check(namespaces, reading);
}

/// Notes warnings about what is allowed.
pub(super) fn warn(config: &Config, reading: &mut Reading) {
    for (number, namespace) in config.namespaces.iter().enumerate() {
        let ttl = &namespace.ttl;
        if ttl.mode != TtlMode::Off && ttl.persist == Persist::Allow && ttl.max.is_some() {
            let [persist, max] =
                ["persist", "max"].map(|key| format!("namespace[{number}].ttl.{key}"));
            let origin = reading
                .inherited_origin(&persist)
                .or_else(|| reading.inherited_origin(&max))
                .unwrap_or(&reading.fallback)
                .clone();
            let text = format!(
                "namespace.ttl.persist: \"allow\" lets PERSIST keep keys of namespace {:?} beyond max; \"rewrite\" or \
                 \"reject\" does not",
                namespace.name
            );
            reading.warn(&origin, text);
        }
        let default = format!("namespace[{number}].ttl.default");
        if let (None, Some(max), Some(origin @ Origin::Variable(_))) =
            (ttl.default, ttl.max, reading.origin(&default).cloned())
        {
            let text = format!(
                "namespace {:?} has no default TTL now, but a max, and keys without TTL get that: {}",
                namespace.name,
                show_duration(max)
            );
            reading.warn(&origin, text);
        }
    }
    if config.namespaces.is_empty()
        && let Some(origin) = reading
            .first_below(
                "defaults.namespace.",
                &["unmatched", "flush", "multi", "cross_slot", "retry_writes"],
            )
            .cloned()
    {
        reading.warn(
            &origin,
            "defaults.namespace: there is no [[namespace]] that inherits it",
        );
    }
}

fn missing(section: &str, reading: &mut Reading) {
    for key in ["name", "match"] {
        if reading.origin(&format!("{section}.{key}")).is_none() {
            let text = format!(
                "namespace.{key}: missing; a [[namespace]] has a name and prefixes to match"
            );
            reading.problem_at(section, text);
        }
    }
}

/// One TTL that is on the wrong side of another.
struct TtlBound {
    key: String,
    name: &'static str,
    value: Duration,
    side: &'static str,
    other_key: String,
    other: &'static str,
    limit: Duration,
}

/// The violated bounds of one policy.
fn bounds(ttl: &Ttl, section: &str) -> Vec<TtlBound> {
    let mut broken = Vec::new();
    let mut check = |name, value: Option<Duration>, side, other, limit: Option<Duration>| {
        let (Some(value), Some(limit)) = (value, limit) else {
            return;
        };
        let holds = if side == "above" {
            value <= limit
        } else {
            value >= limit
        };
        if !holds {
            broken.push(TtlBound {
                key: format!("{section}.ttl.{name}"),
                name,
                value,
                side,
                other_key: format!("{section}.ttl.{other}"),
                other,
                limit,
            });
        }
    };
    check("max", ttl.max, "below", "min", ttl.min);
    check("default", ttl.default, "above", "max", ttl.max);
    check("default", ttl.default, "below", "min", ttl.min);
    broken
}

impl TtlBound {
    /// Whether the namespace inherits both from `[defaults.namespace]`, where the problem is noted already.
    fn is_inherited(&self, reading: &Reading) -> bool {
        reading.origin(&self.key).is_none() && reading.origin(&self.other_key).is_none()
    }

    fn report(&self, namespace: Option<&str>, reading: &mut Reading) {
        let section = if namespace.is_some() {
            "namespace"
        } else {
            "defaults.namespace"
        };
        let [value, limit] = [self.value, self.limit].map(show_duration);
        let place = reading
            .inherited_origin(&self.other_key)
            .map(|origin| format!(" ({origin})"))
            .unwrap_or_default();
        let of = namespace
            .filter(|name| !name.is_empty())
            .map(|name| format!(" of namespace {name:?}"))
            .unwrap_or_default();
        let text = format!(
            "{section}.ttl.{}: {value} is {} {}, {limit}{place}{of}",
            self.name, self.side, self.other
        );
        reading.problem_at(&self.key, text);
    }
}

fn names(namespaces: &[Namespace], reading: &mut Reading) {
    let mut seen = HashMap::new();
    for (number, namespace) in namespaces.iter().enumerate() {
        // A name that could not be read is noted already.
        if !namespace.name.is_empty() && seen.insert(&namespace.name, number).is_some() {
            let text = format!(
                "namespace.name: there is another namespace named {:?}",
                namespace.name
            );
            reading.problem_at(&format!("namespace[{number}].name"), text);
        }
    }
}

/// One prefix may contain another, and the longest match wins; the same prefix may not stand twice.
fn prefixes(namespaces: &[Namespace], reading: &mut Reading) {
    let mut owners: HashMap<&str, usize> = HashMap::new();
    for (number, namespace) in namespaces.iter().enumerate() {
        for (place, prefix) in namespace.prefixes.iter().enumerate() {
            let text = match owners.get(prefix.as_str()).copied() {
                None => {
                    owners.insert(prefix, number);
                    continue;
                }
                Some(owner) if owner == number => {
                    format!("namespace.match: {prefix:?} stands twice")
                }
                Some(owner) => format!(
                    "namespace.match: {prefix:?} is a prefix of namespace {:?} already",
                    namespaces[owner].name
                ),
            };
            reading.problem_at(
                &element_key(&format!("namespace[{number}].match"), place),
                text,
            );
        }
    }
}
