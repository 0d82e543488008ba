//! STUB of builder D's branch: builder A's file replaces it.
/// Slots of a cluster.
pub const SLOTS: usize = 16384;
/// A slot.
pub struct Slot(pub u16);
/// The slot of a key.
pub fn slot_of(key: &[u8]) -> Slot {
    let open = key.iter().position(|&b| b == b'{');
    let tag = open.and_then(|o| {
        key[o + 1..]
            .iter()
            .position(|&b| b == b'}')
            .map(|c| &key[o + 1..o + 1 + c])
    });
    Slot(
        crc16::State::<crc16::XMODEM>::calculate(tag.filter(|t| !t.is_empty()).unwrap_or(key))
            % 16384,
    )
}
