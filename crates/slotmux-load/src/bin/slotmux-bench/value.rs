//! The keys and the one value that each can have: a pure function of prefix, index and size, so that any process can
//! check a reply without a record of earlier writes.

use std::fmt;

use slotmux_core::units::size_argument;

/// Sizes of values in bytes, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Smallest value.
    pub min: usize,
    /// Largest value.
    pub max: usize,
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            write!(f, "{}", self.min)
        } else {
            write!(f, "{}..{}", self.min, self.max)
        }
    }
}

/// Reads `64`, `16KiB`, `1MB` (powers of two, as redis.conf reads `kb` and `mb`) or a range `64..1KiB`.
pub fn parse_sizes(text: &str) -> Result<Sizes, String> {
    let sizes = match text.split_once("..") {
        Some((min, max)) => Sizes {
            min: size_argument(min)?,
            max: size_argument(max)?,
        },
        None => {
            let size = size_argument(text)?;
            Sizes {
                min: size,
                max: size,
            }
        }
    };
    if sizes.min > sizes.max {
        return Err(format!("{text}: the smaller size comes first"));
    }
    Ok(sizes)
}

/// The keys `prefix0 .. prefix(count-1)` and their values.
#[derive(Clone, Debug)]
pub struct Keyspace {
    prefix: Vec<u8>,
    count: u64,
    sizes: Sizes,
    salt: u64,
}

