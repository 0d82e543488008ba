//! Reads values that only namespaces have: prefixes, fractions, names of commands and of environment variables.

use super::problem::Reading;
use super::suggest::nearest;
use super::value::{ConfigValue, ValueData};
use super::{element_key, env};
use crate::command;

/// `ttl.jitter`: a number from 0 to 1.
pub(super) fn fraction(value: &ConfigValue, reading: &mut Reading) -> Option<f64> {
    const EXPECTED: &str = "a number from 0 to 1";
    let number = match &value.data {
        ValueData::Float(number) => *number,
        ValueData::Integer(number) => *number as f64,
        ValueData::Word(text) => match text.trim().parse() {
            Ok(number) => number,
            Err(_) => {
                value.wrong(reading, format_args!("expected {EXPECTED}, got {text:?}"));
                return None;
            }
        },
        _ => {
            value.mistyped(reading, EXPECTED);
            return None;
        }
    };
    // NaN is outside every range.
    let fits = (0.0..=1.0).contains(&number);
    if !fits {
        value.wrong(reading, format_args!("{number} is out of range: 0 to 1"));
    }
    fits.then_some(number)
}

/// `namespace.match`: one literal prefix or a list.
pub(super) fn prefixes(value: &ConfigValue, reading: &mut Reading) -> Option<Vec<String>> {
    if value.elements().is_empty() {
        value.wrong(reading, "an empty list: no key would be of this namespace");
        return None;
    }
    each(value, reading, |element, reading| {
        let prefix = element.text(reading, "a key prefix in quotes")?;
        if prefix.is_empty() {
            element.wrong(
                reading,
                "an empty prefix would match every key; what is allowed on keys of no namespace is \
                 defaults.namespace.unmatched",
            );
            return None;
        }
        if let Some(literal) = prefix.strip_suffix('*') {
            reading.warn(
                &element.origin,
                format!("namespace.match: prefixes are literal, and {prefix:?} is not {literal:?} with anything behind it"),
            );
        }
        Some(prefix.to_owned())
    })
}

/// `namespace.deny`: names of commands as `COMMAND` lists them, in any case; also as a comma list.
pub(super) fn commands(value: &ConfigValue, reading: &mut Reading) -> Option<Vec<String>> {
    let names = each(value, reading, |element, reading| {
        let text = element.text(reading, "a command's name in quotes")?;
        let names = text.split(',').map(|name| {
            let found = full_name(name.trim());
            found.map_err(|why| element.wrong(reading, why)).ok()
        });
        let names: Vec<Option<&str>> = names.collect();
        names.into_iter().collect::<Option<Vec<&str>>>()
    })?;
    Some(names.concat().into_iter().map(str::to_owned).collect())
}

/// The name of a command in the command table, or `container|subcommand`.
fn full_name(typed: &str) -> Result<&'static str, String> {
    let (name, sub) = match typed.split_once('|') {
        Some((name, sub)) => (name, Some(sub)),
        None => (typed, None),
    };
    let Some(container) = command::lookup(name.as_bytes()) else {
        let names: Vec<&str> = command::all().map(|command| command.name).collect();
        return Err(format!(
            "there is no command {typed:?}{}",
            hint(name, &names)
        ));
    };
    let Some(sub) = sub else {
        return Ok(container.full_name);
    };
    match container.subcommand(sub.as_bytes()) {
        Some(subcommand) => Ok(subcommand.full_name),
        None => {
            let names: Vec<&str> = container.subcommands.iter().map(|sub| sub.name).collect();
            let hint = nearest(sub, &names)
                .map(|sub| format!("; did you mean \"{}|{sub}\"?", container.name))
                .unwrap_or_default();
            Err(format!("there is no command {typed:?}{hint}"))
        }
    }
}

fn hint(typed: &str, names: &[&str]) -> String {
    nearest(typed, names)
        .map(|name| format!("; did you mean {name:?}?"))
        .unwrap_or_default()
}

/// `namespace.ttl_env`: further names of the variable.
pub(super) fn variables(value: &ConfigValue, reading: &mut Reading) -> Option<Vec<String>> {
    each(value, reading, |element, reading| {
        let name = element.text(reading, "a variable's name in quotes")?;
        let letters = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(letters) {
            element.wrong(
                reading,
                format_args!("{name:?} names no environment variable"),
            );
            return None;
        }
        if env::is_taken(name) {
            element.wrong(reading, format_args!("{name} has a meaning of its own"));
            return None;
        }
        Some(name.to_owned())
    })
}

/// Reads every element with `read`. Each is noted with its own place, for checks that follow.
fn each<T>(
    value: &ConfigValue,
    reading: &mut Reading,
    mut read: impl FnMut(&ConfigValue, &mut Reading) -> Option<T>,
) -> Option<Vec<T>> {
    let mut numbers = 0..;
    value.list_of(reading, |element, reading| {
        let key = element_key(&value.key, numbers.next()?);
        reading.given(&key, &element.origin);
        read(element, reading)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_of_the_table() {
        for (typed, name) in [
            ("flushall", "flushall"),
            ("FlushAll", "flushall"),
            ("object", "object"),
            ("object|freq", "object|freq"),
            ("OBJECT|FREQ", "object|freq"),
        ] {
            assert_eq!(full_name(typed), Ok(name), "{typed}");
        }
        for (typed, why) in [
            (
                "flushal",
                "there is no command \"flushal\"; did you mean \"flushall\"?",
            ),
            (
                "object|frq",
                "there is no command \"object|frq\"; did you mean \"object|freq\"?",
            ),
            (
                "objct|freq",
                "there is no command \"objct|freq\"; did you mean \"object\"?",
            ),
            ("get|x", "there is no command \"get|x\""),
            ("object freq", "there is no command \"object freq\""),
            ("", "there is no command \"\""),
        ] {
            assert_eq!(full_name(typed), Err(why.to_owned()));
        }
    }
}
