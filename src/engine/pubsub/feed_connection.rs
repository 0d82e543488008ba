//! One connection of a feed: its requests are written, and what the node sends is cut into frames.

use std::io::ErrorKind;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::engine::transport::Transport;
use crate::engine::upstream::read::End;
use crate::engine::worker::Worker;
use crate::engine::worker::turn::poll_again;
use slotmux_core::resp::reply::ReplyScanner;

use super::feed::Feed;

/// Longest message, in bytes; longer ones are rejected. Redis' own bound on a bulk, with room for the names.
const LONGEST_FRAME: usize = 1024 * 1024 * 1024;

/// Reads per poll before other tasks get their turn.
const READS_PER_TURN: usize = 4;

/// Capacity that the rest of an incomplete frame keeps.
const TAIL_KEPT: usize = 64 * 1024;

/// One connection of a feed.
pub(super) struct FeedConnection {
    transport: Transport,
    /// The bytes of a frame that is not complete.
    tail: Vec<u8>,
    /// How many of them the scanner has passed.
    scanned: usize,
    scanner: ReplyScanner,
}

impl FeedConnection {
    pub(super) fn new(transport: Transport) -> FeedConnection {
        FeedConnection {
            transport,
            tail: Vec::new(),
            scanned: 0,
            scanner: ReplyScanner::default(),
        }
    }

    /// Writes and reads what there is. Ready when the connection has ended.
    pub(super) fn poll(
        &mut self,
        worker: &Rc<Worker>,
        feed: &Feed,
        cx: &mut Context<'_>,
    ) -> Poll<End> {
        for _ in 0..READS_PER_TURN {
            if feed.is_closed() {
                return Poll::Ready(End::Retired);
            }
            if feed.is_silent() {
                return Poll::Ready(End::Silent);
            }
            if let Err(end) = self.write(worker, feed, cx) {
                return Poll::Ready(end);
            }
            let mut scratch = worker.scratch.lane.borrow_mut();
            let read = match std::task::ready!(self.transport.poll_read(cx, &mut scratch)) {
                Ok(0) => return Poll::Ready(End::Closed),
                Ok(read) => read,
                Err(error) => return Poll::Ready(End::Io(error)),
            };
            worker.stats.upstream_reads.inc();
            feed.heard(worker);
            if let Err(end) = self.take(worker, feed, &scratch[..read]) {
                return Poll::Ready(end);
            }
            feed.wake_waiting();
        }
        poll_again(cx);
        Poll::Pending
    }

    fn write(&mut self, worker: &Worker, feed: &Feed, cx: &mut Context<'_>) -> Result<(), End> {
        let mut out = feed.unwritten();
        while !out.is_empty() {
            match self.transport.try_write(&out) {
                Ok(written) => {
                    worker.stats.upstream_writes.inc();
                    out.drain(..written);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    match self.transport.poll_write_ready(cx) {
                        Poll::Ready(ready) => ready?,
                        Poll::Pending => return Ok(()),
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(End::Io(error)),
            }
        }
        *out = Vec::new();
        drop(out);
        feed.wake_waiting();
        Ok(())
    }

    /// Takes the complete frames of what was read and keeps the rest.
    fn take(&mut self, worker: &Rc<Worker>, feed: &Feed, read: &[u8]) -> Result<(), End> {
        if self.tail.is_empty() {
            let taken = self.take_frames(worker, feed, read)?;
            self.tail.extend_from_slice(&read[taken..]);
        } else {
            let mut tail = std::mem::take(&mut self.tail);
            tail.extend_from_slice(read);
            let taken = self.take_frames(worker, feed, &tail)?;
            tail.drain(..taken);
            tail.shrink_to(tail.len().max(TAIL_KEPT));
            self.tail = tail;
        }
        if self.tail.len() > LONGEST_FRAME {
            return Err(End::TooLong);
        }
        Ok(())
    }

    /// Returns how many bytes the complete frames at the start of `bytes` are.
    fn take_frames(
        &mut self,
        worker: &Rc<Worker>,
        feed: &Feed,
        bytes: &[u8],
    ) -> Result<usize, End> {
        let (mut start, mut at) = (0, self.scanned);
        while at < bytes.len() {
            let progress = self.scanner.advance(&bytes[at..]).map_err(End::Malformed)?;
            at += progress.consumed;
            if !progress.done {
                break;
            }
            feed.take(worker, &bytes[start..at])?;
            start = at;
        }
        self.scanned = at - start;
        Ok(start)
    }
}
