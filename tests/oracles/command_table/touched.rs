//! A real server accesses only the keys that slotmux finds in a request, for requests of any form: it changes and shows
//! no others. Every word is a key as well, which exposes a word that the server interprets differently.

use std::collections::{HashMap, HashSet};

use slotmux_core::command::Lifetime;
use slotmux_core::command::{self, Command, CommandRef, Flags};

use crate::command_table::server::{Reply, Server, Wire, request};
use slotmux_testing::times;

/// Words with a meaning in some command, and some without. All of them are keys.
const WORDS: [&str; 30] = [
    "k1",
    "k2",
    "by",
    "get",
    "store",
    "STORE",
    "StoreDist",
    "limit",
    "asc",
    "alpha",
    "count",
    "any",
    "withdist",
    "m",
    "streams",
    "STREAMS",
    "group",
    "noack",
    "block",
    "claim",
    "keys",
    "KEYS",
    "auth",
    "auth2",
    "copy",
    "replace",
    "max",
    "left",
    "weights",
    "novel",
];
const NUMBERS: [&str; 8] = ["0", "1", "2", "3", "-1", "1\0", "01", "9999999999"];
/// Tails that a comparison of C strings does not see.
const TAILS: [&str; 4] = ["\0", "\0x", "\0\0store", "\0keys"];

/// A command, the type of its keys, and its arguments: `k` is a key, `n` a number, `w` any word, `*` up to nine of the
/// items after it.
const FORMS: &[(&str, Kind)] = &[
    (
        "sort k * by store STORE limit 0 1 get asc alpha w k",
        Kind::List,
    ),
    ("sort k store * by store STORE limit 0 w k", Kind::List),
    ("sort_ro k * by store limit 0 1 asc w", Kind::List),
    (
        "georadius k 1 1 9000 km * store STORE StoreDist count 1 any asc w k",
        Kind::Geo,
    ),
    (
        "georadiusbymember k m 9000 km * store STORE StoreDist count 1 any asc w k",
        Kind::Geo,
    ),
    ("georadiusbymember k m 9000 * km store k w", Kind::Geo),
    (
        "geosearchstore k k fromlonlat 1 1 byradius 9000 km * storedist count 1 any w",
        Kind::Geo,
    ),
    (
        "xread * streams STREAMS count 1 block w k 0 0",
        Kind::Stream,
    ),
    ("xread count 1 streams * streams k w 0 0 0", Kind::Stream),
    (
        "xreadgroup group g w * streams STREAMS noack count 1 w k > >",
        Kind::Stream,
    ),
    ("xreadgroup group g streams * streams w k > >", Kind::Stream),
    ("xreadgroup group g streams streams k > *", Kind::Stream),
    (
        "xreadgroup count 1 group g w streams * k k > > w",
        Kind::Stream,
    ),
    ("zunionstore k n k * k w weights 1 1", Kind::Geo),
    ("zinterstore k 1 k * weights 1", Kind::Geo),
    ("zdiffstore k n k * k", Kind::Geo),
    ("zunion n k * k w weights 1", Kind::Geo),
    ("zmpop n k * k max w count 1", Kind::Geo),
    ("bzmpop 1 n k * k max w count 1", Kind::Geo),
    ("zmpop 1 k max * count 1 w", Kind::Geo),
    ("bzmpop 1 2 k k max * count 1 w", Kind::Geo),
    ("zintercard n k * k limit 1 w", Kind::Geo),
    ("lmpop n k * k left w count 1", Kind::List),
    ("blmpop 1 n k * k left w count 1", Kind::List),
    ("lmpop 2 k k left * count 1 w", Kind::List),
    ("blmpop 1 1 k left * count 1 w", Kind::List),
    ("sintercard n k * k limit 1 w", Kind::Set),
    ("sunionstore k k * k w", Kind::Set),
    ("smove k k w", Kind::Set),
    ("copy k k * replace db 0 w", Kind::List),
    ("lmove k k left left", Kind::List),
    ("bitop or k k * k w", Kind::Text),
    ("lcs k k * len idx w", Kind::Text),
    ("mget k * k w", Kind::Text),
    ("memory usage k * samples 1 w", Kind::Text),
    ("object encoding k", Kind::Text),
    ("eval DEL n k * k w", Kind::Text),
    ("eval_ro GET n k * k w", Kind::Text),
    (
        "migrate HERE PORT k 0 1000 * copy replace auth auth2 keys KEYS w k",
        Kind::Text,
    ),
    (
        "migrate HERE PORT EMPTY 0 1000 * copy replace keys KEYS w k",
        Kind::Text,
    ),
    (
        "migrate HERE PORT EMPTY 0 1000 replace keys * w k",
        Kind::Text,
    ),
];

