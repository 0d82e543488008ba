//! One client as `CLIENT LIST` and `CLIENT INFO` describe it: the fields of the server's version in its order, of which
//! slotmux fills in those that apply to it.

use crate::cluster::server::ServerVersion;
use std::fmt::{self, Write as _};
use std::net::SocketAddr;

use super::tracking::redirection;
use super::{AnswerHost, AnsweredRequest};
use crate::answer::session::Session;
use crate::answer::tracking::Tracking;
use crate::resp::{Protocol, write};

/// An end of a client's connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClientAddress {
    /// Shown as `ip:port`, IPv6 in brackets.
    Tcp(SocketAddr),
    /// The listener's path, for both ends; shown as `path:0`.
    Unix(Box<str>),
}

impl ClientAddress {
    /// The address without the port.
    pub(super) fn ip(&self) -> Option<String> {
        match self {
            ClientAddress::Tcp(addr) => Some(addr.ip().to_string()),
            ClientAddress::Unix(path) => Some(path.to_string()),
        }
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientAddress::Tcp(addr) => addr.fmt(f),
            ClientAddress::Unix(path) => write!(f, "{path}:0"),
        }
    }
}

/// The types of `CLIENT LIST TYPE` and `CLIENT KILL TYPE`. slotmux' own connections are not among its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKind {
    /// Any other client.
    Normal,
    /// The link to a primary; slotmux has none.
    Primary,
    /// A replica's link; slotmux has none.
    Replica,
    /// A client with subscriptions.
    PubSub,
}

impl ClientKind {
    /// The kind with this name in Redis, in any case.
    pub(super) fn parse(
        request: AnsweredRequest<'_>,
        index: usize,
        host: &AnswerHost<'_>,
    ) -> Option<ClientKind> {
        if host.server.number().is_valkey_from(8, 0) && request.is(index, "primary") {
            return Some(ClientKind::Primary);
        }
        let names = [
            ("normal", ClientKind::Normal),
            ("master", ClientKind::Primary),
            ("slave", ClientKind::Replica),
            ("replica", ClientKind::Replica),
            ("pubsub", ClientKind::PubSub),
        ];
        let named = names.iter().find(|(name, _)| request.is(index, name));
        named.map(|&(_, kind)| kind)
    }
}

/// A client at the moment of the question, filled by the worker that owns it.
#[derive(Clone, Debug)]
pub struct ClientLine<'a> {
    /// Unique in the process.
    pub id: u64,
    /// The client's end.
    pub addr: &'a ClientAddress,
    /// Our end.
    pub laddr: &'a ClientAddress,
    /// The socket's descriptor.
    pub fd: i32,
    /// Seconds since it connected.
    pub age: u64,
    /// Seconds since its last request.
    pub idle: u64,
    /// Its rare state.
    pub session: Option<&'a Session>,
    /// Its listener's default user, which it is unless its session names another.
    pub default_user: &'a str,
    /// It is closed once its output is sent.
    pub closing: bool,
    /// Its next command waits for the end of a `CLIENT PAUSE`.
    pub held: bool,
    /// Number of commands that wait for its EXEC, if it is in a transaction.
    pub multi: Option<usize>,
    /// Whether it waits in a blocking command.
    pub blocked: bool,
    /// Number of keys that it watches.
    pub watched: usize,
    /// Bytes of these commands.
    pub multi_bytes: usize,
    /// Bytes of a request that is not complete, and what holds them.
    pub input: BufferFigures,
    /// Bytes of replies that are not sent, and what holds them.
    pub output: BufferFigures,
    /// Whether slotmux reads from it now: false while it is parked.
    pub reading: bool,
    /// Whether slotmux waits for it to take replies.
    pub writing: bool,
    /// Lower-case name of its last command, such as `get` or `client|list`; empty before the first one.
    pub command: &'a str,
    /// The protocol it speaks.
    pub protocol: Protocol,
    /// Its tracking of changed keys.
    pub tracking: Tracking,
    /// Numbers of channels, patterns and shard channels that it listens to.
    pub subscriptions: [usize; 3],
    /// Bytes that it has sent and got.
    pub traffic: [u64; 2],
    /// Requests that it has sent.
    pub requests: u64,
    /// The server whose fields are shown.
    pub server: ServerVersion,
}

/// Size and capacity of a buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufferFigures {
    /// Bytes in it.
    pub len: usize,
    /// Bytes allocated.
    pub capacity: usize,
}

