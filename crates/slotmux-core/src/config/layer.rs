//! Variables and flags in the form of a file: a tree of sections that is built key by key.

use std::collections::HashMap;

use super::problem::Origin;
use super::value::{ConfigValue, TableEntry, ValueData};

/// A table of sections.
pub(super) struct Layer {
    entries: Vec<TableEntry>,
    /// Position of each section among the entries of its parent, by its full key.
    sections: HashMap<String, usize>,
}

impl Layer {
    pub(super) fn new() -> Layer {
        Layer {
            entries: Vec::new(),
            sections: HashMap::new(),
        }
    }

    /// Adds a value under its whole key.
    pub(super) fn add(&mut self, key: &str, origin: Origin, data: ValueData) {
        let Layer { entries, sections } = self;
        add(entries, sections, "", key, &origin, data);
    }

    pub(super) fn into_value(self) -> ConfigValue {
        ConfigValue {
            key: String::new(),
            origin: Origin::Nowhere,
            data: ValueData::Table(self.entries),
        }
    }
}

fn add(
    entries: &mut Vec<TableEntry>,
    sections: &mut HashMap<String, usize>,
    section: &str,
    rest: &str,
    origin: &Origin,
    data: ValueData,
) {
    let (name, below) = match rest.split_once('.') {
        Some((name, below)) => (name, Some(below)),
        None => (rest, None),
    };
    let key = if section.is_empty() {
        name.to_owned()
    } else {
        format!("{section}.{name}")
    };
    let Some(below) = below else {
        let value = ConfigValue {
            key,
            origin: origin.clone(),
            data,
        };
        entries.push(TableEntry {
            name: name.to_owned(),
            origin: origin.clone(),
            value,
        });
        return;
    };
    let at = sections.get(&key).copied().unwrap_or_else(|| {
        let value = ConfigValue {
            key: key.clone(),
            origin: origin.clone(),
            data: ValueData::Table(Vec::new()),
        };
        entries.push(TableEntry {
            name: name.to_owned(),
            origin: origin.clone(),
            value,
        });
        sections.insert(key.clone(), entries.len() - 1);
        entries.len() - 1
    });
    if let Some(TableEntry {
        value: ConfigValue {
            data: ValueData::Table(inner),
            ..
        },
        ..
    }) = entries.get_mut(at)
    {
        add(inner, sections, &key, below, origin, data);
    }
}
