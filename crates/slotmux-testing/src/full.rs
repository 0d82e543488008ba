//! How long a test looks for what chance may bring: `scripts/test --full` has more patience.

/// Set by `scripts/test --full`.
const FULL: &str = "SLOTMUX_TEST_FULL";

/// How often something is done: `short` times in every run, `full` times in a full one.
pub fn times(short: usize, full: usize) -> usize {
    match std::env::var_os(FULL) {
        Some(_) => full,
        None => short,
    }
}
