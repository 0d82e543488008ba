//! Tables for [`merge`](super::merge): the winner of a slot, and remembered addresses.

use super::*;
use crate::cluster::addr::{Addr, AddressMap};
use crate::cluster::server::ServerIdentity;
use crate::cluster::view::{
    ServerInfo,
    tests::{node, range},
};
use crate::slot::Slot;
use redis::Value;

/// A view as `nodes` (id, epoch, flags, id of its primary) and `owners` (first slot, last slot, id) describe it.
/// Node `x1` has port 1, and so on; the first node is the one that was asked.
fn view(nodes: &[(&str, u64, &str, &str)], owners: &[(i64, i64, &str)]) -> NodeView {
    view_from("10.0.0.1", nodes, owners)
}

fn port(id: &str) -> i64 {
    id[1..].parse().unwrap()
}

fn view_from(
    asked: &str,
    nodes: &[(&str, u64, &str, &str)],
    owners: &[(i64, i64, &str)],
) -> NodeView {
    let host = |id: &str| if id.starts_with('e') { "" } else { "10.0.0.1" };
    let entry = |&(first, last, owner): &(i64, i64, &str)| {
        let mut members = vec![node(host(owner), port(owner), owner, &[])];
        for (id, ..) in nodes.iter().filter(|(_, _, _, primary)| *primary == owner) {
            members.push(node(host(id), port(id), id, &[]));
        }
        range(first, last, members)
    };
    let slots = Value::Array(owners.iter().map(entry).collect());
    let mut text = String::new();
    for (at, (id, epoch, flags, primary)) in nodes.iter().enumerate() {
        let myself = if at == 0 { "myself," } else { "" };
        text += &format!("{id} 10.0.0.1:1@2 {myself}{flags} {primary} 0 0 {epoch} connected\n");
    }
    let server = ServerInfo {
        identity: ServerIdentity {
            version: "7.0.15".into(),
            name: "redis".into(),
            ..ServerIdentity::default()
        },
        ..ServerInfo::default()
    };
    NodeView::read(
        &Addr::new(asked, 1),
        &AddressMap::default(),
        &slots,
        &text,
        server,
    )
    .unwrap()
}

fn owner(topology: &Topology, slot: u16) -> &str {
    topology.primary_of(Slot(slot)).map_or("-", |node| &node.id)
}

fn merged(views: &[NodeView]) -> MergedTopology {
    merge(views, &Topology::empty(), true)
}

const WHOLE: (i64, i64) = (0, 16383);

#[test]
fn the_higher_config_epoch_wins_each_slot() {
    let nodes = [("a1", 1, "master", "-"), ("b2", 2, "master", "-")];
    let old = view(&nodes, &[(0, 8191, "a1"), (8192, 16383, "b2")]);
    let newer = [("b2", 3, "master", "-"), ("a1", 1, "master", "-")];
    let new = view(
        &newer,
        &[(0, 99, "b2"), (100, 8191, "a1"), (8192, 16383, "b2")],
    );
    for views in [[old.clone(), new.clone()], [new.clone(), old.clone()]] {
        let merged = merged(&views);
        let found: Vec<&str> = [0, 99, 100, 8191, 8192]
            .map(|slot| owner(&merged.topology, slot))
            .into();
        assert_eq!(found, ["b2", "b2", "a1", "a1", "b2"]);
        assert_eq!(
            (merged.disputed, merged.remembered, merged.unreachable),
            (100, 0, 0)
        );
        assert_eq!(merged.topology.shards[1].epoch, 3);
    }
    let alone = merged(std::slice::from_ref(&old));
    assert_eq!((owner(&alone.topology, 0), alone.disputed), ("a1", 0));
}

#[test]
fn equal_epochs_go_to_the_view_that_stands_first() {
    let nodes = [("a1", 5, "master", "-"), ("b2", 5, "master", "-")];
    let first = view(&nodes, &[(0, 16383, "a1")]);
    let second = view(&nodes, &[(0, 16383, "b2")]);
    let merged = merged(&[first, second]);
    assert_eq!((owner(&merged.topology, 7), merged.disputed), ("a1", SLOTS));
}

#[test]
fn after_a_failover_the_promoted_replica_owns_and_the_old_primary_is_no_replica_yet() {
    let before = [("a1", 1, "master", "-"), ("r2", 1, "slave", "a1")];
    let after = [
        ("c3", 2, "master", "-"),
        ("r2", 4, "master", "-"),
        ("a1", 1, "master,fail", "-"),
    ];
    let stale = view(&before, &[(0, 16383, "a1")]);
    let fresh = view(&after, &[(0, 16383, "r2")]);
    let merged = merged(&[stale, fresh]);
    assert_eq!(owner(&merged.topology, 0), "r2");
    assert_eq!(merged.topology.shards.len(), 1);
    assert!(merged.topology.shards[0].replicas.is_empty());
}

