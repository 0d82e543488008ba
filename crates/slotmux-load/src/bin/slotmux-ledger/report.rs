//! The output of a run for people: the progress line and the table.

use crate::args::Args;
use crate::book::Findings;
use crate::lookup::Audit;
use crate::shards::Group;
use crate::tally::{Shard, Tally};
use std::fmt::Write;
use std::time::Duration;

/// The result of a run.
pub struct Report<'a> {
    /// The command line.
    pub args: &'a Args,
    /// The shards.
    pub groups: &'a [Group],
    /// The counts of the target's clients, and of the controls.
    pub tallies: [&'a Tally; 2],
    /// The result of the final lookups.
    pub audit: Audit,
    /// How long it ran.
    pub seconds: f64,
}

/// The progress line.
pub fn progress(seconds: f64, last: &mut u64, tally: &Tally) -> String {
    let acked = tally.sum(|shard| shard.acked);
    let rate = acked - std::mem::replace(last, acked);
    format!(
        "{seconds:6.1} s  {acked} acknowledged  {rate}/s  {} refused  {} of unknown fate  {} wrong",
        tally.sum(|shard| shard.refused),
        tally.sum(|shard| shard.unknown),
        tally.wrong + tally.behind,
    )
}

fn counts(findings: &Findings) -> [(&'static str, u64); 5] {
    [
        ("lost", findings.lost),
        ("doubled", findings.doubled),
        ("ran_though_refused", findings.ran_refused),
        ("reordered", findings.reordered),
        ("foreign", findings.foreign),
    ]
}

impl Report<'_> {
    /// All counts that should be 0, by name.
    fn findings(&self) -> Vec<(&'static str, u64)> {
        let (tally, audit) = (self.tallies[0], &self.audit);
        let mut all = vec![("wrong", tally.wrong), ("behind", tally.behind)];
        all.extend(counts(&audit.findings));
        all.push(("different", audit.different));
        all.push(("without_ttl", audit.without_ttl));
        all.push(("unreadable", audit.unreadable));
        all
    }

    /// Whether there is no finding, and at least one acknowledged write.
    pub fn is_clean(&self) -> bool {
        self.findings().iter().all(|finding| finding.1 == 0)
            && self.tallies[0].sum(|shard| shard.acked) > 0
    }

    /// How much longer a shard was unavailable through the target than directly, in one phase; negative if shorter.
    pub fn over_direct(&self, phase: usize, shard: usize) -> Option<i64> {
        let [ours, direct] = self.tallies.map(|tally| &tally.phases[phase].shards[shard]);
        let away = ours.longest_gap.max(ours.longest_wait);
        let over = milliseconds(away) as i64 - milliseconds(direct.longest_gap) as i64;
        self.args.control.then_some(over)
    }

    /// The maximum of all phases and shards.
    pub fn most_over_direct(&self) -> Option<i64> {
        let phases = 0..self.tallies[0].phases.len();
        let all = phases.flat_map(|phase| (0..self.groups.len()).map(move |shard| (phase, shard)));
        all.filter_map(|(phase, shard)| self.over_direct(phase, shard))
            .max()
    }

    /// A table for people.
    pub fn table(&self) -> String {
        let [tally, control] = self.tallies;
        let mut out = String::new();
        let mut row = |name: &str, value: String| {
            // Writing to a string does not fail.
            let _ = writeln!(out, "{name:<19}{value}");
        };
        row("target", self.args.target.clone());
        row(
            "load",
            format!(
                "{} clients, depth {}, {:.1} s",
                self.args.clients, self.args.depth, self.seconds
            ),
        );
        row("requests", tally.requests.to_string());
        row("acknowledged", tally.sum(|shard| shard.acked).to_string());
        row("refused", tally.sum(|shard| shard.refused).to_string());
        row(
            "of unknown fate",
            tally.sum(|shard| shard.unknown).to_string(),
        );
        row(
            "failed reads",
            tally.sum(|shard| shard.read_errors).to_string(),
        );
        row("lost connections", tally.lost_connections.to_string());
        row("keys looked up", self.audit.keys.to_string());
        for (name, count) in self.findings() {
            row(&name.replace('_', " "), count.to_string());
        }
        if let Some(most) = self.most_over_direct() {
            row("lost by control", self.audit.control.lost.to_string());
            row("most over direct", format!("{most} ms"));
        }
        for (number, phase) in tally.phases.iter().enumerate() {
            for (place, shard) in phase.shards.iter().enumerate() {
                let other = control.phases[number].shards[place].longest_gap;
                let direct = self
                    .over_direct(number, place)
                    .map(|over| format!(", direct {} ms ({over:+} ms)", milliseconds(other)));
                row(
                    &phase.name,
                    format!(
                        "slots {}: {}{}",
                        self.groups[place].name(),
                        words(shard),
                        direct.unwrap_or_default()
                    ),
                );
            }
        }
        for (text, count) in tally.errors() {
            row("error", format!("{count} x {text}"));
        }
        for sample in &tally.samples {
            row("finding", sample.clone());
        }
        row(
            "verdict",
            if self.is_clean() {
                "clean"
            } else {
                "NOT CLEAN"
            }
            .to_owned(),
        );
        out
    }
}

fn words(shard: &Shard) -> String {
    format!(
        "{} acknowledged, {} refused, {} unknown, recovery {} ms, longest gap {} ms, wait {} ms",
        shard.acked,
        shard.refused,
        shard.unknown,
        milliseconds(shard.recovery),
        milliseconds(shard.longest_gap),
        milliseconds(shard.longest_wait)
    )
}

