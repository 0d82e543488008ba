//! A real server: its own process, its `COMMAND` reply, its replies byte by byte.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use redis::Value;
use slotmux::tools::demo::server::{LocalServer, ServerOptions};
use slotmux_core::command::{self, Command};
use slotmux_core::resp::Span;

/// A plain Redis for one test.
pub struct Server(LocalServer);

impl Server {
    pub fn start() -> Server {
        Server(LocalServer::start(&ServerOptions::default()).expect("a redis-server"))
    }

    pub fn port(&self) -> u16 {
        self.0.port()
    }

    pub fn client(&self, query: &str) -> redis::Connection {
        let url = format!("redis://{}/{query}", self.0.address());
        redis::Client::open(url).unwrap().get_connection().unwrap()
    }
}

pub fn elements(value: &Value) -> &[Value] {
    match value {
        Value::Array(elements) | Value::Set(elements) => elements,
        other => panic!("not an array: {other:?}"),
    }
}

pub fn text(value: &Value) -> &str {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).unwrap(),
        Value::SimpleString(text) => text,
        other => panic!("not a text: {other:?}"),
    }
}

pub fn integer(value: &Value) -> i64 {
    match value {
        Value::Int(number) => *number,
        other => panic!("not a number: {other:?}"),
    }
}

/// A request as the scanner leaves it.
pub fn request<T: AsRef<[u8]>>(words: &[T]) -> (Vec<u8>, Vec<Span>) {
    let (mut buf, mut args) = (Vec::new(), Vec::new());
    for word in words {
        let start = buf.len() as u32;
        buf.extend_from_slice(word.as_ref());
        args.push(Span {
            start,
            end: buf.len() as u32,
        });
    }
    (buf, args)
}

pub fn find(full_name: &str) -> Option<&'static Command> {
    let (name, sub) = full_name
        .split_once('|')
        .map_or((full_name, None), |(name, sub)| (name, Some(sub)));
    let command = command::lookup(name.as_bytes())?;
    sub.map_or(Some(command), |sub| command.subcommand(sub.as_bytes()))
}

/// The full names of all commands of the server.
pub fn names_of(server: &Server) -> HashSet<String> {
    let reply: Value = redis::cmd("COMMAND").query(&mut server.client("")).unwrap();
    let with_subcommands = |entry| std::iter::once(entry).chain(elements(&elements(entry)[9]));
    elements(&reply)
        .iter()
        .flat_map(with_subcommands)
        .map(|entry| text(&elements(entry)[0]).to_owned())
        .collect()
}

/// A connection that returns raw replies, errors byte by byte.
pub struct Wire {
    reader: BufReader<TcpStream>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    Error(Vec<u8>),
    Bulk(Vec<u8>),
    Array(Vec<Reply>),
    Other(Vec<u8>),
}

impl Wire {
    pub fn connect(server: &Server) -> Wire {
        let stream = TcpStream::connect(server.0.address()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        Wire {
            reader: BufReader::new(stream),
        }
    }

    /// Sends requests in one write and returns their replies.
    pub fn ask<T: AsRef<[u8]>>(&mut self, requests: &[Vec<T>]) -> Vec<Reply> {
        let mut out = Vec::new();
        for words in requests {
            write!(out, "*{}\r\n", words.len()).unwrap();
            for word in words {
                write!(out, "${}\r\n", word.as_ref().len()).unwrap();
                out.extend_from_slice(word.as_ref());
                out.extend_from_slice(b"\r\n");
            }
        }
        self.reader.get_mut().write_all(&out).unwrap();
        requests.iter().map(|_| self.reply()).collect()
    }

    fn reply(&mut self) -> Reply {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line).unwrap();
        let rest = line[1..line.len() - 2].to_vec();
        let number = || {
            std::str::from_utf8(&rest)
                .unwrap()
                .parse::<usize>()
                .unwrap()
        };
        match line[0] {
            b'-' => Reply::Error(rest),
            b'$' | b'*' if rest == b"-1" => Reply::Other(rest),
            b'$' => {
                let mut bytes = vec![0; number() + 2];
                self.reader.read_exact(&mut bytes).unwrap();
                bytes.truncate(number());
                Reply::Bulk(bytes)
            }
            b'*' => Reply::Array((0..number()).map(|_| self.reply()).collect()),
            _ => Reply::Other(rest),
        }
    }
}
