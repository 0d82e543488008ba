//! Reads values that few keys have: switches, addresses, passwords, limits of two parts, log levels.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::acl_words;
use super::host_name::plain_host_name;
use super::log_filter;
use super::problem::{Reading, without_indices};
use super::seed::{self, Seeds};
use super::value::{ConfigValue, ValueData, is_none};
use super::{Addr, Cluster, ListenAddress, Password, Secret};
use crate::command::lookup;

/// Largest password file, in bytes: it holds one password.
const PASSWORD_FILE_MAX: u64 = 64 * 1024;

const KIB: u64 = 1 << 10;
const GIB: u64 = 1 << 30;

/// `retry.on_timeout`, `namespace.read_only`: a boolean.
pub(super) fn boolean(value: &ConfigValue, reading: &mut Reading) -> Option<bool> {
    const EXPECTED: &str = "true or false";
    match &value.data {
        ValueData::Boolean(boolean) => return Some(*boolean),
        ValueData::Word(text) => match text.trim().parse() {
            Ok(boolean) => return Some(boolean),
            Err(_) => value.wrong(reading, format_args!("expected {EXPECTED}, got {text:?}")),
        },
        _ => value.mistyped(reading, EXPECTED),
    }
    None
}

/// `listener.bind`: addresses, also as a comma list.
pub(super) fn binds(value: &ConfigValue, reading: &mut Reading) -> Option<Vec<ListenAddress>> {
    let binds = value.list_of(reading, |element, reading| {
        let text = element.text(reading, "an address in quotes")?;
        let mut binds = Vec::new();
        for piece in text.split(',').map(str::trim) {
            let Some(bind) = bind(piece) else {
                let hint = match piece.strip_prefix(['*', ':']) {
                    Some(rest) => format!(
                        "; every address is \"0.0.0.0:{}\"",
                        rest.trim_start_matches(':')
                    ),
                    None => String::new(),
                };
                let expected = "expected \"IP:port\" or \"unix:path\"";
                element.wrong(reading, format_args!("{expected}, got {piece:?}{hint}"));
                return None;
            };
            binds.push(bind);
        }
        Some(binds)
    });
    let binds = binds?.concat();
    if binds.is_empty() {
        value.wrong(reading, "an empty list: no client could connect");
        return None;
    }
    Some(binds)
}

fn bind(text: &str) -> Option<ListenAddress> {
    match text.strip_prefix("unix:") {
        Some("") => None,
        Some(path) => Some(ListenAddress::Unix(path.into())),
        None => socket_addr(text).map(ListenAddress::Tcp),
    }
}

/// An IP address and port. `localhost` is the only name: it needs no look-up.
fn socket_addr(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => Some((IpAddr::V4(Ipv4Addr::LOCALHOST), port.parse().ok()?).into()),
        None => text.parse().ok(),
    }
}

/// `admin.bind`: an address or `"none"`.
pub(super) fn admin_bind(value: &ConfigValue, reading: &mut Reading) -> Option<Option<SocketAddr>> {
    let text = value.text(reading, "an address in quotes")?;
    if is_none(text) {
        return Some(None);
    }
    let addr = socket_addr(text);
    if addr.is_none() {
        value.wrong(
            reading,
            format_args!("expected \"IP:port\" or \"none\", got {text:?}"),
        );
    }
    addr.map(Some)
}

/// `admin.hosts`: names without scheme and port, also as a comma-separated list, in the spelling in which they are
/// compared.
pub(super) fn host_names(value: &ConfigValue, reading: &mut Reading) -> Option<Vec<String>> {
    let names = value.list_of(reading, |element, reading| {
        let text = element.text(reading, "a host name in quotes")?;
        let mut names = Vec::new();
        for piece in text.split(',').map(str::trim) {
            let Some(name) = plain_host_name(piece) else {
                let expected = "expected a host name without scheme and port such as \"slotmux\"";
                element.wrong(reading, format_args!("{expected}, got {piece:?}"));
                return None;
            };
            names.push(name);
        }
        Some(names)
    })?;
    Some(names.concat())
}

/// `commands.one_node`: names of commands that the table lacks, in any case and with `*`; also as a comma list.
pub(super) fn command_patterns(value: &ConfigValue, reading: &mut Reading) -> Option<Vec<String>> {
    let patterns = value.list_of(reading, |element, reading| {
        let text = element.text(reading, "a command's name in quotes")?;
        let mut patterns = Vec::new();
        for piece in text.split(',').map(str::trim) {
            if piece.is_empty() || piece.contains(char::is_whitespace) {
                let expected = "expected a command's name such as \"graph.config\" or \"graph.*\"";
                element.wrong(reading, format_args!("{expected}, got {piece:?}"));
                return None;
            }
            if lookup(piece.as_bytes()).is_some() {
                let why = "is a command that slotmux knows: the setting is for commands of modules";
                element.wrong(reading, format_args!("{piece:?} {why}"));
                return None;
            }
            patterns.push(piece.to_ascii_lowercase());
        }
        Some(patterns)
    })?;
    Some(patterns.concat())
}

/// `listener.announce`: `host:port` or `"none"`.
pub(super) fn announce(value: &ConfigValue, reading: &mut Reading) -> Option<Option<Addr>> {
    let text = value.text(reading, "an address in quotes")?;
    if is_none(text) {
        return Some(None);
    }
    let addr: Option<Addr> = text.parse().ok();
    if addr.is_none() {
        value.wrong(
            reading,
            format_args!("expected \"host:port\" or \"none\", got {text:?}"),
        );
    }
    addr.map(Some)
}

