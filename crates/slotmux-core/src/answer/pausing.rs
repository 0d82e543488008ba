//! The request of a `CLIENT PAUSE`.

use std::time::Duration;

/// The commands that a pause holds, from the fewest to the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PausedCommands {
    /// No commands.
    #[default]
    Nothing,
    /// Commands that may change data.
    Writes,
    /// All.
    Everything,
}

/// The request of a `CLIENT PAUSE` or `UNPAUSE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PauseRequest {
    /// The commands that wait. [`PausedCommands::Nothing`] ends a pause.
    pub hold: PausedCommands,
    /// Until when, from the moment that the command came.
    pub lasts: Duration,
}
