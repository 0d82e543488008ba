//! The filters of `CLIENT LIST` and `CLIENT KILL`: which clients they admit. Redis has them for KILL; Valkey has the same for
//! both since 8.1, and since 9.0 more, each of which may be negated.

use super::client_line::{ClientKind, ClientLine};
use super::{AnswerHost, AnsweredRequest, SYNTAX, error};
use crate::c_string;
use crate::resp::{number, write};

const NOT_AN_ID: &str = "ERR client-id should be greater than 0";

/// Letters that a filter of flags knows.
const FLAGS: &[u8] = b"OSMPxbtRBdcuAUreTIiEN";

/// The databases that a filter may name.
const DATABASES: i64 = 16;

/// A condition with one value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Addr(Box<[u8]>),
    Laddr(Box<[u8]>),
    Kind(ClientKind),
    User(Box<str>),
    /// All of these letters.
    Flags(Box<[u8]>),
    Name(Box<[u8]>),
    LibName(Box<[u8]>),
    LibVer(Box<[u8]>),
    Database(i64),
    /// All of these letters.
    Capabilities(Box<[u8]>),
    Ip(Box<[u8]>),
}

/// Whether clients pass that meet a condition, or those that do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sense {
    Wanted,
    Unwanted,
}

/// Clients that pass every filter that was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientFilter {
    /// Sorted.
    ids: Option<Vec<u64>>,
    /// Sorted.
    unwanted_ids: Option<Vec<u64>>,
    /// Of several with the same name and sense the last counts.
    conditions: Vec<(Sense, Condition)>,
    /// Seconds since the client connected.
    min_age: Option<u64>,
    /// Seconds since its last request.
    min_idle: Option<u64>,
    /// A client that does not pass in any case.
    spared: Option<u64>,
}

impl ClientFilter {
    /// All clients but one.
    pub(super) fn without(client: u64) -> ClientFilter {
        ClientFilter {
            spared: Some(client),
            ..ClientFilter::default()
        }
    }

    /// Clients with this address.
    pub(super) fn of_address(addr: &[u8]) -> ClientFilter {
        let mut filter = ClientFilter::default();
        filter.add(Sense::Wanted, Condition::Addr(addr.into()));
        filter
    }

    /// Reads the filters from argument 2 on. `me` is the asking client, for SKIPME. `None`: the error is written.
    pub(super) fn read(
        &mut self,
        request: AnsweredRequest<'_>,
        me: u64,
        host: &AnswerHost<'_>,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let takes_several_ids = host.server.number().is_valkey_from(8, 1);
        let mut at = 2;
        while at < request.len() {
            if takes_several_ids && request.is(at, "id") {
                let ids = self.ids.get_or_insert_default();
                at = read_ids(ids, request, at, out)?;
                continue;
            }
            if host.server.number().is_valkey_from(9, 0)
                && request.is(at, "not-id")
                && at + 1 < request.len()
            {
                let ids = self.unwanted_ids.get_or_insert_default();
                at = read_ids(ids, request, at, out)?;
                continue;
            }
            if at + 1 == request.len() {
                write::error(out, SYNTAX);
                return None;
            }
            self.read_one(request, at, me, host, out)?;
            at += 2;
        }
        for ids in [&mut self.ids, &mut self.unwanted_ids]
            .into_iter()
            .flatten()
        {
            ids.sort_unstable();
        }
        Some(())
    }

    /// Reads the filter at `at` and its value. `None`: the error is written.
    fn read_one(
        &mut self,
        request: AnsweredRequest<'_>,
        at: usize,
        me: u64,
        host: &AnswerHost<'_>,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let value = request.get(at + 1);
        if request.is(at, "id") {
            let id = number::parse_i64(value).filter(|id| *id > 0);
            if id.is_none() {
                write::error(out, NOT_AN_ID);
            }
            // With Redis, the last of several ID filters counts.
            self.ids = Some(vec![id?.cast_unsigned()]);
        } else if request.is(at, "skipme") && request.is(at + 1, "yes") {
            self.spared = Some(me);
        } else if request.is(at, "skipme") && request.is(at + 1, "no") {
            self.spared = None;
        } else if request.is(at, "maxage") {
            // Since 7.4.
            self.min_age = Some(seconds("maxage", value, out)?);
        } else if request.is(at, "idle") && host.server.number().is_valkey_from(9, 0) {
            self.min_idle = Some(seconds("idle", value, out)?);
        } else {
            let (sense, condition) = read_condition(request, at, host, out)?;
            self.add(sense, condition);
        }
        Some(())
    }

