//! Starts logging to stderr, with the configured level and format. No log line holds a password: the types that keep
//! one do not print it.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use slotmux_core::config::{Log, LogFormat, log_filter::filter};

/// Starts logging as configured. Later calls have no effect: tests start several proxies in one process.
pub fn start(log: &Log) {
    let filter = filter(&log.level).unwrap_or_else(|_| EnvFilter::new("warn,slotmux=info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // The subscriber would report a closed stderr on stderr, and panic.
        .log_internal_errors(false);
    let started = match log.format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
}
