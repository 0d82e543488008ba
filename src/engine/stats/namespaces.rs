//! The counters of one worker for each namespace: operations, bytes, hits, time, and the policy's actions. Only that worker
//! writes; the admin page and `SLOTMUX TTL STATS` sum over the workers.

use crate::engine::shared::Shared;
use crate::engine::stats::counters::Counter;
use crate::engine::worker::Worker;
use crate::engine::worker::clock::Tick;
use slotmux_core::config::TtlMode;
use slotmux_core::policy::{Actions, NamespaceId, Policies, ReplyConversion};
use slotmux_core::resp::reply::ReplyScanner;
use slotmux_core::resp::request::Request;

/// Upper bounds of the latency buckets in microseconds; one more bucket takes the rest.
pub const LATENCY_BOUNDS: [u32; 15] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000,
];

/// The numbers of one namespace in one worker.
#[derive(Debug, Default)]
pub struct NamespaceStats {
    /// Requests whose first key is in the namespace and that were sent to a node.
    pub operations: Counter,
    /// Error replies to them.
    pub errors: Counter,
    /// Bytes of the requests as the client sent them.
    pub bytes_in: Counter,
    /// Bytes of the replies.
    pub bytes_out: Counter,
    /// Values that a look-up found: GET, GETEX, GETDEL, HGET, and each key of MGET.
    pub hits: Counter,
    /// Values that a look-up did not find.
    pub misses: Counter,
    /// Replies by the time since their request arrived, queueing included: [`LATENCY_BOUNDS`].
    pub latency: [Counter; LATENCY_BOUNDS.len() + 1],
    /// The sum of these times in microseconds.
    pub latency_sum: Counter,
    /// The policy's actions, in the order of [`Actions::ALL`].
    pub actions: [Counter; Actions::ALL.len()],
    /// Keys that were probed behind commands with which a policy in observe mode would have sent an expiry.
    pub probed: Counter,
    /// Those of them without a TTL, which enforcing would have changed.
    pub probed_bare: Counter,
    /// Actions that a policy in observe mode would have taken.
    pub observed: [Counter; Actions::ALL.len()],
}

impl NamespaceStats {
    /// One for the keys of no namespace and one per namespace; empty if no policy is configured, so that nothing is counted.
    pub fn all(policies: &Policies) -> Box<[NamespaceStats]> {
        let count = if policies.is_active() {
            policies.iter().count() + 1
        } else {
            0
        };
        (0..count).map(|_| NamespaceStats::default()).collect()
    }

    fn count_latency(&self, microseconds: u32) {
        // Counted without a branch, since the bucket of a time cannot be predicted.
        let below = LATENCY_BOUNDS
            .iter()
            .map(|&bound| usize::from(bound < microseconds));
        let bucket: usize = below.sum();
        self.latency[bucket].inc();
        self.latency_sum.add(u64::from(microseconds));
    }

    /// Counts what a look-up found: one value, or the elements of an array.
    fn count_found(&self, reply: &[u8]) {
        match reply.first() {
            Some(b'*') => {
                let head = reply
                    .iter()
                    .position(|&byte| byte == b'\n')
                    .map_or(0, |at| at + 1);
                let mut rest = &reply[head..];
                while let Some(first) = rest.first() {
                    let Ok(progress) = ReplyScanner::default().advance(rest) else {
                        return;
                    };
                    self.count_value(*first, rest);
                    rest = &rest[progress.consumed..];
                }
            }
            Some(&first) => self.count_value(first, reply),
            None => {}
        }
    }

    fn count_value(&self, first: u8, value: &[u8]) {
        match first {
            b'-' => {}
            b'_' => self.misses.inc(),
            b'$' if value.get(1) == Some(&b'-') => self.misses.inc(),
            _ => self.hits.inc(),
        }
    }
}

/// The request of a reply that is counted.
#[derive(Clone, Copy, Debug)]
pub struct CountedRequest {
    /// The namespace of its first key.
    pub namespace: NamespaceId,
    /// Arrival time.
    pub arrived: Tick,
    /// How the reply becomes the client's.
    pub reply: ReplyConversion,
}

