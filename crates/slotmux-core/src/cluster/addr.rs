//! Addresses of nodes: where to connect, how they are written, and the map that replaces announced ones.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Where to connect: host (name, IPv4 or IPv6 without brackets) and port. The identity of a node for lanes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Addr {
    /// Name or address; an IPv6 address stands without brackets.
    pub host: Arc<str>,
    /// TCP port.
    pub port: u16,
}

impl Addr {
    /// An address from its parts; brackets around an IPv6 host are taken off.
    pub fn new(host: &str, port: u16) -> Addr {
        let bare = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(host);
        Addr {
            host: Arc::from(bare),
            port,
        }
    }

    /// Reads `host:port` as Redis writes it in redirects: the port follows the last colon, IPv6 has no brackets
    /// (`::1:6381`), and the host may be empty. `None` if there is no port.
    pub fn split_announced(text: &str) -> Option<(&str, u16)> {
        let (host, port) = text.rsplit_once(':')?;
        if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let port: u16 = port.parse().ok()?;
        (port != 0).then_some((host, port))
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The reason why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an address: expected host:port, with brackets around an IPv6 host")]
pub struct BadAddr;

impl FromStr for Addr {
    type Err = BadAddr;

    /// Reads `host:port`, `1.2.3.4:port` or `[v6]:port`; an IPv6 address without brackets is ambiguous and refused.
    fn from_str(text: &str) -> Result<Addr, BadAddr> {
        let (host, port) = Addr::split_announced(text).ok_or(BadAddr)?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        if host.is_empty() || bare == Some("") || (bare.is_none() && host.contains([':', '[', ']']))
        {
            return Err(BadAddr);
        }
        Ok(Addr::new(host, port))
    }
}

/// Announced address -> address to connect to, for clusters behind NAT; from `cluster.address_map`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressMap(HashMap<Addr, Addr>);

impl AddressMap {
    /// A map with the given replacements.
    pub fn new(entries: impl IntoIterator<Item = (Addr, Addr)>) -> AddressMap {
        AddressMap(entries.into_iter().collect())
    }

    /// The address to connect to for `announced`.
    pub fn apply(&self, announced: Addr) -> Addr {
        self.0.get(&announced).cloned().unwrap_or(announced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_every_form() {
        for (text, host, port) in [
            ("127.0.0.1:6379", "127.0.0.1", 6379),
            ("node-1.example.net:1", "node-1.example.net", 1),
            ("[::1]:65535", "::1", 65535),
        ] {
            let addr: Addr = text.parse().unwrap();
            assert_eq!((&*addr.host, addr.port), (host, port), "{text}");
            assert_eq!(addr.to_string(), text);
        }
        for bad in [
            "", ":", "host", "host:", ":6379", "::1:6379", "[]:6379", "h:0", "h:65536", "h:+1",
            "h:1x", "h: 1",
        ] {
            assert_eq!(bad.parse::<Addr>(), Err(BadAddr), "{bad}");
        }
    }

    #[test]
    fn an_announced_address_ends_at_its_last_colon() {
        assert_eq!(Addr::split_announced("::1:6381"), Some(("::1", 6381)));
        assert_eq!(Addr::split_announced(":6381"), Some(("", 6381)));
        assert_eq!(Addr::split_announced("?:6381"), Some(("?", 6381)));
        assert_eq!(Addr::split_announced("6381"), None);
        assert_eq!(Addr::split_announced("h:-1"), None);
    }

    #[test]
    fn the_map_replaces_only_what_it_names() {
        let map = AddressMap::new([(
            Addr::new("10.0.0.5", 6379),
            Addr::new("node5.example.net", 16379),
        )]);
        assert_eq!(
            map.apply(Addr::new("10.0.0.5", 6379)).to_string(),
            "node5.example.net:16379"
        );
        assert_eq!(
            map.apply(Addr::new("10.0.0.5", 6380)).to_string(),
            "10.0.0.5:6380"
        );
    }
}
