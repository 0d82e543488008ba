//! Parking of an element between its source and its destination: in a key of slotmux' own in the slot of the source. The
//! name of the key states the remaining step.

use slotmux_core::command::{CommandRef, resolve};
use slotmux_core::policy::{Governed, commands_of};
use slotmux_core::resp::{Limits, Scan, scan_request};
use slotmux_core::route::cross_slot::names::{mark, parked};
use slotmux_core::route::parts::govern_part;
use slotmux_core::slot::slot_of;

use crate::engine::worker::clock::unix_milliseconds;

use super::bring::commands_in;
use super::exchange::{BlockOutcome, Effect};
use super::talk::{Talk, Trouble};

/// The keys of slotmux' own in one move.
pub(super) struct Parked {
    /// The parked key, in the slot of the source.
    pub key: Vec<u8>,
    /// The mark that the element was pushed, in the slot of the destination.
    pub mark: Vec<u8>,
}

impl Parked {
    /// Names for a move from `source` to `destination`, to its end or place `to`.
    pub fn new(talk: &Talk, source: &[u8], to: &[u8], destination: &[u8]) -> Parked {
        let state = &talk.worker.cross_slot;
        let (time, number) = (unix_milliseconds(), state.next_number());
        let id = format!("{time}:{:016x}{number:x}", state.secret);
        Parked {
            key: parked(slot_of(source), &id, to, destination),
            mark: mark(slot_of(destination), &id),
        }
    }

    /// Puts it back by `command`, which writes `source` and follows its policy. The error is that of the destination.
    pub async fn put_back(
        &self,
        talk: &mut Talk,
        source: &[u8],
        command: Vec<u8>,
        error: Vec<u8>,
    ) -> Trouble {
        talk.extend();
        // It empties the parked key, which then is gone.
        let commands = governed(talk, &command);
        let budget = talk.reply_budget();
        let done = async {
            talk.begin(&[source]).await?;
            let sent = talk.send_block(source, commands, Effect::Write, &budget)?;
            talk.receive_block(sent).await
        };
        match done.await {
            Ok(BlockOutcome::Done(replies))
                if replies[0] == b":1\r\n" || replies[0].starts_with(b"$") =>
            {
                Trouble::Reply(error)
            }
            _ => self.left(),
        }
    }

    /// The error if it is not known whether the destination has it.
    pub fn left(&self) -> Trouble {
        Trouble::Error(format!(
            "ERR slotmux: the element was taken from the source, and it is not known whether the destination has it; it \
             is kept in the key {}",
            self.key.escape_ascii()
        ))
    }
}

/// A command of slotmux' own with the expiries that the policy of its key wants behind it.
fn governed(talk: &Talk, command: &[u8]) -> Vec<Vec<u8>> {
    let as_it_is = || vec![command.to_vec()];
    let mut args = Vec::new();
    if !matches!(
        scan_request(command, &Limits::ACCEPTED, &mut args),
        Ok(Scan::Complete { .. })
    ) {
        return as_it_is();
    }
    let Ok(known) = resolve(command, &args) else {
        return as_it_is();
    };
    let mut instead = Vec::new();
    let decision = talk.worker.with_knowledge(|knowledge| {
        let command_ref = CommandRef::Table(known);
        govern_part(
            knowledge.policies,
            command_ref,
            command,
            knowledge.now,
            &mut instead,
        )
    });
    match decision.map(|decision| decision.governed) {
        Some(Governed::Block(shape)) => commands_in(commands_of(shape, &instead)),
        _ => as_it_is(),
    }
}

/// Sends a command on one key, to the node that has it, until it was certainly sent once.
pub(super) async fn insist(
    talk: &mut Talk,
    key: &[u8],
    command: Vec<u8>,
) -> Result<Vec<u8>, Trouble> {
    let commands = [command];
    loop {
        match talk.ask(key, &commands, Effect::Write).await {
            Ok(mut replies) => return Ok(replies.remove(0)),
            Err(Trouble::Again) if talk.has_time() => {}
            Err(trouble) => return Err(trouble),
        }
        tokio::time::sleep(super::PAUSES.0).await;
        // An error shows in the next try as well.
        let _ = talk.begin(&[key]).await;
    }
}

/// Runs a block on one key until it was answered, more than once if need be.
pub(super) async fn insist_on_block(
    talk: &mut Talk,
    key: &[u8],
    commands: &[Vec<u8>],
) -> Result<Vec<Vec<u8>>, Trouble> {
    loop {
        match talk.block(key, commands.to_vec(), Effect::Write).await {
            Ok(BlockOutcome::Done(replies)) => return Ok(replies),
            Err(Trouble::Reply(error)) => return Ok(vec![error]),
            Ok(BlockOutcome::Nil) | Err(_) if talk.has_time() => {}
            Ok(BlockOutcome::Nil) => return Err(Trouble::Again),
            Err(trouble) => return Err(trouble),
        }
        tokio::time::sleep(super::PAUSES.1).await;
        // As above.
        let _ = talk.begin(&[key]).await;
    }
}
