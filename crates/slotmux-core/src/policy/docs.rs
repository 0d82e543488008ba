//! The per-command table of `docs/ttl-policies.md`.

use std::fmt::Write;

use crate::command::{self, Command, KeySpec, Route};

use crate::command::Lifetime;

/// The Markdown table of commands that may change a key, with the action of a policy for each.
pub fn commands() -> String {
    let mut out = String::from("| command | what slotmux sends under a policy |\n| --- | --- |\n");
    let mut all: Vec<&Command> = command::all()
        .flat_map(|command| std::iter::once(command).chain(command.subcommands))
        .filter(|command| may_change_keys(command))
        .collect();
    all.sort_by_key(|command| command.full_name);
    for command in all {
        let name = command.full_name.replace('|', " ").to_uppercase();
        // Writing to a string cannot fail.
        let _ = writeln!(out, "| {name} | {} |", sent(command.lifetime));
    }
    out
}

fn may_change_keys(command: &Command) -> bool {
    let is_sent = !matches!(command.route, Route::Refused(_) | Route::Answer(_));
    is_sent && command.keys != KeySpec::None && command.is_write()
}

/// The commands that are sent under a policy for a command with this lifetime, in words.
pub fn sent(lifetime: Lifetime) -> String {
    match lifetime {
        Lifetime::Untouched => "as it is: it creates no key and takes no expiry away".into(),
        Lifetime::Set => {
            "without an expiry: `PX` of the default; EX, PX: bounded in place; EXAT, PXAT: beyond the maximum bounded in \
             place, else an expiry behind it; KEEPTTL: an expiry behind it; options that slotmux does not know: an expiry \
             behind it, or an error"
                .into()
        }
        Lifetime::SetEx | Lifetime::PSetEx => "its TTL bounded in place".into(),
        Lifetime::SetNx => "`SET key value NX PX` of the default; `+OK` and nil become 1 and 0".into(),
        Lifetime::GetSet => "`SET key value GET PX` of the default".into(),
        Lifetime::GetEx => "its TTL bounded as that of SET is; PERSIST as `ttl.persist` says".into(),
        Lifetime::IncrEx => {
            "its TTL bounded as that of SET is; without one, and with ENX, an expiry behind it; PERSIST as `ttl.persist` \
             says, or an expiry behind it"
                .into()
        }
        Lifetime::MSet => {
            "a block of one SET per pair, each as SET is; over several slots one block per slot".into()
        }
        Lifetime::MSetNx => "an expiry for each key behind it".into(),
        Lifetime::MSetEx => "its TTL bounded as that of SET is; without one an expiry for each key behind it".into(),
        Lifetime::Expire | Lifetime::PExpire => {
            "its TTL bounded, NX, XX, GT and LT kept; one that deletes passes".into()
        }
        Lifetime::ExpireAt | Lifetime::PExpireAt => {
            "beyond the maximum its TTL bounded, NX, XX, GT and LT kept; else an expiry behind it".into()
        }
        Lifetime::Persist => "as `ttl.persist` says: as it is, `PEXPIRE key default XX`, or an error".into(),
        Lifetime::Restore => "its TTL bounded in place, with ABSTTL as that of EXPIREAT; 0 becomes the default".into(),
        Lifetime::Creates { at: 1 } => "an expiry behind it".into(),
        Lifetime::Creates { at } => format!("an expiry behind it, for the key in argument {at}"),
        Lifetime::Stores => "with STORE or STOREDIST an expiry behind it, for the destination".into(),
        Lifetime::Script => {
            "an expiry for each key that it declares behind it, or as `ttl.scripts` says".into()
        }
        Lifetime::Unknown => "an expiry for each of its keys behind it".into(),
    }
}
