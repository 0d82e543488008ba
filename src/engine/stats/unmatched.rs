//! Prefixes of keys that are in no namespace, for the operator who has not declared them: a bounded sketch of each worker,
//! fed with a sample of such keys. `SLOTMUX UNMATCHED` merges the sketches of all workers.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use crate::engine::stats::sample::Sampler;

/// Prefixes that a worker remembers. Those that take more than a 256th of the keys are certain to be among them.
const ENTRIES: usize = 256;
/// Longest prefix.
const LONGEST: usize = 64;
/// Keys that are all sampled, before it is one in [`RATE`], so that a prefix used once at the start is seen.
const FIRST: u32 = 4096;
/// A sample costs some hundred nanoseconds; one in sixty-four cannot be measured.
const RATE: u32 = 64;

/// A prefix and how often it was seen, by estimate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// The start of the keys.
    pub prefix: Vec<u8>,
    /// Number of its keys, or fewer by up to `excess`, as far as the sample goes.
    pub count: u64,
    /// Part of the count that may belong to forgotten prefixes.
    pub excess: u64,
}

/// The sketch of one worker.
#[derive(Debug)]
pub struct Unmatched {
    sampler: Sampler,
    sketch: RefCell<Sketch>,
}

impl Default for Unmatched {
    fn default() -> Unmatched {
        Unmatched {
            sampler: Sampler::new(FIRST, RATE),
            sketch: RefCell::default(),
        }
    }
}

impl Unmatched {
    /// Notes a request for a key in no namespace; `key` is called only if it is in the sample.
    #[inline]
    pub fn note<K: AsRef<[u8]>>(&self, key: impl FnOnce() -> Option<K>) {
        if let Some(weight) = self.sampler.pick()
            && let Some(key) = key()
        {
            let prefix = prefix_of(key.as_ref());
            self.sketch.borrow_mut().add(prefix, weight.into());
        }
    }

    /// The prefixes, in no order.
    pub fn seen(&self) -> Vec<Seen> {
        let sketch = self.sketch.borrow();
        sketch
            .entries
            .iter()
            .map(|(_, seen)| seen.clone())
            .collect()
    }
}

/// One list of the prefixes of several workers, most frequent first.
pub fn merged(workers: Vec<Vec<Seen>>) -> Vec<Seen> {
    let mut by_prefix: HashMap<Vec<u8>, (u64, u64)> = HashMap::new();
    for seen in workers.into_iter().flatten() {
        let (count, excess) = by_prefix.entry(seen.prefix).or_default();
        *count += seen.count;
        *excess += seen.excess;
    }
    let mut all: Vec<Seen> = by_prefix
        .into_iter()
        .map(|(prefix, (count, excess))| Seen {
            prefix,
            count,
            excess,
        })
        .collect();
    all.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.prefix.cmp(&b.prefix)));
    all
}

/// A key up to its last `:` among its first bytes; without one, as much of it as a prefix may have.
fn prefix_of(key: &[u8]) -> &[u8] {
    let start = &key[..key.len().min(LONGEST)];
    match start.iter().rposition(|&byte| byte == b':') {
        Some(colon) => &start[..=colon],
        None => start,
    }
}

/// The Space-Saving algorithm: a new prefix replaces the least frequent one, whose count becomes its `excess`.
#[derive(Debug, Default)]
struct Sketch {
    entries: Vec<(u64, Seen)>,
    hasher: RandomState,
}

impl Sketch {
    fn add(&mut self, prefix: &[u8], weight: u64) {
        let hash = self.hasher.hash_one(prefix);
        let is_it = |(other, seen): &&mut (u64, Seen)| *other == hash && seen.prefix == prefix;
        if let Some((_, seen)) = self.entries.iter_mut().find(is_it) {
            seen.count += weight;
            return;
        }
        let new = |excess| {
            let (prefix, count) = (prefix.to_vec(), excess + weight);
            (
                hash,
                Seen {
                    prefix,
                    count,
                    excess,
                },
            )
        };
        if self.entries.len() < ENTRIES {
            self.entries.push(new(0));
        } else if let Some(least) = self.entries.iter_mut().min_by_key(|(_, seen)| seen.count) {
            *least = new(least.1.count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(seen: &[Seen]) -> Vec<(&str, u64)> {
        let text = |seen: &Seen| (str::from_utf8(&seen.prefix).unwrap().to_owned(), seen.count);
        seen.iter()
            .map(|seen| (str::from_utf8(&seen.prefix).unwrap(), text(seen).1))
            .collect()
    }

    #[test]
    fn prefixes() {
        let long = "x".repeat(100);
        for (key, prefix) in [
            ("", ""),
            ("counter", "counter"),
            ("user:7", "user:"),
            ("app:user:7", "app:user:"),
            ("user:", "user:"),
            (":", ":"),
            (&*format!("a:{long}:b"), "a:"),
            (&*long, &long[..LONGEST]),
        ] {
            assert_eq!(prefix_of(key.as_bytes()), prefix.as_bytes(), "{key}");
        }
    }

    #[test]
    fn what_comes_first_is_counted_exactly() {
        let unmatched = Unmatched::default();
        for key in ["b:1", "a:1", "a:2", "lone"] {
            unmatched.note(|| Some(key));
        }
        unmatched.note(|| None::<&str>);
        let seen = merged(vec![unmatched.seen()]);
        assert_eq!(counts(&seen), [("a:", 2), ("b:", 1), ("lone", 1)]);
    }

    #[test]
    fn it_is_bounded_and_finds_the_heavy_hitters() {
        let unmatched = Unmatched::default();
        let mut random = fastrand::Rng::with_seed(3);
        let mut keys = [0_u64; 3];
        for _ in 0..400_000 {
            // 30 %, 10 % and 3 % of the keys; all others are different.
            let (which, key) = match random.u32(0..100) {
                0..30 => (0, "hot:1".to_owned()),
                30..40 => (1, "warm:1".to_owned()),
                40..43 => (2, "mild:1".to_owned()),
                _ => (3, format!("{}:1", random.u64(..))),
            };
            if let Some(count) = keys.get_mut(which) {
                *count += 1;
            }
            unmatched.note(|| Some(key));
        }
        let seen = unmatched.seen();
        assert_eq!(seen.len(), ENTRIES);
        let all = merged(vec![seen]);
        for (prefix, keys) in ["hot:", "warm:", "mild:"].iter().zip(keys) {
            let at = all.iter().position(|seen| seen.prefix == prefix.as_bytes());
            // Far more than a sample of that size is off by chance.
            let found = &all[at.expect(prefix)];
            let least = found.count - found.excess;
            assert!(least <= keys * 3 / 2, "{prefix}: {found:?}, {keys} keys");
            assert!(found.count >= keys / 2, "{prefix}: {found:?}, {keys} keys");
        }
        assert_eq!(
            (&all[0].prefix[..], &all[1].prefix[..]),
            (&b"hot:"[..], &b"warm:"[..])
        );
    }

    #[test]
    fn workers_are_summed() {
        let seen = |prefix: &str, count, excess| Seen {
            prefix: prefix.into(),
            count,
            excess,
        };
        let merged = merged(vec![
            vec![seen("a:", 2, 0), seen("b:", 5, 1)],
            vec![seen("a:", 4, 2)],
            vec![],
        ]);
        assert_eq!(merged, [seen("a:", 6, 2), seen("b:", 5, 1)]);
    }
}
