//! Applies the tables of keys: reads a section by its table and reports a key that the table lacks, with the name that
//! was probably meant.

use super::keys;
use super::problem::{Origin, Reading, without_indices};
use super::show::{SectionPlace, ShownLine};
use super::suggest::nearest;
use super::value::{ConfigValue, TableEntry, ValueData};

/// One key of the section `T`: how its value is set, and how it is shown.
pub(super) struct SectionKey<T: 'static> {
    pub(super) name: &'static str,
    set: fn(&mut T, &ConfigValue, &mut Reading),
    pub(super) content: KeyContent<T>,
}

/// Content of a key.
pub(super) enum KeyContent<T: 'static> {
    /// A value, which can be written as a file would have it.
    Value(fn(&T) -> String),
    /// A value that shows only where it is inherited.
    Inherited,
    /// Keys: how they are listed, and how they are shown.
    Section {
        list: fn(&str, &mut Vec<String>),
        show: fn(&T, &SectionPlace, &mut Vec<ShownLine>),
    },
}

/// A key with a value.
pub(super) const fn key<T>(
    name: &'static str,
    set: fn(&mut T, &ConfigValue, &mut Reading),
    show: fn(&T) -> String,
) -> SectionKey<T> {
    SectionKey {
        name,
        set,
        content: KeyContent::Value(show),
    }
}

/// A key whose value shows only where it is inherited.
pub(super) const fn inherited<T>(
    name: &'static str,
    set: fn(&mut T, &ConfigValue, &mut Reading),
) -> SectionKey<T> {
    SectionKey {
        name,
        set,
        content: KeyContent::Inherited,
    }
}

/// A key with keys below it.
pub(super) const fn section<T>(
    name: &'static str,
    set: fn(&mut T, &ConfigValue, &mut Reading),
    list: fn(&str, &mut Vec<String>),
    show: fn(&T, &SectionPlace, &mut Vec<ShownLine>),
) -> SectionKey<T> {
    SectionKey {
        name,
        set,
        content: KeyContent::Section { list, show },
    }
}

/// Sets a field if its value could be read; otherwise the field keeps its value.
pub(super) fn put<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// Sets the keys of one section from a table.
pub(super) fn set_section<T>(
    part: &mut T,
    keys: &[SectionKey<T>],
    value: &ConfigValue,
    reading: &mut Reading,
) {
    let Some(entries) = value.entries(reading) else {
        return;
    };
    // In the order of the table, not of the file: a later key may refine an earlier one.
    for key in keys {
        for entry in entries.iter().filter(|entry| entry.name == key.name) {
            if !matches!(key.content, KeyContent::Section { .. }) {
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

/// Sets a section that may stand several times. A file lists all of them; a variable or flag sets the only one.
pub(super) fn set_each<T>(
    parts: &mut Vec<T>,
    blank: fn() -> T,
    keys: &[SectionKey<T>],
    value: &ConfigValue,
    reading: &mut Reading,
) {
    match &value.data {
        ValueData::List(values) => {
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
        ValueData::Table(_) if is_file(value) => double_brackets(value, reading),
        ValueData::Table(_) => match parts.as_mut_slice() {
            [part] => set_section(part, keys, value, reading),
            _ => set_elsewhere(value, parts.len(), reading),
        },
        _ => value.mistyped(reading, "sections"),
    }
}

/// Sets a section that exists once although a file writes it in double brackets.
pub(super) fn set_only<T>(
    part: &mut T,
    keys: &[SectionKey<T>],
    value: &ConfigValue,
    reading: &mut Reading,
) {
    match &value.data {
        ValueData::List(values) => {
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
        ValueData::Table(_) if is_file(value) => double_brackets(value, reading),
        _ => set_section(part, keys, value, reading),
    }
}

/// The keys below `at`, each with its whole name.
pub(super) fn list<T>(keys: &[SectionKey<T>], at: &str, out: &mut Vec<String>) {
    for key in keys {
        let name = if at.is_empty() {
            key.name.to_owned()
        } else {
            format!("{at}.{}", key.name)
        };
        match key.content {
            KeyContent::Section { list, .. } => list(&name, out),
            _ => out.push(name),
        }
    }
}

pub(super) fn is_file(value: &ConfigValue) -> bool {
    matches!(value.origin, Origin::File { .. })
}

pub(super) fn double_brackets(value: &ConfigValue, reading: &mut Reading) {
    let name = without_indices(&value.key);
    value.wrong(
        reading,
        format_args!("this section is written with two brackets: [[{name}]]"),
    );
}

fn set_elsewhere(value: &ConfigValue, count: usize, reading: &mut Reading) {
    // The problem belongs to the variable or flag: only the entries of an override know their origin.
    if let ValueData::Table(entries) = &value.data {
        for entry in entries {
            let text = format!(
                "there are {count} [[{}]] sections; set this in the file",
                value.key
            );
            reading.problem(&entry.origin, text);
        }
    }
}

fn unknown(entry: &TableEntry, known: &[&str]) -> String {
    let key = without_indices(&entry.value.key);
    let is_section = matches!(entry.value.data, ValueData::Table(_));
    let what = if is_section { "section" } else { "key" };
    if let Some(name) = nearest(&entry.name, known) {
        return format!("{key}: unknown {what}; did you mean `{name}`?");
    }
    let all = keys::all();
    let sections = all.iter().filter_map(|key| key.rsplit_once('.'));
    let sections: Vec<&str> = sections
        .filter(|(_, name)| *name == entry.name)
        .map(|(section, _)| section)
        .collect();
    // Of several sections, the one with a similar name: [defaults.namespace] is mistaken for [[namespace]].
    let own = key.rsplit('.').nth(1);
    let alike = sections
        .iter()
        .find(|section| section.rsplit('.').next() == own);
    match alike.or(sections.first()) {
        Some(section) => {
            format!("{key}: unknown {what} here; it belongs to section `{section}`")
        }
        None => format!("{key}: unknown {what}; known here: {}", known.join(", ")),
    }
}
