//! The table of docs/conformance.md, between two marks; the rest of the page is written by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::differs::{DIFFERS, ELSEWHERE};
use super::sample::{NOT_IN_MULTI, Outcome, Setting};
use super::server::Listed;
use crate::transcript::lines::Words;
use slotmux_testing::alike::{looseness, show};

const MARKS: (&str, &str) = ("<!-- commands -->\n", "<!-- end of commands -->\n");

const SETTINGS: [Setting; 4] = [
    Setting::Resp2,
    Setting::Resp3,
    Setting::Multi,
    Setting::Several,
];

/// The results of all samples, by the full names of their commands.
#[derive(Default)]
pub struct Outcomes {
    of: BTreeMap<(&'static str, Setting), Vec<(String, Outcome)>>,
}

impl Outcomes {
    /// Adds the result of one sample.
    pub fn note(&mut self, command: &'static str, setting: Setting, sample: &Words, got: Outcome) {
        let samples = self.of.entry((command, setting)).or_default();
        if !matches!(got, Outcome::NotSent) {
            samples.push((show(sample), got));
        }
    }

    /// A row for each command.
    ///
    /// # Panics
    /// If a command has no sample, or if a reply differs and `differs` does not name the reason.
    pub fn table(&self, commands: &[Listed]) -> String {
        let mut page = String::new();
        let mut wrong = Vec::new();
        let mut group = "";
        for command in commands {
            if command.group != group {
                group = &command.group;
                write!(page, "\n### {group}\n\n").expect("a string");
                page.push_str(
                    "| command | RESP2 | RESP3 | in MULTI | several slots | what to know |\n",
                );
                page.push_str("| --- | --- | --- | --- | --- | --- |\n");
            }
            match self.row(&command.full_name) {
                Ok(row) => page.push_str(&row),
                Err(error) => wrong.push(error),
            }
        }
        page.push('\n');
        assert!(
            wrong.is_empty(),
            "{} commands:\n{}",
            wrong.len(),
            wrong.join("\n")
        );
        page
    }

    fn row(&self, name: &str) -> Result<String, String> {
        let title = name.replace('|', " ").to_uppercase();
        if let Some((_, cells)) = ELSEWHERE.iter().find(|(elsewhere, _)| *elsewhere == name) {
            return Ok(format!("| {title} | {cells} |\n"));
        }
        let mut notes = BTreeSet::new();
        let mut cells = Vec::new();
        for setting in SETTINGS {
            cells.push(self.cell(name, setting, &mut notes)?);
        }
        if cells[0] == NOTHING {
            return Err(format!("{name}: no sample"));
        }
        if cells.contains(&"in form") {
            notes.extend(looseness(name).map(|(_, reason)| reason.to_owned()));
        }
        let notes: Vec<String> = notes.into_iter().collect();
        let cells = cells.join(" | ");
        Ok(format!("| {title} | {cells} | {} |\n", notes.join("; ")))
    }

    /// One word, and a remark about it.
    fn cell(
        &self,
        name: &str,
        setting: Setting,
        notes: &mut BTreeSet<String>,
    ) -> Result<&'static str, String> {
        let samples = self
            .of
            .iter()
            .find(|((of, at), _)| *of == name && *at == setting);
        let samples = samples.map_or(&[][..], |(_, samples)| samples);
        let listed = DIFFERS
            .iter()
            .find(|(of, at, _)| *of == name && at.contains(&setting));
        let (mut alike, mut errors, mut differs) = (0, 0, 0);
        let mut texts = BTreeSet::new();
        for (line, outcome) in samples {
            match (outcome, listed) {
                (Outcome::Alike, _) => alike += 1,
                (Outcome::AlikeError, _) => errors += 1,
                (Outcome::Refused(text), _) => {
                    texts.insert(text);
                }
                (Outcome::Differs(_), Some((.., reason))) => {
                    differs += 1;
                    notes.insert((*reason).to_owned());
                }
                (Outcome::Differs(replies), None) => {
                    return Err(format!("{name} {setting:?}: {line}\n    {replies}"));
                }
                (Outcome::NotSent, _) => {}
            }
        }
        if listed.is_some() && differs == 0 {
            return Err(format!(
                "{name} {setting:?}: listed as differing, and is alike"
            ));
        }
        // The head of the page has these texts, for all commands.
        let in_multi = setting == Setting::Multi && texts.iter().all(|text| is_multi(text));
        let crosses = texts.len() == 1
            && texts
                .iter()
                .all(|text| *text == slotmux_core::route::CROSS_SLOT);
        if !crosses && !in_multi {
            notes.extend(
                texts
                    .iter()
                    .map(|text| format!("`{}`", text.replace('|', "\\|"))),
            );
        }
        Ok(match (alike, errors, texts.len(), differs) {
            (0, 0, 0, 0) => NOTHING,
            (0, 0, 0, _) => "differs",
            (0, 0, ..) if crosses => "`CROSSSLOT`",
            (0, 0, ..) => "refused",
            (0, _, 0, 0) => "errors",
            (_, _, 0, 0) if looseness(name).is_some() => "in form",
            (_, _, 0, 0) => "equal",
            _ => "partly",
        })
    }
}

/// For a setting without a sample of the command: it takes one key at most.
const NOTHING: &str = "-";

/// Compares the table with that of the page; with SLOTMUX_BLESS, writes it there.
pub fn compare(made: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/conformance.md");
    let page = std::fs::read_to_string(path).expect("the page");
    let (head, rest) = page.split_once(MARKS.0).expect("the first mark");
    let (there, tail) = rest.split_once(MARKS.1).expect("the last mark");
    if std::env::var_os("SLOTMUX_BLESS").is_some() {
        let page = [head, MARKS.0, made, MARKS.1, tail].concat();
        std::fs::write(path, page).expect("written");
        return;
    }
    let lines = there.lines().zip(made.lines());
    let differing = lines.into_iter().find(|(there, made)| there != made);
    assert!(
        there == made,
        "run SLOTMUX_BLESS=1 cargo test --test oracles the_page; first difference: {differing:?}"
    );
}

/// Whether slotmux refuses a command inside MULTI with the text that the page has once, for all of them.
fn is_multi(text: &str) -> bool {
    NOT_IN_MULTI.iter().any(|known| text.ends_with(known))
}
