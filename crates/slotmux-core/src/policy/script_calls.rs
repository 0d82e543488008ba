//! The calls of scripts and functions that the rules permit. A script may run any command, and a request shows only the
//! keys that it declares, so a script without declared keys is checked against every rule that it could break.

use super::{Policies, Refusal, RefusalRule, permitted_everywhere};
use crate::config::{
    Commands, FlushCommands, KeysCommand, ScriptCalls, ScriptKeys, TtlMode, UnknownCommands,
    UnmatchedKeys,
};

/// The setting `commands.scripts`, and the rules that `"auto"` considers.
#[derive(Clone, Debug, Default)]
pub(super) struct ScriptRules {
    calls: ScriptCalls,
    /// A rule, in words, that a script without declared keys could break.
    broken_by_write: Option<String>,
    /// The same for a read-only script.
    broken_by_read: Option<String>,
}

impl ScriptRules {
    /// The rules of a configuration; `policies` holds its namespaces.
    pub fn new(commands: &Commands, policies: &Policies) -> ScriptRules {
        let broken_by_read = rule_of_reads(commands, policies);
        ScriptRules {
            calls: commands.scripts,
            broken_by_write: broken_by_read
                .clone()
                .or_else(|| rule_of_writes(commands, policies)),
            broken_by_read,
        }
    }

    /// The refusal of a call that is not permitted.
    fn refusal(&self, name: &str, reads: bool, has_keys: bool) -> Option<Refusal> {
        let rule = if reads {
            &self.broken_by_read
        } else {
            &self.broken_by_write
        };
        let why = match (self.calls, rule) {
            (ScriptCalls::Reject, _) => "is refused, as all scripts are".to_owned(),
            (ScriptCalls::Declared, _) if !has_keys => {
                "without declared keys is refused".to_owned()
            }
            (ScriptCalls::Auto, Some(rule)) if !has_keys => {
                format!("without declared keys is refused, as it could break a rule: {rule}")
            }
            _ => return None,
        };
        let text = format!("ERR slotmux: '{name}' {why} (commands.scripts)");
        Some(RefusalRule::Scripts.of_none().with(text))
    }
}

/// A rule that a read-only script can break.
fn rule_of_reads(commands: &Commands, policies: &Policies) -> Option<String> {
    let denies = |policy: &&super::Policy| !policy.deny.is_empty();
    let policy = policies.policies.iter().find(denies);
    if let Some(policy) = policy {
        return Some(format!("namespace '{}' has a deny list", policy.name));
    }
    if policies.unmatched() == UnmatchedKeys::Reject {
        return Some("keys of no namespace are refused by unmatched = \"reject\"".to_owned());
    }
    (commands.keys == KeysCommand::Reject).then(|| "commands.keys = \"reject\"".to_owned())
}

/// A rule that only a writing script can break. A lifetime policy forbids no command.
fn rule_of_writes(commands: &Commands, policies: &Policies) -> Option<String> {
    let of_namespace = policies.policies.iter().find_map(|policy| {
        let name = &policy.name;
        let refuses_scripts = policy
            .ttl
            .as_ref()
            .is_some_and(|ttl| ttl.mode == TtlMode::Enforce && ttl.scripts == ScriptKeys::Reject);
        if policy.read_only {
            Some(format!("namespace '{name}' is read-only"))
        } else if policy.max_key.is_some() || policy.max_value.is_some() {
            Some(format!("namespace '{name}' bounds keys or values"))
        } else if refuses_scripts {
            Some(format!("namespace '{name}' refuses scripts by ttl.scripts"))
        } else {
            None
        }
    });
    of_namespace
        .or_else(|| {
            (policies.unmatched() == UnmatchedKeys::ReadOnly)
                .then(|| "keys of no namespace are read-only by unmatched".to_owned())
        })
        .or_else(|| {
            (commands.flush == FlushCommands::Reject).then(|| "flush = \"reject\"".to_owned())
        })
        .or_else(|| {
            (commands.unknown == UnknownCommands::Reject)
                .then(|| "commands.unknown = \"reject\"".to_owned())
        })
}

