//! The book of one key: its writes and their outcomes, and so the possible replies to a read or a lookup. A key has
//! one writer, so the book is complete. Pure.

use crate::fate::Fate;
use slotmux_load::frames::Reply;
use std::collections::HashSet;

/// Identifies a write within a run.
pub type Token = u64;

/// Digits of a token.
pub const TOKEN: usize = 16;

/// The text of a token.
pub fn text(token: Token) -> String {
    format!("{token:016x}")
}

/// The value of a register. Its length varies, so that replies are cut in different places.
pub fn value(token: Token) -> String {
    text(token).repeat(1 + (token % 8) as usize)
}

/// The type of a key, and the command that writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// INCR.
    Counter,
    /// LPUSH of a token.
    List,
    /// APPEND of a token.
    Text,
    /// HSET of a field named by its token.
    Hash,
    /// SET to a token.
    Register,
}

/// The outcome of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It was sent and not answered; at the end of a run its fate is unknown.
    Unknown,
    Acked,
    Refused,
}

/// The verdict on a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A possible reply.
    Right,
    /// A reply that shows the state before an acknowledged write.
    Behind(String),
    /// An impossible reply.
    Wrong(String),
}

/// The findings of the final lookup of a key, as numbers of writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Acknowledged, but missing.
    pub lost: u64,
    /// Present more than once.
    pub doubled: u64,
    /// Present, although an error said that it was not executed.
    pub ran_refused: u64,
    /// Out of order.
    pub reordered: u64,
    /// Not written to this key.
    pub foreign: u64,
}

/// One key and its writes.
#[derive(Debug)]
pub struct Book {
    /// The key's name.
    pub key: String,
    /// Its type.
    pub kind: Kind,
    /// Whether it must have a TTL.
    pub expires: bool,
    /// Whether its writer is a control, which connects to the nodes directly.
    pub control: bool,
    writes: Vec<(Token, State)>,
    /// Fewest and most writes that may have run, according to the replies.
    low: u64,
    high: u64,
    /// Place of the newest acknowledged write.
    newest: Option<usize>,
}

impl Book {
    /// An empty book.
    pub fn new(key: String, kind: Kind) -> Book {
        Book {
            key,
            kind,
            expires: false,
            control: false,
            writes: Vec::new(),
            low: 0,
            high: 0,
            newest: None,
        }
    }

    /// Writes so far.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Records a write that is about to be sent; returns its command.
    pub fn write(&mut self, token: Token) -> Vec<String> {
        self.writes.push((token, State::Unknown));
        let key = self.key.clone();
        match self.kind {
            Kind::Counter => vec!["INCR".into(), key],
            Kind::List => vec!["LPUSH".into(), key, text(token)],
            Kind::Text => vec!["APPEND".into(), key, text(token)],
            Kind::Hash => vec!["HSET".into(), key, text(token), value(token)],
            Kind::Register => vec!["SET".into(), key, value(token)],
        }
    }

    /// Records the acknowledgement of a write.
    pub fn acked(&mut self, place: usize, reply: &Reply) -> Verdict {
        self.writes[place].1 = State::Acked;
        self.newest = self.newest.max(Some(place));
        let count = match (self.kind, reply) {
            (Kind::Counter | Kind::List, Reply::Int(n)) => *n,
            (Kind::Text, Reply::Int(n)) if n % TOKEN as i64 == 0 => n / TOKEN as i64,
            (Kind::Hash, Reply::Int(1)) => return Verdict::Right,
            (Kind::Register, Reply::Simple(ok)) if ok == "OK" => return Verdict::Right,
            _ => return self.wrong(reply),
        };
        let (low, high) = (self.low + 1, self.high + 1);
        let Ok(count) = u64::try_from(count) else {
            return self.wrong(reply);
        };
        // Each mismatch is reported once: from here on the server's value is used.
        self.high = count.max(high);
        self.low = count;
        if count > high {
            self.wrong(reply)
        } else if count < low {
            self.high = count + (high - low);
            self.behind(reply)
        } else {
            Verdict::Right
        }
    }

