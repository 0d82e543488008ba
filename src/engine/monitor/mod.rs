//! `MONITOR`: every command that the workers run, as a line to the monitoring clients. A worker makes a line once and puts
//! it into the bounded queue of each of them. A client that does not read misses lines, and gets their number instead. So
//! does every monitoring client while a worker runs more commands a second than may be shown.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::engine::client::{Client, ClientPhase, OUTPUT_PAUSE};
use crate::engine::sabotage::sabotage;
use crate::engine::shared::{Mail, Shared};
use crate::engine::worker::Worker;
use crate::engine::worker::clock::Tick;
use slotmux_core::resp::request::Request;
use slotmux_core::resp::write;

mod line;

/// Clients that may monitor at the same time, of all workers.
const MOST: usize = 16;
/// Lines that wait for one client.
const LINES: usize = 1024;
/// Lines that a client gets at once: too few to reach its output limits.
const BATCH: usize = 8;
/// A client with more unsent bytes than this, or than a quarter of its hard output limit, gets no lines until it has read.
const BEHIND: usize = OUTPUT_PAUSE / 2;
/// How often a client that is behind is checked.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long it takes at most to report missed lines to a client that gets none, and to see that it has left.
const QUIET: Duration = Duration::from_millis(500);
/// The span over which lines are counted against the rate.
const SECOND: u64 = 1000;

const TOO_MANY: &str = "ERR slotmux: as many clients monitor already as may; end one of them first";

/// The queue of lines for one client.
#[derive(Debug)]
pub struct MonitorQueue {
    lines: mpsc::Sender<Bytes>,
    /// Missed lines that were not reported yet.
    missed: AtomicU64,
    /// Free again when the last worker has forgotten the client.
    _seat: Seat,
}

/// One of the places for monitoring clients.
#[derive(Debug)]
struct Seat(Arc<Shared>);

