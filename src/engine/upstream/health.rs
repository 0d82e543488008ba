//! Health checks: a connection that has carried nothing for a while is asked whether it is still there, so that one
//! that died unnoticed is found before a client's command is given to it.
//!
//! The PING has no entry in its lane's queue. It is sent only while that is empty, so the next reply is its own; and to
//! all other code, be it the pool of dedicated lanes, the counters or a deadline, the lane is as idle as before.

use std::rc::Rc;

use crate::engine::worker::Worker;
use crate::engine::worker::clock::Tick;

use super::lane::{Lane, Link};
use super::read::End;

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

/// Asks the node of a lane that has been idle for `connections.health_interval`, or a little less. No answer within
/// `timeouts.response` is a silence like any other.
pub fn check_health(worker: &Worker, lane: &Rc<Lane>, now: Tick) {
    let Some(interval) = worker.timeouts.health_interval else {
        return;
    };
    if lane.link() == Link::Up
        && lane.is_idle()
        && !lane.is_pinged()
        && lane
            .last_heard()
            .is_over(patience(interval, lane.check_jitter), now)
    {
        lane.ping(worker, now);
    }
}

/// How long a lane may be idle before it is asked: what fell idle together is asked within the last quarter of the
/// interval, not in one moment.
fn patience(interval: u64, check_jitter: f64) -> u64 {
    (interval as f64 * (1.0 - check_jitter / 4.0)) as u64
}

impl Lane {
    fn ping(self: &Rc<Self>, worker: &Worker, now: Tick) {
        self.ring().borrow_mut().push(PING);
        self.pinged.set(true);
        // The silence that counts starts when a reply is owed.
        self.heard(now);
        worker.turn.touch_lane(self);
    }

    /// Whether a PING of ours is on its way, ahead of everything that is in flight.
    pub(super) fn is_pinged(&self) -> bool {
        self.pinged.get()
    }

    /// Bytes of it at the front of the ring.
    pub(super) fn ping_len(&self) -> usize {
        if self.is_pinged() { PING.len() } else { 0 }
    }

    /// Takes the reply to the PING. An error is a sign of life too; anything else was not meant for it, and what
    /// follows would be taken for a client's.
    pub(super) fn take_pong(&self, reply: &[u8]) -> Result<(), End> {
        if !self.ring().borrow().front_is_written(PING.len()) {
            return Err(End::Early);
        }
        if reply != b"+PONG\r\n" && reply[0] != b'-' {
            return Err(End::Unasked);
        }
        self.forget_ping();
        Ok(())
    }

    /// Drops the PING from the front of the ring, if there is one.
    pub(super) fn forget_ping(&self) {
        if self.pinged.replace(false) {
            self.ring().borrow_mut().answer(PING.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_lane_waits_longer_than_the_interval_or_asks_much_sooner() {
        for (interval, check_jitter, expected) in [
            (30_000, 0.0, 30_000),
            (30_000, 0.5, 26_250),
            (30_000, 1.0, 22_500),
            (1, 1.0, 0),
            (1 << 40, 0.0, 1 << 40),
        ] {
            assert_eq!(patience(interval, check_jitter), expected);
        }
    }
}
