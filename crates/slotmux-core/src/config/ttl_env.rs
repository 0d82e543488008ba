//! `REDIS_TTL_<NAMESPACE>`, and the names that `ttl_env` adds to it: a namespace's default TTL in seconds. A variable
//! of this form that belongs to no namespace is refused: with a mistyped name keys would never expire.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use super::problem::{Origin, Reading};
use super::suggest::nearest;
use super::{Namespace, TtlMode, element_key, env};
use crate::units::show_duration;

const PREFIX: &str = "REDIS_TTL_";

/// Maximum number of suggestions: each unknown variable is compared with all known names.
const MOST_GUESSED: usize = 10;
/// Maximum number of known names in a message.
const MOST_LISTED: usize = 20;

/// A namespace's name as part of a variable's name.
pub(super) fn part(name: &str) -> String {
    let letter = |c: char| match c {
        c if c.is_ascii_alphanumeric() => c.to_ascii_uppercase(),
        _ => '_',
    };
    name.chars().map(letter).collect()
}

/// The variable that every namespace has.
fn exact(namespace: &Namespace) -> String {
    format!("{PREFIX}{}", part(&namespace.name))
}

/// Every name of a namespace's variable; a later one counts only if no earlier one is set. Empty if the namespace's
/// name could not be read, which is noted already.
fn names(namespace: &Namespace) -> Vec<String> {
    if namespace.name.is_empty() {
        return Vec::new();
    }
    let mut names = vec![exact(namespace)];
    let own = names[0].clone();
    let mut seen = HashSet::from([&own]);
    let aliases = namespace.ttl_env.iter();
    names.extend(aliases.filter(|alias| seen.insert(alias)).cloned());
    names
}

/// Sets `ttl.default` of the namespaces whose variables are set.
pub(super) fn set_defaults(
    namespaces: &mut [Namespace],
    env: &BTreeMap<String, String>,
    reading: &mut Reading,
) {
    for (number, namespace) in namespaces.iter_mut().enumerate() {
        let mut chosen: Option<(String, Option<Duration>)> = None;
        for name in names(namespace) {
            let Some(text) = env::get(env, &name) else {
                continue;
            };
            let origin = Origin::Variable(name.as_str().into());
            let Some(default) = default(text, &namespace.name, &origin, reading) else {
                continue;
            };
            match &chosen {
                None => chosen = Some((name, default)),
                Some((winner, other)) if *other != default => {
                    let [own, other] = [default, *other].map(shown);
                    let text = format!(
                        "{own} is not used: {winner} sets the default TTL of namespace {:?} to {other}",
                        namespace.name
                    );
                    reading.warn(&origin, text);
                }
                Some(_) => {}
            }
        }
        let Some((name, default)) = chosen else {
            continue;
        };
        let origin = Origin::Variable(name.into());
        let mode = namespace.ttl.mode;
        if default.is_some() && mode != TtlMode::Enforce {
            let word = if mode == TtlMode::Off {
                "off"
            } else {
                "observe"
            };
            let text = format!(
                "sets the default TTL of namespace {:?}, whose mode is {word:?}: it is not enforced",
                namespace.name
            );
            reading.warn(&origin, text);
        }
        namespace.ttl.default = default;
        reading.given(&format!("namespace[{number}].ttl.default"), &origin);
    }
}

/// A number of seconds; zero and negative numbers stand for no TTL.
fn default(
    text: &str,
    namespace: &str,
    origin: &Origin,
    reading: &mut Reading,
) -> Option<Option<Duration>> {
    let Some(seconds) = text.trim().parse::<f64>().ok().filter(|s| s.is_finite()) else {
        reading.problem(
            origin,
            format!("expected a number of seconds, got {text:?}"),
        );
        return None;
    };
    if seconds < 0.0 {
        reading.warn(
            origin,
            format!("{text} is negative and counts as 0 for namespace {namespace:?}"),
        );
        return Some(None);
    }
    let millis = (seconds * 1000.0).round();
    // The bounds of `ttl.default` in the table of keys.
    if seconds > 0.0 && !(1.0..=MOST_MILLIS).contains(&millis) {
        let text = format!("{text} seconds are out of range: 0.001 to 3153600000, or 0 for none");
        reading.problem(origin, text);
        return None;
    }
    let millis = millis as u64;
    Some((millis > 0).then(|| Duration::from_millis(millis)))
}

/// Longest TTL: a century.
const MOST_MILLIS: f64 = 3_153_600_000_000.0;

fn shown(ttl: Option<Duration>) -> String {
    ttl.map_or_else(|| "none".to_owned(), show_duration)
}

