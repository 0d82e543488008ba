//! The upstream's servers: what each says of itself, and the version whose habits slotmux follows.

use std::sync::Arc;

use redis::Value;

use super::view::text;

/// One server, as it states itself in `INFO` and `HELLO`. An empty version is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerIdentity {
    /// `server_name` of INFO: `redis`, `valkey` or another name.
    pub name: String,
    /// `redis_version` of INFO. Valkey reports a compatible Redis version here.
    pub version: String,
    /// `valkey_version` of INFO, which only Valkey has.
    pub valkey_version: Option<String>,
    /// `server` of HELLO. A Valkey may be configured to call itself `redis` here.
    pub greeting_name: String,
    /// `version` of HELLO.
    pub greeting_version: String,
    /// Its availability zone.
    pub zone: Option<String>,
    /// Its modules, as HELLO lists them.
    pub modules: Vec<ServerModule>,
}

/// A module of a server, as HELLO lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerModule {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: i64,
    /// The file it was loaded from. Servers before 7.0 leave it out.
    pub path: Option<String>,
    /// The arguments it was loaded with. Servers before 7.0 leave them out.
    pub args: Option<Vec<String>>,
}

/// Kind and version of a server in numbers. The order is that of age; a version that is not known is the oldest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerVersion {
    redis: (u16, u16, u16),
    valkey: Option<(u16, u16, u16)>,
}

impl ServerVersion {
    /// From `redis_version` and `valkey_version`. Parts that are no numbers are 0.
    pub fn new(redis: &str, valkey: Option<&str>) -> ServerVersion {
        ServerVersion {
            redis: numbers(redis),
            valkey: valkey.map(numbers),
        }
    }

    /// Whether it is a Redis of this version or a newer one.
    pub(crate) fn is_redis_from(self, major: u16, minor: u16) -> bool {
        self.valkey.is_none() && self.redis >= (major, minor, 0)
    }

    /// Whether it is a Valkey of this version or a newer one.
    pub(crate) fn is_valkey_from(self, major: u16, minor: u16) -> bool {
        self.valkey >= Some((major, minor, 0))
    }

    /// Whether INFO takes several sections.
    pub fn takes_sections(self) -> bool {
        self.redis >= (7, 0, 0)
    }

    /// Whether INFO lists the addresses of the server, and counts the clients that listen to channels.
    pub fn lists_listeners(self) -> bool {
        self.redis >= (7, 2, 0)
    }

    /// Whether INFO has fields about a CLIENT PAUSE.
    pub fn tells_of_pauses(self) -> bool {
        self.is_valkey_from(8, 1)
    }

    /// Whether INFO has the fields of CLUSTER INFO.
    pub fn has_cluster_section(self) -> bool {
        self.is_valkey_from(9, 1)
    }

    /// Whether the error for an unknown command without arguments does not announce any. Redis 8.2 announces them, and the
    /// development version of Redis 8 does not.
    pub fn lists_only_arguments_that_are_there(self) -> bool {
        self.valkey.is_none() && self.redis >= (8, 3, 0)
    }

    /// Whether MULTI and WATCH inside MULTI have EXEC run nothing. The others only refuse them.
    pub fn aborts_nested_multi(self) -> bool {
        self.is_valkey_from(8, 1)
    }

    /// Whether the error of a command that MULTI forbids names the command.
    pub fn names_forbidden_in_multi(self) -> bool {
        self.is_valkey_from(9, 1)
    }

    /// Whether a cluster may have several databases, so that SELECT is not refused as such.
    pub fn has_cluster_databases(self) -> bool {
        self.is_valkey_from(9, 0)
    }

    /// Whether a cursor may begin with spaces, and not be empty or negative.
    pub fn reads_cursors_as_numbers(self) -> bool {
        self.valkey.is_some_and(|version| version >= (8, 0, 0)) || self.redis >= (7, 4, 0)
    }

    /// Whether an argument of an inline request goes on behind a closing quote.
    pub fn joins_quoted_parts(self) -> bool {
        self.is_valkey_from(9, 0)
    }

    /// Whether a backslash in front of the line's last byte is no escape in an inline request.
    pub fn needs_room_for_escapes(self) -> bool {
        self.is_valkey_from(9, 1)
    }

    /// Whether the byte 0xff, with which telnet begins its own commands, is left out of inline requests.
    pub fn drops_telnet_bytes(self) -> bool {
        self.is_valkey_from(8, 1)
    }
}

/// `7.4.1`, `8.0-rc1`: the numbers at the front of each part.
fn numbers(version: &str) -> (u16, u16, u16) {
    let mut parts = version.split('.').map(|part| {
        let end = part.find(|c: char| !c.is_ascii_digit());
        part[..end.unwrap_or(part.len())].parse().unwrap_or(0)
    });
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}

impl ServerIdentity {
    /// Its kind and version in numbers.
    pub fn number(&self) -> ServerVersion {
        ServerVersion::new(&self.version, self.valkey_version.as_deref())
    }

