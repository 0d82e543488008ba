//! Environment variables: the short names of a few keys, and `SLOTMUX__SECTION__KEY` for any of them. An empty
//! variable counts as one that is not set.

use std::collections::BTreeMap;
use std::time::Duration;

use super::layer::Layer;
use super::problem::{Origin, Reading};
use super::value::{ConfigValue, ValueData};
use super::{Config, User, read};

/// The file to read, unless `--config` names one.
pub(super) const CONFIG: &str = "SLOTMUX_CONFIG";
/// The upstream; alone it is enough to start.
const REDIS_URL: &str = "REDIS_URL";
const PASSWORD: &str = "SLOTMUX_PASSWORD";
const MAX_CONNECTIONS: &str = "REDIS_MAX_CONNECTIONS";
const GENERIC: &str = "SLOTMUX__";

enum VariableForm {
    AsInFile,
    /// The variable is a number of seconds, perhaps with a fraction.
    Seconds,
    /// The variable is a boolean: true or false, yes or no, 1 or 0.
    YesOrNo,
}

/// Variables that stand for one key.
const NAMED: [(&str, &str, VariableForm); 12] = [
    (REDIS_URL, "cluster.seeds", VariableForm::AsInFile),
    ("REDIS_USERNAME", "cluster.username", VariableForm::AsInFile),
    ("REDIS_PASSWORD", "cluster.password", VariableForm::AsInFile),
    (
        "REDIS_CONNECTION_TIMEOUT",
        "cluster.connections.connect_timeout",
        VariableForm::Seconds,
    ),
    (
        "REDIS_SOCKET_TIMEOUT",
        "cluster.timeouts.response",
        VariableForm::Seconds,
    ),
    (
        "REDIS_HEALTH_CHECK_INTERVAL",
        "cluster.connections.health_interval",
        VariableForm::Seconds,
    ),
    (
        "REDIS_RETRY_ON_TIMEOUT",
        "cluster.retry.on_timeout",
        VariableForm::YesOrNo,
    ),
    ("SLOTMUX_LISTEN", "listener.bind", VariableForm::AsInFile),
    (
        "SLOTMUX_MAX_CLIENTS",
        "server.max_clients",
        VariableForm::AsInFile,
    ),
    ("SLOTMUX_WORKERS", "server.workers", VariableForm::AsInFile),
    ("SLOTMUX_LOG", "log.level", VariableForm::AsInFile),
    ("SLOTMUX_ADMIN", "admin.bind", VariableForm::AsInFile),
];

/// Every variable with a name of its own.
pub fn names() -> Vec<&'static str> {
    let named = NAMED.iter().map(|(variable, _, _)| *variable);
    named.chain([CONFIG, PASSWORD, MAX_CONNECTIONS]).collect()
}

/// Whether a variable of this name has a meaning other than a TTL.
pub(super) fn is_taken(name: &str) -> bool {
    names().contains(&name) || name.starts_with(GENERIC)
}

/// Whether the process environment names an upstream.
pub fn names_an_upstream() -> bool {
    [CONFIG, REDIS_URL]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|text| !text.is_empty()))
}

/// The variable's text, if it is set and not empty.
pub(super) fn get<'a>(env: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    env.get(name)
        .map(String::as_str)
        .filter(|text| !text.is_empty())
}

/// The values of the variables with short names.
pub(super) fn named(env: &BTreeMap<String, String>, reading: &mut Reading) -> ConfigValue {
    let mut layer = Layer::new();
    for (variable, key, unit) in &NAMED {
        let Some(text) = get(env, variable) else {
            continue;
        };
        let origin = Origin::Variable((*variable).into());
        let (data, expected) = match unit {
            VariableForm::AsInFile => (Some(ValueData::Word(text.to_owned())), ""),
            VariableForm::Seconds => (
                seconds(text).map(ValueData::Duration),
                "a number of seconds",
            ),
            VariableForm::YesOrNo => (yes_or_no(text).map(ValueData::Boolean), "true or false"),
        };
        if data.is_none() {
            reading.problem(&origin, format!("expected {expected}, got {text:?}"));
        }
        layer.add(key, origin, data.unwrap_or(ValueData::Broken));
    }
    layer.into_value()
}

