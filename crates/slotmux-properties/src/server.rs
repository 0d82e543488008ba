//! A model of how a server handles TTLs, written from the sources of Redis 7.0 and not from those of slotmux: which
//! requests it refuses, which keys exist afterwards, and when they expire. A value is the last written one.

use std::collections::BTreeMap;

use slotmux_core::command::Lifetime;
use slotmux_core::command::{CommandRef, resolve};
use slotmux_core::resp::Span;

/// A value, and the unix milliseconds at which its key expires, if at all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    pub value: Vec<u8>,
    pub expiry: Option<i64>,
}

/// A server with its keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    pub keys: BTreeMap<Vec<u8>, Entry>,
    pub now: i64,
    /// Whether it takes options that Redis 7.0 refuses as a syntax error, as a newer server might.
    pub is_newer: bool,
    /// How it treats a TTL that is too long to be added to `now`.
    pub overflow: Overflow,
}

/// Treatment of a TTL whose end does not fit into 64 bits. Whether it fits depends on the clock of the node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Overflow {
    /// As in Redis: SET and EXPIRE refuse it, and RESTORE takes it for a point in the past.
    AsRedis,
    /// The TTL ends as late as possible, as by a clock that is early enough for it to fit.
    EndsLast,
}

/// An error reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused;

/// Unit of a TTL, and whether it is a point in time.
type Form = (i64, bool);

const EX: Form = (1000, false);
const PX: Form = (1, false);
const EXAT: Form = (1000, true);
const PXAT: Form = (1, true);

/// Options, each with its number of arguments.
type Takes = &'static [(&'static str, usize)];

const SORT: Takes = &[
    ("asc", 0),
    ("desc", 0),
    ("alpha", 0),
    ("limit", 2),
    ("by", 1),
    ("get", 1),
    ("store", 1),
];
const GEORADIUS: Takes = &[
    ("withdist", 0),
    ("withhash", 0),
    ("withcoord", 0),
    ("any", 0),
    ("asc", 0),
    ("desc", 0),
    ("count", 1),
    ("store", 1),
    ("storedist", 1),
];

#[derive(Default)]
struct Options<'a> {
    nx: bool,
    xx: bool,
    keepttl: bool,
    persist: bool,
    ttl: Option<(Form, &'a [u8])>,
}

impl Server {
    /// Executes one request, whose arity is right.
    pub fn execute(&mut self, bytes: &[u8], spans: &[Span]) -> Result<(), Refused> {
        let args: Vec<&[u8]> = spans.iter().map(|span| span.of(bytes)).collect();
        let command = resolve(bytes, spans).map_err(|_| Refused)?;
        let key = *args.get(1).ok_or(Refused)?;
        match command.full_name {
            "set" => {
                let options = self.options(&args[3..], b"nx xx get keepttl")?;
                self.set(key, args[2], &options)
            }
            "setex" | "psetex" => {
                let form = if command.full_name == "setex" { EX } else { PX };
                let at = self.point(form, args[2])?;
                self.put(key, args[3], Some(at));
                Ok(())
            }
            "setnx" | "msetnx" => {
                let mut keys = args[1..].iter().step_by(2);
                if !keys.any(|key| self.keys.contains_key(*key)) {
                    self.put_pairs(&args[1..]);
                }
                Ok(())
            }
            "getset" | "mset" => {
                self.put_pairs(&args[1..]);
                Ok(())
            }
            "msetex" => self.msetex(
                command_keys(CommandRef::Table(command), bytes, spans)?,
                &args,
            ),
            "getex" => self.getex(key, &args[2..]),
            "expire" => self.expire(key, EX, args[2], &args[3..]),
            "pexpire" => self.expire(key, PX, args[2], &args[3..]),
            "expireat" => self.expire(key, EXAT, args[2], &args[3..]),
            "pexpireat" => self.expire(key, PXAT, args[2], &args[3..]),
            "persist" => {
                self.persist(key);
                Ok(())
            }
            "restore" => self.restore(key, args[2], args[3], &args[4..]),
            "sort" => self.store(&args[2..], SORT, bytes),
            "georadius" => self.store(&args[6..], GEORADIUS, bytes),
            _ => {
                let command = CommandRef::Table(command);
                command_keys(command, bytes, spans)?;
                // In the worst case each key that may be written has no expiry afterwards.
                if command.lifetime() != Lifetime::Untouched {
                    command
                        .for_each_written_key(bytes, spans, |at| self.put(args[at], bytes, None))
                        .map_err(|_| Refused)?;
                }
                Ok(())
            }
        }
    }

