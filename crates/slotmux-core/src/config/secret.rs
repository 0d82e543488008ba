//! Passwords: those of clients ([`Secret`]) and those that slotmux sends to upstreams ([`Password`]). Neither prints
//! itself, so that none appears in a log line or error.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A password of clients, kept only as its SHA-256.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl Secret {
    /// From the password itself.
    pub fn plain(password: &str) -> Secret {
        Secret(Sha256::digest(password.as_bytes()).into())
    }

    /// From 64 hexadecimal digits, the form that Redis' ACL files use. `None` if they are not that.
    pub fn hashed(hex_digest: &str) -> Option<Secret> {
        let mut digest = [0; 32];
        hex::decode_to_slice(hex_digest, &mut digest).ok()?;
        Some(Secret(digest))
    }

    /// Whether `candidate` is the password. The time reveals nothing about the password: digests of one length are
    /// compared in constant time.
    pub fn matches(&self, candidate: &[u8]) -> bool {
        let digest: [u8; 32] = Sha256::digest(candidate).into();
        self.0.ct_eq(&digest).into()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// A password that slotmux sends to upstreams.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// The password itself, to be written to an upstream and nowhere else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Password {
    fn from(text: String) -> Password {
        Password(text)
    }
}

impl From<&str> for Password {
    fn from(text: &str) -> Password {
        Password(text.to_owned())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_matches_its_password_only() {
        // The digest of "foobared", as `printf foobared | sha256sum` prints it.
        let digest = "1b58ee375b42e41f0e48ef2ff27d10a5b1f6924a9acdcdba7cae868e7adce6bf";
        for secret in [Secret::plain("foobared"), Secret::hashed(digest).unwrap()] {
            assert!(secret.matches(b"foobared"));
            for wrong in [
                &b""[..],
                b"foobare",
                b"foobared ",
                b"Foobared",
                digest.as_bytes(),
            ] {
                assert!(!secret.matches(wrong), "{wrong:?}");
            }
        }
    }

    #[test]
    fn a_digest_has_64_hexadecimal_digits() {
        for text in [
            "",
            "12",
            "zz",
            &"a".repeat(63),
            &"a".repeat(65),
            &"g".repeat(64),
        ] {
            assert!(Secret::hashed(text).is_none(), "{text:?}");
        }
        assert_eq!(
            Secret::hashed(&"A".repeat(64)),
            Secret::hashed(&"a".repeat(64))
        );
    }

    #[test]
    fn nothing_prints_a_password() {
        assert_eq!(format!("{:?}", Secret::plain("hush")), "Secret(***)");
        assert_eq!(format!("{:?}", Password::from("hush")), "Password(***)");
    }
}
