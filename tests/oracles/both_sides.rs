//! A whole worker between scripted clients and scripted nodes, all of it in this process: for any content, pieces and
//! hang-ups of the nodes, every request gets exactly one reply, its own, in its place.
//!
//! Every case is made from one seed; `SLOTMUX_TEST_SEED=n` runs only that case. The choices of both sides follow from
//! the seed, the timing does not. The fuzz target `worker` runs the same cases by choice instead of chance.

use tokio::runtime::{Builder, LocalOptions};

use slotmux_properties::sides::case;
use slotmux_properties::sides::dice::Dice;
use slotmux_properties::sides::node::Manners;
use slotmux_properties::worker;

/// Cases that run at the same time, as they mostly wait.
const TOGETHER: usize = 16;

/// Runs cases with nodes of these manners.
fn run(manners: Manners, cases: usize) {
    let only = std::env::var("SLOTMUX_TEST_SEED").ok();
    let only = only.map(|seed| seed.parse::<u64>().expect("SLOTMUX_TEST_SEED is a number"));
    let first = only.unwrap_or(1);
    let seeds: Vec<u64> = (first..).take(only.map_or(cases, |_| 1)).collect();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .expect("a runtime");
    runtime.block_on(async {
        let mut replies = 0;
        let mut errors = 0;
        for some in seeds.chunks(TOGETHER) {
            let cases: Vec<_> = some
                .iter()
                .map(|&seed| {
                    let case = case(manners, Dice::new(&[], Some(seed)));
                    (seed, tokio::task::spawn_local(case))
                })
                .collect();
            for (seed, case) in cases {
                let outcome = case
                    .await
                    .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
                replies += outcome.replies;
                errors += outcome.errors;
            }
        }
        assert!(replies > 0, "no request was answered");
        assert_eq!(
            errors > 0,
            manners != Manners::Good,
            "{errors} errors in {replies} replies"
        );
    });
}

#[test]
fn correct_nodes_cause_no_error() {
    run(Manners::Good, slotmux_testing::times(16, 500));
}

#[test]
fn nodes_that_redirect_refuse_and_hang_up_cause_no_wrong_reply() {
    run(Manners::Bad, slotmux_testing::times(64, 5000));
}

#[test]
fn nodes_that_send_wrong_bytes_break_nothing() {
    run(Manners::Invalid, slotmux_testing::times(64, 5000));
}

/// The seeds of the fuzz target, and its past findings.
#[test]
fn inputs_of_the_fuzzer_cause_no_wrong_reply() {
    slotmux_testing::replay("worker", worker::check);
}
