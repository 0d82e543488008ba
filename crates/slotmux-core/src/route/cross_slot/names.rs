//! Names for the keys that slotmux makes itself: in a given slot, and such that no client's key is in the way.

use std::sync::OnceLock;

use crate::slot::{SLOTS, Slot, slot_of};

/// The prefix of all of them.
pub const OWN_KEYS: &[u8] = b"slotmux:";

/// The prefix of the keys of parked elements.
pub const PARKED: &[u8] = b"slotmux:parked:";

/// A number for each slot that hashes to it.
static TAGS: OnceLock<Box<[u32]>> = OnceLock::new();

/// The hash tag of names in `slot`.
///
/// A key's own tag would not do: a key without one may contain braces that cannot stand inside a tag.
pub fn tag_of(slot: Slot) -> u32 {
    TAGS.get_or_init(all_tags)[usize::from(slot.0)]
}

fn all_tags() -> Box<[u32]> {
    let mut tags = vec![u32::MAX; SLOTS];
    let mut missing = SLOTS;
    let mut digits = itoa::Buffer::new();
    for number in 0..u32::MAX {
        let place = &mut tags[usize::from(slot_of(digits.format(number).as_bytes()).0)];
        if *place == u32::MAX {
            *place = number;
            missing -= 1;
            if missing == 0 {
                break;
            }
        }
    }
    tags.into()
}

/// A temporary name in `slot`. `secret` is drawn at random by each process, so that no client has such a key, by chance
/// or on purpose; with `number` no two names of a process are alike.
pub fn temporary(slot: Slot, secret: u64, number: u64) -> Vec<u8> {
    format!("slotmux:tmp:{{{}}}:{secret:016x}:{number}", tag_of(slot)).into_bytes()
}

/// The name under which an element is parked in the slot of its source, until `destination` has it. It names the
/// remaining step: a push at `to`.
pub fn parked(slot: Slot, id: &str, to: &[u8], destination: &[u8]) -> Vec<u8> {
    let head = format!("slotmux:parked:{{{}}}:{id}:", tag_of(slot));
    [head.as_bytes(), to, b":", destination].concat()
}

/// The name of the mark in the slot of the destination which says that the element of this id was pushed.
pub fn mark(slot: Slot, id: &str) -> Vec<u8> {
    format!("slotmux:pushed:{{{}}}:{id}", tag_of(slot)).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_names() {
        for slot in (0..SLOTS as u16).map(Slot) {
            assert_eq!(slot_of(&temporary(slot, u64::MAX, 7)), slot);
            assert_eq!(slot_of(&mark(slot, "1:2")), slot);
            assert_eq!(slot_of(&parked(slot, "1:2", b"LEFT", b"}x{y}")), slot);
            assert!(temporary(slot, 1, 1).starts_with(OWN_KEYS));
            assert!(parked(slot, "1", b"LEFT", b"").starts_with(PARKED));
        }
    }
}
