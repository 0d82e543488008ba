//! One connection: opens, logs in, sends bytes, reads replies. Its reader is its own, so that it shares no mistake with
//! the scanners of what it tests.

use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Deepest nesting of a reply; those of this tool have three levels.
const DEEPEST: u8 = 8;

/// Longest reply that is waited for: the lookup of the largest key is far below.
const LONGEST: usize = 16 * 1024 * 1024;

/// A reply, as far as this tool has to tell replies apart. Maps and sets are lists, as in RESP2.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `+OK`.
    Simple(String),
    /// An error.
    Error(String),
    /// An integer.
    Int(i64),
    /// A bulk string.
    Bulk(Vec<u8>),
    /// No value, in any of its spellings.
    Null,
    /// An array, map or set.
    List(Vec<Value>),
}

/// Where to connect and what to say there first.
#[derive(Clone, Debug)]
pub struct Login {
    /// HOST:PORT.
    pub address: String,
    /// Protocol version.
    pub resp: u8,
    /// User, if not the default one.
    pub user: Option<String>,
    /// Password.
    pub password: Option<String>,
    /// Longest silence of a connection that owes a reply.
    pub timeout: Duration,
}

/// An open connection.
pub struct Connection {
    stream: TcpStream,
    timeout: Duration,
    input: Vec<u8>,
    taken: usize,
}

impl Connection {
    /// Connects and logs in.
    pub async fn open(login: &Login) -> io::Result<Connection> {
        let stream = within(login.timeout, TcpStream::connect(&login.address)).await?;
        stream.set_nodelay(true)?;
        let mut connection = Connection {
            stream,
            timeout: login.timeout,
            input: Vec::new(),
            taken: 0,
        };
        let user = login.user.as_deref().unwrap_or("default");
        let words: &[&str] = match (login.resp, login.password.as_deref()) {
            (3, Some(password)) => &["HELLO", "3", "AUTH", user, password],
            (3, None) => &["HELLO", "3"],
            (_, Some(password)) if login.user.is_none() => &["AUTH", password],
            (_, Some(password)) => &["AUTH", user, password],
            (_, None) => return Ok(connection),
        };
        match connection.ask(words).await? {
            Value::Error(text) => Err(io::Error::other(text)),
            _ => Ok(connection),
        }
    }

    /// Sends one command and reads its reply.
    pub async fn ask(&mut self, words: &[&str]) -> io::Result<Value> {
        let mut bytes = Vec::new();
        append(&mut bytes, words);
        self.send(&bytes).await?;
        self.receive().await
    }

    /// Sends bytes.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        within(self.timeout, self.stream.write_all(bytes)).await
    }

    /// Reads one reply. After an error the connection is of no more use.
    pub async fn receive(&mut self) -> io::Result<Value> {
        loop {
            let (mut at, unread) = (0, &self.input[self.taken..]);
            if let Some(value) = parse(unread, &mut at, DEEPEST).map_err(broken)? {
                self.taken += at;
                if self.taken == self.input.len() {
                    self.input.clear();
                    self.taken = 0;
                }
                return Ok(value);
            }
            if unread.len() > LONGEST {
                return Err(broken("an endless reply"));
            }
            self.input.drain(..std::mem::take(&mut self.taken));
            if within(self.timeout, self.stream.read_buf(&mut self.input)).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

async fn within<T>(limit: Duration, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match timeout(limit, step).await {
        Ok(outcome) => outcome,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn broken(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Appends a command.
pub fn append<W: AsRef<[u8]>>(out: &mut Vec<u8>, words: &[W]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words.iter().map(AsRef::as_ref) {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// Reads one reply from `at` on. `None`: it is not whole yet.
fn parse(input: &[u8], at: &mut usize, depth: u8) -> Result<Option<Value>, &'static str> {
    let rest = &input[*at..];
    let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
        return Ok(None);
    };
    let line = rest[..end].strip_suffix(b"\r").ok_or("a line without CR")?;
    let (&kind, line) = line.split_first().ok_or("an empty line")?;
    *at += end + 1;
    let text = || String::from_utf8_lossy(line).into_owned();
    let number = || text().parse::<i64>().map_err(|_| "not a number");
    let value = match kind {
        b'+' => Value::Simple(text()),
        b'-' => Value::Error(text()),
        b':' => Value::Int(number()?),
        b'_' => Value::Null,
        b'$' | b'*' if line == b"-1" => Value::Null,
        b'$' => {
            let length = usize::try_from(number()?).map_err(|_| "a negative length")?;
            let Some(body) = input[*at..].get(..length.saturating_add(2)) else {
                return Ok(None);
            };
            *at += body.len();
            Value::Bulk(
                body.strip_suffix(b"\r\n")
                    .ok_or("a bulk without end")?
                    .to_vec(),
            )
        }
        b'*' | b'~' | b'%' if depth > 0 => {
            let count = number()? * if kind == b'%' { 2 } else { 1 };
            let mut items = Vec::new();
            for _ in 0..count {
                match parse(input, at, depth - 1)? {
                    Some(item) => items.push(item),
                    None => return Ok(None),
                }
            }
            Value::List(items)
        }
        _ => return Err("not a reply that was asked for"),
    };
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_whole_or_not_at_all() {
        let bytes: &[u8] = b"*3\r\n$2\r\nab\r\n%1\r\n+k\r\n:-7\r\n_\r\n";
        let pair = Value::List(vec![Value::Simple("k".into()), Value::Int(-7)]);
        let whole = Value::List(vec![Value::Bulk(b"ab".to_vec()), pair, Value::Null]);
        for cut in 0..bytes.len() {
            assert_eq!(parse(&bytes[..cut], &mut 0, DEEPEST), Ok(None), "{cut}");
        }
        let mut at = 0;
        assert_eq!(parse(bytes, &mut at, DEEPEST), Ok(Some(whole)));
        assert_eq!(at, bytes.len());
        for wrong in [&b"nonsense\r\n"[..], b"$1\r\nabc\r\n", b":x\r\n", b"\r\n"] {
            assert!(parse(wrong, &mut 0, DEEPEST).is_err(), "{wrong:?}");
        }
    }
}
