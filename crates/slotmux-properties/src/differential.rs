//! The scanners against redis-protocol: the same verdict and the same length, except in the cases listed here.
//!
//! A small recursive reader walks the input beside both. It does not judge; it finds the places where the two differ on
//! purpose. Up to the first such place they must agree, and where ours is stricter it must refuse.

use redis_protocol::{resp2, resp3};
use slotmux_core::resp::{Limits, Protocol, ReplyScanner, Scan, scan_request};

/// The oracle recurses without a bound and overflows its stack; our scanner does not recurse.
const MAX_DEPTH: usize = 64;

/// A place where the two differ on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Exception {
    /// Nesting that would overflow the stack of the oracle.
    Depth,
    /// A length or count spelled `+1`, `01` or `-0`: the oracle reads it.
    NumberSpelling,
    /// A bulk without CRLF behind it: the oracle skips two bytes unseen.
    BulkTerminator,
    /// A header line with a lone CR, or of more than 63 bytes: the oracle waits for CRLF, however far.
    HeaderLine,
    /// `_` with text behind it: the oracle takes it for a null.
    NullWithText,
    /// `;` and `.` are parts of streamed replies, `H` is an old form of HELLO: the oracle takes each for a reply.
    OracleOnlyType,
    /// Types that RESP2 lacks: ours scans both protocols with one scanner.
    Resp3Type,
    /// `$-1` and `*-1` in RESP3: the oracle takes them for `$?` and `*?`.
    Resp2Null,
    /// A map or attribute key or a set member that is an aggregate: the oracle cannot hash it.
    AggregateKey,
    /// Attributes before attributes or before a null: the oracle cannot attach them.
    AttributesOfNone,
    /// An integer beyond 64 bits, or in a spelling that is left to the client to judge.
    IntegerRange,
    /// A double that Rust cannot read.
    Double,
    /// A verbatim string of another format than `txt` and `mkd`, or shorter than its format.
    Verbatim,
    /// Counts near 2^63, or nested counts with such a sum: ours refuses to count beyond 64 bits, the oracle waits.
    HugeCount,
    /// A negative count of arguments other than `*-1`: an empty request for Redis, an error for the oracle.
    NegativeArguments,
    /// An element of a request that is not a bulk string, or a null: valid in an array for the oracle.
    NotAnArgument,
    /// Above one of our limits.
    Limit,
}

impl Exception {
    /// Whether ours must refuse here, given the bytes that the walk has seen.
    fn ours_refuses(self) -> bool {
        use Exception::*;
        matches!(
            self,
            NumberSpelling | BulkTerminator | HeaderLine | NullWithText | OracleOnlyType | Limit
        )
    }
}

/// The verdict of a decoder on the start of the input.
#[derive(PartialEq, Eq, Debug)]
enum Verdict {
    Whole(usize),
    Part,
    Refused,
}

/// The input is read as a request, as a RESP2 reply and as a RESP3 reply.
pub fn check(data: &[u8]) {
    if data.first() == Some(&b'*') {
        let limits = Limits::default();
        let ours = match scan_request(data, &limits, &mut Vec::new()) {
            Ok(Scan::Complete { len } | Scan::Inline { len }) => Verdict::Whole(len),
            Ok(Scan::Incomplete { .. }) => Verdict::Part,
            Err(_) => Verdict::Refused,
        };
        compare(data, request_exception(data, &limits), ours, resp2_verdict);
    }
    for (protocol, oracle) in [
        (Protocol::Resp2, resp2_verdict as fn(&[u8]) -> Verdict),
        (Protocol::Resp3, resp3_verdict),
    ] {
        let mut scanner = ReplyScanner::default();
        let ours = match scanner.advance(data) {
            Ok(progress) if progress.done => Verdict::Whole(progress.consumed),
            Ok(_) => Verdict::Part,
            Err(_) => Verdict::Refused,
        };
        let mut walk = Walk {
            buf: data,
            at: 0,
            announced: 0,
            protocol,
        };
        compare(
            data,
            walk.element(0).err().and_then(|stop| stop),
            ours,
            oracle,
        );
    }
}

fn compare(data: &[u8], exception: Option<Exception>, ours: Verdict, oracle: fn(&[u8]) -> Verdict) {
    match exception {
        None => assert_eq!(ours, oracle(data), "{}", data.escape_ascii()),
        Some(exception) if exception.ours_refuses() => {
            assert_eq!(
                ours,
                Verdict::Refused,
                "{exception:?}: {}",
                data.escape_ascii()
            );
        }
        Some(_) => {}
    }
}

