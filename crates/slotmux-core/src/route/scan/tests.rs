//! Itineraries and cursors of SCAN over several topologies.

use std::collections::BTreeSet;

use super::*;
use crate::cluster::addr::Addr;
use crate::cluster::topology::{Node, Shard, UpstreamKind};

type Ranges = Vec<std::ops::RangeInclusive<u16>>;

fn itinerary(shards: &[(&str, Ranges)]) -> Itinerary {
    let shard = |id: &str| Shard {
        primary: Node::new(id, Addr::new("127.0.0.1", 7000)),
        replicas: Vec::new(),
        epoch: 1,
    };
    let parts = shards
        .iter()
        .map(|(id, ranges)| (shard(id), ranges.clone()))
        .collect();
    Itinerary::new(&Topology::from_ranges(UpstreamKind::Cluster, parts))
}

impl Itinerary {
    fn stop_at(&self, first: u16) -> &ScanStop {
        let narrow = ScanCursor::narrow(0, first, 0);
        self.stop(narrow).expect("a shard")
    }
}

fn three() -> Itinerary {
    itinerary(&[
        ("b", vec![5461..=10922]),
        ("a", vec![0..=5460]),
        ("c", vec![10923..=16383]),
    ])
}

#[test]
fn cursors_survive_the_trip() {
    let largest = (1 << NARROW_NODE_BITS) - 1;
    for node in [0, 1, 1024, largest / 3, largest] {
        for slot in [0, 1, 5461, 16383] {
            for print in [0, 1, 0x8000, u16::MAX] {
                let cursor = ScanCursor::narrow(node, slot, print);
                let number = cursor.encode().expect("it fits");
                // Byte for byte the number of every version.
                assert_eq!(
                    number,
                    node << 30 | u64::from(slot) << 16 | u64::from(print)
                );
                assert_eq!(ScanCursor::decode(number), Some(cursor));
                assert_eq!(parse(number.to_string().as_bytes()), Some(number));
            }
        }
    }
    assert_eq!(
        ScanCursor::narrow(1 << NARROW_NODE_BITS, 0, 0).encode(),
        None
    );
    for bits in 0..=WIDE_NODE_BITS {
        for node in [(1 << bits) - 1, (1 << bits) / 3] {
            for print in [0, 1, 0x2000, 0x3fff] {
                let cursor = ScanCursor::wide(node, print);
                let number = cursor.encode().expect("it fits");
                assert!((1 << 62..1 << 63).contains(&number), "{cursor:?}");
                assert_eq!(ScanCursor::decode(number), Some(cursor));
            }
        }
    }
    assert_eq!(ScanCursor::wide(1 << WIDE_NODE_BITS, 0).encode(), None);
    assert_eq!(ScanCursor::wide(0, 1 << WIDE_PRINT_BITS).encode(), None);
    assert_eq!(ScanCursor::decode(1 << 63), None);
    assert_eq!(ScanCursor::decode(u64::MAX), None);
}

