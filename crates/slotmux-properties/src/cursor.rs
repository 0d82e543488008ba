//! Cursors of SCAN: any text is read as its number or refused, and numbers and cursors map one to one. A scan that
//! continues from its cursors while nodes fail over, restart and get other slots misses no key that stayed in its
//! place.

use slotmux_core::cluster::addr::Addr;
use slotmux_core::cluster::topology::{NO_SHARD, Node, Shard, Topology, UpstreamKind};
use slotmux_core::route::scan::{AfterPage, CursorForm, Itinerary, ScanCursor, ScanStep, parse};
use slotmux_core::slot::SLOTS;

use super::choices::Choices;

/// The first byte chooses between the text of a cursor and a whole scan.
pub fn check(data: &[u8]) {
    let mut choices = Choices(data);
    match choices.byte() % 2 {
        0 => check_text(choices.0),
        _ => check_scan(choices.0),
    }
}

fn check_text(text: &[u8]) {
    let number = parse(text);
    let expected = match text {
        [] => Some(0),
        _ => std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse::<u64>().ok()),
    };
    assert_eq!(number, expected, "{}", text.escape_ascii());
    // The bytes as a number, so that all numbers occur.
    let mut bytes = [0; 8];
    let known = text.len().min(8);
    bytes[..known].copy_from_slice(&text[..known]);
    for number in [number.unwrap_or(0), u64::from_le_bytes(bytes)] {
        assert_eq!(parse(number.to_string().as_bytes()), Some(number));
        match ScanCursor::decode(number) {
            Some(cursor) => {
                assert!(usize::from(cursor.slot) < SLOTS, "{cursor:?}");
                assert_eq!(cursor.encode(), Some(number), "{cursor:?}");
            }
            None => assert!(number >= 1 << 63, "{number}"),
        }
        let cursor = ScanCursor {
            form: CursorForm::Narrow,
            node: number,
            slot: (number % SLOTS as u64) as u16,
            print: number as u16,
        };
        check_round_trip(cursor, number < 1 << 32);
        let wide = ScanCursor {
            form: CursorForm::Wide,
            print: number as u16 % (1 << 14),
            ..cursor
        };
        check_round_trip(wide, number < 1 << 48);
    }
}

fn check_round_trip(cursor: ScanCursor, fits: bool) {
    let number = cursor.encode();
    assert_eq!(number.is_some(), fits, "{cursor:?}");
    if let Some(number) = number {
        assert!(number < 1 << 63, "{cursor:?}");
        assert_eq!(ScanCursor::decode(number), Some(cursor));
    }
}

/// A fingerprint is so short that two may be equal by chance. A failure with any names of the nodes is not
/// chance.
fn check_scan(choices: &[u8]) {
    let Err(why) = scan(choices, "a") else {
        return;
    };
    let always = ["b", "c", "d"]
        .iter()
        .all(|name| scan(choices, name).is_err());
    assert!(!always, "{why}");
}

/// Slots of a block, which have one owner.
const BLOCK: usize = SLOTS / BLOCKS;
const BLOCKS: usize = 16;
const SHARDS: usize = 4;
/// Longest scan of a cluster that no longer changes, in pages.
const PAGES: usize = 2 * BLOCKS * SHARDS;

/// The numbers that nodes make of the positions in their tables.
#[derive(Clone, Copy)]
enum Numbers {
    /// The position.
    Small,
    /// As with a table per slot: a position of 33 bits above a slot of the node.
    OwnSlot,
    /// As with one table for all slots: 33 bits.
    OneTable,
}

impl Numbers {
    const ALL: [Numbers; 3] = [Numbers::Small, Numbers::OwnSlot, Numbers::OneTable];
    /// The highest bit of a large position.
    const HIGH: u64 = 1 << 33;

    /// The cursor for a position other than 0 of a node that owns this slot.
    fn cursor(self, position: u64, slot: u64) -> u64 {
        match self {
            Numbers::Small => position,
            Numbers::OwnSlot => (Numbers::HIGH | position) << 14 | slot,
            Numbers::OneTable => Numbers::HIGH | position,
        }
    }

    /// The position of any cursor.
    fn position(self, cursor: u64) -> u64 {
        match self {
            Numbers::Small => cursor,
            Numbers::OwnSlot => (cursor >> 14) & !Numbers::HIGH,
            Numbers::OneTable => cursor & !Numbers::HIGH,
        }
    }
}

/// A cluster in which each block of slots has one key.
struct Cluster {
    name: &'static str,
    /// The form of the nodes' cursors.
    numbers: Numbers,
    /// The shard of each block, if it has one.
    owners: [Option<u8>; BLOCKS],
    /// How often each shard failed over to another node.
    failovers: [u8; SHARDS],
    /// How often the primary of each shard was started.
    starts: [u8; SHARDS],
    /// Blocks that have not moved.
    stayed: [bool; BLOCKS],
    /// The present order of a scan; rebuilt only after a change, as that takes time.
    itinerary: Itinerary,
}

impl Cluster {
    fn new(choices: &mut Choices<'_>, name: &'static str) -> Cluster {
        let mut owners = [None; BLOCKS];
        for owner in &mut owners {
            *owner = Some(choices.byte() % 5).filter(|&shard| usize::from(shard) < SHARDS);
        }
        let mut cluster = Cluster {
            name,
            numbers: Numbers::ALL[choices.below(3)],
            owners,
            failovers: [0; SHARDS],
            starts: [0; SHARDS],
            stayed: owners.map(|owner| owner.is_some()),
            itinerary: Itinerary::default(),
        };
        cluster.itinerary = Itinerary::new(&cluster.topology());
        cluster
    }

