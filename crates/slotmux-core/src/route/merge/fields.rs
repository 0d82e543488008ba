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
    /// The mean of ratios.
    Mean,
    /// That of the first node: it is about a program that all nodes run.
    First,
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

/// The rule of a field in a section: by the meaning of a known field, else by the words of its name.
pub fn rule(section: &str, field: &str) -> FieldRule {
    if let Some(rule) = known(field) {
        return rule;
    }
    match section {
        // Fields about the machine and the program have no sum.
        "Server" => FieldRule::First,
        // Connections between the nodes, which clients of slotmux do not see.
        "Cluster" | "Cluster Info" => FieldRule::Own,
        _ => by_words(field),
    }
}

/// The rule of a field with a known meaning.
fn known(field: &str) -> Option<FieldRule> {
    Some(match field {
        "redis_version"
        | "valkey_version"
        | "server_name"
        | "availability_zone"
        | "redis_mode"
        | "server_mode"
        | "os"
        | "process_id"
        | "process_supervised"
        | "run_id"
        | "tcp_port"
        | "server_time_usec"
        | "uptime_in_seconds"
        | "uptime_in_days"
        | "executable"
        | "config_file"
        | "connected_clients"
        | "cluster_connections"
        | "maxclients"
        | "blocked_clients"
        | "tracking_clients"
        | "pubsub_clients"
        | "paused_reason"
        | "paused_actions"
        | "paused_timeout_milliseconds"
        | "total_connections_received"
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
        | "role"
        | "master_failover_state"
        | "master_replid"
        | "master_replid2"
        | "second_repl_offset"
        | "repl_backlog_first_byte_offset" => FieldRule::Own,
        "io_threads_active"
        | "repl_backlog_active"
        | "loading"
        | "async_loading"
        | "loading_eta_seconds"
        | "rdb_last_bgsave_time_sec"
        | "rdb_current_bgsave_time_sec"
        | "aof_last_rewrite_time_sec"
        | "aof_current_rewrite_time_sec"
        | "aof_rewrites_consecutive_failures"
        | "aof_pending_rewrite"
        | "current_cow_size_age"
        | "current_fork_perc"
        | "latest_fork_usec"
        | "expired_stale_perc"
        | "current_eviction_exceeded_time"
        | "current_active_defrag_time"
        | "instantaneous_eventloop_duration_usec"
        | "engines_count"
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
        "avg_pipeline_length" => ratio("avg_pipeline_length_sum", "avg_pipeline_length_cnt"),
        // The peaks of the nodes may have been at the same time.
        "used_memory_peak" | "current_cow_peak" => FieldRule::Sum,
        _ => return None,
    })
}

/// The rule of a field that later versions and modules may add.
fn by_words(field: &str) -> FieldRule {
    let words: Vec<&str> = field.split(['_', '-', '.']).collect();
    let has = |some: &[&str]| words.iter().any(|word| some.contains(word));
    let ends = |some: &[&str]| words.last().is_some_and(|word| some.contains(word));
    let begins = |some: &[&str]| words.first().is_some_and(|word| some.contains(word));
    if ends(&["perc", "percent", "percentage", "ratio"]) {
        FieldRule::Mean
    } else if begins(&["total", "expired", "evicted"]) || ends(&["sum", "cnt", "count", "total"]) {
        FieldRule::Sum
    } else if has(&["version", "min", "lowest", "smallest", "oldest"])
        || field.contains("expires_in")
    {
        FieldRule::Least
    } else if has(&[
        "max", "peak", "longest", "largest", "biggest", "highest", "latest", "newest",
    ]) || ends(&[
        "progress",
        "enabled",
        "running",
        "scheduled",
        "age",
        "hz",
        "epoch",
    ]) {
        FieldRule::Most
    } else if has(&["avg", "mean", "average"]) {
        FieldRule::Mean
    } else {
        FieldRule::Sum
    }
}

/// Merges `values`, of which there is at least one. [`FieldRule::Own`] and [`FieldRule::Ratio`] need more information.
/// Values that are no numbers are not added up: the first one stands for all.
pub fn of(rule: FieldRule, values: &[&str]) -> String {
    let first = values.first().copied().unwrap_or_default();
    let number = |value: &&&str| value.parse::<f64>().unwrap_or(0.0);
    let chosen = match rule {
        FieldRule::Most => values.iter().max_by(|a, b| number(a).total_cmp(&number(b))),
        FieldRule::Least => values.iter().min_by(|a, b| number(a).total_cmp(&number(b))),
        FieldRule::Worst => values.iter().find(|value| **value != "ok"),
        FieldRule::Limit => values.iter().find(|value| **value == "0"),
        _ => None,
    };
    let made = match (chosen, rule) {
        (Some(value), _) => return (*value).to_owned(),
        (None, FieldRule::Sum | FieldRule::Limit) => sum(values),
        (None, FieldRule::Mean) => mean(values),
        (None, _) => None,
    };
    made.unwrap_or_else(|| first.to_owned())
}

