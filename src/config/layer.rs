//! What variables and flags say, in the form of a file: a tree of sections that is built key by key.

use super::problem::Origin;
use super::value::{Data, Entry, Value};

/// A table of sections.
pub(super) struct Layer(Vec<Entry>);

impl Layer {
    pub(super) fn new() -> Layer {
        Layer(Vec::new())
    }

    /// Adds a value under its whole key.
    pub(super) fn add(&mut self, key: &str, origin: Origin, data: Data) {
        add(&mut self.0, "", key, &origin, data);
    }

    pub(super) fn into_value(self) -> Value {
        Value {
            key: String::new(),
            origin: Origin::Nowhere,
            data: Data::Table(self.0),
        }
    }
}

fn add(entries: &mut Vec<Entry>, section: &str, rest: &str, origin: &Origin, data: Data) {
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
    let is_section =
        |entry: &Entry| entry.name == name && matches!(entry.value.data, Data::Table(_));
    let at = entries.iter().position(is_section).unwrap_or_else(|| {
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
        add(inner, &key, below, origin, data);
    }
}