    /// Changes the cluster, or does nothing.
    fn change(&mut self, choices: &mut Choices<'_>) {
        let what = choices.byte();
        let shard = usize::from(what >> 3) % SHARDS;
        match what & 7 {
            4 => self.starts[shard] = self.starts[shard].wrapping_add(1),
            5 => {
                self.failovers[shard] = self.failovers[shard].wrapping_add(1);
                self.itinerary = Itinerary::new(&self.topology());
            }
            6 | 7 => {
                let block = choices.below(BLOCKS);
                let owner = (what & 7 == 6).then_some(shard as u8);
                if self.owners[block] != owner {
                    self.owners[block] = owner;
                    self.stayed[block] = false;
                    self.itinerary = Itinerary::new(&self.topology());
                }
            }
            _ => {}
        }
    }

    fn topology(&self) -> Topology {
        let shard = |shard: usize| Shard {
            primary: Node::new(self.primary(shard), Addr::new("127.0.0.1", 7000)),
            replicas: Vec::new(),
            epoch: 1,
        };
        let owner = |slot: usize| self.owners[slot / BLOCK].map_or(NO_SHARD, u16::from);
        let slots = (0..SLOTS).map(owner).collect();
        Topology::new(
            UpstreamKind::Cluster,
            (0..SHARDS).map(shard).collect(),
            slots,
        )
    }

    /// The id of a shard's primary.
    fn primary(&self, shard: usize) -> String {
        format!("{}{shard}.{}", self.name, self.failovers[shard])
    }

    /// The life of a shard's primary; cursors are invalid in another life.
    fn life(&self, shard: usize) -> u64 {
        u64::from(self.failovers[shard]) << 8 | u64::from(self.starts[shard])
    }

    /// A page of two buckets: its keys, and the cursor behind it. Each life orders the keys into buckets differently.
    fn page(&self, shard: usize, cursor: u64) -> (Vec<usize>, u64) {
        let turn = 3 * usize::from(self.failovers[shard]) + 7 * usize::from(self.starts[shard]);
        let from = usize::try_from(self.numbers.position(cursor))
            .unwrap_or(BLOCKS)
            .min(BLOCKS);
        let to = (from + 2).min(BLOCKS);
        let keys = (from..to)
            .map(|bucket| (bucket + turn) % BLOCKS)
            .filter(|&block| self.owners[block] == Some(shard as u8))
            .collect();
        let owned = self
            .owners
            .iter()
            .rposition(|&owner| owner == Some(shard as u8));
        let slot = owned.unwrap_or(0) * BLOCK;
        match to {
            BLOCKS => (keys, 0),
            _ => (keys, self.numbers.cursor(to as u64, slot as u64)),
        }
    }
}

/// One scan from its beginning to its end.
fn scan(choices: &[u8], name: &'static str) -> Result<(), String> {
    let mut choices = Choices(choices);
    let mut cluster = Cluster::new(&mut choices, name);
    // Any number is a valid cursor.
    let odd = ScanCursor {
        form: CursorForm::Narrow,
        node: choices.below(1 << 16) as u64,
        slot: choices.below(SLOTS) as u16,
        print: choices.below(1 << 16) as u16,
    };
    let itinerary = &cluster.itinerary;
    assert_eq!(itinerary.step(odd).is_some(), itinerary.begin().is_some());

    let mut seen = [false; BLOCKS];
    let mut number = 0;
    let mut pages = 0;
    loop {
        cluster.change(&mut choices);
        let itinerary = &cluster.itinerary;
        let cursor = ScanCursor::decode(number).expect("it was given out");
        let step = match number {
            0 => itinerary.begin(),
            _ => itinerary.step(cursor),
        };
        let Some(step) = step else {
            // No node has slots: the client gets an error and may try again.
            if choices.is_empty() {
                return Ok(());
            }
            continue;
        };
        if let Some(next) = take_page(&mut cluster, &mut choices, step, &mut seen) {
            number = next;
            if number == 0 {
                break;
            }
        } else {
            number = 0;
        }
        if choices.is_empty() {
            pages += 1;
            assert!(pages < PAGES, "a scan without end at {number}");
        }
    }
    let missed = (0..BLOCKS).find(|&block| cluster.stayed[block] && !seen[block]);
    missed.map_or(Ok(()), |block| Err(format!("block {block} was missed")))
}

/// Asks for a page, changes the cluster, and returns where the scan continues; `None` if the page is void.
fn take_page(
    cluster: &mut Cluster,
    choices: &mut Choices<'_>,
    step: ScanStep,
    seen: &mut [bool; BLOCKS],
) -> Option<u64> {
    let shard = usize::from(step.shard);
    let asked = step.node;
    let (keys, said) = cluster.page(shard, asked);
    let (node, life) = (cluster.primary(shard), cluster.life(shard));
    cluster.change(choices);
    let itinerary = &cluster.itinerary;
    // As in `route/page.rs`: a page is discarded if it is no longer the turn of its node.
    let now = itinerary.step(step.cursor)?;
    if cluster.primary(usize::from(now.shard)) != node {
        return None;
    }
    match itinerary.after(step, life, said) {
        AfterPage::Go(number) => {
            for block in keys {
                seen[block] = true;
            }
            Some(number)
        }
        // No page of the model is shorter than what rounding repeats.
        AfterPage::Longer => panic!("{said} after {asked}"),
        AfterPage::Instead(step) => {
            assert_ne!(step.node, asked, "the same page again");
            take_page(cluster, choices, step, seen)
        }
        AfterPage::Void => None,
    }
}
