//! Cluster reports of nodes: for any content of CLUSTER SLOTS, CLUSTER NODES and redirects, and any disagreement of the
//! nodes, the topology is complete, contains only reported addresses, and gives each slot to the owner with the highest
//! known config epoch.

use std::collections::HashSet;

use redis::Value;
use slotmux_core::cluster::addr::{Addr, AddressMap};
use slotmux_core::cluster::merge::{MergedTopology, merge};
use slotmux_core::cluster::redirect::{ErrorVerdict, judge, target};
use slotmux_core::cluster::server::ServerIdentity;
use slotmux_core::cluster::topology::{NO_SHARD, Topology};
use slotmux_core::cluster::view::{NodeView, ServerInfo};
use slotmux_core::route::scan::Itinerary;
use slotmux_core::slot::{SLOTS, Slot};

use super::choices::Choices;

const IDS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "", "ü"];
const HOSTS: [&str; 8] = ["10.0.0.1", "10.0.0.2", "n", "", "?", "::1", "[::1]", "a b"];
const FLAGS: [&str; 8] = [
    "master",
    "slave",
    "myself,master",
    "slave,fail",
    "slave,fail?",
    "handshake",
    "noaddr,slave",
    "",
];
const SLOT_NUMBERS: [i64; 12] = [
    0,
    1,
    100,
    5460,
    5461,
    8191,
    8192,
    16382,
    16383,
    16384,
    -1,
    i64::MAX,
];
const EPOCHS: [&str; 8] = ["1", "2", "3", "0", "18446744073709551615", "-1", "x", ""];

/// The first byte chooses: a redirect, views built of chosen pieces, or a view from the raw bytes.
pub fn check(data: &[u8]) {
    let mut choices = Choices(data);
    match choices.byte() % 4 {
        0 => check_redirect(choices.0),
        1 => check_bytes(&mut choices),
        _ => check_views(&mut choices),
    }
}

fn check_redirect(bytes: &[u8]) {
    let verdict = judge(bytes);
    let (ErrorVerdict::Moved { slot, host, port } | ErrorVerdict::Ask { slot, host, port }) =
        verdict
    else {
        return;
    };
    assert!(usize::from(slot) < SLOTS && port > 0, "{verdict:?}");
    assert!(!host.chars().any(|c| c.is_ascii_control() || c == ' '));
    let code = match verdict {
        ErrorVerdict::Moved { .. } => "MOVED",
        _ => "ASK",
    };
    let text = format!("-{code} {slot} {host}:{port}\r\n");
    assert_eq!(judge(text.as_bytes()), verdict);
    let said_by = Addr::new("10.0.0.1", 7000);
    match target(host, port, &said_by) {
        Some(addr) => {
            assert_eq!(addr.port, port);
            assert!(host.is_empty() == (addr == Addr::new("10.0.0.1", port)) || host == "10.0.0.1");
        }
        None => assert_eq!(host, "?"),
    }
}

/// The bytes as the reply to CLUSTER SLOTS, the rest of them as CLUSTER NODES and INFO.
fn check_bytes(choices: &mut Choices<'_>) {
    let at = choices.below(choices.0.len() + 1);
    let (slots, nodes) = choices.0.split_at(at.min(choices.0.len()));
    let text = String::from_utf8_lossy(nodes);
    let server = ServerInfo::from_info(&text);
    if let Ok(slots) = redis::parse_redis_value(slots)
        && let Ok(view) = read(&slots, &text, server)
    {
        check_view(&view, &slots, &text);
        check_merged(&[view], &Topology::empty(), true);
    }
}

fn check_views(choices: &mut Choices<'_>) {
    let mut previous = Topology::empty();
    // Earlier views have led to the known topology, as in production.
    for _ in 0..1 + choices.byte() % 3 {
        let mut views = Vec::new();
        for _ in 0..1 + choices.byte() % 3 {
            let nodes = nodes(choices);
            let slots = slots(choices);
            let server = ServerInfo {
                identity: ServerIdentity {
                    version: choices.one_of(&["7.0.15", "8.0.0", ""]).to_owned(),
                    name: "redis".to_owned(),
                    zone: choices.one_of(&[None, Some("z")]).map(str::to_owned),
                    ..ServerIdentity::default()
                },
                ..ServerInfo::default()
            };
            if let Ok(view) = read(&slots, &nodes, server) {
                check_view(&view, &slots, &nodes);
                views.push(view);
            }
        }
        if !views.is_empty() {
            let trusts_memory = !choices.byte().is_multiple_of(4);
            previous = check_merged(&views, &previous, trusts_memory);
        }
    }
}

fn read(
    slots: &Value,
    nodes: &str,
    server: ServerInfo,
) -> Result<NodeView, slotmux_core::cluster::view::BadView> {
    NodeView::read(&asked(), &AddressMap::default(), slots, nodes, server)
}

