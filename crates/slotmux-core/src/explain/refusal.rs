//! The setting that decides about a refusal, found by the words of its error.

use super::{Explanation, Surroundings};
use crate::command::{self, CommandRef};
use crate::config::UnknownCommands;

/// The setting that an error names in its last parentheses, as all errors of policies do; or the one that keeps unknown
/// commands from being learned.
pub(super) fn decided_refusal(
    told: &Explanation,
    command: Option<CommandRef>,
    around: Surroundings,
) -> Option<String> {
    let text = told.reply.as_deref().or_else(|| {
        let would = told.would_send.first()?;
        would.strip_prefix("nothing: ")
    })?;
    if command.is_none() && around.config.commands.unknown == UnknownCommands::Reject {
        return around
            .settings
            .of("commands.unknown")
            .map(ToString::to_string);
    }
    if let Some(setting) = named_by_command(text, command, around) {
        return Some(setting);
    }
    let (_, named) = text.strip_suffix(')')?.rsplit_once('(')?;
    let named = named.split(' ').next()?;
    let name = text
        .split("namespace '")
        .nth(1)
        .and_then(|rest| rest.split('\'').next());
    let of_namespace =
        name.and_then(|name| around.settings.of(&format!("namespace.{name}.{named}")));
    let setting = of_namespace
        .or_else(|| around.settings.of(&format!("defaults.namespace.{named}")))
        .or_else(|| around.settings.of(named));
    setting.map(ToString::to_string)
}

/// The setting that refuses a command as such. Only words of slotmux' own are searched, none of the client's.
fn named_by_command(
    text: &str,
    command: Option<CommandRef>,
    around: Surroundings,
) -> Option<String> {
    let setting_of = |key: &str| around.settings.of(key).map(ToString::to_string);
    let name = command?.full_name();
    if let Some(reason) = text.strip_prefix(&*command::refused_error(name, "")) {
        let section = match reason.contains("[defaults.namespace]") {
            true => "defaults.namespace.",
            false => "",
        };
        let mut words = reason.split([' ', ';', ',']);
        return words.find_map(|word| setting_of(&format!("{section}{word}")));
    }
    // No setting decides which parameters are sent, but one decides whether any are.
    let is_of_parameter = ["ERR CONFIG SET ", "ERR Unknown option "]
        .iter()
        .any(|start| text.starts_with(start));
    (name == "config|set" && is_of_parameter)
        .then(|| setting_of("commands.admin"))
        .flatten()
}
