//! Dedicated lanes and their limits. Lanes kept by clients that are blocked or watch, and lanes for big values, are
//! counted separately: idle clients never take the lane that another client needs for a moment.

use std::rc::Rc;

use crate::engine::client::Client;
use slotmux_core::config::Config;
use slotmux_core::resp::Protocol;

use super::index;
use super::lane::Lane;

/// The error for a big value that needs a dedicated lane when all of them are taken.
const NO_LANE: &str = "ERR slotmux: no connection to the node was free for a command that needs one of its own, the \
    command was not executed: raise cluster.connections.dedicated_max";

/// The same for a command that blocks or watches.
const NO_KEPT_LANE: &str = "ERR slotmux: no connection to the node was free for a client that is to keep one while it \
    is blocked or watches keys, the command was not executed: raise cluster.connections.kept_max, which is \
    cluster.connections.dedicated_max unless it is set";

/// Divisor for the lanes left for big values where `REDIS_MAX_CONNECTIONS` bounds both kinds together.
const SHARE_FOR_BIG: usize = 4;

/// What a dedicated lane is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// A big value, or a command that is likely to bring one.
    Big,
    /// A client that keeps it while it is blocked or watches.
    Kept,
}

impl Use {
    /// The error if no lane is free.
    pub fn refusal(self) -> &'static str {
        match self {
            Use::Big => NO_LANE,
            Use::Kept => NO_KEPT_LANE,
        }
    }
}

/// Maximum number of dedicated lanes from a worker to one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    big: usize,
    kept: usize,
    /// Of both kinds together.
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
                all: big + kept,
            },
            Some(all) => Bounds {
                big: big.min(all),
                kept: kept.min(all - all.div_ceil(SHARE_FOR_BIG)).max(1),
                all,
            },
        }
    }

    fn of_use(&self, of: Use) -> usize {
        match of {
            Use::Big => self.big,
            Use::Kept => self.kept,
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
    used: [usize; 2],
    /// Waiting clients, by use.
    waiting: [std::collections::VecDeque<Rc<Client>>; 2],
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
    pub(super) fn take(&mut self, of: Use, protocol: Protocol, bounds: Bounds) -> Option<Grant> {
        if !self.has_room(of, bounds) {
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

    fn has_room(&self, of: Use, bounds: Bounds) -> bool {
        self.used[of as usize] < bounds.of_use(of) && self.used.iter().sum::<usize>() < bounds.all
    }

    /// Number of lanes used for this.
    pub(super) fn used(&self, of: Use) -> usize {
        self.used[of as usize]
    }

    /// Takes a lane back.
    pub(super) fn put_back(&mut self, lane: &Rc<Lane>) {
        // An unused lane is among the free ones already.
        if self.ends_use(lane) {
            self.free[index(lane.protocol)].push(lane.clone());
        }
    }

    /// Forgets a lane.
    pub(super) fn remove(&mut self, lane: &Rc<Lane>) {
        self.ends_use(lane);
        self.free[index(lane.protocol)].retain(|other| !Rc::ptr_eq(other, lane));
        self.all = self.all.saturating_sub(1);
    }

    /// Counts a lane as unused; returns whether it was used.
    fn ends_use(&mut self, lane: &Lane) -> bool {
        let Some(of) = lane.used_for.take() else {
            return false;
        };
        let used = &mut self.used[of as usize];
        *used = used.saturating_sub(1);
        true
    }

    /// Queues `client` for a lane.
    pub(super) fn wait(&mut self, of: Use, client: &Rc<Client>) {
        self.waiting[of as usize].push_back(client.clone());
    }

    /// Removes and returns the waiting clients for which there is room. Clients that have left are skipped.
    pub(super) fn served(&mut self, bounds: Bounds) -> Vec<Rc<Client>> {
        let mut served = Vec::new();
        for of in [Use::Big, Use::Kept] {
            let own = bounds.of_use(of).saturating_sub(self.used[of as usize]);
            let all = bounds.all.saturating_sub(self.used.iter().sum());
            let waiting = &mut self.waiting[of as usize];
            let next =
                || std::iter::from_fn(|| waiting.pop_front()).find(|client| !client.is_closed());
            served.extend(std::iter::from_fn(next).take(own.min(all)));
        }
        served
    }

    /// Removes and returns the waiting clients for which `is_over` holds.
    pub(super) fn give_up(&mut self, is_over: impl Fn(&Client) -> bool) -> Vec<Rc<Client>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(
        workers: usize,
        dedicated: usize,
        kept: Option<usize>,
        own: Option<usize>,
    ) -> [usize; 3] {
        let mut config = Config::default();
        config.server.workers = workers;
        let connections = &mut config.cluster.connections;
        connections.dedicated_max = dedicated;
        connections.kept_max = kept;
        connections.own_max = own;
        let Bounds { big, kept, all } = Bounds::of(&config);
        [big, kept, all]
    }

    #[test]
    fn what_a_worker_may_have() {
        for (workers, dedicated, kept, own, expected) in [
            (1, 256, None, None, [256, 256, 512]),
            (4, 256, Some(40), None, [64, 10, 74]),
            (8, 3, None, None, [1, 1, 2]),
            (1, 0, Some(1), None, [1, 1, 2]),
            (1, 42, None, Some(42), [42, 31, 42]),
            (1, 2, None, Some(2), [2, 1, 2]),
            (1, 1, None, Some(1), [1, 1, 1]),
            (4, 256, None, Some(0), [1, 1, 1]),
            (2, 10, Some(2), Some(100), [5, 1, 50]),
        ] {
            let found = bounds(workers, dedicated, kept, own);
            assert_eq!(found, expected, "{workers} {dedicated} {kept:?} {own:?}");
        }
    }
}
