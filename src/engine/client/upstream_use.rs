//! A client's use of the upstream: whether its requests in flight are on a dedicated lane, the nodes that it wrote to, and
//! its reads that may have ended their connection.

use std::cell::Cell;

use crate::engine::upstream::NodeId;

/// The use of the upstream by one client.
#[derive(Default)]
pub struct UpstreamUse {
    /// Whether the requests in flight are on a dedicated lane.
    is_dedicated: Cell<bool>,
    /// Whether it shares its lanes with no other client, see [`crate::engine::upstream::own_lanes`].
    has_own_lanes: Cell<bool>,
    /// The nodes that writes were sent to, by [`NodeId::bit`].
    written: Cell<u64>,
    /// First and last of the reads that may have ended their connection, see
    /// [`crate::engine::upstream::retry::oversize_reply`].
    oversize_candidates: Cell<Option<(u32, u32)>>,
}

impl UpstreamUse {
    /// Whether the requests in flight are on a dedicated lane.
    pub fn is_dedicated(&self) -> bool {
        self.is_dedicated.get()
    }

    /// The next request goes over a dedicated lane, or over shared ones. Returns whether it was a dedicated one before.
    pub fn set_dedicated(&self, is_dedicated: bool) -> bool {
        self.is_dedicated.replace(is_dedicated)
    }

    /// Whether it shares its lanes with no other client.
    #[inline]
    pub fn has_own_lanes(&self) -> bool {
        self.has_own_lanes.get()
    }

    /// Sets whether it shares its lanes with no other client. It changes only with nothing in flight.
    pub fn set_own_lanes(&self, has_own_lanes: bool) {
        self.has_own_lanes.set(has_own_lanes);
    }

    /// The nodes that writes were sent to, by [`NodeId::bit`].
    pub fn written(&self) -> u64 {
        self.written.get()
    }

    /// A write goes to `node`.
    #[inline]
    pub fn note_written(&self, node: NodeId) {
        self.written.set(self.written.get() | node.bit());
    }

    /// First and last of the reads that may have ended their connection.
    pub fn oversize_candidates(&self) -> Option<(u32, u32)> {
        self.oversize_candidates.get()
    }

    /// Replaces the range of these reads.
    pub fn set_oversize_candidates(&self, oversize_candidates: Option<(u32, u32)>) {
        self.oversize_candidates.set(oversize_candidates);
    }
}