/// Whole milliseconds.
pub fn milliseconds(time: Duration) -> u64 {
    time.as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fate::Fate;
    use clap::Parser;
    use std::time::Instant;

    #[test]
    fn the_format_of_the_json_object_is_stable() {
        let args = Args::parse_from([
            "slotmux-ledger",
            "--target",
            "a:1",
            "--nodes",
            "b:2",
            "--control",
        ]);
        let [mut tally, mut control] = [0, 1].map(|_| Tally::new(2));
        for tally in [&mut tally, &mut control] {
            tally.enrol(1);
            tally.failed(0, Fate::Refused, "OOM \"no\"");
            tally.start_phase("next");
        }
        tally.requests = 7;
        tally.behind = 1;
        let later = Instant::now() + Duration::from_secs(60);
        tally.acked(0, later);
        let mut shard = |phase: usize, shard: usize, gap: u64| {
            tally.phases[phase].shards[shard].longest_gap = Duration::from_millis(gap);
            control.phases[phase].shards[shard].longest_gap = Duration::from_millis(gap / 2);
        };
        for (phase, place, gap) in [(0, 0, 2), (0, 1, 30), (1, 0, 7), (1, 1, 10)] {
            shard(phase, place, gap);
        }
        for tally in [&mut tally, &mut control] {
            let phases = tally.phases.iter_mut();
            phases
                .flat_map(|phase| &mut phase.shards)
                .for_each(|shard| shard.recovery = Duration::from_millis(3));
        }
        tally.sample(|| "behind: ü".into());
        let group = |first, last| Group {
            ranges: vec![(first, last)],
        };
        let report = Report {
            args: &args,
            groups: &[group(0, 8191), group(8192, 16383)],
            tallies: [&tally, &control],
            audit: Audit {
                keys: 3,
                findings: Findings {
                    lost: 1,
                    doubled: 2,
                    ran_refused: 3,
                    reordered: 4,
                    foreign: 5,
                },
                lost_writes: vec![("k".into(), "0f".into())],
                control: Findings {
                    lost: 9,
                    ..Findings::default()
                },
                unreadable: 6,
                different: 7,
                without_ttl: 8,
            },
            seconds: 1.5,
        };
        assert_eq!(report.json().unwrap(), EXPECTED);
    }

    const EXPECTED: &str = concat!(
        r##"{"acked":1,"behind":1,"clients":16,"connections_lost":0,"##,
        r##""control":{"acked":0,"behind":0,"##,
        r##""lost":9,"##,
        r##""phases":[{"errors":{"OOM \"no\"":1},"name":"start","shards":[{"acked":0,"longest_gap_ms":1,"longest_wait_ms":0,"over_direct_ms":1,"read_errors":0,"reads":0,"recovery_ms":3,"refused":0,"slots":"0-8191","unknown":0},"##,
        r##"{"acked":0,"longest_gap_ms":15,"longest_wait_ms":0,"over_direct_ms":15,"read_errors":0,"reads":0,"recovery_ms":3,"refused":1,"slots":"8192-16383","unknown":0}]},"##,
        r##"{"errors":{},"name":"next","shards":[{"acked":0,"longest_gap_ms":3,"longest_wait_ms":0,"over_direct_ms":4,"read_errors":0,"reads":0,"recovery_ms":3,"refused":0,"slots":"0-8191","unknown":0},"##,
        r##"{"acked":0,"longest_gap_ms":5,"longest_wait_ms":0,"over_direct_ms":5,"read_errors":0,"reads":0,"recovery_ms":3,"refused":0,"slots":"8192-16383","unknown":0}]}]},"##,
        r##""depth":8,"different":7,"doubled":2,"errors":{"OOM \"no\"":1},"foreign":5,"keys":3,"##,
        r##""lost":1,"##,
        r##""lost_writes":[["k","0f"]],"most_over_direct_ms":15,"ok":false,"##,
        r##""phases":[{"errors":{"OOM \"no\"":1},"name":"start","shards":[{"acked":0,"longest_gap_ms":2,"longest_wait_ms":0,"over_direct_ms":1,"read_errors":0,"reads":0,"recovery_ms":3,"refused":0,"slots":"0-8191","unknown":0},"##,
        r##"{"acked":0,"longest_gap_ms":30,"longest_wait_ms":0,"over_direct_ms":15,"read_errors":0,"reads":0,"recovery_ms":3,"refused":1,"slots":"8192-16383","unknown":0}]},"##,
        r##"{"errors":{},"name":"next","shards":[{"acked":0,"longest_gap_ms":7,"longest_wait_ms":0,"over_direct_ms":4,"read_errors":0,"reads":0,"recovery_ms":3,"refused":0,"slots":"0-8191","unknown":0},"##,
        r##"{"acked":1,"longest_gap_ms":10,"longest_wait_ms":0,"over_direct_ms":5,"read_errors":0,"reads":0,"recovery_ms":3,"refused":0,"slots":"8192-16383","unknown":0}]}],"##,
        r##""ran_though_refused":3,"read_errors":0,"refused":1,"reordered":4,"requests":7,"samples":["behind: ü"],"seconds":1.5,"target":"a:1","unknown":0,"unreadable":6,"without_ttl":8,"wrong":0}"##,
    );
}
