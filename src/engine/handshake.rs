//! The first exchange on a connection to a node: it sends the credentials, selects the protocol, and distinguishes a node
//! that refuses slotmux from a node that merely refuses a command. Shared by lanes, feeds and discovery.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::engine::first_words::{CLOSED_SILENTLY, error_words, worded};
use slotmux_core::resp::reply::ReplyScanner;
use slotmux_core::resp::{Protocol, write};

/// Longest handshake reply, in bytes; longer ones are rejected.
const LONGEST_REPLY: usize = 64 * 1024;

/// Error codes of a node that refuses every command of the connection.
const CONNECTION_REFUSED_CODES: [&[u8]; 4] = [b"NOAUTH", b"WRONGPASS", b"NOPROTO", b"DENIED"];

/// The same among errors with code `-ERR`, in lower case: limits, and servers older than those codes.
const CONNECTION_REFUSED_TEXTS: [&str; 6] = [
    "max number of clients",
    "operation not permitted",
    "authentication required",
    "auth required",
    "invalid password",
    "unauthenticated",
];

/// Error codes of a temporary state, in which even valid requests fail: the node loads its data, is a replica without
/// its primary, or runs a script. The connection may be needed to kill that script. Redis answers AUTH and HELLO in
/// each of these states, so only PING may meet them.
const TEMPORARY_CODES: [&[u8]; 3] = [b"LOADING", b"MASTERDOWN", b"BUSY"];

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The node can't be reached.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It took longer than `connections.connect_timeout`.
    #[error("no connection within the connect timeout")]
    Timeout,
    /// It closed the connection without a reply.
    #[error("{CLOSED_SILENTLY}")]
    ClosedSilently,
    /// It refuses every connection, temporarily or permanently; its error text.
    #[error("the node refused the handshake: {0}")]
    Refused(String),
    /// It refuses this user and password; its error text.
    #[error("the node refused the credentials: {0}")]
    Credentials(String),
    /// It can be used, but not in RESP3.
    #[error("the node refuses HELLO 3, which RESP3 clients and subscriptions need: {0}")]
    NoResp3(String),
}

impl ConnectError {
    /// The node's error text, if it sent one.
    pub fn refusal(&self) -> Option<&str> {
        match self {
            ConnectError::Refused(text) | ConnectError::Credentials(text) => Some(text),
            ConnectError::NoResp3(text) => Some(text),
            ConnectError::Io(_) | ConnectError::Timeout | ConnectError::ClosedSilently => None,
        }
    }

    /// Removes the password: a node may quote it, and its error goes to clients and logs.
    fn without(mut self, password: Option<&str>) -> ConnectError {
        if let ConnectError::Refused(text)
        | ConnectError::Credentials(text)
        | ConnectError::NoResp3(text) = &mut self
            && let Some(password) = password.filter(|password| !password.is_empty())
        {
            *text = text.replace(password, "***");
        }
        self
    }
}

/// Greets a node on a fresh connection, so that a node that refuses slotmux is found before a client's command is sent.
///
/// # Errors
/// The node refuses the connection. A node that merely refuses a command, even PING, is usable for others.
pub async fn greet(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    protocol: Protocol,
    username: &str,
    password: Option<&str>,
) -> Result<(), ConnectError> {
    let greeting = Greeting::of(protocol, password.is_some());
    let mut request = Vec::new();
    let user = if username.is_empty() {
        "default"
    } else {
        username
    };
    let (user, secret) = (user.as_bytes(), password.unwrap_or_default().as_bytes());
    match greeting {
        Greeting::HelloAuth => {
            write::request(&mut request, &[b"HELLO", b"3", b"AUTH", user, secret]);
        }
        Greeting::Hello => write::request(&mut request, &[b"HELLO", b"3"]),
        // The one-argument form is understood by servers without users too.
        Greeting::Auth if username.is_empty() => {
            write::request(&mut request, &[b"AUTH", secret]);
        }
        Greeting::Auth => write::request(&mut request, &[b"AUTH", user, secret]),
        // One round trip, so that missing authentication fails here instead of at the first command of a client.
        Greeting::Ping => write::request(&mut request, &[b"PING"]),
    }
    let reply = exchange(stream, &request, 1).await?;
    match reply.strip_prefix(b"-") {
        Some(error) => judge_greeting(greeting, error).map_err(|error| error.without(password)),
        None => Ok(()),
    }
}

/// The first request of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Greeting {
    HelloAuth,
    Hello,
    Auth,
    Ping,
}

impl Greeting {
    fn of(protocol: Protocol, has_password: bool) -> Greeting {
        match (protocol, has_password) {
            (Protocol::Resp3, true) => Greeting::HelloAuth,
            (Protocol::Resp3, false) => Greeting::Hello,
            (Protocol::Resp2, true) => Greeting::Auth,
            (Protocol::Resp2, false) => Greeting::Ping,
        }
    }
}

