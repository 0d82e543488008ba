//! The example and docs/configuration.md against the existing keys.

use std::collections::BTreeSet;

use slotmux_core::config::{Config, env, keys};

use crate::loaded;

const EXAMPLE: &str = include_str!("../../slotmux.example.toml");
const DOCUMENT: &str = include_str!("../../docs/configuration.md");

#[test]
fn the_example_is_the_defaults() {
    let mut config = loaded(EXAMPLE, &[]);
    assert_eq!(config.cluster.seeds.len(), 2);
    config.cluster.seeds.clear();
    assert_eq!(config.namespaces.len(), 4);
    config.namespaces.clear();
    assert_eq!(config, Config::default());
}

/// The example with its commented-out sections: a "#" of a comment is followed by a space, one of a key is not.
fn whole_example() -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    EXAMPLE.lines().map(line).collect()
}

/// A line of the example that sets a key.
struct Setting<'a> {
    key: String,
    value: &'a str,
    comment: &'a str,
    /// Whether it is a line of a namespace in the example.
    is_example: bool,
}

fn settings(example: &str) -> Vec<Setting<'_>> {
    let (mut section, mut settings) = ("", Vec::new());
    for line in example
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        let (code, comment) = line.split_once(" # ").unwrap_or((line, ""));
        if let Some(name) = code.trim().strip_prefix('[') {
            section = name.trim_matches(['[', ']']);
        } else if let Some((key, value)) = code.split_once('=') {
            settings.push(Setting {
                key: own(&format!("{section}.{}", key.trim())),
                value: value.trim(),
                comment: comment.trim(),
                is_example: section == "namespace",
            });
        }
    }
    settings
}

/// An inherited key goes by its name in a namespace: it is shown and explained once.
fn own(key: &str) -> String {
    key.strip_prefix("defaults.")
        .filter(|own| keys::all().iter().any(|key| key == own))
        .unwrap_or(key)
        .to_owned()
}

fn own_keys() -> BTreeSet<String> {
    keys::all().iter().map(|key| own(key)).collect()
}

#[test]
fn the_example_has_every_key_and_a_comment_on_each() {
    let example = whole_example();
    assert_eq!(loaded(&example, &[("APP_PASSWORD", "hush")]).users.len(), 1);
    let mut listed = BTreeSet::new();
    for setting in settings(&example) {
        let key = setting.key;
        assert!(!setting.comment.is_empty(), "no comment: {key}");
        // A policy in braces is a section.
        if key != "namespace.ttl" {
            let is_new = listed.insert(key.clone());
            assert!(is_new || setting.is_example, "twice: {key}");
        }
    }
    assert_eq!(listed, own_keys());
    for line in example.lines() {
        assert!(line.chars().count() <= 120, "{line}");
    }
}

#[test]
fn the_document_has_every_key_and_variable_and_no_other() {
    let first_cells = |line: &'static str| {
        line.strip_prefix("| `")?
            .split_once('`')
            .map(|(cell, _)| cell)
    };
    let cells: Vec<&str> = DOCUMENT.lines().filter_map(first_cells).collect();
    let mut known: Vec<String> = own_keys().into_iter().collect();
    known.extend(env::names().into_iter().map(str::to_owned));
    known.extend(["SLOTMUX__SECTION__KEY", "REDIS_TTL_<NAMESPACE>"].map(str::to_owned));
    for name in &known {
        assert_eq!(
            cells.iter().filter(|cell| *cell == name).count(),
            1,
            "docs/configuration.md: {name}"
        );
    }
    for cell in cells {
        assert!(
            known.iter().any(|name| name == cell),
            "docs/configuration.md has {cell}, which does not exist"
        );
    }
}

#[test]
fn the_document_has_the_defaults_of_the_example() {
    let example = whole_example();
    for setting in settings(&example) {
        if setting.is_example {
            continue;
        }
        let (key, value) = (setting.key, setting.value);
        let row = DOCUMENT
            .lines()
            .find(|row| row.starts_with(&format!("| `{key}` |")))
            .unwrap();
        let default = row.split('|').nth(2).unwrap().trim();
        assert!(
            default == "required" || default == format!("`{value}`"),
            "{key}: {row}"
        );
    }
}
