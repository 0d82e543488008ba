//! SCAN over all primaries: the cursor with the position of a scan, and the order in which shards are scanned.
//!
//! A cursor holds the whole state, so that any slotmux can continue a scan that another began: the cursor of the node,
//! the first slot of its shard, and a fingerprint of the topology that these are based on. A node's cursor is invalid
//! after slots of the node moved or the node was restarted; the fingerprint then differs, and the scan begins again.

use crate::cluster::topology::{NO_SHARD, Topology};
use crate::slot::SLOTS;

/// Bits of the fingerprint, the lowest ones.
const PRINT_BITS: u32 = 16;
/// Bits of the slot, above them.
const SLOT_BITS: u32 = 14;
/// Bits of the node's cursor: what is left below 2^63, as clients in Java read a signed number. A node of Redis 7 has
/// that many buckets only with billions of keys; where each slot has a table of its own, half a million are in a slot.
const NODE_BITS: u32 = 63 - PRINT_BITS - SLOT_BITS;

/// Where a scan stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScanCursor {
    /// The node's own cursor; 0 before its scan begins.
    pub node: u64,
    /// The first slot of its shard.
    pub slot: u16,
    /// The fingerprint of the topology that the cursor is based on.
    pub print: u16,
}

impl ScanCursor {
    /// The number for the client. `None` if the node's cursor is too large for it.
    pub fn encode(self) -> Option<u64> {
        (self.node < 1 << NODE_BITS).then(|| {
            self.node << (SLOT_BITS + PRINT_BITS)
                | u64::from(self.slot) << PRINT_BITS
                | u64::from(self.print)
        })
    }

    /// The cursor in a client's number. `None` for 2^63 and more, which slotmux never hands out.
    pub fn decode(number: u64) -> Option<ScanCursor> {
        (number >> 63 == 0).then_some(ScanCursor {
            node: number >> (SLOT_BITS + PRINT_BITS),
            slot: (number >> PRINT_BITS) as u16 & ((1 << SLOT_BITS) - 1),
            print: number as u16,
        })
    }
}

/// Reads a cursor as Redis does, by `strtoul`: nothing at all is 0. A negative number, which Redis accepts, is
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

/// A shard in the order of a scan.
#[derive(Clone, PartialEq, Eq, Debug)]
struct ScanStop {
    /// The lowest slot of the shard.
    first: u16,
    /// Its index in the topology.
    shard: u16,
    /// The id of its primary and its slots.
    content: u64,
    /// The shards still to come, this one included, in any order.
    ahead: u64,
}

/// The shards that own slots, by their lowest slot.
#[derive(Clone, Default, Debug)]
pub struct Itinerary {
    stops: Vec<ScanStop>,
}

/// One page to ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScanStep {
    /// The shard that is asked, an index in the topology.
    pub shard: u16,
    /// The cursor for its primary.
    pub node: u64,
    /// The fingerprint that must still hold when the reply arrives.
    pub cursor: ScanCursor,
}

/// The next step after a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AfterPage {
    /// The page is good; this is the client's next number.
    Go(u64),
    /// The page is good, but the number of its node is too large.
    TooLarge,
    /// The page may lack keys: the scan has to begin again.
    Void,
}

impl Itinerary {
    /// The order for a topology.
    pub fn new(topology: &Topology) -> Itinerary {
        let mut stops: Vec<ScanStop> = Vec::new();
        let mut at = vec![None; topology.shards.len()];
        let mut before = NO_SHARD;
        for (slot, &shard) in (0..SLOTS as u16).zip(topology.slots()) {
            let began = shard != before;
            before = shard;
            let Some(place) = at.get_mut(usize::from(shard)) else {
                continue;
            };
            let place = *place.get_or_insert_with(|| {
                let id = &topology.shards[usize::from(shard)].primary.id;
                stops.push(ScanStop {
                    first: slot,
                    shard,
                    content: hash(SEED, id.as_bytes()),
                    ahead: 0,
                });
                stops.len() - 1
            });
            let stop: &mut ScanStop = &mut stops[place];
            // The start of a range is hashed, then each slot of it.
            stop.content = hash(stop.content, &[u8::from(began)]);
            stop.content = hash(stop.content, &slot.to_be_bytes());
        }
        let mut ahead = 0u64;
        for stop in stops.iter_mut().rev() {
            let id = &topology.shards[usize::from(stop.shard)].primary.id;
            ahead = ahead.wrapping_add(mix(hash(SEED, id.as_bytes())));
            stop.ahead = ahead;
        }
        Itinerary { stops }
    }

