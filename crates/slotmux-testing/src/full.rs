//! The number of repetitions of randomized tests: `scripts/test --full` runs more.

/// Set by `scripts/test --full`.
const FULL: &str = "SLOTMUX_TEST_FULL";

/// Number of repetitions: `short` in every run, `full` in a full one.
pub fn times(short: usize, full: usize) -> usize {
    match std::env::var_os(FULL) {
        Some(_) => full,
        None => short,
    }
}
