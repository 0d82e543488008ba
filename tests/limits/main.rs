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

/// Of tests that keep a core busy or hold thousands of connections only one runs at a time, so that on a slow machine none
/// of them exceeds the time that any test may wait.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
