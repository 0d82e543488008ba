//! The counts of each namespace, in memory that does not grow with the number of keys.

use super::repair::Repair;
use slotmux_core::policy::NamespaceId;

/// The bounds of the histogram of remaining TTLs, in milliseconds, with their names. A TTL equal to a bound is above
/// it; TTLs above the last are `more`.
pub const BOUNDS: [(u64, &str); 5] = [
    (60_000, "1m"),
    (3_600_000, "1h"),
    (86_400_000, "1d"),
    (7 * 86_400_000, "7d"),
    (30 * 86_400_000, "30d"),
];

/// Counts of one namespace.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Existing keys.
    pub keys: u64,
    /// Keys without TTL.
    pub without_ttl: u64,
    /// The longest remaining TTL, in milliseconds.
    pub longest: Option<u64>,
    /// Keys with a TTL, by [`BOUNDS`], and those above the last.
    pub remaining: [u64; BOUNDS.len() + 1],
    /// Keys without TTL although the policy requires one.
    pub to_set: u64,
    /// Keys with a TTL above the policy's maximum.
    pub to_cut: u64,
    /// Keys that got a TTL.
    pub set: u64,
    /// Keys whose TTL was cut.
    pub cut: u64,
    /// Keys that no longer needed their repair: gone, or given a TTL meanwhile.
    pub moot: u64,
}

impl Tally {
    /// Counts an existing key by its `PTTL` reply and the repair that it needs.
    pub fn add(&mut self, pttl: i64, wanted: Option<Repair>) {
        self.keys += 1;
        match u64::try_from(pttl) {
            Err(_) => self.without_ttl += 1,
            Ok(ttl) => {
                self.longest = self.longest.max(Some(ttl));
                let place = BOUNDS.iter().position(|(bound, _)| ttl < *bound);
                self.remaining[place.unwrap_or(BOUNDS.len())] += 1;
            }
        }
        match wanted {
            Some(Repair::Set(_)) => self.to_set += 1,
            Some(Repair::Cut(_)) => self.to_cut += 1,
            None => {}
        }
    }

    /// Counts a repair that was sent; `was_needed` is the node's reply.
    pub fn add_repair(&mut self, repair: Repair, was_needed: bool) {
        match repair {
            _ if !was_needed => self.moot += 1,
            Repair::Set(_) => self.set += 1,
            Repair::Cut(_) => self.cut += 1,
        }
    }

    /// Keys that still break their policy.
    pub fn left(&self) -> u64 {
        (self.to_set + self.to_cut).saturating_sub(self.set + self.cut + self.moot)
    }

    fn merge(&mut self, other: &Tally) {
        self.keys += other.keys;
        self.without_ttl += other.without_ttl;
        self.longest = self.longest.max(other.longest);
        for (mine, theirs) in self.remaining.iter_mut().zip(other.remaining) {
            *mine += theirs;
        }
        self.to_set += other.to_set;
        self.to_cut += other.to_cut;
        self.set += other.set;
        self.cut += other.cut;
        self.moot += other.moot;
    }
}

/// Counts of all namespaces.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Tallies(Vec<Tally>);

impl Tallies {
    /// The tally of one namespace, or of the keys of no namespace.
    pub fn of(&mut self, namespace: NamespaceId) -> &mut Tally {
        let index = usize::from(namespace.0);
        if self.0.len() <= index {
            self.0.resize(index + 1, Tally::default());
        }
        &mut self.0[index]
    }

    /// Adds the counts of another walk.
    pub fn merge(&mut self, other: &Tallies) {
        for (number, tally) in (0..).zip(&other.0) {
            self.of(NamespaceId(number)).merge(tally);
        }
    }

    /// Keys of all namespaces.
    pub fn keys(&self) -> u64 {
        self.0.iter().map(|tally| tally.keys).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_one_place() {
        let mut tally = Tally::default();
        for pttl in [-1, 0, 59_999, 60_000, 3_599_999, 86_399_999, i64::MAX] {
            tally.add(pttl, None);
        }
        assert_eq!((tally.keys, tally.without_ttl), (7, 1));
        assert_eq!(tally.remaining, [2, 2, 1, 0, 0, 1]);
        assert_eq!(tally.longest, Some(i64::MAX as u64));
    }

    #[test]
    fn what_is_left_is_what_was_wanted_and_not_done() {
        let mut tally = Tally::default();
        for _ in 0..3 {
            tally.add(-1, Some(Repair::Set(5)));
            tally.add(50, Some(Repair::Cut(5)));
        }
        assert_eq!(tally.left(), 6);
        tally.add_repair(Repair::Set(5), true);
        tally.add_repair(Repair::Cut(5), true);
        tally.add_repair(Repair::Cut(5), false);
        assert_eq!(
            (tally.set, tally.cut, tally.moot, tally.left()),
            (1, 1, 1, 3)
        );
        let mut all = Tallies::default();
        all.of(NamespaceId(2)).merge(&tally);
        let mut other = Tallies::default();
        other.of(NamespaceId(1)).add(7, None);
        all.merge(&other);
        all.merge(&all.clone());
        assert_eq!(all.keys(), 14);
        assert_eq!(all.of(NamespaceId(2)).left(), 6);
        assert_eq!(all.of(NamespaceId(1)).longest, Some(7));
    }
}
