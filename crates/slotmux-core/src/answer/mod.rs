//! Local answers, byte for byte as those of Redis 7.0: the handshake, `CLIENT`, `INFO`, `CONFIG` and similar commands, and
//! `SLOTMUX`. Pure functions from a request, its client and the process to the bytes of a reply; no function here waits.

use std::cell::OnceCell;
use std::time::Duration;

use crate::answer::pausing::PauseRequest;
use crate::answer::session::{ReplyMode, Session};
use crate::answer::tracking::{TrackRequest, Tracking};
use crate::c_string;
use crate::cluster::server::ServerIdentity;
use crate::command::{self, Command, OwnAnswer};
use crate::config::{Config, Listener, Personality};
use crate::resp::{Protocol, Span, write};

mod client;
mod client_filter;
mod client_kill;
mod client_line;
mod client_list;
mod cluster;
mod config;
mod connection;
mod debug;
mod hello;
mod help;
mod info;
mod operator;
pub mod pausing;
pub mod process;
pub mod session;
pub mod tracking;

pub use client_kill::KillFilter;
pub use client_line::{BufferFigures, ClientAddress, ClientKind, ClientLine};
pub use client_list::ClientSelection;
pub use info::{InfoFacts, human, info_of_nodes};
pub use operator::OperatorQuestion;

/// One client at the moment of its request. Made from the client's own state before [`answer`], and put back
/// into it afterwards: any of it may have changed.
#[derive(Debug)]
pub struct AskingClient<'a> {
    /// Unique in the process, and never reused.
    pub id: u64,
    /// The protocol of the reply. Only `HELLO` and `RESET` change it, so nothing may be in flight then.
    pub protocol: Protocol,
    /// Whether the client may use commands beyond [`allowed_before_login`].
    pub authenticated: bool,
    /// Its reply mode. `answer` writes a reply in any mode; see [`ReplyMode`].
    pub replies: ReplyMode,
    /// Its tracking of changed keys.
    pub tracking: Tracking,
    /// Whether it listens to channels.
    pub is_subscriber: bool,
    /// Its rare state, made when first needed.
    pub session: &'a mut Option<Box<Session>>,
}

/// The surroundings of the client: its listener, the configuration, the process.
#[derive(Clone, Copy)]
pub struct AnswerHost<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The listener that accepted the client.
    pub listener: &'a Listener,
    /// Our end of the client's connection. Looked up for `CLUSTER` only.
    pub local: Option<&'a ClientAddress>,
    /// The upstream's server, as which slotmux answers. Its version is empty: it is not known yet.
    pub server: &'a ServerIdentity,
    /// Used by `INFO` and `CONFIG GET` only.
    pub process: &'a dyn ProcessFigures,
}

/// The running process, as far as clients may ask about it.
pub trait ProcessFigures {
    /// Totals and identity at this moment.
    fn facts(&self) -> InfoFacts;
    /// The time since 1970, for `TIME`.
    fn now(&self) -> Duration;
}

/// The figures of the process, read once for all answers of one moment: reading them reads files.
pub struct FiguresOnce<'a> {
    process: &'a dyn ProcessFigures,
    facts: OnceCell<InfoFacts>,
}

impl<'a> FiguresOnce<'a> {
    /// Reads nothing yet.
    pub fn new(process: &'a dyn ProcessFigures) -> FiguresOnce<'a> {
        FiguresOnce {
            process,
            facts: OnceCell::new(),
        }
    }
}

impl ProcessFigures for FiguresOnce<'_> {
    fn facts(&self) -> InfoFacts {
        self.facts.get_or_init(|| self.process.facts()).clone()
    }

    fn now(&self) -> Duration {
        self.process.now()
    }
}

/// The work that is left after [`answer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerOutcome {
    /// Nothing: the reply is written.
    Answered,
    /// The reply is written; close the client once it is sent.
    Close,
    /// `+RESET` is written and the [`AskingClient`] is as after a connect: undo what is kept elsewhere.
    Reset,
    /// `CLIENT INFO`: call [`ClientLine::reply`] for this client.
    OwnLine,
    /// `CLIENT LIST`: gather the lines of the selected clients from every worker, then call [`ClientSelection::reply`].
    List(ClientSelection),
    /// `CLIENT KILL`: close the clients that match on every worker, then call [`KillFilter::reply`]. If the asking client is
    /// among them, it closes after that reply.
    Kill(KillFilter),
    /// `CLIENT PAUSE` and `UNPAUSE`: notify every worker, then answer with OK.
    Pause(PauseRequest),
    /// `MONITOR`: show the client what every worker takes, beginning with OK.
    Monitor,
    /// `CLIENT UNBLOCK`: ask every worker to end the wait of that client; the reply is 1 if one did, else 0.
    Unblock(UnblockRequest),
    /// `CLIENT TRACKING`: ask the workers for the client that it redirects to, and let the nodes confirm; then put the
    /// change into effect with [`AskingClient::track`] and answer with OK.
    Track(Box<TrackRequest>),
    /// `SLOTMUX`: see the operator of the engine.
    Ask(OperatorQuestion),
}

/// The client that `CLIENT UNBLOCK` unblocks, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnblockRequest {
    /// The client.
    pub id: i64,
    /// Whether it gets an error, rather than the reply of a timeout.
    pub by_error: bool,
}

/// Whether a client that has not logged in may send this.
pub fn allowed_before_login(answer: OwnAnswer) -> bool {
    matches!(
        answer,
        OwnAnswer::Auth | OwnAnswer::Hello | OwnAnswer::Quit | OwnAnswer::Reset
    )
}

