//! `CLIENT` and what of it concerns the asking client alone: its id, name, library, reply mode and flags.

use std::time::Duration;

use super::{
    AnswerHost, AnswerOutcome, AnsweredRequest, AskingClient, ClientSelection, KillFilter,
    NOT_AN_INTEGER, SYNTAX, UnblockRequest, error, help, tracking, wrong_form,
};
use crate::answer::pausing::{PauseRequest, PausedCommands};
use crate::answer::session::{ReplyMode, Session};
use crate::c_string;
use crate::command;
use crate::resp::{number, write};

pub(super) fn client(
    request: AnsweredRequest<'_>,
    subject: &mut AskingClient<'_>,
    host: &AnswerHost<'_>,
    out: &mut Vec<u8>,
) -> AnswerOutcome {
    match request.command.name {
        "info" => return AnswerOutcome::OwnLine,
        "list" => {
            return ClientSelection::parse(request, subject.id, host, out)
                .map_or(AnswerOutcome::Answered, AnswerOutcome::List);
        }
        "kill" => {
            let kill = KillFilter::parse(request, subject.id, host, out);
            return kill.map_or(AnswerOutcome::Answered, AnswerOutcome::Kill);
        }
        "id" => write::integer(out, subject.id.cast_signed()),
        "getname" => get_name(subject, out),
        "setname" => {
            if set_name(subject, request.get(2), out) {
                write::simple(out, "OK");
            }
        }
        "setinfo" => set_info(request, subject, out),
        "reply" => reply(request, subject, out),
        "no-evict" => {
            if let Some(on) = on_or_off(request, out) {
                set_flag(subject, on, |session| &mut session.no_evict);
            }
        }
        "no-touch" => {
            if let Some(on) = on_or_off(request, out) {
                set_flag(subject, on, |session| &mut session.no_touch);
            }
        }
        "unblock" => {
            return unblock(request, out).map_or(AnswerOutcome::Answered, AnswerOutcome::Unblock);
        }
        "pause" => {
            return pause(request, out).map_or(AnswerOutcome::Answered, AnswerOutcome::Pause);
        }
        "unpause" => return AnswerOutcome::Pause(PauseRequest::default()),
        "tracking" => return tracking::switch(request, subject, out),
        "trackinginfo" => tracking::info(subject, out),
        "getredir" => write::integer(out, redirection(subject)),
        "caching" => tracking::caching(request, subject, out),
        "capa" if host.server.number().is_valkey_from(8, 0) => {
            // Unknown capabilities are ignored.
            if (2..request.len()).any(|at| request.is(at, "redirect")) {
                subject.session_mut().takes_redirects = true;
            }
            write::simple(out, "OK");
        }
        // In import mode a node applies it to a connection, and clients share connections.
        "import-source" if host.server.number().is_valkey_from(8, 1) => {
            write::error(out, "ERR Server is not in import mode");
        }
        "help" => help::help("CLIENT", help::CLIENT, out),
        // Newer than the server that slotmux looks like.
        _ => {
            let text = command::unknown_subcommand_error(request.buf, request.args);
            error(out, &[&text]);
        }
    }
    AnswerOutcome::Answered
}

fn redirection(subject: &AskingClient<'_>) -> i64 {
    tracking::redirection(subject.tracking, subject.session())
}

fn get_name(subject: &AskingClient<'_>, out: &mut Vec<u8>) {
    match subject.session().and_then(|session| session.name.as_ref()) {
        Some(name) => write::bulk(out, name.as_bytes()),
        None => write::null(out, subject.protocol),
    }
}

/// Sets or, when empty, removes the client's name. False: it is not a name, and the error is written.
pub(super) fn set_name(subject: &mut AskingClient<'_>, name: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(name) = attribute(name) else {
        write::error(
            out,
            "ERR Client names cannot contain spaces, newlines or special characters.",
        );
        return false;
    };
    set_text(subject, name, |session| &mut session.name);
    true
}

