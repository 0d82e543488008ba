//! The writes that may be sent a second time when it is unknown whether they ran: a column of the command table,
//! restricted by their options and by the namespaces of their keys.
//!
//! A write that is sent again may run twice, with commands of other clients in between. A write qualifies if it sets
//! its keys, or the fields that it names, to values of the request alone, and always has the same reply. Commands that
//! return a count (HSET, DEL, SADD, EXPIRE), read the old value (NX, XX, GET, KEEPTTL, LSET, PFMERGE, scripts), or add to
//! it (INCR, APPEND, LPUSH) do not qualify. A TTL in seconds starts again.

use super::Policies;
use super::options::form_of;
use crate::c_string;
use crate::command::{Command, Repeatable};
use crate::config::RetryWrites;
use crate::resp::number::parse_i64;
use crate::resp::request::Request;

/// Whether a request of this kind, with as many arguments as its command takes, may run twice.
fn allows(repeat: Repeatable, request: &Request) -> bool {
    match repeat {
        Repeatable::Never => false,
        Repeatable::Always => true,
        Repeatable::Set => has_only_a_ttl(request, 3),
        Repeatable::MSetEx => {
            let pairs = parse_i64(request.arg(1)).and_then(|pairs| usize::try_from(pairs).ok());
            let options = pairs.and_then(|pairs| pairs.checked_mul(2)?.checked_add(2));
            options.is_some_and(|from| has_only_a_ttl(request, from))
        }
        Repeatable::Restore => replaces(request),
    }
}

/// Whether there is nothing from argument `from` on, or a TTL.
fn has_only_a_ttl(request: &Request, from: usize) -> bool {
    match request.argc().checked_sub(from) {
        Some(0) => true,
        Some(2) => form_of(request.arg(from)).is_some(),
        _ => false,
    }
}

/// Whether REPLACE is among the options of a RESTORE, all of which are known.
fn replaces(request: &Request) -> bool {
    let mut at = 4;
    let mut replaces = false;
    while at < request.argc() {
        let is = |word: &[u8]| c_string::is(request.arg(at), word);
        at += match () {
            () if is(b"replace") => {
                replaces = true;
                1
            }
            () if is(b"absttl") => 1,
            () if is(b"idletime") || is(b"freq") => 2,
            () => return false,
        };
    }
    replaces
}

impl Policies {
    /// Whether any namespace lets its writes be sent again.
    pub fn repeat_any(&self) -> bool {
        self.retry_writes == RetryWrites::Idempotent
            || self
                .policies
                .iter()
                .any(|policy| policy.retry_writes == RetryWrites::Idempotent)
    }

    /// Whether this write may run a second time: by what it is, and by the namespace of each of its keys.
    pub fn may_repeat(&self, command: &Command, request: &Request) -> bool {
        let mut all = allows(command.repeat, request);
        let keys = |at: usize| {
            all &= self.retry_writes(self.find(request.arg(at))) == RetryWrites::Idempotent;
        };
        let found = crate::command::for_each_key(&command.keys, request.bytes, request.args, keys);
        found.is_ok() && all
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::{namespace, policies, request};
    use super::*;
    use crate::command::{all, resolve};
    use crate::resp::{Limits, scan_request};

    fn may_repeat(policies: &Policies, line: &str) -> bool {
        let bytes = request(line);
        let mut args = Vec::new();
        scan_request(&bytes, &Limits::default(), &mut args).expect("a request");
        let command = resolve(&bytes, &args).unwrap_or_else(|error| panic!("{line}: {error:?}"));
        let request = Request {
            bytes: &bytes,
            args: &args,
        };
        policies.may_repeat(command, &request)
    }

    /// Keys that start with `i` are opted in.
    fn opted_in() -> Policies {
        let mut idempotent = namespace("in", "i", |_| {});
        idempotent.retry_writes = RetryWrites::Idempotent;
        policies(vec![idempotent, namespace("out", "o", |_| {})])
    }

    #[test]
    fn what_replaces_its_keys_may_run_twice() {
        let policies = opted_in();
        assert!(policies.repeat_any());
        for line in [
            "SET i v",
            "set i v",
            "SET i v EX 5",
            "SET i v pXaT 5",
            "SETEX i 5 v",
            "PSETEX i 5 v",
            "MSET i 1 i2 2",
            "MSETEX 2 i 1 i2 2",
            "MSETEX 1 i 1 PX 5",
            "HMSET i f v g w",
            "SET i v ex\0 5",
            "RESTORE i 0 v REPLACE",
            "RESTORE i 0 v replace\0x",
            "RESTORE i 0 v ABSTTL idletime 3 REPLACE FREQ 4",
        ] {
            assert!(may_repeat(&policies, line), "{line}");
        }
        for line in [
            "SET o v",
            "SET none v",
            "MSET i 1 o 2",
            "MSET none 1 i 2",
            "MSETEX 2 i 1 o 2",
            "SET i v NX",
            "SET i v XX",
            "SET i v GET",
            "SET i v KEEPTTL",
            "SET i v EX",
            "SET i v EX 5 NX",
            "SET i v IFEQ old",
            "MSETEX 1 i 1 NX",
            "MSETEX 2 i 1",
            "MSETEX x i 1",
            "MSETEX 9223372036854775807 i 1",
            "RESTORE i 0 v",
            "RESTORE i 0 v ABSTTL",
            "RESTORE i 0 v REPLACE ELSE",
            "RESTORE i 0 v IDLETIME REPLACE",
        ] {
            assert!(!may_repeat(&policies, line), "{line}");
        }
        assert!(!super::super::rows::under(|_| {}).repeat_any());
    }

    #[test]
    fn no_other_command_may() {
        let listed: Vec<&str> = all()
            .filter(|command| command.repeat != Repeatable::Never)
            .map(|command| command.full_name)
            .collect();
        let expected = [
            "restore", "mset", "msetex", "psetex", "set", "setex", "hmset",
        ];
        assert_eq!(listed, expected);
        let policies = opted_in();
        for line in [
            "INCR i",
            "APPEND i x",
            "HSET i f v",
            "DEL i",
            "SADD i x",
            "LPUSH i x",
            "GETSET i v",
            "SETNX i v",
            "MSETNX i v",
            "SETRANGE i 0 v",
            "EXPIRE i 5",
            "PERSIST i",
            "EVAL x 1 i",
            "LSET i 0 v",
        ] {
            assert!(!may_repeat(&policies, line), "{line}");
        }
    }
}
