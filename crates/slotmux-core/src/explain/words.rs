//! Requests, keys and durations as people read them: shortened, on one line, nothing that a terminal would obey.

use crate::resp::{Limits, Scan, scan_request};

/// Longest word of a command that is shown whole. Of a longer one its start and its length are.
const LONGEST: usize = 64;
/// Bytes shown of a longer one.
const START: usize = 48;
/// Most words of one command that are shown.
const WORDS: usize = 24;

/// The commands in a buffer that holds nothing else, one line each, at most `most` of them.
pub fn commands(mut bytes: &[u8], most: usize) -> Vec<String> {
    let mut args = Vec::new();
    let (mut lines, mut left_out) = (Vec::new(), 0);
    while let Ok(Scan::Complete { len }) = scan_request(bytes, &Limits::ACCEPTED, &mut args) {
        if lines.len() < most {
            lines.push(command(args.iter().map(|arg| arg.of(bytes))));
        } else {
            left_out += 1;
        }
        bytes = &bytes[len..];
    }
    if left_out > 0 {
        lines.push(format!("... and {left_out} more"));
    }
    lines
}

/// One command.
pub fn command<'a>(args: impl Iterator<Item = &'a [u8]>) -> String {
    let mut line = String::new();
    let mut left_out = 0;
    for (at, arg) in args.enumerate() {
        if at >= WORDS {
            left_out += 1;
            continue;
        }
        if at > 0 {
            line.push(' ');
        }
        line.push_str(&word(arg));
    }
    if left_out > 0 {
        line.push_str(&format!(" ... and {left_out} more"));
    }
    line
}

/// One word of a command.
pub fn word(bytes: &[u8]) -> String {
    if bytes.len() > LONGEST {
        let start = bytes[..START].escape_ascii();
        return format!("\"{start}\"...({} bytes)", bytes.len());
    }
    let plain = bytes.escape_ascii().to_string();
    if bytes.is_empty() || plain.len() != bytes.len() || bytes.contains(&b' ') {
        format!("\"{plain}\"")
    } else {
        plain
    }
}

/// A name or key in the middle of a sentence.
pub fn quoted(bytes: &[u8]) -> String {
    match bytes.get(..START) {
        Some(start) if bytes.len() > LONGEST => {
            format!("'{}...' ({} bytes)", start.escape_ascii(), bytes.len())
        }
        _ => format!("'{}'", bytes.escape_ascii()),
    }
}

/// A duration with its exact number: `11h59m50s (43190000 ms)`.
pub fn time(milliseconds: u64) -> String {
    const UNITS: [(u64, &str); 5] = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1000, "s"),
        (1, "ms"),
    ];
    if milliseconds < 1000 {
        return format!("{milliseconds} ms");
    }
    let mut rest = milliseconds;
    let mut text = String::new();
    for (scale, unit) in UNITS {
        if rest >= scale {
            text.push_str(&format!("{}{unit}", rest / scale));
            rest %= scale;
        }
    }
    format!("{text} ({milliseconds} ms)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (milliseconds, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1000, "1s (1000 ms)"),
            (90_500, "1m30s500ms (90500 ms)"),
            (43_200_000, "12h (43200000 ms)"),
            (694_800_000, "8d1h (694800000 ms)"),
        ] {
            assert_eq!(time(milliseconds), text);
        }
    }

    #[test]
    fn words_are_short_and_harmless() {
        let long = vec![b'x'; 100];
        for (bytes, text) in [
            (&b"SET"[..], "SET"),
            (b"", "\"\""),
            (b"a b", "\"a b\""),
            (b"\x1b[31m\r\n", "\"\\x1b[31m\\r\\n\""),
            (&long, &*format!("\"{}\"...(100 bytes)", "x".repeat(48))),
        ] {
            assert_eq!(word(bytes), text);
        }
        assert_eq!(quoted(b"k"), "'k'");
        assert_eq!(
            quoted(&long),
            format!("'{}...' (100 bytes)", "x".repeat(48))
        );
    }

    #[test]
    fn only_so_many_words_and_commands() {
        let words = vec![&b"w"[..]; 30];
        assert!(command(words.into_iter()).ends_with(" w ... and 6 more"));
        let ping = b"*1\r\n$4\r\nPING\r\n".repeat(5);
        assert_eq!(commands(&ping, 2), ["PING", "PING", "... and 3 more"]);
        assert_eq!(commands(&ping, 5).len(), 5);
    }
}
