//! The open loop: when each request is due, and a clock that wakes the thread at these moments.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Shortest time between two ticks: requests that are due within it are sent together, up to this much late.
const SHORTEST_TICK: Duration = Duration::from_micros(20);

/// The even schedule of one thread's requests, dealt to its clients in turn. Times are nanoseconds of the phase.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Nanoseconds between two requests of the thread.
    pub period: f64,
    /// Clients on the thread.
    pub clients: u64,
    /// No request is due at or after this time.
    pub end: u64,
}

impl Pace {
    /// When request `n` of the client at `place` is due.
    pub fn due(&self, place: u64, n: u64) -> u64 {
        ((place + n * self.clients) as f64 * self.period) as u64
    }

    /// Requests of all clients that are due at `now`.
    pub fn due_by(&self, now: u64) -> u64 {
        (now.min(self.end) as f64 / self.period) as u64 + 1
    }

    /// Requests that the client at `place` should have sent by the end, after `sent` that it did send.
    pub fn unsent(&self, place: u64, sent: u64) -> u64 {
        let left = self.end.saturating_sub(self.due(place, sent)) as f64;
        (left / (self.period * self.clients as f64)).ceil() as u64
    }
}

/// Ticks on a separate thread, since timers of the runtime have a resolution of 1 ms. Stops when dropped.
pub struct Ticker {
    /// Notified at each tick.
    pub tick: Arc<Notify>,
    stopped: Arc<AtomicBool>,
}

impl Ticker {
    /// Starts to tick each `period` (nanoseconds), counted from `epoch`.
    pub fn start(epoch: Instant, period: f64) -> std::io::Result<Ticker> {
        let ticker = Ticker {
            tick: Arc::default(),
            stopped: Arc::default(),
        };
        let (tick, stopped) = (ticker.tick.clone(), ticker.stopped.clone());
        let step = Duration::from_nanos(period as u64).max(SHORTEST_TICK);
        std::thread::Builder::new()
            .name("ticker".into())
            .spawn(move || {
                wake_exactly();
                let mut next = epoch;
                while !stopped.load(Ordering::Relaxed) {
                    let now = Instant::now();
                    if next > now {
                        // With a slow rate the thread must still end soon.
                        std::thread::sleep((next - now).min(Duration::from_millis(100)));
                        continue;
                    }
                    tick.notify_one();
                    next = (next + step).max(now);
                }
            })?;
        Ok(ticker)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

/// Removes the 50 µs timer slack of this thread if the system permits; otherwise ticks are that much late.
fn wake_exactly() {
    let thread = std::fs::read_link("/proc/thread-self");
    if let Some(id) = thread.ok().as_ref().and_then(|path| path.file_name()) {
        let _ = std::fs::write(
            std::path::Path::new("/proc").join(id).join("timerslack_ns"),
            "1",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_dealt_evenly() {
        let pace = Pace {
            period: 1_000.0,
            clients: 4,
            end: 1_000_000,
        };
        let mut due: Vec<u64> = (0..4)
            .flat_map(|place| (0..250).map(move |n| (place, n)))
            .map(|(p, n)| pace.due(p, n))
            .collect();
        due.sort_unstable();
        assert_eq!(due, (0..1_000).map(|n| n * 1_000).collect::<Vec<_>>());
        assert_eq!(
            (pace.due_by(0), pace.due_by(999), pace.due_by(1_000)),
            (1, 1, 2)
        );
    }

    #[test]
    fn unsent_requests_are_counted() {
        let pace = Pace {
            period: 1_000.0,
            clients: 4,
            end: 1_000_000,
        };
        assert_eq!(pace.unsent(0, 0), 250);
        assert_eq!(pace.unsent(3, 249), 1);
        assert_eq!(pace.unsent(3, 250), 0);
        assert_eq!(pace.unsent(3, 251), 0);
    }
}
