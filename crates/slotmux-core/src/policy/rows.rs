//! Requests, policies and decisions as lines of text, for the tables of this module.

use std::time::Duration;

use super::{Actions, Governed, Policies, ReplyConversion, govern};
use crate::command::{CommandRef, resolve};
use crate::config::{Config, Multi, Namespace, RetryWrites, Ttl};
use crate::resp::request::Request;
use crate::resp::{Limits, Scan, scan_request, write};

/// The time in these tests, in unix milliseconds.
pub(super) const NOW: u64 = 1_700_000_000_000;

/// A namespace that allows everything.
pub(crate) fn namespace(name: &str, prefix: &str, change: impl FnOnce(&mut Ttl)) -> Namespace {
    let mut ttl = Ttl::default();
    change(&mut ttl);
    Namespace {
        name: name.to_owned(),
        prefixes: vec![prefix.to_owned()],
        ttl,
        ttl_env: Vec::new(),
        read_only: false,
        max_key: None,
        max_value: None,
        deny: Vec::new(),
        multi: Multi::default(),
        retry_writes: RetryWrites::default(),
    }
}

pub(super) fn policies(namespaces: Vec<Namespace>) -> Policies {
    Policies::new(&Config {
        namespaces,
        ..Config::default()
    })
}

/// The policy of keys that start with `k`. Those with `o` have a default of 7 s and a maximum of 70 s, those with `w`
/// the same but are only observed, those with `f` have a namespace without policy; all others have none.
pub(super) fn under(change: impl FnOnce(&mut Ttl)) -> Policies {
    let other = |ttl: &mut Ttl| {
        ttl.default = seconds(7);
        ttl.max = seconds(70);
    };
    policies(vec![
        namespace("keys", "k", change),
        namespace("other", "o", other),
        namespace("watched", "w", |ttl| {
            other(ttl);
            ttl.mode = crate::config::TtlMode::Observe;
        }),
        namespace("free", "f", |_| {}),
    ])
}

pub(super) fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

/// The words of a line as a request. `''` is the empty string.
pub(super) fn request(line: &str) -> Vec<u8> {
    let words: Vec<&[u8]> = line
        .split(' ')
        .map(|word| if word == "''" { b"" } else { word.as_bytes() })
        .collect();
    let mut bytes = Vec::new();
    write::request(&mut bytes, &words);
    bytes
}

/// The decision about a request: `actions: commands`, with `=` for the request itself.
pub(super) fn decide(policies: &Policies, line: &str) -> String {
    let bytes = request(line);
    let mut args = Vec::new();
    scan_request(&bytes, &Limits::default(), &mut args).expect("a request");
    let command = resolve(&bytes, &args).unwrap_or_else(|error| panic!("{line}: {error:?}"));
    decide_on(policies, CommandRef::Table(command), &bytes)
}

pub(super) fn decide_on(policies: &Policies, command: CommandRef, bytes: &[u8]) -> String {
    let mut args = Vec::new();
    scan_request(bytes, &Limits::default(), &mut args).expect("a request");
    let request = Request { bytes, args: &args };
    let mut out = b"left over".to_vec();
    let decision = govern(&request, command, policies, || NOW, &mut out);
    let actions: Vec<&str> = Actions::ALL
        .iter()
        .filter(|(action, _)| decision.actions.contains(*action))
        .map(|(_, name)| *name)
        .collect();
    let sent = match decision.governed {
        Governed::AsIs => {
            assert!(out.is_empty(), "bytes of a request that stays as it is");
            "=".to_owned()
        }
        Governed::Refused(_) => format!("-{}", String::from_utf8_lossy(&out)),
        Governed::Rewritten(reply) => {
            let sent = commands(&out);
            assert_eq!(sent.len(), 1);
            match reply {
                ReplyConversion::AsIs
                | ReplyConversion::Found
                | ReplyConversion::Repeated
                | ReplyConversion::CaughtUp => sent[0].clone(),
                ReplyConversion::OkAsInteger => format!("{} > integer", sent[0]),
            }
        }
        Governed::Block(block) => {
            let sent = commands(&out);
            let around = if block.atomic { 2 } else { 0 };
            assert_eq!(sent.len(), block.commands as usize + around);
            let own = if block.own == 1 {
                String::new()
            } else {
                format!(" > first {}", block.own)
            };
            sent.join(" | ") + &own
        }
    };
    match actions.is_empty() {
        true => sent,
        false => format!("{}: {sent}", actions.join("+")),
    }
}

/// The commands in a buffer, which holds nothing else.
fn commands(mut bytes: &[u8]) -> Vec<String> {
    let mut args = Vec::new();
    let mut commands = Vec::new();
    while !bytes.is_empty() {
        let scan = scan_request(bytes, &Limits::default(), &mut args);
        let Ok(Scan::Complete { len }) = scan else {
            panic!("{scan:?}: {}", bytes.escape_ascii());
        };
        let words: Vec<_> = args
            .iter()
            .map(|arg| String::from_utf8_lossy(arg.of(bytes)).into_owned())
            .collect();
        commands.push(words.join(" "));
        bytes = &bytes[len..];
    }
    commands
}

/// Checks a table of requests and decisions against the code.
pub(super) fn check(policies: &Policies, rows: &[(&str, &str)]) {
    for (line, expected) in rows {
        assert_eq!(&decide(policies, line), expected, "{line}");
    }
}