#[test]
fn cursors_are_read_as_redis_reads_them() {
    for (text, number) in [
        ("", Some(0)),
        ("0", Some(0)),
        ("+5", Some(5)),
        ("007", Some(7)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", None),
        ("+", None),
        ("-1", None),
        ("a", None),
        ("1a", None),
        (" 1", None),
        ("1 ", None),
        ("0x1", None),
    ] {
        assert_eq!(parse(text.as_bytes()), number, "{text:?}");
    }
}

/// Walks to the end, with nodes that answer `pages` pages each; the shards that were asked, in order.
fn walk(itinerary: &Itinerary, pages: u64) -> Vec<u16> {
    let mut asked = Vec::new();
    let mut step = itinerary.begin().expect("a shard");
    loop {
        asked.push(step.shard);
        let said = (step.node + 1) % pages;
        match itinerary.after(step, 7, said) {
            AfterPage::Go(0) => return asked,
            AfterPage::Go(number) => {
                let cursor = ScanCursor::decode(number).expect("below 2^63");
                step = itinerary.step(cursor).expect("a shard");
            }
            other => panic!("{other:?} after {step:?}"),
        }
    }
}

#[test]
fn shards_have_their_turn_by_their_lowest_slot() {
    assert_eq!(walk(&three(), 1), [1, 0, 2]);
    assert_eq!(walk(&three(), 2), [1, 1, 0, 0, 2, 2]);
    assert_eq!(walk(&itinerary(&[("a", vec![5..=9])]), 3), [0, 0, 0]);
    assert!(Itinerary::default().begin().is_none());
    assert!(itinerary(&[]).begin().is_none());
    // A node without slots has no keys.
    assert_eq!(
        walk(&itinerary(&[("a", vec![]), ("b", vec![0..=16383])]), 1),
        [1]
    );
}

/// The cursor in the middle of shard b, as `three` gives it out for the life 7 of its node.
fn amid_b() -> ScanCursor {
    let begin = three().stop_at(5461).begin();
    match three().after(begin, 7, 640) {
        AfterPage::Go(number) => ScanCursor::decode(number).expect("below 2^63"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_cursor_holds_while_what_it_is_based_on_stands() {
    let resumed = |itinerary: &Itinerary, run| {
        let step = itinerary.step(amid_b()).expect("a shard");
        (step.node, itinerary.after(step, run, 641))
    };
    let (node, after) = resumed(&three(), 7);
    assert_eq!(node, 640);
    assert!(
        matches!(after, AfterPage::Go(number) if ScanCursor::decode(number).unwrap().node == 641)
    );
    // The node was started again.
    assert_eq!(resumed(&three(), 8).1, AfterPage::Void);
    for (what, changed) in [
        (
            "b lost a slot",
            [
                ("a", vec![0..=5460]),
                ("b", vec![5461..=10921]),
                ("c", vec![10922..=16383]),
            ],
        ),
        (
            "another node has b's slots",
            [
                ("a", vec![0..=5460]),
                ("d", vec![5461..=10922]),
                ("c", vec![10923..=16383]),
            ],
        ),
        (
            "c would be passed over: its lowest slot is below b's",
            [
                ("a", vec![0..=2, 4..=5460]),
                ("b", vec![5461..=10922]),
                ("c", vec![3..=3, 10923..=16383]),
            ],
        ),
    ] {
        assert_eq!(
            resumed(&itinerary(&changed), 7).1,
            AfterPage::Void,
            "{what}"
        );
    }
    let beside = itinerary(&[
        ("a", vec![0..=5000]),
        ("b", vec![5461..=10922]),
        ("c", vec![10923..=16383]),
    ]);
    assert_eq!(resumed(&beside, 7).0, 640);
    assert!(matches!(resumed(&beside, 7).1, AfterPage::Go(_)));
    // Its shard begins elsewhere: from the start.
    let moved = itinerary(&[
        ("a", vec![0..=5461]),
        ("b", vec![5462..=10922]),
        ("c", vec![10923..=16383]),
    ]);
    let step = moved.step(amid_b());
    assert_eq!(step, moved.begin());
}

#[test]
fn a_shard_that_was_not_begun_may_change_and_may_not_be_passed_over() {
    let begin = three().stop_at(5461).begin().cursor;
    let smaller = itinerary(&[
        ("a", vec![0..=5460]),
        ("b", vec![5461..=10000]),
        ("c", vec![10001..=16383]),
    ]);
    let step = smaller.step(begin).expect("a shard");
    assert_eq!((step.cursor.slot, step.node), (5461, 0));
    assert!(matches!(smaller.after(step, 9, 5), AfterPage::Go(_)));
    let lower = itinerary(&[
        ("a", vec![0..=2, 4..=5460]),
        ("b", vec![5461..=10922]),
        ("c", vec![3..=3, 10923..=16383]),
    ]);
    assert_eq!(lower.step(begin), lower.begin());
}

#[test]
fn numbers_that_are_not_cursors_begin_again_or_are_refused_by_their_print() {
    let three = three();
    for number in [1, 5, 1 << 20, (1 << 62) | 12345] {
        let cursor = ScanCursor::decode(number).expect("below 2^63");
        let step = three.step(cursor).expect("a shard");
        assert!(
            step == three.begin().unwrap() || three.after(step, 7, 0) == AfterPage::Void,
            "{number}"
        );
    }
}

/// The cursors sent to shard b's node after it returned `said` in the middle of its scan: the next one, and the last one.
fn asked_after(three: &Itinerary, amid: ScanStep, said: u64) -> (u64, u64) {
    let AfterPage::Go(number) = three.after(amid, 7, said) else {
        panic!("{said} does not fit");
    };
    assert!(number < 1 << 63, "{said}");
    let cursor = ScanCursor::decode(number).expect("below 2^63");
    let first = three.step(cursor).expect("a shard");
    assert_eq!(first.shard, amid.shard, "{said}");
    match three.after(first, 7, 0) {
        AfterPage::Instead(step) => {
            assert!(matches!(three.after(step, 7, 0), AfterPage::Go(_)));
            (first.node, step.node)
        }
        AfterPage::Go(_) => (first.node, first.node),
        other => panic!("{other:?} after {said}"),
    }
}

fn amid_b_step() -> ScanStep {
    three().step(amid_b()).expect("a shard")
}

#[test]
fn any_cursor_of_48_bits_comes_back_if_it_names_a_slot_of_its_node() {
    let (three, amid) = (three(), amid_b_step());
    let mut random = fastrand::Rng::with_seed(16);
    for bits in 1..=34 {
        for _ in 0..40 {
            let slot = random.u64(5461..=10922);
            let said = random.u64(1 << (bits - 1)..1 << bits) << 14 | slot;
            assert_eq!(asked_after(&three, amid, said), (said, said));
        }
    }
}

#[test]
fn any_cursor_of_34_bits_comes_back_whatever_it_names() {
    let (three, amid) = (three(), amid_b_step());
    let mut random = fastrand::Rng::with_seed(16);
    for bits in 1..=34 {
        for _ in 0..40 {
            let said = random.u64(1 << (bits - 1)..1 << bits);
            assert_eq!(asked_after(&three, amid, said).1, said);
        }
    }
}

#[test]
fn a_wide_cursor_holds_while_what_it_is_based_on_stands() {
    let other = itinerary(&[
        ("a", vec![0..=5460]),
        ("b", vec![5461..=10921]),
        ("c", vec![10922..=16383]),
    ]);
    // In the slot 5470 of b, in the slot 3 of a, and one that b loses.
    for said in [1 << 40 | 5470, 1 << 33 | 3, 1 << 40 | 10922] {
        let AfterPage::Go(number) = three().after(amid_b_step(), 7, said) else {
            panic!("{said} does not fit");
        };
        let cursor = ScanCursor::decode(number).expect("below 2^63");
        let (same, moved) = (three().step(cursor).unwrap(), other.step(cursor).unwrap());
        assert_ne!(three().after(same, 7, 0), AfterPage::Void, "{said}");
        assert_eq!(three().after(same, 8, 0), AfterPage::Void, "{said}");
        assert_eq!(other.after(moved, 7, 0), AfterPage::Void, "{said}");
    }
}

#[test]
fn a_number_of_33_bits_from_an_older_version_begins_again() {
    let step = amid_b_step();
    let print = u64::from(step.cursor.print);
    for node in [1 << 32, (1 << 32) + 5470, (1 << 33) - 1] {
        let number = node << 30 | 5461 << 16 | print;
        let cursor = ScanCursor::decode(number).expect("below 2^63");
        let step = three().step(cursor).expect("a shard");
        assert_eq!(three().after(step, 7, 0), AfterPage::Void, "{node}");
    }
}

/// Scans a table of 2^`bits` buckets of one slot at the node of b, `page` buckets at a time. Returns whether the scan
/// comes to its end; if not, a page was too short.
fn scans_whole_table(itinerary: &Itinerary, slot: u64, bits: u32, page: u64) -> bool {
    // The order of the buckets: the bits of their numbers, reversed.
    let place = |bucket: u64| bucket.reverse_bits() >> (64 - bits);
    let step_of = |number: u64| {
        let cursor = ScanCursor::decode(number).expect("below 2^63");
        let step = itinerary.step(cursor).expect("a shard");
        match itinerary.after(step, 7, 0) {
            AfterPage::Instead(right) => right,
            _ => step,
        }
    };
    // The table of the slot before it is at its end.
    let mut said = slot;
    let mut step = amid_b_step();
    let mut reached = 0;
    loop {
        let number = match itinerary.after(step, 7, said) {
            AfterPage::Go(number) => number,
            AfterPage::Longer => return false,
            other => panic!("{other:?}"),
        };
        step = step_of(number);
        let from = place(step.node >> 14);
        assert!(from <= reached, "buckets {reached} to {from} are left out");
        let to = from + page;
        if to >> bits != 0 {
            return true;
        }
        assert!(to > reached, "no progress at {reached}");
        reached = to;
        said = place(reached) << 14 | slot;
    }
}

#[test]
fn a_cursor_that_does_not_fit_is_rounded_down() {
    for (slot, bits, page, whole) in [
        // 8 buckets of the slot 16383, which c owns, have the same lowest 20 bits.
        (16383, 23, 7, false),
        (16383, 23, 8, true),
        (16383, 23, 1000, true),
        (16383, 20, 4, true),
        // A slot of b itself has 34 bits.
        (5470, 23, 16, true),
        (5470, 36, 1 << 20, true),
    ] {
        let scanned = scans_whole_table(&three(), slot, bits, page);
        assert_eq!(scanned, whole, "slot {slot}, {bits} bits, pages of {page}");
    }
}

#[test]
fn prints_differ() {
    let prints: BTreeSet<u16> = (0..1000u64)
        .map(|run| three().stop_at(0).print(run))
        .collect();
    // Of a thousand out of 65,536, some seven are equal by chance.
    assert!(prints.len() > 970, "{}", prints.len());
    let wide: BTreeSet<u16> = (0..1000u64)
        .map(|run| three().stop_at(0).wide_print(run))
        .collect();
    // Of a thousand out of 16,384, some thirty are equal by chance.
    assert!(wide.len() > 930, "{}", wide.len());
}

#[test]
fn a_restarted_node_has_another_run() {
    let info = b"$60\r\n# Server\r\nprocess_id:1\r\nrun_id:abc\r\ntcp_port:1\r\n";
    assert_eq!(run_of(info), hash(SEED, b"abc"));
    assert_eq!(run_of(b"-NOPERM no\r\n"), 0);
}

/// Pages that each node of the model has.
const PAGES: u64 = 3;

/// Nodes that own parts of a few slots, some of which move, and that are started again, all while a scan goes on.
#[test]
fn no_slot_that_stayed_is_missed_whatever_else_changes() {
    let mut random = fastrand::Rng::with_seed(13);
    for round in 0..500 {
        // The owner of each slot; the others have no owner.
        let mut owners: Vec<usize> = (0..12).map(|_| random.usize(0..4)).collect();
        let (mut stayed, mut runs) = ([true; 12], [0u64; 4]);
        let view = |owners: &[usize]| {
            let slots_of = |node| (0..12u16).filter(move |slot| owners[usize::from(*slot)] == node);
            let shards = ["a", "b", "c", "d"].into_iter().enumerate();
            let shards: Vec<(&str, Ranges)> = shards
                .map(|(node, id)| (id, slots_of(node).map(|slot| slot..=slot).collect()))
                .collect();
            itinerary(&shards)
        };
        let mut now = view(&owners);
        // Pages seen of each node without a gap, in one life of it; and the nodes that were seen whole.
        let (mut seen, mut whole) = ([0u64; 4], [false; 4]);
        let mut step = now.begin().expect("a shard");
        let mut changes = 6;
        loop {
            if changes > 0 && random.u8(0..3) == 0 {
                changes -= 1;
                let (slot, node) = (random.usize(0..12), random.usize(0..4));
                if random.bool() {
                    stayed[slot] &= owners[slot] == node;
                    owners[slot] = node;
                    now = view(&owners);
                } else {
                    runs[node] += 1;
                    seen[node] = 0;
                }
                if let Some(again) = now.step(step.cursor) {
                    step = again;
                }
            }
            let node = usize::from(step.shard);
            let said = (step.node + 1) % PAGES;
            let next = match now.after(step, runs[node], said) {
                AfterPage::Go(next) => next,
                AfterPage::Void => {
                    step = now.begin().expect("a shard");
                    continue;
                }
                AfterPage::Longer | AfterPage::Instead(_) => panic!("{step:?}"),
            };
            seen[node] = if step.node == 0 || seen[node] == step.node {
                step.node + 1
            } else {
                0
            };
            whole[node] |= seen[node] == PAGES;
            if next == 0 {
                break;
            }
            let cursor = ScanCursor::decode(next).expect("below 2^63");
            step = now.step(cursor).expect("a shard");
        }
        for slot in (0..12).filter(|&slot| stayed[slot]) {
            assert!(whole[owners[slot]], "slot {slot} in round {round}");
        }
    }
}
