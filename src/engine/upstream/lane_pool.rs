//! Dedicated lanes and their limits. Lanes kept by clients that are blocked or watch, lanes for big values, and lanes for
//! oversize checks are counted separately: idle clients never take the lane that another client needs for a moment, and
//! slow readers of big values never take that of a lost read.

use std::rc::Rc;

use crate::engine::client::Client;
use crate::engine::worker::clock::Tick;
use slotmux_core::config::Config;
use slotmux_core::resp::Protocol;

use crate::engine::upstream::index;
use crate::engine::upstream::inflight::InFlight;
use crate::engine::upstream::lane::Lane;

/// The error for a big value that needs a dedicated lane when all of them are taken.
const NO_LANE: &str = "ERR slotmux: no connection to the node was free for a command that needs one of its own, the \
    command was not executed: raise cluster.connections.dedicated_max";

/// The same for a command that blocks or watches.
const NO_KEPT_LANE: &str = "ERR slotmux: no connection to the node was free for a client that is to keep one while it \
    is blocked or watches keys, the command was not executed: raise cluster.connections.kept_max, which is \
    cluster.connections.dedicated_max unless it is set";

/// The same for a read that has lost its connection, perhaps because of its reply.
const NO_LANE_AGAIN: &str = "ERR slotmux: the connection to the node was lost, and no other one was free in time on which \
    this read could be repeated alone";

/// Lanes from a worker to one node for oversize checks, beyond those for other uses. Such checks are rare and short.
pub const OVERSIZE_CHECKS: usize = 16;

/// Milliseconds without a granted lane after which oversize checks no longer wait for one: slow readers hold them all.
/// Longer than a connection takes to be made.
const STALLED: u64 = 250;

/// Number of uses.
const USES: usize = 3;

/// Divisor for the lanes left for big values where `REDIS_MAX_CONNECTIONS` bounds both kinds together.
const SHARE_FOR_BIG: usize = 4;

/// The use of a dedicated lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LaneUse {
    /// A big value, or a command that is likely to bring one.
    BigValue,
    /// A client that keeps it while it is blocked or watches.
    BlockOrWatch,
    /// A read that has lost its connection, perhaps because of the size of its reply.
    OversizeCheck,
}

impl LaneUse {
    /// The error if no lane is free.
    pub fn refusal(self) -> &'static str {
        match self {
            LaneUse::BigValue => NO_LANE,
            LaneUse::BlockOrWatch => NO_KEPT_LANE,
            LaneUse::OversizeCheck => NO_LANE_AGAIN,
        }
    }
}

impl InFlight {
    /// The use that its retry would make of a dedicated lane.
    pub(super) fn use_for_retry(&self) -> LaneUse {
        if self.is_watch() || self.is_blocking() {
            LaneUse::BlockOrWatch
        } else if self.is_oversize_candidate() {
            LaneUse::OversizeCheck
        } else {
            LaneUse::BigValue
        }
    }
}

/// Maximum number of dedicated lanes from a worker to one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    big: usize,
    kept: usize,
    oversize_checks: usize,
    /// Of all kinds together.
    all: usize,
}

impl Bounds {
    /// A worker's share of the configured numbers, at least one of each.
    pub fn of(config: &Config) -> Bounds {
        let connections = &config.cluster.connections;
        let share = |number: usize| (number / config.server.workers).max(1);
        let (big, kept) = (share(connections.dedicated_max), share(connections.kept()));
        match connections.own_max.map(share) {
            None => Bounds {
                big,
                kept,
                oversize_checks: OVERSIZE_CHECKS,
                all: big + kept + OVERSIZE_CHECKS,
            },
            Some(all) => Bounds {
                big: big.min(all),
                kept: kept.min(all - all.div_ceil(SHARE_FOR_BIG)).max(1),
                oversize_checks: OVERSIZE_CHECKS.min(all),
                all,
            },
        }
    }

    /// Those that clients keep.
    pub(super) fn kept(&self) -> usize {
        self.kept
    }

    fn of_use(&self, of: LaneUse) -> usize {
        match of {
            LaneUse::BigValue => self.big,
            LaneUse::BlockOrWatch => self.kept,
            LaneUse::OversizeCheck => self.oversize_checks,
        }
    }
}

/// The dedicated lanes to one node.
#[derive(Default)]
pub(super) struct Pool {
    /// Unused lanes, by protocol.
    free: [Vec<Rc<Lane>>; 2],
    /// Number of lanes, used or not.
    all: usize,
    /// Number of used lanes, by use.
    used: [usize; USES],
    /// Waiting clients, by use.
    waiting: [std::collections::VecDeque<Rc<Client>>; USES],
    /// When a lane was last granted for an oversize check.
    last_check_granted: Tick,
}

/// The result of a request for a lane.
pub(super) enum Grant {
    /// A free lane.
    Free(Rc<Lane>),
    /// A new lane; an old one, if given, is closed to make room.
    New(Option<Rc<Lane>>),
}

impl Pool {
    /// Takes a free lane out, or counts a new one in.
    pub(super) fn take(
        &mut self,
        of: LaneUse,
        protocol: Protocol,
        bounds: Bounds,
    ) -> Option<Grant> {
        if room(of, self.used, 0, bounds) == 0 {
            return None;
        }
        let grant = match self.free[index(protocol)].pop() {
            Some(lane) => Grant::Free(lane),
            None if self.all < bounds.all => Grant::New(None),
            // A free lane of the other protocol makes room.
            None => Grant::New(Some(self.free[1 - index(protocol)].pop()?)),
        };
        self.used[of as usize] += 1;
        self.all += usize::from(matches!(grant, Grant::New(None)));
        Some(grant)
    }

