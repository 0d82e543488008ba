//! Replays the seeds and the past findings of the fuzz targets through the same properties. The inputs of the target
//! `worker` are replayed by `tests/oracles/both_sides.rs`.

use slotmux_properties as properties;
use slotmux_testing::replay;

#[test]
fn request() {
    replay("request", properties::request::check);
}

#[test]
fn reply() {
    replay("reply", properties::reply::check);
}

#[test]
fn split_points() {
    replay("split_points", properties::split_points::check);
}

#[test]
fn differential() {
    replay("differential", properties::differential::check);
}

#[test]
fn ttl_plan() {
    replay("ttl_plan", properties::ttl_plan::check);
}

#[test]
fn c_strings() {
    replay("c_strings", properties::c_strings::check);
}

#[test]
fn cursor() {
    replay("cursor", properties::cursor::check);
}

#[test]
fn topology() {
    replay("topology", properties::topology::check);
}

#[test]
fn config() {
    replay("config", properties::config::check);
}

#[test]
fn joined() {
    replay("joined", properties::joined::check);
}

/// A fixed sample of fuzz inputs, for runs without a fuzzer.
fn of_random_choices(rounds: usize, check: fn(&[u8])) {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..rounds {
        let choices: Vec<u8> = (0..random.usize(24..96)).map(|_| random.u8(..)).collect();
        check(&choices);
    }
}

#[test]
fn ttl_plan_of_random_choices() {
    of_random_choices(100_000, properties::ttl_plan::check);
}

#[test]
fn c_strings_of_random_choices() {
    of_random_choices(100_000, properties::c_strings::check);
}

/// Fewer, as each change of the cluster in a scan builds a topology.
#[test]
fn cursor_of_random_choices() {
    of_random_choices(1_000, properties::cursor::check);
}
