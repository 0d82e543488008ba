//! For any request and policy: the sent bytes are one well-formed sequence, every key of an enforced namespace has a
//! TTL within its maximum afterwards, and the effect differs from the client's request only in TTLs.

use slotmux_core::command::{CommandRef, Lifetime, resolve};
use slotmux_core::config::{Config, KeepTtl, Persist, ScriptKeys, Strength, Ttl, TtlMode};
use slotmux_core::policy::{Actions, Decision, Governed, Policies, govern};
use slotmux_core::resp::request::Request;
use slotmux_core::resp::{Limits, Scan, Span, scan_request, write};

use super::choices::Choices;
use super::server::{Entry, Overflow, Refused, Server};
use super::ttl_choices::{namespace, ttl};

/// The time of all clocks.
const NOW: i64 = 1_700_000_000_000;
/// Points in time may be later than the maximum by this, as clocks differ.
const SLACK: i64 = 1000;

const KEYS: [&[u8]; 8] = [b"k", b"k2", b"k\r\n$1\r\n", b"o", b"o\0", b"f", b"x", b""];

/// Options, each with its argument: a number `n`, a key `k`, or no argument.
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
    ("IFEQ", "v"),
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
/// Words that are not an option of any server, or options without their argument.
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

/// The first bytes choose the policies, the next ones the existing keys, the rest the request.
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
        overflow: Overflow::AsRedis,
    };
    for key in KEYS {
        let max = policies
            .get(policies.find(key))
            .and_then(|policy| Some(policy.ttl.as_ref()?.max? as i64));
        // Existing keys obey their policy.
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
    // Other requests are refused earlier.
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
    let (plainly, plain) = outcome(before.clone(), bytes, args);
    let mut server = before.clone();
    let result = match decision.governed {
        Governed::AsIs => {
            assert!(out.is_empty());
            server.execute(bytes, args)
        }
        Governed::Refused(_) => {
            assert!(out.starts_with(b"ERR slotmux: "));
            let text = String::from_utf8_lossy(&out);
            if text.contains("does not know all options") {
                let known = Server {
                    is_newer: false,
                    ..before
                };
                let is_known = outcome(known, bytes, args).0.is_ok();
                assert!(!is_known, "{}", bytes.escape_ascii());
                return;
            }
            // Requests that every Redis would refuse are left to Redis. slotmux knows neither the clock of the node nor
            // its newer options nor, for RESTORE, the existing keys.
            let mut earlier = Server {
                is_newer: true,
                ..by_earlier_clock(before)
            };
            if command.lifetime() == Lifetime::Restore {
                earlier.keys.clear();
            }
            let is_refused_anyway = outcome(earlier, bytes, args).0.is_err();
            assert!(!is_refused_anyway, "{}", bytes.escape_ascii());
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
    let as_plain = (result, values(&server)) == (plainly, values(&plain));
    // A TTL that was rewritten in place and whose validity depends on the clock of the node is within the maximum by
    // any clock.
    let as_earlier = || {
        let (verdict, earlier) = outcome(by_earlier_clock(before), bytes, args);
        matches!(decision.governed, Governed::Rewritten(_))
            && (result, values(&server)) == (verdict, values(&earlier))
    };
    assert!(
        as_plain || as_earlier(),
        "another verdict or other values, {result:?} and {server:?} instead of {plainly:?} and {plain:?}: {context}"
    );
    // A rewritten request has no point in time. A request sent unchanged may have one, and so may an MSETEX that is
    // followed by expiries for those of its keys that need them.
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

/// The effect on a server of the request as the client sent it.
fn outcome(mut server: Server, bytes: &[u8], args: &[Span]) -> (Result<(), Refused>, Server) {
    (server.execute(bytes, args), server)
}

/// The server with a clock by which no TTL overflows.
fn by_earlier_clock(server: Server) -> Server {
    Server {
        overflow: Overflow::EndsLast,
        ..server
    }
}

/// The values of all keys, without their expiries.
fn values(server: &Server) -> Vec<(&[u8], &[u8])> {
    let keys = server.keys.iter();
    keys.map(|(key, entry)| (&key[..], &entry.value[..]))
        .collect()
}

/// Whether the policy itself exempts a command.
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
            // A value that could be taken for a TTL.
            232..240 => argument(choices, b'n'),
            0..232 => choices.one_of(&[&b"v"[..], b"", b"EX", b"a\r\n"]).to_vec(),
            _ => choices.string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the effect of a request on a server with key `k` depends on the clock of the node.
    fn is_up_to_the_clock(request: &str) -> bool {
        let mut bytes = Vec::new();
        let words: Vec<&[u8]> = request.split(' ').map(str::as_bytes).collect();
        write::request(&mut bytes, &words);
        let (args, _) = scan_one(&bytes).unwrap();
        let value = b"before".to_vec();
        let expiry = Some(NOW + 1);
        let server = Server {
            keys: [(b"k".to_vec(), Entry { value, expiry })].into(),
            now: NOW,
            is_newer: false,
            overflow: Overflow::AsRedis,
        };
        let (plainly, plain) = outcome(server.clone(), &bytes, &args);
        let (verdict, earlier) = outcome(by_earlier_clock(server), &bytes, &args);
        (plainly, values(&plain)) != (verdict, values(&earlier))
    }

    #[test]
    fn only_a_ttl_that_may_overflow_depends_on_the_clock() {
        for request in [
            "SET k v PX 9223370336854775808",
            "SET k v EX 9223372036854775",
            "SETEX k 9223372036854775 v",
            "GETEX k PX 9223372036854775807",
            "PEXPIRE k 9223370336854775808",
            "RESTORE k 9223372036854775807 v REPLACE",
        ] {
            assert!(is_up_to_the_clock(request), "{request}");
        }
        for request in [
            // Large numbers that are not a TTL.
            "SET k 9223372036854775807 EX 1",
            "SETEX k 1 9223372036854775807",
            "MSET k 9223372036854775807 k2 v",
            "RESTORE k 1 v REPLACE IDLETIME 9223372036854775807",
            // A TTL that is overridden, one in milliseconds that fits, points in time, and overflows by any clock.
            "SET k v PX 9223372036854775807 PX 1",
            "SET k v PX 9223370336854775807",
            "SET k v PXAT 9223372036854775807",
            "EXPIREAT k 9223372036854775",
            "SET k v EX 9223372036854776",
            "EXPIRE k -9223372036854775808",
        ] {
            assert!(!is_up_to_the_clock(request), "{request}");
        }
    }
}
