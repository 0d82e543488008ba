//! How the tables of keys are applied: a section is walked along its table, and what the table lacks is an unknown
//! key, reported with the word that was probably meant.

use super::keys;
use super::problem::{Origin, Reading, without_indices};
use super::suggest::nearest;
use super::value::{Data, Entry, Value};

/// One key of the section `T`: how its value is set.
pub(super) struct Key<T: 'static> {
    name: &'static str,
    set: fn(&mut T, &Value, &mut Reading),
    /// Lists the keys below it, if it is a section.
    below: Option<fn(&str, &mut Vec<String>)>,
}

/// A key with a value.
pub(super) const fn key<T>(name: &'static str, set: fn(&mut T, &Value, &mut Reading)) -> Key<T> {
    Key {
        name,
        set,
        below: None,
    }
}

/// A key with keys below it.
pub(super) const fn section<T>(
    name: &'static str,
    set: fn(&mut T, &Value, &mut Reading),
    below: fn(&str, &mut Vec<String>),
) -> Key<T> {
    Key {
        name,
        set,
        below: Some(below),
    }
}

/// Sets a field if its value could be read; the field keeps what it had otherwise.
pub(super) fn put<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// Sets the keys of one section from a table.
pub(super) fn set_section<T>(part: &mut T, keys: &[Key<T>], value: &Value, reading: &mut Reading) {
    let Some(entries) = value.entries(reading) else {
        return;
    };
    // In the order of the table, not of the file: a later key may refine what an earlier one set.
    for key in keys {
        for entry in entries.iter().filter(|entry| entry.name == key.name) {
            if key.below.is_none() {
                reading.given(&entry.value.key, &entry.value.origin);
            }
            (key.set)(part, &entry.value, reading);
        }
    }
    let known: Vec<&str> = keys.iter().map(|key| key.name).collect();
    for entry in entries
        .iter()
        .filter(|entry| !known.contains(&entry.name.as_str()))
    {
        reading.problem(&entry.origin, unknown(entry, &known));
    }
}

/// Sets a section that may stand several times. A file lists them all; a variable or flag means the only one.
pub(super) fn set_each<T>(
    parts: &mut Vec<T>,
    blank: fn() -> T,
    keys: &[Key<T>],
    value: &Value,
    reading: &mut Reading,
) {
    match &value.data {
        Data::List(values) => {
            *parts = values
                .iter()
                .map(|value| {
                    let mut part = blank();
                    reading.given(&value.key, &value.origin);
                    set_section(&mut part, keys, value, reading);
                    part
                })
                .collect();
        }
        Data::Table(_) if is_file(value) => double_brackets(value, reading),
        Data::Table(_) => match parts.as_mut_slice() {
            [part] => set_section(part, keys, value, reading),
            _ => set_elsewhere(value, parts.len(), reading),
        },
        _ => value.mistyped(reading, "sections"),
    }
}

/// Sets a section that a file writes like one of several, though there is exactly one.
pub(super) fn set_only<T>(part: &mut T, keys: &[Key<T>], value: &Value, reading: &mut Reading) {
    match &value.data {
        Data::List(values) => {
            for value in values.iter().take(1) {
                reading.given(&value.key, &value.origin);
                set_section(part, keys, value, reading);
            }
            for surplus in values.iter().skip(1) {
                surplus.wrong(
                    reading,
                    "there is one cluster per slotmux; start another slotmux for another cluster",
                );
            }
        }
        Data::Table(_) if is_file(value) => double_brackets(value, reading),
        _ => set_section(part, keys, value, reading),
    }
}

/// The keys below `at`, each with its whole name.
pub(super) fn list<T>(keys: &[Key<T>], at: &str, out: &mut Vec<String>) {
    for key in keys {
        let name = if at.is_empty() {
            key.name.to_owned()
        } else {
            format!("{at}.{}", key.name)
        };
        match key.below {
            Some(below) => below(&name, out),
            None => out.push(name),
        }
    }
}

fn is_file(value: &Value) -> bool {
    matches!(value.origin, Origin::File { .. })
}

fn double_brackets(value: &Value, reading: &mut Reading) {
    let name = without_indices(&value.key);
    value.wrong(
        reading,
        format_args!("this section is written with two brackets: [[{name}]]"),
    );
}

fn set_elsewhere(value: &Value, count: usize, reading: &mut Reading) {
    // The problem belongs to the variable or flag, which the table of an override does not know but its entries do.
    if let Data::Table(entries) = &value.data {
        for entry in entries {
            let text = format!(
                "there are {count} [[{}]] sections; set this in the file",
                value.key
            );
            reading.problem(&entry.origin, text);
        }
    }
}

fn unknown(entry: &Entry, known: &[&str]) -> String {
    let key = without_indices(&entry.value.key);
    let is_section = matches!(entry.value.data, Data::Table(_));
    let what = if is_section { "section" } else { "key" };
    if let Some(name) = nearest(&entry.name, known) {
        return format!("{key}: unknown {what}; did you mean `{name}`?");
    }
    let ending = format!(".{}", entry.name);
    let all = keys::all();
    match all
        .iter()
        .find(|key| key.ends_with(&ending))
        .and_then(|key| key.rsplit_once('.'))
    {
        Some((section, _)) => {
            format!("{key}: unknown {what} here; it belongs to section `{section}`")
        }
        None => format!("{key}: unknown {what}; known here: {}", known.join(", ")),
    }
}
