//! Sends a list of commands to both sides, in batches and one at a time, and compares the replies.

use std::collections::BTreeSet;

use fastrand::Rng;
use slotmux::command::{Command, resolve};
use slotmux::resp::{Limits, scan_request};

use crate::common::Value;
use crate::common::client::command as encode;
use crate::intended::{Likeness, looseness};
use crate::lines::{Words, words};
use crate::side::{Reply, Side};

/// Most commands of one batch.
const LONGEST_BATCH: usize = 400;

/// Differences that are shown before the rest is only counted: after the first, others may follow from it.
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

    /// Its words.
    pub fn words(&self) -> &Words {
        &self.words
    }

    /// What slotmux replies, where Redis is not asked.
    pub fn reply_of_slotmux(&self) -> Option<&[u8]> {
        self.ours.as_deref()
    }
}

/// What the table has for these words, with their number checked.
pub fn known(words: &Words) -> Option<&'static Command> {
    let bytes = encode(words);
    let mut args = Vec::new();
    scan_request(&bytes, &Limits::default(), &mut args).ok()?;
    resolve(&bytes, &args).ok()
}

/// Runs the transcript over two connections; panics with all differences. Returns the commands that Redis carried out,
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

/// A command as an error message shows it.
pub fn show(words: &Words) -> String {
    let words = words.iter().map(|word| {
        let shown = word[..word.len().min(60)].escape_ascii().to_string();
        match word.len() {
            0 => "\"\"".to_owned(),
            1..=60 => shown,
            length => format!("{shown}...({length} bytes)"),
        }
    });
    words.take(20).collect::<Vec<_>>().join(" ")
}

/// Both replies from shortly before the byte in which they differ.
fn apart(ours: &[u8], whose: &str, theirs: &[u8]) -> String {
    let pairs = ours.iter().zip(theirs);
    let at = pairs.take_while(|(ours, theirs)| ours == theirs).count();
    let cut = |bytes: &[u8]| {
        let start = at.saturating_sub(60);
        bytes[start..bytes.len().min(start + 240)]
            .escape_ascii()
            .to_string()
    };
    format!(
        "  from byte {at} on\n  slotmux: {}\n  {whose:7}: {}",
        cut(ours),
        cut(theirs)
    )
}

/// Whether the replies are equal, or as equal as this command promises.
pub fn alike(words: &Words, ours: &Reply, theirs: &Reply) -> bool {
    if ours.bytes == theirs.bytes {
        return true;
    }
    if matches!(ours.value, Value::Error(_)) || matches!(theirs.value, Value::Error(_)) {
        return false;
    }
    let Some(command) = known(words) else {
        return false;
    };
    let Some((likeness, _)) = looseness(command.full_name) else {
        return false;
    };
    if likeness == Likeness::Remaining {
        return [ours, theirs]
            .iter()
            .all(|reply| matches!(reply.value, Value::Integer(1..)));
    }
    essence(&ours.value, likeness) == essence(&theirs.value, likeness)
}

/// What has to be equal of a reply.
fn essence(value: &Value, likeness: Likeness) -> String {
    match (likeness, value) {
        (Likeness::Unordered, Value::Array(items) | Value::Set(items)) => {
            format!("{:?} {:?}", value.kind(), sorted(items.chunks(1)))
        }
        (Likeness::Pairs, Value::Array(items)) => format!("pairs {:?}", sorted(items.chunks(2))),
        (Likeness::Pairs, Value::Map(pairs)) => {
            let pairs: Vec<[Value; 2]> = pairs
                .iter()
                .map(|(name, value)| [name.clone(), value.clone()])
                .collect();
            format!("map {:?}", sorted(pairs.iter().map(|pair| &pair[..])))
        }
        (Likeness::Page | Likeness::PageOfPairs, Value::Array(page)) if page.len() == 2 => {
            let inner = if likeness == Likeness::Page {
                Likeness::Unordered
            } else {
                Likeness::Pairs
            };
            format!("{:?} {}", page[0], essence(&page[1], inner))
        }
        (Likeness::UnorderedWithin | Likeness::Form, _) => within(value, likeness),
        (Likeness::Type, _) => format!("{:?}", value.kind()),
        _ => format!("{value:?}"),
    }
}

/// The essence of every part of a reply.
fn within(value: &Value, likeness: Likeness) -> String {
    let each = |items: &[Value]| {
        let mut parts: Vec<String> = items.iter().map(|item| within(item, likeness)).collect();
        if likeness == Likeness::UnorderedWithin {
            parts.sort_unstable();
        }
        format!("{:?} {parts:?}", value.kind())
    };
    match value {
        Value::Array(items) | Value::Set(items) => each(items),
        Value::Map(pairs) => {
            let pairs: Vec<Value> = pairs
                .iter()
                .map(|(name, value)| Value::Array(vec![name.clone(), value.clone()]))
                .collect();
            each(&pairs)
        }
        Value::Integer(_) if likeness == Likeness::Form => "integer".to_owned(),
        Value::Bulk(text) if likeness == Likeness::Form && text.is_ascii_number() => {
            "number".to_owned()
        }
        other => format!("{other:?}"),
    }
}

fn sorted<'a>(parts: impl Iterator<Item = &'a [Value]>) -> Vec<String> {
    let mut parts: Vec<String> = parts.map(|part| format!("{part:?}")).collect();
    parts.sort_unstable();
    parts
}

trait Digits {
    fn is_ascii_number(&self) -> bool;
}

impl Digits for Vec<u8> {
    fn is_ascii_number(&self) -> bool {
        !self.is_empty() && self.iter().all(u8::is_ascii_digit)
    }
}

trait Kind {
    /// The type of a reply without what it holds.
    fn kind(&self) -> std::mem::Discriminant<Value>;
}

impl Kind for Value {
    fn kind(&self) -> std::mem::Discriminant<Value> {
        std::mem::discriminant(self)
    }
}
