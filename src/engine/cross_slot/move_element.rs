//! LMOVE and RPOPLPUSH: the element first moves to a key of slotmux' own beside its source, atomically, then it is pushed
//! to the destination together with a mark that says so, and then the key and the mark are removed. So no element is
//! given twice as long as nothing fails, none is lost when something does, and who finds the key can tell what is left
//! to do.

use slotmux_core::resp::{integer_of, text_of};
use slotmux_core::route::cross_slot::brought::expiries_of;
use slotmux_core::route::cross_slot::names::{mark, parked};
use slotmux_core::slot::{Slot, slot_of};

use crate::engine::worker::clock::unix_milliseconds;

use super::Job;
use super::bring::commands_in;
use super::move_member::WRONG_TYPE;
use super::talk::{BlockOutcome, Effect, Talk, Trouble, request};

/// Milliseconds that a mark is kept where its removal fails: longer than anyone looks for parked elements.
const MARK_TTL: &[u8] = b"604800000";

/// The two ends of a move.
struct Move<'a> {
    source: &'a [u8],
    destination: &'a [u8],
    to_end: &'static [u8],
}

pub(super) async fn attempt(talk: &mut Talk, job: &Job) -> Result<Vec<u8>, Trouble> {
    const SYNTAX: &[u8] = b"-ERR syntax error\r\n";
    let own = job.request();
    let end = |word: &[u8]| match word {
        word if word.eq_ignore_ascii_case(b"left") => Some(&b"LEFT"[..]),
        word if word.eq_ignore_ascii_case(b"right") => Some(&b"RIGHT"[..]),
        _ => None,
    };
    let ends = match job.command.full_name() {
        "rpoplpush" => Some((&b"RIGHT"[..], &b"LEFT"[..])),
        _ => end(own.arg(3)).zip(end(own.arg(4))),
    };
    let Some((from_end, to_end)) = ends else {
        return Err(Trouble::Reply(SYNTAX.to_vec()));
    };
    let moved = Move {
        source: own.arg(1),
        destination: own.arg(2),
        to_end,
    };
    let (from, to) = (slot_of(moved.source), slot_of(moved.destination));
    talk.begin(&[from, to]).await?;
    if !look(talk, &moved, from, to).await? {
        return Ok(nil(talk));
    }
    let id = format!(
        "{}:{:016x}{:x}",
        unix_milliseconds(),
        talk.worker.cross_slot.secret,
        talk.worker.cross_slot.next_number()
    );
    let key = parked(from, &id, to_end, moved.destination);
    let claim = [request(&[b"LMOVE", moved.source, &key, from_end, b"LEFT"])];
    let reply = talk.ask(from, &claim, Effect::Write).await?.remove(0);
    let Some(element) = text_of(&reply).filter(|_| reply.starts_with(b"$")) else {
        return match reply.starts_with(b"-") {
            true => Err(Trouble::Reply(reply)),
            false => Ok(nil(talk)),
        };
    };
    talk.extend();
    talk.hold(element.len());
    let (expiries, _) = expiries_of(&own, job.decision.governed, &job.rewritten);
    let pushed = push(talk, &moved, to, &id, element, expiries).await;
    match pushed {
        Ok(()) => finish(talk, from, to, &key, &id).await,
        Err(Trouble::Reply(error)) => {
            // It was not pushed: it goes back to the end that it came from.
            let back = [request(&[b"LMOVE", &key, moved.source, b"LEFT", from_end])];
            let put_back = talk.ask(from, &back, Effect::Write).await;
            match put_back.map(|mut replies| replies.remove(0)) {
                Ok(reply) if reply.starts_with(b"$") => return Err(Trouble::Reply(error)),
                _ => return Err(left(&key)),
            }
        }
        Err(_) => return Err(left(&key)),
    }
    Ok(reply)
}

