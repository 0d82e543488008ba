//! `slotmux-bench`: load with checked replies. This file runs the phases: connect, load, warm up, run, hold, report.

mod args;
mod check;
mod client;
mod connect;
mod json;
mod mix;
mod pace;
mod phase;
mod report;
mod tally;
mod value;
mod worker;

use args::{Args, Limit, Plan};
use clap::Parser;
use report::{Progress, Report};
use std::future::pending;
use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;
use tally::{Live, Tally};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use worker::{Event, Order, Wires};

/// Exit status if a reply was wrong, failed or lost.
const FAULTS: u8 = 1;

/// Exit status if nothing could be measured: wrong arguments (as in clap), no connection.
const USAGE: u8 = 2;

/// Descriptors besides those of the clients.
const OTHER_FILES: u64 = 64;

fn main() -> ExitCode {
    let plan = match Args::parse().into_plan() {
        Ok(plan) => Arc::new(plan),
        Err(why) => return fail(&why),
    };
    let wanted = u64::from(plan.clients) + OTHER_FILES;
    match rlimit::increase_nofile_limit(wanted) {
        Ok(limit) if limit < wanted => {
            return fail(&format!(
                "{} clients need {wanted} descriptors, `ulimit -n` allows {limit}",
                plan.clients
            ));
        }
        Ok(_) => {}
        Err(e) => eprintln!("slotmux-bench: cannot raise the limit of descriptors: {e}"),
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime
        .map_err(|e| e.to_string())
        .and_then(|runtime| runtime.block_on(bench(plan)))
    {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAULTS),
        Err(why) => fail(&why),
    }
}

fn fail(why: &str) -> ExitCode {
    eprintln!("slotmux-bench: {why}");
    ExitCode::from(USAGE)
}

/// The threads, as seen by the main thread.
struct Threads {
    plan: Arc<Plan>,
    orders: Vec<mpsc::UnboundedSender<Order>>,
    events: mpsc::UnboundedReceiver<Event>,
    live: Vec<Arc<Live>>,
    shares: Vec<u32>,
    handles: Vec<std::thread::JoinHandle<()>>,
}

/// Runs all phases. True if there was no fault.
async fn bench(plan: Arc<Plan>) -> Result<bool, String> {
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(stop_on_signal(stop));
    let mut lines = plan.step.then(read_lines);
    let started = Instant::now();
    let mut threads =
        Threads::start(&plan, &stopped).map_err(|e| format!("cannot start threads: {e}"))?;

    let mut faults = Tally::default();
    let failures = threads.connected().await?;
    let connect_seconds = started.elapsed().as_secs_f64();
    let connected = plan.clients - failures.len() as u32;
    if let (0, Some(why)) = (connected, failures.first()) {
        return Err(why.clone());
    }
    failures.into_iter().for_each(|why| faults.sample(|| why));

    if plan.load {
        faults.merge(threads.run("load", &[(0, Order::Load)]).await?);
    }
    if let Some(time) = plan.warmup.filter(|_| !*stopped.borrow()) {
        faults.merge(threads.run_all("warm up", Limit::Duration(time)).await?);
    }
    if let Some(lines) = &mut lines {
        say("ready")?;
        lines.recv().await;
    }
    let mut tally = if *stopped.borrow() {
        Tally::default()
    } else {
        threads.run_all("run", plan.limit).await?
    };
    let replies_only = (tally.requests, tally.replies, tally.seconds);
    // The run includes the faults of earlier phases, but not their requests and latencies.
    faults.latency.reset();
    tally.merge(faults);
    (tally.requests, tally.replies, tally.seconds) = replies_only;

    let mut gone = None;
    if plan.idle {
        if let Some(lines) = &mut lines {
            say("idle")?;
            lines.recv().await;
        } else {
            eprintln!(
                "{connected} clients are idle; {}",
                plan.hold
                    .map_or("a signal ends it".into(), |t| format!("for {t:?}"))
            );
            hold(&plan, stopped).await;
        }
        gone = Some(threads.gone().await?);
    }
    let report = Report {
        plan: &plan,
        tally: &tally,
        connected,
        connect_seconds,
        gone,
    };
    say(if plan.json {
        report.json()?
    } else {
        report.table()
    }
    .trim_end())?;
    let clean = report.is_clean();
    if let Some(lines) = lines.as_mut().filter(|_| !plan.idle) {
        lines.recv().await;
    }
    threads.end();
    Ok(clean)
}

fn say(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(|e| format!("stdout: {e}"))
}

