//! Where a reply ends and whether it is the right one.
//!
//! This is the hot loop: it finds the end of a reply and compares bytes in place, without an allocation. `redis-protocol`
//! would build a tree of each reply, and again for each part of one that is incomplete. It is the oracle of the tests.

use crate::mix::{Ask, COUNTERS_PER_CLIENT, Op};
use crate::value::Keyspace;
use std::ops::Range;

/// Longest line of a reply; a longer one is a fault of the target. Error texts are the longest valid lines.
const LONGEST_LINE: usize = 64 * 1024;

/// The result of [`frame`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// One whole reply of this many bytes.
    Complete(usize),
    /// The reply is incomplete until the buffer holds at least this many bytes.
    Incomplete(usize),
}

/// Finds the end of the reply at the start of `buf`, RESP2 or RESP3. `Err`: these bytes are not a reply.
pub fn frame(buf: &[u8]) -> Result<Frame, &'static str> {
    let (mut at, mut elements) = (0, 1u64);
    while elements > 0 {
        let Some(line) = line(buf, at)? else {
            return Ok(Frame::Incomplete(buf.len() + 1));
        };
        let kind = buf[at];
        at = line.end + 2;
        elements -= 1;
        match kind {
            b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => {}
            b'$' | b'=' | b'!' => {
                let len = length(&buf[line])?;
                if let Some(len) = len {
                    at = at.saturating_add(len).saturating_add(2);
                    if at > buf.len() {
                        return Ok(Frame::Incomplete(at));
                    }
                    if &buf[at - 2..at] != b"\r\n" {
                        return Err("a bulk does not end where it said");
                    }
                }
            }
            b'*' | b'~' | b'>' => {
                elements = elements.saturating_add(length(&buf[line])?.unwrap_or(0) as u64)
            }
            b'%' => elements = elements.saturating_add(2 * length(&buf[line])?.unwrap_or(0) as u64),
            // An attribute precedes the reply that it describes.
            b'|' => {
                elements = elements.saturating_add(1 + 2 * length(&buf[line])?.unwrap_or(0) as u64)
            }
            _ => return Err("not the start of a reply"),
        }
    }
    Ok(Frame::Complete(at))
}

/// The line that starts at `at`, without its type byte and CRLF. `None`: the line is incomplete.
fn line(buf: &[u8], at: usize) -> Result<Option<Range<usize>>, &'static str> {
    let rest = buf.get(at..).unwrap_or_default();
    match rest.iter().position(|b| *b == b'\r') {
        Some(0) => Err("an empty line"),
        Some(cr) => match rest.get(cr + 1) {
            Some(b'\n') => Ok(Some(at + 1..at + cr)),
            Some(_) => Err("CR without LF"),
            None => Ok(None),
        },
        None if rest.len() > LONGEST_LINE => Err("an endless line"),
        None => Ok(None),
    }
}

/// `None` is the null of RESP2, `$-1` and `*-1`.
fn length(line: &[u8]) -> Result<Option<usize>, &'static str> {
    if line == b"-1" {
        return Ok(None);
    }
    if line.is_empty() || line.len() > 10 {
        return Err("not a length");
    }
    let mut n = 0;
    for b in line {
        if !b.is_ascii_digit() {
            return Err("not a length");
        }
        n = n * 10 + usize::from(b - b'0');
    }
    Ok(Some(n))
}

/// The verdict on a complete reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The one right reply.
    Right,
    /// A key that should exist does not.
    Missing,
    /// A wrong value or kind of reply.
    Wrong,
    /// An error reply.
    Error,
}

/// The values of one client's counters, as far as it knows them.
#[derive(Clone, Default, Debug)]
pub struct Counters {
    /// Empty until the first INCR, since most runs send no INCR.
    state: Vec<Counter>,
}

