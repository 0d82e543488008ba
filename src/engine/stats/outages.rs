//! The nodes that cannot be used at present, and why: reported by workers as they try to connect, read by the readiness
//! page. No request touches this.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use slotmux_core::cluster::addr::Addr;
use slotmux_core::config::Connections;

/// Extra time that a connect attempt may take on a busy machine, beyond its pause and time limit.
const SLACK: Duration = Duration::from_secs(5);

/// The nodes to which connect attempts fail.
#[derive(Debug)]
pub struct Outages {
    /// By address and worker.
    known: Mutex<BTreeMap<(Addr, usize), Outage>>,
    /// How long a failure counts. A lane with waiting commands retries long before. Without one the state of the node is
    /// unknown until a command needs it.
    counts_for: Duration,
}

#[derive(Debug)]
struct Outage {
    reason: String,
    at: Instant,
}

impl Outages {
    /// Starts without outages.
    pub fn new(connections: &Connections) -> Outages {
        let (_, longest_pause) = connections.backoff;
        Outages {
            known: Mutex::default(),
            counts_for: longest_pause + connections.connect_timeout + SLACK,
        }
    }

    /// Reports that `worker` has no connection to `node` and could not make one.
    pub fn note(&self, worker: usize, node: &Addr, reason: String) {
        let at = Instant::now();
        let outage = Outage { reason, at };
        self.known().insert((node.clone(), worker), outage);
    }

    /// Reports that `worker` has a connection to `node`, or no longer needs one.
    pub fn over(&self, worker: usize, node: &Addr) {
        self.known().remove(&(node.clone(), worker));
    }

    /// Each node that some worker cannot use, in order, with the reason of the last failed attempt.
    pub fn now(&self) -> Vec<(Addr, String)> {
        self.at(Instant::now())
    }

    fn at(&self, now: Instant) -> Vec<(Addr, String)> {
        let mut newest: BTreeMap<Addr, (Instant, String)> = BTreeMap::new();
        let mut known = self.known();
        known.retain(|_, outage| now.saturating_duration_since(outage.at) <= self.counts_for);
        for ((node, _), outage) in known.iter() {
            let latest = newest.entry(node.clone());
            let latest = latest.or_insert_with(|| (outage.at, outage.reason.clone()));
            if latest.0 < outage.at {
                *latest = (outage.at, outage.reason.clone());
            }
        }
        let newest = newest.into_iter();
        newest.map(|(node, (_, reason))| (node, reason)).collect()
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<(Addr, usize), Outage>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_away_for_as_long_as_a_worker_says_so_and_goes_on_saying_it() {
        let outages = Outages::new(&Connections::default());
        let (a, b) = (Addr::new("a", 1), Addr::new("b", 1));
        assert!(outages.now().is_empty());
        outages.note(0, &b, "x".to_owned());
        outages.note(0, &a, "old".to_owned());
        outages.note(1, &a, "new".to_owned());
        let expected = [(a.clone(), "new".to_owned()), (b.clone(), "x".to_owned())];
        assert_eq!(outages.now(), expected);
        outages.over(1, &a);
        outages.over(0, &b);
        assert_eq!(outages.now(), [(a.clone(), "old".to_owned())]);
        let later = Instant::now() + outages.counts_for + Duration::from_secs(1);
        assert!(outages.at(later).is_empty(), "no worker tries any more");
        assert!(outages.now().is_empty(), "and it is forgotten");
    }
}
