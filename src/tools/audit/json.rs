//! The report as one JSON object. Members come in alphabetical order: scripts may compare the text.

use serde::Serialize;

use super::report::{NodeReport, Report, Row};
use super::tally::Tally;
use slotmux_core::config::TtlMode;
use slotmux_core::policy::TtlPolicy;

#[derive(Serialize)]
pub(super) struct ReportJson<'a> {
    complete: bool,
    interrupted: bool,
    keys: u64,
    namespaces: Vec<RowJson<'a>>,
    nodes: Vec<NodeJson<'a>>,
    repair: bool,
    seconds: f64,
    skipped: u64,
    slots_moved: usize,
    slots_unserved: usize,
    unmatched: Option<RowJson<'a>>,
    violations: u64,
}

impl<'a> From<&'a Report> for ReportJson<'a> {
    fn from(report: &'a Report) -> ReportJson<'a> {
        let (named, unmatched): (Vec<&Row>, Vec<&Row>) =
            report.rows.iter().partition(|row| row.namespace.is_some());
        ReportJson {
            complete: report.is_complete(),
            interrupted: report.is_interrupted,
            keys: report.keys,
            namespaces: named.into_iter().map(RowJson::from).collect(),
            nodes: report.nodes.iter().map(NodeJson::from).collect(),
            repair: report.is_repair,
            seconds: report.took.as_secs_f64(),
            skipped: report.skipped,
            slots_moved: report.slots_moved,
            slots_unserved: report.slots_unserved,
            unmatched: unmatched.into_iter().map(RowJson::from).next(),
            violations: report.violations(),
        }
    }
}

#[derive(Serialize)]
struct RowJson<'a> {
    cut: u64,
    keys: u64,
    longest_ms: Option<u64>,
    name: Option<&'a str>,
    needed_none_any_more: u64,
    over_max: u64,
    policy: Option<PolicyJson>,
    remaining: RemainingJson,
    set: u64,
    to_cut: u64,
    to_set: u64,
    violations: u64,
    without_ttl: u64,
}

impl<'a> From<&'a Row> for RowJson<'a> {
    fn from(row: &'a Row) -> RowJson<'a> {
        let tally = &row.tally;
        RowJson {
            cut: tally.cut,
            keys: tally.keys,
            longest_ms: tally.longest,
            name: row.namespace.as_deref(),
            needed_none_any_more: tally.moot,
            over_max: tally.to_cut,
            policy: row.policy.as_ref().map(PolicyJson::from),
            remaining: RemainingJson::from(tally),
            set: tally.set,
            to_cut: tally.to_cut,
            to_set: tally.to_set,
            violations: row.violations(),
            without_ttl: tally.without_ttl,
        }
    }
}

#[derive(Serialize)]
struct PolicyJson {
    default_ms: Option<u64>,
    enforced: bool,
    max_ms: Option<u64>,
    min_ms: Option<u64>,
}

impl From<&TtlPolicy> for PolicyJson {
    fn from(policy: &TtlPolicy) -> PolicyJson {
        PolicyJson {
            default_ms: policy.default,
            enforced: policy.mode == TtlMode::Enforce,
            max_ms: policy.max,
            min_ms: policy.min,
        }
    }
}

/// Keys by their remaining TTL, with the bounds of [`BOUNDS`](super::tally::BOUNDS).
#[derive(Serialize)]
struct RemainingJson {
    more: u64,
    none: u64,
    under_1d: u64,
    under_1h: u64,
    under_1m: u64,
    under_30d: u64,
    under_7d: u64,
}

impl From<&Tally> for RemainingJson {
    fn from(tally: &Tally) -> RemainingJson {
        let [under_1m, under_1h, under_1d, under_7d, under_30d, more] = tally.remaining;
        RemainingJson {
            more,
            none: tally.without_ttl,
            under_1d,
            under_1h,
            under_1m,
            under_30d,
            under_7d,
        }
    }
}

#[derive(Serialize)]
struct NodeJson<'a> {
    complete: bool,
    error: Option<&'a str>,
    keys: u64,
    node: String,
}