fn asked() -> Addr {
    Addr::new("seed", 7000)
}

/// CLUSTER NODES of a few lines, one of which may be invalid.
fn nodes(choices: &mut Choices<'_>) -> String {
    let mut text = String::new();
    for _ in 0..choices.byte() % 8 {
        let id = choices.one_of(&IDS);
        let host = choices.one_of(&HOSTS);
        let hostname = choices.one_of(&["", ",n1", ",", ",shard-id=x", ",n1,shard-id=x"]);
        let flags = choices.one_of(&FLAGS);
        let epoch = EPOCHS[usize::from(choices.byte()) % 32 % EPOCHS.len()];
        text += &match choices.byte() {
            0..250 => format!("{id} {host}:7001@17001{hostname} {flags} - 0 0 {epoch} connected\n"),
            250..253 => format!("{id} {host} {flags}\n"),
            _ => String::from_utf8_lossy(&choices.string()).into_owned() + "\n",
        };
    }
    text
}

/// CLUSTER SLOTS of a few ranges.
fn slots(choices: &mut Choices<'_>) -> Value {
    let ranges = choices.byte() % 8;
    Value::Array((0..ranges).map(|_| range(choices)).collect())
}

fn range(choices: &mut Choices<'_>) -> Value {
    let first = SLOT_NUMBERS[usize::from(choices.byte()) % 64 % SLOT_NUMBERS.len()];
    let width = choices.one_of(&[0, 1, 99, 5460, 8191, 16383, -1]);
    let last = match choices.byte() {
        0..200 => first.saturating_add(width).min(16383),
        _ => choices.one_of(&SLOT_NUMBERS),
    };
    let mut entry = vec![Value::Int(first), Value::Int(last)];
    for _ in 0..1 + choices.byte() % 3 {
        entry.push(node(choices));
    }
    if choices.byte() > 250 {
        entry.truncate(usize::from(choices.byte() % 3));
        entry.push(odd(choices));
    }
    Value::Array(entry)
}

fn node(choices: &mut Choices<'_>) -> Value {
    let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
    let host = match choices.byte() {
        0..250 => bulk(choices.one_of(&HOSTS)),
        _ => Value::Nil,
    };
    let port = match choices.byte() {
        0..250 => Value::Int(7000 + i64::from(choices.byte() % 8)),
        _ => Value::Int(choices.one_of(&[0, -1, 65_535, 65_536, i64::MIN])),
    };
    let mut fields = vec![host, port, bulk(choices.one_of(&IDS))];
    match choices.byte() % 8 {
        0 => {
            let pairs = vec![bulk("ip"), bulk(choices.one_of(&HOSTS)), bulk("hostname")];
            fields.push(Value::Array(pairs));
        }
        1 => fields.push(Value::Map(vec![
            (bulk("hostname"), bulk(choices.one_of(&HOSTS))),
            (bulk("ip"), bulk(choices.one_of(&HOSTS))),
        ])),
        2 if choices.byte() > 200 => {
            let at = choices.below(fields.len());
            fields[at] = odd(choices);
        }
        _ => {}
    }
    Value::Array(fields)
}

/// Garbage in place of a valid part.
fn odd(choices: &mut Choices<'_>) -> Value {
    match choices.byte() % 6 {
        0 => Value::Nil,
        1 => Value::Int(-1),
        2 => Value::BulkString(choices.string()),
        3 => Value::Array(Vec::new()),
        4 => Value::Map(vec![(Value::Nil, Value::Okay)]),
        _ => Value::Boolean(true),
    }
}

/// Every host and IP that a reply names is in one of its strings.
fn is_named(text: &str, slots: &Value, nodes: &str) -> bool {
    let bare = |name: &str| name == text || name == format!("[{text}]");
    let in_values = |values: &[Value]| values.iter().any(|value| is_named(text, value, ""));
    let in_slots = match slots {
        Value::Array(values) => in_values(values),
        Value::Map(pairs) => pairs
            .iter()
            .any(|(name, value)| is_named(text, name, "") || is_named(text, value, "")),
        Value::BulkString(bytes) => std::str::from_utf8(bytes).is_ok_and(bare),
        Value::SimpleString(name) | Value::VerbatimString { text: name, .. } => bare(name),
        _ => false,
    };
    in_slots || nodes.contains(text)
}

fn check_view(view: &NodeView, slots: &Value, nodes: &str) {
    let mut ids = HashSet::new();
    for node in &view.nodes {
        assert!(ids.insert(&node.id), "{:?} occurs twice", node.id);
        assert_eq!(view.find(&node.id), Some(node));
        assert!(is_named(&node.id, slots, ""), "{node:?}");
        assert!(node.replicas.iter().all(|&at| at < view.nodes.len()));
        if let Some(addr) = &node.addr {
            let is_asked = addr.host == asked().host && !node.announced;
            assert!(
                is_asked || is_named(&addr.host, slots, nodes),
                "{node:?}: not reported by any node"
            );
        }
    }
    for &(first, last, owner) in &view.ranges {
        assert!(first <= last && usize::from(last) < SLOTS);
        assert!(owner < view.nodes.len());
    }
}

