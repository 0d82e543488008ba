//! The numbers of each namespace on `/metrics`, summed over the workers. Nothing here scans a key.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use crate::engine::shared::Shared;
use crate::engine::stats::counters::Counter;
use crate::engine::stats::namespaces::{LATENCY_BOUNDS, NamespaceStats, sum};
use slotmux_core::explain::UNMATCHED;
use slotmux_core::policy::{Actions, NamespaceId};

type Number = fn(&NamespaceStats) -> &Counter;

const COUNTERS: &[(&str, &str, Number)] = &[
    (
        "operations",
        "Requests sent to nodes, by the namespace of their first key",
        |stats| &stats.operations,
    ),
    ("errors", "Error replies to those requests", |stats| {
        &stats.errors
    }),
    (
        "bytes_in",
        "Bytes of requests as clients sent them",
        |stats| &stats.bytes_in,
    ),
    ("bytes_out", "Bytes of replies", |stats| &stats.bytes_out),
    (
        "hits",
        "Values found by GET, GETEX, GETDEL, HGET and each key of MGET",
        |stats| &stats.hits,
    ),
    (
        "misses",
        "Values that those commands did not find",
        |stats| &stats.misses,
    ),
    (
        "observed_keys",
        "Sample of keys checked after commands to which a policy in observe mode would have added an expiry",
        |stats| &stats.probed,
    ),
    (
        "observed_keys_without_ttl",
        "Sampled keys that had no TTL",
        |stats| &stats.probed_bare,
    ),
];

/// Writes the metric families of all namespaces; nothing if no policy is configured.
pub(super) fn encode(shared: &Shared, page: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let names = names(shared);
    if names.is_empty() {
        return Ok(());
    }
    for (name, help, number) in COUNTERS {
        let name = format!("slotmux_namespace_{name}");
        let mut family = page.encode_descriptor(&name, help, None, MetricType::Counter)?;
        for (at, namespace) in names.iter().enumerate() {
            let labels = [("namespace", *namespace)];
            ConstCounter::new(sum(shared, at, number)).encode(family.encode_family(&labels)?)?;
        }
    }
    actions(shared, &names, page)?;
    latency(shared, &names, page)
}

/// The name of each place in [`crate::engine::stats::counters::WorkerStats::namespaces`].
fn names(shared: &Shared) -> Vec<&str> {
    let counted = shared
        .stats
        .first()
        .map_or(0, |stats| stats.namespaces.len());
    // The keys of no namespace may be one more than 16 bits can count.
    let ids = (0..=u16::MAX).take(counted).map(NamespaceId);
    let name = |id| {
        shared
            .policies
            .get(id)
            .map_or(UNMATCHED, |policy| &policy.name)
    };
    ids.map(name).collect()
}

fn actions(shared: &Shared, names: &[&str], page: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help =
        "Actions of the TTL policy on requests; in observe mode, those that enforcement would take";
    let mut family = page.encode_descriptor(
        "slotmux_namespace_ttl_actions",
        help,
        None,
        MetricType::Counter,
    )?;
    for (at, namespace) in names.iter().enumerate() {
        for (action, (_, name)) in Actions::ALL.iter().enumerate() {
            let done = sum(shared, at, |stats| &stats.actions[action]);
            let observed = sum(shared, at, |stats| &stats.observed[action]);
            for (mode, count) in [("enforce", done), ("observe", observed)] {
                let labels = [("namespace", *namespace), ("action", *name), ("mode", mode)];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
    }
    Ok(())
}

fn latency(shared: &Shared, names: &[&str], page: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Time from the arrival of a request to its reply, queueing included";
    let name = "slotmux_namespace_latency_seconds";
    let mut family = page.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for (at, namespace) in names.iter().enumerate() {
        let bounds = LATENCY_BOUNDS.iter().map(|&bound| f64::from(bound) / 1e6);
        let counts = |bucket: usize| sum(shared, at, |stats| &stats.latency[bucket]);
        let buckets: Vec<(f64, u64)> = bounds
            .chain([f64::INFINITY])
            .enumerate()
            .map(|(bucket, bound)| (bound, counts(bucket)))
            .collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let seconds = sum(shared, at, |stats| &stats.latency_sum) as f64 / 1e6;
        family
            .encode_family(&[("namespace", *namespace)])?
            .encode_histogram::<NoLabelSet>(seconds, count, &buckets, None)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::watch;

    use super::*;
    use crate::engine::refresh_requests;
    use slotmux_core::cluster::topology::Topology;
    use slotmux_core::config::{
        Config, CrossSlot, EffectiveSettings, Multi, Namespace, RetryWrites, Ttl,
    };

    fn named(number: u16) -> Namespace {
        Namespace {
            name: format!("n{number}"),
            prefixes: vec![format!("n{number}:")],
            ttl: Ttl::default(),
            ttl_env: Vec::new(),
            read_only: false,
            max_key: None,
            max_value: None,
            deny: Vec::new(),
            multi: Multi::default(),
            cross_slot: CrossSlot::default(),
            retry_writes: RetryWrites::default(),
        }
    }

    /// The largest number of namespaces, and the keys of no namespace.
    #[test]
    fn every_namespace_has_its_numbers() {
        let mut config = Config::default();
        config.server.workers = 1;
        config.namespaces = (1..=u16::MAX).map(named).collect();
        let (_publish, topology) = watch::channel(Arc::new(Topology::empty()));
        let (handle, _requests) = refresh_requests::channel();
        let (shared, _letters) = Shared::new(
            Arc::new(config),
            EffectiveSettings::default(),
            topology,
            handle,
            1 << 20,
            77,
            "ab".repeat(20),
        );
        let names = names(&shared);
        assert_eq!(names.len(), 1 << 16);
        assert_eq!((names[0], names[65_535]), (UNMATCHED, "n65535"));
        assert_eq!(sum(&shared, 65_535, |stats| &stats.operations), 0);
    }
}
