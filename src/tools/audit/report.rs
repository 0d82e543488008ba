//! The result of an audit, with its problems and its exit status.

use std::time::Duration;

use super::json::ReportJson;
use super::send::NodeError;
use super::table;
use super::tally::Tally;
use super::walk::Walked;
use slotmux_core::cluster::addr::Addr;
use slotmux_core::config::TtlMode;
use slotmux_core::policy::TtlPolicy;

/// Exit statuses, as [`HELP`](super::args::HELP) documents them.
const FAILED: u8 = 1;
const VIOLATED: u8 = 3;
const INTERRUPTED: u8 = 130;

/// The result of an audit.
#[derive(Debug)]
pub struct Report {
    /// The namespaces in the order of the configuration, then the keys of no namespace.
    pub rows: Vec<Row>,
    /// The primaries.
    pub nodes: Vec<NodeReport>,
    /// Checked keys.
    pub keys: u64,
    /// Whether keys were repaired.
    pub is_repair: bool,
    /// Whether it was stopped early.
    pub is_interrupted: bool,
    /// Keys whose TTL no node returned because their slot kept moving.
    pub skipped: u64,
    /// Slots without a primary, whose keys were not checked.
    pub slots_unserved: usize,
    /// Slots that moved to another node during the audit.
    pub slots_moved: usize,
    /// How long it took.
    pub took: Duration,
}

/// One namespace.
#[derive(Debug)]
pub struct Row {
    /// Its name; `None` for the keys of no namespace.
    pub namespace: Option<String>,
    /// Its TTL policy, if it has one.
    pub policy: Option<TtlPolicy>,
    /// The counts.
    pub tally: Tally,
}

/// One primary.
#[derive(Debug)]
pub struct NodeReport {
    /// Where it was reached.
    pub node: Addr,
    /// Keys that were checked on it.
    pub keys: u64,
    /// Whether all of its keys were checked.
    pub is_complete: bool,
    /// The error that ended its walk early.
    pub error: Option<NodeError>,
}

impl From<&Walked> for NodeReport {
    fn from(walked: &Walked) -> NodeReport {
        NodeReport {
            node: walked.node.clone(),
            keys: walked.tallies.keys(),
            is_complete: walked.end == Ok(true),
            error: walked.end.clone().err(),
        }
    }
}

impl Row {
    /// Keys that still break an enforced policy.
    pub fn violations(&self) -> u64 {
        let policy = self.policy.as_ref();
        let is_enforced = policy.is_some_and(|policy| policy.mode == TtlMode::Enforce);
        if is_enforced { self.tally.left() } else { 0 }
    }
}

impl Report {
    /// Whether every key was checked.
    pub fn is_complete(&self) -> bool {
        let is_whole = self.nodes.iter().all(|node| node.is_complete);
        is_whole && !self.is_interrupted && self.skipped == 0 && self.slots_unserved == 0
    }

    /// Keys that still break an enforced policy.
    pub fn violations(&self) -> u64 {
        self.rows.iter().map(Row::violations).sum()
    }

    /// The exit status.
    pub fn status(&self) -> u8 {
        if self.is_interrupted {
            INTERRUPTED
        } else if !self.is_complete() {
            FAILED
        } else if self.violations() > 0 {
            VIOLATED
        } else {
            0
        }
    }

    /// The table for people.
    pub fn table(&self) -> String {
        table::table(self)
    }

    /// Problems and warnings, one a line.
    pub fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self
            .nodes
            .iter()
            .filter_map(|node| node.error.as_ref().map(NodeError::to_string))
            .collect();
        if self.slots_unserved > 0 {
            problems.push(format!(
                "{} slots have no primary: their keys were not looked at",
                self.slots_unserved
            ));
        }
        if self.skipped > 0 {
            problems.push(format!(
                "{} keys were skipped: their slots moved on while they were looked at",
                self.skipped
            ));
        }
        if self.slots_moved > 0 {
            problems.push(format!(
                "warning: {} slots moved to another node meanwhile: their keys may be missing, or counted twice",
                self.slots_moved
            ));
        }
        if self.is_interrupted {
            problems.push("stopped early by a signal".to_owned());
        }
        problems
    }

    /// One JSON object for machines.
    ///
    /// # Errors
    /// If the report cannot be written as JSON.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(&ReportJson::from(self))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::tools::audit::repair::Repair;
    use slotmux_core::config::Ttl;

    const HOUR: i64 = 3_600_000;

    fn policy(mode: TtlMode, max: Option<Duration>) -> Option<TtlPolicy> {
        TtlPolicy::new(&Ttl {
            mode,
            default: Some(Duration::from_secs(60)),
            max,
            ..Ttl::default()
        })
    }

    /// Seven keys on one node; of an enforced namespace three of five break the policy.
    pub(in crate::tools::audit) fn report(is_repair: bool) -> Report {
        let mut cache = Tally::default();
        for (pttl, wanted) in [
            (-1, Some(Repair::Set(1))),
            (-1, Some(Repair::Set(1))),
            (2 * HOUR, Some(Repair::Cut(1))),
            (HOUR / 2, None),
            (1, None),
        ] {
            cache.add(pttl, wanted);
        }
        if is_repair {
            cache.add_repair(Repair::Set(1), true);
            cache.add_repair(Repair::Set(1), false);
            cache.add_repair(Repair::Cut(1), true);
        }
        let mut watched = Tally::default();
        watched.add(-1, Some(Repair::Set(1)));
        let mut unmatched = Tally::default();
        unmatched.add(24 * HOUR, None);
        let row = |name: Option<&str>, policy, tally| Row {
            namespace: name.map(str::to_owned),
            policy,
            tally,
        };
        Report {
            rows: vec![
                row(
                    Some("cache"),
                    policy(TtlMode::Enforce, Some(Duration::from_secs(3600))),
                    cache,
                ),
                row(Some("watched"), policy(TtlMode::Observe, None), watched),
                row(Some("free"), None, Tally::default()),
                row(None, None, unmatched),
            ],
            nodes: vec![NodeReport {
                node: Addr::new("10.0.0.1", 7000),
                keys: 7,
                is_complete: true,
                error: None,
            }],
            keys: 7,
            is_repair,
            is_interrupted: false,
            skipped: 0,
            slots_unserved: 0,
            slots_moved: 0,
            took: Duration::from_millis(1_500),
        }
    }

    #[test]
    fn statuses() {
        assert_eq!(report(false).status(), 3);
        assert_eq!(report(true).status(), 0);
        let mut only_observed = report(false);
        only_observed.rows.remove(0);
        assert_eq!(only_observed.status(), 0);
        for spoil in [
            |report: &mut Report| report.skipped = 1,
            |report: &mut Report| report.slots_unserved = 1,
            |report: &mut Report| report.nodes[0].is_complete = false,
        ] {
            let mut report = report(false);
            spoil(&mut report);
            assert!(!report.is_complete());
            assert_eq!(report.status(), 1);
        }
        let mut stopped = report(true);
        stopped.is_interrupted = true;
        assert_eq!(stopped.status(), 130);
        let mut moved = report(true);
        moved.slots_moved = 1;
        assert_eq!(moved.status(), 0);
        assert_eq!(moved.problems().len(), 1);
    }
}
