//! One connection under load: sends a pipeline in one write, checks the replies, continues.

use crate::args::Limit;
use crate::check::{Counters, Frame, Outcome, frame, judge};
use crate::mix::{Ask, Op};
use crate::phase::{Beat, Phase, Work};
use crate::tally::{Live, Tally};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes above which a pipeline takes no further request: with big values it is shorter than `--depth`.
const BATCH: usize = 1024 * 1024;

/// Bytes that an empty buffer of a client may keep.
const KEEP: usize = 16 * 1024;

/// Pauses between attempts to connect again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// A request without its reply.
struct Waiting {
    ask: Ask,
    /// When it was sent, or was due (nanoseconds of the phase).
    due: u64,
}

enum Turn {
    Finished,
    Lost(String),
}

/// One connection.
pub struct Client {
    id: u32,
    /// `None` after a loss, until it is connected again.
    stream: Option<TcpStream>,
    random: fastrand::Rng,
    counters: Counters,
    in_flight: VecDeque<Waiting>,
    /// An incomplete reply, and the size below which it is certainly incomplete.
    inbox: Vec<u8>,
    need: usize,
    /// Bytes that the socket did not accept at once.
    outbox: Vec<u8>,
    written: usize,
    /// Requests of this client in this phase, and how many it may still send.
    sent: u64,
    left: u64,
    /// Place in the thread's schedule.
    place: u64,
    /// The part that other tasks see.
    pub beat: Rc<Beat>,
}

impl Client {
    /// A client on a fresh connection.
    pub fn new(id: u32, stream: Option<TcpStream>, seed: u64) -> Client {
        let mixed =
            seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (u64::from(id) << 32 | u64::from(id));
        Client {
            id,
            stream,
            random: fastrand::Rng::with_seed(mixed),
            counters: Counters::default(),
            in_flight: VecDeque::new(),
            inbox: Vec::new(),
            need: 0,
            outbox: Vec::new(),
            written: 0,
            sent: 0,
            left: 0,
            place: 0,
            beat: Rc::default(),
        }
    }

    /// Whether the other side has closed an idle connection, or sent an unexpected reply.
    pub fn is_gone(&self) -> bool {
        match &self.stream {
            Some(stream) => {
                !matches!(stream.try_read(&mut [0]), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock)
            }
            None => true,
        }
    }

    /// Takes part in a phase until it ends. `place` is the client's number on its thread.
    pub async fn run(mut self, phase: Rc<Phase>, place: u64) -> Client {
        (self.place, self.sent) = (place, 0);
        self.left = if let Limit::Each(n) = phase.limit {
            n
        } else {
            u64::MAX
        };
        self.beat.waiting_since.set(u64::MAX);
        self.beat.expired.set(false);
        loop {
            match std::future::poll_fn(|cx| self.turn(cx, &phase)).await {
                Turn::Finished => break,
                Turn::Lost(why) => {
                    self.count_lost(&phase, &why);
                    if !self.connect_again(&phase).await {
                        break;
                    }
                }
            }
        }
        if let (Some(pace), Limit::Duration(_)) = (&phase.pace, phase.limit) {
            phase.work.borrow_mut().tally.unsent += pace.unsent(self.place, self.sent);
        }
        self
    }

    fn turn(&mut self, cx: &mut Context<'_>, phase: &Phase) -> Poll<Turn> {
        let Some(mut stream) = self.stream.take() else {
            return Poll::Ready(Turn::Lost("not connected".into()));
        };
        self.beat.remember(cx.waker());
        if self.beat.expired.take() {
            return Poll::Ready(Turn::Lost(format!(
                "no reply within {:?}",
                phase.plan.timeout
            )));
        }
        let turn = self.exchange(&mut stream, cx, phase, &mut phase.work.borrow_mut());
        match turn {
            Poll::Ready(Err(why)) => Poll::Ready(Turn::Lost(why)),
            Poll::Ready(Ok(())) => {
                self.stream = Some(stream);
                Poll::Ready(Turn::Finished)
            }
            Poll::Pending => {
                self.stream = Some(stream);
                Poll::Pending
            }
        }
    }

