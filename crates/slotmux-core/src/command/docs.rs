//! The command table as a document: what `docs/commands.md` holds.

use std::fmt::Write;

use super::{Command, Flags, KeySpec, Merge, Route, table};
use crate::command::Repeatable;

const HEAD: &str = "\
# Commands

Every command of Redis 7.0 to 8 and of Valkey 8 and 9, and what slotmux does with it; slotmux' own are at the end.
Generated from the table in `crates/slotmux-core/src/command/table/`; `SLOTMUX_BLESS=1 cargo test --test oracles command_table` regenerates it.

A command that is not listed here, such as those of modules, is looked up in the upstream's reply to `COMMAND`. It is sent by
its keys if it has any and if its flags say that it does not change the state of its connection: [modules.md](modules.md).

| where it goes | |
| --- | --- |
| by key | To the node that holds its keys. Those of several slots run [in steps](consistency.md#commands-over-several-slots) where `cross_slot` permits it and the command has such steps, else the reply is `-CROSSSLOT`. |
| by key, split | As above; keys of several slots are split over their nodes, and the replies are merged. |
| by key or any node | By its keys; a call without keys goes to any node, a script to one that the script and its arguments determine. |
| any node | To one node: every node gives the same reply. |
| all primaries | To every primary; the replies are merged. |
| all nodes, if allowed | With `commands.admin = \"fanout\"` to every node, replicas included; else refused. |
| by key, if allowed | With `commands.admin = \"fanout\"`: `OBJECT` and similar subcommands by their key, `SLEEP` and `SET-ACTIVE-EXPIRE` to all nodes. Else refused. |
| one primary after the other | To the primary that the cursor names. |
| slotmux | Answered by slotmux itself. |
| own connection | May block, so it uses a dedicated upstream connection. |
| own connection if BLOCK | As above if BLOCK is among its options, else by key. |
| transaction | MULTI … EXEC, kept by slotmux until EXEC; WATCH holds a dedicated connection for each watched slot until then. |
| by channel | To the node of the channel's slot. |
| subscription | Messages come over a connection that all clients of a worker share. |
| refused | Not forwarded; the error says why. |

Arity counts the command's name; `-3` means three or more. If versions differ, the table has the loosest arity, and
the server decides. Keys are positions in the same count.
";

/// The text of `docs/commands.md`.
pub fn markdown() -> String {
    let mut out = String::from(HEAD);
    repeated(&mut out);
    for (title, commands) in table::GROUPS {
        out.push_str("\n## ");
        out.push_str(title);
        out.push_str("\n\n| command | since | arity | keys | where it goes |\n| --- | --- | --- | --- | --- |\n");
        for command in commands {
            // A container without its subcommand is an error, unless it is a command as well.
            if !command.is_container() || command.arity == -1 {
                line(&mut out, command);
            }
            for sub in command.subcommands {
                line(&mut out, sub);
            }
        }
    }
    out
}

/// The commands that `retry_writes` is about.
fn repeated(out: &mut String) {
    let names: Vec<String> = table::all()
        .filter(|command| command.repeat != Repeatable::Never)
        .map(|command| match command.repeat {
            Repeatable::Set | Repeatable::MSetEx => {
                format!("{} with no option but a TTL", upper(command))
            }
            Repeatable::Restore => format!("{} with REPLACE", upper(command)),
            Repeatable::Never | Repeatable::Always => upper(command),
        })
        .collect();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "\nIn a namespace with `retry_writes = \"idempotent\"` these are sent again if their connection breaks before they are answered,\n\
         as [consistency.md](consistency.md#writes) says:\n{}.",
        names.join(", ")
    );
}

fn upper(command: &Command) -> String {
    command.full_name.replace('|', " ").to_uppercase()
}

fn line(out: &mut String, command: &Command) {
    let name = upper(command);
    let Command { since, arity, .. } = command;
    let (keys, route) = (keys(command.keys), route(command));
    // Writing to a string cannot fail.
    let _ = writeln!(out, "| {name} | {since} | {arity} | {keys} | {route} |");
}

fn keys(spec: KeySpec) -> String {
    match spec {
        KeySpec::None => String::new(),
        KeySpec::Range { first, last, .. } if i16::from(first) == i16::from(last) => {
            first.to_string()
        }
        KeySpec::Range { first, last, step } => {
            let last = match last {
                -1 => "last".to_owned(),
                last if last < 0 => format!("last but {}", -i16::from(last) - 1),
                last => last.to_string(),
            };
            format!("{first} to {last}{}", every(step))
        }
        KeySpec::NumKeys {
            dest,
            at,
            first,
            step,
        } => {
            let dest = if dest == 0 {
                String::new()
            } else {
                format!("{dest}, ")
            };
            format!("{dest}from {first}, as many as {at} says{}", every(step))
        }
        KeySpec::Streams => "first half of what follows STREAMS".to_owned(),
        KeySpec::Sort => "1 and after STORE".to_owned(),
        KeySpec::GeoStore { .. } => "1 and after STORE or STOREDIST".to_owned(),
        KeySpec::Migrate => "3 or after KEYS".to_owned(),
    }
}

fn every(step: u8) -> String {
    if step == 1 {
        String::new()
    } else {
        format!(", every {step}nd")
    }
}

fn route(command: &Command) -> String {
    let text = match command.route {
        Route::Script => "by key or any node, as `commands.scripts` says",
        Route::Keyed if command.flags.contains(Flags::NO_MANDATORY_KEYS) => "by key or any node",
        Route::Keyed | Route::OneDatabase => "by key",
        Route::Split(merge) => return format!("by key, split ({})", merged(merge)),
        Route::AnyNode => "any node",
        Route::AllPrimaries(merge) => return format!("all primaries ({})", merged(merge)),
        Route::Publish(_) => "by channel",
        Route::AllNodes(merge) => return format!("all nodes, if allowed ({})", merged(merge)),
        Route::Debug => "by key, if allowed; slotmux answers ERROR",
        Route::Acknowledged(merge) => {
            return format!("primaries written to, own connections ({})", merged(merge));
        }
        Route::Scan => "one primary after the other",
        Route::ClusterScan => "by the slot of its cursor",
        Route::Answer(_) => "slotmux",
        Route::Transaction => "transaction",
        Route::Blocking if matches!(command.keys, KeySpec::Streams) => "own connection if BLOCK",
        Route::Blocking => "own connection",
        Route::Subscribe(_) => "subscription",
        Route::Refused(reason) => return format!("refused: {reason}"),
    };
    text.to_owned()
}

/// The way replies are merged, in words.
pub fn merged(merge: Merge) -> &'static str {
    match merge {
        Merge::Elements => "elements in order",
        Merge::AllOk => "OK if all say so",
        Merge::Sum => "sum",
        Merge::First => "one reply",
        Merge::AllTrue => "1 where all say so, or one and slotmux keeps it",
        Merge::Concat => "joined",
        Merge::Union => "joined, each element once",
        Merge::Least => "the smallest",
        Merge::EachLeast => "the smallest of each",
        Merge::RandomKey => "one, drawn by the number of keys",
        Merge::Names(_) => "each name once",
        Merge::Subscribers(_) | Merge::Patterns => {
            "sum, with slotmux' clients for its own subscriptions"
        }
        Merge::AnyOk => "OK if one says so",
        Merge::Running => "that of the node that runs one",
        Merge::Shown => "that of a node that has it",
        Merge::Newest(_) => "the newest entries",
        Merge::History => "joined by time",
        Merge::Latest => "per event the last, the worst, and the totals",
        Merge::Histogram | Merge::Totals => "added up",
        Merge::Texts => "a text per node",
    }
}
