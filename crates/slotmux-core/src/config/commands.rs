//! `[commands]`: the treatment of commands that do not map to one node.

use crate::glob;

/// `[commands]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commands {
    /// Treatment of commands that slotmux' table lacks.
    pub unknown: UnknownCommands,
    /// Whether clients may use MONITOR.
    pub monitor: bool,
    /// Commands shown to MONITOR clients, per second and worker.
    pub monitor_rate: u32,
    /// Treatment of KEYS.
    pub keys: KeysCommand,
    /// Treatment of commands that administer the nodes.
    pub admin: AdminCommands,
    /// Treatment of FLUSHALL and FLUSHDB: `defaults.namespace.flush`.
    pub flush: FlushCommands,
    /// Which calls of scripts and functions are permitted.
    pub scripts: ScriptCalls,
    /// Patterns of commands of modules that may go to one node although they may be about all, in lower case.
    pub one_node: Vec<String>,
}

impl Commands {
    /// Whether a command of a module may go to one node although it may be about all.
    pub fn may_go_to_one_node(&self, full_name: &str) -> bool {
        let mut patterns = self.one_node.iter();
        patterns.any(|pattern| glob::matches(pattern.as_bytes(), full_name.as_bytes()))
    }
}

/// Treatment of KEYS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum KeysCommand {
    /// Sent to every primary, as if they were one Redis.
    #[default]
    Fanout,
    /// Refused.
    Reject,
}

/// Treatment of commands that administer the nodes: CONFIG SET, RESETSTAT, REWRITE and DEBUG.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AdminCommands {
    /// Refused.
    #[default]
    Reject,
    /// Sent to every node, or to the node of their key.
    Fanout,
}

/// Treatment of FLUSHALL and FLUSHDB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FlushCommands {
    /// Every primary is emptied, as if they were one Redis.
    #[default]
    Cluster,
    /// Refused.
    Reject,
}

/// Which calls of scripts and functions are permitted: EVAL, EVALSHA, FCALL and their read-only forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ScriptCalls {
    /// Calls that declare keys, and others only where no rule forbids anything that they could do.
    #[default]
    Auto,
    /// All calls.
    Allow,
    /// Calls that declare keys.
    Declared,
    /// No calls.
    Reject,
}

/// Treatment of commands that slotmux' table lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum UnknownCommands {
    /// Routed by what the upstream's `COMMAND` reports of them.
    #[default]
    Learn,
    /// Refused as unknown.
    Reject,
}

impl Default for Commands {
    fn default() -> Commands {
        Commands {
            unknown: UnknownCommands::default(),
            monitor: true,
            monitor_rate: 10_000,
            keys: KeysCommand::default(),
            admin: AdminCommands::default(),
            flush: FlushCommands::default(),
            scripts: ScriptCalls::default(),
            one_node: Vec::new(),
        }
    }
}