    /// Writes the key after the last STORE. An argument of an option is not an option.
    fn store(&mut self, words: &[&[u8]], known: Takes, value: &[u8]) -> Result<(), Refused> {
        let mut destination = None;
        let mut at = 0;
        while at < words.len() {
            let word = lower(words[at]);
            match known.iter().find(|(known, _)| known.as_bytes() == word) {
                Some((known, takes)) => {
                    if at + takes >= words.len() {
                        return Err(Refused);
                    }
                    if known.starts_with("store") {
                        destination = Some(words[at + 1]);
                    }
                    at += takes;
                }
                None if self.is_newer => {}
                None => return Err(Refused),
            }
            at += 1;
        }
        if let Some(key) = destination {
            self.put(key, value, None);
        }
        Ok(())
    }

    fn put(&mut self, key: &[u8], value: &[u8], expiry: Option<i64>) {
        let value = value.to_vec();
        self.keys.insert(key.to_vec(), Entry { value, expiry });
        if let Some(at) = expiry {
            self.expire_at(key, at);
        }
    }

    fn put_pairs(&mut self, pairs: &[&[u8]]) {
        for pair in pairs.chunks_exact(2) {
            self.put(pair[0], pair[1], None);
        }
    }

    /// Gives another expiry to a key that may exist; an expiry in the past deletes the key.
    fn expire_at(&mut self, key: &[u8], at: i64) {
        if at <= self.now {
            self.keys.remove(key);
        } else if let Some(entry) = self.keys.get_mut(key) {
            entry.expiry = Some(at);
        }
    }

    fn persist(&mut self, key: &[u8]) {
        if let Some(entry) = self.keys.get_mut(key) {
            entry.expiry = None;
        }
    }

    fn set(&mut self, key: &[u8], value: &[u8], options: &Options) -> Result<(), Refused> {
        let at = self.point_of(options)?;
        let before = self.keys.get(key);
        if (options.nx && before.is_some()) || (options.xx && before.is_none()) {
            return Ok(());
        }
        let kept = before.and_then(|entry| entry.expiry);
        self.put(key, value, at.or(kept.filter(|_| options.keepttl)));
        Ok(())
    }

    fn msetex(&mut self, keys: Vec<usize>, args: &[&[u8]]) -> Result<(), Refused> {
        let last = *keys.last().ok_or(Refused)?;
        let options = self.options(args.get(last + 2..).ok_or(Refused)?, b"nx xx keepttl")?;
        self.point_of(&options)?;
        let there = |at: &usize| self.keys.contains_key(args[*at]);
        if (options.nx && keys.iter().any(there)) || (options.xx && !keys.iter().all(there)) {
            return Ok(());
        }
        let each = Options {
            nx: false,
            xx: false,
            ..options
        };
        keys.iter()
            .try_for_each(|&at| self.set(args[at], args[at + 1], &each))
    }

    fn getex(&mut self, key: &[u8], options: &[&[u8]]) -> Result<(), Refused> {
        let options = self.options(options, b"persist")?;
        if !self.keys.contains_key(key) {
            return Ok(());
        }
        if let Some(at) = self.point_of(&options)? {
            self.expire_at(key, at);
        } else if options.persist {
            self.persist(key);
        }
        Ok(())
    }

    fn expire(
        &mut self,
        key: &[u8],
        (unit, absolute): Form,
        number: &[u8],
        conditions: &[&[u8]],
    ) -> Result<(), Refused> {
        let [mut nx, mut xx, mut gt, mut lt] = [false; 4];
        for word in conditions {
            match &*lower(word) {
                b"nx" => nx = true,
                b"xx" => xx = true,
                b"gt" => gt = true,
                b"lt" => lt = true,
                _ if self.is_newer => {}
                _ => return Err(Refused),
            }
        }
        if (nx && (xx || gt || lt)) || (gt && lt) {
            return Err(Refused);
        }
        let when = integer(number)?.checked_mul(unit).ok_or(Refused)?;
        let when = self.end(when, absolute)?;
        let Some(current) = self.keys.get(key).map(|entry| entry.expiry) else {
            return Ok(());
        };
        let holds = (!nx || current.is_none())
            && (!xx || current.is_some())
            && (!gt || current.is_some_and(|current| when > current))
            && (!lt || current.is_none_or(|current| when < current));
        if holds {
            self.expire_at(key, when);
        }
        Ok(())
    }

