//! Requests during a `CLIENT PAUSE`, which holds them, or a `MONITOR`, which shows them. At all other times they do not pass
//! this file.

use std::rc::Rc;

use crate::engine::pubsub::subscriber;
use crate::engine::worker::Worker;
use slotmux_core::answer::pausing::PausedCommands;
use slotmux_core::command::{self, Command, CommandRef, Flags, OwnAnswer, Unresolved};
use slotmux_core::policy::{Decision, Governed};
use slotmux_core::route::{Plan, TransactionCommand};

use crate::engine::client::Client;
use crate::engine::client::dispatch::{Dispatched, carry_out, refuse};
use slotmux_core::resp::request::Request;

/// In Redis a monitoring client counts as a kind of replica.
const ONLY_MONITORS: &str = "ERR Replica can't interact with the keyspace";

/// Commands that `CLIENT PAUSE WRITE` holds although they are not flagged as writes.
const COUNT_AS_WRITES: [&str; 5] = ["evalsha", "fcall", "pfcount", "publish", "spublish"];

/// As [`carry_out`], for a request that may be held or shown.
#[cold]
pub(super) fn carry_out_attended(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    request: &Request,
    command: Result<&'static Command, Unresolved>,
    plan: Plan,
    rewritten: &[u8],
) -> Dispatched {
    if !is_accepted(client, command, &plan) {
        return carry_out(worker, client, request, command, plan, rewritten);
    }
    let known = worker.with_knowledge(|knowledge| match command {
        Ok(command) => Some(command.flags),
        Err(_) => knowledge.command(request).map(CommandRef::flags),
    });
    let flags = known.unwrap_or(Flags::NONE);
    if client.is_monitor() && concerns_keys(client, command, flags, request) {
        return refuse(worker, client, ONLY_MONITORS);
    }
    let is_held = match worker.interception.pause.hold() {
        PausedCommands::Nothing => false,
        // Redis never holds a replica.
        _ if client.is_monitor() => false,
        PausedCommands::Writes => may_write(client, command, flags, request),
        // A client that asks slotmux about itself may be investigating the pause.
        PausedCommands::Everything => !matches!(plan, Plan::Answer(OwnAnswer::Slotmux, _)),
    };
    if is_held {
        client.hold(worker);
        return Dispatched::Deferred;
    }
    // A queued command is shown when it runs.
    let is_shown = worker.interception.monitors.is_active()
        && !flags.contains(Flags::ADMIN)
        && !matches!(plan, Plan::Answer(OwnAnswer::Slotmux, _))
        && (plan.is_never_queued() || !client.transaction.is_open());
    let taken = carry_out(worker, client, request, command, plan, rewritten);
    if is_shown && taken == Dispatched::Accepted {
        worker.show_to_monitors(client, request);
    }
    taken
}

/// Whether a request would run: Redis neither holds nor shows one that it refuses.
fn is_accepted(
    client: &Client,
    command: Result<&'static Command, Unresolved>,
    plan: &Plan,
) -> bool {
    match plan {
        _ if client.is_restricted() && !subscriber::is_allowed(command, plan) => false,
        Plan::Refuse(..) | Plan::Unknown(_) | Plan::Transaction(TransactionCommand::WrongExec) => {
            false
        }
        Plan::Forward {
            decision:
                Decision {
                    governed: Governed::Refused(_),
                    ..
                },
            ..
        } => false,
        plan => client.session.is_authenticated() || plan.needs_no_authentication(),
    }
}

/// Whether Redis refuses this request from a replica: it reads, or may write. Subscribing does neither.
fn concerns_keys(
    client: &Client,
    command: Result<&'static Command, Unresolved>,
    flags: Flags,
    request: &Request,
) -> bool {
    flags.contains(Flags::READONLY) || may_write(client, command, flags, request)
}

/// Whether `CLIENT PAUSE WRITE` holds this request. Redis holds more than those that change data.
fn may_write(
    client: &Client,
    command: Result<&'static Command, Unresolved>,
    flags: Flags,
    request: &Request,
) -> bool {
    let name = command.map_or("", |command| command.full_name);
    match name {
        "exec" => client.has_queued(|bytes, args| {
            let command = command::resolve(bytes, args);
            let flags = command.map_or(Flags::WRITE, |command| command.flags);
            may_write(client, command, flags, &Request { bytes, args })
        }),
        "eval" => !declares_no_writes(request.arg(1)),
        name if COUNT_AS_WRITES.contains(&name) => true,
        _ => flags.contains(Flags::WRITE),
    }
}

/// Whether a script begins with a line such as `#!lua flags=no-writes,allow-stale`.
fn declares_no_writes(script: &[u8]) -> bool {
    let line = script.split(|&byte| byte == b'\n').next();
    let Some(line) = line.and_then(|line| line.strip_prefix(b"#!")) else {
        return false;
    };
    let words = line.split(|byte| byte.is_ascii_whitespace());
    let mut flags = words.filter_map(|word| word.strip_prefix(b"flags="));
    flags.any(|flags| {
        flags
            .split(|&byte| byte == b',')
            .any(|flag| flag == b"no-writes")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_declare_that_they_only_read() {
        for (script, only_reads) in [
            ("#!lua flags=no-writes\nreturn 1", true),
            ("#!lua flags=allow-stale,no-writes\nreturn 1", true),
            ("#!lua flags=allow-stale\n-- flags=no-writes", false),
            ("#!lua\nreturn 1", false),
            ("-- flags=no-writes\nreturn 1", false),
            ("return 1", false),
        ] {
            assert_eq!(
                declares_no_writes(script.as_bytes()),
                only_reads,
                "{script}"
            );
        }
    }
}
