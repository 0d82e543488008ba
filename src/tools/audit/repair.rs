//! Decides the repair of a key, and makes its command. Both commands are safe to repeat and to race with clients: NX
//! sets only a missing TTL, LT only shortens.

use redis::Cmd;

use slotmux_core::policy::TtlPolicy;

/// Spread of repaired TTLs if the policy has no jitter, as a fraction of the TTL. Without it all keys that an audit
/// repairs would expire within the minutes that it took.
const SPREAD: f64 = 0.1;

/// The repair of a key, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repair {
    /// Sets a missing TTL.
    Set(u64),
    /// Cuts a TTL above the maximum.
    Cut(u64),
}

impl Repair {
    /// The repair of a key with this `PTTL` reply. `None` if the key obeys the policy or does not exist.
    pub fn of(policy: &TtlPolicy, key: &[u8], pttl: i64) -> Option<Repair> {
        if pttl == -1 {
            let default = policy.default?;
            let spread = if policy.jitter > 0.0 {
                policy.jitter
            } else {
                SPREAD
            };
            return Some(Repair::Set(policy.spread_around(default, spread, key)));
        }
        let max = policy.max?;
        let is_over = u64::try_from(pttl).is_ok_and(|ttl| ttl > max);
        // The jitter of a policy is for defaults and may be wide; a client's TTL is cut no further than needed.
        is_over.then(|| Repair::Cut(policy.spread_around(max, SPREAD, key)))
    }

    /// The command.
    pub fn command(self, key: &[u8]) -> Cmd {
        let (ttl, only) = match self {
            Repair::Set(ttl) => (ttl, "NX"),
            Repair::Cut(ttl) => (ttl, "LT"),
        };
        let mut command = redis::cmd("PEXPIRE");
        command.arg(key).arg(ttl).arg(only);
        command
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::*;
    use slotmux_core::config::{JitterBy, Ttl};

    const HOUR: u64 = 3_600_000;

    fn policy(default: Option<u64>, max: Option<u64>, min: Option<u64>, jitter: f64) -> TtlPolicy {
        TtlPolicy::new(&Ttl {
            default: default.map(Duration::from_millis),
            max: max.map(Duration::from_millis),
            min: min.map(Duration::from_millis),
            jitter,
            ..Ttl::default()
        })
        .unwrap()
    }

    fn ttls(policy: &TtlPolicy, pttl: i64) -> Vec<u64> {
        let ttl = |i| match Repair::of(policy, format!("key:{i}").as_bytes(), pttl) {
            Some(Repair::Set(ttl)) if pttl == -1 => ttl,
            Some(Repair::Cut(ttl)) if pttl > 0 => ttl,
            other => panic!("{other:?} for {pttl}"),
        };
        (0..1000).map(ttl).collect()
    }

    fn assert_spread(ttls: &[u64], low: u64, high: u64) {
        assert!(
            ttls.iter().all(|ttl| (low..=high).contains(ttl)),
            "{low} {high}"
        );
        let tenths: HashSet<u64> = ttls
            .iter()
            .map(|ttl| (ttl - low) * 10 / (high - low + 1))
            .collect();
        assert_eq!(tenths.len(), 10, "all of {low} to {high} is used");
        let mut counts = std::collections::HashMap::new();
        for ttl in ttls {
            *counts.entry(ttl).or_insert(0) += 1;
        }
        assert!(
            counts.values().all(|&n| n < 10),
            "no TTL is that of many keys"
        );
    }

    #[test]
    fn what_needs_no_repair() {
        let both = policy(Some(HOUR), Some(2 * HOUR), Some(HOUR / 2), 0.0);
        for pttl in [-2, 0, 1, HOUR as i64, 2 * HOUR as i64] {
            assert_eq!(Repair::of(&both, b"k", pttl), None, "{pttl}");
        }
        let default_only = policy(Some(HOUR), None, None, 0.0);
        assert_eq!(Repair::of(&default_only, b"k", i64::MAX), None);
        let min_only = policy(None, None, Some(HOUR), 0.0);
        for pttl in [-1, 1, i64::MAX] {
            assert_eq!(Repair::of(&min_only, b"k", pttl), None, "{pttl}");
        }
    }

    #[test]
    fn repairs_are_spread_within_the_bounds() {
        let plain = policy(Some(HOUR), None, None, 0.0);
        assert_spread(&ttls(&plain, -1), HOUR * 9 / 10, HOUR * 11 / 10);
        let jittered = policy(Some(HOUR), None, None, 0.5);
        assert_spread(&ttls(&jittered, -1), HOUR / 2, HOUR * 3 / 2);
        let max_only = policy(None, Some(HOUR), None, 0.0);
        assert_spread(&ttls(&max_only, -1), HOUR * 9 / 10, HOUR);
        assert_spread(&ttls(&max_only, HOUR as i64 + 1), HOUR * 9 / 10, HOUR);
        let narrow = policy(Some(HOUR), Some(HOUR), Some(HOUR * 95 / 100), 0.5);
        assert_spread(&ttls(&narrow, -1), HOUR * 95 / 100, HOUR);
        assert_spread(&ttls(&narrow, i64::MAX), HOUR * 95 / 100, HOUR);
        let fixed = policy(Some(HOUR), Some(HOUR), Some(HOUR), 0.5);
        assert!(ttls(&fixed, -1).iter().all(|&ttl| ttl == HOUR));
        // The smallest TTL is still one, and the greatest still a number that Redis takes.
        let tiny = policy(Some(1), None, None, 1.0);
        assert!(ttls(&tiny, -1).iter().all(|&ttl| ttl >= 1));
    }

    #[test]
    fn within_the_bounds_a_key_gets_what_the_proxy_would_give_it() {
        let mut policy = policy(Some(HOUR), Some(2 * HOUR), None, 0.2);
        for (i, ttl) in ttls(&policy, -1).into_iter().enumerate() {
            let given = policy.default_for(format!("key:{i}").as_bytes()).unwrap();
            assert!(ttl.abs_diff(given) <= 1, "{ttl} {given}");
        }
        // A repair can be repeated: it is never random.
        policy.jitter_by = JitterBy::Random;
        assert_eq!(ttls(&policy, -1), ttls(&policy, -1));
    }

    #[test]
    fn commands_only_ever_shorten() {
        let words = |repair: Repair| {
            let packed = repair.command(b"k").get_packed_command();
            String::from_utf8(packed).unwrap()
        };
        assert!(
            words(Repair::Set(7)).ends_with("$7\r\nPEXPIRE\r\n$1\r\nk\r\n$1\r\n7\r\n$2\r\nNX\r\n")
        );
        assert!(words(Repair::Cut(7)).ends_with("$1\r\nk\r\n$1\r\n7\r\n$2\r\nLT\r\n"));
    }
}
