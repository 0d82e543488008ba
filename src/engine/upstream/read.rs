//! Replies as a lane's task reads them: cut at their boundaries, matched with the oldest in-flight entry, delivered.
//!
//! A reply that is complete in one read is delivered from the scratch buffer. A large one is passed on in pieces as
//! it comes, so that it is never collected here.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::engine::sabotage::sabotage;
use crate::engine::transaction::watch::watch_holds;
use crate::engine::worker::Worker;
use crate::engine::worker::turn::poll_again;
use slotmux_core::resp::reply::ReplyScanner;
use slotmux_core::resp::request::Request;
use slotmux_core::resp::{Limits, Malformed, Scan, number, scan_request};
use slotmux_core::route::scan::run_of;

use super::block::BlockProgress;
use super::deliver::deliver_piece;
use super::inflight::{InFlight, OnReply};
use super::lane::{Class, Lane, Link};
use super::repair::Repair;
use crate::engine::upstream::connection_id::ConnectionId;
use crate::engine::upstream::protocol_error::{BlockStep, is_queued};
use crate::engine::upstream::retry::refused::{self, runs_script};

/// An incomplete reply larger than this is passed on in pieces. Small enough to stay in the cache, large enough that
/// error replies, which decide about redirects, are always seen whole.
const STREAM_FROM: usize = 16 * 1024;

/// Longest valid array header, in bytes.
const LONGEST_HEAD: usize = 32;

/// Reads per poll before other tasks get their turn.
const READS_PER_TURN: usize = 4;

/// Bytes of one read. A lane that has more ends its turn, so that small replies on other lanes wait for no more than this.
const BYTES_PER_TURN: usize = 128 * 1024;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// The node closed it.
    #[error("closed by the node")]
    Closed,
    /// The kernel reported an error.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The bytes are not RESP.
    #[error("malformed reply: {0}")]
    Malformed(Malformed),
    /// More replies than requests came: no reply on this connection can be trusted.
    #[error("a reply came that no command asked for")]
    Unasked,
    /// A transaction was not begun, or not closed: later commands would become part of it.
    #[error("the node {0}")]
    ProtocolError(String),
    /// A command was answered of which the node has a part only: it would take the next command for the rest of it.
    #[error("a command was answered before it was sent whole")]
    Early,
    /// The node did not forget the keys that it watches for a client on this connection.
    #[error("the node refused UNWATCH")]
    Unclean,
    /// The lane was taken out of use.
    #[error("no longer needed")]
    Retired,
    /// A reply was owed for longer than `timeouts.response`.
    #[error("silent while a reply was due")]
    Silent,
    /// A message of a channel is longer than any may be.
    #[error("a message is too long")]
    TooLong,
}

/// State of a reply that was cut by the end of a read.
#[derive(Default)]
pub struct Replies {
    /// The bytes of the incomplete reply that were not delivered yet.
    tail: Vec<u8>,
    /// How many of them the scanner has passed.
    scanned: usize,
    scanner: ReplyScanner,
    /// How many bytes of this reply were delivered already.
    streamed: usize,
}

impl Replies {
    /// Reads and delivers until the socket is empty. Ready when the connection has ended.
    pub fn poll(
        &mut self,
        worker: &Rc<Worker>,
        lane: &Rc<Lane>,
        cx: &mut Context<'_>,
    ) -> Poll<End> {
        for _ in 0..READS_PER_TURN {
            if lane.link() == Link::Retired {
                return Poll::Ready(End::Retired);
            }
            if lane.is_closing() {
                return Poll::Ready(End::Silent);
            }
            if lane.update_held_back(worker) {
                return Poll::Pending;
            }
            let mut scratch = worker.scratch.lane.borrow_mut();
            let kept = self.tail.len();
            scratch[..kept].copy_from_slice(&self.tail);
            let read = {
                let mut transport = lane.transport().borrow_mut();
                let Some(transport) = transport.as_mut() else {
                    return Poll::Ready(End::Closed);
                };
                let end = scratch.len().min(kept + BYTES_PER_TURN);
                match ready!(transport.poll_read(cx, &mut scratch[kept..end])) {
                    Ok(0) => return Poll::Ready(End::Closed),
                    Ok(read) => read,
                    Err(error) => return Poll::Ready(End::Io(error)),
                }
            };
            worker.stats.upstream_reads.inc();
            lane.heard(worker.clock.now());
            let was_idle = lane.is_idle();
            if let Err(end) = self.take(worker, lane, &scratch[..kept + read]) {
                return Poll::Ready(end);
            }
            lane.wake_waiting(worker);
            // An idle lane is in the pool already: the reply was that of a health check.
            let is_free = lane.is_idle() && !was_idle && !lane.is_pinned();
            if lane.class == Class::Dedicated && is_free {
                worker.release(lane);
            }
            if read == BYTES_PER_TURN {
                break;
            }
        }
        poll_again(cx);
        Poll::Pending
    }

