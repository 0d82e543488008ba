//! One thread: connects its clients, runs phases as ordered, counts.

use crate::args::{Limit, Plan};
use crate::client::Client;
use crate::pace::{Pace, Ticker};
use crate::phase::{Phase, Work};
use crate::tally::{Live, Tally};
use std::cell::{Cell, RefCell};
use std::future::pending;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Tasks that run before the thread polls for new events: fewer polls cost less.
const EVENT_INTERVAL: u32 = 256;

/// Interval of the search for silent connections.
const SWEEP: Duration = Duration::from_millis(100);

/// Bytes of one pipeline while keys are stored.
const LOAD_BATCH: usize = 64 * 1024;

/// Most requests in one pipeline while keys are stored.
const LOAD_DEPTH: usize = 64;

/// An order to a thread.
#[derive(Clone, Debug)]
pub enum Order {
    /// Store all keys with the first few clients.
    Load,
    /// Send requests until the limit, at this rate per second of this thread if there is one.
    Run(Limit, Option<f64>),
    /// Count the connections that the target has closed.
    Look,
}

/// A report of a thread.
pub enum Event {
    /// All clients have tried to connect.
    Connected {
        /// The connect errors.
        failures: Vec<String>,
    },
    /// A load or run has ended.
    Done(Box<Tally>),
    /// This many idle connections were closed.
    Gone(u64),
}

/// The ends of the channels between a thread and the main one.
pub struct Wires {
    /// Orders to the thread; it ends when they do.
    pub orders: mpsc::UnboundedReceiver<Order>,
    /// Events from all threads.
    pub events: mpsc::UnboundedSender<Event>,
    /// True once all phases should end.
    pub stop: watch::Receiver<bool>,
    /// Counts for the progress line.
    pub live: Arc<Live>,
}

/// Starts a thread for the clients with these numbers.
pub fn spawn(
    plan: Arc<Plan>,
    clients: Range<u32>,
    wires: Wires,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new()
        .name(format!("clients-{}", clients.start))
        .spawn(move || {
            let mut builder = Builder::new_current_thread();
            match builder
                .enable_all()
                .event_interval(EVENT_INTERVAL)
                .build_local(LocalOptions::default())
            {
                Ok(runtime) => runtime.block_on(work(plan, clients, wires)),
                Err(e) => eprintln!("slotmux-bench: cannot start a thread's event loop: {e}"),
            }
        })
}

async fn work(plan: Arc<Plan>, ids: Range<u32>, mut wires: Wires) {
    let (mut clients, failures) = connect(&plan, ids, &mut wires.stop).await;
    // A send fails only after the end of the main thread; then there are no more orders either.
    let _ = wires.events.send(Event::Connected { failures });
    while let Some(order) = wires.orders.recv().await {
        let event = match order {
            Order::Look => {
                Event::Gone(clients.iter().filter(|client| client.is_gone()).count() as u64)
            }
            Order::Load => Event::Done(Box::new(load(&plan, &mut clients, &mut wires).await)),
            Order::Run(limit, rate) => Event::Done(Box::new(
                run(&plan, limit, rate, &mut clients, &mut wires).await,
            )),
        };
        let _ = wires.events.send(event);
    }
}

async fn connect(
    plan: &Arc<Plan>,
    mut ids: Range<u32>,
    stop: &mut watch::Receiver<bool>,
) -> (Vec<Client>, Vec<String>) {
    let (mut clients, mut failures) = (Vec::with_capacity(ids.len()), Vec::new());
    let mut open = JoinSet::new();
    loop {
        while open.len() < plan.target.connecting && !*stop.borrow() {
            let Some(id) = ids.next() else { break };
            let plan = plan.clone();
            open.spawn_local(async move { (id, plan.target.connect().await) });
        }
        match open.join_next().await {
            Some(Ok((id, Ok(stream)))) => clients.push(Client::new(id, Some(stream), plan.seed)),
            Some(Ok((_, Err(why)))) => failures.push(why),
            Some(Err(panic)) => failures.push(panic.to_string()),
            None => return (clients, failures),
        }
    }
}

