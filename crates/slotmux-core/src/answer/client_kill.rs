//! `CLIENT KILL`: which clients are to be closed, and the reply once they are.

use super::client_line::{ClientKind, ClientLine};
use super::client_list::unknown_kind;
use super::{AnswerHost, AnsweredRequest, SYNTAX, error};
use crate::c_string;
use crate::resp::{number, write};

const NOT_AN_ID: &str = "ERR client-id should be greater than 0";

/// Whether this version of Valkey takes several ids, after one ID or after several: since 8.1.
fn takes_several_ids(valkey_version: &str) -> bool {
    let mut numbers = valkey_version.split('.').map(|number| number.parse().ok());
    let mut number = || numbers.next().flatten();
    let version: (Option<u32>, Option<u32>) = (number(), number());
    matches!(version, (Some(8), Some(1..)) | (Some(9..), _))
}

/// The clients that `CLIENT KILL` means: those that pass every filter that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillFilter {
    /// Sorted.
    ids: Option<Vec<u64>>,
    addr: Option<Box<[u8]>>,
    laddr: Option<Box<[u8]>>,
    kind: Option<ClientKind>,
    user: Option<Box<str>>,
    /// Seconds; clients that connected later are spared.
    min_age: Option<u64>,
    /// The asking client, if it is spared.
    spared: Option<u64>,
    /// `CLIENT KILL ip:port`, which has replies of its own.
    by_address: bool,
}

impl KillFilter {
    /// `CLIENT KILL ip:port`, or filters with a value each. `me` is the asking client. `None`: the error is written.
    pub(super) fn parse(
        request: AnsweredRequest<'_>,
        me: u64,
        host: &AnswerHost<'_>,
        out: &mut Vec<u8>,
    ) -> Option<KillFilter> {
        let mut kill = KillFilter {
            ids: None,
            addr: None,
            laddr: None,
            kind: None,
            user: None,
            min_age: None,
            spared: Some(me),
            by_address: false,
        };
        if request.len() == 3 {
            kill.addr = Some(c_string::of(request.get(2)).into());
            kill.spared = None;
            kill.by_address = true;
            return Some(kill);
        }
        let takes_several_ids = host
            .server
            .valkey_version
            .as_deref()
            .is_some_and(takes_several_ids);
        let mut at = 2;
        while at < request.len() {
            if takes_several_ids && request.is(at, "id") {
                at = kill.add_ids(request, at, out)?;
                continue;
            }
            if at + 1 == request.len() {
                write::error(out, SYNTAX);
                return None;
            }
            kill.add_filter(request, at, me, host, out)?;
            at += 2;
        }
        if let Some(ids) = &mut kill.ids {
            ids.sort_unstable();
        }
        Some(kill)
    }

    /// Reads the ids behind the ID at `at`, which add to those of other ID filters, and returns the place behind them. They
    /// end at the first argument that is no number, and there may be none. `None`: the error is written.
    fn add_ids(
        &mut self,
        request: AnsweredRequest<'_>,
        at: usize,
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        let ids = self.ids.get_or_insert_default();
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

    /// Reads the filter at `at` and its value. `None`: the error is written.
    fn add_filter(
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
        } else if request.is(at, "type") {
            self.kind = ClientKind::parse(request, at + 1);
            if self.kind.is_none() {
                unknown_kind(value, out);
            }
            self.kind?;
        } else if request.is(at, "addr") {
            self.addr = Some(c_string::of(value).into());
        } else if request.is(at, "laddr") {
            self.laddr = Some(c_string::of(value).into());
        } else if request.is(at, "user") {
            self.user = host.user(value).map(Box::from);
            if self.user.is_none() {
                error(out, &[b"ERR No such user '", c_string::of(value), b"'"]);
            }
            self.user.as_ref()?;
        } else if request.is(at, "skipme") && request.is(at + 1, "yes") {
            self.spared = Some(me);
        } else if request.is(at, "skipme") && request.is(at + 1, "no") {
            self.spared = None;
        } else if request.is(at, "maxage") {
            // Since 7.4.
            let text = match number::parse_i64(value) {
                Some(age @ 1..) => {
                    self.min_age = Some(age.cast_unsigned());
                    return Some(());
                }
                Some(_) => "ERR maxage should be greater than 0",
                None => "ERR maxage is not an integer or out of range",
            };
            write::error(out, text);
            return None;
        } else {
            write::error(out, SYNTAX);
            return None;
        }
        Some(())
    }

    /// Whether this client is to be closed.
    pub fn admits(&self, line: &ClientLine<'_>) -> bool {
        let shown = |wanted: &[u8], addr| format!("{addr}").as_bytes() == wanted;
        self.spared != Some(line.id)
            && self
                .ids
                .as_ref()
                .is_none_or(|ids| ids.binary_search(&line.id).is_ok())
            && self.kind.is_none_or(|kind| kind == line.kind())
            && self.min_age.is_none_or(|age| line.age >= age)
            && self.user.as_deref().is_none_or(|user| user == line.user())
            && self
                .addr
                .as_deref()
                .is_none_or(|addr| shown(addr, line.addr))
            && self
                .laddr
                .as_deref()
                .is_none_or(|addr| shown(addr, line.laddr))
    }

    /// Writes the reply, given how many clients are closed.
    pub fn reply(&self, killed: u64, out: &mut Vec<u8>) {
        match (self.by_address, killed) {
            (true, 0) => write::error(out, "ERR No such client"),
            (true, _) => write::simple(out, "OK"),
            (false, _) => write::integer(out, killed.cast_signed()),
        }
    }
}
