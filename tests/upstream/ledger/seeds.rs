//! slotmux starts while seeds are down, with clients from the first moment.

use slotmux::tools::demo::ports::PortLease;

use crate::ledger::rig::{Ledger, durable_cluster, patient, steady_cluster};
use slotmux_testing::{PATIENCE, Proxy, RawClient, poll_until};

/// slotmux that has just begun to listen.
fn newly_started(seeds: &[String]) -> Proxy {
    let proxy = Proxy::launch(seeds, None, patient);
    poll_until(PATIENCE, "slotmux to listen", || {
        RawClient::try_connect(proxy.port()).is_ok()
    });
    proxy
}

#[test]
fn a_seed_that_is_down_causes_no_error() {
    let cluster = steady_cluster();
    let closed = PortLease::any().expect("a port");
    let dead = format!("redis://127.0.0.1:{}", closed.port());
    let proxy = newly_started(&[dead, cluster.seeds()[1].clone()]);
    let mut ledger = Ledger::begin(proxy.port(), &cluster, &[]);
    ledger.progress(&[0, 1, 2]);
    let outcome = ledger.finish();
    outcome.print_outages("start");
    outcome.assert_clean();
    outcome.assert_no_errors("start", &[0, 1, 2]);
}

#[test]
fn an_only_seed_that_is_late_causes_no_error() {
    let cluster = durable_cluster();
    cluster.kill(0);
    let proxy = newly_started(&cluster.seeds()[..1]);
    let mut ledger = Ledger::begin(proxy.port(), &cluster, &[]);
    poll_until(PATIENCE, "failed queries of slotmux", || {
        proxy.metric("slotmux_topology_refresh_failures_total") >= Some(2.0)
    });
    cluster.restart(0).expect("up");
    ledger.recovered();
    let outcome = ledger.finish();
    outcome.print_outages("start");
    outcome.assert_clean();
    outcome.assert_no_errors("start", &[0, 1, 2]);
}