/// `listener.limits.output_soft`: a size for a duration, or `"none"`.
pub(super) fn output_soft(
    value: &ConfigValue,
    reading: &mut Reading,
) -> Option<Option<(usize, Duration)>> {
    const EXPECTED: &str = "a size and a duration such as \"8MiB/10s\", or \"none\"";
    if is_none(value.text(reading, EXPECTED)?) {
        return Some(None);
    }
    let [size, duration] = value.halves("/", EXPECTED, reading)?;
    let size = size.bytes(KIB..=16 * GIB, reading)?;
    let duration = duration.duration(Duration::ZERO..=Duration::from_secs(86_400), reading)?;
    Some(Some((size, duration)))
}

/// `cluster.seeds`: addresses, perhaps with a user and password.
pub(super) fn seeds(cluster: &mut Cluster, value: &ConfigValue, reading: &mut Reading) {
    let mut seeds = Seeds::default();
    let added = value.list_of(reading, |element, reading| {
        let text = element.text(reading, "an address in quotes")?;
        seeds
            .add(text)
            .map_err(|why| element.wrong(reading, why))
            .ok()
    });
    if added.is_none() {
        return;
    }
    if seeds.addrs.is_empty() {
        value.wrong(reading, "an empty list: there is nothing to connect to");
        return;
    }
    cluster.seeds = seeds.addrs;
    if let Some((username, password)) = seeds.credentials {
        cluster.username = username;
        cluster.passwords = vec![password];
        let section = value.key.trim_end_matches("seeds");
        for key in ["username", "password"] {
            reading.given(&format!("{section}{key}"), &value.origin);
        }
    }
}

/// `cluster.address_map`: announced address to the one to connect to.
pub(super) fn addr_map(value: &ConfigValue, reading: &mut Reading) -> Option<HashMap<Addr, Addr>> {
    let ValueData::Table(entries) = &value.data else {
        value.mistyped(
            reading,
            "a table such as { \"10.0.0.5:6379\" = \"node5.example.net:16379\" }",
        );
        return None;
    };
    let mut map = HashMap::new();
    for entry in entries {
        let announced = seed::addr(&entry.name);
        if let Err(why) = &announced {
            reading.problem(&entry.origin, format!("cluster.address_map: {why}"));
        }
        let Some(text) = entry.value.text(reading, "an address in quotes") else {
            continue;
        };
        match (announced, seed::addr(text)) {
            (Ok(announced), Ok(actual)) => {
                map.insert(announced, actual);
            }
            (_, Err(why)) => {
                reading.problem(&entry.value.origin, format!("cluster.address_map: {why}"))
            }
            (Err(_), Ok(_)) => {}
        }
    }
    Some(map)
}

/// `cluster.password`: one or a list. An empty one is left out, so that `"${REDIS_PASSWORD:-}"` can be written.
pub(super) fn passwords(value: &ConfigValue, reading: &mut Reading) -> Option<Vec<Password>> {
    let mut passwords = value.list_of(reading, |element, reading| {
        let text = element.text(reading, "a password in quotes")?;
        // A password file is read literally.
        if let Some(why) = acl_words::in_upstream(text) {
            element.wrong(reading, why);
            return None;
        }
        if let Some(doubt) = acl_words::doubt_in_upstream(text) {
            let key = without_indices(&element.key);
            reading.warn(&element.origin, format!("{key}: {doubt}"));
        }
        resolve(text, element, reading)
    })?;
    passwords.retain(|password| !password.is_empty());
    Some(passwords.into_iter().map(Password::from).collect())
}

/// `user.passwords`: one or a list, plain or hashed. An empty one is refused because it would admit every client.
pub(super) fn secrets(value: &ConfigValue, reading: &mut Reading) -> Option<Vec<Secret>> {
    let secrets = value.list_of(reading, |element, reading| {
        let text = element.text(reading, "a password in quotes")?;
        let password = resolve(text, element, reading)?;
        if password.is_empty() {
            element.wrong(reading, "an empty password would admit every client");
            return None;
        }
        if let Some(why) = acl_words::in_user(&password) {
            element.wrong(reading, why);
            return None;
        }
        let Some(digest) = password.strip_prefix("sha256:") else {
            return Some(Secret::plain(&password));
        };
        let secret = Secret::hashed(digest);
        if secret.is_none() {
            element.wrong(reading, "expected 64 hexadecimal digits after \"sha256:\"");
        }
        secret
    })?;
    if secrets.is_empty() {
        value.wrong(
            reading,
            "an empty list: no client could log in as this user",
        );
        return None;
    }
    Some(secrets)
}

/// The text itself, or the content of the file that it names, without the newline at the end.
fn resolve(text: &str, value: &ConfigValue, reading: &mut Reading) -> Option<String> {
    let Some(path) = text.strip_prefix("file:") else {
        return Some(text.to_owned());
    };
    let mut password = String::new();
    let read = File::open(reading.folder.join(path))
        .and_then(|file| file.take(PASSWORD_FILE_MAX).read_to_string(&mut password));
    if let Err(error) = read {
        value.wrong(
            reading,
            format_args!("cannot read the password from {path:?}: {error}"),
        );
        return None;
    }
    let password = password.strip_suffix('\n').unwrap_or(&password);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() {
        value.wrong(reading, format_args!("the file {path:?} holds no password"));
        return None;
    }
    Some(password.to_owned())
}

/// `log.level`, as [`log_filter::filter`] reads it.
pub(super) fn log_level(value: &ConfigValue, reading: &mut Reading) -> Option<String> {
    let text = value.text(reading, "a level in quotes")?;
    match log_filter::filter(text) {
        Ok(_) => Some(text.to_owned()),
        Err(why) => {
            value.wrong(reading, why);
            None
        }
    }
}
