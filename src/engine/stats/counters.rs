//! Counters of one worker. Only that worker writes them; the admin page and INFO read and sum them from elsewhere.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::stats::namespaces::NamespaceStats;
use slotmux_core::policy::Policies;

/// A number with a single writer: an addition is a plain load and store, without a locked instruction.
///
/// Two threads that write the same counter lose additions; that is why each worker has its own [`WorkerStats`].
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`; wraps at 2^64.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(n),
            Ordering::Relaxed,
        );
    }

    /// Takes `n` away (gauges); stops at zero.
    #[inline]
    pub fn sub(&self, n: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).saturating_sub(n),
            Ordering::Relaxed,
        );
    }

    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// Takes one away (gauges); stops at zero.
    #[inline]
    pub fn dec(&self) {
        self.sub(1);
    }

    /// Sets a gauge.
    #[inline]
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The value now; from any thread.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whether a number only grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetricKind {
    /// Only grows; its name on the admin page ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// One number of [`WorkerStats`]: name, kind, sentence for the admin page, and where it is.
#[derive(Clone, Copy)]
pub struct Field {
    /// Name without the `slotmux_` prefix and the `_total` suffix.
    pub name: &'static str,
    /// Counter or gauge.
    pub kind: MetricKind,
    /// Help text: one sentence without its full stop.
    pub help: &'static str,
    /// The number in a worker's stats.
    pub get: fn(&WorkerStats) -> &Counter,
}

macro_rules! worker_stats {
    ($($kind:ident $name:ident: $help:literal,)*) => {
        /// Everything one worker counts. Aligned so that two workers never write to one pair of cache lines.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct WorkerStats {
            $(#[doc = $help] pub $name: Counter,)*
            /// The numbers of each namespace; empty if none is counted.
            pub namespaces: Box<[NamespaceStats]>,
        }

        impl WorkerStats {
            /// Every number, in the order of the admin page.
            pub const FIELDS: &'static [Field] = &[
                $(Field { name: stringify!($name), kind: MetricKind::$kind, help: $help, get: |stats| &stats.$name },)*
            ];
        }
    };
}

worker_stats! {
    Gauge clients: "Connected clients",
    Gauge blocked_clients: "Clients that wait in a blocking command",
    Gauge tracking_clients: "Clients that track what they read",
    Gauge pubsub_clients: "Clients that listen to channels",
    Gauge paused_clients: "Clients that wait for the end of a CLIENT PAUSE",
    Gauge client_buffer_bytes: "Bytes held for clients: unread requests and unsent replies",
    Counter accepted: "Connections that were accepted",
    Counter rejected: "Connections that were refused because of a limit",
    Counter requests: "Requests read from clients",
    Counter replies: "Replies given to clients",
    Counter errors: "Replies to clients that were errors",
    Counter client_bytes_in: "Bytes read from clients",
    Counter client_bytes_out: "Bytes written to clients",
    Counter client_reads: "Read calls on client connections",
    Counter client_writes: "Write calls on client connections",
    Counter dedicated_requests: "Requests sent over a dedicated connection because they or their replies are big",
    Counter answered_locally: "Requests answered without an upstream",
    Counter split_requests: "Requests split over several slots",
    Counter transactions: "Transactions that were run",
    Counter transactions_failed: "Transactions in one slot that failed as a whole",
    Counter transactions_split: "Transactions over several slots, which were run slot by slot",
    Counter transactions_split_failed: "Transactions over several slots of which a part failed",
    Counter cross_slot: "Commands over several slots that slotmux ran as a program of steps",
    Counter cross_slot_restarts: "Times such a program started over, as keys had changed or slots were moving",
    Gauge subscriptions: "Subscriptions of clients: channels, patterns and shard channels",
    Counter pubsub_messages: "Messages of channels delivered to clients",
    Counter monitor_lines_dropped: "Commands that were not shown to a monitoring client",
    Counter protocol_errors: "Clients closed for malformed requests",
    Counter limit_closes: "Clients closed for exceeding a limit",
    Counter client_pauses: "Times a client was not read because of a full buffer or lane",
    Counter slot_move_pauses: "Times a client waited for its in-flight requests because a slot had moved",
    Gauge upstream_connections: "Open upstream connections",
    Counter upstream_connects: "Upstream connections that were opened",
    Counter upstream_connect_failures: "Attempts to open an upstream connection that failed",
    Counter upstream_lost: "Upstream connections that were lost",
    Counter upstream_reads: "Read calls on upstream connections",
    Counter upstream_writes: "Write calls on upstream connections",
    Gauge in_flight: "Requests sent upstream and not answered yet",
    Counter moved: "MOVED replies of nodes",
    Counter ask: "ASK replies of nodes",
    Counter tryagain: "TRYAGAIN replies of nodes",
    Counter clusterdown: "CLUSTERDOWN and MASTERDOWN replies of nodes",
    Counter loading: "LOADING replies of nodes",
    Counter readonly_errors: "READONLY replies of nodes",
    Counter retries: "Requests that were sent again",
    Counter writes_repeated: "Writes that may have run and were sent again, as retry_writes allows",
    Counter scripts_loaded: "Scripts sent to a node ahead of an EVALSHA",
    Counter timeouts: "Requests that passed their deadline",
    Counter replies_dropped: "Replies that were dropped because their client had left or its deadline had passed",
    Counter blocks_refused: "Blocks of commands whose MULTI a node refused",
    Counter expiries_failed: "Expiries behind a command that a node refused",
    Counter expiries_repaired: "Expiries that were sent again because they did not reach their key",
    Counter panics: "Panics that were contained: each costs a client, the commands on a lane or a refresh at most",
}

impl WorkerStats {
    /// The counters of a worker that has these policies.
    pub fn new(policies: &Policies) -> WorkerStats {
        WorkerStats {
            namespaces: NamespaceStats::all(policies),
            ..WorkerStats::default()
        }
    }
}

/// The sum of one number over all workers.
pub fn total<'a>(
    workers: impl IntoIterator<Item = &'a WorkerStats>,
    get: fn(&WorkerStats) -> &Counter,
) -> u64 {
    workers
        .into_iter()
        .fold(0, |sum, stats| sum.wrapping_add(get(stats).get()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_up_and_down_and_never_below_zero() {
        let counter = Counter::default();
        counter.inc();
        counter.add(41);
        assert_eq!(counter.get(), 42);
        counter.sub(40);
        counter.dec();
        counter.dec();
        counter.dec();
        assert_eq!(counter.get(), 0);
        counter.set(7);
        assert_eq!(counter.get(), 7);
    }

    #[test]
    fn every_field_reads_its_own_counter() {
        let stats = WorkerStats::default();
        for (at, field) in WorkerStats::FIELDS.iter().enumerate() {
            (field.get)(&stats).add(at as u64 + 1);
        }
        for (at, field) in WorkerStats::FIELDS.iter().enumerate() {
            assert_eq!((field.get)(&stats).get(), at as u64 + 1, "{}", field.name);
        }
        assert_eq!(stats.clients.get(), 1);
    }

    #[test]
    fn sums_over_workers() {
        let workers = [WorkerStats::default(), WorkerStats::default()];
        workers[0].requests.add(2);
        workers[1].requests.add(3);
        assert_eq!(total(&workers, |s| &s.requests), 5);
    }
}
