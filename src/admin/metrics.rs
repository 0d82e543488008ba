//! The numbers of the process in OpenMetrics text, summed over its workers when they are asked for.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text::encode};
use prometheus_client::metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge};
use prometheus_client::registry::Registry;

use crate::answer::process::Usage;
use crate::metrics::{Kind, WorkerStats, total};
use crate::process::Process;

#[derive(Debug)]
struct Page(Arc<Process>);

/// All metrics as text.
pub fn text(process: &Arc<Process>) -> String {
    let mut registry = Registry::with_prefix("slotmux");
    registry.register_collector(Box::new(Page(process.clone())));
    let mut text = String::new();
    // Writing to a String never fails.
    let _ = encode(&mut text, &registry);
    text
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let process = &self.0;
        for field in WorkerStats::FIELDS {
            let value = total(process.stats.iter().map(|stats| &**stats), field.get);
            match field.kind {
                Kind::Counter => ConstCounter::new(value).encode(encoder.encode_descriptor(
                    field.name,
                    field.help,
                    None,
                    MetricType::Counter,
                )?)?,
                Kind::Gauge => gauge(&mut encoder, field.name, field.help, value)?,
            }
        }
        let topology = process.topology.borrow().clone();
        for (name, help, value) in [
            (
                "workers",
                "Worker threads",
                process.config.server.workers as u64,
            ),
            (
                "max_clients",
                "Clients that may be connected",
                process.max_clients as u64,
            ),
            (
                "topology_version",
                "Version of the topology in use",
                topology.version,
            ),
            (
                "topology_shards",
                "Shards of the cluster",
                topology.shards.len() as u64,
            ),
            (
                "topology_nodes",
                "Nodes of the cluster",
                topology.nodes().count() as u64,
            ),
            (
                "topology_uncovered_slots",
                "Slots that no shard serves",
                topology.uncovered() as u64,
            ),
            (
                "resident_memory_bytes",
                "Resident memory of the process",
                Usage::read().resident,
            ),
        ] {
            gauge(&mut encoder, name, help, value)?;
        }
        Ok(())
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: u64,
) -> Result<(), fmt::Error> {
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}