const SCRIPTS: [(&str, &str); 2] = [
    (
        "DEL",
        "for _, key in ipairs(KEYS) do redis.call('del', key) end return 'done'",
    ),
    (
        "GET",
        "local got = {} for _, key in ipairs(KEYS) do got[#got + 1] = redis.call('get', key) end return got",
    ),
];

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    List,
    Set,
    Geo,
    Stream,
    Text,
}

/// The content of the key at this index, which is unique.
fn mark(at: usize) -> String {
    format!("{}", 7_000_000 + at)
}

/// The commands that create the key at an index.
fn making(kind: Kind, at: usize, key: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mark = mark(at);
    let line = match kind {
        Kind::List => format!("RPUSH KEY {mark}"),
        Kind::Set => format!("SADD KEY {mark}"),
        Kind::Geo => format!("GEOADD KEY 1 1 {mark} 1 1 m"),
        Kind::Stream => format!("XADD KEY 1-1 f {mark}"),
        Kind::Text => format!("SET KEY {mark}"),
    };
    let words = |line: &str| -> Vec<Vec<u8>> {
        let words = line.split(' ');
        words
            .map(|word| {
                if word == "KEY" {
                    key.to_vec()
                } else {
                    word.into()
                }
            })
            .collect()
    };
    match kind {
        Kind::Stream => vec![words(&line), words("XGROUP CREATE KEY g 0")],
        _ => vec![words(&line)],
    }
}

/// All keys: each word, and each word with each tail.
fn universe() -> Vec<Vec<u8>> {
    let tailed = |word: &&str| {
        let tails = TAILS
            .iter()
            .map(|tail| format!("{word}{tail}").into_bytes());
        std::iter::once(word.as_bytes().to_vec())
            .chain(tails)
            .collect::<Vec<_>>()
    };
    WORDS.iter().flat_map(tailed).collect()
}

struct Case<'a> {
    random: fastrand::Rng,
    keys: &'a [Vec<u8>],
    port: String,
}

impl Case<'_> {
    fn word(&mut self, word: &str) -> Vec<u8> {
        let mut word = word.as_bytes().to_vec();
        match self.random.u8(..8) {
            0 => word.extend(TAILS[self.random.usize(..TAILS.len())].bytes()),
            1 => word.make_ascii_uppercase(),
            _ => {}
        }
        word
    }

    fn argument(&mut self, of: &str) -> Vec<u8> {
        match of {
            "k" => match self.random.u8(..3) {
                0 => self.keys[self.random.usize(..self.keys.len())].clone(),
                _ => ["k1", "k2"][self.random.usize(..2)].into(),
            },
            "w" => {
                let word = WORDS[self.random.usize(..WORDS.len())];
                self.word(word)
            }
            "n" => match self.random.u8(..3) {
                0 => NUMBERS[self.random.usize(..NUMBERS.len())].into(),
                _ => ["1", "2"][self.random.usize(..2)].into(),
            },
            "HERE" => "127.0.0.1".into(),
            "PORT" => self.port.clone().into(),
            "EMPTY" => Vec::new(),
            script if SCRIPTS.iter().any(|(name, _)| *name == script) => {
                let script = SCRIPTS.iter().find(|(name, _)| *name == script);
                script.expect("it is there").1.into()
            }
            number if number.bytes().all(|byte| byte.is_ascii_digit()) => number.into(),
            word => self.word(word),
        }
    }

    fn request(&mut self, form: &str) -> Vec<Vec<u8>> {
        let all: Vec<&str> = form.split(' ').collect();
        let (fixed, any) = match all.iter().position(|word| *word == "*") {
            Some(at) => (&all[..at], &all[at + 1..]),
            None => (&all[..], &[][..]),
        };
        let subcommand = usize::from(matches!(all[0], "memory" | "object"));
        let (name, fixed) = fixed.split_at(1 + subcommand);
        let mut words: Vec<Vec<u8>> = name.iter().map(|word| word.as_bytes().to_vec()).collect();
        for word in fixed {
            let argument = self.argument(word);
            words.push(argument);
        }
        if !any.is_empty() {
            for _ in 0..self.random.usize(..10) {
                let of = any[self.random.usize(..any.len())];
                let argument = self.argument(of);
                words.push(argument);
            }
        }
        words
    }
}

