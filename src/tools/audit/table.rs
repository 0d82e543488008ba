//! The report as a table: one row per namespace, and a summary below.

use std::fmt::Write;
use std::time::Duration;

use super::report::{Report, Row};
use super::tally::BOUNDS;
use slotmux_core::config::TtlMode;

/// The rows as aligned columns: names and repairs to the left, numbers to the right.
pub(super) fn table(report: &Report) -> String {
    let mut lines = vec![heading()];
    lines.extend(report.rows.iter().map(|row| cells(row, report.is_repair)));
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let widths = lines.iter().map(|line| line[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for line in &lines {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            // Writing to a string does not fail.
            let _ = match column {
                0 => write!(out, "{cell:<width$}"),
                _ if column + 1 == columns => write!(out, "  {cell}"),
                _ => write!(out, "  {cell:>width$}"),
            };
        }
        out.push('\n');
    }
    let _ = write!(out, "\n{}", footer(report));
    out
}

fn heading() -> Vec<String> {
    let mut cells: Vec<String> = ["namespace", "keys", "no TTL", "over max", "longest"]
        .map(str::to_owned)
        .into();
    cells.extend(BOUNDS.iter().map(|(_, name)| format!("<{name}")));
    cells.extend(["more", "repair"].map(str::to_owned));
    cells
}

fn cells(row: &Row, is_repair: bool) -> Vec<String> {
    let tally = &row.tally;
    let has_max = row
        .policy
        .as_ref()
        .is_some_and(|policy| policy.max.is_some());
    let mut cells = vec![
        row.namespace
            .clone()
            .unwrap_or_else(|| "(no namespace)".to_owned()),
        tally.keys.to_string(),
        tally.without_ttl.to_string(),
        if has_max {
            tally.to_cut.to_string()
        } else {
            "-".to_owned()
        },
        tally.longest.map_or_else(|| "-".to_owned(), coarse),
    ];
    cells.extend(tally.remaining.iter().map(u64::to_string));
    cells.push(repair(row, is_repair));
    cells
}

/// The repairs in a namespace, done or proposed.
fn repair(row: &Row, is_repair: bool) -> String {
    let tally = &row.tally;
    let counts = |set: u64, cut: u64| match (set, cut) {
        (0, 0) => "nothing".to_owned(),
        (set, 0) => format!("set {set}"),
        (0, cut) => format!("cut {cut}"),
        (set, cut) => format!("set {set}, cut {cut}"),
    };
    match row.policy.as_ref().map(|policy| policy.mode) {
        None | Some(TtlMode::Off) => "no policy".to_owned(),
        Some(TtlMode::Observe) => {
            let wanted = counts(tally.to_set, tally.to_cut);
            format!("not enforced, only observed: would {wanted}")
                .replace("would nothing", "nothing to do")
        }
        Some(TtlMode::Enforce) if tally.to_set + tally.to_cut == 0 => "nothing to do".to_owned(),
        Some(TtlMode::Enforce) if !is_repair => {
            format!("would {}", counts(tally.to_set, tally.to_cut))
        }
        Some(TtlMode::Enforce) => {
            let mut text = counts(tally.set, tally.cut);
            if tally.moot > 0 {
                let _ = write!(text, ", {} needed none any more", tally.moot);
            }
            if tally.left() > 0 {
                let _ = write!(text, ", {} left", tally.left());
            }
            text
        }
    }
}

fn footer(report: &Report) -> String {
    let seconds = report.took.as_secs_f64();
    let nodes = match report.nodes.len() {
        1 => "1 node".to_owned(),
        n => format!("{n} nodes"),
    };
    let mut out = format!("{nodes}, {} keys in {seconds:.1} s", report.keys);
    if !report.is_complete() {
        out.push_str("\nPARTIAL: not every key was looked at.");
    }
    let left = report.violations();
    if left > 0 {
        let verb = if left == 1 {
            "key breaks its"
        } else {
            "keys break their"
        };
        let _ = write!(out, "\n{left} {verb} policy.");
        if !report.is_repair {
            out.push_str(" This was a dry run: --repair sets missing TTLs and cuts long ones.");
        }
    }
    out.push('\n');
    out
}

/// A duration by its two largest units.
fn coarse(milliseconds: u64) -> String {
    let seconds = Duration::from_millis(milliseconds).as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) if seconds == 0 => format!("{milliseconds}ms"),
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::audit::report::tests::report;

    #[test]
    fn durations_are_short() {
        let ms = |seconds: u64| seconds * 1000;
        for (milliseconds, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (ms(59), "59s"),
            (ms(61), "1m 1s"),
            (ms(3_600), "1h 0m"),
            (ms(90_061), "1d 1h"),
            (u64::MAX, "213503982334d 14h"),
        ] {
            assert_eq!(coarse(milliseconds), text);
        }
    }

    #[test]
    fn a_dry_run_as_people_see_it() {
        assert_eq!(
            table(&report(false)),
            "\
namespace       keys  no TTL  over max  longest  <1m  <1h  <1d  <7d  <30d  more  repair
cache              5       2         1    2h 0m    1    1    1    0     0     0  would set 2, cut 1
watched            1       1         -        -    0    0    0    0     0     0  not enforced, only observed: would set 1
free               0       0         -        -    0    0    0    0     0     0  no policy
(no namespace)     1       0         -    1d 0h    0    0    0    1     0     0  no policy

1 node, 7 keys in 1.5 s
3 keys break their policy. This was a dry run: --repair sets missing TTLs and cuts long ones.
"
        );
    }

    #[test]
    fn a_repair_says_what_it_did() {
        let mut report = report(true);
        let table = table(&report);
        assert!(
            table.contains("  set 1, cut 1, 1 needed none any more\n"),
            "{table}"
        );
        assert!(!table.contains("policy."), "{table}");
        report.rows[0].tally.cut = 0;
        report.is_interrupted = true;
        let table = super::table(&report);
        assert!(
            table.contains("  set 1, 1 needed none any more, 1 left\n"),
            "{table}"
        );
        assert!(
            table.ends_with("PARTIAL: not every key was looked at.\n1 key breaks its policy.\n"),
            "{table}"
        );
    }
}
