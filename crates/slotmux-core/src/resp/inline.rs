//! Inline requests: a line split into arguments as Redis' `sdssplitargs` splits it, quotes and escapes included.

use super::Malformed;
use crate::cluster::server::ServerVersion;

/// Splits one line as Redis does; see [`split_like`].
///
/// # Errors
/// As [`split_like`].
pub fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
    split_like(line, ServerVersion::default())
}

/// Splits one line as a server of this version does; its line end may still be on it. A blank line has no arguments. A NUL
/// ends the line.
///
/// # Errors
/// [`Malformed::UnbalancedQuotes`] when a quote does not close, or is followed by something other than a space where the
/// server does not permit that.
pub fn split_like(line: &[u8], server: ServerVersion) -> Result<Vec<Vec<u8>>, Malformed> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = until_nul(line.strip_suffix(b"\r").unwrap_or(line));
    let mut args = Vec::new();
    let mut rest = line;
    loop {
        rest = skip_spaces(rest);
        if rest.is_empty() {
            return Ok(args);
        }
        let mut arg = Vec::new();
        rest = read_one(rest, server, &mut arg)?;
        args.push(arg);
    }
}

fn until_nul(line: &[u8]) -> &[u8] {
    line.split(|&byte| byte == 0).next().unwrap_or_default()
}

fn skip_spaces(line: &[u8]) -> &[u8] {
    let start = line
        .iter()
        .position(|&byte| !is_space(byte))
        .unwrap_or(line.len());
    &line[start..]
}

/// C's `isspace`; `u8::is_ascii_whitespace` lacks the vertical tab.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Reads one argument, which may consist of bare and quoted parts, and returns the rest.
fn read_one<'a>(
    mut rest: &'a [u8],
    server: ServerVersion,
    arg: &mut Vec<u8>,
) -> Result<&'a [u8], Malformed> {
    loop {
        match rest {
            [] => return Ok(rest),
            [quote @ (b'"' | b'\''), tail @ ..] => {
                rest = match quote {
                    b'"' => double_quoted(tail, server, arg)?,
                    _ => single_quoted(tail, server, arg)?,
                };
                if !server.joins_quoted_parts() {
                    return closed(rest);
                }
            }
            // Vertical tab and form feed separate arguments but do not end one: Redis says so.
            [b' ' | b'\n' | b'\r' | b'\t', ..] => return Ok(rest),
            [byte, tail @ ..] => {
                push_raw(*byte, server, arg);
                rest = tail;
            }
        }
    }
}

/// The byte with which telnet begins its own commands.
const TELNET: u8 = 0xff;

/// Adds a byte that is not escaped.
fn push_raw(byte: u8, server: ServerVersion, arg: &mut Vec<u8>) {
    if byte != TELNET || !server.drops_telnet_bytes() {
        arg.push(byte);
    }
}

/// Whether the backslash at the front of `rest` may begin an escape.
fn may_escape(rest: &[u8], server: ServerVersion) -> bool {
    rest.len() > 2 || !server.needs_room_for_escapes()
}

/// A closing quote must be followed by a space or nothing at all.
fn closed(rest: &[u8]) -> Result<&[u8], Malformed> {
    match rest.first() {
        Some(&byte) if !is_space(byte) => Err(Malformed::UnbalancedQuotes),
        _ => Ok(rest),
    }
}

fn double_quoted<'a>(
    mut rest: &'a [u8],
    server: ServerVersion,
    arg: &mut Vec<u8>,
) -> Result<&'a [u8], Malformed> {
    loop {
        match rest {
            [] => return Err(Malformed::UnbalancedQuotes),
            [b'"', tail @ ..] => return Ok(tail),
            [b'\\', b'x', high, low, tail @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                arg.push(hex(*high) << 4 | hex(*low));
                rest = tail;
            }
            [b'\\', escaped, tail @ ..] if may_escape(rest, server) => {
                arg.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                rest = tail;
            }
            [byte, tail @ ..] => {
                push_raw(*byte, server, arg);
                rest = tail;
            }
        }
    }
}

