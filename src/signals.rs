//! Ctrl-C and its relatives: the first asks for an orderly end, a second one ends at once.

use std::io;
use std::thread;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit status of a program that Ctrl-C ended: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

/// Cancels the token at the first SIGINT, SIGTERM or SIGHUP, from a thread of its own.
///
/// At the second one the process exits; the guard of a demo's servers sees that and cleans up.
pub fn cancel_on_signal(token: CancellationToken) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let streams = {
        let _entered = runtime.enter();
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        kinds.map(signal)
    };
    let [interrupt, terminate, hangup] = streams;
    let (mut interrupt, mut terminate, mut hangup) = (interrupt?, terminate?, hangup?);
    thread::Builder::new()
        .name("slotmux-signals".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                for last in [false, true] {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                        _ = hangup.recv() => {}
                    }
                    if last {
                        std::process::exit(INTERRUPTED);
                    }
                    token.cancel();
                }
            });
        })?;
    Ok(())
}
