//! Signals: the first one that requests an end begins an orderly shutdown, a second one exits at once. Signals without
//! a meaning here, whose default would kill the process, are logged and ignored.

use std::io;
use std::thread;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit status of a program that Ctrl-C ended: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

/// Treatment of SIGHUP, from a closed terminal or elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hangup {
    /// Ends the process, as SIGTERM does: for tools used at a terminal.
    Ends,
    /// Ignored: other servers reload their configuration on it, so it is sent without the intent to end the process.
    IsIgnored,
}

/// Cancels the token at the first SIGINT or SIGTERM, or SIGHUP if it is to end the process. Runs in a thread of its
/// own.
///
/// At the second one the process exits; the guard of a demo's servers notices and cleans up.
pub fn cancel_on_signal(token: CancellationToken, hangup: Hangup) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    for (kind, name) in stray() {
        match signal(kind) {
            Ok(signal) => {
                runtime.spawn(ignore(signal, name));
            }
            // A tool around the process may keep a signal for itself, as Valgrind does.
            Err(error) => tracing::debug!("{name} keeps its default: {error}"),
        }
    }
    drop(entered);
    thread::Builder::new()
        .name("slotmux-signals".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                let mut ending = false;
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                        _ = hung_up.recv() => if hangup == Hangup::IsIgnored {
                            tracing::warn!("SIGHUP is ignored: the configuration is read at the start only");
                            continue;
                        }
                    }
                    if ending {
                        #[expect(clippy::disallowed_methods, reason = "the second signal is to skip the drain")]
                        std::process::exit(INTERRUPTED);
                    }
                    ending = true;
                    token.cancel();
                }
            });
        })?;
    Ok(())
}

async fn ignore(mut signal: Signal, name: String) {
    while signal.recv().await.is_some() {
        tracing::warn!("{name} is ignored: it means nothing to slotmux");
    }
}

/// Signals that kill a process by default although they are not sent for that purpose. SIGPIPE is left out: Rust
/// ignores it.
fn stray() -> Vec<(SignalKind, String)> {
    let named = [
        (libc::SIGUSR1, "SIGUSR1"),
        (libc::SIGUSR2, "SIGUSR2"),
        (libc::SIGALRM, "SIGALRM"),
        (libc::SIGVTALRM, "SIGVTALRM"),
        (libc::SIGPROF, "SIGPROF"),
        (libc::SIGIO, "SIGIO"),
        #[cfg(target_os = "linux")]
        (libc::SIGPWR, "SIGPWR"),
    ];
    let named = named.map(|(number, name)| (SignalKind::from_raw(number), name.to_owned()));
    let mut all = Vec::from(named);
    #[cfg(target_os = "linux")]
    for number in libc::SIGRTMIN()..=libc::SIGRTMAX() {
        let name = format!("SIGRTMIN+{}", number - libc::SIGRTMIN());
        all.push((SignalKind::from_raw(number), name));
    }
    all
}
