//! The kind and version of the server that slotmux appears to be, as far as answers depend on them.

use super::AnswerHost;

/// A server, by kind, with its major and minor version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShownServer {
    /// A Redis.
    Redis(u32, u32),
    /// A Valkey, by its own version.
    Valkey(u32, u32),
}

impl ShownServer {
    /// The server with these versions; a number that cannot be read is 0.
    pub fn of(server_version: &str, valkey_version: Option<&str>) -> ShownServer {
        let numbers = |version: &str| {
            let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
            let mut number = || numbers.next().unwrap_or(0);
            (number(), number())
        };
        match valkey_version.map(numbers) {
            Some((major, minor)) => ShownServer::Valkey(major, minor),
            None => {
                let (major, minor) = numbers(server_version);
                ShownServer::Redis(major, minor)
            }
        }
    }

    pub(super) fn is_redis_from(self, major: u32, minor: u32) -> bool {
        matches!(self, ShownServer::Redis(is, of) if (is, of) >= (major, minor))
    }

    pub(super) fn is_valkey_from(self, major: u32, minor: u32) -> bool {
        matches!(self, ShownServer::Valkey(is, of) if (is, of) >= (major, minor))
    }
}

impl AnswerHost<'_> {
    /// The server that slotmux appears to be.
    pub(super) fn shown(&self) -> ShownServer {
        ShownServer::of(self.version(), self.valkey_version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_kind() {
        let redis = ShownServer::of("7.4.1", None);
        assert!(redis.is_redis_from(7, 4) && !redis.is_redis_from(8, 0));
        assert!(!redis.is_valkey_from(0, 0));
        let valkey = ShownServer::of("7.2.4", Some("9.0.0-rc1"));
        assert!(valkey.is_valkey_from(8, 1) && !valkey.is_redis_from(7, 0));
        assert_eq!(ShownServer::of("x", Some("x")), ShownServer::Valkey(0, 0));
    }
}
