//! RESP2 and RESP3 as bytes: where a request or a reply ends, and how to write one. No I/O, no frames; trees are only
//! written.
//!
//! Nothing here allocates by a length that was only announced, and nesting is counted, never stacked.

pub mod elements;
pub mod inline;
pub mod number;
pub mod reply;
pub mod request;
pub mod scan;
pub mod tree;
pub mod write;

pub use elements::{elements_of, integer_of, pairs_of, text_of};
pub use reply::{Progress, ReplyScanner};
pub use scan::{Boundary, Scan, scan_request};

/// The protocol version that a client or a lane speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
#[repr(u8)]
pub enum Protocol {
    /// The protocol of every connection until `HELLO 3`.
    #[default]
    Resp2 = 2,
    /// Typed replies and pushes.
    Resp3 = 3,
}

/// Byte range of one argument in the buffer that was scanned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// First byte of the argument.
    pub start: u32,
    /// One past its last byte.
    pub end: u32,
}

impl Span {
    /// The argument's bytes; empty when `buf` is not the buffer that was scanned.
    #[inline]
    pub fn of(self, buf: &[u8]) -> &[u8] {
        buf.get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }

    /// Length in bytes.
    #[inline]
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether the argument is the empty string.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// Limits of a request.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a whole request with all its headers. Above `u32::MAX` it counts as `u32::MAX`.
    pub max_request: usize,
    /// Arguments, the command's name included.
    pub max_args: usize,
    /// Bytes of one argument.
    pub max_bulk: usize,
    /// Bytes of an inline request, and of any header line that has no end yet.
    pub max_inline: usize,
}

impl Limits {
    /// The limits of Redis for a client that has yet to authenticate. A limit equal to one of these makes
    /// the scanner refuse with Redis' "unauthenticated" texts.
    pub const UNAUTHENTICATED: Limits = Limits {
        max_request: 10 * (16_384 + 32),
        max_args: 10,
        max_bulk: 16_384,
        max_inline: 64 * 1024,
    };

    /// Limits for bytes that slotmux wrote itself, or that met their client's limits on arrival. Stored bytes are
    /// parsed again with these, so that accepted bytes never become unreadable under another limit.
    pub const ACCEPTED: Limits = Limits {
        max_request: usize::MAX,
        max_args: usize::MAX,
        max_bulk: usize::MAX,
        max_inline: usize::MAX,
    };
}

impl Default for Limits {
    /// Redis' own limits, with 2^20 arguments.
    fn default() -> Self {
        Limits {
            max_request: 512 * 1024 * 1024,
            max_args: 1024 * 1024,
            max_bulk: 512 * 1024 * 1024,
            max_inline: 64 * 1024,
        }
    }
}

/// Why bytes are no RESP. The text follows "Protocol error: " and is Redis' own wherever Redis has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A request's `*` line is not a count, or the count is above the limit.
    #[error("invalid multibulk length")]
    MultibulkLength,
    /// A count that only an authenticated client may send.
    #[error("unauthenticated multibulk length")]
    UnauthenticatedMultibulkLength,
    /// An argument that does not start with `$`.
    #[error("expected '$', got '{}'", char::from(*.0))]
    ExpectedBulk(u8),
    /// A `$` line is not a length, or the length is above the limit.
    #[error("invalid bulk length")]
    BulkLength,
    /// A length that only an authenticated client may send.
    #[error("unauthenticated bulk length")]
    UnauthenticatedBulkLength,
    /// A `*` line that does not end.
    #[error("too big mbulk count string")]
    CountTooLong,
    /// A `$` line that does not end.
    #[error("too big bulk count string")]
    BulkCountTooLong,
    /// An inline request above the limit.
    #[error("too big inline request")]
    InlineTooLong,
    /// An inline request whose quotes do not close.
    #[error("unbalanced quotes in request")]
    UnbalancedQuotes,
    /// A request above `max_request`.
    #[error("too big request")]
    RequestTooBig,
    /// A line or a bulk that is not followed by CRLF. Redis skips two bytes unseen; a shared lane cannot afford that.
    #[error("expected CRLF")]
    Terminator,
    /// A reply starts with a byte that is not a type.
    #[error("unknown reply type '{}'", .0.escape_ascii())]
    ReplyType(u8),
    /// A reply's header lacks a required number, or has no end within 64 bytes.
    #[error("invalid reply header")]
    ReplyHeader,
    /// A reply announces more elements than can be counted.
    #[error("too many reply elements")]
    ReplyElements,
}

impl Malformed {
    /// The reply to the client that sent it, line end included. A byte of the client's is repeated as it came, so this
    /// need not be UTF-8.
    pub fn error_reply(&self) -> Vec<u8> {
        let mut reply = Vec::new();
        match *self {
            Malformed::ExpectedBulk(byte @ 0x80..) => {
                reply.extend_from_slice(b"-ERR Protocol error: expected '$', got '");
                reply.push(byte);
                reply.extend_from_slice(b"'\r\n");
            }
            _ => write::error(&mut reply, &format!("ERR Protocol error: {self}")),
        }
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_the_ones_redis_sends() {
        let table = [
            (Malformed::MultibulkLength, "invalid multibulk length"),
            (Malformed::ExpectedBulk(b'f'), "expected '$', got 'f'"),
            (
                Malformed::UnauthenticatedBulkLength,
                "unauthenticated bulk length",
            ),
            (Malformed::UnbalancedQuotes, "unbalanced quotes in request"),
            (Malformed::ReplyType(0), "unknown reply type '\\x00'"),
        ];
        for (malformed, text) in table {
            assert_eq!(malformed.to_string(), text);
        }
    }

    #[test]
    fn a_byte_of_the_client_is_repeated_as_it_came() {
        let table: [(u8, &[u8]); 3] = [
            (b'f', b"-ERR Protocol error: expected '$', got 'f'\r\n"),
            (0xff, b"-ERR Protocol error: expected '$', got '\xff'\r\n"),
            (b'\r', b"-ERR Protocol error: expected '$', got ' '\r\n"),
        ];
        for (byte, reply) in table {
            assert_eq!(Malformed::ExpectedBulk(byte).error_reply(), reply);
        }
    }

    #[test]
    fn a_span_of_another_buffer_is_empty() {
        let span = Span { start: 2, end: 4 };
        assert_eq!(span.of(b"abcd"), b"cd");
        assert_eq!(span.of(b"abc"), b"");
        assert_eq!(span.len(), 2);
        assert!(!span.is_empty());
    }
}
