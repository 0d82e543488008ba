//! The requests of a client since its MULTI, kept until EXEC.

use std::rc::Rc;

use slotmux_core::resp::{Limits, Scan, Span, scan_request};

use crate::engine::client::long_request::{SLICE, SLICE_BYTES};
use crate::engine::fan_out::info_ahead::InfoAhead;

/// Bytes that EXEC takes for each request besides its own: its plan, where its arguments are, its element of the reply. Measured
/// with a million of them.
const TO_RUN: usize = 320;

/// The error for a transaction with a request that was kept and cannot be read again: without its keys no rule can be
/// applied to it.
pub(crate) const UNREADABLE: &str = "EXECABORT slotmux: transaction discarded, a command of it could not be read again \
    to be checked against the policies";

/// Finds the arguments of a request that was kept. It was within the client's limits when it came, and these are not
/// asked again.
pub(crate) fn read_again(bytes: &[u8], args: &mut Vec<Span>) -> Result<(), &'static str> {
    match scan_request(bytes, &Limits::ACCEPTED, args) {
        Ok(Scan::Complete { len }) if len == bytes.len() && !args.is_empty() => Ok(()),
        _ => Err(UNREADABLE),
    }
}

/// The requests between MULTI and EXEC.
#[derive(Debug, Default)]
pub struct Queue {
    /// One behind the other.
    pub(crate) bytes: Vec<u8>,
    /// Where each request ends.
    pub(crate) ends: Vec<u32>,
    /// Whether a request was refused: EXEC then runs nothing.
    pub(crate) is_aborted: bool,
    /// The nodes' INFO, for an INFO in the transaction. `None`: it has no INFO.
    pub(crate) info: Option<Rc<InfoAhead>>,
}

/// Result of adding a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Added {
    /// It is kept until EXEC.
    Kept,
    /// It would never run, and is not kept.
    Aborted,
    /// The transaction would be too large with it.
    TooLarge,
}

impl Queue {
    /// Keeps a request, unless the transaction would be larger than `largest` bytes or `most` requests.
    pub(crate) fn add(&mut self, request: &[u8], largest: usize, most: usize) -> Added {
        if self.is_aborted {
            return Added::Aborted;
        }
        if self.bytes.len() + request.len() > largest || self.ends.len() >= most {
            return Added::TooLarge;
        }
        self.bytes.extend_from_slice(request);
        self.ends.push(self.bytes.len() as u32);
        Added::Kept
    }

    /// Number of requests.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// Bytes that it holds.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.ends.len() * size_of::<u32>()
    }

    /// Bytes that it counts for: what it holds, and what it will take to run it.
    pub fn cost(&self) -> usize {
        self.bytes.len() + self.ends.len() * TO_RUN
    }

    /// Whether planning the queue takes more than one turn.
    pub fn is_long(&self) -> bool {
        self.ends.len() > SLICE || self.bytes.len() > SLICE_BYTES
    }

    /// Whether it holds no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each request.
    pub(crate) fn requests(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let request = &self.bytes[start..end as usize];
            start = end as usize;
            request
        })
    }

    /// Forgets all of them.
    pub(crate) fn abort(&mut self) {
        *self = Queue {
            is_aborted: true,
            ..Queue::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_request_can_be_read_again() {
        let mut args = Vec::new();
        let get = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
        assert_eq!(read_again(get, &mut args), Ok(()));
        assert_eq!(args.len(), 2);
        let long = format!("*1\r\n${}\r\n{}\r\n", 1 << 20, "x".repeat(1 << 20));
        assert_eq!(read_again(long.as_bytes(), &mut args), Ok(()));
        let twice = [&get[..], get].concat();
        for wrong in [&get[..9], &twice, b"", b"*0\r\n", b"*1\r\n:1\r\n"] {
            assert_eq!(read_again(wrong, &mut args), Err(UNREADABLE));
        }
    }

    #[test]
    fn a_queue_gives_back_what_it_was_given() {
        let mut queue = Queue::default();
        for request in ["ab", "", "cde"] {
            assert_eq!(queue.add(request.as_bytes(), 5, 3), Added::Kept);
        }
        assert_eq!(queue.add(b"f", 5, 9), Added::TooLarge);
        assert_eq!(queue.add(b"", 5, 3), Added::TooLarge);
        let requests: Vec<&[u8]> = queue.requests().collect();
        assert_eq!(requests, [&b"ab"[..], b"", b"cde"]);
        queue.abort();
        assert!(queue.is_empty() && queue.is_aborted);
        assert_eq!(queue.add(b"a", 5, 3), Added::Aborted);
        assert!(queue.is_empty());
    }
}
