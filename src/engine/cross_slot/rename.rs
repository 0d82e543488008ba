//! RENAME and RENAMENX: the destination is written before the source is removed, and the source only if it has not
//! changed meanwhile. So the value is never lost: a failure in between leaves it under both names.

use slotmux_core::resp::{integer_of, text_of};
use slotmux_core::route::cross_slot::brought::expiries_of;

use super::bring::commands_in;
use super::exchange::{BlockOutcome, Effect, request};
use super::talk::{Talk, Trouble};
use super::{Job, Progress};

const NO_SUCH_KEY: &[u8] = b"-ERR no such key\r\n";

const STAYS: &str = "TRYAGAIN slotmux: not completed, the destination has the value, and the source may have it too";

pub(super) async fn attempt(
    talk: &mut Talk,
    job: &Job,
    is_nx: bool,
    progress: &mut Progress,
) -> Result<Vec<u8>, Trouble> {
    if is_nx && progress.has_written {
        // A second copy could replace what another client has written since.
        return Err(Trouble::Error(STAYS.to_owned()));
    }
    let own = job.request();
    let (source, destination) = (own.arg(1), own.arg(2));
    talk.begin_apart(&[source, destination]).await?;
    let budget = talk.reply_budget();
    let most = talk.worker.config.commands.cross_slot_max;
    budget.set(most);
    let looks = [request(&[b"PTTL", source]), request(&[b"DUMP", source])];
    let awaited = talk.watch(source, &looks, &budget)?;
    let replies = match talk.receive_watched(awaited).await {
        Err(Trouble::HugeReply(_)) => {
            return Err(Trouble::Error(format!(
                "ERR slotmux: not executed, the source is longer than commands.cross_slot_max ({most} bytes)"
            )));
        }
        replies => replies?,
    };
    if let Some(error) = replies.iter().find(|reply| reply.starts_with(b"-")) {
        return Err(Trouble::Reply(error.clone()));
    }
    let ttl = integer_of(&replies[0]).unwrap_or_default();
    let Some(dump) = text_of(&replies[1]).filter(|_| ttl != -2) else {
        // Another client has removed the source after this one was copied: the copy is the renamed key.
        return match progress.has_written {
            true => Ok(success(is_nx)),
            false => Err(Trouble::Reply(NO_SUCH_KEY.to_vec())),
        };
    };
    talk.hold(dump.len());
    let ttl = match ttl {
        ..0 => 0,
        ttl => ttl.max(1),
    }
    .to_string();
    let mut restore: Vec<&[u8]> = vec![b"RESTORE", destination, ttl.as_bytes(), dump];
    if !is_nx {
        restore.push(b"REPLACE");
    }
    let mut commands = vec![request(&restore)];
    let (expiries, _) = expiries_of(&own, job.decision.governed, &job.rewritten);
    commands.extend(commands_in(expiries));
    let BlockOutcome::Done(replies) = talk.block(destination, commands, Effect::Write).await?
    else {
        return Err(Trouble::Again);
    };
    if replies[0].starts_with(b"-BUSYKEY") {
        return Ok(b":0\r\n".to_vec());
    }
    if replies[0].starts_with(b"-") {
        return Err(Trouble::Reply(replies[0].clone()));
    }
    if !progress.has_written {
        progress.has_written = true;
        talk.extend();
    }
    progress.left_behind = Some(STAYS.to_owned());
    let removal = vec![request(&[b"DEL", source])];
    match talk.block(source, removal, Effect::Write).await? {
        BlockOutcome::Done(_) => Ok(success(is_nx)),
        BlockOutcome::Nil => Err(Trouble::Again),
    }
}

fn success(is_nx: bool) -> Vec<u8> {
    if is_nx {
        b":1\r\n" as &[u8]
    } else {
        b"+OK\r\n"
    }
    .to_vec()
}
