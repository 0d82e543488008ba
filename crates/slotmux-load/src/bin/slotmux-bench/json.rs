//! The result of a run as scripts read it: one JSON object, its members in the order of their names. Times are in the
//! units that their names end with.

use crate::report::Report;
use serde::Serialize;

#[derive(Serialize)]
struct Run<'a> {
    clients: u32,
    closed_while_idle: Option<u64>,
    connect_seconds: f64,
    connected: u32,
    depth: u32,
    errors: u64,
    keys: u64,
    latency_us: Latency,
    lost: u64,
    missing: u64,
    mix: String,
    ok: bool,
    rate: Option<f64>,
    reconnects: u64,
    replies: u64,
    requests: u64,
    requests_per_second: f64,
    samples: &'a [String],
    seconds: f64,
    target: &'a str,
    threads: u32,
    unsent: u64,
    value_size: String,
    wrong: u64,
}

#[derive(Serialize)]
struct Latency {
    max: f64,
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p99_9: f64,
}

impl Report<'_> {
    /// One object for scripts.
    pub fn json(&self) -> Result<String, String> {
        let (plan, tally) = (self.plan, self.tally);
        let run = Run {
            clients: plan.clients,
            closed_while_idle: self.gone,
            connect_seconds: self.connect_seconds,
            connected: self.connected,
            depth: plan.depth,
            errors: tally.errors,
            keys: plan.keys.count(),
            latency_us: Latency {
                max: tally.percentile(100.0),
                mean: tally.latency.mean() / 1_000.0,
                p50: tally.percentile(50.0),
                p90: tally.percentile(90.0),
                p99: tally.percentile(99.0),
                p99_9: tally.percentile(99.9),
            },
            lost: tally.lost,
            missing: tally.missing,
            mix: plan.mix.to_string(),
            ok: self.is_clean(),
            rate: plan.rate,
            reconnects: tally.reconnects,
            replies: tally.replies,
            requests: tally.requests,
            requests_per_second: self.per_second(),
            samples: &tally.samples,
            seconds: tally.seconds,
            target: &plan.target.name,
            threads: plan.threads,
            unsent: tally.unsent,
            value_size: plan.sizes.to_string(),
            wrong: tally.wrong,
        };
        serde_json::to_string(&run).map_err(|e| format!("report: {e}"))
    }
}
