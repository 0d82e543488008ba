//! Problems of a configuration with their places: collected instead of returned at the first one, so that a user sees
//! all of them at once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

/// The source of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A place in the file.
    File {
        /// The file as it was named.
        name: Arc<str>,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
    },
    /// An environment variable.
    Variable(Arc<str>),
    /// A flag of the command line.
    Flag(&'static str),
    /// Given nowhere, and there is no file.
    Nowhere,
    /// Given nowhere: it is the default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { name, line, column } => write!(f, "{name}:{line}:{column}"),
            Origin::Variable(name) => f.write_str(name),
            Origin::Flag(name) => f.write_str(name),
            Origin::Nowhere => f.write_str("configuration"),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// A problem that keeps slotmux from starting, or a warning. Prints as one line: `slotmux.toml:3:12: server.workers:
/// ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is.
    pub origin: Origin,
    /// The problem, and how to correct it.
    pub text: String,
    /// Which problem it is, as far as callers need to know.
    pub kind: ProblemKind,
}

/// A problem that callers distinguish from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// The upstream is missing; callers that need none ignore this.
    NoUpstream,
    /// Any other problem, or a warning.
    Other,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.text)
    }
}

/// Collected while the sources are read: the problems, and the last origin of each key.
pub(super) struct Reading {
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    origins: HashMap<String, Origin>,
    /// Where the syntax is broken.
    unparsed: HashSet<Origin>,
    /// Lines of the file whose section is unknown, in runs: the last line of each run by its first.
    orphans: BTreeMap<usize, usize>,
    /// The place for a missing key: the start of the file, if there is one.
    pub(super) fallback: Origin,
    /// Where relative paths of `file:` start.
    pub(super) folder: PathBuf,
}

impl Reading {
    pub(super) fn new() -> Reading {
        Reading {
            problems: Vec::new(),
            warnings: Vec::new(),
            origins: HashMap::new(),
            unparsed: HashSet::new(),
            fallback: Origin::Nowhere,
            orphans: BTreeMap::new(),
            folder: PathBuf::new(),
        }
    }

    /// Notes a problem, unless it only follows from a syntax error.
    pub(super) fn problem(&mut self, origin: &Origin, text: impl Into<String>) {
        self.problem_of(ProblemKind::Other, origin, text);
    }

    /// As [`Reading::problem`], for a problem of this kind.
    pub(super) fn problem_of(
        &mut self,
        kind: ProblemKind,
        origin: &Origin,
        text: impl Into<String>,
    ) {
        let is_orphan = match origin {
            // A run ends where the next one may begin, so that runs never overlap.
            Origin::File { line, .. } => {
                let run = self.orphans.range(..=line).next_back();
                run.is_some_and(|(_, last)| line <= last)
            }
            _ => false,
        };
        if !is_orphan && !self.unparsed.contains(origin) {
            self.problems.push(Problem {
                origin: origin.clone(),
                text: text.into(),
                kind,
            });
        }
    }

    /// Notes a problem where `key` was given, or else its section, or else where it could be given.
    pub(super) fn problem_at(&mut self, key: &str, text: impl Into<String>) {
        let sections = std::iter::successors(Some(key), |key| Some(key.rsplit_once('.')?.0));
        let origin = sections
            .into_iter()
            .find_map(|key| self.inherited_origin(key));
        let origin = origin.unwrap_or(&self.fallback).clone();
        self.problem(&origin, text);
    }

    /// Notes a warning.
    pub(super) fn warn(&mut self, origin: &Origin, text: impl Into<String>) {
        self.warnings.push(Problem {
            origin: origin.clone(),
            text: text.into(),
            kind: ProblemKind::Other,
        });
    }

    /// Records a syntax error, and the lines whose section is unknown because of it.
    pub(super) fn syntax(
        &mut self,
        origin: Origin,
        text: &str,
        orphans: Option<RangeInclusive<usize>>,
    ) {
        self.problems.push(Problem {
            origin: origin.clone(),
            text: text.to_owned(),
            kind: ProblemKind::Other,
        });
        self.unparsed.insert(origin);
        if let Some(lines) = orphans {
            let last = self.orphans.entry(*lines.start()).or_default();
            *last = (*lines.end()).max(*last);
        }
    }

    pub(super) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// Notes that `key` (with the indices of its sections) was given by `origin`.
    pub(super) fn given(&mut self, key: &str, origin: &Origin) {
        self.origins.insert(key.to_owned(), origin.clone());
    }

    /// Origin of `key`, if it was given. A variable or flag has no index and comes after the file.
    pub(super) fn origin(&self, key: &str) -> Option<&Origin> {
        self.origins
            .get(&without_indices(key))
            .or_else(|| self.origins.get(key))
    }

    /// Origin of `key`, or of the inherited key if the namespace itself lacks it.
    pub(super) fn inherited_origin(&self, key: &str) -> Option<&Origin> {
        self.origin(key).or_else(|| {
            let (_, inherited) = key.strip_prefix("namespace[")?.split_once("].")?;
            self.origin(&format!("defaults.namespace.{inherited}"))
        })
    }

    /// Origin of the file's first key that starts with `section` and is not in `except`.
    pub(super) fn first_below(&self, section: &str, except: &[&str]) -> Option<&Origin> {
        let is_below = |key: &str| {
            key.strip_prefix(section)
                .is_some_and(|rest| !except.contains(&rest))
        };
        let given = self.origins.iter().filter(|(key, _)| is_below(key));
        given
            .map(|(_, origin)| origin)
            .min_by_key(|origin| order(origin))
    }

    /// The problems in the order of the file, then of the environment and flags.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        sorted(self.problems)
    }

    /// The warnings in the same order.
    pub(super) fn into_warnings(self) -> Vec<Problem> {
        sorted(self.warnings)
    }
}

fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| order(&problem.origin));
    problems
}

fn order(origin: &Origin) -> (u8, usize, usize) {
    match origin {
        Origin::File { line, column, .. } => (0, *line, *column),
        Origin::Variable(_) => (1, 0, 0),
        Origin::Flag(_) => (2, 0, 0),
        Origin::Nowhere | Origin::Default => (3, 0, 0),
    }
}

/// The key under which an element of a plain list is noted with its own place.
pub(super) fn element_key(list: &str, number: usize) -> String {
    format!("{list}/{number}")
}

/// `listener[0].limits.max_args` as people write it: `listener.limits.max_args`.
pub(super) fn without_indices(key: &str) -> String {
    let mut plain = String::with_capacity(key.len());
    for (i, piece) in key.split('[').enumerate() {
        let piece = if i == 0 {
            piece
        } else {
            piece.split_once(']').map_or(piece, |(_, rest)| rest)
        };
        plain.push_str(piece);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_for_us_only() {
        for (key, plain) in [
            ("", ""),
            ("server.workers", "server.workers"),
            ("listener[0].limits.max_args", "listener.limits.max_args"),
            ("a[12].b[3]", "a.b"),
        ] {
            assert_eq!(without_indices(key), plain);
        }
    }
}
