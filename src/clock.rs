//! Coarse time for deadlines: milliseconds since the worker started, in 32 bits.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment in milliseconds since [`Clock::start`]. It wraps after 49 days, so only differences mean anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tick(u32);

impl Tick {
    /// Milliseconds from `earlier` to `self`; 0 if `earlier` is in fact later.
    pub fn since(self, earlier: Tick) -> u32 {
        let elapsed = self.0.wrapping_sub(earlier.0);
        // The upper half of the range is the past seen from the future.
        if elapsed > u32::MAX / 2 { 0 } else { elapsed }
    }

    /// The moment `ms` milliseconds later.
    pub fn plus(self, ms: u32) -> Tick {
        Tick(self.0.wrapping_add(ms))
    }

    /// Whether this moment is now or past.
    pub fn has_come(self, now: Tick) -> bool {
        now.0.wrapping_sub(self.0) <= u32::MAX / 2
    }

    /// Whether `ms` milliseconds have passed since this moment.
    pub fn is_over(self, ms: u32, now: Tick) -> bool {
        now.since(self) >= ms
    }
}

/// A worker's clock.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    last: Cell<(Tick, u16)>,
}

impl Clock {
    /// Starts a clock at tick 0.
    pub fn start() -> Clock {
        Clock {
            start: Instant::now(),
            last: Cell::new((Tick(0), 0)),
        }
    }

    /// This moment. Costs one vDSO call, so it is read once per read of a client or lane, not per request.
    pub fn now(&self) -> Tick {
        let elapsed = self.start.elapsed();
        // Wrapping is what `Tick` expects.
        let tick = Tick(elapsed.as_millis() as u32);
        let microseconds = elapsed.subsec_micros() % 1000;
        self.last.set((tick, microseconds as u16));
        tick
    }

    /// The moment that was read last, and the microseconds since its tick began: when the bytes came that are being
    /// looked at now.
    pub fn last(&self) -> (Tick, u16) {
        self.last.get()
    }

    /// Microseconds from a moment that [`Clock::last`] gave to the one that it would give now, at most 71 minutes.
    pub fn microseconds_since(&self, (tick, microseconds): (Tick, u16)) -> u32 {
        let (now, now_us) = self.last.get();
        let whole = u64::from(now.since(tick)) * 1000;
        let since = (whole + u64::from(now_us)).saturating_sub(u64::from(microseconds));
        u32::try_from(since).unwrap_or(u32::MAX)
    }
}

/// The wall clock, for commands that name a moment: milliseconds since 1970.
pub fn unix_milliseconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_millis() as u64)
}

/// A duration in the clock's unit, saturating at 24 days so that [`Tick::since`] stays unambiguous.
pub fn ticks(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis())
        .unwrap_or(u32::MAX)
        .min(u32::MAX / 2 - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_survive_the_wrap() {
        let before = Tick(u32::MAX - 10);
        let after = before.plus(30);
        assert_eq!(after.since(before), 30);
        assert_eq!(before.since(after), 0);
        assert!(before.is_over(30, after));
        assert!(!before.is_over(31, after));
        assert!(before.has_come(before) && before.has_come(after) && !after.has_come(before));
    }

    #[test]
    fn long_durations_saturate() {
        assert_eq!(ticks(Duration::from_millis(1500)), 1500);
        assert!(ticks(Duration::from_secs(1 << 40)) < u32::MAX / 2);
    }
}
