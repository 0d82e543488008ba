//! Addresses of upstreams: `redis://user:password@host:port`, `host:port`, comma lists. No message of this file repeats
//! a text that may contain a password.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::{Addr, Password};

/// Port of an address without one.
const DEFAULT_PORT: u16 = 6379;

/// The content of one list of addresses.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Seeds {
    pub(super) addrs: Vec<Addr>,
    /// The user and password in the addresses. Addresses without them use those of the others.
    pub(super) credentials: Option<(String, Password)>,
}

impl Seeds {
    /// Adds the addresses of one string, which may be a comma list.
    pub(super) fn add(&mut self, text: &str) -> Result<(), String> {
        for piece in text.split(',').map(str::trim) {
            let (addr, credentials) = seed(piece)?;
            if !self.addrs.contains(&addr) {
                self.addrs.push(addr);
            }
            match (&self.credentials, credentials) {
                (_, None) => {}
                (None, new) => self.credentials = new,
                (Some(old), Some(new)) if *old == new => {}
                _ => {
                    return Err(
                        "the addresses name different users or passwords; a cluster has one".into(),
                    );
                }
            }
        }
        Ok(())
    }
}

/// `host:port`; the port is required.
pub(super) fn addr(text: &str) -> Result<Addr, String> {
    let wrong = || format!("expected \"host:port\", got {text:?}");
    if text.contains(['@', '/', ',']) || text.contains(char::is_whitespace) {
        return Err(wrong());
    }
    let url = Url::parse(&format!("redis://{text}")).map_err(|_| wrong())?;
    match (host(&url), url.port()) {
        (Some(host), Some(port)) if port != 0 => Ok(Addr {
            host: host.into(),
            port,
        }),
        _ => Err(wrong()),
    }
}

fn seed(text: &str) -> Result<(Addr, Option<(String, Password)>), String> {
    if text.is_empty() {
        return Err("an address is empty".into());
    }
    let rest = match text.split_once("://") {
        None => text,
        Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
            "redis" => rest,
            "rediss" => {
                return Err(
                    "TLS is not built yet: rediss:// is refused rather than sent in the clear"
                        .into(),
                );
            }
            "unix" | "redis+unix" => return Err("upstreams are reached by TCP only".into()),
            _ => return Err(format!("expected redis://, got {scheme}://")),
        },
    };
    let url = Url::parse(&format!("redis://{rest}")).map_err(|error| {
        format!("not an address: {error} (commas and other special characters of a password are written as %XX)")
    })?;
    match url.path().trim_start_matches('/') {
        "" | "0" => {}
        number if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            return Err(format!(
                "database {number} is refused: a cluster has database 0 only"
            ));
        }
        _ => return Err("the text after \"/\" is not a database number".into()),
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(
            "parameters after \"?\" or \"#\" are not known; use the keys of [[cluster]]".into(),
        );
    }
    let host = host(&url).ok_or("the host is missing")?;
    let port = url.port().unwrap_or(DEFAULT_PORT);
    if port == 0 {
        return Err("port 0 cannot be connected to".into());
    }
    let user = decoded(url.username())?;
    let credentials =
        match url.password() {
            Some(password) => Some((user, Password::from(decoded(password)?))),
            None if user.is_empty() => None,
            None => return Err(
                "a user without a password; redis://:password@host has a password without a user"
                    .into(),
            ),
        };
    Ok((
        Addr {
            host: host.into(),
            port,
        },
        credentials.filter(|(_, password)| !password.reveal().is_empty()),
    ))
}

fn host(url: &Url) -> Option<String> {
    match url.host()? {
        Host::Domain(name) if name.is_empty() || name.contains('%') => None,
        Host::Domain(name) => Some(name.to_ascii_lowercase()),
        Host::Ipv4(ip) => Some(ip.to_string()),
        Host::Ipv6(ip) => Some(ip.to_string()),
    }
}