/// The meaning of an error reply to a greeting. Without AUTH and HELLO the connection is useless, so any error of theirs
/// is a refusal; one of a temporary state says nothing about the credentials or RESP3. PING only needs some reply.
fn judge_greeting(greeting: Greeting, error: &[u8]) -> Result<(), ConnectError> {
    let is_code = |code: &[u8]| {
        let rest = error.strip_prefix(code);
        rest.is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
    };
    let text = error_words(error);
    if TEMPORARY_CODES.iter().any(|code| is_code(code)) {
        return match greeting {
            Greeting::Ping => Ok(()),
            Greeting::Auth | Greeting::Hello | Greeting::HelloAuth => {
                Err(ConnectError::Refused(text))
            }
        };
    }
    let is_refused = refuses_connection(error);
    let about_credentials = is_code(b"WRONGPASS") || is_code(b"NOAUTH");
    match greeting {
        Greeting::Ping if !is_refused => Ok(()),
        Greeting::Ping => Err(ConnectError::Refused(text)),
        Greeting::Auth if is_refused && !about_credentials && !is_about_password(error) => {
            Err(ConnectError::Refused(text))
        }
        Greeting::Auth => Err(ConnectError::Credentials(text)),
        Greeting::HelloAuth if about_credentials => Err(ConnectError::Credentials(text)),
        Greeting::Hello | Greeting::HelloAuth if is_refused && !is_code(b"NOPROTO") => {
            Err(ConnectError::Refused(text))
        }
        Greeting::Hello | Greeting::HelloAuth => Err(ConnectError::NoResp3(text)),
    }
}

/// Whether an error, without its `-`, refuses the connection: the node would answer any command like this.
pub fn refuses_connection(error: &[u8]) -> bool {
    let code = error.split(u8::is_ascii_whitespace).next();
    let code = code.unwrap_or_default();
    if code != b"ERR" {
        return CONNECTION_REFUSED_CODES.contains(&code);
    }
    let text = String::from_utf8_lossy(error).to_ascii_lowercase();
    CONNECTION_REFUSED_TEXTS
        .iter()
        .any(|words| text.contains(words))
}

/// For errors with code `-ERR`: those of servers older than WRONGPASS.
fn is_about_password(error: &[u8]) -> bool {
    String::from_utf8_lossy(error).contains("invalid password")
}

/// Sends requests and reads exactly `count` replies. Pushes are skipped.
///
/// The peer sent anything else. Its bytes are read even if the request could not be written: a peer that refuses a
/// connection may send its error before any request, and hang up.
pub async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    requests: &[u8],
    count: usize,
) -> Result<Vec<u8>, ConnectError> {
    let written = stream.write_all(requests).await;
    let mut replies = Vec::new();
    match read_replies(stream, &mut replies, count).await {
        Ok(()) if written.is_ok() || is_error(&replies) => Ok(replies),
        Ok(()) => Err(ConnectError::Refused(worded(&replies))),
        Err(Unread::Broken(_) | Unread::Malformed(_)) if !replies.is_empty() => {
            Err(ConnectError::Refused(worded(&replies)))
        }
        Err(Unread::Malformed(why)) => Err(ConnectError::Refused(why)),
        Err(Unread::Broken(error)) => Err(match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe => ConnectError::ClosedSilently,
            _ => ConnectError::Io(error),
        }),
        Err(Unread::TooMuch(why)) => Err(ConnectError::Refused(if is_error(&replies) {
            worded(&replies)
        } else {
            why.to_owned()
        })),
    }
}

fn is_error(replies: &[u8]) -> bool {
    replies.starts_with(b"-")
}

/// Why replies could not be read.
enum Unread {
    /// The connection ended.
    Broken(io::Error),
    /// The bytes are not a reply.
    Malformed(String),
    /// More replies than requests: they would be taken for those of the first commands.
    TooMuch(&'static str),
}

async fn read_replies(
    stream: &mut (impl AsyncRead + Unpin),
    replies: &mut Vec<u8>,
    count: usize,
) -> Result<(), Unread> {
    let mut scanner = ReplyScanner::default();
    let (mut start, mut scanned, mut complete) = (0, 0, 0);
    while replies.len() < LONGEST_REPLY {
        if stream.read_buf(replies).await.map_err(Unread::Broken)? == 0 {
            return Err(Unread::Broken(io::ErrorKind::UnexpectedEof.into()));
        }
        while scanned < replies.len() {
            let progress = scanner
                .advance(&replies[scanned..])
                .map_err(|malformed| Unread::Malformed(format!("malformed reply: {malformed}")))?;
            scanned += progress.consumed;
            if !progress.done {
                break;
            }
            if replies[start] == b'>' {
                replies.drain(start..scanned);
                scanned = start;
            } else {
                complete += 1;
                start = scanned;
            }
        }
        if complete > count || (complete == count && start < replies.len()) {
            return Err(Unread::TooMuch("it says more than it was asked"));
        }
        if complete == count {
            return Ok(());
        }
    }
    Err(Unread::TooMuch("the reply does not end"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads two replies of a handshake in pieces of `size` bytes.
    fn two_of(bytes: &[u8], size: usize) -> Result<Vec<u8>, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (mut near, mut far) = tokio::io::duplex(size);
            let bytes = bytes.to_vec();
            let writing = tokio::spawn(async move { far.write_all(&bytes).await });
            let read = exchange(&mut near, b"", 2).await;
            drop(near);
            let _ = writing.await;
            read.map_err(|error| error.to_string())
        })
    }

