//! The table in `tests/README.md`: it lists every test program, and no others.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"))
}

/// The test programs as Cargo finds them: files, and folders with a `main.rs`.
fn programs() -> BTreeSet<String> {
    let entries = fs::read_dir(folder()).expect("the folder of the tests");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let programs = paths.filter(|path| {
        path.join("main.rs").exists() || path.extension().is_some_and(|ending| ending == "rs")
    });
    let names = programs.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()));
    names.collect()
}

/// The name and the description in each row of the table.
fn rows() -> Vec<(String, String)> {
    let text = fs::read_to_string(folder().join("README.md")).expect("the table");
    let row = |line: &str| {
        let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        let description = rest.strip_suffix(" |")?;
        Some((name.to_owned(), description.to_owned()))
    };
    text.lines().filter_map(row).collect()
}

#[test]
fn every_test_program_is_listed_once() {
    let (rows, programs) = (rows(), programs());
    let listed: BTreeSet<String> = rows.iter().map(|(name, _)| name.clone()).collect();
    let missing: Vec<&String> = programs.difference(&listed).collect();
    assert!(missing.is_empty(), "not listed: {missing:?}");
    let gone: Vec<&String> = listed.difference(&programs).collect();
    assert!(gone.is_empty(), "listed but not there: {gone:?}");
    assert_eq!(rows.len(), listed.len(), "one is listed twice");
    assert!(rows.iter().map(|(name, _)| name).is_sorted());
    for (name, description) in rows {
        assert!(description.ends_with('.'), "{name}: {description}");
    }
}