    fn restore(
        &mut self,
        key: &[u8],
        ttl: &[u8],
        value: &[u8],
        options: &[&[u8]],
    ) -> Result<(), Refused> {
        let [mut replace, mut absttl, mut idletime, mut freq] = [false; 4];
        let mut at = 0;
        while at < options.len() {
            let more = at + 1 < options.len();
            match &*lower(options[at]) {
                b"replace" => replace = true,
                b"absttl" => absttl = true,
                b"idletime" if more && !freq => {
                    at += 1;
                    idletime = true;
                    integer(options[at]).and_then(natural)?;
                }
                b"freq" if more && !idletime => {
                    at += 1;
                    freq = true;
                    let number = integer(options[at]).and_then(natural)?;
                    if number > 255 {
                        return Err(Refused);
                    }
                }
                b"idletime" | b"freq" => return Err(Refused),
                _ if self.is_newer => {}
                _ => return Err(Refused),
            }
            at += 1;
        }
        if !replace && self.keys.contains_key(key) {
            return Err(Refused);
        }
        let ttl = natural(integer(ttl)?)?;
        // The sum is not checked, and a negative one is in the past.
        let end = self.end(ttl, absttl).unwrap_or(i64::MIN);
        let expiry = (ttl > 0).then_some(end);
        self.put(key, value, expiry);
        Ok(())
    }

    /// Options of SET, GETEX and MSETEX: those of a TTL and the `taken` ones.
    fn options<'a>(&self, words: &[&'a [u8]], taken: &[u8]) -> Result<Options<'a>, Refused> {
        let mut options = Options::default();
        let mut at = 0;
        while at < words.len() {
            let word = lower(words[at]);
            let form = match &*word {
                b"ex" => Some(EX),
                b"px" => Some(PX),
                b"exat" => Some(EXAT),
                b"pxat" => Some(PXAT),
                _ => None,
            };
            let is_taken = taken
                .split(|&byte| byte == b' ')
                .any(|taken| taken == &*word);
            let no_ttl = options.ttl.is_none();
            if let Some(form) = form {
                let same = options.ttl.is_none_or(|(before, _)| before == form);
                if !same || options.keepttl || options.persist {
                    return Err(Refused);
                }
                at += 1;
                options.ttl = Some((form, *words.get(at).ok_or(Refused)?));
            } else if is_taken {
                match &*word {
                    b"nx" if !options.xx => options.nx = true,
                    b"xx" if !options.nx => options.xx = true,
                    b"keepttl" if no_ttl => options.keepttl = true,
                    b"persist" if no_ttl => options.persist = true,
                    b"get" => {}
                    _ => return Err(Refused),
                }
            } else if self.is_newer && &*word == b"ifeq" && taken.starts_with(b"nx xx get") {
                at += 1;
                words.get(at).ok_or(Refused)?;
            } else if !self.is_newer {
                return Err(Refused);
            }
            at += 1;
        }
        Ok(options)
    }

    fn point_of(&self, options: &Options) -> Result<Option<i64>, Refused> {
        match options.ttl {
            Some((form, number)) => self.point(form, number).map(Some),
            None => Ok(None),
        }
    }

    /// The end of a TTL of SET and its relatives.
    fn point(&self, (unit, absolute): Form, number: &[u8]) -> Result<i64, Refused> {
        let number = integer(number)?;
        if number <= 0 {
            return Err(Refused);
        }
        self.end(number.checked_mul(unit).ok_or(Refused)?, absolute)
    }

    /// The end of a TTL in milliseconds.
    fn end(&self, milliseconds: i64, absolute: bool) -> Result<i64, Refused> {
        let base = if absolute { 0 } else { self.now };
        match (milliseconds.checked_add(base), self.overflow) {
            (Some(end), _) => Ok(end),
            (None, Overflow::EndsLast) => Ok(i64::MAX),
            (None, Overflow::AsRedis) => Err(Refused),
        }
    }
}

fn command_keys(command: CommandRef, bytes: &[u8], spans: &[Span]) -> Result<Vec<usize>, Refused> {
    let mut keys = Vec::new();
    command
        .for_each_key(bytes, spans, |at| keys.push(at))
        .map_err(|_| Refused)?;
    Ok(keys)
}

/// The one spelling of a number that Redis reads.
fn integer(text: &[u8]) -> Result<i64, Refused> {
    let text = std::str::from_utf8(text).map_err(|_| Refused)?;
    let number: i64 = text.parse().map_err(|_| Refused)?;
    if number.to_string() == text {
        Ok(number)
    } else {
        Err(Refused)
    }
}

fn natural(number: i64) -> Result<i64, Refused> {
    if number < 0 { Err(Refused) } else { Ok(number) }
}

/// Redis compares option names as C strings, up to the first NUL.
fn lower(word: &[u8]) -> Vec<u8> {
    let end = word
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(word.len());
    word[..end].to_ascii_lowercase()
}