/// The first view with the highest epoch of those that name an owner for the slot.
fn owner_by_views(views: &[NodeView], slot: u16) -> Option<(&str, u64)> {
    let mut best: Option<(&str, u64)> = None;
    for view in views {
        for &(first, last, owner) in &view.ranges {
            let id = view.nodes[owner].id.as_str();
            let epoch = view.epochs.get(id).copied().unwrap_or(0);
            if (first..=last).contains(&slot) && best.is_none_or(|(_, known)| epoch > known) {
                best = Some((id, epoch));
            }
        }
    }
    best
}

fn check_merged(views: &[NodeView], previous: &Topology, trusts_memory: bool) -> Topology {
    let merged = merge(views, previous, trusts_memory);
    let topology = &merged.topology;
    check_shards(views, previous, topology);
    check_owners(views, previous, &merged);
    assert!(merged.disputed <= SLOTS && (trusts_memory || merged.remembered == 0));
    let named = Addr::new("nobody", 1);
    assert!(topology.node_at(&named).is_none());
    // Consumers of a topology accept this one.
    let diff = topology.diff(previous);
    assert_eq!(diff.slots_moved, topology.moved_since(previous).count());
    assert!(!diff.to_string().is_empty());
    assert_eq!(
        Itinerary::new(topology).begin().is_some(),
        topology.uncovered() < SLOTS
    );
    // Asked again, the same nodes lead to the same topology: it does not oscillate.
    let mut again = merge(views, topology, trusts_memory).topology;
    again.learned = topology.learned.clone();
    assert!(
        again.same_as(topology),
        "{again:?} after {topology:?} by {views:?}"
    );
    topology.clone()
}

fn check_shards(views: &[NodeView], previous: &Topology, topology: &Topology) {
    let addrs: HashSet<&Addr> = views
        .iter()
        .flat_map(|view| &view.nodes)
        .filter_map(|node| node.addr.as_ref())
        .chain(previous.nodes().map(|node| &node.addr))
        .collect();
    let primaries: Vec<&str> = topology
        .shards
        .iter()
        .map(|shard| shard.primary.id.as_str())
        .collect();
    assert!(
        primaries.windows(2).all(|pair| pair[0] < pair[1]),
        "{primaries:?}"
    );
    for shard in &topology.shards {
        for node in std::iter::once(&shard.primary).chain(&shard.replicas) {
            assert!(
                addrs.contains(&node.addr),
                "{node:?}: not reported by any node"
            );
            let said: Vec<&Addr> = views
                .iter()
                .filter_map(|view| view.find(&node.id)?.addr.as_ref())
                .collect();
            assert!(
                said.is_empty() || said.contains(&&node.addr),
                "{node:?} is elsewhere"
            );
        }
        for replica in &shard.replicas {
            assert!(
                !primaries.contains(&replica.id.as_str()),
                "{replica:?} owns slots"
            );
        }
    }
}

fn check_owners(views: &[NodeView], previous: &Topology, merged: &MergedTopology) {
    let topology = &merged.topology;
    assert_eq!(topology.slots().len(), SLOTS);
    assert!(
        topology
            .slots()
            .iter()
            .all(|&shard| shard == NO_SHARD || usize::from(shard) < topology.shards.len())
    );
    let ends = views.iter().flat_map(|view| &view.ranges);
    let mut slots: Vec<u16> = ends
        .flat_map(|&(first, last, _)| [first, last, last.saturating_add(1)])
        .filter(|&slot| usize::from(slot) < SLOTS)
        .collect();
    slots.extend([0, 16383]);
    for slot in slots {
        let owner = topology
            .shard_of(Slot(slot))
            .map(|shard| (shard.primary.id.as_str(), shard.epoch));
        let expected = owner_by_views(views, slot);
        let Some((id, epoch)) = owner else {
            let is_reachable = |id| {
                views
                    .iter()
                    .filter_map(|view| view.find(id))
                    .any(|seen| seen.addr.is_some())
            };
            assert!(
                expected.is_none_or(|(id, _)| !is_reachable(id)),
                "slot {slot} has no owner in {merged:?}"
            );
            continue;
        };
        if expected.is_some_and(|(expected, known)| expected == id && known <= epoch) {
            continue;
        }
        // Otherwise the slot had this owner before, at an epoch that no view knows yet.
        let before = previous.shard_of(Slot(slot));
        assert!(
            merged.remembered > 0
                && before.is_some_and(|shard| shard.primary.id == id)
                && expected.is_none_or(|(_, known)| known < epoch),
            "slot {slot} goes to {id:?} instead of {expected:?}"
        );
    }
}