impl<'a> From<&'a NodeReport> for NodeJson<'a> {
    fn from(report: &'a NodeReport) -> NodeJson<'a> {
        NodeJson {
            complete: report.is_complete,
            error: report.error.as_ref().map(|error| error.reason.as_str()),
            keys: report.keys,
            node: report.node.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};
    use slotmux_core::cluster::addr::Addr;

    use super::super::report::tests::report;
    use super::super::send::NodeError;
    use super::super::tally::BOUNDS;

    #[test]
    fn machines_get_every_figure() {
        let json: Value = serde_json::from_str(&report(false).json().unwrap()).unwrap();
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

    /// Scripts may compare the text itself, so that even the order of the members stays.
    #[test]
    fn the_json_text_stays_as_it_is() {
        let cache = r#"{"cut":0,"keys":5,"longest_ms":7200000,"name":"cache","needed_none_any_more":0,"over_max":1,"policy":{"default_ms":60000,"enforced":true,"max_ms":3600000,"min_ms":null},"remaining":{"more":0,"none":2,"under_1d":1,"under_1h":1,"under_1m":1,"under_30d":0,"under_7d":0},"set":0,"to_cut":1,"to_set":2,"violations":3,"without_ttl":2}"#;
        let watched = r#"{"cut":0,"keys":1,"longest_ms":null,"name":"watched","needed_none_any_more":0,"over_max":0,"policy":{"default_ms":60000,"enforced":false,"max_ms":null,"min_ms":null},"remaining":{"more":0,"none":1,"under_1d":0,"under_1h":0,"under_1m":0,"under_30d":0,"under_7d":0},"set":0,"to_cut":0,"to_set":1,"violations":0,"without_ttl":1}"#;
        let free = r#"{"cut":0,"keys":0,"longest_ms":null,"name":"free","needed_none_any_more":0,"over_max":0,"policy":null,"remaining":{"more":0,"none":0,"under_1d":0,"under_1h":0,"under_1m":0,"under_30d":0,"under_7d":0},"set":0,"to_cut":0,"to_set":0,"violations":0,"without_ttl":0}"#;
        let unmatched = r#"{"cut":0,"keys":1,"longest_ms":86400000,"name":null,"needed_none_any_more":0,"over_max":0,"policy":null,"remaining":{"more":0,"none":0,"under_1d":0,"under_1h":0,"under_1m":0,"under_30d":0,"under_7d":1},"set":0,"to_cut":0,"to_set":0,"violations":0,"without_ttl":0}"#;
        let nodes = r#"[{"complete":true,"error":null,"keys":7,"node":"10.0.0.1:7000"}]"#;
        assert_eq!(
            report(false).json().unwrap(),
            format!(
                r#"{{"complete":true,"interrupted":false,"keys":7,"namespaces":[{cache},{watched},{free}],"nodes":{nodes},"repair":false,"seconds":1.5,"skipped":0,"slots_moved":0,"slots_unserved":0,"unmatched":{unmatched},"violations":3}}"#
            )
        );
        let mut partial = report(true);
        partial.rows.truncate(1);
        partial.is_interrupted = true;
        partial.took = Duration::from_secs(2);
        partial.nodes[0].is_complete = false;
        partial.nodes[0].error = Some(NodeError {
            node: Addr::new("10.0.0.1", 7000),
            reason: "it does not \"answer\"".to_owned(),
        });
        let repaired = r#"{"cut":1,"keys":5,"longest_ms":7200000,"name":"cache","needed_none_any_more":1,"over_max":1,"policy":{"default_ms":60000,"enforced":true,"max_ms":3600000,"min_ms":null},"remaining":{"more":0,"none":2,"under_1d":1,"under_1h":1,"under_1m":1,"under_30d":0,"under_7d":0},"set":1,"to_cut":1,"to_set":2,"violations":0,"without_ttl":2}"#;
        let nodes = r#"[{"complete":false,"error":"it does not \"answer\"","keys":7,"node":"10.0.0.1:7000"}]"#;
        assert_eq!(
            partial.json().unwrap(),
            format!(
                r#"{{"complete":false,"interrupted":true,"keys":7,"namespaces":[{repaired}],"nodes":{nodes},"repair":true,"seconds":2.0,"skipped":0,"slots_moved":0,"slots_unserved":0,"unmatched":null,"violations":0}}"#
            )
        );
    }

    #[test]
    fn every_bound_has_its_member() {
        let json: Value = serde_json::from_str(&report(false).json().unwrap()).unwrap();
        let remaining = json["unmatched"]["remaining"].as_object().unwrap();
        let names = BOUNDS.iter().map(|(_, name)| format!("under_{name}"));
        let mut names: Vec<String> = names.chain(["more".into(), "none".into()]).collect();
        names.sort_unstable();
        assert!(remaining.keys().eq(&names), "{remaining:?}");
    }
}