    /// Delivers every complete reply in `buf`, which starts with the tail, and keeps the rest.
    fn take(&mut self, worker: &Rc<Worker>, lane: &Rc<Lane>, buf: &[u8]) -> Result<(), End> {
        let mut start = 0;
        let mut at = self.scanned;
        while start < buf.len() {
            if at == start && self.streamed == 0 && buf[start] == b'*' && lane.is_at_exec() {
                match array_head(&buf[start..]) {
                    // The nil of a watched transaction is an ordinary reply.
                    Some((-1, _)) => {}
                    Some((count, len)) if lane.begin_elements(count) => {
                        start += len;
                        at = start;
                        continue;
                    }
                    None if buf.len() - start < LONGEST_HEAD => break,
                    _ => return Err(protocol_error(worker, lane, BlockStep::Exec, &buf[start..])),
                }
            }
            let progress = self.scanner.advance(&buf[at..]).map_err(End::Malformed)?;
            at += progress.consumed;
            if !progress.done {
                break;
            }
            if self.streamed > 0 {
                self.count_streamed(worker, lane, at - start);
                self.streamed = 0;
                let finished = finish_stream(worker, lane, &buf[start..at]);
                worker.clients.end_processing();
                finished?;
                lane.set_mid_reply(false);
            } else {
                let taken = take_reply(worker, lane, &buf[start..at]);
                worker.clients.end_processing();
                taken?;
            }
            start = at;
        }
        if at - start > STREAM_FROM && (self.streamed > 0 || buf[start] != b'>') {
            if lane.is_pinged() {
                return Err(End::Unasked);
            }
            let entry = lane
                .entries()
                .borrow()
                .front()
                .filter(|entry| lane.ring().borrow().front_is_written(entry.runs_at()))
                .cloned()
                .ok_or(End::Unasked)?;
            if let OnReply::Block(block) = &entry.kind
                && let Some(step) = block.small_step()
            {
                return Err(protocol_error(worker, lane, step, &buf[start..at]));
            }
            lane.set_mid_reply(true);
            self.count_streamed(worker, lane, at - start);
            match &entry.kind {
                OnReply::Block(block) => block.take_piece(worker, &entry, &buf[start..at]),
                _ => deliver_piece(worker, &entry, &buf[start..at], false),
            }
            start = at;
        }
        self.tail.clear();
        self.tail.extend_from_slice(&buf[start..]);
        self.scanned = at - start;
        lane.set_reply_begun(self.streamed > 0 || !self.tail.is_empty());
        Ok(())
    }

    /// Counts a piece of the oldest command's reply. A big reply is learned from before it is complete, so that similar
    /// commands get dedicated lanes meanwhile.
    fn count_streamed(&mut self, worker: &Worker, lane: &Lane, bytes: usize) {
        let before = self.streamed;
        self.streamed += bytes;
        if !worker.is_big(before)
            && worker.is_big(self.streamed)
            && let Some(entry) = lane.entries().borrow().front()
        {
            learn(worker, lane, entry);
        }
    }
}