/// The values of the `SLOTMUX__SECTION__KEY` variables.
pub(super) fn generic(env: &BTreeMap<String, String>, reading: &mut Reading) -> ConfigValue {
    let mut layer = Layer::new();
    for (variable, text) in env {
        let Some(path) = variable.strip_prefix(GENERIC).filter(|_| !text.is_empty()) else {
            continue;
        };
        let origin = Origin::Variable(variable.as_str().into());
        let key = path.to_ascii_lowercase().replace("__", ".");
        if key.starts_with("user.") {
            reading.problem(
                &origin,
                format!("users are set in the file, the default user's password by {PASSWORD}"),
            );
            continue;
        }
        layer.add(&key, origin, ValueData::Word(text.clone()));
    }
    layer.into_value()
}

/// A number of seconds, rounded up to whole milliseconds, the smallest unit of a file.
fn seconds(text: &str) -> Option<Duration> {
    let exact = Duration::try_from_secs_f64(text.trim().parse().ok()?).ok()?;
    let millis = exact.as_nanos().div_ceil(1_000_000);
    u64::try_from(millis).ok().map(Duration::from_millis)
}

/// A boolean in any of the spellings that other programs use, in upper or lower case.
fn yes_or_no(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Some(true),
        "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// `SLOTMUX_PASSWORD`: the password of the default user, in place of those in the file.
pub(super) fn default_password(
    config: &mut Config,
    env: &BTreeMap<String, String>,
    reading: &mut Reading,
) {
    let (Some(text), Some(listener)) = (get(env, PASSWORD), config.listeners.first()) else {
        return;
    };
    let origin = Origin::Variable(PASSWORD.into());
    let value = ConfigValue {
        key: "user.passwords".into(),
        origin,
        data: ValueData::Word(text.to_owned()),
    };
    let Some(passwords) = read::secrets(&value, reading) else {
        return;
    };
    let name = listener.default_user.clone();
    let number = config.users.iter().position(|user| user.name == name);
    let number = number.unwrap_or_else(|| {
        let number = config.users.len();
        reading.given(&format!("user[{number}].name"), &value.origin);
        config.users.push(User {
            name,
            passwords: Vec::new(),
        });
        number
    });
    config.users[number].passwords = passwords;
    reading.given(&format!("user[{number}].passwords"), &value.origin);
}

/// `REDIS_MAX_CONNECTIONS`: the maximum number of connections to one node. The lanes take their share first, dedicated
/// connections the rest.
pub(super) fn cap_connections(
    config: &mut Config,
    env: &BTreeMap<String, String>,
    reading: &mut Reading,
) {
    let Some(text) = get(env, MAX_CONNECTIONS) else {
        return;
    };
    let origin = Origin::Variable(MAX_CONNECTIONS.into());
    let Ok(most) = text.trim().parse::<usize>() else {
        reading.problem(&origin, format!("expected a whole number, got {text:?}"));
        return;
    };
    // A worker has separate lanes for RESP2 and RESP3 clients.
    let (workers, shared) = (config.server.workers, config.cluster.connections.shared);
    let lanes = workers.saturating_mul(shared).saturating_mul(2);
    match most.checked_sub(lanes) {
        Some(rest) => {
            config.cluster.connections.own_max = Some(rest);
            let dedicated = &mut config.cluster.connections.dedicated_max;
            if rest < *dedicated {
                *dedicated = rest;
                reading.given("cluster.connections.dedicated_max", &origin);
            }
        }
        None => reading.problem(
            &origin,
            format!(
                "{most} is too few: {workers} workers with {shared} lanes for each of two protocols need {lanes} \
                 connections to a node; lower server.workers"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_whole_milliseconds() {
        for (text, millis) in [
            ("0", Some(0)),
            (" 5 ", Some(5000)),
            ("0.1", Some(100)),
            ("0.3", Some(300)),
            ("1.0005", Some(1001)),
            ("0.0000001", Some(1)),
            ("-1", None),
            ("nan", None),
            ("1e300", None),
            ("1e19", None),
            ("5s", None),
        ] {
            assert_eq!(seconds(text), millis.map(Duration::from_millis), "{text}");
        }
    }
}
