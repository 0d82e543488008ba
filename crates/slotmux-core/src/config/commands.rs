//! `[commands]`: the commands that need a decision.

/// `[commands]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commands {
    /// What happens to commands that slotmux' table lacks.
    pub unknown: Unknown,
    /// Whether clients may use MONITOR.
    pub monitor: bool,
    /// Commands that are shown to those who do, per second and worker.
    pub monitor_rate: u32,
    /// What becomes of KEYS.
    pub keys: Keys,
    /// What becomes of commands that administer the nodes.
    pub admin: Administer,
    /// What becomes of FLUSHALL and FLUSHDB: `defaults.namespace.flush`.
    pub flush: Flush,
    /// Which calls of scripts and functions are let through.
    pub scripts: ScriptCalls,
}

/// What becomes of KEYS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Keys {
    /// Every primary is asked, as if they were one Redis.
    #[default]
    Fanout,
    /// It is refused.
    Reject,
}

/// What becomes of commands that administer the nodes: CONFIG SET, RESETSTAT, REWRITE and DEBUG.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Administer {
    /// They are refused.
    #[default]
    Reject,
    /// They go to every node, or to that of their key.
    Fanout,
}

/// What becomes of FLUSHALL and FLUSHDB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Flush {
    /// Every primary is emptied, as if they were one Redis.
    #[default]
    Cluster,
    /// They are refused.
    Reject,
}

/// Which calls of scripts and functions are let through: EVAL, EVALSHA, FCALL and the like of them that only read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ScriptCalls {
    /// Those that declare no keys only where they can break no rule that forbids something.
    #[default]
    Auto,
    /// All.
    Allow,
    /// Those that declare keys.
    Declared,
    /// None.
    Reject,
}

/// What happens to commands that slotmux' table lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Unknown {
    /// They are routed by what the upstream's `COMMAND` says of them.
    #[default]
    Learn,
    /// They are refused as unknown.
    Reject,
}

impl Default for Commands {
    fn default() -> Commands {
        Commands {
            unknown: Unknown::default(),
            monitor: true,
            monitor_rate: 10_000,
            keys: Keys::default(),
            admin: Administer::default(),
            flush: Flush::default(),
            scripts: ScriptCalls::default(),
        }
    }
}
