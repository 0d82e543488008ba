//! One sample: sent to both sides in one setting, with its result.

use slotmux_core::command::for_each_key;
use slotmux_core::resp::{Limits, scan_request};
use slotmux_core::slot::slot_of;

use crate::transcript::Pair;
use crate::transcript::lines::{Words, words};
use crate::transcript::run::Entry;
use crate::transcript::side::Side;
use slotmux_testing::Value;
use slotmux_testing::alike::{alike, known};
use slotmux_testing::client::command as encode;
use slotmux_testing::reply::Reply;

/// How a sample is sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Setting {
    /// By a RESP2 client.
    Resp2,
    /// By a client after HELLO 3.
    Resp3,
    /// Alone between MULTI and EXEC, in either protocol.
    Multi,
    /// With keys of several slots, in either protocol.
    Several,
}

impl Setting {
    /// The protocol of its clients.
    pub fn protocols(self) -> &'static [&'static str] {
        match self {
            Setting::Resp2 => &["2"],
            Setting::Resp3 => &["3"],
            Setting::Multi | Setting::Several => &["2", "3"],
        }
    }
}

/// The result of a sample.
#[derive(Debug)]
pub enum Outcome {
    /// The reply of Redis, or as near to it as the command promises.
    Alike,
    /// The error of Redis.
    AlikeError,
    /// An error of slotmux that is listed: its text.
    Refused(String),
    /// Both replies, if there are two.
    Differs(String),
    /// The sample does not exist in this setting.
    NotSent,
}

impl Outcome {
    /// Whether the replies differed.
    pub fn differs(&self) -> bool {
        matches!(self, Outcome::Differs(_))
    }
}

/// Both servers.
pub struct Sampler<'a> {
    pair: &'a Pair,
}

impl<'a> Sampler<'a> {
    /// The two sides of this pair.
    pub fn new(pair: &'a Pair) -> Sampler<'a> {
        Sampler { pair }
    }

    /// Removes all keys and scripts.
    pub fn renew(&self) {
        self.pair.empty();
    }

    /// A connection to each, in this protocol.
    pub fn connect(&self, protocol: &str) -> Connections {
        let hello = words(&format!("HELLO {protocol}"));
        let connect = |port| {
            let mut side = Side::connect(port);
            side.exchange(&[&hello]);
            side
        };
        Connections {
            slotmux: connect(self.pair.proxy.port()),
            redis: connect(self.pair.redis.port()),
        }
    }
}

/// A connection to each side.
pub struct Connections {
    slotmux: Side,
    redis: Side,
}

impl Connections {
    /// Sends a sample to both, or to slotmux alone for a listed reply.
    pub fn send(&mut self, entry: &Entry, setting: Setting) -> Outcome {
        if setting == Setting::Multi {
            return self.send_in_multi(entry);
        }
        let words = entry.words();
        let ours = one(&mut self.slotmux, words);
        if let Some(listed) = entry.reply_of_slotmux() {
            return outcome_of_listed(&ours, listed);
        }
        let theirs = one(&mut self.redis, words);
        if alike(words, &ours, &theirs) {
            return alike_as(&theirs);
        }
        differs(&ours, &theirs)
    }

    fn send_in_multi(&mut self, entry: &Entry) -> Outcome {
        let sample = entry.words();
        if slots(sample) > 1 {
            return Outcome::NotSent;
        }
        let all = [&words("MULTI"), sample, &words("EXEC")];
        let ours = self.slotmux.exchange(&all);
        if let Value::Error(text) = &ours[1].value
            && NOT_IN_MULTI.iter().any(|known| text.ends_with(known))
        {
            if entry.reply_of_slotmux().is_none() {
                // It is executed on both sides all the same, because the next lines depend on its effect.
                self.redis.exchange(&all);
                one(&mut self.slotmux, sample);
            }
            return Outcome::Refused(text.clone());
        }
        if let Some(listed) = entry.reply_of_slotmux() {
            // The node's reply is in that of EXEC.
            let at = if ours[1].bytes == b"+QUEUED\r\n" {
                2
            } else {
                1
            };
            return outcome_of_listed(&element(&ours[at]), listed);
        }
        let theirs = self.redis.exchange(&all);
        let mut pairs = ours.iter().zip(&theirs);
        let differing = pairs.find(|(ours, theirs)| {
            ours.bytes != theirs.bytes && !alike(sample, &element(ours), &element(theirs))
        });
        match differing {
            Some((ours, theirs)) => differs(ours, theirs),
            None => alike_as(&element(&theirs[2])),
        }
    }
}

fn alike_as(reply: &Reply) -> Outcome {
    match reply.value {
        Value::Error(_) => Outcome::AlikeError,
        _ => Outcome::Alike,
    }
}

/// The ends of errors that refuse a command inside MULTI: that of slotmux and that of Redis.
pub const NOT_IN_MULTI: [&str; 2] = [
    "it can't be used inside MULTI, as it needs more than one node or the connection as a whole",
    "Command not allowed inside a transaction",
];

fn one(side: &mut Side, words: &Words) -> Reply {
    side.exchange(&[words]).remove(0)
}

/// The one element of EXEC's array, or the reply itself.
fn element(reply: &Reply) -> Reply {
    match (&reply.value, reply.bytes.strip_prefix(b"*1\r\n")) {
        (Value::Array(items), Some(bytes)) => Reply {
            bytes: bytes.to_vec(),
            value: items[0].clone(),
        },
        _ => reply.clone(),
    }
}

fn outcome_of_listed(ours: &Reply, listed: &[u8]) -> Outcome {
    if ours.bytes != listed {
        let listed = listed.escape_ascii();
        return Outcome::Differs(format!("{} listed: {listed}", shown(ours)));
    }
    match &ours.value {
        Value::Error(text) => Outcome::Refused(text.clone()),
        _ => Outcome::Alike,
    }
}

fn differs(ours: &Reply, theirs: &Reply) -> Outcome {
    match &ours.value {
        Value::Error(text) if text == slotmux_core::route::CROSS_SLOT => {
            Outcome::Refused(text.clone())
        }
        _ => Outcome::Differs(format!("slotmux: {} redis: {}", shown(ours), shown(theirs))),
    }
}

fn shown(reply: &Reply) -> String {
    let bytes = &reply.bytes[..reply.bytes.len().min(300)];
    bytes.escape_ascii().to_string()
}

/// The number of slots of the keys.
fn slots(words: &Words) -> usize {
    let Some(command) = known(words) else {
        return 0;
    };
    let bytes = encode(words);
    let mut args = Vec::new();
    scan_request(&bytes, &Limits::default(), &mut args).expect("a request");
    let mut slots = Vec::new();
    // If the keys cannot be found, the node makes the error.
    let _ = for_each_key(&command.keys, &bytes, &args, |at| {
        slots.push(slot_of(&words[at]));
    });
    slots.sort_unstable();
    slots.dedup();
    slots.len()
}
