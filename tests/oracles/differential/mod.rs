//! The differential test: random programs of several clients, run against slotmux in front of a cluster and against one
//! plain Redis, every reply compared. A program that differs is made smaller and shown with its seed.

mod both;
mod bus;
mod generate;
mod grammar;
mod run;
mod shrink;
mod step;

use crate::transcript::pair::{Pair, speaks_7_0};
use generate::Source;
use run::run;
use shrink::shrink;
use slotmux_testing::client::command as encode;
use slotmux_testing::{Shared, times};

/// A cluster for this test alone, which removes all keys.
static CLUSTER: Shared = Shared::new();

/// Seed of the first program, unless SLOTMUX_DIFFERENTIAL_SEED gives another; the next programs have the following
/// numbers.
const SEED: u64 = 2026;

/// Number of programs.
const PROGRAMS: usize = 80;

#[test]
fn random_programs_behave_as_on_one_redis() {
    if !speaks_7_0() {
        return;
    }
    let given = std::env::var("SLOTMUX_DIFFERENTIAL_SEED").ok();
    let first = given.map_or(SEED, |seed| seed.parse().expect("a number"));
    let pair = Pair::start(CLUSTER.cluster(), None, |config| {
        config.set("defaults.namespace.multi", "split");
    });
    let source = Source::new(SEED);
    let mut commands = 0;
    for seed in (first..).take(times(PROGRAMS, 20 * PROGRAMS)) {
        println!("SLOTMUX_DIFFERENTIAL_SEED={seed}");
        let program = source.program(seed);
        let Some(found) = run(&pair, &program) else {
            commands += program
                .steps
                .iter()
                .flat_map(|step| step.pipelines())
                .map(|one| one.commands.len())
                .sum::<usize>();
            continue;
        };
        let small = shrink(&program, |smaller| {
            run(&pair, smaller).is_some_and(|again| again.kind == found.kind)
        });
        let last =
            run(&pair, &small).map_or("it does not differ again".to_owned(), |again| again.text);
        panic!(
            "SLOTMUX_DIFFERENTIAL_SEED={seed}\n{}\nmade smaller:\n{last}\nby this program:\n{small}\nmade from this one:\n{program}",
            found.text
        );
    }
    println!("{commands} commands");
    assert!(commands > 10_000, "{commands}");
}
