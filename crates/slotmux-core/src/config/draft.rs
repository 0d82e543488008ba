//! A configuration while its sources are read. Namespaces stay unread until the end, because what they inherit may
//! still change and their own keys override it.

use std::collections::{BTreeMap, HashMap};

use super::problem::Reading;
use super::section::{double_brackets, is_file, set_section};
use super::value::{ConfigValue, TableEntry, ValueData};
use super::{Config, CrossSlot, Multi, Namespace, RetryWrites, Ttl, keys, ttl_env};

pub(super) struct Draft {
    /// Everything except the namespaces.
    pub(super) config: Config,
    /// `[defaults.namespace]`
    pub(super) defaults: Namespace,
    /// The sections of the file.
    written: Vec<ConfigValue>,
    /// Keys that variables set, by the name of the namespace.
    overrides: Vec<TableEntry>,
}

impl Draft {
    pub(super) fn new() -> Draft {
        Draft::of(&Config::default())
    }

    /// A draft that is finished.
    pub(super) fn of(config: &Config) -> Draft {
        Draft {
            config: config.clone(),
            defaults: nameless(),
            written: Vec::new(),
            overrides: Vec::new(),
        }
    }

    /// Keeps the sections that a source has for namespaces.
    pub(super) fn collect_namespaces(&mut self, value: &ConfigValue, reading: &mut Reading) {
        match &value.data {
            ValueData::List(sections) => self.written.clone_from(sections),
            ValueData::Table(_) if is_file(value) => double_brackets(value, reading),
            ValueData::Table(entries) => self.overrides.extend(entries.iter().cloned()),
            _ => value.mistyped(reading, "sections"),
        }
    }

    /// The whole configuration, after every source was read.
    pub(super) fn finish(
        mut self,
        env: &BTreeMap<String, String>,
        is_whole: bool,
        reading: &mut Reading,
    ) -> Config {
        let mut namespaces = Vec::with_capacity(self.written.len());
        for value in &self.written {
            let mut namespace = self.defaults.clone();
            reading.given(&value.key, &value.origin);
            set_section(&mut namespace, keys::NAMESPACE, value, reading);
            namespaces.push(namespace);
        }
        ttl_env::set_defaults(&mut namespaces, env, reading);
        // With a syntax error the declared namespaces are not known.
        if is_whole {
            ttl_env::refuse_unbound(&namespaces, env, reading);
            self.override_namespaces(&mut namespaces, reading);
        }
        self.config.namespaces = namespaces;
        self.config
    }

    /// `SLOTMUX__NAMESPACE__<NAME>__KEY`, the name being written as in `REDIS_TTL_<NAME>`.
    fn override_namespaces(&self, namespaces: &mut [Namespace], reading: &mut Reading) {
        if self.overrides.is_empty() {
            return;
        }
        // Of two sections with the same name the first one counts.
        let written = namespaces.iter().enumerate().rev();
        let numbers: HashMap<String, usize> = written
            .map(|(number, namespace)| (ttl_env::part(&namespace.name), number))
            .collect();
        for entry in &self.overrides {
            match numbers.get(&entry.name.to_ascii_uppercase()).copied() {
                Some(number) => {
                    let key = format!("namespace[{number}]");
                    let value = moved(&entry.value, &entry.value.key, &key);
                    set_section(&mut namespaces[number], keys::OVERRIDABLE, &value, reading);
                }
                None => refuse(&entry.value, &entry.name, reading),
            }
        }
    }
}

/// A namespace before its section was read.
fn nameless() -> Namespace {
    Namespace {
        name: String::new(),
        prefixes: Vec::new(),
        ttl: Ttl::default(),
        ttl_env: Vec::new(),
        read_only: false,
        max_key: None,
        max_value: None,
        deny: Vec::new(),
        multi: Multi::default(),
        cross_slot: CrossSlot::default(),
        retry_writes: RetryWrites::default(),
    }
}

/// The value and those below it, with keys that start with `to` instead of `from`.
fn moved(value: &ConfigValue, from: &str, to: &str) -> ConfigValue {
    let rest = value.key.strip_prefix(from).unwrap_or_default();
    let data = match &value.data {
        ValueData::Table(entries) => {
            let entry = |entry: &TableEntry| TableEntry {
                value: moved(&entry.value, from, to),
                ..entry.clone()
            };
            ValueData::Table(entries.iter().map(entry).collect())
        }
        data => data.clone(),
    };
    ConfigValue {
        key: format!("{to}{rest}"),
        origin: value.origin.clone(),
        data,
    }
}

/// Notes a problem for each variable, so that each is named.
fn refuse(value: &ConfigValue, name: &str, reading: &mut Reading) {
    match &value.data {
        ValueData::Table(entries) => {
            for entry in entries {
                refuse(&entry.value, name, reading);
            }
        }
        _ => value.wrong(
            reading,
            format_args!("the file declares no namespace {name:?}"),
        ),
    }
}
