//! Replies in the order of their requests, in whichever order the lanes answer.
//!
//! A reply that is next in line never touches this file: it goes straight into the client's output. Only one that
//! comes too early is held, in one byte buffer for all of a client's held replies.

use std::collections::VecDeque;

/// Buffers above this capacity are not kept for the next burst.
const KEEP_CAPACITY: usize = 16 * 1024;

/// Bytes that have gone out are cut away once they are at least this many and at least half of the buffer: each byte
/// is then moved at most once on average.
const COMPACT_AT: usize = 64 * 1024;

/// A reply that is not next in line.
#[derive(Debug)]
enum Reply {
    /// Nothing came yet.
    Waiting,
    /// Complete: a range of [`EarlyReplies::bytes`].
    Whole { start: u32, len: u32 },
    /// A large reply that arrives piece by piece.
    Pieces { bytes: Vec<u8>, complete: bool },
}

/// The replies of one client that came before their turn. Index 0 is the client's next reply.
#[derive(Debug, Default)]
pub struct EarlyReplies {
    replies: VecDeque<Reply>,
    bytes: Vec<u8>,
    /// How many `Whole` replies point into `bytes`.
    whole: usize,
    /// Bytes of `bytes` that have gone out.
    gone: usize,
    /// Bytes in `Pieces` replies.
    pieces: usize,
}

impl EarlyReplies {
    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.replies.is_empty()
    }

    /// Whether the next reply has gone out in part.
    pub fn is_next_begun(&self) -> bool {
        matches!(self.replies.front(), Some(Reply::Pieces { .. }))
    }

    /// Bytes that are held.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.gone + self.pieces
    }

    /// Holds bytes of the reply that is `ahead` places behind the next one. `complete` with its last piece.
    pub fn hold(&mut self, ahead: usize, bytes: &[u8], complete: bool) {
        while self.replies.len() <= ahead {
            self.replies.push_back(Reply::Waiting);
        }
        let reply = &mut self.replies[ahead];
        match reply {
            Reply::Waiting if complete && self.bytes.len() + bytes.len() <= u32::MAX as usize => {
                let start = self.bytes.len() as u32;
                self.bytes.extend_from_slice(bytes);
                *reply = Reply::Whole {
                    start,
                    len: bytes.len() as u32,
                };
                self.whole += 1;
            }
            Reply::Waiting => {
                self.pieces += bytes.len();
                *reply = Reply::Pieces {
                    bytes: bytes.to_vec(),
                    complete,
                };
            }
            Reply::Pieces {
                bytes: earlier,
                complete: done,
            } => {
                self.pieces += bytes.len();
                earlier.extend_from_slice(bytes);
                *done |= complete;
            }
            Reply::Whole { .. } => debug_assert!(false, "a reply was answered twice"),
        }
    }

    /// The next reply has gone out whole: moves up, and appends the replies that can follow it to `out`. Returns how many
    /// more replies are now complete.
    pub fn advance(&mut self, out: &mut Vec<u8>) -> u32 {
        self.replies.pop_front();
        let mut completed = 0;
        loop {
            match self.replies.front_mut() {
                Some(Reply::Whole { start, len }) => {
                    let start = *start as usize;
                    out.extend_from_slice(&self.bytes[start..start + *len as usize]);
                    self.whole -= 1;
                    self.gone += *len as usize;
                }
                Some(Reply::Pieces { bytes, complete }) => {
                    out.extend_from_slice(bytes);
                    self.pieces -= bytes.len();
                    if !*complete {
                        // The rest goes straight to the output now.
                        *bytes = Vec::new();
                        break;
                    }
                }
                Some(Reply::Waiting) | None => break,
            }
            self.replies.pop_front();
            completed += 1;
        }
        // The byte buffer starts again as soon as no reply points into it. A client that always has commands in flight
        // on a quick and on a slow node never comes to that point.
        if self.whole == 0 {
            self.bytes.clear();
            self.gone = 0;
        } else if self.gone >= COMPACT_AT && self.gone * 2 >= self.bytes.len() {
            self.compact();
        }
        completed
    }

    /// Removes replies that have gone out from the byte buffer. It is in the order of arrival, not of requests.
    fn compact(&mut self) {
        let mut kept = Vec::with_capacity(self.bytes.len() - self.gone);
        for reply in &mut self.replies {
            if let Reply::Whole { start, len } = reply {
                let from = *start as usize;
                *start = kept.len() as u32;
                kept.extend_from_slice(&self.bytes[from..from + *len as usize]);
            }
        }
        self.bytes = kept;
        self.gone = 0;
    }

    /// Makes an empty one ready to be used by another client.
    pub fn recycle(&mut self) {
        self.replies.clear();
        self.replies.shrink_to(KEEP_CAPACITY / size_of::<Reply>());
        self.bytes.clear();
        self.bytes.shrink_to(KEEP_CAPACITY);
        self.whole = 0;
        self.gone = 0;
        self.pieces = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_leave_in_request_order() {
        let mut held = EarlyReplies::default();
        let mut out = Vec::new();
        held.hold(3, b"three ", true);
        held.hold(1, b"one ", true);
        out.extend_from_slice(b"zero ");
        assert_eq!(held.advance(&mut out), 1);
        assert_eq!(out, b"zero one ");
        // Next in line is now reply 2; 3 sits one behind it.
        out.extend_from_slice(b"two ");
        assert_eq!(held.advance(&mut out), 1);
        assert_eq!(out, b"zero one two three ");
        assert!(held.is_empty());
        assert_eq!(held.len(), 0);
    }

    #[test]
    fn a_large_reply_in_pieces_waits_and_then_streams() {
        let mut held = EarlyReplies::default();
        let mut out = Vec::new();
        held.hold(1, b"ab", false);
        held.hold(2, b"z", true);
        held.hold(1, b"cd", false);
        out.push(b'0');
        assert_eq!(held.advance(&mut out), 0);
        assert_eq!(out, b"0abcd", "the head streams what has come");
        out.extend_from_slice(b"ef");
        assert_eq!(held.advance(&mut out), 1);
        assert_eq!(out, b"0abcdefz");
    }

    #[test]
    fn a_wait_without_end_does_not_pile_up_what_has_gone_out() {
        // Each even reply is late; when it goes out, the next odd ones are held already.
        const AHEAD: usize = 4;
        let odd = |i: usize| format!("{i:*>1000}").into_bytes();
        let mut held = EarlyReplies::default();
        let mut out = Vec::new();
        for i in 0..AHEAD {
            held.hold(2 * i + 1, &odd(i), true);
        }
        for i in 0..10_000 {
            out.clear();
            assert_eq!(held.advance(&mut out), 1);
            assert_eq!(out, odd(i));
            held.hold(2 * AHEAD - 1, &odd(i + AHEAD), true);
            assert_eq!(held.len(), AHEAD * 1000);
            assert!(held.bytes.capacity() <= 4 * COMPACT_AT, "round {i}");
        }
    }

    #[test]
    fn a_large_reply_that_completed_while_waiting() {
        let mut held = EarlyReplies::default();
        let mut out = Vec::new();
        held.hold(2, b"ab", false);
        held.hold(1, b"1", true);
        held.hold(2, b"cd", true);
        assert_eq!(held.advance(&mut out), 2);
        assert_eq!(out, b"1abcd");
        assert_eq!(held.len(), 0);
    }
}