    /// The first page of all; `None` if there is no shard.
    pub fn begin(&self) -> Option<ScanStep> {
        self.stops.first().map(ScanStop::begin)
    }

    /// The page that a client's cursor asks for. One that begins with a shard is checked here, as that needs no word of
    /// its node; where it does not hold, or leads nowhere, the scan begins again.
    pub fn step(&self, cursor: ScanCursor) -> Option<ScanStep> {
        let stop = self.stop(cursor.slot);
        match stop {
            Some(stop) if cursor.node == 0 && cursor.print == stop.begin().cursor.print => {
                Some(stop.begin())
            }
            Some(stop) if cursor.node != 0 => Some(ScanStep {
                shard: stop.shard,
                node: cursor.node,
                cursor,
            }),
            _ => self.begin(),
        }
    }

    /// The step after the page of `step`, at whose end the node returned the cursor `said`. `run` identifies the
    /// process of the node that answered.
    pub fn after(&self, step: ScanStep, run: u64, said: u64) -> AfterPage {
        let Some(stop) = self.stop(step.cursor.slot) else {
            return AfterPage::Void;
        };
        let mut cursor = ScanCursor {
            node: said,
            slot: stop.first,
            print: stop.print(run),
        };
        let holds = if step.node == 0 {
            stop.begin().cursor.print == step.cursor.print
        } else {
            cursor.print == step.cursor.print
        };
        if !holds {
            return AfterPage::Void;
        }
        if said == 0 {
            match self.stops.iter().find(|next| next.first > stop.first) {
                Some(next) => cursor = next.begin().cursor,
                None => return AfterPage::Go(0),
            }
        }
        cursor.encode().map_or(AfterPage::TooLarge, AfterPage::Go)
    }

    fn stop(&self, first: u16) -> Option<&ScanStop> {
        let at = self.stops.binary_search_by_key(&first, |stop| stop.first);
        at.ok().map(|at| &self.stops[at])
    }
}

impl ScanStop {
    /// Its first page. Nothing of it has been seen, so it is based on nothing but the shards that are still to come:
    /// one that got a lower slot meanwhile would be passed over.
    fn begin(&self) -> ScanStep {
        let cursor = ScanCursor {
            node: 0,
            slot: self.first,
            print: fold(self.ahead),
        };
        ScanStep {
            shard: self.shard,
            node: 0,
            cursor,
        }
    }

    fn print(&self, run: u64) -> u16 {
        let based_on = hash(self.content, &self.ahead.to_be_bytes());
        fold(hash(based_on, &run.to_be_bytes()))
    }
}

const SEED: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: every slotmux, of every version and platform, has to come to the same.
pub fn hash(seed: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(seed, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Spreads the bits, of which FNV leaves the high ones alone.
fn mix(mut hash: u64) -> u64 {
    for factor in [0xff51_afd7_ed55_8ccd_u64, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^ (hash >> 33)
}

fn fold(hash: u64) -> u16 {
    (mix(hash) >> (64 - PRINT_BITS)) as u16
}

/// Identifies the process of a node: a hash of the `run_id` of its INFO. A node that refuses INFO counts as never
/// restarted.
pub fn run_of(info: &[u8]) -> u64 {
    let lines = info.split(|&byte| byte == b'\n');
    let id = lines
        .filter_map(|line| line.strip_prefix(b"run_id:"))
        .next();
    id.map_or(0, |id| hash(SEED, id.trim_ascii_end()))
}

#[cfg(test)]
mod tests;
