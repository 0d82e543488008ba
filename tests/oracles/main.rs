//! Comparisons with a real Redis, and properties that hold for any input.

mod answers;
mod both_sides;
mod command_table;
mod differential;
mod foreign_bytes;
mod fuzz_regressions;
mod transcript;
