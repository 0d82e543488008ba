//! `CLIENT PAUSE`: a worker holds all commands, or those that may write, for some time. A client whose next command is held
//! is not read until then; commands in flight go on.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::engine::client::{Client, Pause};
use crate::engine::shared::Mail;
use crate::engine::worker::Worker;
use slotmux_core::answer::pausing::{PauseRequest, PausedCommands};

/// How often the workers are asked whether writes are still in flight.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A pause as one worker keeps it.
#[derive(Debug, Default)]
pub struct ClientPause {
    hold: Cell<PausedCommands>,
    /// When it ends. `None`: there is no pause.
    ends: Cell<Option<Instant>>,
    /// Notifies the task that waits for the end of a changed end.
    changed: Notify,
    has_task: Cell<bool>,
}

impl ClientPause {
    /// The commands that are held now.
    pub fn hold(&self) -> PausedCommands {
        self.hold.get()
    }
}

/// A pause as INFO reports it.
#[derive(Clone, Copy, Debug, Default)]
pub struct PauseNote {
    hold: PausedCommands,
    ends: Option<Instant>,
}

impl PauseNote {
    /// The commands that are held, and for how long.
    pub fn left(self) -> (PausedCommands, Duration) {
        let left = self
            .ends
            .map(|ends| ends.saturating_duration_since(Instant::now()));
        match left {
            Some(left) if !left.is_zero() => (self.hold, left),
            _ => Default::default(),
        }
    }
}

impl Worker {
    /// Begins, prolongs or ends the pause. As in Redis a second pause makes the first neither milder nor shorter.
    pub fn pause_clients(self: &Rc<Self>, pausing: PauseRequest, begins: Instant) {
        let pause = &self.interception.pause;
        if pausing.hold == PausedCommands::Nothing {
            self.end_pause();
            pause.changed.notify_one();
            return;
        }
        // Clocks do not go further.
        const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);
        let ends = begins + pausing.lasts.min(LONGEST);
        pause.hold.set(pause.hold.get().max(pausing.hold));
        pause.ends.set(pause.ends.get().max(Some(ends)));
        self.note_pause();
        self.interception.update();
        pause.changed.notify_one();
        if !pause.has_task.replace(true) {
            tokio::task::spawn_local(wait_for_end(self.clone()));
        }
    }

    /// All workers keep the same pause, so any of them may report it.
    fn note_pause(&self) {
        let pause = &self.interception.pause;
        if let Ok(mut note) = self.shared.paused.lock() {
            *note = PauseNote {
                hold: pause.hold.get(),
                ends: pause.ends.get(),
            };
        }
    }

    fn end_pause(&self) {
        self.interception.pause.ends.set(None);
        self.interception.pause.hold.set(PausedCommands::Nothing);
        self.note_pause();
        self.interception.update();
        for client in self.clients.all() {
            client.end_hold(self);
        }
    }
}

impl Client {
    /// Its next command waits for the end of the pause.
    pub fn hold(&self, worker: &Worker) {
        if !self.is_held() {
            worker.stats.paused_clients.inc();
        }
        self.pause_for(Pause::Held);
    }

    /// Ends the hold: the pause is over, or the client leaves.
    pub fn end_hold(&self, worker: &Worker) {
        if self.is_held() {
            worker.stats.paused_clients.dec();
            self.pause_for(Pause::No);
            self.wake();
        }
    }
}

/// Waits, during a pause, until writes that were dispatched before it are answered: as after Redis' own reply, nothing is
/// written then. Ends at a command's deadline at the latest.
pub async fn settle(worker: &Worker, begins: std::time::Instant) {
    let patience = worker.config.cluster.timeouts.command;
    while worker.interception.pause.hold() != PausedCommands::Nothing && begins.elapsed() < patience
    {
        let writes = worker.shared.ask_all(Mail::Writes).await;
        if !writes.contains(&true) {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn wait_for_end(worker: Rc<Worker>) {
    let pause = &worker.interception.pause;
    while let Some(ends) = pause.ends.get() {
        // A notification is not an error: the end is read again.
        let _ = tokio::time::timeout_at(ends, pause.changed.notified()).await;
        if pause.ends.get().is_some_and(|ends| ends <= Instant::now()) {
            worker.contained("the end of a pause", || worker.end_pause());
        }
    }
    pause.has_task.set(false);
}