/// Every bulk string in a reply.
fn texts<'a>(reply: &'a Reply, into: &mut Vec<&'a [u8]>) {
    match reply {
        Reply::Bulk(text) => into.push(text),
        Reply::Array(elements) => elements.iter().for_each(|element| texts(element, into)),
        Reply::Error(_) | Reply::Other(_) => {}
    }
}

/// The keys of a request as slotmux finds them: for routing, for the rules, and for TTL policies.
fn found(command: &'static Command, words: &[Vec<u8>]) -> (HashSet<Vec<u8>>, HashSet<Vec<u8>>) {
    let (buf, args) = request(words);
    let (mut keys, mut written) = (HashSet::new(), HashSet::new());
    let command = CommandRef::Table(command);
    let _ = command.for_each_key(&buf, &args, |at| {
        keys.insert(words[at].clone());
    });
    let _ = command.for_each_written_key(&buf, &args, |at| {
        written.extend(words.get(at).cloned());
    });
    (keys, written)
}

/// The keys that a server finds.
fn by_server(reply: &Reply) -> Vec<Vec<u8>> {
    let Reply::Array(entries) = reply else {
        return Vec::new();
    };
    let key = |entry: &Reply| match entry {
        Reply::Array(entry) => match entry.first() {
            Some(Reply::Bulk(key)) => key.clone(),
            other => panic!("not a key: {other:?}"),
        },
        other => panic!("not a key with its flags: {other:?}"),
    };
    entries.iter().map(key).collect()
}

/// The existing keys besides these.
fn strays(wire: &mut Wire, keys: &[Vec<u8>]) -> Vec<Vec<u8>> {
    if wire.ask(&[vec!["DBSIZE"]]) == [Reply::Other(keys.len().to_string().into_bytes())] {
        return Vec::new();
    }
    let mut there = wire.ask(&[vec!["KEYS", "*"]]);
    let Some(Reply::Array(there)) = there.pop() else {
        panic!("no keys: {there:?}");
    };
    let there = there.into_iter().filter_map(|key| match key {
        Reply::Bulk(key) => Some(key),
        _ => None,
    });
    there.filter(|key| !keys.contains(key)).collect()
}

/// Whether a keyword of XREAD or GEORADIUS occurs more than once: a server's key search takes the first one, but the
/// commands are executed differently.
pub fn repeats_its_keyword(words: &[Vec<u8>]) -> bool {
    let is_keyword = |word: &&Vec<u8>| {
        let word = word.split(|&byte| byte == 0).next().unwrap_or_default();
        ["streams", "store", "storedist"]
            .iter()
            .any(|keyword| word.eq_ignore_ascii_case(keyword.as_bytes()))
    };
    words.iter().skip(1).filter(is_keyword).count() > 1
}

