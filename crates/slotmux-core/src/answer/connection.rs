//! The commands about the connection as such: `PING`, `ECHO`, `SELECT`, `TIME`, `ROLE`, `QUIT` and `RESET`.

use super::{AnswerHost, AnswerOutcome, AnsweredRequest, AskingClient, NOT_AN_INTEGER};
use crate::answer::session::ReplyMode;
use crate::answer::tracking::Tracking;
use crate::command;
use crate::resp::{Protocol, number, write};

pub(super) fn ping(request: AnsweredRequest<'_>, subject: &AskingClient<'_>, out: &mut Vec<u8>) {
    match request.len() {
        // It has to look like a message, as everything that such a client gets.
        1 | 2 if subject.is_subscriber && subject.protocol == Protocol::Resp2 => {
            write::array(out, 2);
            write::bulk(out, b"pong");
            write::bulk(out, request.get(1));
        }
        1 => write::simple(out, "PONG"),
        2 => write::bulk(out, request.get(1)),
        // The table lets any number pass, as Redis' own does.
        _ => write::error(out, &command::arity_error(request.command)),
    }
}

pub(super) fn echo(request: AnsweredRequest<'_>, out: &mut Vec<u8>) {
    write::bulk(out, request.get(1));
}

/// There is one database, as in a cluster.
pub(super) fn select(request: AnsweredRequest<'_>, host: &AnswerHost<'_>, out: &mut Vec<u8>) {
    match number::parse_i64(request.get(1)) {
        Some(0) => write::simple(out, "OK"),
        Some(index)
            if host.is_cluster()
                && !host.server.number().has_cluster_databases()
                && i32::try_from(index).is_ok() =>
        {
            write::error(out, "ERR SELECT is not allowed in cluster mode");
        }
        Some(index) if i32::try_from(index).is_ok() => {
            write::error(out, "ERR DB index is out of range");
        }
        Some(_) => write::error(
            out,
            "ERR value is out of range, value must between -2147483648 and 2147483647",
        ),
        None => write::error(out, NOT_AN_INTEGER),
    }
}

/// The clock of slotmux: those of the nodes differ.
pub(super) fn time(host: &AnswerHost<'_>, out: &mut Vec<u8>) {
    let now = host.process.now();
    write::array(out, 2);
    write::bulk(out, now.as_secs().to_string().as_bytes());
    write::bulk(out, now.subsec_micros().to_string().as_bytes());
}

/// A primary without replicas: the real ones are not for clients to connect to.
pub(super) fn role(out: &mut Vec<u8>) {
    write::array(out, 3);
    write::bulk(out, b"master");
    write::integer(out, 0);
    write::array(out, 0);
}

pub(super) fn quit(out: &mut Vec<u8>) -> AnswerOutcome {
    write::simple(out, "OK");
    AnswerOutcome::Close
}

pub(super) fn reset(
    subject: &mut AskingClient<'_>,
    host: &AnswerHost<'_>,
    out: &mut Vec<u8>,
) -> AnswerOutcome {
    subject.protocol = Protocol::Resp2;
    subject.authenticated = host.config.is_open();
    subject.tracking = Tracking::default();
    if let Some(session) = subject.session.as_deref_mut() {
        session.reset();
    }
    // A skip that is under way swallows this reply too.
    if subject.replies != ReplyMode::Skipping {
        subject.replies = ReplyMode::On;
    }
    write::simple(out, "RESET");
    AnswerOutcome::Reset
}
