//! The parameters of CONFIG GET and CONFIG SET, and the class of each. Code decides by the class of a parameter, never
//! by its name.
//!
//! A *parameter* is read and set with CONFIG; a *setting* is a key of slotmux' own configuration ([`crate::config`]); an
//! *option* is a word of a request, such as `EX`.

mod table;

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::c_string;

use table::{LIKE_A_SECRET, PREFIXES, SECRET_WORDS, TABLE};

/// Class of a parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParameterClass {
    /// About the nodes' data: read from a primary, set on every node.
    Data,
    /// About client connections, and so slotmux' own: slotmux answers with its value, if it has one. Set only in its
    /// configuration file.
    Own,
    /// Read from a primary; not set, for this reason.
    Guarded(&'static str),
    /// The same, but read only by clients that administer the nodes: addresses and paths behind slotmux.
    Private(&'static str),
    /// Neither read nor set, for this reason.
    Secret(&'static str),
    /// No version that slotmux knows has it: read from a primary, not set.
    Unknown,
}

static CLASSES: LazyLock<HashMap<&'static str, ParameterClass>> = LazyLock::new(|| {
    let all = TABLE
        .iter()
        .flat_map(|(class, names)| names.iter().map(|name| (*name, *class)));
    all.collect()
});

/// Longest name that is looked up, in bytes: no parameter's name is longer, and a client may send any length.
const LONGEST: usize = 128;

/// Class of the parameter of this name, in any case.
pub fn class_of(name: &[u8]) -> ParameterClass {
    let Some(name) = str::from_utf8(c_string::of(name))
        .ok()
        .filter(|name| name.len() <= LONGEST)
    else {
        return ParameterClass::Unknown;
    };
    let name = name.to_ascii_lowercase();
    if let Some(class) = CLASSES.get(&*name) {
        return *class;
    }
    if SECRET_WORDS.iter().any(|word| name.contains(word)) {
        return LIKE_A_SECRET;
    }
    let by_prefix = PREFIXES.iter().find(|(prefix, _)| name.starts_with(prefix));
    by_prefix.map_or(ParameterClass::Unknown, |(_, class)| *class)
}

/// Whether the table lists the parameter by its full name, not only by a prefix.
pub fn is_listed(name: &str) -> bool {
    CLASSES.contains_key(name)
}

/// Whether an argument of CONFIG GET is a pattern rather than a plain name.
pub fn is_pattern(argument: &[u8]) -> bool {
    let mut bytes = c_string::of(argument).iter();
    bytes.any(|byte| b"[*?".contains(byte))
}

/// Longest quotation of a name in an error, in bytes.
const QUOTED: usize = 64;

/// The error for a CONFIG SET of this parameter, without the leading `-`; `None` if it is sent to the nodes.
pub fn set_refusal(name: &[u8]) -> Option<String> {
    let reason = match class_of(name) {
        ParameterClass::Data => return None,
        ParameterClass::Own => "slotmux has its own, in its configuration file",
        ParameterClass::Guarded(reason)
        | ParameterClass::Private(reason)
        | ParameterClass::Secret(reason) => reason,
        ParameterClass::Unknown => {
            return Some(format!(
                "ERR Unknown option or number of arguments for CONFIG SET - '{}': slotmux does not know what it is \
                 about, and sets it at no node",
                quoted(name)
            ));
        }
    };
    Some(format!(
        "ERR CONFIG SET failed (possibly related to argument '{}') - {reason}",
        quoted(name)
    ))
}

fn quoted(name: &[u8]) -> String {
    let name = c_string::of(name);
    let name = name.get(..QUOTED).unwrap_or(name);
    name.to_ascii_lowercase().escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_parameter_stands_once_and_in_lower_case() {
        let mut seen = HashSet::new();
        for (class, names) in TABLE {
            for name in *names {
                assert!(seen.insert(*name), "{name} stands twice");
                assert!(name.len() <= QUOTED && *name == name.to_lowercase());
                assert_eq!(class_of(name.to_uppercase().as_bytes()), *class, "{name}");
            }
        }
        for (prefix, class) in PREFIXES {
            assert_eq!(
                class_of(format!("{prefix}of-tomorrow").as_bytes()),
                *class,
                "{prefix}"
            );
        }
    }

    #[test]
    fn what_could_lock_slotmux_out_is_not_set() {
        for name in [
            "requirepass",
            "RequirePass",
            "masterauth",
            "masteruser",
            "primaryauth",
            "port",
            "bind",
            "maxclients",
            "maxmemory-clients",
            "client-output-buffer-limit",
            "protected-mode",
            "tls-port",
            "tls-auth-clients",
            "tls-of-tomorrow",
            "cluster-announce-ip",
            "cluster-announce-of-tomorrow",
            "cluster-node-timeout",
            "aclfile",
            "acl-of-tomorrow",
            "rename-command",
            "replicaof",
            "repl-timeout",
            "dir",
            "user",
            "nosuch",
            "module.password",
            "",
        ] {
            assert!(set_refusal(name.as_bytes()).is_some(), "{name}");
        }
        for name in [
            "maxmemory",
            "NOTIFY-keyspace-events",
            "save",
            "search-timeout",
        ] {
            assert_eq!(set_refusal(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn possible_passwords_are_never_shown() {
        for name in [
            "requirepass",
            "ldap.bind_password",
            "sso-token",
            "oauth-client",
            "x-key-file",
        ] {
            assert!(
                matches!(class_of(name.as_bytes()), ParameterClass::Secret(_)),
                "{name}"
            );
        }
        assert_eq!(class_of(b"tls-auth-clients"), class_of(b"tls-protocols"));
        assert_eq!(class_of(b"\xff"), ParameterClass::Unknown);
        assert_eq!(class_of(&[b'a'; 1000]), ParameterClass::Unknown);
        let error = set_refusal(&[b'\n'; 1000]).expect("an error");
        assert!(error.len() < 400 && !error.contains('\n'), "{error}");
    }

    #[test]
    fn patterns() {
        for (argument, expected) in [
            (&b"save"[..], false),
            (b"sav?", true),
            (b"[s]ave", true),
            (b"*", true),
            (b"save\0*", false),
            (b"", false),
        ] {
            assert_eq!(
                is_pattern(argument),
                expected,
                "{}",
                argument.escape_ascii()
            );
        }
    }
}
