//! The rate limit of an audit: one budget of keys for all nodes together.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// Keys of one SCAN: enough that round trips do not matter, few enough that no node stalls noticeably.
const BATCH: u32 = 1_000;

/// Batches a second with a limit: the load on a node is even, not one burst a second.
const BATCHES_PER_SECOND: u32 = 10;

/// The budget shared by the walks of all nodes.
#[derive(Debug)]
pub(super) struct RateLimit {
    schedule: Option<Mutex<Schedule>>,
    started: Instant,
    batch: u32,
}

impl RateLimit {
    /// At most this many keys per second; `None` for no limit.
    pub fn new(rate: Option<u32>) -> RateLimit {
        RateLimit {
            schedule: rate.map(|rate| Mutex::new(Schedule::new(rate))),
            started: Instant::now(),
            batch: rate.map_or(BATCH, |rate| (rate / BATCHES_PER_SECOND).clamp(1, BATCH)),
        }
    }

    /// Number of keys of one SCAN.
    pub fn batch(&self) -> u32 {
        self.batch
    }

    /// Waits until this number of keys may be checked.
    pub async fn admit(&self, keys: u64) {
        let Some(schedule) = &self.schedule else {
            return;
        };
        let due = {
            // A panic elsewhere leaves the schedule valid.
            let mut schedule = schedule.lock().unwrap_or_else(|e| e.into_inner());
            schedule.due(self.started.elapsed(), keys)
        };
        tokio::time::sleep_until(self.started + due).await;
    }
}

/// When keys may be checked, in time since the start.
#[derive(Debug)]
struct Schedule {
    rate: f64,
    paid_until: Duration,
}

impl Schedule {
    fn new(rate: u32) -> Schedule {
        Schedule {
            rate: f64::from(rate.max(1)),
            paid_until: Duration::ZERO,
        }
    }

    /// When `keys` more may be checked; the next caller waits for their share of time. Idle time is not saved up, so
    /// that no second exceeds the rate by more than one batch.
    fn due(&mut self, now: Duration, keys: u64) -> Duration {
        let due = self.paid_until.max(now);
        self.paid_until = due + Duration::from_secs_f64(keys as f64 / self.rate);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_sees_more_than_the_rate() {
        const RATE: u64 = 500;
        let mut random = fastrand::Rng::with_seed(3);
        let mut schedule = Schedule::new(RATE as u32);
        let mut now = Duration::ZERO;
        let mut looked: Vec<(Duration, u64)> = Vec::new();
        // Three nodes take turns, with occasional pauses of seconds.
        for round in 0..2_000 {
            if round % 100 == 99 {
                now += Duration::from_secs(5);
            }
            for _ in 0..3 {
                let keys = random.u64(0..=50);
                looked.push((schedule.due(now, keys), keys));
            }
            now = looked.last().unwrap().0;
        }
        for (index, &(start, _)) in looked.iter().enumerate() {
            let within = looked[index..]
                .iter()
                .take_while(|(at, _)| *at < start + Duration::from_secs(1));
            let keys: u64 = within.map(|(_, keys)| keys).sum();
            assert!(keys <= RATE + 50, "{keys} within a second of {start:?}");
        }
        let total: u64 = looked.iter().map(|(_, keys)| keys).sum();
        assert!(now.as_secs_f64() >= (total - 50) as f64 / RATE as f64);
        // The limit is used fully except for the pauses.
        let pauses = 20.0 * 5.0;
        assert!(now.as_secs_f64() <= total as f64 / RATE as f64 + pauses + 0.1);
    }

    #[test]
    fn a_low_rate_has_small_batches() {
        for (rate, batch) in [
            (None, 1000),
            (Some(1), 1),
            (Some(100), 10),
            (Some(1_000_000), 1000),
        ] {
            assert_eq!(RateLimit::new(rate).batch(), batch, "{rate:?}");
        }
    }
}
