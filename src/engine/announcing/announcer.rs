//! An announcer: the connection of a worker to one node that carries invalidations and nothing else. They are those of keys
//! with some prefixes, or those of reads over connections of RESP2, which have no pushes.

use std::cell::{Cell, OnceCell, RefCell};
use std::io::ErrorKind;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use tokio::time::sleep;

use crate::engine::client::tracking::INVALIDATE;
use crate::engine::handshake::{ConnectError, exchange};
use crate::engine::transport::Transport;
use crate::engine::upstream::NodeId;
use crate::engine::upstream::connect::{jittered, log_in, wait_for_turn, within_timeout};
use crate::engine::upstream::read::End;
use crate::engine::worker::Worker;
use crate::engine::worker::clock::Tick;
use crate::engine::worker::turn::poll_again;
use slotmux_core::cluster::addr::Addr;
use slotmux_core::resp::reply::ReplyScanner;
use slotmux_core::resp::{Limits, Protocol, number, scan_request, write};

use super::cover::Cover;

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const CLIENT_ID: &[u8] = b"*2\r\n$6\r\nCLIENT\r\n$2\r\nID\r\n";

/// Reads per poll before other tasks get their turn.
const READS_PER_TURN: usize = 4;

/// Longest push, in bytes; a longer one ends the connection, and the clients forget everything.
const LONGEST_PUSH: usize = 256 * 1024 * 1024;

/// The changes that an announcer brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// Those of keys with the prefixes of the worker's clients.
    Prefixes,
    /// Those of keys that were read over the connections of RESP2, which name this one by its id.
    Reads,
}

/// The changed keys of one push.
pub enum Changed<'a> {
    /// These.
    Keys(&'a [&'a [u8]]),
    /// All.
    All,
}

/// Why the node does not announce.
enum Refusal {
    /// There is no connection.
    Connect(ConnectError),
    /// The node's error.
    Node(String),
}

/// A connection that brings changes.
pub struct Announcer {
    /// The node at its other end.
    pub node: NodeId,
    addr: Addr,
    /// The changes that it brings.
    pub announced: Announced,
    /// The prefixes that the node was asked for on this connection.
    asked: RefCell<Cover>,
    /// Its id at the node, while the node announces.
    id: Cell<Option<u64>>,
    /// The node's error, if it refuses.
    refusal: RefCell<Option<String>>,
    is_closed: Cell<bool>,
    /// Whether it closes once the node has answered a PING: another one has taken its place.
    is_ending: Cell<bool>,
    /// Whether a PING has to be sent.
    is_ping_due: Cell<bool>,
    is_pinged: Cell<bool>,
    is_silent: Cell<bool>,
    last_heard: Cell<Tick>,
    waker: OnceCell<Waker>,
}

impl Announcer {
    /// Opens one.
    pub fn open(worker: &Rc<Worker>, node: NodeId, announced: Announced) -> Rc<Announcer> {
        let announcer = Rc::new(Announcer {
            node,
            addr: worker.address_of(node),
            announced,
            asked: RefCell::default(),
            id: Cell::new(None),
            refusal: RefCell::new(None),
            is_closed: Cell::new(false),
            is_ending: Cell::new(false),
            is_ping_due: Cell::new(false),
            is_pinged: Cell::new(false),
            is_silent: Cell::new(false),
            last_heard: Cell::new(worker.clock.now()),
            waker: OnceCell::new(),
        });
        let (task, failed) = (run(worker.clone(), announcer.clone()), announcer.clone());
        worker.spawn("the task of an announcer", task, move |worker| {
            end(worker, &failed);
        });
        announcer
    }

    /// Whether the node announces changes to it.
    pub fn is_up(&self) -> bool {
        self.id.get().is_some()
    }

    /// Its id at the node, while the node announces.
    pub fn id(&self) -> Option<u64> {
        self.id.get()
    }

    /// Whether it brings every change of these keys.
    pub(super) fn includes(&self, cover: &Cover) -> bool {
        self.is_up() && self.asked.borrow().includes(cover)
    }

    /// Whether the node was asked for exactly these prefixes.
    pub(super) fn asks_for(&self, cover: &Cover) -> bool {
        *self.asked.borrow() == *cover
    }

    /// Whether it is closed, or about to be.
    pub fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    /// The node's error, with its address, if it refuses to announce.
    pub fn refusal(&self) -> Option<String> {
        let refusal = self.refusal.borrow();
        refusal
            .as_ref()
            .map(|text| format!("{} says {text}", self.addr))
    }

    /// Closes it.
    pub fn close(&self) {
        self.is_closed.set(true);
        self.wake();
    }

