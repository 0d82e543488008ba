//! Command names as up to three machine words, so that a look-up folds case and compares without a loop over bytes.

/// Longest name that a table may hold, in bytes.
pub(super) const LONGEST: usize = 24;

/// A name in lower case. Two names of at most [`LONGEST`] bytes are equal if and only if their packed forms are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct PackedName {
    /// The first and the last bytes; they overlap if the length is not a multiple of eight.
    words: [u64; 3],
    len: u8,
}

impl PackedName {
    /// Packs a name in any case. `None` where no table can hold it: empty, or longer than [`LONGEST`].
    #[inline]
    pub(super) const fn new(name: &[u8]) -> Option<PackedName> {
        let words = match name.len() {
            1..=3 => {
                let (first, middle, last) = (name[0], name[name.len() / 2], name[name.len() - 1]);
                [
                    fold(first as u64 | (middle as u64) << 8 | (last as u64) << 16),
                    0,
                    0,
                ]
            }
            4..=7 => match (name.first_chunk(), name.last_chunk()) {
                (Some(first), Some(last)) => [
                    fold(
                        u32::from_le_bytes(*first) as u64
                            | (u32::from_le_bytes(*last) as u64) << 32,
                    ),
                    0,
                    0,
                ],
                _ => return None,
            },
            8..=16 => match (name.first_chunk(), name.last_chunk()) {
                (Some(first), Some(last)) => [
                    fold(u64::from_le_bytes(*first)),
                    fold(u64::from_le_bytes(*last)),
                    0,
                ],
                _ => return None,
            },
            17..=LONGEST => match (
                name.first_chunk(),
                name.last_chunk(),
                name.split_at(8).1.first_chunk(),
            ) {
                (Some(first), Some(last), Some(middle)) => [
                    fold(u64::from_le_bytes(*first)),
                    fold(u64::from_le_bytes(*last)),
                    fold(u64::from_le_bytes(*middle)),
                ],
                _ => return None,
            },
            _ => return None,
        };
        Some(PackedName {
            words,
            len: name.len() as u8,
        })
    }

    /// A hash of `bits` bits (1 to 63).
    #[inline]
    pub(super) const fn hash(self, bits: u32) -> usize {
        let [a, b, c] = self.words;
        let mixed = a ^ b.rotate_left(21) ^ c.rotate_left(43) ^ (self.len as u64) << 59;
        // Of a few thousand random odd multipliers this one leaves the commonest commands, and nearly all others,
        // alone at their place in the index; a test holds it to that.
        (mixed.wrapping_mul(0x8660_194d_0f93_fb05) >> (64 - bits)) as usize
    }
}

/// Turns ASCII capitals among the eight bytes of a word into lower case and leaves all other bytes alone.
#[inline]
const fn fold(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let low = word & (0x7f * EACH);
    // In both sums the high bit of a byte says whether the byte is at least 'A', or beyond 'Z'.
    let from_a = low + (0x80 - b'A' as u64) * EACH;
    let past_z = low + (0x7f - b'Z' as u64) * EACH;
    let capital = from_a & !past_z & !word & (0x80 * EACH);
    word | capital >> 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_equals_the_one_of_the_standard_library_for_every_byte() {
        for byte in 0..=255u8 {
            for at in 0..8 {
                let mut bytes = *b"@Z[`a{\xc1\xff";
                bytes[at] = byte;
                let folded = fold(u64::from_le_bytes(bytes)).to_le_bytes();
                assert_eq!(folded.to_vec(), bytes.to_ascii_lowercase());
            }
        }
    }

    #[test]
    fn every_byte_of_a_name_counts() {
        for len in 1..=LONGEST {
            let name: Vec<u8> = (0..len as u8).map(|i| b'a' + i).collect();
            let packed = PackedName::new(&name);
            assert!(packed.is_some());
            assert_eq!(packed, PackedName::new(&name.to_ascii_uppercase()));
            for at in 0..len {
                let mut other = name.clone();
                other[at] = b'_';
                assert_ne!(packed, PackedName::new(&other), "{len} {at}");
            }
            assert_ne!(packed, PackedName::new(&name[..len - 1]));
        }
    }

    #[test]
    fn empty_and_endless_names_are_no_names() {
        assert_eq!(PackedName::new(b""), None);
        assert_eq!(PackedName::new(&[b'a'; LONGEST + 1]), None);
        assert_eq!(PackedName::new(&vec![b'a'; 10_000_000]), None);
    }
}
