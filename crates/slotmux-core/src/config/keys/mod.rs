//! The table of all keys: for every section its keys, each with the functions that read and show it. File, environment
//! and flags are read by this table, and `config show` writes by it; no other list of keys exists.

mod cluster;
mod listener;
mod namespace;
mod process;

use std::time::Duration;

use super::draft::Draft;
use super::problem::Reading;
use super::section::{SectionKey, list, section, set_each, set_only, set_section};
use super::show::{SectionPlace, ShownLine, show_each, show_only, show_section};
use super::value::ConfigValue;
use super::{Config, Listener};

use cluster::CLUSTER;
use listener::{LISTENER, USER, unread_user};
use namespace::DEFAULTS;
pub(super) use namespace::{NAMESPACE, OVERRIDABLE};
use process::{ADMIN, COMMANDS, LOG, SERVER};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const ZERO: Duration = Duration::ZERO;
const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

const ROOT: &[SectionKey<Draft>] = &[
    section(
        "server",
        |d, v, r| set_section(&mut d.config.server, SERVER, v, r),
        |at, out| list(SERVER, at, out),
        |d, at, out| show_section(&d.config.server, SERVER, at, out),
    ),
    section(
        "listener",
        |d, v, r| set_each(&mut d.config.listeners, Listener::default, LISTENER, v, r),
        |at, out| list(LISTENER, at, out),
        |d, at, out| show_each(&d.config.listeners, |l| &l.name, LISTENER, at, out),
    ),
    section(
        "user",
        |d, v, r| set_each(&mut d.config.users, unread_user, USER, v, r),
        |at, out| list(USER, at, out),
        |d, at, out| show_each(&d.config.users, |u| &u.name, USER, at, out),
    ),
    section(
        "cluster",
        |d, v, r| set_only(&mut d.config.cluster, CLUSTER, v, r),
        |at, out| list(CLUSTER, at, out),
        |d, at, out| show_only(&d.config.cluster, CLUSTER, at, out),
    ),
    section(
        "namespace",
        Draft::collect_namespaces,
        |at, out| list(NAMESPACE, at, out),
        |d, at, out| show_each(&d.config.namespaces, |n| &n.name, NAMESPACE, at, out),
    ),
    section(
        "defaults",
        |d, v, r| set_section(d, DEFAULTS, v, r),
        |at, out| list(DEFAULTS, at, out),
        |d, at, out| show_section(d, DEFAULTS, at, out),
    ),
    section(
        "commands",
        |d, v, r| set_section(&mut d.config.commands, COMMANDS, v, r),
        |at, out| list(COMMANDS, at, out),
        |d, at, out| show_section(&d.config.commands, COMMANDS, at, out),
    ),
    section(
        "admin",
        |d, v, r| set_section(&mut d.config.admin, ADMIN, v, r),
        |at, out| list(ADMIN, at, out),
        |d, at, out| show_section(&d.config.admin, ADMIN, at, out),
    ),
    section(
        "log",
        |d, v, r| set_section(&mut d.config.log, LOG, v, r),
        |at, out| list(LOG, at, out),
        |d, at, out| show_section(&d.config.log, LOG, at, out),
    ),
];

/// Applies one source: a table of sections.
pub(super) fn apply(draft: &mut Draft, source: &ConfigValue, reading: &mut Reading) {
    set_section(draft, ROOT, source, reading);
}

/// Writes every section.
pub(super) fn show(config: &Config, at: &SectionPlace, out: &mut Vec<ShownLine>) {
    show_section(&Draft::of(config), ROOT, at, out);
}

/// Every key, as people write it: `server.workers`.
pub fn all() -> Vec<String> {
    let mut keys = Vec::new();
    list(ROOT, "", &mut keys);
    keys
}
