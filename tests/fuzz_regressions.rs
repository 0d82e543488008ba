//! Replays what the fuzz targets start from and what they once found, through the same properties. The inputs of
//! the target `worker` are replayed by `tests/both_sides`.

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use fuzz::choices;
use replay::replay;

#[path = "../fuzz/src/engine/config.rs"]
mod config;
#[path = "../fuzz/src/engine/joined.rs"]
mod joined;
#[path = "common/replay.rs"]
mod replay;

#[test]
fn request() {
    replay("request", fuzz::request::check);
}

#[test]
fn reply() {
    replay("reply", fuzz::reply::check);
}

#[test]
fn split_points() {
    replay("split_points", fuzz::split_points::check);
}

#[test]
fn differential() {
    replay("differential", fuzz::differential::check);
}

#[test]
fn ttl_plan() {
    replay("ttl_plan", fuzz::ttl_plan::check);
}

#[test]
fn c_strings() {
    replay("c_strings", fuzz::c_strings::check);
}

#[test]
fn cursor() {
    replay("cursor", fuzz::cursor::check);
}

#[test]
fn topology() {
    replay("topology", fuzz::topology::check);
}

#[test]
fn config() {
    replay("config", config::check);
}

#[test]
fn joined() {
    replay("joined", joined::check);
}

/// Without a fuzzer at hand, a fixed sample of what it would try.
fn of_random_choices(check: fn(&[u8])) {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..100_000 {
        let choices: Vec<u8> = (0..random.usize(24..96)).map(|_| random.u8(..)).collect();
        check(&choices);
    }
}

#[test]
fn ttl_plan_of_random_choices() {
    of_random_choices(fuzz::ttl_plan::check);
}

#[test]
fn c_strings_of_random_choices() {
    of_random_choices(fuzz::c_strings::check);
}