    /// Closes it once it has brought everything that was announced so far.
    pub fn finish(&self) {
        self.is_ending.set(true);
        self.is_ping_due.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Ends the connection of a node that was silent for too long, and sends a due health check.
    pub fn check(&self, worker: &Worker, now: Tick) {
        if !self.is_up() {
            return;
        }
        let heard = self.last_heard.get();
        if self.is_pinged.get() {
            if heard.is_over(worker.timeouts.response, now) {
                self.is_silent.set(true);
                self.wake();
            }
        } else if let Some(interval) = worker.timeouts.health_interval
            && heard.is_over(interval, now)
        {
            self.is_ping_due.set(true);
            self.wake();
        }
    }

    /// Connects, and lets the node begin.
    async fn connect(&self, worker: &Worker) -> Result<(Transport, u64), Refusal> {
        let attempt = async {
            let mut stream = log_in(worker, &self.addr, Protocol::Resp3).await?;
            let id = exchange(&mut stream, CLIENT_ID, 1).await?;
            let begun = match self.begin(worker) {
                Some(request) => exchange(&mut stream, &request, 1).await?,
                None => b"+OK\r\n".to_vec(),
            };
            Ok((stream, id, begun))
        };
        let (stream, id, begun) = within_timeout(worker, attempt)
            .await
            .map_err(Refusal::Connect)?;
        let refusal = [&id, &begun].into_iter().find(|reply| reply[0] == b'-');
        if let Some(error) = refusal {
            let text = String::from_utf8_lossy(&error[1..]);
            return Err(Refusal::Node(text.trim_end().to_owned()));
        }
        let digits = id
            .strip_prefix(b":")
            .and_then(|id| id.strip_suffix(b"\r\n"));
        let id = digits.and_then(number::parse_i64).unwrap_or_default();
        Ok((Transport::Tcp(stream), id.cast_unsigned()))
    }

    /// The request that makes the node begin, if it needs one.
    fn begin(&self, worker: &Worker) -> Option<Vec<u8>> {
        if self.announced == Announced::Reads {
            return None;
        }
        let cover = worker.announcements.cover();
        let mut words: Vec<&[u8]> = vec![b"CLIENT", b"TRACKING", b"ON", b"BCAST"];
        for prefix in cover.prefixes() {
            words.extend([&b"PREFIX"[..], prefix]);
        }
        let mut request = Vec::new();
        write::request(&mut request, &words);
        self.asked.replace(cover);
        Some(request)
    }

    /// Takes one frame.
    fn take(&self, worker: &Rc<Worker>, frame: &[u8]) -> Result<(), End> {
        if frame[0] != b'>' {
            if !self.is_pinged.replace(false) {
                return Err(End::Unasked);
            }
            if !self.is_ending.get() {
                return Ok(());
            }
            worker.announcements.finished(self);
            return Err(End::Retired);
        }
        let Some(what) = frame.strip_prefix(INVALIDATE) else {
            return Ok(());
        };
        let mut args = Vec::new();
        if what.first() != Some(&b'*') || scan_request(what, &Limits::ACCEPTED, &mut args).is_err()
        {
            worker.announcements.changed(worker, self, &Changed::All);
        } else {
            let keys: Vec<&[u8]> = args.iter().map(|key| key.of(what)).collect();
            let changed = Changed::Keys(&keys);
            worker.announcements.changed(worker, self, &changed);
        }
        Ok(())
    }
}

/// One connection of an announcer, with the bytes of a frame that is not complete.
struct Connection {
    transport: Transport,
    tail: Vec<u8>,
    /// How many of them the scanner has passed.
    scanned: usize,
    scanner: ReplyScanner,
}

impl Connection {
    /// Reads and takes what there is. Ready when the connection has ended.
    fn poll(
        &mut self,
        worker: &Rc<Worker>,
        announcer: &Announcer,
        cx: &mut Context<'_>,
    ) -> Poll<End> {
        for _ in 0..READS_PER_TURN {
            if announcer.is_closed() {
                return Poll::Ready(End::Retired);
            }
            if announcer.is_silent.get() {
                return Poll::Ready(End::Silent);
            }
            if let Err(end) = self.ping(worker, announcer, cx) {
                return Poll::Ready(end);
            }
            let mut scratch = worker.scratch.lane.borrow_mut();
            let read = match ready!(self.transport.poll_read(cx, &mut scratch)) {
                Ok(0) => return Poll::Ready(End::Closed),
                Ok(read) => read,
                Err(error) => return Poll::Ready(End::Io(error)),
            };
            worker.stats.upstream_reads.inc();
            announcer.last_heard.set(worker.clock.now());
            self.tail.extend_from_slice(&scratch[..read]);
            drop(scratch);
            if let Err(end) = self.take_frames(worker, announcer) {
                return Poll::Ready(end);
            }
        }
        poll_again(cx);
        Poll::Pending
    }

