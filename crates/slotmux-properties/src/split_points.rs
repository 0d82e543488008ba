//! Valid pipelines and reply streams, built and cut as the input chooses, are divided into exactly the parts of which
//! they were built.

use slotmux_core::resp::{Boundary, Limits, Protocol, Scan, inline, scan_request, write};

use super::choices::Choices;
use super::reply;

/// Longest stream in bytes, so that a short input cannot ask for a long one.
const MAX_STREAM: usize = 64 * 1024;
const MAX_DEPTH: usize = 12;

/// Writes the header of an aggregate.
type Header = fn(&mut Vec<u8>, usize);

/// The first byte chooses between requests and replies.
pub fn check(data: &[u8]) {
    let mut choices = Choices(data);
    match choices.byte() % 2 {
        0 => check_requests(&mut choices),
        _ => check_replies(&mut choices),
    }
}

fn check_requests(choices: &mut Choices<'_>) {
    let mut stream = Vec::new();
    let mut expected = Vec::new();
    for _ in 0..1 + choices.byte() % 8 {
        expected.push(push_request(choices, &mut stream));
        if stream.len() > MAX_STREAM {
            break;
        }
    }
    let limits = Limits::default();
    let mut found = Vec::new();
    let (mut from, mut boundary) = (0, Boundary::default());
    for to in cuts(choices, stream.len()) {
        // As a client's buffer: the unfinished request from its first byte, grown.
        loop {
            let verdict = boundary
                .advance(&stream[from..to], &limits)
                .expect("it was written by write::request");
            if let Scan::Incomplete { need } = verdict {
                assert!(need > to - from);
                break;
            }
            let mut spans = Vec::new();
            assert_eq!(
                scan_request(&stream[from..to], &limits, &mut spans),
                Ok(verdict)
            );
            match verdict {
                Scan::Complete { len } => {
                    found.push(
                        spans
                            .iter()
                            .map(|span| span.of(&stream[from..]).to_vec())
                            .collect(),
                    );
                    from += len;
                }
                Scan::Inline { len } => {
                    found.push(
                        inline::split(&stream[from..from + len]).expect("its quotes are balanced"),
                    );
                    from += len;
                }
                Scan::Incomplete { .. } => unreachable!("it was handled above"),
            }
        }
    }
    assert_eq!(from, stream.len(), "bytes left over");
    assert_eq!(found, expected);
}

/// Appends one request and returns its arguments.
fn push_request(choices: &mut Choices<'_>, stream: &mut Vec<u8>) -> Vec<Vec<u8>> {
    const INLINE: [(&[u8], &[&[u8]]); 5] = [
        (b"PING\r\n", &[b"PING"]),
        (b"set k \"a \\x00\"\n", &[b"set", b"k", b"a \0"]),
        (b"\r\n", &[]),
        (b" \n", &[]),
        (b"get '*1'\r\n", &[b"get", b"*1"]),
    ];
    match choices.byte() % 8 {
        0 => {
            stream.extend_from_slice(choices.one_of(&[&b"*0\r\n"[..], b"*-1\r\n", b"*-77\r\n"]));
            Vec::new()
        }
        1 => {
            let (line, args) = choices.one_of(&INLINE);
            stream.extend_from_slice(line);
            args.iter().map(|arg| arg.to_vec()).collect()
        }
        _ => {
            let count = choices.one_of(&[1, 2, 3, 5, 9, 10, 11, 100, 1001]);
            // Long argument lists repeat a few strings, so that a short input can ask for one.
            let strings: Vec<Vec<u8>> = (0..count.min(4)).map(|_| choices.string()).collect();
            let room = MAX_STREAM
                / strings
                    .iter()
                    .map(|string| string.len() + 8)
                    .max()
                    .unwrap_or(8);
            let args: Vec<Vec<u8>> = strings
                .iter()
                .cycle()
                .take(count.min(room))
                .cloned()
                .collect();
            let slices: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
            write::request(stream, &slices);
            args
        }
    }
}

fn check_replies(choices: &mut Choices<'_>) {
    let mut stream = Vec::new();
    let mut expected = Vec::new();
    for _ in 0..1 + choices.byte() % 8 {
        let kind_at = push_reply(choices, &mut stream, 0);
        expected.push((stream.len(), stream[kind_at]));
        if stream.len() > MAX_STREAM {
            break;
        }
    }
    let found = reply::scan(&stream, cuts(choices, stream.len()).into_iter());
    assert_eq!(
        found,
        reply::Stream {
            replies: expected,
            broken: None
        }
    );
}

/// Appends one reply and returns its start, behind its attributes if it has any.
fn push_reply(choices: &mut Choices<'_>, stream: &mut Vec<u8>, depth: usize) -> usize {
    const LEAVES: [&[u8]; 14] = [
        b"+OK\r\n",
        b"+\r\n",
        b"+a\rb\nc\r\r\n",
        b"-ERR x\r\n",
        b":0\r\n",
        b":-9223372036854775808\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"_\r\n",
        b"#t\r\n",
        b",1.5e-7\r\n",
        b"(1234567890123456789012345678901234567890123456789012345678901234567890\r\n",
        b"!3\r\n\r\n\r\r\n",
        b"=7\r\ntxt:\r\n\n\r\n",
    ];
    let start = stream.len();
    let full = depth >= MAX_DEPTH || start > MAX_STREAM;
    let (header, elements): (Header, usize) = match choices.byte() % if full { 8 } else { 16 } {
        0..4 => {
            stream.extend_from_slice(choices.one_of(&LEAVES));
            return start;
        }
        4..8 => {
            write::bulk(stream, &choices.string());
            return start;
        }
        8..11 => (write::array, 1),
        11 => (|out, n| write::set(out, Protocol::Resp3, n), 1),
        12 => (|out, n| write::push(out, Protocol::Resp3, n), 1),
        13..15 => (|out, n| write::map(out, Protocol::Resp3, n), 2),
        _ => {
            let pairs = choices.below(3);
            stream.extend_from_slice(format!("|{pairs}\r\n").as_bytes());
            for _ in 0..2 * pairs {
                push_reply(choices, stream, depth + 1);
            }
            return push_reply(choices, stream, depth + 1);
        }
    };
    let count = choices.one_of(&[0, 1, 1, 2, 3, 12]);
    header(stream, count);
    for _ in 0..count * elements {
        push_reply(choices, stream, depth + 1);
    }
    start
}

/// The cuts of the stream, in order; its end is the last one.
fn cuts(choices: &mut Choices<'_>, len: usize) -> Vec<usize> {
    let mut cuts = vec![len];
    if choices.byte().is_multiple_of(4) {
        let step = 1 + choices.below(70);
        cuts.extend((0..len).step_by(step.max(len / 4096 + 1)));
    }
    while !choices.is_empty() {
        cuts.push(choices.below(len + 1));
    }
    cuts.sort_unstable();
    cuts
}
