//! MSETNX: all keys are found missing, then each slot gets its part, itself an MSETNX. A key that another client makes in
//! between ends the command; the keys of finished parts are removed.

use slotmux_core::command::split::SplitShape;
use slotmux_core::policy::commands_of;
use slotmux_core::policy::{Decision, Governed};
use slotmux_core::resp::integer_of;
use slotmux_core::route::parts::{GovernedPart, governed_parts, keys_by_slot};
use slotmux_core::slot::Slot;

use super::bring::commands_in;
use super::exchange::{BlockOutcome, Effect, request};
use super::parking::insist;
use super::talk::{Talk, Trouble};
use super::{Job, RESTLESS};

const PARTLY: &str =
    "ERR slotmux: not completed, the keys of some slots are set and could not be removed again";

/// Keys with their values.
const SHAPE: SplitShape = SplitShape::of_step(2);

pub(super) async fn attempt(talk: &mut Talk, job: &Job) -> Result<Vec<u8>, Trouble> {
    let own = job.request();
    let keys = keys_by_slot(&own, SHAPE);
    let groups: Vec<&[(Slot, u32)]> = keys.chunk_by(|a, b| a.0 == b.0).collect();
    let first = |group: &[(Slot, u32)]| own.arg(group[0].1 as usize);
    let firsts: Vec<&[u8]> = groups.iter().map(|group| first(group)).collect();
    let worker = talk.worker.clone();
    let parts = worker
        .with_knowledge(|knowledge| governed_parts(&own, &groups, SHAPE, job.command, knowledge));
    if let Some(refused) = parts.iter().find(|part| part.is_refused()) {
        let text = String::from_utf8_lossy(&refused.instead).into_owned();
        return Err(Trouble::Error(text));
    }
    talk.begin(&firsts).await?;
    let budget = talk.reply_budget();
    let names = |group: &[(Slot, u32)]| -> Vec<&[u8]> {
        group.iter().map(|&(_, at)| own.arg(at as usize)).collect()
    };
    let mut awaited = Vec::new();
    for group in &groups {
        let names = names(group);
        let look = [request(&[&[&b"EXISTS"[..]], &names[..]].concat())];
        awaited.push(talk.send(first(group), &look, Effect::Read, &budget)?);
    }
    let mut existing = 0;
    for part in awaited {
        let reply = talk.receive(part).await?.remove(0);
        existing += integer_of(&reply).ok_or(Trouble::Reply(reply))?;
    }
    if existing > 0 {
        return Ok(b":0\r\n".to_vec());
    }
    for (done, part) in parts.iter().enumerate() {
        let set = talk
            .block(firsts[done], commands(part), Effect::Write)
            .await;
        let taken = match set {
            Ok(BlockOutcome::Done(replies))
                if replies[0] == b":1\r\n" || replies[0] == b"+OK\r\n" =>
            {
                continue;
            }
            Err(Trouble::Again) | Ok(BlockOutcome::Nil) if done == 0 => return Err(Trouble::Again),
            Ok(BlockOutcome::Done(replies)) if replies[0].starts_with(b"-") => {
                Trouble::Reply(replies[0].clone())
            }
            Ok(_) => Trouble::Reply(b":0\r\n".to_vec()),
            Err(trouble) => trouble,
        };
        talk.extend();
        let mut is_undone = true;
        for group in &groups[..done] {
            let removal = request(&[&[&b"DEL"[..]], &names(group)[..]].concat());
            is_undone &= insist(talk, first(group), removal).await.is_ok();
        }
        return Err(match (is_undone, taken) {
            (false, _) => Trouble::Error(PARTLY.to_owned()),
            // From the start it would find its own keys, if a removal had not run.
            (true, Trouble::Again) => Trouble::Error(RESTLESS.to_owned()),
            (true, taken) => taken,
        });
    }
    Ok(b":1\r\n".to_vec())
}

/// The commands for one slot.
fn commands(part: &GovernedPart) -> Vec<Vec<u8>> {
    let Decision { governed, .. } = part.decision;
    commands_in(match governed {
        Governed::Block(shape) => commands_of(shape, &part.instead),
        Governed::Rewritten(_) => &part.instead,
        Governed::AsIs | Governed::Refused(_) => &part.own,
    })
}