impl Keyspace {
    /// `count` keys that start with `prefix`.
    pub fn new(prefix: &str, count: u64, sizes: Sizes) -> Keyspace {
        // FNV-1a: the salt only has to differ between prefixes.
        let salt = prefix.bytes().fold(0xcbf2_9ce4_8422_2325, |h: u64, b| {
            (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
        });
        Keyspace {
            prefix: prefix.as_bytes().to_vec(),
            count,
            sizes,
            salt,
        }
    }

    /// Number of keys.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Largest value in bytes.
    pub fn largest_value(&self) -> usize {
        self.sizes.max
    }

    /// Appends the name of key `index`.
    pub fn append_key(&self, index: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(itoa::Buffer::new().format(index).as_bytes());
    }

    /// Appends the name of counter `number` of `client`; no client shares one, so each reply has one right value.
    pub fn append_counter_key(&self, client: u32, number: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(b"counter:");
        out.extend_from_slice(itoa::Buffer::new().format(client).as_bytes());
        out.push(b':');
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    /// Bytes of the value of key `index`.
    pub fn value_len(&self, index: u64) -> usize {
        let spread = (self.sizes.max - self.sizes.min) as u64;
        if spread == 0 {
            return self.sizes.min;
        }
        // A short value starts with the other half of the hash.
        self.sizes.min + (self.hash(index).rotate_left(32) % (spread + 1)) as usize
    }

    /// Appends the value of key `index`.
    pub fn append_value(&self, index: u64, out: &mut Vec<u8>) {
        let (start, len) = (out.len(), self.value_len(index));
        self.append_unit(index, out);
        while out.len() - start < len {
            let have = out.len() - start;
            let more = have.min(len - have);
            out.extend_from_within(start..start + more);
        }
        out.truncate(start + len);
    }

    /// Whether `body` is the value of key `index`. `scratch` is overwritten.
    pub fn is_value(&self, index: u64, body: &[u8], scratch: &mut Vec<u8>) -> bool {
        if body.len() != self.value_len(index) {
            return false;
        }
        scratch.clear();
        self.append_unit(index, scratch);
        let period = scratch.len();
        if body.len() <= period {
            return *body == scratch[..body.len()];
        }
        // A value repeats its unit: check the first unit, then compare the value with itself moved by one unit.
        body[..period] == scratch[..] && body[period..] == body[..body.len() - period]
    }

    /// The repeated part of a value. The hash comes first so that even short values tell their keys apart.
    fn append_unit(&self, index: u64, out: &mut Vec<u8>) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let hash = self.hash(index);
        let mut digits = [0; 16];
        for (i, digit) in digits.iter_mut().enumerate() {
            *digit = HEX[(hash >> (60 - 4 * i)) as usize & 15];
        }
        out.extend_from_slice(&digits);
        out.push(b':');
        self.append_key(index, out);
        out.push(b';');
    }

    fn hash(&self, index: u64) -> u64 {
        // The finalizer of splitmix64.
        let mut z = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.salt;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(space: &Keyspace, index: u64) -> Vec<u8> {
        let mut out = b"before".to_vec();
        space.append_value(index, &mut out);
        out.split_off(6)
    }

    #[test]
    fn sizes_are_read() {
        let cases = [
            ("64", Some((64, 64))),
            ("0", Some((0, 0))),
            ("16KiB", Some((16384, 16384))),
            ("1mb", Some((1 << 20, 1 << 20))),
            ("64..1024", Some((64, 1024))),
            ("64..1k", Some((64, 1024))),
            ("", None),
            ("-1", None),
            ("64..", None),
            ("9..8", None),
            ("3 parsecs", None),
            ("1GiB", None),
            ("99999999999999999999", None),
            ("1K", Some((1024, 1024))),
            ("1Kb", Some((1024, 1024))),
            ("1KIB", Some((1024, 1024))),
            ("2M", Some((2 << 20, 2 << 20))),
            ("2MiB", Some((2 << 20, 2 << 20))),
            ("7B", Some((7, 7))),
            ("+7", Some((7, 7))),
            ("007", Some((7, 7))),
            ("512MiB", Some((512 << 20, 512 << 20))),
            ("536870913", None),
            ("513MiB", None),
            ("1.5KiB", None),
            (" 1", None),
            ("1 KiB", None),
            ("1g", None),
            ("1kilobyte", None),
            ("KiB", None),
        ];
        for (text, want) in cases {
            assert_eq!(
                parse_sizes(text).ok().map(|s| (s.min, s.max)),
                want,
                "{text}"
            );
        }
    }

    #[test]
    fn errors_about_sizes_name_the_reason() {
        for (text, error) in [
            ("1GiB", "gib: unknown unit (B, KiB or MiB)"),
            ("513MiB", "513MiB: not a size up to 512MiB"),
            ("1.5k", "1.5k: not a size up to 512MiB"),
            ("", ": not a size up to 512MiB"),
            ("9..8", "9..8: the smaller size comes first"),
        ] {
            assert_eq!(parse_sizes(text).unwrap_err(), error, "{text:?}");
        }
    }

    #[test]
    fn a_value_is_right_for_its_own_key_only() {
        let mut scratch = Vec::new();
        for (min, max) in [
            (8, 8),
            (16, 16),
            (33, 33),
            (64, 64),
            (16384, 16384),
            (64, 1024),
        ] {
            let space = Keyspace::new("t:", 1000, Sizes { min, max });
            for index in 0..100 {
                let body = value(&space, index);
                assert!((min..=max).contains(&body.len()));
                assert!(space.is_value(index, &body, &mut scratch));
                assert!(!space.is_value(index + 1, &body, &mut scratch));
                assert!(!space.is_value(index, &body[1..], &mut scratch));
            }
        }
    }

    #[test]
    fn any_changed_byte_is_seen() {
        let space = Keyspace::new("t:", 10, Sizes { min: 200, max: 200 });
        let body = value(&space, 3);
        for at in 0..body.len() {
            let mut changed = body.clone();
            changed[at] ^= 1;
            assert!(!space.is_value(3, &changed, &mut Vec::new()), "byte {at}");
        }
    }

    #[test]
    fn a_range_of_sizes_is_used() {
        let space = Keyspace::new("t:", 1000, Sizes { min: 10, max: 13 });
        let mut seen: Vec<usize> = (0..1000).map(|i| space.value_len(i)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [10, 11, 12, 13]);
    }

    #[test]
    fn empty_values_and_prefixes_work() {
        let space = Keyspace::new("", 1, Sizes { min: 0, max: 0 });
        assert!(space.is_value(0, b"", &mut Vec::new()));
        assert!(!space.is_value(0, b"x", &mut Vec::new()));
    }
}
