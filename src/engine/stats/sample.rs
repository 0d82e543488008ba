//! Samples events: all of the first ones, so that rare ones are seen, then one of several at random, so that frequent ones
//! cost next to nothing.

use std::cell::Cell;

/// Belongs to one thread.
#[derive(Debug)]
pub struct Sampler {
    /// How many are still picked without exception.
    first: Cell<u32>,
    /// After that, one in so many on average.
    rate: u32,
    /// How many come until the next one is picked, that one counted.
    left: Cell<u32>,
    /// For how many events the next one stands.
    weight: Cell<u32>,
}

impl Sampler {
    /// Picks the `first` ones, then one in `rate`.
    pub const fn new(first: u32, rate: u32) -> Sampler {
        Sampler {
            first: Cell::new(first),
            rate,
            left: Cell::new(1),
            weight: Cell::new(1),
        }
    }

    /// Picks this event or not. Returns for how many events it stands, itself included.
    #[inline]
    pub fn pick(&self) -> Option<u32> {
        let left = self.left.get();
        if left > 1 {
            self.left.set(left - 1);
            return None;
        }
        Some(self.picked())
    }

    /// The distance to the next one is random, since a fixed one could miss parts of a pattern.
    fn picked(&self) -> u32 {
        let first = self.first.get().saturating_sub(1);
        self.first.set(first);
        let next = if first > 0 {
            1
        } else {
            fastrand::u32(1..2 * self.rate)
        };
        self.left.set(next);
        self.weight.replace(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ones_and_then_a_fraction_that_stands_for_all() {
        let sampler = Sampler::new(100, 16);
        let picks: Vec<Option<u32>> = (0..100_000).map(|_| sampler.pick()).collect();
        assert!(picks[..100].iter().all(|pick| *pick == Some(1)));
        let picked = picks[100..].iter().flatten().count();
        assert!((5_500..7_000).contains(&picked), "{picked}");
        let stood_for: u32 = picks.iter().flatten().sum();
        assert!((99_960..=100_000).contains(&stood_for), "{stood_for}");
    }
}
