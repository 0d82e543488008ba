//! The number that a client gets as the cursor of a SCAN: the cursor of the node, a slot of its shard, and a fingerprint.
//!
//! There are two forms, told apart by bit 62; bit 63 stays 0, as clients in Java read a signed number.
//!
//! - Narrow, as every version has it: 32 bits of the node's cursor, the first slot of the shard, 16 bits of fingerprint.
//! - Wide, only for a node's cursor of 2^32 and more: 48 bits, the lowest 14 of which are a slot of the shard, and 14 bits
//!   of fingerprint. A server with a table per slot returns such numbers itself: the position in the slot's table, shifted
//!   by 14, and the slot. If the node's cursor names no slot of its shard, because the server has one table or the slot
//!   is being imported, the cursor is shifted in the same way and the shard's first slot is put below it. That leaves 34
//!   bits for it. The fingerprint tells these two readings apart, because the number has no bit left for that.
//!
//! A cursor of more bits, as a slot of more than 2^20 buckets has while it is imported, is rounded down in the order of the
//! node's scan: the next page repeats some buckets of the last one, and has to be long enough to pass them. A table of
//! cursors in the process would not help: it would have to be bounded, and a client that reaches another process would scan
//! for ever.
//!
//! Up to version 0.2.0 the narrow form had 33 bits of the node's cursor. A number of 2^62 and more from such a version is
//! read as wide; the fingerprint then differs, and the scan begins again.

use crate::c_string;
use crate::cluster::server::ServerVersion;
use crate::resp::inline::is_space;

/// Bits of a narrow cursor's fingerprint, the lowest ones.
pub(super) const NARROW_PRINT_BITS: u32 = 16;
/// Bits of a wide cursor's fingerprint, the lowest ones.
pub(super) const WIDE_PRINT_BITS: u32 = 14;
/// Bits of a slot.
pub(super) const SLOT_BITS: u32 = 14;
/// Bits of the node's cursor in a narrow cursor: what is left below the flag.
pub(super) const NARROW_NODE_BITS: u32 = 62 - NARROW_PRINT_BITS - SLOT_BITS;
/// Bits of the node's cursor in a wide cursor, the slot included.
pub(super) const WIDE_NODE_BITS: u32 = 62 - WIDE_PRINT_BITS;
/// The flag of a wide cursor.
const WIDE: u64 = 1 << 62;

/// The form of a cursor's number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CursorForm {
    /// The slot is beside the node's cursor.
    Narrow,
    /// The slot is the lowest bits of `node`.
    Wide,
}

/// The position of a scan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScanCursor {
    /// The form of its number.
    pub form: CursorForm,
    /// The node's own cursor; 0 before its scan begins. In the wide form it may be shifted above a slot.
    pub node: u64,
    /// Narrow: the first slot of its shard. Wide: any slot of its shard.
    pub slot: u16,
    /// The fingerprint of the topology that the cursor is based on.
    pub print: u16,
}

impl ScanCursor {
    pub(super) fn narrow(node: u64, slot: u16, print: u16) -> ScanCursor {
        ScanCursor {
            form: CursorForm::Narrow,
            node,
            slot,
            print,
        }
    }

    pub(super) fn wide(node: u64, print: u16) -> ScanCursor {
        ScanCursor {
            form: CursorForm::Wide,
            node,
            slot: slot_in(node),
            print,
        }
    }

    /// The number for the client. `None` if a part is too large for the form.
    pub fn encode(self) -> Option<u64> {
        let (slot, print) = (u64::from(self.slot), u64::from(self.print));
        match self.form {
            CursorForm::Narrow => {
                let fits = self.node < 1 << NARROW_NODE_BITS && slot < 1 << SLOT_BITS;
                fits.then_some(
                    self.node << (SLOT_BITS + NARROW_PRINT_BITS)
                        | slot << NARROW_PRINT_BITS
                        | print,
                )
            }
            CursorForm::Wide => {
                let fits = self.node < 1 << WIDE_NODE_BITS
                    && self.slot == slot_in(self.node)
                    && print < 1 << WIDE_PRINT_BITS;
                fits.then_some(WIDE | self.node << WIDE_PRINT_BITS | print)
            }
        }
    }

    /// The cursor in a client's number. `None` for 2^63 and more, which slotmux never hands out.
    pub fn decode(number: u64) -> Option<ScanCursor> {
        if number >> 63 != 0 {
            return None;
        }
        Some(if number & WIDE == 0 {
            ScanCursor::narrow(
                number >> (SLOT_BITS + NARROW_PRINT_BITS),
                slot_in(number >> NARROW_PRINT_BITS),
                number as u16,
            )
        } else {
            ScanCursor::wide(
                (number ^ WIDE) >> WIDE_PRINT_BITS,
                number as u16 & ((1 << WIDE_PRINT_BITS) - 1),
            )
        })
    }

    /// The node's own cursor of a wide cursor that has it shifted. `None` if that would have fit a narrow one, as
    /// such a cursor is never handed out.
    pub(super) fn shifted(self) -> Option<u64> {
        let node = self.node >> SLOT_BITS;
        (self.form == CursorForm::Wide && node >> NARROW_NODE_BITS != 0).then_some(node)
    }
}

/// The slot that the lowest bits name.
pub(super) fn slot_in(number: u64) -> u16 {
    number as u16 & ((1 << SLOT_BITS) - 1)
}

/// Reads a client's cursor as a server of this version does: since Redis 7.4 and in Valkey it may begin with spaces, and
/// has at least one digit.
pub fn read(text: &[u8], server: ServerVersion) -> Option<u64> {
    let text = c_string::of(text);
    if !server.reads_cursors_as_numbers() {
        return parse(text);
    }
    let start = text.iter().position(|&byte| !is_space(byte))?;
    parse(&text[start..])
}

/// Reads a cursor as Redis 7.0 does, by `strtoul`: nothing at all is 0. A negative number, which Redis accepts, is
/// refused too: slotmux never returns one.
pub fn parse(text: &[u8]) -> Option<u64> {
    let digits = match text {
        [] => return Some(0),
        [b'+', digits @ ..] => digits,
        digits => digits,
    };
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
