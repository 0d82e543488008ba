//! The setting that decides about a refusal, by the rule that refuses.

use super::Surroundings;
use super::parts::ExplainedPart;
use crate::config::UnknownCommands;
use crate::policy::{RefusalReason, SettingKey};
use crate::route::Plan;

/// The reason why nothing is sent, if a rule refuses the request as a whole.
pub(super) fn refusal_reason(plan: &Plan, parts: &[ExplainedPart]) -> Option<RefusalReason> {
    match plan {
        Plan::Forward { .. } | Plan::CrossSlot { .. } => parts.first()?.refusal_reason(),
        Plan::Refuse(_, reason) => Some(*reason),
        _ => None,
    }
}

/// The setting that holds the rule of a refusal, or the one that keeps unknown commands from being learned.
pub(super) fn refusal_setting(
    plan: &Plan,
    reason: Option<RefusalReason>,
    around: Surroundings,
) -> Option<String> {
    let keeps_unknown = around.config.commands.unknown == UnknownCommands::Reject;
    let key = match plan {
        Plan::Unknown(_) if keeps_unknown => "commands.unknown".to_owned(),
        _ => key_of(reason?, around)?,
    };
    around.settings.of(&key).map(ToString::to_string)
}

/// The whole key of the setting that holds a rule.
fn key_of(reason: RefusalReason, around: Surroundings) -> Option<String> {
    Some(match reason.rule.setting()? {
        SettingKey::OfNamespace(key) => match around.knowledge.policies.get(reason.namespace) {
            Some(policy) => format!("namespace.{}.{key}", policy.name),
            None => format!("defaults.namespace.{key}"),
        },
        SettingKey::Global(key) => key.to_owned(),
    })
}
