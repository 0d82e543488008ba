//! `slotmux-ledger`: records which writes are acknowledged under faults. This file runs clients, steps, lookups, report.

mod args;
mod book;
mod client;
mod desk;
mod fate;
mod json;
mod lookup;
mod report;
mod shards;
mod steps;
mod tally;
mod wire;

use args::Args;
use clap::Parser;
use client::{Gate, Go, Pace, Way};
use desk::{Desk, Shelf};
use report::Report;
use shards::{Group, Nodes};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, LocalOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use wire::Connection;

/// Exit status after a finding.
const FINDINGS: u8 = 1;

/// Exit status if nothing could be tested: wrong arguments (as in clap), no connection.
const USAGE: u8 = 2;

/// Descriptors besides those of the clients.
const OTHER_FILES: u64 = 128;

/// Interval of the progress line.
const PROGRESS: Duration = Duration::from_secs(1);

/// Shortest interval of a control's requests: it measures and adds no load.
const CONTROL_INTERVAL: Duration = Duration::from_millis(5);

fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(error) = rlimit::increase_nofile_limit(u64::from(args.clients) + OTHER_FILES) {
        eprintln!("slotmux-ledger: cannot raise the limit of descriptors: {error}");
    }
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    let outcome = runtime
        .map_err(|e| e.to_string())
        .and_then(|runtime| runtime.block_on(keep_the_books(&args)));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FINDINGS),
        Err(why) => {
            eprintln!("slotmux-ledger: {why}");
            ExitCode::from(USAGE)
        }
    }
}

/// Runs the clients, the lookups and the report. Returns whether there was no finding.
async fn keep_the_books(args: &Args) -> Result<bool, String> {
    let login = args.login();
    let target = Connection::open(&login).await;
    drop(target.map_err(|e| format!("{}: {e}", login.address))?);
    let nodes =
        (!args.nodes.is_empty()).then(|| Rc::new(Nodes::new(args.node_login(), &args.nodes)));
    let groups = match &nodes {
        Some(nodes) => nodes.groups().await?,
        None => vec![Group::all()],
    };
    let run = format!("{:08x}:", fastrand::u32(..));
    let prefixes = (
        format!("{}{run}", args.key_prefix),
        args.ttl_prefix
            .as_ref()
            .map(|prefix| format!("{prefix}{run}")),
    );
    let shelf = Rc::new(Shelf::new(groups.len(), prefixes, args.reads));
    let gate = Rc::new(Gate::new());
    let mut clients = start(args, &shelf, &groups, nodes.as_ref(), &gate);

    let started = Instant::now();
    tokio::select! {
        () = time_is_up(args, &shelf, &gate) => {}
        signal = end_signal() => signal?,
        () = show_progress(args, &shelf, started) => {}
    }
    gate.set(Go::Stop);
    while let Some(ended) = clients.join_next().await {
        ended.map_err(|e| format!("a client failed: {e}"))?;
    }
    let seconds = started.elapsed().as_secs_f64();
    let [mut tally, mut control] = [0, 1].map(|side: usize| shelf.tallies[side].borrow().clone());
    tally.finish();
    control.finish();
    if !args.no_progress {
        eprintln!("looking up {} keys", shelf.books.borrow().len());
    }
    let books = shelf.books.take();
    let audit = lookup::audit(&books, &login, nodes.as_deref(), args.settle, &mut tally).await;
    let report = Report {
        args,
        groups: &groups,
        tallies: [&tally, &control],
        audit,
        seconds,
    };
    steps::say(
        if args.json {
            report.json()?
        } else {
            report.table()
        }
        .trim_end(),
    );
    Ok(report.is_clean())
}

fn start(
    args: &Args,
    shelf: &Rc<Shelf>,
    groups: &[Group],
    nodes: Option<&Rc<Nodes>>,
    gate: &Rc<Gate>,
) -> JoinSet<()> {
    let each = f64::from(args.clients) * f64::from(args.depth) / f64::from(args.rate.max(1));
    let pace = Rc::new(Pace {
        depth: args.depth,
        interval: if args.rate > 0 {
            Duration::from_secs_f64(each)
        } else {
            Duration::ZERO
        },
    });
    let mut clients = JoinSet::new();
    for number in 0..args.clients as usize {
        let group = number % groups.len();
        let desk = Desk::new(shelf, &number.to_string(), (group, &groups[group]), false);
        clients.spawn_local(client::run(
            desk,
            Way::Through(args.login()),
            pace.clone(),
            gate.clone(),
        ));
    }
    let pace = Rc::new(Pace {
        depth: 1,
        interval: CONTROL_INTERVAL,
    });
    for nodes in nodes.iter().filter(|_| args.control) {
        for (number, group) in groups.iter().enumerate() {
            let desk = Desk::new(shelf, &format!("control{number}"), (number, group), true);
            let way = Way::Direct(Rc::clone(nodes));
            clients.spawn_local(client::run(desk, way, pace.clone(), gate.clone()));
        }
    }
    clients
}

/// Waits for the end of the run: the duration or the end of stdin, whichever comes first.
async fn time_is_up(args: &Args, shelf: &Shelf, gate: &Gate) {
    let clock = async {
        match args.limit() {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    if !args.steps {
        return clock.await;
    }
    steps::say("ready");
    tokio::select! {
        () = clock => {}
        () = steps::obey(steps::read_lines(), shelf, gate, args.control) => {}
    }
}

async fn end_signal() -> Result<(), String> {
    let [interrupt, terminate] = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    let (mut interrupt, mut terminate) = (
        interrupt.map_err(|e| format!("signals: {e}"))?,
        terminate.map_err(|e| format!("signals: {e}"))?,
    );
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Shows a line every second. Does not return.
async fn show_progress(args: &Args, shelf: &Shelf, started: Instant) {
    let mut last = 0;
    loop {
        tokio::time::sleep(PROGRESS).await;
        if !args.no_progress {
            let line = report::progress(
                started.elapsed().as_secs_f64(),
                &mut last,
                &shelf.tallies[0].borrow(),
            );
            eprintln!("{line}");
        }
    }
}