/// Decodes `%XX`.
fn decoded(text: &str) -> Result<String, String> {
    // The crate keeps a malformed escape as it is, so that a mistyped password would only be refused by the node.
    let is_escape = |rest: &str| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !text.split('%').skip(1).all(is_escape) {
        return Err(
            "a \"%\" of the user or password is not followed by two hexadecimal digits".into(),
        );
    }
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(Cow::into_owned)
        .map_err(|_| "the user or password is not UTF-8".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Seeds, String> {
        let mut seeds = Seeds::default();
        seeds.add(text).map(|()| seeds)
    }

    #[test]
    fn addresses() {
        for (text, addrs) in [
            ("redis://h", "h:6379"),
            ("redis://h:7000/", "h:7000"),
            ("REDIS://H:7000/0", "h:7000"),
            ("10.0.0.1:7000", "10.0.0.1:7000"),
            ("h", "h:6379"),
            ("my_redis:7000", "my_redis:7000"),
            ("redis://[::1]:7000", "[::1]:7000"),
            ("[fe80::1]", "[fe80::1]:6379"),
            ("redis://a:1,b:2, redis://c:3,a:1", "a:1 b:2 c:3"),
        ] {
            let seeds = read(text).unwrap();
            let shown: Vec<String> = seeds.addrs.iter().map(Addr::to_string).collect();
            assert_eq!(
                (shown.join(" ").as_str(), seeds.credentials),
                (addrs, None),
                "{text:?}"
            );
        }
    }

    #[test]
    fn users_and_passwords() {
        for (text, user, password) in [
            ("redis://:p@h", "", "p"),
            ("redis://u:p@h:1", "u", "p"),
            ("u:p@h:1", "u", "p"),
            ("redis://u:p%2c%40%C3%BC@h:1,g:2", "u", "p,@ü"),
            ("redis://u:p@h,redis://u:p@g", "u", "p"),
        ] {
            assert_eq!(
                read(text).unwrap().credentials,
                Some((user.into(), password.into())),
                "{text:?}"
            );
        }
        assert_eq!(read("redis://:@h").unwrap().credentials, None);
    }

    #[test]
    fn percent_signs_are_decoded_strictly() {
        const NO_DIGITS: &str =
            "a \"%\" of the user or password is not followed by two hexadecimal digits";
        const NO_UTF8: &str = "the user or password is not UTF-8";
        for (text, decoded_text) in [
            ("", Ok("")),
            ("plain", Ok("plain")),
            ("+", Ok("+")),
            ("%25", Ok("%")),
            ("%2525", Ok("%25")),
            ("%2c%2C", Ok(",,")),
            ("%00", Ok("\0")),
            ("a%40b%3Ac", Ok("a@b:c")),
            ("%C3%BC", Ok("ü")),
            ("ü%C3%BC", Ok("üü")),
            ("%", Err(NO_DIGITS)),
            ("a%", Err(NO_DIGITS)),
            ("%4", Err(NO_DIGITS)),
            ("%4g", Err(NO_DIGITS)),
            ("%g4", Err(NO_DIGITS)),
            ("%+4", Err(NO_DIGITS)),
            ("% 4", Err(NO_DIGITS)),
            ("%%41", Err(NO_DIGITS)),
            ("%4%41", Err(NO_DIGITS)),
            ("%ü", Err(NO_DIGITS)),
            ("%4ü", Err(NO_DIGITS)),
            ("%41%", Err(NO_DIGITS)),
            ("%u0041", Err(NO_DIGITS)),
            ("%ff", Err(NO_UTF8)),
            ("%C3", Err(NO_UTF8)),
            // The digits count first.
            ("%ff%", Err(NO_DIGITS)),
        ] {
            let read = decoded(text);
            assert_eq!(
                read.as_deref().map_err(String::as_str),
                decoded_text,
                "{text:?}"
            );
        }
    }

    #[test]
    fn refusals_say_why_and_keep_the_secret() {
        for (text, why) in [
            ("", "empty"),
            ("a,,b", "empty"),
            ("rediss://u:hush@h", "TLS is not built yet"),
            ("http://h", "expected redis://"),
            ("unix:///tmp/s", "TCP only"),
            ("redis://h/1", "database 1 is refused"),
            ("redis://u:12/hush@h", "not a database number"),
            ("redis://u:%+4hush@h", "two hexadecimal digits"),
            ("redis://h?x=1", "parameters"),
            ("redis://:hush@", "not an address"),
            ("redis://", "missing"),
            ("h:99999", "not an address"),
            ("h:0", "port 0"),
            ("::1", "not an address"),
            ("redis://hush@h", "a user without a password"),
            ("redis://u:hush%4@h", "two hexadecimal digits"),
            ("redis://u:hush%ff@h", "not UTF-8"),
            ("redis://u:hush,x@h", "not an address"),
            ("redis://u:hush@h,redis://u:hash@h", "different users"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.contains(why), "{text:?}: {said}");
            assert!(!said.contains("hush"), "{said}");
        }
    }

    #[test]
    fn a_bare_addr_needs_its_port() {
        assert_eq!(addr("[::1]:7000").unwrap().to_string(), "[::1]:7000");
        assert_eq!(addr("node5.example.net:16379").unwrap().port, 16379);
        for text in [
            "", "h", "h:", ":1", "h:0", "h:x", "u@h:1", "h:1/0", "a:1,b:2", "::1", "a b:1",
        ] {
            assert!(addr(text).is_err(), "{text:?}");
        }
    }
}
