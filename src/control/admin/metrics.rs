//! The numbers of `/metrics`: counters summed over the workers, the topology and its refreshes, the process.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::engine::shared::Shared;
use crate::engine::stats::counters::{MetricKind, WorkerStats, total};
use crate::engine::stats::usage::usage;

/// Numbers shown per worker too: how evenly clients and work are spread.
const PER_WORKER: &[&str] = &["clients", "requests", "in_flight"];

/// The collector of all numbers, which are read at each request.
#[derive(Debug)]
pub(super) struct Numbers {
    shared: Arc<Shared>,
    /// Seconds since 1970.
    started: f64,
}

impl Numbers {
    pub fn new(shared: Arc<Shared>) -> Numbers {
        let started = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0.0, |since| since.as_secs_f64());
        Numbers { shared, started }
    }

    fn workers(&self, page: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let stats = &self.shared.stats;
        for field in WorkerStats::FIELDS {
            let all = stats.iter().map(|stats| &**stats);
            let sum = total(all.chain([&self.shared.control]), field.get);
            let name = format!("slotmux_{}", field.name);
            match field.kind {
                MetricKind::Counter => counter(page, &name, field.help, sum)?,
                MetricKind::Gauge => gauge(page, &name, field.help, as_gauge(sum))?,
            }
        }
        for field in WorkerStats::FIELDS
            .iter()
            .filter(|field| PER_WORKER.contains(&field.name))
        {
            let name = format!("slotmux_worker_{}", field.name);
            let kind = match field.kind {
                MetricKind::Counter => MetricType::Counter,
                MetricKind::Gauge => MetricType::Gauge,
            };
            let mut family = page.encode_descriptor(&name, field.help, None, kind)?;
            for (worker, stats) in stats.iter().enumerate() {
                let labels = [("worker", worker.to_string())];
                let value = (field.get)(stats).get();
                let one = family.encode_family(&labels)?;
                match field.kind {
                    MetricKind::Counter => ConstCounter::new(value).encode(one)?,
                    MetricKind::Gauge => ConstGauge::new(as_gauge(value)).encode(one)?,
                }
            }
        }
        Ok(())
    }

    fn topology(&self, page: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let topology = self.shared.topology.borrow().clone();
        let (shards, nodes) = (topology.shards.len(), topology.nodes().count());
        let uncovered = topology.uncovered() as u64;
        let version = as_gauge(topology.version);
        gauge(
            page,
            "slotmux_topology_version",
            "Version of the topology in use; 0 before the first",
            version,
        )?;
        gauge(
            page,
            "slotmux_topology_shards",
            "Shards that serve slots",
            as_gauge(shards as u64),
        )?;
        gauge(
            page,
            "slotmux_topology_nodes",
            "Primaries and replicas",
            as_gauge(nodes as u64),
        )?;
        gauge(
            page,
            "slotmux_topology_uncovered_slots",
            "Slots that no node serves",
            as_gauge(uncovered),
        )?;
        let labels = [
            ("name", self.shared.config.cluster.name.as_str()),
            ("kind", topology.kind_name()),
            ("server", &topology.server.name),
            ("version", &topology.server.version),
        ];
        let help = "1, with properties of the upstream as labels";
        let mut family =
            page.encode_descriptor("slotmux_upstream_info", help, None, MetricType::Gauge)?;
        ConstGauge::new(1i64).encode(family.encode_family(&labels)?)?;
        let refreshes = self.shared.refresh.stats();
        let read = |number: &std::sync::atomic::AtomicU64| number.load(Ordering::Relaxed);
        counter(
            page,
            "slotmux_topology_refreshes",
            "Refreshes of the topology",
            read(&refreshes.started),
        )?;
        let help = "Refreshes in which no upstream could be used";
        counter(
            page,
            "slotmux_topology_refresh_failures",
            help,
            read(&refreshes.failed),
        )?;
        let help = "Refreshes that changed the topology";
        counter(
            page,
            "slotmux_topology_changes",
            help,
            read(&refreshes.published),
        )?;
        let help = "Time of the last successful refresh, in seconds since 1970; 0 before the first";
        let last = as_gauge(read(&refreshes.last_success));
        gauge(
            page,
            "slotmux_topology_last_refresh_timestamp_seconds",
            help,
            last,
        )
    }

    fn shared(&self, page: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let labels = [("version", env!("CARGO_PKG_VERSION"))];
        let help = "1, with the version of slotmux as its label";
        let mut family =
            page.encode_descriptor("slotmux_build_info", help, None, MetricType::Gauge)?;
        ConstGauge::new(1i64).encode(family.encode_family(&labels)?)?;
        let workers = as_gauge(self.shared.config.server.workers as u64);
        gauge(page, "slotmux_workers", "Worker threads", workers)?;
        let ready = i64::from(!self.shared.is_draining.load(Ordering::Relaxed));
        gauge(
            page,
            "slotmux_accepting",
            "1 until a drain begins, then 0",
            ready,
        )?;
        let max_clients = as_gauge(self.shared.max_clients() as u64);
        gauge(
            page,
            "slotmux_max_clients",
            "Clients that may be connected at once",
            max_clients,
        )?;
        let help = "Start of the process, in seconds since 1970";
        gauge(page, "process_start_time_seconds", help, self.started)?;
        let usage = usage();
        gauge(
            page,
            "process_resident_memory_bytes",
            "Resident memory",
            as_gauge(usage.resident),
        )?;
        let seconds = (usage.user + usage.system).as_secs_f64();
        counter(
            page,
            "process_cpu_seconds",
            "User and system CPU time",
            seconds,
        )?;
        if let Some(open) = open_descriptors() {
            gauge(
                page,
                "process_open_fds",
                "Open file descriptors",
                as_gauge(open),
            )?;
        }
        Ok(())
    }
}

impl Collector for Numbers {
    fn encode(&self, mut page: DescriptorEncoder<'_>) -> fmt::Result {
        self.workers(&mut page)?;
        self.topology(&mut page)?;
        self.shared(&mut page)?;
        super::namespaces::encode(&self.shared, &mut page)
    }
}

fn counter(
    page: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: impl EncodeCounterValue,
) -> fmt::Result {
    let number = ConstCounter::new(value);
    number.encode(page.encode_descriptor(name, help, None, MetricType::Counter)?)
}

fn gauge(
    page: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: impl EncodeGaugeValue,
) -> fmt::Result {
    let number = ConstGauge::new(value);
    number.encode(page.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

fn as_gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// `None` where there is no `/proc`.
fn open_descriptors() -> Option<u64> {
    // The listing itself holds one descriptor.
    Some((std::fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_open_descriptors() {
        let held: Vec<_> = (0..50)
            .map(|_| std::fs::File::open("/proc/self/stat").unwrap())
            .collect();
        assert!(open_descriptors().unwrap() >= held.len() as u64);
    }
}
