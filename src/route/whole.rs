//! Commands for the whole of it: all keys, or all nodes. Where they go, and which setting may refuse them. Pure decisions.

use crate::answer::info_of_nodes;
use crate::c_string;
use crate::client::request::Request;
use crate::command::{Answer, Command, CommandRef, DEBUG_OF_KEY, Flags, Merge, refused_error};
use crate::config::{Administer, Commands, Flush, Keys};
use crate::policy::permitted_everywhere;
use crate::resp::number;

use super::{Knowledge, Plan, keyed, refuse};

/// Which nodes a command for all of them goes to, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To the primaries.
    Primaries,
    /// To the primaries, over connections of its own: the shared ones may stand behind the script that it is to stop.
    Aside,
    /// To every node, replicas included, over connections of its own.
    Nodes,
}

const ADMIN: &str =
    "it administers the nodes, and commands.admin = \"reject\"; \"fanout\" sends it";
/// Of DEBUG, what would end, empty or freeze nodes.
const ONE_NODE: &str = "it concerns a single server; send it to that server directly";

/// What CONFIG GET tells of slotmux itself, as clients connect to it. A node that was given such a value would be lost to
/// the cluster, or would close the connections of slotmux, and CONFIG GET would still tell the old one.
const OWN_SETTINGS: [&str; 6] = [
    "bind",
    "maxclients",
    "port",
    "protected-mode",
    "tcp-keepalive",
    "timeout",
];

/// DEBUG about one key.
const OF_KEY: [&str; 7] = [
    "digest-value",
    "htstats-key",
    "listpack",
    "object",
    "quicklist",
    "sdslen",
    "ziplist",
];
/// DEBUG that is meant for the whole Redis.
const OF_ALL: [&str; 2] = ["set-active-expire", "sleep"];

/// A command for the whole keyspace: every namespace has to permit it.
pub(super) fn everywhere(
    request: &Request,
    command: &Command,
    merge: Merge,
    knowledge: &Knowledge,
) -> Plan {
    // What changes no key, as BGSAVE, is no write to a namespace, though it must not be sent twice.
    let changes_keys = command.flags.contains(Flags::WRITE);
    if let Err(text) = permitted_everywhere(command.full_name, changes_keys, knowledge.policies) {
        return refuse(&text);
    }
    if let Some(setting) = refused_by(command, knowledge.commands) {
        return refuse(&refused_error(command.full_name, setting));
    }
    let merge = match merge {
        Merge::Newest(usual) => Merge::Newest(newest(request, usual)),
        merge => merge,
    };
    Plan::Everywhere {
        merge,
        write: !command.is_readonly() && !merge.only_reads(),
        reach: if command.flags.contains(Flags::ALLOW_BUSY) {
            Reach::Aside
        } else {
            Reach::Primaries
        },
    }
}

/// The setting that refuses a command for all keys.
fn refused_by(command: &Command, commands: &Commands) -> Option<&'static str> {
    match command.full_name {
        "keys" if commands.keys == Keys::Reject => {
            Some("commands.keys = \"reject\"; SCAN does the same in steps")
        }
        "flushall" | "flushdb" if commands.flush == Flush::Reject => {
            Some("flush = \"reject\" of [defaults.namespace]")
        }
        _ => None,
    }
}

/// How many entries `SLOWLOG GET count` wants. What is no count, the nodes say.
fn newest(request: &Request, usual: u32) -> u32 {
    if request.argc() < 3 {
        return usual;
    }
    let count = number::parse_i64(request.arg(2)).unwrap_or(-1);
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Whether slotmux' own answer to `what` takes what the nodes say: an INFO about the data, and CONFIG GET where CONFIG SET
/// reaches them.
pub(super) fn asks_nodes(
    request: &Request,
    what: Answer,
    command: &Command,
    knowledge: &Knowledge,
) -> bool {
    match what {
        Answer::Info => info_of_nodes(request.bytes, request.args),
        Answer::Config => command.name == "get" && knowledge.commands.admin == Administer::Fanout,
        _ => false,
    }
}

/// A command that administers all nodes.
pub(super) fn administer(
    request: &Request,
    command: &Command,
    merge: Merge,
    knowledge: &Knowledge,
) -> Plan {
    if knowledge.commands.admin == Administer::Reject {
        return refuse(&refused_error(command.full_name, ADMIN));
    }
    if command.full_name == "config|set"
        && let Some(name) = own_setting(request)
    {
        return refuse(&format!(
            "ERR CONFIG SET failed (possibly related to argument '{name}') - slotmux has its own, in its configuration file"
        ));
    }
    match permitted_everywhere(command.full_name, false, knowledge.policies) {
        Ok(()) => Plan::Everywhere {
            merge,
            write: true,
            reach: Reach::Nodes,
        },
        Err(text) => refuse(&text),
    }
}

/// The first setting of a CONFIG SET that is slotmux' own. Servers look settings up by their full length and then compare C
/// strings, so that by chance they take a name with a NUL byte and more behind it for this one.
fn own_setting(request: &Request) -> Option<&'static str> {
    let names = (2..request.argc()).step_by(2).map(|at| request.arg(at));
    let mut own = names.filter_map(|name| {
        let mut settings = OWN_SETTINGS.into_iter();
        settings.find(|setting| c_string::is(name, setting.as_bytes()))
    });
    own.next()
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
    if is_of(&["help"]) {
        return Plan::Anywhere { write: false };
    }
    if is_of(&OF_ALL) {
        return administer(request, command, Merge::AllOk, knowledge);
    }
    // Of several keys each may be elsewhere.
    let is_of_key = is_of(&OF_KEY) && !(is_of(&["digest-value"]) && request.argc() > 3);
    if !is_of_key {
        return refuse(&refused_error(command.full_name, ONE_NODE));
    }
    if knowledge.commands.admin == Administer::Reject {
        return refuse(&refused_error(command.full_name, ADMIN));
    }
    keyed(
        request,
        CommandRef::Table(&DEBUG_OF_KEY),
        knowledge,
        rewritten,
    )
}
