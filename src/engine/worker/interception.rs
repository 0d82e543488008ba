//! Interception of requests between their plan and its execution, while a client has asked for it: `CLIENT PAUSE` holds
//! them, `MONITOR` shows them.

use std::cell::Cell;

use crate::engine::monitor::Monitors;
use crate::engine::pause::ClientPause;
use slotmux_core::answer::pausing::PausedCommands;

/// Pauses and monitors of one worker.
#[derive(Default)]
pub struct Interception {
    /// Whether there is a pause or a monitor: the one thing that is looked at for each request.
    is_on: Cell<bool>,
    /// `CLIENT PAUSE`.
    pub pause: ClientPause,
    /// `MONITOR`.
    pub monitors: Monitors,
}

impl Interception {
    /// Whether requests have to be held or shown.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.is_on.get()
    }

    /// Takes a changed pause or monitor into account.
    pub fn update(&self) {
        let is_paused = self.pause.hold() != PausedCommands::Nothing;
        self.is_on.set(is_paused || self.monitors.is_active());
    }
}
