//! Namespaces and their policies, in the form that the request path needs: found by key prefix, durations in milliseconds.
//!
//! Everything here is a pure function of the configuration and a request. Sending is decided elsewhere.

use crate::config::{Config, Multi, Namespace, RetryWrites, TtlMode, UnmatchedKeys};

mod allowed;
mod append;
mod arguments;
pub mod docs;
mod expire;
mod forbidden;
mod given;
pub mod govern;
mod guessed;
mod learned;
mod mset;
mod options;
mod patterns;
mod prefixes;
mod refusal;
pub mod repeat;
mod restore;
#[cfg(test)]
pub(crate) mod rows;
mod script;
mod script_calls;
mod set;
mod splice;
pub mod stated_ttl;
mod subject;
pub mod ttl;

pub use allowed::permitted;
pub use append::{as_transaction, commands_of};
use forbidden::ForbiddenSomewhere;
pub use forbidden::permitted_everywhere;
pub use govern::{Actions, BlockShape, Decision, Governed, ReplyConversion, govern};
use patterns::UnreadableNamespaces;
use prefixes::Prefixes;
pub use refusal::{Refusal, RefusalReason, RefusalRule, SettingKey};
use script_calls::ScriptRules;
pub use ttl::TtlPolicy;

/// The number of a namespace: its place in the configuration plus one. 0 are the keys of no namespace.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct NamespaceId(pub u16);

impl NamespaceId {
    /// The keys that no namespace claims.
    pub const UNMATCHED: NamespaceId = NamespaceId(0);

    /// The ids of all namespaces, in order.
    fn all() -> impl Iterator<Item = NamespaceId> {
        (1..=u16::MAX).map(NamespaceId)
    }
}

/// One namespace's policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The namespace's name.
    pub name: String,
    /// The TTL policy. `None`: keys live as long as requests say, at no cost.
    pub ttl: Option<TtlPolicy>,
    /// Whether writes are refused.
    pub read_only: bool,
    /// Bytes of a key.
    pub max_key: Option<usize>,
    /// Bytes of one argument of a write, except keys, scripts and names of scripts.
    pub max_value: Option<usize>,
    /// Full names of refused commands, in lower case.
    pub deny: Vec<String>,
    /// Treatment of a transaction whose keys are in several slots.
    pub multi: Multi,
    /// Treatment of a write whose connection was lost before the reply.
    pub retry_writes: RetryWrites,
}

/// All policies.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    prefixes: Prefixes,
    forbidden: ForbiddenSomewhere,
    /// The namespaces that patterns of SORT may not reach.
    unread: UnreadableNamespaces,
    /// A prefix whose policy is enforced.
    enforced_prefix: Option<Box<[u8]>>,
    policies: Vec<Policy>,
    /// Whether anything is refused for more than its TTL.
    restricts: bool,
    unmatched: UnmatchedKeys,
    /// For keys of no namespace.
    multi: Multi,
    /// For keys of no namespace.
    retry_writes: RetryWrites,
    /// Rules for calls of scripts and functions.
    script_rules: ScriptRules,
}

impl Policies {
    /// The policies of a configuration.
    pub fn new(config: &Config) -> Policies {
        let numbered = NamespaceId::all().zip(&config.namespaces);
        let prefixes = Prefixes::new(numbered.flat_map(|(number, namespace)| {
            let own = namespace.prefixes.iter();
            own.map(move |prefix| (prefix.as_bytes(), number))
        }));
        let policies: Vec<Policy> = config.namespaces.iter().map(Policy::new).collect();
        let restricts = policies.iter().any(Policy::restricts);
        let mut made = Policies {
            unread: UnreadableNamespaces::new(&policies, &prefixes),
            prefixes,
            forbidden: ForbiddenSomewhere::new(NamespaceId::all().zip(&policies)),
            enforced_prefix: None,
            policies,
            restricts: restricts || config.unmatched != UnmatchedKeys::Allow,
            unmatched: config.unmatched,
            multi: config.multi,
            retry_writes: config.retry_writes,
            script_rules: ScriptRules::default(),
        };
        made.script_rules = ScriptRules::new(&config.commands, &made);
        made.note_enforced_prefix();
        made
    }

    /// Whether a request needs to be looked at. With nothing configured this is all that it costs.
    pub fn is_active(&self) -> bool {
        !self.policies.is_empty() || self.unmatched != UnmatchedKeys::Allow
    }

    /// Whether there is a namespace that a key could be of.
    pub fn has_namespaces(&self) -> bool {
        !self.policies.is_empty()
    }

    /// The treatment of keys of no namespace.
    pub fn unmatched(&self) -> UnmatchedKeys {
        self.unmatched
    }

    /// Whether some keys are hidden from lists of keys: those of no namespace, where these are refused.
    pub fn hides_keys(&self) -> bool {
        self.unmatched == UnmatchedKeys::Reject
    }

    /// Whether this key is hidden from lists of keys.
    pub fn hides(&self, key: &[u8]) -> bool {
        self.hides_keys() && self.find(key) == NamespaceId::UNMATCHED
    }

