//! Variables and flags in the form of a file: a tree of sections that is built key by key.

use std::collections::HashMap;

use super::problem::Origin;
use super::value::{Data, Entry, Value};

/// A table of sections.
pub(super) struct Layer {
    entries: Vec<Entry>,
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
    pub(super) fn add(&mut self, key: &str, origin: Origin, data: Data) {
        let Layer { entries, sections } = self;
        add(entries, sections, "", key, &origin, data);
    }

    pub(super) fn into_value(self) -> Value {
        Value {
            key: String::new(),
            origin: Origin::Nowhere,
            data: Data::Table(self.entries),
        }
    }
}

fn add(
    entries: &mut Vec<Entry>,
    sections: &mut HashMap<String, usize>,
    section: &str,
    rest: &str,
    origin: &Origin,
    data: Data,
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
        let value = Value {
            key,
            origin: origin.clone(),
            data,
        };
        entries.push(Entry {
            name: name.to_owned(),
            origin: origin.clone(),
            value,
        });
        return;
    };
    let at = sections.get(&key).copied().unwrap_or_else(|| {
        let value = Value {
            key: key.clone(),
            origin: origin.clone(),
            data: Data::Table(Vec::new()),
        };
        entries.push(Entry {
            name: name.to_owned(),
            origin: origin.clone(),
            value,
        });
        sections.insert(key.clone(), entries.len() - 1);
        entries.len() - 1
    });
    if let Some(Entry {
        value: Value {
            data: Data::Table(inner),
            ..
        },
        ..
    }) = entries.get_mut(at)
    {
        add(inner, sections, &key, below, origin, data);
    }
}
