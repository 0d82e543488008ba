//! INFO: slotmux' own text, in which the sections about the data are those of the nodes, merged.

use super::fields::{FieldRule, merged_pairs, of, rule};
use super::text_like;
use crate::resp::text_of;

/// A section: its title and its fields. A field may come more than once, as those of modules do.
struct FieldSection<'a> {
    title: &'a str,
    fields: Vec<(&'a str, &'a str)>,
}

/// Fields of slotmux' own section that are sums, each with the nodes' field that is summed.
const OF_NODES: [(&str, &str); 2] = [
    (
        "slotmux_nodes_commands_processed",
        "total_commands_processed",
    ),
    ("slotmux_nodes_ops_per_sec", "instantaneous_ops_per_sec"),
];

/// Appends the reply. `own` is slotmux' own reply, whose sections are those that were asked for; a part that is an error
/// has no figures. If any is missing that is said even where slotmux' own section was not asked for.
pub fn merged(own: &[u8], parts: &[Vec<u8>], out: &mut Vec<u8>) {
    let texts: Vec<&str> = parts.iter().filter_map(|part| text(part)).collect();
    let nodes: Vec<Vec<FieldSection>> = texts.iter().map(|text| sections(text)).collect();
    let mut own_sections = sections(text(own).unwrap_or_default());
    let is_whole = nodes.len() == parts.len();
    if !is_whole
        && own_sections
            .iter()
            .all(|section| section.title != "Slotmux")
    {
        own_sections.push(FieldSection {
            title: "Slotmux",
            fields: Vec::new(),
        });
    }
    let mut made = String::new();
    for own in &own_sections {
        if !made.is_empty() {
            made.push_str("\r\n");
        }
        made.push_str(&format!("# {}\r\n", own.title));
        let theirs = nodes.iter().filter_map(|sections| {
            let mut sections = sections.iter();
            sections.find(|section| section.title == own.title)
        });
        let theirs: Vec<&FieldSection> = theirs.collect();
        for (field, value) in fields(own, &theirs) {
            line(&mut made, field, &value);
        }
        if own.title == "Slotmux" {
            line(&mut made, "slotmux_nodes_asked", &parts.len().to_string());
            line(
                &mut made,
                "slotmux_nodes_answered",
                &nodes.len().to_string(),
            );
            for (field, theirs) in OF_NODES {
                let all = nodes.iter().flatten().flat_map(|section| &section.fields);
                let values = all.filter(|(name, _)| *name == theirs);
                let values: Vec<&str> = values.map(|(_, value)| *value).collect();
                if !values.is_empty() {
                    line(&mut made, field, &of(FieldRule::Sum, &values));
                }
            }
        }
    }
    text_like(own, &made, out);
}

fn line(text: &mut String, field: &str, value: &str) {
    text.push_str(&format!("{field}:{value}\r\n"));
}

fn text(reply: &[u8]) -> Option<&str> {
    if reply.first() == Some(&b'-') {
        return None;
    }
    std::str::from_utf8(text_of(reply)?).ok()
}

fn sections(text: &str) -> Vec<FieldSection<'_>> {
    let mut sections: Vec<FieldSection> = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("# ") {
            sections.push(FieldSection {
                title,
                fields: Vec::new(),
            });
        } else if let (Some(section), Some(field)) = (sections.last_mut(), line.split_once(':')) {
            section.fields.push(field);
        }
    }
    sections
}

/// The fields of one section.
fn fields<'a>(own: &FieldSection<'a>, nodes: &[&FieldSection<'a>]) -> Vec<(&'a str, String)> {
    let ours = || {
        own.fields
            .iter()
            .map(|&(name, value)| (name, value.to_owned()))
            .collect()
    };
    let Some(first) = nodes.first() else {
        return ours();
    };
    match own.title {
        // The modules of one node: a cluster whose nodes have not the same is in disorder.
        "Modules" => first
            .fields
            .iter()
            .map(|&(name, value)| (name, value.to_owned()))
            .collect(),
        "Keyspace" | "Commandstats" | "Errorstats" | "Latencystats" => names(nodes)
            .into_iter()
            .map(|name| (name, merged_pairs(&values(nodes, name))))
            .collect(),
        // The nodes' own replicas are not listed: clients must not connect to them past slotmux.
        "Replication" => own
            .fields
            .iter()
            .map(|&(name, value)| {
                (
                    name,
                    merged_field(own, nodes, name).unwrap_or_else(|| value.to_owned()),
                )
            })
            .collect(),
        "Memory" | "Persistence" | "Stats" | "CPU" => {
            let theirs = names(nodes);
            let only_ours = own.fields.iter().map(|(name, _)| *name);
            let only_ours =
                only_ours.filter(|name| !theirs.contains(name) && rule(name) == FieldRule::Own);
            let all: Vec<&str> = theirs.iter().copied().chain(only_ours).collect();
            let value = |name| merged_field(own, nodes, name).map(|value| (name, value));
            all.into_iter().filter_map(value).collect()
        }
        _ => ours(),
    }
}