fn resp2_verdict(data: &[u8]) -> Verdict {
    match resp2::decode::decode_range(data) {
        Ok(Some((_, len))) => Verdict::Whole(len),
        Ok(None) => Verdict::Part,
        Err(_) => Verdict::Refused,
    }
}

fn resp3_verdict(data: &[u8]) -> Verdict {
    match resp3::decode::complete::decode_range(data) {
        Ok(Some((_, len))) => Verdict::Whole(len),
        Ok(None) => Verdict::Part,
        Err(_) => Verdict::Refused,
    }
}

/// Why a walk stops early: an exception, or no further verdict is possible (cut, or wrong for both).
type Stop = Option<Exception>;

struct Walk<'a> {
    buf: &'a [u8],
    at: usize,
    /// Elements that all headers together announced.
    announced: u64,
    protocol: Protocol,
}

impl<'a> Walk<'a> {
    /// Walks over one element and returns its type; with attributes, the type of the element behind them.
    fn element(&mut self, depth: usize) -> Result<u8, Stop> {
        if depth > MAX_DEPTH {
            return Err(Some(Exception::Depth));
        }
        let kind = *self.buf.get(self.at).ok_or(None)?;
        match kind {
            b'+' | b'-' | b',' | b'(' | b':' | b'$' | b'*' => {}
            b'_' | b'#' | b'!' | b'=' | b'~' | b'%' | b'|' | b'>' => {}
            b';' | b'.' | b'H' if self.protocol == Protocol::Resp3 => {
                return Err(Some(Exception::OracleOnlyType));
            }
            _ => return Err(None),
        }
        if self.protocol == Protocol::Resp2 && !matches!(kind, b'+' | b'-' | b':' | b'$' | b'*') {
            return Err(Some(Exception::Resp3Type));
        }
        if matches!(kind, b'+' | b'-' | b'(') {
            self.free_line()?;
            return Ok(kind);
        }
        if kind == b',' {
            let text = self.free_line()?;
            let read = std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.parse::<f64>().ok());
            return if read.is_some() {
                Ok(kind)
            } else {
                Err(Some(Exception::Double))
            };
        }
        let text = self.header_line()?;
        match (kind, text) {
            (b'_', b"") => return Ok(kind),
            (b'_', _) => return Err(Some(Exception::NullWithText)),
            (b'#', b"t" | b"f") => return Ok(kind),
            (b'#', _) => return Err(None),
            (b':', _) => return integer(text).map(|()| kind),
            (b'$' | b'*', b"-1") if self.protocol == Protocol::Resp2 => return Ok(kind),
            (b'$' | b'*', b"-1") => return Err(Some(Exception::Resp2Null)),
            _ => {}
        }
        let count = strict_count(text)?;
        match kind {
            b'=' if count < 4 => return Err(Some(Exception::Verbatim)),
            b'=' => {
                let start = self.at;
                self.bulk(count, 1)?;
                if !matches!(&self.buf[start..start + 3], b"txt" | b"mkd") {
                    return Err(Some(Exception::Verbatim));
                }
            }
            b'$' | b'!' => self.bulk(count, 1)?,
            b'*' | b'>' => self.elements(count, depth, |_| false)?,
            b'~' => self.elements(count, depth, |_| true)?,
            _ => self.elements(2 * count, depth, |n| n % 2 == 0)?,
        }
        if kind != b'|' {
            return Ok(kind);
        }
        match self.buf.get(self.at) {
            Some(b'|' | b'_') => Err(Some(Exception::AttributesOfNone)),
            _ => self.element(depth + 1),
        }
    }

    /// Elements; for the oracle, those selected by `hashed` must not be aggregates.
    fn elements(
        &mut self,
        count: usize,
        depth: usize,
        hashed: fn(usize) -> bool,
    ) -> Result<(), Stop> {
        // Ours refuses more elements than a server can hold; the oracle waits for them.
        if count > u32::MAX as usize {
            return Err(Some(Exception::HugeCount));
        }
        self.announced = self
            .announced
            .checked_add(count as u64)
            .filter(|&announced| announced <= u64::MAX / 2)
            .ok_or(Some(Exception::HugeCount))?;
        for n in 0..count {
            let kind = self.element(depth + 1)?;
            if hashed(n) && matches!(kind, b'*' | b'~' | b'%' | b'>') {
                return Err(Some(Exception::AggregateKey));
            }
        }
        Ok(())
    }

    /// A bulk and its CRLF. `sees` is how many bytes of a wrong CRLF suffice for a refusal.
    fn bulk(&mut self, length: usize, sees: usize) -> Result<(), Stop> {
        let end = self.at.checked_add(length).ok_or(None)?;
        let after = self.buf.get(end..).ok_or(None)?;
        match after {
            [b'\r', b'\n', ..] => {
                self.at = end + 2;
                Ok(())
            }
            [] | [b'\r'] => Err(None),
            [_] if sees > 1 => Err(None),
            _ => Err(Some(Exception::BulkTerminator)),
        }
    }

    /// A line of any length that ends at the first CRLF, without its type byte.
    fn free_line(&mut self) -> Result<&'a [u8], Stop> {
        let line = &self.buf[self.at + 1..];
        let end = line
            .windows(2)
            .position(|pair| pair == b"\r\n")
            .ok_or(None)?;
        self.at += 1 + end + 2;
        Ok(&line[..end])
    }

    /// A header line of a reply, without its type byte.
    fn header_line(&mut self) -> Result<&'a [u8], Stop> {
        let rest = &self.buf[self.at..];
        match rest.iter().position(|&byte| byte == b'\r') {
            Some(end) if end < 62 => match rest.get(end + 1) {
                Some(b'\n') => {
                    self.at += end + 2;
                    Ok(&rest[1..end])
                }
                Some(_) => Err(Some(Exception::HeaderLine)),
                None => Err(None),
            },
            _ if rest.len() >= 62 => Err(Some(Exception::HeaderLine)),
            _ => Err(None),
        }
    }
}

