//! The source of all choices: the bytes of an input, chance, or one after the other.

use std::ops::{Range, RangeInclusive};
use std::rc::Rc;

use fastrand::Rng;

/// A source of choices. An exhausted input without chance behind it chooses the first, the least, or "no" each time, so
/// these must be the harmless choices.
pub struct Dice {
    input: Rc<[u8]>,
    left: Range<usize>,
    chance: Option<Rng>,
}

impl Dice {
    /// The bytes choose first, then chance if there is a seed; equal seeds make equal choices.
    pub fn new(input: &[u8], seed: Option<u64>) -> Dice {
        Dice {
            input: input.into(),
            left: 0..input.len(),
            chance: seed.map(Rng::with_seed),
        }
    }

    /// Any byte.
    pub fn byte(&mut self) -> u8 {
        match (self.left.next(), &mut self.chance) {
            (Some(at), _) => self.input[at],
            (None, Some(rng)) => rng.u8(..),
            (None, None) => 0,
        }
    }

    /// A number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound <= 256 {
            return usize::from(self.byte()) % bound;
        }
        let bytes = [self.byte(), self.byte(), self.byte(), 0];
        u32::from_le_bytes(bytes) as usize % bound
    }

    /// A number of the range.
    pub fn between(&mut self, range: RangeInclusive<usize>) -> usize {
        range.start() + self.below(range.end() - range.start() + 1)
    }

    /// True once in `n` times on average.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }

    /// One of the items.
    pub fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// An independent source, so that its choices do not depend on the order of the choosers. It takes as many bytes of
    /// the input as the next byte says.
    pub fn fork(&mut self) -> Dice {
        let share = usize::from(self.byte());
        let end = self.left.end.min(self.left.start + share);
        let left = self.left.start..end;
        self.left.start = end;
        Dice {
            input: self.input.clone(),
            left,
            chance: self.chance.as_mut().map(Rng::fork),
        }
    }

    /// The rest of the input, as it is.
    pub fn rest(&mut self) -> &[u8] {
        &self.input[std::mem::take(&mut self.left)]
    }
}
