//! What an audit found: for people, for machines, and as an exit status.

use std::time::Duration;

use serde_json::{Value, json};

use super::send::NodeError;
use super::table;
use super::tally::{BOUNDS, Tally};
use super::walk::Walked;
use slotmux_core::cluster::addr::Addr;
use slotmux_core::config::TtlMode;
use slotmux_core::policy::TtlPolicy;

/// Exit statuses, as [`HELP`](super::args::HELP) documents them.
const FAILED: u8 = 1;
const VIOLATED: u8 = 3;
const INTERRUPTED: u8 = 130;

/// What an audit found.
#[derive(Debug)]
pub struct Report {
    /// The namespaces in the order of the configuration, then the keys of none.
    pub rows: Vec<Row>,
    /// The primaries.
    pub nodes: Vec<NodeReport>,
    /// Keys that were looked at.
    pub keys: u64,
    /// Whether keys were repaired.
    pub is_repair: bool,
    /// Whether it was stopped early.
    pub is_interrupted: bool,
    /// Keys whose TTL no node would tell, because their slot moved on and on.
    pub skipped: u64,
    /// Slots without a primary: their keys were not looked at.
    pub slots_unserved: usize,
    /// Slots that another node serves now than when the audit began.
    pub slots_moved: usize,
    /// How long it took.
    pub took: Duration,
}

/// One namespace.
#[derive(Debug)]
pub struct Row {
    /// Its name; `None` are the keys of no namespace.
    pub namespace: Option<String>,
    /// How long its keys may live, if anything is said about it.
    pub policy: Option<TtlPolicy>,
    /// What was counted.
    pub tally: Tally,
}

/// One primary.
#[derive(Debug)]
pub struct NodeReport {
    /// Where it was reached.
    pub node: Addr,
    /// Keys that its walk looked at.
    pub keys: u64,
    /// Whether all of its keys were.
    pub is_complete: bool,
    /// What ended its walk early.
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
    /// Keys that break an enforced policy still.
    pub fn violations(&self) -> u64 {
        let policy = self.policy.as_ref();
        let is_enforced = policy.is_some_and(|policy| policy.mode == TtlMode::Enforce);
        if is_enforced { self.tally.left() } else { 0 }
    }
}

impl Report {
    /// Whether every key was looked at.
    pub fn is_complete(&self) -> bool {
        let is_whole = self.nodes.iter().all(|node| node.is_complete);
        is_whole && !self.is_interrupted && self.skipped == 0 && self.slots_unserved == 0
    }

    /// Keys that break an enforced policy still.
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

    /// What went wrong or may have, one a line.
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

    /// One object for machines.
    pub fn json(&self) -> Value {
        let is_named = |row: &&Row| row.namespace.is_some();
        json!({
            "complete": self.is_complete(),
            "interrupted": self.is_interrupted,
            "repair": self.is_repair,
            "keys": self.keys,
            "violations": self.violations(),
            "skipped": self.skipped,
            "slots_moved": self.slots_moved,
            "slots_unserved": self.slots_unserved,
            "seconds": self.took.as_secs_f64(),
            "namespaces": self.rows.iter().filter(is_named).map(row).collect::<Vec<_>>(),
            "unmatched": self.rows.iter().find(|row| row.namespace.is_none()).map(row),
            "nodes": self.nodes.iter().map(|node| json!({
                "node": node.node.to_string(),
                "keys": node.keys,
                "complete": node.is_complete,
                "error": node.error.as_ref().map(|error| error.said.as_str()),
            })).collect::<Vec<_>>(),
        })
    }
}

fn row(row: &Row) -> Value {
    let tally = &row.tally;
    let mut remaining = serde_json::Map::new();
    remaining.insert("none".to_owned(), tally.without_ttl.into());
    let names = BOUNDS.iter().map(|(_, name)| format!("under_{name}"));
    for (name, count) in names.chain(["more".to_owned()]).zip(tally.remaining) {
        remaining.insert(name, count.into());
    }
    let policy = row.policy.as_ref().map(|policy| {
        json!({
            "enforced": policy.mode == TtlMode::Enforce,
            "default_ms": policy.default,
            "max_ms": policy.max,
            "min_ms": policy.min,
        })
    });
    json!({
        "name": row.namespace,
        "keys": tally.keys,
        "without_ttl": tally.without_ttl,
        "over_max": tally.to_cut,
        "longest_ms": tally.longest,
        "remaining": remaining,
        "policy": policy,
        "to_set": tally.to_set,
        "to_cut": tally.to_cut,
        "set": tally.set,
        "cut": tally.cut,
        "needed_none_any_more": tally.moot,
        "violations": row.violations(),
    })
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

    #[test]
    fn machines_get_every_figure() {
        let json = report(false).json();
        assert_eq!(json["complete"], true);
        assert_eq!(json["violations"], 3);
        let cache = &json["namespaces"][0];
        assert_eq!(cache["name"], "cache");
        assert_eq!(cache["policy"]["default_ms"], 60_000);
        assert_eq!((&cache["to_set"], &cache["to_cut"]), (&json!(2), &json!(1)));
        assert_eq!(
            cache["remaining"],
            json!({"none": 2, "under_1m": 1, "under_1h": 1, "under_1d": 1, "under_7d": 0,
                "under_30d": 0, "more": 0})
        );
        assert_eq!(json["namespaces"].as_array().unwrap().len(), 3);
        assert_eq!(json["namespaces"][2]["policy"], Value::Null);
        assert_eq!(json["unmatched"]["keys"], 1);
        assert_eq!(json["nodes"][0]["node"], "10.0.0.1:7000");
    }
}
