//! Signals: the first that asks for an end begins an orderly one, a second one ends at once. Those that mean nothing here,
//! and would end a process that says nothing about them, are noted and ignored.

use std::io;
use std::thread;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit status of a program that Ctrl-C ended: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

/// The meaning of SIGHUP, from a closed terminal or from elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hangup {
    /// The end, as SIGTERM: for what is done for the one at the terminal.
    Ends,
    /// Nothing: other servers read their configuration again, so it comes without bad intent.
    IsIgnored,
}

/// Cancels the token at the first SIGINT or SIGTERM, or SIGHUP if it is to end, from a thread of its own.
///
/// At the second one the process exits; the guard of a demo's servers sees that and cleans up.
pub fn cancel_on_signal(token: CancellationToken, hangup: Hangup) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    for (kind, name) in stray() {
        runtime.spawn(ignore(signal(kind)?, name));
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

/// Signals that end a process by default although they are not sent for that. SIGPIPE is left out: Rust ignores it.
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
