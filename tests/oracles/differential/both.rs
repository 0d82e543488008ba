//! One client's two connections, to slotmux and to Redis, and their known state.

use std::collections::BTreeMap;
use std::io;

use crate::transcript::lines::{Words, words};
use slotmux_testing::alike::{alike, apart, in_essence, known, likeness, show};
use slotmux_testing::reply::Reply;
use slotmux_testing::{RawClient, Value};

/// A reply that differs, or a connection without a reply.
pub struct Difference {
    /// The common feature of equal failures: the command, and whether it was in a transaction.
    pub kind: String,
    /// For the reader.
    pub text: String,
}

/// Frames for a subscriber that are not a reply, by their origin.
type Messages = BTreeMap<Vec<u8>, Vec<Vec<u8>>>;

/// One of the two.
pub struct Side {
    pub connection: RawClient,
    pub id: String,
    messages: Messages,
}

/// Both.
pub struct Both {
    pub ours: Side,
    pub theirs: Side,
    /// Between MULTI and EXEC: the queued commands.
    queue: Option<Vec<Words>>,
    /// Whether it has ever subscribed.
    listens: bool,
    tokens: usize,
}

impl Side {
    fn connect(port: u16, protocol: u8) -> Side {
        let mut connection = RawClient::connect(port);
        if protocol == 3 {
            connection = RawClient::connect_resp3(port);
        }
        let id = connection.call(&["CLIENT", "ID"]).integer();
        let messages = Messages::new();
        let id = id.to_string();
        Side {
            connection,
            id,
            messages,
        }
    }

    /// Reads one reply; other frames are kept.
    pub fn reply(&mut self) -> io::Result<Reply> {
        loop {
            let reply = self.connection.try_read_reply()?;
            if !matches!(reply.value, Value::Push(_)) || !self.keep(&reply) {
                return Ok(reply);
            }
        }
    }

    /// Keeps a message; returns false for any other frame.
    fn keep(&mut self, reply: &Reply) -> bool {
        let (Value::Push(parts) | Value::Array(parts)) = &reply.value else {
            return false;
        };
        let text = |at: usize| match parts.get(at) {
            Some(Value::Bulk(text)) => text.clone(),
            _ => Vec::new(),
        };
        let is_message = match text(0).as_slice() {
            b"message" | b"smessage" => parts.len() == 3,
            b"pmessage" => parts.len() == 4,
            _ => false,
        };
        if is_message {
            // Across channels, and between a channel and a pattern, the order is undefined.
            let mut source = [text(0), text(1)].join(&b' ');
            if parts.len() == 4 {
                source = [source, text(2)].join(&b' ');
            }
            self.messages
                .entry(source)
                .or_default()
                .push(reply.bytes.clone());
        }
        is_message
    }

    fn count(&self) -> usize {
        self.messages.values().map(Vec::len).sum()
    }

    /// Reads up to the reply that holds the token, and until this many messages have come; returns the other frames.
    fn until(&mut self, token: &[u8], messages: usize) -> io::Result<Vec<Reply>> {
        let mut all = Vec::new();
        let mut found = false;
        while !found || self.count() < messages {
            let reply = self.connection.try_read_reply()?;
            if self.keep(&reply) {
                continue;
            }
            let last = match &reply.value {
                Value::Array(parts) => parts.last(),
                other => Some(other),
            };
            match last {
                Some(Value::Bulk(text)) if text == token => found = true,
                _ => all.push(reply),
            }
        }
        Ok(all)
    }
}

impl Both {
    /// Connects to both.
    pub fn connect(slotmux: u16, redis: u16, protocol: u8) -> Both {
        Both {
            ours: Side::connect(slotmux, protocol),
            theirs: Side::connect(redis, protocol),
            queue: None,
            listens: false,
            tokens: 0,
        }
    }

    /// Whether it is between MULTI and EXEC.
    pub fn is_queueing(&self) -> bool {
        self.queue.is_some()
    }

    /// Reads a reply to this command on both sides and compares them.
    pub fn compare(&mut self, words: &Words) -> Result<(), Difference> {
        // Redis first: if slotmux then does not answer, Redis certainly did.
        let theirs = self
            .theirs
            .reply()
            .map_err(|error| self.silent("redis", words, &error))?;
        let ours = self
            .ours
            .reply()
            .map_err(|error| self.silent("slotmux", words, &error))?;
        let is_alike = match (&self.queue, name(words).as_str()) {
            (Some(queue), "exec") => all_alike(queue, &ours, &theirs),
            _ => alike(words, &ours, &theirs),
        };
        let kind = self.kind(words);
        self.note(words, &theirs);
        if is_alike {
            return Ok(());
        }
        let command = show(words);
        let apart = apart(&ours.bytes, "redis", &theirs.bytes);
        Err(Difference {
            kind,
            text: format!("{command}\n{apart}"),
        })
    }