/// `CLIENT SETINFO LIB-NAME|LIB-VER text`, as of Redis 7.2
fn set_info(request: AnsweredRequest<'_>, subject: &mut AskingClient<'_>, out: &mut Vec<u8>) {
    let option = request.get(2);
    let field: fn(&mut Session) -> &mut Option<Box<str>> = if request.is(2, "lib-name") {
        |session| &mut session.lib_name
    } else if request.is(2, "lib-ver") {
        |session| &mut session.lib_ver
    } else {
        return error(
            out,
            &[b"ERR Unrecognized option '", c_string::of(option), b"'"],
        );
    };
    let Some(text) = attribute(request.get(3)) else {
        let text = b" cannot contain spaces, newlines or special characters.";
        return error(out, &[b"ERR ", c_string::of(option), text]);
    };
    set_text(subject, text, field);
    write::simple(out, "OK");
}

/// The argument as text if it is printable ASCII without spaces, which is what Redis lets into client lines.
fn attribute(argument: &[u8]) -> Option<&str> {
    let printable = argument.iter().all(u8::is_ascii_graphic);
    printable.then(|| str::from_utf8(argument).ok()).flatten()
}

fn set_text(
    subject: &mut AskingClient<'_>,
    text: &str,
    field: impl Fn(&mut Session) -> &mut Option<Box<str>>,
) {
    if !text.is_empty() {
        *field(subject.session_mut()) = Some(text.into());
    } else if let Some(session) = subject.session.as_deref_mut() {
        *field(session) = None;
    }
}

fn set_flag(subject: &mut AskingClient<'_>, on: bool, field: impl Fn(&mut Session) -> &mut bool) {
    if on {
        *field(subject.session_mut()) = true;
    } else if let Some(session) = subject.session.as_deref_mut() {
        *field(session) = false;
    }
}

/// The argument of `CLIENT NO-EVICT` and `NO-TOUCH`, with the reply.
fn on_or_off(request: AnsweredRequest<'_>, out: &mut Vec<u8>) -> Option<bool> {
    let on = request.is(2, "on");
    if !on && !request.is(2, "off") {
        write::error(out, SYNTAX);
        return None;
    }
    write::simple(out, "OK");
    Some(on)
}

fn reply(request: AnsweredRequest<'_>, subject: &mut AskingClient<'_>, out: &mut Vec<u8>) {
    if request.is(2, "on") {
        subject.replies = ReplyMode::On;
        write::simple(out, "OK");
    } else if request.is(2, "off") {
        subject.replies = ReplyMode::Off;
    } else if !request.is(2, "skip") {
        write::error(out, SYNTAX);
    } else if subject.replies != ReplyMode::Off {
        subject.replies = ReplyMode::SkipNext;
    }
}

/// `CLIENT UNBLOCK id [TIMEOUT|ERROR]`. `None`: the error is written.
fn unblock(request: AnsweredRequest<'_>, out: &mut Vec<u8>) -> Option<UnblockRequest> {
    if request.len() > 4 {
        wrong_form("CLIENT", request, out);
        return None;
    }
    let by_error = request.is(3, "error");
    if request.len() == 4 && !request.is(3, "timeout") && !by_error {
        write::error(out, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
        return None;
    }
    let Some(id) = number::parse_i64(request.get(2)) else {
        write::error(out, NOT_AN_INTEGER);
        return None;
    };
    Some(UnblockRequest { id, by_error })
}

/// `CLIENT PAUSE timeout [WRITE|ALL]`. `None`: the error is written.
fn pause(request: AnsweredRequest<'_>, out: &mut Vec<u8>) -> Option<PauseRequest> {
    if request.len() > 4 {
        wrong_form("CLIENT", request, out);
        return None;
    }
    let hold = if request.len() == 3 || request.is(3, "all") {
        PausedCommands::Everything
    } else if request.is(3, "write") {
        PausedCommands::Writes
    } else {
        write::error(out, "ERR CLIENT PAUSE mode must be WRITE or ALL");
        return None;
    };
    let text = match number::parse_i64(request.get(2)) {
        Some(ms @ 0..) => {
            return Some(PauseRequest {
                hold,
                lasts: Duration::from_millis(ms.cast_unsigned()),
            });
        }
        Some(_) => "ERR timeout is negative",
        None => "ERR timeout is not an integer or out of range",
    };
    write::error(out, text);
    None
}