#[test]
fn no_request_touches_keys_that_slotmux_does_not_find() {
    let (server, other) = (Server::start(), Server::start());
    let (mut wire, mut target) = (Wire::connect(&server), Wire::connect(&other));
    let keys = universe();
    let mut case = Case {
        random: fastrand::Rng::with_seed(4),
        keys: &keys,
        port: other.port().to_string(),
    };
    let dumps: Vec<Vec<Vec<u8>>> = keys
        .iter()
        .map(|key| vec![b"DUMP".to_vec(), key.clone()])
        .collect();
    let mut kind_there = None;
    let mut payloads = Vec::new();
    let (mut accepted, mut changed_any, mut showed_any) = (HashMap::new(), 0, 0);
    for round in 0..times(6_000, 100_000) {
        // The type changes rarely, as every key has to be created anew.
        let kind = [Kind::List, Kind::Geo, Kind::Stream, Kind::Text, Kind::Set][round / 200 % 5];
        if kind_there != Some(kind) {
            let make = keys.iter().enumerate();
            let make = make.flat_map(|(at, key)| making(kind, at, key));
            let mut requests = vec![vec![b"FLUSHALL".to_vec()]];
            requests.extend(make);
            let made = wire.ask(&requests);
            assert!(
                made.iter().all(|reply| !matches!(reply, Reply::Error(_))),
                "{made:?}"
            );
            payloads = wire.ask(&dumps);
            kind_there = Some(kind);
        }
        let forms: Vec<_> = FORMS.iter().filter(|(_, of)| *of == kind).collect();
        let (form, _) = forms[case.random.usize(..forms.len())];
        let words = case.request(form);
        let shown = || {
            let words: Vec<String> = words
                .iter()
                .map(|word| word.escape_ascii().to_string())
                .collect();
            words.join(" ")
        };
        let (buf, args) = request(&words);
        let command = match command::resolve(&buf, &args) {
            Ok(command) => command,
            Err(_) => continue,
        };
        let (ours, written) = found(command, &words);
        let word = |word: &str| word.as_bytes().to_vec();
        let find = [&[word("COMMAND"), word("GETKEYSANDFLAGS")], &words[..]].concat();
        // No command blocks in a transaction.
        let mut ask = vec![find, vec![word("MULTI")], words.clone(), vec![word("EXEC")]];
        ask.extend(dumps.iter().cloned());
        let replies = wire.ask(&ask);
        let (theirs, after) = (by_server(&replies[0]), &replies[4..]);
        let reply = match &replies[3] {
            Reply::Array(elements) => &elements[0],
            aborted => aborted,
        };

        let changed: Vec<usize> = (0..keys.len())
            .filter(|&at| after[at] != payloads[at])
            .collect();
        for &at in &changed {
            assert!(
                ours.contains(&keys[at]),
                "{}\nchanged '{}'",
                shown(),
                keys[at].escape_ascii()
            );
            assert!(!command.flags.contains(Flags::READONLY), "{}", shown());
            // A key that was written has no TTL, so a TTL policy must see it.
            let is_there = matches!(after[at], Reply::Bulk(_));
            if is_there
                && matches!(
                    command.lifetime,
                    Lifetime::Stores | Lifetime::Creates { .. }
                )
            {
                let moves = ["lmove", "smove"].contains(&command.full_name);
                assert!(
                    moves || written.contains(&keys[at]),
                    "{}\nwrote '{}'",
                    shown(),
                    keys[at].escape_ascii()
                );
            }
        }
        let mut told = Vec::new();
        texts(reply, &mut told);
        for (at, key) in keys.iter().enumerate() {
            let mark = mark(at);
            let is_told = told.contains(&mark.as_bytes());
            assert!(
                !is_told || ours.contains(key),
                "{}\nshowed '{}'",
                shown(),
                key.escape_ascii()
            );
            showed_any += usize::from(is_told);
        }
        if !matches!(reply, Reply::Error(_)) {
            *accepted.entry(command.full_name).or_insert(0) += 1;
            let missed = theirs.iter().find(|key| !ours.contains(*key));
            assert!(
                missed.is_none() || repeats_its_keyword(&words),
                "{}\nthe server finds {missed:?}",
                shown()
            );
        }
        changed_any += changed.len();
        let mut again = Vec::new();
        for at in changed {
            again.push(vec![b"DEL".to_vec(), keys[at].clone()]);
            again.extend(making(kind, at, &keys[at]));
        }
        wire.ask(&again);
        for stray in strays(&mut wire, &keys) {
            assert!(
                ours.contains(&stray),
                "{}\nmade '{}'",
                shown(),
                stray.escape_ascii()
            );
            wire.ask(&[vec![b"DEL".to_vec(), stray]]);
        }
        if command.name == "migrate" {
            target.ask(&[vec![b"FLUSHALL".to_vec()]]);
        }
    }
    let commands: HashSet<&str> = FORMS
        .iter()
        .map(|(form, _)| form.split(' ').next().unwrap_or(""))
        .collect();
    for name in commands {
        let count: usize = accepted
            .iter()
            .filter(|(full_name, _)| full_name.split('|').next() == Some(name))
            .map(|(_, count)| count)
            .sum();
        assert!(count >= 5, "the server accepted {name} only {count} times");
    }
    assert!(
        changed_any > 500 && showed_any > 200,
        "{changed_any} {showed_any}"
    );
}
