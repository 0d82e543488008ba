//! Keys of other slots are brought to one slot, where a node computes: their values under temporary names, the command and
//! the removal of the temporary keys are one transaction, so that no other client sees a temporary key and none
//! outlives it. The reply is the node's own.

use std::cell::Cell;
use std::rc::Rc;

use slotmux_core::resp::{integer_of, text_of};
use slotmux_core::route::cross_slot::brought::{Brought, ForeignKey, expiries_of};
use slotmux_core::route::cross_slot::names::temporary;

use super::exchange::{BlockOutcome, Effect, request};
use super::talk::{Talk, Trouble};
use super::{Job, Progress};

/// Milliseconds that a temporary key could live at most, should a node ever run a part of a transaction.
const TEMPORARY_TTL: u64 = 60_000;

/// Length of the version and the checksum at the end of a DUMP.
const DUMP_FOOTER: usize = 10;

/// Types of values that belong to modules: whether a node can read one depends on its modules.
const MODULE_TYPES: std::ops::RangeInclusive<u8> = 6..=7;

/// Bytes of a module's value that name the type, its own and the module's.
const MODULE_HEAD: usize = 10;

/// The form of a DUMP: its version, and its type.
pub(super) type Form = (u16, [u8; MODULE_HEAD]);

/// A value that was read from another slot.
struct Value {
    /// The DUMP. `None`: there is no such key.
    dump: Option<Vec<u8>>,
    /// Milliseconds of its TTL; 0 for none.
    ttl: u64,
}

pub(super) async fn attempt(
    talk: &mut Talk,
    job: &Job,
    written: Option<usize>,
    progress: &mut Progress,
) -> Result<Vec<u8>, Trouble> {
    let own = job.request();
    let brought = Brought::of(&own, job.command, written, progress.refusals);
    let home = &brought.home_key[..];
    let mut keys = vec![home];
    keys.extend(brought.foreign.iter().map(|key| &key.key[..]));
    talk.begin(&keys).await?;
    let values = read(talk, job, &brought).await?;
    let (names, mut restores) = restores(talk, &brought, &values);
    if job.write {
        verify(talk, &brought, &values, &names, &restores).await?;
        talk.check_watched(home).await?;
    }
    drop(values);
    let place = restores.len();
    let mut command = Vec::new();
    brought.write_command(&own, &names, &mut command);
    let (expiries, _) = expiries_of(&own, job.decision.governed, &job.rewritten);
    restores.push(command);
    restores.extend(commands_in(expiries));
    let temporaries: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
    let mut removal: Vec<&[u8]> = vec![b"DEL"];
    removal.extend_from_slice(&temporaries);
    restores.push(request(&removal));
    let effect = if job.write {
        Effect::Write
    } else {
        Effect::Read
    };
    let ran = talk.block_beside(home, restores, effect).await;
    progress.refusals += usize::from(matches!(ran, Err(Trouble::Again)));
    let BlockOutcome::Done(mut replies) = ran? else {
        return Err(Trouble::Again);
    };
    talk.hold(replies.iter().map(Vec::len).sum());
    talk.worker.keep_within_memory();
    if let Some(error) = replies[..place]
        .iter()
        .find(|reply| reply.starts_with(b"-"))
    {
        return Err(Trouble::Reply(error.clone()));
    }
    if !job.write {
        talk.check_watched(home).await?;
    }
    Ok(replies.swap_remove(place))
}

/// Watches the foreign keys and reads their values.
async fn read(talk: &mut Talk, job: &Job, brought: &Brought) -> Result<Vec<Value>, Trouble> {
    let most = talk.worker.config.commands.cross_slot_max;
    let budget = Rc::new(Cell::new(most));
    let keeps_ttl = job.command.full_name() == "copy";
    let mut awaited = Vec::new();
    for ForeignKey { key, .. } in &brought.foreign {
        let mut commands = Vec::new();
        if keeps_ttl {
            commands.push(request(&[b"PTTL", key]));
        }
        commands.push(request(&[b"DUMP", key]));
        awaited.push(talk.watch(key, &commands, &budget)?);
    }
    let mut values = Vec::new();
    for part in awaited {
        let replies = match talk.receive_watched(part).await {
            Err(Trouble::HugeReply(_)) => {
                return Err(Trouble::Error(format!(
                    "ERR slotmux: not executed, the values that are in other slots are longer than \
                     commands.cross_slot_max ({most} bytes)"
                )));
            }
            replies => replies?,
        };
        values.push(value(&replies)?);
        talk.hold(most - budget.get());
    }
    Ok(values)
}