async fn hold(plan: &Plan, mut stopped: watch::Receiver<bool>) {
    let until = async {
        match plan.hold {
            Some(time) => tokio::time::sleep(time).await,
            None => pending().await,
        }
    };
    tokio::select! {
        () = until => {}
        _ = stopped.wait_for(|stop| *stop) => {}
    }
}

/// Ends all phases at the first SIGINT or SIGTERM, so that the counts are still reported.
async fn stop_on_signal(stop: watch::Sender<bool>) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    stop.send_replace(true);
    // The sender stays open: receivers would take its end for an error.
    pending().await
}

fn read_lines() -> mpsc::UnboundedReceiver<String> {
    let (lines, received) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                break;
            }
        }
    });
    received
}

impl Threads {
    fn start(plan: &Arc<Plan>, stop: &watch::Receiver<bool>) -> std::io::Result<Threads> {
        let (sender, events) = mpsc::unbounded_channel();
        let mut threads = Threads {
            plan: plan.clone(),
            orders: Vec::new(),
            events,
            live: Vec::new(),
            shares: Vec::new(),
            handles: Vec::new(),
        };
        let mut first = 0;
        for thread in 0..plan.threads {
            let share =
                plan.clients / plan.threads + u32::from(thread < plan.clients % plan.threads);
            let (order, orders) = mpsc::unbounded_channel();
            let live = Arc::<Live>::default();
            let wires = Wires {
                orders,
                events: sender.clone(),
                stop: stop.clone(),
                live: live.clone(),
            };
            threads
                .handles
                .push(worker::spawn(plan.clone(), first..first + share, wires)?);
            threads.orders.push(order);
            threads.live.push(live);
            threads.shares.push(share);
            first += share;
        }
        Ok(threads)
    }

    /// Waits for all clients; returns the connect errors.
    async fn connected(&mut self) -> Result<Vec<String>, String> {
        let mut all = Vec::new();
        for _ in 0..self.orders.len() {
            match self.events.recv().await {
                Some(Event::Connected { failures }) => all.extend(failures),
                _ => return Err("a thread ended while it connected".into()),
            }
        }
        Ok(all)
    }

    /// Runs a phase on all threads, each with its part of the limit and the rate.
    async fn run_all(&mut self, name: &'static str, limit: Limit) -> Result<Tally, String> {
        let (plan, all) = (self.plan.clone(), f64::from(self.plan.clients));
        let threads = u64::from(plan.threads);
        let part = |thread: u64| match limit {
            Limit::Requests(n) => Limit::Requests(n / threads + u64::from(thread < n % threads)),
            limit => limit,
        };
        let rate = |share: &u32| plan.rate.map(|rate| rate * f64::from(*share) / all);
        let shares = self.shares.iter().enumerate();
        let orders: Vec<_> = shares
            .map(|(thread, share)| (thread, Order::Run(part(thread as u64), rate(share))))
            .collect();
        self.run(name, &orders).await
    }

    async fn run(
        &mut self,
        name: &'static str,
        orders: &[(usize, Order)],
    ) -> Result<Tally, String> {
        let mut progress = Progress::start(name, self.plan.progress, &self.live);
        for (thread, order) in orders {
            // Fails only if the thread has ended; the wait below then reports that.
            let _ = self.orders[*thread].send(order.clone());
        }
        let (mut tally, mut left) = (Tally::default(), orders.len());
        let mut draw = tokio::time::interval_at(
            tokio::time::Instant::now() + progress.period(),
            progress.period(),
        );
        while left > 0 {
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(Event::Done(part)) => {
                        tally.merge(*part);
                        left -= 1;
                    }
                    _ => return Err(format!("a thread ended during the {name}")),
                },
                _ = draw.tick() => {
                    progress.draw();
                    if self.handles.iter().any(|handle| handle.is_finished()) {
                        return Err(format!("a thread failed during the {name}"));
                    }
                }
            }
        }
        progress.finish();
        Ok(tally)
    }

    /// Counts the idle connections that the target has closed.
    async fn gone(&mut self) -> Result<u64, String> {
        let mut gone = 0;
        for order in &self.orders {
            let _ = order.send(Order::Look);
        }
        for _ in 0..self.orders.len() {
            match self.events.recv().await {
                Some(Event::Gone(n)) => gone += n,
                _ => return Err("a thread ended while its clients were idle".into()),
            }
        }
        Ok(gone)
    }

    /// Closes all connections.
    fn end(self) {
        drop(self.orders);
        for handle in self.handles {
            // A panic was printed when it happened.
            let _ = handle.join();
        }
    }
}