fn take_reply(worker: &Rc<Worker>, lane: &Rc<Lane>, reply: &[u8]) -> Result<(), End> {
    // A push is not a reply.
    if reply[0] == b'>' {
        lane.take_push(worker, reply);
        return Ok(());
    }
    // A reply without a request would be taken for that of the next command, which has not even left.
    if !lane.ring().borrow().front_is_begun() {
        return Err(End::Unasked);
    }
    if lane.is_pinged() {
        return lane.take_pong(reply);
    }
    let entry = lane.take_oldest(worker).ok_or(End::Unasked)?;
    worker.clients.begin_processing(&entry.client);
    sabotage("read.take_reply");
    let len = entry.len as usize;
    let is_early = !lane.ring().borrow().front_is_written(len);
    if worker.is_big(reply.len()) {
        learn(worker, lane, &entry);
    }
    let failed = reply[0] == b'-';
    if is_queued(reply) && has_open_transaction(lane, &entry) {
        // It has probably not run, but that is not certain here.
        lane.put_oldest(worker, entry);
        return Err(End::ProtocolError(
            "queues a command outside a transaction".to_owned(),
        ));
    }
    if !failed
        && reply != b"+OK\r\n"
        && matches!(entry.kind, OnReply::Watch { .. } | OnReply::Asking)
    {
        lane.put_oldest(worker, entry);
        return Err(End::ProtocolError(
            "gives an invalid reply to WATCH or ASKING".to_owned(),
        ));
    }
    if let OnReply::Block(block) = &entry.kind {
        let progress = block.take(worker, &entry, reply, failed);
        let is_over = settle_block(worker, lane, entry, progress, reply)?;
        return if is_over && is_early {
            Err(End::Early)
        } else {
            Ok(())
        };
    }
    if lane.take_is_tracked() {
        lane.note_read(worker, &entry);
    }
    let is_unclean = reply != b"+OK\r\n" && matches!(entry.kind, OnReply::Unwatch);
    match &entry.kind {
        OnReply::ProcessRun => lane.set_process_run(run_of(reply)),
        OnReply::Watch { .. } if !failed => {
            let request = lane.ring().borrow().front(len).to_vec();
            watch_holds(worker, lane, &entry, &request);
        }
        OnReply::Tracking => lane.take_tracking(worker, reply),
        OnReply::Caching => lane.take_caching(worker, &entry, failed),
        OnReply::Asking => lane.record_asking(&entry),
        OnReply::Verify(verification) => worker.take_verification_reply(verification, reply),
        OnReply::ConnectionId => lane.id.set(ConnectionId::of_reply(reply)),
        OnReply::ReportOne(asker) => {
            if let Some(asker) = asker.take() {
                // The receiver may have stopped waiting.
                let _ = asker.send(reply == b":1\r\n");
            }
        }
        _ => {}
    }
    if failed && entry.is_awaited() {
        take_refusal(worker, lane, entry, reply);
    } else {
        worker.retries.record_run(&entry);
        deliver_piece(worker, &entry, reply, true);
    }
    lane.ring().borrow_mut().answer(len);
    match (is_early, is_unclean) {
        (true, _) => Err(End::Early),
        (_, true) => Err(End::Unclean),
        _ => Ok(()),
    }
}

/// A command, the oldest, did not run, or failed.
fn take_refusal(worker: &Rc<Worker>, lane: &Rc<Lane>, entry: InFlight, error: &[u8]) {
    let len = entry.len as usize;
    let request = || lane.ring().borrow().front(len).to_vec();
    if let Some(entry) = refused::take_over(worker, lane, entry, error, request) {
        worker.retries.record_run(&entry);
        deliver_piece(worker, &entry, error, true);
    }
}

