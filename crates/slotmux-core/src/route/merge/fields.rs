//! Merges one field of INFO over all nodes.

/// How the values of one field are merged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldRule {
    /// slotmux' own value: clients are connected to slotmux.
    Own,
    /// The sum; the first value if any is not a number.
    Sum,
    /// The largest.
    Most,
    /// The smallest.
    Least,
    /// The sum, or 0 if any is 0, which stands for no limit.
    Limit,
    /// `ok`, unless a node says something else.
    Worst,
    /// Computed from the sums of other fields: `part / (whole - less)`.
    Ratio {
        /// The field above the line.
        part: &'static str,
        /// The field below the line.
        whole: &'static str,
        /// The field to subtract from that.
        less: Option<&'static str>,
    },
}

const fn ratio(part: &'static str, whole: &'static str) -> FieldRule {
    let less = None;
    FieldRule::Ratio { part, whole, less }
}

/// The rule of a field. Fields that are not listed, such as those of later versions, are summed.
pub fn rule(field: &str) -> FieldRule {
    match field {
        "total_connections_received"
        | "total_commands_processed"
        | "instantaneous_ops_per_sec"
        | "total_net_input_bytes"
        | "total_net_output_bytes"
        | "rejected_connections"
        | "total_error_replies"
        | "total_reads_processed"
        | "total_writes_processed"
        | "pubsub_channels"
        | "pubsub_patterns"
        | "pubsubshard_channels"
        | "pubsub_clients"
        | "role"
        | "master_failover_state"
        | "master_replid"
        | "master_replid2"
        | "second_repl_offset"
        | "repl_backlog_first_byte_offset" => FieldRule::Own,
        "loading"
        | "async_loading"
        | "loading_eta_seconds"
        | "rdb_bgsave_in_progress"
        | "rdb_last_bgsave_time_sec"
        | "rdb_current_bgsave_time_sec"
        | "aof_rewrite_in_progress"
        | "aof_rewrite_scheduled"
        | "aof_last_rewrite_time_sec"
        | "aof_current_rewrite_time_sec"
        | "aof_rewrites_consecutive_failures"
        | "aof_pending_rewrite"
        | "module_fork_in_progress"
        | "current_cow_size_age"
        | "current_fork_perc"
        | "latest_fork_usec"
        | "expired_stale_perc"
        | "current_eviction_exceeded_time"
        | "current_active_defrag_time"
        | "active_defrag_running"
        | "repl_backlog_active"
        // Functions are on every node, and so is each script that was loaded.
        | "number_of_cached_scripts"
        | "number_of_functions"
        | "number_of_libraries" => FieldRule::Most,
        // Data counts as saved only if every node has saved it.
        "rdb_last_save_time" | "aof_enabled" | "loading_start_time" | "loading_loaded_perc" => {
            FieldRule::Least
        }
        "rdb_last_bgsave_status" | "aof_last_bgrewrite_status" | "aof_last_write_status" => {
            FieldRule::Worst
        }
        "maxmemory" => FieldRule::Limit,
        "used_memory_peak_perc" => ratio("used_memory", "used_memory_peak"),
        "used_memory_dataset_perc" => FieldRule::Ratio {
            part: "used_memory_dataset",
            whole: "used_memory",
            less: Some("used_memory_startup"),
        },
        "allocator_frag_ratio" => ratio("allocator_active", "allocator_allocated"),
        "allocator_rss_ratio" => ratio("allocator_resident", "allocator_active"),
        "rss_overhead_ratio" => ratio("used_memory_rss", "allocator_resident"),
        "mem_fragmentation_ratio" => ratio("used_memory_rss", "used_memory"),
        _ => FieldRule::Sum,
    }
}