impl Worker {
    fn stats_of(&self, namespace: NamespaceId) -> Option<&NamespaceStats> {
        self.stats.namespaces.get(usize::from(namespace.0))
    }

    /// A request goes to a node.
    pub fn count_operation(&self, namespace: NamespaceId, request: &Request) {
        if let Some(stats) = self.stats_of(namespace) {
            stats.operations.inc();
            stats.bytes_in.add(request.bytes.len() as u64);
            if namespace == NamespaceId::UNMATCHED {
                self.note_unmatched(request);
            }
        }
    }

    /// Notes the first key of a request, which is in no namespace, if namespaces are configured.
    pub fn note_unmatched(&self, request: &Request) {
        if !self.shared.policies.has_namespaces() {
            return;
        }
        self.traffic.unmatched.note(|| {
            self.with_knowledge(|knowledge| {
                let mut first = None;
                let command = knowledge.command(request)?;
                command
                    .for_each_key(request.bytes, request.args, |at| {
                        first.get_or_insert(at);
                    })
                    .ok()?;
                Some(request.arg(first?).to_vec())
            })
        });
    }

    /// A reply, or a piece of it, goes to its client.
    #[inline]
    pub fn count_reply(&self, asked: CountedRequest, bytes: &[u8], complete: bool) {
        let Some(stats) = self.stats_of(asked.namespace) else {
            return;
        };
        stats.bytes_out.add(bytes.len() as u64);
        if complete {
            stats.errors.add(u64::from(bytes.first() == Some(&b'-')));
            stats.count_latency(self.clock.microseconds_since(asked.arrived));
            if asked.reply.is_lookup() {
                stats.count_found(bytes);
            }
        }
    }

    /// Counts the actions of a policy, or those that it would have taken; refusals are always real. Returns whether the
    /// request is in the sample of the observing policies.
    pub fn count_actions(
        &self,
        namespace: NamespaceId,
        actions: Actions,
        is_refused: bool,
        request: &Request,
    ) -> bool {
        let Some(stats) = self.stats_of(namespace) else {
            return false;
        };
        let ttl = self
            .shared
            .policies
            .get(namespace)
            .and_then(|policy| policy.ttl.as_ref());
        let observes = !is_refused && ttl.is_some_and(|ttl| ttl.mode == TtlMode::Observe);
        let counters = if observes {
            &stats.observed
        } else {
            &stats.actions
        };
        for action in actions.places() {
            counters[action].inc();
        }
        observes && self.note_observed(namespace, request)
    }

    /// Counts the reply to `PTTL` for a key that would have got an expiry.
    pub fn count_probe(&self, namespace: NamespaceId, reply: &[u8]) {
        if let Some(stats) = self.stats_of(namespace) {
            stats.probed.inc();
            stats.probed_bare.add(u64::from(reply == b":-1\r\n"));
        }
    }
}

/// One number of one namespace over all workers.
pub fn sum(shared: &Shared, namespace: usize, number: impl Fn(&NamespaceStats) -> &Counter) -> u64 {
    let workers = shared.stats.iter();
    let numbers = workers.filter_map(|stats| stats.namespaces.get(namespace));
    numbers.fold(0, |sum, stats| sum.wrapping_add(number(stats).get()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_and_misses() {
        let stats = NamespaceStats::default();
        for reply in [
            "$3\r\nabc\r\n",
            "$-1\r\n",
            "_\r\n",
            "$0\r\n\r\n",
            "*4\r\n$1\r\na\r\n$-1\r\n_\r\n$1\r\n-\r\n",
            "-WRONGTYPE no\r\n",
        ] {
            stats.count_found(reply.as_bytes());
        }
        assert_eq!((stats.hits.get(), stats.misses.get()), (4, 4));
    }

    #[test]
    fn latency_buckets() {
        let stats = NamespaceStats::default();
        for microseconds in [0, 100, 101, 5_000_000, u32::MAX] {
            stats.count_latency(microseconds);
        }
        let counts: Vec<u64> = stats.latency.iter().map(Counter::get).collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    }
}
