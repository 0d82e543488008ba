//! The slot of all keys that a glob pattern can match, where the pattern has a literal hash tag.

use crate::slot::{Slot, slot_of};

/// The slot of every key that `pattern` matches. `None`: they may be in several slots.
///
/// A key's hash tag is between its first `{` and the next `}`, so these and all bytes before them have to be literal. The
/// empty tag counts as none, as for keys.
pub(super) fn slot_of_pattern(pattern: &[u8]) -> Option<Slot> {
    let is_glob = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'\\');
    let literal = match pattern.iter().position(is_glob) {
        Some(end) => &pattern[..end],
        None => return Some(slot_of(pattern)),
    };
    let open = literal.iter().position(|&byte| byte == b'{')?;
    let close = literal[open..].iter().position(|&byte| byte == b'}')?;
    (close > 1).then(|| slot_of(literal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_hash_tag_fixes_the_slot() {
        for (pattern, of) in [
            ("{a}*", Some("a")),
            ("bull:{a}:*", Some("a")),
            ("x{a}y{b}*", Some("a")),
            ("{a{b}*", Some("a{b")),
            ("{a}", Some("a")),
            ("plain", Some("plain")),
            ("a{}b", Some("a{}b")),
            // The tag, or what is before it, is not literal.
            ("*{a}", None),
            ("?{a}*", None),
            ("{a*}", None),
            ("{[ab]}*", None),
            ("{\\a}*", None),
            ("\\{a}*", None),
            // No tag: the whole key is hashed.
            ("{}*", None),
            ("{a*", None),
            ("a*", None),
            ("*", None),
        ] {
            let slot = of.map(|key| slot_of(key.as_bytes()));
            assert_eq!(slot_of_pattern(pattern.as_bytes()), slot, "{pattern}");
        }
    }
}
