//! A reply may be the reason why its connection ends: a node closes a connection whose pending output exceeds its
//! `client-output-buffer-limit`. It is unknown which of the reads in flight was the cause, as the replies ahead are
//! lost too. So if a reachable node has closed a shared connection, the reads to be sent again are candidates: each is sent
//! over a dedicated lane. A read that loses this lane too had the oversize reply, and similar reads get dedicated lanes from
//! then on. If the node is known to have such a limit that read is not retried.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::rc::Rc;

use crate::engine::worker::Worker;
use slotmux_core::resp::request::Request;
use slotmux_core::resp::{Limits, scan_request};

use crate::engine::upstream::inflight::InFlight;
use crate::engine::upstream::lane::{Class, Lane};
use crate::engine::upstream::read::End;
use crate::engine::upstream::retry::lost::{settle_each, unreachable};
use crate::engine::upstream::retry::unanswered::Unanswered;
use crate::engine::upstream::retry::verify_refusal::client_part;

/// Most candidates that are sent over dedicated lanes. With more, their clients would wait longer than the next loss costs.
const MOST: usize = 1024;

/// Whether the node may have closed the connection because of its pending output.
fn is_by_node(end: &End) -> bool {
    match end {
        End::Closed => true,
        End::Io(error) => matches!(
            error.kind(),
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        ),
        _ => false,
    }
}

impl InFlight {
    /// Marks a read whose connection was lost, perhaps because of its reply. The client holds the mark: an entry has no
    /// room for it.
    pub(crate) fn mark_oversize_candidate(&self) {
        let upstream = &self.client.upstream;
        // A range whose reads are all answered is from an earlier loss.
        let oldest = self.client.oldest();
        let range = upstream
            .oversize_candidates()
            .filter(|(_, last)| newer(*last, oldest) == *last);
        upstream.set_oversize_candidates(Some(match range {
            Some((first, last)) => (older(first, self.seq), newer(last, self.seq)),
            None => (self.seq, self.seq),
        }));
    }

    /// Whether it is a read that is marked, or between two marked ones, which were in flight together. The repair of a
    /// write has that write's place, but no reply that could be big.
    pub(crate) fn is_oversize_candidate(&self) -> bool {
        let candidates = self.client.upstream.oversize_candidates();
        !self.write
            && candidates.is_some_and(|range| is_within(range, self.seq))
            && !self.is_repair()
    }
}

/// The older of two sequence numbers.
fn older(one: u32, other: u32) -> u32 {
    if one.wrapping_sub(other) > u32::MAX / 2 {
        one
    } else {
        other
    }
}

/// The newer of two sequence numbers.
fn newer(one: u32, other: u32) -> u32 {
    if older(one, other) == one { other } else { one }
}

/// Whether a sequence number is within this range, ends included.
fn is_within((first, last): (u32, u32), seq: u32) -> bool {
    seq.wrapping_sub(first) <= last.wrapping_sub(first)
}

/// The finding about a read that was in flight on a lost connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OversizeFinding {
    /// Its reply was not the reason.
    NotOversize,
    /// Its reply may have been the reason.
    Possible,
    /// It was alone on the connection: its reply was the reason, or the node closes connections for any reason.
    Likely,
    /// Its reply was the reason: the node is known to have such a limit.
    Certain,
}

/// Judges a read that was sent to its node, when a lane of this class ends. `is_limited`: whether the node is known to
/// close connections because of big replies.
pub(crate) fn judge_lost_read(
    entry: &InFlight,
    class: Class,
    end: &End,
    is_limited: impl FnOnce() -> bool,
) -> OversizeFinding {
    let was_isolated = entry.is_oversize_candidate() && class == Class::Dedicated;
    match was_isolated {
        _ if !is_by_node(end) => OversizeFinding::NotOversize,
        false => OversizeFinding::Possible,
        true if is_limited() => OversizeFinding::Certain,
        true => OversizeFinding::Likely,
    }
}

/// The error for a read whose node has closed a dedicated lane because of it.
pub(crate) fn oversize_error(lane: &Lane) -> String {
    tracing::warn!(node = %lane.addr, "node closed a connection twice on the same read, as where its reply is above \
        client-output-buffer-limit");
    format!(
        "ERR slotmux: node {} closed the connection on this command twice, at last one that it had alone; it is not \
         tried again: its reply may be above the node's client-output-buffer-limit",
        lane.addr
    )
}

impl Worker {
    /// Expects big replies to reads similar to one that has ended a dedicated lane.
    pub(crate) fn expect_big_reply_like(&self, taken: &Unanswered) {
        let bytes = client_part(&taken.entry, &taken.request);
        let mut args = Vec::new();
        if scan_request(bytes, &Limits::ACCEPTED, &mut args).is_ok() && !args.is_empty() {
            let request = Request { bytes, args: &args };
            self.traffic.big_replies.learn(&request);
        }
    }
}

/// A shared lane has reconnected: candidates leave it, with later commands of their clients.
pub(crate) fn isolate_candidates(worker: &Rc<Worker>, lane: &Rc<Lane>) {
    if lane.class != Class::Shared {
        return;
    }
    let (count, clients) = {
        let entries = lane.entries().borrow();
        let candidates = entries.iter().filter(|entry| entry.is_oversize_candidate());
        let clients: HashSet<u64> = candidates.clone().map(|entry| entry.client.id).collect();
        (candidates.count(), clients)
    };
    if count > MOST {
        return clear_candidates(lane);
    }
    if count == 0 {
        return;
    }
    let error = unreachable(worker, lane);
    settle_each(worker, lane.take_unanswered(worker), |taken| {
        let leaves = clients.contains(&taken.entry.client.id) && !taken.asking;
        let is_wanted = taken.entry.is_awaited() || taken.entry.is_repair();
        if !is_wanted {
            // Dropped: no client waits for it.
        } else if !leaves || taken.entry.is_repair() {
            lane.put_back(worker, taken);
        } else if taken.entry.slot.get().is_some() {
            worker.send_again(taken.entry, taken.request);
        } else {
            worker.retry_after_own(taken.entry, taken.request, &error, lane.node);
        }
    });
}

/// Unmarks the candidates of a lane: its node is unreachable, so it did not close the connection because of its pending
/// output.
pub(crate) fn clear_candidates(lane: &Lane) {
    if lane.class == Class::Shared {
        for entry in lane.entries().borrow().iter() {
            entry.client.upstream.set_oversize_candidates(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::upstream::read::End;
    use crate::engine::upstream::retry::oversize_reply::{is_by_node, is_within, newer, older};

    #[test]
    fn places_wrap_around() {
        let near_the_end = u32::MAX - 1;
        for (first, last) in [(3, 7), (near_the_end, 2), (5, 5)] {
            assert_eq!((older(first, last), newer(first, last)), (first, last));
            assert_eq!((older(last, first), newer(last, first)), (first, last));
            assert!(is_within((first, last), first) && is_within((first, last), last));
            assert!(!is_within((first, last), first.wrapping_sub(1)));
            assert!(!is_within((first, last), last.wrapping_add(1)));
        }
    }

    #[test]
    fn which_ends_are_the_nodes() {
        let io = |kind: std::io::ErrorKind| End::Io(kind.into());
        for (end, expected) in [
            (End::Closed, true),
            (io(std::io::ErrorKind::ConnectionReset), true),
            (io(std::io::ErrorKind::TimedOut), false),
            (End::Silent, false),
            (End::Unasked, false),
            (End::Early, false),
        ] {
            assert_eq!(is_by_node(&end), expected, "{end}");
        }
    }
}
