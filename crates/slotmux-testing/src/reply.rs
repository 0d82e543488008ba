//! Replies as trees, read by a small independent reader that also keeps their exact bytes.

use std::io::{self, BufRead, Read};

/// One reply of RESP2 or RESP3.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `+OK`.
    Simple(String),
    /// `-ERR ...`.
    Error(String),
    /// `:1`.
    Integer(i64),
    /// `$3`.
    Bulk(Vec<u8>),
    /// `$-1`, `*-1` or `_`.
    Null,
    /// `*3`.
    Array(Vec<Value>),
    /// `%3`.
    Map(Vec<(Value, Value)>),
    /// `~3`.
    Set(Vec<Value>),
    /// `>3`.
    Push(Vec<Value>),
    /// As written: `1.5`, `inf`, `nan`.
    Double(String),
    /// `#t` or `#f`.
    Boolean(bool),
    /// `(123`.
    BigNumber(String),
    /// `!21`.
    BulkError(Vec<u8>),
    /// With its three-letter format: `txt:...`.
    Verbatim(Vec<u8>),
    /// The attribute, and the reply behind it.
    Attribute(Vec<(Value, Value)>, Box<Value>),
}

impl Value {
    /// A bulk string.
    pub fn bulk(bytes: impl AsRef<[u8]>) -> Value {
        Value::Bulk(bytes.as_ref().to_vec())
    }

    /// `+OK`.
    pub fn ok() -> Value {
        Value::Simple("OK".to_owned())
    }

    /// The text of an error reply.
    #[track_caller]
    pub fn error(&self) -> &str {
        match self {
            Value::Error(text) => text,
            other => panic!("not an error: {other:?}"),
        }
    }

    /// The elements of an array, set or push.
    #[track_caller]
    pub fn items(&self) -> &[Value] {
        match self {
            Value::Array(items) | Value::Set(items) | Value::Push(items) => items,
            other => panic!("not an array: {other:?}"),
        }
    }

    /// The text of a bulk, verbatim or simple string.
    #[track_caller]
    pub fn text(&self) -> String {
        match self {
            Value::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Value::Verbatim(bytes) => String::from_utf8_lossy(&bytes[4..]).into_owned(),
            Value::Simple(text) => text.clone(),
            other => panic!("not a text: {other:?}"),
        }
    }

    /// The number of an integer reply.
    #[track_caller]
    pub fn integer(&self) -> i64 {
        match self {
            Value::Integer(number) => *number,
            other => panic!("not an integer: {other:?}"),
        }
    }
}

/// One reply, parsed and raw.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its content.
    pub value: Value,
}

/// Reads one reply to its last byte and appends all of its bytes to `record`.
pub fn read_value(input: &mut impl BufRead, record: &mut Vec<u8>) -> io::Result<Value> {
    let line = read_line(input, record)?;
    let (kind, rest) = line
        .split_first()
        .ok_or_else(|| broken("an empty line", &line))?;
    let text = || String::from_utf8_lossy(rest).into_owned();
    let number = || {
        text()
            .parse::<i64>()
            .map_err(|_| broken("not a number", &line))
    };
    Ok(match kind {
        b'+' => Value::Simple(text()),
        b'-' => Value::Error(text()),
        b':' => Value::Integer(number()?),
        b',' => Value::Double(text()),
        b'(' => Value::BigNumber(text()),
        b'_' => Value::Null,
        b'#' => Value::Boolean(rest == b"t"),
        b'$' | b'*' if rest == b"-1" => Value::Null,
        b'$' => Value::Bulk(read_body(input, number()?, record)?),
        b'!' => Value::BulkError(read_body(input, number()?, record)?),
        b'=' => Value::Verbatim(read_body(input, number()?, record)?),
        b'*' => Value::Array(read_many(input, number()?, record)?),
        b'~' => Value::Set(read_many(input, number()?, record)?),
        b'>' => Value::Push(read_many(input, number()?, record)?),
        b'%' => Value::Map(read_pairs(input, number()?, record)?),
        b'|' => {
            let pairs = read_pairs(input, number()?, record)?;
            Value::Attribute(pairs, Box::new(read_value(input, record)?))
        }
        _ => return Err(broken("an unknown type", &line)),
    })
}

fn read_many(input: &mut impl BufRead, count: i64, record: &mut Vec<u8>) -> io::Result<Vec<Value>> {
    (0..count).map(|_| read_value(input, record)).collect()
}

fn read_pairs(
    input: &mut impl BufRead,
    count: i64,
    record: &mut Vec<u8>,
) -> io::Result<Vec<(Value, Value)>> {
    (0..count)
        .map(|_| Ok((read_value(input, record)?, read_value(input, record)?)))
        .collect()
}

/// One line without its CRLF.
fn read_line(input: &mut impl BufRead, record: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let start = record.len();
    input.read_until(b'\n', record)?;
    match record[start..].strip_suffix(b"\r\n") {
        Some(line) => Ok(line.to_vec()),
        None if record.len() == start => Err(io::ErrorKind::UnexpectedEof.into()),
        None => Err(broken("a line without CRLF", &record[start..])),
    }
}

/// A payload of announced length, and its CRLF.
fn read_body(input: &mut impl BufRead, length: i64, record: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let length = u64::try_from(length)
        .map_err(|_| broken("a negative length", length.to_string().as_bytes()))?;
    let start = record.len();
    input.take(length + 2).read_to_end(record)?;
    match record[start..].strip_suffix(b"\r\n") {
        Some(body) if body.len() as u64 == length => Ok(body.to_vec()),
        _ => Err(broken("a payload cut short", &record[start..])),
    }
}

fn broken(what: &str, bytes: &[u8]) -> io::Error {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{what} in a reply: {shown:?}"),
    )
}
