//! The arithmetic of TTLs: how a policy changes a given TTL, and which one it gives to a key without. In milliseconds.
//!
//! No TTL counts as an infinite one, so a maximum alone is also the default.

use std::time::Duration;

use crate::config::{JitterBy, KeepTtl, OverMax, Persist, ScriptKeys, Strength, Ttl, TtlMode};

/// A policy that says something: there is a default, a maximum or a minimum.
#[derive(Clone, Debug, PartialEq)]
pub struct TtlPolicy {
    /// Never [`TtlMode::Off`].
    pub mode: TtlMode,
    /// For a write that brings no TTL, before jitter; never above `max`. `None`: the policy only bounds what is given.
    pub default: Option<u64>,
    /// Whether the configuration has no default, so that the maximum is used.
    pub is_max_the_default: bool,
    /// Upper bound.
    pub max: Option<u64>,
    /// Lower bound of what a write gives.
    pub min: Option<u64>,
    /// Spread of the default to both sides, 0 to 1.
    pub jitter: f64,
    /// The spread of the default within the minimum and the maximum.
    window: TtlRange,
    /// Chooses the place of a key in the spread.
    pub jitter_by: JitterBy,
    /// Treatment of a TTL above `max`.
    pub over_max: OverMax,
    /// Treatment of PERSIST.
    pub persist: Persist,
    /// Treatment of KEEPTTL.
    pub keepttl: KeepTtl,
    /// The way an expiry is attached.
    pub strength: Strength,
    /// Treatment of scripts.
    pub scripts: ScriptKeys,
}

/// The decision about a given TTL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TtlVerdict {
    /// It may stay.
    Fits,
    /// It becomes the maximum.
    Clamped(u64),
    /// It becomes the minimum.
    Raised(u64),
    /// It is above the maximum, and the policy refuses that.
    Refused {
        /// The maximum.
        max: u64,
    },
}

impl TtlPolicy {
    /// The policy of a configuration; `None` if it says nothing, so that its namespace costs nothing.
    pub fn new(ttl: &Ttl) -> Option<TtlPolicy> {
        let default = milliseconds(ttl.default);
        let max = milliseconds(ttl.max);
        let min = milliseconds(ttl.min);
        if ttl.mode == TtlMode::Off || (default, max, min) == (None, None, None) {
            return None;
        }
        let is_max_the_default = default.is_none() && max.is_some();
        let default = default.or(max);
        Some(TtlPolicy {
            mode: ttl.mode,
            default,
            is_max_the_default,
            max,
            min,
            jitter: ttl.jitter,
            window: TtlRange::new(default.unwrap_or(LONGEST), ttl.jitter, min, max),
            jitter_by: ttl.jitter_by,
            over_max: ttl.over_max,
            persist: ttl.persist,
            keepttl: ttl.keepttl,
            strength: ttl.strength,
            scripts: ttl.scripts,
        })
    }

    /// The TTL of `key` when a write brings none: somewhere in what the minimum and the maximum leave of the spread.
    pub fn default_for(&self, key: &[u8]) -> Option<u64> {
        let default = self.default?;
        if self.jitter == 0.0 {
            return Some(default);
        }
        Some(self.window.at(match self.jitter_by {
            JitterBy::Key => place_of(key),
            JitterBy::Random => fastrand::u64(..),
        }))
    }

    /// A TTL for `key` around `middle`, spread by this fraction to both sides instead of the policy's jitter.
    pub fn spread_around(&self, middle: u64, fraction: f64, key: &[u8]) -> u64 {
        TtlRange::new(middle, fraction, self.min, self.max).at(place_of(key))
    }

    /// Judges a TTL that a write gives. 0 or less deletes the key or is an error, which the policy leaves alone.
    pub fn given(&self, ttl: i64) -> TtlVerdict {
        let Ok(ttl) = u64::try_from(ttl) else {
            return TtlVerdict::Fits;
        };
        match (self.max, self.min) {
            (Some(max), _) if ttl > max => match self.over_max {
                OverMax::Clamp => TtlVerdict::Clamped(max),
                OverMax::Reject => TtlVerdict::Refused { max },
            },
            (_, Some(min)) if ttl > 0 && ttl < min => TtlVerdict::Raised(min),
            _ => TtlVerdict::Fits,
        }
    }
}

/// Servers refuse an expiry that lies beyond 2^63 milliseconds after 1970; this is 146 million years from now.
const LONGEST: u64 = i64::MAX as u64 / 2;

fn milliseconds(duration: Option<Duration>) -> Option<u64> {
    let duration = duration.filter(|duration| !duration.is_zero())?;
    Some(u64::try_from(duration.as_millis()).map_or(LONGEST, |given| given.clamp(1, LONGEST)))
}

/// A range of TTLs.
#[derive(Clone, Copy, Debug, PartialEq)]
struct TtlRange {
    low: u64,
    high: u64,
}

impl TtlRange {
    /// `middle` with its spread to both sides, as far as the bounds allow.
    fn new(middle: u64, spread: f64, min: Option<u64>, max: Option<u64>) -> TtlRange {
        let max = max.unwrap_or(LONGEST);
        let aside = (middle as f64 * spread).round() as u64;
        // A TTL of 0 would delete.
        let low = middle
            .saturating_sub(aside)
            .max(min.unwrap_or(1))
            .clamp(1, max);
        let high = middle.saturating_add(aside).clamp(low, max);
        TtlRange { low, high }
    }

