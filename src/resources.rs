//! What the machine gives this process: descriptors, memory, randomness.

use std::fs;

use crate::config::Config;

/// Descriptors for what is neither client nor upstream: logs, epoll, control connections, the admin page.
const SPARE_DESCRIPTORS: u64 = 64;
/// Clients that are admitted where the descriptor limit is unknown or absurd.
const FEWEST_CLIENTS: u64 = 16;
/// The share of the machine's or container's memory that clients' buffers may take, as a divisor.
const MEMORY_SHARE: u64 = 2;

/// How many clients may connect: what is configured, or what the descriptor limit, raised as far as it may be, leaves
/// after the upstream connections to `nodes` nodes. While these are not known, the seeds stand for them.
pub fn max_clients(config: &Config, nodes: usize) -> usize {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024);
    let connections = &config.cluster.connections;
    // Two protocols and subscriptions, and room for a cluster that grows.
    let per_worker = 2 * connections.shared + 1;
    let per_node = per_worker * config.server.workers + connections.own();
    let upstream = (nodes.max(1) * 2 * per_node) as u64;
    let listeners = config
        .listeners
        .iter()
        .map(|listener| listener.bind.len())
        .sum::<usize>()
        * config.server.workers;
    let reserved = (upstream + listeners as u64 + SPARE_DESCRIPTORS).min(limit / 2);
    let room = limit.saturating_sub(reserved).max(FEWEST_CLIENTS);
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    match config.server.max_clients {
        Some(wanted) if wanted > room => {
            tracing::warn!(
                wanted,
                room,
                "max_clients is more than the descriptor limit leaves room for"
            );
            room
        }
        Some(wanted) => wanted,
        None => room,
    }
}

/// Bytes that clients' buffers may take: what is configured, or half of what the container or the machine has.
pub fn memory_limit(config: &Config) -> usize {
    let limit = config.server.memory_limit.unwrap_or_else(|| {
        let machine = meminfo_total().unwrap_or(u64::MAX);
        cgroup_limit().unwrap_or(machine).min(machine) / MEMORY_SHARE
    });
    usize::try_from(limit).unwrap_or(usize::MAX)
}

fn cgroup_limit() -> Option<u64> {
    [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ]
    .iter()
    .find_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok())
}

fn meminfo_total() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kilobytes: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// 40 random hexadecimal digits, as Redis names a run of a server.
pub fn run_id() -> String {
    std::iter::repeat_with(|| fastrand::u8(..))
        .take(20)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