    /// Records that a write was not acknowledged.
    pub fn failed(&mut self, place: usize, fate: Fate) {
        match fate {
            Fate::Refused => self.writes[place].1 = State::Refused,
            Fate::Unknown => self.high += 1,
        }
    }

    /// A command that reads, whose possible replies are known. `choice` selects a field of a hash.
    pub fn question(&self, choice: usize) -> (Vec<String>, usize) {
        let key = self.key.clone();
        let place = choice % self.writes.len().max(1);
        let words = match self.kind {
            Kind::Counter | Kind::Register => vec!["GET".into(), key],
            Kind::List => vec!["LINDEX".into(), key, "0".into()],
            Kind::Text => vec!["GETRANGE".into(), key, format!("-{TOKEN}"), "-1".into()],
            Kind::Hash => {
                let field = self.writes.get(place).map_or(0, |write| write.0);
                vec!["HGET".into(), key, text(field)]
            }
        };
        (words, place)
    }

    /// Judges the reply to a question.
    pub fn read(&mut self, place: usize, reply: &Reply) -> Verdict {
        match self.kind {
            Kind::Counter => {
                let count = match reply {
                    Reply::Null => Some(0),
                    Reply::Bulk(digits) => std::str::from_utf8(digits)
                        .ok()
                        .and_then(|n| n.parse().ok()),
                    _ => None,
                };
                match count {
                    Some(n) if n > self.high => self.wrong(reply),
                    Some(n) if n < self.low => self.behind(reply),
                    Some(n) => {
                        self.low = n;
                        Verdict::Right
                    }
                    None => self.wrong(reply),
                }
            }
            Kind::Hash => match (self.writes.get(place), reply) {
                (Some((token, State::Acked | State::Unknown)), Reply::Bulk(found))
                    if *found == value(*token).as_bytes() =>
                {
                    Verdict::Right
                }
                (Some((_, State::Acked)), Reply::Null) => self.behind(reply),
                (_, Reply::Null) => Verdict::Right,
                _ => self.wrong(reply),
            },
            Kind::List | Kind::Text | Kind::Register => self.read_newest(reply),
        }
    }

    /// Judges a reply that shows the last write: the newest acknowledged one, or one of unknown fate, which may run late.
    fn read_newest(&self, reply: &Reply) -> Verdict {
        let found = match reply {
            Reply::Null => None,
            Reply::Bulk(bytes) if bytes.is_empty() => None,
            Reply::Bulk(bytes) => match self.place_of(bytes) {
                Some(place) => Some(place),
                None => return self.wrong(reply),
            },
            _ => return self.wrong(reply),
        };
        match found {
            place if place == self.newest => Verdict::Right,
            Some(place) if self.writes[place].1 == State::Unknown => Verdict::Right,
            Some(place) if self.writes[place].1 == State::Refused => self.wrong(reply),
            _ => self.behind(reply),
        }
    }

    /// The write that wrote these bytes.
    fn place_of(&self, bytes: &[u8]) -> Option<usize> {
        let is_it = |token: Token| match self.kind {
            Kind::Register => bytes == value(token).as_bytes(),
            _ => bytes == text(token).as_bytes(),
        };
        self.writes.iter().rposition(|&(token, _)| is_it(token))
    }

    fn wrong(&self, reply: &Reply) -> Verdict {
        Verdict::Wrong(self.described(reply))
    }

    fn behind(&self, reply: &Reply) -> Verdict {
        Verdict::Behind(self.described(reply))
    }

    fn described(&self, reply: &Reply) -> String {
        let newest = self.newest.map(|place| text(self.writes[place].0));
        format!(
            "{:?} {}: {reply:?}, with {}..{} writes, newest {}",
            self.kind,
            self.key,
            self.low,
            self.high,
            newest.unwrap_or_default()
        )
    }

    /// The command that reads all of the key at the end.
    pub fn lookup(&self) -> Vec<String> {
        let key = self.key.clone();
        match self.kind {
            Kind::Counter | Kind::Register | Kind::Text => vec!["GET".into(), key],
            Kind::List => vec!["LRANGE".into(), key, "0".into(), "-1".into()],
            Kind::Hash => vec!["HGETALL".into(), key],
        }
    }

