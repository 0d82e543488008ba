//! The lifetime that a command states for its keys, read as the policies read it: for explanations, of requests
//! and of what is sent for them.

use super::given::TtlForm;
use super::learned::read as read_learned;
use super::options::{OptionSet, TtlOptions, read};
use super::restore::is_absolute;
use crate::command::CommandRef;
use crate::command::Lifetime;
use crate::resp::number::parse_i64;
use crate::resp::request::Request;

/// The TTL that a command states.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StatedTtl {
    /// Nothing: a key that it creates has no TTL.
    Nothing,
    /// A TTL.
    Ttl {
        /// From now on; the key ends at once where this is not above 0.
        milliseconds: i64,
        /// Its spelling: `EX 60`.
        spelled: String,
    },
    /// The TTL that there is stays.
    Keeps,
    /// The TTL that there is goes.
    Removes,
    /// Servers refuse it.
    Refused,
    /// There is an option that is not known here.
    Unknown,
}

/// The TTL that `request` states for all of its keys.
pub fn stated_ttl(request: &Request, command: CommandRef<'_>, now: fn() -> u64) -> StatedTtl {
    let number = |word: &str, at: usize, form: TtlForm| {
        let spelled = format!("{word} {}", request.arg(at).escape_ascii());
        match from_now(request.arg(at), form, now) {
            Some(milliseconds) => StatedTtl::Ttl {
                milliseconds,
                spelled: spelled.trim_start().to_owned(),
            },
            None => StatedTtl::Refused,
        }
    };
    let options = match command.lifetime() {
        Lifetime::Set => read(request, 3, OptionSet::Set),
        Lifetime::GetEx => read(request, 2, OptionSet::GetEx),
        Lifetime::IncrEx => read(request, 2, OptionSet::IncrEx),
        Lifetime::MSetEx => {
            let mut from = 2;
            // Without its keys it has no options either.
            let _ = command.for_each_key(request.bytes, request.args, |at| from = at + 2);
            read(request, from, OptionSet::MSetEx)
        }
        Lifetime::SetEx | Lifetime::Expire => return number("", 2, TtlForm::EX),
        Lifetime::PSetEx | Lifetime::PExpire => return number("", 2, TtlForm::PX),
        Lifetime::ExpireAt => return number("", 2, TtlForm::EXAT),
        Lifetime::PExpireAt => return number("", 2, TtlForm::PXAT),
        Lifetime::Persist => return StatedTtl::Removes,
        Lifetime::Restore if request.arg(2) == b"0" => return StatedTtl::Nothing,
        Lifetime::Restore => {
            let form = match is_absolute(request) {
                true => TtlForm::PXAT,
                false => TtlForm::PX,
            };
            return number("", 2, form);
        }
        Lifetime::Untouched
        | Lifetime::SetNx
        | Lifetime::GetSet
        | Lifetime::MSet
        | Lifetime::MSetNx
        | Lifetime::Creates { .. }
        | Lifetime::Stores
        | Lifetime::Script => return StatedTtl::Nothing,
        Lifetime::Unknown => match command {
            CommandRef::Learned(command) => read_learned(request, command),
            CommandRef::Table(_) => return StatedTtl::Nothing,
        },
    };
    match options {
        // GETEX without an option changes nothing.
        TtlOptions::None if command.lifetime() == Lifetime::GetEx => StatedTtl::Keeps,
        TtlOptions::None => StatedTtl::Nothing,
        TtlOptions::Ttl(ttl) => {
            let word = request.arg(ttl.at()).escape_ascii().to_string();
            number(&word, ttl.at() + 1, ttl.form())
        }
        TtlOptions::Keep => StatedTtl::Keeps,
        TtlOptions::Persist => StatedTtl::Removes,
        TtlOptions::Refused => StatedTtl::Refused,
        TtlOptions::Unknown => StatedTtl::Unknown,
    }
}

/// A TTL as it is written, in milliseconds from now.
fn from_now(text: &[u8], form: TtlForm, now: fn() -> u64) -> Option<i64> {
    let unit = if form.in_seconds { 1000 } else { 1 };
    let given = parse_i64(text)?.checked_mul(unit)?;
    Some(if form.is_absolute {
        given.saturating_sub_unsigned(now())
    } else {
        given
    })
}

#[cfg(test)]
mod tests {
    use super::super::rows::{NOW, request};
    use super::*;
    use crate::command::resolve;
    use crate::resp::{Limits, scan_request};

    #[test]
    fn what_commands_say() {
        let ttl = |milliseconds, spelled: &str| StatedTtl::Ttl {
            milliseconds,
            spelled: spelled.to_owned(),
        };
        for (line, expected) in [
            ("SET k v", StatedTtl::Nothing),
            ("SET k v NX EX 60 GET", ttl(60_000, "EX 60")),
            ("SET k v px 5", ttl(5, "px 5")),
            ("SET k v EXAT 1700000060", ttl(60_000, "EXAT 1700000060")),
            ("SET k v PXAT 5", ttl(5 - NOW.cast_signed(), "PXAT 5")),
            ("SET k v EX 5 EX 60", ttl(60_000, "EX 60")),
            ("SET k v KEEPTTL", StatedTtl::Keeps),
            ("SET k v EX x", StatedTtl::Refused),
            ("SET k v EX 5 PX 5", StatedTtl::Refused),
            ("SET k v IFEQ w", StatedTtl::Nothing),
            ("SET k v IFEQ EX EX 60", ttl(60_000, "EX 60")),
            ("SET k v IFNEW w", StatedTtl::Unknown),
            ("INCREX k", StatedTtl::Nothing),
            ("INCREX k BYINT 5 PX 70 ENX", ttl(70, "PX 70")),
            ("INCREX k PERSIST", StatedTtl::Removes),
            ("SETEX k 60 v", ttl(60_000, "60")),
            ("PSETEX k 60 v", ttl(60, "60")),
            ("SETNX k v", StatedTtl::Nothing),
            ("GETEX k", StatedTtl::Keeps),
            ("GETEX k PERSIST", StatedTtl::Removes),
            ("GETEX k EX 9", ttl(9000, "EX 9")),
            ("MSETEX 2 a 1 b 2 EX 9", ttl(9000, "EX 9")),
            ("MSETEX 1 a EX", StatedTtl::Nothing),
            ("EXPIRE k 60", ttl(60_000, "60")),
            ("EXPIRE k -1", ttl(-1000, "-1")),
            ("PEXPIREAT k 1700000000007", ttl(7, "1700000000007")),
            ("PERSIST k", StatedTtl::Removes),
            ("RESTORE k 0 v", StatedTtl::Nothing),
            ("RESTORE k 70 v REPLACE", ttl(70, "70")),
            ("RESTORE k 1700000000070 v absttl", ttl(70, "1700000000070")),
            (
                "RESTORE k 1700000000070 v absttl\0",
                ttl(70, "1700000000070"),
            ),
            ("GETEX k persist\0", StatedTtl::Removes),
            ("INCR k", StatedTtl::Nothing),
        ] {
            let bytes = request(line);
            let mut args = Vec::new();
            scan_request(&bytes, &Limits::default(), &mut args).unwrap();
            let command = CommandRef::Table(resolve(&bytes, &args).unwrap());
            let request = Request {
                bytes: &bytes,
                args: &args,
            };
            assert_eq!(stated_ttl(&request, command, || NOW), expected, "{line}");
        }
    }
}
