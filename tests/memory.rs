//! Ways in which a few clients could take more memory than the limits let them, without one reply or one request that is
//! too large by itself. What counts is the most that slotmux ever held, not what is left afterwards.

mod common;

use common::client::command;
use common::{Neighbour, Proxy, Value, shared_cluster};

const MIB: usize = 1024 * 1024;
/// What may come on top of a limit: buffers that are copied as they grow, pools, what the allocator keeps.
const ALLOWANCE: u64 = 48 << 20;

/// Asserts that slotmux never held more than so many bytes above `before`.
#[track_caller]
fn assert_peak(proxy: &Proxy, before: u64, most: u64) {
    let grown = proxy.peak_rss().saturating_sub(before);
    assert!(grown < most, "{grown} bytes, not below {most}");
}

#[test]
fn the_answers_of_one_exec_are_bounded_while_they_are_made() {
    const COMMANDS: usize = 60_000;
    // Behind a WATCH slotmux answers once the node has said that the transaction runs.
    for is_watched in [false, true] {
        let proxy = Proxy::start(shared_cluster(), |config| {
            config.set("server.workers", 1);
            config.set("listener.limits.output_hard", "8MiB");
            config.set("log.level", "warn");
        });
        let neighbour = Neighbour::start(proxy.port(), "beside-exec");
        neighbour.goes_on();
        let before = proxy.rss();
        let mut greedy = proxy.client();
        if is_watched {
            assert_eq!(greedy.call(&["WATCH", "exec"]), Value::ok());
        }
        let body = command(&["INFO"]).repeat(COMMANDS);
        let bytes = [b"MULTI\r\n", &body[..], b"EXEC\r\n"].concat();
        // It is closed before it has everything.
        let _ = greedy.try_send_raw(&bytes);
        let replies = greedy.read_to_close();
        assert!(
            !replies.windows(5).any(|bytes| bytes == b"*6000"),
            "EXEC was answered"
        );
        assert_eq!(proxy.metric("slotmux_limit_closes_total"), Some(1.0));
        assert_peak(&proxy, before, 8 * MIB as u64 + ALLOWANCE);
        neighbour.goes_on();
        neighbour.finish();
        // One that asks for less gets it.
        let mut modest = proxy.client();
        if is_watched {
            assert_eq!(modest.call(&["WATCH", "exec"]), Value::ok());
        }
        modest.send_raw(b"MULTI\r\nINFO\r\nINFO\r\nEXEC\r\n");
        let replies: Vec<Value> = (0..4).map(|_| modest.read()).collect();
        assert_eq!(replies[3].items().len(), 2, "{:?}", replies[3]);
    }
}

#[test]
fn a_transaction_that_is_closed_for_its_size_gives_its_connections_back() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("server.workers", 1);
        config.set("listener.limits.output_hard", "64KiB");
        config.set("cluster.connections.dedicated_max", 1);
        config.set("log.level", "warn");
    });
    let value = "v".repeat(100_000);
    for round in 1..=3 {
        let mut greedy = proxy.client();
        // Big enough for a connection of its own.
        greedy.send_raw(b"MULTI\r\n");
        greedy.send(&["SET", "{exec}:big", &value]);
        greedy.send_raw(&[&command(&["INFO"]).repeat(200)[..], b"EXEC\r\n"].concat());
        greedy.read_to_close();
        assert_eq!(
            proxy.metric("slotmux_limit_closes_total"),
            Some(f64::from(round))
        );
    }
    // Nothing of them ran, and the one connection is free.
    let mut other = proxy.client();
    assert_eq!(other.call(&["EXISTS", "{exec}:big"]), Value::Integer(0));
    assert_eq!(other.call(&["SET", "{exec}:next", &value]), Value::ok());
}