/// The names of all nodes' fields, in their order.
fn names<'a>(nodes: &[&FieldSection<'a>]) -> Vec<&'a str> {
    let mut names = Vec::new();
    for (name, _) in nodes.iter().flat_map(|section| &section.fields) {
        if !names.contains(name) {
            names.push(*name);
        }
    }
    names
}

/// The nodes' values of one field.
fn values<'a>(nodes: &[&FieldSection<'a>], name: &str) -> Vec<&'a str> {
    let fields = nodes.iter().flat_map(|section| &section.fields);
    let fields = fields.filter(|(other, _)| *other == name);
    fields.map(|(_, value)| *value).collect()
}

/// Merges one field.
fn merged_field(own: &FieldSection, nodes: &[&FieldSection], name: &str) -> Option<String> {
    let sum = |name: &str| {
        let values = values(nodes, name);
        let numbers = values.iter().filter_map(|value| value.parse::<f64>().ok());
        (!values.is_empty()).then(|| numbers.sum::<f64>())
    };
    match rule(name) {
        FieldRule::Own => {
            let mut fields = own.fields.iter();
            let found = fields.find(|(other, _)| *other == name);
            found.map(|(_, value)| (*value).to_owned())
        }
        FieldRule::Ratio { part, whole, less } => {
            let whole = sum(whole)? - less.map_or(Some(0.0), sum)?;
            let ratio = sum(part)? / whole.max(1.0);
            Some(match name.ends_with("_perc") {
                true => format!("{:.2}%", 100.0 * ratio),
                false => format!("{ratio:.2}"),
            })
        }
        FieldRule::Sum if name.ends_with("_human") => {
            let bytes = merged_field(own, nodes, name.strip_suffix("_human")?)?;
            Some(crate::answer::human(bytes.parse().unwrap_or(0)))
        }
        rule => {
            let values = values(nodes, name);
            (!values.is_empty()).then(|| of(rule, &values))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Vec<u8> {
        let text = text.replace('\n', "\r\n");
        format!("${}\r\n{text}\r\n", text.len()).into_bytes()
    }

    fn joined_text(own: &str, parts: &[&str]) -> String {
        let mut out = Vec::new();
        let parts: Vec<Vec<u8>> = parts
            .iter()
            .map(|part| match part.starts_with('-') {
                true => format!("{part}\r\n").into_bytes(),
                false => bulk(part),
            })
            .collect();
        merged(&bulk(own), &parts, &mut out);
        String::from_utf8(text_of(&out).unwrap().to_vec())
            .unwrap()
            .replace("\r\n", "\n")
    }

    #[test]
    fn sections_about_the_data_are_those_of_the_nodes() {
        for (own, parts, expected) in [
            (
                "# Server\nredis_version:7\n\n# Keyspace\n",
                &[
                    "# Server\nredis_version:8\n\n# Keyspace\ndb0:keys=2,expires=1,avg_ttl=100\n",
                    "# Keyspace\n",
                    "# Keyspace\ndb0:keys=5,expires=3,avg_ttl=20\n",
                ][..],
                "# Server\nredis_version:7\n\n# Keyspace\ndb0:keys=7,expires=4,avg_ttl=40\n",
            ),
            (
                "# Stats\ntotal_commands_processed:5\ntotal_error_replies:1\n",
                &["# Stats\ntotal_commands_processed:7\nkeyspace_hits:3\nlatest_fork_usec:9\n"; 2],
                "# Stats\ntotal_commands_processed:5\nkeyspace_hits:6\nlatest_fork_usec:9\ntotal_error_replies:1\n",
            ),
            (
                "# Memory\n",
                &[
                    "# Memory\nnumber_of_cached_scripts:2\nnumber_of_functions:3\nnumber_of_libraries:1\n",
                    "# Memory\nnumber_of_cached_scripts:5\nnumber_of_functions:3\nnumber_of_libraries:1\n",
                ],
                "# Memory\nnumber_of_cached_scripts:5\nnumber_of_functions:3\nnumber_of_libraries:1\n",
            ),
            (
                "# Memory\nused_memory:1\n",
                &[
                    "# Memory\nused_memory:1024\nused_memory_human:1.00K\nused_memory_peak:2048\n\
                     used_memory_peak_perc:1%\nmaxmemory:9\nmaxmemory_human:9B\nmaxmemory_policy:allkeys-lru\n",
                    "# Memory\nused_memory:512\nused_memory_human:0.50K\nused_memory_peak:1024\n\
                     used_memory_peak_perc:2%\nmaxmemory:0\nmaxmemory_human:0B\nmaxmemory_policy:allkeys-lru\n",
                ],
                "# Memory\nused_memory:1536\nused_memory_human:1.50K\nused_memory_peak:3072\n\
                 used_memory_peak_perc:50.00%\nmaxmemory:0\nmaxmemory_human:0B\nmaxmemory_policy:allkeys-lru\n",
            ),
            (
                "# Persistence\nloading:0\n",
                &[
                    "# Persistence\nloading:0\nrdb_last_save_time:20\nrdb_last_bgsave_status:ok\n",
                    "# Persistence\nloading:1\nrdb_last_save_time:10\nrdb_last_bgsave_status:err\n",
                ],
                "# Persistence\nloading:1\nrdb_last_save_time:10\nrdb_last_bgsave_status:err\n",
            ),
            (
                "# Replication\nrole:master\nconnected_slaves:0\nmaster_replid:x\n",
                &["# Replication\nrole:slave\nconnected_slaves:1\nslave0:ip=1\nmaster_replid:y\n";
                    2],
                "# Replication\nrole:master\nconnected_slaves:2\nmaster_replid:x\n",
            ),
            (
                "# Modules\n\n# Commandstats\n\n# Latencystats\n",
                &[
                    "# Modules\nmodule:name=a\nmodule:name=b\n\n# Commandstats\n\
                     cmdstat_get:calls=3,usec=9,usec_per_call=3.00,rejected_calls=0,failed_calls=1\n\n# Latencystats\n\
                     latency_percentiles_usec_get:p50=1.5,p99=9.25\n",
                    "# Commandstats\ncmdstat_get:calls=1,usec=1,usec_per_call=1.00,rejected_calls=2,failed_calls=0\n\
                     cmdstat_client|id:calls=1,usec=1,usec_per_call=1.00,rejected_calls=0,failed_calls=0\n\n\
                     # Latencystats\nlatency_percentiles_usec_get:p50=2.5,p99=3\n",
                ],
                "# Modules\nmodule:name=a\nmodule:name=b\n\n# Commandstats\n\
                 cmdstat_get:calls=4,usec=10,usec_per_call=2.50,rejected_calls=2,failed_calls=1\n\
                 cmdstat_client|id:calls=1,usec=1,usec_per_call=1.00,rejected_calls=0,failed_calls=0\n\n# Latencystats\n\
                 latency_percentiles_usec_get:p50=2.5,p99=9.25\n",
            ),
        ] {
            assert_eq!(joined_text(own, parts), expected, "{parts:?}");
        }
    }

    #[test]
    fn a_node_that_does_not_answer_is_told() {
        let node = "# CPU\nused_cpu_sys:1.500000\n\n# Stats\ntotal_commands_processed:7\ninstantaneous_ops_per_sec:2\n";
        for (own, parts, expected) in [
            (
                "# CPU\nused_cpu_sys:0.1\n",
                [node, "-ERR away"],
                "# CPU\nused_cpu_sys:1.500000\n\n# Slotmux\nslotmux_nodes_asked:2\nslotmux_nodes_answered:1\n\
                 slotmux_nodes_commands_processed:7\nslotmux_nodes_ops_per_sec:2\n",
            ),
            (
                "# CPU\nused_cpu_sys:0.1\n\n# Slotmux\nslotmux_shards:3\n",
                [node, node],
                "# CPU\nused_cpu_sys:3.000000\n\n# Slotmux\nslotmux_shards:3\nslotmux_nodes_asked:2\n\
                 slotmux_nodes_answered:2\nslotmux_nodes_commands_processed:14\nslotmux_nodes_ops_per_sec:4\n",
            ),
            (
                "# CPU\nused_cpu_sys:0.1\n",
                ["-ERR away", "-ERR away"],
                "# CPU\nused_cpu_sys:0.1\n\n# Slotmux\nslotmux_nodes_asked:2\nslotmux_nodes_answered:0\n",
            ),
        ] {
            assert_eq!(joined_text(own, &parts), expected);
        }
    }
}
