//! The totals of INFO: since the start of slotmux, or since the last CONFIG RESETSTAT. Metrics are never reset.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::stats::counters::{Counter, WorkerStats};

/// A total that CONFIG RESETSTAT sets to 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Total {
    /// Connections accepted.
    Accepted,
    /// Connections turned away.
    Rejected,
    /// Requests from clients.
    Requests,
    /// Error replies to clients.
    Errors,
    /// Bytes read from clients.
    BytesIn,
    /// Bytes written to clients.
    BytesOut,
    /// Reads from clients' sockets.
    Reads,
    /// Writes to clients' sockets.
    Writes,
}

impl Total {
    const ALL: [Total; 8] = [
        Total::Accepted,
        Total::Rejected,
        Total::Requests,
        Total::Errors,
        Total::BytesIn,
        Total::BytesOut,
        Total::Reads,
        Total::Writes,
    ];

    fn of(self, stats: &WorkerStats) -> &Counter {
        match self {
            Total::Accepted => &stats.accepted,
            Total::Rejected => &stats.rejected,
            Total::Requests => &stats.requests,
            Total::Errors => &stats.errors,
            Total::BytesIn => &stats.client_bytes_in,
            Total::BytesOut => &stats.client_bytes_out,
            Total::Reads => &stats.client_reads,
            Total::Writes => &stats.client_writes,
        }
    }

    fn sum(self, stats: &[Arc<WorkerStats>]) -> u64 {
        stats
            .iter()
            .fold(0, |sum: u64, stats| sum.wrapping_add(self.of(stats).get()))
    }
}

/// Each total at the last reset.
#[derive(Debug, Default)]
pub struct SinceReset {
    at_reset: [AtomicU64; Total::ALL.len()],
}

impl SinceReset {
    /// The growth of a total since then.
    pub fn get(&self, which: Total, stats: &[Arc<WorkerStats>]) -> u64 {
        let before = self.at_reset[which as usize].load(Ordering::Relaxed);
        // Another worker may reset at this moment.
        which.sum(stats).saturating_sub(before)
    }

    /// Resets: the present totals become the base.
    pub fn reset(&self, stats: &[Arc<WorkerStats>]) {
        for which in Total::ALL {
            self.at_reset[which as usize].store(which.sum(stats), Ordering::Relaxed);
        }
    }
}
