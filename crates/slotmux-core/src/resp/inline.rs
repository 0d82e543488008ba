//! Inline requests: a line split into arguments as Redis' `sdssplitargs` splits it, quotes and escapes included.

use super::Malformed;

/// Splits one line; its line end may still be on it. A blank line has no arguments. A NUL ends the line, as in Redis.
///
/// # Errors
/// [`Malformed::UnbalancedQuotes`] when a quote does not close or is followed by something other than a space.
pub fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut args = Vec::new();
    let mut rest = until_nul(line);
    loop {
        rest = skip_spaces(rest);
        if rest.is_empty() {
            return Ok(args);
        }
        let mut arg = Vec::new();
        rest = read_one(rest, &mut arg)?;
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
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Reads one argument, which may consist of bare and quoted parts, and returns the rest.
fn read_one<'a>(mut rest: &'a [u8], arg: &mut Vec<u8>) -> Result<&'a [u8], Malformed> {
    loop {
        match rest {
            [] => return Ok(rest),
            [b'"', tail @ ..] => return closed(double_quoted(tail, arg)?),
            [b'\'', tail @ ..] => return closed(single_quoted(tail, arg)?),
            // Vertical tab and form feed separate arguments but do not end one: Redis says so.
            [b' ' | b'\n' | b'\r' | b'\t', ..] => return Ok(rest),
            [byte, tail @ ..] => {
                arg.push(*byte);
                rest = tail;
            }
        }
    }
}

/// A closing quote must be followed by a space or nothing at all.
fn closed(rest: &[u8]) -> Result<&[u8], Malformed> {
    match rest.first() {
        Some(&byte) if !is_space(byte) => Err(Malformed::UnbalancedQuotes),
        _ => Ok(rest),
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], arg: &mut Vec<u8>) -> Result<&'a [u8], Malformed> {
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
            [b'\\', escaped, tail @ ..] => {
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
                arg.push(*byte);
                rest = tail;
            }
        }
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], arg: &mut Vec<u8>) -> Result<&'a [u8], Malformed> {
    loop {
        match rest {
            [] => return Err(Malformed::UnbalancedQuotes),
            [b'\'', tail @ ..] => return Ok(tail),
            [b'\\', b'\'', tail @ ..] => {
                arg.push(b'\'');
                rest = tail;
            }
            [byte, tail @ ..] => {
                arg.push(*byte);
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
