//! Sends a list of commands to both sides, in batches and one at a time, and compares the replies.

use std::collections::BTreeSet;

use fastrand::Rng;

use crate::transcript::lines::{Words, words};
use crate::transcript::side::Side;
use slotmux_testing::Value;
use slotmux_testing::alike::{alike, apart, known, show};

/// Most commands of one batch.
const LONGEST_BATCH: usize = 400;

/// Differences that are shown before the rest is only counted: later ones may follow from the first.
const SHOWN: usize = 12;

/// One command of the transcript.
#[derive(Clone)]
pub struct Entry {
    words: Words,
    /// The reply of slotmux, where Redis is not asked.
    ours: Option<Vec<u8>>,
}

impl Entry {
    /// A command whose reply is that of Redis.
    pub fn new(words: Words) -> Entry {
        Entry { words, ours: None }
    }

    /// A command whose reply is this: `OK`, or the text of an error, in which % stands for the command's full name.
    #[track_caller]
    pub fn listed(line: &str, text: &str) -> Entry {
        let words = words(line);
        let name = known(&words).map_or("", |command| command.full_name);
        let text = text.replace('%', name);
        let sign = if text == "OK" { '+' } else { '-' };
        Entry {
            words,
            ours: Some(format!("{sign}{text}\r\n").into_bytes()),
        }
    }

    /// Its name and arguments.
    pub fn words(&self) -> &Words {
        &self.words
    }

    /// The reply of slotmux, where Redis is not asked.
    pub fn reply_of_slotmux(&self) -> Option<&[u8]> {
        self.ours.as_deref()
    }
}

/// Runs the transcript over two connections; panics with all differences. Returns the commands that succeeded on Redis,
/// by their full names. About half goes in batches; with the other `half`, the rest does.
pub fn run(
    mut slotmux: Side,
    mut redis: Side,
    entries: &[Entry],
    seed: u64,
    half: bool,
) -> BTreeSet<&'static str> {
    let mut random = Rng::with_seed(seed);
    let mut differences = Vec::new();
    let mut succeeded = BTreeSet::new();
    let mut at = 0;
    while at < entries.len() {
        let chunk = &entries[at..(at + random.usize(1..=LONGEST_BATCH)).min(entries.len())];
        let batch = if random.bool() == half {
            chunk.len()
        } else {
            1
        };
        for entries in chunk.chunks(batch) {
            let all: Vec<&Words> = entries.iter().map(Entry::words).collect();
            let of_redis: Vec<&Words> = entries
                .iter()
                .filter(|entry| entry.ours.is_none())
                .map(Entry::words)
                .collect();
            let ours = slotmux.exchange(&all);
            let mut theirs = redis.exchange(&of_redis).into_iter();
            for (entry, ours) in entries.iter().zip(ours) {
                let difference = match &entry.ours {
                    Some(listed) => {
                        (ours.bytes != *listed).then(|| apart(&ours.bytes, "listed", listed))
                    }
                    None => {
                        let theirs = theirs.next().expect("a reply for each");
                        if !matches!(theirs.value, Value::Error(_)) {
                            succeeded.extend(known(&entry.words).map(|command| command.full_name));
                        }
                        let alike = alike(&entry.words, &ours, &theirs);
                        (!alike).then(|| apart(&ours.bytes, "redis", &theirs.bytes))
                    }
                };
                if let Some(difference) = difference {
                    let command = show(&entry.words);
                    differences.push(format!(
                        "reply {at}, in a batch of {}: {command}\n{difference}",
                        entries.len()
                    ));
                }
                at += 1;
            }
        }
    }
    let shown = differences.len().min(SHOWN);
    assert!(
        differences.is_empty(),
        "{} of {at} replies differ (seed {seed}):\n{}",
        differences.len(),
        differences[..shown].join("\n")
    );
    succeeded
}
