//! Faults on demand, with which tests show that they are handled. Only debug builds have them, and only where the variable
//! `SABOTAGE` names a folder.

use std::time::Duration;
#[cfg(debug_assertions)]
use std::{path::PathBuf, sync::OnceLock};

/// Panics if the folder has a file of this name, which is used up.
#[cfg(debug_assertions)]
pub fn sabotage(place: &str) {
    if let Some(folder) = folder()
        && std::fs::remove_file(folder.join(place)).is_ok()
    {
        panic!("sabotaged: {place}");
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
#[inline]
pub fn sabotage(_: &str) {}

/// Waits here if the folder has a file of this name, until the file is removed. A second file, with `.reached` behind
/// its name, says that this place was reached.
#[cfg(debug_assertions)]
pub async fn hold_at(place: std::fmt::Arguments<'_>) {
    let Some(folder) = folder() else { return };
    let file = folder.join(place.to_string());
    if file.exists() && std::fs::write(file.with_extension("reached"), "").is_ok() {
        while file.exists() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Never waits.
#[cfg(not(debug_assertions))]
#[inline]
#[allow(clippy::unused_async, reason = "as in debug builds")]
pub async fn hold_at(_: std::fmt::Arguments<'_>) {}

/// Whether commands may overtake each other while slots move: if the folder has a file `barrier`.
#[cfg(debug_assertions)]
pub fn is_without_barrier() -> bool {
    static IS_WITHOUT: OnceLock<bool> = OnceLock::new();
    *IS_WITHOUT.get_or_init(|| folder().is_some_and(|folder| folder.join("barrier").exists()))
}

/// Never.
#[cfg(not(debug_assertions))]
#[inline]
pub fn is_without_barrier() -> bool {
    false
}

/// Takes the time by which to set the clock ahead: the number of seconds in the file `clock` of the folder, which is removed.
#[cfg(debug_assertions)]
pub fn take_clock_ahead() -> Option<Duration> {
    let file = folder()?.join("clock");
    let seconds = std::fs::read_to_string(&file).ok()?.trim().parse().ok()?;
    std::fs::remove_file(file).ok()?;
    Some(Duration::from_secs(seconds))
}

/// Never, in a release build.
#[cfg(not(debug_assertions))]
#[inline]
pub fn take_clock_ahead() -> Option<Duration> {
    None
}

#[cfg(debug_assertions)]
fn folder() -> Option<&'static PathBuf> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| std::env::var_os("SABOTAGE").map(PathBuf::from));
    folder.as_ref()
}