#[test]
fn failed_replicas_are_left_out_and_failed_primaries_stay_owners() {
    let nodes = [
        ("a1", 1, "master,fail", "-"),
        ("r2", 1, "slave,fail", "a1"),
        ("r3", 1, "slave,fail?", "a1"),
        ("r4", 1, "slave", "a1"),
    ];
    let merged = merged(&[view(&nodes, &[(0, 16383, "a1")])]);
    assert_eq!(owner(&merged.topology, 0), "a1");
    let replicas: Vec<&str> = merged.topology.shards[0]
        .replicas
        .iter()
        .map(|node| node.id.as_str())
        .collect();
    assert_eq!(replicas, ["r3", "r4"]);
}

#[test]
fn unclaimed_slots_and_owners_without_address_are_no_shard() {
    let nodes = [("a1", 1, "master", "-")];
    let mut partial = view(&nodes, &[(0, 99, "a1"), (200, 299, "b2")]);
    partial.nodes[1].addr = None;
    let merged = merged(&[partial]);
    assert_eq!(
        (
            owner(&merged.topology, 99),
            owner(&merged.topology, 100),
            owner(&merged.topology, 200)
        ),
        ("a1", "-", "-")
    );
    assert_eq!(
        (merged.unreachable, merged.topology.uncovered()),
        (100, SLOTS - 100)
    );
    assert!(merge(&[], &Topology::empty(), true).topology.is_empty());
}

#[test]
fn a_view_that_is_older_than_what_we_know_changes_nothing() {
    let (first, last) = WHOLE;
    let current = merged(&[view(
        &[("r2", 9, "master", "-"), ("a1", 1, "slave", "r2")],
        &[(first, last, "r2")],
    )]);
    let stale = view(
        &[("a1", 1, "master", "-"), ("r2", 1, "slave", "a1")],
        &[(first, last, "a1")],
    );
    let kept = merge(std::slice::from_ref(&stale), &current.topology, true);
    assert_eq!((owner(&kept.topology, 3), kept.remembered), ("r2", SLOTS));
    assert_eq!(kept.topology.shards[0].epoch, 9);
    let believed = merge(std::slice::from_ref(&stale), &current.topology, false);
    assert_eq!(
        (owner(&believed.topology, 3), believed.remembered),
        ("a1", 0)
    );

    // A view that knows the old owner at the same epoch and gives the slot to another is news, not stale.
    let news = view(
        &[("a1", 4, "master", "-"), ("r2", 9, "master", "-")],
        &[(first, last, "a1")],
    );
    assert_eq!(
        owner(&merge(&[news], &current.topology, true).topology, 3),
        "a1"
    );
    // A cluster that was created again knows none of the old ids.
    let anew = view(&[("n7", 1, "master", "-")], &[(first, last, "n7")]);
    assert_eq!(
        owner(&merge(&[anew], &current.topology, true).topology, 3),
        "n7"
    );
}

#[test]
fn an_address_stays_as_long_as_a_view_has_it() {
    let nodes = [("e1", 1, "master", "-")];
    let owners = [(0, 16383, "e1")];
    let (one, two) = (
        view_from("one", &nodes, &owners),
        view_from("two", &nodes, &owners),
    );
    let first = merged(&[one.clone(), two.clone()]).topology;
    assert_eq!(&*first.shards[0].primary.addr.host, "one");
    let mut again = merge(&[two.clone(), one], &first, true).topology;
    again.learned = first.learned.clone();
    assert!(again.same_as(&first));
    assert_eq!(
        &*merge(std::slice::from_ref(&two), &first, true)
            .topology
            .shards[0]
            .primary
            .addr
            .host,
        "two"
    );
    // The announced address is better than the host that was asked.
    let mut announced = two.clone();
    announced.nodes[0].announced = true;
    announced.nodes[0].addr = Some(Addr::new("announced", 1));
    assert_eq!(
        &*merged(&[two, announced]).topology.shards[0]
            .primary
            .addr
            .host,
        "announced"
    );
}

