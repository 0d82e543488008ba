//! Whatever the request and the policy: what is sent is one well-formed sequence, no key of an enforced namespace has
//! a TTL above its maximum or none afterwards, and nothing but the TTL differs from what the request would have done.

use std::time::Duration;

use slotmux_core::command::{CommandRef, Lifetime, resolve};
use slotmux_core::config::{
    Config, JitterBy, KeepTtl, Multi, Namespace, OverMax, Persist, RetryWrites, ScriptKeys,
    Strength, Ttl, TtlMode,
};
use slotmux_core::policy::{Actions, Decision, Governed, Policies, govern};
use slotmux_core::resp::request::Request;
use slotmux_core::resp::{Limits, Scan, Span, scan_request, write};

use super::choices::Choices;
use super::server::{Entry, Refused, Server};

/// What all clocks show.
const NOW: i64 = 1_700_000_000_000;
/// Points in time may be later than the maximum by this, as clocks differ.
const SLACK: i64 = 1000;

const KEYS: [&[u8]; 8] = [b"k", b"k2", b"k\r\n$1\r\n", b"o", b"o\0", b"f", b"x", b""];

/// Options, each with what follows it: a number `n`, a key `k`, or nothing.
type Options = &'static [(&'static str, &'static str)];

const SET: Options = &[
    ("EX", "n"),
    ("PX", "n"),
    ("EXAT", "n"),
    ("PXAT", "n"),
    ("NX", ""),
    ("XX", ""),
    ("GET", ""),
    ("KEEPTTL", ""),
];
const GETEX: Options = &[
    ("EX", "n"),
    ("PX", "n"),
    ("EXAT", "n"),
    ("PXAT", "n"),
    ("PERSIST", ""),
];
const EXPIRE: Options = &[("NX", ""), ("XX", ""), ("GT", ""), ("LT", "")];
const RESTORE: Options = &[
    ("REPLACE", ""),
    ("ABSTTL", ""),
    ("IDLETIME", "n"),
    ("FREQ", "n"),
];
const STORE: Options = &[
    ("STORE", "k"),
    ("STOREDIST", "k"),
    ("COUNT", "n"),
    ("BY", "k"),
    ("LIMIT", "nn"),
    ("STORE\0x", "k"),
    ("ASC", ""),
];
/// What is no option, or one that no server has.
const OTHER: Options = &[
    ("FOO", ""),
    ("EX\0x", "n"),
    ("EXA", ""),
    ("", ""),
    ("EX", ""),
    ("ABSTTL", ""),
    ("PERSIST", ""),
    ("STORE", ""),
];

/// Commands with their first arguments (key, value, number, count of keys) and their options.
const COMMANDS: &[(&str, &str, Options)] = &[
    ("SET", "kv", SET),
    ("SETEX", "knv", OTHER),
    ("PSETEX", "knv", OTHER),
    ("SETNX", "kv", OTHER),
    ("GETSET", "kv", OTHER),
    ("GETEX", "k", GETEX),
    ("MSET", "kv", OTHER),
    ("MSET", "kvkv", OTHER),
    ("MSET", "kvkvkv", OTHER),
    ("MSETNX", "kv", OTHER),
    ("MSETNX", "kvkv", OTHER),
    ("MSETEX", "ckv", SET),
    ("MSETEX", "ckvkv", SET),
    ("EXPIRE", "kn", EXPIRE),
    ("PEXPIRE", "kn", EXPIRE),
    ("EXPIREAT", "kn", EXPIRE),
    ("PEXPIREAT", "kn", EXPIRE),
    ("PERSIST", "k", OTHER),
    ("RESTORE", "knv", RESTORE),
    ("INCR", "k", OTHER),
    ("APPEND", "kv", OTHER),
    ("HSET", "kvv", OTHER),
    ("LPUSHX", "kv", OTHER),
    ("BITOP", "vkk", OTHER),
    ("SUNIONSTORE", "kk", OTHER),
    ("ZUNIONSTORE", "kckk", OTHER),
    ("RENAME", "kk", OTHER),
    ("COPY", "kk", RESTORE),
    ("LMOVE", "kkvv", OTHER),
    ("BLMOVE", "kkvvn", OTHER),
    ("SORT", "k", STORE),
    ("GEORADIUS", "knnnv", STORE),
    ("EVAL", "vck", OTHER),
    ("FCALL", "vckk", OTHER),
    ("EVAL_RO", "vck", OTHER),
    ("GET", "k", OTHER),
    ("DEL", "kk", OTHER),
];