    #[test]
    fn a_push_is_no_reply_of_a_handshake() {
        let push = ">2\r\n$4\r\npush\r\n:1\r\n";
        for bytes in [
            format!("{push}-ERR no\r\n%1\r\n+a\r\n:1\r\n"),
            format!("-ERR no\r\n{push}{push}%1\r\n+a\r\n:1\r\n"),
        ] {
            for size in [1, 7, 1000] {
                let read = two_of(bytes.as_bytes(), size).unwrap();
                assert_eq!(read, b"-ERR no\r\n%1\r\n+a\r\n:1\r\n", "{size}");
            }
        }
    }

    #[test]
    fn what_comes_behind_a_handshake_ends_the_connection() {
        for bytes in ["+a\r\n+b\r\n+c\r\n", "+a\r\n+b\r\n$5\r\n"] {
            let error = two_of(bytes.as_bytes(), 1000).unwrap_err();
            assert!(error.contains("more than it was asked"), "{error}");
        }
    }

    #[test]
    fn the_words_of_who_hangs_up_are_told() {
        for (bytes, said) in [
            (&b"-DENIED no. Ask\r\n"[..], "DENIED no"),
            (b"-ERR max number of cl", "ERR max number of cl"),
            (
                b"HTTP/1.1 400 Bad Request\r\n\r\n<html>",
                "HTTP/1.1 400 Bad Request",
            ),
            (b"SSH-2.0-x\r\n", "it says: SSH-2.0-x"),
            (b"\x15\x03\x03\x00\x02\x02\x46", "is this a TLS port?"),
            (b"", "is this a TLS port?"),
        ] {
            for size in [1, 1000] {
                let error = two_of(bytes, size).unwrap_err();
                assert!(error.contains(said) || size == 1, "{error}");
                assert!(!error.contains("end of file"), "{error}");
            }
        }
    }

    /// How a greeting ends: in, by its credentials, kept out, or without RESP3.
    fn outcome(greeting: Greeting, error: &str) -> &'static str {
        match judge_greeting(greeting, error.as_bytes()) {
            Ok(()) => "in",
            Err(ConnectError::Credentials(_)) => "credentials",
            Err(ConnectError::Refused(_)) => "out",
            Err(ConnectError::NoResp3(_)) => "resp3",
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn only_what_is_about_getting_in_keeps_out() {
        use Greeting::{Auth, Hello, HelloAuth, Ping};
        for (error, ping, auth, hello, hello_auth) in [
            ("LOADING Redis is loading", "in", "out", "out", "out"),
            ("MASTERDOWN Link", "in", "out", "out", "out"),
            ("BUSY Redis is busy", "in", "out", "out", "out"),
            (
                "MISCONF Errors writing",
                "in",
                "credentials",
                "resp3",
                "resp3",
            ),
            (
                "NOPERM this user has no permissions to run the 'ping' command",
                "in",
                "credentials",
                "resp3",
                "resp3",
            ),
            (
                "OOM command not allowed",
                "in",
                "credentials",
                "resp3",
                "resp3",
            ),
            ("READONLY You can't", "in", "credentials", "resp3", "resp3"),
            (
                "NOREPLICAS Not enough",
                "in",
                "credentials",
                "resp3",
                "resp3",
            ),
            ("BUSYGROUP", "in", "credentials", "resp3", "resp3"),
            (
                "ERR unknown command 'PING'",
                "in",
                "credentials",
                "resp3",
                "resp3",
            ),
            (
                "NOAUTH Authentication required.",
                "out",
                "credentials",
                "out",
                "credentials",
            ),
            (
                "WRONGPASS invalid",
                "out",
                "credentials",
                "out",
                "credentials",
            ),
            (
                "NOPROTO unsupported protocol version",
                "out",
                "out",
                "resp3",
                "resp3",
            ),
            (
                "DENIED Redis is running in protected mode",
                "out",
                "out",
                "out",
                "out",
            ),
            (
                "ERR max number of clients reached",
                "out",
                "out",
                "out",
                "out",
            ),
            (
                "ERR max number of clients + cluster connections reached",
                "out",
                "out",
                "out",
                "out",
            ),
            ("ERR operation not permitted", "out", "out", "out", "out"),
            ("ERR invalid password", "out", "credentials", "out", "out"),
            (
                "ERR AUTH <password> called without any password configured",
                "in",
                "credentials",
                "resp3",
                "resp3",
            ),
        ] {
            for (greeting, expected) in [
                (Ping, ping),
                (Auth, auth),
                (Hello, hello),
                (HelloAuth, hello_auth),
            ] {
                assert_eq!(outcome(greeting, error), expected, "{greeting:?} {error}");
            }
        }
    }
}
