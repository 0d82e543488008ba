//! The output of a run for people: the progress line and the table.

use crate::args::Plan;
use crate::tally::{Live, Tally};
use indicatif::{ProgressBar, ProgressStyle};
use std::fmt::Write;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Interval of redrawing the line of a terminal, and of writing a line without a terminal.
const DRAW: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// The progress line of one phase.
pub struct Progress {
    bar: Option<ProgressBar>,
    name: &'static str,
    live: Vec<Arc<Live>>,
    /// Replies and faults before this phase.
    before: (u64, u64),
    started: Instant,
    shown: bool,
    last: (Instant, u64),
}

impl Progress {
    /// Starts a phase of this name.
    pub fn start(name: &'static str, shown: bool, live: &[Arc<Live>]) -> Progress {
        let terminal = shown && std::io::stderr().is_terminal();
        let style = ProgressStyle::with_template("{spinner} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let now = Instant::now();
        let mut progress = Progress {
            bar: terminal.then(|| ProgressBar::new_spinner().with_style(style)),
            name,
            live: live.to_vec(),
            before: (0, 0),
            started: now,
            shown,
            last: (now, 0),
        };
        progress.before = progress.count();
        progress
    }

    fn count(&self) -> (u64, u64) {
        self.live.iter().fold((0, 0), |(replies, faults), live| {
            (
                replies + live.replies.load(Ordering::Relaxed),
                faults + live.faults.load(Ordering::Relaxed),
            )
        })
    }

    /// Time until the next drawing.
    pub fn period(&self) -> Duration {
        if self.bar.is_some() { DRAW.0 } else { DRAW.1 }
    }

    /// Draws.
    pub fn draw(&mut self) {
        let (replies, faults) = self.count();
        let (replies, faults) = (replies - self.before.0, faults - self.before.1);
        let now = Instant::now();
        let rate = (replies - self.last.1) as f64 / (now - self.last.0).as_secs_f64().max(1e-9);
        self.last = (now, replies);
        let seconds = (now - self.started).as_secs_f64();
        let line = format!(
            "{} {seconds:5.1} s  {replies} replies  {rate:.0}/s  {faults} faults",
            self.name
        );
        match &self.bar {
            Some(bar) => {
                bar.set_message(line);
                bar.tick();
            }
            None if self.shown => eprintln!("{line}"),
            None => {}
        }
    }

    /// Removes the line.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The result of a run.
pub struct Report<'a> {
    /// The command line.
    pub plan: &'a Plan,
    /// The counts.
    pub tally: &'a Tally,
    /// Clients that could connect.
    pub connected: u32,
    /// Seconds until all were connected and greeted.
    pub connect_seconds: f64,
    /// Idle connections that the target closed, with `--idle`.
    pub gone: Option<u64>,
}

impl Report<'_> {
    /// Replies per second.
    pub fn per_second(&self) -> f64 {
        self.tally.replies as f64 / self.tally.seconds.max(1e-9)
    }

    /// Whether every request got its one right reply.
    pub fn is_clean(&self) -> bool {
        self.tally.faults() == 0
            && self.connected == self.plan.clients
            && self.gone.unwrap_or(0) == 0
    }

    /// A table for people.
    pub fn table(&self) -> String {
        let (plan, tally) = (self.plan, self.tally);
        let mut out = String::new();
        let mut row = |name: &str, value: String| {
            // Writing to a string does not fail.
            let _ = writeln!(out, "{name:<13}{value}");
        };
        let rate = plan
            .rate
            .map_or_else(String::new, |rate| format!(", {rate}/s fixed"));
        row("target", plan.target.name.clone());
        row(
            "load",
            format!(
                "{} clients, depth {}, {}, {} B values{rate}",
                plan.clients, plan.depth, plan.mix, plan.sizes
            ),
        );
        row(
            "connections",
            format!(
                "{} of {} in {:.3} s",
                self.connected, plan.clients, self.connect_seconds
            ),
        );
        row("requests", tally.requests.to_string());
        row("errors", tally.errors.to_string());
        row(
            "wrong",
            format!("{}{}", tally.wrong, note(tally.missing, "missing")),
        );
        row(
            "lost",
            format!(
                "{}{}",
                tally.lost,
                note(tally.reconnects, "connections made again")
            ),
        );
        if plan.rate.is_some() {
            row("unsent", tally.unsent.to_string());
        }
        if let Some(gone) = self.gone {
            row("closed", format!("{gone} while idle"));
        }
        row("seconds", format!("{:.3}", tally.seconds));
        row("req/s", format!("{:.0}", self.per_second()));
        let [p50, p90, p99, p999, max] =
            [50.0, 90.0, 99.0, 99.9, 100.0].map(|p| time(tally.percentile(p)));
        row(
            "latency",
            format!("p50 {p50}  p90 {p90}  p99 {p99}  p99.9 {p999}  max {max}"),
        );
        for sample in &tally.samples {
            row("fault", sample.clone());
        }
        out
    }
}

fn note(n: u64, what: &str) -> String {
    if n == 0 {
        String::new()
    } else {
        format!(" ({n} {what})")
    }
}

fn time(microseconds: f64) -> String {
    match microseconds {
        us if us < 1_000.0 => format!("{us:.1} µs"),
        us if us < 1_000_000.0 => format!("{:.2} ms", us / 1_000.0),
        us => format!("{:.2} s", us / 1_000_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Args;
    use crate::check::Outcome;
    use clap::Parser;

    #[test]
    fn times_have_fitting_units() {
        assert_eq!(
            [0.5, 999.0, 1_500.0, 2_500_000.0].map(time),
            ["0.5 µs", "999.0 µs", "1.50 ms", "2.50 s"]
        );
    }

    #[test]
    fn the_format_of_the_json_object_is_stable() {
        let args = ["slotmux-bench", "--target", "127.0.0.1:1", "--rate", "2.5"];
        let plan = Args::parse_from(args).into_plan().unwrap();
        let mut tally = Tally {
            requests: 9,
            replies: 8,
            reconnects: 1,
            unsent: 2,
            seconds: 1.5,
            ..Tally::default()
        };
        tally.reply(Outcome::Missing, || "client 1: got \"ü\"".into());
        tally.reply(Outcome::Error, || "an error".into());
        tally.latency(1_000_000, 3);
        let report = Report {
            plan: &plan,
            tally: &tally,
            connected: 49,
            connect_seconds: 0.25,
            gone: None,
        };
        assert_eq!(report.json().unwrap(), EXPECTED);
    }

    const EXPECTED: &str = concat!(
        r##"{"clients":50,"closed_while_idle":null,"connect_seconds":0.25,"connected":49,"##,
        r##""depth":1,"errors":1,"keys":100000,"##,
        r##""latency_us":{"max":1000.447,"mean":1000.192,"p50":1000.447,"p90":1000.447,"p99":1000.447,"p99_9":1000.447},"##,
        r##""lost":0,"missing":1,"mix":"get=80,set=20","ok":false,"rate":2.5,"##,
        r##""reconnects":1,"replies":10,"requests":9,"requests_per_second":6.666666666666667,"samples":["client 1: got \"ü\"","an error"],"seconds":1.5,"target":"127.0.0.1:1","threads":1,"unsent":2,"value_size":"64","wrong":1}"##,
    );
}