const NUMBERS: [&[u8]; 24] = [
    b"0",
    b"1",
    b"2",
    b"10",
    b"11",
    b"1500",
    b"10000",
    b"10001",
    b"-1",
    b"01",
    b"+1",
    b"x",
    b"1700000000",
    b"1700000003",
    b"1700000100",
    b"1700000000001",
    b"1700000011000",
    b"1700000011001",
    b"9223372036854775",
    b"9223372036854776",
    b"9223370336854775807",
    b"9223370336854775808",
    b"9223372036854775807",
    b"-9223372036854775808",
];

/// The first bytes choose the policies, the next ones the keys that are there, the others the request.
pub fn check(data: &[u8]) {
    let mut choices = Choices(data);
    let namespaces = vec![
        namespace("keys", "k", ttl(&mut choices)),
        namespace("others", "o", ttl(&mut choices)),
        namespace("free", "f", Ttl::default()),
    ];
    let policies = Policies::new(&Config {
        namespaces,
        ..Config::default()
    });
    let mut server = Server {
        keys: Default::default(),
        now: NOW,
        is_newer: choices.byte() % 2 == 1,
    };
    for key in KEYS {
        let max = policies
            .get(policies.find(key))
            .and_then(|policy| Some(policy.ttl.as_ref()?.max? as i64));
        // Whatever is there obeys already.
        let ttl = match choices.byte() % 3 {
            0 => continue,
            1 => max.unwrap_or(50_000),
            _ => 1,
        };
        let value = b"before".to_vec();
        let expiry = Some(NOW + ttl);
        server.keys.insert(key.to_vec(), Entry { value, expiry });
    }
    let bytes = request(&mut choices);
    let args = scan_one(&bytes)
        .expect("it was written by write::request")
        .0;
    // Others are refused before.
    if let Ok(command) = resolve(&bytes, &args) {
        check_request(&policies, server, CommandRef::Table(command), &bytes, &args);
    }
}

