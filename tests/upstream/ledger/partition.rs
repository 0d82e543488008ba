//! A partition in which nodes disagree: a primary is cut off from the other nodes but not from clients, and still
//! claims its slots after its replica was promoted. The higher epoch wins.

use std::net::{IpAddr, Ipv4Addr};

use slotmux::tools::demo::cluster::LocalCluster;
use slotmux_core::slot::slot_of;

use crate::ledger::rig::{
    Ledger, cluster, may_take_over, proxy, replica_of, replicas_in_step, steady_cluster,
};
use slotmux_testing::{FaultProxy, PATIENCE, Proxy, Value, poll_until};

/// Source address of the first node's connections to the others, by which they are recognized.
const LONER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// The network between the nodes, in front of the bus port of each. Clients and replicas bypass it.
struct Bus(Vec<FaultProxy>);

impl Bus {
    /// Leads all connections between the nodes through it.
    fn between(cluster: &LocalCluster) -> Bus {
        let nodes = cluster.nodes().iter();
        let ways: Vec<FaultProxy> = nodes
            .map(|node| FaultProxy::start(node.port + 10_000))
            .collect();
        let set = |node: usize, name: &str, value: &str| {
            cluster
                .query::<()>(node, &["CONFIG", "SET", name, value])
                .expect("a setting");
        };
        set(0, "bind-source-addr", &LONER.to_string());
        for (node, way) in ways.iter().enumerate() {
            // A node that hears of another port reconnects. The proxy's port must not become the node's address.
            set(node, "cluster-announce-ip", "127.0.0.1");
            set(node, "cluster-announce-bus-port", &way.port().to_string());
        }
        poll_until(PATIENCE, "all nodes to use the relay", || {
            (0..ways.len()).all(|node| {
                let view: String = cluster.query(node, &["CLUSTER", "NODES"]).expect("a view");
                let leads = |way: &FaultProxy| view.contains(&format!("@{} ", way.port()));
                ways.iter().all(leads) && !view.contains("disconnected")
            })
        });
        cluster.wait_ok().expect("a whole cluster");
        replicas_in_step(cluster);
        Bus(ways)
    }

    /// Cuts the first node off from the others, or heals it.
    fn cut(&self, is_cut: bool) {
        let (to_it, to_others) = self.0.split_first().expect("nodes");
        to_it.stall(is_cut);
        for way in to_others {
            way.stall_from(is_cut.then_some(LONER));
        }
    }
}

/// Whether a node reports another owner of the first slot.
fn claims(cluster: &LocalCluster, asked: usize, owner: usize) -> bool {
    let id = &cluster.node(owner).id;
    let view = cluster.view(asked).expect("a view");
    view.iter().any(|line| line.owns(0) && line.id == *id)
}

/// Waits until all other nodes report this one as the owner of the first slot, while the cut-off node still claims it.
fn disagree(cluster: &LocalCluster, owner: usize) {
    poll_until(PATIENCE, "the failover to the replica", || {
        (1..cluster.nodes().len()).all(|node| claims(cluster, node, owner))
    });
    assert!(
        claims(cluster, 0, 0),
        "the cut-off node learned of the promotion"
    );
}

/// Ends the partition and waits until the nodes agree.
fn heal(cluster: &LocalCluster, bus: &Bus, owner: usize) {
    bus.cut(false);
    poll_until(PATIENCE, "the nodes to agree", || claims(cluster, 0, owner));
    cluster.wait_ok().expect("a whole cluster");
}

#[test]
fn a_primary_that_is_cut_off_and_replaced_causes_no_error() {
    let cluster = cluster(&[]);
    let bus = Bus::between(&cluster);
    let proxy = proxy(&cluster, |_| {});
    let mut ledger = Ledger::start(proxy.port(), &cluster, &[]);
    let replica = replica_of(&cluster, 0);
    may_take_over(&cluster, replica, false);
    ledger.phase("partition");
    bus.cut(true);
    // Writes that it acknowledges before it notices the partition must reach its replica before the election.
    poll_until(PATIENCE, "the primary to stop serving", || {
        let info: String = cluster.query(0, &["CLUSTER", "INFO"]).expect("its state");
        info.contains("cluster_state:fail")
    });
    ledger.progress(&[1, 2]);
    may_take_over(&cluster, replica, true);
    disagree(&cluster, replica);
    ledger.recovered();
    ledger.progress(&[0, 1, 2]);
    assert!(claims(&cluster, 0, 0));
    ledger.phase("healed");
    heal(&cluster, &bus, replica);
    ledger.recovered();
    let outcome = ledger.finish();
    outcome.print_outages("partition");
    outcome.assert_clean();
    outcome.assert_no_errors("partition", &[0, 1, 2]);
    outcome.assert_no_errors("healed", &[0, 1, 2]);
}

#[test]
fn the_higher_epoch_wins_against_a_primary_that_still_serves() {
    // Cut off for less than the node timeout: the old primary serves its clients and loses those writes when it is
    // back.
    let cluster = steady_cluster();
    let bus = Bus::between(&cluster);
    let proxy = proxy(&cluster, |config| {
        config.set("cluster.topology.refresh", "100ms");
        config.set("cluster.topology.min_interval", "50ms");
    });
    let mut ledger = Ledger::start(proxy.port(), &cluster, &[]);
    ledger.quiesce();
    replicas_in_step(&cluster);
    let replica = replica_of(&cluster, 0);
    bus.cut(true);
    cluster
        .query::<()>(replica, &["CLUSTER", "FAILOVER", "TAKEOVER"])
        .expect("the take-over");
    disagree(&cluster, replica);
    follows(&proxy, &cluster, replica);
    ledger.phase("split");
    ledger.resume();
    let asked = || {
        proxy
            .metric("slotmux_topology_refreshes_total")
            .expect("a count")
    };
    let before = asked();
    // It is queried again and again, and its claim is rejected.
    poll_until(PATIENCE, "refreshes", || asked() >= before + 20.0);
    ledger.progress(&[0, 1, 2]);
    assert!(claims(&cluster, 0, 0));
    let alone: String = cluster.query(0, &["CLUSTER", "INFO"]).expect("its state");
    assert!(
        alone.contains("cluster_state:ok"),
        "the old primary still serves"
    );
    heal(&cluster, &bus, replica);
    ledger.recovered();
    let outcome = ledger.finish();
    outcome.print_outages("split");
    outcome.assert_clean();
    outcome.assert_no_errors("split", &[0, 1, 2]);
}

/// Waits until slotmux sends commands of the first shard to this node.
fn follows(proxy: &Proxy, cluster: &LocalCluster, node: usize) {
    let mut keys = (0..).map(|number| format!("probe:{number}"));
    let key = keys
        .find(|key| slot_of(key.as_bytes()).0 < 5461)
        .expect("one of them");
    let mut client = proxy.client();
    poll_until(PATIENCE, "slotmux to follow the higher epoch", || {
        assert_eq!(client.call(&["SET", &key, "x"]), Value::ok());
        cluster
            .query::<i64>(node, &["EXISTS", &key])
            .expect("an answer")
            == 1
    });
}
