//! The host names by which requests may address the admin page. A web page whose name resolves to this machine (DNS
//! rebinding) must not read it through a user's browser. Pure.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::header::HOST;
use axum::http::{HeaderMap, StatusCode, Uri, Version};

use slotmux_core::config::plain_host_name;

/// Why a request is rejected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum HostError {
    /// `Host` is missing, repeated or malformed.
    Malformed,
    /// The name is not one of the page's.
    Foreign,
}

impl HostError {
    pub fn response(self) -> (StatusCode, &'static str) {
        match self {
            HostError::Malformed => (
                StatusCode::BAD_REQUEST,
                "the request needs exactly one Host, a host name or IP address with or without a port\n",
            ),
            HostError::Foreign => (
                StatusCode::MISDIRECTED_REQUEST,
                "this host name is not one of the admin page's: use an IP address or localhost, or add the name to \
                 admin.hosts\n",
            ),
        }
    }
}

/// Checks the head of a request: every host in it, of the target and of `Host`, has to be one of the page's.
pub(super) fn check(
    version: Version,
    target: &Uri,
    headers: &HeaderMap,
    own: &[String],
) -> Result<(), HostError> {
    if let Some(authority) = target.authority() {
        check_one(authority.as_str(), own)?;
    }
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => check_one(host.to_str().map_err(|_| HostError::Malformed)?, own),
        // Browsers speak HTTP/1.1, which requires Host; simple health checks may omit it.
        (None, _) if version < Version::HTTP_11 => Ok(()),
        _ => Err(HostError::Malformed),
    }
}

fn check_one(text: &str, own: &[String]) -> Result<(), HostError> {
    match parse(text.trim_matches([' ', '\t'])).ok_or(HostError::Malformed)? {
        ParsedHost::Address => Ok(()),
        ParsedHost::Name(name) if name == "localhost" || own.contains(&name) => Ok(()),
        ParsedHost::Name(_) => Err(HostError::Foreign),
    }
}

#[derive(PartialEq, Eq, Debug)]
enum ParsedHost {
    Address,
    Name(String),
}

/// `host`, `host:port`, `[IPv6]` or `[IPv6]:port`.
fn parse(text: &str) -> Option<ParsedHost> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        if !port.is_empty() && !is_port(port.strip_prefix(':')?) {
            return None;
        }
        // A zone names an interface, not a host.
        let address = address.split('%').next()?;
        return address
            .parse::<Ipv6Addr>()
            .ok()
            .map(|_| ParsedHost::Address);
    }
    let host = match text.split_once(':') {
        Some((host, port)) if is_port(port) => host,
        Some(_) => return None,
        None => text,
    };
    let name = plain_host_name(host)?;
    let is_address = name.parse::<IpAddr>().is_ok();
    Some(if is_address {
        ParsedHost::Address
    } else {
        ParsedHost::Name(name)
    })
}

/// An empty port stands for the default port.
fn is_port(text: &str) -> bool {
    text.is_empty()
        || (text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn checked(version: Version, target: &str, hosts: &[&str]) -> Result<(), HostError> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_str(host).unwrap());
        }
        let own = ["metrics.example".to_owned()];
        check(version, &target.parse().unwrap(), &headers, &own)
    }

    #[test]
    fn addresses_and_own_names_are_answered() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:9121",
            "10.1.2.3:80",
            "127.0.0.1.",
            "[::1]",
            "[::1]:9121",
            "[::ffff:127.0.0.1]:1",
            "[fe80::1%eth0]:9121",
            "localhost",
            "LocalHost:9121",
            "localhost.",
            "localhost.:9121",
            "localhost:",
            "Metrics.EXAMPLE.:9121",
            " metrics.example\t",
        ] {
            assert_eq!(checked(Version::HTTP_11, "/", &[host]), Ok(()), "{host:?}");
        }
    }

    #[test]
    fn other_names_are_refused() {
        for host in [
            "evil.example",
            "evil.example:9121",
            "x.metrics.example",
            "metrics.example.evil",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.1",
            "2130706433",
            "0x7f000001",
            "127.0.0.01",
            "slotmux",
        ] {
            let result = checked(Version::HTTP_11, "/", &[host]);
            assert_eq!(result, Err(HostError::Foreign), "{host:?}");
        }
    }

    #[test]
    fn anything_else_is_malformed() {
        for host in [
            "",
            ":9121",
            ".",
            "a..b",
            "localhost:80:80",
            "localhost:x",
            "localhost:+80",
            "localhost:65536",
            "::1",
            "[::1",
            "[::1]x",
            "[127.0.0.1]",
            "[localhost]",
            "user@localhost",
            "localhost/evil",
            "localhost evil",
            "localhost,evil.example",
            "http://localhost",
        ] {
            let result = checked(Version::HTTP_11, "/", &[host]);
            assert_eq!(result, Err(HostError::Malformed), "{host:?}");
        }
        let long = format!("{}.example", "a".repeat(253));
        let result = checked(Version::HTTP_11, "/", &[&long]);
        assert_eq!(result, Err(HostError::Malformed));
    }

    #[test]
    fn every_name_of_a_request_counts() {
        use HostError::{Foreign, Malformed};
        for (version, target, hosts, expected) in [
            (Version::HTTP_11, "/", &[][..], Err(Malformed)),
            (Version::HTTP_10, "/", &[], Ok(())),
            (Version::HTTP_10, "/", &["evil.example"], Err(Foreign)),
            (Version::HTTP_10, "http://evil.example/", &[], Err(Foreign)),
            (
                Version::HTTP_11,
                "/",
                &["localhost", "localhost"],
                Err(Malformed),
            ),
            (
                Version::HTTP_11,
                "/",
                &["localhost", "evil.example"],
                Err(Malformed),
            ),
            (
                Version::HTTP_11,
                "http://localhost:9121/",
                &["localhost"],
                Ok(()),
            ),
            (Version::HTTP_11, "http://[::1]/", &["127.0.0.1"], Ok(())),
            (
                Version::HTTP_11,
                "http://evil.example/",
                &["localhost"],
                Err(Foreign),
            ),
            (
                Version::HTTP_11,
                "http://localhost/",
                &["evil.example"],
                Err(Foreign),
            ),
            (
                Version::HTTP_11,
                "http://a@localhost/",
                &["localhost"],
                Err(Malformed),
            ),
            (Version::HTTP_11, "http://localhost/", &[], Err(Malformed)),
            (
                Version::HTTP_11,
                "evil.example:443",
                &["localhost"],
                Err(Foreign),
            ),
        ] {
            assert_eq!(
                checked(version, target, hosts),
                expected,
                "{target} {hosts:?}"
            );
        }
    }
}
