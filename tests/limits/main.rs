//! Limits: hostile and heavy loads cost their own client at most, in bounded memory.

mod big_values;
mod crowds;
mod hostile_load;
mod long_requests;
mod many_clients;
mod memory;
mod one_client;
mod output_limits;
mod slow_readers;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Tests that keep a core busy or hold thousands of connections run one at a time, so that on a slow machine each of
/// them stays within the deadlines of its steps.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