fn check_request(
    policies: &Policies,
    before: Server,
    command: CommandRef,
    bytes: &[u8],
    args: &[Span],
) {
    let mut out = b"from before".to_vec();
    let request = Request { bytes, args };
    let decision = govern(&request, command, policies, || NOW as u64, &mut out);
    let mut plain = before.clone();
    let plainly = plain.execute(bytes, args);
    let mut server = before;
    let result = match decision.governed {
        Governed::AsIs => {
            assert!(out.is_empty());
            server.execute(bytes, args)
        }
        Governed::Refused => {
            assert!(out.starts_with(b"ERR slotmux: "));
            // An error of Redis itself stays the same, except RESTORE's about an existing key, and an overflow that depends
            // on the clock of the node.
            let may_fail = matches!(command.lifetime(), Lifetime::Restore)
                || args.iter().any(|arg| may_overflow(arg.of(bytes)));
            assert!(plainly.is_ok() || may_fail, "{}", bytes.escape_ascii());
            return;
        }
        Governed::Rewritten(_) => {
            let results = run(&mut server, &out);
            assert_eq!(results.len(), 1);
            results[0]
        }
        Governed::Block(block) => {
            let sequence = match block.atomic {
                true => out
                    .strip_prefix(b"*1\r\n$5\r\nMULTI\r\n")
                    .and_then(|rest| rest.strip_suffix(b"*1\r\n$4\r\nEXEC\r\n"))
                    .expect("MULTI and EXEC around it"),
                false => &out,
            };
            let results = run(&mut server, sequence);
            assert_eq!(results.len(), block.commands as usize);
            let (own, appended) = results.split_at(block.own as usize);
            assert!(appended.iter().all(Result::is_ok));
            own.iter()
                .find(|result| result.is_err())
                .copied()
                .unwrap_or(Ok(()))
        }
    };
    let context = format!(
        "{}\n{decision:?} {}",
        bytes.escape_ascii(),
        out.escape_ascii()
    );
    // Rewritten in place, a TTL that only the clock of the node could judge is within the maximum by any clock.
    let is_by_any_clock = matches!(decision.governed, Governed::Rewritten(_))
        && args.iter().any(|arg| may_overflow(arg.of(bytes)));
    if !is_by_any_clock {
        assert_eq!(result, plainly, "another verdict: {context}");
    }
    let values = |server: &Server| -> Vec<(Vec<u8>, Vec<u8>)> {
        let keys = server.keys.iter();
        keys.map(|(key, entry)| (key.clone(), entry.value.clone()))
            .collect()
    };
    if !is_by_any_clock {
        assert_eq!(values(&server), values(&plain), "other values: {context}");
    }
    // What is rewritten names no point in time. What is sent as it is may, and so may an MSETEX with expiries behind
    // it, which are for those of its keys that need them.
    let names_a_point = match decision.governed {
        Governed::AsIs => true,
        Governed::Block(_) => command.lifetime() == Lifetime::MSetEx,
        _ => false,
    };
    let slack = if names_a_point { SLACK } else { 0 };
    for (key, Entry { expiry, .. }) in &server.keys {
        let ttl = policies
            .get(policies.find(key))
            .and_then(|policy| policy.ttl.as_ref())
            .filter(|ttl| ttl.mode == TtlMode::Enforce);
        let Some(ttl) = ttl else {
            assert_eq!(*expiry, plain.keys[key].expiry, "not ours: {context}");
            continue;
        };
        if is_waived(ttl, command, &decision) {
            continue;
        }
        match (expiry, ttl.max) {
            (Some(expiry), Some(max)) => {
                let latest = NOW + max as i64 + slack;
                assert!(*expiry <= latest, "above the maximum: {context}");
            }
            (Some(_), None) => {}
            (None, _) => {
                let may_lack = ttl.default.is_none() || honours(ttl, command);
                assert!(may_lack, "no TTL: {context}");
            }
        }
    }
}

/// Whether a number is so large that only the node's clock decides whether it overflows as a TTL.
fn may_overflow(argument: &[u8]) -> bool {
    let number = str::from_utf8(argument).ok();
    let number = number.and_then(|number| number.parse::<i64>().ok());
    number.is_some_and(|number| number > i64::MAX / 1000 / 2)
}

/// Whether the policy itself lets a command do what it likes.
fn is_waived(
    ttl: &slotmux_core::policy::TtlPolicy,
    command: CommandRef,
    decision: &Decision,
) -> bool {
    match command.lifetime() {
        Lifetime::Persist | Lifetime::GetEx if ttl.persist == Persist::Allow => true,
        Lifetime::Script if ttl.scripts == ScriptKeys::Allow => true,
        _ => ttl.strength == Strength::InlineOnly && decision.actions.contains(Actions::LEFT_BARE),
    }
}

/// Whether a key may have been left without TTL by KEEPTTL.
fn honours(ttl: &slotmux_core::policy::TtlPolicy, command: CommandRef) -> bool {
    ttl.keepttl == KeepTtl::Honour
        && ttl.max.is_none()
        && matches!(command.lifetime(), Lifetime::Set | Lifetime::MSetEx)
}

/// Executes a sequence of requests, which must be well-formed and end with the last one.
fn run(server: &mut Server, mut bytes: &[u8]) -> Vec<Result<(), Refused>> {
    let mut results = Vec::new();
    while !bytes.is_empty() {
        let (args, len) = scan_one(bytes).expect("a whole request");
        results.push(server.execute(&bytes[..len], &args));
        bytes = &bytes[len..];
    }
    results
}