#[derive(Clone, Copy, Default, Debug)]
struct Counter {
    /// The last value; 0 before the first reply, which may be any higher value, as an earlier run may have counted.
    last: u64,
    /// INCRs whose fate is unknown (error or lost reply): each may have counted or not.
    unknown: u64,
}

impl Counters {
    /// Notes an INCR of `counter` that was sent and never answered.
    pub fn lost(&mut self, counter: u64) {
        if let Some(state) = self.get(counter) {
            state.unknown += 1;
        }
    }

    fn counted(&mut self, counter: u64, value: u64) -> bool {
        let Some(state) = self.get(counter) else {
            return false;
        };
        let right =
            state.last == 0 || (state.last + 1..=state.last + 1 + state.unknown).contains(&value);
        if right && state.last > 0 {
            state.unknown -= value - state.last - 1;
        }
        // After a wrong value the count continues from it, so that one fault is counted once.
        state.last = value;
        right
    }

    fn get(&mut self, counter: u64) -> Option<&mut Counter> {
        if self.state.is_empty() {
            self.state = vec![Counter::default(); COUNTERS_PER_CLIENT as usize];
        }
        self.state.get_mut(counter as usize)
    }
}

/// Judges a whole `reply` (as `frame` found it) to `ask`. `scratch` is overwritten.
pub fn judge(
    ask: Ask,
    reply: &[u8],
    keys: &Keyspace,
    counters: &mut Counters,
    scratch: &mut Vec<u8>,
) -> Outcome {
    if let Some(b'-' | b'!') = reply.first() {
        if ask.op == Op::Incr {
            counters.lost(ask.key);
        }
        return Outcome::Error;
    }
    match ask.op {
        Op::Get => element(reply, ask.key, keys, scratch),
        Op::Set | Op::Mset(_) => right_if(reply == b"+OK\r\n"),
        Op::Hset => right_if(matches!(reply, b":0\r\n" | b":1\r\n")),
        Op::Ping => right_if(reply == b"+PONG\r\n"),
        Op::Incr => {
            let value = reply
                .strip_prefix(b":")
                .and_then(|rest| rest.strip_suffix(b"\r\n"));
            let value = value
                .and_then(|digits| str::from_utf8(digits).ok())
                .and_then(|digits| digits.parse().ok());
            right_if(value.is_some_and(|value| counters.counted(ask.key, value)))
        }
        Op::Mget(n) => {
            let Ok(Some(header)) = line(reply, 0) else {
                return Outcome::Wrong;
            };
            let mut at = header.end + 2;
            if reply[0] != b'*' || length(&reply[header]) != Ok(Some(usize::from(n))) {
                return Outcome::Wrong;
            }
            let mut worst = Outcome::Right;
            for key in ask.keys(keys) {
                let Ok(Frame::Complete(len)) = frame(&reply[at..]) else {
                    return Outcome::Wrong;
                };
                match element(&reply[at..at + len], key, keys, scratch) {
                    Outcome::Right => {}
                    Outcome::Missing => worst = Outcome::Missing,
                    outcome => return outcome,
                }
                at += len;
            }
            worst
        }
    }
}

fn right_if(right: bool) -> Outcome {
    if right {
        Outcome::Right
    } else {
        Outcome::Wrong
    }
}

