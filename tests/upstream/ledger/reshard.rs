//! A node joins, takes slots over from all others, gives them back and leaves, as `redis-cli --cluster` does it.

use std::process::{Command, Stdio};

use slotmux::tools::demo::cluster::LocalCluster;

use crate::ledger::rig::{Ledger, proxy, steady_cluster};
use slotmux_testing::{PATIENCE, poll_until, times};

fn redis_cli(arguments: &[&str]) {
    let output = Command::new("redis-cli")
        .arg("--cluster")
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    let output = output.expect("redis-cli");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {told}");
}

/// Moves this many slots from a node, or from all, to another.
fn reshard(cluster: &LocalCluster, from: &str, to: &str, slots: usize) {
    let entry = format!("127.0.0.1:{}", cluster.node(0).port);
    let slots = slots.to_string();
    redis_cli(&[
        "reshard",
        &entry,
        "--cluster-from",
        from,
        "--cluster-to",
        to,
        "--cluster-slots",
        &slots,
        "--cluster-yes",
    ]);
}

/// Waits until all nodes report the same and `redis-cli` would continue.
fn agreed(cluster: &LocalCluster) {
    cluster.wait_ok().expect("a whole cluster");
    let slots = |node: usize| {
        let view = cluster.view(node).expect("a view");
        let mut owned: Vec<_> = view
            .into_iter()
            .map(|line| (line.id, line.ranges))
            .collect();
        owned.sort();
        owned
    };
    poll_until(PATIENCE, "all nodes to report the same", || {
        (1..cluster.nodes().len()).all(|node| slots(node) == slots(0))
    });
}

#[test]
fn a_node_that_joins_takes_slots_and_leaves_causes_no_error() {
    let mut cluster = steady_cluster();
    let proxy = proxy(&cluster, |_| {});
    let mut ledger = Ledger::start(
        proxy.port(),
        &cluster,
        &["--clients", "120", "--depth", "2"],
    );
    ledger.phase("reshard");
    let new = cluster.add_node().expect("a node");
    let id = cluster.node(new).id.clone();
    // A quarter of all slots is a fair share.
    let slots = times(300, 4096);
    reshard(&cluster, "all", &id, slots);
    agreed(&cluster);
    ledger.recovered();
    reshard(&cluster, &id, &cluster.node(0).id.clone(), slots);
    agreed(&cluster);
    ledger.recovered();
    ledger.phase("leave");
    redis_cli(&[
        "del-node",
        &format!("127.0.0.1:{}", cluster.node(0).port),
        &id,
    ]);
    ledger.recovered();
    let outcome = ledger.finish();
    outcome.print_outages("reshard");
    outcome.assert_clean();
    outcome.assert_no_errors("reshard", &[0, 1, 2]);
    outcome.assert_no_errors("leave", &[0, 1, 2]);
    let redirects = proxy.metric("slotmux_moved_total").unwrap_or(0.0)
        + proxy.metric("slotmux_ask_total").unwrap_or(0.0);
    assert!(redirects > 0.0, "no slot has moved under the load");
}