/// One reply of the oldest entry, a block, was taken. Returns whether it was the last.
fn settle_block(
    worker: &Rc<Worker>,
    lane: &Rc<Lane>,
    entry: InFlight,
    progress: BlockProgress,
    reply: &[u8],
) -> Result<bool, End> {
    let len = entry.len as usize;
    if progress != BlockProgress::More && lane.take_is_tracked() {
        lane.note_read(worker, &entry);
    }
    match progress {
        BlockProgress::More => {
            lane.put_oldest(worker, entry);
            return Ok(false);
        }
        BlockProgress::ProtocolError(step) => {
            lane.ring().borrow_mut().answer(len);
            return Err(worker.end_by_protocol_error(lane, &entry, step, reply));
        }
        BlockProgress::Open(error) => {
            let end = worker.end_open_transaction(lane, &error);
            if entry.is_awaited() {
                let reply = worker.open_transaction_error(lane, &entry, &error);
                take_refusal(worker, lane, entry, &reply);
            }
            lane.ring().borrow_mut().answer(len);
            return Err(end);
        }
        BlockProgress::Done => {}
        BlockProgress::Refused(error) if entry.is_awaited() => {
            take_refusal(worker, lane, entry, &error)
        }
        BlockProgress::Refused(_) => {}
        BlockProgress::Incomplete => {
            // The command has run: no command has to precede the expiries.
            let repair = Repair::of(entry, lane.ring().borrow().front(len), None);
            if let Some(repair) = repair {
                worker.send_repair(repair);
            }
        }
    }
    lane.ring().borrow_mut().answer(len);
    Ok(true)
}

/// Takes the oldest entry, a block with an invalid reply, off the lane.
fn protocol_error(worker: &Rc<Worker>, lane: &Rc<Lane>, step: BlockStep, reply: &[u8]) -> End {
    let Some(entry) = lane.take_oldest(worker) else {
        return End::Unasked;
    };
    lane.ring().borrow_mut().answer(entry.len as usize);
    worker.end_by_protocol_error(lane, &entry, step, reply)
}

/// Whether `+QUEUED` as the reply to the oldest command, which was popped, shows a transaction that slotmux has not
/// begun. A script may return the same text.
fn has_open_transaction(lane: &Lane, entry: &InFlight) -> bool {
    let ring = lane.ring().borrow();
    let bytes = ring.front(entry.len as usize);
    match &entry.kind {
        // The task of the program sends its own MULTI.
        OnReply::Step(_) => false,
        OnReply::Block(block) => block.is_without_multi() && !runs_script(block.client_part(bytes)),
        _ => !runs_script(bytes),
    }
}

/// Records that the reply to `entry`, the oldest command, is big. A part of a split request is not a request of a
/// client.
fn learn(worker: &Worker, lane: &Lane, entry: &InFlight) {
    let ring = lane.ring().borrow();
    let bytes = ring.front(entry.len as usize);
    let bytes = match &entry.kind {
        OnReply::Deliver => bytes,
        OnReply::Block(block) if entry.is_whole() => block.client_part(bytes),
        _ => return,
    };
    let mut args = Vec::new();
    if let Ok(Scan::Complete { .. }) = scan_request(bytes, &Limits::ACCEPTED, &mut args)
        && !args.is_empty()
    {
        worker
            .traffic
            .big_replies
            .learn(&Request { bytes, args: &args });
    }
}

fn finish_stream(worker: &Rc<Worker>, lane: &Rc<Lane>, last: &[u8]) -> Result<(), End> {
    let entry = lane.take_oldest(worker).ok_or(End::Unasked)?;
    worker.clients.begin_processing(&entry.client);
    if let OnReply::Block(block) = &entry.kind {
        let progress = block.take(worker, &entry, last, false);
        settle_block(worker, lane, entry, progress, last)?;
        return Ok(());
    }
    if lane.take_is_tracked() {
        lane.note_read(worker, &entry);
    }
    worker.retries.record_run(&entry);
    deliver_piece(worker, &entry, last, true);
    lane.ring().borrow_mut().answer(entry.len as usize);
    Ok(())
}

/// The count of an array and the length of its head, if that is there whole.
fn array_head(buf: &[u8]) -> Option<(i64, usize)> {
    let end = buf
        .iter()
        .take(LONGEST_HEAD)
        .position(|&byte| byte == b'\r')?;
    (buf.get(end + 1) == Some(&b'\n'))
        .then(|| number::parse_i64(&buf[1..end]))
        .flatten()
        .map(|count| (count, end + 2))
}
