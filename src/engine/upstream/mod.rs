//! The upstream side: the nodes that a worker knows, and its lanes to them.

use slotmux_core::resp::scan::Boundary;
use slotmux_core::resp::{Limits, Protocol, Scan};

pub use node_table::NodeId;

pub mod block;
pub mod blocking;
pub mod cancel;
pub mod connect;
pub mod connect_rate;
pub mod connection_id;
pub mod deliver;
pub mod half_closed;
pub mod health;
pub mod inflight;
pub mod lane;
pub mod lane_lifecycle;
pub mod lane_pool;
pub mod lane_room;
pub mod node_table;
pub mod own_lanes;
pub mod pinned;
pub mod protocol_error;
pub mod read;
mod reader_table;
pub mod repair;
pub mod retry;
pub mod ring;
pub mod script_load;
pub mod step;
pub mod tracking;
pub mod transaction_check;

/// Length of the first request in `bytes`.
pub(crate) fn first_request(bytes: &[u8]) -> usize {
    match Boundary::default().advance(bytes, &Limits::ACCEPTED) {
        Ok(Scan::Complete { len }) => len,
        _ => bytes.len(),
    }
}

/// RESP2 is 0, RESP3 is 1.
fn index(protocol: Protocol) -> usize {
    usize::from(protocol == Protocol::Resp3)
}

#[cfg(test)]
mod tests {
    use super::first_request;
    use slotmux_core::resp::write;

    #[test]
    fn the_first_request_has_an_end_however_long_it_is() {
        // More arguments than a client has by default.
        let mut bytes = Vec::new();
        write::array(&mut bytes, 1_050_000);
        for _ in 0..1_050_000 {
            write::bulk(&mut bytes, b"x");
        }
        let first = bytes.len();
        write::request(&mut bytes, &[b"PEXPIRE", b"x", b"1", b"NX"]);
        assert_eq!(first_request(&bytes), first);
    }
}
