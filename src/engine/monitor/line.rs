//! One command as `MONITOR` shows it, in Redis' form: `+<seconds>.<microseconds> [0 <address>] "command" "argument" …`.
//! Passwords are replaced as in Redis. Long lines are cut, with a mark.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use slotmux_core::answer::ClientAddress;
use slotmux_core::command::{AUTH, AUTH2, KEYS, OF_HELLO, OF_MIGRATE, OptionScan};
use slotmux_core::resp::request::Request;

/// Longer lines are cut.
const LONGEST: usize = 4096;

/// The line for a request. `addr` is its client's end; `None` if it has just gone.
pub(super) fn line(time: SystemTime, addr: Option<&ClientAddress>, request: &Request) -> Vec<u8> {
    let mut line = start(time);
    // Writing to a Vec never fails.
    let _ = match addr {
        Some(ClientAddress::Tcp(addr)) => write!(line, "{addr}]"),
        Some(ClientAddress::Unix(path)) => write!(line, "unix:{path}]"),
        None => write!(line, "?:0]"),
    };
    let secrets = secrets(request);
    for at in 0..request.argc() {
        if line.len() >= LONGEST {
            let _ = write!(line, " \"... ({} more arguments)\"", request.argc() - at);
            break;
        }
        line.extend_from_slice(b" \"");
        if secrets.contains(&at) {
            line.extend_from_slice(b"(redacted)");
        } else {
            quote(&mut line, request.arg(at));
        }
        line.push(b'"');
    }
    line.extend_from_slice(b"\r\n");
    line
}

/// The line about lines that were not shown; in the same form, for programs that parse lines.
pub(super) fn missed(time: SystemTime, count: u64) -> Vec<u8> {
    let mut line = start(time);
    let _ = write!(line, "slotmux:0] \"(missed)\" \"{count}\"\r\n");
    line
}

fn start(time: SystemTime) -> Vec<u8> {
    let now = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut line = Vec::with_capacity(128);
    let _ = write!(line, "+{}.{:06} [0 ", now.as_secs(), now.subsec_micros());
    line
}

/// Appends an argument as Redis quotes it.
fn quote(line: &mut Vec<u8>, argument: &[u8]) {
    for (at, &byte) in argument.iter().enumerate() {
        if line.len() >= LONGEST {
            let _ = write!(line, "... ({} more bytes)", argument.len() - at);
            return;
        }
        match byte {
            b'\\' | b'"' => line.extend_from_slice(&[b'\\', byte]),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\t' => line.extend_from_slice(b"\\t"),
            0x07 => line.extend_from_slice(b"\\a"),
            0x08 => line.extend_from_slice(b"\\b"),
            b' '..=b'~' => line.push(byte),
            _ => {
                let _ = write!(line, "\\x{byte:02x}");
            }
        }
    }
}

/// Where a command has credentials.
#[derive(Clone, Copy)]
enum Secrets {
    /// All of its arguments.
    All,
    /// Behind its options AUTH.
    OfHello,
    /// Behind its options AUTH and AUTH2.
    OfMigrate,
}

/// Commands with credentials. `CONFIG SET` and `ACL SETUSER`, which set passwords, are never shown at all.
const SECRETS: [(&str, Secrets); 3] = [
    ("auth", Secrets::All),
    ("hello", Secrets::OfHello),
    ("migrate", Secrets::OfMigrate),
];

/// Indices of the arguments that are a password or the name of its user.
fn secrets(request: &Request) -> Vec<usize> {
    // Command names are not compared as C strings.
    let is_named = |name: &str| request.arg(0).eq_ignore_ascii_case(name.as_bytes());
    let options = |known, from| OptionScan::new(known, request.bytes, request.args, from);
    let found = SECRETS.iter().find(|(name, _)| is_named(name));
    match found.map(|(_, secrets)| *secrets) {
        None => Vec::new(),
        Some(Secrets::All) => (1..request.argc()).collect(),
        Some(Secrets::OfHello) => credentials(options(OF_HELLO, 2)),
        Some(Secrets::OfMigrate) => credentials(options(OF_MIGRATE, 6)),
    }
}

