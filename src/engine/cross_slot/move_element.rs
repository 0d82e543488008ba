//! LMOVE and RPOPLPUSH: the element first moves to a key of slotmux' own beside its source, atomically, then it is pushed
//! to the destination together with a mark that says so, and then the key and the mark are removed. So no element is
//! given twice as long as nothing fails, and none is lost when something does: the parked key shows the remaining steps.

use slotmux_core::resp::{integer_of, text_of};
use slotmux_core::route::cross_slot::brought::expiries_of;

use super::bring::commands_in;
use super::exchange::{BlockOutcome, Effect, request};
use super::move_member::WRONG_TYPE;
use super::parking::{Parked, insist};
use super::talk::{Talk, Trouble};
use super::{Job, RESTLESS};

/// Milliseconds that a mark is kept where its removal fails: longer than anyone looks for parked elements.
const MARK_TTL: &[u8] = b"604800000";

/// Lengths of a mark: the destination has the element, or a try was refused.
const PUSHED: i64 = 1;
const NOT_PUSHED: i64 = 2;

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
    let names = Parked::new(talk, moved.source, to_end, moved.destination);
    talk.begin(&[moved.source, moved.destination]).await?;
    if !look(talk, &moved, &names).await? {
        return Ok(nil(talk));
    }
    let claim = [request(&[
        b"LMOVE",
        moved.source,
        &names.key,
        from_end,
        b"LEFT",
    ])];
    let reply = talk
        .ask(moved.source, &claim, Effect::Write)
        .await?
        .remove(0);
    let Some(element) = text_of(&reply).filter(|_| reply.starts_with(b"$")) else {
        return match reply.starts_with(b"-") {
            true => Err(Trouble::Reply(reply)),
            false => Ok(nil(talk)),
        };
    };
    talk.extend();
    talk.hold(element.len());
    let (expiries, _) = expiries_of(&own, job.decision.governed, &job.rewritten);
    match push(talk, &moved, &names, element, expiries).await {
        Pushed::Yes => finish(talk, &names).await,
        Pushed::No(trouble) => {
            // It goes back to the end that it came from.
            let back = request(&[b"LMOVE", &names.key, moved.source, b"LEFT", from_end]);
            let source = moved.source;
            return Err(match trouble {
                Trouble::Reply(error) => names.put_back(talk, source, back, error).await,
                _ => {
                    let error = [b"-", RESTLESS.as_bytes(), b"\r\n"].concat();
                    names.put_back(talk, source, back, error).await
                }
            });
        }
        Pushed::Unknown => return Err(names.left()),
    }
    Ok(reply)
}

/// Whether the destination has the element.
enum Pushed {
    Yes,
    /// It does not, for this reason.
    No(Trouble),
    Unknown,
}

/// Whether there is an element to move, and a destination that accepts it: a node that hands the slot of the destination
/// over refuses commands on several of its keys.
async fn look(talk: &mut Talk, moved: &Move<'_>, names: &Parked) -> Result<bool, Trouble> {
    let budget = talk.reply_budget();
    let length = [request(&[b"LLEN", moved.source])];
    let length = talk.send(moved.source, &length, Effect::Read, &budget)?;
    let kind = [
        request(&[b"TYPE", moved.destination]),
        request(&[b"EXISTS", moved.destination, &names.mark]),
    ];
    let kind = talk.send(moved.destination, &kind, Effect::Read, &budget)?;
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

/// Pushes the element, and marks that in the same transaction: the mark is a list of two, of which LMOVE takes the element
/// to the destination, so that it has one left if and only if the destination has the element. The push is tried again as
/// long as the mark shows that no try before has done it; each watches the mark, so that at most one of them can.
async fn push(
    talk: &mut Talk,
    moved: &Move<'_>,
    names: &Parked,
    element: &[u8],
    expiries: &[u8],
) -> Pushed {
    let mut commands = vec![
        request(&[b"RPUSH", &names.mark, element, b""]),
        request(&[
            b"LMOVE",
            &names.mark,
            moved.destination,
            b"LEFT",
            moved.to_end,
        ]),
    ];
    commands.extend(commands_in(expiries));
    commands.push(request(&[b"PEXPIRE", &names.mark, MARK_TTL]));
    let mut is_unknown = false;
    loop {
        match try_push(talk, names, commands.clone()).await {
            Ok(true) => return Pushed::Yes,
            Err(Trouble::Reply(error)) if !is_unknown => return Pushed::No(Trouble::Reply(error)),
            // It may have run, and the next try finds the mark if it has.
            Err(Trouble::Error(_)) => is_unknown = true,
            _ => {}
        }
        if !talk.has_time() {
            return match is_unknown {
                true => Pushed::Unknown,
                false => Pushed::No(Trouble::Again),
            };
        }
        tokio::time::sleep(super::PAUSES.1).await;
        // An error shows in the next try as well.
        let _ = talk.begin(&[&names.mark]).await;
    }
}

/// One try; returns whether the element was pushed, by this one or by one before.
async fn try_push(
    talk: &mut Talk,
    names: &Parked,
    commands: Vec<Vec<u8>>,
) -> Result<bool, Trouble> {
    let budget = talk.reply_budget();
    let looks = [request(&[b"LLEN", &names.mark])];
    let awaited = talk.watch(&names.mark, &looks, &budget)?;
    match integer_of(&talk.receive_watched(awaited).await?[0]) {
        Some(PUSHED) => return Ok(true),
        Some(NOT_PUSHED) => return refused(talk, names, WRONG_TYPE.to_vec()).await,
        _ => {}
    }
    let done = talk
        .block_beside(&names.mark, commands, Effect::Write)
        .await?;
    let BlockOutcome::Done(replies) = done else {
        return Ok(false);
    };
    let refusal = replies[..2].iter().find(|reply| reply.starts_with(b"-"));
    match refusal {
        Some(error) => refused(talk, names, error.clone()).await,
        None => Ok(true),
    }
}

/// The destination does not take the element. Removes the mark, which otherwise expires and still says so.
async fn refused(talk: &mut Talk, names: &Parked, error: Vec<u8>) -> Result<bool, Trouble> {
    let unmark = [request(&[b"DEL", &names.mark])];
    let _ = talk.ask(&names.mark, &unmark, Effect::Write).await;
    Err(Trouble::Reply(error))
}

/// Removes the parked key, then the mark: a parked key without its mark would count as not pushed.
async fn finish(talk: &mut Talk, names: &Parked) {
    talk.extend();
    let unpark = request(&[b"DEL", &names.key]);
    if insist(talk, &names.key, unpark).await.is_ok() {
        // It expires otherwise.
        let _ = insist(talk, &names.mark, request(&[b"DEL", &names.mark])).await;
    }
}

fn nil(talk: &Talk) -> Vec<u8> {
    let mut nil = Vec::new();
    slotmux_core::resp::write::null(&mut nil, talk.protocol());
    nil
}