impl Seat {
    /// Takes one, if one is free.
    fn take(shared: &Arc<Shared>) -> Option<Seat> {
        let more = |taken| (taken < MOST).then_some(taken + 1);
        let taken = shared
            .monitoring
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok().then(|| Seat(shared.clone()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.monitoring.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Workers fill the queue of a client as long as this exists, even if its task panics.
struct Registration {
    shared: Arc<Shared>,
    queue: Arc<MonitorQueue>,
}

impl Registration {
    /// Returns once every worker fills the queue.
    async fn new(shared: Arc<Shared>, queue: Arc<MonitorQueue>) -> Registration {
        // Made first, so that it is undone if this is not awaited to its end.
        let registration = Registration { shared, queue };
        let letter = |reply| Mail::Monitor(registration.queue.clone(), reply);
        registration.shared.ask_all(letter).await;
        registration
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // These letters come behind those that have registered it.
        for worker in 0..self.shared.config.server.workers {
            self.shared
                .send(worker, Mail::Unmonitor(self.queue.clone()));
        }
    }
}

/// The queues of the monitoring clients of all workers, as one worker fills them.
#[derive(Default)]
pub struct Monitors {
    queues: RefCell<Vec<Arc<MonitorQueue>>>,
    /// When the current second began, and the lines since.
    shown: Cell<Option<(Tick, u32)>>,
    /// Number of the last client of this worker that began to monitor.
    next: Cell<u32>,
}

impl Monitors {
    /// Whether any client monitors.
    pub fn is_active(&self) -> bool {
        !self.queues.borrow().is_empty()
    }

    /// Counts another line, if one may be shown in this second. Returns whether it may.
    fn claim_line(&self, now: Tick, rate: u32) -> bool {
        let (began, lines) = match self.shown.get() {
            Some((began, lines)) if !began.is_over(SECOND, now) => (began, lines),
            _ => (now, 0),
        };
        let has_room = lines < rate;
        self.shown.set(Some((began, lines + u32::from(has_room))));
        has_room
    }
}

impl Worker {
    /// Adds the queue of a monitoring client.
    pub fn add_monitor(&self, queue: Arc<MonitorQueue>) {
        self.interception.monitors.queues.borrow_mut().push(queue);
        self.interception.update();
    }

    /// Removes the queue of a monitoring client.
    pub fn remove_monitor(&self, queue: &Arc<MonitorQueue>) {
        let mut queues = self.interception.monitors.queues.borrow_mut();
        queues.retain(|other| !Arc::ptr_eq(other, queue));
        drop(queues);
        self.interception.update();
    }

    /// Shows a request of `client` to all monitoring clients.
    pub fn show_to_monitors(&self, client: &Client, request: &Request) {
        let has_room = self
            .interception
            .monitors
            .claim_line(self.clock.last(), self.config.commands.monitor_rate);
        let line = has_room.then(|| {
            let addresses = client.with_transport(|transport| transport.addresses());
            let addr = addresses.flatten().map(|(addr, _)| addr);
            Bytes::from(line::line(SystemTime::now(), addr.as_ref(), request))
        });
        for queue in &*self.interception.monitors.queues.borrow() {
            let sent = line
                .as_ref()
                .is_some_and(|line| queue.lines.try_send(line.clone()).is_ok());
            if !sent {
                queue.missed.fetch_add(1, Ordering::Relaxed);
                self.stats.monitor_lines_dropped.inc();
            }
        }
    }
}

/// Replies to `MONITOR` once every worker fills the queue of this client.
pub fn begin(worker: &Rc<Worker>, client: &Rc<Client>, mute: bool) {
    let (worker, client, seq) = (worker.clone(), client.clone(), client.take_seq());
    let Some(seat) = Seat::take(&worker.shared) else {
        let mut out = Vec::new();
        write::error(&mut out, TOO_MANY);
        worker.stats.errors.inc();
        return client.reply(&worker, seq, if mute { &[] } else { &out });
    };
    let number = worker
        .interception
        .monitors
        .next
        .get()
        .wrapping_add(1)
        .max(1);
    worker.interception.monitors.next.set(number);
    client.set_monitor(number);
    let (host, asker) = (worker.clone(), client.clone());
    let answering = async move {
        let (sender, lines) = mpsc::channel(LINES);
        let queue = Arc::new(MonitorQueue {
            lines: sender,
            missed: AtomicU64::new(0),
            _seat: seat,
        });
        let registration = Registration::new(worker.shared.clone(), queue).await;
        client.reply(&worker, seq, if mute { &[] } else { b"+OK\r\n" });
        deliver(&worker, &client, number, &registration.queue, lines).await;
    };
    host.spawn_for(&asker, "MONITOR", answering);
}

/// Delivers lines to the client as long as it monitors.
async fn deliver(
    worker: &Worker,
    client: &Rc<Client>,
    number: u32,
    queue: &MonitorQueue,
    mut lines: mpsc::Receiver<Bytes>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    let behind = BEHIND.min(worker.limits(client).output_hard / 4);
    let goes_on = || client.phase() == ClientPhase::Open && client.monitor() == Some(number);
    while goes_on() {
        if client.buffered() > behind {
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        }
        // A timeout is not an error: there may be missed lines to report.
        let _ = tokio::time::timeout(QUIET, lines.recv_many(&mut batch, BATCH)).await;
        if !goes_on() {
            break;
        }
        let mut text = Vec::new();
        batch
            .drain(..)
            .for_each(|line| text.extend_from_slice(&line));
        let missed = queue.missed.swap(0, Ordering::Relaxed);
        if missed > 0 {
            text.extend(line::missed(SystemTime::now(), missed));
        }
        if !text.is_empty() && !client.is_silenced() {
            sabotage("monitor.deliver");
            client.push_lines(worker, &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::worker::clock::Clock;

    #[test]
    fn a_second_has_so_many_lines() {
        let monitors = Monitors::default();
        let start = Clock::start().now();
        let shown = |at: u64, tries: usize| {
            let now = start.plus(at);
            (0..tries).filter(|_| monitors.claim_line(now, 3)).count()
        };
        assert_eq!(shown(0, 2), 2);
        assert_eq!(shown(999, 5), 1);
        assert_eq!(shown(1000, 5), 3);
        assert_eq!(shown(1500, 5), 0);
        assert_eq!(shown(90_000, 5), 3);
    }
}
