//! Why a request is refused: the rule, and the namespace that it belongs to. The text of the error is for the client
//! alone.

use super::NamespaceId;

/// A rule by which requests are refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefusalRule {
    /// No setting decides: slotmux cannot run the request.
    Inherent,
    /// There are policies, and the keys of the request cannot be found for sure.
    UncertainKeys,
    /// Keys of no namespace are refused, or writes to them.
    Unmatched,
    /// The namespace is read-only.
    ReadOnly,
    /// The namespace denies the command.
    Deny,
    /// The key is too long.
    MaxKey,
    /// An argument is too large.
    MaxValue,
    /// The TTL is above the maximum.
    TtlMax,
    /// The TTL is below the minimum, and cannot be raised.
    TtlMin,
    /// A TTL must not be removed.
    TtlPersist,
    /// The namespace refuses scripts that declare its keys.
    TtlScripts,
    /// Commands that delete all keys are refused.
    Flush,
    /// Calls of scripts and functions are refused, or those without declared keys.
    Scripts,
    /// Commands that administer the nodes are refused, or this one is.
    Admin,
    /// KEYS is refused.
    Keys,
    /// Commands of modules that may be about all nodes are not sent to one.
    OneNode,
}

/// The place of a setting in the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SettingKey {
    /// In the section of a namespace, or in `[defaults.namespace]` for keys of no namespace.
    OfNamespace(&'static str),
    /// By its whole name.
    Global(&'static str),
}

impl RefusalRule {
    /// The setting that holds the rule, if one does.
    pub const fn setting(self) -> Option<SettingKey> {
        use RefusalRule::*;
        use SettingKey::{Global, OfNamespace};
        Some(match self {
            Inherent | UncertainKeys => return None,
            Unmatched => OfNamespace("unmatched"),
            ReadOnly => OfNamespace("read_only"),
            Deny => OfNamespace("deny"),
            MaxKey => OfNamespace("max_key"),
            MaxValue => OfNamespace("max_value"),
            TtlMax => OfNamespace("ttl.max"),
            TtlMin => OfNamespace("ttl.min"),
            TtlPersist => OfNamespace("ttl.persist"),
            TtlScripts => OfNamespace("ttl.scripts"),
            Flush => OfNamespace("flush"),
            Scripts => Global("commands.scripts"),
            Admin => Global("commands.admin"),
            Keys => Global("commands.keys"),
            OneNode => Global("commands.one_node"),
        })
    }

    /// The rule of this namespace.
    pub const fn of(self, namespace: NamespaceId) -> RefusalReason {
        RefusalReason {
            rule: self,
            namespace,
        }
    }

    /// The rule, which belongs to no namespace.
    pub const fn of_none(self) -> RefusalReason {
        self.of(NamespaceId::UNMATCHED)
    }
}

/// A rule with the namespace whose rule it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RefusalReason {
    /// The rule.
    pub rule: RefusalRule,
    /// Its namespace, which need not be that of the first key; [`NamespaceId::UNMATCHED`] if it belongs to none.
    pub namespace: NamespaceId,
}

impl RefusalReason {
    /// The refusal for this reason.
    pub fn with(self, text: String) -> Refusal {
        Refusal { reason: self, text }
    }
}

/// A refusal with its error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The reason.
    pub reason: RefusalReason,
    /// The error for the client, without the leading `-`.
    pub text: String,
}