    /// As [`Pool::take`], for an oversize check.
    pub(super) fn take_for_check(
        &mut self,
        protocol: Protocol,
        bounds: Bounds,
        now: Tick,
    ) -> Option<Grant> {
        let grant = self.take(LaneUse::OversizeCheck, protocol, bounds)?;
        self.last_check_granted = now;
        Some(grant)
    }

    /// Whether it is useless to wait for a lane for an oversize check.
    pub(super) fn is_stalled(&self, now: Tick) -> bool {
        self.last_check_granted.is_over(STALLED, now)
    }

    /// Takes a lane back.
    pub(super) fn put_back(&mut self, lane: &Rc<Lane>) {
        // An unused lane is among the free ones already.
        if self.end_use(lane) {
            self.free[index(lane.protocol)].push(lane.clone());
        }
    }

    /// Forgets a lane.
    pub(super) fn remove(&mut self, lane: &Rc<Lane>) {
        self.end_use(lane);
        self.free[index(lane.protocol)].retain(|other| !Rc::ptr_eq(other, lane));
        self.all = self.all.saturating_sub(1);
    }

    /// Counts a lane as unused; returns whether it was used.
    fn end_use(&mut self, lane: &Lane) -> bool {
        let Some(of) = lane.used_for.take() else {
            return false;
        };
        let used = &mut self.used[of as usize];
        *used = used.saturating_sub(1);
        true
    }

    /// Queues `client` for a lane.
    pub(super) fn wait(&mut self, of: LaneUse, client: &Rc<Client>) {
        self.waiting[of as usize].push_back(client.clone());
    }

    /// Removes and returns the waiting clients for which there is room. Clients that have left are skipped.
    pub(super) fn take_served(&mut self, bounds: Bounds) -> Vec<Rc<Client>> {
        let mut served = Vec::new();
        for of in [LaneUse::BigValue, LaneUse::BlockOrWatch] {
            let room = room(of, self.used, served.len(), bounds);
            let waiting = &mut self.waiting[of as usize];
            let next =
                || std::iter::from_fn(|| waiting.pop_front()).find(|client| !client.is_closed());
            served.extend(std::iter::from_fn(next).take(room));
        }
        served
    }

    /// Removes and returns the waiting clients for which `is_over` holds.
    pub(super) fn remove_waiting(&mut self, is_over: impl Fn(&Client) -> bool) -> Vec<Rc<Client>> {
        let mut over = Vec::new();
        for waiting in &mut self.waiting {
            waiting.retain(|client| {
                let is_over = is_over(client);
                if is_over {
                    over.push(client.clone());
                }
                !is_over
            });
        }
        over
    }
}

/// Number of clients that can get a lane for this now, where `woken` others are about to take one for another use.
fn room(of: LaneUse, used: [usize; USES], woken: usize, bounds: Bounds) -> usize {
    let own = bounds.of_use(of).saturating_sub(used[of as usize]);
    let taken = used.iter().sum::<usize>() + woken;
    own.min(bounds.all.saturating_sub(taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_woken_than_there_is_room_for() {
        let bounds = |big, kept, oversize_checks, all| Bounds {
            big,
            kept,
            oversize_checks,
            all,
        };
        for (used, woken, bounds, expected) in [
            ([0, 0, 0], 0, bounds(2, 1, 2, 2), [2, 1, 2]),
            // Those woken for one use count for the next.
            ([0, 0, 0], 1, bounds(2, 1, 2, 2), [1, 1, 1]),
            ([0, 0, 0], 2, bounds(2, 1, 2, 2), [0, 0, 0]),
            ([1, 0, 0], 1, bounds(2, 1, 2, 2), [0, 0, 0]),
            ([2, 0, 0], 0, bounds(2, 2, 16, 20), [0, 2, 16]),
            ([2, 2, 0], 0, bounds(2, 2, 16, 20), [0, 0, 16]),
            ([0, 0, 16], 0, bounds(2, 2, 16, 20), [2, 2, 0]),
            ([3, 3, 3], 9, bounds(1, 1, 1, 1), [0, 0, 0]),
        ] {
            let found = [
                LaneUse::BigValue,
                LaneUse::BlockOrWatch,
                LaneUse::OversizeCheck,
            ]
            .map(|of| room(of, used, woken, bounds));
            assert_eq!(found, expected, "{used:?} {woken} {bounds:?}");
        }
    }

    fn bounds(
        workers: usize,
        dedicated: usize,
        kept: Option<usize>,
        own: Option<usize>,
    ) -> [usize; 4] {
        let mut config = Config::default();
        config.server.workers = workers;
        let connections = &mut config.cluster.connections;
        connections.dedicated_max = dedicated;
        connections.kept_max = kept;
        connections.own_max = own;
        let Bounds {
            big,
            kept,
            oversize_checks,
            all,
        } = Bounds::of(&config);
        [big, kept, oversize_checks, all]
    }

    #[test]
    fn what_a_worker_may_have() {
        for (workers, dedicated, kept, own, expected) in [
            (1, 256, None, None, [256, 256, 16, 528]),
            (4, 256, Some(40), None, [64, 10, 16, 90]),
            (8, 3, None, None, [1, 1, 16, 18]),
            (1, 0, Some(1), None, [1, 1, 16, 18]),
            (1, 42, None, Some(42), [42, 31, 16, 42]),
            (1, 2, None, Some(2), [2, 1, 2, 2]),
            (1, 1, None, Some(1), [1, 1, 1, 1]),
            (4, 256, None, Some(0), [1, 1, 1, 1]),
            (2, 10, Some(2), Some(100), [5, 1, 16, 50]),
        ] {
            let found = bounds(workers, dedicated, kept, own);
            assert_eq!(found, expected, "{workers} {dedicated} {kept:?} {own:?}");
        }
    }
}
