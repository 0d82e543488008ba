//! Commands that can name a database other than the one that slotmux shows. Keys written there would be under no policy
//! and counted nowhere, although a single Redis or a newer cluster would accept the command.

use crate::command::CommandRef;
use crate::resp::number::parse_i64;
use crate::resp::request::Request;

use super::{Knowledge, Plan, keyed, refuse_command};

/// The reason to refuse a script.
const LEAVES: &str = "slotmux shows one database only, and the script uses another one (SELECT, MOVE, SWAPDB, or COPY with DB), \
    where no TTL policy holds";

/// The plan for `COPY source destination [DB database] [REPLACE]`.
pub(super) fn copy(
    request: &Request,
    command: CommandRef,
    knowledge: &Knowledge,
    rewritten: &mut Vec<u8>,
) -> Plan {
    if leaves_database(request) {
        let reason = "slotmux shows one database only, and DB names another one";
        return refuse_command(command.full_name(), reason);
    }
    keyed(request, command, knowledge, rewritten)
}

/// The refusal of code that names another database, if a TTL policy is enforced. `at` is the argument with the code.
pub(super) fn code(
    request: &Request,
    at: usize,
    full_name: &str,
    knowledge: &Knowledge,
) -> Option<Plan> {
    knowledge.policies.enforced_prefix()?;
    calls_other_database(request.arg(at)).then(|| refuse_command(full_name, LEAVES))
}

/// Whether code calls, by a name in quotes, a command that uses another database. Code that makes the name out of parts is
/// not seen: only the rights of the upstream user keep it from that.
fn calls_other_database(code: &[u8]) -> bool {
    const CALL: &[u8] = b"call";
    let mut rest = code;
    let mut copies = false;
    while let Some(at) = rest.iter().position(|&byte| byte == b'(') {
        let (before, after) = rest.split_at(at);
        rest = &after[1..];
        if !before.trim_ascii_end().ends_with(CALL) {
            continue;
        }
        let Some(name) = quoted(rest.trim_ascii_start()) else {
            continue;
        };
        let is = |word: &[u8]| name.eq_ignore_ascii_case(word);
        if is(b"select") || is(b"move") || is(b"swapdb") {
            return true;
        }
        copies |= is(b"copy");
    }
    copies && names_database(code)
}

/// The string literal that Lua code begins with.
fn quoted(code: &[u8]) -> Option<&[u8]> {
    let quote = *code.first().filter(|byte| matches!(byte, b'\'' | b'"'))?;
    let mut parts = code[1..].splitn(2, |&byte| byte == quote);
    let literal = parts.next()?;
    parts.next().map(|_| literal)
}

/// Whether code has the option DB as a string literal.
fn names_database(code: &[u8]) -> bool {
    code.windows(4).any(|part| {
        let is_quoted = matches!((part[0], part[3]), (b'\'', b'\'') | (b'"', b'"'));
        is_quoted && part[1..3].eq_ignore_ascii_case(b"db")
    })
}

/// Whether a COPY may write to a database other than 0. Of several DB options the last counts, as far as every word is
/// known. No server takes a non-number as a database.
fn leaves_database(request: &Request) -> bool {
    const OPTIONS: usize = 3;
    let (mut is_last_other, mut is_any_other, mut is_unknown) = (false, false, false);
    let mut at = OPTIONS;
    while at < request.argc() {
        if is_word(request.arg(at), b"db") && at + 1 < request.argc() {
            is_last_other = parse_i64(request.arg(at + 1)).is_some_and(|number| number != 0);
            is_any_other |= is_last_other;
            at += 1;
        } else {
            is_unknown |= !is_word(request.arg(at), b"replace");
        }
        at += 1;
    }
    is_last_other || (is_any_other && is_unknown)
}

/// Whether a server matches an argument with this word: it compares up to the first NUL.
fn is_word(argument: &[u8], word: &[u8]) -> bool {
    let mut parts = argument.split(|&byte| byte == 0);
    let start = parts.next().unwrap_or_default();
    start.eq_ignore_ascii_case(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::{Limits, scan_request, write};

    #[test]
    fn code_that_calls_another_database() {
        for (code, expected) in [
            ("redis.call('SELECT', 3)", true),
            ("return redis.pcall(\n \"select\", ARGV[1])", true),
            ("server.call ('MOVE', KEYS[1], 1)", true),
            ("local call = redis.call; call('SwapDB', 0, 1)", true),
            ("redis.call('COPY', KEYS[1], KEYS[2], 'DB', 2)", true),
            ("redis.call('copy', KEYS[1], KEYS[2], \"db\", 2)", true),
            ("redis.call('COPY', KEYS[1], KEYS[2], 'REPLACE')", false),
            ("redis.call('SET', KEYS[1], 'DB')", false),
            ("redis.call('HGET', KEYS[1], 'select')", false),
            (
                "local n = select('#', ...) redis.call('GET', KEYS[1])",
                false,
            ),
            (
                "redis.call('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'LEFT')",
                false,
            ),
            ("step('move', 1)", false),
            ("redis.call(name, 'select')", false),
            ("redis.call('select", false),
            ("redis.call(", false),
            ("", false),
        ] {
            assert_eq!(calls_other_database(code.as_bytes()), expected, "{code}");
        }
    }

    #[test]
    fn another_database_is_seen_however_it_is_written() {
        for (line, expected) in [
            ("COPY a b", false),
            ("COPY a b REPLACE", false),
            ("COPY a b DB 0", false),
            ("COPY a b replace db 0", false),
            ("COPY a b DB 1 DB 0", false),
            ("COPY a b DB", false),
            ("COPY a b DB 0 DB", false),
            ("COPY DB 1", false),
            ("COPY a b DB x", false),
            ("COPY a b DB DB", false),
            ("COPY a b 1", false),
            ("COPY a b DB 1", true),
            ("COPY a b dB 1 REPLACE", true),
            ("COPY a b REPLACE DB 15", true),
            ("COPY a b DB 0 DB 1", true),
            ("COPY a b DB\0x 1", true),
            ("COPY a b DB\0 1", true),
            ("COPY a b replace\0x DB 1", true),
            ("COPY a b DB -1", true),
            // The unknown word may take the next one as its argument.
            ("COPY a b DB 1 NEW DB 0", true),
            ("COPY a b NEW DB 1", true),
            ("COPY a b NEW DB 0", false),
        ] {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            let mut bytes = Vec::new();
            write::request(&mut bytes, &words);
            let mut args = Vec::new();
            scan_request(&bytes, &Limits::default(), &mut args).expect("a request");
            let request = Request {
                bytes: &bytes,
                args: &args,
            };
            assert_eq!(leaves_database(&request), expected, "{line:?}");
        }
    }
}
