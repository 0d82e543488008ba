//! Requests that need the upstream before one is known. They wait until a command's deadline after the start of slotmux;
//! later ones are refused at once until there is an upstream.

use std::rc::Rc;

use crate::engine::worker::Worker;
use crate::engine::worker::clock::Tick;
use slotmux_core::command::{OwnAnswer, Unresolved};
use slotmux_core::config::UnknownCommands;
use slotmux_core::route::{Plan, TransactionCommand};

use crate::engine::client::{Client, Pause};

/// The error for requests that cannot wait any longer. `LOADING` is Redis' code for a server without data yet: client
/// libraries try again later.
pub const NO_UPSTREAM: &str =
    "LOADING slotmux is waiting for its upstream: no node has been reached yet";

/// Whether there is an upstream to send anything to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Upstream {
    /// Not yet; requests that need it wait.
    Awaited,
    /// Not yet, and for longer than a command may take.
    Missing,
    /// A topology is known. It may grow old, but never goes away again.
    Known,
}

/// Whether a request that was planned without a topology has to be planned again with one.
pub fn needs_upstream<T>(
    worker: &Worker,
    client: &Client,
    plan: &Plan,
    command: &Result<T, Unresolved>,
) -> bool {
    match plan {
        Plan::Forward { .. }
        | Plan::Split { .. }
        | Plan::CrossSlot { .. }
        | Plan::Anywhere { .. }
        | Plan::Everywhere { .. }
        | Plan::Acknowledged { .. }
        | Plan::Publish { .. }
        | Plan::Scan { .. }
        | Plan::Transaction(TransactionCommand::Watch { .. }) => true,
        // slotmux does not know the parameters of the data itself.
        Plan::AnswerWithNodes(OwnAnswer::Config, _) => true,
        Plan::Subscription(change) => change.subscribes,
        // The upstream may know a command that slotmux does not.
        Plan::Unknown(_) => {
            client.session.is_authenticated()
                && worker.config.commands.unknown == UnknownCommands::Learn
                && matches!(command, Err(Unresolved::Command))
        }
        // slotmux gives these answers itself.
        Plan::AnswerWithNodes(..) | Plan::Answer(..) | Plan::Transaction(_) | Plan::Refuse(..) => {
            false
        }
    }
}

impl Worker {
    /// Notes that an upstream is known, and resumes the clients that waited for it.
    pub fn found_upstream(&self) {
        if self.map.upstream.replace(Upstream::Known) != Upstream::Known {
            self.shared.worker_has_topology();
            self.resume_early();
        }
    }

    /// Ends the waiting once a command that came at the start is past its deadline.
    pub fn check_upstream(&self, now: Tick) {
        if self.map.upstream.get() == Upstream::Awaited
            && self.clock.started().is_over(self.timeouts.command, now)
        {
            self.map.upstream.set(Upstream::Missing);
            self.resume_early();
        }
    }

    fn resume_early(&self) {
        for client in self.clients.all() {
            client.resume_from(Pause::Upstream);
        }
    }
}

impl Client {
    /// Ends the pause if it is for this reason.
    pub fn resume_from(self: &Rc<Self>, reason: Pause) {
        if self.waiting.end_pause(reason) {
            self.wake();
        }
    }
}
