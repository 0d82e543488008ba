//! A whole worker between scripted clients and scripted nodes, all of it in this process: whatever the nodes say, in
//! whatever pieces, and wherever they hang up, every request gets exactly one reply, its own, in its place.
//!
//! Every case is made of one seed; `SLOTMUX_TEST_SEED=n` runs that one alone. What the two sides choose follows from it,
//! what comes first in the end does not.

#[path = "../common/full.rs"]
mod full;

mod client;
mod node;
mod request;
mod world;

use std::time::Duration;

use fastrand::Rng;
use tokio::runtime::{Builder, LocalOptions};

use client::{Outcome, bother, converse};
use node::Manners;
use world::World;

/// Cases that run side by side: most of their time is waiting.
const TOGETHER: usize = 16;
/// How long the replies of a case may take: several deadlines of commands one after the other.
const PATIENCE: Duration = Duration::from_secs(60);

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
                .map(|&seed| (seed, tokio::task::spawn_local(case(manners, seed))))
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

/// One worker, a few nodes, a few clients.
async fn case(manners: Manners, seed: u64) -> Outcome {
    let mut rng = Rng::with_seed(seed);
    let world = World::start(manners, &mut rng).await;
    let mut clients = Vec::new();
    for id in 0..rng.usize(1..=6) {
        let (stream, rng) = (world.connect(), rng.fork());
        clients.push(tokio::task::spawn_local(converse(stream, rng, manners, id)));
    }
    let nuisance = tokio::task::spawn_local(bother(world.connect(), rng.fork()));
    let mut all = Outcome::default();
    for client in clients {
        let outcome = tokio::time::timeout(PATIENCE, client)
            .await
            .unwrap_or_else(|_| panic!("seed {seed}: a request was not answered"));
        let outcome = outcome.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        all.replies += outcome.replies;
        all.errors += outcome.errors;
    }
    nuisance.await.expect("the nuisance");
    world.end(seed).await;
    all
}

#[test]
fn polite_nodes_cause_no_error() {
    run(Manners::Good, full::times(16, 500));
}

#[test]
fn nodes_that_redirect_refuse_and_hang_up_confuse_nobody() {
    run(Manners::Bad, full::times(64, 5000));
}

#[test]
fn nodes_that_lie_break_nothing() {
    run(Manners::Lying, full::times(64, 5000));
}
