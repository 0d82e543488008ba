//! `tests/README.md` lists every file of every test program, and every test that the documents name exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    entries
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

fn name(path: &Path) -> String {
    let name = path.file_stem().and_then(|name| name.to_str());
    name.expect("a name").to_owned()
}

/// The test programs as Cargo finds them, files and folders with a `main.rs`, each with the modules beside its `main.rs`.
fn there() -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for program in entries(&root().join("tests")) {
        if program.is_dir() {
            assert!(program.join("main.rs").exists(), "{}", program.display());
            let modules = entries(&program).into_iter().filter(|path| {
                path.join("mod.rs").exists() || path.extension().is_some_and(|it| it == "rs")
            });
            let modules = modules.map(|path| (name(&program), name(&path)));
            found.extend(modules.filter(|(_, module)| module != "main"));
        } else {
            assert_eq!(name(&program), "README", "a program outside the topics");
        }
    }
    found
}

/// Topic, name and description of each row under a heading that names a topic.
fn rows() -> Vec<(String, String, String)> {
    let text = fs::read_to_string(root().join("tests/README.md")).expect("the page");
    let mut topic = None;
    let mut rows = Vec::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            let named = heading
                .strip_prefix('`')
                .and_then(|it| it.strip_suffix('`'));
            topic = named.map(str::to_owned);
        }
        let row = line
            .strip_prefix("| `")
            .and_then(|it| it.split_once("` | "));
        if let (Some(topic), Some((name, rest))) = (&topic, row) {
            let description = rest.strip_suffix(" |").expect("a row of two columns");
            rows.push((topic.clone(), name.to_owned(), description.to_owned()));
        }
    }
    rows
}

#[test]
fn every_file_of_a_test_program_is_listed_once() {
    let (rows, there) = (rows(), there());
    let listed: Vec<(String, String)> = rows
        .iter()
        .map(|(topic, name, _)| (topic.clone(), name.clone()))
        .collect();
    let sorted: Vec<(String, String)> = there.into_iter().collect();
    assert_eq!(listed, sorted, "listed, and existing");
    for (topic, name, description) in rows {
        assert!(description.ends_with('.'), "{topic}/{name}: {description}");
    }
}

/// The paths below `tests/` that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let paths = text.split("tests/").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"_./-".contains(c));
        rest[..end.unwrap_or(rest.len())]
            .trim_end_matches('.')
            .to_owned()
    });
    paths.collect()
}

#[test]
fn every_test_that_a_document_names_exists() {
    let docs = entries(&root().join("docs"));
    let pages = docs.into_iter().chain(entries(root()));
    let pages = pages.filter(|path| path.extension().is_some_and(|it| it == "md"));
    let mut count = 0;
    // The changelog names the files of its time.
    for page in pages.filter(|path| name(path) != "CHANGELOG") {
        let text = fs::read_to_string(&page).expect("a page");
        for path in named(&text) {
            let file = root().join("tests").join(&path);
            assert!(file.exists(), "{}: tests/{path}", page.display());
            count += 1;
        }
    }
    assert!(count > 30, "only {count} paths are named");
}