impl Policies {
    /// Why a call of a script or function is refused; `None` if it is permitted. `reads`: the server prevents it from
    /// writing.
    pub fn script_refusal(&self, name: &str, reads: bool, has_keys: bool) -> Option<Refusal> {
        let refusal = self.script_rules.refusal(name, reads, has_keys);
        // A namespace that denies the command denies it without keys too.
        refusal.or_else(|| {
            let everywhere = || permitted_everywhere(name, false, self).err();
            (!has_keys).then(everywhere).flatten()
        })
    }

    /// Why a script or function is not stored; `None` if it is. It is refused where none could be called.
    pub fn storing_refusal(&self, name: &str) -> Option<Refusal> {
        self.script_rules.refusal(name, true, true)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::namespace;
    use super::*;
    use crate::config::{Config, Namespace};

    fn with(change: impl FnOnce(&mut Config, &mut Namespace)) -> Policies {
        let mut first = namespace("keys", "k", |_| {});
        let mut config = Config::default();
        change(&mut config, &mut first);
        config.namespaces = vec![namespace("free", "f", |_| {}), first];
        Policies::new(&config)
    }

    /// Whether a writing call, a read-only call, and a call with keys are permitted.
    fn allowed(policies: &Policies) -> [bool; 3] {
        let is_allowed = |name, reads, keys| policies.script_refusal(name, reads, keys).is_none();
        [
            is_allowed("eval", false, false),
            is_allowed("eval_ro", true, false),
            is_allowed("eval", false, true),
        ]
    }

    #[test]
    fn by_itself_only_what_could_break_a_rule_is_refused() {
        type Change = fn(&mut Config, &mut Namespace);
        let rows: [(Change, [bool; 3]); 14] = [
            (|_, _| {}, [true, true, true]),
            (
                |_, first| first.ttl.default = Some(std::time::Duration::from_secs(9)),
                [true, true, true],
            ),
            (
                |config, _| config.commands.admin = crate::config::AdminCommands::Fanout,
                [true, true, true],
            ),
            (|_, first| first.read_only = true, [false, true, true]),
            (|_, first| first.max_key = Some(9), [false, true, true]),
            (|_, first| first.max_value = Some(9), [false, true, true]),
            (
                |_, first| first.deny = vec!["get".into()],
                [false, false, true],
            ),
            (
                |config, _| config.unmatched = UnmatchedKeys::Reject,
                [false, false, true],
            ),
            (
                |config, _| config.unmatched = UnmatchedKeys::ReadOnly,
                [false, true, true],
            ),
            (
                |config, _| config.commands.flush = FlushCommands::Reject,
                [false, true, true],
            ),
            (
                |config, _| config.commands.unknown = UnknownCommands::Reject,
                [false, true, true],
            ),
            (
                |config, _| config.commands.keys = KeysCommand::Reject,
                [false, false, true],
            ),
            (
                |_, first| {
                    first.ttl.default = Some(std::time::Duration::from_secs(9));
                    first.ttl.scripts = ScriptKeys::Reject;
                },
                [false, true, true],
            ),
            (
                |_, first| {
                    first.ttl.default = Some(std::time::Duration::from_secs(9));
                    first.ttl.scripts = ScriptKeys::Reject;
                    first.ttl.mode = TtlMode::Observe;
                },
                [true, true, true],
            ),
        ];
        for (at, (change, expected)) in rows.into_iter().enumerate() {
            assert_eq!(allowed(&with(change)), expected, "row {at}");
        }
    }

    #[test]
    fn the_setting_comes_first() {
        for (calls, expected) in [
            (ScriptCalls::Allow, [true, true, true]),
            (ScriptCalls::Declared, [false, false, true]),
            (ScriptCalls::Reject, [false, false, false]),
        ] {
            let policies = with(|config, first| {
                config.commands.scripts = calls;
                first.deny = vec!["get".into()];
            });
            assert_eq!(allowed(&policies), expected, "{calls:?}");
            let stores = policies.storing_refusal("script|load").is_none();
            assert_eq!(stores, calls != ScriptCalls::Reject);
        }
        let denied = with(|config, first| {
            config.commands.scripts = ScriptCalls::Allow;
            first.deny = vec!["eval".into()];
        });
        assert_eq!(allowed(&denied), [false, true, true]);
    }
}
