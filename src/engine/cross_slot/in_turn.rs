//! Commands over several slots that fall into commands of one slot each, sent one after the other: pops that try their
//! keys in order, and reads of streams.

use slotmux_core::route::cross_slot::parts::{self, SlotCommand, is_null, join_streams};

use super::Job;
use super::exchange::Effect;
use super::talk::{Talk, Trouble};

async fn begin(talk: &mut Talk, parts: &[SlotCommand]) -> Result<(), Trouble> {
    let keys: Vec<&[u8]> = parts.iter().map(|part| &part.key[..]).collect();
    talk.begin(&keys).await
}

/// One part's reply.
async fn ask(talk: &mut Talk, job: &Job, part: &SlotCommand) -> Result<Vec<u8>, Trouble> {
    let effect = if job.write {
        Effect::Write
    } else {
        Effect::Read
    };
    let commands = [part.bytes.clone()];
    let reply = talk.ask(&part.key, &commands, effect).await?.remove(0);
    if reply.starts_with(b"-") {
        return Err(Trouble::Reply(reply));
    }
    Ok(reply)
}

/// LMPOP and ZMPOP: the first key that has elements gives them, as on one server; empty keys before it are not changed.
pub(super) async fn first_of(talk: &mut Talk, job: &Job) -> Result<Vec<u8>, Trouble> {
    let parts = parts::first_of(&job.request(), job.command);
    begin(talk, &parts).await?;
    let mut reply = Vec::new();
    for part in &parts {
        reply = ask(talk, job, part).await?;
        if !is_null(&reply) {
            break;
        }
    }
    Ok(reply)
}

/// XREAD and XREADGROUP. One after the other, so that an error of one slot keeps the following ones from delivering.
pub(super) async fn streams(talk: &mut Talk, job: &Job) -> Result<Vec<u8>, Trouble> {
    const NO_STREAMS: &str = "ERR slotmux: a node's reply is not a list of streams";
    let request = job.request();
    let parts = parts::streams(&request, job.command);
    begin(talk, &parts).await?;
    let mut replies = Vec::new();
    let mut held = 0;
    for part in &parts {
        let reply = match ask(talk, job, part).await {
            // Entries of a group that were delivered before are pending there, and a second read would skip them.
            Err(Trouble::Again) if job.write && !replies.is_empty() => {
                return Err(Trouble::Error(
                    "TRYAGAIN slotmux: a slot of the command moved, entries of other slots may be pending".to_owned(),
                ));
            }
            reply => reply?,
        };
        held += reply.len();
        talk.hold(held);
        replies.push(reply);
    }
    join_streams(&request, job.command, &parts, &replies, talk.protocol())
        .ok_or_else(|| Trouble::Error(NO_STREAMS.to_owned()))
}
