//! The result of a run as scripts read it: one JSON object, its members in the order of their names.

use crate::report::{Report, milliseconds};
use crate::tally::Tally;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
struct Run<'a> {
    acked: u64,
    behind: u64,
    clients: u32,
    connections_lost: u64,
    control: Control<'a>,
    depth: u32,
    different: u64,
    doubled: u64,
    errors: BTreeMap<&'a str, u64>,
    foreign: u64,
    keys: u64,
    lost: u64,
    lost_writes: &'a [(String, String)],
    most_over_direct_ms: Option<i64>,
    ok: bool,
    phases: Vec<Phase<'a>>,
    ran_though_refused: u64,
    read_errors: u64,
    refused: u64,
    reordered: u64,
    requests: u64,
    samples: &'a [String],
    seconds: f64,
    target: &'a str,
    unknown: u64,
    unreadable: u64,
    without_ttl: u64,
    wrong: u64,
}

/// The clients that go to the nodes directly.
#[derive(Serialize)]
struct Control<'a> {
    acked: u64,
    behind: u64,
    lost: u64,
    phases: Vec<Phase<'a>>,
}

#[derive(Serialize)]
struct Phase<'a> {
    errors: &'a BTreeMap<String, u64>,
    name: &'a str,
    shards: Vec<Shard>,
}

#[derive(Serialize)]
struct Shard {
    acked: u64,
    longest_gap_ms: u64,
    longest_wait_ms: u64,
    over_direct_ms: Option<i64>,
    read_errors: u64,
    reads: u64,
    recovery_ms: u64,
    refused: u64,
    slots: String,
    unknown: u64,
}

impl Report<'_> {
    /// One object for scripts.
    pub fn json(&self) -> Result<String, String> {
        let ([tally, control], audit) = (self.tallies, &self.audit);
        let run = Run {
            acked: tally.sum(|shard| shard.acked),
            behind: tally.behind,
            clients: self.args.clients,
            connections_lost: tally.lost_connections,
            control: Control {
                acked: control.sum(|shard| shard.acked),
                behind: control.behind,
                lost: audit.control.lost,
                phases: self.phases(control),
            },
            depth: self.args.depth,
            different: audit.different,
            doubled: audit.findings.doubled,
            errors: tally.errors(),
            foreign: audit.findings.foreign,
            keys: audit.keys,
            lost: audit.findings.lost,
            lost_writes: &audit.lost_writes,
            most_over_direct_ms: self.most_over_direct(),
            ok: self.is_clean(),
            phases: self.phases(tally),
            ran_though_refused: audit.findings.ran_refused,
            read_errors: tally.sum(|shard| shard.read_errors),
            refused: tally.sum(|shard| shard.refused),
            reordered: audit.findings.reordered,
            requests: tally.requests,
            samples: &tally.samples,
            seconds: self.seconds,
            target: &self.args.target,
            unknown: tally.sum(|shard| shard.unknown),
            unreadable: audit.unreadable,
            without_ttl: audit.without_ttl,
            wrong: tally.wrong,
        };
        serde_json::to_string(&run).map_err(|e| format!("report: {e}"))
    }

    fn phases<'a>(&self, tally: &'a Tally) -> Vec<Phase<'a>> {
        let phases = tally.phases.iter().enumerate();
        phases
            .map(|(number, phase)| {
                let shards = phase.shards.iter().zip(self.groups).enumerate();
                let shards = shards.map(|(place, (shard, group))| Shard {
                    acked: shard.acked,
                    longest_gap_ms: milliseconds(shard.longest_gap),
                    longest_wait_ms: milliseconds(shard.longest_wait),
                    over_direct_ms: self.over_direct(number, place),
                    read_errors: shard.read_errors,
                    reads: shard.reads,
                    recovery_ms: milliseconds(shard.recovery),
                    refused: shard.refused,
                    slots: group.name(),
                    unknown: shard.unknown,
                });
                Phase {
                    errors: &phase.errors,
                    name: &phase.name,
                    shards: shards.collect(),
                }
            })
            .collect()
    }
}