/// Answers one request, whose command is resolved and may be answered by `what`: see [`command::Route::own_answer`].
///
/// `args` are the request's arguments in `buf`, the command's name included. The reply is appended to `out`, unless
/// the outcome says that it is still to be made, or the request was `CLIENT REPLY OFF` or `SKIP`, which have none.
pub fn answer(
    what: OwnAnswer,
    command: &Command,
    buf: &[u8],
    args: &[Span],
    subject: &mut AskingClient<'_>,
    host: &AnswerHost<'_>,
    out: &mut Vec<u8>,
) -> AnswerOutcome {
    let request = AnsweredRequest { command, buf, args };
    match what {
        OwnAnswer::Ping => connection::ping(request, subject, out),
        OwnAnswer::Echo => connection::echo(request, out),
        OwnAnswer::Select => connection::select(request, host, out),
        OwnAnswer::Time => connection::time(host, out),
        OwnAnswer::Role => connection::role(out),
        OwnAnswer::Cluster => cluster::cluster(request, subject, host, out),
        OwnAnswer::Quit => return connection::quit(out),
        OwnAnswer::Reset => return connection::reset(subject, host, out),
        OwnAnswer::Hello => hello::hello(request, subject, host, out),
        OwnAnswer::Auth => hello::auth(request, subject, host, out),
        OwnAnswer::Acl => hello::who_am_i(subject, host, out),
        OwnAnswer::Client => return client::client(request, subject, host, out),
        OwnAnswer::Info => info::info(request, subject, host, out),
        OwnAnswer::Monitor => return monitor(subject, host, out),
        OwnAnswer::Debug => debug::error_of_client(request, out),
        OwnAnswer::Config => config::config(request, subject, host, out),
        OwnAnswer::Slotmux => return operator::slotmux(request, out),
    }
    AnswerOutcome::Answered
}

/// `MONITOR`. A client that monitors already gets no reply, as from Redis.
fn monitor(subject: &AskingClient<'_>, host: &AnswerHost<'_>, out: &mut Vec<u8>) -> AnswerOutcome {
    if !host.config.commands.monitor {
        let reason = "commands.monitor is \"off\"";
        write::error(out, &command::refused_error("monitor", reason));
    } else if subject
        .session()
        .is_none_or(|session| session.monitor.is_none())
    {
        return AnswerOutcome::Monitor;
    }
    AnswerOutcome::Answered
}

impl AskingClient<'_> {
    fn session_mut(&mut self) -> &mut Session {
        self.session.get_or_insert_default()
    }

    fn session(&self) -> Option<&Session> {
        self.session.as_deref()
    }

    /// The name of its user, which is the default user's before any login.
    fn user<'s>(&'s self, host: &'s AnswerHost<'_>) -> &'s str {
        let user = self.session().and_then(|session| session.user.as_deref());
        user.unwrap_or(&host.listener.default_user)
    }
}

impl<'a> AnswerHost<'a> {
    /// The name of this user, if there is one.
    fn user(&self, name: &[u8]) -> Option<&'a str> {
        let users = self.config.users.iter().map(|user| &user.name);
        let mut names = users.chain([&self.listener.default_user]);
        let found = names.find(|known| known.as_bytes() == name);
        found.map(String::as_str)
    }

    /// Whether slotmux shows itself as a cluster.
    fn is_cluster(&self) -> bool {
        self.listener.personality == Personality::Cluster
    }

    /// In the words of `HELLO` and `INFO`.
    fn mode(&self) -> &'static str {
        if self.is_cluster() {
            "cluster"
        } else {
            "standalone"
        }
    }

    /// The version that clients see.
    fn version(&self) -> &'a str {
        // The oldest version that slotmux serves, until the upstream's is known.
        if self.server.version.is_empty() {
            "7.0.0"
        } else {
            &self.server.version
        }
    }
}

/// The request that is being answered.
#[derive(Clone, Copy)]
struct AnsweredRequest<'a> {
    command: &'a Command,
    buf: &'a [u8],
    args: &'a [Span],
}

impl<'a> AnsweredRequest<'a> {
    /// Number of arguments, the command's name included.
    fn len(self) -> usize {
        self.args.len()
    }

    /// One argument; empty if the request has fewer.
    fn get(self, index: usize) -> &'a [u8] {
        self.args.get(index).map_or(&[], |span| span.of(self.buf))
    }

    /// Whether an argument is this keyword.
    fn is(self, index: usize, keyword: &str) -> bool {
        c_string::is(self.get(index), keyword.as_bytes())
    }

    /// The arguments from `index` on.
    fn from(self, index: usize) -> impl Iterator<Item = &'a [u8]> {
        let rest = self.args.get(index..).unwrap_or(&[]);
        rest.iter().map(move |span| span.of(self.buf))
    }
}

/// Writes an error whose text holds bytes of a client: line ends in it become spaces, so that it stays one line.
fn error(out: &mut Vec<u8>, parts: &[&[u8]]) {
    out.push(b'-');
    let text = parts.iter().flat_map(|part| part.iter());
    out.extend(text.map(|&byte| {
        if matches!(byte, b'\r' | b'\n') {
            b' '
        } else {
            byte
        }
    }));
    out.extend_from_slice(b"\r\n");
}

/// The error for a number of arguments that the arity allows and the subcommand does not.
fn wrong_form(container: &str, request: AnsweredRequest<'_>, out: &mut Vec<u8>) {
    let called = c_string::of(request.get(1));
    // Redis repeats no more of it.
    let shown = &called[..called.len().min(128)];
    let start = b"ERR unknown subcommand or wrong number of arguments for '";
    let end = format!("'. Try {container} HELP.");
    error(out, &[start, shown, end.as_bytes()]);
}

const SYNTAX: &str = "ERR syntax error";
const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";

#[cfg(test)]
mod tests;