    fn add(&mut self, sense: Sense, condition: Condition) {
        let is_same = |(other, before): &(Sense, Condition)| {
            *other == sense && std::mem::discriminant(before) == std::mem::discriminant(&condition)
        };
        self.conditions.retain(|before| !is_same(before));
        self.conditions.push((sense, condition));
    }

    /// Whether this client passes.
    pub fn admits(&self, line: &ClientLine<'_>) -> bool {
        let has = |ids: &Vec<u64>| ids.binary_search(&line.id).is_ok();
        self.spared != Some(line.id)
            && self.ids.as_ref().is_none_or(has)
            && !self.unwanted_ids.as_ref().is_some_and(has)
            && self.min_age.is_none_or(|age| line.age >= age)
            && self.min_idle.is_none_or(|idle| line.idle >= idle)
            && self
                .conditions
                .iter()
                .all(|(sense, condition)| condition.holds(line) == (*sense == Sense::Wanted))
    }
}

/// Reads the ids behind the filter at `at`, which add to those of earlier ones, and returns the place behind them. They end
/// at the first argument that is no number, and there may be none. `None`: the error is written.
fn read_ids(
    ids: &mut Vec<u64>,
    request: AnsweredRequest<'_>,
    at: usize,
    out: &mut Vec<u8>,
) -> Option<usize> {
    let mut next = at + 1;
    while next < request.len() {
        let Some(id) = number::parse_i64(request.get(next)) else {
            break;
        };
        if id < 1 {
            write::error(out, NOT_AN_ID);
            return None;
        }
        ids.push(id.cast_unsigned());
        next += 1;
    }
    Some(next)
}

/// A number of seconds above 0. `None`: the error is written.
fn seconds(name: &str, value: &[u8], out: &mut Vec<u8>) -> Option<u64> {
    let text = match number::parse_i64(value) {
        Some(seconds @ 1..) => return Some(seconds.cast_unsigned()),
        Some(_) => format!("ERR {name} should be greater than 0"),
        None => format!("ERR {name} is not an integer or out of range"),
    };
    write::error(out, &text);
    None
}