/// Merges `values`, of which there is at least one. [`FieldRule::Own`] and [`FieldRule::Ratio`] need more information.
pub fn of(rule: FieldRule, values: &[&str]) -> String {
    let first = values.first().copied().unwrap_or_default();
    let number = |value: &&&str| value.parse::<f64>().unwrap_or(0.0);
    let chosen = match rule {
        FieldRule::Most => values.iter().max_by(|a, b| number(a).total_cmp(&number(b))),
        FieldRule::Least => values.iter().min_by(|a, b| number(a).total_cmp(&number(b))),
        FieldRule::Worst => values.iter().find(|value| **value != "ok"),
        FieldRule::Limit => values.iter().find(|value| **value == "0"),
        FieldRule::Own | FieldRule::Sum | FieldRule::Ratio { .. } => None,
    };
    match (chosen, rule) {
        (Some(value), _) => (*value).to_owned(),
        (None, FieldRule::Sum | FieldRule::Limit) => {
            sum(values).unwrap_or_else(|| first.to_owned())
        }
        (None, _) => first.to_owned(),
    }
}

/// The sum of numbers, with as many decimals as the first has. `None` if any is not a number.
fn sum(values: &[&str]) -> Option<String> {
    let whole = values.iter().map(|value| value.parse::<i128>());
    if let Ok(numbers) = whole.collect::<Result<Vec<_>, _>>() {
        return Some(numbers.iter().sum::<i128>().to_string());
    }
    let numbers = values.iter().map(|value| value.parse::<f64>());
    let sum: f64 = numbers.collect::<Result<Vec<_>, _>>().ok()?.iter().sum();
    let decimals = values
        .first()?
        .split_once('.')
        .map_or(0, |(_, rest)| rest.len());
    Some(format!("{sum:.decimals$}"))
}

/// Merges fields that are pairs themselves: `keys=1,expires=2`. Counts are summed and means computed again. Percentiles
/// have no common value, so the largest is taken.
pub fn merged_pairs(values: &[&str]) -> String {
    let maps: Vec<Vec<(&str, &str)>> = values
        .iter()
        .map(|value| {
            value
                .split(',')
                .filter_map(|pair| pair.split_once('='))
                .collect()
        })
        .collect();
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in maps.iter().flatten() {
        if !names.contains(name) {
            names.push(name);
        }
    }
    let values = |name: &str| -> Vec<&str> {
        let pairs = maps.iter().flatten().filter(|(other, _)| *other == name);
        pairs.map(|(_, value)| *value).collect()
    };
    let number = |map: &[(&str, &str)], name: &str| {
        let value = map.iter().find(|(other, _)| *other == name);
        value
            .and_then(|(_, value)| value.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    let total = |name: &str| maps.iter().map(|map| number(map, name)).sum::<f64>();
    let pair = |name: &&str| {
        let value = match *name {
            "avg_ttl" => {
                let weigh =
                    |map: &Vec<(&str, &str)>| number(map, "avg_ttl") * number(map, "expires");
                let all: f64 = maps.iter().map(weigh).sum();
                format!("{:.0}", all / total("expires").max(1.0))
            }
            "usec_per_call" => format!("{:.2}", total("usec") / total("calls").max(1.0)),
            name if is_percentile(name) => of(FieldRule::Most, &values(name)),
            name => of(FieldRule::Sum, &values(name)),
        };
        format!("{name}={value}")
    };
    names.iter().map(pair).collect::<Vec<_>>().join(",")
}

/// `p50`, `p99.9`
fn is_percentile(name: &str) -> bool {
    let number = name.strip_prefix('p').map(str::parse::<f64>);
    matches!(number, Some(Ok(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule() {
        for (rule, values, expected) in [
            (FieldRule::Sum, &["1", "-2", "5"][..], "4"),
            (FieldRule::Sum, &["1.50", "2.25"], "3.75"),
            (FieldRule::Sum, &["jemalloc", "libc"], "jemalloc"),
            (
                FieldRule::Sum,
                &["18446744073709551615", "1"],
                "18446744073709551616",
            ),
            (FieldRule::Most, &["3", "12", "-1"], "12"),
            (FieldRule::Least, &["3", "12", "-1"], "-1"),
            (FieldRule::Limit, &["3", "12"], "15"),
            (FieldRule::Limit, &["3", "0"], "0"),
            (FieldRule::Worst, &["ok", "ok"], "ok"),
            (FieldRule::Worst, &["ok", "err"], "err"),
        ] {
            assert_eq!(of(rule, values), expected, "{rule:?} {values:?}");
        }
    }
}