/// Refuses each `REDIS_TTL_…` that is set and belongs to no namespace.
pub(super) fn refuse_unbound(
    namespaces: &[Namespace],
    env: &BTreeMap<String, String>,
    reading: &mut Reading,
) {
    let known: Vec<String> = namespaces.iter().flat_map(names).collect();
    let all: HashSet<&String> = known.iter().collect();
    let unbound = env
        .iter()
        .filter(|(name, text)| name.starts_with(PREFIX) && !text.is_empty() && !all.contains(name));
    for (count, (name, _)) in unbound.enumerate() {
        let near = (count < MOST_GUESSED).then(|| near(name, &known));
        let hint = match near.flatten() {
            Some(near) => format!("; did you mean {near}?"),
            None if known.is_empty() => "; no [[namespace]] is declared".to_owned(),
            None => format!("; known are {}", some_of(&known)),
        };
        let origin = Origin::Variable(name.as_str().into());
        reading.problem(&origin, format!("no namespace has this variable{hint}"));
    }
}

/// The known names, limited to a readable number.
fn some_of(known: &[String]) -> String {
    match known.get(..MOST_LISTED) {
        Some(first) if known.len() > MOST_LISTED => {
            let more = known.len() - MOST_LISTED;
            format!("{} and {more} more", first.join(", "))
        }
        _ => known.join(", "),
    }
}

/// The known variable most similar to `name`, compared without the common prefix.
fn near<'a>(name: &str, known: &'a [String]) -> Option<&'a String> {
    let tail = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).to_lowercase();
    let tails: Vec<String> = known.iter().map(|known| tail(known)).collect();
    let words: Vec<&str> = tails.iter().map(String::as_str).collect();
    let found = nearest(&tail(name), &words)?;
    known.get(words.iter().position(|word| *word == found)?)
}

/// Notes each variable that would set the default of two namespaces.
pub(super) fn check(namespaces: &[Namespace], reading: &mut Reading) {
    let mut owners: HashMap<String, usize> = HashMap::new();
    for (number, namespace) in namespaces.iter().enumerate() {
        if namespace.name.is_empty() {
            continue;
        }
        let variable = exact(namespace);
        let Some(owner) = owners.get(&variable).map(|&owner| &namespaces[owner]) else {
            owners.insert(variable, number);
            continue;
        };
        // A repeated name is noted already.
        if owner.name != namespace.name {
            let text = format!(
                "namespace.name: {:?} and {:?} would both be set by {variable}",
                owner.name, namespace.name
            );
            reading.problem_at(&format!("namespace[{number}].name"), text);
        }
    }
    for (number, namespace) in namespaces.iter().enumerate() {
        for (place, alias) in namespace.ttl_env.iter().enumerate() {
            let key = element_key(&format!("namespace[{number}].ttl_env"), place);
            match owners.get(alias).copied() {
                None => {
                    owners.insert(alias.clone(), number);
                }
                Some(owner) if owner != number => {
                    let owner = &namespaces[owner].name;
                    let text = format!(
                        "namespace.ttl_env: {alias} is a variable of namespace {owner:?} already"
                    );
                    reading.problem_at(&key, text);
                }
                Some(_) if namespace.ttl_env[..place].contains(alias) => {
                    reading.problem_at(&key, format!("namespace.ttl_env: {alias} stands twice"));
                }
                Some(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_variables() {
        for (name, variable) in [
            ("llm_response_cache", "LLM_RESPONSE_CACHE"),
            ("a-b.c/d", "A_B_C_D"),
            ("Zoë9", "ZO_9"),
        ] {
            assert_eq!(part(name), variable);
        }
    }

    #[test]
    fn seconds_become_a_default_or_none() {
        let origin = Origin::Variable("X".into());
        for (text, millis, warnings) in [
            ("43200", Some(Some(43_200_000)), 0),
            (" 60 ", Some(Some(60_000)), 0),
            ("0.5", Some(Some(500)), 0),
            ("0.0014", Some(Some(1)), 0),
            ("1e3", Some(Some(1_000_000)), 0),
            ("0", Some(None), 0),
            ("0.0", Some(None), 0),
            ("-0", Some(None), 0),
            ("-1", Some(None), 1),
            ("-0.5", Some(None), 1),
            ("0.0001", None, 0),
            ("3153600001", None, 0),
            ("1e300", None, 0),
            ("12h", None, 0),
            ("none", None, 0),
            ("NaN", None, 0),
            ("inf", None, 0),
            ("-inf", None, 0),
            ("0x10", None, 0),
            ("1,5", None, 0),
        ] {
            let mut reading = Reading::new();
            let read = default(text, "n", &origin, &mut reading);
            let millis = millis.map(|ttl| ttl.map(Duration::from_millis));
            assert_eq!(read, millis, "{text}");
            assert_eq!(reading.is_clean(), millis.is_some(), "{text}");
            assert_eq!(reading.into_warnings().len(), warnings, "{text}");
        }
    }
}
