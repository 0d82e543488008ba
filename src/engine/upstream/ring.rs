//! The bytes of a lane that are not answered yet, with a mark for what the kernel has taken.
//!
//! A request stays here until its reply was scanned, because after a redirect or a lost connection these bytes are
//! all there is to send again.

/// Consumed bytes are cut off the front once they are at least this many and at least half of the buffer: each byte
/// is then moved at most once on average.
const COMPACT_AT: usize = 64 * 1024;

/// An emptied ring keeps at most this capacity; a lane that carried one large burst gives the rest back.
const KEEP_CAPACITY: usize = 256 * 1024;

/// Unanswered request bytes: `answered <= written <= buf.len()`.
#[derive(Debug, Default)]
pub struct Ring {
    buf: Vec<u8>,
    answered: usize,
    written: usize,
}

impl Ring {
    /// Appends a request.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// Appends a request that is owned already; an empty ring takes it over without a copy.
    pub fn push_owned(&mut self, bytes: Vec<u8>) {
        if self.buf.is_empty() {
            self.buf = bytes;
        } else {
            self.buf.extend_from_slice(&bytes);
        }
    }

    /// Bytes not answered yet, written or not.
    pub fn len(&self) -> usize {
        self.buf.len() - self.answered
    }

    /// Whether every byte was answered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes that the kernel has not taken yet.
    pub fn unwritten(&self) -> &[u8] {
        &self.buf[self.written..]
    }

    /// Notes that the kernel took `n` more bytes.
    pub fn wrote(&mut self, n: usize) {
        self.written += n;
        debug_assert!(self.written <= self.buf.len());
    }

    /// The oldest `len` unanswered bytes: the request of the oldest in-flight entry.
    pub fn front(&self, len: usize) -> &[u8] {
        &self.buf[self.answered..self.answered + len]
    }

    /// Whether the oldest `len` bytes were handed to the kernel whole. A request of which a byte is missing cannot
    /// have run.
    pub fn front_is_written(&self, len: usize) -> bool {
        self.answered + len <= self.written
    }

    /// Whether a byte of the oldest request was handed to the kernel. If not, nothing can be its reply.
    pub fn front_is_begun(&self) -> bool {
        self.answered < self.written
    }

    /// Drops the oldest `len` bytes.
    pub fn answer(&mut self, len: usize) {
        self.answered += len;
        self.written = self.written.max(self.answered);
        if self.answered == self.buf.len() {
            self.buf.clear();
            self.buf.shrink_to(KEEP_CAPACITY);
            self.answered = 0;
            self.written = 0;
        } else if self.answered >= COMPACT_AT && self.answered * 2 >= self.buf.len() {
            self.buf.drain(..self.answered);
            self.written -= self.answered;
            self.answered = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_follow_the_bytes() {
        let mut ring = Ring::default();
        ring.push(b"one");
        ring.push(b"three");
        assert_eq!(ring.unwritten(), b"onethree");
        ring.wrote(5);
        assert!(ring.front_is_written(3));
        assert_eq!(ring.front(3), b"one");
        ring.answer(3);
        assert!(!ring.front_is_written(5));
        assert_eq!(ring.front(5), b"three");
        assert_eq!(ring.unwritten(), b"ree");
        ring.wrote(3);
        ring.answer(5);
        assert!(ring.is_empty());
        assert_eq!(ring.unwritten(), b"");
    }

    #[test]
    fn compaction_keeps_the_unanswered_bytes() {
        let mut ring = Ring::default();
        for i in 0..40_000u32 {
            ring.push(&i.to_be_bytes());
        }
        ring.wrote(39_000 * 4);
        for i in 0..39_500u32 {
            assert_eq!(ring.front(4), i.to_be_bytes(), "entry {i}");
            ring.answer(4);
        }
        assert_eq!(ring.len(), 500 * 4);
        assert_eq!(ring.front(4), 39_500u32.to_be_bytes());
        assert_eq!(
            ring.unwritten().len(),
            500 * 4,
            "bytes dropped unwritten count as written"
        );
    }

    #[test]
    fn an_empty_ring_gives_memory_back() {
        let mut ring = Ring::default();
        ring.push_owned(vec![0; 8 << 20]);
        ring.answer(8 << 20);
        assert!(ring.buf.capacity() <= KEEP_CAPACITY);
    }
}
