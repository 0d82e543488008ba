//! One connection: opens, logs in, sends bytes, reads replies.

use slotmux_load::frames::{Protocol, Reply, append_command, decode};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest incomplete reply in bytes; the lookup of the largest key is far below.
const LONGEST: usize = 16 * 1024 * 1024;

/// An address, and how to log in there.
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
    /// Longest silence of a connection with requests in flight.
    pub timeout: Duration,
}

/// An open connection.
pub struct Connection {
    stream: TcpStream,
    timeout: Duration,
    protocol: Protocol,
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
            protocol: Protocol::of(login.resp),
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
            Reply::Error(text) => Err(io::Error::other(text)),
            _ => Ok(connection),
        }
    }

    /// Sends one command and reads its reply.
    pub async fn ask(&mut self, words: &[&str]) -> io::Result<Reply> {
        let mut bytes = Vec::new();
        append_command(words, &mut bytes);
        self.send(&bytes).await?;
        self.receive().await
    }

    /// Sends bytes.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        within(self.timeout, self.stream.write_all(bytes)).await
    }

    /// Reads one reply. After an error the connection cannot be used any more.
    pub async fn receive(&mut self) -> io::Result<Reply> {
        loop {
            let unread = &self.input[self.taken..];
            if let Some((reply, len)) = decode(self.protocol, unread).map_err(broken)? {
                self.taken += len;
                if self.taken == self.input.len() {
                    self.input.clear();
                    self.taken = 0;
                }
                return Ok(reply);
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

fn broken(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
