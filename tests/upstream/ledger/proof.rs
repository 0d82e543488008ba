//! The rig detects every kind of fault: with a faulty proxy in between it reports exactly that fault, and without a
//! fault no finding.

use crate::ledger::faulty_proxy::{Fault, FaultyProxy};
use crate::ledger::rig::{Ledger, Outcome};
use slotmux_testing::{PATIENCE, poll_until, shared_cluster, shared_proxy};

/// A run through a faulty proxy, until the fault was made.
fn run(fault: Fault, depth: &str) -> Outcome {
    let cluster = shared_cluster();
    let proxy = FaultyProxy::start(shared_proxy().port(), fault);
    let nodes = format!("127.0.0.1:{}", cluster.node(0).port);
    let mut ledger = Ledger::launch(
        proxy.port(),
        &["--nodes", &nodes, "--clients", "3", "--depth", depth],
    );
    if fault != Fault::None {
        poll_until(PATIENCE, "the fault", || proxy.has_acted());
    }
    ledger.recovered();
    ledger.recovered();
    ledger.finish()
}

#[test]
fn without_a_fault_there_is_no_finding() {
    let outcome = run(Fault::None, "16");
    outcome.assert_clean();
    assert!(outcome.count("acked") > 0 && outcome.count("keys") > 0);
    assert_eq!(outcome.count("refused") + outcome.count("unknown"), 0);
}

#[test]
fn two_swapped_replies_are_found() {
    let outcome = run(Fault::SwapReplies, "16");
    assert_eq!(outcome.code, Some(1), "{:#}", outcome.report);
    assert!(
        outcome.count("wrong") + outcome.count("behind") > 0,
        "{:#}",
        outcome.report
    );
}

#[test]
fn a_write_that_runs_twice_is_found() {
    let outcome = run(Fault::WriteTwice, "16");
    assert_eq!(outcome.code, Some(1), "{:#}", outcome.report);
    assert_eq!(outcome.count("doubled"), 1, "{:#}", outcome.report);
    assert_eq!(outcome.count("lost"), 0, "{:#}", outcome.report);
}

#[test]
fn a_missing_acknowledged_write_is_found() {
    let outcome = run(Fault::DropWrite, "16");
    assert_eq!(outcome.code, Some(1), "{:#}", outcome.report);
    assert_eq!(outcome.count("lost"), 1, "{:#}", outcome.report);
    assert_eq!(outcome.count("doubled"), 0, "{:#}", outcome.report);
}

#[test]
fn a_refused_write_that_ran_is_found() {
    let outcome = run(Fault::DenyWrite, "16");
    assert_eq!(outcome.code, Some(1), "{:#}", outcome.report);
    assert_eq!(
        outcome.count("ran_though_refused"),
        1,
        "{:#}",
        outcome.report
    );
}

#[test]
fn two_swapped_writes_are_found() {
    let outcome = run(Fault::SwapWrites, "16");
    assert_eq!(outcome.code, Some(1), "{:#}", outcome.report);
    assert!(outcome.count("reordered") > 0, "{:#}", outcome.report);
}