/// The mean of ratios, with as many decimals as the first has, and its percent sign. `None` if any is not a number.
fn mean(values: &[&str]) -> Option<String> {
    let bare = |value: &str| value.strip_suffix('%').unwrap_or(value).to_owned();
    let numbers = values.iter().map(|value| bare(value).parse::<f64>());
    let numbers: Vec<f64> = numbers.collect::<Result<_, _>>().ok()?;
    let first = values.first()?;
    let decimals = bare(first)
        .split_once('.')
        .map_or(0, |(_, rest)| rest.len());
    let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
    let sign = if first.ends_with('%') { "%" } else { "" };
    Some(format!("{mean:.decimals$}{sign}"))
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

/// Whether a value consists of pairs: `keys=1,expires=2`.
pub fn is_pairs(value: &str) -> bool {
    value.split(',').all(|pair| pair.contains('='))
}

/// Merges fields that are pairs themselves: `keys=1,expires=2`. Means are computed again; percentiles have no common value,
/// so the largest is taken; the others follow the rule of their name. Sizes, as those of a histogram, are put in order.
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
    if names.iter().all(|name| size(name).is_some()) {
        names.sort_by_key(|name| size(name));
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
            name => of(by_words(name), &values(name)),
        };
        format!("{name}={value}")
    };
    names.iter().map(pair).collect::<Vec<_>>().join(",")
}

/// `0`, `512`, `64K`, `2M`
fn size(name: &str) -> Option<u128> {
    let end = name.find(|c: char| !c.is_ascii_digit());
    let (digits, unit) = name.split_at(end.unwrap_or(name.len()));
    let power = ["", "K", "M", "G", "T", "P", "E"].iter();
    let power = power.enumerate().find(|(_, letter)| **letter == unit)?.0;
    let factor = 1024u128.checked_pow(power as u32)?;
    digits
        .parse::<u64>()
        .ok()
        .map(|number| u128::from(number) * factor)
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
            (FieldRule::Mean, &["1.00", "2.50"], "1.75"),
            (FieldRule::Mean, &["10%", "20%"], "15%"),
            (FieldRule::Mean, &["a", "2"], "a"),
            (FieldRule::First, &["64", "32"], "64"),
        ] {
            assert_eq!(of(rule, values), expected, "{rule:?} {values:?}");
        }
    }

    #[test]
    fn an_unknown_field_is_merged_by_its_name() {
        for (section, field, expected) in [
            ("Server", "gcc_version", FieldRule::First),
            ("Server", "of_tomorrow", FieldRule::First),
            ("Server", "redis_version", FieldRule::Own),
            ("Clients", "client_recent_max_input_buffer", FieldRule::Most),
            ("Clients", "total_blocking_keys", FieldRule::Sum),
            ("Memory", "used_memory_peak", FieldRule::Sum),
            ("Memory", "used_memory_peak_time", FieldRule::Most),
            ("Stats", "avg_pipeline_length_sum", FieldRule::Sum),
            ("Stats", "slowlog_commands_time_ms_max", FieldRule::Most),
            ("Stats", "expired_keys_active", FieldRule::Sum),
            ("Stats", "expired_of_tomorrow_perc", FieldRule::Mean),
            ("Stats", "hit_ratio", FieldRule::Mean),
            (
                "Persistence",
                "slot_migration_fork_in_progress",
                FieldRule::Most,
            ),
            ("Cluster Info", "cluster_state", FieldRule::Own),
            ("TLS", "tls_ca_cert_expires_in_seconds", FieldRule::Least),
            ("Of Tomorrow", "things", FieldRule::Sum),
        ] {
            assert_eq!(rule(section, field), expected, "{field} of {section}");
        }
    }

    #[test]
    fn pairs_are_merged_by_their_names() {
        for (values, expected) in [
            (
                &["1=2,4=1,512=7", "1=1,2=3,1K=4,0=1"][..],
                "0=1,1=3,2=3,4=1,512=7,1K=4",
            ),
            (
                &["clients=1,reads=5", "clients=2,reads=0"],
                "clients=3,reads=5",
            ),
            (
                &[
                    "name=LUA,abi_version=4,used_memory=10",
                    "name=LUA,abi_version=3,used_memory=5",
                ],
                "name=LUA,abi_version=3,used_memory=15",
            ),
        ] {
            assert!(values.iter().all(|value| is_pairs(value)));
            assert_eq!(merged_pairs(values), expected);
        }
        assert!(!is_pairs("ok") && !is_pairs("") && !is_pairs("a=1,b"));
    }
}
