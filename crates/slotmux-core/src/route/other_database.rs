//! Commands that can name a database other than the one that slotmux shows. Keys written there would be under no policy
//! and counted nowhere, although a single Redis or a newer cluster would accept the command.

use crate::command::CommandRef;
use crate::resp::number::parse_i64;
use crate::resp::request::Request;

use super::{Knowledge, Plan, keyed, refuse_command};

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
