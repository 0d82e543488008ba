//! Whether two replies to one command are alike: equal, except where Redis itself promises no order or no exact form.

use slotmux_core::command::{Command, resolve};
use slotmux_core::resp::{Limits, scan_request};

use super::client::command as encode;
use super::reply::{Reply, Value};

/// How two replies are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Likeness {
    /// The elements (of a map: the pairs) in any order.
    Unordered,
    /// As `Unordered`, on every level.
    UnorderedWithin,
    /// A cursor, and elements in any order.
    Page,
    /// As `Page`, of pairs.
    PageOfPairs,
    /// An array of names and values in any order; a map in RESP3.
    Pairs,
    /// The types of all parts, and every text that is not a number.
    Form,
    /// The type alone.
    Type,
    /// A number that is greater than zero on both sides.
    Remaining,
}

use Likeness::*;

/// Commands whose successful replies are not compared byte by byte. A line stands for every call that begins with it.
/// It does not apply where the bytes are equal or one of the replies is an error.
pub const LOOSE: &[(&str, Likeness, &str)] = &[
    ("SMEMBERS", Unordered, HASH_SEED),
    ("SINTER", Unordered, HASH_SEED),
    ("SUNION", Unordered, HASH_SEED),
    ("SDIFF", Unordered, HASH_SEED),
    ("SPOP", Unordered, HASH_SEED),
    ("SRANDMEMBER", Unordered, HASH_SEED),
    ("HKEYS", Unordered, HASH_SEED),
    ("HVALS", Unordered, HASH_SEED),
    ("HGETALL", Pairs, HASH_SEED),
    ("KEYS", Unordered, HASH_SEED),
    ("SSCAN", Page, HASH_SEED),
    ("HSCAN", PageOfPairs, HASH_SEED),
    ("ZSCAN", PageOfPairs, HASH_SEED),
    ("COMMAND LIST", Unordered, HASH_SEED),
    ("COMMAND INFO", UnorderedWithin, HASH_SEED),
    ("COMMAND DOCS", UnorderedWithin, HASH_SEED),
    ("COMMAND", UnorderedWithin, HASH_SEED),
    ("CONFIG GET", Pairs, HASH_SEED),
    ("PUBSUB CHANNELS", Unordered, HASH_SEED),
    ("PUBSUB SHARDCHANNELS", Unordered, HASH_SEED),
    ("TTL", Remaining, CLOCK),
    ("PTTL", Remaining, CLOCK),
    ("TIME", Form, CLOCK),
    ("OBJECT IDLETIME", Form, CLOCK),
    ("XPENDING", Form, CLOCK),
    ("XINFO CONSUMERS", Form, CLOCK),
    ("XINFO STREAM", Form, CLOCK),
    ("MEMORY USAGE", Form, NODE_OVERHEAD),
    ("HELLO", Form, OWN_FIGURES),
    ("CLIENT ID", Form, OWN_FIGURES),
    ("CLIENT INFO", Type, OWN_FIGURES),
    ("CLIENT LIST", Type, OWN_FIGURES),
    ("INFO", Type, OWN_FIGURES),
    ("RANDOMKEY", Type, HASH_SEED),
    ("LASTSAVE", Type, CLOCK),
    ("ACL CAT", Unordered, HASH_SEED),
    ("ACL GENPASS", Type, OWN_FIGURES),
    ("FUNCTION DUMP", Type, HASH_SEED),
    ("FUNCTION LIST", UnorderedWithin, HASH_SEED),
    ("LATENCY HISTOGRAM", Type, CLOCK),
    ("MEMORY DOCTOR", Type, NODE_OVERHEAD),
    ("MEMORY MALLOC-STATS", Type, NODE_OVERHEAD),
    ("MEMORY STATS", Type, NODE_OVERHEAD),
    ("SLOWLOG GET", Type, CLOCK),
    ("SLOWLOG LEN", Type, CLOCK),
];

const HASH_SEED: &str = "the order follows a hash seed that every Redis process draws anew";
const CLOCK: &str = "time passes";
const NODE_OVERHEAD: &str =
    "an entry of a cluster node is larger: it is linked with those of its slot";
const OWN_FIGURES: &str =
    "ids, addresses and totals are slotmux' own; answers_against_redis holds their form to Redis'";

/// The table's entry for this command, with its arity checked.
pub fn known(words: &[Vec<u8>]) -> Option<&'static Command> {
    let bytes = encode(words);
    let mut args = Vec::new();
    scan_request(&bytes, &Limits::default(), &mut args).ok()?;
    resolve(&bytes, &args).ok()
}

/// A command as an error message shows it.
pub fn show(words: &[Vec<u8>]) -> String {
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

/// Both replies from shortly before the first different byte.
pub fn apart(ours: &[u8], whose: &str, theirs: &[u8]) -> String {
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
pub fn alike(words: &[Vec<u8>], ours: &Reply, theirs: &Reply) -> bool {
    if ours.bytes == theirs.bytes {
        return true;
    }
    if matches!(ours.value, Value::Error(_)) || matches!(theirs.value, Value::Error(_)) {
        return false;
    }
    likeness(words).is_some_and(|likeness| in_essence(&ours.value, &theirs.value, likeness))
}

/// How the replies to this command are compared where their bytes differ; `None`: they may not differ.
pub fn likeness(words: &[Vec<u8>]) -> Option<Likeness> {
    looseness(known(words)?.full_name).map(|(likeness, _)| likeness)
}

/// How the successful replies of a command are compared and why, if not byte by byte.
pub fn looseness(full_name: &str) -> Option<(Likeness, &'static str)> {
    let named = |line: &str| line.to_ascii_lowercase().replace(' ', "|") == full_name;
    let line = LOOSE.iter().find(|(line, ..)| named(line));
    line.map(|(_, likeness, reason)| (*likeness, *reason))
}

/// Whether replies are as equal as this comparison requires.
pub fn in_essence(ours: &Value, theirs: &Value, likeness: Likeness) -> bool {
    if likeness == Likeness::Remaining {
        return [ours, theirs]
            .iter()
            .all(|value| matches!(value, Value::Integer(1..)));
    }
    essence(ours, likeness) == essence(theirs, likeness)
}

/// The parts of a reply that must be equal.
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

/// The comparable part of every element of a reply.
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
    /// The type of a reply without its content.
    fn kind(&self) -> std::mem::Discriminant<Value>;
}

impl Kind for Value {
    fn kind(&self) -> std::mem::Discriminant<Value> {
        std::mem::discriminant(self)
    }
}
