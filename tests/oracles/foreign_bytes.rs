//! Foreign input, corrupted in every way: cluster reports of nodes, cursors of clients, configuration files. None of it
//! causes a panic, and accepted input is complete.

use fastrand::Rng;
use slotmux_core::cluster::addr::{Addr, AddressMap};
use slotmux_core::cluster::merge::merge;
use slotmux_core::cluster::topology::{NO_SHARD, Node, Shard, Topology, UpstreamKind};
use slotmux_core::cluster::view::{NodeView, ServerInfo};
use slotmux_core::config::{SourceFile, Sources, load};
use slotmux_core::route::scan::{Itinerary, ScanCursor, parse};
use slotmux_testing::times;

/// Changes, removes or doubles a few bytes, or replaces them by tricky ones.
fn spoil(bytes: &mut Vec<u8>, rng: &mut Rng) {
    const TRICKY: [&[u8]; 12] = [
        b"-1",
        b"16384",
        b"65536",
        b"18446744073709551616",
        b"",
        b"\r\n",
        b"\0",
        b"\xff",
        b"[",
        b"\"",
        b"@",
        b"0-99999",
    ];
    for _ in 0..rng.usize(0..6) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.usize(..bytes.len());
        let until = rng.usize(at..bytes.len().min(at + 20));
        match rng.u8(0..4) {
            0 => bytes[at] = rng.u8(..),
            1 => drop(bytes.drain(at..until)),
            2 => {
                let again = bytes[at..until].to_vec();
                bytes.splice(at..at, again);
            }
            _ => {
                let tricky = *rng.choice(&TRICKY).expect("one");
                bytes.splice(at..until, tricky.iter().copied());
            }
        }
    }
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

/// CLUSTER SLOTS and CLUSTER NODES of three shards with a replica each, as one node sees them.
fn said(rng: &mut Rng) -> (Vec<u8>, Vec<u8>) {
    let (mut slots, mut nodes) = ("*3\r\n".to_owned(), String::new());
    for shard in 0..3u16 {
        let (first, last) = (shard * 5461, shard * 5461 + 5460 + u16::from(shard == 2));
        slots += &format!("*4\r\n:{first}\r\n:{last}\r\n");
        for (replica, port) in [(false, 7000 + shard), (true, 8000 + shard)] {
            let id = format!("{port:040}");
            slots += &format!("*4\r\n{}:{port}\r\n{}*0\r\n", bulk("10.0.0.1"), bulk(&id));
            let epoch = rng.u64(0..9);
            nodes += &if replica {
                let primary = format!("{:040}", 7000 + shard);
                format!("{id} 10.0.0.1:{port}@1{port} slave {primary} 0 0 {epoch} connected\n")
            } else {
                format!(
                    "{id} 10.0.0.1:{port}@1{port},host master - 0 0 {epoch} connected {first}-{last}\n"
                )
            };
        }
    }
    (slots.into_bytes(), nodes.into_bytes())
}

#[test]
fn cluster_reports_of_nodes() {
    let mut rng = Rng::with_seed(7);
    let (mut read, mut refused) = (0, 0);
    let mut previous = Topology::empty();
    for _ in 0..times(1000, 100_000) {
        let mut views = Vec::new();
        for seed in 0..rng.u16(1..4) {
            let (mut slots, mut nodes) = said(&mut rng);
            spoil(&mut slots, &mut rng);
            spoil(&mut nodes, &mut rng);
            let Ok(slots) = redis::parse_redis_value(&slots) else {
                continue;
            };
            let asked = Addr::new("10.0.0.1", 7000 + seed);
            let nodes = String::from_utf8_lossy(&nodes);
            match NodeView::read(
                &asked,
                &AddressMap::default(),
                &slots,
                &nodes,
                ServerInfo::default(),
            ) {
                Ok(view) => views.push(view),
                Err(bad) => {
                    assert!(!bad.to_string().is_empty());
                    refused += 1;
                }
            }
        }
        read += views.len();
        let merged = merge(&views, &previous, rng.bool());
        let topology = merged.topology;
        for &shard in topology.slots() {
            assert!(shard == NO_SHARD || usize::from(shard) < topology.shards.len());
        }
        for node in topology.nodes() {
            assert!(node.addr.port > 0, "{:?}", node.addr);
        }
        previous = topology;
    }
    assert!(
        read > 100 && refused > 100,
        "{read} read, {refused} refused"
    );
}

fn random_itinerary(rng: &mut Rng) -> Itinerary {
    let mut cuts: Vec<u16> = (0..rng.usize(0..5)).map(|_| rng.u16(..16384)).collect();
    cuts.sort_unstable();
    let shard = |i: usize| Shard {
        primary: Node::new(format!("{i:040}"), Addr::new("10.0.0.1", 7000)),
        replicas: Vec::new(),
        epoch: 1,
    };
    let parts = cuts
        .windows(2)
        .enumerate()
        .map(|(i, cut)| (shard(i), vec![cut[0]..=cut[1]]));
    Itinerary::new(&Topology::from_ranges(
        UpstreamKind::Cluster,
        parts.collect(),
    ))
}

#[test]
fn cursors() {
    let mut rng = Rng::with_seed(7);
    let mut steps = 0;
    let mut itinerary = Itinerary::new(&Topology::empty());
    for round in 0..times(50_000, 5_000_000) {
        if round % 500 == 0 {
            itinerary = random_itinerary(&mut rng);
        }
        let number = rng.u64(..) >> rng.u32(0..64);
        let mut text = number.to_string().into_bytes();
        spoil(&mut text, &mut rng);
        let Some(number) = parse(&text) else { continue };
        let Some(cursor) = ScanCursor::decode(number) else {
            continue;
        };
        assert_eq!(cursor.encode(), Some(number), "{text:?}");
        if let Some(step) = itinerary.step(cursor) {
            steps += 1;
            itinerary.after(step, rng.u64(..), rng.u64(..));
        }
    }
    assert!(steps > 100, "{steps} steps");
}

#[test]
fn configuration_files() {
    let mut rng = Rng::with_seed(7);
    let example = include_bytes!("../../slotmux.example.toml");
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..times(500, 50_000) {
        let mut text = example.to_vec();
        spoil(&mut text, &mut rng);
        let sources = Sources {
            file: Some(SourceFile {
                name: "spoiled.toml".to_owned(),
                text: String::from_utf8_lossy(&text).into_owned(),
            }),
            ..Sources::default()
        };
        match load(&sources) {
            Ok(config) => {
                accepted += 1;
                assert!(!config.cluster.seeds.is_empty());
            }
            Err(problems) => {
                refused += 1;
                assert!(problems.iter().all(|problem| !problem.text.is_empty()));
            }
        }
    }
    assert!(
        accepted > 10 && refused > 10,
        "{accepted} accepted, {refused} refused"
    );
}
