//! `HELLO`, `AUTH` and `ACL WHOAMI`: the user of a client and its protocol.

use super::{AnswerHost, AnsweredRequest, AskingClient, SYNTAX, client, error};
use crate::c_string;
use crate::cluster::server::ServerModule;
use crate::resp::{Limits, Protocol, number, write};

const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";
const NO_PASSWORD: &str = "ERR AUTH <password> called without any password configured for the default user. Are you \
    sure your configuration is correct?";
const LOGIN_FIRST: &str = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO \
    AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the \
    same time";

/// `HELLO [protover [AUTH user password] [SETNAME name]]`
///
/// Options take effect one by one, as in Redis 7.0: options before an invalid one stay in effect.
pub(super) fn hello(
    request: AnsweredRequest<'_>,
    subject: &mut AskingClient<'_>,
    host: &AnswerHost<'_>,
    out: &mut Vec<u8>,
) {
    let protocol = if request.len() < 2 {
        subject.protocol
    } else {
        match number::parse_i64(request.get(1)) {
            Some(2) => Protocol::Resp2,
            Some(3) => Protocol::Resp3,
            Some(_) => return write::error(out, "NOPROTO unsupported protocol version"),
            None => {
                return write::error(
                    out,
                    "ERR Protocol version is not an integer or out of range",
                );
            }
        }
    };
    let mut at = 2;
    while at < request.len() {
        let following = request.len() - at - 1;
        if request.is(at, "AUTH") && following >= 2 {
            if !log_in(subject, host, request.get(at + 1), request.get(at + 2)) {
                return write::error(out, WRONG_PASSWORD);
            }
            at += 3;
        } else if request.is(at, "SETNAME") && following >= 1 {
            if !client::set_name(subject, request.get(at + 1), out) {
                return;
            }
            at += 2;
        } else {
            let option = c_string::of(request.get(at));
            return error(out, &[b"ERR Syntax error in HELLO option '", option, b"'"]);
        }
    }
    if !subject.authenticated {
        return write::error(out, LOGIN_FIRST);
    }
    subject.protocol = protocol;
    greet(subject, host, out);
}

fn greet(subject: &AskingClient<'_>, host: &AnswerHost<'_>, out: &mut Vec<u8>) {
    let server = host.server;
    let fields = 7 + usize::from(server.zone.is_some());
    write::map(out, subject.protocol, fields);
    let (name, version) = match server.greeting_version.as_str() {
        "" => ("redis", host.version()),
        version => (server.greeting_name.as_str(), version),
    };
    write::bulk(out, b"server");
    write::bulk(out, name.as_bytes());
    write::bulk(out, b"version");
    write::bulk(out, version.as_bytes());
    write::bulk(out, b"proto");
    write::integer(out, subject.protocol as i64);
    write::bulk(out, b"id");
    write::integer(out, subject.id.cast_signed());
    write::bulk(out, b"mode");
    write::bulk(out, host.mode().as_bytes());
    write::bulk(out, b"role");
    write::bulk(out, b"master");
    write::bulk(out, b"modules");
    write::array(out, server.modules.len());
    for module in &server.modules {
        list_module(module, subject.protocol, out);
    }
    if let Some(zone) = &server.zone {
        write::bulk(out, b"availability_zone");
        write::bulk(out, zone.as_bytes());
    }
}

fn list_module(module: &ServerModule, protocol: Protocol, out: &mut Vec<u8>) {
    let optional = usize::from(module.path.is_some()) + usize::from(module.args.is_some());
    write::map(out, protocol, 2 + optional);
    write::bulk(out, b"name");
    write::bulk(out, module.name.as_bytes());
    write::bulk(out, b"ver");
    write::integer(out, module.version);
    if let Some(path) = &module.path {
        write::bulk(out, b"path");
        write::bulk(out, path.as_bytes());
    }
    if let Some(args) = &module.args {
        write::bulk(out, b"args");
        write::array(out, args.len());
        for arg in args {
            write::bulk(out, arg.as_bytes());
        }
    }
}

/// `AUTH [user] password`
pub(super) fn auth(
    request: AnsweredRequest<'_>,
    subject: &mut AskingClient<'_>,
    host: &AnswerHost<'_>,
    out: &mut Vec<u8>,
) {
    let (user, password) = match request.len() {
        2 if host.config.is_open() => return write::error(out, NO_PASSWORD),
        2 => (host.listener.default_user.as_bytes(), request.get(1)),
        3 => (request.get(1), request.get(2)),
        _ => return write::error(out, SYNTAX),
    };
    if log_in(subject, host, user, password) {
        write::simple(out, "OK");
    } else {
        write::error(out, WRONG_PASSWORD);
    }
}

/// `ACL WHOAMI`
pub(super) fn who_am_i(subject: &AskingClient<'_>, host: &AnswerHost<'_>, out: &mut Vec<u8>) {
    write::bulk(out, subject.user(host).as_bytes());
}

/// Longest password that is hashed, in bytes. Clients that have not logged in can't send a longer one, and hashing half
/// a gigabyte takes seconds.
const LONGEST_PASSWORD: usize = Limits::UNAUTHENTICATED.max_bulk;

/// Authenticates the client as this user if the password is right. Otherwise its user stays.
fn log_in(
    subject: &mut AskingClient<'_>,
    host: &AnswerHost<'_>,
    user: &[u8],
    password: &[u8],
) -> bool {
    let default_user = host.listener.default_user.as_str();
    let name = if host.config.is_open() {
        // No user has a password: there is only the default user, and any password is accepted.
        (user == default_user.as_bytes()).then_some(default_user)
    } else if password.len() > LONGEST_PASSWORD {
        None
    } else {
        let known = host.config.users.iter();
        let mut known = known.filter(|known| known.name.as_bytes() == user);
        known
            .find(|user| user.passwords.iter().any(|secret| secret.matches(password)))
            .map(|user| user.name.as_str())
    };
    let Some(name) = name else { return false };
    if name != default_user {
        subject.session_mut().user = Some(name.into());
    } else if let Some(session) = subject.session.as_deref_mut() {
        session.user = None;
    }
    subject.authenticated = true;
    true
}