    /// Treatment of a transaction over several slots that has a key of this namespace.
    pub fn multi(&self, namespace: NamespaceId) -> Multi {
        self.get(namespace)
            .map_or(self.multi, |policy| policy.multi)
    }

    /// Treatment of a write to a key of this namespace whose connection was lost before the reply.
    pub fn retry_writes(&self, namespace: NamespaceId) -> RetryWrites {
        self.get(namespace)
            .map_or(self.retry_writes, |policy| policy.retry_writes)
    }

    /// Whether anything is refused for more than its TTL: by a namespace, or because it has none.
    pub fn restricts(&self) -> bool {
        self.restricts
    }

    /// The namespace of a key: that of the longest prefix.
    pub fn find(&self, key: &[u8]) -> NamespaceId {
        self.prefixes.find(key)
    }

    /// A prefix whose policy is enforced, if there is one: its keys get expiries.
    pub fn enforced_prefix(&self) -> Option<&[u8]> {
        self.enforced_prefix.as_deref()
    }

    fn note_enforced_prefix(&mut self) {
        let is_enforced = |id: NamespaceId| {
            let ttl = self.get(id).and_then(|policy| policy.ttl.as_ref());
            ttl.is_some_and(|ttl| ttl.mode == TtlMode::Enforce)
        };
        let mut prefixes = self.prefixes.iter();
        self.enforced_prefix = prefixes
            .find(|(_, id)| is_enforced(*id))
            .map(|(prefix, _)| prefix.into());
    }

    /// The policy of a namespace; `None` for keys of none.
    pub fn get(&self, namespace: NamespaceId) -> Option<&Policy> {
        self.policies.get(usize::from(namespace.0).checked_sub(1)?)
    }

    /// The same with every policy enforced that only observes: what they would do.
    #[must_use]
    pub fn enforced(&self) -> Policies {
        let mut enforced = self.clone();
        for ttl in enforced
            .policies
            .iter_mut()
            .filter_map(|policy| policy.ttl.as_mut())
        {
            ttl.mode = TtlMode::Enforce;
        }
        enforced.note_enforced_prefix();
        enforced
    }

    /// Every namespace with its number.
    pub fn iter(&self) -> impl Iterator<Item = (NamespaceId, &Policy)> {
        NamespaceId::all().zip(&self.policies)
    }
}

impl Policy {
    /// Whether it refuses anything but a TTL.
    fn restricts(&self) -> bool {
        self.read_only
            || self.max_key.is_some()
            || self.max_value.is_some()
            || !self.deny.is_empty()
    }

    fn new(namespace: &Namespace) -> Policy {
        Policy {
            name: namespace.name.clone(),
            ttl: TtlPolicy::new(&namespace.ttl),
            read_only: namespace.read_only,
            max_key: namespace.max_key,
            max_value: namespace.max_value,
            deny: namespace.deny.clone(),
            multi: namespace.multi,
            retry_writes: namespace.retry_writes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Ttl;

    fn namespace(name: &str, prefixes: &[&str]) -> Namespace {
        Namespace {
            name: name.to_owned(),
            prefixes: prefixes.iter().map(|&prefix| prefix.to_owned()).collect(),
            ttl: Ttl::default(),
            ttl_env: Vec::new(),
            read_only: false,
            max_key: None,
            max_value: None,
            deny: Vec::new(),
            multi: Multi::default(),
            retry_writes: RetryWrites::default(),
        }
    }

    #[test]
    fn the_longest_prefix_wins() {
        let config = Config {
            namespaces: vec![
                namespace("app", &["app:", "old:"]),
                namespace("cache", &["app:cache:"]),
            ],
            ..Config::default()
        };
        let policies = Policies::new(&config);
        let name = |key: &str| {
            let found = policies.get(policies.find(key.as_bytes()));
            found.map(|policy| policy.name.as_str())
        };
        assert_eq!(name("app:1"), Some("app"));
        assert_eq!(name("app:cache:1"), Some("cache"));
        assert_eq!(name("app:cache:"), Some("cache"));
        assert_eq!(name("axp:cache:1"), None);
        assert_eq!(name("app:caxhe:1"), Some("app"));
        assert_eq!(name("old:1"), Some("app"));
        assert_eq!(name("app"), None);
        assert_eq!(name(""), None);
    }

    #[test]
    fn as_many_namespaces_as_there_are_numbers() {
        let one = |number: usize| namespace(&number.to_string(), &[&format!("{number}:")]);
        let policies = Policies::new(&Config {
            namespaces: (1..=usize::from(u16::MAX)).map(one).collect(),
            ..Config::default()
        });
        for number in 1..=u16::MAX {
            let found = policies.find(format!("{number}:key").as_bytes());
            assert_eq!(found, NamespaceId(number));
        }
        assert_eq!(policies.find(b"65536:key"), NamespaceId::UNMATCHED);
        let last = policies
            .iter()
            .last()
            .map(|(id, policy)| (id.0, policy.name.clone()));
        assert_eq!(last, Some((u16::MAX, u16::MAX.to_string())));
    }

    #[test]
    fn nothing_configured_is_not_active() {
        assert!(!Policies::new(&Config::default()).is_active());
    }
}
