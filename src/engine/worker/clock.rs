//! Coarse time for deadlines: the time since the worker started, which never wraps.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use slotmux_core::config::Cluster;

/// Microseconds in a millisecond, the unit in which distances are counted.
const MILLISECOND: u64 = 1000;

/// A moment in microseconds since [`Clock::start`]. 64 bits last for 584,000 years, so distances never wrap, however
/// long a connection idles or a node is away.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Tick(u64);

impl Tick {
    /// Milliseconds from `earlier` to `self`; 0 if `earlier` is in fact later.
    pub fn since(self, earlier: Tick) -> u64 {
        self.0.saturating_sub(earlier.0) / MILLISECOND
    }

    /// The moment `ms` milliseconds later.
    pub fn plus(self, ms: u64) -> Tick {
        Tick(self.0.saturating_add(ms.saturating_mul(MILLISECOND)))
    }

    /// Whether this moment is now or past.
    pub fn has_come(self, now: Tick) -> bool {
        self <= now
    }

    /// Whether `ms` milliseconds have passed since this moment.
    pub fn is_over(self, ms: u64, now: Tick) -> bool {
        now.since(self) >= ms
    }
}

/// A worker's clock.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    /// Microseconds by which the clock was set ahead; only tests do that.
    ahead: Cell<u64>,
    last: Cell<Tick>,
}

impl Clock {
    /// Starts a clock at tick 0.
    pub fn start() -> Clock {
        Clock {
            start: Instant::now(),
            ahead: Cell::new(0),
            last: Cell::new(Tick(0)),
        }
    }

    /// The moment at which the clock was started.
    pub fn started(&self) -> Tick {
        Tick(0)
    }

    /// This moment. Costs one vDSO call, so it is read once per read of a client or lane, not per request.
    pub fn now(&self) -> Tick {
        let elapsed = self.start.elapsed();
        let whole = elapsed.as_secs() * 1_000_000 + u64::from(elapsed.subsec_micros());
        let tick = Tick(whole + self.ahead.get());
        self.last.set(tick);
        tick
    }

    /// Sets the clock ahead by whole seconds, so that a test can see the effect of weeks.
    pub fn set_ahead(&self, by: Duration) {
        self.ahead.set(self.ahead.get() + by.as_secs() * 1_000_000);
    }

    /// The last moment read: the arrival time of the bytes being processed.
    pub fn last(&self) -> Tick {
        self.last.get()
    }

    /// Microseconds from `moment` to [`Clock::last`], at most 71 minutes.
    pub fn microseconds_since(&self, moment: Tick) -> u32 {
        let since = self.last.get().0.saturating_sub(moment.0);
        u32::try_from(since).unwrap_or(u32::MAX)
    }
}

/// The configured times of a worker's connections, in the unit of [`Tick::since`].
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// `timeouts.command`: a command without a reply gets an error after this.
    pub command: u64,
    /// `timeouts.response`: a node that owes a reply and is silent for this long loses the connection.
    pub response: u64,
    /// `connections.dedicated_idle`: an unused dedicated lane is closed after this.
    pub dedicated_idle: u64,
    /// `connections.health_interval`: an idle connection is checked after this.
    pub health_interval: Option<u64>,
}

impl Timeouts {
    /// As configured.
    pub fn of(cluster: &Cluster) -> Timeouts {
        Timeouts {
            command: ticks(cluster.timeouts.command),
            response: ticks(cluster.timeouts.response),
            dedicated_idle: ticks(cluster.connections.dedicated_idle),
            health_interval: cluster.connections.health_interval.map(ticks),
        }
    }
}

/// The wall clock, for commands that name a moment: milliseconds since 1970.
pub fn unix_milliseconds() -> u64 {
    unix_time().as_millis() as u64
}

/// The time since 1970; 0 before it.
pub fn unix_time() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// A duration in the unit of [`Tick::since`].
pub fn ticks(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000;

    /// The limits of 31 and 32 bits of milliseconds, a century, and their neighbours.
    const EDGES: [u64; 8] = [
        (1 << 31) - 1,
        1 << 31,
        (1 << 31) + 1,
        (1 << 32) - 1,
        1 << 32,
        (1 << 32) + 1,
        50 * DAY,
        36_525 * DAY,
    ];

    #[test]
    fn distances_mean_what_they_say_at_every_edge() {
        for edge in EDGES {
            for start in [0, 1, 12_345, edge, 3 * edge] {
                let earlier = Tick(0).plus(start);
                let later = earlier.plus(edge);
                assert_eq!(later.since(earlier), edge);
                assert_eq!(earlier.since(later), 0);
                assert!(earlier.is_over(edge, later) && !earlier.is_over(edge + 1, later));
                assert!(earlier.is_over(5000, later), "gone for {edge} ms is gone");
                assert!(!later.is_over(1, earlier));
                assert!(earlier.has_come(later) && later.has_come(later));
                assert!(!later.has_come(earlier));
                assert!(earlier < later);
            }
        }
    }

    #[test]
    fn a_clock_that_is_set_ahead_passes_every_edge() {
        let clock = Clock::start();
        let start = clock.now();
        let mut expected = 0;
        for edge in EDGES {
            let seconds = edge.div_ceil(1000);
            clock.set_ahead(Duration::from_secs(seconds));
            expected += seconds * 1000;
            let since = clock.now().since(start);
            assert!((expected..expected + DAY).contains(&since), "{since}");
        }
        assert_eq!(clock.microseconds_since(start), u32::MAX);
    }

    #[test]
    fn no_duration_is_cut_short() {
        assert_eq!(ticks(Duration::from_millis(1500)), 1500);
        for edge in EDGES {
            assert_eq!(ticks(Duration::from_millis(edge)), edge);
        }
        assert_eq!(ticks(Duration::MAX), u64::MAX);
        // No moment is late enough to wrap around.
        assert!(!Tick(7).plus(u64::MAX).has_come(Tick(8)));
        assert!(!Tick(7).is_over(u64::MAX, Tick(u64::MAX)));
    }
}
