//! Commands that the table lacks, as the upstream's `COMMAND` reply describes them.

/// To come.
pub struct Learned;
/// To come.
pub struct LearnedCommand;
