//! A whole worker between scripted clients and scripted nodes, all of it in this process: whatever the nodes say, in
//! whatever pieces, and wherever they hang up, every request gets exactly one reply, its own, in its place.
//!
//! Every case is made of one seed; `SLOTMUX_TEST_SEED=n` runs that one alone. What the two sides choose follows from it,
//! what comes first in the end does not. The fuzz target `worker` runs the same cases by choice instead of chance.

use tokio::runtime::{Builder, LocalOptions};

use slotmux_properties::sides::case;
use slotmux_properties::sides::dice::Dice;
use slotmux_properties::sides::node::Manners;
use slotmux_properties::worker;

/// Cases that run side by side: most of their time is waiting.
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
        assert!(replies > 0, "nobody was answered");
        assert_eq!(
            errors > 0,
            manners != Manners::Good,
            "{errors} errors in {replies} replies"
        );
    });
}

#[test]
fn polite_nodes_cause_no_error() {
    run(Manners::Good, slotmux_testing::times(16, 500));
}

#[test]
fn nodes_that_redirect_refuse_and_hang_up_confuse_nobody() {
    run(Manners::Bad, slotmux_testing::times(64, 5000));
}

#[test]
fn nodes_that_lie_break_nothing() {
    run(Manners::Lying, slotmux_testing::times(64, 5000));
}

/// What the fuzz target starts from, and what it once found.
#[test]
fn what_the_fuzzer_chose_confuses_nobody() {
    slotmux_testing::replay("worker", worker::check);
}
