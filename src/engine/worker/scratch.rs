//! Memory that a worker uses for one thing after the other: what reads go into, the parts of the request that is being
//! taken, and buffers for replies.

use std::cell::{Cell, RefCell};

use crate::engine::worker::buffers::{Buffers, EarlyRepliesPool};
use slotmux_core::resp::Span;

/// Size of the scratch for reads from clients: one read takes what a client can have sent in a turn.
const CLIENT_BYTES: usize = 64 * 1024;
/// Size of the scratch for reads from nodes: one read brings the replies of many clients.
const LANE_BYTES: usize = 256 * 1024;
/// Argument positions kept between requests; a request of a million arguments gives its memory back.
const SPANS_KEPT: usize = 4096;
/// Bytes kept for rewritten requests.
const REWRITTEN_KEPT: usize = 64 * 1024;

/// A worker's scratch memory.
pub struct Scratch {
    /// Target of reads from clients.
    pub client: RefCell<Box<[u8]>>,
    /// Target of reads from nodes.
    pub lane: RefCell<Box<[u8]>>,
    spans: Cell<Vec<Span>>,
    rewritten: Cell<Vec<u8>>,
    /// Reply buffers.
    pub buffers: Buffers,
    /// Holders of replies that arrived before older ones.
    pub early_replies: EarlyRepliesPool,
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch {
            client: RefCell::new(vec![0; CLIENT_BYTES].into()),
            lane: RefCell::new(vec![0; LANE_BYTES].into()),
            spans: Cell::default(),
            rewritten: Cell::default(),
            buffers: Buffers::default(),
            early_replies: EarlyRepliesPool::default(),
        }
    }
}

impl Scratch {
    /// Takes the list for the argument positions of one request.
    #[inline]
    pub fn take_spans(&self) -> Vec<Span> {
        self.spans.take()
    }

    /// Returns the list of argument positions, for the next request.
    #[inline]
    pub fn return_spans(&self, mut spans: Vec<Span>) {
        spans.clear();
        spans.shrink_to(SPANS_KEPT);
        self.spans.set(spans);
    }

    /// Takes the buffer for the bytes that a policy makes of one request.
    #[inline]
    pub fn take_rewritten(&self) -> Vec<u8> {
        self.rewritten.take()
    }

    /// Returns the buffer for rewritten requests; a big one gives its memory back.
    #[inline]
    pub fn return_rewritten(&self, mut rewritten: Vec<u8>) {
        rewritten.clear();
        rewritten.shrink_to(REWRITTEN_KEPT);
        self.rewritten.set(rewritten);
    }

    /// Frees the buffers that were not needed since the last call.
    pub fn trim(&self) {
        self.buffers.trim();
        self.early_replies.trim();
    }
}