/// Judges one bulk of a GET or MGET.
fn element(reply: &[u8], key: u64, keys: &Keyspace, scratch: &mut Vec<u8>) -> Outcome {
    if matches!(reply, b"$-1\r\n" | b"_\r\n") {
        return Outcome::Missing;
    }
    let Ok(Some(header)) = line(reply, 0) else {
        return Outcome::Wrong;
    };
    let body = reply.get(header.end + 2..reply.len() - 2);
    match (reply[0], body) {
        (b'$', Some(body)) => right_if(keys.is_value(key, body, scratch)),
        (b'-' | b'!', _) => Outcome::Error,
        _ => Outcome::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Sizes;

    fn keys() -> Keyspace {
        Keyspace::new("t:", 100, Sizes { min: 40, max: 40 })
    }

    fn bulk(index: u64) -> Vec<u8> {
        let mut out = b"$40\r\n".to_vec();
        keys().append_value(index, &mut out);
        out.extend_from_slice(b"\r\n");
        out
    }

    fn judged(op: Op, key: u64, reply: &[u8]) -> Outcome {
        judge(
            Ask { op, key },
            reply,
            &keys(),
            &mut Counters::default(),
            &mut Vec::new(),
        )
    }

    #[test]
    fn the_end_of_a_reply_is_found_for_every_cut() {
        let replies: [&[u8]; 12] = [
            b"+OK\r\n",
            b"-ERR no\r\n",
            b":12\r\n",
            b"$3\r\na\r\n\r\n",
            b"$-1\r\n",
            b"*-1\r\n",
            b"_\r\n",
            b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
            b"%1\r\n+a\r\n~1\r\n#t\r\n",
            b"|1\r\n+a\r\n+b\r\n,1.5\r\n",
            b"!3\r\nERR\r\n",
            b"*0\r\n",
        ];
        for reply in replies {
            let with_more = [reply, b"+next\r\n"].concat();
            assert_eq!(
                frame(&with_more),
                Ok(Frame::Complete(reply.len())),
                "{}",
                reply.escape_ascii()
            );
            for cut in 0..reply.len() {
                let Ok(Frame::Incomplete(need)) = frame(&reply[..cut]) else {
                    panic!("{} is not a reply", reply[..cut].escape_ascii())
                };
                assert!(
                    need > cut && need <= reply.len(),
                    "{} needs {need}",
                    reply[..cut].escape_ascii()
                );
            }
        }
    }

    #[test]
    fn replies_end_where_redis_protocol_ends_them() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..2_000 {
            let mut bytes = Vec::new();
            append_random(&mut bytes, 3, &mut random);
            let len = bytes.len();
            bytes.extend_from_slice(b"+next\r\n");
            let oracle = redis_protocol::resp3::decode::complete::decode_range(&bytes);
            assert_eq!(oracle.unwrap().map(|(_, len)| len), Some(len));
            let text = bytes.escape_ascii();
            assert_eq!(frame(&bytes), Ok(Frame::Complete(len)), "{text}");
        }
    }

    fn append_random(out: &mut Vec<u8>, depth: u8, random: &mut fastrand::Rng) {
        let n = random.usize(..4);
        let scalars = [
            "+OK",
            "-ERR no",
            ":-7",
            "_",
            ",1.5",
            "#t",
            "(12",
            "!2\r\nno",
            "=5\r\ntxt:a",
        ];
        let kinds = if depth == 0 { 2 } else { 4 };
        match random.usize(..kinds) {
            0 => {
                out.extend_from_slice(scalars[random.usize(..scalars.len())].as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            1 => out.extend_from_slice(format!("${n}\r\n{}\r\n", &"\r\n$"[..n]).as_bytes()),
            2 => {
                out.extend_from_slice(format!("*{n}\r\n").as_bytes());
                (0..n).for_each(|_| append_random(out, depth - 1, random));
            }
            // The oracle takes only scalars as the keys of a map.
            _ => {
                out.extend_from_slice(format!("%{n}\r\n").as_bytes());
                for _ in 0..n {
                    append_random(out, 0, random);
                    append_random(out, depth - 1, random);
                }
            }
        }
    }

    #[test]
    fn bytes_that_are_not_a_reply_are_refused() {
        for bytes in [
            &b"hello\r\n"[..],
            b"$3\r\nabcd\r\n",
            b"$x\r\n",
            b"$99999999999\r\n",
            b"*-2\r\n",
            b"$\r\n",
            b"\r\n",
            b"+a\rb",
        ] {
            assert!(frame(bytes).is_err(), "{}", bytes.escape_ascii());
        }
        assert!(frame(&vec![b'+'; LONGEST_LINE + 1]).is_err());
    }

    #[test]
    fn right_and_wrong_replies_are_distinguished() {
        assert_eq!(judged(Op::Get, 5, &bulk(5)), Outcome::Right);
        assert_eq!(judged(Op::Get, 5, b"$-1\r\n"), Outcome::Missing);
        assert_eq!(judged(Op::Get, 5, b"_\r\n"), Outcome::Missing);
        assert_eq!(judged(Op::Get, 5, b"-MOVED 1 a:1\r\n"), Outcome::Error);
        assert_eq!(judged(Op::Get, 5, b"+OK\r\n"), Outcome::Wrong);
        assert_eq!(judged(Op::Get, 5, b"*0\r\n"), Outcome::Wrong);
        assert_eq!(judged(Op::Set, 5, b"+OK\r\n"), Outcome::Right);
        assert_eq!(judged(Op::Set, 5, b"+QUEUED\r\n"), Outcome::Wrong);
        assert_eq!(judged(Op::Set, 5, b"-ERR x\r\n"), Outcome::Error);
        assert_eq!(judged(Op::Ping, 0, b"+PONG\r\n"), Outcome::Right);
        assert_eq!(judged(Op::Ping, 0, b"+OK\r\n"), Outcome::Wrong);
    }

    #[test]
    fn swapped_replies_are_caught() {
        assert_eq!(judged(Op::Get, 5, &bulk(6)), Outcome::Wrong);
        assert_eq!(judged(Op::Get, 6, &bulk(5)), Outcome::Wrong);
        let ask = Ask {
            op: Op::Mget(3),
            key: 77,
        };
        let elements: Vec<Vec<u8>> = ask.keys(&keys()).map(bulk).collect();
        let reply = |order: [usize; 3]| {
            let mut out = b"*3\r\n".to_vec();
            order
                .iter()
                .for_each(|i| out.extend_from_slice(&elements[*i]));
            out
        };
        assert_eq!(judged(ask.op, ask.key, &reply([0, 1, 2])), Outcome::Right);
        assert_eq!(judged(ask.op, ask.key, &reply([0, 2, 1])), Outcome::Wrong);
        let two = [&b"*2\r\n"[..], &elements[0], &elements[1]].concat();
        assert_eq!(judged(ask.op, ask.key, &two), Outcome::Wrong);
        let hole = [&b"*3\r\n"[..], &elements[0], b"$-1\r\n", &elements[2]].concat();
        assert_eq!(judged(ask.op, ask.key, &hole), Outcome::Missing);
        let error = [&b"*3\r\n"[..], &elements[0], b"-ERR x\r\n", &elements[2]].concat();
        assert_eq!(judged(ask.op, ask.key, &error), Outcome::Error);
    }

    #[test]
    fn a_counter_counts_by_one() {
        let mut counters = Counters::default();
        let mut reply = |text: &str| {
            let ask = Ask {
                op: Op::Incr,
                key: 2,
            };
            judge(
                ask,
                format!("{text}\r\n").as_bytes(),
                &keys(),
                &mut counters,
                &mut Vec::new(),
            )
        };
        assert_eq!(reply(":41"), Outcome::Right, "an earlier run's count");
        assert_eq!(reply(":42"), Outcome::Right);
        assert_eq!(reply(":42"), Outcome::Wrong, "the previous reply, again");
        assert_eq!(reply(":44"), Outcome::Wrong, "counted twice");
        assert_eq!(reply("-ERR unknown fate"), Outcome::Error);
        assert_eq!(reply(":46"), Outcome::Right, "the failed one counted");
        assert_eq!(reply(":48"), Outcome::Wrong);
        assert_eq!(reply("-ERR unknown fate"), Outcome::Error);
        assert_eq!(reply(":49"), Outcome::Right, "the failed one did not count");
        assert_eq!(reply("+OK"), Outcome::Wrong);
    }
}