fn value(replies: &[Vec<u8>]) -> Result<Value, Trouble> {
    if let Some(error) = replies.iter().find(|reply| reply.starts_with(b"-")) {
        return Err(Trouble::Reply(error.clone()));
    }
    let dump = replies.last().and_then(|reply| text_of(reply));
    let ttl = match replies {
        [ttl, _] => integer_of(ttl).unwrap_or_default(),
        _ => TEMPORARY_TTL as i64,
    };
    // A key that expired between the two is missing.
    let dump = dump.filter(|_| ttl != -2).map(<[u8]>::to_vec);
    Ok(Value {
        dump,
        ttl: match ttl {
            0 => 1,
            ttl => u64::try_from(ttl).unwrap_or_default(),
        },
    })
}

/// A temporary name for each foreign key, and the commands that give them their values.
fn restores(talk: &Talk, brought: &Brought, values: &[Value]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let state = &talk.worker.cross_slot;
    let name = |_: &ForeignKey| temporary(brought.home, state.secret, state.next_number());
    let names: Vec<Vec<u8>> = brought.foreign.iter().map(name).collect();
    let restore = |(name, value): (&Vec<u8>, &Value)| {
        let ttl = value.ttl.to_string();
        let dump = value.dump.as_deref()?;
        Some(request(&[b"RESTORE", name, ttl.as_bytes(), dump]))
    };
    let restores = names.iter().zip(values).filter_map(restore).collect();
    (names, restores)
}

/// Makes sure, before a write, that the home node reads values of this form: in the block a value that it refuses would
/// count as missing. Nodes differ during an upgrade, so each form is tried once with each node.
async fn verify(
    talk: &mut Talk,
    brought: &Brought,
    values: &[Value],
    names: &[Vec<u8>],
    restores: &[Vec<u8>],
) -> Result<(), Trouble> {
    let Some(node) = talk.worker.map.slots.owner(brought.home) else {
        return Err(Trouble::Again);
    };
    let present = || {
        values
            .iter()
            .zip(names)
            .filter(|(value, _)| value.dump.is_some())
    };
    let mut forms = Vec::new();
    let mut trial = Vec::new();
    for ((value, name), restore) in present().zip(restores) {
        let form = form_of(value.dump.as_deref().unwrap_or_default());
        let is_known = form.is_some_and(|form| {
            let readable = talk.worker.cross_slot.readable.borrow();
            readable.contains(&(node, form)) || forms.contains(&form)
        });
        if !is_known {
            forms.extend(form);
            trial.push(restore.clone());
            trial.push(request(&[b"DEL", name]));
        }
    }
    if trial.is_empty() {
        return Ok(());
    }
    let shares_lane = talk.watches_beside(&brought.home_key);
    let tried = talk.block_beside(&brought.home_key, trial, Effect::Read);
    let BlockOutcome::Done(replies) = tried.await? else {
        return Err(Trouble::Again);
    };
    if let Some(error) = replies.into_iter().find(|reply| reply.starts_with(b"-")) {
        return Err(Trouble::Reply(error));
    }
    let readable = &talk.worker.cross_slot.readable;
    readable
        .borrow_mut()
        .extend(forms.into_iter().map(|form| (node, form)));
    // Without its watch a key could change unseen, so the values are read again, and need no trial then.
    if shares_lane {
        return Err(Trouble::Again);
    }
    Ok(())
}

fn form_of(dump: &[u8]) -> Option<Form> {
    let footer = dump.len().checked_sub(DUMP_FOOTER)?;
    let version = u16::from_le_bytes([dump[footer], dump[footer + 1]]);
    let named = if MODULE_TYPES.contains(dump.first()?) {
        MODULE_HEAD.min(footer)
    } else {
        1
    };
    let mut head = [0; MODULE_HEAD];
    head[..named].copy_from_slice(&dump[..named]);
    Some((version, head))
}

/// The commands in a buffer that holds nothing else.
pub(super) fn commands_in(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut commands = Vec::new();
    while !bytes.is_empty() {
        let len = crate::engine::upstream::first_request(bytes);
        let (command, rest) = bytes.split_at(len);
        commands.push(command.to_vec());
        bytes = rest;
    }
    commands
}
