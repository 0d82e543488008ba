//! Commands for all keys or all nodes: where they go, and which setting may refuse them. Pure decisions.

use crate::answer::info_of_nodes;
use crate::c_string;
use crate::command::alike::{DEBUG_ALL_NODES, DEBUG_KEY, STORES_CODE};
use crate::command::{Command, CommandRef, DEBUG_OF_KEY, Flags, Merge, OwnAnswer, refused_error};
use crate::config::{AdminCommands, Commands, FlushCommands, KeysCommand};
use crate::parameters::{ParameterClass, class_of, is_pattern, set_refusal};
use crate::policy::{RefusalRule, permitted_everywhere};
use crate::resp::number;
use crate::resp::request::Request;

use super::{Knowledge, Plan, keyed, other_database, refuse, refuse_by, refuse_command};

/// The nodes that get a broadcast command, and over which lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// To the primaries.
    Primaries,
    /// To the primaries, over dedicated lanes: shared lanes may wait behind the script that it is to stop.
    PrimariesDedicated,
    /// To every node, replicas included, over dedicated lanes.
    NodesDedicated,
}

const ADMIN: &str =
    "it administers the nodes, and commands.admin = \"reject\"; \"fanout\" sends it";
/// Why subcommands of DEBUG are refused that would end, empty or freeze nodes.
const ONE_NODE: &str = "it concerns a single server; send it to that server directly";

/// Longest DEBUG SLEEP, in seconds: longer than any test needs, and short enough to wait for.
const LONGEST_SLEEP: f64 = 60.0;

/// A command for the whole keyspace: every namespace has to permit it.
pub(super) fn everywhere(
    request: &Request,
    command: &Command,
    merge: Merge,
    knowledge: &Knowledge,
) -> Plan {
    // BGSAVE and FUNCTION LOAD change no key, so no namespace's rules concern them, though they must not be sent twice.
    let is_of_functions = command.full_name.starts_with("function|");
    let changes_keys = command.flags.contains(Flags::WRITE) && !is_of_functions;
    if let Err(refusal) = permitted_everywhere(command.full_name, changes_keys, knowledge.policies)
    {
        return refuse_by(&refusal);
    }
    if STORES_CODE.contains(&command.full_name)
        && let Some(refusal) = knowledge.policies.storing_refusal(command.full_name)
    {
        return refuse_by(&refusal);
    }
    if let "script|load" | "function|load" = command.full_name {
        let code = request.argc() - 1;
        if let Some(refusal) = other_database::code(request, code, command.full_name, knowledge) {
            return refusal;
        }
    }
    if let Some((rule, reason)) = refused_by(command, knowledge.commands) {
        return refuse(rule, &refused_error(command.full_name, reason));
    }
    let merge = match merge {
        Merge::Newest(usual) => Merge::Newest(newest(request, usual)),
        merge => merge,
    };
    Plan::Everywhere {
        merge,
        write: !command.is_readonly() && !merge.only_reads(),
        recipients: if command.flags.contains(Flags::ALLOW_BUSY) {
            Recipients::PrimariesDedicated
        } else {
            Recipients::Primaries
        },
    }
}

/// The rule that refuses a command for all keys, also in words.
fn refused_by(command: &Command, commands: &Commands) -> Option<(RefusalRule, &'static str)> {
    match command.full_name {
        "keys" if commands.keys == KeysCommand::Reject => Some((
            RefusalRule::Keys,
            "commands.keys = \"reject\"; SCAN does the same in steps",
        )),
        "flushall" | "flushdb" if commands.flush == FlushCommands::Reject => Some((
            RefusalRule::Flush,
            "flush = \"reject\" of [defaults.namespace]",
        )),
        _ => None,
    }
}

