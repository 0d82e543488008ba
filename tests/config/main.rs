//! The configuration as users meet it: invalid files with the lines printed about them, precedence of the sources, the
//! documents that must name every key, and the binary that checks files.

mod acl_words;
mod binary;
mod documents;
mod effects;
mod many_namespaces;
mod namespace_problems;
mod namespaces;
mod precedence;
mod problems;
mod shown;
mod ttl_env;
mod values;

use std::collections::BTreeMap;

use slotmux_core::config::{CommandLine, Config, Problem, SourceFile, Sources, load};

/// A complete file; it has no problem besides the lines that a test adds.
const CLUSTER: &str = "[[cluster]]\nseeds = [\"redis://127.0.0.1:7000\"]\n";

fn sources(file: &str, env: &[(&str, &str)]) -> Sources {
    let env: BTreeMap<String, String> = env
        .iter()
        .map(|(name, text)| (name.to_string(), text.to_string()))
        .collect();
    Sources {
        file: Some(SourceFile {
            name: "f.toml".into(),
            text: file.into(),
        }),
        env,
        flags: CommandLine::default(),
    }
}

fn loaded(file: &str, env: &[(&str, &str)]) -> Config {
    load(&sources(file, env))
        .unwrap_or_else(|problems| panic!("{file}: {}", lines(&problems).join("\n")))
}

fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(Problem::to_string).collect()
}
