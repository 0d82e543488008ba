//! Free loopback ports for local Redis processes, leased so that test binaries which run in parallel never share one.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// Distance from a node's data port to its cluster bus port; fixed by Redis.
pub const BUS_OFFSET: u16 = 10_000;

/// Data ports come from here, bus ports from the ten thousand above: the two never meet, and both stay below the
/// range from which Linux picks ports for outgoing connections (32768 by default).
const FIRST: u16 = 10_000;
const LAST: u16 = 19_999;

/// Tries before giving up: the range has to be almost full for so many random picks to fail.
const ATTEMPTS: usize = 2_000;

/// A free TCP port of 127.0.0.1 whose bus port is free too.
///
/// The lease is a UDP socket bound to the same number: the kernel lets only one process hold it, and it goes away
/// with the process. So a killed node finds its port free when it is started again.
#[derive(Debug)]
pub struct PortLease {
    port: u16,
    _lock: UdpSocket,
}

impl PortLease {
    /// Leases a random free port; `None` when none was found.
    pub fn any() -> Option<PortLease> {
        let last = last_port();
        (0..ATTEMPTS).find_map(|_| PortLease::exactly(fastrand::u16(FIRST..=last)))
    }

    /// Leases this port if it and its bus port are free.
    fn exactly(port: u16) -> Option<PortLease> {
        let lock = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
        let free = is_free(port) && is_free(port.checked_add(BUS_OFFSET)?);
        free.then_some(PortLease { port, _lock: lock })
    }

    /// The leased data port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Whether a listener could be bound to this port of 127.0.0.1 now.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The highest data port whose bus port is below the ephemeral range; the whole range where that leaves too little.
fn last_port() -> u16 {
    let ephemeral = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse::<u16>().ok());
    match ephemeral {
        Some(start) if start > FIRST + BUS_OFFSET + 1_000 => LAST.min(start - BUS_OFFSET - 1),
        _ => LAST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_exclusive_and_ends_with_its_owner() {
        let lease = PortLease::any().expect("a free port");
        let port = lease.port();
        assert!(PortLease::exactly(port).is_none());
        drop(lease);
        // Another test may take it in between; it must not be our lease that blocks it.
        assert!(PortLease::exactly(port).is_some() || PortLease::any().is_some());
    }

    #[test]
    fn a_port_whose_bus_port_is_taken_is_not_leased() {
        let lease = PortLease::any().expect("a free port");
        let port = lease.port();
        let _bus =
            TcpListener::bind((Ipv4Addr::LOCALHOST, port + BUS_OFFSET)).expect("leased bus port");
        drop(lease);
        assert!(PortLease::exactly(port).is_none());
    }
}