/// Whether there is something to move, and a destination that takes it.
async fn look(talk: &mut Talk, moved: &Move<'_>, from: Slot, to: Slot) -> Result<bool, Trouble> {
    let budget = talk.reply_budget();
    let length = [request(&[b"LLEN", moved.source])];
    let length = talk.send(from, &length, Effect::Read, &budget)?;
    let kind = [request(&[b"TYPE", moved.destination])];
    let kind = talk.send(to, &kind, Effect::Read, &budget)?;
    let length = talk.receive(length).await?.remove(0);
    let kind = talk.receive(kind).await?.remove(0);
    if length.starts_with(b"-") {
        return Err(Trouble::Reply(length));
    }
    let has_any = integer_of(&length).is_some_and(|length| length > 0);
    if has_any && !matches!(text_of(&kind), Some(b"list" | b"none")) {
        return Err(Trouble::Reply(WRONG_TYPE.to_vec()));
    }
    Ok(has_any)
}

/// Pushes the element, and marks that in the same transaction. It is tried again as long as the mark shows that no try
/// before has done it; each watches the mark, so that at most one of them can.
async fn push(
    talk: &mut Talk,
    moved: &Move<'_>,
    to: Slot,
    id: &str,
    element: &[u8],
    expiries: &[u8],
) -> Result<(), Trouble> {
    let mark = mark(to, id);
    let command: &[u8] = if moved.to_end == b"LEFT" {
        b"LPUSH"
    } else {
        b"RPUSH"
    };
    let mut commands = vec![request(&[command, moved.destination, element])];
    commands.extend(commands_in(expiries));
    commands.push(request(&[b"SET", &mark, b"", b"PX", MARK_TTL]));
    let mut is_first = true;
    loop {
        if !std::mem::take(&mut is_first) {
            if !talk.has_time() {
                return Err(Trouble::Again);
            }
            tokio::time::sleep(super::PAUSES.1).await;
            talk.begin(&[slot_of(moved.source), to]).await?;
        }
        let budget = talk.reply_budget();
        let looks = [request(&[b"EXISTS", &mark])];
        let tried = async {
            let awaited = talk.watch(to, &[&mark], &looks, &budget)?;
            if integer_of(&talk.receive_watched(awaited).await?[0]) == Some(1) {
                return Ok(true);
            }
            let done = talk.block(to, commands.clone(), Effect::Write).await?;
            let BlockOutcome::Done(replies) = done else {
                return Ok(false);
            };
            match replies[0].starts_with(b"-") {
                false => Ok(true),
                // The mark was set all the same.
                true => {
                    let unmark = [request(&[b"DEL", &mark])];
                    talk.ask(to, &unmark, Effect::Write).await?;
                    Err(Trouble::Reply(replies[0].clone()))
                }
            }
        };
        match tried.await {
            Ok(true) => return Ok(()),
            Ok(false) | Err(Trouble::Again | Trouble::Error(_)) => {}
            Err(trouble) => return Err(trouble),
        }
    }
}

/// Removes the parked key, then the mark. If one of them stays, it says the truth: a parked key with its mark was pushed.
async fn finish(talk: &mut Talk, from: Slot, to: Slot, key: &[u8], id: &str) {
    let unpark = [request(&[b"DEL", key])];
    if talk.ask(from, &unpark, Effect::Write).await.is_ok() {
        let unmark = [request(&[b"DEL", &mark(to, id)])];
        // It expires otherwise.
        let _ = talk.ask(to, &unmark, Effect::Write).await;
    }
}

fn nil(talk: &Talk) -> Vec<u8> {
    let mut nil = Vec::new();
    slotmux_core::resp::write::null(&mut nil, talk.protocol());
    nil
}

/// The error if it is not known whether the destination has the element.
fn left(key: &[u8]) -> Trouble {
    Trouble::Error(format!(
        "ERR slotmux: the element was taken from the source, and it is not known whether the destination has it; it is \
         kept in the key {}",
        key.escape_ascii()
    ))
}