/// Indices of the arguments of every AUTH and AUTH2.
fn credentials(mut options: OptionScan) -> Vec<usize> {
    let mut secrets = Vec::new();
    while let Some(found) = options.next() {
        if found.word == AUTH || found.word == AUTH2 {
            secrets.extend(found.at + 1..=found.at + found.takes);
        } else if found.word == KEYS && !options.is_lost() {
            break;
        }
    }
    secrets
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use slotmux_core::resp::{Limits, scan_request, write};

    fn shown(words: &[&[u8]], addr: Option<&ClientAddress>) -> String {
        let (mut bytes, mut args) = (Vec::new(), Vec::new());
        write::request(&mut bytes, words);
        scan_request(&bytes, &Limits::default(), &mut args).expect("a request");
        let request = Request {
            bytes: &bytes,
            args: &args,
        };
        let time = UNIX_EPOCH + Duration::from_micros(1_795_663_854_000_042);
        String::from_utf8(line(time, addr, &request)).expect("ASCII")
    }

    fn arguments(line: &str) -> String {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let shown = shown(&words, None);
        let (_, rest) = shown.split_once("] ").expect("an address");
        rest.trim_end().replace('"', "")
    }

    #[test]
    fn a_line_is_as_redis_prints_it() {
        let tcp = ClientAddress::Tcp(([127, 0, 0, 1], 60828).into());
        assert_eq!(
            shown(
                &[b"set", b"k", b"a\"b\\\r\n\t\x07\x08\0\x7f\xc3\xa9 ", b""],
                Some(&tcp)
            ),
            concat!(
                r#"+1795663854.000042 [0 127.0.0.1:60828] "set" "k" "#,
                r#""a\"b\\\r\n\t\a\b\x00\x7f\xc3\xa9 " """#,
                "\r\n"
            )
        );
        let unix = ClientAddress::Unix("/run/slotmux.sock".into());
        let line = shown(&[b"ping"], Some(&unix));
        assert!(
            line.ends_with(" [0 unix:/run/slotmux.sock] \"ping\"\r\n"),
            "{line}"
        );
    }

    #[test]
    fn passwords_are_not_shown() {
        for (line, wanted) in [
            ("AUTH pw", "AUTH (redacted)"),
            ("auth user pw", "auth (redacted) (redacted)"),
            (
                "hello 3 setname x AUTH u pw",
                "hello 3 setname x AUTH (redacted) (redacted)",
            ),
            ("hello 3 setname x", "hello 3 setname x"),
            (
                "migrate h 1 k 0 1 auth pw",
                "migrate h 1 k 0 1 auth (redacted)",
            ),
            (
                "migrate h 1 k 0 1 COPY AUTH2 u pw KEYS a",
                "migrate h 1 k 0 1 COPY AUTH2 (redacted) (redacted) KEYS a",
            ),
            (
                "migrate h 1 k 0 1 KEYS auth b",
                "migrate h 1 k 0 1 KEYS auth b",
            ),
            ("set auth pw", "set auth pw"),
            // An argument of an option is not an option.
            (
                "hello 3 setname auth AUTH u pw",
                "hello 3 setname auth AUTH (redacted) (redacted)",
            ),
            (
                "hello 3 AUTH auth AUTH AUTH u pw",
                "hello 3 AUTH (redacted) (redacted) AUTH (redacted) (redacted)",
            ),
            (
                "migrate h 1 k 0 1 AUTH keys AUTH2 u pw",
                "migrate h 1 k 0 1 AUTH (redacted) AUTH2 (redacted) (redacted)",
            ),
            // Servers compare options as C strings.
            (
                "hello 3 AUTH\0x u pw",
                "hello 3 AUTH\\x00x (redacted) (redacted)",
            ),
            (
                "migrate h 1 k 0 1 Auth\0 pw KEYS\0 auth b",
                "migrate h 1 k 0 1 Auth\\x00 (redacted) KEYS\\x00 auth b",
            ),
            // After an unknown word, each word that could be the option counts as one.
            (
                "hello 3 novel AUTH AUTH u pw",
                "hello 3 novel AUTH (redacted) (redacted) (redacted)",
            ),
            ("hello 3 AUTH pw", "hello 3 AUTH (redacted)"),
        ] {
            assert_eq!(arguments(line), wanted);
        }
    }

    #[test]
    fn a_long_line_is_cut() {
        let long = vec![b'x'; 10_000];
        let line = shown(&[b"set", b"k", &long, b"ex", b"1"], None);
        assert!(line.len() < LONGEST + 100, "{}", line.len());
        let (_, end) = line.split_once("xxx... (").expect("a mark");
        let (bytes, end) = end.split_once(' ').expect("a count");
        assert_eq!(
            bytes.parse::<usize>().expect("a number") + line.matches('x').count(),
            10_000
        );
        assert_eq!(end, "more bytes)\" \"... (2 more arguments)\"\r\n");
    }
}