    /// Sends a PING that is due: a few bytes, which a connection that carries nothing else takes at once.
    fn ping(
        &self,
        worker: &Worker,
        announcer: &Announcer,
        cx: &mut Context<'_>,
    ) -> Result<(), End> {
        if !announcer.is_ping_due.get() || announcer.is_pinged.get() {
            return Ok(());
        }
        match self.transport.try_write(PING) {
            Ok(written) if written == PING.len() => {
                announcer.is_ping_due.set(false);
                announcer.is_pinged.set(true);
                announcer.last_heard.set(worker.clock.now());
                worker.stats.upstream_writes.inc();
                Ok(())
            }
            Ok(_) => Err(End::Silent),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                match self.transport.poll_write_ready(cx) {
                    Poll::Ready(ready) => {
                        ready?;
                        poll_again(cx);
                        Ok(())
                    }
                    Poll::Pending => Ok(()),
                }
            }
            Err(error) => Err(End::Io(error)),
        }
    }

    fn take_frames(&mut self, worker: &Rc<Worker>, announcer: &Announcer) -> Result<(), End> {
        let (mut start, mut at) = (0, self.scanned);
        while at < self.tail.len() {
            let progress = self
                .scanner
                .advance(&self.tail[at..])
                .map_err(End::Malformed)?;
            at += progress.consumed;
            if !progress.done {
                break;
            }
            announcer.take(worker, &self.tail[start..at])?;
            start = at;
        }
        self.tail.drain(..start);
        self.scanned = at - start;
        if self.tail.len() > LONGEST_PUSH {
            return Err(End::TooLong);
        }
        if self.tail.is_empty() {
            self.tail = Vec::new();
        }
        Ok(())
    }
}

/// Runs an announcer until it is closed.
async fn run(worker: Rc<Worker>, announcer: Rc<Announcer>) {
    std::future::poll_fn(|cx| {
        announcer.waker.get_or_init(|| cx.waker().clone());
        Poll::Ready(())
    })
    .await;
    let (shortest, longest) = worker.config.cluster.connections.backoff;
    let mut pause = shortest;
    while !announcer.is_closed() {
        wait_for_turn(&worker, announcer.node).await;
        match announcer.connect(&worker).await {
            Ok((transport, id)) => {
                pause = shortest;
                worker.record_connect(announcer.node, Protocol::Resp3);
                let end = serve(&worker, &announcer, transport, id).await;
                if matches!(end, End::Retired) {
                    break;
                }
                worker.stats.upstream_lost.inc();
                tracing::warn!(node = %announcer.addr, %end, "connection for invalidations lost");
            }
            Err(Refusal::Connect(error)) => worker.record_connect_failure(announcer.node, &error),
            Err(Refusal::Node(error)) => {
                tracing::warn!(node = %announcer.addr, error, "node refuses to announce changes of keys");
                announcer.refusal.replace(Some(error));
                worker.announcements.lost(&worker, &announcer);
            }
        }
        worker.refresh.request();
        sleep(jittered(pause)).await;
        pause = (pause * 2).min(longest);
    }
    end(&worker, &announcer);
}

/// Serves one connection until it ends.
async fn serve(
    worker: &Rc<Worker>,
    announcer: &Rc<Announcer>,
    transport: Transport,
    id: u64,
) -> End {
    announcer.refusal.take();
    announcer.is_silent.set(false);
    announcer.is_pinged.set(false);
    announcer.last_heard.set(worker.clock.now());
    announcer.id.set(Some(id));
    worker.stats.upstream_connects.inc();
    worker.stats.upstream_connections.inc();
    worker.announcements.began(worker, announcer);
    let mut connection = Connection {
        transport,
        tail: Vec::new(),
        scanned: 0,
        scanner: ReplyScanner::default(),
    };
    let end = std::future::poll_fn(|cx| connection.poll(worker, announcer, cx)).await;
    disconnected(worker, announcer);
    end
}

fn disconnected(worker: &Rc<Worker>, announcer: &Announcer) {
    if announcer.id.take().is_some() {
        worker.stats.upstream_connections.dec();
        worker.announcements.lost(worker, announcer);
    }
}

/// The task of an announcer is over, maybe by a panic.
fn end(worker: &Rc<Worker>, announcer: &Rc<Announcer>) {
    announcer.is_closed.set(true);
    disconnected(worker, announcer);
    worker.announcements.forget(announcer);
}