    fn kind(&self, words: &Words) -> String {
        format!("{} {}", name(words), self.is_queueing())
    }

    fn silent(&self, who: &str, words: &Words, error: &io::Error) -> Difference {
        Difference {
            kind: format!("silent {who}"),
            text: format!("no reply of {who} to {}: {error}", show(words)),
        }
    }

    /// Follows the client's transaction.
    fn note(&mut self, words: &Words, reply: &Reply) {
        let is = |text: &str| matches!(&reply.value, Value::Simple(simple) if simple == text);
        let is_arity =
            matches!(&reply.value, Value::Error(text) if text.contains("number of arguments"));
        match (name(words).as_str(), &mut self.queue) {
            ("multi", None) if is("OK") => self.queue = Some(Vec::new()),
            ("exec" | "discard" | "reset", Some(_)) if !is_arity => self.queue = None,
            (_, Some(queue)) if is("QUEUED") => queue.push(words.clone()),
            _ => {}
        }
    }

    /// Sends commands that change subscriptions and compares all their frames.
    pub fn listen(&mut self, commands: &[Words]) -> Result<(), Difference> {
        self.listens = true;
        self.settle(commands)
    }

    /// Compares the frames for a subscriber.
    pub fn collect(&mut self) -> Result<(), Difference> {
        if self.listens {
            self.settle(&[])
        } else {
            Ok(())
        }
    }

    fn settle(&mut self, commands: &[Words]) -> Result<(), Difference> {
        self.tokens += 1;
        let token = format!("token-{}", self.tokens);
        let ping = words(&format!("PING {token}"));
        let shown = commands.first().unwrap_or(&ping);
        for side in [&mut self.theirs, &mut self.ours] {
            commands
                .iter()
                .chain([&ping])
                .for_each(|words| side.connection.send(words));
        }
        let theirs = self.theirs.until(token.as_bytes(), 0);
        let theirs = theirs.map_err(|error| self.silent("redis", shown, &error))?;
        let ours = self.ours.until(token.as_bytes(), self.theirs.count());
        let ours = ours.map_err(|error| self.silent("slotmux", shown, &error))?;
        let of_all = commands.first().is_some_and(|words| words.len() == 1);
        let bytes = |all: &[Reply]| confirmations(all, of_all);
        let differ = |what: &str, ours: &[u8], theirs: &[u8]| Difference {
            kind: format!("{what} {}", name(shown)),
            text: format!(
                "{what} of {}\n{}",
                show(shown),
                apart(ours, "redis", theirs)
            ),
        };
        if bytes(&ours) != bytes(&theirs) {
            return Err(differ("confirmations", &bytes(&ours), &bytes(&theirs)));
        }
        let flat = |messages: &Messages| {
            messages
                .values()
                .flatten()
                .flatten()
                .copied()
                .collect::<Vec<u8>>()
        };
        let messages = [&mut self.ours, &mut self.theirs]
            .map(|side| flat(&std::mem::take(&mut side.messages)));
        match messages[0] == messages[1] {
            true => Ok(()),
            false => Err(differ("messages", &messages[0], &messages[1])),
        }
    }
}

/// The confirmations of a change. When all channels are left, their names come in the order of a hash seed: then only
/// the sets of names and the counts have to be equal.
fn confirmations(all: &[Reply], of_all: bool) -> Vec<u8> {
    let mut parts: Vec<String> = Vec::new();
    for reply in all {
        match &reply.value {
            Value::Push(items) | Value::Array(items) if of_all => {
                parts.extend(items.iter().map(|item| format!("{item:?}")));
            }
            _ => parts.push(reply.bytes.escape_ascii().to_string()),
        }
    }
    if of_all {
        parts.sort_unstable();
    }
    parts.concat().into_bytes()
}

/// The name of the command in lower case.
pub fn name(words: &Words) -> String {
    words.first().map_or(String::new(), |word| {
        String::from_utf8_lossy(word).to_ascii_lowercase()
    })
}

/// Whether the elements of EXEC's array are alike, each by the rules of its command.
fn all_alike(queue: &[Words], ours: &Reply, theirs: &Reply) -> bool {
    if ours.bytes == theirs.bytes {
        return true;
    }
    let (Value::Array(ours), Value::Array(theirs)) = (&ours.value, &theirs.value) else {
        return false;
    };
    let each = |(words, (ours, theirs)): (&Words, (&Value, &Value))| {
        // Inside MULTI the number is the node's own: docs/consistency.md.
        let of_a_node = known(words).is_some_and(|command| command.full_name.ends_with("publish"));
        let are_numbers = matches!((ours, theirs), (Value::Integer(_), Value::Integer(_)));
        ours == theirs
            || of_a_node && are_numbers
            || likeness(words).is_some_and(|like| in_essence(ours, theirs, like))
    };
    ours.len() == theirs.len()
        && queue.len() == ours.len()
        && queue.iter().zip(ours.iter().zip(theirs)).all(each)
}
