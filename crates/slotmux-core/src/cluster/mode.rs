//! The mode of a server, by its own statements in INFO and HELLO. Error texts never decide: an error about a renamed or
//! forbidden command says nothing about the server's mode.

use std::collections::BTreeSet;

use redis::Value;

use super::view::text;

/// The mode that a server states. Where its statements differ the later variant counts: a Sentinel has no data, and a
/// cluster that is taken for a single server passes its redirects on to clients.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ServerMode {
    /// One server that serves every slot.
    Standalone,
    /// A node of a cluster.
    Cluster,
    /// A Sentinel.
    Sentinel,
}

impl ServerMode {
    /// The mode in a field of INFO.
    pub fn of_info(field: &str, value: &str) -> Option<ServerMode> {
        match (field, value) {
            ("redis_mode" | "server_mode" | "valkey_mode", value) => ServerMode::named(value),
            ("cluster_enabled", "1") => Some(ServerMode::Cluster),
            ("cluster_enabled", "0") => Some(ServerMode::Standalone),
            _ => None,
        }
    }

    fn named(name: &str) -> Option<ServerMode> {
        match name {
            "standalone" => Some(ServerMode::Standalone),
            "cluster" => Some(ServerMode::Cluster),
            "sentinel" => Some(ServerMode::Sentinel),
            _ => None,
        }
    }
}

/// The statements of HELLO; empty where one is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerHello {
    /// Whether it is a cluster, a single server, or a Sentinel.
    pub mode: Option<ServerMode>,
    /// Version of the server.
    pub version: String,
    /// `redis`, `valkey` or another kind of server.
    pub name: String,
    /// Whether the role is that of a replica.
    pub is_replica: bool,
    /// Its modules, each with its version.
    pub modules: BTreeSet<String>,
}

impl ServerHello {
    /// Reads the reply, which is a flat array in RESP2.
    pub fn read(reply: &Value) -> ServerHello {
        let mut hello = ServerHello::default();
        let mut take = |field: &Value, value: &Value| {
            if text(field) == Some("modules") {
                hello.modules = modules(value);
            }
            let (Some(field), Some(value)) = (text(field), text(value)) else {
                return;
            };
            match field {
                "mode" => hello.mode = ServerMode::named(value),
                "version" => hello.version = value.to_owned(),
                "server" => hello.name = value.to_owned(),
                "role" => hello.is_replica = value == "replica" || value == "slave",
                _ => {}
            }
        };
        match reply {
            Value::Array(flat) => {
                for pair in flat.chunks_exact(2) {
                    take(&pair[0], &pair[1]);
                }
            }
            Value::Map(pairs) => pairs.iter().for_each(|(field, value)| take(field, value)),
            _ => {}
        }
        hello
    }
}

/// The modules in a reply to HELLO, each a list of fields or a map.
fn modules(value: &Value) -> BTreeSet<String> {
    let of = |module: &Value, name: &str| -> Option<String> {
        let pairs: Vec<(&Value, &Value)> = match module {
            Value::Array(flat) => flat
                .chunks_exact(2)
                .map(|pair| (&pair[0], &pair[1]))
                .collect(),
            Value::Map(pairs) => pairs.iter().map(|(field, value)| (field, value)).collect(),
            _ => return None,
        };
        let mut pairs = pairs.into_iter();
        let (_, value) = pairs.find(|(field, _)| text(field) == Some(name))?;
        match value {
            Value::Int(number) => Some(number.to_string()),
            value => text(value).map(str::to_owned),
        }
    };
    let Value::Array(all) = value else {
        return BTreeSet::new();
    };
    all.iter()
        .filter_map(|module| {
            let version = of(module, "ver").unwrap_or_default();
            Some(format!("{} {version}", of(module, "name")?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_has_its_field() {
        use ServerMode::{Cluster, Sentinel, Standalone};
        for (field, value, expected) in [
            ("redis_mode", "standalone", Some(Standalone)),
            ("redis_mode", "cluster", Some(Cluster)),
            ("redis_mode", "sentinel", Some(Sentinel)),
            ("server_mode", "cluster", Some(Cluster)),
            ("cluster_enabled", "1", Some(Cluster)),
            ("cluster_enabled", "0", Some(Standalone)),
            ("redis_mode", "", None),
            ("cluster_enabled", "", None),
            ("role", "master", None),
        ] {
            assert_eq!(
                ServerMode::of_info(field, value),
                expected,
                "{field}:{value}"
            );
        }
    }

    #[test]
    fn where_statements_differ_the_one_with_worse_consequences_counts() {
        assert!(Some(ServerMode::Sentinel) > Some(ServerMode::Cluster));
        assert!(Some(ServerMode::Cluster) > Some(ServerMode::Standalone));
        assert!(Some(ServerMode::Standalone) > None);
    }

    #[test]
    fn hello_is_read_in_both_protocols() {
        let word = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let fields = [
            ("server", "redis"),
            ("version", "7.0.15"),
            ("mode", "cluster"),
            ("role", "replica"),
        ];
        let mut flat: Vec<Value> = fields
            .iter()
            .flat_map(|(field, value)| [word(field), word(value)])
            .collect();
        let module = [word("name"), word("ReJSON"), word("ver"), Value::Int(20803)];
        let modules = Value::Array(vec![Value::Array(module.to_vec())]);
        flat.extend([word("modules"), modules]);
        let [name, of_name, version, of_version] = module;
        let module = Value::Map(vec![(name, of_name), (version, of_version)]);
        let map = fields
            .iter()
            .map(|(field, value)| (word(field), word(value)))
            .chain([(word("modules"), Value::Array(vec![module]))]);
        let expected = ServerHello {
            mode: Some(ServerMode::Cluster),
            version: "7.0.15".to_owned(),
            name: "redis".to_owned(),
            is_replica: true,
            modules: BTreeSet::from(["ReJSON 20803".to_owned()]),
        };
        assert_eq!(ServerHello::read(&Value::Array(flat)), expected);
        assert_eq!(ServerHello::read(&Value::Map(map.collect())), expected);
        for nonsense in [Value::Nil, Value::Okay, Value::Array(vec![word("mode")])] {
            assert_eq!(ServerHello::read(&nonsense), ServerHello::default());
        }
    }
}
