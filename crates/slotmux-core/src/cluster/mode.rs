//! The mode of a server, by its own statements in INFO and HELLO. Error texts never decide: an error about a renamed or
//! forbidden command says nothing about the server's mode.

use redis::Value;

use super::server::ServerModule;
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
    /// Its availability zone.
    pub zone: Option<String>,
    /// Its modules.
    pub modules: Vec<ServerModule>,
}

impl ServerHello {
    /// Reads the reply, which is a flat array in RESP2.
    pub fn read(reply: &Value) -> ServerHello {
        let mut hello = ServerHello::default();
        let mut take = |field: &Value, value: &Value| {
            let Some(field) = text(field) else { return };
            if field == "modules" {
                hello.modules = ServerModule::read(value);
            }
            let Some(value) = text(value) else { return };
            match field {
                "availability_zone" if !value.is_empty() => hello.zone = Some(value.to_owned()),
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
            modules: vec![ServerModule {
                name: "ReJSON".to_owned(),
                version: 20803,
                ..ServerModule::default()
            }],
            ..ServerHello::default()
        };
        assert_eq!(ServerHello::read(&Value::Array(flat)), expected);
        assert_eq!(ServerHello::read(&Value::Map(map.collect())), expected);
        let lua = ServerModule {
            name: "lua".to_owned(),
            version: 3,
            path: Some(String::new()),
            args: Some(vec!["a".to_owned()]),
        };
        let fields = [
            ("name", word("lua")),
            ("ver", Value::Int(3)),
            ("path", word("")),
            ("args", Value::Array(vec![word("a")])),
        ];
        let flat = fields
            .iter()
            .flat_map(|(field, value)| [word(field), value.clone()]);
        let map = fields
            .iter()
            .map(|(field, value)| (word(field), value.clone()));
        for module in [Value::Array(flat.collect()), Value::Map(map.collect())] {
            let modules = Value::Array(vec![module, Value::Nil, Value::Array(vec![])]);
            let hello = ServerHello::read(&Value::Array(vec![
                word("modules"),
                modules,
                word("availability_zone"),
                word("eu-1a"),
            ]));
            assert_eq!(hello.modules, std::slice::from_ref(&lua));
            assert_eq!(hello.zone.as_deref(), Some("eu-1a"));
        }
        for nonsense in [Value::Nil, Value::Okay, Value::Array(vec![word("mode")])] {
            assert_eq!(ServerHello::read(&nonsense), ServerHello::default());
        }
    }
}