fn single_quoted<'a>(
    mut rest: &'a [u8],
    server: ServerVersion,
    arg: &mut Vec<u8>,
) -> Result<&'a [u8], Malformed> {
    loop {
        match rest {
            [] => return Err(Malformed::UnbalancedQuotes),
            [b'\'', tail @ ..] => return Ok(tail),
            [b'\\', b'\'', tail @ ..] if may_escape(rest, server) => {
                arg.push(b'\'');
                rest = tail;
            }
            [byte, tail @ ..] => {
                push_raw(*byte, server, arg);
                rest = tail;
            }
        }
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_as_redis_does() {
        let table: &[(&[u8], &[&[u8]])] = &[
            (b"", &[]),
            (b"\r\n", &[]),
            (b" \t\x0b\x0c ", &[]),
            (b"PING\r\n", &[b"PING"]),
            (b"  set  k\tv \n", &[b"set", b"k", b"v"]),
            (b"set k \"a b\"", &[b"set", b"k", b"a b"]),
            (b"set k ''", &[b"set", b"k", b""]),
            (b"\"\"", &[b""]),
            (
                br#""\x41\x4g\n\r\t\b\a\q\\\"""#,
                &[b"Ax4g\n\r\t\x08\x07q\\\""],
            ),
            (br"'a\nb\'c'", &[br"a\nb'c"]),
            (b"ab\"cd\" e", &[b"abcd", b"e"]),
            (b"a\\b", &[b"a\\b"]),
            (b"a\x0bb \x0cc", &[b"a\x0bb", b"c"]),
            (b"\xff\x80 \"\xfe\"", &[b"\xff\x80", b"\xfe"]),
            (b"PING\0 never seen", &[b"PING"]),
        ];
        for (line, args) in table {
            assert_eq!(split(line).unwrap(), *args, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn habits_differ_by_version() {
        let [redis, valkey_8, valkey_9] = [
            ServerVersion::new("8.2.3", None),
            ServerVersion::new("7.2.4", Some("8.1.1")),
            ServerVersion::new("7.2.4", Some("9.1.2")),
        ];
        // The argument that each of them reads; `None` for unbalanced quotes.
        type Argument = Option<&'static [u8]>;
        let table: &[(&[u8], [Argument; 3])] = &[
            (b"\"a\"b\r\n", [None, None, Some(b"ab")]),
            (b"a\"b c\"d'e'", [None, None, Some(b"ab cde")]),
            (b"''''", [None, None, Some(b"")]),
            (b"\"a\"\x0b", [Some(b"a"), Some(b"a"), Some(b"a\x0b")]),
            (b"'a\\'\r\n", [None, None, Some(b"a\\")]),
            (b"\"\\\\\\\"", [None, None, Some(b"\\\\")]),
            (b"\"a\\\"b", [None, None, None]),
            (b"'a\\'b'", [Some(b"a'b"); 3]),
            (b"a\xffb", [Some(b"a\xffb"), Some(b"ab"), Some(b"ab")]),
            (b"'\xff'", [Some(b"\xff"), Some(b""), Some(b"")]),
            (
                b"\"\xff\\xff\"",
                [Some(b"\xff\xff"), Some(b"\xff"), Some(b"\xff")],
            ),
        ];
        for (line, expected) in table {
            let read = [redis, valkey_8, valkey_9].map(|server| split_like(line, server).ok());
            let expected = expected.map(|arg| arg.map(|arg| vec![arg.to_vec()]));
            assert_eq!(read, expected, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn refuses_unbalanced_quotes() {
        let table: [&[u8]; 9] = [
            b"\"",
            b"'",
            b"set \"k",
            b"set 'k\r\n",
            b"\"a\"b",
            b"'a'b",
            b"\"a\\",
            br#""a\""#,
            b"\"a\0\"",
        ];
        for line in table {
            assert_eq!(
                split(line),
                Err(Malformed::UnbalancedQuotes),
                "{}",
                line.escape_ascii()
            );
        }
    }
}
