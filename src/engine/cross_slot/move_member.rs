//! SMOVE: the member first moves to a key of slotmux' own beside its source, in one transaction, then it is added to the
//! destination, and then that key is removed. So a member that two clients move is moved once, and none is lost when
//! something fails.

use slotmux_core::resp::{integer_of, text_of};
use slotmux_core::route::cross_slot::brought::expiries_of;

use super::Job;
use super::bring::commands_in;
use super::exchange::{BlockOutcome, Effect, request};
use super::parking::{Parked, insist, insist_on_block};
use super::talk::{Talk, Trouble};

pub(super) const WRONG_TYPE: &[u8] =
    b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";

pub(super) async fn attempt(talk: &mut Talk, job: &Job) -> Result<Vec<u8>, Trouble> {
    let own = job.request();
    let (source, destination, member) = (own.arg(1), own.arg(2), own.arg(3));
    talk.begin_apart(&[source, destination]).await?;
    if !look(talk, source, destination, member).await? {
        return Ok(b":0\r\n".to_vec());
    }
    let parked = Parked::new(talk, source, b"MEMBER", destination);
    let claim = vec![
        request(&[b"SREM", source, member]),
        request(&[b"SADD", &parked.key, member]),
    ];
    match talk.block_beside(source, claim, Effect::Write).await? {
        BlockOutcome::Done(replies) if replies[0] == b":1\r\n" => {}
        BlockOutcome::Done(replies) => return Err(Trouble::Reply(replies[0].clone())),
        BlockOutcome::Nil => return Err(Trouble::Again),
    }
    talk.extend();
    let mut commands = vec![request(&[b"SADD", destination, member])];
    let (expiries, _) = expiries_of(&own, job.decision.governed, &job.rewritten);
    commands.extend(commands_in(expiries));
    // A second time it changes nothing.
    match insist_on_block(talk, destination, &commands).await {
        Ok(replies) if replies[0].starts_with(b"-") => {
            let back = request(&[b"SMOVE", &parked.key, source, member]);
            return Err(parked
                .put_back(talk, source, back, replies[0].clone())
                .await);
        }
        Ok(_) => {}
        Err(_) => return Err(parked.left()),
    }
    talk.extend();
    // Otherwise it stays, and shows what was done.
    let _ = insist(talk, &parked.key, request(&[b"DEL", &parked.key])).await;
    Ok(b":1\r\n".to_vec())
}

/// Whether the source has the member, and watches the source.
async fn look(
    talk: &mut Talk,
    source: &[u8],
    destination: &[u8],
    member: &[u8],
) -> Result<bool, Trouble> {
    let budget = talk.reply_budget();
    let looks = [
        request(&[b"EXISTS", source]),
        request(&[b"SISMEMBER", source, member]),
    ];
    let in_source = talk.watch(source, &looks, &budget)?;
    let looks = [request(&[b"TYPE", destination])];
    let kind = talk.send(destination, &looks, Effect::Read, &budget)?;
    let in_source = talk.receive_watched(in_source).await?;
    let kind = talk.receive(kind).await?.remove(0);
    if let Some(error) = in_source.iter().find(|reply| reply.starts_with(b"-")) {
        return Err(Trouble::Reply(error.clone()));
    }
    let exists = integer_of(&in_source[0]) == Some(1);
    if exists && !matches!(text_of(&kind), Some(b"set" | b"none")) {
        return Err(Trouble::Reply(WRONG_TYPE.to_vec()));
    }
    Ok(integer_of(&in_source[1]) == Some(1))
}
