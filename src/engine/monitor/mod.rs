//! `MONITOR`: every command that the workers take, as a line to the clients that asked for it. A worker writes a line
//! once, for all of them, into a bounded queue each; one whose queue is full, because its client does not read, misses
//! lines and is told how many. So is everybody where a worker takes more commands a second than are to be shown.

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
/// Lines that are handed to the client at once: few, so that its output limits are not reached by them.
const BATCH: usize = 8;
/// A client with more unsent bytes than this gets no more lines until it has read, or with more than a quarter of what
/// closes it.
const BEHIND: usize = OUTPUT_PAUSE / 2;
/// How often a client that is behind is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How late a client that gets no lines is told what it missed, and is seen to have left.
const QUIET: Duration = Duration::from_millis(500);
/// The span over which lines are counted against the rate.
const SECOND: u64 = 1000;

const TOO_MANY: &str = "ERR slotmux: as many clients monitor already as may; end one of them first";

/// The way of the lines to one client.
#[derive(Debug)]
pub struct MonitorQueue {
    lines: mpsc::Sender<Bytes>,
    /// Lines that it missed and was not told of.
    missed: AtomicU64,
    /// Free again when the last worker has forgotten the client.
    _seat: Seat,
}

/// One of the places that there are for monitoring clients.
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

/// Every worker queues a client for as long as this is there: to the end of its task, however that comes.
struct Registration {
    shared: Arc<Shared>,
    queue: Arc<MonitorQueue>,
}

impl Registration {
    /// Returns once every worker queues it.
    async fn new(shared: Arc<Shared>, queue: Arc<MonitorQueue>) -> Registration {
        // First of all, so that nothing stays behind if this is not awaited to its end.
        let registration = Registration { shared, queue };
        let letter = |reply| Mail::Monitor(registration.queue.clone(), reply);
        registration.shared.ask_all(letter).await;
        registration
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // Behind the letters that have registered it.
        for worker in 0..self.shared.config.server.workers {
            self.shared
                .send(worker, Mail::Unmonitor(self.queue.clone()));
        }
    }
}

/// The monitoring clients, of whatever worker, as one worker queues them.
#[derive(Default)]
pub struct Monitors {
    queues: RefCell<Vec<Arc<MonitorQueue>>>,
    /// When the current second began, and the lines since.
    shown: Cell<Option<(Tick, u32)>>,
    /// What the next client of this worker that begins to monitor is numbered by.
    next: Cell<u32>,
}

impl Monitors {
    /// Whether anybody monitors.
    pub fn is_active(&self) -> bool {
        !self.queues.borrow().is_empty()
    }

    /// Whether another line may be shown in this second.
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
    /// Feeds a client from now on.
    pub fn add_monitor(&self, queue: Arc<MonitorQueue>) {
        self.interception.monitors.queues.borrow_mut().push(queue);
        self.interception.update();
    }

    /// Feeds it no longer.
    pub fn remove_monitor(&self, queue: &Arc<MonitorQueue>) {
        let mut queues = self.interception.monitors.queues.borrow_mut();
        queues.retain(|other| !Arc::ptr_eq(other, queue));
        drop(queues);
        self.interception.update();
    }

    /// Shows a request of `client` to everybody who monitors.
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

/// Answers `MONITOR` when every worker queues this client.
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

/// Hands lines to the client for as long as it monitors.
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
        // Nothing for a while is as good as something: there may be lines to tell of that were missed.
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
