//! SCAN over all primaries: the cursor with the position of a scan, and the order in which shards are scanned.
//!
//! A cursor holds the whole state, so that any slotmux can continue a scan that another began: the cursor of the node,
//! a slot of its shard, and a fingerprint of the topology that these are based on. A node's cursor is invalid
//! after slots of the node moved or the node was restarted; the fingerprint then differs, and the scan begins again.

use crate::cluster::topology::{NO_SHARD, Topology};
use crate::slot::SLOTS;

mod cursor;

pub use cursor::{CursorForm, ScanCursor, parse, read};
use cursor::{NARROW_NODE_BITS, NARROW_PRINT_BITS, SLOT_BITS, WIDE_NODE_BITS, WIDE_PRINT_BITS};

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
    /// The first slot of each range and the place of its shard in `stops`, if it has an owner; in order.
    ranges: Vec<(u16, Option<usize>)>,
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
    /// The page ends so soon that a cursor for the client would not be behind its beginning: it has to be longer.
    Longer,
    /// The cursor was read in the wrong way: this step is the right one.
    Instead(ScanStep),
    /// The page may lack keys: the scan has to begin again.
    Void,
}

impl AfterPage {
    /// Goes on from a cursor; every cursor of an itinerary has a number.
    fn go(cursor: ScanCursor) -> AfterPage {
        cursor.encode().map_or(AfterPage::Void, AfterPage::Go)
    }
}

impl Itinerary {
    /// The order for a topology.
    pub fn new(topology: &Topology) -> Itinerary {
        let mut stops: Vec<ScanStop> = Vec::new();
        let mut ranges = Vec::new();
        let mut at = vec![None; topology.shards.len()];
        let mut before = NO_SHARD;
        for (slot, &shard) in (0..SLOTS as u16).zip(topology.slots()) {
            let began = shard != before;
            before = shard;
            let Some(place) = at.get_mut(usize::from(shard)) else {
                if began {
                    ranges.push((slot, None));
                }
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
            if began {
                ranges.push((slot, Some(place)));
            }
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
        Itinerary { stops, ranges }
    }

    /// The first page of all; `None` if there is no shard.
    pub fn begin(&self) -> Option<ScanStep> {
        self.stops.first().map(ScanStop::begin)
    }

    /// The page that a client's cursor asks for. One that begins with a shard is checked here, as that needs no word of
    /// its node; where it does not hold, or leads nowhere, the scan begins again. A wide cursor is first read as one that
    /// is not shifted.
    pub fn step(&self, cursor: ScanCursor) -> Option<ScanStep> {
        let stop = self.stop(cursor);
        match stop {
            Some(stop) if cursor.node == 0 && cursor == stop.begin().cursor => Some(stop.begin()),
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
        let Some(stop) = self.stop(step.cursor) else {
            return AfterPage::Void;
        };
        match stop.reading(step.cursor, run) {
            Some(node) if node == step.node => {}
            Some(node) => return AfterPage::Instead(ScanStep { node, ..step }),
            None => return AfterPage::Void,
        }
        if said != 0 {
            let node = self.rounded(stop, said);
            return match node == step.node && node != said {
                true => AfterPage::Longer,
                false => AfterPage::go(self.cursor(stop, run, node)),
            };
        }
        match self.stops.iter().find(|next| next.first > stop.first) {
            Some(next) => AfterPage::go(next.begin().cursor),
            None => AfterPage::Go(0),
        }
    }

    /// A node's cursor with as many bits as fit a cursor for the client: the same, or one before it in the order of the
    /// node's scan. A table is scanned with its highest bit counting fastest, so that without its high bits a number
    /// is the first position of a group. See `cursor.rs` for the numbers of bits.
    fn rounded(&self, stop: &ScanStop, node: u64) -> u64 {
        if node >> NARROW_NODE_BITS == 0 {
            return node;
        }
        let own_slot = lowest(node, WIDE_NODE_BITS);
        match self.stop(ScanCursor::wide(own_slot, 0)) == Some(stop) {
            true => own_slot,
            false => lowest(node, WIDE_NODE_BITS - SLOT_BITS),
        }
    }

    /// The client's cursor for a rounded one of a shard's node.
    fn cursor(&self, stop: &ScanStop, run: u64, node: u64) -> ScanCursor {
        if node == 0 {
            return stop.begin().cursor;
        }
        if node >> NARROW_NODE_BITS == 0 {
            return ScanCursor::narrow(node, stop.first, stop.print(run));
        }
        let wide = ScanCursor::wide(node, stop.wide_print(run));
        if self.stop(wide) == Some(stop) {
            return wide;
        }
        let shifted = node << SLOT_BITS | u64::from(stop.first);
        ScanCursor::wide(shifted, stop.shifted_print(run))
    }

    /// The shard of a cursor.
    fn stop(&self, cursor: ScanCursor) -> Option<&ScanStop> {
        let at = match cursor.form {
            CursorForm::Narrow => {
                let first = |stop: &ScanStop| stop.first;
                self.stops.binary_search_by_key(&cursor.slot, first).ok()
            }
            CursorForm::Wide => {
                let behind = self
                    .ranges
                    .partition_point(|&(first, _)| first <= cursor.slot);
                let range = behind.checked_sub(1).and_then(|at| self.ranges.get(at));
                range.and_then(|&(_, place)| place)
            }
        };
        at.and_then(|at| self.stops.get(at))
    }
}

impl ScanStop {
    /// Its first page. Nothing of it has been seen, so it is based on nothing but the shards that are still to come:
    /// one that got a lower slot meanwhile would be passed over.
    fn begin(&self) -> ScanStep {
        let cursor = ScanCursor::narrow(0, self.first, fold(self.ahead, NARROW_PRINT_BITS));
        ScanStep {
            shard: self.shard,
            node: 0,
            cursor,
        }
    }

    /// The node's own cursor that a client's cursor contains, if the fingerprint holds.
    fn reading(&self, cursor: ScanCursor, run: u64) -> Option<u64> {
        let print = cursor.print;
        let holds = match cursor.form {
            CursorForm::Narrow if cursor.node == 0 => cursor == self.begin().cursor,
            CursorForm::Narrow => print == self.print(run),
            CursorForm::Wide => print == self.wide_print(run),
        };
        if holds {
            return Some(cursor.node);
        }
        let shifted = cursor.shifted()?;
        (print == self.shifted_print(run)).then_some(shifted)
    }

    fn print(&self, run: u64) -> u16 {
        fold(self.based_on(run), NARROW_PRINT_BITS)
    }

    /// Unrelated to `print`, so that a narrow cursor of an older version is not taken for a wide one.
    fn wide_print(&self, run: u64) -> u16 {
        fold(hash(self.based_on(run), b"wide"), WIDE_PRINT_BITS)
    }

    /// Never equal to `wide_print`.
    fn shifted_print(&self, run: u64) -> u16 {
        self.wide_print(run) ^ 1
    }

    fn based_on(&self, run: u64) -> u64 {
        let based_on = hash(self.content, &self.ahead.to_be_bytes());
        hash(based_on, &run.to_be_bytes())
    }
}

/// The lowest bits of a number.
fn lowest(number: u64, bits: u32) -> u64 {
    number & ((1 << bits) - 1)
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

fn fold(hash: u64, bits: u32) -> u16 {
    (mix(hash) >> (64 - bits)) as u16
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