    /// Writes and reads until the socket would block, or the phase has no more requests.
    fn exchange(
        &mut self,
        stream: &mut TcpStream,
        cx: &mut Context<'_>,
        phase: &Phase,
        work: &mut Work,
    ) -> Poll<Result<(), String>> {
        let mut now = phase.now();
        loop {
            self.fill(phase, work, now);
            self.flush(stream, cx, work)?;
            if self.in_flight.is_empty() && self.is_finished(phase) {
                return Poll::Ready(Ok(()));
            }
            let mut read = ReadBuf::new(&mut work.read);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut read))
                .map_err(|e| format!("read: {e}"))?;
            let n = read.filled().len();
            if n == 0 {
                return Poll::Ready(Err("connection closed".into()));
            }
            now = phase.now();
            self.receive(n, phase, work, now)?;
        }
    }

    /// Writes all requests that may be sent now into the buffer.
    fn fill(&mut self, phase: &Phase, work: &mut Work, now: u64) {
        if !self.outbox.is_empty() || phase.stop.get() {
            return;
        }
        let was_idle = self.in_flight.is_empty();
        work.out.clear();
        match &phase.pace {
            None if !was_idle => return,
            None => {
                while self.in_flight.len() < phase.depth
                    && work.out.len() < BATCH
                    && self.ask(phase, work, now)
                {}
            }
            Some(pace) => {
                while self.in_flight.len() < phase.depth {
                    let due = pace.due(self.place, self.sent);
                    if due > now || due >= pace.end || !self.ask(phase, work, due) {
                        break;
                    }
                }
            }
        }
        if was_idle && !self.in_flight.is_empty() {
            self.beat.waiting_since.set(now);
        }
    }

    fn ask(&mut self, phase: &Phase, work: &mut Work, due: u64) -> bool {
        let budget = phase.budget.get();
        if budget == 0 || self.left == 0 {
            return false;
        }
        phase.budget.set(budget - 1);
        self.left -= 1;
        self.sent += 1;
        work.tally.requests += 1;
        let ask = match &phase.load {
            Some(next) => Ask {
                op: Op::Set,
                key: next.replace(next.get() + 1),
            },
            None => Ask::draw(&phase.plan.mix, &phase.plan.keys, &mut self.random),
        };
        ask.append(&phase.plan.keys, self.id, &mut work.scratch, &mut work.out);
        self.in_flight.push_back(Waiting { ask, due });
        true
    }

    fn is_finished(&self, phase: &Phase) -> bool {
        let on_schedule = phase
            .pace
            .as_ref()
            .is_some_and(|pace| pace.due(self.place, self.sent) < pace.end);
        !on_schedule || phase.stop.get() || phase.budget.get() == 0 || self.left == 0
    }

    fn flush(
        &mut self,
        stream: &mut TcpStream,
        cx: &mut Context<'_>,
        work: &mut Work,
    ) -> Result<(), String> {
        let from_outbox = !self.outbox.is_empty();
        let bytes = if from_outbox { &self.outbox } else { &work.out };
        let mut at = if from_outbox { self.written } else { 0 };
        while at < bytes.len() {
            match Pin::new(&mut *stream).poll_write(cx, &bytes[at..]) {
                Poll::Ready(Ok(n)) => at += n,
                Poll::Ready(Err(e)) => return Err(format!("write: {e}")),
                Poll::Pending => break,
            }
        }
        let blocked = at < bytes.len();
        match (from_outbox, blocked) {
            (true, true) => self.written = at,
            (true, false) => {
                empty(&mut self.outbox);
                self.written = 0;
            }
            (false, true) => self.outbox.extend_from_slice(&work.out[at..]),
            (false, false) => {}
        }
        work.out.clear();
        Ok(())
    }

    /// Checks the first `n` bytes of the read buffer, together with an incomplete reply from before.
    fn receive(
        &mut self,
        n: usize,
        phase: &Phase,
        work: &mut Work,
        now: u64,
    ) -> Result<(), String> {
        let Work {
            read,
            scratch,
            tally,
            ..
        } = work;
        let before = tally.faults();
        let replies = tally.replies;
        if self.inbox.is_empty() {
            let used = self.check(&read[..n], phase, tally, scratch, now)?;
            self.inbox.extend_from_slice(&read[used..n]);
        } else {
            self.inbox.extend_from_slice(&read[..n]);
            if self.inbox.len() >= self.need {
                let mut inbox = std::mem::take(&mut self.inbox);
                let used = self.check(&inbox, phase, tally, scratch, now)?;
                if used == inbox.len() {
                    empty(&mut inbox);
                } else {
                    inbox.drain(..used);
                }
                self.inbox = inbox;
            }
        }
        Live::add(&phase.live.replies, tally.replies - replies);
        if tally.faults() > before {
            Live::add(&phase.live.faults, tally.faults() - before);
        }
        self.beat.waiting_since.set(if self.in_flight.is_empty() {
            u64::MAX
        } else {
            now
        });
        Ok(())
    }

    /// Checks all whole replies in `bytes` and returns their size.
    fn check(
        &mut self,
        bytes: &[u8],
        phase: &Phase,
        tally: &mut Tally,
        scratch: &mut Vec<u8>,
        now: u64,
    ) -> Result<usize, String> {
        let (keys, mut at) = (&phase.plan.keys, 0);
        // Replies of one write have one latency: they are recorded together.
        let (mut due, mut same) = (0, 0);
        while at < bytes.len() {
            let len = match frame(&bytes[at..]) {
                Ok(Frame::Complete(len)) => len,
                Ok(Frame::Incomplete(need)) => {
                    self.need = need;
                    break;
                }
                Err(why) => {
                    tally.wrong += 1;
                    return Err(format!("{why}: {}", excerpt(&bytes[at..])));
                }
            };
            let reply = &bytes[at..at + len];
            at += len;
            if reply[0] == b'>' {
                continue;
            }
            let Some(Waiting { ask, due: meant }) = self.in_flight.pop_front() else {
                tally.wrong += 1;
                return Err(format!("a reply without a request: {}", excerpt(reply)));
            };
            let outcome = match judge(ask, reply, keys, &mut self.counters, scratch) {
                Outcome::Missing if phase.plan.allow_missing => Outcome::Right,
                outcome => outcome,
            };
            tally.reply(outcome, || {
                let mut name = Vec::new();
                ask.keys(keys)
                    .take(1)
                    .for_each(|key| keys.append_key(key, &mut name));
                format!(
                    "client {}: {} {} got {}",
                    self.id,
                    ask.op,
                    name.escape_ascii(),
                    excerpt(reply)
                )
            });
            if meant != due && same > 0 {
                tally.latency(now.saturating_sub(due), same);
                same = 0;
            }
            (due, same) = (meant, same + 1);
        }
        if same > 0 {
            tally.latency(now.saturating_sub(due), same);
        }
        Ok(at)
    }

    fn count_lost(&mut self, phase: &Phase, why: &str) {
        let tally = &mut phase.work.borrow_mut().tally;
        // A connection that breaks with nothing in flight loses no reply, but is a fault too.
        let lost = (self.in_flight.len() as u64).max(1);
        tally.lost += lost;
        tally.sample(|| {
            format!(
                "client {}: {why} ({} in flight)",
                self.id,
                self.in_flight.len()
            )
        });
        Live::add(&phase.live.faults, lost);
        for waiting in self.in_flight.drain(..) {
            if waiting.ask.op == Op::Incr {
                self.counters.lost(waiting.ask.key);
            }
        }
        self.inbox.clear();
        self.outbox.clear();
        self.written = 0;
        self.beat.waiting_since.set(u64::MAX);
    }

    /// Reconnects. Returns whether that succeeded before the end of the phase.
    async fn connect_again(&mut self, phase: &Phase) -> bool {
        let (mut pause, longest) = PAUSES;
        let until = Instant::now() + phase.plan.timeout;
        while !phase.stop.get() && phase.budget.get() > 0 && Instant::now() < until {
            tokio::time::sleep(pause).await;
            match phase.plan.target.connect().await {
                Ok(stream) => {
                    self.stream = Some(stream);
                    phase.work.borrow_mut().tally.reconnects += 1;
                    return true;
                }
                Err(_) => pause = (pause * 2).min(longest),
            }
        }
        false
    }
}

/// Empties a buffer, and frees the memory of a big one.
fn empty(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.shrink_to(KEEP);
}

fn excerpt(reply: &[u8]) -> String {
    const LONGEST: usize = 96;
    let shown = reply[..reply.len().min(LONGEST)]
        .trim_ascii_end()
        .escape_ascii();
    if reply.len() > LONGEST {
        format!("{shown}... ({} bytes)", reply.len())
    } else {
        shown.to_string()
    }
}
