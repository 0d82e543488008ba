//! The arguments of a command that is split by slot: common ones in front, each key with its own, common ones behind.

use std::ops::Range;

/// Most bytes of the arguments that every part repeats. They are copied once for each slot.
pub const MOST_REPEATED: usize = 512;

/// Where the keys of a split command are. The arguments before the first key and behind the last one go into every part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SplitShape {
    /// Index of the first key.
    pub first: u8,
    /// Arguments per key, the key counted.
    pub step: u8,
    /// Number of common arguments behind the last key and its arguments.
    pub tail: u8,
}

impl SplitShape {
    /// Keys from the first argument to the last, with so many arguments for each.
    pub const fn of_step(step: u8) -> SplitShape {
        SplitShape {
            first: 1,
            step,
            tail: 0,
        }
    }

    /// Number of arguments that every part repeats.
    fn around(self) -> usize {
        usize::from(self.first) + usize::from(self.tail)
    }

    /// Whether a request of `argc` arguments has at least one key, and each key has all of its arguments.
    pub fn fits(self, argc: usize) -> bool {
        let own = argc.saturating_sub(self.around());
        own > 0 && own.is_multiple_of(usize::from(self.step))
    }

    /// Number of keys of a request of `argc` arguments.
    pub fn count(self, argc: usize) -> usize {
        argc.saturating_sub(self.around()) / usize::from(self.step)
    }

    /// The place of each key.
    pub fn keys(self, argc: usize) -> impl Iterator<Item = usize> {
        (0..self.count(argc)).map(move |key| self.place(key))
    }

    /// The place of key number `key`.
    pub fn place(self, key: usize) -> usize {
        usize::from(self.first) + key * usize::from(self.step)
    }

    /// The number of the key in argument `at`.
    pub fn number(self, at: usize) -> usize {
        (at - usize::from(self.first)) / usize::from(self.step)
    }

    /// The arguments of the key in argument `at`, itself included.
    pub fn of_key(self, at: usize) -> Range<usize> {
        at..at + usize::from(self.step)
    }

    /// Number of arguments of a part with so many keys.
    pub fn argc(self, keys: usize) -> usize {
        self.around() + keys * usize::from(self.step)
    }

    /// The arguments in front of the first key of a request of `argc` arguments.
    pub fn front(self, argc: usize) -> Range<usize> {
        0..usize::from(self.first).min(argc)
    }

    /// The common arguments behind the last key and its arguments.
    pub fn behind(self, argc: usize) -> Range<usize> {
        argc.saturating_sub(usize::from(self.tail))..argc
    }

    /// The arguments that every part of a request of `argc` arguments repeats.
    pub fn repeated(self, argc: usize) -> impl Iterator<Item = usize> {
        self.front(argc).chain(self.behind(argc))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_what_is_repeated() {
        let path = SplitShape {
            first: 1,
            step: 1,
            tail: 1,
        };
        assert!(!path.fits(2) && path.fits(3) && path.fits(9));
        assert_eq!(path.keys(4).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(path.repeated(4).collect::<Vec<_>>(), [0, 3]);
        assert_eq!((path.argc(2), path.number(2)), (4, 1));
        let triples = SplitShape::of_step(3);
        assert!(!triples.fits(1) && !triples.fits(3) && triples.fits(4) && !triples.fits(6));
        assert_eq!(triples.keys(7).collect::<Vec<_>>(), [1, 4]);
        assert_eq!(triples.repeated(7).collect::<Vec<_>>(), [0]);
        assert_eq!((triples.argc(2), triples.number(4)), (7, 1));
        assert_eq!(triples.keys(0).count() + triples.repeated(0).count(), 0);
    }
}