/// Stores all keys with a few clients and deep pipelines, so that the other clients stay unused until the run.
async fn load(plan: &Arc<Plan>, clients: &mut Vec<Client>, wires: &mut Wires) -> Tally {
    const LOADERS: usize = 8;
    let mut phase = phase(plan, Limit::Requests(plan.keys.count()), None, 0, wires);
    phase.depth = (LOAD_BATCH / plan.keys.largest_value().max(1)).clamp(1, LOAD_DEPTH);
    phase.load = Some(Cell::new(0));
    let mut rest = clients.split_off(LOADERS.min(clients.len()));
    let tally = follow(Rc::new(phase), clients, wires).await;
    clients.append(&mut rest);
    tally
}

async fn run(
    plan: &Arc<Plan>,
    limit: Limit,
    rate: Option<f64>,
    clients: &mut Vec<Client>,
    wires: &mut Wires,
) -> Tally {
    let phase = phase(plan, limit, rate, clients.len() as u64, wires);
    follow(Rc::new(phase), clients, wires).await
}

fn phase(plan: &Arc<Plan>, limit: Limit, rate: Option<f64>, clients: u64, wires: &Wires) -> Phase {
    let pace = rate.map(|rate| Pace {
        period: 1e9 / rate,
        clients,
        end: if let Limit::Duration(time) = limit {
            time.as_nanos() as u64
        } else {
            u64::MAX
        },
    });
    Phase {
        plan: plan.clone(),
        limit,
        depth: plan.depth as usize,
        load: None,
        pace,
        budget: Cell::new(if let Limit::Requests(n) = limit {
            n
        } else {
            u64::MAX
        }),
        stop: Cell::new(false),
        work: RefCell::new(Work::default()),
        live: wires.live.clone(),
        epoch: Instant::now(),
    }
}

/// Lets the clients run until each has finished.
async fn follow(phase: Rc<Phase>, clients: &mut Vec<Client>, wires: &mut Wires) -> Tally {
    let beats: Vec<_> = clients.iter().map(|client| client.beat.clone()).collect();
    let wake_all = || beats.iter().for_each(|beat| beat.wake());
    let mut running = JoinSet::new();
    for (place, client) in clients.drain(..).enumerate() {
        running.spawn_local(client.run(phase.clone(), place as u64));
    }
    let ticker = phase
        .pace
        .as_ref()
        .map(|pace| Ticker::start(phase.epoch, pace.period));
    let ticker = ticker.and_then(|started| {
        started
            .map_err(|e| eprintln!("slotmux-bench: no ticker: {e}"))
            .ok()
    });
    let mut due = 0;
    let mut sweep = tokio::time::interval(SWEEP);
    let deadline = async {
        match phase.limit {
            Limit::Duration(time) => tokio::time::sleep(time).await,
            Limit::Requests(_) | Limit::Each(_) => pending().await,
        }
    };
    tokio::pin!(deadline);
    loop {
        let tick = async {
            match &ticker {
                Some(ticker) => ticker.tick.notified().await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = tick => if let Some(pace) = &phase.pace {
                let by = pace.due_by(phase.now());
                let from = due.max(by.saturating_sub(beats.len() as u64));
                (from..by).for_each(|n| beats[(n % pace.clients) as usize].wake());
                due = by;
            },
            finished = running.join_next() => match finished {
                Some(Ok(client)) => clients.push(client),
                Some(Err(panic)) => {
                    let tally = &mut phase.work.borrow_mut().tally;
                    tally.lost += 1;
                    tally.sample(|| format!("a client's task failed: {panic}"));
                }
                None => break,
            },
            _ = sweep.tick() => {
                let patience = phase.plan.timeout.as_nanos() as u64;
                let now = phase.now();
                for beat in beats.iter().filter(|beat| now.saturating_sub(beat.waiting_since.get()) > patience) {
                    beat.expired.set(true);
                    beat.wake();
                }
            }
            () = &mut deadline, if !phase.stop.get() => {
                phase.stop.set(true);
                wake_all();
            }
            Ok(()) = wires.stop.changed(), if !phase.stop.get() => {
                phase.stop.set(true);
                wake_all();
            }
        }
    }
    let mut tally = std::mem::take(&mut phase.work.borrow_mut().tally);
    tally.seconds = phase.epoch.elapsed().as_secs_f64();
    tally
}
