//! Which of the 16384 slots a key belongs to: the hash tag rule and CRC16/XMODEM, eight bytes a step.

use std::fmt;

/// Number of slots of a cluster.
pub const SLOTS: usize = 16_384;

/// A hash slot, below [`SLOTS`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Slot(pub u16);

/// A slot or none, in the two bytes of a slot: an entry in flight has no room for more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OptionalSlot(u16);

impl OptionalSlot {
    /// No slot.
    pub const NONE: OptionalSlot = OptionalSlot(u16::MAX);

    /// The slot, if there is one.
    #[inline]
    pub fn get(self) -> Option<Slot> {
        (self != OptionalSlot::NONE).then_some(Slot(self.0))
    }
}

impl From<Option<Slot>> for OptionalSlot {
    fn from(slot: Option<Slot>) -> OptionalSlot {
        slot.map_or(OptionalSlot::NONE, |slot| OptionalSlot(slot.0))
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The slot of a key. Only the bytes between the first `{` and the first `}` after it count, unless they are empty.
#[inline]
pub fn slot_of(key: &[u8]) -> Slot {
    Slot(crc16(hashed_part(key)) % SLOTS as u16)
}

#[inline]
fn hashed_part(key: &[u8]) -> &[u8] {
    let Some(open) = find(key, b'{') else {
        return key;
    };
    let rest = &key[open + 1..];
    match find(rest, b'}') {
        None | Some(0) => key,
        Some(close) => &rest[..close],
    }
}

/// Position of the first `byte`, searched eight bytes at a time: a search byte by byte would cost as much as the hash.
#[inline]
fn find(bytes: &[u8], byte: u8) -> Option<usize> {
    let (chunks, tail) = bytes.as_chunks::<8>();
    let wanted = u64::from_ne_bytes([byte; 8]);
    for (at, chunk) in chunks.iter().enumerate() {
        // The searched byte is now zero; its top bit is the lowest one set here.
        let word = u64::from_le_bytes(*chunk) ^ wanted;
        let zeros = word.wrapping_sub(0x0101_0101_0101_0101) & !word & 0x8080_8080_8080_8080;
        if zeros != 0 {
            return Some(at * 8 + zeros.trailing_zeros() as usize / 8);
        }
    }
    let found = tail.iter().position(|&other| other == byte)?;
    Some(chunks.len() * 8 + found)
}

#[inline]
fn crc16(bytes: &[u8]) -> u16 {
    let (chunks, tail) = bytes.as_chunks::<8>();
    let mut crc = 0u16;
    for chunk in chunks {
        let [high, low] = crc.to_be_bytes();
        let [a, b, c, d, e, f, g, h] = *chunk;
        crc = TABLES[7][usize::from(a ^ high)]
            ^ TABLES[6][usize::from(b ^ low)]
            ^ TABLES[5][usize::from(c)]
            ^ TABLES[4][usize::from(d)]
            ^ TABLES[3][usize::from(e)]
            ^ TABLES[2][usize::from(f)]
            ^ TABLES[1][usize::from(g)]
            ^ TABLES[0][usize::from(h)];
    }
    for &byte in tail {
        crc = step(crc, byte, &TABLES[0]);
    }
    crc
}

#[inline]
const fn step(crc: u16, byte: u8, table: &[u16; 256]) -> u16 {
    crc << 8 ^ table[(crc >> 8) as usize ^ byte as usize]
}

/// `TABLES[n][b]`: the CRC of byte `b` followed by `n` zero bytes. 4 KiB in all.
static TABLES: [[u16; 256]; 8] = tables();

const fn tables() -> [[u16; 256]; 8] {
    const POLYNOMIAL: u16 = 0x1021;
    let mut tables = [[0u16; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 {
                crc << 1
            } else {
                crc << 1 ^ POLYNOMIAL
            };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut n = 1;
    while n < 8 {
        let mut byte = 0;
        while byte < 256 {
            tables[n][byte] = step(tables[n - 1][byte], 0, &tables[0]);
            byte += 1;
        }
        n += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;
    use crc16::{State, XMODEM};

    fn oracle(hashed: &[u8]) -> Slot {
        Slot(State::<XMODEM>::calculate(hashed) % SLOTS as u16)
    }

    #[test]
    fn agrees_with_the_crate_for_every_length() {
        let mut random = fastrand::Rng::with_seed(16_384);
        for length in 0..=300 {
            for _ in 0..20 {
                let key: Vec<u8> = (0..length)
                    .map(|_| random.u8(..))
                    .filter(|&byte| byte != b'{')
                    .collect();
                assert_eq!(slot_of(&key), oracle(&key), "{}", key.escape_ascii());
            }
        }
    }

    #[test]
    fn agrees_with_redis_protocol_on_keys_full_of_braces() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let key: Vec<u8> = (0..random.usize(..40))
                .map(|_| b"{}abc\0\xfb"[random.usize(..7)])
                .collect();
            assert_eq!(
                slot_of(&key).0,
                redis_protocol::redis_keyslot(&key),
                "{}",
                key.escape_ascii()
            );
        }
    }

    #[test]
    fn hash_tags() {
        let table: [(&[u8], &[u8]); 14] = [
            (b"", b""),
            (b"{}", b"{}"),
            (b"{}key", b"{}key"),
            (b"{}{tag}", b"{}{tag}"),
            (b"{a}b", b"a"),
            (b"b{a}", b"a"),
            (b"a{b", b"a{b"),
            (b"a}b{", b"a}b{"),
            (b"a}b{c}d", b"c"),
            (b"{{a}}b", b"{a"),
            (b"{a}{b}", b"a"),
            (b"{user1000}.following", b"user1000"),
            (b"a long prefix, then the {tag} and a long suffix", b"tag"),
            (
                b"the tag opens in one word {and closes in another} one",
                b"and closes in another",
            ),
        ];
        for (key, hashed) in table {
            assert_eq!(slot_of(key), oracle(hashed), "{}", key.escape_ascii());
        }
    }

    #[test]
    fn known_slots() {
        // As CLUSTER KEYSLOT of Redis 7.0 says.
        for (key, slot) in [("foo", 12182), ("bar", 5061), ("123456789", 12739), ("", 0)] {
            assert_eq!(slot_of(key.as_bytes()), Slot(slot), "{key}");
        }
        assert_eq!(Slot(12182).to_string(), "12182");
    }
}
