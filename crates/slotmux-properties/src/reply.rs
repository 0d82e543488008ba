//! The replies of a stream end at the same places however it is cut, and at most a short header remains unconsumed.

use slotmux_core::resp::{Malformed, ReplyScanner};

/// The results of scanning a stream: the end and type of each reply, and the end of the stream.
#[derive(PartialEq, Eq, Debug)]
pub struct Stream {
    /// End and type byte of each reply.
    pub replies: Vec<(usize, u8)>,
    /// The error that ended it, if there was one.
    pub broken: Option<Malformed>,
}

/// The input is the output of a node.
pub fn check(data: &[u8]) {
    let whole = scan(data, std::iter::once(data.len()));
    for size in [1, 2, 3, 7, 64] {
        let cuts = (size..data.len()).step_by(size).chain([data.len()]);
        assert_eq!(scan(data, cuts), whole, "in pieces of {size}");
    }
}

/// Feeds the stream up to each cut, as a lane does: unconsumed bytes are scanned again with those that follow.
pub fn scan(data: &[u8], cuts: impl Iterator<Item = usize>) -> Stream {
    let mut scanner = ReplyScanner::default();
    let mut stream = Stream {
        replies: Vec::new(),
        broken: None,
    };
    let mut from = 0;
    for to in cuts {
        loop {
            let progress = match scanner.advance(&data[from..to]) {
                Ok(progress) => progress,
                Err(malformed) => {
                    stream.broken = Some(malformed);
                    return stream;
                }
            };
            from += progress.consumed;
            assert!(from <= to);
            if progress.done {
                assert!(
                    scanner.is_idle() && scanner.known_remaining() == 0 && progress.consumed > 0
                );
                stream.replies.push((from, scanner.kind()));
                continue;
            }
            assert!(to - from < 64, "{} bytes left over", to - from);
            assert!(
                scanner.known_remaining() == 0 || from == to,
                "payload left over"
            );
            break;
        }
    }
    stream
}