    /// The TTL at a place that is drawn from all numbers alike.
    fn at(self, place: u64) -> u64 {
        let width = u128::from(self.high - self.low) + 1;
        self.low + ((u128::from(place) * width) >> 64) as u64
    }
}

/// A number that is the same for a key on every proxy: a multiplicative hash of sixteen bytes a step, folded from a
/// product of 128 bits. Keys are no secret and nothing breaks where two of them meet.
fn place_of(key: &[u8]) -> u64 {
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
    let step = |hash: u64, bytes: u128| {
        let (low, high) = (bytes as u64, (bytes >> 64) as u64);
        let product = u128::from(low ^ hash) * u128::from(high ^ MIX);
        (product as u64) ^ ((product >> 64) as u64)
    };
    let start = key.len() as u64 ^ MIX;
    let hash = match key.last_chunk::<16>() {
        // The last sixteen bytes overlap with those before: no copy of a rest.
        Some(last) => {
            let (chunks, _) = key.as_chunks::<16>();
            let all = chunks.iter().chain([last]);
            all.fold(start, |hash, chunk| step(hash, u128::from_le_bytes(*chunk)))
        }
        None => {
            let shift = |bytes, byte: &u8| bytes << 8 | u128::from(*byte);
            step(start, key.iter().fold(0, shift))
        }
    };
    step(hash, u128::from(MIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn policy(change: impl FnOnce(&mut Ttl)) -> TtlPolicy {
        let mut ttl = Ttl::default();
        change(&mut ttl);
        TtlPolicy::new(&ttl).expect("a policy that says something")
    }

    #[test]
    fn a_policy_that_says_nothing_is_none() {
        assert_eq!(TtlPolicy::new(&Ttl::default()), None);
        let zero = Ttl {
            default: Some(Duration::ZERO),
            ..Ttl::default()
        };
        assert_eq!(TtlPolicy::new(&zero), None);
        let off = Ttl {
            mode: TtlMode::Off,
            max: Some(SECOND),
            ..Ttl::default()
        };
        assert_eq!(TtlPolicy::new(&off), None);
    }

    #[test]
    fn a_maximum_alone_is_also_the_default() {
        let policy = policy(|ttl| ttl.max = Some(SECOND));
        assert_eq!(policy.default_for(b"k"), Some(1000));
    }

    #[test]
    fn what_no_server_takes_is_cut() {
        let policy = policy(|ttl| {
            ttl.default = Some(Duration::from_millis(u64::MAX));
            ttl.jitter = 0.5;
        });
        for i in 0..100 {
            let ttl = policy.default_for(&[i]).unwrap();
            assert!((1..=LONGEST).contains(&ttl), "{ttl}");
        }
    }

    #[test]
    fn given_ttls() {
        let clamp = policy(|ttl| {
            ttl.max = Some(10 * SECOND);
            ttl.min = Some(SECOND);
        });
        for (ttl, expected) in [
            (i64::MIN, TtlVerdict::Fits),
            (-1, TtlVerdict::Fits),
            (0, TtlVerdict::Fits),
            (1, TtlVerdict::Raised(1000)),
            (999, TtlVerdict::Raised(1000)),
            (1000, TtlVerdict::Fits),
            (10_000, TtlVerdict::Fits),
            (10_001, TtlVerdict::Clamped(10_000)),
            (i64::MAX, TtlVerdict::Clamped(10_000)),
        ] {
            assert_eq!(clamp.given(ttl), expected, "{ttl}");
        }
        let reject = policy(|ttl| {
            ttl.max = Some(SECOND);
            ttl.over_max = OverMax::Reject;
        });
        assert_eq!(reject.given(1001), TtlVerdict::Refused { max: 1000 });
    }

    #[test]
    fn jitter_spreads_within_the_bounds_and_repeats() {
        let wide = policy(|ttl| {
            ttl.default = Some(100 * SECOND);
            ttl.jitter = 0.1;
        });
        let all: Vec<u64> = (0..1000)
            .map(|i| wide.default_for(format!("key:{i}").as_bytes()).unwrap())
            .collect();
        assert!(all.iter().all(|ttl| (90_000..=110_000).contains(ttl)));
        let tenths: std::collections::HashSet<u64> = all.iter().map(|ttl| ttl / 2000).collect();
        assert!(tenths.len() >= 10, "spread over all of it: {tenths:?}");
        assert_eq!(wide.default_for(b"key:7"), wide.default_for(b"key:7"));
        let bounded = policy(|ttl| {
            ttl.default = Some(100 * SECOND);
            ttl.max = Some(100 * SECOND);
            ttl.min = Some(95 * SECOND);
            ttl.jitter = 0.5;
        });
        for i in 0..1000 {
            let ttl = bounded.default_for(format!("key:{i}").as_bytes()).unwrap();
            assert!((95_000..=100_000).contains(&ttl), "{ttl}");
        }
    }
}