/// Reads the condition at `at` and its value. `None`: the error is written.
fn read_condition(
    request: AnsweredRequest<'_>,
    at: usize,
    host: &AnswerHost<'_>,
    out: &mut Vec<u8>,
) -> Option<(Sense, Condition)> {
    let is_new = host.server.number().is_valkey_from(9, 0);
    let (value, text): (&[u8], Box<[u8]>) = (
        request.get(at + 1),
        c_string::of(request.get(at + 1)).into(),
    );
    let sense_of = |wanted: &str, unwanted: &str| match () {
        () if request.is(at, wanted) => Some(Sense::Wanted),
        () if is_new && request.is(at, unwanted) => Some(Sense::Unwanted),
        () => None,
    };
    let newer = |wanted, unwanted| sense_of(wanted, unwanted).filter(|_| is_new);
    if let Some(sense) = sense_of("type", "not-type") {
        let kind = ClientKind::parse(request, at + 1, host);
        if kind.is_none() {
            unknown_kind(value, out);
        }
        Some((sense, Condition::Kind(kind?)))
    } else if let Some(sense) = sense_of("addr", "not-addr") {
        Some((sense, Condition::Addr(text)))
    } else if let Some(sense) = sense_of("laddr", "not-laddr") {
        Some((sense, Condition::Laddr(text)))
    } else if let Some(sense) = sense_of("user", "not-user") {
        let user = host.user(value);
        if user.is_none() {
            error(out, &[b"ERR No such user '", &text, b"'"]);
        }
        Some((sense, Condition::User(user?.into())))
    } else if let Some(sense) = newer("flags", "not-flags") {
        check_letters(&text, FLAGS, "flags", sense, out)?;
        Some((sense, Condition::Flags(text)))
    } else if let Some(sense) = newer("name", "not-name") {
        Some((sense, Condition::Name(text)))
    } else if let Some(sense) = newer("lib-name", "not-lib-name") {
        Some((sense, Condition::LibName(text)))
    } else if let Some(sense) = newer("lib-ver", "not-lib-ver") {
        Some((sense, Condition::LibVer(text)))
    } else if let Some(sense) = newer("db", "not-db") {
        let number = number::parse_i64(value);
        match number {
            Some(0..DATABASES) => {}
            Some(_) => write::error(
                out,
                &format!("ERR DB number should be between 0 and {}", DATABASES - 1),
            ),
            None => write::error(out, "ERR DB is not an integer or out of range"),
        }
        let number = number.filter(|number| (0..DATABASES).contains(number))?;
        Some((sense, Condition::Database(number)))
    } else if let Some(sense) = newer("capa", "not-capa") {
        check_letters(&text, b"r", "capa", sense, out)?;
        Some((sense, Condition::Capabilities(text)))
    } else if let Some(sense) = newer("ip", "not-ip") {
        Some((sense, Condition::Ip(text)))
    } else {
        write::error(out, SYNTAX);
        None
    }
}

/// Checks that a filter has only these letters. `None`: the error is written.
fn check_letters(
    letters: &[u8],
    known: &[u8],
    name: &str,
    sense: Sense,
    out: &mut Vec<u8>,
) -> Option<()> {
    if letters.iter().all(|letter| known.contains(letter)) {
        return Some(());
    }
    let filter = match sense {
        Sense::Wanted => "provided".to_owned(),
        Sense::Unwanted => format!("NOT-{}", name.to_ascii_uppercase()),
    };
    let start = format!("ERR Unknown {name} found in the {filter} filter: ");
    error(out, &[start.as_bytes(), letters]);
    None
}

impl Condition {
    fn holds(&self, line: &ClientLine<'_>) -> bool {
        let session = line.session;
        let shown = |wanted: &[u8], addr| format!("{addr}").as_bytes() == wanted;
        let is_text =
            |wanted: &[u8], text: Option<&str>| text.is_some_and(|text| text.as_bytes() == wanted);
        match self {
            Condition::Addr(addr) => shown(addr, line.addr),
            Condition::Laddr(addr) => shown(addr, line.laddr),
            Condition::Kind(kind) => *kind == line.kind(),
            Condition::User(user) => **user == *line.user(),
            Condition::Flags(letters) => {
                let flags = line.flags();
                letters
                    .iter()
                    .all(|&letter| flags.contains(char::from(letter)))
            }
            Condition::Name(name) => {
                is_text(name, session.and_then(|session| session.name.as_deref()))
            }
            Condition::LibName(name) => is_text(
                name,
                session.and_then(|session| session.lib_name.as_deref()),
            ),
            Condition::LibVer(version) => is_text(
                version,
                session.and_then(|session| session.lib_ver.as_deref()),
            ),
            // There is one database.
            Condition::Database(number) => *number == 0,
            Condition::Capabilities(letters) => {
                let capabilities = line.capabilities();
                letters
                    .iter()
                    .all(|&letter| capabilities.contains(char::from(letter)))
            }
            Condition::Ip(ip) => line.addr.ip().is_some_and(|own| own.as_bytes() == &**ip),
        }
    }
}

/// The error for an unknown kind of client.
pub(super) fn unknown_kind(kind: &[u8], out: &mut Vec<u8>) {
    error(
        out,
        &[b"ERR Unknown client type '", c_string::of(kind), b"'"],
    );
}
