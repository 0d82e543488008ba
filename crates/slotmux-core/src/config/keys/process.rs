//! The keys of `[server]`, `[commands]`, `[admin]` and `[log]`.

use super::{GIB, HOUR, MIB, MS, ZERO};
use crate::config::problem::Reading;
use crate::config::read::{admin_bind, command_patterns, host_names, log_level};
use crate::config::section::{SectionKey, key, put};
use crate::config::show::{choice, or_word, text, texts};
use crate::config::value::ConfigValue;
use crate::config::{
    Admin, AdminCommands, Commands, KeysCommand, Log, LogFormat, ScriptCalls, ServerSettings,
    UnknownCommands,
};
use crate::units::{show_duration, show_size};

pub(super) const SERVER: &[SectionKey<ServerSettings>] = &[
    key(
        "workers",
        |s, v, r| put(&mut s.workers, workers(v, r)),
        |s| s.workers.to_string(),
    ),
    key(
        "max_clients",
        |s, v, r| put(&mut s.max_clients, v.integer_or_auto(1..=10_000_000, r)),
        |s| or_word(s.max_clients, "auto", |number| number.to_string()),
    ),
    key(
        "backlog",
        |s, v, r| put(&mut s.backlog, v.integer(1..=65_535, r)),
        |s| s.backlog.to_string(),
    ),
    key(
        "memory_limit",
        |s, v, r| {
            put(
                &mut s.memory_limit,
                v.size_or_none(16 * MIB..=1024 * GIB, r),
            )
        },
        |s| or_word(s.memory_limit, "0", |size| text(&show_size(size))),
    ),
    key(
        "drain_timeout",
        |s, v, r| put(&mut s.drain_timeout, v.duration(ZERO..=HOUR, r)),
        |s| text(&show_duration(s.drain_timeout)),
    ),
];

pub(super) const COMMANDS: &[SectionKey<Commands>] = &[
    key(
        "unknown",
        |c, v, r| put(&mut c.unknown, v.choice(UNKNOWN, r)),
        |c| choice(UNKNOWN, &c.unknown),
    ),
    key(
        "monitor",
        |c, v, r| put(&mut c.monitor, v.choice(SWITCH, r)),
        |c| choice(SWITCH, &c.monitor),
    ),
    key(
        "monitor_rate",
        |c, v, r| put(&mut c.monitor_rate, v.integer(1..=10_000_000, r)),
        |c| c.monitor_rate.to_string(),
    ),
    key(
        "keys",
        |c, v, r| put(&mut c.keys, v.choice(KEYS, r)),
        |c| choice(KEYS, &c.keys),
    ),
    key(
        "admin",
        |c, v, r| put(&mut c.admin, v.choice(ADMINISTER, r)),
        |c| choice(ADMINISTER, &c.admin),
    ),
    key(
        "scripts",
        |c, v, r| put(&mut c.scripts, v.choice(SCRIPT_CALLS, r)),
        |c| choice(SCRIPT_CALLS, &c.scripts),
    ),
    key(
        "one_node",
        |c, v, r| put(&mut c.one_node, command_patterns(v, r)),
        |c| texts(&c.one_node),
    ),
];

const SWITCH: &[(&str, bool)] = &[("on", true), ("off", false)];

const KEYS: &[(&str, KeysCommand)] = &[
    ("fanout", KeysCommand::Fanout),
    ("reject", KeysCommand::Reject),
];
const ADMINISTER: &[(&str, AdminCommands)] = &[
    ("reject", AdminCommands::Reject),
    ("fanout", AdminCommands::Fanout),
];
const SCRIPT_CALLS: &[(&str, ScriptCalls)] = &[
    ("auto", ScriptCalls::Auto),
    ("allow", ScriptCalls::Allow),
    ("declared", ScriptCalls::Declared),
    ("reject", ScriptCalls::Reject),
];
const UNKNOWN: &[(&str, UnknownCommands)] = &[
    ("learn", UnknownCommands::Learn),
    ("reject", UnknownCommands::Reject),
];

pub(super) const ADMIN: &[SectionKey<Admin>] = &[
    key(
        "bind",
        |a, v, r| put(&mut a.bind, admin_bind(v, r)),
        |a| or_word(a.bind, "none", |bind| text(&bind.to_string())),
    ),
    key(
        "hosts",
        |a, v, r| put(&mut a.hosts, host_names(v, r)),
        |a| texts(&a.hosts),
    ),
    key(
        "max_connections",
        |a, v, r| put(&mut a.max_connections, v.integer(1..=4096, r)),
        |a| a.max_connections.to_string(),
    ),
    key(
        "header_timeout",
        |a, v, r| put(&mut a.header_timeout, v.duration(MS..=HOUR, r)),
        |a| text(&show_duration(a.header_timeout)),
    ),
    key(
        "idle_timeout",
        |a, v, r| put(&mut a.idle_timeout, v.duration(MS..=HOUR, r)),
        |a| text(&show_duration(a.idle_timeout)),
    ),
    key(
        "write_timeout",
        |a, v, r| put(&mut a.write_timeout, v.duration(MS..=HOUR, r)),
        |a| text(&show_duration(a.write_timeout)),
    ),
];

pub(super) const LOG: &[SectionKey<Log>] = &[
    key(
        "level",
        |l, v, r| put(&mut l.level, log_level(v, r)),
        |l| text(&l.level),
    ),
    key(
        "format",
        |l, v, r| put(&mut l.format, v.choice(FORMATS, r)),
        |l| choice(FORMATS, &l.format),
    ),
];

const FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];

fn workers(value: &ConfigValue, reading: &mut Reading) -> Option<usize> {
    let number = value.integer_or_auto(1..=1024, reading)?;
    Some(number.unwrap_or_else(|| ServerSettings::default().workers))
}
