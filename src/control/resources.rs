//! Resources of the machine: descriptors, memory, randomness.

use std::fs;

use crate::engine::upstream::lane_pool::OVERSIZE_CHECKS;
use slotmux_core::config::Config;

/// Descriptors besides those of clients, upstream and admin page: logs, epoll, control connections.
const SPARE_DESCRIPTORS: u64 = 64;
/// Descriptors of the admin page itself: its listener, the handle needed to restart it, the connection about to be
/// replaced, the listing of descriptors, and the file that the process reads about itself.
const ADMIN_OVERHEAD: u64 = 5;
/// The share of a small descriptor limit that the admin page may take, as a divisor.
const ADMIN_SHARE: u64 = 8;
/// Clients that are admitted even if the descriptor limit leaves less room.
const FEWEST_CLIENTS: u64 = 16;
/// Assumed descriptor limit if it cannot be read.
const USUAL_LIMIT: u64 = 1024;
/// The share of the machine's or container's memory that clients' buffers may take, as a divisor.
const MEMORY_SHARE: u64 = 2;

/// Maximum number of clients: as configured, but no more than the descriptor limit, raised as far as allowed, leaves
/// after the admin page and the connections to `nodes` nodes. While these are unknown, callers pass the number of
/// seeds.
pub fn max_clients(config: &Config, nodes: usize) -> usize {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(USUAL_LIMIT);
    let room = usize::try_from(room_for_clients(config, nodes, limit)).unwrap_or(usize::MAX);
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

/// Number of connections that the admin page may have: the configured number, or its share of the descriptor limit.
pub fn max_admin_connections(config: &Config) -> usize {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(USUAL_LIMIT);
    usize::try_from(admin_connections(config, limit)).unwrap_or(usize::MAX)
}

/// Descriptors for clients. Clients and admin page cannot take each other's descriptors.
fn room_for_clients(config: &Config, nodes: usize, limit: u64) -> u64 {
    let connections = &config.cluster.connections;
    // Two protocols, subscriptions and suspects, with spare room for a growing cluster.
    let per_worker = 2 * connections.shared + 1 + OVERSIZE_CHECKS;
    let per_node = per_worker * config.server.workers + connections.own();
    let upstream = (nodes.max(1) * 2 * per_node) as u64;
    let listeners = config
        .listeners
        .iter()
        .map(|listener| listener.bind.len())
        .sum::<usize>()
        * config.server.workers;
    let reserved = (upstream + listeners as u64 + SPARE_DESCRIPTORS).min(limit / 2);
    let admin = match config.admin.bind {
        Some(_) => admin_connections(config, limit) + ADMIN_OVERHEAD,
        None => 0,
    };
    limit.saturating_sub(reserved + admin).max(FEWEST_CLIENTS)
}

fn admin_connections(config: &Config, limit: u64) -> u64 {
    (config.admin.max_connections as u64).min((limit / ADMIN_SHARE).max(1))
}

/// Bytes for clients' buffers: as configured, or half of the memory of the container or machine.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admin_page_and_the_clients_have_descriptors_of_their_own() {
        let mut config = Config::default();
        config.server.workers = 2;
        let per_node =
            2 * ((3 + OVERSIZE_CHECKS as u64) * 2 + config.cluster.connections.own() as u64);
        let reserved = per_node + 2 + SPARE_DESCRIPTORS;
        for (limit, most, admin) in [
            (100_000, 64, 64),
            (100_000, 1, 1),
            (100_000, 4096, 4096),
            (1024, 4096, 128),
            (256, 64, 32),
            (4, 64, 1),
        ] {
            config.admin.max_connections = most;
            config.admin.bind = Config::default().admin.bind;
            assert_eq!(admin_connections(&config, limit), admin, "{limit}");
            let room = room_for_clients(&config, 1, limit);
            let expected = limit.saturating_sub(reserved.min(limit / 2) + admin + ADMIN_OVERHEAD);
            assert_eq!(room, expected.max(FEWEST_CLIENTS), "{limit}");
            config.admin.bind = None;
            let without = room_for_clients(&config, 1, limit);
            let freed = limit - reserved.min(limit / 2);
            assert_eq!(without, freed.max(FEWEST_CLIENTS), "{limit}");
        }
    }
}
