//! SMOVE: the member is added to the destination before it is removed from the source, and only from a source that has
//! not changed meanwhile. A failure in between leaves it in both sets; it is never in none.

use slotmux_core::resp::{integer_of, text_of};
use slotmux_core::route::cross_slot::brought::expiries_of;
use slotmux_core::slot::slot_of;

use super::bring::commands_in;
use super::talk::{BlockOutcome, Effect, Talk, Trouble, request};
use super::{Job, Progress};

pub(super) const WRONG_TYPE: &[u8] =
    b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";

const STAYS: &str = "TRYAGAIN slotmux: not completed, the destination has the member, and the source may have it too";

pub(super) async fn attempt(
    talk: &mut Talk,
    job: &Job,
    progress: &mut Progress,
) -> Result<Vec<u8>, Trouble> {
    let own = job.request();
    let (source, destination, member) = (own.arg(1), own.arg(2), own.arg(3));
    let (from, to) = (slot_of(source), slot_of(destination));
    talk.begin_apart(&[from, to]).await?;
    let budget = talk.reply_budget();
    let looks = [
        request(&[b"EXISTS", source]),
        request(&[b"SISMEMBER", source, member]),
    ];
    let source_type = talk.watch(from, &[source], &looks, &budget)?;
    let looks = [request(&[b"TYPE", destination])];
    let destination_type = talk.send(to, &looks, Effect::Read, &budget)?;
    let in_source = talk.receive_watched(source_type).await?;
    let of_destination = talk.receive(destination_type).await?.remove(0);
    if let Some(error) = in_source.iter().find(|reply| reply.starts_with(b"-")) {
        return Err(Trouble::Reply(error.clone()));
    }
    let exists = integer_of(&in_source[0]) == Some(1);
    let is_set = matches!(text_of(&of_destination), Some(b"set" | b"none"));
    if exists && !is_set {
        return Err(Trouble::Reply(WRONG_TYPE.to_vec()));
    }
    if integer_of(&in_source[1]) != Some(1) {
        // Another client has taken the member from the source: what was added is taken back.
        if progress.has_written {
            let undo = [request(&[b"SREM", destination, member])];
            talk.ask(to, &undo, Effect::Write).await?;
        }
        return Ok(b":0\r\n".to_vec());
    }
    let mut commands = vec![request(&[b"SADD", destination, member])];
    let (expiries, _) = expiries_of(&own, job.decision.governed, &job.rewritten);
    commands.extend(commands_in(expiries));
    let BlockOutcome::Done(replies) = talk.block(to, commands, Effect::Write).await? else {
        return Err(Trouble::Again);
    };
    if replies[0].starts_with(b"-") {
        return Err(Trouble::Reply(replies[0].clone()));
    }
    if integer_of(&replies[0]) == Some(1) && !progress.has_written {
        progress.has_written = true;
        progress.left_behind = Some(STAYS.to_owned());
        talk.extend();
    }
    let removal = vec![request(&[b"SREM", source, member])];
    match talk.block(from, removal, Effect::Write).await? {
        BlockOutcome::Done(_) => Ok(b":1\r\n".to_vec()),
        BlockOutcome::Nil => Err(Trouble::Again),
    }
}
