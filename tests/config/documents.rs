//! The example and docs/configuration.md against the keys that there are.

use slotmux::config::{Config, env, keys};

use crate::loaded;

const EXAMPLE: &str = include_str!("../../slotmux.example.toml");
const DOCUMENT: &str = include_str!("../../docs/configuration.md");

#[test]
fn the_example_is_the_defaults() {
    let mut config = loaded(EXAMPLE, &[]);
    assert_eq!(config.cluster.seeds.len(), 2);
    config.cluster.seeds.clear();
    assert_eq!(config, Config::default());
}

/// The example with its commented-out sections; a comment has a space after the "#", those have none.
fn whole_example() -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    EXAMPLE.lines().map(line).collect()
}

#[test]
fn the_example_has_every_key_and_a_comment_on_each() {
    let example = whole_example();
    assert_eq!(loaded(&example, &[("APP_PASSWORD", "hush")]).users.len(), 1);
    let mut section = String::new();
    let mut seen = Vec::new();
    for line in example
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        let (code, comment) = line.split_once(" # ").unwrap_or((line, ""));
        match code.trim().strip_prefix('[') {
            Some(name) => section = name.trim_matches(['[', ']']).to_owned(),
            None => {
                assert!(!comment.trim().is_empty(), "no comment: {line}");
                seen.push(format!(
                    "{section}.{}",
                    code.split_once('=').unwrap().0.trim()
                ));
            }
        }
        assert!(line.chars().count() <= 120, "{line}");
    }
    let (mut all, mut listed) = (keys::all(), seen);
    all.sort();
    listed.sort();
    assert_eq!(listed, all);
}

#[test]
fn the_document_has_every_key_and_variable_and_no_other() {
    let first_cells = |line: &'static str| {
        line.strip_prefix("| `")?
            .split_once('`')
            .map(|(cell, _)| cell)
    };
    let cells: Vec<&str> = DOCUMENT.lines().filter_map(first_cells).collect();
    let mut known: Vec<String> = keys::all();
    known.extend(env::names().into_iter().map(str::to_owned));
    known.push("SLOTMUX__SECTION__KEY".into());
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
    let mut section = "";
    for line in example.lines().filter(|line| !line.starts_with('#')) {
        let code = line.split(" # ").next().unwrap_or_default().trim();
        if let Some(name) = code.strip_prefix('[') {
            section = name.trim_matches(['[', ']']);
        } else if let Some((key, value)) = code.split_once('=') {
            let key = format!("{section}.{}", key.trim());
            let row = DOCUMENT
                .lines()
                .find(|row| row.starts_with(&format!("| `{key}` |")))
                .unwrap();
            let default = row.split('|').nth(2).unwrap().trim();
            assert!(
                default == "required" || default == format!("`{}`", value.trim()),
                "{key}: {row}"
            );
        }
    }
}