/// The number of entries that `SLOWLOG GET count` asks for. The nodes report a malformed count.
fn newest(request: &Request, usual: u32) -> u32 {
    if request.argc() < 3 {
        return usual;
    }
    let count = number::parse_i64(request.arg(2)).unwrap_or(-1);
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Whether slotmux' own answer to `what` needs replies of nodes: for an INFO about the data, and for a CONFIG GET that
/// may be about it. Reading a parameter is not administration.
pub(super) fn asks_nodes(request: &Request, what: OwnAnswer, command: &Command) -> bool {
    match what {
        OwnAnswer::Info => info_of_nodes(request.bytes, request.args),
        OwnAnswer::Config => command.name == "get" && asks_for_parameters(request),
        _ => false,
    }
}

/// Whether an argument of a CONFIG GET may name a parameter that the nodes report.
fn asks_for_parameters(request: &Request) -> bool {
    let is_theirs = |name: &[u8]| {
        !matches!(
            class_of(name),
            ParameterClass::Own | ParameterClass::Secret(_)
        )
    };
    let mut arguments = (2..request.argc()).map(|at| request.arg(at));
    arguments.any(|argument| is_pattern(argument) || is_theirs(argument))
}

/// A command that administers all nodes.
pub(super) fn administer(
    request: &Request,
    command: &Command,
    merge: Merge,
    knowledge: &Knowledge,
) -> Plan {
    if knowledge.commands.admin == AdminCommands::Reject {
        return refuse(RefusalRule::Admin, &refused_error(command.full_name, ADMIN));
    }
    // All or nothing: every parameter is checked before anything is sent.
    let mut names = (2..request.argc()).step_by(2).map(|at| request.arg(at));
    if command.full_name == "config|set"
        && let Some(text) = names.find_map(set_refusal)
    {
        // No setting decides which parameters are sent, but this one decides whether any are.
        return refuse(RefusalRule::Admin, &text);
    }
    match permitted_everywhere(command.full_name, false, knowledge.policies) {
        Ok(()) => Plan::Everywhere {
            merge,
            write: true,
            recipients: Recipients::NodesDedicated,
        },
        Err(refusal) => refuse_by(&refusal),
    }
}

/// The error for a DEBUG SLEEP that would freeze all nodes, and slotmux with them, with no way to end it.
fn sleeps_too_long(request: &Request) -> Option<String> {
    let seconds = str::from_utf8(request.arg(2)).ok();
    let seconds = seconds.and_then(|seconds| seconds.parse::<f64>().ok());
    // A number that servers may parse differently is not sent either.
    let is_short = seconds.is_some_and(|seconds| (0.0..=LONGEST_SLEEP).contains(&seconds));
    (!is_short).then(|| {
        format!(
            "ERR slotmux: DEBUG SLEEP freezes every node, so it takes 0 to {LONGEST_SLEEP} seconds"
        )
    })
}

/// DEBUG, by its subcommand.
pub(super) fn debug(
    request: &Request,
    command: &'static Command,
    knowledge: &Knowledge,
    rewritten: &mut Vec<u8>,
) -> Plan {
    let subcommand = request.arg(1);
    let is_of = |list: &[&str]| {
        let mut names = list.iter();
        names.any(|name| c_string::is(subcommand, name.as_bytes()))
    };
    if is_of(&["error"]) {
        return Plan::Answer(OwnAnswer::Debug, command);
    }
    if is_of(&["help"]) {
        return Plan::Anywhere { write: false };
    }
    if is_of(&["sleep"])
        && request.argc() == 3
        && knowledge.commands.admin == AdminCommands::Fanout
        && let Some(text) = sleeps_too_long(request)
    {
        return refuse(RefusalRule::Inherent, &text);
    }
    if is_of(&DEBUG_ALL_NODES) {
        return administer(request, command, Merge::AllOk, knowledge);
    }
    // Several keys may be on different nodes.
    let is_of_key = is_of(&DEBUG_KEY) && !(is_of(&["digest-value"]) && request.argc() > 3);
    if !is_of_key {
        return refuse_command(command.full_name, ONE_NODE);
    }
    if knowledge.commands.admin == AdminCommands::Reject {
        return refuse(RefusalRule::Admin, &refused_error(command.full_name, ADMIN));
    }
    keyed(
        request,
        CommandRef::Table(&DEBUG_OF_KEY),
        knowledge,
        rewritten,
    )
}
