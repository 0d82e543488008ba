//! `[[namespace]]`: key prefixes, and the rules for the keys below them.

use std::time::Duration;

/// `[[namespace]]`
#[derive(Clone, Debug, PartialEq)]
pub struct Namespace {
    /// Its name in metrics, errors and `REDIS_TTL_<NAME>`; unique.
    pub name: String,
    /// The literal prefixes of its keys; never empty, each in one namespace only.
    pub prefixes: Vec<String>,
    /// How long its keys may live.
    pub ttl: Ttl,
    /// Further environment variables that set `ttl.default`, besides `REDIS_TTL_<NAME>`.
    pub ttl_env: Vec<String>,
    /// Whether commands that may change its keys are refused.
    pub read_only: bool,
    /// Bytes of a key. `None`: no limit.
    pub max_key: Option<usize>,
    /// Bytes of one argument of a write, keys and scripts aside. `None`: no limit.
    pub max_value: Option<usize>,
    /// Commands that are refused on its keys: full names in lower case, `object|freq` of a subcommand.
    pub deny: Vec<String>,
    /// Treatment of a transaction whose keys are in several slots.
    pub multi: Multi,
    /// Treatment of a command whose keys are in several slots.
    pub cross_slot: CrossSlot,
    /// Treatment of a write whose connection was lost before the reply.
    pub retry_writes: RetryWrites,
}

/// `[namespace.ttl]`
#[derive(Clone, Debug, PartialEq)]
pub struct Ttl {
    /// Whether the policy is enforced.
    pub mode: TtlMode,
    /// The TTL of a key that a write leaves without one. `None`: that of `max`, if there is one.
    pub default: Option<Duration>,
    /// The longest TTL. `None`: no limit.
    pub max: Option<Duration>,
    /// The shortest TTL that a write may give. `None`: no limit.
    pub min: Option<Duration>,
    /// The default is spread by this fraction to both sides, 0 to 1.
    pub jitter: f64,
    /// Choice of a key's place within the spread.
    pub jitter_by: JitterBy,
    /// Treatment of a TTL above `max`.
    pub over_max: OverMax,
    /// Treatment of `PERSIST` and `GETEX … PERSIST`.
    pub persist: Persist,
    /// Treatment of `SET … KEEPTTL`.
    pub keepttl: KeepTtl,
    /// How an expiry is attached to a command that cannot carry one.
    pub strength: Strength,
    /// Treatment of the keys that scripts and functions declare.
    pub scripts: ScriptKeys,
}

/// `ttl.mode`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TtlMode {
    /// There is no policy.
    Off,
    /// Changes that enforcing would make are only counted.
    Observe,
    /// The policy holds.
    #[default]
    Enforce,
}

/// `ttl.jitter_by`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum JitterBy {
    /// By a hash of the key: the same every time and on every proxy.
    #[default]
    Key,
    /// Random at every write.
    Random,
}

/// `ttl.over_max`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OverMax {
    /// It becomes `max`.
    #[default]
    Clamp,
    /// The command is refused.
    Reject,
}

/// `ttl.persist`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Persist {
    /// It removes the TTL, as in Redis.
    #[default]
    Allow,
    /// The key gets the default TTL instead.
    Rewrite,
    /// The command is refused.
    Reject,
}

/// `ttl.keepttl`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum KeepTtl {
    /// The key keeps its TTL; a key without one stays so, unless there is a maximum.
    Honour,
    /// A key that would stay without TTL gets the default.
    #[default]
    Heal,
}

/// `ttl.strength`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Strength {
    /// Command and expiry are one transaction.
    #[default]
    Atomic,
    /// The expiry follows the command at once.
    Pipelined,
    /// Only commands that can carry an expiry themselves get one.
    InlineOnly,
}

/// `ttl.scripts`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ScriptKeys {
    /// Their declared keys get an expiry behind the script.
    #[default]
    Append,
    /// They run as they are.
    Allow,
    /// They are refused.
    Reject,
}

/// `multi`: treatment of a transaction whose keys are in several slots. The strictest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Multi {
    /// It is refused, and nothing of it runs.
    Reject,
    /// It runs slot by slot if it only reads.
    #[default]
    SplitReadonly,
    /// It runs slot by slot.
    Split,
}

/// `cross_slot`: treatment of a command whose keys are in several slots. The strictest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum CrossSlot {
    /// It is refused.
    Reject,
    /// It runs if it only reads, or takes elements from one of its keys.
    #[default]
    Reads,
    /// It runs.
    All,
}

/// `retry_writes`: treatment of a write whose connection was lost before the reply. The strictest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum RetryWrites {
    /// Its client gets an error: the fate of the write is unknown.
    #[default]
    Never,
    /// It is sent again if a second run has the same effect and reply whether or not the first one took place.
    Idempotent,
}

/// `unmatched`: permissions for keys of no namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum UnmatchedKeys {
    /// Everything.
    #[default]
    Allow,
    /// Reads.
    ReadOnly,
    /// Nothing.
    Reject,
}

impl Default for Ttl {
    fn default() -> Ttl {
        Ttl {
            mode: TtlMode::default(),
            default: None,
            max: None,
            min: None,
            jitter: 0.0,
            jitter_by: JitterBy::default(),
            over_max: OverMax::default(),
            persist: Persist::default(),
            keepttl: KeepTtl::default(),
            strength: Strength::default(),
            scripts: ScriptKeys::default(),
        }
    }
}
