//! How often a node may be connected to: a token bucket per node and worker, so that a node that has just come back is not
//! knocked over by connections.

use crate::engine::worker::clock::Tick;

/// Connections that may be opened at once to a node that takes them.
const BURST: f64 = 128.0;
/// Further connections per second.
const PER_SECOND: f64 = 500.0;
/// The same for a node that refused the last connection. A first attempt of each kind of lane is always possible.
const FAILING_BURST: f64 = 4.0;
const FAILING_PER_SECOND: f64 = 10.0;

/// The bucket of one node.
#[derive(Debug)]
pub struct Bucket {
    tokens: f64,
    /// When `tokens` was counted.
    at: Tick,
    is_failing: bool,
}

impl Bucket {
    /// A full bucket.
    pub fn new(now: Tick) -> Bucket {
        Bucket {
            tokens: BURST,
            at: now,
            is_failing: false,
        }
    }

    /// Takes a token. The error is the number of milliseconds until there is one.
    pub fn claim(&mut self, now: Tick) -> Result<(), u32> {
        let (burst, per_second) = if self.is_failing {
            (FAILING_BURST, FAILING_PER_SECOND)
        } else {
            (BURST, PER_SECOND)
        };
        let gained = now.since(self.at) as f64 * per_second / 1000.0;
        self.tokens = (self.tokens + gained).min(burst);
        self.at = now;
        if self.tokens < 1.0 {
            return Err(((1.0 - self.tokens) * 1000.0 / per_second).ceil() as u32);
        }
        self.tokens -= 1.0;
        Ok(())
    }

    /// Records whether a connection could be made.
    pub fn record(&mut self, has_worked: bool) {
        self.is_failing = !has_worked;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::worker::clock::Clock;

    /// Number of tokens claimed by one claim per millisecond.
    fn taken(bucket: &mut Bucket, start: Tick, milliseconds: u64) -> usize {
        (0..milliseconds)
            .map(|at| std::iter::from_fn(|| bucket.claim(start.plus(at)).ok()).count())
            .sum()
    }

    #[test]
    fn a_healthy_node_gets_a_burst_and_then_its_rate() {
        let start = Clock::start().now();
        let mut bucket = Bucket::new(start);
        assert_eq!(taken(&mut bucket, start, 1), 128);
        assert_eq!(bucket.claim(start), Err(2));
        assert!((498..=501).contains(&taken(&mut bucket, start.plus(1), 1000)));
        assert_eq!(taken(&mut bucket, start.plus(3_600_000), 1), 128);
    }

    #[test]
    fn a_node_that_fails_gets_few_until_one_works() {
        let start = Clock::start().now();
        let mut bucket = Bucket::new(start);
        bucket.record(false);
        assert_eq!(taken(&mut bucket, start, 1), 4);
        assert_eq!(bucket.claim(start), Err(100));
        assert!((98..=101).contains(&taken(&mut bucket, start.plus(1), 10_000)));
        bucket.record(true);
        assert!((499..=501).contains(&taken(&mut bucket, start.plus(10_001), 1000)));
    }
}
