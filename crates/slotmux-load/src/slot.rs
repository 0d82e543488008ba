//! The slot of a key, computed with the `crc16` crate.

/// Slots of a cluster.
pub const SLOTS: usize = 16_384;

/// The slot of a key: that of its hash tag, if it has one.
pub fn slot_of(key: &[u8]) -> u16 {
    crc16::State::<crc16::XMODEM>::calculate(hash_tag(key).unwrap_or(key)) % SLOTS as u16
}

/// The bytes between the first `{` and the first `}` after it, if there are any.
fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|&byte| byte == b'{')?;
    let rest = &key[open + 1..];
    let close = rest.iter().position(|&byte| byte == b'}')?;
    (close > 0).then(|| &rest[..close])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        // As CLUSTER KEYSLOT of redis-server 7.0.15 answers.
        for (key, slot) in [
            ("", 0),
            ("123456789", 12739),
            ("foo", 12182),
            ("{foo}bar", 12182),
            ("a{foo}{bar}", 12182),
        ] {
            assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
        }
        for (key, part) in [("{}foo", None), ("{foo", None), ("}{a}", Some("a"))] {
            let part = part.map(str::as_bytes);
            assert_eq!(hash_tag(key.as_bytes()), part, "{key}");
        }
    }

    #[test]
    fn slots_are_those_of_slotmux() {
        for n in 0..2000 {
            let key = format!("{{k{n}}}:{n}");
            assert_eq!(
                slot_of(key.as_bytes()),
                slotmux_core::slot::slot_of(key.as_bytes()).0,
                "{key}"
            );
        }
    }
}