    /// The server as which slotmux presents itself: the oldest of those with a known version, with the modules that
    /// all of them have and the zone that all of them are in. Empty if none told.
    pub fn of_all<'a>(servers: impl Iterator<Item = &'a Arc<ServerIdentity>>) -> ServerIdentity {
        let known: Vec<&Arc<ServerIdentity>> = servers
            .filter(|server| !server.version.is_empty())
            .collect();
        let Some(oldest) = known.iter().min_by_key(|server| server.number()) else {
            return ServerIdentity::default();
        };
        let mut all = ServerIdentity::clone(oldest);
        if known.iter().any(|server| server.zone != all.zone) {
            all.zone = None;
        }
        for module in &mut all.modules {
            let others = known.iter().flat_map(|server| &server.modules);
            let others = others.filter(|other| other.name == module.name);
            module.version = others.map(|other| other.version).min().unwrap_or_default();
        }
        all.modules.retain(|module| {
            let has = |server: &&Arc<ServerIdentity>| {
                server.modules.iter().any(|other| other.name == module.name)
            };
            known.iter().all(has)
        });
        all
    }
}

impl ServerModule {
    /// The modules in HELLO's reply, which are maps, or flat arrays in RESP2. Unreadable ones are left out.
    pub fn read(list: &Value) -> Vec<ServerModule> {
        let Value::Array(modules) = list else {
            return Vec::new();
        };
        modules.iter().filter_map(ServerModule::read_one).collect()
    }

    fn read_one(module: &Value) -> Option<ServerModule> {
        let pairs: Vec<(&Value, &Value)> = match module {
            Value::Array(flat) => {
                let pairs = flat.chunks_exact(2);
                pairs.map(|pair| (&pair[0], &pair[1])).collect()
            }
            Value::Map(pairs) => pairs.iter().map(|(name, value)| (name, value)).collect(),
            _ => return None,
        };
        let mut read = ServerModule::default();
        for (field, value) in pairs {
            match (text(field)?, value) {
                ("name", value) => read.name = text(value)?.to_owned(),
                ("ver", Value::Int(version)) => read.version = *version,
                ("path", value) => read.path = text(value).map(str::to_owned),
                ("args", Value::Array(args)) => {
                    let args = args.iter().map(|arg| text(arg).map(str::to_owned));
                    read.args = args.collect();
                }
                _ => {}
            }
        }
        (!read.name.is_empty()).then_some(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(version: &str, valkey: Option<&str>) -> ServerIdentity {
        ServerIdentity {
            version: version.to_owned(),
            valkey_version: valkey.map(str::to_owned),
            ..ServerIdentity::default()
        }
    }

    #[test]
    fn versions_are_ordered_by_age() {
        let ages = [
            ("", None),
            ("6.2.14", None),
            ("7.0.15", None),
            ("7.2.4", None),
            ("7.2.4", Some("8.0.4")),
            ("7.2.4", Some("8.1.1")),
            ("7.2.4", Some("9.1.2")),
            ("7.4.1", None),
            ("8.0-rc1", None),
            ("8.2.3", None),
            ("10.0.0", None),
            ("255.255.255", None),
        ];
        let numbers = ages.map(|(redis, valkey)| ServerVersion::new(redis, valkey));
        assert!(numbers.is_sorted());
        let aborts = numbers.map(ServerVersion::aborts_nested_multi);
        assert_eq!(aborts.iter().filter(|aborts| **aborts).count(), 2);
        let lenient = numbers.map(ServerVersion::reads_cursors_as_numbers);
        assert_eq!(lenient.iter().filter(|is| **is).count(), 8);
        assert_eq!(ServerVersion::new("x.y", None), ServerVersion::default());
    }

    #[test]
    fn the_oldest_speaks_and_only_what_all_have_is_said() {
        let module = |name: &str, version| ServerModule {
            name: name.to_owned(),
            version,
            ..ServerModule::default()
        };
        let mut new = server("7.2.4", Some("9.1.2"));
        new.modules = vec![module("lua", 1), module("json", 3)];
        new.zone = Some("a".to_owned());
        let mut old = server("7.2.4", Some("8.1.1"));
        old.modules = vec![module("json", 4), module("old", 1)];
        old.zone = Some("a".to_owned());
        let unknown = Arc::new(ServerIdentity::default());
        let mut all = vec![Arc::new(new), Arc::new(old), unknown];
        let said = ServerIdentity::of_all(all.iter());
        assert_eq!(said.valkey_version.as_deref(), Some("8.1.1"));
        assert_eq!(said.modules, [module("json", 3)]);
        assert_eq!(said.zone.as_deref(), Some("a"));
        all.push(Arc::new(server("8.0.0", None)));
        let said = ServerIdentity::of_all(all.iter());
        assert_eq!((said.modules.len(), said.zone), (0, None));
        assert_eq!(ServerIdentity::of_all([].iter()), ServerIdentity::default());
    }
}