fn scan_one(bytes: &[u8]) -> Option<(Vec<Span>, usize)> {
    let mut args = Vec::new();
    match scan_request(bytes, &Limits::default(), &mut args) {
        Ok(Scan::Complete { len }) if !args.is_empty() => Some((args, len)),
        _ => None,
    }
}

fn request(choices: &mut Choices<'_>) -> Vec<u8> {
    let (name, shape, own) = choices.one_of(COMMANDS);
    // Command names are taken at their full length.
    let mut args = vec![match choices.byte() % 3 {
        0 => name.to_ascii_lowercase().into(),
        _ => name.into(),
    }];
    args.extend(shape.bytes().map(|kind| argument(choices, kind)));
    for _ in 0..choices.byte() % 5 {
        let options = if choices.byte() < 240 { own } else { OTHER };
        let (option, shape) = choices.one_of(options);
        args.push(word(choices, option));
        args.extend(shape.bytes().map(|kind| argument(choices, kind)));
    }
    let mut bytes = Vec::new();
    write::request(
        &mut bytes,
        &args.iter().map(Vec::as_slice).collect::<Vec<_>>(),
    );
    bytes
}

fn word(choices: &mut Choices<'_>, word: &str) -> Vec<u8> {
    match choices.byte() % 6 {
        0 | 3 => word.to_ascii_lowercase().into(),
        // Servers do not see the bytes after a NUL in an option.
        4 => [word.as_bytes(), b"\0"].concat(),
        5 => [word.as_bytes(), b"\0x"].concat(),
        _ => word.into(),
    }
}

fn argument(choices: &mut Choices<'_>, kind: u8) -> Vec<u8> {
    match kind {
        b'k' => choices.one_of(&KEYS).to_vec(),
        b'c' => vec![choices.one_of(b"1120")],
        b'n' => match choices.byte() {
            at @ 0..216 => NUMBERS[usize::from(at) % NUMBERS.len()].to_vec(),
            _ => {
                let mut number = [0; 8];
                let width = usize::from(choices.byte() % 9);
                for byte in &mut number[..width] {
                    *byte = choices.byte();
                }
                i64::from_le_bytes(number).to_string().into_bytes()
            }
        },
        _ => match choices.byte() {
            0..240 => choices.one_of(&[&b"v"[..], b"", b"EX", b"a\r\n"]).to_vec(),
            _ => choices.string(),
        },
    }
}

fn namespace(name: &str, prefix: &str, ttl: Ttl) -> Namespace {
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

/// A policy that `slotmux check` would let pass.
fn ttl(choices: &mut Choices<'_>) -> Ttl {
    let duration =
        |choices: &mut Choices, all: &[Option<u64>]| choices.one_of(all).map(Duration::from_millis);
    let max = duration(
        choices,
        &[Some(10_000), None, Some(1), Some(2500), Some(u64::MAX)],
    );
    let at_most = |value: Option<Duration>| value.map(|value| value.min(max.unwrap_or(value)));
    Ttl {
        default: at_most(duration(
            choices,
            &[None, Some(7000), Some(10_000), Some(1)],
        )),
        min: at_most(duration(choices, &[None, Some(1), Some(1500), Some(2000)])),
        max,
        mode: choices.one_of(&[
            TtlMode::Enforce,
            TtlMode::Enforce,
            TtlMode::Observe,
            TtlMode::Off,
        ]),
        jitter: choices.one_of(&[0.0, 0.3, 1.0]),
        jitter_by: JitterBy::Key,
        over_max: choices.one_of(&[OverMax::Clamp, OverMax::Clamp, OverMax::Reject]),
        persist: choices.one_of(&[Persist::Rewrite, Persist::Allow, Persist::Reject]),
        keepttl: choices.one_of(&[KeepTtl::Heal, KeepTtl::Honour]),
        strength: choices.one_of(&[Strength::Atomic, Strength::Pipelined, Strength::InlineOnly]),
        scripts: choices.one_of(&[ScriptKeys::Append, ScriptKeys::Allow, ScriptKeys::Reject]),
    }
}
