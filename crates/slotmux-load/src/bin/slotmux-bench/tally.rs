//! Counts of requests, faults with samples, and latencies. One tally per thread and phase, merged at the end.

use crate::check::Outcome;
use hdrhistogram::Histogram;
use std::sync::atomic::{AtomicU64, Ordering};

/// Faults that are kept as text, for people; all are counted.
const SAMPLES: usize = 8;

/// Longest latency that is recorded, in nanoseconds: ten minutes.
const LONGEST: u64 = 600_000_000_000;

/// Counts that other threads read while a phase runs.
#[derive(Default, Debug)]
pub struct Live {
    /// Replies so far.
    pub replies: AtomicU64,
    /// Faults so far.
    pub faults: AtomicU64,
}

impl Live {
    /// Adds to a counter that has one writer, without a locked instruction on the path of a reply.
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.store(counter.load(Ordering::Relaxed) + n, Ordering::Relaxed);
    }
}

/// Counts and latencies of one phase.
pub struct Tally {
    /// Requests sent.
    pub requests: u64,
    /// Replies received, right or not.
    pub replies: u64,
    /// Error replies.
    pub errors: u64,
    /// Wrong replies, missing keys included.
    pub wrong: u64,
    /// Keys that should exist.
    pub missing: u64,
    /// Requests without a reply: the connection was lost, or the timeout passed.
    pub lost: u64,
    /// Reconnects after a loss.
    pub reconnects: u64,
    /// Requests of a fixed rate that were not sent in time.
    pub unsent: u64,
    /// Seconds from the first request to the last reply.
    pub seconds: f64,
    /// Nanoseconds from the (intended) send time to the reply.
    pub latency: Histogram<u64>,
    /// The first few faults as text.
    pub samples: Vec<String>,
}

impl Default for Tally {
    fn default() -> Tally {
        let latency = Histogram::new_with_bounds(1, LONGEST, 3)
            .expect("constant bounds in order, 3 of 5 digits");
        Tally {
            requests: 0,
            replies: 0,
            errors: 0,
            wrong: 0,
            missing: 0,
            lost: 0,
            reconnects: 0,
            unsent: 0,
            seconds: 0.0,
            latency,
            samples: Vec::new(),
        }
    }
}

impl Tally {
    /// Counts one reply.
    pub fn reply(&mut self, outcome: Outcome, sample: impl FnOnce() -> String) {
        self.replies += 1;
        match outcome {
            Outcome::Right => return,
            Outcome::Error => self.errors += 1,
            Outcome::Wrong => self.wrong += 1,
            Outcome::Missing => {
                self.wrong += 1;
                self.missing += 1;
            }
        }
        self.sample(sample);
    }

    /// Keeps a fault as text, up to a limit.
    pub fn sample(&mut self, text: impl FnOnce() -> String) {
        if self.samples.len() < SAMPLES {
            self.samples.push(text());
        }
    }

    /// Records the latency of `count` replies.
    pub fn latency(&mut self, nanoseconds: u64, count: u64) {
        self.latency.saturating_record_n(nanoseconds.max(1), count);
    }

    /// Faults of any kind.
    pub fn faults(&self) -> u64 {
        self.errors + self.wrong + self.lost
    }

    /// Adds another thread's tally of the same phase.
    pub fn merge(&mut self, other: Tally) {
        self.requests += other.requests;
        self.replies += other.replies;
        self.errors += other.errors;
        self.wrong += other.wrong;
        self.missing += other.missing;
        self.lost += other.lost;
        self.reconnects += other.reconnects;
        self.unsent += other.unsent;
        self.seconds = self.seconds.max(other.seconds);
        // Both have the same bounds; a failure would lose latencies, but no counts.
        let _ = self.latency.add(&other.latency);
        other
            .samples
            .into_iter()
            .for_each(|text| self.sample(|| text));
    }

    /// Latency in microseconds that this share of replies did not exceed.
    pub fn percentile(&self, percent: f64) -> f64 {
        self.latency.value_at_percentile(percent) as f64 / 1_000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_thousandth() {
        let mut tally = Tally::default();
        for microseconds in 1..=10_000 {
            tally.latency(microseconds * 1_000, 1);
        }
        for (percent, want) in [
            (50.0, 5_000.0),
            (90.0, 9_000.0),
            (99.0, 9_900.0),
            (99.9, 9_990.0),
            (100.0, 10_000.0),
        ] {
            let got = tally.percentile(percent);
            assert!(
                (got / want - 1.0).abs() < 0.001,
                "p{percent}: {got} instead of {want}"
            );
        }
    }

    #[test]
    fn extreme_latencies_count() {
        let mut tally = Tally::default();
        tally.latency(0, 1);
        tally.latency(u64::MAX, 3);
        assert_eq!(tally.latency.len(), 4);
        assert!(tally.percentile(100.0) >= 599e6);
    }

    #[test]
    fn merging_adds_counts_and_latencies() {
        let mut all = Tally::default();
        for thread in 0..3u64 {
            let mut tally = Tally {
                requests: 10,
                lost: 1,
                seconds: thread as f64,
                ..Tally::default()
            };
            tally.latency(1_000 * (thread + 1), 2);
            tally.reply(Outcome::Right, || "never".into());
            tally.reply(Outcome::Wrong, || format!("thread {thread}"));
            tally.reply(Outcome::Missing, || "missing".into());
            tally.reply(Outcome::Error, || "error".into());
            all.merge(tally);
        }
        assert_eq!(
            (
                all.requests,
                all.replies,
                all.errors,
                all.wrong,
                all.missing,
                all.lost
            ),
            (30, 12, 3, 6, 3, 3)
        );
        assert_eq!(all.faults(), 12);
        assert_eq!(all.latency.len(), 6);
        assert_eq!(all.seconds, 2.0);
        assert_eq!(all.samples.len(), SAMPLES);
        assert_eq!(all.samples[0], "thread 0");
    }
}
