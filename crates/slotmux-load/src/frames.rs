//! Requests and replies, with the `redis-protocol` crate. [`Reply`] has only the distinctions that the tools need.

use redis_protocol::error::RedisProtocolError;
use redis_protocol::{resp2, resp3};

/// A reply. Maps and sets are lists, as in RESP2.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// `+OK`.
    Simple(String),
    /// An error.
    Error(String),
    /// An integer.
    Int(i64),
    /// A bulk string.
    Bulk(Vec<u8>),
    /// No value, in the spelling of the protocol.
    Null,
    /// An array, map or set. The pairs of a map are in no particular order.
    List(Vec<Reply>),
}

/// The protocol of a connection, as `HELLO` set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The protocol of a new connection.
    Resp2,
    /// After `HELLO 3`.
    Resp3,
}

impl Protocol {
    /// The protocol of this version, 2 or 3.
    pub fn of(version: u8) -> Protocol {
        if version == 3 {
            Protocol::Resp3
        } else {
            Protocol::Resp2
        }
    }
}

/// Appends a command.
pub fn append_command<W: AsRef<[u8]>>(words: &[W], out: &mut Vec<u8>) {
    let words = words.iter().map(AsRef::as_ref);
    let words: Vec<_> = words.map(resp2::types::BorrowedFrame::BulkString).collect();
    let command = resp2::types::BorrowedFrame::Array(&words);
    let start = out.len();
    out.resize(start + command.encode_len(false), 0);
    resp2::encode::encode_borrowed(&mut out[start..], &command, false)
        .expect("the buffer has the length of the command");
}

/// Reads the reply at the start of `bytes`, and its length. `None`: it is incomplete.
pub fn decode(protocol: Protocol, bytes: &[u8]) -> Result<Option<(Reply, usize)>, String> {
    let text = |e: RedisProtocolError| e.to_string();
    // A map of ranges keeps a field that occurs twice; a map of values would lose it.
    match protocol {
        Protocol::Resp2 => resp2::decode::decode_range(bytes)
            .map_err(text)?
            .map(|(frame, len)| Ok((of_resp2(&frame, bytes)?, len))),
        Protocol::Resp3 => resp3::decode::complete::decode_range(bytes)
            .map_err(text)?
            .map(|(frame, len)| Ok((of_resp3(&frame, bytes)?, len))),
    }
    .transpose()
}

type Range = (usize, usize);

fn of_resp2(frame: &resp2::types::RangeFrame, bytes: &[u8]) -> Result<Reply, String> {
    use resp2::types::RangeFrame as Frame;
    Ok(match frame {
        Frame::SimpleString(range) => Reply::Simple(text(*range, bytes)),
        Frame::Error(range) => Reply::Error(text(*range, bytes)),
        Frame::Integer(number) => Reply::Int(*number),
        Frame::BulkString(range) => bulk(*range, bytes)?,
        Frame::Null => Reply::Null,
        Frame::Array(items) => {
            let items = items.iter().map(|item| of_resp2(item, bytes));
            Reply::List(items.collect::<Result<_, _>>()?)
        }
    })
}

fn of_resp3(frame: &resp3::types::RangeFrame, bytes: &[u8]) -> Result<Reply, String> {
    use resp3::types::RangeFrame as Frame;
    let list = |items: &mut dyn Iterator<Item = &Frame>| -> Result<Reply, String> {
        let items = items.map(|item| of_resp3(item, bytes));
        Ok(Reply::List(items.collect::<Result<_, _>>()?))
    };
    Ok(match frame {
        Frame::SimpleString { data, .. } => Reply::Simple(text(*data, bytes)),
        Frame::SimpleError { data, .. } => Reply::Error(text(*data, bytes)),
        Frame::Number { data, .. } => Reply::Int(*data),
        Frame::BlobString { data, .. } => bulk(*data, bytes)?,
        Frame::Null => Reply::Null,
        Frame::Array { data, .. } => list(&mut data.iter())?,
        Frame::Set { data, .. } => list(&mut data.iter())?,
        Frame::Map { data, .. } => list(&mut data.iter().flat_map(|(key, value)| [key, value]))?,
        other => return Err(format!("no request asks for a {:?}", other.kind())),
    })
}

fn text((start, end): Range, bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[start..end]).into_owned()
}

/// Checks the two bytes after a bulk string, which the decoder skips unchecked.
fn bulk((start, end): Range, bytes: &[u8]) -> Result<Reply, String> {
    if bytes[end..].starts_with(b"\r\n") {
        Ok(Reply::Bulk(bytes[start..end].to_vec()))
    } else {
        Err("a bulk string without CRLF at its end".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Reply {
        Reply::Bulk(text.into())
    }

    #[test]
    fn a_command_is_an_array_of_bulk_strings() {
        let mut out = b"before".to_vec();
        append_command(&["GET", "a\r\n"], &mut out);
        assert_eq!(out, b"before*2\r\n$3\r\nGET\r\n$3\r\na\r\n\r\n");
    }

    #[test]
    fn replies_are_read_whole_or_not_at_all() {
        let list = |items: &[Reply]| Reply::List(items.to_vec());
        let pair = list(&[Reply::Simple("k".into()), Reply::Int(-7)]);
        for (protocol, bytes, reply) in [
            (
                Protocol::Resp2,
                &b"*4\r\n$2\r\nab\r\n:7\r\n$-1\r\n*-1\r\n"[..],
                list(&[bulk("ab"), Reply::Int(7), Reply::Null, Reply::Null]),
            ),
            (
                Protocol::Resp3,
                b"*4\r\n$2\r\nab\r\n%1\r\n+k\r\n:-7\r\n_\r\n~1\r\n:1\r\n",
                list(&[bulk("ab"), pair, Reply::Null, list(&[Reply::Int(1)])]),
            ),
            (
                Protocol::Resp3,
                b"-ERR no\r\n",
                Reply::Error("ERR no".into()),
            ),
        ] {
            for cut in 0..bytes.len() {
                assert_eq!(decode(protocol, &bytes[..cut]), Ok(None), "{cut}");
            }
            let more = [bytes, b"+next\r\n"].concat();
            assert_eq!(decode(protocol, &more), Ok(Some((reply, bytes.len()))));
        }
    }

    #[test]
    fn a_field_that_comes_twice_is_seen_twice() {
        let bytes = b"%2\r\n+k\r\n+v\r\n+k\r\n+v\r\n";
        let Ok(Some((Reply::List(items), _))) = decode(Protocol::Resp3, bytes) else {
            panic!("a list")
        };
        assert_eq!(items.len(), 4);
    }

    #[test]
    fn bytes_that_are_not_a_reply_are_refused() {
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            for bytes in [
                &b"nonsense\r\n"[..],
                b"$1\r\nabc\r\n",
                b"*1\r\n$1\r\nabc\r\n",
                b":x\r\n",
                b"\r\n",
            ] {
                let decoded = decode(protocol, bytes);
                assert!(decoded.is_err(), "{}: {decoded:?}", bytes.escape_ascii());
            }
        }
        for bytes in [&b">1\r\n+x\r\n"[..], b"#t\r\n"] {
            assert!(decode(Protocol::Resp3, bytes).is_err());
        }
    }
}