impl ClientLine<'_> {
    /// The user that the client is.
    pub fn user(&self) -> &str {
        let user = self.session.and_then(|session| session.user.as_deref());
        user.unwrap_or(self.default_user)
    }

    /// The type for `TYPE` filters.
    pub fn kind(&self) -> ClientKind {
        if self.is_subscriber() {
            ClientKind::PubSub
        } else {
            ClientKind::Normal
        }
    }

    fn is_subscriber(&self) -> bool {
        self.subscriptions != [0; 3]
    }

    /// Appends the line with its line feed.
    pub fn write(&self, text: &mut String) {
        // Writing to a String never fails.
        let _ = writeln!(text, "{self}");
    }

    /// Writes the reply to `CLIENT INFO`.
    pub fn reply(&self, out: &mut Vec<u8>) {
        write::verbatim(out, self.protocol, "txt", &format!("{self}\n"));
    }

    /// The letters of its flags.
    pub(super) fn flags(&self) -> String {
        let flags = [
            (
                'O',
                self.session
                    .is_some_and(|session| session.monitor.is_some()),
            ),
            ('P', self.is_subscriber()),
            ('x', self.multi.is_some()),
            ('b', self.held || self.blocked),
            ('t', self.tracking.is_on()),
            ('R', self.tracking.is_broken),
            ('B', self.tracking.is_broadcast()),
            ('c', self.closing),
            ('U', matches!(self.addr, ClientAddress::Unix(_))),
            ('e', self.session.is_some_and(|session| session.no_evict)),
            ('T', self.session.is_some_and(|session| session.no_touch)),
        ];
        let set = flags.iter().filter(|(_, is_set)| *is_set);
        let letters: String = set.map(|(letter, _)| *letter).collect();
        if letters.is_empty() {
            "N".to_owned()
        } else {
            letters
        }
    }

    /// The letters of its capabilities.
    pub(super) fn capabilities(&self) -> &'static str {
        let takes_redirects = self.session.is_some_and(|session| session.takes_redirects);
        if takes_redirects { "r" } else { "" }
    }

    /// Writes the fields at the end, which depend on the version.
    fn write_last(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (server, [sent, got]) = (self.server, self.traffic);
        if server.is_redis_from(8, 0) {
            f.write_str(" io-thread=0")?;
        }
        if server.is_redis_from(8, 2) || server.is_valkey_from(8, 0) {
            let requests = self.requests;
            write!(
                f,
                " tot-net-in={sent} tot-net-out={got} tot-cmds={requests}"
            )?;
        }
        if server.is_redis_from(8, 8) {
            f.write_str(" read-events=0 avg-pipeline-len-sum=0 avg-pipeline-len-cnt=0")?;
        }
        Ok(())
    }
}

impl fmt::Display for ClientLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |name: fn(&Session) -> Option<&str>| self.session.and_then(name).unwrap_or("");
        write!(
            f,
            "id={} addr={} laddr={} fd={} name={} age={} idle={} flags=",
            self.id,
            self.addr,
            self.laddr,
            self.fd,
            named(|session| session.name.as_deref()),
            self.age,
            self.idle,
        )?;
        f.write_str(&self.flags())?;
        let server = self.server;
        if server.is_valkey_from(8, 1) {
            write!(f, " capa={}", self.capabilities())?;
        }
        let [channels, patterns, shards] = self.subscriptions;
        // There is one database.
        write!(
            f,
            " db=0 sub={channels} psub={patterns} ssub={shards} multi="
        )?;
        match self.multi {
            Some(commands) => write!(f, "{commands}")?,
            None => f.write_str("-1")?,
        }
        if server.is_redis_from(7, 4) || server.is_valkey_from(8, 0) {
            write!(f, " watch={}", self.watched)?;
        }
        let (input, output) = (self.input, self.output);
        write!(
            f,
            " qbuf={} qbuf-free={} argv-mem=0 multi-mem={} rbs={} rbp={} obl={} oll=0 omem=0{} tot-mem={}",
            input.len,
            input.capacity.saturating_sub(input.len),
            self.multi_bytes,
            output.capacity,
            output.len,
            output.len,
            if server.is_redis_from(8, 8) {
                " omem-shared=0 omem-unshared=0"
            } else {
                ""
            },
            self.multi_bytes
                .saturating_add(input.capacity)
                .saturating_add(output.capacity),
        )?;
        write!(
            f,
            " events={}{} cmd={} user={} redir={} resp={} lib-name={} lib-ver={}",
            if self.reading { "r" } else { "" },
            if self.writing { "w" } else { "" },
            if self.command.is_empty() {
                "NULL"
            } else {
                self.command
            },
            self.user(),
            redirection(self.tracking, self.session),
            self.protocol as u8,
            named(|session| session.lib_name.as_deref()),
            named(|session| session.lib_ver.as_deref()),
        )?;
        self.write_last(f)
    }
}
