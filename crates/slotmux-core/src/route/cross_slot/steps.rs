//! The steps of a program in words, for `SLOTMUX EXPLAIN`.

use crate::command::CommandRef;
use crate::explain::words;
use crate::policy::Governed;
use crate::resp::request::Request;
use crate::slot::{Slot, slot_of};

use super::Program;
use super::brought::{Brought, expiries_of};
use super::parts::{SlotCommand, first_of, streams};

/// Most lines of one explanation.
const MOST: usize = 16;

/// The program in one line.
pub fn in_short(program: Program) -> &'static str {
    match program {
        Program::Bring { .. } => {
            "run in one slot, to which its other keys are copied under temporary names for the length of one transaction"
        }
        Program::FirstOf => "sent slot by slot in the order of its keys, until one has elements",
        Program::Streams => {
            "sent in parts, one for each slot; the streams of all replies become one reply"
        }
        Program::Rename { .. } => {
            "run as a copy to the destination, then a removal of the unchanged source"
        }
        Program::MoveMember => {
            "run as a move to a key beside the source, an addition to the destination, and a removal of that key"
        }
        Program::MoveElement => {
            "run as a move to a key beside the source, a push to the destination, and a removal of that key"
        }
        Program::SetAllNew => {
            "sent in parts, one for each slot, once all keys are known to be missing"
        }
    }
}

/// The slots of all keys, each once.
pub fn slots(request: &Request, command: CommandRef) -> Vec<Slot> {
    let mut slots = Vec::new();
    // The plan has found them before.
    let _ = command.for_each_key(request.bytes, request.args, |at| {
        let slot = slot_of(request.arg(at));
        if slots.len() < MOST && !slots.contains(&slot) {
            slots.push(slot);
        }
    });
    slots
}

/// The steps in their order.
pub fn in_full(
    request: &Request,
    command: CommandRef,
    program: Program,
    (governed, rewritten): (Governed, &[u8]),
) -> Vec<String> {
    let key = |at: usize| words::word(request.arg(at));
    let slot = |at: usize| slot_of(request.arg(at)).0;
    let (expiries, _) = expiries_of(request, governed, rewritten);
    let behind: String = words::commands(expiries, MOST)
        .iter()
        .map(|line| format!(", {line}"))
        .collect();
    let mut steps = match program {
        Program::Bring { written } => return bring(request, command, written, &behind),
        Program::FirstOf => {
            return parts(
                first_of(request, command),
                "; only if the ones before had nothing",
            );
        }
        Program::Streams => return parts(streams(request, command), ""),
        Program::Rename { is_nx } => vec![
            format!("slot {}: WATCH, PTTL and DUMP {}", slot(1), key(1)),
            format!(
                "slot {}: RESTORE {}{}{behind}",
                slot(2),
                key(2),
                if is_nx { "" } else { " with REPLACE" }
            ),
            format!("slot {}: MULTI, DEL {}, EXEC", slot(1), key(1)),
        ],
        Program::MoveMember => vec![
            format!("slot {}: WATCH and SISMEMBER {}", slot(1), key(1)),
            format!(
                "slot {}: MULTI, SREM {} {}, SADD to a key of slotmux' own, EXEC",
                slot(1),
                key(1),
                key(3)
            ),
            format!("slot {}: SADD {} {}{behind}", slot(2), key(2), key(3)),
            format!("slot {}: DEL of the key of slotmux' own", slot(1)),
        ],
        Program::MoveElement => vec![
            format!(
                "slot {}: LMOVE {} to a key of slotmux' own",
                slot(1),
                key(1)
            ),
            format!(
                "slot {}: MULTI, a push to {}{behind}, a mark, EXEC",
                slot(2),
                key(2)
            ),
            format!("slot {}: DEL of the key of slotmux' own", slot(1)),
        ],
        Program::SetAllNew => {
            let slots = slots(request, command);
            let each = |what: &'static str| move |slot: &Slot| format!("slot {}: {what}", slot.0);
            let first = slots.iter().map(each("EXISTS of its keys"));
            let then = slots.iter().map(each("MSETNX of its keys"));
            first.chain(then).collect()
        }
    };
    steps.truncate(MOST);
    steps
}

fn parts(parts: Vec<SlotCommand>, note: &str) -> Vec<String> {
    let lines = parts.iter().enumerate().map(|(number, part)| {
        let line = words::commands(&part.bytes, 1).concat();
        let note = if number > 0 { note } else { "" };
        format!("slot {}: {line}{note}", part.slot.0)
    });
    lines.take(MOST).collect()
}

fn bring(
    request: &Request,
    command: CommandRef,
    written: Option<usize>,
    behind: &str,
) -> Vec<String> {
    let brought = Brought::of(request, command, written, 0);
    let names: Vec<Vec<u8>> = (1..=brought.foreign.len())
        .map(|number| format!("<temporary {number}>").into_bytes())
        .collect();
    let mut steps: Vec<String> = brought
        .foreign
        .iter()
        .take(MOST)
        .map(|key| {
            format!(
                "slot {}: WATCH and DUMP {}",
                key.slot.0,
                words::word(&key.key)
            )
        })
        .collect();
    let mut own = Vec::new();
    brought.write_command(request, &names, &mut own);
    let own = words::commands(&own, 1).concat();
    let check = "MULTI, EXEC in the other slots: from the start if a key has changed".to_owned();
    let block = format!(
        "slot {}: MULTI, a RESTORE of each temporary, {own}{behind}, DEL of the temporaries, EXEC",
        brought.home.0
    );
    if written.is_some() {
        steps.extend([check, block]);
    } else {
        steps.extend([block, check]);
    }
    steps
}
