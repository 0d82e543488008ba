//! The rig sees what it is there to see: with a liar in between it reports just that lie, without one nothing.

use crate::ledger::liar::{Liar, Lie};
use crate::ledger::rig::{Ledger, Outcome};
use slotmux_testing::{PATIENCE, poll_until, shared_cluster, shared_proxy};

/// A run through a liar, until it has lied.
fn run(lie: Lie, depth: &str) -> Outcome {
    let cluster = shared_cluster();
    let liar = Liar::start(shared_proxy().port(), lie);
    let nodes = format!("127.0.0.1:{}", cluster.node(0).port);
    let mut ledger = Ledger::launch(
        liar.port(),
        &["--nodes", &nodes, "--clients", "3", "--depth", depth],
    );
    if lie != Lie::None {
        poll_until(PATIENCE, "the lie", || liar.has_lied());
    }
    ledger.recovered();
    ledger.recovered();
    ledger.finish()
}

#[test]
fn without_a_lie_nothing_is_found() {
    let outcome = run(Lie::None, "16");
    outcome.assert_clean();
    assert!(outcome.count("acked") > 0 && outcome.count("keys") > 0);
    assert_eq!(outcome.count("refused") + outcome.count("unknown"), 0);
}

#[test]
fn two_replies_in_each_others_place_are_found() {
    let outcome = run(Lie::SwapReplies, "16");
    assert_eq!(outcome.code, Some(1), "{:#}", outcome.report);
    assert!(
        outcome.count("wrong") + outcome.count("behind") > 0,
        "{:#}",
        outcome.report
    );
}

#[test]
fn a_write_that_runs_twice_is_found() {
    let outcome = run(Lie::WriteTwice, "16");
    assert_eq!(outcome.code, Some(1), "{:#}", outcome.report);
    assert_eq!(outcome.count("doubled"), 1, "{:#}", outcome.report);
    assert_eq!(outcome.count("lost"), 0, "{:#}", outcome.report);
}

#[test]
fn an_acknowledged_write_that_is_not_there_is_found() {
    let outcome = run(Lie::DropWrite, "16");
    assert_eq!(outcome.code, Some(1), "{:#}", outcome.report);
    assert_eq!(outcome.count("lost"), 1, "{:#}", outcome.report);
    assert_eq!(outcome.count("doubled"), 0, "{:#}", outcome.report);
}

#[test]
fn a_write_that_ran_although_it_was_refused_is_found() {
    let outcome = run(Lie::DenyWrite, "16");
    assert_eq!(outcome.code, Some(1), "{:#}", outcome.report);
    assert_eq!(
        outcome.count("ran_though_refused"),
        1,
        "{:#}",
        outcome.report
    );
}

#[test]
fn two_writes_in_each_others_place_are_found() {
    let outcome = run(Lie::SwapWrites, "16");
    assert_eq!(outcome.code, Some(1), "{:#}", outcome.report);
    assert!(outcome.count("reordered") > 0, "{:#}", outcome.report);
}
