//! The request of a `CLIENT PAUSE`.

use std::time::Duration;

/// Which commands wait, from the fewest to the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PausedCommands {
    /// None.
    #[default]
    Nothing,
    /// Those that may change something.
    Writes,
    /// All.
    Everything,
}

/// The request of a `CLIENT PAUSE` or `UNPAUSE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PauseRequest {
    /// Which commands wait. [`PausedCommands::Nothing`] ends a pause.
    pub hold: PausedCommands,
    /// Until when, from the moment that the command came.
    pub lasts: Duration,
}
