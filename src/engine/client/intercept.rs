//! What happens to requests while somebody has asked for more than their being carried out: `CLIENT PAUSE` holds them,
//! `MONITOR` shows them. At all other times none of this is on their way.

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
const MONITORS: &str = "ERR Replica can't interact with the keyspace";

/// As [`carry_out`], with attention to the request.
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
        return refuse(worker, client, MONITORS);
    }
    let is_held = match worker.interception.pause.hold() {
        PausedCommands::Nothing => false,
        // Nor is a replica ever held.
        _ if client.is_monitor() => false,
        PausedCommands::Writes => may_write(client, command, flags, request),
        // A client that asks slotmux about itself may be investigating the pause.
        PausedCommands::Everything => !matches!(plan, Plan::Answer(OwnAnswer::Slotmux, _)),
    };
    if is_held {
        client.hold(worker);
        return Dispatched::Deferred;
    }
    // What is queued is shown when it runs.
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

/// Whether a request gets as far as being run: Redis neither holds nor shows what it refuses before.
fn is_accepted(
    client: &Client,
    command: Result<&'static Command, Unresolved>,
    plan: &Plan,
) -> bool {
    match plan {
        _ if client.is_restricted() && !subscriber::may(command, plan) => false,
        Plan::Refuse(_) | Plan::Unknown(_) | Plan::Transaction(TransactionCommand::WrongExec) => {
            false
        }
        Plan::Forward {
            decision:
                Decision {
                    governed: Governed::Refused,
                    ..
                },
            ..
        } => false,
        plan => client.session.is_authenticated() || plan.needs_no_authentication(),
    }
}

/// Whether this is a request that Redis takes from no replica: it reads, or may write. To subscribe does neither.
fn concerns_keys(
    client: &Client,
    command: Result<&'static Command, Unresolved>,
    flags: Flags,
    request: &Request,
) -> bool {
    flags.contains(Flags::READONLY) || may_write(client, command, flags, request)
}

/// Whether `CLIENT PAUSE WRITE` is about this request: those that Redis counts, which are more than change data.
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
        "eval" => !says_that_it_only_reads(request.arg(1)),
        "evalsha" | "fcall" | "pfcount" | "publish" | "spublish" => true,
        _ => flags.contains(Flags::WRITE),
    }
}

/// Whether a script begins with a line such as `#!lua flags=no-writes,allow-stale`.
fn says_that_it_only_reads(script: &[u8]) -> bool {
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
    fn scripts_say_that_they_only_read() {
        for (script, only_reads) in [
            ("#!lua flags=no-writes\nreturn 1", true),
            ("#!lua flags=allow-stale,no-writes\nreturn 1", true),
            ("#!lua flags=allow-stale\n-- flags=no-writes", false),
            ("#!lua\nreturn 1", false),
            ("-- flags=no-writes\nreturn 1", false),
            ("return 1", false),
        ] {
            assert_eq!(
                says_that_it_only_reads(script.as_bytes()),
                only_reads,
                "{script}"
            );
        }
    }
}