    /// Compares the final content with the acknowledged writes.
    pub fn audit(&self, reply: &Reply) -> Findings {
        match self.kind {
            Kind::Counter => self.audit_count(reply),
            Kind::Register => match self.read_newest(reply) {
                Verdict::Right => Findings::default(),
                Verdict::Behind(_) => Findings {
                    lost: 1,
                    ..Findings::default()
                },
                Verdict::Wrong(_) => Findings {
                    foreign: 1,
                    ..Findings::default()
                },
            },
            Kind::List | Kind::Text | Kind::Hash => self.audit_tokens(&self.tokens(reply)),
        }
    }

    fn audit_count(&self, reply: &Reply) -> Findings {
        let count = match reply {
            Reply::Null => 0,
            Reply::Bulk(digits) => match String::from_utf8_lossy(digits).parse::<u64>() {
                Ok(count) => count,
                Err(_) => {
                    return Findings {
                        foreign: 1,
                        ..Findings::default()
                    };
                }
            },
            _ => {
                return Findings {
                    foreign: 1,
                    ..Findings::default()
                };
            }
        };
        let (acked, unknown) = (self.in_state(State::Acked), self.in_state(State::Unknown));
        Findings {
            lost: acked.saturating_sub(count),
            doubled: count.saturating_sub(acked + unknown),
            ..Findings::default()
        }
    }

    fn in_state(&self, state: State) -> u64 {
        self.writes.iter().filter(|write| write.1 == state).count() as u64
    }

    /// The tokens in the key, oldest first; 0 for bytes that are not a token.
    fn tokens(&self, reply: &Reply) -> Vec<Token> {
        let read = |bytes: &[u8]| -> Token {
            let digits = std::str::from_utf8(bytes).ok();
            digits
                .and_then(|d| u64::from_str_radix(d, 16).ok())
                .unwrap_or(0)
        };
        let bulk = |item: &Reply| match item {
            Reply::Bulk(bytes) => read(bytes),
            _ => 0,
        };
        match (self.kind, reply) {
            (_, Reply::Null) => Vec::new(),
            (Kind::Text, Reply::Bulk(all)) => all.chunks(TOKEN).map(read).collect(),
            (Kind::List, Reply::List(items)) => items.iter().rev().map(bulk).collect(),
            (Kind::Hash, Reply::List(pairs)) => {
                let pairs = pairs.chunks(2);
                let field = |pair: &[Reply]| {
                    let token = bulk(&pair[0]);
                    let is_right = pair.get(1) == Some(&Reply::Bulk(value(token).into_bytes()));
                    if is_right { token } else { 0 }
                };
                pairs.map(field).collect()
            }
            _ => vec![0],
        }
    }

    /// The missing acknowledged tokens. Those of a counter or a register cannot be named.
    pub fn lost_tokens(&self, reply: &Reply) -> Vec<String> {
        if matches!(self.kind, Kind::Counter | Kind::Register) {
            return Vec::new();
        }
        let there: HashSet<Token> = self.tokens(reply).into_iter().collect();
        let acked = self.writes.iter().filter(|write| write.1 == State::Acked);
        acked
            .filter(|write| !there.contains(&write.0))
            .map(|write| text(write.0))
            .collect()
    }

    fn audit_tokens(&self, found: &[Token]) -> Findings {
        let mut findings = Findings::default();
        let mut times = vec![0u64; self.writes.len()];
        let mut last = None;
        for &token in found {
            // Tokens of a key increase in the order in which they were sent.
            let Ok(place) = self.writes.binary_search_by_key(&token, |write| write.0) else {
                findings.foreign += 1;
                continue;
            };
            times[place] += 1;
            // Writes of unknown fate may run late; a hash has no order.
            if self.writes[place].1 == State::Acked && self.kind != Kind::Hash && times[place] == 1
            {
                findings.reordered += u64::from(last > Some(place));
                last = last.max(Some(place));
            }
        }
        for (&(_, state), times) in self.writes.iter().zip(times) {
            findings.lost += u64::from(state == State::Acked && times == 0);
            findings.ran_refused += u64::from(state == State::Refused && times > 0);
            findings.doubled += times.saturating_sub(1);
        }
        findings
    }
}

#[cfg(test)]
mod tests;
