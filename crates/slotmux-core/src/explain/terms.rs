//! The TTL that a request gives to each key that it writes, and the TTL that the key gets. Both are read from the commands
//! that are sent, so that they show the effect rather than the intention.

use std::collections::HashMap;

use crate::command::{self, CommandRef};
use crate::policy::stated_ttl::{StatedTtl, stated_ttl};
use crate::policy::{Governed, NamespaceId, Policies};
use crate::resp::request::Request;
use crate::resp::{Limits, Scan, scan_request};

/// A key, what the request gives it, and what it gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyTerm {
    /// The key.
    pub key: Vec<u8>,
    /// Its namespace.
    pub namespace: NamespaceId,
    /// The TTL that the request states.
    pub given: StatedTtl,
    /// The TTL that it gets.
    pub gets: KeyGets,
}

/// The TTL that a key gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyGets {
    /// The TTL that the request states.
    AsGiven,
    /// Another TTL in the command itself, in milliseconds.
    InPlace(u64),
    /// Expiries behind the command, in milliseconds.
    Behind {
        /// For a key without TTL.
        default: Option<u64>,
        /// For a key with a longer one or none.
        max: Option<u64>,
    },
    /// Nothing: the request is refused.
    Refused,
}

/// The terms of the first `most` keys that a request writes. `sent` are the commands that are sent instead of it, if
/// `governed` says that there are any.
pub fn terms(
    request: &Request,
    command: CommandRef<'_>,
    policies: &Policies,
    governed: &Governed,
    sent: &[u8],
    now: fn() -> u64,
    most: usize,
) -> Vec<KeyTerm> {
    let given = stated_ttl(request, command, now);
    let got = match governed {
        Governed::AsIs | Governed::Refused(_) => HashMap::new(),
        Governed::Rewritten(_) => got(sent, 1, now),
        Governed::Block(block) => got(sent, block.own as usize, now),
    };
    let mut terms = Vec::new();
    // If no key can be found, none is written.
    let _ = command.for_each_written_key(request.bytes, request.args, |at| {
        let key = request.arg(at);
        if terms.len() < most && at < request.argc() {
            terms.push(KeyTerm {
                key: key.to_vec(),
                namespace: policies.find(key),
                given: given.clone(),
                gets: match governed {
                    Governed::Refused(_) => KeyGets::Refused,
                    _ => got.get(key).copied().unwrap_or(KeyGets::AsGiven),
                },
            });
        }
    });
    terms
}

/// The TTLs that keys get by the commands that are sent, the first `own` of which are the client's.
fn got(mut sent: &[u8], own: usize, now: fn() -> u64) -> HashMap<Vec<u8>, KeyGets> {
    let mut got: HashMap<Vec<u8>, KeyGets> = HashMap::new();
    let mut args = Vec::new();
    let mut seen = 0;
    while let Ok(Scan::Complete { len }) = scan_request(sent, &Limits::ACCEPTED, &mut args) {
        let request = Request {
            bytes: &sent[..len],
            args: &args,
        };
        sent = &sent[len..];
        let is_around = [&b"MULTI"[..], b"EXEC"].contains(&request.arg(0));
        if is_around {
            continue;
        }
        seen += 1;
        if seen > own {
            behind(&request, &mut got);
        } else if let Ok(command) = command::resolve(request.bytes, request.args) {
            let command = CommandRef::Table(command);
            if let StatedTtl::Ttl { milliseconds, .. } = stated_ttl(&request, command, now) {
                let milliseconds = milliseconds.unsigned_abs();
                let _ = command.for_each_written_key(request.bytes, request.args, |at| {
                    got.insert(request.arg(at).to_vec(), KeyGets::InPlace(milliseconds));
                });
            }
        }
    }
    got
}

/// Notes `PEXPIRE key milliseconds NX` or `LT`.
fn behind(request: &Request, got: &mut HashMap<Vec<u8>, KeyGets>) {
    let number = str::from_utf8(request.arg(2)).ok();
    let milliseconds = number.and_then(|number| number.parse().ok());
    let (before, after) = match got.get(request.arg(1)) {
        Some(KeyGets::Behind { default, max }) => (*default, *max),
        _ => (None, None),
    };
    let gets = if request.arg(3) == b"NX" {
        KeyGets::Behind {
            default: milliseconds,
            max: after,
        }
    } else {
        KeyGets::Behind {
            default: before,
            max: milliseconds,
        }
    };
    got.insert(request.arg(1).to_vec(), gets);
}