#[test]
fn whose_address_is_gone_is_where_it_was_with_what_is_known_of_it_now() {
    let nodes = [("a1", 1, "master", "-"), ("b2", 1, "slave", "a1")];
    let first = merged(&[view(&nodes, &[(WHOLE.0, WHOLE.1, "a1")])]).topology;
    assert_eq!(first.shards[0].replicas.len(), 1);
    let later = [("a1", 3, "master", "-"), ("b2", 2, "master", "-")];
    let mut without = view(&later, &[(0, 99, "a1"), (100, 16383, "b2")]);
    without.nodes[0].addr = None;
    let second = merge(&[without], &first, true).topology;
    assert_eq!(second.shards[0].primary, first.shards[0].primary);
    assert_eq!(second.shards[0].epoch, 3);
    assert!(second.shards[0].replicas.is_empty(), "b2 owns slots");
}

#[test]
fn zones_are_remembered_and_versions_do_not_flap() {
    let nodes = [("a1", 1, "master", "-"), ("b2", 2, "master", "-")];
    let owners = [(0, 99, "a1"), (100, 16383, "b2")];
    let mut by_a = view(&nodes, &owners);
    by_a.server.identity.zone = Some("zone-1".into());
    let mut by_b = view(&[nodes[1], nodes[0]], &owners);
    by_b.server.identity.version = "7.2.0".into();
    let first = merged(&[by_a.clone()]).topology;
    let zone = |topology: &Topology| {
        let server = topology.shards[0].primary.server.as_ref();
        server.and_then(|server| server.zone.clone())
    };
    // The earlier statement of a node that is not asked again stays.
    let second = merge(&[by_b.clone(), by_a.clone()], &first, true).topology;
    let third = merge(&[by_b.clone()], &second, true).topology;
    for topology in [&first, &second, &third] {
        assert_eq!(zone(topology).as_deref(), Some("zone-1"));
        assert_eq!(topology.server.version, "7.0.15");
    }
    by_a.server.identity.version = "8.0.0".into();
    let upgraded = merge(&[by_a], &third, true).topology;
    assert_eq!(upgraded.server.version, "7.2.0");

    // All versions of Valkey report one version of Redis.
    let mut old = view(&nodes, &owners);
    let identity = &mut old.server.identity;
    (identity.version, identity.name) = ("7.2.4".into(), "valkey".into());
    identity.valkey_version = Some("8.0.4".into());
    let mut new = view(&[nodes[1], nodes[0]], &owners);
    new.server = old.server.clone();
    new.server.identity.valkey_version = Some("9.0.0".into());
    let first = merged(&[old.clone()]).topology;
    let second = merge(&[new.clone(), old.clone()], &first, true).topology;
    assert_eq!(second.server.valkey_version.as_deref(), Some("8.0.4"));
    old.server = new.server.clone();
    let third = merge(&[new, old], &second, true).topology;
    assert_eq!(third.server.valkey_version.as_deref(), Some("9.0.0"));
    assert!(!third.same_as(&second));
}

#[test]
fn a_thousand_nodes_and_a_range_for_each_slot() {
    // 500 primaries with a replica each, and the worst map there is: no two neighbouring slots on one node.
    let nodes: Vec<(String, String)> = (0..500)
        .map(|n| (format!("p{}", n + 1), format!("r{}", n + 1001)))
        .collect();
    let mut text = String::new();
    for (at, (primary, replica)) in nodes.iter().enumerate() {
        let myself = if at == 0 { "myself," } else { "" };
        text += &format!("{primary} 10.0.0.1:1@2 {myself}master - 0 0 {at} connected\n");
        text += &format!("{replica} 10.0.0.1:1@2 slave {primary} 0 0 {at} connected\n");
    }
    let entry = |slot: usize| {
        let (primary, replica) = &nodes[slot % nodes.len()];
        let members = vec![
            node("h", port(primary), primary, &[]),
            node("h", port(replica), replica, &[]),
        ];
        range(slot as i64, slot as i64, members)
    };
    let slots = Value::Array((0..SLOTS).map(entry).collect());
    let read = || {
        NodeView::read(
            &Addr::new("h", 1),
            &AddressMap::default(),
            &slots,
            &text,
            ServerInfo::default(),
        )
        .unwrap()
    };
    let views = [read(), read(), read()];
    let first = merged(&views);
    let second = merge(&views, &first.topology, true);
    assert_eq!(first.topology.shards.len(), 500);
    assert_eq!(first.topology.nodes().count(), 1000);
    assert_eq!(first.topology.uncovered(), 0);
    assert_eq!(owner(&first.topology, 501), "p2");
    assert_eq!((second.disputed, second.remembered), (0, 0));
    assert_eq!(first.topology.slots(), second.topology.slots());
}