/// A number that both read alike and that ours can count with.
fn strict_count(text: &[u8]) -> Result<usize, Stop> {
    let count = lax_number(text).ok_or(None)?;
    if count.to_string().as_bytes() != text {
        // Another spelling of 2^63 is refused, or waited for, depending on the server.
        let spelled = i64::try_from(count).is_ok();
        return Err(spelled
            .then_some(Exception::NumberSpelling)
            .or(Some(Exception::HugeCount)));
    }
    match usize::try_from(count) {
        // The oracle reads the counts of some types as unsigned.
        Ok(count) if count >= i64::MAX as usize / 4 => Err(Some(Exception::HugeCount)),
        Ok(count) => Ok(count),
        Err(_) => Err(None),
    }
}

/// A decimal in any spelling that Rust takes.
fn lax_number(text: &[u8]) -> Option<i128> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn integer(text: &[u8]) -> Result<(), Stop> {
    let digits = text
        .strip_prefix(b"-")
        .or(text.strip_prefix(b"+"))
        .unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(None);
    }
    match std::str::from_utf8(text).map(str::parse::<i64>) {
        Ok(Ok(_)) => Ok(()),
        _ => Err(Some(Exception::IntegerRange)),
    }
}

/// The first exception in a multibulk request, if there is one.
fn request_exception(data: &[u8], limits: &Limits) -> Option<Exception> {
    walk_request(data, limits).err().flatten()
}

fn walk_request(data: &[u8], limits: &Limits) -> Result<(), Stop> {
    let mut walk = Walk {
        buf: data,
        at: 0,
        announced: 0,
        protocol: Protocol::Resp2,
    };
    let count = match request_line(&mut walk, limits)? {
        b"-1" => return Ok(()),
        text => strict_count(text).map_err(|stop| match lax_number(text) {
            Some(..0) => stop.or(Some(Exception::NegativeArguments)),
            _ => stop,
        })?,
    };
    if count > limits.max_args {
        return Err(Some(Exception::Limit));
    }
    for _ in 0..count {
        if *data.get(walk.at).ok_or(None)? != b'$' {
            return Err(Some(Exception::NotAnArgument));
        }
        let length = match request_line(&mut walk, limits)? {
            b"-1" => return Err(Some(Exception::NotAnArgument)),
            text => strict_count(text)?,
        };
        if length > limits.max_bulk || walk.at.saturating_add(length) + 2 > limits.max_request {
            return Err(Some(Exception::Limit));
        }
        walk.bulk(length, 2)?;
    }
    Ok(())
}

/// A header line of a request; it may be longer than in replies.
fn request_line<'a>(walk: &mut Walk<'a>, limits: &Limits) -> Result<&'a [u8], Stop> {
    let rest = &walk.buf[walk.at..];
    match rest.iter().position(|&byte| byte == b'\r') {
        Some(end) if end <= limits.max_inline => match rest.get(end + 1) {
            Some(b'\n') => {
                walk.at += end + 2;
                Ok(&rest[1..end])
            }
            Some(_) => Err(Some(Exception::HeaderLine)),
            None => Err(None),
        },
        _ if rest.len() > limits.max_inline => Err(Some(Exception::HeaderLine)),
        _ => Err(None),
    }
}
